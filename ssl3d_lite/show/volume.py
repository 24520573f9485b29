"""3D in the browser, for servers without a display: a scan with its labels, and a puzzle's pieces.

``Volume3D`` is NiiVue (ipyniivue), a viewer made for medical volumes: planes and a rendering,
labels laid over. ``Puzzle3D`` is a small widget of our own, for three reasons:

- NiiVue resamples every further volume to the grid of the first and blends them there, so pieces
  that fly apart need a first grid as large as their flight; a piece has no outline, no number and
  no mark for right or wrong; and in 3D only a double click reports a place.
- A piece as a solid box with slices on its sides is understood at once. Boxes without perspective
  are parallelograms, which an ordinary canvas draws exactly: no WebGL, so neither a missing GPU nor
  browsers' limit on WebGL contexts matters.
- What can go wrong lies in matrices (``places``), which are tested without a browser.
"""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets
import nibabel as nib
import numpy as np
import traitlets
from ipyniivue import MultiplanarType, NiiVue, ShowRender, SliceType, Volume
from scipy.ndimage import map_coordinates
from torch import Tensor

from ..errors import InputError
from ..tasks import Placement, ProxyBatch
from .browser_module import browser_module
from .pieces import COLOURS, Piece, pieces
from .places import ROOM, Places, apart, places, room_for

Array = np.ndarray | Tensor
EDGES = (*COLOURS[:-1], "#999999")  # black edges would not be seen around black air
RIGHT, WRONG = "#009E73", "#D55E00"  # as in volume_marks.js, which adds ✓ and ✗
CUT_FROM = (240, 15)  # degrees: azimuth and elevation, the side that the reader sees
HINT = "Drag to turn it. Click a piece to ask about it"


# ---- a scan and its labels ---------------------------------------------------------------------


class Volume3D(ipywidgets.VBox):
    """A scan in three planes and in 3D, with labels over it; drag to turn, scroll to leaf through.

    Use one and give it other scans by ``show``: browsers allow about 16 such views in a page.

    Args:
        volume: (*space) or (channel, *space), of which the first channel is drawn.
        labels: (*space) of small integers; 0 is nothing.
        label_names: of the classes 0, 1, 2 …
        spacing: mm of a voxel along each axis; 1 if not given.
        title: a line above.

    Raises:
        InputError: not a volume, or labels or spacing that do not fit it.
    """

    def __init__(
        self,
        volume: Array,
        labels: Array | None = None,
        *,
        label_names: Sequence[str] = (),
        spacing: Sequence[float] | None = None,
        title: str = "",
    ):
        self.viewer = NiiVue(
            height=340,
            multiplanar_layout=MultiplanarType.ROW,
            multiplanar_show_render=ShowRender.ALWAYS,
            multiplanar_pad_pixels=6,
            crosshair_width=0.6,
            crosshair_color=(0.94, 0.89, 0.26, 1),
            clip_plane_color=(0, 0, 0, 0),  # no pane in front of the cut
            show_legend=False,
            drag_and_drop_enabled=False,
        )
        self.heading, self.legend = ipywidgets.HTML(), ipywidgets.HTML()
        self.opacity = ipywidgets.FloatSlider(
            0.6, min=0, max=1, step=0.05, description="labels", readout_format=".0%"
        )
        self.kind = ipywidgets.ToggleButtons(
            options=[("planes and 3D", SliceType.MULTIPLANAR), ("3D alone", SliceType.RENDER)]
        )
        self.cut = ipywidgets.FloatSlider(
            0, min=0, max=1, step=0.05, description="cut open", readout_format=".0%"
        )
        self.opacity.observe(self._fade, "value")
        self.cut.observe(self._cut, "value")
        self.kind.observe(self._turn_over, "value")
        controls = ipywidgets.HBox([self.kind, self.cut, self.opacity])
        super().__init__([self.heading, self.viewer, controls, self.legend])
        self.add_class("ssl3d-volume3d")
        self.show(volume, labels, label_names=label_names, spacing=spacing, title=title)

    def show(
        self,
        volume: Array,
        labels: Array | None = None,
        *,
        label_names: Sequence[str] = (),
        spacing: Sequence[float] | None = None,
        title: str = "",
    ) -> None:
        """Show another scan in the same view; arguments as above."""
        image, classes = check_scan(volume, labels)
        space = image.shape
        if spacing is not None and len(spacing) != 3:
            raise InputError(
                f"spacing is {tuple(spacing)}, but a volume has 3 axes: give 3 lengths"
            )
        affine = np.diag([*(spacing if spacing is not None else (1, 1, 1)), 1.0])
        affine[:3, 3] = -affine[:3, :3] @ (np.array(space) - 1) / 2  # its middle is at 0 mm
        layers = [nifti("scan", greys(image, air(image)), affine, colormap="gray")]
        names = class_names(classes, label_names)
        if classes is not None:
            layers.append(nifti("labels", classes, affine, opacity=self.opacity.value))
            layers[1].set_colormap_label(class_colours(names))
        self.viewer.load_volumes(layers)
        self.viewer.set_slice_type(self.kind.value)
        self.viewer.scene.crosshair_pos = middle_of(classes, space)
        self.heading.value = f"<b>{title}</b>" if title else ""
        self.opacity.layout.display = None if classes is not None else "none"
        entry = "<span style='white-space: nowrap'><span style='color: {}'>■</span> {}</span>"
        entries = [entry.format(class_colour(n), name) for n, name in names.items()]
        self.legend.value = "&emsp;".join(entries)

    def _fade(self, change: dict[str, Any]) -> None:
        for layer in self.viewer.volumes[1:]:
            layer.opacity = change["new"]

    def _cut(self, change: dict[str, Any]) -> None:
        # NiiVue's depth of the cut: from the middle of the scan, 2 for none
        depth = 0.5 * (1 - change["new"]) if change["new"] else 2
        self.viewer.set_clip_plane(depth, *CUT_FROM)

    def _turn_over(self, change: dict[str, Any]) -> None:
        self.viewer.set_slice_type(change["new"])


def check_scan(volume: Array, labels: Array | None) -> tuple[np.ndarray, np.ndarray | None]:
    """The first channel of a volume (*space), and its labels as uint8 (*space).

    Raises:
        InputError: not a volume, or labels of another shape or beyond 0 to 255.
    """
    image = as_numpy(volume)
    image = image[0] if image.ndim == 4 else image
    if image.ndim != 3:
        raise InputError(
            f"the scan has shape {image.shape}, but 3D views take (x, y, z) or (channel, x, y, z); "
            "draw 2D images with figures.show_plane"
        )
    if labels is None:
        return image, None
    classes = as_numpy(labels)
    if classes.shape != image.shape:
        raise InputError(f"labels have shape {classes.shape}, but the scan {image.shape}")
    if classes.min() < 0 or classes.max() > 255:
        raise InputError(
            f"labels go from {classes.min():g} to {classes.max():g}, but classes go from 0 to 255"
        )
    return image, classes.astype(np.uint8)


def as_numpy(values: Array) -> np.ndarray:
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values  # numpy has no bfloat16
    return np.asarray(values)


def air(image: np.ndarray) -> np.ndarray:
    """Where there is nothing: (*space) bool. Around a head cut out of its scan all voxels have one
    value, which z-scores make a middle grey; if all corners have it, it is taken for air."""
    corners = image[tuple(np.array(list(product((0, -1), repeat=image.ndim))).T)]
    same = image == corners[0]
    return same if (corners == corners[0]).all() and same.mean() > 0.02 else np.zeros_like(same)


def greys(values: np.ndarray, nothing: np.ndarray) -> np.ndarray:
    """As uint8, black at the first percentile and white at the last but one, of what is there;
    black too where there is nothing."""
    values = np.asarray(values, np.float32)
    there = values[~nothing] if not nothing.all() else values
    low, high = np.percentile(there, (1, 99))
    if high <= low:
        low, high = there.min(), max(there.max(), there.min() + 1)
    shades = np.round(255 * ((values - low) / (high - low)).clip(0, 1)).astype(np.uint8)
    shades[nothing] = 0
    return shades


def middle_of(classes: np.ndarray | None, space: Sequence[int]) -> list[float]:
    """Where the cross begins, as parts of each axis: amid the labels, else amid the scan."""
    if classes is None or not classes.any():
        return [0.5] * 3
    return ((np.argwhere(classes).mean(0) + 0.5) / space).tolist()


def nifti(name: str, values: np.ndarray, affine: np.ndarray, **look: Any) -> Volume:
    data = nib.Nifti1Image(np.ascontiguousarray(values), affine).to_bytes()
    return Volume(name=f"{name}.nii", data=data, **look)


def class_names(classes: np.ndarray | None, names: Sequence[str]) -> dict[int, str]:
    """Class → name, of the classes that there are, nothing (0) aside."""
    if classes is None:
        return {}
    there = [int(n) for n in np.unique(classes) if n]
    return {n: names[n] if n < len(names) else f"class {n}" for n in there}


def class_colour(number: int) -> str:
    return COLOURS[(number - 1) % len(COLOURS)]


def class_colours(names: dict[int, str]) -> dict[str, list]:
    """NiiVue's table of label colours: class 0 is clear."""
    highest = max(names, default=0)
    colours = [(0, 0, 0, 0)]
    for number in range(1, highest + 1):
        code = class_colour(number)
        colours.append((*(int(code[i : i + 2], 16) for i in (1, 3, 5)), 255))
    labels = ["nothing", *(names.get(n, f"class {n}") for n in range(1, highest + 1))]
    red, green, blue, alpha = (list(band) for band in zip(*colours))
    indices = list(range(highest + 1))
    return {"R": red, "G": green, "B": blue, "A": alpha, "I": indices, "labels": labels}


# ---- a puzzle ----------------------------------------------------------------------------------


class Puzzle3D(anywidget.AnyWidget):
    """The pieces of a puzzle in 3D: as the network gets them, put back, apart.

    Drag (or arrow keys) to turn; click a piece to pick it; double-click to put that one back. Each
    side of a piece shows a slice of it: "look inside" moves the slice from the piece's border to
    its middle. Air around a head is drawn black, whatever value it has. Use one view and give it
    other puzzles by ``show``.

    Args:
        volumes: (batch, channel, x, y, z), as they were given to ``pose``.
        batch: the puzzles.
        scan: which of them.
        guess: what a trained network answered, shown beside the truth: of a jigsaw the order of
            the cells (``task.permutations[n]``); of relative location the places, of rotation the
            turns, one for each view that is asked about.
        channel: which is drawn, where there are several.

    Attributes:
        picked: number of the piece under the last click, -1 if none. Like those below it can be
            set from Python and observed.
        shuffled: whether pieces are as the network gets them, or put back.
        apart: 0 together to 1 apart.
        depth: of the slices, in edges of a piece: 0 the border, 0.5 the middle.
        turn: degrees that the eye is turned to the patient's right and up.

    Raises:
        InputError: 2D views, a scan or channel that there is not, or a guess that does not fit.
    """

    _esm = browser_module(Path(__file__).with_suffix(".js"))
    _css = Path(__file__).with_suffix(".css")
    _scene = traitlets.Dict().tag(sync=True)
    _voxels = traitlets.Bytes().tag(sync=True)
    picked = traitlets.Int(-1).tag(sync=True)
    shuffled = traitlets.Bool(True).tag(sync=True)
    apart = traitlets.Float(0, min=0, max=1).tag(sync=True)
    depth = traitlets.Float(0.5, min=0, max=0.5).tag(sync=True)
    turn = traitlets.List(traitlets.Float(), [30, 25]).tag(sync=True)

    def __init__(
        self,
        volumes: Tensor,
        batch: ProxyBatch,
        scan: int = 0,
        *,
        guess: int | Sequence[int] | Tensor | None = None,
        channel: int = 0,
    ):
        super().__init__()
        self.show(volumes, batch, scan, guess=guess, channel=channel)

    def show(
        self,
        volumes: Tensor,
        batch: ProxyBatch,
        scan: int = 0,
        *,
        guess: int | Sequence[int] | Tensor | None = None,
        channel: int = 0,
    ) -> None:
        """Show another puzzle in the same view; arguments as above."""
        check_puzzle(volumes, batch, scan, channel)
        views = pieces(batch, scan)
        spots = places(batch, scan, guess)
        nothing = air(as_numpy(volumes[scan, channel]))
        images = np.stack([piece.image[channel] for piece in views])
        voxels = greys(images, np.stack([seen(nothing, p) for p in views])).tobytes()
        scene = make_scene(views, spots, volumes.shape[2:], batch.placement)
        with self.hold_sync():
            self.picked = -1
            self._voxels = voxels
            self._scene = scene


def seen(mask: np.ndarray, piece: Piece) -> np.ndarray:
    """What of a scan's mask lies in a piece: (*size) bool."""
    size = piece.image.shape[1:]
    voxels = np.indices(size).reshape(3, -1)
    at = piece.matrix[:3, :3] @ voxels + piece.matrix[:3, 3:]
    return map_coordinates(mask, at, order=0, mode="nearest").reshape(size)


def check_puzzle(volumes: Tensor, batch: ProxyBatch, scan: int, channel: int) -> None:
    scans, _, channels, *space = batch.views.shape
    if len(space) != 3:
        raise InputError(
            f"these views are 2D ({' x '.join(map(str, space))}), and Puzzle3D draws volumes: use "
            "figures.puzzle(volumes, batch)"
        )
    if volumes.ndim != 5 or len(volumes) != scans:
        raise InputError(
            f"volumes have shape {tuple(volumes.shape)}, but must be those that the batch was "
            f"made from: ({scans}, channel, x, y, z)"
        )
    if not -scans <= scan < scans:
        raise InputError(f"scan is {scan}, but the batch has {scans} scans")
    if not 0 <= channel < channels:
        raise InputError(f"channel is {channel}, but the views have {channels}")


def make_scene(
    views: list[Piece],
    spots: list[Places],
    space: Sequence[int],
    placement: Placement,
) -> dict[str, Any]:
    """What volume.js draws: where each piece can be, together and apart, its colour and name."""
    size = views[0].image.shape[1:]
    shown, home = [s.shown for s in spots], [s.home for s in spots]
    guessed = [s.guessed for s in spots if s.guessed is not None]
    room = {"shown": room_for(shown, size), "home": room_for(home, size)}
    ends = {"shown": (shown, apart(shown, size, room["shown"]))}
    ends["home"] = (home, apart(home, size, room["home"]))
    if guessed:
        ends["guessed"] = (guessed, apart(guessed, size, room["home"]))
    colours, legend = layer_colours(views, placement)
    drawn = [
        {name: [two[0][n].tolist(), two[1][n].tolist()] for name, two in ends.items()}
        | {"colour": colours[n], "right": spot.right, "says": spot.says}
        for n, spot in enumerate(spots)
    ]
    panels, asked = [{"put": "home", "title": "", "marked": False}], [s.right for s in spots]
    if guessed:
        score = f"{asked.count(True)} of {len(asked) - asked.count(None)} right"
        panels[0]["title"] = "truth"
        panels.append({"put": "guessed", "title": f"guess: {score}", "marked": True})
        legend = [(RIGHT, False, "✓ right"), (WRONG, True, "✗ wrong")]
    moves = bool(guessed) or not np.allclose(shown, home)
    return {
        "pieces": drawn,
        "panels": panels,
        "legend": legend,
        "size": list(size),
        "space": list(space),
        "framed": {
            "shown": len(views) == 1 or bool(placement.grid),
            "home": bool(np.allclose(home, [p.matrix for p in views])),
        },
        "turned": not np.allclose([m[:3, :3] for m in home], np.eye(3)),
        "grid": bool(placement.grid),
        "overlap": bool(placement.grid) and room["home"] > ROOM + 1e-6,
        "moves": moves,
        "title": f"{len(views)} pieces of a scan in 3D",
        "hint": f"{HINT}; double-click to put it back." if moves else f"{HINT}.",
    }


def layer_colours(
    views: list[Piece], placement: Placement
) -> tuple[list[str], list[tuple[str, bool, str]]]:
    """A colour for each piece, and what the colours mean: (colour, dashed, text).

    In a grid it tells the layer that the piece was cut from, so that one sees at a glance whether
    pieces are in order; where the grid is gone through in a direction, the row in that order.
    """
    if not placement.grid:
        return [EDGES[piece.number % len(EDGES)] for piece in views], []
    axis, backwards = placement.direction or (2, False)
    count = placement.grid[axis]
    layers = [int(np.unravel_index(piece.home, placement.grid)[axis]) for piece in views]
    layers = [count - 1 - n if backwards else n for n in layers]
    names = [f"{'row' if placement.direction else 'layer'} {n}" for n in range(count)]
    names[0] = f"cut from {names[0]}"
    names[0] += " (where reading begins)" if placement.direction else " (lowest)"
    legend = [(EDGES[n % len(EDGES)], False, name) for n, name in enumerate(names)]
    return [EDGES[n % len(EDGES)] for n in layers], legend

"""Three orthogonal planes of a scan in the browser, that answer to mouse and keyboard.

The scan is sent once, as one byte a voxel; ``slices.js`` draws it, and asks the kernel for nothing.
What is clicked comes back: ``view.voxel`` and ``view.patch``.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import traitlets
from matplotlib.figure import Figure
from torch import Tensor

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.arrays import Array, air, as_numpy, greys
from ssl3d_lite.show.context import (
    ASKED_COLOUR,
    CONTEXT_COLOUR,
    START_COLOUR,
    PatchQuestion,
    asks_for_patches,
    cell_edge,
    middle_question,
    patch_question,
    patch_told,
    question_legend,
)
from ssl3d_lite.show.pieces import (
    HIDDEN_NAME,
    Piece,
    badge,
    class_colour,
    inner_part,
    pieces_of,
    voxel_classes,
)
from ssl3d_lite.show.scan_files import read_scan_files
from ssl3d_lite.show.stills.slices import slices_still
from ssl3d_lite.show.words import piece_told
from ssl3d_lite.tasks import ProxyBatch

from .browser_module import browser_module
from .saved_page import BrowserView

ROBUST = (0.5, 99.5)  # percentiles of a channel that are shown as black and white
_WIDER = 0.5  # share of its width by which the window can be widened on either side
_WHITE = 255  # a byte's highest value
Window = tuple[float, float]


class Slices(BrowserView):
    """Sagittal, coronal and axial plane of a scan, with labels and the boxes of pieces laid over.

    The wheel and the arrow keys go through the slices. A click, or a drag, moves the cross. A drag
    with the right button, or with shift, changes the window.

    Attributes:
        voxel: position of the cross, [x, y, z]. Set it to move the cross.
        patch: number of the piece under the last click, -1 for none. Set it to highlight a piece.
        window: [low, high], the values drawn black and white, in the scan's own units.
        channel: number of the channel shown.
        opacity: opacity of the labels, 0 to 1.
        wipe: where two label maps meet, as a share of a plane's width: the first lies left of it.
    """

    _esm = browser_module(Path(__file__).with_suffix(".js"))
    _css = Path(__file__).with_suffix(".css")

    voxel = traitlets.List(traitlets.Int()).tag(sync=True)
    patch = traitlets.Int(-1).tag(sync=True)
    window = traitlets.List(traitlets.Float()).tag(sync=True)
    channel = traitlets.Int(0).tag(sync=True)
    opacity = traitlets.Float(0.5, min=0, max=1).tag(sync=True)
    wipe = traitlets.Float(0.5, min=0, max=1).tag(sync=True)

    # sent once
    _bytes = traitlets.Bytes().tag(sync=True)  # (channel, x, y, z), z fastest
    _shape = traitlets.List().tag(sync=True)  # x, y, z
    _reach = traitlets.List().tag(sync=True)  # a channel's values at bytes 0 and 255
    _windows = traitlets.List().tag(sync=True)  # a channel's window to begin with
    _channel_names = traitlets.List().tag(sync=True)
    _labels = traitlets.Bytes().tag(sync=True)  # (x, y, z), or nothing
    _body = traitlets.Bytes().tag(sync=True)  # (x, y, z): 1 where it is in 3D; or nothing
    _beside = traitlets.Bytes().tag(sync=True)  # the second label map, or nothing
    _sides = traitlets.List().tag(sync=True)  # the names of both
    _classes = traitlets.List().tag(sync=True)  # name and colour of labels 1, 2, …
    _legend = traitlets.List().tag(sync=True)  # name, colour and line of what else is drawn
    _spacing = traitlets.List().tag(sync=True)
    _boxes = traitlets.List().tag(sync=True)
    _title = traitlets.Unicode().tag(sync=True)

    def __init__(
        self,
        volume: Array,
        labels: Array | None = None,
        *,
        beside: Array | None = None,
        sides: tuple[str, str] = ("left", "right"),
        label_names: Sequence[str] = (),
        spacing: Sequence[float] | None = None,
        pieces: Sequence[Piece] = (),
        window: Window | None = None,
        title: str = "",
        channel_names: Sequence[str] = (),
        in_3d: bool = False,
    ):
        """
        Args:
            volume: (*space) or (channel, *space) in RAS orientation. One that is a single voxel
                deep, (x, y, 1), is a picture: its one plane is shown.
            labels: (*space), whole numbers from 0 to 255; 0 is not drawn.
            beside: another map like ``labels``; a border that can be moved lies between them.
            sides: the names of both.
            label_names: names of labels 0, 1, 2, …
            spacing: edge lengths of a voxel, in mm; by default all the same, and nobody knows how
                long: then a picture's bar counts voxels.
            pieces: pieces of a puzzle, whose boxes are drawn; see ``pieces_of``.
            window: values drawn black and white; by default percentiles of each channel.
            title: a line above the planes.
            channel_names: names of the channels.
            in_3d: whether a fourth picture shows the scan in 3D, cut open at the cross.

        Raises:
            InputError: shapes that do not fit, values that are not finite, a window that is empty.
        """
        scan = _channels(volume)
        shape = scan.shape[1:]
        windows = [_robust(channel) if window is None else _checked(window) for channel in scan]
        reach = [_reach(*pair) for pair in zip(scan, windows, strict=True)]
        classes, other = _classes(labels, shape), _classes(beside, shape)
        if other is not None and classes is None:
            raise InputError("beside is a second label map: give the first one as labels")
        self._kept = [list(ends) for ends in windows]  # each channel's, as last changed
        self._in_mm = spacing is not None
        super().__init__(
            voxel=_first_look(shape, classes, pieces),
            window=list(windows[0]),
            _bytes=b"".join(_as_bytes(*pair) for pair in zip(scan, reach, strict=True)),
            _shape=list(shape),
            _reach=[list(ends) for ends in reach],
            _windows=[list(ends) for ends in windows],
            _channel_names=_names(channel_names, len(scan)),
            _labels=b"" if classes is None else classes.tobytes(),
            _body=_body(scan[0]) if in_3d else b"",
            _beside=b"" if other is None else other.tobytes(),
            _sides=[] if other is None else list(sides),
            _classes=_legend([each for each in (classes, other) if each is not None], label_names),
            _spacing=_edges(spacing),
            _boxes=[_box(piece) for piece in pieces],
            _title=title,
        )

    @traitlets.validate("voxel")
    def _inside(self, proposal: dict) -> list[int]:
        voxel, shape = proposal["value"], self._shape
        if len(voxel) != len(shape) or not all(0 <= v < n for v, n in zip(voxel, shape)):
            raise InputError(f"voxel {voxel} is not in this scan of {_times(shape)} voxels")
        return voxel

    @traitlets.validate("window")
    def _in_order(self, proposal: dict) -> list[float]:
        return list(_checked(proposal["value"]))

    @traitlets.validate("channel")
    def _there(self, proposal: dict) -> int:
        channel, count = proposal["value"], len(self._reach)
        if not 0 <= channel < count:
            raise InputError(f"channel {channel} is not among this scan's {count}")
        return channel

    @traitlets.observe("window")
    def _keep(self, change: dict) -> None:
        self._kept[self.channel] = change["new"]

    @traitlets.observe("channel")
    def _recall(self, change: dict) -> None:
        self.window = self._kept[change["new"]]

    def figure(self) -> Figure:
        shape, (low, high) = self._shape, self._reach[self.channel]
        greys = np.frombuffer(self._bytes, np.uint8).reshape(-1, *shape)[self.channel]
        labels, beside = (
            np.frombuffer(each, np.uint8).reshape(shape) if each else None
            for each in (self._labels, self._beside)
        )
        return slices_still(
            low + greys * ((high - low) / _WHITE),
            window=self.window,
            voxel=self.voxel,
            classes=labels,
            legend=self._classes,
            opacity=self.opacity,
            boxes=self._boxes,
            spacing=self._spacing if self._in_mm else None,
            title=self._title,
            beside=beside,
            sides=self._sides,
            wipe=self.wipe,
        )

    def __repr__(self) -> str:  # ipywidgets' own would hold every byte of the scan
        pieces = f", {len(self._boxes)} pieces" if self._boxes else ""
        return f"Slices of a scan of {_times(self._shape)} voxels{pieces}"


def puzzle_slices(volumes: Tensor, batch: ProxyBatch, scan: int = 0) -> Slices:
    """A scan with the boxes of a puzzle's pieces, below the task's question.

    What a task hides is laid over the scan: the slider "labels" uncovers it. Where a patch is
    sought (CPC) it is one question: the pyramid of patches that is its context, and a "?".

    Args:
        volumes: (batch, channel, *space), as they were given to ``make_views``; 2D or 3D.
        scan: index of the scan to show.
    """
    volume, pieces = volumes[scan], pieces_of(batch, scan)
    if asks_for_patches(batch):
        return _question_slices(volume, batch, scan)
    classes, names = voxel_classes(batch, scan) or (None, ())
    labels = None if classes is None else _in_scan(classes, pieces[0], volume.shape[1:])
    if volume.ndim == 3:  # a picture: one voxel deep
        volume = volume[..., None]
        labels = None if labels is None else labels[..., None]
    view = Slices(volume, labels, label_names=names, pieces=pieces, title=batch.question)
    view.opacity = 1.0 if HIDDEN_NAME in names else view.opacity
    return view


def _question_slices(volume: Tensor, batch: ProxyBatch, scan: int) -> Slices:
    """One question about a patch. Patches overlap, so of each its middle is drawn."""
    asked, pieces = patch_question(batch, middle_question(batch, scan)), pieces_of(batch, scan)
    edge = cell_edge([piece.centre for piece in pieces], pieces[0].image.shape[1:])
    numbers = (*asked.context, asked.start, asked.target)
    cells = [inner_part(pieces[number], edge) for number in numbers]
    volume = volume[..., None] if volume.ndim == 3 else volume
    view = Slices(volume, pieces=cells, title=batch.question)
    view._boxes = [
        box | {"told": patch_told(cell, asked), **_part_look(cell.number, asked)}
        for box, cell in zip(view._boxes, cells, strict=True)
    ]
    lines = question_legend(asked)
    view._legend = [{"name": text, "colour": c, "dashed": dashed} for c, dashed, text in lines]
    centre = [*cells[-1].centre, 0.0][: len(view._shape)]
    view.voxel = [min(max(round(c), 0), n - 1) for c, n in zip(centre, view._shape)]
    return view


def _part_look(patch: int, asked: PatchQuestion) -> dict[str, object]:
    """How the box of a part of a question looks: only the place that is sought has a badge."""
    if patch == asked.target:
        return {"colour": ASKED_COLOUR, "badge": "?", "part": "asked"}
    tip = patch == asked.start
    return {"colour": START_COLOUR if tip else CONTEXT_COLOUR, "badge": "", "part": "context"}


def _in_scan(classes: np.ndarray, piece: Piece, space: Sequence[int]) -> np.ndarray:
    """Classes of a piece that lies upright in its scan, as a map of the scan; 0 around it."""
    whole = np.zeros(space, np.uint8)
    low = np.rint(piece.corners.min(0) + 0.5).astype(int)
    # a box may reach beyond the scan's border
    ends = [(max(0, a), min(a + n, edge)) for a, n, edge in zip(low, classes.shape, space)]
    inside = tuple(slice(a - at, b - at) for (a, b), at in zip(ends, low, strict=True))
    whole[tuple(slice(*each) for each in ends)] = classes[inside]
    return whole


def scan_slices(image: str | Path, labels: str | Path | None = None) -> Slices:
    """A raw scan with a label map over it, such as its prediction, both NIfTI files.

    Raises:
        InputError: a file cannot be read, or the map does not lie over the scan.

    Example::

        scan_slices("new_scans/ann.nii.gz", "predictions/ann.nii.gz")
    """
    files = read_scan_files(image, labels)
    return Slices(files.volume, files.labels, spacing=files.spacing, title=Path(image).name)


# ---- what is sent ------------------------------------------------------------------------------


def _channels(volume: Array) -> np.ndarray:
    """The scan as (channel, x, y, z) float32."""
    scan = as_numpy(volume)
    if scan.ndim not in (3, 4) or not scan.size:
        raise InputError(
            f"volume has shape {scan.shape}; Slices wants (x, y, z) or (channel, x, y, z): "
            "give one scan of a batch, and a picture as (x, y, 1)"
        )
    scan = scan.astype(np.float32).reshape(-1, *scan.shape[-3:])
    if not np.isfinite(scan).all():
        raise InputError("volume holds values that are not finite: replace them, by 0 for instance")
    return scan


def _names(names: Sequence[str], count: int) -> list[str]:
    """Names of the channels; numbers where none are given."""
    if names and len(names) != count:
        raise InputError(f"{len(names)} channel_names for a scan of {count} channels")
    return list(names) or [f"channel {number}" for number in range(count)]


def _robust(channel: np.ndarray) -> Window:
    low, high = np.percentile(channel, ROBUST).tolist()
    if low == high:  # hardly any voxel differs
        low, high = float(channel.min()), float(channel.max())
    return (low, high) if low < high else (low, low + 1)


def _checked(window: Sequence[float]) -> Window:
    if len(window) != 2 or not np.isfinite(window).all() or not window[0] < window[1]:
        raise InputError(f"window is {list(window)}, but must be [low, high] with low < high")
    return float(window[0]), float(window[1])


def _reach(channel: np.ndarray, window: Window) -> Window:
    """The values that bytes 0 and 255 stand for.

    They go beyond the window, where the scan has such values, so that it can be widened.
    """
    low, high = window
    room = _WIDER * (high - low)
    return (
        min(low, max(low - room, float(channel.min()))),
        max(high, min(high + room, float(channel.max()))),
    )


def _as_bytes(channel: np.ndarray, reach: Window) -> bytes:
    low, high = reach
    return np.rint((channel - low) * (_WHITE / (high - low))).clip(0, _WHITE).astype("u1").tobytes()


def _body(channel: np.ndarray) -> bytes:
    """Where the scan shows a body: everywhere, where there is no air about it."""
    from ssl3d_lite.show.figures.rendering import body_of  # scipy, which planes do not need

    shades = greys(channel, air(channel)).astype(np.float32) / _WHITE
    return (body_of(shades) > 0.5).astype("u1").tobytes()


def _classes(labels: Array | None, shape: Sequence[int]) -> np.ndarray | None:
    """Labels (x, y, z) as uint8."""
    if labels is None:
        return None
    given = as_numpy(labels)
    if given.shape != tuple(shape):
        raise InputError(f"labels have shape {given.shape}, but the scan has {tuple(shape)}")
    if not ((given >= 0) & (given <= _WHITE) & (given == np.rint(given))).all():
        raise InputError("labels must be whole numbers from 0 to 255")
    return np.ascontiguousarray(given.astype(np.uint8))


def _legend(maps: Sequence[np.ndarray], names: Sequence[str]) -> list[dict[str, str]]:
    """Name and colour of labels 1, 2, …, as many as there are names or values."""
    if not maps:
        return []
    highest = max(int(classes.max()) for classes in maps)
    names = names or ["background", *(f"label {value}" for value in range(1, highest + 1))]
    if highest >= len(names):
        raise InputError(f"a label is {highest}, but label_names end at {len(names) - 1}")
    return [
        {"name": name, "colour": class_colour(index, name)}
        for index, name in enumerate(names[1:], start=1)
    ]


def _first_look(
    shape: Sequence[int], classes: np.ndarray | None, pieces: Sequence[Piece]
) -> list[int]:
    """The voxel where the cross stands at first: amid the first piece that may lie anywhere, or
    amid the labels, or amid the scan."""
    middle = [edge // 2 for edge in shape]
    if pieces and pieces[0].home is None:  # those of a grid fill the scan
        centre = [*pieces[0].centre, 0.0][: len(shape)]
    elif classes is not None and classes.any():
        centre = [place.mean() for place in np.nonzero(classes)]
    else:
        return middle
    return [min(max(round(c), 0), n - 1) for c, n in zip(centre, shape, strict=True)]


def _edges(spacing: Sequence[float] | None) -> list[float]:
    edges = [1.0] * 3 if spacing is None else [float(edge) for edge in spacing]
    if len(edges) != 3 or not all(0 < edge < np.inf for edge in edges):
        raise InputError(f"spacing is {edges}, but must be three positive numbers")
    return edges


def _box(piece: Piece) -> dict[str, object]:
    """A piece's box under the names that slices.js reads.

    The bits of a corner's index in ``corners`` (8, 3) say at which end of x, y and z it lies.
    """
    corners = piece.corners
    if corners.shape[1] == 2:  # a picture is one voxel deep
        corners = np.array([(*corner, depth) for corner in corners for depth in (-0.5, 0.5)])
    return {
        "number": piece.number,
        "badge": badge(piece),
        "told": piece_told(piece),
        "colour": piece.colour,
        "corners": corners.tolist(),
    }


def _times(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))

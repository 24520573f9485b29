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
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from scipy.ndimage import map_coordinates
from torch import Tensor

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.arrays import air, as_numpy, greys
from ssl3d_lite.show.pieces import COLOURS, Piece, pieces
from ssl3d_lite.tasks import Placement, ProxyBatch

from .places import ROOM, Places, apart, places, room_for

EDGES = (*COLOURS[:-1], "#999999")  # black edges would not be seen around black air
RIGHT, WRONG = "#009E73", "#D55E00"  # as in volume.js, which adds ✓ and ✗
HINT = "Drag to turn it. Click a piece to ask about it"


# ---- a puzzle ----------------------------------------------------------------------------------


class Puzzle3D(anywidget.AnyWidget):
    """The pieces of a puzzle in 3D: as the network gets them, put back, apart.

    Drag (or arrow keys) to turn; click a piece to pick it; double-click to put that one back. Each
    side of a piece shows a slice of it: "look inside" moves the slice from the piece's border to
    its middle. Air around a head is drawn black, whatever value it has. Use one view and give it
    other puzzles by ``show``.

    Args:
        volumes: (batch, channel, x, y, z), as they were given to ``make_views``.
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

    _esm = Path(__file__).with_suffix(".js")
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

"""The pieces of a puzzle in 3D in the browser: ``Puzzle3D``.

It is a small widget of its own, not NiiVue as ``Volume3D``, for three reasons:

- NiiVue resamples every further volume to the grid of the first and blends them there, so pieces
  that fly apart need a first grid as large as their flight; a piece has no outline, no number and
  no mark for correct or wrong; and in 3D only a double click reports a position.
- A piece as a solid box with slices on its sides is understood at once. Boxes without perspective
  are parallelograms, which an ordinary canvas draws exactly: no WebGL, so neither a missing GPU nor
  browsers' limit on WebGL contexts matters.
- What can go wrong lies in matrices (``places``), which are tested without a browser.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import traitlets
from scipy.ndimage import map_coordinates
from torch import Tensor

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.arrays import air, as_numpy, greys
from ssl3d_lite.show.pieces import COLOURS, CORRECT_COLOUR, WRONG_COLOUR, Piece, pieces_of
from ssl3d_lite.tasks import Placement, ProxyBatch

from .browser_module import browser_module
from .places import MIN_ROOM, Places, apart, places, room_for
from .saved_page import BrowserView

EDGE_COLOURS = (*COLOURS[:-1], "#999999")  # black edges would not be seen around black air
PREDICTION_LEGEND = [  # colour, whether the line is dashed, text
    (CORRECT_COLOUR, False, "✓ correct"),
    (WRONG_COLOUR, True, "✗ wrong"),
]
HINT = "Drag to turn it. Click a piece to ask about it"


class Puzzle3D(BrowserView):
    """The pieces of a puzzle in 3D: as the network gets them, put back, apart.

    Drag (or arrow keys) to turn; click a piece to pick it; double-click to put that one back. Each
    side of a piece shows a slice of it: "look inside" moves the slice from the piece's border to
    its middle. Air around a head is drawn black, whatever value it has. Use one view and give it
    other puzzles by ``show``.

    Args:
        volumes: (batch, channel, x, y, z), as they were given to ``make_views``.
        batch: the puzzles.
        scan: index of the scan whose pieces are shown.
        prediction: a network's prediction, shown beside the label. For a jigsaw it is the order of
            the cells (``task.permutations[n]``); for relative location the place, for rotation the
            turn of each view that has a label.
        channel: the channel that is drawn.

    Attributes:
        picked: number of the piece under the last click, -1 if none. Like those below it can be
            set from Python and observed.
        shuffled: whether pieces are as the network gets them, or put back.
        apart: 0 together to 1 apart.
        depth: depth of the slices in edges of a piece: 0 the border, 0.5 the middle.
        turn: degrees by which the eye is turned to the patient's right, and up.

    Raises:
        InputError: 2D views, no such scan or channel, or a prediction that does not fit.
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
        prediction: int | Sequence[int] | Tensor | None = None,
        channel: int = 0,
    ):
        super().__init__()
        self.show(volumes, batch, scan, prediction=prediction, channel=channel)

    def show(
        self,
        volumes: Tensor,
        batch: ProxyBatch,
        scan: int = 0,
        *,
        prediction: int | Sequence[int] | Tensor | None = None,
        channel: int = 0,
    ) -> None:
        """Show another puzzle in the same view; arguments as above."""
        check_puzzle(volumes, batch, scan, channel)
        views = pieces_of(batch, scan)
        spots = places(batch, scan, prediction)
        nothing = air(as_numpy(volumes[scan, channel]))
        images = np.stack([piece.image[channel] for piece in views])
        voxels = greys(images, np.stack([seen(nothing, p) for p in views])).tobytes()
        scene = make_scene(views, spots, volumes.shape[2:], batch.placement)
        with self.hold_sync():
            self.picked = -1
            self._voxels = voxels
            self._scene = scene


def seen(mask: np.ndarray, piece: Piece) -> np.ndarray:
    """The part of a scan's mask that lies in a piece: (*size) bool."""
    size = piece.image.shape[1:]
    voxels = np.indices(size).reshape(3, -1)
    at = piece.matrix[:3, :3] @ voxels + piece.matrix[:3, 3:]
    return map_coordinates(mask, at, order=0, mode="nearest").reshape(size)


def check_puzzle(volumes: Tensor, batch: ProxyBatch, scan: int, channel: int) -> None:
    """Raise InputError unless this is a puzzle of volumes with such a scan and channel."""
    scans, _, channels, *space = batch.views.shape
    if len(space) != 3:
        raise InputError(
            f"these views are 2D ({' x '.join(map(str, space))}), and Puzzle3D draws volumes: use "
            "puzzle(volumes, batch)"
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
    """What puzzle3d.js draws: where each piece can be, its colour and caption, and the panels."""
    size = views[0].image.shape[1:]
    shown, home = [s.shown for s in spots], [s.home for s in spots]
    room = {"shown": room_for(shown, size), "home": room_for(home, size)}
    predicted = spots[0].predicted is not None
    moves = predicted or not np.allclose(shown, home)
    colours, legend = layer_colours(views, placement)
    return {
        "pieces": [
            each | {"colour": colour}
            for each, colour in zip(_pieces_message(spots, size, room), colours, strict=True)
        ],
        "panels": _panels(spots),
        "legend": PREDICTION_LEGEND if predicted else legend,
        "size": list(size),
        "space": list(space),
        "framed": {  # whether the scan's frame is drawn
            "shown": len(views) == 1 or bool(placement.grid),
            "home": bool(np.allclose(home, [p.matrix for p in views])),
        },
        "turned": not np.allclose([m[:3, :3] for m in home], np.eye(3)),
        "grid": bool(placement.grid),
        "overlap": bool(placement.grid) and room["home"] > MIN_ROOM + 1e-6,
        "moves": moves,
        "title": f"{len(views)} pieces of a scan in 3D",
        "hint": f"{HINT}; double-click to put it back." if moves else f"{HINT}.",
    }


def _pieces_message(
    spots: list[Places], size: Sequence[int], room: dict[str, float]
) -> list[dict[str, Any]]:
    """For each piece its matrices, [together, apart], wherever it can be, and what is said of it.

    The names are those that puzzle3d.js reads.
    """
    together = {"shown": [s.shown for s in spots], "home": [s.home for s in spots]}
    if spots[0].predicted is not None:
        together["guessed"] = [s.predicted for s in spots]
    room = room | {"guessed": room["home"]}
    ends = {where: (m, apart(m, size, room[where])) for where, m in together.items()}
    return [
        {where: [near[n].tolist(), far[n].tolist()] for where, (near, far) in ends.items()}
        | {"right": spot.correct, "says": spot.caption}
        for n, spot in enumerate(spots)
    ]


def _panels(spots: list[Places]) -> list[dict[str, Any]]:
    """The pictures side by side: the label, and a prediction if there is one."""
    if spots[0].predicted is None:
        return [{"put": "home", "title": "", "marked": False}]
    marks = [spot.correct for spot in spots if spot.correct is not None]
    score = f"{marks.count(True)} of {len(marks)} correct"
    return [
        {"put": "home", "title": "label", "marked": False},
        {"put": "guessed", "title": f"prediction: {score}", "marked": True},
    ]


def layer_colours(
    views: list[Piece], placement: Placement
) -> tuple[list[str], list[tuple[str, bool, str]]]:
    """A colour for each piece, and what the colours mean: (colour, dashed, text).

    In a grid the colour tells from which layer the piece was cut, so one sees at a glance whether
    pieces are in order. Where the task reads the grid in a direction it tells the row instead.
    """
    if not placement.grid:
        return [EDGE_COLOURS[piece.number % len(EDGE_COLOURS)] for piece in views], []
    axis, backwards = placement.direction or (2, False)
    count = placement.grid[axis]
    layers = [int(np.unravel_index(piece.home, placement.grid)[axis]) for piece in views]
    layers = [count - 1 - n if backwards else n for n in layers]
    names = [f"{'row' if placement.direction else 'layer'} {n}" for n in range(count)]
    names[0] = f"cut from {names[0]}"
    names[0] += " (where reading begins)" if placement.direction else " (lowest)"
    legend = [(EDGE_COLOURS[n % len(EDGE_COLOURS)], False, name) for n, name in enumerate(names)]
    return [EDGE_COLOURS[n % len(EDGE_COLOURS)] for n in layers], legend

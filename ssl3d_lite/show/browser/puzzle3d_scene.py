"""What puzzle3d.js draws: where pieces can be, how they look, and what is said of them.

There are three kinds of puzzles. Pieces have to be put somewhere or turned (``places``). A patch is
sought from those before it (``context``): the pyramid is drawn, and a "?". Or each voxel is asked
about: then the scan stands beside the truth.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.arrays import air, as_numpy, greys
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
    CORRECT_COLOUR,
    HIDDEN_NAME,
    WRONG_COLOUR,
    Piece,
    air_in,
    badge,
    class_colour,
    inner_part,
    layer_names,
    pieces_of,
    scan_colour,
    voxel_classes,
)
from ssl3d_lite.show.words import found_told, right_or_wrong, voxels_told
from ssl3d_lite.tasks import ProxyBatch

from .places import MIN_ROOM, Places, apart, moved, places, room_for

Legend = list[tuple[str, bool, str]]  # colour, whether the line is dashed, text
PREDICTION_LEGEND: Legend = [
    (CORRECT_COLOUR, False, right_or_wrong(True)),
    (WRONG_COLOUR, True, right_or_wrong(False)),
]
HINT = "Drag to turn it. Click a piece to ask about it"
_MARKED = 255  # the byte of hidden voxels; no grey is as high


@dataclass(frozen=True)
class Scene:
    """A message to puzzle3d.js, and the voxels of its pieces: one byte each."""

    message: dict[str, Any]
    voxels: bytes


def make_scene(
    volumes: Tensor, batch: ProxyBatch, scan: int, prediction: Any, channel: int
) -> Scene:
    """The scene of one scan's puzzle; arguments as those of ``Puzzle3D``."""
    if asks_for_patches(batch):
        return _patches(volumes, batch, scan, prediction, channel)
    if batch.views.shape[1] == 1 and voxel_classes(batch, scan) is not None:
        return _voxels(volumes, batch, scan, prediction, channel)
    views = pieces_of(batch, scan)
    spots = places(batch, scan, prediction)
    shades = _shades(volumes[scan, channel], views, [[view.image[channel] for view in views]])
    return Scene(_pieces(views, spots, volumes.shape[2:], batch), shades.tobytes())


def _shades(volume: Tensor, views: list[Piece], images: Sequence[Any]) -> np.ndarray:
    """Greys of sets of pieces, (set, piece, *size), black where the scan has nothing."""
    nothing = air(as_numpy(volume))
    empty = np.stack([air_in(nothing, piece) for piece in views])
    sets = np.asarray(images, np.float32)
    return greys(sets, np.broadcast_to(empty, sets.shape))


# ---- pieces that have to be put somewhere, or turned -------------------------------------------


def _pieces(
    views: list[Piece], spots: list[Places], space: Sequence[int], batch: ProxyBatch
) -> dict[str, Any]:
    size, grid = views[0].image.shape[1:], bool(batch.placement.grid)
    shown, home = [s.shown for s in spots], [s.home for s in spots]
    room = {"shown": room_for(shown, size), "home": room_for(home, size)}
    predicted = spots[0].predicted is not None
    moves = predicted or not np.allclose(shown, home)
    layers: Legend = [(scan_colour(n), False, name) for n, name in enumerate(layer_names(batch))]
    return (
        {
            "pieces": [
                each | {"colour": piece.colour, "badge": badge(piece)}
                for each, piece in zip(_pieces_message(spots, size, room), views, strict=True)
            ],
            "panels": _panels(spots),
            "legend": PREDICTION_LEGEND if predicted else layers,
            "framed": {  # whether the scan's frame is drawn
                "shown": grid,
                "home": bool(np.allclose(home, [p.matrix for p in views])),
            },
            "turned": not np.allclose([m[:3, :3] for m in home], np.eye(3)),
            "overlap": grid and room["home"] > MIN_ROOM + 1e-6,
            "hint": f"{HINT}; double-click to put it back." if moves else f"{HINT}.",
        }
        | _common(batch, len(views), size, space, moves)
    )


def _common(
    batch: ProxyBatch, count: int, size: Sequence[int], space: Sequence[int], moves: bool
) -> dict[str, Any]:
    return {
        "size": list(size),
        "space": list(space),
        "grid": bool(batch.placement.grid),
        "moves": moves,
        "title": f"{count} piece{'s' * (count > 1)} of a scan in 3D",
        "question": batch.question,
    }


def _pieces_message(
    spots: list[Places], size: Sequence[int], room: dict[str, float]
) -> list[dict[str, Any]]:
    """For each piece its matrices, [together, apart], wherever it can be, and what is said of it.

    The names are those that puzzle3d.js reads.
    """
    together = {"shown": [s.shown for s in spots], "home": [s.home for s in spots]}
    predicted = [s.predicted for s in spots if s.predicted is not None]
    if predicted:  # then of every piece
        together["guessed"] = predicted
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
        return [_panel("")]
    marks = [spot.correct for spot in spots if spot.correct is not None]
    score = f"{marks.count(True)} of {len(marks)} right"
    return [_panel("truth"), _panel(f"prediction: {score}", put="guessed", marked=True)]


def _panel(title: str, put: str = "home", marked: bool = False, **voxels: Any) -> dict[str, Any]:
    """A picture: where pieces are put in it, whether right and wrong are marked.

    ``voxels``: which "set" of them is drawn, and the "colours" of bytes that are no greys.
    """
    return {"title": title, "put": put, "marked": marked, "set": 0, "colours": {}} | voxels


# ---- a patch that is sought from those before it -----------------------------------------------


def _patches(volumes: Tensor, batch: ProxyBatch, scan: int, prediction: Any, channel: int) -> Scene:
    """The pyramid of patches, the place asked about, and the guess where it lies.

    Patches overlap. So of each patch its middle is drawn, as wide as patches are apart.
    """
    asked = patch_question(batch, middle_question(batch, scan))
    views = pieces_of(batch, scan)
    edge = cell_edge([piece.centre for piece in views], views[0].image.shape[1:])
    cells = [inner_part(piece, edge) for piece in views]
    shown = [*asked.context, asked.start]
    drawn = [cells[number] for number in shown]
    message = [_patch_message(cells[number], asked) for number in shown]
    drawn.append(cells[asked.target])
    message.append(
        {"right": None, "says": patch_told(cells[asked.target], asked), "badge": "?"}
        | {"colour": ASKED_COLOUR, "ghost": True}
    )
    if prediction is not None:
        _add_guess(drawn, message, shown, asked, _guess_for(batch, asked, prediction), batch, edge)
    size = drawn[0].image.shape[1:]
    low, space = _frame(views)
    matrices = [_shifted(cell.matrix, -low) for cell in drawn]
    far = apart(matrices, size, room_for(matrices, size))
    for each, near, away in zip(message, matrices, far, strict=True):
        each["shown"] = each["home"] = [near.tolist(), away.tolist()]
    shades = _shades(volumes[scan, channel], drawn, [[cell.image[channel] for cell in drawn]])
    scene = {
        "pieces": message,
        "panels": [_panel("", marked=prediction is not None)],
        "legend": question_legend(asked) + (PREDICTION_LEGEND if prediction is not None else []),
        "framed": {"shown": True, "home": True},
        "turned": False,
        "overlap": True,  # so many small names would hide the patches
        "hint": f"{HINT}. Patches overlap: of each, its middle is drawn.",
    }
    return Scene(scene | _common(batch, len(drawn), size, space, False), shades.tobytes())


def _frame(views: list[Piece]) -> tuple[np.ndarray, list[int]]:
    """The box of the whole grid: its first voxel in the scan, and its size in voxels.

    It is the frame in which a question is drawn: in a whole head it would be small.
    """
    corners = np.concatenate([piece.corners for piece in views])
    low, high = corners.min(0), corners.max(0)
    return low + 0.5, np.rint(high - low).astype(int).tolist()


def _shifted(matrix: np.ndarray, way: np.ndarray) -> np.ndarray:
    moved_to = matrix.copy()
    moved_to[:3, 3] += way
    return moved_to


def _patch_message(piece: Piece, asked: PatchQuestion) -> dict[str, Any]:
    return {
        "right": None,
        "says": patch_told(piece, asked),
        "badge": badge(piece),
        "colour": START_COLOUR if piece.number == asked.start else CONTEXT_COLOUR,
        "tinted": True,
    }


def _guess_for(batch: ProxyBatch, asked: PatchQuestion, prediction: Any) -> int:
    """The view that was chosen for a question, as the batch's target numbers them.

    Raises:
        InputError: it is neither one view of the batch, nor one for each question.
    """
    numbers = np.atleast_1d(as_numpy(prediction)).ravel()
    most = batch.views.shape[0] * batch.views.shape[1]
    fits = len(numbers) in (1, len(batch.target)) and ((numbers >= 0) & (numbers < most)).all()
    if not fits:
        raise InputError(
            f"prediction must be one patch from 0 to {most - 1} for each of the batch's "
            f"{len(batch.target)} questions, such as task(encoder, batch).argmax(1), or the one "
            "for the question that is drawn"
        )
    return int(numbers[asked.number if len(numbers) > 1 else 0])


def _add_guess(
    drawn: list[Piece],
    message: list[dict[str, Any]],
    shown: list[int],
    asked: PatchQuestion,
    guess: int,
    batch: ProxyBatch,
    edge: np.ndarray,
) -> None:
    """Mark the patch that was chosen, where it lies; beside the scan if it is another scan's, where
    no compass stands."""
    other, number = divmod(guess, batch.views.shape[1])
    right = guess == int(batch.target[asked.number])
    told = f"predicted: {found_told(batch, asked.number, guess)}"
    marked = {"right": right, "says": f"{told}, {right_or_wrong(right)}"}
    if other == asked.scan and number in shown:
        message[shown.index(number)] |= marked
        return
    piece = inner_part(pieces_of(batch, other)[number], edge)
    if other != asked.scan:
        near = min(cell.corners[:, 0].min() for cell in pieces_of(batch, asked.scan))
        centre = np.array([near - 2 * edge[0], *drawn[-1].centre[1:]])
        piece = replace(piece, matrix=moved(piece.matrix, piece.image.shape[1:], centre))
    if right:  # it fills the place that was asked about
        drawn.pop()
        message.pop()
    drawn.append(piece)
    message.append(marked | {"badge": badge(piece), "colour": WRONG_COLOUR})


# ---- voxels that are asked about ---------------------------------------------------------------


def _voxels(volumes: Tensor, batch: ProxyBatch, scan: int, prediction: Any, channel: int) -> Scene:
    """The scan as the network gets it beside the truth, and beside what was predicted."""
    (piece,), space = pieces_of(batch, scan), volumes.shape[2:]
    classes, names = voxel_classes(batch, scan) or (np.zeros(0), [])
    titles, maps = ["as the network sees it", "truth"], [as_numpy(batch.target[scan])]
    if prediction is not None:
        maps.append(_checked_voxels(batch, scan, prediction))
        titles.append(f"prediction: {voxels_told(batch, scan, maps[1])}")
    if HIDDEN_NAME in names:
        shown, hidden = piece.image[channel], classes == 1
        images = [shown, *(np.where(hidden, values[0, channel], shown) for values in maps)]
        shades = _shades(volumes[scan, channel], [piece], [[each] for each in images])
        shades = np.minimum(shades, _MARKED - 1)
        shades[0, 0][hidden] = _MARKED
        colours = [{_MARKED: class_colour(1, HIDDEN_NAME)}, {}, {}]
    else:
        grey = _shades(volumes[scan, channel], [piece], [[piece.image[channel]]])
        shades = np.concatenate([grey, np.stack(maps).astype(np.uint8)])
        own = {0: "#000000"} | {n: class_colour(n, name) for n, name in enumerate(names) if n}
        colours = [{}, own, own]
    legend = [(class_colour(n, name), False, name) for n, name in enumerate(names) if n]
    matrix = [piece.matrix.tolist()] * 2
    says = "the box that the network is shown"
    whole = {"shown": matrix, "home": matrix, "right": None, "says": says, "badge": badge(piece)}
    scene = {
        "pieces": [whole | {"colour": piece.colour}],
        "panels": [
            _panel(title, set=n, colours=_rgb(each))
            for n, (title, each) in enumerate(zip(titles, colours, strict=False))
        ],
        "legend": legend,
        "framed": {"shown": True, "home": True},
        "turned": False,
        "overlap": False,
        "hint": "Drag to turn it. The slider goes through it.",
    }
    return Scene(scene | _common(batch, 1, piece.image.shape[1:], space, False), shades.tobytes())


def _rgb(colours: dict[int, str]) -> dict[int, list[int]]:
    """Colours as puzzle3d.js paints them: red, green and blue, by byte."""
    return {byte: [int(c[n : n + 2], 16) for n in (1, 3, 5)] for byte, c in colours.items()}


def _checked_voxels(batch: ProxyBatch, scan: int, prediction: Any) -> np.ndarray:
    """A prediction of voxels, with the target's shape.

    Raises:
        InputError: it has another shape.
    """
    values, wanted = as_numpy(prediction), tuple(batch.target.shape[1:])
    if values.shape != wanted:
        raise InputError(
            f"prediction has shape {values.shape}, but what is asked has {wanted}: give "
            "task(encoder, batch)[scan], and of classes its argmax(-1)"
        )
    return values

"""Where the pieces of a puzzle can be: as shown, put back, apart, and where a network puts them.

Every place is a matrix, piece voxel → scan voxel, so that a view has only to draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.pieces import Piece, box_corners, piece_labels, pieces_of
from ssl3d_lite.show.words import answer_name, orders_of, piece_told, right_or_wrong
from ssl3d_lite.tasks import ProxyBatch
from ssl3d_lite.tasks.geometry import quarter_turns, turn_matrix

MIN_ROOM = 1.9  # distance from piece to piece when they are apart, in edges of a piece
SHELF_ROOM = 1.5  # the same for pieces on the shelf that are not apart


@dataclass(frozen=True)
class Places:
    """Where a piece can be: (4, 4) matrices, piece voxel → scan voxel.

    ``box_corners(matrix, size)`` gives its box there.
    """

    shown: np.ndarray  # as the network gets it: in a cell, or on a shelf
    home: np.ndarray  # put back to where it was cut from, and turned back
    predicted: np.ndarray | None = None  # put where the network says that it belongs
    correct: bool | None = None  # whether that is home; None if the piece has no label
    caption: str = ""


def places(
    batch: ProxyBatch, scan: int = 0, prediction: int | Sequence[int] | Tensor | None = None
) -> list[Places]:
    """Where each of a scan's pieces is shown, at home and predicted, the pieces still together.

    In a grid, view v is shown in cell v. Other views are shown on a shelf before the reader. Views
    that share one box (turned copies, an exemplar and its copy) stay on the shelf when they are
    put back, and are turned back there: in the scan they would hide each other.

    Args:
        prediction: a network's prediction: the order of a puzzle's cells, or a number for each
            view that has a label.

    Raises:
        InputError: a prediction that does not fit, or that has no place in space.
    """
    views = pieces_of(batch, scan)
    size = np.array(views[0].image.shape[1:])
    if len(views) == 1:
        spots = [Places(views[0].matrix, views[0].matrix)]
    elif views[0].home is not None:
        spots = _in_cells(views)
    else:
        spots = _on_shelf(views, size)
    turned = _are_turns(views)
    spots = [replace(s, caption=_caption(p, batch)) for s, p in zip(spots, views, strict=True)]
    if prediction is None:
        return spots
    numbers = check_prediction(prediction, batch, views, scan)
    if views[0].home is not None:
        return _predicted_order(views, spots, numbers)
    if turned:
        return _predicted_turns(views, spots, numbers, batch)
    return _predicted_places(views, spots, numbers, batch)


def moved(matrix: np.ndarray, size: Sequence[int], centre: np.ndarray) -> np.ndarray:
    """A piece's matrix, moved so that the middle of its box is at ``centre``."""
    result = np.array(matrix, np.float64)
    result[:3, 3] = centre - result[:3, :3] @ (np.asarray(size) - 1) / 2
    return result


def centre_of(matrix: np.ndarray, size: Sequence[int]) -> np.ndarray:
    return box_corners(matrix, size).mean(0)


def apart(matrices: Sequence[np.ndarray], size: Sequence[int], room: float) -> list[np.ndarray]:
    """The matrices of boxes moved away from their common middle, ``room`` times as far."""
    centres = np.array([centre_of(m, size) for m in matrices])
    middle = centres.mean(0)
    return [
        moved(m, size, middle + room * (centre - middle))
        for m, centre in zip(matrices, centres, strict=True)
    ]


def room_for(matrices: Sequence[np.ndarray], size: Sequence[int]) -> float:
    """How many times as far apart boxes must be to have ``MIN_ROOM``; ``MIN_ROOM`` at least."""
    centres = np.array([centre_of(m, size) for m in matrices])
    gaps = np.abs(centres[:, None] - centres).max(-1)  # (piece, piece)
    gaps = gaps[gaps > 1e-6]
    return MIN_ROOM * max(1.0, max(size) / float(gaps.min())) if len(gaps) else MIN_ROOM


def _in_cells(views: list[Piece]) -> list[Places]:
    centre = {piece.home: piece.centre for piece in views}
    return [
        Places(moved(piece.matrix, piece.image.shape[1:], centre[piece.number]), piece.matrix)
        for piece in views
    ]


def _on_shelf(views: list[Piece], size: np.ndarray) -> list[Places]:
    centres = np.array([piece.centre for piece in views])
    near = np.abs(centres[:, None] - centres).max(-1) < size.max()
    shared = near.sum() > len(views)
    extent = max(np.ptp(piece.corners, axis=0).max() for piece in views)
    slots = shelf(len(views), SHELF_ROOM * max(extent, size.max())) + centres.mean(0)
    upright = np.eye(4)
    return [
        Places(
            moved(upright, size, slot), moved(piece.matrix, size, slot) if shared else piece.matrix
        )
        for piece, slot in zip(views, slots, strict=True)
    ]


def shelf(count: int, pitch: float) -> np.ndarray:
    """The middles of ``count`` slots about 0, row by row as seen from the front: (count, 3)."""
    columns = int(np.ceil(np.sqrt(count)))
    row, column = np.divmod(np.arange(count), columns)
    # from the front, the patient's right (+x) is on the reader's left
    slots = np.stack([-column, 0 * row, -row], 1).astype(np.float64)
    return pitch * (slots - (slots.max(0) + slots.min(0)) / 2)


# ---- what a network predicted ------------------------------------------------------------------


def check_prediction(
    prediction: int | Sequence[int] | Tensor, batch: ProxyBatch, views: list[Piece], scan: int
) -> list[int]:
    """The prediction as a list: the order of the cells, or a number for each view with a label.

    Raises:
        InputError: it does not fit, or the labels of these views have no place in space.
    """
    labels = piece_labels(batch, scan)
    numbers = np.atleast_1d(np.asarray(torch.as_tensor(prediction).cpu())).astype(int).tolist()
    orders = orders_of(batch)
    if orders is not None and len(numbers) == 1 and 0 <= numbers[0] < len(orders):
        return orders[numbers[0]].tolist()
    if views[0].home is not None and None in labels:
        if sorted(numbers) != list(range(len(views))):
            raise InputError(
                f"prediction must be an order of the {len(views)} cells, each once, but is "
                f"{numbers}; for permutation n of a jigsaw give n, or task.permutations[n].tolist()"
            )
        return numbers
    choices = len(quarter_turns(3)) if _are_turns(views) else 26 if _are_places(views) else 0
    if not choices:
        raise InputError(
            "a prediction can be shown for orders of a grid, for places about a first patch and "
            "for quarter turns; the labels of these views are none of these: leave it out"
        )
    if len(numbers) != len(labels) or not all(0 <= n < choices for n in numbers):
        raise InputError(
            f"prediction must be {len(labels)} numbers from 0 to {choices - 1}, one for each view "
            f"that has a label, but is {numbers}"
        )
    return numbers


def _linear_turn(number: int) -> np.ndarray:
    return turn_matrix(*quarter_turns(3)[number], edge=1, dims=3).numpy()[:3, :3]


def _are_turns(views: list[Piece]) -> bool:
    """Whether each view is turned as its label says: then a prediction can be turned back too."""
    return all(
        piece.label is not None
        and piece.label < len(quarter_turns(3))
        and np.allclose(piece.matrix[:3, :3], _linear_turn(piece.label))
        for piece in views
    )


def _offset(place: int) -> np.ndarray:
    """From the middle cell of 3 x 3 x 3 to one of the 26 places, in cells."""
    return np.array(np.unravel_index(place + (place >= 13), (3, 3, 3))) - 1


def _are_places(views: list[Piece]) -> bool:
    """Whether all but the first view lie about it as their labels say."""
    first, *others = views
    if first.label is not None or not others:
        return False
    for piece in others:
        if piece.label is None or piece.label >= 26:
            return False
        way, offset = np.sign(piece.centre - first.centre), _offset(piece.label)
        if (way != offset)[offset != 0].any():
            return False
    return True


def _predicted_order(views: list[Piece], spots: list[Places], order: list[int]) -> list[Places]:
    centre = {piece.home: piece.centre for piece in views}
    return [
        replace(
            spot,
            predicted=moved(piece.matrix, piece.image.shape[1:], centre[cell]),
            correct=cell == piece.home,
            caption=_with_prediction(spot, f"cell {cell}", cell == piece.home),
        )
        for piece, spot, cell in zip(views, spots, order, strict=True)
    ]


def _predicted_turns(
    views: list[Piece], spots: list[Places], turns: list[int], batch: ProxyBatch
) -> list[Places]:
    result = []
    for piece, spot, number in zip(views, spots, turns, strict=True):
        size = piece.image.shape[1:]
        matrix = np.eye(4)
        matrix[:3, :3] = _linear_turn(number)
        correct = number == piece.label
        result.append(
            replace(
                spot,
                predicted=moved(matrix, size, centre_of(spot.home, size)),
                correct=correct,
                caption=_with_prediction(spot, answer_name(batch, number), correct),
            )
        )
    return result


def _predicted_places(
    views: list[Piece], spots: list[Places], predictions: list[int], batch: ProxyBatch
) -> list[Places]:
    first, *others = views
    size = np.array(first.image.shape[1:])
    away = np.array([np.abs(piece.centre - first.centre) for piece in others])
    across = np.array([_offset(piece.label) != 0 for piece in others])
    # from cell to cell; patches may be anywhere in their cells, so this is about right
    pitch = np.array([np.median(a[c]) if c.any() else e for a, c, e in zip(away.T, across.T, size)])
    result = [replace(spots[0], predicted=spots[0].home)]
    there: dict[int, int] = {}
    for piece, spot, number in zip(others, spots[1:], predictions, strict=True):
        correct = number == piece.label
        centre = piece.centre if correct else first.centre + _offset(number) * pitch
        centre = centre + 0.3 * size * there.get(number, 0)  # lest one hide another
        there[number] = there.get(number, 0) + 1
        result.append(
            replace(
                spot,
                predicted=moved(piece.matrix, size, centre),
                correct=correct,
                caption=_with_prediction(spot, answer_name(batch, number), correct),
            )
        )
    return result


def _with_prediction(spot: Places, said: str, correct: bool) -> str:
    return f"{spot.caption}; predicted: {said}, {right_or_wrong(correct)}"


def _caption(piece: Piece, batch: ProxyBatch) -> str:
    """A piece in words; outside a grid also where it lies."""
    told = piece_told(piece, batch)
    if piece.home is not None:
        return told
    x, y, z = np.round(piece.centre).astype(int)
    return f"{told}; its middle is voxel ({x}, {y}, {z}) of the scan"

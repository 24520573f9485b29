"""Where the pieces of a puzzle can be: as shown, put back, apart, and where a network puts them.

All in matrices, piece voxel → scan voxel, so that a view has only to draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.pieces import Piece, answers, box_corners, pieces
from ssl3d_lite.show.words import turn_names
from ssl3d_lite.tasks import ProxyBatch
from ssl3d_lite.tasks.geometry import quarter_turns, turn_matrix

ROOM = 1.9  # from piece to piece when they are apart, in edges of a piece
SHELF = 1.5  # the same for pieces side by side that are not apart


@dataclass(frozen=True)
class Places:
    """Where a piece can be: (4, 4) matrices, piece voxel → scan voxel. Its box there is what
    ``box_corners(matrix, size)`` gives."""

    shown: np.ndarray  # as the network gets it: in a cell, or on a shelf
    home: np.ndarray  # put back to where it was cut from, turned back
    guessed: np.ndarray | None = None  # put where the network says it belongs
    right: bool | None = None  # whether that is home; None if the piece was not asked about
    says: str = ""  # what is to be said of the piece


def places(
    batch: ProxyBatch, scan: int = 0, guess: int | Sequence[int] | Tensor | None = None
) -> list[Places]:
    """Where each of a scan's pieces is shown, at home and guessed, the pieces still together.

    In a grid, view v is shown in cell v. Other views are shown on a shelf before the reader. Views
    that share one box (turned copies, an exemplar and its copy) stay on the shelf when they are
    put back, and are turned back there: in the scan they would hide each other.

    Args:
        guess: what a network answered: the order of a puzzle's cells, or a number for each view
            that has an answer.

    Raises:
        InputError: a guess that does not fit, or that has no place in space.
    """
    views = pieces(batch, scan)
    size = np.array(views[0].image.shape[1:])
    if len(views) == 1:
        spots = [Places(views[0].matrix, views[0].matrix)]
    elif views[0].home is not None:
        spots = _in_cells(views)
    else:
        spots = _on_shelf(views, size)
    turned = _are_turns(views)
    spots = [replace(s, says=_truth(p, turned)) for s, p in zip(spots, views, strict=True)]
    if guess is None:
        return spots
    numbers = check_guess(guess, batch, views, scan)
    if views[0].home is not None:
        return _guessed_order(views, spots, numbers)
    if turned:
        return _guessed_turns(views, spots, numbers)
    return _guessed_places(views, spots, numbers)


def moved(matrix: np.ndarray, size: Sequence[int], centre: np.ndarray) -> np.ndarray:
    """A piece's matrix, moved so that the middle of its box is at ``centre``."""
    result = np.array(matrix, np.float64)
    result[:3, 3] = centre - result[:3, :3] @ (np.asarray(size) - 1) / 2
    return result


def centre_of(matrix: np.ndarray, size: Sequence[int]) -> np.ndarray:
    return box_corners(matrix, size).mean(0)


def apart(matrices: Sequence[np.ndarray], size: Sequence[int], room: float) -> list[np.ndarray]:
    """Move boxes away from their common middle: ``room`` times as far as they were."""
    centres = np.array([centre_of(m, size) for m in matrices])
    middle = centres.mean(0)
    return [
        moved(m, size, middle + room * (centre - middle))
        for m, centre in zip(matrices, centres, strict=True)
    ]


def room_for(matrices: Sequence[np.ndarray], size: Sequence[int]) -> float:
    """How many times as far boxes must be to have ``ROOM``; at least ``ROOM`` times."""
    centres = np.array([centre_of(m, size) for m in matrices])
    gaps = np.abs(centres[:, None] - centres).max(-1)  # (piece, piece)
    gaps = gaps[gaps > 1e-6]
    return ROOM * max(1.0, max(size) / float(gaps.min())) if len(gaps) else ROOM


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
    slots = shelf(len(views), SHELF * max(extent, size.max())) + centres.mean(0)
    upright = np.eye(4)
    return [
        Places(
            moved(upright, size, slot), moved(piece.matrix, size, slot) if shared else piece.matrix
        )
        for piece, slot in zip(views, slots, strict=True)
    ]


def shelf(count: int, pitch: float) -> np.ndarray:
    """Middles of ``count`` slots about 0, seen from the front row by row: (count, 3)."""
    columns = int(np.ceil(np.sqrt(count)))
    row, column = np.divmod(np.arange(count), columns)
    # from the front, the patient's right (+x) is on the reader's left
    slots = np.stack([-column, 0 * row, -row], 1).astype(np.float64)
    return pitch * (slots - (slots.max(0) + slots.min(0)) / 2)


# ---- what a network guessed --------------------------------------------------------------------


def check_guess(
    guess: int | Sequence[int] | Tensor, batch: ProxyBatch, views: list[Piece], scan: int
) -> list[int]:
    """The guess as a list: of a puzzle's cells, or one number for each view that has an answer.

    Raises:
        InputError: it does not fit, or these views have no answer that has a place in space.
    """
    told = answers(batch, scan)
    numbers = np.atleast_1d(np.asarray(torch.as_tensor(guess).cpu())).astype(int).tolist()
    if views[0].home is not None and None in told:
        if sorted(numbers) != list(range(len(views))):
            raise InputError(
                f"guess must be an order of the {len(views)} cells, each once, but is {numbers}; "
                "for permutation n of a jigsaw give task.permutations[n].tolist()"
            )
        return numbers
    choices = len(quarter_turns(3)) if _are_turns(views) else 26 if _are_places(views) else 0
    if not choices:
        raise InputError(
            "guess can be shown for orders of a grid, for places about a first patch and for "
            "quarter turns; these views have none of these answers, so leave guess out"
        )
    if len(numbers) != len(told) or not all(0 <= n < choices for n in numbers):
        raise InputError(
            f"guess must be {len(told)} numbers from 0 to {choices - 1}, one for each view that "
            f"has an answer, but is {numbers}"
        )
    return numbers


def _linear_turn(number: int) -> np.ndarray:
    return turn_matrix(*quarter_turns(3)[number], edge=1, dims=3).numpy()[:3, :3]


def _are_turns(views: list[Piece]) -> bool:
    """Whether each view is turned as its answer says: then a guess can be turned back too."""
    return all(
        piece.answer is not None
        and piece.answer < len(quarter_turns(3))
        and np.allclose(piece.matrix[:3, :3], _linear_turn(piece.answer))
        for piece in views
    )


def _offset(place: int) -> np.ndarray:
    """From the middle cell of 3 x 3 x 3 to one of the 26 places, in cells."""
    return np.array(np.unravel_index(place + (place >= 13), (3, 3, 3))) - 1


def _are_places(views: list[Piece]) -> bool:
    """Whether all but the first view lie about it as their answers say."""
    first, *others = views
    if first.answer is not None or not others:
        return False
    for piece in others:
        if piece.answer is None or piece.answer >= 26:
            return False
        way, offset = np.sign(piece.centre - first.centre), _offset(piece.answer)
        if (way != offset)[offset != 0].any():
            return False
    return True


def _guessed_order(views: list[Piece], spots: list[Places], order: list[int]) -> list[Places]:
    centre = {piece.home: piece.centre for piece in views}
    return [
        replace(
            spot,
            guessed=moved(piece.matrix, piece.image.shape[1:], centre[cell]),
            right=cell == piece.home,
            says=f"{spot.says}; guess: cell {cell}, {_verdict(cell == piece.home)}",
        )
        for piece, spot, cell in zip(views, spots, order, strict=True)
    ]


def _guessed_turns(views: list[Piece], spots: list[Places], turns: list[int]) -> list[Places]:
    result, names = [], turn_names(3)
    for piece, spot, number in zip(views, spots, turns, strict=True):
        size = piece.image.shape[1:]
        matrix = np.eye(4)
        matrix[:3, :3] = _linear_turn(number)
        right = number == piece.answer
        result.append(
            replace(
                spot,
                guessed=moved(matrix, size, centre_of(spot.home, size)),
                right=right,
                says=f"{spot.says}; guess: turn {number} ({names[number]}), {_verdict(right)}",
            )
        )
    return result


def _guessed_places(views: list[Piece], spots: list[Places], guesses: list[int]) -> list[Places]:
    first, *others = views
    size = np.array(first.image.shape[1:])
    away = np.array([np.abs(piece.centre - first.centre) for piece in others])
    across = np.array([_offset(piece.answer) != 0 for piece in others])
    # from cell to cell; patches may be anywhere in their cells, so this is about right
    pitch = np.array([np.median(a[c]) if c.any() else e for a, c, e in zip(away.T, across.T, size)])
    result = [replace(spots[0], guessed=spots[0].home)]
    there: dict[int, int] = {}
    for piece, spot, number in zip(others, spots[1:], guesses, strict=True):
        right = number == piece.answer
        centre = piece.centre if right else first.centre + _offset(number) * pitch
        centre = centre + 0.3 * size * there.get(number, 0)  # lest one hide another
        there[number] = there.get(number, 0) + 1
        result.append(
            replace(
                spot,
                guessed=moved(piece.matrix, size, centre),
                right=right,
                says=f"{spot.says}; guess: place {number}, {_verdict(right)}",
            )
        )
    return result


def _verdict(right: bool) -> str:
    return "right ✓" if right else "wrong ✗"


def _truth(piece: Piece, turned: bool) -> str:
    """What is to be said of a piece."""
    if piece.home is not None and piece.home != piece.number:
        return f"Piece {piece.number}: shown in cell {piece.number}, cut from cell {piece.home}"
    if piece.home is not None:
        return f"Patch {piece.number} of the grid"
    answer = f"; answer {piece.answer}" if piece.answer is not None else ""
    answer += f" ({turn_names(3)[piece.answer]})" if turned else ""
    x, y, z = np.round(piece.centre).astype(int)
    return f"View {piece.number}: its middle is voxel ({x}, {y}, {z}) of the scan{answer}"

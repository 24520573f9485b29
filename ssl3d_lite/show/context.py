"""CPC's questions, as all figures and views draw them: from which patches, which patch is sought.

They are read from the batch alone: where each prediction starts (``ProxyBatch.asked_from``), what
it has to find, and how the grid is gone through.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ssl3d_lite.tasks import ProxyBatch

from .pieces import Piece, badge, scan_colour
from .words import rows_told

CONTEXT_COLOUR = scan_colour(3)  # the pyramid, and
START_COLOUR = scan_colour(0)  # the patch at its tip
ASKED_COLOUR = scan_colour(2)  # the place that is asked about: dashed, with a "?"


@dataclass(frozen=True)
class PatchQuestion:
    """One prediction. Patches have the numbers of the scan's pieces."""

    number: int  # its place in the batch's target
    scan: int
    start: int  # the patch from which the prediction is made
    context: tuple[int, ...]  # the pyramid above it, which the context sums up too
    target: int  # the patch that has to be found
    rows_ahead: int


def asks_for_patches(batch: ProxyBatch) -> bool:
    """Whether the batch's questions are such: a patch of a grid is sought from one before it."""
    return batch.asked_from is not None and batch.placement.direction is not None


def patch_question(batch: ProxyBatch, number: int) -> PatchQuestion:
    """The question ``number`` of a batch, as its target numbers them."""
    assert batch.asked_from is not None
    views = batch.views.shape[1]
    scan, start = divmod(int(batch.asked_from[number]), views)
    target = int(batch.target[number]) % views
    rows = row_numbers(batch)
    context = pyramid_above(batch, start)
    return PatchQuestion(number, scan, start, context, target, rows[target] - rows[start])


def middle_question(batch: ProxyBatch, scan: int = 0) -> int:
    """The question of a scan that is drawn where one is enough: with the most context, from the
    middle of its row, the fewest rows ahead."""

    def rank(number: int) -> tuple[float, ...]:
        each = patch_question(batch, number)
        cell = np.unravel_index(each.start, grid)
        aside = [abs(int(c) - n // 2) for a, (c, n) in enumerate(zip(cell, grid)) if a != along]
        return (sum(aside), each.rows_ahead, -len(each.context))

    grid, (along, _) = batch.placement.grid, batch.placement.direction or (0, False)
    assert batch.asked_from is not None
    own = (batch.asked_from // batch.views.shape[1] == scan).nonzero()[:, 0].tolist()
    return min(own, key=rank)


def row_numbers(batch: ProxyBatch) -> list[int]:
    """The row of each patch of the grid, in the order in which the grid is gone through."""
    (axis, backwards), grid = batch.placement.direction or (0, False), batch.placement.grid
    row = np.unravel_index(np.arange(np.prod(grid)), grid)[axis]
    return (grid[axis] - 1 - row if backwards else row).tolist()


def pyramid_above(batch: ProxyBatch, start: int) -> tuple[int, ...]:
    """The patches before ``start`` that its context sums up: each row one patch wider."""
    placement = batch.placement
    axis = placement.direction[0] if placement.direction else 0
    row = np.array(row_numbers(batch))
    cells = np.stack(np.unravel_index(np.arange(len(row)), placement.grid), 1)
    before = row[start] - row
    beside = np.abs(np.delete(cells - cells[start], axis, 1)).max(1, initial=0)
    seen = len(row) if placement.rows_seen is None else placement.rows_seen
    return tuple(np.flatnonzero((before > 0) & (before <= seen) & (beside <= before)).tolist())


def patch_told(piece: Piece, asked: PatchQuestion) -> str:
    """What a patch is to a question, in a line."""
    patch = f"patch {badge(piece)}, row {piece.layer}"
    if piece.number == asked.target:
        return f"the place that is asked about, {rows_told(asked.rows_ahead)}: {patch}"
    if piece.number == asked.start:
        return f"{patch}: the patch from which the prediction is made"
    return f"{patch}: part of its context"


def question_legend(asked: PatchQuestion) -> list[tuple[str, bool, str]]:
    """The parts of a question: colour, whether the line is dashed, text."""
    return [
        (CONTEXT_COLOUR, False, "the context: a pyramid of patches"),
        (START_COLOUR, False, "the patch at its tip"),
        (ASKED_COLOUR, True, f"? the place asked about, {rows_told(asked.rows_ahead)}"),
    ]


def cell_edge(centres: Sequence[np.ndarray], patch: Sequence[int]) -> np.ndarray:
    """From one patch of a grid to the next, in voxels along each axis: (D,).

    Patches overlap; a box of this size in the middle of each does not. Along an axis with one patch
    it is the patch's own edge, but no longer than along the others.
    """
    steps = [np.diff(np.unique(along.round(3))) for along in np.stack(centres).T]
    known = [float(step.min()) for step in steps if len(step)]
    return np.array(
        [
            step.min() if len(step) else min([*known, edge])
            for step, edge in zip(steps, patch, strict=True)
        ]
    )

"""The pieces of a puzzle, as all figures and views draw them: voxels, place, label and home.

They are read from ``ProxyBatch.views``, ``.placement`` and ``.target`` alone, so no figure or view
needs to know the task.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from torch import Tensor

from ssl3d_lite.tasks import ProxyBatch

# Okabe and Ito's, which colour-blind readers can tell apart
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
CORRECT_COLOUR, WRONG_COLOUR = COLOURS[2], COLOURS[1]  # ✓ and ✗ say it too


@dataclass(frozen=True)
class Piece:
    """One view of a scan, as the network gets it."""

    number: int  # its position among the scan's views; in a grid also the cell it is shown in
    image: np.ndarray  # float32 (channel, *space)
    matrix: np.ndarray  # (D+1, D+1): piece voxel → voxel of the scan
    label: int | None  # what the network should predict of it; None where that is no number
    home: int | None  # the cell it was cut from; None where the views form no grid

    @property
    def colour(self) -> str:
        return COLOURS[self.number % len(COLOURS)]

    @property
    def corners(self) -> np.ndarray:
        """Corners of its box in voxels of the scan: (2^D, D)."""
        return box_corners(self.matrix, self.image.shape[1:])

    @property
    def centre(self) -> np.ndarray:
        """The middle of its box in voxels of the scan: (D,)."""
        return self.corners.mean(0)


def pieces_of(batch: ProxyBatch, scan: int = 0) -> list[Piece]:
    """All views of one scan of the batch, in the order in which the network gets them."""
    views = batch.views[scan].float().cpu().numpy()
    matrices = batch.placement.matrix[scan].double().cpu().numpy()
    labels, homes = piece_labels(batch, scan), home_cells(batch, scan)
    return [
        Piece(number, image, matrix, labels.get(number), homes[number] if homes else None)
        for number, (image, matrix) in enumerate(zip(views, matrices, strict=True))
    ]


def piece_labels(batch: ProxyBatch, scan: int = 0) -> dict[int | None, int]:
    """A view's number → its label; {} where the labels of a scan are no whole numbers.

    One label for all views together has the key None. Where there are fewer labels than views, the
    first views have none: the others are compared with them.
    """
    target, views = batch.target, batch.views.shape[1]
    if target.ndim != 2 or target.is_floating_point():
        return {}
    numbers = target[scan].tolist()
    if len(numbers) == 1 < views:
        return {None: numbers[0]}
    return dict(zip(range(views - len(numbers), views), numbers, strict=True))


def home_cells(batch: ProxyBatch, scan: int = 0) -> list[int]:
    """The cell of the grid that each view was cut from, last axis fastest; [] if there is no grid.

    View v is shown in cell v, so in a shuffled puzzle the two differ.
    """
    grid = batch.placement.grid
    if not grid:
        return []
    matrix, size = batch.placement.matrix[scan].double().cpu(), batch.views.shape[3:]
    centres = np.array([box_corners(each, size).mean(0) for each in matrix])
    # with or without jitter, the layers of a grid do not overlap: the rank gives the layer
    layer = centres.argsort(0, kind="stable").argsort(0) * np.array(grid) // len(centres)
    return np.ravel_multi_index(tuple(layer.T), grid).tolist()


def box_corners(matrix: Tensor | np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The corners of a view's box in voxels of the scan: (2^D, D).

    The box goes to the borders of its outermost voxels, not only to their centres.
    """
    ends = [(-0.5, edge - 0.5) for edge in size]
    corners = np.array([(*corner, 1) for corner in product(*ends)])
    return (corners @ np.asarray(matrix, np.float64).T)[:, :-1]

"""What a puzzle shows, for every kind of view: its pieces, where each lies, and what was asked.

Read from ``ProxyBatch.views`` and ``.placement`` alone: no view needs to know the task.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from torch import Tensor

from ssl3d_lite.tasks import ProxyBatch

# Okabe and Ito's, which colour-blind readers can tell apart
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


@dataclass(frozen=True)
class Piece:
    """One view of a scan, as the network gets it."""

    number: int  # among the scan's views; in a grid also the cell it is shown in
    image: np.ndarray  # float32 (channel, *space)
    matrix: np.ndarray  # (D+1, D+1): piece voxel → voxel of the scan
    answer: int | None  # what the network should say of it, where that is a number
    home: int | None  # in a grid, the cell it was cut from

    @property
    def colour(self) -> str:
        return COLOURS[self.number % len(COLOURS)]

    @property
    def corners(self) -> np.ndarray:
        """Corners of its box in scan voxels: (2^D, D)."""
        return box_corners(self.matrix, self.image.shape[1:])

    @property
    def centre(self) -> np.ndarray:
        """The middle of its box in scan voxels: (D,)."""
        return self.corners.mean(0)


def pieces(batch: ProxyBatch, scan: int = 0) -> list[Piece]:
    """All views of one scan of the batch, in the order the network gets them."""
    views = batch.views[scan].float().cpu().numpy()
    matrices = batch.placement.matrix[scan].double().cpu().numpy()
    told, homes = answers(batch, scan), cells(batch, scan)
    return [
        Piece(number, image, matrix, told.get(number), homes[number] if homes else None)
        for number, (image, matrix) in enumerate(zip(views, matrices, strict=True))
    ]


def answers(batch: ProxyBatch, scan: int = 0) -> dict[int | None, int]:
    """View → its answer, where a scan's answers are numbers. One answer to all views has the key
    None; where there are fewer answers than views, the first views are only to compare with."""
    target, views = batch.target, batch.views.shape[1]
    if target.ndim != 2 or target.is_floating_point():
        return {}
    numbers = target[scan].tolist()
    if len(numbers) == 1 < views:
        return {None: numbers[0]}
    return dict(zip(range(views - len(numbers), views), numbers, strict=True))


def cells(batch: ProxyBatch, scan: int = 0) -> list[int]:
    """Of a grid's views, the cell that each was cut from, last axis fastest; [] if there is no
    grid. View v is shown in cell v, so in a shuffled puzzle the two differ."""
    grid = batch.placement.grid
    if not grid:
        return []
    matrix, size = batch.placement.matrix[scan].double().cpu(), batch.views.shape[3:]
    centres = np.array([box_corners(each, size).mean(0) for each in matrix])
    # along each axis the layers of a grid keep apart, jitter or not: rank tells the layer
    layer = centres.argsort(0, kind="stable").argsort(0) * np.array(grid) // len(centres)
    return np.ravel_multi_index(tuple(layer.T), grid).tolist()


def box_corners(matrix: Tensor | np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The corners of a view's box in scan voxels: (2^D, D). Voxel borders, not centres."""
    ends = [(-0.5, edge - 0.5) for edge in size]
    corners = np.array([(*corner, 1) for corner in product(*ends)])
    return (corners @ np.asarray(matrix, np.float64).T)[:, :-1]

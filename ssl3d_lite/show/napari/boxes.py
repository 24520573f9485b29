"""Boxes as vectors of napari: their edges in 3D, and where a plane cuts them in 2D."""

from collections.abc import Sequence

import numpy as np


def edges(corners: np.ndarray) -> np.ndarray:
    """A box's edges as napari's vectors, (edge, 2, D): a start and a way for each."""
    numbers = range(len(corners))
    pairs = [(a, b) for a in numbers for b in numbers if a < b and (a ^ b).bit_count() == 1]
    start, end = corners[np.array(pairs).T]
    return np.stack([start, end - start], 1)


def box_outline(corners: np.ndarray, axis: int | None, place: float) -> np.ndarray:
    """The vectors that draw a box where the plane across ``axis`` at ``place`` is shown.

    There are always as many vectors as the box has edges, so that their colours need not change:
    an outline with fewer sides is drawn more than once. A box that the plane does not cut lies
    flat at its own middle, out of sight.
    """
    lines = edges(corners)
    if axis is None:
        return lines
    start, way = lines[:, 0, axis], lines[:, 1, axis]
    crosses = (start < place) != (start + way < place)
    if not crosses.any():
        lines[:, 0, axis], lines[:, 1, axis] = corners[:, axis].mean(), 0
        return lines
    share = (place - start[crosses]) / way[crosses]
    points = lines[crosses, 0] + share[:, None] * lines[crosses, 1]
    flat = np.delete(points - points.mean(0), axis, 1)
    points = points[np.argsort(np.arctan2(flat[:, 1], flat[:, 0]))]  # a convex outline
    points[:, axis] = place
    sides = np.stack([points, np.roll(points, -1, 0) - points], 1)
    return sides[np.arange(len(lines)) % len(sides)]


def first_box_hit(
    matrices: np.ndarray, size: Sequence[int], start: np.ndarray, way: np.ndarray
) -> int | None:
    """Number of the first box on a ray, or None.

    Args:
        matrices: (box, D+1, D+1), voxel of a box → world.
        size: of all boxes, voxels.
        start: a point of the ray, in the world.
        way: where it leads; boxes behind the start count too, as the mouse's place has no depth.
    """
    entered = {}
    for number, matrix in enumerate(matrices):
        back = np.linalg.inv(matrix)
        at, along = (back @ [*start, 1])[:-1], back[:-1, :-1] @ way
        along = np.where(np.abs(along) < 1e-9, 1e-9, along)
        ends = np.sort([(-0.5 - at) / along, (np.array(size) - 0.5 - at) / along], 0)
        if ends[0].max() <= ends[1].min():
            entered[number] = ends[0].max()
    return min(entered, key=entered.__getitem__) if entered else None

"""Label maps on another grid: which class fills most of each voxel there.

A mean of classes is no class, and the nearest voxel is not enough: where voxels become coarser it
is one of many, and where a centre lies between two voxels it must be one side's, always the same,
so that all labels move.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage
from scipy.sparse import csr_array

NARROW = 1e-3  # width, in old voxels, of a new one's centre: on a border it lies in two of them
CENTRE = 1e-3  # how much more the centre counts: it settles which of equal shares wins
ROUNDING = 1e-5  # by which equal shares may differ
LARGEST_PIECE = 2**23  # new voxels that are made at a time: memory does not grow with the map


def resample_labels(
    classes: np.ndarray, origin: Sequence[float], scale: Sequence[float], size: Sequence[int]
) -> np.ndarray:
    """A label map on a grid along the same axes, uint8 (*size).

    Each voxel gets the class that fills most of it. Of classes that fill as much, it gets the one
    at its centre, and if the centre lies between them, the one with the highest number: thin
    structures stay. Where voxels become finer, the class at their centre counts alone. What lies
    outside of the map is background.

    Args:
        classes: uint8 (*space).
        origin, scale: voxel i of the new grid has its centre at ``origin + scale * i``, in voxels
            of ``classes``.

    Example::

        resample_labels(classes, (0.5,) * 3, (2.0,) * 3, [n // 2 for n in classes.shape])
    """
    found = np.zeros(size, np.uint8)
    rows = max(1, LARGEST_PIECE // int(np.prod(size[1:])))
    for start in range(0, size[0], rows):
        stop = min(start + rows, size[0])
        first, last = (origin[0] + scale[0] * row for row in (start, stop - 1))
        seen = slice(max(0, int(first - scale[0])), max(0, int(last + scale[0]) + 2))
        if classes[seen].size:
            near, slab = (first - seen.start, *origin[1:]), (stop - start, *size[1:])
            found[start:stop] = _resample_slab(classes[seen], near, scale, slab)
    return found


def _resample_slab(
    classes: np.ndarray, origin: Sequence[float], scale: Sequence[float], size: Sequence[int]
) -> np.ndarray:
    overlaps = [_overlaps(*each) for each in zip(origin, scale, size, classes.shape, strict=True)]
    found = np.zeros(size, np.uint8)
    largest, background = np.zeros(size, np.float32), np.ones(size, np.float32)
    for number, box in enumerate(ndimage.find_objects(classes), start=1):
        reached = box and [_reached(overlap[:, part]) for overlap, part in zip(overlaps, box)]
        if not reached or not all(rows.stop for rows, _ in reached):
            continue  # no voxel of this class, or all outside
        place = tuple(rows for rows, _ in reached)
        share = _share(classes[box] == number, [overlap for _, overlap in reached])
        background[place] -= share
        wins = share >= np.maximum(largest[place] - ROUNDING, ROUNDING)
        found[place][wins] = number
        largest[place][wins] = share[wins]
    found[background > largest + ROUNDING] = 0
    return found


def _overlaps(origin: float, scale: float, size: int, length: int) -> csr_array:
    """Along one axis: the share of each new voxel (row) that lies in each old one (column)."""
    centres = origin + scale * np.arange(size)
    centre = _covered(centres, NARROW, length)
    if scale <= 1:
        return centre
    return (_covered(centres, scale, length) + CENTRE * centre) / (1 + CENTRE)


def _covered(centres: np.ndarray, width: float, length: int) -> csr_array:
    """The share of a stretch of ``width`` about each centre (row) that lies in each old voxel."""
    start = centres[:, None] + 0.5 - width / 2  # old voxel 0 begins at 0
    old = np.floor(start).astype(int) + np.arange(int(np.ceil(width)) + 1)
    shares = (np.minimum(start + width, old + 1) - np.maximum(start, old)) / width
    row, column = np.nonzero((shares > 0) & (old >= 0) & (old < length))
    entries = shares[row, column].astype(np.float32), (row, old[row, column])
    return csr_array(entries, shape=(len(centres), length))


def _reached(overlap: csr_array) -> tuple[slice, csr_array]:
    """The rows with an entry, which lie side by side, and these alone."""
    rows = np.flatnonzero(np.diff(overlap.indptr))
    place = slice(rows[0], rows[-1] + 1) if rows.size else slice(0, 0)
    return place, overlap[place]


def _share(mask: np.ndarray, overlaps: Sequence[csr_array]) -> np.ndarray:
    """How much of each new voxel a mask fills, float32."""
    share = mask.astype(np.float32)
    for axis, overlap in enumerate(overlaps):
        columns = np.moveaxis(share, axis, 0)
        filled = overlap @ columns.reshape(len(columns), -1)
        share = np.moveaxis(filled.reshape(-1, *columns.shape[1:]), 0, axis)
    return share

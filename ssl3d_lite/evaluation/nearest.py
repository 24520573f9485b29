"""Which scans, or which places in scans, are most alike by an encoder; and by intensity alone.

Intensity is the control: scans of one scanner have like histograms, so an encoder whose nearest
patients are those with the nearest histograms may have learnt the scanner, and no anatomy.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError

from .feature_maps import FeatureMaps, cell_middles, cells_of

CONTROL = "intensity"
BINS = 32  # a histogram has
ENDS = (0.5, 99.5)  # percentiles, over all scans, between which the bins lie


class PatchMatch(NamedTuple):
    """The place of a scan that is most like another scan's."""

    row: int  # among the maps
    voxel: tuple[int, ...]  # the middle of the cell, rounded down
    distance: float  # between standardised features


def intensity_histograms(cohort: Cohort, cases: Sequence[int]) -> np.ndarray:
    """Shares of voxels by intensity, each channel's own: (case, channel × bin)."""
    scans = [cohort.images([case])[0].flatten(1).cpu().numpy() for case in cases]
    rows = []
    for channel in range(len(cohort.channels)):
        low, high = np.percentile(np.concatenate([scan[channel] for scan in scans]), ENDS)
        edges = np.linspace(low, max(high, low + 1e-6), BINS + 1)
        counts = [np.histogram(scan[channel].clip(low, high), edges)[0] for scan in scans]
        rows.append(np.array(counts) / scans[0].shape[1])
    return np.concatenate(rows, 1)


def nearest_rows(vectors: np.ndarray, row: int, count: int) -> list[int]:
    """The rows of (row, feature) that are most like one of them, the likest first; not itself.

    Distances are Euclidean, each feature in units of its deviation over the rows.

    Raises:
        InputError: there is no such row.

    Example::

        nearest_rows(maps.embeddings, 0, 5)
    """
    if not 0 <= row < len(vectors):
        raise InputError(f"row {row} is not among the {len(vectors)}, from 0")
    spread = vectors.std(0)
    scaled = (vectors - vectors.mean(0)) / np.where(spread > 0, spread, np.inf)
    away = np.square(scaled - scaled[row]).sum(1)
    order = np.argsort(away, kind="stable")
    return [int(other) for other in order if other != row][:count]


def with_control(
    embeddings: Mapping[str, np.ndarray], cohort: Cohort, cases: Sequence[int]
) -> dict[str, np.ndarray]:
    """Vectors of scans by what they are told by: encoders' embeddings, and last the control."""
    return {**embeddings, CONTROL: intensity_histograms(cohort, cases)}


def nearest_places(
    maps: FeatureMaps, shapes: Sequence[Sequence[int]], row: int, voxel: Sequence[int]
) -> list[PatchMatch]:
    """In each other scan the place that is most like ``voxel`` of scan ``row``; the likest first.

    Args:
        shapes: of the scans, in voxels.

    Raises:
        InputError: there is no such voxel.
    """
    shape = shapes[row]
    if len(voxel) != len(shape) or not all(0 <= v < n for v, n in zip(voxel, shape)):
        size = " × ".join(map(str, shape))
        raise InputError(f"voxel {list(voxel)} is not in a scan of {size} voxels")
    cell = np.ravel_multi_index(
        tuple(int(place) // maps.stride for place in voxel), cells_of(shape, maps.stride)
    )
    asked = _flat(maps, row)[:, cell]
    found = []
    for other in range(len(maps)):
        if other == row:
            continue
        away = np.square(_flat(maps, other) - asked[:, None]).sum(0)
        nearest = int(away.argmin())
        middle = cell_middles(shapes[other], maps.stride)[nearest]
        place = tuple(int(edge) for edge in middle)
        found.append(PatchMatch(other, place, float(np.sqrt(away[nearest]))))
    return sorted(found, key=lambda match: match.distance)


def _flat(maps: FeatureMaps, row: int) -> np.ndarray:
    """A scan's standardised features: (feature, cell)."""
    return maps.standardised(row).reshape(len(maps.maps[row]), -1)

"""Which rings of the view of features are right, and for how many places they are.

The browser judges the rings of the one place that is pointed at. What it says beside each row comes
from here: how many rings are right if all labelled places of the first patient are asked. Both go
by the same two distances.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from ssl3d_lite.evaluation.feature_maps import cell_middles, cells_of

from .feature_cells import Frame, matches

MOST_PLACES = 2**12  # are asked; of more they are a share, spread evenly


@dataclass(frozen=True)
class Nearness:
    """How near a right ring is, in the cohort's unit."""

    label: float
    """Another patient's ring is right if it is less than this from the label that is asked."""
    place: float
    """The ring in a crop of the same scan is right if it is at most this far from the place."""


def nearness(spacings: Sequence[Sequence[float]], stride: int) -> Nearness:
    """A voxel's edge from a label, since a ring is the middle of a cell; and a cell's diagonal from
    a place, since cells of a crop lie between those of the scan."""
    widest = np.max(spacings, axis=0)
    return Nearness(float(widest.max()), float(np.linalg.norm(widest * stride)))


def asked_places(label: np.ndarray | None, scan: np.ndarray) -> np.ndarray:
    """Voxels to ask for: those with a label, or without labels all but air: (place, axis)."""
    found = np.argwhere(label if label is not None and label.any() else scan)
    return found[:: max(1, -(-len(found) // MOST_PLACES))]


def mean_of_moved(shares: Sequence[float | None]) -> float | None:
    """The mean share over all crops but the first, which has not been moved.

    Args:
        shares: what :meth:`RingJudge.in_crops` gives.

    Returns:
        None if no moved crop has a place.
    """
    known = [share for share in shares[1:] if share is not None]
    return float(np.mean(known)) if known else None


@dataclass(frozen=True)
class RingJudge:
    """Knows where the rings of the first patient's places should be.

    ``cells`` are a column's, for each patient and then for each frame: uint8 (cell, component).
    ``places`` are voxels of the first patient: (place, axis).
    """

    shapes: Sequence[Sequence[int]]
    spacings: Sequence[Sequence[float]]
    labels: Sequence[np.ndarray | None]
    """Of each patient, uint8 (*space); None where there are none."""
    frames: Sequence[Frame]
    stride: int

    @property
    def near(self) -> Nearness:
        return nearness(self.spacings, self.stride)

    def in_patients(self, cells: Sequence[np.ndarray], places: np.ndarray) -> float | None:
        """The share of right rings in the other patients; None if no label tells."""
        if self.labels[0] is None:
            return None
        asked, judged = self.labels[0][tuple(places.T)], []
        for number, label in enumerate(self.labels[1:], 1):
            if label is None:
                continue
            rings = self._rings(cells, places, number, self.shapes[number])
            for each in np.intersect1d(asked[asked > 0], label):
                known = cKDTree(np.argwhere(label == each) * self.spacings[number])
                off, _ = known.query(rings[asked == each] * self.spacings[number])
                judged.append(off < self.near.label)
        return float(np.concatenate(judged).mean()) if judged else None

    def in_crops(self, cells: Sequence[np.ndarray], places: np.ndarray) -> list[float | None]:
        """The share of right rings in each crop of the first patient; None if no place is in it."""
        shares = []
        for number, frame in enumerate(self.frames, len(self.shapes)):
            inside = ((places >= frame.corner) & (places < np.add(frame.corner, frame.size))).all(1)
            rings = self._rings(cells, places[inside], number, frame.size) + frame.corner
            off = np.linalg.norm((rings - places[inside]) * self.spacings[0], axis=1)
            shares.append(float((off <= self.near.place).mean()) if inside.any() else None)
        return shares

    def _rings(
        self, cells: Sequence[np.ndarray], places: np.ndarray, number: int, box: Sequence[int]
    ) -> np.ndarray:
        """Where the best match of each place is, in voxels of a box: (place, axis)."""
        grid = cells_of(self.shapes[0], self.stride)
        asked = np.ravel_multi_index(tuple(places.T // self.stride), grid)
        different, which = np.unique(asked, return_inverse=True)  # many places share a cell
        if not len(different):
            return np.empty((0, len(box)))
        found = matches(cells[0][different], cells[number])
        return cell_middles(box, self.stride)[found[which]]

"""Equivariance under shift: do features follow the anatomy when the crop is moved?

Two crops are cut from one scan, one a little further along every axis than the other. A voxel of
the anatomy then lies at another position in the second crop. Features of anatomy are the same at
the same anatomy; features that only tell the position in the crop, as padding makes it easy to
learn, are the same at the same position. The score says which of the two it is::

    score = P / (P + A)

where A is the mean squared distance between features at the same anatomy, and P at the same
position in the crop, both in units of each feature's deviation. It is 1 for a function of the
intensities alone, 0 for a function of the position alone, and 0.5 for noise that follows neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from ssl3d_lite.data.cohort import UNKNOWN_UNIT, Cohort, takes_cohort
from ssl3d_lite.errors import InputError

from .feature_maps import check_cases, cut_out, encoder_to_read
from .features import features_at

CHANCE = 0.5  # the score of features that follow neither anatomy nor position
SHIFT_SHARE = 6  # by default crops are moved by this part of each edge
SHIFT_VOXELS = 1000  # a scan, at which features are compared


@dataclass(frozen=True)
class Equivariance:
    """Whether features follow the anatomy, over some scans; distances in the cohort's unit."""

    score: float
    """1: the anatomy alone; 0: the position in the crop alone; 0.5: neither. NaN if no feature
    varies."""
    distance: float
    """Mean distance between a voxel and its best match in the moved crop. 0: each finds itself."""
    place_distance: float
    """The same of place alone: the length of the shift, since it finds the old position."""
    chance_distance: float
    """The same of a match that is drawn at random."""
    unit: str

    def __str__(self) -> str:
        unit = "" if self.unit == UNKNOWN_UNIT else f" {self.unit}"
        return (
            f"equivariance under shift {self.score:.3f} (place alone 0, chance {CHANCE}, intensity "
            f"1); best matches are {self.distance:.1f}{unit} off (place alone "
            f"{self.place_distance:.1f}{unit}, chance {self.chance_distance:.1f}{unit})"
        )


@takes_cohort
def equivariance_under_shift(
    encoder: nn.Module,
    cohort: Cohort,
    cases: Sequence[int],
    shift: Sequence[int] | None = None,
    voxels: int = SHIFT_VOXELS,
) -> Equivariance:
    """Whether an encoder's features follow the anatomy when the crop is moved.

    Args:
        cases: positions in the cohort, of scans that the encoder need not have seen.
        shift: voxels, an axis each, by which the crop is moved; by default a sixth of each edge.
            The encoder strides over some voxels, so a multiple of them is an easier question.
        voxels: number of voxels of each scan at which features are compared.

    Raises:
        InputError: the encoder cannot read the crops; a shift that leaves no overlap.

    Example::

        print(equivariance_under_shift(encoder, cohort, cohort.split().validation[:4]))
    """
    chosen = check_cases(cohort, cases)
    ready = encoder_to_read(encoder, cohort, chosen, exact=False)
    found = []
    for case in chosen:
        image, edges = cohort.images([case]), cohort.cases[case].spacing
        moved = _checked_shift(shift, image.shape[2:])
        found.append(_compared(ready, image, moved, edges, _drawn(case, image, moved, voxels)))
    anatomy, position, distance, place, chance = np.mean(found, 0)
    apart = anatomy + position
    score = position / apart if apart > 0 else np.nan
    return Equivariance(float(score), float(distance), float(place), float(chance), cohort.unit)


def _checked_shift(shift: Sequence[int] | None, space: Sequence[int]) -> tuple[int, ...]:
    """A crop that is moved must still show, at two places, some of what it showed."""
    moved = (
        tuple(edge // SHIFT_SHARE for edge in space) if shift is None else tuple(map(int, shift))
    )
    fits = len(moved) == len(space) and any(moved)
    if not fits or not all(step >= 0 and 2 * step < edge for step, edge in zip(moved, space)):
        size = " × ".join(map(str, space))
        raise InputError(
            f"shift {list(moved)} does not suit scans of {size} voxels: give a number of voxels "
            "for each axis, from 0 to less than half of the edge, and not 0 for all"
        )
    return moved


def _drawn(case: int, image: Tensor, shift: Sequence[int], voxels: int) -> np.ndarray:
    """Positions in the scan (voxel, axis) that both crops show, and show again at the position
    that they have in the first: the same for every encoder."""
    rooms = [edge - 2 * step for edge, step in zip(image.shape[2:], shift, strict=True)]
    count = int(np.prod(rooms))
    flat = np.random.default_rng(case).choice(count, min(voxels, count), replace=False)
    return np.stack(np.unravel_index(flat, rooms), -1) + np.array(shift)


def _compared(
    encoder: nn.Module, image: Tensor, shift: Sequence[int], edges: np.ndarray, voxels: np.ndarray
) -> list[float]:
    """Squared distances at the same anatomy, and at the same position; how far best matches are
    off: the features', place's and those of chance."""
    step = np.array(shift)
    size = [edge - by for edge, by in zip(image.shape[2:], shift, strict=True)]
    first = image[cut_out([0] * len(size), size)]
    second = image[cut_out(shift, size)]
    before = _features(encoder, first, voxels)
    same_anatomy = _features(encoder, second, voxels - step)
    same_position = _features(encoder, second, voxels)  # there the anatomy is a step further
    unit = before.std(0, correction=0)
    # a feature that is the same everywhere is mute
    before, same_anatomy, same_position = (
        torch.where(unit > 1e-6 * before.abs().amax(0), each / unit, 0.0)
        for each in (before, same_anatomy, same_position)
    )
    candidates = torch.cat([same_anatomy, same_position])
    plainly = "donot_use_mm_for_euclid_dist"  # by products, near features would be equal
    match = torch.cdist(before, candidates, compute_mode=plainly).argmin(1).numpy()
    there = np.concatenate([voxels, voxels + step])  # in the scan
    away = np.linalg.norm((there[match] - voxels) * edges, axis=1)
    any_away = np.linalg.norm((there[:, None] - voxels[None]) * edges, axis=-1)
    return [
        float((before - same_anatomy).square().mean()),
        float((before - same_position).square().mean()),
        float(away.mean()),
        float(np.linalg.norm(step * edges)),
        float(any_away.mean()),
    ]


def _features(encoder: nn.Module, crop: Tensor, voxels: np.ndarray) -> Tensor:
    """Features of a crop (1, channel, *space) at positions (voxel, axis): (voxel, feature)."""
    space = tuple(crop.shape[2:])
    flat = torch.from_numpy(np.ravel_multi_index(tuple(voxels.T), space))
    with torch.inference_mode():
        levels = encoder(crop.to(next(encoder.parameters())))
        return features_at(levels, flat[None].to(levels[0].device), space)[0].cpu()

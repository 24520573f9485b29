"""Features of a frozen encoder, as probes and label transfer take them.

All levels count: coarse ones are interpolated to single voxels; of whole pictures, which are
graded, each level's mean over space is taken.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.swa_utils import update_bn

from ssl3d_lite.data.cohort import Cohort, takes_cohort
from ssl3d_lite.models.blocks import channels_last
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.models.modes import device_of

from .grades import OrdinalEvaluation, score_grades
from .prediction import in_batches

Grader = Callable[[np.ndarray], np.ndarray]  # features (picture, feature) → grades (picture,)


class SampledVoxels(NamedTuple):
    """Some voxels of one scan."""

    features: np.ndarray  # (voxel, feature)
    classes: np.ndarray  # (voxel,)
    places: np.ndarray  # (voxel, axis), from -1 to 1 over the scan
    weights: np.ndarray  # (voxel,), how many voxels of the scan each stands for, 1 on average


def picture_features(
    encoder: Encoder, cohort: Cohort, cases: Sequence[int]
) -> Iterator[np.ndarray]:
    """For each case the features of all levels, each the mean over space: (feature,)."""
    for batch in in_batches(cases):
        with torch.inference_mode():
            levels = encoder(cohort.images(batch).to(device_of(encoder)))
        yield from torch.cat([level.flatten(2).mean(-1) for level in levels], 1).cpu().numpy()


def grade_pictures(
    encoder: Encoder,
    cohort: Cohort,
    draws: Sequence[Sequence[int]],
    test: Sequence[int],
    fit: Callable[[np.ndarray, np.ndarray], Grader],
) -> list[OrdinalEvaluation]:
    """Grade ``test`` by features of whole pictures, once for each of ``draws`` (cases), and score.

    Args:
        fit: features (picture, feature) and grades (picture,) of a draw → what grades others.
    """
    wanted = sorted({case for draw in (*draws, test) for case in draw})
    features = dict(zip(wanted, picture_features(encoder, cohort, wanted), strict=True))
    tested = np.stack([features[case] for case in test])
    results = []
    for draw in draws:
        own = np.stack([features[case] for case in draw])
        grade = fit(own, cohort.labels(draw).cpu().numpy())
        results.append(score_grades(grade(tested).tolist(), cohort, test))
    return results


def sample_features(
    encoder: Encoder, cohort: Cohort, cases: Sequence[int], voxels: int, by_class: bool = False
) -> Iterator[SampledVoxels]:
    """For each case features, classes and places of some voxels.

    The draw depends on the case alone, so every encoder is read at the same voxels.

    Args:
        by_class: draw as many voxels of each class, or all if it has fewer, and not evenly from
            the scan: an organ of a hundredth of the scan is then known by more than a few voxels.
            ``weights`` make up for it.
    """
    for batch in in_batches(cases):
        labels = cohort.labels(batch).cpu()
        draws = [
            _choose_by_class(case, scan, voxels)
            if by_class
            else _choose(case, scan.numel(), voxels)
            for case, scan in zip(batch, labels, strict=True)
        ]
        chosen = torch.stack([torch.from_numpy(places) for places, _ in draws])
        with torch.inference_mode():
            levels = encoder(cohort.images(batch).to(device_of(encoder)))
            features = features_at(levels, chosen, labels.shape[1:])
        classes = labels.flatten(1).gather(1, chosen)
        columns = features.cpu(), classes, places_of(chosen, labels.shape[1:])
        weights = (weights for _, weights in draws)
        yield from map(SampledVoxels, *(column.numpy() for column in columns), weights)


Draw = tuple[np.ndarray, np.ndarray]  # flat positions, and how much each weighs


def _choose(case: int, count: int, voxels: int) -> Draw:
    chosen = np.random.default_rng(case).choice(count, min(voxels, count), replace=False)
    return chosen, np.ones(len(chosen), np.float32)


def _choose_by_class(case: int, labels: Tensor, voxels: int) -> Draw:
    """Rare classes first: what one has too few of is shared among the others."""
    generator, flat = np.random.default_rng(case), labels.flatten().numpy()
    classes, counts = np.unique(flat, return_counts=True)
    chosen, weights, left = [], [], min(voxels, len(flat))
    for rank, each in enumerate(np.argsort(counts)):
        count = min(counts[each], left // (len(classes) - rank))
        left -= count
        places = np.flatnonzero(flat == classes[each])
        chosen.append(generator.choice(places, count, replace=False))
        weights.append(np.full(count, counts[each] / max(count, 1), np.float32))
    every = np.concatenate(weights)
    return np.concatenate(chosen), every / every.mean()


def places_of(voxels: Tensor, space: Sequence[int]) -> Tensor:
    """Where voxels, flat positions (batch, voxel) in ``space``, have their centres: (batch, voxel,
    axis). The scan's borders are at -1 and 1."""
    place = torch.stack(torch.unravel_index(voxels, tuple(space)), -1).float()
    return (2 * place + 1) / torch.tensor(tuple(space), device=voxels.device) - 1


def features_at(levels: list[Tensor], voxels: Tensor, space: Sequence[int]) -> Tensor:
    """All levels' features at ``voxels`` (batch, voxel): (batch, voxel, feature).

    Voxels are flat positions in ``space``. Coarse levels are interpolated: see
    :func:`features_between`.
    """
    return features_between(levels, places_of(voxels, space))


def features_between(levels: list[Tensor], places: Tensor) -> Tensor:
    """All levels' features at ``places`` (batch, point, axis): (batch, point, feature).

    Places are from -1 to 1 over the scan, which need not be middles of voxels. Levels are
    interpolated linearly, as by F.interpolate with align_corners=False.
    """
    grid = places.to(levels[0]).flip(-1)  # grid_sample counts the last axis first
    grid = grid.view(*places.shape[:2], *[1] * (places.shape[2] - 1), places.shape[2])
    sampled = [
        F.grid_sample(level, grid, "bilinear", "border", align_corners=False) for level in levels
    ]
    return torch.cat([s.flatten(2) for s in sampled], 1).mT


@takes_cohort
def recalibrated(encoder: Encoder, cohort: Cohort, cases: Sequence[int]) -> Encoder:
    """A copy whose BatchNorm statistics are those of ``cases``' whole volumes.

    Pretraining saw patches or cubes, and a random encoder nothing: without this each encoder is
    judged under foreign statistics, random ones most of all.
    """
    copy = deepcopy(encoder)
    copy.to(memory_format=channels_last(encoder))  # type: ignore[call-overload]  # torch's stub
    like = next(copy.parameters())
    batches = (cohort.images(batch).to(like) for batch in in_batches(cases))
    with torch.no_grad():
        update_bn(batches, copy)
    return copy.eval()

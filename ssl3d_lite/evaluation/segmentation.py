"""Scores of a segmentation for each case and region, in the scan's own space.

Dice and the Hausdorff distance are MONAI's. The background is never averaged in. Where a region
is absent the literature's rule holds (BraTS): absent and not found is 1, absent but found, or
there but missed, is 0; the distance is then 0 or the volume's diagonal. Such cases are counted.
Scores of grades are in :mod:`ssl3d_lite.evaluation.grades`.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from typing import Any

import nibabel
import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ssl3d_lite.data.cohort import UNKNOWN_UNIT, Case, Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.models.compatibility import check_test

from .grades import OrdinalEvaluation, score_grades
from .prediction import predictions


@dataclass(frozen=True)
class Evaluation:
    """Scores of a cohort's cases, arrays (case, region); a :class:`ScoreReport`."""

    cases: tuple[str, ...]
    regions: tuple[str, ...]
    dice: np.ndarray  # 0 to 1
    hd95: np.ndarray | None  # in the cohort's unit
    absent: np.ndarray  # True where the label map does not have the region
    unit: str = "mm"  # the cohort's

    measure = "dice"

    @property
    def by_region(self) -> dict[str, float]:
        """Mean Dice over cases."""
        return dict(zip(self.regions, self.dice.mean(0).tolist(), strict=True))

    @property
    def mean_dice(self) -> float:
        """Mean over regions of the mean over cases."""
        return float(self.dice.mean())

    @property
    def score(self) -> float:
        return self.mean_dice

    @property
    def case_scores(self) -> np.ndarray:
        """Mean over regions, (case,)."""
        return self.dice.mean(1)

    @property
    def parts(self) -> dict[str, float]:
        return self.by_region

    def line(self) -> str:
        """Mean Dice, then each region's, in one line."""
        return f"mean Dice {self.mean_dice:.3f} (" + self._regions(self.dice, "") + ")"

    def __str__(self) -> str:
        lines = [self.line()]
        if self.hd95 is not None:
            unstated = self.unit == UNKNOWN_UNIT
            distances = self._regions(self.hd95, "" if unstated else f" {self.unit}")
            lines.append(f"HD95 {distances}" + " (the scans state no unit)" * unstated)
        lines += [
            f"{name} is absent from {count} of {len(self.cases)} cases"
            for name, count in zip(self.regions, self.absent.sum(0), strict=True)
            if count
        ]
        return "\n".join(lines)

    def _regions(self, scores: np.ndarray, unit: str) -> str:
        means = zip(self.regions, scores.mean(0), strict=True)
        return ", ".join(f"{name} {mean:.3f}{unit}" for name, mean in means)

    def rows(self) -> list[dict[str, Any]]:
        """One row a case and region."""
        rows = []
        for i, case in enumerate(self.cases):
            for j, region in enumerate(self.regions):
                row: dict[str, Any] = {
                    "case": case,
                    "region": region,
                    "dice": float(self.dice[i, j]),
                }
                if self.hd95 is not None:
                    column = "hd95" if self.unit == UNKNOWN_UNIT else f"hd95_{self.unit}"
                    row[column] = float(self.hd95[i, j])
                rows.append(row | {"absent": bool(self.absent[i, j])})
        return rows


def evaluate(
    network: nn.Module,
    cohort: Cohort,
    cases: Sequence[int] | None = None,
    window: Sequence[int] | None = None,
    hausdorff: bool = True,
    progress: bool = True,
) -> Evaluation | OrdinalEvaluation:
    """Predict ``cases`` and score each of the cohort's regions, or the grades of an ordinal cohort.

    Args:
        cases: numbers of the cohort's cases; by default ``cohort.split().test``.
        window: size, in voxels, of the overlapping boxes in which larger volumes are predicted.
        hausdorff: whether the distance HD95 is computed too, which takes longest.

    Raises:
        InputError: the network was trained on scans that were made otherwise, or does not predict
            what the cohort's labels say; no cases are given, and those of fold 0 were seen in its
            training.

    Example::

        print(evaluate(network, cohort))  # mean Dice 0.812 (front 0.801, back 0.823)
    """
    if cases is None:
        cases = cohort.split().test
        check_test(network, cohort, cases, fold=0)
    predicted = predictions(network, cohort, cases, window)
    if cohort.ordinal:
        return score_grades(predicted, cohort, cases)
    return score(predicted, cohort, cases, hausdorff, progress)


def score(
    maps: Iterator[Tensor],
    cohort: Cohort,
    cases: Sequence[int],
    hausdorff: bool = True,
    progress: bool = True,
    every: int = 1,
) -> Evaluation:
    """Score class maps (*space), one a case, against the cases' labels.

    The slices of a scan are stacked again, so that a 2D network is scored scan by scan as a 3D
    one is: slice by slice, a region that most slices lack would decide.

    Args:
        every: maps have every n-th voxel along each axis alone, and so many are scored.
    """
    regions = cohort.region_classes
    if not regions:
        raise InputError(f"{cohort.name} has no class but the background to be scored")
    rows, names = [], []
    bar = tqdm(cases, desc="evaluate", unit="case", disable=not progress)
    by_scan = groupby(zip(bar, maps, strict=True), lambda pair: cohort.cases[pair[0]].scan)
    for scan, pairs in by_scan:
        members, predicted = zip(*pairs, strict=True)
        for case in members:
            if not cohort.cases[case].labelled:
                raise InputError(f"case {cohort.cases[case].id} has no label to be scored against")
        truth = thin(cohort.labels(members).cpu(), every, cohort.spatial_dims)
        parts = [_thinned(cohort.cases[case], every) for case in members]
        whole = predicted[0], truth[0], parts[0]
        if parts[0].slice_of:
            whole = torch.stack(predicted), truth, stack_slices(parts)
        rows.append(score_case(whole[0], whole[1], regions, whole[2], hausdorff))
        names.append(scan)
    dice, distance, absent = (np.stack(column) for column in zip(*rows, strict=True))
    hd95 = distance if hausdorff else None
    return Evaluation(tuple(names), tuple(regions), dice, hd95, absent, cohort.unit)


def thin(maps: Tensor, every: int, axes: int) -> Tensor:
    """Every n-th voxel along each of the last ``axes`` axes."""
    steps = [1] * (maps.ndim - axes) + [every] * axes
    return maps[tuple(slice(None, None, step) for step in steps)]


def _thinned(case: Case, every: int) -> Case:
    """A case as it is where every n-th voxel alone is looked at: voxels lie further apart."""
    affine = np.array(case.affine, float)
    affine[:, : len(case.shape)] *= every
    shape = tuple(-(-length // every) for length in case.shape)
    return replace(case, shape=shape, affine=affine.tolist())


def stack_slices(slices: Sequence[Case]) -> Case:
    """The scan that slices next to each other make up, their axis first."""
    planes = np.array([case.affine for case in slices])  # (slice, 4, 3): (i, j, 1) → world
    step = planes[1, :, -1] - planes[0, :, -1] if len(slices) > 1 else np.zeros(4)
    affine = np.column_stack([step, planes[0]])
    shape = (len(slices), *slices[0].shape)
    return replace(slices[0], id=slices[0].scan, shape=shape, affine=affine.tolist())


def score_case(
    prediction: Tensor,
    truth: Tensor,
    regions: dict[str, tuple[int, ...]],
    case: Case,
    hausdorff: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Dice, HD95 and absence of each region (a union of classes) in one case.

    HD95 is in the unit of the case's affine.
    """
    # monai takes seconds to import, and pretraining needs none of it
    from monai.metrics import compute_dice, compute_hausdorff_distance

    if prediction.shape != truth.shape:
        raise InputError(
            f"case {case.id}: prediction {tuple(prediction.shape)}, label {tuple(truth.shape)}"
        )
    stack = partial(_stack_regions, regions=tuple(regions.values()))
    found, there = stack(prediction), stack(truth)
    dice = compute_dice(found, there, include_background=True, ignore_empty=False)[0].numpy()
    spacing = nibabel.affines.voxel_sizes(np.array(case.affine))[: prediction.ndim]
    diagonal = float(np.linalg.norm(spacing * np.array(prediction.shape)))
    empty_found, empty_there = (~m.flatten(2).any(-1)[0].numpy() for m in (found, there))
    distance = np.where(empty_found & empty_there, 0.0, diagonal)
    with warnings.catch_warnings():
        # monai 1.5 and 1.6 warn of their own call to an argument they have deprecated
        warnings.filterwarnings("ignore", ".*always_return_as_numpy", FutureWarning)
        for region in np.flatnonzero(~empty_found & ~empty_there) if hausdorff else ():
            distance[region] = compute_hausdorff_distance(
                found[:, [region]],
                there[:, [region]],
                include_background=True,
                percentile=95,
                spacing=spacing.tolist(),
            ).item()
    return dice, distance, empty_there


def _stack_regions(classes: Tensor, regions: Sequence[Sequence[int]]) -> Tensor:
    """A mask a region: (*space) → bool (1, region, *space)."""
    return torch.stack(
        [torch.isin(classes, torch.tensor(region, dtype=classes.dtype)) for region in regions]
    )[None]

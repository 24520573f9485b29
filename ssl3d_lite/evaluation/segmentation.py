"""Scores of a segmentation for each case and region, over the raw scans or in prepared volumes.

Where the raw label maps are there, a prediction is laid back over the raw scan and scored there, so
that cropping and resampling count. Else prepared volumes are compared, and what a crop has cut off
counts as missed, but in Dice alone: nothing is known of where it lay.

Dice and the distances between surfaces are MONAI's. HD95 is the 95th percentile of both directions'
distances together, as the evaluation of BraTS (MedPy) has it; MONAI's own is the larger one of the
two directions' percentiles, which is never less. The background is never averaged in. Where a
region is absent the literature's rule holds (BraTS): absent and not found is 1, absent but found,
or there but missed, is 0; the distance is then 0 or the raw scan's diagonal. Such cases are
counted. Scores of grades are in :mod:`ssl3d_lite.evaluation.grades`.
"""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from nibabel.affines import voxel_sizes
from torch import Tensor, nn
from tqdm.auto import tqdm

from ssl3d_lite.data.case import Case
from ssl3d_lite.data.cohort import UNKNOWN_UNIT, Cohort, takes_cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import checksum
from ssl3d_lite.machine.progress import hidden_if
from ssl3d_lite.models.compatibility import check_test

from .grades import OrdinalEvaluation, score_grades
from .prediction import over_raw, predictions


@dataclass(frozen=True)
class Evaluation:
    """Scores of a cohort's cases, arrays (case, region); a :class:`ScoreReport`."""

    cases: tuple[str, ...]
    regions: tuple[str, ...]
    dice: np.ndarray  # 0 to 1
    hd95: np.ndarray | None  # in the cohort's unit
    absent: np.ndarray  # True where the label map does not have the region
    unit: str = "mm"  # the cohort's
    notes: tuple[str, ...] = ()  # what to know of the scores

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
        return "\n".join([*lines, *self.notes])

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


@takes_cohort
def evaluate(
    network: nn.Module,
    cohort: Cohort,
    cases: Sequence[int] | None = None,
    window: Sequence[int] | None = None,
    *,
    hausdorff: bool = True,
    progress: bool = True,
    raw: str | Path | None = None,
) -> Evaluation | OrdinalEvaluation:
    """Predict ``cases`` and score each of the cohort's regions, or the grades of an ordinal cohort.

    Args:
        cases: numbers of the cohort's cases; by default ``cohort.split().test``.
        window: size, in voxels, of the overlapping boxes in which larger volumes are predicted.
        hausdorff: whether the distance HD95 is computed too, which takes longest.
        raw: the folder of raw scans that the cohort was prepared from; then these are scored, else
            the prepared volumes.

    Raises:
        InputError: the network was trained on scans that were made otherwise, or does not predict
            what the cohort's labels say; no cases are given, and those of fold 0 were seen in its
            training; a raw label map is not there, or has changed.

    Example::

        print(evaluate(network, cohort))  # mean Dice 0.812 (front 0.801, back 0.823)
    """
    if cases is None:
        cases = cohort.split().test
        check_test(network, cohort, cases, fold=0)
    predicted = predictions(network, cohort, cases, window)
    if cohort.ordinal:
        return score_grades(predicted, cohort, cases)
    return score(predicted, cohort, cases, hausdorff=hausdorff, progress=progress, raw=raw)


@takes_cohort
def score(
    maps: Iterator[Tensor],
    cohort: Cohort,
    cases: Sequence[int],
    *,
    hausdorff: bool = True,
    progress: bool = True,
    every: int = 1,
    raw: str | Path | None = None,
) -> Evaluation:
    """Score class maps (*space), one a case, against the cases' labels.

    The slices of a scan are stacked again, so that a 2D network is scored scan by scan as a 3D
    one is: slice by slice, a region that most slices lack would decide.

    Args:
        every: maps have every n-th voxel along each axis alone, and so many are scored.
        raw: as in :func:`evaluate`.
    """
    regions = cohort.region_classes
    if not regions:
        raise InputError(f"{cohort.name} has no class but the background to be scored")
    rows, names, scans = [], [], []
    bar = tqdm(cases, desc="evaluate", unit="case", **hidden_if(not progress))
    by_scan = groupby(zip(bar, maps, strict=True), lambda pair: cohort.cases[pair[0]].scan)
    for scan, pairs in by_scan:
        members, predicted = zip(*pairs, strict=True)
        for case in members:
            if not cohort.cases[case].labelled:
                raise InputError(f"case {cohort.cases[case].id} has no label to be scored against")
        found, whole = predicted[0], _thinned(cohort.cases[members[0]], every)
        if whole.slice_of:
            slices = [_thinned(cohort.cases[case], every) for case in members]
            found, whole = torch.stack(predicted), stack_slices(slices)
        if raw is not None:
            found = torch.from_numpy(over_raw(found.numpy(), whole))
            truth, whole = read_raw_label(Path(raw), whole, cohort.label_values), in_raw(whole)
        else:
            labels = thin(cohort.labels(members).cpu(), every, cohort.spatial_dims)
            truth = labels if whole.slice_of else labels[0]
        rows.append(score_case(found, truth, regions, whole, hausdorff))
        names.append(scan)
        scans.append(whole)
    dice, distance, absent = (np.stack(column) for column in zip(*rows, strict=True))
    hd95 = distance if hausdorff else None
    notes = tuple(_notes_of_lost(scans))
    return Evaluation(tuple(names), tuple(regions), dice, hd95, absent, cohort.unit, notes)


def _notes_of_lost(scans: Sequence[Case]) -> Iterator[str]:
    """What was cut off from the labels of prepared volumes, and how it counts."""
    for known, how in (
        (True, "count as missed in Dice, and not in HD95"),
        (False, "are not counted, as their classes are not known: prepare the scans again"),
    ):
        cut = [case for case in scans if case.lost and bool(case.lost_by_class) == known]
        if cut:
            lost = sum(case.lost for case in cut)
            yield (
                f"labelled voxels outside of the prepared volumes: {lost} (scans: {len(cut)}); "
                f"they {how}"
            )


# ---- the raw scan's space ----------------------------------------------------------------------


def in_raw(case: Case) -> Case:
    """The case as one that was not prepared: on its raw scan's voxels, with nothing cut off."""
    source = case.source
    return replace(case, shape=source.shape, affine=source.affine, lost=0, lost_by_class=())


def read_raw_label(raw: Path, case: Case, values: Sequence[int]) -> Tensor:
    """The raw label map that a case was prepared from, as classes on the raw scan's voxels, uint8.

    Args:
        values: the raw label values by class.

    Raises:
        InputError: it is not there, or is another than the one that was prepared.
    """
    name = case.source.files.get("label")
    if name is None or len(case.source.shape) != 3:
        raise InputError(f"{case.id} was prepared from no raw label map; score without raw scans")
    path = raw / name
    if not path.is_file():
        raise InputError(f"no {path}: give the folder that {case.id} was prepared from")
    if checksum(path) != case.source.sha256["label"]:
        raise InputError(f"{path} has changed since {case.id} was prepared: prepare it again")
    image: Any = nibabel.load(path)
    # a label map may list its voxels in another order than the scan, as the recipes know
    turn, own = (
        nibabel.orientations.io_orientation(affine)
        for affine in (np.array(image.affine), np.array(case.source.affine))
    )
    data = np.rint(np.asarray(image.dataobj)).astype(np.uint8)
    data = data.reshape(data.shape[:3])  # a file may have a fourth axis of one entry
    turned = nibabel.orientations.apply_orientation(
        data, nibabel.orientations.ornt_transform(turn, own)
    )
    class_of = np.zeros(256, np.uint8)
    class_of[list(values)] = range(len(values))
    return torch.from_numpy(class_of[turned])


# ---- one scan ----------------------------------------------------------------------------------


def thin(maps: Tensor, every: int, axes: int) -> Tensor:
    """Every n-th voxel along each of the last ``axes`` axes."""
    steps = [1] * (maps.ndim - axes) + [every] * axes
    return maps[tuple(slice(None, None, step) for step in steps)]


def _thinned(case: Case, every: int) -> Case:
    """A case as it is where every n-th voxel alone is looked at: voxels lie further apart."""
    affine = np.array(case.affine, float)
    affine[:, : len(case.shape)] *= every
    shape = tuple(-(-length // every) for length in case.shape)
    lost = [round(number / every ** len(shape)) for number in (case.lost, *case.lost_by_class)]
    thinned = replace(case, shape=shape, affine=affine.tolist())
    return replace(thinned, lost=lost[0], lost_by_class=tuple(lost[1:]))


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

    HD95 is in the unit of the case's affine. What a crop has cut off counts as missed in Dice.
    """
    # monai takes seconds to import, and pretraining needs none of it
    from monai.metrics import compute_dice

    if prediction.shape != truth.shape:
        raise InputError(
            f"case {case.id}: prediction {tuple(prediction.shape)}, label {tuple(truth.shape)}"
        )
    stack = partial(_stack_regions, regions=tuple(regions.values()))
    found, there = stack(prediction), stack(truth)
    lost = _lost_of(case, regions.values())
    dice = compute_dice(found, there, include_background=True, ignore_empty=False)[0].numpy()
    counted = (
        found.sum((0, *range(2, found.ndim))) + there.sum((0, *range(2, there.ndim)))
    ).numpy()
    dice = np.where(lost > 0, dice * counted / (counted + lost).clip(1), dice)
    spacing = case.spacing[: prediction.ndim].tolist()
    empty_found, empty_there = (~m.flatten(2).any(-1)[0].numpy() for m in (found, there))
    absent = empty_there & (lost == 0)
    distance = np.where(empty_found & absent, 0.0, _diagonal(case, prediction.ndim))
    for region in np.flatnonzero(~empty_found & ~empty_there) if hausdorff else ():
        distance[region] = hausdorff_95(found[0, region], there[0, region], spacing)
    return dice, distance, absent


def hausdorff_95(found: Tensor, there: Tensor, spacing: Sequence[float]) -> float:
    """The 95th percentile of the distances from each surface to the other, both directions' taken
    together, in the unit of ``spacing``: of two masks (*space), neither of them empty.

    Example::

        >>> import torch
        >>> line = torch.arange(40) == 20
        >>> hausdorff_95(line[None], line.roll(3)[None], (1.0, 0.5))
        1.5
    """
    from monai.metrics.utils import get_edge_surface_distance

    with warnings.catch_warnings():
        # monai 1.5 and 1.6 warn of their own call to an argument they have deprecated
        warnings.filterwarnings("ignore", ".*always_return_as_numpy", FutureWarning)
        _, both, _ = get_edge_surface_distance(found, there, spacing=list(spacing), symmetric=True)
    return float(np.percentile(torch.cat([each.flatten() for each in both]).numpy(), 95))


def _lost_of(case: Case, regions: Iterable[Sequence[int]]) -> np.ndarray:
    """What of each region was cut off, in voxels of the prepared volume."""
    by_class = np.array(case.lost_by_class or [0])
    if not by_class.any():  # as of slices, which may be one alone, without a thickness
        return np.zeros(len([*regions]))
    raw, prepared = (
        np.prod(voxel_sizes(np.array(affine))) if len(affine) else 1.0
        for affine in (case.source.affine, case.affine)
    )
    known = [[number for number in region if number < len(by_class)] for region in regions]
    return np.array([by_class[region].sum() for region in known]) * raw / prepared


def _diagonal(case: Case, dims: int) -> float:
    """Length of the raw scan's diagonal; or the prepared volume's, if that was no scan."""
    shape, affine = case.source.shape, case.source.affine
    if len(shape) != dims:
        shape, affine = case.shape, case.affine
    return float(np.linalg.norm(voxel_sizes(np.array(affine))[:dims] * np.array(shape)))


def _stack_regions(classes: Tensor, regions: Sequence[Sequence[int]]) -> Tensor:
    """A mask a region: (*space) → bool (1, region, *space)."""
    return torch.stack(
        [torch.isin(classes, torch.tensor(region, dtype=classes.dtype)) for region in regions]
    )[None]

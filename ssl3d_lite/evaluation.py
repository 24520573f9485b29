"""What an answer is worth: of a segmentation per case and region, in the scan's own space.

Dice and the Hausdorff distance are MONAI's. The background is never averaged in. Where a region
is absent the literature's rule holds (BraTS): absent and not found is 1, absent but found, or
there but missed, is 0; the distance is then 0 or the volume's diagonal. Such cases are counted.
What grades are worth is in :mod:`ssl3d_lite.grading`.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, pairwise
from pathlib import Path

import nibabel
import numpy as np
import torch
from nibabel.processing import resample_from_to
from torch import Tensor, nn
from tqdm.auto import tqdm

from .cohort import Case, Cohort
from .errors import InputError
from .files import write_aside, write_csv, write_gzip
from .grading import GradeEvaluation, check_answers, decode, score_grades
from .networks import Classifier
from .tasks import ProxyTask

BATCH = 4  # volumes read at once


@dataclass(frozen=True)
class Evaluation:
    """Scores of a cohort's cases: arrays (case, region).

    ``measure``, ``score``, ``parts``, ``line`` and ``rows`` it has in common with
    ``GradeEvaluation``.
    """

    cases: tuple[str, ...]
    regions: tuple[str, ...]
    dice: np.ndarray  # 0 to 1
    hd95: np.ndarray | None  # mm
    absent: np.ndarray  # True where the label map does not have the region

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
    def parts(self) -> dict[str, float]:
        return self.by_region

    def line(self) -> str:
        """Mean Dice, then each region's, in one line."""
        return f"mean Dice {self.mean_dice:.3f} (" + self._regions(self.dice, "") + ")"

    def __str__(self) -> str:
        lines = [self.line()]
        if self.hd95 is not None:
            lines.append("HD95 " + self._regions(self.hd95, " mm"))
        lines += [
            f"{name} is absent from {count} of {len(self.cases)} cases"
            for name, count in zip(self.regions, self.absent.sum(0), strict=True)
            if count
        ]
        return "\n".join(lines)

    def _regions(self, scores: np.ndarray, unit: str) -> str:
        means = zip(self.regions, scores.mean(0), strict=True)
        return ", ".join(f"{name} {mean:.3f}{unit}" for name, mean in means)

    def rows(self) -> list[dict[str, str | float | bool]]:
        """One row a case and region."""
        rows = []
        for i, case in enumerate(self.cases):
            for j, region in enumerate(self.regions):
                row = {"case": case, "region": region, "dice": float(self.dice[i, j])}
                if self.hd95 is not None:
                    row["hd95_mm"] = float(self.hd95[i, j])
                rows.append(row | {"absent": bool(self.absent[i, j])})
        return rows


def predict(network: nn.Module, images: Tensor, window: Sequence[int] | None = None) -> Tensor:
    """Class of each voxel: (batch, channel, *space) → integers (batch, *space); of a classifier
    the grades (batch).

    With ``window`` volumes larger than it are answered in overlapping boxes, blended smoothly.
    """
    network.eval()
    with torch.inference_mode():
        if isinstance(network, Classifier):
            return decode(network(images))
        if window is None or all(s <= w for s, w in zip(images.shape[2:], window, strict=True)):
            return network(images).argmax(1)
        from monai.inferers import sliding_window_inference

        return sliding_window_inference(
            images, tuple(window), BATCH, network, overlap=0.5, mode="gaussian"
        ).argmax(1)


def predictions(
    network: nn.Module,
    cohort: Cohort,
    cases: Sequence[int],
    window: Sequence[int] | None = None,
) -> Iterator[Tensor]:
    """Class map (*space), or grade, on the CPU, of one case after another."""
    for batch in in_batches(cases):
        yield from predict(network, cohort.images(batch).to(device_of(network)), window).cpu()


def in_batches(cases: Sequence[int]) -> list[Sequence[int]]:
    """Cases, a few at a time, and none left over alone: of one torch's Conv3d takes a slow path on
    CPUs (0.25 s for a volume of 40 × 56 × 40 where two together take 0.06 s, torch 2.13), and a
    deepest level of one voxel has no BatchNorm statistics."""
    count = -(-len(cases) // BATCH)
    edges = [len(cases) * batch // count for batch in range(count + 1)] if count else []
    return [cases[start:stop] for start, stop in pairwise(edges)]


def evaluate(
    network: nn.Module,
    cohort: Cohort,
    cases: Sequence[int],
    window: Sequence[int] | None = None,
    hausdorff: bool = True,
    progress: bool = True,
) -> Evaluation | GradeEvaluation:
    """Predict ``cases`` and score each of the cohort's regions; of a graded cohort, the grades.

    Raises:
        InputError: the network does not answer what the cohort's labels say.
    """
    check_answers(network, cohort)
    answers = predictions(network, cohort, cases, window)
    if cohort.graded:
        return score_grades(answers, cohort, cases)
    return score(answers, cohort, cases, hausdorff, progress)


def score(
    answers: Iterator[Tensor],
    cohort: Cohort,
    cases: Sequence[int],
    hausdorff: bool = True,
    progress: bool = True,
) -> Evaluation:
    """Score class maps (*space), one a case, against the cases' labels.

    The slices of a scan are stacked again, so that a 2D network is scored scan by scan as a 3D
    one is: slice by slice, a region that most slices lack would decide.
    """
    regions = cohort.region_classes
    rows, names = [], []
    bar = tqdm(cases, desc="evaluate", unit="case", disable=not progress)
    by_scan = groupby(zip(bar, answers, strict=True), lambda pair: cohort.cases[pair[0]].scan)
    for scan, pairs in by_scan:
        members, maps = zip(*pairs, strict=True)
        for case in members:
            if not cohort.cases[case].labelled:
                raise InputError(f"case {cohort.cases[case].id} has no label to be scored against")
        truth = cohort.labels(members).cpu()
        whole = maps[0], truth[0], cohort.cases[members[0]]
        if cohort.cases[members[0]].slice_of:
            whole = torch.stack(maps), truth, stacked([cohort.cases[case] for case in members])
        answer, truth, case = whole
        rows.append(score_case(answer, truth, regions, case, hausdorff))
        names.append(scan)
    dice, distance, absent = (np.stack(column) for column in zip(*rows, strict=True))
    return Evaluation(tuple(names), tuple(regions), dice, distance if hausdorff else None, absent)


def stacked(slices: Sequence[Case]) -> Case:
    """The scan that slices next to each other make up, their axis first."""
    planes = np.array([case.affine for case in slices])  # (slice, 4, 3): (i, j, 1) → world
    step = planes[1, :, -1] - planes[0, :, -1] if len(slices) > 1 else np.zeros(4)
    affine = np.column_stack([step, planes[0]])
    shape = (len(slices), *slices[0].shape)
    return replace(slices[0], id=slices[0].scan, shape=shape, affine=affine.tolist())


def score_case(
    answer: Tensor,
    truth: Tensor,
    regions: dict[str, tuple[int, ...]],
    case: Case,
    hausdorff: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Dice, HD95 (mm) and absence of each region (a union of classes) in one case."""
    # monai takes seconds to import, and pretraining needs none of it
    from monai.metrics import compute_dice, compute_hausdorff_distance

    if answer.shape != truth.shape:
        raise InputError(
            f"case {case.id}: prediction {tuple(answer.shape)}, label {tuple(truth.shape)}"
        )
    stack = partial(_stack_regions, regions=tuple(regions.values()))
    found, there = stack(answer), stack(truth)
    dice = compute_dice(found, there, include_background=True, ignore_empty=False)[0].numpy()
    spacing = nibabel.affines.voxel_sizes(np.array(case.affine))[: answer.ndim]
    diagonal = float(np.linalg.norm(spacing * np.array(answer.shape)))
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


# ---- back to the scan's own space --------------------------------------------------------------


def write_prediction(path: Path, answer: np.ndarray, case: Case, values: Sequence[int]) -> None:
    """Write a class map (*space) as a NIfTI that lies over the raw scan, voxel for voxel.

    Cropping, padding, turning to RAS and resampling are undone (nearest neighbour); what lay
    outside the prepared volume is background. ``values`` are the raw label values by class.
    """
    prepared = nibabel.Nifti1Image(np.asarray(values, np.uint8)[answer], np.array(case.affine))
    raw = (case.source.shape, np.array(case.source.affine))
    # not "constant": a position of -1e-16 would count as outside
    back = resample_from_to(prepared, raw, order=0, mode="grid-constant", cval=0)
    image = nibabel.Nifti1Image(np.asarray(back.dataobj).astype(np.uint8), raw[1])
    if path.suffix == ".gz":
        write_gzip(path, image.to_bytes())
    else:
        write_aside(path, lambda file: file.write(image.to_bytes()))


def predict_cohort(
    network: nn.Module,
    cohort: Cohort,
    cases: Sequence[int],
    out: Path,
    window: Sequence[int] | None = None,
) -> list[Path]:
    """Predict ``cases`` and write ``out/ID.nii.gz`` for each, in the raw scan's space.

    Of a graded cohort one ``out/grades.csv`` is written: id, grade and the grade's name.

    Raises:
        InputError: the cases are slices, or the network does not answer what the labels say.
    """
    check_answers(network, cohort)
    if cohort.graded:
        return [_write_grades(network, cohort, cases, out)]
    if cohort.spatial_dims != 3:
        raise InputError(
            f"{cohort.name} is {cohort.spatial_dims}D: a prediction is laid over a whole raw scan, "
            "so predict a 3D cohort"
        )
    paths = []
    answers = predictions(network, cohort, cases, window)
    for case, answer in zip(tqdm(cases, desc="predict", unit="case"), answers, strict=True):
        paths.append(Path(out) / f"{cohort.cases[case].id}.nii.gz")
        write_prediction(paths[-1], answer.numpy(), cohort.cases[case], cohort.label_values)
    return paths


def _write_grades(network: nn.Module, cohort: Cohort, cases: Sequence[int], out: Path) -> Path:
    answers = predictions(network, cohort, cases)
    rows = [
        {"id": cohort.cases[case].id, "grade": int(grade), "name": cohort.label_names[grade]}
        for case, grade in zip(tqdm(cases, desc="predict", unit="case"), answers, strict=True)
    ]
    path = Path(out) / "grades.csv"
    write_csv(path, rows)
    return path


# ---- proxy tasks -------------------------------------------------------------------------------


def proxy_score(
    task: ProxyTask,
    encoder: nn.Module,
    cohort: Cohort,
    cases: Sequence[int],
    batch: int = 2,
    seed: int = 0,
) -> dict[str, float]:
    """Mean of the task's scores on ``cases``, which it should not have been trained on.

    They are read ``batch`` at a time, as in training; what is left over is not read.
    """
    if not cases:
        raise InputError("there is no case to score the proxy task on")
    batch = min(batch, len(cases))
    generator = torch.Generator().manual_seed(seed)
    device = device_of(encoder)
    rows = []
    with evaluating(encoder, task), torch.inference_mode():
        for start in range(0, len(cases) - batch + 1, batch):
            volumes = cohort.images(cases[start : start + batch]).to(device)
            puzzle = task.pose(volumes, task.draw(volumes, generator))
            answer = task(encoder, puzzle)
            rows.append({"loss": task.loss(answer, puzzle), **task.score(answer, puzzle)})
    return {name: float(np.mean([float(row[name]) for row in rows])) for name in rows[0]}


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; afterwards each module is as it was."""
    before = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.train(training)


def device_of(module: nn.Module) -> torch.device:
    return next(module.parameters()).device

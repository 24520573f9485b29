"""Hours that the shipped studies would take on this machine: counted, not run.

The operations of every step of every run are counted on torch's "meta" device, where tensors have
shapes and no content. The cost of an operation and that of a step are fitted to the steps that were
measured. Making the virtual scans, and reading scans that do not fit into memory, come on top.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast, get_args

import numpy as np
import torch

from ssl3d_lite.data.label_budget import parse_label_budget
from ssl3d_lite.evaluation.prediction import PREDICTION_BATCH
from ssl3d_lite.models.classifier import Classifier
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.operations import operations
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.models.unet import UNet
from ssl3d_lite.study.arms import PLACE, Arm
from ssl3d_lite.study.experiment import Experiment
from ssl3d_lite.study.jobs import Job, Run, plan
from ssl3d_lite.study.protocols.probing import CALIBRATION
from ssl3d_lite.study.settings import Machine, Scale, Study, read_study, shipped_studies
from ssl3d_lite.tasks import make_task
from ssl3d_lite.training.finetuning import Finetuning
from ssl3d_lite.training.pretraining import Pretraining
from ssl3d_lite.training.settings import FinetuneSettings

from .stages import Stage

_FOLDS = 5  # every recipe makes so many
_READINGS = ("probe", "neighbours")  # frozen features; the search for neighbours comes on top
VIRTUAL_SHAPES = {  # recipe → (channels, classes, axes) of its virtual scans
    "virtual-hippocampus": (1, 3, 3),
    "virtual-brain": (4, 4, 3),
    "virtual-ukb-brain": (2, 0, 3),
    "virtual-abdomen": (1, 3, 3),
    "virtual-fundus": (3, 5, 2),
}


@dataclass(frozen=True)
class CostModel:
    """What training costs on this machine, in seconds."""

    step: float
    """Seconds of a step, whatever it computes."""
    operation: float
    """Seconds of one floating-point operation."""

    def seconds(self, work: "Workload") -> float:
        """Seconds that the work would take."""
        return work.steps * self.step + work.operations * self.operation


@dataclass(frozen=True)
class Workload:
    """Number of steps (a batch of predictions counts as one), and of operations in all of them."""

    steps: float = 0
    operations: float = 0

    def __add__(self, other: "Workload") -> "Workload":
        return Workload(self.steps + other.steps, self.operations + other.operations)

    def times(self, count: float) -> "Workload":
        """The work, done ``count`` times."""
        return Workload(self.steps * count, self.operations * count)


def fit_cost_model(stages: Sequence[Stage]) -> CostModel:
    """Fit the two costs to the measured steps, by least squares of relative errors; neither is
    below 0."""
    from scipy.optimize import nnls

    steps = [s for s in stages if s.name == "step"]
    took = np.array([s.seconds for s in steps])
    counted = np.array([sum(s.operations for s in stages if s.task == t.task) for t in steps])
    # relative errors, so that a long step does not outweigh the others
    (step, giga), _ = nnls(np.stack([1 / took, counted / 1e9 / took], 1), np.ones(len(steps)))
    return CostModel(float(step), float(giga) / 1e9)


def study_hours(cost_model: CostModel) -> dict[str, dict[str, float]]:
    """Study → scale → hours, for all shipped studies."""
    return {
        name: {
            scale: cost_model.seconds(study_work(read_study(name, scale))) / 3600
            for scale in get_args(Scale)
        }
        for name in shipped_studies()
    }


# ---- the work of a study -------------------------------------------------------------------------


@dataclass(frozen=True)
class CohortShape:
    """The shape of a cohort, which stands for it where no scan is read."""

    channels: tuple[str, ...]
    label_names: tuple[str, ...]
    shape: tuple[int, ...]
    ordinal: bool
    """Whether its labels are one grade per image."""
    scans: int
    """Number of scans that have labels."""
    per_scan: int = 1
    """Number of cases per scan: its slices, where it was cut into some."""

    @property
    def spatial_dims(self) -> int:
        return len(self.shape)


class StudyShapes:
    """Stands for the data of a study (:class:`ssl3d_lite.study.data.Data`) in an Experiment."""

    def __init__(self, study: Study) -> None:
        self.study, self.labelled = study, virtual_shape(study.cohort)
        self.unlabelled = virtual_shape(study.corpus) if study.corpus else self.labelled

    def benchmark(self, arm: Arm) -> CohortShape:
        """The cohort on which the arm is evaluated."""
        return self._for(arm, self.labelled)

    def corpus(self, arm: Arm, fold: int) -> Any:
        """The scans on which the arm is pretrained, under the name ``cohort``."""
        return SimpleNamespace(cohort=self._for(arm, self.labelled if arm.own else self.unlabelled))

    def _for(self, arm: Arm, cohort: CohortShape) -> CohortShape:
        if not arm.flat:
            return cohort
        cut: dict[str, Any] = {"axis": 2, "first": 0.0, "last": 1.0, "every": 1} | self.study.slices
        shape = tuple(edge for axis, edge in enumerate(cohort.shape) if axis != cut["axis"])
        taken = cohort.shape[cut["axis"]] * (cut["last"] - cut["first"]) / cut["every"]
        return replace(cohort, shape=shape, per_scan=max(1, round(taken)))


def virtual_shape(table: dict[str, Any]) -> CohortShape:
    """The shape of the cohort that a virtual recipe makes from these settings."""
    from ssl3d_lite.data.registry import load_recipe

    recipe, own = table["recipe"], {k: v for k, v in table.items() if k != "recipe"}
    channels, classes, axes = VIRTUAL_SHAPES[recipe]
    settings = load_recipe(recipe)[0](out=Path(), **own)
    edge = getattr(settings, "edge", None)
    return CohortShape(
        channels=tuple(map(str, range(channels))),
        label_names=tuple(map(str, range(classes))),
        shape=(edge,) * axes if edge else settings.size,
        ordinal=axes == 2,
        scans=settings.cases,
    )


def study_work(study: Study) -> Workload:
    """All steps and operations of a study's runs."""
    shapes: Any = StudyShapes(study)
    experiment, total = Experiment(study, shapes, Path(), Machine("cpu")), Workload()
    for job, runs in plan(study).items():
        total += encoder_work(experiment, job)
        for run in runs:
            total += sum(run_work(experiment, run), Workload())
    return total


def _benchmark_shape(experiment: Experiment, arm: Arm) -> CohortShape:
    return cast(CohortShape, experiment.data.benchmark(arm))  # made from StudyShapes


def encoder_work(experiment: Experiment, job: Job) -> Workload:
    """The work of the job's pretraining, or of an oracle's training."""
    arm = job.arm
    if arm.source == "oracle":
        training = experiment.oracle_training(job)
        return finetuning_step(experiment, arm, training, False).times(training.steps)
    if not arm.tasks:
        return Workload()
    settings = experiment.pretraining(job)
    shape, space = experiment.start(job), experiment.data.corpus(arm, job.fold).cohort.shape
    each_task = [
        _pretraining_step(name, shape, tuple(own.items()), settings.batch, space)
        for name, own in experiment.task_settings(arm).items()
    ]
    return sum(each_task, Workload()).times(settings.steps / len(each_task))


def run_work(experiment: Experiment, run: Run) -> Iterator[Workload]:
    """The work of one run: training, evaluation on validation and test cases, the final score."""
    arm = run.job.arm
    if run.protocol == "proxy" or arm.source == PLACE:  # a few batches; a mean of label maps
        return
    cohort = _benchmark_shape(experiment, arm)
    held_out = cohort.scans * cohort.per_scan / _FOLDS  # validation cases, and as many test cases
    one_case = prediction_work(experiment, arm)
    if run.protocol in _READINGS:
        budget = parse_label_budget(run.labels)
        scans = float(budget.scans or 0)
        if budget.fraction is not None:
            scans = budget.fraction * cohort.scans * (_FOLDS - 2) / _FOLDS
        drawn = scans * cohort.per_scan * len(experiment.probing(0)["draws"])
        yield one_case.times(held_out + drawn + CALIBRATION * cohort.per_scan)
        return
    settings = experiment.finetuning(run)
    evaluations = settings.steps // settings.validate_every if settings.validate_every else 0
    frozen = min(settings.freeze_encoder_steps, settings.steps)
    step = finetuning_step(experiment, arm, settings, frozen=False)
    frozen_step = finetuning_step(experiment, arm, settings, frozen=True)
    yield frozen_step.times(frozen) + step.times(settings.steps - frozen)
    yield one_case.times(held_out * (evaluations + len(settings.test_at) + 1))


# ---- counting ----------------------------------------------------------------------------------


@cache
def _pretraining_step(
    name: str, shape: EncoderSettings, own: tuple, batch: int, space: tuple[int, ...]
) -> Workload:
    """One step of a proxy task on a batch of volumes of size ``space``."""
    task = make_task(name, shape, **dict(own))
    volumes = torch.empty(batch, shape.in_channels, *space, device="meta")
    params = task.sample_params(volumes, torch.Generator().manual_seed(0))
    views = task.make_views(volumes, params)
    with torch.device("meta"):
        encoder = make_encoder(shape)
    learner = Pretraining(encoder, [task]).to("meta").train()
    return Workload(1, operations(lambda: learner(0, views)[0].backward()))


def finetuning_step(
    experiment: Experiment, arm: Arm, settings: FinetuneSettings, frozen: bool
) -> Workload:
    """One step of fine-tuning, with the encoder frozen or not."""
    cohort = _benchmark_shape(experiment, arm)
    shape = experiment.encoder_settings(arm, experiment.data.benchmark(arm))
    space = tuple(settings.patch or cohort.shape)
    classes = len(cohort.label_names)
    return _finetuning_step(shape, classes, cohort.ordinal, settings.batch, space, frozen)


@cache
def _finetuning_step(
    shape: EncoderSettings,
    classes: int,
    ordinal: bool,
    batch: int,
    space: tuple[int, ...],
    frozen: bool,
) -> Workload:
    settings = FinetuneSettings(freeze_encoder_steps=int(frozen))
    learner = Finetuning(_shapes_only(shape, classes, ordinal), settings).train()
    learner.at_step(0)
    images = torch.empty(batch, shape.in_channels, *space, device="meta")
    size = (batch,) if ordinal else (batch, *space)
    labels = torch.zeros(size, dtype=torch.uint8, device="meta")
    return Workload(1, operations(lambda: learner(images, labels)[0].backward()))


def prediction_work(experiment: Experiment, arm: Arm) -> Workload:
    """The work of predicting one case, in batches of four."""
    cohort = _benchmark_shape(experiment, arm)
    shape = experiment.encoder_settings(arm, experiment.data.benchmark(arm))
    one = _prediction_operations(shape, len(cohort.label_names), cohort.ordinal, cohort.shape)
    return Workload(1 / PREDICTION_BATCH, one)


@cache
def _prediction_operations(
    shape: EncoderSettings, classes: int, ordinal: bool, space: tuple[int, ...]
) -> int:
    network = _shapes_only(shape, classes, ordinal).eval()
    image = torch.empty(1, shape.in_channels, *space, device="meta")
    with torch.no_grad():
        return operations(lambda: network(image))


def _shapes_only(shape: EncoderSettings, classes: int, ordinal: bool) -> UNet | Classifier:
    """A network on the "meta" device, which has shapes and no weights."""
    with torch.device("meta"):
        encoder: Any = make_encoder(shape)
        return (Classifier if ordinal else UNet)(encoder, classes)

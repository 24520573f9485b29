"""How long the shipped studies would take on this machine: counted, not run.

The operations of every step of every run are counted on torch's "meta" device, where tensors have
shapes and no content. What an operation and what a step cost here is fitted to the steps that were
measured. Making the virtual scans, and reading scans that do not fit into memory, come on top.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import numpy as np
import torch

from ssl3d_lite.data.cohort import parse_label_budget
from ssl3d_lite.evaluation.prediction import BATCH
from ssl3d_lite.models.classifier import Classifier
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.models.unet import UNet
from ssl3d_lite.study.arms import Arm
from ssl3d_lite.study.experiment import Experiment
from ssl3d_lite.study.jobs import Job, Run, plan
from ssl3d_lite.study.protocols import CALIBRATION
from ssl3d_lite.study.settings import Machine, Scale, Study, read_study, shipped_studies
from ssl3d_lite.tasks import make_task
from ssl3d_lite.training.finetuning import Finetuning
from ssl3d_lite.training.pretraining import Pretraining
from ssl3d_lite.training.settings import FinetuneSettings

from .stages import Stage
from .work import operations

FOLDS = 5  # of every recipe
KINDS = {  # recipe → (channels, classes, axes) of what it makes
    "virtual-hippocampus": (1, 3, 3),
    "virtual-brain": (4, 4, 3),
    "virtual-ukb-brain": (2, 0, 3),
    "virtual-abdomen": (1, 3, 3),
    "virtual-fundus": (3, 5, 2),
}


@dataclass(frozen=True)
class CostModel:
    """Seconds of a training step, whatever it does; and of one operation."""

    step: float
    operation: float

    def seconds(self, work: "Work") -> float:
        return work.steps * self.step + work.operations * self.operation


@dataclass(frozen=True)
class Work:
    """Steps (a batch that is only answered counts as one), and operations of all of them."""

    steps: float = 0
    operations: float = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(self.steps + other.steps, self.operations + other.operations)

    def times(self, count: float) -> "Work":
        return Work(self.steps * count, self.operations * count)


def fit_cost_model(stages: Sequence[Stage]) -> CostModel:
    """From the steps that were measured: the two numbers that fit them best, neither below 0."""
    from scipy.optimize import nnls

    steps = [s for s in stages if s.name == "step"]
    took = np.array([s.seconds for s in steps])
    counted = np.array([sum(s.operations for s in stages if s.task == t.task) for t in steps])
    # relative errors count, so that a long step does not outweigh the others
    (step, giga), _ = nnls(np.stack([1 / took, counted / 1e9 / took], 1), np.ones(len(steps)))
    return CostModel(float(step), float(giga) / 1e9)


def study_hours(price: CostModel) -> dict[str, dict[str, float]]:
    """Study → scale → hours, of all that are shipped."""
    return {
        name: {
            scale: price.seconds(study_work(read_study(name, scale))) / 3600
            for scale in get_args(Scale)
        }
        for name in shipped_studies()
    }


# ---- what a study does -------------------------------------------------------------------------


@dataclass(frozen=True)
class Frame:
    """As much of a cohort as its shape: what stands for it where nothing is read."""

    channels: tuple[str, ...]
    label_names: tuple[str, ...]
    shape: tuple[int, ...]
    graded: bool
    scans: int
    """That have labels."""
    per_scan: int = 1
    """Cases a scan: its slices, where it was cut into some."""

    @property
    def spatial_dims(self) -> int:
        return len(self.shape)


class Frames:
    """What :class:`ssl3d_lite.study.experiment.Experiment` asks of a study's data."""

    def __init__(self, study: Study):
        self.study, self.scans = study, frame_of(study.cohort)
        self.wide = frame_of(study.corpus) if study.corpus else None

    def benchmark(self, arm: Arm) -> Frame:
        return self._for(arm, self.scans)

    def corpus(self, arm: Arm, fold: int) -> Any:
        own = self.wide is None or arm.own
        return SimpleNamespace(cohort=self._for(arm, self.scans if own else self.wide))

    def _for(self, arm: Arm, frame: Frame) -> Frame:
        if not arm.flat:
            return frame
        cut = {"axis": 2, "first": 0.0, "last": 1.0, "every": 1} | self.study.slices
        shape = tuple(edge for axis, edge in enumerate(frame.shape) if axis != cut["axis"])
        taken = frame.shape[cut["axis"]] * (cut["last"] - cut["first"]) / cut["every"]
        return replace(frame, shape=shape, per_scan=max(1, round(taken)))


def frame_of(table: dict[str, Any]) -> Frame:
    """The shape of what a virtual recipe makes by these settings."""
    from ssl3d_lite.data.registry import load_recipe

    recipe, own = table["recipe"], {k: v for k, v in table.items() if k != "recipe"}
    channels, classes, axes = KINDS[recipe]
    settings = load_recipe(recipe)[0](out=Path(), **own)
    edge = getattr(settings, "edge", None)
    return Frame(
        channels=tuple(map(str, range(channels))),
        label_names=tuple(map(str, range(classes))),
        shape=(edge,) * axes if edge else settings.size,
        graded=axes == 2,
        scans=settings.cases,
    )


def study_work(study: Study) -> Work:
    """All steps and operations of a study's runs."""
    bench, total = Experiment(study, Frames(study), Path(), Machine("cpu")), Work()
    for job, runs in plan(study).items():
        total += encoder_work(bench, job)
        for run in runs:
            total += sum(run_work(bench, run), Work())
    return total


def encoder_work(bench: Experiment, job: Job) -> Work:
    """Of the job's pretraining, or of an oracle's training."""
    arm = job.arm
    if arm.source == "oracle":
        settings = bench.oracle_training(job)
        return finetuning_step(bench, arm, settings, False).times(settings.steps)
    if not arm.tasks:
        return Work()
    settings = bench.pretraining(job)
    shape, space = bench.start(job), bench.data.corpus(arm, job.fold).cohort.shape
    turns = [
        pretraining_step(name, shape, tuple(own.items()), settings.batch, space)
        for name, own in bench.task_settings(arm).items()
    ]
    return sum(turns, Work()).times(settings.steps / len(turns))


def run_work(bench: Experiment, run: Run) -> Iterator[Work]:
    """One protocol: training, looks at validation and test cases, the score."""
    if run.protocol == "proxy":  # a few batches
        return
    arm = run.job.arm
    frame = bench.data.benchmark(arm)
    held_out = frame.scans * frame.per_scan / FOLDS  # validation cases, and as many test cases
    look = answering(bench, arm)
    if run.protocol == "probe":
        few = parse_label_budget(run.labels)
        scans = few if isinstance(few, int) else few * frame.scans * (FOLDS - 2) / FOLDS
        drawn = scans * frame.per_scan * len(bench.probing(0)["draws"])
        yield look.times(held_out + drawn + CALIBRATION * frame.per_scan)
        return
    settings = bench.finetuning(run)
    looks = settings.steps // settings.validate_every if settings.validate_every else 0
    frozen = min(settings.freeze_encoder_steps, settings.steps)
    step = finetuning_step(bench, arm, settings, frozen=False)
    still = finetuning_step(bench, arm, settings, frozen=True)
    yield still.times(frozen) + step.times(settings.steps - frozen)
    yield look.times(held_out * (looks + len(settings.test_at) + 1))


# ---- counting ----------------------------------------------------------------------------------


@cache
def pretraining_step(
    name: str, shape: EncoderSettings, own: tuple, batch: int, space: tuple[int, ...]
) -> Work:
    task = make_task(name, shape, **dict(own))
    volumes = torch.empty(batch, shape.in_channels, *space, device="meta")
    posed = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
    with torch.device("meta"):
        encoder = make_encoder(shape)
    learner = Pretraining(encoder, [task]).to("meta").train()
    return Work(1, operations(lambda: learner(0, posed)[0].backward()))


def finetuning_step(bench: Experiment, arm: Arm, settings: FinetuneSettings, frozen: bool) -> Work:
    frame = bench.data.benchmark(arm)
    shape = bench.encoder_settings(arm, frame)
    space = tuple(settings.patch or frame.shape)
    classes = len(frame.label_names)
    return _finetuning_step(shape, classes, frame.ordinal, settings.batch, space, frozen)


@cache
def _finetuning_step(
    shape: EncoderSettings,
    classes: int,
    graded: bool,
    batch: int,
    space: tuple[int, ...],
    frozen: bool,
) -> Work:
    settings = FinetuneSettings(freeze_encoder_steps=int(frozen))
    learner = Finetuning(empty_network(shape, classes, graded), settings).train()
    learner.at_step(0)
    images = torch.empty(batch, shape.in_channels, *space, device="meta")
    size = (batch,) if graded else (batch, *space)
    labels = torch.zeros(size, dtype=torch.uint8, device="meta")
    return Work(1, operations(lambda: learner(images, labels)[0].backward()))


def answering(bench: Experiment, arm: Arm) -> Work:
    """Of one case that is answered, in batches of four."""
    frame = bench.data.benchmark(arm)
    shape = bench.encoder_settings(arm, frame)
    one = _answering(shape, len(frame.label_names), frame.ordinal, frame.shape)
    return Work(1 / BATCH, one)


@cache
def _answering(shape: EncoderSettings, classes: int, graded: bool, space: tuple[int, ...]) -> int:
    network = empty_network(shape, classes, graded).eval()
    image = torch.empty(1, shape.in_channels, *space, device="meta")
    with torch.no_grad():
        return operations(lambda: network(image))


def empty_network(shape: EncoderSettings, classes: int, graded: bool) -> UNet | Classifier:
    """One of shapes alone."""
    with torch.device("meta"):
        return (Classifier if graded else UNet)(make_encoder(shape), classes)

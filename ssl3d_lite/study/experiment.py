"""The runs of a study: an encoder, and what is read off it.

A job is one encoder: an arm, a test fold, a seed. Its runs are the protocols at each number of
labels; each gives one row, fine-tuning with milestones one more for each. Everything random in a
run comes from its seed, which all arms share: the encoder's start, the scans that have labels, the
decoder's start, the order of batches.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import DivergedError
from ssl3d_lite.evaluation.monitor import eval_hooks
from ssl3d_lite.evaluation.probe import linear_probes, recalibrated
from ssl3d_lite.evaluation.proxy import proxy_score
from ssl3d_lite.evaluation.segmentation import evaluate
from ssl3d_lite.machine.collectives import on_rank_zero
from ssl3d_lite.machine.device import choose_device, machine_name
from ssl3d_lite.models.encoders import adapt_channels, make_encoder
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import ProxyTask, make_task, measure
from ssl3d_lite.training.finetuning import finetune
from ssl3d_lite.training.presets import SLICES, preset, published
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import FinetuneSettings, TrainSettings, machine_settings

from .arms import Arm
from .data import StudyData
from .ledger import Ledger, ResultRow, settings_key
from .settings import Study

ROW_FORMAT = 1  # of a row; another makes all old rows those of other settings
CALIBRATION = 16  # scans whose statistics a probed encoder's BatchNorm takes


@dataclass(frozen=True)
class Job:
    """One encoder."""

    arm: Arm
    fold: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.arm.slug}-fold{self.fold}-seed{self.seed}"


@dataclass(frozen=True)
class Run:
    """One protocol of it. ``labels`` is empty for the proxy task's own score, which needs none."""

    job: Job
    protocol: str
    labels: str = ""


def plan(study: Study) -> dict[Job, list[Run]]:
    """Every job with its runs, the arms of a seed next to each other: what is finished first can be
    compared first."""
    return {
        job: list(_runs(study, job))
        for seed in range(study.seeds)
        for fold in study.folds
        for arm in study.parsed_arms()
        for job in [Job(arm, fold, seed)]
    }


def _runs(study: Study, job: Job):
    if job.arm.tasks:
        yield Run(job, "proxy")
    protocols = {"scratch": ("finetune",), "random": ("frozen", "probe")}.get(
        job.arm.source, ("finetune", "frozen", "probe")
    )
    for protocol in protocols:
        for labels in study.labels if protocol in study.protocols else ():
            yield Run(job, protocol, labels)


@dataclass(frozen=True)
class Machine:
    """On what a study runs. No score should depend on it."""

    device: str = "auto"
    """auto, cpu or cuda."""
    devices: int = 1
    """GPUs, or CPU processes, that share each batch."""
    precision: str = "auto"
    """auto (bf16-mixed on GPUs that have it), 32-true or bf16-mixed."""
    activation_checkpointing: bool = False
    """Keep fewer features for the way back and compute them again: less memory, a third more
    time, the same scores."""


class Experiment:
    """A study laid out to be run: settings, cohorts, and the folder for its weights."""

    def __init__(self, study: Study, data: StudyData, out: Path, machine: Machine):
        self.study, self.data, self.out, self.machine = study, data, out, machine

    # ---- settings ------------------------------------------------------------------------------

    def encoder_settings(self, arm: Arm, cohort: Cohort) -> EncoderSettings:
        """The encoder's shape for a cohort's scans."""
        given = dict(self.study.encoder)
        if "filters" in given:
            given["filters"] = tuple(given["filters"])
        if arm.network:  # the file's shape is the U-Net's
            given = {"network": arm.network, "norm": given.get("norm", EncoderSettings.norm)}
        given |= {"norm": arm.norm} if arm.norm else {}
        return EncoderSettings(len(cohort.channels), cohort.spatial_dims, **given)

    def start(self, job: Job) -> EncoderSettings:
        """The shape in which a job's encoder starts: for the scans that it is pretrained on."""
        arm = job.arm
        if arm.tasks:
            return self.encoder_settings(arm, self.data.corpus(arm, job.fold).cohort)
        return self.encoder_settings(arm, self.data.benchmark(arm))

    def task_settings(self, arm: Arm) -> dict[str, dict[str, Any]]:
        """The settings of each of its proxy tasks that differ from their defaults."""
        dims, own = self.data.benchmark(arm).spatial_dims, self.study.tasks
        return {
            task: preset(self.preset_of(task, dims), task, dims).tasks[task]
            | own.get(f"2d-{task}" if arm.flat else task, {})
            for task in arm.tasks
        }

    def preset_of(self, task: str, dims: int) -> str:
        """Tasks that are not in the paper have none of its settings, so they get ours."""
        name = self.study.preset
        return name if name == "quick" or task in published(name, dims) else "quick"

    def pretraining(self, job: Job) -> TrainSettings:
        arm = job.arm
        dims, task = self.data.benchmark(arm).spatial_dims, arm.tasks[0]
        chosen = preset(self.preset_of(task, dims), task, dims).training
        chosen = chosen | {"epochs": 0} | self._given("pretrain", arm)
        return TrainSettings(**chosen, seed=job.seed, **asdict(self.machine))

    def finetuning(self, run: Run) -> FinetuneSettings:
        study, arm = self.study, run.job.arm
        dims = self.data.benchmark(arm).spatial_dims
        given = {"batch": 2 if dims == 3 else SLICES} | self._given("finetune", arm)
        settings = FinetuneSettings(**given, seed=run.job.seed, **asdict(self.machine))
        if run.protocol == "frozen":
            return replace(settings, freeze_encoder_steps=settings.steps)
        settings = replace(settings, test_at=study.milestones)  # whether or not they are wanted now
        if arm.source == "scratch":
            return settings
        frozen = round(study.warm_up * settings.steps)
        return replace(
            settings, freeze_encoder_steps=frozen, encoder_lr_scale=study.encoder_lr_scale
        )

    def _given(self, which: str, arm: Arm) -> dict[str, Any]:
        table = getattr(self.study, which)
        return table | (self.study.flat.get(which, {}) if arm.flat else {})

    def probing(self, seed: int) -> dict[str, Any]:
        """Voxels a scan; and the draws of labels, which other seeds do not share."""
        draws = self.study.probe.get("draws", 3)
        return {
            "voxels": self.study.probe.get("voxels", 3000),
            "draws": list(range(seed * draws, (seed + 1) * draws)),
        }

    # ---- what a score depends on ---------------------------------------------------------------

    def key(self, run: Run) -> str:
        """A checksum of all that the run's score depends on."""
        job = run.job
        depends = {
            "format": ROW_FORMAT,
            "benchmark": self.data.benchmark(job.arm).fingerprint,
            "fold": job.fold,
            "encoder": self.depends(job),
            "protocol": run.protocol,
            "labels": run.labels,
        }
        if run.protocol == "probe":
            depends["probe"] = self.probing(job.seed)
        elif run.protocol != "proxy":
            depends["finetune"] = _record(self.finetuning(run))
        return settings_key(depends)

    def depends(self, job: Job) -> dict[str, Any]:
        """All that a job's encoder depends on."""
        arm = job.arm
        scans = self.data.corpus(arm, job.fold)
        depends = {"source": arm.source, "shape": asdict(self.start(job)), "seed": job.seed}
        trained = {"scans": scans.cohort.fingerprint, "cases": list(scans.seen)}
        if arm.source == "oracle":
            return depends | trained | {"finetune": _record(self.oracle_training(job))}
        if not arm.tasks:
            return depends
        own = {"tasks": self.task_settings(arm), "pretrain": _record(self.pretraining(job))}
        return depends | trained | own

    def oracle_training(self, job: Job) -> FinetuneSettings:
        """As many steps as pretraining has, on all training labels."""
        settings = self.finetuning(Run(job, "finetune"))
        steps = self._given("pretrain", job.arm)["steps"]
        return replace(
            settings,
            steps=steps,
            freeze_encoder_steps=0,
            encoder_lr_scale=1.0,
            test_at=(),
            validate_every=0,
        )

    # ---- encoders ------------------------------------------------------------------------------

    def folder(self, job: Job) -> Path:
        """Where a job's encoder is kept: not where one of other settings is."""
        return self.out / "encoders" / f"{job.name}-{settings_key(self.depends(job))[:8]}"

    def encoder(self, job: Job) -> tuple[nn.Module, list[ProxyTask]]:
        """The job's encoder, trained if its arm is; and its proxy tasks with their heads."""
        arm, cohort = job.arm, self.data.benchmark(job.arm)
        scans = self.data.corpus(arm, job.fold)
        encoder = make_encoder(self.start(job), job.seed)
        tasks = [
            make_task(name, encoder.settings, job.seed, **own)
            for name, own in self.task_settings(arm).items()
        ]
        if tasks:
            pretrain(
                tasks, encoder, scans.cohort, scans.seen, self.pretraining(job), self.folder(job)
            )
        elif arm.source == "oracle":
            network = self.network(encoder, cohort, job.seed)
            training, everything = self.oracle_training(job), self.data.split(arm, job.fold).train
            finetune(network, cohort, everything, training, self.folder(job))
            encoder = network.encoder
        return encoder.to(choose_device(self.machine.device)), tasks

    def fitted(self, encoder: nn.Module, arm: Arm) -> nn.Module:
        """A copy that reads the benchmark's channels."""
        channels = len(self.data.benchmark(arm).channels)
        if encoder.settings.in_channels == channels:
            return deepcopy(encoder)
        device = next(encoder.parameters()).device
        return adapt_channels(encoder, channels).to(device)

    def network(self, encoder: nn.Module, cohort: Cohort, seed: int) -> nn.Module:
        return make_network(encoder, cohort, seed)


def _record(settings: TrainSettings) -> dict[str, Any]:
    machine = machine_settings()
    return {name: value for name, value in settings.record().items() if name not in machine}


def dry_run(experiment: Experiment) -> None:
    """Build every arm and draw one puzzle of each of its tasks, so that settings which cannot work
    are refused before anything is trained."""
    for arm in experiment.study.parsed_arms():
        job = Job(arm, experiment.study.folds[0], 0)
        scans, benchmark = experiment.data.corpus(arm, job.fold), experiment.data.benchmark(arm)
        encoder = make_encoder(experiment.encoder_settings(arm, benchmark), 0)
        experiment.network(encoder, benchmark, 0)
        encoder.check(torch.zeros(1, len(benchmark.channels), *benchmark.shape))
        for protocol in ("finetune", "frozen"):
            experiment.finetuning(Run(job, protocol))
        for name, own in experiment.task_settings(arm).items():
            shape = experiment.encoder_settings(arm, scans.cohort)
            count = min(2, experiment.pretraining(job).batch, len(scans.seen))
            volumes = torch.zeros(count, shape.in_channels, *scans.cohort.shape)
            task = make_task(name, shape, 0, **own)
            views = task.make_views(
                volumes, task.sample_params(volumes, torch.Generator().manual_seed(0))
            ).views
            make_encoder(shape, 0).check(views.flatten(0, 1))


# ---- running -----------------------------------------------------------------------------------


def run_job(experiment: Experiment, job: Job, runs: Sequence[Run], ledger: Ledger) -> Iterator[Run]:
    """Make the job's encoder and read it by ``runs``; each is given back when its rows are safe.

    A training that fails, such as an exemplar that collapses, is a result too: its row says why.
    """
    encoder, tasks, failure = None, [], None
    for run in runs:
        start, key = time.perf_counter(), experiment.key(run)
        try:
            if failure:
                raise failure
            if encoder is None:
                encoder, tasks = experiment.encoder(job)
            rows = READ[run.protocol](experiment, run, encoder, tasks)
        except DivergedError as reason:
            failure = reason if encoder is None else None  # the next run has the same encoder
            rows = [{"failure": str(reason)}]
        common = row_of(experiment, run) | {"seconds": round(time.perf_counter() - start, 1)}
        on_rank_zero(save_rows, experiment, key, [common | row for row in rows], ledger)
        yield run


def save_rows(experiment: Experiment, key: str, rows: list[ResultRow], ledger: Ledger) -> None:
    """Put a run's rows where they are safe, and delete the weights that were scored."""
    ledger.put(key, rows)
    shutil.rmtree(experiment.out / "runs" / key, ignore_errors=True)


def read_proxy(
    experiment: Experiment, run: Run, encoder: nn.Module, tasks: list[ProxyTask]
) -> list[ResultRow]:
    """How well the puzzles are solved on scans that no training saw."""
    batch = experiment.pretraining(run.job).batch
    scans = experiment.data.corpus(run.job.arm, run.job.fold)
    rows = []
    for task in tasks:
        task.to(next(encoder.parameters()).device)
        scores = on_rank_zero(proxy_score, task, encoder, scans.cohort, scans.unseen, batch)
        name = measure(scores)
        row = {"task": task.name, "measure": name, "score": scores[name]}
        rows.append(row | {"chance": float(scores["chance"])})
    return rows


def read_finetuning(
    experiment: Experiment, run: Run, encoder: nn.Module, tasks: list[ProxyTask]
) -> list[ResultRow]:
    """The test score after fine-tuning; and after each milestone, by which nothing is chosen."""
    job, cohort = run.job, experiment.data.benchmark(run.job.arm)
    split, settings = experiment.data.split(job.arm, job.fold), experiment.finetuning(run)
    network = experiment.network(experiment.fitted(encoder, job.arm), cohort, job.seed)
    labelled = cohort.subset(split.train, run.labels, job.seed)
    out = experiment.out / "runs" / experiment.key(run)
    hooks = eval_hooks(
        network,
        cohort,
        settings,
        validation=split.validation if settings.validate_every else (),
        test=split.test if settings.test_at else (),
    )
    history = finetune(network, cohort, labelled, settings, out, hooks=hooks)
    result = on_rank_zero(evaluate, network, cohort, split.test, settings.patch, False, False)
    row = scored(result) | {"scans": len(cohort.scans(labelled)), "steps": settings.steps}
    looks = [(h["validation"], h["step"]) for h in history if "validation" in h]
    if looks:
        best, step = max(looks, key=lambda look: (look[0], -look[1]))
        row |= {"validation": best, "best_step": step}
    at_milestones = [
        {"protocol": "convergence", "steps": h["step"], "score": h["test"]}
        for h in history
        if "test" in h
    ]
    few = {name: row[name] for name in ("scans", "measure")}
    return [row, *(few | each for each in at_milestones)]


def read_probe(
    experiment: Experiment, run: Run, encoder: nn.Module, tasks: list[ProxyTask]
) -> list[ResultRow]:
    """The linear probe of the frozen encoder: the mean over this seed's draws of labels."""
    return [on_rank_zero(probe_row, experiment, run, encoder)]


def probe_row(experiment: Experiment, run: Run, encoder: nn.Module) -> ResultRow:
    job, cohort = run.job, experiment.data.benchmark(run.job.arm)
    split, probing = experiment.data.split(job.arm, job.fold), experiment.probing(job.seed)
    some = list(cohort.scans(split.pretrain).values())[:CALIBRATION]
    encoder = recalibrated(experiment.fitted(encoder, job.arm), cohort, list(chain(*some)))
    draws = [cohort.subset(split.train, run.labels, draw) for draw in probing["draws"]]
    probes = linear_probes(encoder, cohort, draws, split.test, probing["voxels"])
    rows = [scored(result) for result in probes]
    means = {
        name: float(np.mean([row[name] for row in rows])) for name in rows[0] if name != "measure"
    }
    return means | {"measure": rows[0]["measure"], "scans": len(cohort.scans(draws[0]))}


READ: dict[str, Callable[[Experiment, Run, nn.Module, list[ProxyTask]], list[ResultRow]]] = {
    "proxy": read_proxy,
    "finetune": read_finetuning,
    "frozen": read_finetuning,
    "probe": read_probe,
}


def scored(result: Any) -> ResultRow:
    """A test result as columns: the score, and that of each part."""
    parts = {f"{result.measure} {name}": score for name, score in result.parts.items()}
    return {"measure": result.measure, "score": result.score, **parts}


def row_of(experiment: Experiment, run: Run) -> ResultRow:
    """The columns that all rows have, in their order."""
    job, cohort = run.job, experiment.data.benchmark(run.job.arm)
    return {
        "run": experiment.key(run),
        "study": experiment.study.name,
        "cohort": cohort.name,
        "arm": job.arm.name,
        "protocol": run.protocol,
        "task": "",
        "labels": run.labels,
        "scans": None,
        "seed": job.seed,
        "fold": job.fold,
        "steps": None,
        "measure": "",
        "score": None,
        "chance": None,
        "failure": "",
        "validation": None,
        "best_step": None,
        "seconds": None,
        "machine": machine_name(experiment.machine.device),
        "version": f"ssl3d_lite {version('ssl3d-lite')}, torch {torch.__version__}",
    }

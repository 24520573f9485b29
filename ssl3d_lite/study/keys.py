"""What a score depends on, as a checksum.

Rows of results carry the key of their run. A study that is started again runs only what has no row
with its key; so a changed setting, or another cohort, is never mixed with old rows.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ssl3d_lite.tasks import TASKS
from ssl3d_lite.training.settings import TrainSettings, machine_settings

from .arms import PLACE
from .experiment import Experiment
from .jobs import Job, Run
from .ledger import settings_key
from .protocols import load_protocol

ROW_FORMAT = 2  # another number makes all rows written so far those of other settings


def run_key(experiment: Experiment, run: Run) -> str:
    """A checksum of all that a run's score depends on."""
    job = run.job
    depends = {
        "format": ROW_FORMAT,
        "benchmark": experiment.data.benchmark(job.arm).fingerprint,
        "fold": job.fold,
        "encoder": encoder_dependencies(experiment, job),
        "protocol": run.protocol,
        "labels": run.labels,
    }
    if job.arm.whole_network:  # an encoder moved alone may have all the rest in common
        depends["transfer"] = "network"
    if experiment.study.is_search:
        depends["scored"] = experiment.study.scored
    if job.arm.unnamed:
        depends["channels"] = "in turn"
    own = load_protocol(run.protocol).depends(experiment, run)
    if job.arm.source == PLACE:  # nothing is trained, but it has a row for each milestone
        own = {name: each for name, each in own.items() if name != "finetune"}
        own["milestones"] = list(experiment.study.milestones)
    return settings_key(depends | own)


def encoder_dependencies(experiment: Experiment, job: Job) -> dict[str, Any]:
    """All that a job's encoder depends on."""
    arm = job.arm
    if arm.source == PLACE:
        return {"source": PLACE, "seed": job.seed}
    corpus = experiment.data.corpus(arm, job.fold)
    shape = asdict(experiment.start(job))
    depends = {"source": arm.source, "shape": shape, "seed": job.seed}
    trained = {"scans": corpus.cohort.fingerprint, "cases": list(corpus.seen)}
    if arm.source == "oracle":
        training = relevant_settings(experiment.oracle_training(job))
        return depends | trained | {"finetune": training}
    if not arm.tasks:
        return depends
    training = relevant_settings(experiment.pretraining(job))
    own = {
        name: asdict(TASKS[name].Settings(**settings))  # a version may have other defaults
        for name, settings in experiment.task_settings(arm).items()
    }
    return depends | trained | {"tasks": own, "pretrain": training}


def relevant_settings(settings: TrainSettings) -> dict[str, Any]:
    """The settings of a training without those that no score depends on."""
    machine = machine_settings()
    return {name: value for name, value in settings.record().items() if name not in machine}


def encoder_folder(experiment: Experiment, job: Job) -> Path:
    """Where a job's encoder is kept: not where one of other settings is."""
    depends = settings_key(encoder_dependencies(experiment, job))
    return experiment.out / "encoders" / f"{job.name}-{depends[:8]}"

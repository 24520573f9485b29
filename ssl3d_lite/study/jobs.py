"""The work of a study, listed: a job is one encoder, a run is one protocol with one label budget.

A job is an arm, a test fold and a seed. Each of its runs gives one row of results; fine-tuning with
milestones gives one more for each of them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from .arms import PLACE, Arm, with_place
from .protocols import load_protocol, protocol_names
from .settings import Study


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
    """One protocol on one encoder.

    ``labels`` is empty for "proxy", the score of the proxy task itself, which needs no labels.
    """

    job: Job
    protocol: str
    labels: str = ""


def plan(study: Study) -> dict[Job, list[Run]]:
    """Every job with its runs, the arms of a seed next to each other: what is finished first can be
    compared first. Place alone, the floor of all, comes before the study's arms."""
    return {
        job: list(_runs(study, job))
        for seed in range(study.seeds)
        for fold in study.folds
        for arm in with_place(study.parsed_arms())
        for job in [Job(arm, fold, seed)]
    }


def _runs(study: Study, job: Job) -> Iterator[Run]:
    if job.arm.tasks:
        yield Run(job, "proxy")
    for name in protocol_names():
        protocol = load_protocol(name)
        makes_rows = protocol.floor if job.arm.source == PLACE else protocol.score
        if name in study.protocols and makes_rows and job.arm.source not in protocol.not_for:
            for labels in study.labels_of(name):
                yield Run(job, name, labels)

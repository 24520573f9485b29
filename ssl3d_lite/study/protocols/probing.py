"""probe: a linear classifier of the frozen encoder's features, fitted on few labels."""

from itertools import chain
from typing import Any

import numpy as np

from ssl3d_lite.evaluation.probe import linear_probes, recalibrated
from ssl3d_lite.machine.collectives import on_rank_zero
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.study.encoders import copy_for_benchmark
from ssl3d_lite.study.experiment import Experiment
from ssl3d_lite.study.jobs import Run
from ssl3d_lite.study.ledger import ResultRow, score_columns
from ssl3d_lite.tasks import ProxyTask

from .base import Protocol

CALIBRATION = 16  # scans whose statistics the BatchNorm of a probed encoder takes


def probe_protocol(
    experiment: Experiment, run: Run, encoder: Encoder, tasks: list[ProxyTask]
) -> list[ResultRow]:
    """The linear probe of the frozen encoder: the mean over the seed's draws of labels."""
    return [on_rank_zero(_probe_row, experiment, run, encoder)]


def _probe_row(experiment: Experiment, run: Run, encoder: Encoder) -> ResultRow:
    job, cohort = run.job, experiment.data.benchmark(run.job.arm)
    split, probing = experiment.data.split(job.arm, job.fold), experiment.probing(job.seed)
    some = list(cohort.scans(split.pretrain).values())[:CALIBRATION]
    encoder = copy_for_benchmark(experiment, encoder, job.arm)
    encoder = recalibrated(encoder, cohort, list(chain(*some)))
    draws = [cohort.subset(split.train, run.labels, draw) for draw in probing["draws"]]
    probes = linear_probes(encoder, cohort, draws, split.test, probing["voxels"])
    rows = [score_columns(result, cohort) for result in probes]
    patients = [row.pop("case_scores") for row in rows]
    measures = [row.pop("measure") for row in rows]
    return mean_of(rows) | {
        "measure": measures[0],
        "scans": len(cohort.scans(draws[0])),
        "draw_scores": " ".join(repr(row["score"]) for row in rows),
        "case_scores": mean_of(patients),
    }


def mean_of(tables: list[dict[str, float]]) -> dict[str, float]:
    """The mean of each number over tables that all have it."""
    return {name: float(np.mean([table[name] for table in tables])) for name in tables[0]}


def _depends(experiment: Experiment, run: Run) -> dict[str, Any]:
    return {"probe": experiment.probing(run.job.seed)}


PROBE = Protocol(
    "Linear probe of the frozen encoder", probe_protocol, _depends, not_for=("scratch",)
)

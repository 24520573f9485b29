"""probe: a linear classifier of the frozen encoder's features, fitted on few labels."""

from itertools import chain
from typing import Any

import numpy as np

from ssl3d_lite.evaluation.features import recalibrated
from ssl3d_lite.evaluation.linear_probe import linear_probes
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
    rows = [score_columns(result) for result in probes]
    means = {
        name: float(np.mean([row[name] for row in rows])) for name in rows[0] if name != "measure"
    }
    singles = " ".join(repr(row["score"]) for row in rows)
    scans = len(cohort.scans(draws[0]))
    return means | {"measure": rows[0]["measure"], "scans": scans, "draw_scores": singles}


def _depends(experiment: Experiment, run: Run) -> dict[str, Any]:
    return {"probe": experiment.probing(run.job.seed)}


PROBE = Protocol(
    "Linear probe of the frozen encoder", probe_protocol, _depends, not_for=("scratch",)
)

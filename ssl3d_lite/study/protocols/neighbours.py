"""neighbours: labels are transferred to the nearest neighbours in feature space. No training."""

from typing import Any

import numpy as np

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.evaluation.neighbours import EVERY, VOXELS, label_transfer
from ssl3d_lite.evaluation.place import evaluate_place
from ssl3d_lite.machine.collectives import on_rank_zero
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.study.experiment import Experiment
from ssl3d_lite.study.jobs import Run
from ssl3d_lite.study.ledger import ResultRow, mean_columns
from ssl3d_lite.tasks import ProxyTask

from .base import Protocol
from .probing import draws_of, ready_to_read


def neighbours_protocol(
    experiment: Experiment, run: Run, encoder: Encoder, tasks: list[ProxyTask]
) -> list[ResultRow]:
    """Label transfer: the mean over the seed's draws of labelled scans."""
    return [on_rank_zero(_transfer_row, experiment, run, encoder)]


def _transfer_row(experiment: Experiment, run: Run, encoder: Encoder) -> ResultRow:
    cohort, draws = experiment.data.benchmark(run.job.arm), draws_of(experiment, run)
    test = experiment.split(run.job).test
    found = label_transfer(ready_to_read(experiment, run, encoder), cohort, draws, test)
    return _row(cohort, draws, found)


def transfer_floor(experiment: Experiment, run: Run) -> list[ResultRow]:
    """Place alone by the same labelled scans, at the same voxels."""
    cohort, draws = experiment.data.benchmark(run.job.arm), draws_of(experiment, run)
    test = experiment.split(run.job).test
    found = on_rank_zero(
        lambda: [evaluate_place(cohort, draw, test, hausdorff=True, every=EVERY) for draw in draws]
    )
    return [_row(cohort, draws, found)]


def _row(cohort: Cohort, draws: list[tuple[int, ...]], found: list[Any]) -> ResultRow:
    row = mean_columns(found, cohort) | {"scans": len(cohort.scans(draws[0]))}
    if cohort.ordinal:
        return row
    return row | {"hd95": float(np.mean([each.hd95 for each in found]))}


def _depends(experiment: Experiment, run: Run) -> dict[str, Any]:
    return {"draws": experiment.probing(run.job.seed)["draws"], "search": [VOXELS, EVERY]}


NEIGHBOURS = Protocol(
    "Label transfer to the nearest neighbours in feature space",
    neighbours_protocol,
    _depends,
    transfer_floor,
    not_for=("scratch",),
)

"""proxy: how well the proxy task is solved on scans that no training saw. It needs no labels."""

from typing import Any

from ssl3d_lite.evaluation.proxy import proxy_score
from ssl3d_lite.machine.collectives import on_rank_zero
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.study.experiment import Experiment
from ssl3d_lite.study.jobs import Run
from ssl3d_lite.study.ledger import ResultRow
from ssl3d_lite.tasks import ProxyTask, measure

from .base import Protocol


def proxy_protocol(
    experiment: Experiment, run: Run, encoder: Encoder, tasks: list[ProxyTask]
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


def _depends(experiment: Experiment, run: Run) -> dict[str, Any]:
    return {}  # on its encoder alone


PROXY = Protocol("The proxy task on unseen scans", proxy_protocol, _depends)

"""The protocols: each scores one encoder in its own way, and returns rows of results.

proxy       how well its puzzles are solved on scans that no training saw
finetune    the test score after fine-tuning with few labels
frozen      the same with an encoder that stands still
probe       a linear classifier of its frozen features
convergence the test score on the way of fine-tuning; its rows come with those of finetune
"""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from ssl3d_lite.evaluation.monitor import eval_hooks
from ssl3d_lite.evaluation.probe import linear_probes, recalibrated
from ssl3d_lite.evaluation.proxy import proxy_score
from ssl3d_lite.evaluation.segmentation import evaluate
from ssl3d_lite.machine.collectives import on_rank_zero
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.tasks import ProxyTask, measure
from ssl3d_lite.training.finetuning import finetune

from .encoders import copy_for_benchmark
from .examples import keep_example
from .experiment import Experiment
from .jobs import Run
from .keys import run_key
from .ledger import ResultRow

CALIBRATION = 16  # scans whose statistics the BatchNorm of a probed encoder takes


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


def finetuning_protocol(
    experiment: Experiment, run: Run, encoder: Encoder, tasks: list[ProxyTask]
) -> list[ResultRow]:
    """The test score after fine-tuning; and after each milestone, by which nothing is chosen."""
    job, cohort = run.job, experiment.data.benchmark(run.job.arm)
    split, settings = experiment.data.split(job.arm, job.fold), experiment.finetuning(run)
    network = make_network(copy_for_benchmark(experiment, encoder, job.arm), cohort, job.seed)
    labelled = cohort.subset(split.train, run.labels, job.seed)
    hooks = eval_hooks(
        network,
        cohort,
        settings,
        validation=split.validation if settings.validate_every else (),
        test=split.test if settings.test_at else (),
    )
    out = experiment.out / "runs" / run_key(experiment, run)
    history = finetune(network, cohort, labelled, settings, out, hooks=hooks)
    result = on_rank_zero(evaluate, network, cohort, split.test, settings.patch, False, False)
    on_rank_zero(keep_example, experiment, run, network, result)
    row = score_columns(result) | {"scans": len(cohort.scans(labelled)), "steps": settings.steps}
    return [row | best_of(history), *convergence_rows(history, row)]


def best_of(history: Sequence[dict[str, Any]]) -> ResultRow:
    """The best score of the validation cases and its step, where there is one."""
    seen = [(h["validation"], h["step"]) for h in history if "validation" in h]
    if not seen:
        return {}
    best, step = max(seen, key=lambda each: (each[0], -each[1]))
    return {"validation": best, "best_step": step}


def convergence_rows(history: Sequence[dict[str, Any]], final: ResultRow) -> list[ResultRow]:
    """A row for each milestone at which the test cases were scored."""
    common = {"protocol": "convergence", "scans": final["scans"], "measure": final["measure"]}
    return [common | {"steps": h["step"], "score": h["test"]} for h in history if "test" in h]


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


def score_columns(result: Any) -> ResultRow:
    """A test result as columns: the score, and that of each part."""
    parts = {f"{result.measure} {name}": score for name, score in result.parts.items()}
    return {"measure": result.measure, "score": result.score, **parts}


ProtocolFunction = Callable[[Experiment, Run, Encoder, list[ProxyTask]], list[ResultRow]]

PROTOCOLS: dict[str, ProtocolFunction] = {
    "proxy": proxy_protocol,
    "finetune": finetuning_protocol,
    "frozen": finetuning_protocol,
    "probe": probe_protocol,
}

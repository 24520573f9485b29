"""finetune: the test score after fine-tuning with few labels.

frozen is the same with an encoder that stands still; convergence is the test score on the way, and
its rows come with those of finetune.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.evaluation.monitor import eval_hooks
from ssl3d_lite.evaluation.place import evaluate_place
from ssl3d_lite.evaluation.segmentation import evaluate
from ssl3d_lite.machine.collectives import on_rank_zero
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.study.encoders import copy_for_benchmark, pretrained_decoder
from ssl3d_lite.study.examples import keep_example
from ssl3d_lite.study.experiment import Experiment
from ssl3d_lite.study.films import finetuning_film
from ssl3d_lite.study.jobs import Run
from ssl3d_lite.study.keys import relevant_settings, run_key
from ssl3d_lite.study.ledger import ResultRow, by_patient, score_columns
from ssl3d_lite.tasks import ProxyTask
from ssl3d_lite.training.finetuning import finetune

from .base import Protocol


def finetuning_protocol(
    experiment: Experiment, run: Run, encoder: Encoder, tasks: list[ProxyTask]
) -> list[ResultRow]:
    """The test score after fine-tuning; and after each milestone, by which nothing is chosen."""
    job, cohort = run.job, experiment.data.benchmark(run.job.arm)
    split, settings = experiment.split(job), experiment.finetuning(run)
    encoder = copy_for_benchmark(experiment, encoder, job.arm)
    network = make_network(encoder, cohort, job.seed, pretrained_decoder(job.arm, tasks))
    labelled = cohort.subset(split.train, run.labels, job.seed)
    hooks = eval_hooks(
        network,
        cohort,
        settings,
        validation=split.validation if settings.validate_every else (),
        test=split.test if settings.test_at else (),
        by_scan=True,
    )
    out = experiment.out / "runs" / run_key(experiment, run)
    film = finetuning_film(experiment, run, network)
    every = hooks if film is None else [*hooks, film]
    history = finetune(network, cohort, labelled, settings, out, fold=job.fold, hooks=every)
    if film is not None:
        film.finish(history)
    fast = partial(evaluate, hausdorff=False, progress=False)
    result = on_rank_zero(fast, network, cohort, split.test, settings.patch)
    on_rank_zero(keep_example, experiment, run, network, result)
    row = score_columns(result, cohort) | {
        "scans": len(cohort.scans(labelled)),
        "steps": settings.steps,
    }
    return [row | best_of(history), *convergence_rows(history, row, cohort)]


def tuned_floor(experiment: Experiment, run: Run) -> list[ResultRow]:
    """Place alone by the labels to fine-tune with: the same at the end and after each milestone."""
    job, cohort = run.job, experiment.data.benchmark(run.job.arm)
    split = experiment.split(job)
    labelled = cohort.subset(split.train, run.labels, job.seed)
    result = on_rank_zero(evaluate_place, cohort, labelled, split.test)
    row = score_columns(result, cohort) | {"scans": len(cohort.scans(labelled))}
    steps = experiment.finetuning(run).test_at
    return [row, *(on_the_way(row, n, row["score"], row["case_scores"]) for n in steps)]


def best_of(history: Sequence[dict[str, Any]]) -> ResultRow:
    """The best score of the validation cases and its step, where there is one."""
    seen = [(h["validation"], h["step"]) for h in history if "validation" in h]
    if not seen:
        return {}
    best, step = max(seen, key=lambda each: (each[0], -each[1]))
    return {"validation": best, "best_step": step}


def convergence_rows(
    history: Sequence[dict[str, Any]], final: ResultRow, cohort: Cohort
) -> list[ResultRow]:
    """A row for each milestone at which the test cases were scored."""
    rows = []
    for h in history:
        if "test" in h:
            scans = [(n.removeprefix("test "), h[n]) for n in h if n.startswith("test ")]
            rows.append(on_the_way(final, h["step"], h["test"], by_patient(scans, cohort)))
    return rows


def on_the_way(
    final: ResultRow, steps: int, score: float, by_patient: dict[str, float]
) -> ResultRow:
    """The row of a milestone, beside that of the end."""
    same = {name: final[name] for name in ("scans", "measure")}
    own = {"protocol": "convergence", "steps": steps, "score": score}
    return same | own | {"case_scores": by_patient}


def _depends(experiment: Experiment, run: Run) -> dict[str, Any]:
    return {"finetune": relevant_settings(experiment.finetuning(run))}


FINETUNE = Protocol("Fine-tuning", finetuning_protocol, _depends, tuned_floor, not_for=("random",))
FROZEN = Protocol(
    "A decoder on the frozen encoder",
    finetuning_protocol,
    _depends,
    tuned_floor,
    not_for=("scratch",),
)
CONVERGENCE = Protocol("Fine-tuning, on its way", None, _depends)

"""Results of studies that were never run, with scores of our choosing."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ssl3d_lite.study.results import Results
from ssl3d_lite.study.settings import Study

FACTS = {
    "cohort": "Made-up scans",
    "licence": "CC0",
    "description": "Virtual: nothing but numbers.",
    "train": 20,
    "validation": 5,
    "test": 10,
    "pretrain": 25,
    "corpus": None,
}


def make_study(
    arms: Sequence[str] = ("cpc", "scratch"), labels: Sequence[str] = ("2", "5"), **more: Any
) -> Study:
    given = {"seeds": 3, "title": "Made up", "cohort": {"recipe": "virtual-hippocampus"}}
    given |= {"pretrain": {"steps": 100}, "finetune": {"steps": 100}}
    return Study("made-up", "smoke", arms=tuple(arms), labels=tuple(labels), **given | more)


def make_row(arm: str, score: float | None, seed: int = 0, **more: Any) -> dict[str, Any]:
    """A row of fine-tuning with 2 labels, unless said otherwise."""
    row = {
        "run": "",
        "study": "made-up",
        "cohort": "Made-up scans",
        "arm": arm,
        "protocol": "finetune",
        "task": "",
        "labels": "2",
        "scans": None,
        "seed": seed,
        "fold": 0,
        "steps": 100,
        "measure": "dice",
        "score": score,
        "chance": None,
        "failure": "",
        "best_step": None,
        "validation": None,
        "seconds": 1.5,
        "machine": "an abacus",
        "version": "ssl3d_lite 0, torch 0",
    }
    return row | more


def make_rows(arm: str, scores: Sequence[float | None], **more: Any) -> list[dict[str, Any]]:
    """A row a seed."""
    return [make_row(arm, score, seed, **more) for seed, score in enumerate(scores)]


def lost(arm: str, failure: str = "the exemplar collapsed", **more: Any) -> dict[str, Any]:
    """The row of a run that failed."""
    return make_row(arm, None, **{"steps": None, "measure": "", "failure": failure} | more)


def all_rows(study: Study, score: Callable[..., float]) -> list[dict[str, Any]]:
    """Every row that the study would have: ``score`` gives one from arm, protocol, labels' place,
    steps, seed and fold."""
    rows = []
    units = [(seed, fold) for seed in range(study.seeds) for fold in study.folds]
    for arm in study.parsed_arms():
        for protocol in protocols_of(study, arm.source):
            steps = study.milestones if protocol == "convergence" else (100,)
            for place, labels in enumerate(study.labels):
                for after in steps:
                    rows += [
                        make_row(
                            arm.name,
                            score(arm.name, protocol, place, after, seed, fold),
                            seed,
                            fold=fold,
                            protocol=protocol,
                            labels=labels,
                            steps=after,
                        )
                        for seed, fold in units
                    ]
    return rows


def with_patients(
    rows: list[dict[str, Any]], count: int = 12, spread: float = 0.05, own: float = 0.002
) -> list[dict[str, Any]]:
    """The same rows with a score for each of ``count`` patients, whose mean is the row's score.

    Patients differ by ``spread`` in all runs alike, and by ``own`` from run to run.
    """
    alike = np.random.default_rng(0).normal(0, spread, count)
    for place, row in enumerate(rows):
        if row["score"] is not None:
            apart = alike + np.random.default_rng(place).normal(0, own, count)
            scores = row["score"] + apart - apart.mean()
            row["case_scores"] = {f"p{i:02d}": float(each) for i, each in enumerate(scores)}
    return rows


def place_rows(study: Study, score: float = 0.3) -> list[dict[str, Any]]:
    """What place alone scores, the same with every number of labels."""
    protocols = {"finetune": "", **dict.fromkeys(study.protocols)}
    return [
        make_row(name, score, fold=fold, protocol=protocol, labels=each, steps=steps)
        for name in ("place", "2d-place")
        for protocol in protocols
        for each in study.labels_of(protocol)
        for steps in (study.milestones if protocol == "convergence" else (None,))
        for fold in study.folds
    ]


def protocols_of(study: Study, source: str) -> list[str]:
    has = {
        "scratch": ("finetune", "convergence"),
        "random": ("frozen", "probe", "probe+place", "neighbours"),
        "place": (),
    }
    return [
        protocol for protocol in study.protocols if protocol in has.get(source, study.protocols)
    ]


def results_of(study: Study, rows: list[dict[str, Any]], **facts: Any) -> Results:
    return Results(study, rows, FACTS | facts)

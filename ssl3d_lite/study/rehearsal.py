"""Which planned claims can be tested, and which cannot: what a study has no arm, control or
protocol for.

The study is rehearsed: each run of its plan gets a row, and the claims are put to these rows.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from .arms import Arm, parse_arm
from .baselines import (
    Choice,
    Where,
    best_random,
    from_scratch,
    in_turn,
    listed,
    on_slices,
    random_kinds,
    rows_of,
)
from .jobs import Run, plan
from .protocols import COMES_WITH
from .results import Results
from .settings import Study
from .trials import BETTER_FEATURES, Trial, trials
from .verdicts import MIN_KINDS

_LACKS: dict[Choice, str] = {
    from_scratch: "its twin from scratch is not run",
    best_random: "no random encoder is run beside it",
    on_slices: "the same on slices is not run",
    in_turn: "the same with @unnamed is not run",
}


def untestable(study: Study) -> str:
    """The planned claims (``claims``, ``claim_arms``) that no run of the study can test, in a line;
    "" if there are none."""
    wrong = [*_arms_not_run(study), *_claims_not_tested(study)]
    return f"Planned, but not to be tested: {'; '.join(wrong)}." if wrong else ""


def planned_comparisons(study: Study) -> list[tuple[str, str]]:
    """The comparisons that the study plans and can test, when all is run: claim and arm."""
    results = _rehearsed(study)
    return [
        (trial.name, arm.name)
        for trial in trials(results)
        if not _why_untested(study, trial)
        for arm in trial.arms
        if study.claimed(trial.name, arm.name) and not _lack(results, trial, arm)
    ]


def _arms_not_run(study: Study) -> Iterator[str]:
    """``claim_arms`` of which nothing will be known."""
    run = {arm.name for arm in study.parsed_arms()}
    for arm in map(parse_arm, study.claim_arms):
        if arm.is_control:
            yield f"claims for {arm.name}, which is a control"
        elif arm.name not in run:
            yield f"claims for {arm.name}, which is not among the arms"


def _claims_not_tested(study: Study) -> Iterator[str]:
    """``claims`` that have nothing to be compared, whole or for some of their arms."""
    results = _rehearsed(study)
    by_name = {trial.name: trial for trial in trials(results)}
    for name in study.claims:
        trial = by_name.get(name)
        if why := _why_untested(study, trial):
            yield f"{name!r}, as {why}"
        elif trial is not None:
            claimed = [arm for arm in trial.arms if study.claimed(name, arm.name)]
            lacks = {arm.name: _lack(results, trial, arm) for arm in claimed}
            for why in dict.fromkeys(filter(None, lacks.values())):
                arms = [arm for arm, each in lacks.items() if each == why]
                yield f"{name!r} of {listed(arms)}, as {why}"


def _why_untested(study: Study, trial: Trial | None) -> str:
    """Why a claim cannot be tested for any arm; "" if it can."""
    if trial is None:  # only that of channels needs arms of a kind to be there at all
        return _LACKS[in_turn]
    if trial.untested:
        return trial.untested
    if trial.where.protocol not in study.protocols:
        return f"the study has no protocol {trial.where.protocol!r}"
    if not any(study.claimed(trial.name, arm.name) for arm in trial.arms):
        return "none of its arms is run"
    return ""


def _lack(results: Results, trial: Trial, arm: Arm) -> str:
    """What a claim needs for one arm and has not; "" if all is there."""
    sides = rows_of(results, trial.where, arm.name), trial.baseline(results, trial.where, arm)
    own, other = (side is not None and bool(side[1]) for side in sides)
    if not own:
        return f"{trial.where.protocol!r} says nothing about it"
    if not other:
        return _LACKS[trial.baseline]
    kinds = random_kinds(results, trial.where, arm)
    if trial.name == BETTER_FEATURES and len(kinds) < MIN_KINDS:
        return f"one kind of random encoder ({listed(kinds)}) is too weak a control"
    tuned = from_scratch(results, Where("finetune", results.labels_of("finetune")), arm)
    return "" if tuned is not None and tuned[1] else _LACKS[from_scratch]


def _rehearsed(study: Study) -> Results:
    """The study as if all was run: a row for each run of one seed, all with the same score."""
    planned = plan(replace(study, seeds=1)).values()
    return Results(study, [row for runs in planned for run in runs for row in _rows(study, run)])


def _rows(study: Study, run: Run) -> Iterator[dict[str, Any]]:
    along = [name for name, maker in COMES_WITH.items() if maker == run.protocol]
    for protocol in (run.protocol, *(name for name in along if name in study.protocols)):
        for steps in study.milestones if protocol == "convergence" else (None,):
            yield {
                **{"arm": run.job.arm.name, "seed": run.job.seed, "fold": run.job.fold},
                **{"protocol": protocol, "task": "", "labels": run.labels, "steps": steps},
                **{"scans": None, "measure": "", "score": 1.0, "failure": ""},
            }

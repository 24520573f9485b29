"""Each claim, put to the test for every arm that is no control.

:mod:`ssl3d_lite.study.trials` says how, :mod:`ssl3d_lite.study.verdicts` decides, and
:mod:`ssl3d_lite.study.sentences` says it in words.
"""

from dataclasses import dataclass, replace
from itertools import combinations
from typing import NamedTuple

import numpy as np

from .arms import Arm
from .baselines import (
    Where,
    best_random,
    collapsed,
    contrast,
    floor_of,
    from_scratch,
    on_own_scans,
    place_alone,
    rows_of,
    warmed,
)
from .comparison import Comparison, score_arrays
from .label_savings import LabelSavings, label_savings
from .results import Results
from .trials import BETTER_FEATURES, PRETRAINED_ELSEWHERE, Trial, trials
from .verdicts import NOT_CLAIMED, Tested, decided


class StartNoise(NamedTuple):
    """How far two random starts of one arm lie apart: what is no effect of anything."""

    arm: str
    mean: float  # absolute difference between two seeds, on average
    seeds: int


@dataclass(frozen=True)
class Finding:
    """What was found of a claim for one arm."""

    arm: str
    comparison: Comparison | None  # None if the study has nothing to compare it with
    floor: Comparison | None = None  # against place alone, where that must be beaten too
    control: Comparison | None = None  # against the collapsed control: any training at all
    warmed: Comparison | None = None  # against scratch with the same warm-up
    more: tuple[Comparison, ...] = ()  # the same at single numbers of labels, or another baseline

    @property
    def verdict(self) -> str:
        return self.comparison.verdict if self.comparison else "cannot tell"

    @property
    def may_be_any_training(self) -> bool:
        """Whether it holds, but the arm is not clearly ahead of the collapsed control, which was
        trained too and learnt nothing."""
        return self.verdict == "holds" and not _is_ahead_of(self.control)

    @property
    def may_be_the_warm_up(self) -> bool:
        """Whether it holds, but the arm is not clearly ahead of scratch with the same warm-up."""
        return self.verdict == "holds" and not _is_ahead_of(self.warmed)


def _is_ahead_of(control: Comparison | None) -> bool:
    """Whether an arm is clearly ahead of a control, or there is none to tell by."""
    return control is None or control.low is None or control.low > 0


@dataclass(frozen=True)
class Claim:
    """A claim with all that was found of it."""

    trial: Trial
    findings: tuple[Finding, ...]
    controls: tuple[Comparison, ...] = ()  # what controls gain in the same comparison
    noise: tuple[StartNoise, ...] = ()  # that of the baselines
    untested: str = ""

    @property
    def name(self) -> str:
        return self.trial.name

    @property
    def planned(self) -> bool:
        """Whether the study's plan claims it, be it for one arm: else it is only shown."""
        compared = [f.comparison for f in self.findings if f.comparison]
        return not compared or any(NOT_CLAIMED not in each.why for each in compared)


def claims(results: Results) -> list[Claim]:
    """All that the study was made to test. All comparisons are judged together."""
    found = [put_to_test(results, trial) for trial in trials(results)]
    arms = {arm.name: arm for arm in results.arms}
    tests = [
        Tested(claim.trial, arms[each.arm], each.comparison, each.floor)
        for claim in found
        for each in claim.findings
        if each.comparison and each.comparison.differences
    ]
    verdicts = iter(decided(results, tests))
    return [
        replace(
            claim,
            findings=tuple(
                replace(each, comparison=next(verdicts))
                if each.comparison and each.comparison.differences
                else each
                for each in claim.findings
            ),
        )
        for claim in found
    ]


def put_to_test(results: Results, trial: Trial) -> Claim:
    """One claim for all its arms, not yet judged."""
    untested = trial.untested
    if not untested and trial.where.protocol not in results.study.protocols:
        untested = f"the study has no protocol {trial.where.protocol!r}"
    if untested:
        return Claim(trial, (), untested=untested)
    controls = [
        compared
        for arm in results.arms
        if arm.source == trial.control or arm.warm
        for compared in [contrast(results, trial.where, arm, trial.baseline)]
        if compared and compared.differences
    ]
    findings = tuple(finding(results, trial, arm) for arm in trial.arms)
    return Claim(trial, findings, tuple(controls), start_noise(results, trial))


def finding(results: Results, trial: Trial, arm: Arm) -> Finding:
    """Put one claim to the test for one arm."""
    where = trial.where
    compared = contrast(results, where, arm, trial.baseline)
    if compared is None:
        return Finding(arm.name, None)
    trained = trial.control == "collapsed"
    control = contrast(results, where, arm, collapsed) if trained else None
    still = contrast(results, where, arm, warmed) if trial.baseline is from_scratch else None
    floor = contrast(results, where, arm, place_alone) if trial.name == BETTER_FEATURES else None
    more: tuple[Comparison, ...] = ()
    if trial.name == BETTER_FEATURES and len(where.labels) > 1:
        singles = [replace(where, labels=(labels,)) for labels in where.labels]
        found = [contrast(results, single, arm, trial.baseline) for single in singles]
        more = tuple(each for each in found if each is not None)
    if trial.name == PRETRAINED_ELSEWHERE and (
        beside := contrast(results, where, arm, on_own_scans)
    ):
        more = (beside,)
    return Finding(arm.name, compared, floor, control, still, more)


def start_noise(results: Results, trial: Trial) -> tuple[StartNoise, ...]:
    """How far two random starts of the same baseline lie apart: each random encoder, or each arm
    that was trained from scratch."""
    source = "random" if trial.baseline is best_random else "scratch"
    found = []
    for arm in results.arms:
        rows = results.of(trial.where.protocol, arm.name, trial.where.labels, trial.where.steps)
        by_seed: dict[int, list[float]] = {}
        for row in rows if arm.source == source else ():
            by_seed.setdefault(row["seed"], []).append(row["score"])
        means = [float(np.mean(scores)) for scores in by_seed.values()]
        if len(means) > 1:
            apart = [abs(a - b) for a, b in combinations(means, 2)]
            found.append(StartNoise(arm.name, float(np.mean(apart)), len(means)))
    return tuple(found)


def savings_of(results: Results, arm: str) -> tuple[LabelSavings, int, int] | None:
    """How many labels an arm saves against its twin from scratch, and from how many seeds and
    patients that is known: of one patient, if the patients' scores are not stored. None where the
    study has one number of labels, or fewer than two seeds in which both learnt at each."""
    labels = results.labels_of("finetune")
    (which,) = (each for each in results.arms if each.name == arm)
    floor = floor_of(results, "finetune", which.flat)
    where, scratch = Where("finetune", labels), results.twin(which, "scratch")
    ours, theirs = rows_of(results, where, arm), rows_of(results, where, scratch)
    if len(labels) < 2 or not ours or not theirs:
        return None
    arrays = score_arrays(ours[1], theirs[1], labels, floor)
    if arrays is None:
        return None
    found = label_savings([results.scans(each) for each in labels], *arrays)
    return found, arrays[0].shape[0], arrays[0].shape[1]

"""The paper's five claims and one of ours, each put to the test for every arm that is no control.

A claim is a trial: which protocol, at which numbers of labels, against whom. The verdict is the
paired interval's; :mod:`ssl3d_lite.study.sentences` says it in words.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from ssl3d_lite.training.settings import FinetuneSettings

from .arms import Arm
from .ledger import ResultRow
from .results import Results
from .statistics import Comparison, Side, compare


@dataclass(frozen=True)
class Where:
    """Which rows are compared."""

    protocol: str
    labels: tuple[str, ...]
    steps: tuple[int, ...] | None = None


Choice = Callable[[Results, Where, Arm], Side | None]  # whom an arm is compared with


@dataclass(frozen=True)
class Trial:
    """How a claim is put to the test."""

    name: str
    statement: str
    """What is claimed of an arm, and by what it is judged."""
    where: Where
    baseline: Choice
    arms: list[Arm]
    noise: str = "collapsed"
    """The source of the control that gets the same comparison, to show what chance can do."""
    untested: str = ""
    """Why the study cannot say anything, if so."""


@dataclass(frozen=True)
class Finding:
    """What was found of a claim for one arm."""

    arm: str
    comparison: Comparison | None  # None if the study has nothing to compare it with
    noise: Comparison | None = None  # the arm against the collapsed control
    more: tuple[Comparison, ...] = ()  # the same at single numbers of labels, or another baseline
    saved: tuple[str, float, str | None] | None = None
    """The fewest labels, the mean score there, and the labels with which scratch reaches it."""

    @property
    def verdict(self) -> str:
        return self.comparison.verdict if self.comparison else "undecided"

    @property
    def indistinguishable_from_control(self) -> bool:
        """Whether it is ahead of its baseline, but what learns nothing gains about as much."""
        compared, noise = self.comparison, self.noise
        if compared is None or compared.mean is None or compared.verdict != "holds":
            return False
        if noise is None or noise.mean is None:
            return False
        return noise.verdict != "holds" and noise.mean < compared.mean


@dataclass(frozen=True)
class Claim:
    """A claim with all that was found of it."""

    trial: Trial
    findings: tuple[Finding, ...]
    noise: tuple[Comparison, ...]  # what controls that learn nothing gain in the same comparison
    untested: str = ""

    @property
    def name(self) -> str:
        return self.trial.name


def claims(results: Results) -> list[Claim]:
    """All that the study was made to test."""
    return [judge(results, trial) for trial in trials(results)]


def trials(results: Results) -> list[Trial]:
    """The claims, in the order in which one would ask."""
    arms = [arm for arm in results.arms if not arm.is_control]
    labels = results.labels_of("probe")
    features = Trial(
        "better features",
        "A linear probe reads more from its frozen features than from those of the best random "
        f"encoder ({listed(labels)} labelled scans, averaged).",
        Where("probe", labels),
        best_random,
        arms,
    )
    return [features, *against_scratch(results, arms), *against_related_arms(results, arms)]


def against_scratch(results: Results, arms: list[Arm]) -> list[Trial]:
    """The claims that fine-tuning from scratch with the same labels and steps can refute."""
    labels = results.labels_of("finetune")
    few = labels[:-1]
    end = results.study.finetune.get("steps", FinetuneSettings.steps)
    early = tuple(steps for steps in results.milestones if steps < end)
    fewer = (
        f"Fine-tuned with fewer labels than the most ({listed(few)}, averaged), it is ahead of its "
        "twin from scratch."
    )
    final = f"Fine-tuned with the most labels ({labels[-1]}), it is ahead of its twin from scratch."
    faster = (
        f"On the way (after {listed(early)} steps of fine-tuning, and over all numbers of labels, "
        "averaged), it is ahead of its twin from scratch."
    )
    one = "" if few else "the study has one number of labels"
    late = "" if early else "fine-tuning was not scored on its way"
    return [
        Trial("fewer labels", fewer, Where("finetune", few), from_scratch, arms, untested=one),
        Trial("better final score", final, Where("finetune", labels[-1:]), from_scratch, arms),
        Trial(
            "faster",
            faster,
            Where("convergence", labels, early),
            from_scratch,
            arms,
            untested=late,
        ),
    ]


def against_related_arms(results: Results, arms: list[Arm]) -> list[Trial]:
    """The claims about the same task on slices, and about pretraining elsewhere."""
    tuned = Where("finetune", results.labels_of("finetune"))
    twinned = [arm for arm in arms if flat_twin(results, arm)]
    moved = [arm for arm in arms if not arm.own] if results.study.corpus else []
    return [
        Trial(
            "3D beats 2D",
            "Fine-tuned, it is ahead of the same task on slices (averaged over numbers of labels).",
            tuned,
            on_slices,
            twinned,
            noise="scratch",
            untested="" if twinned else "the study has no task both in 3D and on slices",
        ),
        Trial(
            "transfer",
            "Pretrained on another corpus and fine-tuned here, it is ahead of its twin from "
            "scratch (averaged over numbers of labels).",
            tuned,
            from_scratch,
            moved,
            untested="" if moved else "encoders are pretrained on the benchmark's own scans",
        ),
    ]


def judge(results: Results, trial: Trial) -> Claim:
    """Put one claim to the test."""
    untested = trial.untested
    if trial.where.protocol not in results.study.protocols:
        untested = f"the study has no protocol {trial.where.protocol!r}"
    if untested:
        return Claim(trial, (), (), untested)
    noise = [
        compared
        for arm in results.arms
        if arm.source == trial.noise
        for compared in [contrast(results, trial.where, arm, trial.baseline)]
        if compared and compared.differences
    ]
    return Claim(trial, tuple(finding(results, trial, arm) for arm in trial.arms), tuple(noise))


def finding(results: Results, trial: Trial, arm: Arm) -> Finding:
    """Put one claim to the test for one arm."""
    where = trial.where
    compared = contrast(results, where, arm, trial.baseline)
    if compared is None:
        return Finding(arm.name, None)
    noise = contrast(results, where, arm, collapsed) if trial.noise == "collapsed" else None
    more: tuple[Comparison, ...] = ()
    saved = None
    if trial.name == "better features" and len(where.labels) > 1:
        singles = [replace(where, labels=(labels,)) for labels in where.labels]
        found = [contrast(results, single, arm, trial.baseline) for single in singles]
        more = tuple(each for each in found if each is not None)
    if trial.name == "fewer labels":
        saved = labels_saved(results, arm)
    if trial.name == "transfer" and (beside := contrast(results, where, arm, on_own_scans)):
        more = (beside,)
    return Finding(arm.name, compared, noise, more, saved)


def contrast(results: Results, where: Where, arm: Arm, choice: Choice) -> Comparison | None:
    """An arm against its baseline; None if the study has none."""
    ours, baseline = rows_of(results, where, arm.name), choice(results, where, arm)
    if ours is None or baseline is None:
        return None
    return compare(ours, baseline, results.study.min_effect)


def rows_of(results: Results, where: Where, arm: str | None) -> Side | None:
    """An arm's name with the rows that are compared; None if there is no such arm."""
    return (arm, results.of(where.protocol, arm, where.labels, where.steps)) if arm else None


# ---- baselines ---------------------------------------------------------------------------------


def from_scratch(results: Results, where: Where, arm: Arm) -> Side | None:
    return rows_of(results, where, results.twin(arm, "scratch"))


def collapsed(results: Results, where: Where, arm: Arm) -> Side | None:
    return rows_of(results, where, results.twin(arm, "collapsed"))


def on_slices(results: Results, where: Where, arm: Arm) -> Side | None:
    return rows_of(results, where, flat_twin(results, arm))


def on_own_scans(results: Results, where: Where, arm: Arm) -> Side | None:
    """The same arm, pretrained on the benchmark and not on the corpus."""
    alike = [each.name for each in results.arms if each.own and each.kind == arm.kind]
    return rows_of(results, where, alike[0] if alike else None)


def best_random(results: Results, where: Where, arm: Arm) -> Side | None:
    """At each number of labels the random encoder of the same dimension, and of the same network if
    there is one, that is best on average.

    It is chosen on the scores that are then compared, so it is flattered, and not the arm.
    """
    every = [a for a in results.arms if a.source == "random" and a.flat == arm.flat]
    names = [a.name for a in [a for a in every if a.network == arm.network] or every]
    best: dict[str, str] = {}
    rows: list[ResultRow] = []
    for labels in where.labels:
        scores = {name: results.scores(where.protocol, name, labels) for name in names}
        means = {name: float(np.mean(found)) for name, found in scores.items() if found}
        if means:
            best[labels] = max(means, key=means.__getitem__)
            rows += results.of(where.protocol, best[labels], (labels,))
    if not names:
        return None
    if len(set(best.values())) > 1:
        which = "; ".join(
            f"{name} with {listed([n for n in best if best[n] == name])}"
            for name in dict.fromkeys(best.values())
        )
        return f"the best random encoder ({which})", rows
    return next(iter(best.values()), names[0]), rows


def flat_twin(results: Results, arm: Arm) -> str | None:
    """The same arm on slices; a flat arm has none."""
    alike = (True, arm.source, sorted(arm.variants))
    for each in results.arms:
        if not arm.flat and (each.flat, each.source, sorted(each.variants)) == alike:
            return each.name
    return None


# ---- more about a finding ----------------------------------------------------------------------


def labels_saved(results: Results, arm: Arm) -> tuple[str, float, str | None] | None:
    """With how many labels scratch reaches the arm's mean score at the fewest."""
    every, scratch = results.labels_of("finetune"), results.twin(arm, "scratch")
    fewest = every[0]
    ours = results.scores("finetune", arm.name, fewest)
    if len(ours) < 2:  # one seed says nothing, not even this
        return None
    reached = float(np.mean(ours))
    for labels in every:
        theirs = results.scores("finetune", scratch, labels) if scratch else []
        if len(theirs) > 1 and np.mean(theirs) >= reached:
            return fewest, reached, labels
    return fewest, reached, None


def listed(things: Iterable[object]) -> str:
    return ", ".join(map(str, things))

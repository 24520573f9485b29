"""When a comparison is a verdict, and which.

First it is asked whether the experiment can tell anything: enough seeds, patients' scores, networks
that learn, and something left to be gained. Then all comparisons of the study are judged together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from .arms import Arm
from .baselines import Where, floor_of, listed, random_kinds, rows_of
from .comparison import Comparison, compare
from .results import Results
from .statistics import (
    MIN_SEEDS,
    Estimate,
    VerdictName,
    holm,
    level_of_look,
    smallest_gain,
)
from .trials import BETTER_FEATURES, Trial

MIN_LEARNT = 4  # paired seeds in which both arms learnt, below which there is no verdict
MIN_KINDS = 2  # kinds of random encoder: a single one is a weak control
NOT_CLAIMED = "it is not among the claims of the plan, and only shown"
SEARCH = "it is a search for settings, scored on validation cases"
MARGIN = 2  # times the smallest gain worth having: what must lie above place, and above scratch


@dataclass(frozen=True)
class Tested:
    """One comparison that asks for a verdict."""

    trial: Trial
    arm: Arm
    compared: Comparison
    beside: Comparison | None = None  # a second baseline that must be beaten too

    @property
    def estimates(self) -> list[Estimate]:
        """Those that decide; none if one is missing."""
        found = [each.estimate for each in (self.compared, self.beside) if each]
        return [each for each in found if each] if all(found) else []

    @property
    def seeds_that_learnt(self) -> int:
        """Paired seeds with which both arms learnt, in all folds."""
        compared = self.compared
        lost = {seed for seed, _ in compared.lost}
        return len({seed for seed, _ in compared.differences} - lost)

    @property
    def p_holds(self) -> float:
        """It holds if it holds against every baseline."""
        return max(each.p_above(0.0) for each in self.estimates)

    @property
    def p_ruled_out(self) -> float:
        """It does not hold if against any baseline a gain worth having can be ruled out."""
        least = min(each.p_below(self.compared.min_effect) for each in self.estimates)
        return min(1.0, len(self.estimates) * least)


def decided(results: Results, tests: Sequence[Tested]) -> list[Comparison]:
    """The comparisons with their verdicts.

    Holm's correction goes over all claims of the plan that have patients' scores, even those that
    cannot be told for another reason, as that depends on the scores too: once for "holds" and once
    for "does not hold". Each is false in no more than ``LEVEL`` of all studies, over all looks.
    """
    level = level_of_look(look_of(results))
    judged = [results.is_judged(test.trial.name, test.arm.name) for test in tests]
    family = [
        test for test, claimed in zip(tests, judged, strict=True) if claimed and test.estimates
    ]
    holds = dict(zip(map(id, family), holm([t.p_holds for t in family]), strict=True))
    out = dict(zip(map(id, family), holm([t.p_ruled_out for t in family]), strict=True))
    done = []
    asked: dict[str | None, list[str]] = {}  # the same for all arms with the same scratch
    for test, claimed in zip(tests, judged, strict=True):
        scratch = results.twin(test.arm, "scratch")
        if scratch not in asked:
            asked[scratch] = assay(results, scratch, test.arm.flat)
        reasons = [*cannot_tell(results, test), *asked[scratch]]
        if results.study.is_search:
            reasons = [SEARCH]
        if not claimed:
            reasons = [NOT_CLAIMED]
        p = holds.get(id(test))
        verdict, why = verdict_of(test, reasons, p, out.get(id(test)), level)
        found = replace(test.compared, verdict=verdict, why=why, p=p)
        if p is not None and found.estimate and found.seeds >= MIN_SEEDS:
            error, df = found.estimate.standard_error, found.estimate.cautious_df
            found = replace(found, detectable=smallest_gain(error, df, level / len(family)))
        done.append(found)
    return done


def verdict_of(
    test: Tested, reasons: list[str], holds: float | None, out: float | None, level: float
) -> tuple[VerdictName, tuple[str, ...]]:
    """One verdict, and why it is none.

    Args:
        reasons: why nothing can be told.
        holds, out: p of both directions, after Holm's correction.
    """
    if reasons or holds is None or out is None:
        return "cannot tell", tuple(reasons)
    compared = test.compared
    overall = compared.overall or 0.0  # failed runs count here, so leaving them out decides nothing
    if holds <= level and overall > 0:
        return "holds", ()
    if out <= level and overall < compared.min_effect:
        return "does not hold", ()
    if holds <= level:
        return "undecided", ("with its failed runs counted it is not ahead on average",)
    if out <= level:
        return "undecided", ("with failed runs counted it is ahead on average",)
    if all(each.interval()[0] > 0 for each in test.estimates):
        return "undecided", ("its own interval lies above zero, but not after Holm's correction",)
    return "undecided", ()


def look_of(results: Results) -> int:
    """At how many numbers of seeds verdicts have been read, this one included. Results of earlier
    versions do not know: they count as the first."""
    seeds = results.study.seeds
    looks = [*results.facts.get("looks", ())]
    return (looks if seeds in looks else [*looks, seeds]).index(seeds) + 1


# ---- can this experiment tell anything? --------------------------------------------------------


def cannot_tell(results: Results, test: Tested) -> list[str]:
    """Why no verdict can be given, in clauses that follow "because"."""
    compared, where = test.compared, test.trial.where
    reasons = []
    if compared.seeds < MIN_SEEDS:
        reasons.append(
            f"it has {compared.seeds} of the {MIN_SEEDS} paired seeds that a verdict needs"
        )
    elif (learnt := test.seeds_that_learnt) < MIN_LEARNT:
        reasons.append(
            f"both arms learnt with only {learnt} of {compared.seeds} seeds "
            f"({MIN_LEARNT} are needed)"
        )
    if not test.estimates and len(compared.learnt) > 1:
        reasons.append("the patients' scores were not stored")
    if (
        test.trial.name == BETTER_FEATURES
        and len(kinds := random_kinds(results, where, test.arm)) < MIN_KINDS
    ):
        reasons.append(f"it has one kind of random encoder ({listed(kinds)}), a weak control")
    return [*reasons, *(room(results, test) if test.trial.room else [])]


def assay(results: Results, scratch: str | None, flat: bool) -> list[str]:
    """Whether anything can be learnt here at all: scratch with the most labels must be clearly
    ahead of place alone. A failed run counts as place alone.

    Args:
        scratch: the arm from scratch, if there is one.
        flat: whether it is trained on slices.
    """
    floor = floor_of(results, "finetune", flat)
    if not floor:
        return ["place alone was not scored, so the floor is unknown"]
    most = results.labels_of("finetune")[-1]
    side = rows_of(results, Where("finetune", (most,)), scratch)
    rows = [row for row in side[1] if floor.row(row)] if side else []
    if not rows:
        return ["nothing was trained from scratch, so it is unknown whether this can be learnt"]
    places = [floor.row(row) or row for row in rows]
    learnt = [place if floor.failed(row) else row for row, place in zip(rows, places, strict=True)]
    found = compare(("scratch", learnt), ("place alone", places), results.study.min_effect)
    ahead, margin = found.mean or 0.0, MARGIN * results.study.min_effect
    if found.low is not None and found.low > 0 and ahead >= margin:
        return []
    mean = float(np.mean([place["score"] for place in places]))
    return [
        f"with {results.labelled(most)} training from scratch is not clearly ahead of place alone "
        f"({mean + ahead:.3f} and {mean:.3f})"
    ]


def room(results: Results, test: Tested) -> list[str]:
    """Whether scratch with all labels is far enough ahead of scratch with these."""
    labels = test.trial.where.labels
    scratch = results.twin(test.arm, "scratch")
    here, most = (
        _learnt_mean(results, scratch, test.arm.flat, each)
        for each in (labels, results.labels_of("finetune")[-1:])
    )
    if here is None or most is None or most - here >= MARGIN * results.study.min_effect:
        return []
    return [
        f"{scratch} stands at {here:.3f} with {listed(labels)} labelled scans and at {most:.3f} "
        f"with the most: less than {MARGIN} times {results.study.min_effect:g} is left to be gained"
    ]


def _learnt_mean(
    results: Results, arm: str | None, flat: bool, labels: Sequence[str]
) -> float | None:
    """Mean score of an arm's runs that did not fail."""
    floor = floor_of(results, "finetune", flat)
    rows = results.of("finetune", arm, labels) if arm else []
    scores = [row["score"] for row in rows if not floor.failed(row)]
    return float(np.mean(scores)) if scores else None

"""What paired differences allow to be said, and what not.

Two arms are compared pair by pair: with the same seed and fold they had the same labels, the same
start of the decoder and the same order of batches, so what luck these bring falls on both. The mean
difference comes with an interval, and the interval decides.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from scipy import stats

from .ledger import ResultRow
from .results import Unit, has_score

VerdictName = Literal["holds", "does not hold", "undecided"]
Interval = tuple[float, float]
Side = tuple[str, list[ResultRow]]  # an arm's name, and its rows

CONFIDENCE = 0.95
_ROUNDING = 1e-12  # differences no further apart than this are the same


@dataclass(frozen=True)
class Comparison:
    """One arm against another."""

    arm: str
    against: str
    differences: dict[Unit, float]  # a pair's: positive where ``arm`` is ahead
    verdict: VerdictName
    min_effect: float  # the smallest difference worth having
    unpaired: int = 0  # scores that only one side has: left out
    uneven: bool = False  # some pairs have scores at more numbers of labels than others

    @property
    def mean(self) -> float | None:
        return float(np.mean(list(self.differences.values()))) if self.differences else None

    @property
    def interval(self) -> Interval | None:
        return interval(list(self.differences.values()))

    @property
    def low(self) -> float | None:
        return self.interval and self.interval[0]

    @property
    def high(self) -> float | None:
        return self.interval and self.interval[1]


def compare(ours: Side, theirs: Side, min_effect: float) -> Comparison:
    """Compare two arms by their rows of one protocol."""
    (arm, our_rows), (against, their_rows) = ours, theirs
    differences = paired(our_rows, their_rows)
    a, b = _scores(our_rows), _scores(their_rows)
    places = defaultdict(set)
    for *where, seed, fold in a.keys() & b.keys():
        places[seed, fold].add(tuple(where))
    return Comparison(
        arm,
        against,
        differences,
        verdict(list(differences.values()), min_effect),
        min_effect,
        unpaired=len(a.keys() ^ b.keys()),
        uneven=len({frozenset(each) for each in places.values()}) > 1,
    )


def paired(ours: Iterable[ResultRow], theirs: Iterable[ResultRow]) -> dict[Unit, float]:
    """Seed and fold → the difference of the two arms' scores there.

    Scores are compared at the same number of labels, and of convergence after the same number of
    steps; where there are several, their differences are averaged. What only one side has is left
    out.
    """
    a, b = _scores(ours), _scores(theirs)
    found = defaultdict(list)
    for key in sorted(a.keys() & b.keys()):
        *_, seed, fold = key
        found[seed, fold].append(a[key] - b[key])
    return {unit: float(np.mean(found[unit])) for unit in sorted(found)}


def _scores(rows: Iterable[ResultRow]) -> dict[tuple[Any, ...], float]:
    """Scores by what two rows must share to be compared. Steps are no part of it except where
    they are what is read: slices are fine-tuned in other steps than volumes."""
    return {
        (
            row["labels"],
            row["steps"] if row["protocol"] == "convergence" else 0,
            row["seed"],
            row["fold"],
        ): row["score"]
        for row in rows
        if has_score(row)
    }


def interval(differences: Sequence[float]) -> Interval | None:
    """The 95 % interval of the mean difference; None of fewer than two.

    Two are made, and the wider end counts on each side: a percentile bootstrap, which assumes
    nothing of how differences are spread, but of three pairs can never leave their range and is far
    too narrow; and Student's t, which is wide where pairs are few, but takes the spread to be
    normal.
    """
    return _interval(tuple(differences))


@lru_cache(maxsize=4096)
def _interval(differences: tuple[float, ...]) -> Interval | None:
    values = np.array(differences, float)
    if len(values) < 2:
        return None
    mean = float(values.mean())
    if np.ptp(values) < _ROUNDING:
        return mean, mean
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1) * stats.sem(values))
    drawn = stats.bootstrap(
        (values,),
        np.mean,
        method="percentile",
        confidence_level=CONFIDENCE,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return min(mean - half, float(drawn.low)), max(mean + half, float(drawn.high))


def verdict(differences: Sequence[float], min_effect: float) -> VerdictName:
    """What the differences say of the claim that their mean is above zero.

    It holds if the whole interval is above zero. It does not hold if a gain of ``min_effect`` can
    be ruled out. Anything else, and anything from one pair, is undecided.
    """
    found = interval(differences)
    if found is None:
        return "undecided"
    low, high = found
    if low > 0:
        return "holds"
    return "does not hold" if high < min_effect else "undecided"

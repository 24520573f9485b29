"""What the scores of two arms allow to be said: pure functions over arrays.

A difference between two arms is an average over seeds and over test patients, and both might have
been others. Radiology has the same problem, a method read by some readers on some patients, and
has solved it: multi-reader multi-case analysis. Here seeds are the readers and patients the cases.

References:
    Obuchowski & Rockette, Communications in Statistics: Simulation 24 (1995) 285: the model.
    Hillis, Statistics in Medicine 26 (2007) 596: its degrees of freedom.
    Hillis, Berbaum & Metz, Academic Radiology 15 (2008) 647: that the analysis of variance of
    single cases gives the same test, and two examples with all mean squares.
    Holm, Scandinavian Journal of Statistics 6 (1979) 65. McNemar, Psychometrika 12 (1947) 153.
    Lan & DeMets, Biometrika 70 (1983) 659: spending a level over looks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

VerdictName = Literal["holds", "does not hold", "undecided", "cannot tell"]
Interval = tuple[float, float]

CONFIDENCE = 0.95
LEVEL = (1 - CONFIDENCE) / 2
"""The share of studies that may make a false claim in one direction, over all of their looks."""
LOOK_SHARE = 0.8  # what one look spends of the level that is left
POWER = 0.8
MIN_SEEDS = 6  # paired seeds below which there is no verdict
_ROUNDING = 1e-12  # differences no further apart than this are the same


# ---- seeds and patients ------------------------------------------------------------------------


@dataclass(frozen=True)
class Estimate:
    """A mean difference with what it takes to judge it."""

    mean: float
    standard_error: float
    df: float  # degrees of freedom
    seeds: int
    cases: int

    @property
    def cautious_df(self) -> float:
        """Degrees of freedom far out, where Holm's correction looks: no more than twice those of
        seeds. Hillis' are as estimated as the error itself. A small spread of seeds by luck counts
        in both, and of six seeds a p of 1 in 450 came once in 210 (40 000 simulations)."""
        return min(self.df, 2 * (self.seeds - 1))

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        half = float(stats.t.ppf((1 + confidence) / 2, self.df)) * self.standard_error
        return self.mean - half, self.mean + half

    def p_above(self, value: float = 0.0) -> float:
        """One-sided p: how likely so high a mean is, if the true one is ``value`` or less."""
        return self._p(self.mean - value)

    def p_below(self, value: float) -> float:
        """One-sided p: how likely so low a mean is, if the true one is ``value`` or more."""
        return self._p(value - self.mean)

    def _p(self, ahead: float) -> float:
        if self.standard_error < _ROUNDING:
            return 0.0 if ahead > _ROUNDING else 1.0
        return float(stats.t.sf(ahead / self.standard_error, self.cautious_df))


@dataclass(frozen=True)
class Spread:
    """How differences between two arms vary: a two-way analysis of variance, one value a cell."""

    seeds: float  # variance from seed to seed
    cases: float  # variance from patient to patient, the same for all seeds
    rest: float  # variance of what neither explains

    def error(self, seeds: int, cases: int) -> tuple[float, float]:
        """Standard error of the mean difference, and its degrees of freedom, in an experiment of
        so many seeds and patients."""
        by_seed = cases * self.seeds + self.rest
        by_case = seeds * self.cases
        return _error(by_seed, by_case, seeds, cases)


def multi_reader(differences: ArrayLike) -> Estimate:
    """The mean difference between two arms, with seeds and patients both taken as samples.

    This is the test of Obuchowski and Rockette with Hillis' degrees of freedom. Their covariances
    (cov2, cov3) are of accuracies that many cases make up together. Where each case has a score of
    its own, such as Dice, the jackknife's covariances are the plain ones, and the test becomes a
    two-way analysis of variance of the differences (Hillis, Berbaum & Metz 2008, tables 3 and 4).
    So that is what is computed: one formula, without a choice of how to estimate covariances.

    Args:
        differences: (seed, patient), one arm's score minus the other's; at least two of each.

    Example::

        found = multi_reader([[0.02, 0.05, 0.01], [0.03, 0.04, 0.02]])
        found.interval(), found.p_above(0)
    """
    values = np.asarray(differences, float)
    seeds, cases = values.shape
    by_seed, by_case, rest = mean_squares(values)
    error, df = _error(by_seed, max(by_case - rest, 0.0), seeds, cases)
    return Estimate(float(values.mean()), error, df, seeds, cases)


def spread_of(differences: ArrayLike) -> Spread:
    """How differences (seed, patient) vary. A component that comes out below zero is zero."""
    values = np.asarray(differences, float)
    seeds, cases = values.shape
    by_seed, by_case, rest = mean_squares(values)
    return Spread(max((by_seed - rest) / cases, 0.0), max((by_case - rest) / seeds, 0.0), rest)


def mean_squares(values: np.ndarray) -> tuple[float, float, float]:
    """The mean squares of seeds, of patients and of the rest, from values (seed, patient)."""
    seeds, cases = values.shape
    row, column, mean = values.mean(1), values.mean(0), values.mean()
    rest = values - row[:, None] - column[None] + mean
    return (
        cases * float(((row - mean) ** 2).sum()) / (seeds - 1),
        seeds * float(((column - mean) ** 2).sum()) / (cases - 1),
        float((rest**2).sum()) / ((seeds - 1) * (cases - 1)),
    )


def _error(by_seed: float, by_case: float, seeds: int, cases: int) -> tuple[float, float]:
    """Standard error and degrees of freedom, from the mean square of seeds and from what that of
    patients exceeds the rest by.

    Hillis' degrees of freedom take what patients bring for known. It is estimated from no more than
    there are of them, and with ten patients and six seeds a test of 2 % was wrong in 3.5 %
    (20 000 simulations); so there are at most as many as patients give.
    """
    both = by_seed + by_case
    df = (seeds - 1) * (both / by_seed) ** 2 if by_seed > _ROUNDING**2 else float(seeds - 1)
    if by_case > 0:
        df = min(df, cases - 1) if by_seed > _ROUNDING**2 else cases - 1
    return float(np.sqrt(both / (seeds * cases))), float(df)


# ---- seeds alone -------------------------------------------------------------------------------


def interval(differences: Sequence[float]) -> Interval | None:
    """The 95 % interval of the mean difference over other seeds; None of fewer than two.

    It takes the test patients as given, so no verdict rests on it. Two intervals are made, and the
    wider end counts on each side: a percentile bootstrap, which assumes nothing of how differences
    are spread, but of three pairs can never leave their range; and Student's t, which is wide where
    pairs are few, but takes the spread to be normal.
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
    """What one interval over seeds says of the claim that the mean is above zero.

    It holds if the whole interval is above zero. It does not hold if a gain of ``min_effect`` can
    be ruled out. Anything else, and anything from one pair, is undecided. This is how to read an
    interval, and no study's verdict: that asks for more (:mod:`ssl3d_lite.study.verdicts`).
    """
    found = interval(differences)
    if found is None:
        return "undecided"
    low, high = found
    if low > 0:
        return "holds"
    return "does not hold" if high < min_effect else "undecided"


def failure_test(ours: Sequence[bool], theirs: Sequence[bool]) -> float:
    """McNemar's exact test of whether one of two arms fails more often, pair by pair.

    Args:
        ours: whether an arm failed, for each pair.
        theirs: whether the other did, in the same order.

    Returns:
        p, two-sided. Only pairs in which one of them failed tell anything.
    """
    only_ours = sum(a and not b for a, b in zip(ours, theirs, strict=True))
    only_theirs = sum(b and not a for a, b in zip(ours, theirs, strict=True))
    told = only_ours + only_theirs
    return float(stats.binomtest(only_ours, told).pvalue) if told else 1.0


# ---- several claims, several looks -------------------------------------------------------------


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p of each of several tests: that at most so many studies make any false
    claim, whichever of the claims are true, each is compared with the level as if it were alone.

    Example::

        holm([0.01, 0.04, 0.03])  # [0.03, 0.06, 0.06]
    """
    adjusted, least = [0.0] * len(p_values), 0.0
    for place, index in enumerate(np.argsort(p_values, kind="stable")):
        least = max(least, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = least
    return adjusted


def level_of_look(look: int, level: float = LEVEL) -> float:
    """What a study may spend when it is looked at for the ``look``-th time, at a number of seeds.

    Each look spends four fifths of what the looks before it have left. All looks together spend no
    more than ``level``, however many there will be, and the first is left with most of it. The sum
    bounds the error whatever the dependence of the looks (Bonferroni), so none of it is modelled.
    """
    return level * LOOK_SHARE * (1 - LOOK_SHARE) ** (look - 1)


# ---- power -------------------------------------------------------------------------------------


def smallest_gain(error: float, df: float, level: float, power: float = POWER) -> float:
    """The smallest true gain that is found in a share ``power`` of experiments.

    Args:
        error: standard error of the mean difference.
        df: its degrees of freedom.
        level: one-sided, of the test.
    """
    return error * float(stats.t.isf(level, df) + stats.t.isf(1 - power, df))

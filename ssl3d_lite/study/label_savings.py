"""How many labels an arm saves: the horizontal distance between two curves of scores over labels.

A score at few labels says how much higher a curve lies. How much further left it lies is another
question: with how many labels does the other arm reach the same scores?
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from .statistics import CONFIDENCE

DRAWS = 1000
_HEIGHTS = 33  # scores at which the distance is read
_TINY = 1e-9  # by which a level piece rises, so that it can be read backwards


@dataclass(frozen=True)
class LabelSavings:
    """By which factor the other arm needs more labels for the same scores: 2 is twice as many."""

    factor: float
    low: float
    high: float
    widest: float  # the ratio of the most labels to the fewest: no factor can be seen beyond it


def label_savings(
    labels: ArrayLike, ours: ArrayLike, theirs: ArrayLike, draws: int = DRAWS
) -> LabelSavings:
    """The horizontal distance between two curves, with a 95 % interval.

    Means over seeds and patients make a curve, which is made to rise (isotonic regression) and is
    linear between numbers of labels, on a logarithmic axis. The distance is the mean over all
    scores that both curves reach. Where they reach none in common, the whole width of the axis
    counts, so the true factor is that or more. The interval is a bootstrap: seeds and patients are
    drawn again with replacement, the same for both arms (Efron & Tibshirani 1993, percentiles).

    Args:
        labels: (number,) of labelled scans, rising; at least two.
        ours, theirs: scores (seed, patient, number) of runs that are paired.
    """
    places = np.log(np.asarray(labels, float))
    a, b = np.asarray(ours, float), np.asarray(theirs, float)
    rng = np.random.default_rng(0)
    found = [_distance(places, a.mean((0, 1)), b.mean((0, 1)))]
    for _ in range(draws):
        seeds, cases = (rng.integers(0, count, count) for count in a.shape[:2])
        drawn = (each[seeds].mean(0)[cases].mean(0) for each in (a, b))
        found.append(_distance(places, *drawn))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(found[1:], (tail, 1 - tail))
    factors = np.exp([found[0], low, high, places[-1] - places[0]])
    return LabelSavings(*map(float, factors))


def _distance(places: np.ndarray, ours: np.ndarray, theirs: np.ndarray) -> float:
    """How much further left ``ours`` lies, on the logarithmic axis of ``places``."""
    a, b = isotonic_regression(ours).x, isotonic_regression(theirs).x
    low, high = max(a[0], b[0]), min(a[-1], b[-1])
    if low > high:
        width = float(places[-1] - places[0])
        return width if a[0] > b[-1] else -width
    heights = np.linspace(low, high, _HEIGHTS)
    return float(np.mean(_reached(heights, b, places) - _reached(heights, a, places)))


def _reached(heights: np.ndarray, curve: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Where a rising curve reaches each of ``heights``: on a level piece, at its left end."""
    return np.interp(heights, curve + _TINY * np.arange(len(curve)), places)

"""One arm beside another, pair by pair: from rows of results to the arrays that are judged.

With the same seed and fold two arms had the same labels, the same start of the decoder and the same
order of batches, so what luck these bring falls on both. A run that does not beat place alone has
failed: pairs with a failed run are counted apart and are in no interval.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from .ledger import ResultRow
from .results import Unit, has_score
from .statistics import (
    Estimate,
    Interval,
    Spread,
    VerdictName,
    failure_test,
    interval,
    multi_reader,
    spread_of,
)

Side = tuple[str, list[ResultRow]]  # an arm's name, and its rows
_Where = tuple[str, int]  # what two rows must share within a pair: labels, steps


class FloorScores:
    """What place alone scores: the mean label map of the same labelled scans, no image seen.

    Args:
        rows: those of place alone in one protocol. One of the same seed and fold comes first; else
            their mean at the same number of labels counts.
    """

    def __init__(self, rows: Iterable[ResultRow]):
        self._rows: dict[Any, list[ResultRow]] = defaultdict(list)
        for row in rows:
            if has_score(row):
                where = row["labels"], row["fold"] or 0
                self._rows[*where, row["seed"]].append(row)
                self._rows[where].append(row)
                self._rows[row["labels"]].append(row)

    def __bool__(self) -> bool:
        return bool(self._rows)

    def _found(self, row: ResultRow) -> list[ResultRow]:
        where = row["labels"], row["fold"]
        every = (self._rows.get(key) for key in ((*where, row["seed"]), where, row["labels"]))
        return next(filter(None, every), [])

    def row(self, row: ResultRow) -> ResultRow | None:
        """A row of place alone that stands for ``row``'s labels, seed and fold."""
        found = self._found(row)
        if not found:
            return None
        scores = found[0].get("case_scores") if len(found) == 1 else _merged(found)
        return row | {"failure": "", "score": _mean(found), "case_scores": scores or {}}

    def score(self, row: ResultRow) -> float | None:
        found = self._found(row)
        return _mean(found) if found else None

    def failed(self, row: ResultRow) -> bool:
        """Whether a run broke off, or does not end above place alone."""
        floor, end = self.score(row), row["end"] if "end" in row else row["score"]
        return not has_score(row) or (floor is not None and end <= floor)


class Failures(NamedTuple):
    """In how many pairs each side failed."""

    ours: int
    theirs: int
    pairs: int
    p: float  # McNemar's, exact


@dataclass(frozen=True)
class Comparison:
    """One arm against another."""

    arm: str
    against: str
    differences: dict[Unit, float]  # a pair's: positive where ``arm`` is ahead
    min_effect: float  # the smallest difference worth having
    lost: frozenset[Unit] = frozenset()  # pairs in which a run failed
    failures: Failures | None = None  # None where place alone was not scored
    estimate: Estimate | None = None  # over pairs that learnt; None without patients' scores
    spread: Spread | None = None
    unpaired: int = 0  # scores that only one side has: left out
    uneven: bool = False  # some pairs have scores at more numbers of labels than others
    verdict: VerdictName = "cannot tell"
    why: tuple[str, ...] = ()  # why it cannot be told, or is undecided
    p: float | None = None  # one-sided, after Holm's correction
    detectable: float | None = None  # the smallest gain that it could have found

    @property
    def learnt(self) -> list[float]:
        """The differences of pairs in which both arms learnt."""
        return [value for unit, value in self.differences.items() if unit not in self.lost]

    @property
    def mean(self) -> float | None:
        """Over pairs in which both learnt."""
        return float(np.mean(self.learnt)) if self.learnt else None

    @property
    def overall(self) -> float | None:
        """Over all pairs; a run that broke off counts as place alone."""
        return float(np.mean(list(self.differences.values()))) if self.differences else None

    @property
    def seeds(self) -> int:
        return len({seed for seed, _ in self.differences})

    @property
    def interval(self) -> Interval | None:
        """95 %, over seeds and patients; over seeds alone where patients' scores are missing."""
        return self.estimate.interval() if self.estimate else interval(self.learnt)

    @property
    def low(self) -> float | None:
        return self.interval and self.interval[0]

    @property
    def high(self) -> float | None:
        return self.interval and self.interval[1]


def compare(
    ours: Side,
    theirs: Side,
    min_effect: float,
    floor: FloorScores | None = None,
    their_floor: FloorScores | None = None,
) -> Comparison:
    """Compare two arms by their rows of one protocol.

    Args:
        floor: place alone, by which failed runs are told; None where training is not what is
            compared, as with frozen encoders.
        their_floor: that of the other arm, if it is another: slices have their own.
    """
    (arm, our_rows), (against, their_rows) = ours, theirs
    floors = floor, floor if their_floor is None else their_floor
    a, b = (_runs(rows, each) for rows, each in zip((our_rows, their_rows), floors, strict=True))
    both = a.keys() & b.keys()
    pairs: dict[Unit, list[_Where]] = defaultdict(list)
    for unit, where in sorted(both):
        pairs[unit].append(where)
    lost = {unit: _lost(unit, pairs[unit], (a, b), floors) for unit in pairs}
    differences = {
        unit: float(np.mean([a[unit, each]["score"] - b[unit, each]["score"] for each in places]))
        for unit, places in pairs.items()
    }
    either = frozenset(unit for unit, each in lost.items() if any(each))
    array = _array(pairs, either, a, b)
    return Comparison(
        arm,
        against,
        differences,
        min_effect,
        lost=either,
        failures=_failures(list(lost.values())) if all(floors) else None,
        estimate=None if array is None else multi_reader(array),
        spread=None if array is None else spread_of(array),
        unpaired=len(a.keys() ^ b.keys()),
        uneven=len({frozenset(places) for places in pairs.values()}) > 1,
    )


def paired(ours: Iterable[ResultRow], theirs: Iterable[ResultRow]) -> dict[Unit, float]:
    """Seed and fold → the difference of the two arms' scores there.

    Scores are compared at the same number of labels, and of convergence after the same number of
    steps; where there are several, their differences are averaged. What only one side has is left
    out.
    """
    return compare(("", list(ours)), ("", list(theirs)), 0.0).differences


def score_arrays(
    ours: Sequence[ResultRow],
    theirs: Sequence[ResultRow],
    labels: Sequence[str],
    floor: FloorScores,
) -> tuple[np.ndarray, np.ndarray] | None:
    """Both arms' scores (seed, patient, number of labels), of the seeds in which both learnt at
    every number. One patient, whose score is the mean, where patients' scores are not stored; None
    of fewer than two seeds."""
    a, b = _runs(ours, floor or None), _runs(theirs, floor or None)
    folds = sorted({fold for (_, fold), _ in a.keys() & b.keys()})
    whole = [
        seed
        for seed in sorted({seed for (seed, _), _ in a})
        if all(
            ((seed, fold), (each, 0)) in side and not floor.failed(side[(seed, fold), (each, 0)])
            for fold in folds
            for each in labels
            for side in (a, b)
        )
    ]
    runs = [[side[(s, f), (n, 0)] for f in folds] for side in (a, b) for s in whole for n in labels]
    if len(whole) < 2 or not folds:
        return None
    every = [
        [set(row.get("case_scores") or {}) for row in fold] for fold in zip(*runs, strict=True)
    ]
    patients = [sorted(set.intersection(*sets)) for sets in every]
    scores = [
        [row["case_scores"][each] for row, own in zip(run, patients, strict=True) for each in own]
        or [_mean(run)]
        for run in runs
    ]
    shape = (2, len(whole), len(labels), -1)
    ours_array, theirs_array = np.array(scores).reshape(shape).swapaxes(2, 3)
    return ours_array, theirs_array


def _runs(
    rows: Iterable[ResultRow], floor: FloorScores | None
) -> dict[tuple[Unit, _Where], ResultRow]:
    """Rows by what two must share to be compared. Steps are no part of it except where they are
    what is read: slices are fine-tuned in other steps than volumes. A run that broke off has the
    score of place alone, if that is known."""
    found = {}
    for row in rows:
        counts: ResultRow | None = row
        if not has_score(row):
            counts = floor.row(row) if floor and row.get("failure") else None
            counts = counts and counts | {"failure": row["failure"]}
        if counts:
            steps = row["steps"] if row["protocol"] == "convergence" else 0
            found[(row["seed"], row["fold"]), (row["labels"], steps)] = counts
    return found


def _lost(
    unit: Unit,
    places: Sequence[_Where],
    sides: Sequence[Mapping[Any, ResultRow]],
    floors: Sequence[FloorScores | None],
) -> tuple[bool, ...]:
    """Whether each side failed in a pair, at any number of labels."""
    return tuple(
        floor is not None and any(floor.failed(side[unit, each]) for each in places)
        for side, floor in zip(sides, floors, strict=True)
    )


def _failures(lost: Sequence[tuple[bool, ...]]) -> Failures:
    ours, theirs = [each[0] for each in lost], [each[1] for each in lost]
    return Failures(sum(ours), sum(theirs), len(lost), failure_test(ours, theirs))


def _array(
    pairs: Mapping[Unit, Sequence[_Where]],
    lost: frozenset[Unit],
    a: Mapping[Any, ResultRow],
    b: Mapping[Any, ResultRow],
) -> np.ndarray | None:
    """Differences (seed, patient) of the seeds in which both arms learnt, on all folds and at all
    numbers of labels; None without the patients' scores, or of fewer than two seeds or patients.

    Each patient is tested in one fold: a seed's networks of all folds are one reader.
    """
    folds = {fold for _, fold in pairs}
    places = {each for found in pairs.values() for each in found}
    whole = {unit for unit in pairs if unit not in lost and set(pairs[unit]) == places}
    seeds = [s for s in sorted({seed for seed, _ in whole}) if {(s, f) for f in folds} <= whole]
    cells = [
        [_by_patient(a, b, (seed, fold), where) for fold in sorted(folds) for where in places]
        for seed in seeds
    ]
    if len(seeds) < 2 or not all(each for row in cells for each in row):
        return None
    tables = [_averaged(row) for row in cells]
    patients = sorted(set.intersection(*map(set, tables)))
    if len(patients) < 2:
        return None
    return np.array([[table[patient] for patient in patients] for table in tables])


def _by_patient(
    a: Mapping[Any, ResultRow], b: Mapping[Any, ResultRow], unit: Unit, where: _Where
) -> dict[tuple[int, str], float]:
    """A patient → the difference of the two arms there."""
    ours, theirs = (side[unit, where].get("case_scores") or {} for side in (a, b))
    return {(unit[1], each): ours[each] - theirs[each] for each in ours if each in theirs}


def _averaged(tables: Iterable[Mapping[Any, float]]) -> dict[Any, float]:
    """The mean of each key over the tables that have it."""
    found = defaultdict(list)
    for table in tables:
        for key, value in table.items():
            found[key].append(value)
    return {key: sum(values) / len(values) for key, values in found.items()}


def _mean(rows: Sequence[ResultRow]) -> float:
    return float(sum(row["score"] for row in rows)) / len(rows)


def _merged(rows: Sequence[ResultRow]) -> dict[str, float]:
    return _averaged(row.get("case_scores") or {} for row in rows)

"""Whom an arm is compared with: training from scratch, random encoders, place alone, slices."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .arms import PLACE, Arm
from .comparison import Comparison, FloorScores, Side, compare
from .ledger import ResultRow
from .results import Results

TRAINED = ("finetune", "frozen", "convergence")
"""Protocols that train a network, so that a run of them can fail."""


@dataclass(frozen=True)
class Where:
    """Which rows are compared."""

    protocol: str
    labels: tuple[str, ...]
    steps: tuple[int, ...] | None = None


Choice = Callable[[Results, Where, Arm], Side | None]  # whom an arm is compared with


def contrast(results: Results, where: Where, arm: Arm, choice: Choice) -> Comparison | None:
    """An arm against its baseline; None if the study has none."""
    ours, baseline = rows_of(results, where, arm.name), choice(results, where, arm)
    if ours is None or baseline is None:
        return None
    if where.protocol not in TRAINED:
        return compare(ours, baseline, results.study.min_effect)
    flat = arm.flat or choice is on_slices
    floors = (floor_of(results, where.protocol, each) for each in (arm.flat, flat))
    return compare(ours, baseline, results.study.min_effect, *floors)


def rows_of(results: Results, where: Where, arm: str | None) -> Side | None:
    """An arm's name with the rows that are compared, those of failed runs too; None if there is no
    such arm. A row on the way of fine-tuning says how that ends."""
    if not arm:
        return None
    rows = results.of(where.protocol, arm, where.labels, where.steps)
    lost = [row for row in results.failed(where.protocol, arm) if row["labels"] in where.labels]
    if where.protocol == "convergence":  # it fails with the fine-tuning that it is scored in
        lost = [
            row | {"protocol": "convergence", "steps": n} for row in lost for n in where.steps or ()
        ]
        ends = {_run_of(row): {"end": row["score"]} for row in results.of("finetune", arm)}
        rows = [row | ends.get(_run_of(row), {}) for row in rows]
    return arm, [*rows, *lost]


def _run_of(row: ResultRow) -> tuple[Any, ...]:
    return row["labels"], row["seed"], row["fold"]


def floor_of(results: Results, protocol: str = "finetune", flat: bool = False) -> FloorScores:
    """Place alone, by the labels that a protocol has."""
    return FloorScores(results.of(protocol, f"2d-{PLACE}" if flat else PLACE))


def from_scratch(results: Results, where: Where, arm: Arm) -> Side | None:
    return rows_of(results, where, results.twin(arm, "scratch"))


def collapsed(results: Results, where: Where, arm: Arm) -> Side | None:
    return rows_of(results, where, results.twin(arm, "collapsed"))


def warmed(results: Results, where: Where, arm: Arm) -> Side | None:
    """The arm from scratch whose encoder stands still at first, as a pretrained one does."""
    kind = arm.alike("scratch")
    alike = [each.name for each in results.arms if each.warm and each.kind == kind]
    return rows_of(results, where, alike[0] if alike else None)


def on_slices(results: Results, where: Where, arm: Arm) -> Side | None:
    return rows_of(results, where, flat_twin(results, arm))


def in_turn(results: Results, where: Where, arm: Arm) -> Side | None:
    return rows_of(results, where, unnamed_twin(results, arm))


def on_own_scans(results: Results, where: Where, arm: Arm) -> Side | None:
    """The same arm, pretrained on the benchmark and not on the corpus."""
    kind = arm.kind, arm.whole_network
    alike = [e.name for e in results.arms if e.own and (e.kind, e.whole_network) == kind]
    return rows_of(results, where, alike[0] if alike else None)


def place_alone(results: Results, where: Where, arm: Arm) -> Side | None:
    """What the mean label map of the same labelled scans scores, run by run."""
    floor = floor_of(results, where.protocol, arm.flat)
    rows = results.of(where.protocol, arm.name, where.labels, where.steps)
    return ("place alone", [row for each in rows if (row := floor.row(each))]) if floor else None


def flat_twin(results: Results, arm: Arm) -> str | None:
    """The same arm on slices; a flat arm has none."""
    return None if arm.flat else _named_alike(results, replace(arm, flat=True))


def unnamed_twin(results: Results, arm: Arm) -> str | None:
    """The same arm that reads channels in turn and not by name; such an arm has none itself."""
    wanted = replace(arm, variants=(*arm.variants, "unnamed"))
    return None if arm.unnamed else _named_alike(results, wanted)


def _named_alike(results: Results, wanted: Arm) -> str | None:
    """The name of an arm, whose variants may stand in another order; None if there is none."""
    for each in results.arms:
        if sorted(each.variants) == sorted(wanted.variants) and (
            (each.flat, each.source) == (wanted.flat, wanted.source)
        ):
            return each.name
    return None


# ---- the best random encoder -------------------------------------------------------------------


def random_kinds(results: Results, where: Where, arm: Arm) -> list[str]:
    """The kinds of random encoder of the same dimension that were read."""
    return [
        each.name
        for each in results.arms
        if each.source == "random"
        and each.flat == arm.flat
        and results.of(where.protocol, each.name, where.labels)
    ]


def best_random(results: Results, where: Where, arm: Arm) -> Side | None:
    """At each number of labels the kind of random encoder that is best on average.

    It is chosen on other cases than it is compared on: the test patients are halved, and in each
    half the kind counts that is best in the other. Without the patients' scores it is chosen on the
    scores that are then compared, which flatters it.
    """
    names = random_kinds(results, where, arm)
    best: dict[str, list[str]] = {}
    rows: list[ResultRow] = []
    for labels in where.labels:
        kinds = {name: results.of(where.protocol, name, (labels,)) for name in names}
        if kinds := {name: found for name, found in kinds.items() if found}:
            best[labels], chosen = _cross_fitted(kinds)
            rows += chosen
    if not names:
        return None
    every = dict.fromkeys(name for chosen in best.values() for name in chosen)
    return (next(iter(every)) if len(every) == 1 else _named(best)), rows


def _cross_fitted(kinds: dict[str, list[ResultRow]]) -> tuple[list[str], list[ResultRow]]:
    """Who is best, in each half of the patients by the other half, and the rows that this makes."""
    halves = _halves(kinds)
    if not halves:
        means = {
            name: float(np.mean([row["score"] for row in found])) for name, found in kinds.items()
        }
        best = max(means, key=means.__getitem__)
        return [best], kinds[best]
    chosen = [_best_in(kinds, other) for other in reversed(halves)]
    units = {(row["seed"], row["fold"]): row for row in kinds[chosen[0]]}
    second = {(row["seed"], row["fold"]): row for row in kinds[chosen[1]]}
    rows = []
    for unit in units.keys() & second.keys():
        both = [units[unit]["case_scores"], second[unit]["case_scores"]]
        scores = {
            each: own[each]
            for own, half in zip(both, halves, strict=True)
            for each in own
            if each in half
        }
        rows.append(
            units[unit] | {"score": float(np.mean(list(scores.values()))), "case_scores": scores}
        )
    return list(dict.fromkeys(chosen)), rows


def _halves(kinds: dict[str, list[ResultRow]]) -> list[set[str]]:
    """The patients in two halves; none if their scores are not all there."""
    rows = [row for found in kinds.values() for row in found]
    if not all(row.get("case_scores") for row in rows):
        return []
    patients = sorted({each for row in rows for each in row["case_scores"]})
    return [set(patients[0::2]), set(patients[1::2])] if len(patients) > 1 else []


def _best_in(kinds: dict[str, list[ResultRow]], patients: set[str]) -> str:
    """The kind that is best on average among some patients."""

    def mean(rows: Sequence[ResultRow]) -> float:
        return float(
            np.mean(
                [s for row in rows for each, s in row["case_scores"].items() if each in patients]
            )
        )

    return max(kinds, key=lambda name: mean(kinds[name]))


def _named(best: dict[str, list[str]]) -> str:
    by_kind: dict[str, list[str]] = {}
    for labels, chosen in best.items():
        by_kind.setdefault(" or ".join(chosen), []).append(labels)
    which = "; ".join(f"{kind} with {listed(labels)}" for kind, labels in by_kind.items())
    return f"the best random encoder ({which})"


def listed(things: Iterable[Any]) -> str:
    return ", ".join(map(str, things))

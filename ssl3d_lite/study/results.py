"""A study's results: rows by protocol, arm and number of labels."""

import math
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ssl3d_lite.data.cohort import parse_label_budget

from .arms import Arm, parse_arm
from .ledger import ResultRow
from .settings import Study

Unit = tuple[int, int]  # seed, fold: within it all arms had the same labels, decoder and batches


@dataclass
class Results:
    """What a study found so far. Anything may be missing: arms, seeds, numbers of labels."""

    study: Study
    rows: list[ResultRow]
    """A row a score, as results.csv has them. A run that was done again counts once, as the last
    time."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Of the data: ``cohort`` (its name), ``licence``, ``citation``, ``description``; numbers of
    scans to ``train``, for ``validation``, ``test`` and ``pretrain``; ``corpus`` (a name, or None);
    and ``other rows``, those of other settings that were left out."""

    def __post_init__(self):
        identity = ("arm", "protocol", "task", "labels", "seed", "fold", "steps")
        self.rows = list({tuple(row.get(n) for n in identity): row for row in self.rows}.values())
        done = {place(row) for row in self.rows if not row["failure"]}
        self.rows = [row for row in self.rows if not row["failure"] or place(row) not in done]

    @cached_property
    def arms(self) -> list[Arm]:
        """The study's, in its order, and any others that rows are of."""
        names = dict.fromkeys([*self.study.arms, *(row["arm"] for row in self.rows)])
        return [parse_arm(name) for name in names]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The study's numbers of labels, the smallest first."""
        return tuple(sorted(self.study.labels, key=self.scans))

    def scans(self, labels: str) -> float:
        """How many scans that is: as counted in the rows, or else as the name says."""
        counted = [r["scans"] for r in self.rows if r["labels"] == labels and r["scans"]]
        if counted:
            return float(np.mean(counted))
        asked = parse_label_budget(labels)
        return asked if isinstance(asked, int) else asked * (self.facts.get("train") or math.inf)

    @cached_property
    def milestones(self) -> tuple[int, ...]:
        """Steps after which convergence was read."""
        return tuple(sorted({r["steps"] for r in self.rows if r["protocol"] == "convergence"}))

    @property
    def planned(self) -> int:
        """Pairs that the study will have when it is complete."""
        return self.study.seeds * len(self.study.folds)

    @cached_property
    def measure(self) -> str:
        """What the benchmark is scored by: dice or kappa."""
        named = (r["measure"] for r in self.rows if r["protocol"] != "proxy" and r["measure"])
        return next(named, "score")

    @property
    def quantity(self) -> str:
        """The measure in words."""
        return {"dice": "mean Dice", "kappa": "quadratic weighted kappa"}.get(
            self.measure, self.measure
        )

    @cached_property
    def parts(self) -> list[str]:
        """The columns that hold a part of the score: those of regions."""
        columns = dict.fromkeys(name for row in self.rows for name in row)
        return [name for name in columns if name.startswith(f"{self.measure} ")]

    def of(
        self,
        protocol: str,
        arm: str,
        labels: Collection[str] | None = None,
        steps: Collection[int] | None = None,
    ) -> list[ResultRow]:
        """The rows of an arm that have a score."""
        return [
            row
            for row in self._scored.get((protocol, arm), ())
            if (labels is None or row["labels"] in labels)
            and (steps is None or row["steps"] in steps)
        ]

    @cached_property
    def _scored(self) -> dict[tuple[str, str], list[ResultRow]]:
        found = defaultdict(list)
        for row in self.rows:
            if has_score(row):
                found[row["protocol"], row["arm"]].append(row)
        return dict(found)

    def scores(
        self,
        protocol: str,
        arm: str,
        labels: str,
        steps: int | None = None,
        column: str = "score",
    ) -> list[float]:
        """One figure a pair of seed and fold."""
        rows = self.of(protocol, arm, (labels,), None if steps is None else (steps,))
        return [row[column] for row in rows if row.get(column) is not None]

    def failed(
        self, protocol: str | None = None, arm: str | None = None, labels: str | None = None
    ) -> list[ResultRow]:
        """The rows of runs that failed. Convergence is read off fine-tuning, and fails with it."""
        protocol = "finetune" if protocol == "convergence" else protocol
        return [
            row
            for row in self.rows
            if row["failure"]
            and protocol in (None, row["protocol"])
            and arm in (None, row["arm"])
            and labels in (None, row["labels"])
        ]

    def amount(self, labels: str) -> str:
        """A number of labels as a heading: a share says how many scans it is."""
        scans = self.scans(labels)
        known = labels.endswith("%") and math.isfinite(scans)
        return f"{labels} ({scans:.0f})" if known else labels

    def labelled(self, labels: str) -> str:
        """A number of labels in a sentence."""
        scans = self.scans(labels)
        if not labels.endswith("%"):
            return f"{labels} labelled scans"
        if math.isinf(scans):
            return f"{labels} of the labelled scans"
        return f"{scans:.0f} labelled scans ({labels})"

    def twin(self, arm: Arm, source: str) -> str | None:
        """The arm of another source that is fairest to compare with: of the same dimension, norm
        and network, or else the plain one of the same dimension."""
        kinds = {each.kind: each.name for each in reversed(self.arms)}
        return kinds.get(arm.alike(source)) or kinds.get((arm.flat, source, None, None))


def has_score(row: ResultRow) -> bool:
    """Kappa of graders who never differ is no number: that is no score either."""
    return row["score"] is not None and math.isfinite(row["score"])


def place(row: ResultRow) -> tuple[Any, ...]:
    """What a run is, whether it failed or not."""
    protocol = "finetune" if row["protocol"] == "convergence" else row["protocol"]
    return row["arm"], protocol, row["labels"], row["seed"], row["fold"]

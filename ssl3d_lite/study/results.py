"""A study's results: its rows by protocol, arm and number of labels."""

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ssl3d_lite.data.label_budget import parse_label_budget
from ssl3d_lite.files import read_json
from ssl3d_lite.old_names import renamed

from .arms import PLACE, Arm, find_twin, parse_arm
from .ledger import STUDY, Ledger, ResultRow
from .protocols import COMES_WITH
from .settings import Study, build_settings, is_among

Unit = tuple[int, int]  # seed, fold: within it all arms had the same labels, decoder and batches

STORED = Path(__file__).parents[2] / "notebooks/results"  # in the repository
_IDENTITY = ["arm", "protocol", "task", "labels", "seed", "fold", "steps"]
_COLUMNS = [*_IDENTITY, "scans", "measure", "score", "failure"]  # which every row has


@dataclass
class Results:
    """What a study found so far. Anything may be missing: arms, seeds, numbers of labels."""

    study: Study
    rows: list[ResultRow]
    """A row a score, as results.csv has them. A run that was done again counts once, as the last
    time; a failure is left out once the run has worked."""
    facts: dict[str, Any] = field(default_factory=dict)
    """Of the data: ``cohort`` (its name), ``licence``, ``citation``, ``description``; numbers of
    scans to ``train``, for ``validation``, ``test`` and ``pretrain``; ``corpus`` (a name, or None);
    ``other rows``, those of other settings that were left out; ``looks``, and the ``first plan``,
    its claims when verdicts were first read."""
    folder: Path | None = field(default=None, compare=False)
    """The folder they lie in, if they lie in one."""

    def __post_init__(self) -> None:
        for choose in (latest, without_mended):
            self.rows = [self.rows[place] for place in choose(as_frame(self.rows))]

    @cached_property
    def frame(self) -> pd.DataFrame:
        """The rows as a table. A cell that is empty is None or NaN."""
        return as_frame(self.rows)

    @cached_property
    def arms(self) -> list[Arm]:
        """The study's, in its order, and any others that rows are of."""
        return [parse_arm(name) for name in dict.fromkeys([*self.study.arms, *self.frame["arm"]])]

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """The study's numbers of labels, the smallest first."""
        return tuple(sorted(self.study.labels, key=self.scans))

    def labels_of(self, protocol: str) -> tuple[str, ...]:
        """The numbers of labels of one protocol, the smallest first."""
        return tuple(sorted(self.study.labels_of(protocol), key=self.scans))

    def scans(self, labels: str) -> float:
        """How many scans that is: as counted in the rows, or else as the name says."""
        if labels in self._counted:
            return self._counted[labels]
        asked = parse_label_budget(labels)
        if asked.scans is not None:
            return asked.scans
        return (asked.fraction or 1) * (self.facts.get("train") or math.inf)

    @cached_property
    def _counted(self) -> dict[str, float]:
        """A number of labels → the mean number of scans in its rows."""
        counted = self.frame[["labels", "scans"]].dropna()
        counted = counted[counted["scans"] != 0].astype({"scans": float})
        return dict(counted.groupby("labels")["scans"].mean())

    @cached_property
    def milestones(self) -> tuple[int, ...]:
        """Steps after which convergence was scored."""
        steps = self.frame.loc[self.frame["protocol"] == "convergence", "steps"]
        return tuple(sorted({int(each) for each in steps}))

    def is_judged(self, claim: str, arm: str) -> bool:
        """Whether a comparison is judged with the others: the plan claims it, or did when verdicts
        were first read, since claims that are dropped afterwards were looked at too."""
        first = self.facts.get("first plan") or {"claims": ("",), "claim_arms": ("",)}
        dropped = is_among(claim, first["claims"]) and is_among(arm, first["claim_arms"])
        return dropped or self.study.claimed(claim, arm)

    @property
    def planned(self) -> int:
        """Pairs that the study will have when it is complete."""
        return self.study.seeds * len(self.study.folds)

    @cached_property
    def measure(self) -> str:
        """What the benchmark is scored by: dice or kappa."""
        named = self.frame.loc[self.frame["protocol"] != "proxy", "measure"]
        return next(filter(None, named), "score")

    @property
    def quantity(self) -> str:
        """The measure in words."""
        return {"dice": "mean Dice", "kappa": "quadratic weighted kappa"}.get(
            self.measure, self.measure
        )

    @cached_property
    def parts(self) -> list[str]:
        """The columns that hold a part of the score: those of regions."""
        return [name for name in self.frame.columns if name.startswith(f"{self.measure} ")]

    # ---- choosing rows -------------------------------------------------------------------------

    def of(
        self,
        protocol: str,
        arm: str,
        labels: Collection[str] | None = None,
        steps: Collection[int] | None = None,
    ) -> list[ResultRow]:
        """The rows of an arm that have a score."""
        places = self._scored.get((protocol, arm), ())
        return [
            row
            for row in (self.rows[place] for place in places)
            if (labels is None or row["labels"] in labels)
            and (steps is None or row["steps"] in steps)
        ]

    @cached_property
    def _scored(self) -> dict[Any, Any]:
        """Protocol and arm → the places of their rows that have a score."""
        scored = self.frame[np.isfinite(self.frame["score"].astype(float))]
        return scored.groupby(["protocol", "arm"], sort=False).groups

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
        """The rows of runs that failed. What is scored on the way of another protocol, as
        convergence is on that of fine-tuning, fails with it."""
        protocol = COMES_WITH.get(protocol, protocol) if protocol else None
        asked = (("protocol", protocol), ("arm", arm), ("labels", labels))
        return [
            row
            for row in self._failed
            if all(wanted is None or row[column] == wanted for column, wanted in asked)
        ]

    @cached_property
    def _failed(self) -> list[ResultRow]:
        return [row for row in self.rows if row.get("failure", "") != ""]

    def below_place(self, protocol: str, arm: str, labels: str, steps: int | None = None) -> int:
        """How many runs do not beat place alone, by the same labels: they have learnt nothing that
        counts, so they have failed. None are known where place alone was not scored."""
        rows = self.of(protocol, arm, (labels,), None if steps is None else (steps,))
        floor = f"2d-{PLACE}" if parse_arm(arm).flat else PLACE
        if arm == floor:
            return 0
        places = self.of(protocol, floor, (labels,), None if steps is None else (steps,))
        known = {(row["seed"], row["fold"]): row["score"] for row in places}
        least = [known.get((row["seed"], row["fold"]), -math.inf) for row in rows]
        return sum(row["score"] <= least for row, least in zip(rows, least, strict=True))

    # ---- words ---------------------------------------------------------------------------------

    def amount(self, labels: str) -> str:
        """A number of labels as a heading: a share says how many scans it is."""
        scans = self.scans(labels)
        known = labels.endswith("%") and math.isfinite(scans)
        return f"{labels} ({scans:.0f})" if known else labels

    def labelled(self, labels: str) -> str:
        """A number of labels in a sentence."""
        scans = self.scans(labels)
        if not labels.endswith("%"):
            return f"{labels} labelled scan{'s' * (labels != '1')}"
        if math.isinf(scans):
            return f"{labels} of the labelled scans"
        return f"{scans:.0f} labelled scans ({labels})"

    def twin(self, arm: Arm, source: str) -> str | None:
        """The name of the arm of another source that it is fairest to compare with."""
        found = find_twin(self.arms, arm, source)
        return found.name if found else None


def load_results(folder: str | Path) -> Results:
    """The results that a finished study left in ``folder``; cohort and encoders need not be there.

    Raises:
        InputError: no finished study there.

    Example::

        results = load_results("studies/hippocampus-class")
        results.scores("probe", "cpc", "2")  # one score a pair of seed and fold
    """
    folder = Path(folder)
    record = read_json(folder / STUDY, "finished study")
    study = build_settings(Study, renamed(record["study"]), f"{folder / STUDY}")
    rows = in_order(Ledger(folder).rows(), record["facts"]["runs"])
    return Results(study, rows, record["facts"], folder)


def load_stored(name: str) -> Results | None:
    """The results of a study that is stored with the notebooks: beside the one that is run, or in
    the repository. None, and a line that says so, if it is in neither.

    Example::

        stored = load_stored("few_labels")  # notebooks/results/few_labels
    """
    for folder in (Path("results") / name, STORED / name):
        if (folder / STUDY).exists():
            return load_results(folder)
    print(f"{name}: no stored study; they lie in notebooks/results: start the notebook beside it")
    return None


def in_order(rows: list[ResultRow], runs: list[str]) -> list[ResultRow]:
    """The rows of these runs, as the runs are ordered."""
    place = {run: n for n, run in enumerate(runs)}
    return sorted((row for row in rows if row["run"] in place), key=lambda row: place[row["run"]])


# ---- which rows count --------------------------------------------------------------------------


def as_frame(rows: list[ResultRow]) -> pd.DataFrame:
    """Rows as a table, cells as they are."""
    columns = dict.fromkeys([*_COLUMNS, *(name for row in rows for name in row)])
    return pd.DataFrame(rows, columns=list(columns), dtype=object)


def latest(frame: pd.DataFrame) -> list[int]:
    """The places of rows that count: of the rows of one run the last, at the place of the first."""
    run = frame.groupby(_IDENTITY, sort=False, dropna=False).ngroup()
    last = ~run.duplicated(keep="last")
    return list(run[last].sort_values().index)


def without_mended(frame: pd.DataFrame) -> list[int]:
    """The places of all rows but failures of runs that have worked since."""
    protocol = frame["protocol"].replace(COMES_WITH)
    place = [frame["arm"], protocol, frame["labels"], frame["seed"], frame["fold"]]
    worked = frame["failure"] == ""
    mended = worked.groupby(place, dropna=False).transform("any")
    return list(np.flatnonzero(worked | ~mended))


def has_score(row: ResultRow) -> bool:
    """Whether a row has a score. Kappa of graders who never differ is no number."""
    return row["score"] is not None and math.isfinite(row["score"])

"""A study's results on disk: a row a score, added as each run ends, never half written.

A run leaves its rows in ``rows/KEY.json``, on whichever machine it ran; whoever leads the study
moves them into ``results.csv``, which is replaced as a whole. Killed at any moment between, the
next start finds the rows in one place or in both, and takes them once. The key is a checksum of all
that the scores depend on: rows of other settings stay in the file, and are never read as these.

For each row with scores of test patients, ``patients.csv`` has those: a verdict asks whether other
patients would have said the same. ``looks.json`` lists the numbers of seeds at which verdicts
were read.
"""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.scores import ScoreReport
from ssl3d_lite.files import plain_cell, read_json, write_csv, write_json
from ssl3d_lite.old_names import renamed

from .settings import Study
from .statistics import MIN_SEEDS

ResultRow = dict[str, Any]
"""results.csv has these columns, then a score a region ("dice WT"). ``case_scores`` is no column:
a test patient → the score there."""

TEXT_COLUMNS = (
    *("run", "study", "cohort", "fingerprint", "arm", "protocol", "task", "labels"),
    *("measure", "failure", "draw_scores", "machine", "version"),
)
WHOLE_COLUMNS = ("scans", "seed", "fold", "steps", "best_step")
RESULTS = "results.csv"
PATIENTS = "patients.csv"
LOOKS = "looks.json"
STUDY = "study.json"  # settings and facts of a finished study, beside its results.csv
_PATIENT = "patient "  # begins the name of each patient's column
_ROW = ("run", "protocol", "steps")  # what names a row of results
_KEY = re.compile(r"\w+")  # names a folder, and none elsewhere


def settings_key(depends: dict[str, Any]) -> str:
    """A checksum of all that a run depends on."""
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]


class Ledger:
    """The rows of the study in folder ``out``."""

    def __init__(self, out: Path):
        self.out = out

    @property
    def _left(self) -> dict[Path, list[ResultRow]]:
        """The files that runs have left, the oldest first, and their rows; no file of a user's."""
        paths = sorted((self.out / "rows").glob("*.json"), key=lambda path: path.stat().st_mtime)
        found = ((path, _rows_of_run(path)) for path in paths)
        return {path: rows for path, rows in found if rows is not None}

    def put(self, key: str, rows: Sequence[ResultRow]) -> None:
        """Leave all rows of one run, at once."""
        write_json(self.out / "rows" / f"{key}.json", list(rows))

    def collect(self) -> None:
        """Move what runs have left into results.csv. Rows that it has already stay as they are,
        character by character."""
        left = self._left
        for file, own in ((PATIENTS, _patients_of), (RESULTS, _without_patients)):
            table = self._cells(file)
            rows: list[Any] = table.to_dict("records")
            known = set(table.get("run", ()))
            added = [
                own(row) for path, new in left.items() if path.stem not in known for row in new
            ]
            if any(added):
                write_csv(self.out / file, [*rows, *filter(None, added)])
        for path in left:
            path.unlink()

    def rows(self) -> list[ResultRow]:
        """All rows of results.csv: texts, numbers, and None for a cell that is empty. A row has
        ``case_scores`` if the patients' scores were stored."""
        cells = self._cells(RESULTS)
        try:
            table = pd.DataFrame({name: typed(str(name), cells[name]) for name in cells})
        except ValueError as reason:
            raise InputError(
                f"{self.out / RESULTS} has a cell that is no number: {reason}; mend it"
            ) from None
        records: list[Any] = table.astype(object).where(table.notna(), None).to_dict("records")
        scores = self._case_scores()
        return [
            row | {"case_scores": found} if (found := scores.get(_name(row))) else row
            for row in records
        ]

    def _case_scores(self) -> dict[Any, dict[str, float]]:
        """A row's name → the score of each test patient."""
        rows: list[Any] = self._cells(PATIENTS).fillna("").to_dict("records")
        return {
            _name(row): {
                name.removeprefix(_PATIENT): float(score)
                for name, score in row.items()
                if name.startswith(_PATIENT) and score
            }
            for row in rows
        }

    def looks(self) -> list[int]:
        """The numbers of seeds at which verdicts have been read, the first look first. A study
        that was finished says so too, should the list be lost."""
        path, study = self.out / LOOKS, self.out / STUDY
        looks = []
        if path.exists():
            looks = read_json(path, "list of looks")
        elif study.exists():
            looks = read_json(study, "finished study").get("facts", {}).get("looks", [])
        if not isinstance(looks, list) or not all(isinstance(each, int) for each in looks):
            raise InputError(f"{path} is no list of numbers of seeds; move it away, or mend it")
        return looks

    def first_plan(self, study: Study) -> dict[str, list[str]]:
        """The claims of the plan when verdicts were first read: those of ``study`` if they were
        not read yet."""
        path = self.out / STUDY
        before = read_json(path, "finished study") if self.looks() and path.exists() else {}
        plan = before.get("facts", {}).get("first plan") or before.get("study") or vars(study)
        return {name: [*plan.get(name, ())] for name in ("claims", "claim_arms")}

    def note_look(self, seeds: int) -> None:
        """Write down that verdicts are read at a number of seeds."""
        looks = self.looks()
        if seeds >= MIN_SEEDS and seeds not in looks:
            write_json(self.out / LOOKS, [*looks, seeds])

    def is_one(self) -> bool:
        """Whether results.csv is one of a study."""
        try:
            return {"run", "arm", "protocol", "score"} <= set(self._cells(RESULTS).columns)
        except (OSError, ValueError):
            return False

    def _cells(self, file: str) -> pd.DataFrame:
        """A table as texts, just as they stand there."""
        path = self.out / file
        if not path.exists():
            return pd.DataFrame()
        cells = pd.read_csv(path, dtype=object, keep_default_na=False).map(plain_cell)
        cells.columns = list(renamed(dict.fromkeys(map(plain_cell, cells.columns))))
        return cells

    def done(self) -> set[str]:
        """The keys of runs that need not be run again, in results.csv or still on their way."""
        left = {path.stem for path in self._left}  # before they move on
        return left | set(filter(_KEY.fullmatch, self._cells(RESULTS).get("run", ())))


def _rows_of_run(path: Path) -> list[ResultRow] | None:
    """What a run has left in a file; None if it is another file."""
    try:
        rows = read_json(path, "row of results")
        return rows if {row["run"] for row in rows} <= {path.stem} else None
    except (InputError, TypeError, KeyError):
        return None


def typed(name: str, cells: pd.Series) -> pd.Series:
    """A column of results.csv as what it is: texts, whole numbers or numbers, which may be missing.

    Python reads the numbers, to the last digit that was written.

    Raises:
        ValueError: a cell is no number.
    """
    if name in TEXT_COLUMNS:
        return cells
    number = int if name in WHOLE_COLUMNS else float
    values = [None if cell == "" else number(cell) for cell in cells]
    return pd.Series(pd.array(values, dtype="Int64" if number is int else "Float64"))


def score_columns(result: ScoreReport, cohort: Cohort) -> ResultRow:
    """A test result as columns: the score, that of each part, and that of each test patient."""
    parts = {f"{result.measure} {name}": score for name, score in result.parts.items()}
    scores = by_patient(zip(result.cases, result.case_scores.tolist(), strict=True), cohort)
    return {"measure": result.measure, "score": result.score, **parts, "case_scores": scores}


def by_patient(scores: Iterable[tuple[str, float]], cohort: Cohort) -> dict[str, float]:
    """A patient → the mean over the scans, from the scores of scans."""
    patients = {case.scan: case.patient for case in cohort.cases}
    found = defaultdict(list)
    for scan, score in scores:
        found[patients[scan]].append(score)
    return {patient: fmean(own) for patient, own in found.items()}


def mean_columns(results: Sequence[ScoreReport], cohort: Cohort) -> ResultRow:
    """Test results of several draws of labels as columns: the means, and each draw's score."""
    rows = [score_columns(result, cohort) for result in results]
    patients = [row["case_scores"] for row in rows]
    means = {
        name: float(np.mean([row[name] for row in rows]))
        for name, value in rows[0].items()
        if isinstance(value, float)
    }
    scores = {each: fmean(own[each] for own in patients) for each in patients[0]}
    singles = " ".join(repr(row["score"]) for row in rows)
    told = {"measure": rows[0]["measure"], "draw_scores": singles, "case_scores": scores}
    return means | told


def _name(row: ResultRow) -> tuple[str, ...]:
    """What names a row of results, in either file."""
    return tuple("" if row.get(column) is None else str(row[column]) for column in _ROW)


def _without_patients(row: ResultRow) -> ResultRow:
    return {name: value for name, value in renamed(row).items() if name != "case_scores"}


def _patients_of(row: ResultRow) -> ResultRow | None:
    """A row of patients.csv; None if there are no scores of patients."""
    scores = row.get("case_scores") or {}
    named = {column: row.get(column) for column in (*_ROW, "arm", "labels", "seed", "fold")}
    return (
        named | {f"{_PATIENT}{each}": score for each, score in scores.items()} if scores else None
    )

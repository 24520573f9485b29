"""A study's results on disk: a row a score, added as each run ends, never half written.

A run leaves its rows in ``rows/KEY.json``, on whichever machine it ran; whoever leads the study
moves them into ``results.csv``, which is replaced as a whole. Killed at any moment between, the
next start finds the rows in one place or in both, and takes them once. The key is a checksum of all
that the scores depend on: rows of other settings stay in the file, and are never read as these.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ssl3d_lite.errors import InputError
from ssl3d_lite.files import plain_cell, read_json, write_csv, write_json
from ssl3d_lite.old_names import renamed

ResultRow = dict[str, Any]  # results.csv has these columns, then a score a region ("dice WT")

TEXT_COLUMNS = (
    *("run", "study", "cohort", "fingerprint", "arm", "protocol", "task", "labels"),
    *("measure", "failure", "draw_scores", "machine", "version"),
)
WHOLE_COLUMNS = ("scans", "seed", "fold", "steps", "best_step")
RESULTS = "results.csv"
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
        if left:
            table = self._cells()
            known = set(table.get("run", ()))
            rows: list[Any] = table.to_dict("records")
            for path, added in left.items():
                if path.stem not in known:
                    rows += map(renamed, added)
            write_csv(self.out / RESULTS, rows)
        for path in left:
            path.unlink()

    def rows(self) -> list[ResultRow]:
        """All rows of results.csv: texts, numbers, and None for a cell that is empty."""
        cells = self._cells()
        try:
            table = pd.DataFrame({name: typed(str(name), cells[name]) for name in cells})
        except ValueError as reason:
            raise InputError(
                f"{self.out / RESULTS} has a cell that is no number: {reason}; mend it"
            ) from None
        records: list[Any] = table.astype(object).where(table.notna(), None).to_dict("records")
        return records

    def is_one(self) -> bool:
        """Whether results.csv is one of a study."""
        try:
            return {"run", "arm", "protocol", "score"} <= set(self._cells().columns)
        except (OSError, ValueError):
            return False

    def _cells(self) -> pd.DataFrame:
        """results.csv as texts, just as they stand there."""
        path = self.out / RESULTS
        if not path.exists():
            return pd.DataFrame()
        cells = pd.read_csv(path, dtype=object, keep_default_na=False).map(plain_cell)
        cells.columns = list(renamed(dict.fromkeys(map(plain_cell, cells.columns))))
        return cells

    def done(self) -> set[str]:
        """The keys of runs that need not be run again, in results.csv or still on their way."""
        left = {path.stem for path in self._left}  # before they move on
        return left | set(filter(_KEY.fullmatch, self._cells().get("run", ())))


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


def score_columns(result: Any) -> ResultRow:
    """A test result as columns: the score, and that of each part."""
    parts = {f"{result.measure} {name}": score for name, score in result.parts.items()}
    return {"measure": result.measure, "score": result.score, **parts}


def mean_columns(results: Sequence[Any]) -> ResultRow:
    """Test results of several draws of labels as columns: the means, and each draw's score."""
    rows = [score_columns(result) for result in results]
    means = {
        name: float(np.mean([row[name] for row in rows]))
        for name, value in rows[0].items()
        if isinstance(value, float)
    }
    singles = " ".join(repr(row["score"]) for row in rows)
    return means | {"measure": rows[0]["measure"], "draw_scores": singles}

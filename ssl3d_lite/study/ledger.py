"""A study's results: a row a score, appended as each run ends, never half written.

A run leaves its rows in ``rows/KEY.json``, on whichever machine it ran; whoever leads the study
moves them into ``results.csv``, which is replaced as a whole. Killed at any moment between, the
next start finds the rows in one place or in both, and takes them once. The key is a checksum of all
that the scores depend on: rows of other settings stay in the file, and are never read as these.
"""

import csv
import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ssl3d_lite.errors import InputError
from ssl3d_lite.files import read_json, write_csv, write_json
from ssl3d_lite.old_names import renamed

ResultRow = dict[str, Any]  # results.csv has these columns, then a score a region ("dice WT")

WORDS = (
    *("run", "study", "cohort", "arm", "protocol", "task", "labels", "measure", "failure"),
    *("machine", "version"),
)
NUMBERS = ("scans", "seed", "fold", "steps", "best_step")
RESULTS = "results.csv"


def settings_key(depends: dict[str, Any]) -> str:
    """A checksum of all that a run depends on."""
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]


class Ledger:
    """The rows of the study in folder ``out``."""

    def __init__(self, out: Path):
        self.out = out

    def put(self, key: str, rows: Sequence[ResultRow]) -> None:
        """Leave all rows of one run, at once."""
        write_json(self.out / "rows" / f"{key}.json", list(rows))

    def collect(self) -> list[ResultRow]:
        """Move what runs have left into results.csv, and return all that it then holds."""
        left = sorted((self.out / "rows").glob("*.json"), key=lambda path: path.stat().st_mtime)
        if left:
            rows = self.rows()
            known = {row["run"] for row in rows}
            for path in left:
                if path.stem not in known:
                    rows += read_json(path, "row of results")
            write_csv(self.out / RESULTS, rows)
        for path in left:
            path.unlink()
        return self.rows()

    def rows(self) -> list[ResultRow]:
        """All rows of results.csv."""
        path = self.out / RESULTS
        if not path.exists():
            return []
        with open(path, newline="") as file:
            rows = list(map(renamed, csv.DictReader(file)))
        try:
            return [{name: typed(name, text) for name, text in row.items()} for row in rows]
        except (TypeError, ValueError) as reason:
            raise InputError(f"{path} has a cell that is no number: {reason}; mend it") from None

    def done(self) -> set[str]:
        """The keys of runs that need not be run again, in results.csv or still on their way."""
        left = {path.stem for path in (self.out / "rows").glob("*.json")}  # before they move on
        return left | {row["run"] for row in self.rows()}

    @contextmanager
    def held(self) -> Iterator[None]:
        """While held, no other process can lead the same study.

        Raises:
            InputError: one does.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.out / ".lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise InputError(
                f"another process is running the study in {self.out}; choose another folder"
            ) from None
        try:
            yield
        finally:
            lock.release()


def typed(name: str, text: str) -> Any:
    """A cell of results.csv as what it is: text, a whole number, a number, or None if empty."""
    if name in WORDS:
        return text
    if text == "":
        return None
    return int(text) if name in NUMBERS else float(text)

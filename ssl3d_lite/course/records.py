"""The result of one submission, stored as soon as it is there, so that a killed run loses none."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ssl3d_lite.errors import InputError
from ssl3d_lite.files import read_json, write_json

_RECORDS = "records"


@dataclass
class GradeRecord:
    """The result of one submission."""

    student: str
    assignment: str
    points: dict[str, float | None]
    """Part → points; None: a person has to mark it."""
    max: float
    """Maximum of points, open questions included."""
    status: str
    """graded, stopped: …, unreadable: …, not graded: …, missing."""
    seconds: float = 0.0
    """Seconds that the submission ran."""
    messages: dict[str, str] = field(default_factory=dict)
    """Part → why its tests failed; empty if they passed."""
    notes: list[str] = field(default_factory=list)
    """Changes that were undone before grading, and what was not run."""
    flags: list[str] = field(default_factory=list)
    """Reasons for a person to read this submission."""
    answers: dict[str, str] = field(default_factory=dict)
    """Open questions: grade_id of the cell → the student's text."""
    total: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether it could not be graded."""
        return self.status.startswith(("unreadable", "not graded"))

    def row(self) -> dict[str, Any]:
        """Columns of a line in grades.csv."""
        parts = {
            f"part {name.rpartition('-')[2]}": "" if got is None else f"{got:g}"
            for name, got in self.points.items()
        }
        return {
            **{"student": self.student, "assignment": self.assignment},
            **{"total": f"{self.total:g}", "max": f"{self.max:g}", "status": self.status},
            **{"seconds": f"{self.seconds:.1f}", "look at": "; ".join(self.flags), **parts},
        }


def record_place(out: Path, student: str, assignment: str) -> Path:
    """The file of a record."""
    return out / _RECORDS / student / f"{assignment}.json"


def store_record(place: Path, record: GradeRecord, key: str) -> None:
    """Store a record; ``key`` is a checksum of all that it depends on."""
    write_json(place, {"key": key, "record": asdict(record)})


def stored_record(place: Path, key: str | None = None) -> GradeRecord | None:
    """The record in a file, if it is one, of that key or of any."""
    if not place.exists():
        return None
    try:
        there = read_json(place, "record of a grade")
        return GradeRecord(**there["record"]) if key in (None, there["key"]) else None
    except (InputError, KeyError, TypeError):
        return None


def all_records(out: Path) -> list[GradeRecord]:
    """All records in a folder of grades, by student and assignment."""
    found = map(stored_record, sorted((out / _RECORDS).glob("*/*.json")))
    return [record for record in found if record is not None]

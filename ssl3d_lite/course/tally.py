"""After the runs: points that a person gave are counted; tables, texts and pages are written."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from ssl3d_lite.files import read_csv, write_csv

from .feedback import write_feedback
from .marks import Marks, key_of, unknown_students, write_marks
from .open_questions import write_open_questions
from .records import GradeRecord, all_records
from .sources import Assignment

TABLE = "grades.csv"


def with_earlier(
    done: Sequence[GradeRecord], wanted: Sequence[str], out: Path
) -> list[GradeRecord]:
    """The records of this run, and those of other assignments that earlier runs have left."""
    earlier = [record for record in all_records(out) if record.assignment not in wanted]
    return sorted([*done, *earlier], key=lambda record: (record.student, record.assignment))


def count_marks(
    records: Iterable[GradeRecord], assignments: Sequence[Assignment], marks: Marks
) -> list[str]:
    """Put a person's points into the records; returns what the person should hear of it."""
    courses, records = {a.name: a for a in assignments}, list(records)
    said = unknown_students(marks, {record.student for record in records})
    for record in records:
        parts = courses[record.assignment].parts if record.assignment in courses else ()
        for part in parts:
            key = key_of(record.student, record.assignment, part.number)
            points, before = marks.points.get(key), record.points.get(part.name)
            if points is None:
                continue
            record.points[part.name] = points
            if part.is_open:
                record.messages[part.name] = "read by a person"
            else:
                record.messages[part.name] = "marked by a person"
                what = f"{record.student}, {record.assignment}, part {part.number}"
                said.append(f"{marks.where[key]}: {what}: {points:g}, not the tests' {before:g}")
        record.total = sum(got for got in record.points.values() if got)
    return said


def write_texts(
    records: Iterable[GradeRecord], assignments: Sequence[Assignment], marks: Marks, out: Path
) -> None:
    """Write by_hand.md and by_hand.csv, for all answers to open questions."""
    answers, without = [], []
    courses = {a.name: a for a in assignments}
    for record in records:
        parts = courses[record.assignment].parts if record.assignment in courses else ()
        for part in parts:
            key = (record.student, record.assignment, part.number)
            if part.is_open and record.answers.get(part.tests):
                answers.append((key, part.points, record.answers[part.tests]))
            elif part.is_open and part.tests in record.answers:
                without.append(key)
    if answers or without:
        write_open_questions(out, answers, without)
    write_marks(out, marks, [key for key, _, _ in answers])


def write_pages(
    records: Iterable[GradeRecord], assignments: Sequence[Assignment], out: Path
) -> None:
    """Write each student's page."""
    courses = {a.name: a for a in assignments}
    for record in records:
        if record.assignment in courses:
            page = out / "feedback" / record.student / f"{record.assignment}.html"
            write_feedback(page, courses[record.assignment], asdict(record))


def write_grades(records: Sequence[GradeRecord], wanted: Sequence[str], out: Path) -> None:
    """Write grades.csv. Rows of assignments that were not graded now stay as they are."""
    rows = {(record.student, record.assignment): record.row() for record in records}
    table = out / TABLE
    for row in read_csv(table) if table.exists() else ():
        key = (row.get("student", ""), row.get("assignment", ""))
        if key[1] not in wanted:
            rows.setdefault(key, row)
    write_csv(table, [rows[key] for key in sorted(rows)])

"""The course's total, and the tables that Moodle and Canvas read: points go back the way that the
submissions came."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl3d_lite.files import write_csv

from .records import GradeRecord
from .roster import Person, Roster, read_roster
from .rules import CourseRules, after_lateness, late_days, read_rules, read_times
from .sources import Assignment
from .spreadsheets import write_sheet

COURSE_TABLE, MOODLE_TABLE, CANVAS_TABLE = "course.csv", "moodle.csv", "canvas.csv"
_CANVAS_COLUMNS = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")


@dataclass(frozen=True)
class StudentTotal:
    """What one student has, of what was handed in."""

    points: Mapping[str, float | None]
    """Assignment → points after lateness; None: an open question is still to be marked. What was
    not handed in is left out."""
    late: Mapping[str, int]
    """Assignment → late days that count."""
    percent: float | None
    """The course's total, of all assignments that anybody handed in; None: not known yet."""


_NOTHING = StudentTotal({}, {}, 0.0)  # a student who has handed in nothing


def totals_of(
    records: Sequence[GradeRecord], rules: CourseRules, submissions: Path
) -> dict[str, StudentTotal]:
    """The total of each student. An assignment that a student did not hand in counts 0."""
    times = read_times(submissions)
    maxima = {record.assignment: record.max for record in records if record.max}
    students: dict[str, dict[str, GradeRecord]] = {}
    for record in records:
        students.setdefault(record.student, {})[record.assignment] = record
    found = {}
    for student, own in students.items():
        known = {name: times[student, name] for name in own if (student, name) in times}
        late = late_days(rules, known)
        points = {
            name: _points(record, late.get(name, 0), rules)
            for name, record in own.items()
            if record.status != "missing"
        }
        found[student] = StudentTotal(points, late, _percent(points, maxima, rules))
    return found


def _points(record: GradeRecord, days: int, rules: CourseRules) -> float | None:
    if any(got is None for got in record.points.values()):
        return None
    return round(after_lateness(record.total, days, rules.late), 2)


def _percent(
    points: Mapping[str, float | None], maxima: Mapping[str, float], rules: CourseRules
) -> float | None:
    if None in points.values():
        return None
    whole = sum(rules.weight(name) for name in maxima)
    share = sum(rules.weight(n) * (points.get(n) or 0) / most for n, most in maxima.items())
    return round(100 * share / whole, 2) if whole else None


def write_totals(
    records: Sequence[GradeRecord],
    course: Sequence[Assignment],
    folders: tuple[Path, Path, Path],
    roster: Path | None,
) -> list[str]:
    """Write course.csv; with a class list also what its system reads.

    Args:
        records: all records, of all assignments.
        folders: the lecturer folder, the submissions, the grades.
        roster: a class list.

    Returns:
        What the lecturer should hear.
    """
    lecturer, submissions, out = folders
    rules = read_rules(lecturer, [assignment.name for assignment in course])
    totals = totals_of(records, rules, submissions)
    names = list(dict.fromkeys(sorted(record.assignment for record in records)))
    people = read_roster(roster) if roster else None
    persons = {person.name: person for person in people.people} if people else {}
    rows = [_row(student, totals.get(student), names) for student in sorted({*totals, *persons})]
    write_csv(out / COURSE_TABLE, rows)
    said = _said(totals, submissions, rules)
    if people is not None:
        said += [
            f"{student}: not in {people.path.name}; only {COURSE_TABLE} has the points"
            for student in sorted(set(totals) - set(persons))
        ]
        maxima = {record.assignment: record.max for record in records}
        said.append(_write_upload(people, totals, maxima, out))
    return said


def _row(student: str, total: StudentTotal | None, names: Sequence[str]) -> dict[str, Any]:
    total = total or _NOTHING
    return {
        "student": student,
        **{name: _number(total.points.get(name)) for name in names},
        "late days": sum(total.late.values()),
        "percent": _number(total.percent),
    }


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:g}"


def _said(totals: Mapping[str, StudentTotal], submissions: Path, rules: CourseRules) -> list[str]:
    waiting = [student for student, total in totals.items() if None in total.points.values()]
    said = [
        f"{student}, {name}: the system calls it late; fill in handed_in in handed_in.csv"
        for (student, name), each in read_times(submissions).items()
        if each.said_late and each.moment is None and name in rules.due and student in totals
    ]
    if waiting:
        said.append(f"{len(waiting)} students wait for marks by hand: their totals are blank")
    return said


# ---- learning systems ----------------------------------------------------------------------------


def _write_upload(
    roster: Roster, totals: Mapping[str, StudentTotal], maxima: Mapping[str, float], out: Path
) -> str:
    """Write the table that the class list's system imports; returns a line about it."""
    if roster.is_canvas:
        _write_canvas(roster, totals, maxima, out / CANVAS_TABLE)
        return f"for Canvas (Grades → Import): {out / CANVAS_TABLE}"
    if roster.moodle_key:
        _write_moodle(roster, totals, list(maxima), out / MOODLE_TABLE)
        where = f"map from “{roster.moodle_key}”"
        return f"for Moodle (Grades → Import → CSV file, {where}): {out / MOODLE_TABLE}"
    return f"{roster.path.name} is of neither Moodle nor Canvas: see {out / COURSE_TABLE}"


def _write_moodle(
    roster: Roster, totals: Mapping[str, StudentTotal], names: Sequence[str], path: Path
) -> None:
    """One line a student: the columns by which Moodle knows people, and points."""
    columns = ("Username", "ID number", "Email address", "First name", "Last name", "Full name")
    known = [name for name in columns if name in roster.sheet.columns]
    rows = []
    for person in roster.people:
        total = totals.get(person.name, _NOTHING)
        grades = {name: _number(total.points.get(name)) for name in names}
        own = {name: person.row[name] for name in known}
        rows.append({**own, **grades, "Course": _number(total.percent)})
    write_csv(path, rows)


def _write_canvas(
    roster: Roster, totals: Mapping[str, StudentTotal], maxima: Mapping[str, float], path: Path
) -> None:
    """Canvas's own gradebook with points in it: its columns “A1 (1234)” where it has them, else
    new ones, which Canvas asks about."""
    sheet = roster.sheet
    places = {name: _canvas_column(name, sheet.columns) for name in maxima}
    columns = [name for name in _CANVAS_COLUMNS if name in sheet.columns] + list(places.values())
    by_row: dict[int, Person] = {id(person.row): person for person in roster.people}
    rows = []
    for row in sheet.rows:
        person = by_row.get(id(row))
        if person is not None:
            points = totals.get(person.name, _NOTHING).points
            row = row | {place: _number(points.get(name)) for name, place in places.items()}
        elif row["Student"].strip().casefold() == "points possible":
            row = row | {place: _number(maxima[name]) for name, place in places.items()}
        rows.append({name: row.get(name, "") for name in columns})
    sheet.columns, sheet.rows = columns, rows
    write_sheet(path, sheet)


def _canvas_column(name: str, columns: Sequence[str]) -> str:
    """The column of an assignment: A1 (1234), A1: volumes (1234), or a new one."""
    pattern = re.compile(rf"{re.escape(name)}\b.*\(\d+\)", re.IGNORECASE)
    return next((column for column in columns if pattern.fullmatch(column)), name)

"""``ssl3d course grade``: every submission in a jail of its own, points by part, a page each."""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from ssl3d_lite.errors import InputError, unknown
from ssl3d_lite.files import clear_leftovers, read_json, write_csv, write_json

from . import by_hand, jail
from .build import COHORTS, MODEL, read_course
from .feedback import write_feedback
from .look import looked_for
from .sources import Assignment, need_nbgrader
from .submission import (
    UnreadableError,
    files_beside,
    merge_submission,
    misnamed,
    notebook_path,
    read_bytes,
    read_cells,
    students,
)

TABLE = "grades.csv"
VERSION = 1  # of the grader: a higher one grades anew


@dataclass(frozen=True)
class Grade:
    """Grade submissions: SUBMISSIONS/STUDENT/A1.ipynb, or a course of nbgrader's. Each runs in a
    jail with a time and a memory limit. The same command continues a killed run, and grades only
    what is new or changed."""

    submissions: Positional[Path]
    """Folder with a folder for each student."""
    course: Path = Path("course/lecturer")
    """The lecturer's folder that `ssl3d course build` made."""
    out: Path = Path("grades")
    """Folder for grades.csv and feedback/STUDENT/A1.html."""
    assignments: tuple[str, ...] = ()
    """Of these alone, as A1 A3. By default of all that anybody handed in."""
    seconds: float = 300
    """Most that one submission may take; a single cell may take a quarter of it."""
    memory_gb: float = 4
    """Most memory of one submission."""
    trust: bool = False
    """Run submissions unconfined where the system cannot confine them (anything but Linux 5.13)."""


@dataclass
class Graded:
    """What is known of a student's assignment; kept, so that a killed run loses nothing."""

    student: str
    assignment: str
    points: dict[str, float | None]
    """part → points; None: to be marked by a person."""
    max: float
    """Points that can be had, open questions included."""
    status: str
    """graded, stopped: …, unreadable: …, not graded: …, missing."""
    seconds: float = 0.0
    messages: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """What was put right."""
    look: list[str] = field(default_factory=list)
    """What a person should look at."""
    answers: dict[str, str] = field(default_factory=dict)
    """Open questions: part → text."""
    total: float = 0.0

    @property
    def faulty(self) -> bool:
        """Whether it could not be graded."""
        return self.status.startswith(("unreadable", "not graded"))

    def row(self) -> dict[str, Any]:
        """A line of grades.csv."""
        parts = {
            f"part {name.rpartition('-')[2]}": "" if got is None else f"{got:g}"
            for name, got in self.points.items()
        }
        return {
            **{"student": self.student, "assignment": self.assignment},
            **{"total": f"{self.total:g}", "max": f"{self.max:g}", "status": self.status},
            **{"seconds": f"{self.seconds:.1f}", "look at": "; ".join(self.look), **parts},
        }


def grade(settings: Grade) -> list[Graded]:
    """Grade everything; returns a record of each student and assignment, in order.

    Raises:
        InputError: no submissions, no course, or a system that cannot confine them.
    """
    need_nbgrader()
    check_confined(settings)
    course = read_course(settings.course)
    assignments = chosen(course, settings)
    folders = found_students(settings)
    wanted = [a for a in assignments if any(notebook_path(f, a.name) for f in folders)]
    if settings.assignments:
        wanted = assignments
    for line in misnamed_lines(folders, [a.name for a in course]):
        print(line)
    if not wanted:
        names = ", ".join(f"{a.name}.ipynb" for a in assignments)
        raise InputError(f"nobody in {settings.submissions} handed in {names}")
    by_hand.read_marks(settings.out)  # says what is wrong with it before hours are spent
    clear_leftovers(settings.out)
    return _grade_all(settings, folders, wanted)


def check_confined(settings: Grade) -> None:
    lacking = jail.missing()
    if not lacking:
        return
    line = f"submissions are not confined here: {lacking}"
    if not settings.trust:
        raise InputError(f"{line}; they could do what you can. To run them all the same: --trust")
    print(f"{line}. You trust them.")


def chosen(assignments: list[Assignment], settings: Grade) -> list[Assignment]:
    names = [a.name for a in assignments]
    for name in settings.assignments:
        if name not in names:
            raise unknown("assignment", name, names)
    return [a for a in assignments if not settings.assignments or a.name in settings.assignments]


def found_students(settings: Grade) -> list[Path]:
    folder, out = settings.submissions, settings.out.resolve()
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: it should hold a folder for each student")
    folders = [path for path in students(folder) if path.resolve() != out]
    if not folders:
        raise InputError(f"no folder of a student in {folder}: STUDENT/A1.ipynb is looked for")
    return folders


def misnamed_lines(folders: Iterable[Path], names: list[str]) -> list[str]:
    right = ", ".join(f"{name}.ipynb" for name in names)
    return [
        f"{folder.name}: {name} is left out; assignments are called {right}"
        for folder in folders
        for name in misnamed(folder, names)
    ]


# ---- all ---------------------------------------------------------------------------------------


def _grade_all(settings: Grade, folders: list[Path], wanted: list[Assignment]) -> list[Graded]:
    from tqdm import tqdm

    done: list[Graded] = []
    jobs = [(folder, assignment) for folder in folders for assignment in wanted]
    kept = 0
    for folder, assignment in tqdm(jobs, unit="submission", disable=None):
        record, was_kept = grade_one(folder, assignment, settings)
        kept += was_kept
        done.append(record)
        if record.status != "graded":
            tqdm.write(f"{record.student} {record.assignment}: {record.status}")
    _count_marks(done, wanted, settings.out)
    write_csv(settings.out / TABLE, [record.row() for record in done])
    print("\n".join(summary(done, kept, settings.out)))
    return done


def _count_marks(done: list[Graded], wanted: list[Assignment], out: Path) -> None:
    """Add the points that a person gave, and write down what is to be marked."""
    marks, waiting = by_hand.read_marks(out), []
    parts = {(a.name, part.name): part for a in wanted for part in a.parts if part.by_hand}
    assignments = {assignment.name: assignment for assignment in wanted}
    for record in done:
        for (assignment, name), part in parts.items():
            if assignment != record.assignment or part.tests not in record.answers:
                continue
            key = (record.student, assignment, str(part.number))
            waiting.append((key, part.points, record.answers[part.tests]))
            got = marks.get(key)
            if got is not None:
                record.points[name] = min(max(got, 0.0), part.points)
                record.messages[name] = "read by a person"
        record.total = sum(got for got in record.points.values() if got)
        if marks:
            _write_page(record, assignments[record.assignment], out)
    by_hand.write_for_marking(out, waiting)


def _write_page(record: Graded, assignment: Assignment, out: Path) -> None:
    page = out / "feedback" / record.student / f"{assignment.name}.html"
    write_feedback(page, assignment, asdict(record))


def grade_one(student: Path, assignment: Assignment, settings: Grade) -> tuple[Graded, bool]:
    """The record of one submission, and whether it was there from an earlier run."""
    path = notebook_path(student, assignment.name)
    beside: list[Path] = []
    try:
        if path is None:
            raise UnreadableError("")
        if student.is_symlink():
            raise UnreadableError(f"{student.name} is a link")
        data = read_bytes(path)
        beside = list(files_beside(path))
        key = key_of(data, beside, assignment, settings)
        place = settings.out / "records" / student.name / f"{assignment.name}.json"
        record = _kept(place, key)
        if record is not None:
            return record, True
        record = mark(student.name, assignment, read_cells(data), beside, settings)
    except UnreadableError as reason:
        record = nothing(student.name, assignment, f"unreadable: {reason}" if path else "missing")
        place = None
    except Exception as reason:  # whatever it is, the others are graded, and this one next time
        line = " ".join(f"{type(reason).__name__}: {reason}".split())[:200]
        record = nothing(student.name, assignment, f"not graded: {line}")
        place = None
    _write_page(record, assignment, settings.out)
    if place is not None:  # last: a record that is kept has its page
        write_json(place, {"key": key, "record": asdict(record)})
    return record, False


def key_of(data: bytes, beside: list[Path], assignment: Assignment, settings: Grade) -> str:
    """What the points depend on."""
    parts = [data, json.dumps(assignment.notebook, sort_keys=True).encode()]
    parts += [each for path in beside for each in (path.name.encode(), path.read_bytes())]
    limits = (VERSION, settings.seconds, settings.memory_gb)
    sums = [hashlib.sha256(part).hexdigest() for part in (*parts, repr(limits).encode())]
    return hashlib.sha256("".join(sums).encode()).hexdigest()


def _kept(place: Path, key: str) -> Graded | None:
    if not place.exists():
        return None
    try:
        there = read_json(place, "record of a grade")
        return Graded(**there["record"]) if there["key"] == key else None
    except (InputError, KeyError, TypeError):
        return None


# ---- one ---------------------------------------------------------------------------------------


def nothing(student: str, assignment: Assignment, status: str) -> Graded:
    """No points for anything."""
    points: dict[str, float | None] = {part.name: 0.0 for part in assignment.parts}
    messages = {part.name: status for part in assignment.parts}
    return Graded(student, assignment.name, points, _most(assignment), status, messages=messages)


def mark(
    student: str,
    assignment: Assignment,
    cells: list[dict[str, Any]],
    beside: list[Path],
    settings: Grade,
) -> Graded:
    """Run a submission and count its points."""
    from .run import Box, run_submission

    woven = merge_submission(assignment, cells)
    box = Box(
        cohorts=settings.course / COHORTS,
        seconds=settings.seconds,
        memory_gb=settings.memory_gb,
        confine=not jail.missing(),
        deny=(settings.course / MODEL, settings.course / "source", settings.submissions),
    )
    outcome = run_submission(woven, [p.name for p in assignment.machine_parts], box, beside)
    points: dict[str, float | None] = {}
    for part in assignment.parts:
        passed = not part.by_hand and outcome.parts[part.name].passed
        points[part.name] = None if part.by_hand else part.points if passed else 0.0
    stops = list(dict.fromkeys(outcome.stops))
    changed = dict.fromkeys(outcome.changed)
    replaced = [f"put back before a test: {what}" for what in changed]
    functions = [line for what, line in zip(changed, replaced) if "." in what or "()" in what]
    model = [cell.source for cell in assignment.notebook.cells if cell.cell_type == "code"]
    codes = [text for name, text in woven.answers.items() if not _is_open(name, assignment)]
    return Graded(
        student=student,
        assignment=assignment.name,
        points=points,
        max=_most(assignment),
        status=f"stopped: {'; '.join(stops)}" if stops else "graded",
        seconds=round(outcome.seconds, 1),
        messages={name: result.message for name, result in outcome.parts.items()},
        notes=[*woven.notes, *replaced],
        look=[*functions, *looked_for([*codes, *woven.extras], model)],
        answers={n: text for n, text in woven.answers.items() if _is_open(n, assignment)},
        total=sum(got for got in points.values() if got),
    )


def _is_open(grade_id: str, assignment: Assignment) -> bool:
    return any(part.by_hand and part.tests == grade_id for part in assignment.parts)


def _most(assignment: Assignment) -> float:
    return sum(part.points for part in assignment.parts)


def summary(done: list[Graded], kept: int, out: Path) -> Iterator[str]:
    """What is said at the end."""
    for name in dict.fromkeys(record.assignment for record in done):
        records = [r for r in done if r.assignment == name]
        totals = sorted(r.total for r in records)
        middle, most = totals[len(totals) // 2], records[0].max
        graded = sum(r.status == "graded" for r in records)
        line = f"{name}: {len(records)} students, {graded} graded without a remark; "
        line += f"points {totals[0]:g}–{totals[-1]:g}, middle {middle:g}, of {most:g}"
        by_hand = sum(got is None for r in records for got in r.points.values())
        yield line + (f"; {by_hand} open questions to be marked" if by_hand else "")
    if kept:
        yield f"{kept} had been graded before"
    looks = [r for r in done if r.look]
    if looks:
        yield f"{len(looks)} to be looked at: see the column “look at”"
    yield f"table: {out / TABLE}   pages: {out / 'feedback'}"

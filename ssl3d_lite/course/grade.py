"""``ssl3d course grade``: each submission runs in a jail and gets points by part and a page."""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ssl3d_lite.errors import InputError, unknown
from ssl3d_lite.files import read_json, write_csv, write_json
from ssl3d_lite.machine.progress import hidden_if
from ssl3d_lite.outputs import claimed
from ssl3d_lite.settings import CheckedSettings, Positional, PositiveFloat

from . import jail
from .build import COHORTS_FOLDER, SOLVED_FOLDER, read_course
from .feedback import write_feedback
from .flags import find_flags
from .open_questions import AnswerKey, read_points, write_open_questions
from .reader import UnreadableError, read_cells
from .sandbox import Sandbox
from .sources import Assignment, need_nbgrader
from .submission import (
    files_beside,
    find_students,
    merge_submission,
    misnamed_notebooks,
    notebook_path,
    notes_on_names,
    read_bytes,
)

_TABLE = "grades.csv"
_GRADER_VERSION = 2  # a higher one makes all submissions be graded again


@dataclass(frozen=True)
class GradeSettings(CheckedSettings):
    """Grade submissions: SUBMISSIONS/STUDENT/A1.ipynb, or an nbgrader course. Each runs in a jail
    with a time and a memory limit. The same command continues a killed run, and grades only what
    is new or changed."""

    submissions: Positional[Path]
    """Folder that holds one folder for each student."""
    course: Path = Path("course/lecturer")
    """The lecturer folder that `ssl3d course build` made."""
    out: Path = Path("grades")
    """Folder for grades.csv and feedback/STUDENT/A1.html."""
    assignments: tuple[str, ...] = ()
    """Assignments to grade, as A1 A3. By default all that anybody handed in."""
    seconds: PositiveFloat = 300
    """Time limit of one submission; a single cell may take a quarter of it."""
    memory_gb: PositiveFloat = 4
    """Memory limit of one submission, in GB."""
    trust: bool = False
    """Run submissions unconfined where the system cannot confine them (anything but Linux 5.13)."""


@dataclass
class GradeRecord:
    """The result of one submission; it is stored, so that a killed run loses nothing."""

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


def grade_submissions(settings: GradeSettings) -> list[GradeRecord]:
    """Grade all submissions; returns one record per student and assignment, in order.

    Raises:
        InputError: there are no submissions or no course, or the system cannot confine them.
    """
    need_nbgrader()
    check_confined(settings)
    course = read_course(settings.course)
    assignments = _chosen(course, settings)
    folders = _student_folders(settings)
    wanted = [a for a in assignments if any(notebook_path(f, a.name) for f in folders)]
    if settings.assignments:
        wanted = assignments
    for line in _misnamed_lines(folders, [a.name for a in course]):
        print(line)
    if not wanted:
        names = ", ".join(f"{a.name}.ipynb" for a in assignments)
        raise InputError(f"nobody in {settings.submissions} handed in {names}")
    with claimed(settings.out, "course grade", _was_graded):
        read_points(settings.out)  # a mistake in the file is reported before hours are spent
        return _grade_all(settings, folders, wanted)


def _was_graded(folder: Path) -> bool:
    """Whether a folder without a mark holds grades, or what a killed run left of them."""
    pages = list((folder / "feedback").glob("*/*.html"))
    records = [_kept(path) for path in (folder / "records").glob("*/*.json")]
    return any(records) or (bool(pages) and (folder / _TABLE).exists())


def check_confined(settings: GradeSettings) -> None:
    """Raise InputError if this system cannot confine submissions and they are not trusted."""
    if sys.platform == "win32":
        raise InputError("submissions cannot be graded on Windows itself: use WSL")
    lacking = jail.missing_confinement()
    if not lacking:
        return
    line = f"submissions are not confined here: {lacking}"
    if not settings.trust:
        raise InputError(f"{line}; they could do whatever you can. To run them anyway: --trust")
    print(f"{line}. They are trusted.")


def _chosen(assignments: list[Assignment], settings: GradeSettings) -> list[Assignment]:
    names = [a.name for a in assignments]
    for name in settings.assignments:
        if name not in names:
            raise unknown("assignment", name, names)
    return [a for a in assignments if not settings.assignments or a.name in settings.assignments]


def _student_folders(settings: GradeSettings) -> list[Path]:
    folder, out = settings.submissions, settings.out.resolve()
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: it should hold a folder for each student")
    folders = [path for path in find_students(folder) if path.resolve() != out]
    if not folders:
        raise InputError(f"no folder of a student in {folder}: STUDENT/A1.ipynb is expected")
    return folders


def _misnamed_lines(folders: Iterable[Path], names: list[str]) -> list[str]:
    expected = ", ".join(f"{name}.ipynb" for name in names)
    return [
        f"{folder.name}: {name} is left out; assignments are called {expected}"
        for folder in folders
        for name in misnamed_notebooks(folder, names)
    ]


# ---- all submissions -----------------------------------------------------------------------------


def _grade_all(
    settings: GradeSettings, folders: list[Path], wanted: list[Assignment]
) -> list[GradeRecord]:
    from tqdm import tqdm

    done: list[GradeRecord] = []
    jobs = [(folder, assignment) for folder in folders for assignment in wanted]
    kept = 0
    for folder, assignment in tqdm(jobs, unit="submission", **hidden_if(not sys.stderr.isatty())):
        record, was_kept = _grade_one(folder, assignment, settings)
        kept += was_kept
        done.append(record)
        if record.status != "graded":
            tqdm.write(f"{record.student} {record.assignment}: {record.status}")
    _count_open_questions(done, wanted, settings.out)
    write_csv(settings.out / _TABLE, [record.row() for record in done])
    print("\n".join(grading_summary(done, kept, settings.out)))
    return done


def _count_open_questions(done: list[GradeRecord], wanted: list[Assignment], out: Path) -> None:
    """Add the points that a person gave, and write the file of texts that are to be marked."""
    given = read_points(out)
    texts: list[tuple[AnswerKey, float, str]] = []
    parts = {(a.name, part.name): part for a in wanted for part in a.parts if part.is_open}
    assignments = {assignment.name: assignment for assignment in wanted}
    for record in done:
        for (assignment, name), part in parts.items():
            if assignment != record.assignment or part.tests not in record.answers:
                continue
            key = (record.student, assignment, str(part.number))
            texts.append((key, part.points, record.answers[part.tests]))
            got = given.get(key)
            if got is not None:
                record.points[name] = min(max(got, 0.0), part.points)
                record.messages[name] = "read by a person"
        record.total = sum(got for got in record.points.values() if got)
        if given:
            _write_page(record, assignments[record.assignment], out)
    write_open_questions(out, texts)


def _write_page(record: GradeRecord, assignment: Assignment, out: Path) -> None:
    page = out / "feedback" / record.student / f"{assignment.name}.html"
    write_feedback(page, assignment, asdict(record))


def _grade_one(
    student: Path, assignment: Assignment, settings: GradeSettings
) -> tuple[GradeRecord, bool]:
    """The record of one submission, and whether an earlier run had made it already."""
    path = notebook_path(student, assignment.name)
    attachments: list[Path] = []
    try:
        if path is None:
            raise UnreadableError("")
        if student.is_symlink():
            raise UnreadableError(f"{student.name} is a link")
        data = read_bytes(path)
        attachments = list(files_beside(path))
        notes = notes_on_names(student, assignment.name)
        key = _submission_key(data, attachments, assignment, settings, notes)
        place = settings.out / "records" / student.name / f"{assignment.name}.json"
        record = _kept(place, key)
        if record is not None:
            return record, True
        record = run_and_score(student.name, assignment, read_cells(data), attachments, settings)
        record.notes = [*notes, *record.notes]
    except UnreadableError as reason:
        status = f"unreadable: {reason}" if path else _missing(student, assignment.name, settings)
        record = no_points(student.name, assignment, status)
        place = None
    except Exception as reason:  # the others are graded all the same, and this one next time
        line = " ".join(f"{type(reason).__name__}: {reason}".split())[:200]
        record = no_points(student.name, assignment, f"not graded: {line}")
        place = None
    _write_page(record, assignment, settings.out)
    if place is not None:  # last, so that every stored record has its page
        write_json(place, {"key": key, "record": asdict(record)})
    return record, False


def _missing(student: Path, name: str, settings: GradeSettings) -> str:
    """The status of what was not handed in; other notebooks in the folder may have been meant."""
    names = [path.stem for path in settings.course.glob("source/*/*.ipynb")]
    others = [] if student.is_symlink() else misnamed_notebooks(student, names)
    if not others:
        return "missing"
    return f"missing: {', '.join(others)[:150]} was not graded, as it is not called {name}.ipynb"


def _submission_key(
    data: bytes,
    attachments: list[Path],
    assignment: Assignment,
    settings: GradeSettings,
    notes: list[str],
) -> str:
    """A checksum of all that the points depend on."""
    parts = [data, repr(notes).encode(), json.dumps(assignment.notebook, sort_keys=True).encode()]
    parts += [each for path in attachments for each in (path.name.encode(), path.read_bytes())]
    limits = (_GRADER_VERSION, settings.seconds, settings.memory_gb)
    sums = [hashlib.sha256(part).hexdigest() for part in (*parts, repr(limits).encode())]
    return hashlib.sha256("".join(sums).encode()).hexdigest()


def _kept(place: Path, key: str | None = None) -> GradeRecord | None:
    """The record in a file, if it is one, of that key or of any."""
    if not place.exists():
        return None
    try:
        there = read_json(place, "record of a grade")
        return GradeRecord(**there["record"]) if key in (None, there["key"]) else None
    except (InputError, KeyError, TypeError):
        return None


# ---- one submission ------------------------------------------------------------------------------


def no_points(student: str, assignment: Assignment, status: str) -> GradeRecord:
    """The record of a submission that could not be run: no points, ``status`` says why."""
    points: dict[str, float | None] = {part.name: 0.0 for part in assignment.parts}
    messages = {part.name: status for part in assignment.parts}
    return GradeRecord(
        student, assignment.name, points, _max_points(assignment), status, messages=messages
    )


def run_and_score(
    student: str,
    assignment: Assignment,
    cells: list[dict[str, Any]],
    attachments: list[Path],
    settings: GradeSettings,
) -> GradeRecord:
    """Run a submission in its jail and count its points.

    Args:
        student: name of the student's folder.
        assignment: the assignment that was handed in.
        cells: cells of the submitted notebook.
        attachments: data files that were handed in with it.
        settings: limits, and the folders of course and submissions.
    """
    from .run import run_submission

    merged = merge_submission(assignment, cells)
    names = [part.name for part in assignment.machine_parts]
    outcome = run_submission(merged, names, _sandbox(settings), attachments)
    points: dict[str, float | None] = {}
    for part in assignment.parts:
        passed = not part.is_open and outcome.parts[part.name].passed
        points[part.name] = None if part.is_open else part.points if passed else 0.0
    stops = list(dict.fromkeys(outcome.stops))
    notes = list(dict.fromkeys(outcome.notes))
    return GradeRecord(
        student=student,
        assignment=assignment.name,
        points=points,
        max=_max_points(assignment),
        status=f"stopped: {'; '.join(stops)}" if stops else "graded",
        seconds=round(outcome.seconds, 1),
        messages={name: result.message for name, result in outcome.parts.items()},
        notes=[*merged.notes, *notes],
        flags=find_flags(assignment, [(s.part, s.source) for s in merged.steps if s.of_student]),
        answers={n: text for n, text in merged.answers.items() if _is_open(n, assignment)},
        total=sum(got for got in points.values() if got),
    )


def _sandbox(settings: GradeSettings) -> Sandbox:
    return Sandbox(
        cohorts=settings.course / COHORTS_FOLDER,
        seconds=settings.seconds,
        memory_gb=settings.memory_gb,
        confine=not jail.missing_confinement(),
        deny=(settings.course / SOLVED_FOLDER, settings.course / "source", settings.submissions),
    )


def _is_open(grade_id: str, assignment: Assignment) -> bool:
    return any(part.is_open and part.tests == grade_id for part in assignment.parts)


def _max_points(assignment: Assignment) -> float:
    return sum(part.points for part in assignment.parts)


def grading_summary(done: list[GradeRecord], kept: int, out: Path) -> Iterator[str]:
    """Lines that the command prints at the end."""
    for name in dict.fromkeys(record.assignment for record in done):
        records = [r for r in done if r.assignment == name]
        totals = sorted(r.total for r in records)
        median, maximum = totals[len(totals) // 2], records[0].max
        graded = sum(r.status == "graded" for r in records)
        line = f"{name}: {len(records)} students, {graded} graded without a remark; "
        line += f"points {totals[0]:g}–{totals[-1]:g}, median {median:g}, of {maximum:g}"
        unmarked = sum(got is None for r in records for got in r.points.values())
        yield line + (f"; {unmarked} open questions to be marked" if unmarked else "")
    if kept:
        yield f"{kept} had been graded before"
    flagged = [r for r in done if r.flags]
    if flagged:
        yield f"{len(flagged)} to be read by a person: see the column “look at”"
    yield f"table: {out / _TABLE}   pages: {out / 'feedback'}"

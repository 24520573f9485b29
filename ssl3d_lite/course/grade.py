"""``ssl3d course grade``: each submission runs in a jail and gets points by part and a page."""

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ssl3d_lite.errors import InputError, unknown
from ssl3d_lite.interrupts import lasting_folder
from ssl3d_lite.machine.parallel import NO_GUARD, Workforce, can_be_imported, for_each
from ssl3d_lite.outputs import claimed
from ssl3d_lite.settings import CheckedSettings, Positional, PositiveFloat, PositiveInt

from . import jail
from .build import COHORTS_FOLDER, SOLVED_FOLDER, handed_out, read_course
from .class_page import CLASS_PAGE, write_class_page
from .marks import read_marks
from .reader import UnreadableError, read_cells
from .records import GradeRecord, all_records, record_place, store_record, stored_record
from .roster import read_roster
from .rules import read_rules, read_times
from .sandbox import Sandbox
from .scoring import no_points, run_and_score
from .sources import Assignment, need_nbgrader
from .submission import (
    files_beside,
    find_students,
    misnamed_notebooks,
    notebook_path,
    notes_on_names,
    read_bytes,
)
from .tally import TABLE, count_marks, with_earlier, write_grades, write_pages, write_texts
from .totals import write_totals

_GRADER_VERSION = 4  # a higher one makes all submissions be graded again
_MAX_STATUS = 600  # characters of what went wrong with the grader


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
    roster: Path | None = None
    """Class list (CSV) of Moodle or Canvas: points come back in a table that it imports."""
    jobs: PositiveInt = 1
    """Number of submissions that run at the same time; each takes one core and its memory."""
    trust: bool = False
    """Run submissions unconfined where the system cannot confine them (anything but Linux 5.13)."""


def grade_submissions(settings: GradeSettings) -> list[GradeRecord]:
    """Grade all submissions; returns one record per student and assignment, in order.

    Raises:
        InputError: there are no submissions or no course, the system cannot confine them, or a
            script that calls this has no ``if __name__ == "__main__":``.
    """
    need_nbgrader()
    if not can_be_imported():
        raise InputError(NO_GUARD)
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
        _check_tables(settings, course)
        done, kept = _grade_all(settings, folders, wanted)
        _finish(done, course, [a.name for a in wanted], settings)
        print("\n".join(grading_summary(done, kept, settings.out)))
        return done


def _check_tables(settings: GradeSettings, course: list[Assignment]) -> None:
    """Raise InputError for a mistake in what persons wrote, before hours are spent."""
    read_marks(settings.out, course)
    read_rules(settings.course, [assignment.name for assignment in course])
    read_times(settings.submissions)
    if settings.roster is not None:
        read_roster(settings.roster)


def _was_graded(folder: Path) -> bool:
    """Whether a folder without a mark holds grades, or what a killed run left of them."""
    pages = list((folder / "feedback").glob("*/*.html"))
    return bool(all_records(folder)) or (bool(pages) and (folder / TABLE).exists())


def _finish(
    done: list[GradeRecord], course: list[Assignment], wanted: list[str], settings: GradeSettings
) -> None:
    """Count what persons gave, and write all that the lecturer and the students read."""
    out = settings.out
    marks = read_marks(out, course)  # again: the person may have gone on meanwhile
    records = with_earlier(done, wanted, out)
    for line in count_marks(records, course, marks):
        print(line)
    write_texts(records, course, marks, out)
    write_pages(records, course, out)
    write_grades(records, wanted, out)
    write_class_page(records, course, out / CLASS_PAGE)
    for line in write_totals(
        records, course, (settings.course, settings.submissions, out), settings.roster
    ):
        print(line)


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


@dataclass(frozen=True)
class _Job:
    """One submission to be graded."""

    student: Path
    assignment: Assignment
    settings: GradeSettings
    home: str
    """A folder for temporary folders, which is gone when the command ends, however it ends."""
    handed_out: frozenset[str]
    """Cells as students have got them, in all versions."""


def _grade_all(
    settings: GradeSettings, folders: list[Path], wanted: list[Assignment]
) -> tuple[list[GradeRecord], int]:
    """All records in order, and how many of them an earlier run had made."""
    from tqdm import tqdm

    done: dict[tuple[str, str], GradeRecord] = {}
    given = {a.name: handed_out(settings.course, a.name) for a in wanted}
    jobs = [_Job(f, a, settings, _home(), given[a.name]) for f in folders for a in wanted]
    kept = {id(job): record for job in jobs if (record := _earlier(job))}
    waiting = [job for job in jobs if id(job) not in kept]
    records = for_each(_grade_job, waiting, Workforce(workers=settings.jobs), "grade", _killed)
    for record in (*kept.values(), *records):
        done[record.student, record.assignment] = record
        if record.status != "graded":
            tqdm.write(f"{record.student} {record.assignment}: {record.status}")
    return [done[job.student.name, job.assignment.name] for job in jobs], len(kept)


@cache
def _home() -> str:
    """One for all runs of this process, as processes that it starts keep their sockets there. Paths
    of sockets have at most 107 characters."""
    place = tempfile.gettempdir()
    short = "/tmp" if len(place) > 40 and os.path.isdir("/tmp") else place
    return lasting_folder(short, "ssl3d-")


def _grade_job(job: _Job) -> GradeRecord:
    """The record of one submission. What goes wrong with it stands in its status: the others are
    graded all the same."""
    student, name = job.student, job.assignment.name
    path = notebook_path(student, name)
    try:
        data, attachments, notes = _read_submission(student, name, path)
        key = _submission_key(data, attachments, job.assignment, job.settings, notes)
        cells = read_cells(data)
        with _temporary_files_in(job.home):
            record = run_and_score(
                student.name,
                job.assignment,
                cells,
                attachments,
                _sandbox(job.settings),
                job.handed_out,
            )
        record.notes = [*notes, *record.notes]
        store_record(record_place(job.settings.out, student.name, name), record, key)
    except UnreadableError as reason:
        status = f"unreadable: {reason}" if path else _missing(student, name, job.settings)
        return no_points(student.name, job.assignment, status)
    except Exception as reason:  # this one is graded next time
        line = " ".join(f"{type(reason).__name__}: {reason}".split())[:_MAX_STATUS]
        return no_points(student.name, job.assignment, f"not graded: {line}")
    return record


@contextmanager
def _temporary_files_in(home: str) -> Iterator[None]:
    """Where this process, and those that it starts, put temporary files: a library that is loaded
    may leave some."""
    before, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = home
    try:
        yield
    finally:
        tempfile.tempdir = before
        if variable is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = variable


def _sandbox(settings: GradeSettings) -> Sandbox:
    return Sandbox(
        cohorts=settings.course / COHORTS_FOLDER,
        seconds=settings.seconds,
        memory_gb=settings.memory_gb,
        confine=not jail.missing_confinement(),
        deny=(settings.course / SOLVED_FOLDER, settings.course / "source", settings.submissions),
    )


def _killed(job: _Job) -> GradeRecord:
    reason = "not graded: its process was killed; most likely memory ran out"
    return no_points(job.student.name, job.assignment, reason)


def _earlier(job: _Job) -> GradeRecord | None:
    """The record that an earlier run made of just this submission."""
    student, name = job.student, job.assignment.name
    place = record_place(job.settings.out, student.name, name)
    if not place.exists():
        return None
    try:
        data, attachments, notes = _read_submission(student, name, notebook_path(student, name))
        key = _submission_key(data, attachments, job.assignment, job.settings, notes)
    except UnreadableError:
        return None
    return stored_record(place, key)


def _read_submission(
    student: Path, name: str, path: Path | None
) -> tuple[bytes, list[Path], list[str]]:
    """The notebook's content, files beside it, notes on its name. Raises UnreadableError."""
    if path is None:
        raise UnreadableError("")
    if student.is_symlink():
        raise UnreadableError(f"{student.name} is a link")
    return read_bytes(path), list(files_beside(path)), notes_on_names(student, name)


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


# ---- what is said -------------------------------------------------------------------------------


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
    yield f"table: {out / TABLE}   pages: {out / 'feedback'}   class: {out / CLASS_PAGE}"

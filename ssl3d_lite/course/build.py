"""``ssl3d course build`` makes two folders from the assignments' sources.

The student folder holds plain notebooks that need no nbgrader, the data, and settings for the
places where notebooks run. The lecturer folder is an nbgrader course with solved notebooks, the
rubric and what grading needs.
"""

import glob
import json
import os
import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import nbformat

from ssl3d_lite.book.notebooks import given_out
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.registry import make_cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import PART
from ssl3d_lite.outputs import check_empty
from ssl3d_lite.settings import CheckedSettings, Interval, Positional

from . import rules
from .sources import (
    Assignment,
    assignment_of,
    given_lines,
    need_nbgrader,
    read_assignments,
    released,
    secret_lines,
    solved,
    without_marks,
)

STUDENT, LECTURER = "student", "lecturer"
COHORTS_FOLDER, SOLVED_FOLDER = "cohorts", "solved"
_HANDED_OUT_FOLDER = "handed_out"
NOTEBOOKS_FOLDER = "notebooks"
_COHORT_NAME = "hippocampus"
_MARKS = ("BEGIN SOLUTION", "BEGIN HIDDEN", "BEGIN MARK")
_GRADING_CASES = 20  # virtual cases: tests need no more, and every grading sees the same
_HERE = Path(__file__).parent
_NBGRADER_CONFIG = '''"""nbgrader reads this file; `ssl3d course grade` does not need it."""

import os

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "ssl3d"
c.CourseDirectory.root = os.path.dirname(os.path.abspath(__file__))
c.OverwriteCells.add_missing_cells = True
c.Execute.timeout = 300
'''


@dataclass(frozen=True)
class BuildSettings(CheckedSettings):
    """Make a course: OUT/student for those who learn, OUT/lecturer for those who teach."""

    out: Positional[Path]
    """Folder to make. It is made completely or not at all."""
    assignments: tuple[str, ...] = ()
    """Assignments to include, as A1 A3. By default all."""
    cases: Annotated[int, Interval(ge=5)] | None = None
    """Number of virtual hippocampus crops that students work on. Default: 200."""
    cohort: Path | None = None
    """Prepared cohort that students work on instead; it is copied. Grading uses virtual cases."""
    sources: Path | None = None
    """Folder with your own assignments. By default the shipped ones."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cohort and self.cases:
            raise InputError("cases are virtual, and a cohort has its own: give one of the two")


def build_course(settings: BuildSettings) -> Path:
    """Make the course and return its folder.

    Raises:
        InputError: the folder exists already, a source is not in order, or nbgrader is missing.
    """
    need_nbgrader()
    out = settings.out.resolve()
    check_empty(out)
    assignments = read_assignments(settings.sources, settings.assignments)
    if settings.cohort is not None:
        Cohort.open(settings.cohort)  # says what is wrong with it
    part = out.with_name(f".{out.name}.{os.getpid()}{PART}")
    _clear_killed(out)
    part.mkdir(parents=True)
    try:
        _students_folder(part / STUDENT, assignments)
        _lecturers_folder(part / LECTURER, assignments)
        _students_cohort(part / STUDENT, settings)  # it takes minutes, and nothing else may fail
        for folder in (part / STUDENT, part / LECTURER / "release"):
            check_no_secrets(folder, assignments)
        for litter in out.iterdir() if out.exists() else ():
            os.replace(litter, part / litter.name)
        if out.exists():
            out.rmdir()
        os.replace(part, out)
    except OSError as error:
        error.filename = error.filename or str(out)  # which a full disk does not say
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return settings.out


def _clear_killed(out: Path) -> None:
    """Remove what killed builds left behind."""
    for old in out.parent.glob(f".{glob.escape(out.name)}.*{PART}"):
        pid = old.name.split(".")[-2]
        if not pid.isdigit() or not Path(f"/proc/{pid}").exists():
            shutil.rmtree(old, ignore_errors=True)


def read_course(folder: Path) -> list[Assignment]:
    """The assignments of a lecturer folder, as they were built.

    Raises:
        InputError: there is no course.
    """
    paths = [p for p in sorted(folder.glob("source/*/*.ipynb")) if p.stem == p.parent.name]
    if not paths:
        raise InputError(f"no course in {folder}: `ssl3d course build OUT` makes OUT/lecturer")
    return [assignment_of(nbformat.read(p, as_version=4), p.stem, str(p)) for p in paths]


def handed_out(folder: Path, name: str) -> frozenset[str]:
    """Cells of an assignment as students have got them: what the course was built with, and what
    nbgrader has released since."""
    places = (folder / _HANDED_OUT_FOLDER, folder / "release" / name)
    paths = [place / f"{name}.ipynb" for place in places]
    notebooks = [nbformat.read(path, as_version=4) for path in paths if path.exists()]
    return frozenset(cell.source.rstrip("\n") for each in notebooks for cell in each.cells)


# ---- students ------------------------------------------------------------------------------------


def _students_folder(folder: Path, assignments: list[Assignment]) -> None:
    folder.mkdir()
    for assignment in assignments:
        nbformat.write(released(assignment.notebook), folder / f"{assignment.name}.ipynb")
    shutil.copytree(_HERE / "settings", folder / "settings")
    shutil.copy(_HERE / "pages/students.md", folder / "README.md")
    for name, data in given_out():
        path = folder / NOTEBOOKS_FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _students_cohort(folder: Path, settings: BuildSettings) -> None:
    place = folder / COHORTS_FOLDER / _COHORT_NAME
    if settings.cohort is None:
        make_course_cohort(place, settings.cases or 200)
    else:
        shutil.copytree(settings.cohort, place, ignore=shutil.ignore_patterns("raw", ".*"))


def make_course_cohort(place: Path, cases: int) -> None:
    """Prepare virtual hippocampus crops; the raw files are not kept."""
    raw = place.with_name(f"{place.name}-raw")
    make_cohort("virtual-hippocampus", place, raw=raw, cases=cases)
    shutil.rmtree(raw)


# ---- lecturers -----------------------------------------------------------------------------------


def _lecturers_folder(folder: Path, assignments: list[Assignment]) -> None:
    folder.mkdir()
    (folder / SOLVED_FOLDER).mkdir()
    (folder / _HANDED_OUT_FOLDER).mkdir()
    for assignment in assignments:
        name = f"{assignment.name}.ipynb"
        (folder / "source" / assignment.name).mkdir(parents=True)
        nbformat.write(assignment.notebook, folder / "source" / assignment.name / name)
        nbformat.write(solved(assignment.notebook), folder / SOLVED_FOLDER / name)
        nbformat.write(released(assignment.notebook), folder / _HANDED_OUT_FOLDER / name)
    (folder / "nbgrader_config.py").write_text(_NBGRADER_CONFIG, encoding="utf-8")
    (folder / "rubric.md").write_text("\n".join(rubric_lines(assignments)) + "\n", encoding="utf-8")
    (folder / rules.RULES_FILE).write_text(rules.COURSE_TOML, encoding="utf-8")
    shutil.copy(_HERE / "pages/lecturers.md", folder / "README.md")
    generate_releases(folder, assignments)  # it takes seconds and may fail, so cohorts are last
    make_course_cohort(folder / COHORTS_FOLDER / _COHORT_NAME, _GRADING_CASES)


def generate_releases(folder: Path, assignments: list[Assignment]) -> None:
    """Let nbgrader make release/ and its gradebook from source/.

    Raises:
        InputError: it could not; the message holds the last line of what it said.
    """
    import logging

    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    config = Config()
    config.CourseDirectory.root = str(folder.resolve())
    config.CourseDirectory.course_id = "ssl3d"
    with _our_commands():
        api = NbGraderAPI(config=config)
        api.log.setLevel(logging.ERROR)
        for assignment in assignments:
            result = api.generate_assignment(assignment.name, force=True)
            if not result["success"]:
                said = [result.get("error") or "", result.get("log") or ""]
                last = [line for text in said for line in text.strip().splitlines()[-1:]]
                raise InputError(f"nbgrader could not release {assignment.name}: {'; '.join(last)}")
        api.gradebook.close()


@contextmanager
def _our_commands() -> Iterator[None]:
    """nbgrader calls the command alembic, which is beside our Python, and not on PATH where no
    environment is activated."""
    before = os.environ.get("PATH")
    os.environ["PATH"] = os.pathsep.join([sysconfig.get_path("scripts"), before or os.defpath])
    try:
        yield
    finally:
        if before is None:
            os.environ.pop("PATH")
        else:
            os.environ["PATH"] = before


def rubric_lines(assignments: list[Assignment]) -> Iterator[str]:
    """Lines of rubric.md: what each part asks, its points, and who marks it."""
    yield "# Rubric"
    for assignment in assignments:
        yield f"\n## {assignment.title}\n"
        yield "| part | points | what is asked | marked by |\n|---|---|---|---|"
        cells = {
            c.metadata.get("nbgrader", {}).get("grade_id"): c for c in assignment.notebook.cells
        }
        for part in assignment.parts:
            by = "you" if part.is_open else "its tests"
            asked = _asked(cells[part.solution].source)
            yield f"| {part.number} | {part.points:g} | {asked} | {by} |"
        for part in assignment.parts:
            if part.is_open:
                asked = without_marks(cells[part.tests].source)
                yield f"\n### Part {part.number}, an open question\n\n{asked}"


def _asked(source: str) -> str:
    """First line of the docstring of a cell's function, or of a question."""
    _, quotes, rest = source.partition('"""')
    line = (rest if quotes else source).strip().split("\n")[0]
    return line.removesuffix('"""').strip("*# ").replace("|", "\\|")


# ---- no solution is released ---------------------------------------------------------------------


def check_no_secrets(folder: Path, assignments: list[Assignment]) -> None:
    """
    Raises:
        InputError: a file that students get holds a line of a solution or a hidden test.
    """
    for path, line in find_leaks(folder, assignments):
        raise InputError(f"{path.relative_to(folder)} would show students: {line}")


def find_leaks(folder: Path, assignments: list[Assignment]) -> Iterator[tuple[Path, str]]:
    """Files that hold lines of solutions or hidden tests, or their marks; in text, metadata or
    outputs. A line of another assignment's solution that is also given code does not count."""
    hidden = {assignment.name: secret_lines(assignment) for assignment in assignments}
    given = {assignment.name: "\n".join(given_lines(assignment)) for assignment in assignments}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix in (".npy", ".gz"):
            continue
        text, own = _all_text(path), given.get(path.stem, "")
        yield from ((path, mark) for mark in _MARKS if mark in text)
        if path.is_relative_to(folder / NOTEBOOKS_FOLDER):  # lines that everybody has
            continue
        for name, lines in hidden.items():
            known = "" if name == path.stem else own
            yield from ((path, line) for line in lines if line in text and line not in known)


def _all_text(path: Path) -> str:
    text = path.read_text(errors="replace")
    if path.suffix != ".ipynb":
        return text
    return "\n".join(_strings(json.loads(text)))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)
    elif isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from _strings(each)

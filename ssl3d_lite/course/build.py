"""``ssl3d course build``: from the assignments' sources, a folder for students, one for lecturers.

The student's holds plain notebooks that need no nbgrader, the data and settings for where they run;
the lecturer's is a course of nbgrader's with solved notebooks, rubric and what grading needs.
"""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from tyro.conf import Positional

from ssl3d_lite.data.registry import make_cohort
from ssl3d_lite.errors import InputError

from .sources import (
    Assignment,
    assignment_of,
    given_lines,
    need_nbgrader,
    read_assignments,
    released,
    secrets,
    solved,
    without_marks,
)

STUDENT, LECTURER = "student", "lecturer"
COHORTS, MODEL = "cohorts", "solved"
NAME = "hippocampus"
MARKS = ("BEGIN SOLUTION", "BEGIN HIDDEN", "BEGIN MARK")
GRADED_ON = 20  # virtual cases: tests ask for no more, and every grading sees the same
HERE = Path(__file__).parent
NBGRADER = '''"""nbgrader reads this file; `ssl3d course grade` does not need it."""

import os

c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "ssl3d"
c.CourseDirectory.root = os.path.dirname(os.path.abspath(__file__))
c.OverwriteCells.add_missing_cells = True
c.Execute.timeout = 300
'''


@dataclass(frozen=True)
class Build:
    """Make a course: OUT/student for those who learn, OUT/lecturer for those who teach."""

    out: Positional[Path]
    """Folder to make. It is there whole or not at all."""
    assignments: tuple[str, ...] = ()
    """Of these alone, as A1 A3. By default of all."""
    cases: int = 200
    """Virtual hippocampus crops that students work on."""
    cohort: Path | None = None
    """Prepared cohort that students work on instead, copied. Grading keeps to virtual cases."""
    sources: Path | None = None
    """Folder of assignments of your own. By default those that are shipped."""


def build(settings: Build) -> Path:
    """Make the course; returns its folder.

    Raises:
        InputError: the folder is there already, a source is not in order, or nbgrader is missing.
    """
    need_nbgrader()
    out = settings.out
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(
            f"{out} is there already; name another folder, or remove it to build the course anew"
        )
    assignments = read_assignments(settings.sources, settings.assignments)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    _clear_killed(out)
    part.mkdir(parents=True)
    try:
        _students_folder(part / STUDENT, assignments, settings)
        _lecturers_folder(part / LECTURER, assignments)
        for folder in (part / STUDENT, part / LECTURER / "release"):
            check_no_secrets(folder, assignments)
        if out.exists():
            out.rmdir()
        os.replace(part, out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return out


def _clear_killed(out: Path) -> None:
    """Remove what builds left that were killed."""
    for old in out.parent.glob(f".{out.name}.*.part"):
        pid = old.name.split(".")[-2]
        if not pid.isdigit() or not Path(f"/proc/{pid}").exists():
            shutil.rmtree(old, ignore_errors=True)


def read_course(folder: Path) -> list[Assignment]:
    """The assignments of a lecturer's folder, as it was built.

    Raises:
        InputError: there is no course.
    """
    found = sorted(folder.glob("source/*/*.ipynb"))
    found = [path for path in found if path.stem == path.parent.name]
    if not found:
        raise InputError(f"no course in {folder}: `ssl3d course build OUT` makes OUT/lecturer")
    return [assignment_of(nbformat.read(p, as_version=4), p.stem, str(p)) for p in found]


# ---- students ----------------------------------------------------------------------------------


def _students_folder(folder: Path, assignments: list[Assignment], settings: Build) -> None:
    folder.mkdir()
    for assignment in assignments:
        nbformat.write(released(assignment.notebook), folder / f"{assignment.name}.ipynb")
    shutil.copytree(HERE / "settings", folder / "settings")
    shutil.copy(HERE / "pages/students.md", folder / "README.md")
    place = folder / COHORTS / NAME
    if settings.cohort is None:
        virtual_cohort(place, settings.cases)
    else:
        from ssl3d_lite.data.cohort import Cohort

        Cohort.open(settings.cohort)  # says what is wrong with it
        shutil.copytree(settings.cohort, place, ignore=shutil.ignore_patterns("raw", ".*"))


def virtual_cohort(place: Path, cases: int) -> None:
    """Prepare virtual hippocampus crops; the raw files are not kept."""
    raw = place.with_name(f"{place.name}-raw")
    make_cohort("virtual-hippocampus", place, raw=raw, cases=cases)
    shutil.rmtree(raw)


# ---- lecturers ---------------------------------------------------------------------------------


def _lecturers_folder(folder: Path, assignments: list[Assignment]) -> None:
    folder.mkdir()
    (folder / MODEL).mkdir()
    for assignment in assignments:
        name = f"{assignment.name}.ipynb"
        (folder / "source" / assignment.name).mkdir(parents=True)
        nbformat.write(assignment.notebook, folder / "source" / assignment.name / name)
        nbformat.write(solved(assignment.notebook), folder / MODEL / name)
    (folder / "nbgrader_config.py").write_text(NBGRADER)
    (folder / "rubric.md").write_text("\n".join(rubric(assignments)) + "\n")
    shutil.copy(HERE / "pages/lecturers.md", folder / "README.md")
    virtual_cohort(folder / COHORTS / NAME, GRADED_ON)
    generate_releases(folder, assignments)


def generate_releases(folder: Path, assignments: list[Assignment]) -> None:
    """Let nbgrader make release/ and its gradebook from source/."""
    import logging

    from nbgrader.apps import NbGraderAPI
    from traitlets.config import Config

    config = Config()
    config.CourseDirectory.root = str(folder.resolve())
    config.CourseDirectory.course_id = "ssl3d"
    api = NbGraderAPI(config=config)
    api.log.setLevel(logging.ERROR)
    for assignment in assignments:
        result = api.generate_assignment(assignment.name, force=True)
        if not result["success"]:
            last = (result.get("log") or result.get("error") or "").strip().splitlines()[-1:]
            raise InputError(f"nbgrader could not release {assignment.name}: {' '.join(last)}")
    api.gradebook.close()


def rubric(assignments: list[Assignment]) -> Iterator[str]:
    """Lines of the page that says what is marked, and how."""
    yield "# Rubric"
    for assignment in assignments:
        yield f"\n## {assignment.title}\n"
        yield "| part | points | what is asked | marked by |\n|---|---|---|---|"
        cells = {
            c.metadata.get("nbgrader", {}).get("grade_id"): c for c in assignment.notebook.cells
        }
        for part in assignment.parts:
            by = "you" if part.by_hand else "its tests, all or nothing"
            asked = _asked(cells[part.solution].source)
            yield f"| {part.number} | {part.points:g} | {asked} | {by} |"
        for part in assignment.parts:
            if part.by_hand:
                asked = without_marks(cells[part.tests].source)
                yield f"\n### Part {part.number}, an open question\n\n{asked}"


def _asked(source: str) -> str:
    """The first line of what a cell's function says of itself; of a question, its first line."""
    _, quotes, rest = source.partition('"""')
    line = (rest if quotes else source).strip().split("\n")[0]
    return line.removesuffix('"""').strip("*# ").replace("|", "\\|")


# ---- nothing gets out --------------------------------------------------------------------------


def check_no_secrets(folder: Path, assignments: list[Assignment]) -> None:
    """
    Raises:
        InputError: a file that students get holds a line of a solution or a hidden test.
    """
    for path, line in leaks(folder, assignments):
        raise InputError(f"{path.relative_to(folder)} would show students: {line}")


def leaks(folder: Path, assignments: list[Assignment]) -> Iterator[tuple[Path, str]]:
    """Files that hold lines of solutions or hidden tests, or marks of them; in text, metadata or
    outputs. A line that another assignment's solution has in common with given code is none."""
    hidden = {assignment.name: secrets(assignment) for assignment in assignments}
    given = {assignment.name: "\n".join(given_lines(assignment)) for assignment in assignments}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix in (".npy", ".gz"):
            continue
        text, own = _all_text(path), given.get(path.stem, "")
        yield from ((path, mark) for mark in MARKS if mark in text)
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

"""A course with the tiny assignment in it, built once, and ways to hand something in."""

from pathlib import Path

import nbformat
import pytest
from course.tiny import tiny_folder
from helpers import make_cohort

from ssl3d_lite.course import build
from ssl3d_lite.course.sources import Assignment, read_assignments, solved


@pytest.fixture(scope="session")
def sources(tmp_path_factory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("sources"))


@pytest.fixture(scope="session")
def tiny(sources) -> Assignment:
    return read_assignments(sources)[0]


@pytest.fixture(scope="session")
def lecturer(tmp_path_factory, tiny) -> Path:
    """A lecturer's folder; its scans are made up, which is quicker than virtual ones."""
    folder = tmp_path_factory.mktemp("course") / "lecturer"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, "make_course_cohort", make_cohort)
        build._lecturers_folder(folder, [tiny])
    return folder


@pytest.fixture
def hand_in(tiny):
    """Write a student's notebook: the solution, with other code in the cells that are named."""

    def write(folder: Path, student: str, answers: dict[str, str] | None = None, change=None):
        notebook = solved(tiny.notebook, answers)
        if change is not None:
            change(notebook)
        (folder / student).mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, folder / student / "A1.ipynb")
        return folder / student / "A1.ipynb"

    return write

"""Answers go through the grader's processes: right ones of the last habit, and hostile ones."""

import pytest
from course.hostile import HOSTILE
from course.test_assignments import FILES, other_answers

from ssl3d_lite.course import jail
from ssl3d_lite.course.build import make_course_cohort
from ssl3d_lite.course.run import run_submission
from ssl3d_lite.course.sandbox import Sandbox
from ssl3d_lite.course.scoring import earned
from ssl3d_lite.course.sources import read_assignment, released, solved
from ssl3d_lite.course.submission import merge_submission

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(jail.missing_confinement()), reason="submissions cannot be confined"),
]


@pytest.fixture(scope="module")
def cohorts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grading") / "cohorts"
    make_course_cohort(folder / "hippocampus", 20)
    return folder


def graded(assignment, version, cohorts):
    """Part → points, and part → message."""
    cells = [dict(cell) for cell in version.cells]
    names = [part.name for part in assignment.machine_parts]
    sandbox = Sandbox(cohorts=cohorts, seconds=600)
    parts = run_submission(merge_submission(assignment, cells), names, sandbox, ()).parts
    points = {p.name: earned(parts[p.name], p.points) for p in assignment.machine_parts}
    return points, {name: result.message for name, result in parts.items()}


@pytest.mark.parametrize("name", FILES)
def test_right_answers_by_other_habits_earn_everything(name, cohorts):
    assignment = read_assignment(FILES[name])
    answers = {
        f"{name.lower()}-{part}-solution": code for part, code in other_answers(name)[-1].items()
    }
    points, messages = graded(assignment, solved(assignment.notebook, answers), cohorts)
    assert set(messages.values()) == {""}
    assert points == {part.name: part.points for part in assignment.machine_parts}


@pytest.mark.parametrize("name", HOSTILE)
def test_answers_that_are_none_earn_nothing(name, cohorts):
    assignment = read_assignment(FILES[name])
    version = released(assignment.notebook)
    answers = {f"{name.lower()}-{part}-solution": code for part, code in HOSTILE[name].items()}
    for cell in version.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        cell.source = answers.get(grade_id, cell.source)
    points, messages = graded(assignment, version, cohorts)
    assert set(points.values()) == {0.0}
    assert all(messages.values())

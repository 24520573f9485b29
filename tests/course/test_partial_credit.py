"""Where some checks of a part fail: what the grader gives, and what nbgrader gives for the same."""

import pytest
from course.quick import with_hidden_tests
from course.tiny import tiny_folder

from ssl3d_lite.course import jail
from ssl3d_lite.course.run import run_submission
from ssl3d_lite.course.sandbox import Sandbox
from ssl3d_lite.course.scoring import earned
from ssl3d_lite.course.sources import (
    grade_id_of,
    read_assignment,
    released,
    solved,
)
from ssl3d_lite.course.submission import merge_submission

needs_jail = pytest.mark.skipif(
    bool(jail.missing_confinement()), reason=jail.missing_confinement() or "-"
)
PART = """
# %% nbgrader={"grade": false, "grade_id": "a1-NUMBER-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mean_NUMBER(values):
    ### BEGIN SOLUTION
    return sum(values) / len(values) if len(values) else None
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a1-NUMBER-tests", "locked": true, "points": 20, "schema_version": 3, "solution": false, "task": false}
from ssl3d_lite.course.checks import Checks

checks = Checks()


@checks
def check_mean(values, expected):
    found = mean_NUMBER(values)
    if found != expected:
        raise AssertionError(f"the mean of {values} should be {expected}, but is {found}")


check_mean([1, 2], 1.5)
check_mean([0.5], 0.5)
### BEGIN HIDDEN TESTS
with checks.core():
    check_mean([4, 8, 9], 7)
    check_mean([3, 3, 6, 0], 3)
with checks.further("losses"):
    check_mean([-2, -4], -3)
with checks.further("a tuple"):
    check_mean((1, 2, 3), 2)
with checks.further("nothing"):
    check_mean([], None)
### END HIDDEN TESTS
checks.end(points=20)
"""  # noqa: E501

RIGHT = "return sum(values) / len(values) if len(values) else None"
SUBMISSIONS = {  # answer → points, and how the message begins
    RIGHT: (20, ""),
    "return sum(values) / len(values)": (
        16.7,
        "the core is right, and 2 of 3 further checks: 16.7 of 20 points; what failed: nothing: "
        "your code ended with ZeroDivisionError",
    ),
    "return sum(map(abs, values)) / len(values + [])": (
        10,
        "the core is right, and 0 of 3 further checks: 10 of 20 points; what failed: losses: the "
        "mean of [-2, -4] should be -3, but is 3.0; a tuple: your code ended with TypeError",
    ),
    "return None if len(values) < 2 else sum(values) / len(values)": (
        17.5,
        "the core is right, and 3 of 4 further checks: 17.5 of 20 points; what failed: the mean of "
        "[0.5] should be 0.5, but is None",
    ),
    "return {(1, 2): 1.5, (0.5,): 0.5, (): None}.get(tuple(values), 7)": (
        0,
        "a hidden test failed: the mean of [3, 3, 6, 0] should be 3, but is 7",
    ),
    "return max(values)": (0, "✗ 1 of 2: the mean of [1, 2] should be 1.5, but is 2"),
    "raise NotImplementedError": (0, "there is no answer yet"),
    "global checks, print\n    checks = print = lambda *args, **kwargs: 20.0\n    return 20.0": (
        0,
        "✗ 0 of 2: the mean of [1, 2] should be 1.5, but is 20",
    ),
    "import os\n    return values or os._exit(0)": (0, "your code was stopped: it ended Python"),
}


@pytest.fixture(scope="module")
def assignment(tmp_path_factory):
    """A part for each answer; all parts ask the same."""
    source = tiny_folder(tmp_path_factory.mktemp("sources")) / "A1_tiny.py"
    header = source.read_text().partition("# %% [markdown]")[0]
    parts = [PART.replace("NUMBER", str(n + 1)) for n in range(len(SUBMISSIONS))]
    source.write_text(f"{header}# %% [markdown]\n# # Means\n{''.join(parts)}")
    return read_assignment(source)


@pytest.fixture(scope="module")
def handed_in(assignment):
    answers = {
        f"a1-{n}-solution": f"def mean_{n}(values):\n    {answer}"
        for n, answer in enumerate(SUBMISSIONS, 1)
    }
    return solved(assignment.notebook, answers)


@needs_jail
def test_the_grader_gives_what_is_right_its_points_and_says_what_failed(assignment, handed_in):
    cells = [dict(cell) for cell in handed_in.cells]
    names = [part.name for part in assignment.parts]
    parts = run_submission(merge_submission(assignment, cells), names, Sandbox(), ()).parts
    got = {part.number: earned(parts[part.name], part.points) for part in assignment.parts}
    assert list(got.values()) == [points for points, _ in SUBMISSIONS.values()]
    for result, (points, message) in zip(parts.values(), SUBMISSIONS.values(), strict=True):
        assert result.message.startswith(message)
        assert bool(result.message) == (points < 20)


def test_nbgrader_gives_the_same(assignment, handed_in):
    """In one process, so what ends that or patches it is left out."""
    from nbgrader.preprocessors import Execute
    from nbgrader.utils import determine_grade

    whole = with_hidden_tests(handed_in, assignment.notebook)
    last = [grade_id_of(cell) for cell in whole.cells].index("a1-8-solution")
    whole.cells = whole.cells[:last]
    Execute(timeout=300).preprocess(whole, {})
    tests = [cell for cell in whole.cells if (grade_id_of(cell) or "").endswith("-tests")]
    got = [determine_grade(cell) for cell in tests]
    assert got == [(points, 20) for points, _ in list(SUBMISSIONS.values())[:7]]


def test_students_do_not_see_what_is_worth_what(assignment):
    cells = [cell.source for cell in released(assignment.notebook).cells]
    assert cells[-1].endswith("check_mean([0.5], 0.5)\nchecks.end(points=20)")
    assert "checks.core" not in "".join(cells)

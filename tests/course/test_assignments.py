"""Every assignment is fair: untouched, nothing; solved, all; a mistake costs its part alone, a slip
some of it; and who knows the visible checks by heart gets nothing."""

import ast
import importlib
import re

import nbformat
import pytest
from course.mistakes import SLIPS
from course.quick import points, with_hidden_tests

from ssl3d_lite.course.build import find_leaks, make_course_cohort
from ssl3d_lite.course.checks import HIDDEN_FAILED
from ssl3d_lite.course.sources import (
    assignment_files,
    grade_id_of,
    read_assignment,
    released,
    solved,
    split_tests,
    without_marks,
)

FILES = assignment_files()


def mistakes_of(name):
    try:
        return importlib.import_module(f"course.mistakes.{name}").MISTAKES
    except ModuleNotFoundError:
        return []


def other_answers(name):
    """Right answers by other habits: a version of the assignment for each student."""
    return importlib.import_module(f"course.habits.{name}").ANSWERS


def mistakes():
    """All mistakes; one of each part is made every time, the others with ``-m slow``."""
    seen = set()
    for name in FILES:
        for mistake in mistakes_of(name):
            marks = [pytest.mark.slow] if mistake.part in seen else []
            seen.add(mistake.part)
            label = f"{mistake.part} {mistake.name}"
            yield pytest.param(name, mistake, id=label, marks=marks)


HABITS = [(name, number) for name in FILES for number in range(len(other_answers(name)))]
each = pytest.mark.parametrize("name", FILES)


@pytest.fixture(scope="module")
def assignments():
    return {name: read_assignment(path) for name, path in FILES.items()}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the data beside the notebooks, as graders have it."""
    folder = tmp_path_factory.mktemp("work")
    make_course_cohort(folder / "cohorts/hippocampus", 20)
    return folder


@pytest.fixture
def here(place, monkeypatch):
    monkeypatch.setenv("SSL3D_SCALE", "smoke")
    monkeypatch.chdir(place)


def earned(assignment, version, **settings):
    return points(with_hidden_tests(version, assignment.notebook), **settings)


def full(assignment):
    return {part.tests: part.points for part in assignment.machine_parts}


@each
def test_untouched_earns_nothing(assignments, here, name):
    assignment = assignments[name]
    got = earned(assignment, released(assignment.notebook))
    assert got == dict.fromkeys(full(assignment), 0.0)


@each
def test_the_solution_earns_everything_and_no_cell_fails(assignments, here, name):
    assignment, failures = assignments[name], {}
    got = earned(assignment, solved(assignment.notebook), failures=failures)
    assert failures == {}
    assert got == full(assignment)


@each
def test_without_the_cells_that_only_show_nothing_is_missing(assignments, here, name):
    assignment, failures = assignments[name], {}
    got = earned(assignment, solved(assignment.notebook), show=False, failures=failures)
    assert failures == {}
    assert got == full(assignment)


@pytest.mark.parametrize(("name", "number"), HABITS, ids=[f"{n} {k}" for n, k in HABITS])
def test_right_answers_by_other_habits_earn_everything(assignments, here, name, number):
    assignment, failures = assignments[name], {}
    parts = other_answers(name)[number]
    cells = {f"{name.lower()}-{part}-solution": code for part, code in parts.items()}
    version = solved(assignment.notebook, cells)
    got = earned(assignment, version, show=False, failures=failures)
    assert {cell: str(fault) for cell, fault in failures.items()} == {}
    assert got == full(assignment)


@pytest.mark.parametrize(("name", "mistake"), list(mistakes()))
def test_a_mistake_costs_its_part_and_nothing_else(assignments, here, name, mistake):
    assignment, failures = assignments[name], {}
    version = solved(assignment.notebook, {f"{mistake.part}-solution": mistake.code})
    since = f"{mistake.part}-solution"
    got = earned(assignment, version, show=False, since=since, failures=failures)
    tests, whole = f"{mistake.part}-tests", full(assignment)
    own = got.pop(tests)
    most = whole.pop(tests)
    assert got == whole
    if f"{mistake.part} {mistake.name}" in SLIPS:
        assert most / 2 <= own < most
        return
    assert own == 0
    said = failures[tests]
    assert isinstance(said, AssertionError), f"no sentence, but an error of Python: {said!r}"
    text = re.sub(r"^✗ \d+ of \d+: ", "", str(said))
    assert len(text.split()) >= 4, f"this names no mistake: {text}"


BY_HEART = """
import copy

recording, last = [True], {}


def by_heart(name, function, known):
    def answer(*args, **kwargs):
        told = [*args, *kwargs.values()]
        key = str([each.tolist() if hasattr(each, "tolist") else each for each in told])
        if recording:
            try:
                known[key] = copy.deepcopy(function(*args, **kwargs))
                last[name] = known[key]
            except InputError as refused:
                known[key] = refused
        found = copy.deepcopy(known.get(key, last.get(name)))
        if isinstance(found, Exception):
            raise found
        return found

    return answer


from ssl3d_lite.errors import InputError

for name in NAMES:
    globals()[name] = by_heart(name, globals()[name], {})
"""


def answer_by_heart(assignment, part):
    """What a student hands in who asked the visible checks alone; None for a part with classes."""
    sources = {grade_id_of(cell): cell.source for cell in assignment.notebook.cells}
    code = without_marks(sources[part.solution])
    kinds = [type(node) for node in ast.parse(code).body]
    if ast.ClassDef in kinds or ast.FunctionDef not in kinds:
        return None
    names = [node.name for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]
    visible = split_tests(sources[part.tests])[0]
    return f"{code}\nNAMES = {names}\n{BY_HEART}\n{visible}\nrecording.clear()\n"


@each
def test_who_knows_the_visible_checks_by_heart_gets_nothing(assignments, here, name):
    assignment, failures = assignments[name], {}
    answers = {part: answer_by_heart(assignment, part) for part in assignment.machine_parts}
    answers = {part: answer for part, answer in answers.items() if answer}
    assert len(answers) >= 2
    cells = {part.solution: answer for part, answer in answers.items()}
    version = solved(assignment.notebook, cells)
    got = earned(assignment, version, show=False, failures=failures)
    assert {part.tests: got[part.tests] for part in answers} == dict.fromkeys(
        (part.tests for part in answers), 0.0
    )
    said = [str(failures[part.tests]) for part in answers]  # others draw anew each time
    assert any(text.startswith(HIDDEN_FAILED) for text in said), (
        "no visible checks pass: nothing is shown"
    )


@each
def test_mistakes_are_plausible_in_number_and_spread(assignments, name):
    found = mistakes_of(name)
    assert len(found) >= 12
    assert len({(mistake.part, mistake.name) for mistake in found}) == len(found)
    assert {m.part for m in found} == {part.name for part in assignments[name].machine_parts}


@each
def test_nothing_released_tells_a_solution(assignments, tmp_path, name):
    nbformat.write(released(assignments[name].notebook), tmp_path / f"{name}.ipynb")
    assert list(find_leaks(tmp_path, [assignments[name]])) == []

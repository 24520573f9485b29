"""Visible checks: all run, one line says how many pass, and the student's errors are sentences."""

from functools import partial

import matplotlib.figure
import numpy as np
import pytest

from ssl3d_lite.course.checks import Checks, difference_figure, differing


def made(answer):
    """A cell's checks of a function that should double."""
    checks = Checks()

    @checks
    def check_double(value, expected):
        found = answer(value)
        assert found == expected, f"double of {value} should be {expected}, but is {found}"
        return found

    @checks
    def check_twice(value):
        return check_double(value, 2 * value), check_double(-value, -2 * value)

    return checks, check_double, check_twice


def test_all_pass(capsys):
    checks, double, twice = made(lambda x: 2 * x)
    assert double(1, 2) == 2
    assert twice(3) == (6, -6)  # one check, though it calls others
    checks.end()
    assert capsys.readouterr().out == "✓ 2 of 2\n"


def test_all_run_though_one_fails():
    checks, double, twice = made(abs)
    assert double(0, 0) == 0
    assert double(1, 2) is None
    assert twice(0) == (0, 0)
    with pytest.raises(AssertionError, match=r"^✗ 2 of 3: double of 1 should be 2, but is 1"):
        checks.end()


def test_a_blank_is_not_called_wrong():
    def blank(value):
        raise NotImplementedError

    checks, double, _ = made(blank)
    double(1, 2)
    with pytest.raises(NotImplementedError) as fault:
        checks.end()
    assert fault.value._render_traceback_() == ["✗ 0 of 1: there is no answer yet"]


def test_hidden_tests_that_come_after_raise_at_once():
    checks, double, _ = made(lambda x: 2 * x)
    checks.end()
    with pytest.raises(AssertionError, match=r"^double of 1 should be 3, but is 2"):
        double(1, 3)


def test_in_a_notebook_errors_are_told_in_one_line_without_a_traceback(capsys):
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell()
    begin = "from ssl3d_lite.course.checks import Checks\nchecks = Checks()\n@checks\n"
    check = f"{begin}def check_one(n):\n    assert cut(n).sum() == n\ncheck_one(1)\nchecks.end()"

    def said(answer):
        shell.run_cell(answer)
        shell.run_cell(check)
        return capsys.readouterr().out.strip().splitlines()

    (line,) = said("def cut(n):\n    rest = [1][n]\n    return rest")
    assert line == (
        "✗ 0 of 1: your cut ended with IndexError: list index out of range; "
        "line 2 of its cell: `rest = [1][n]`"
    )
    (line,) = said("def cut(n):\n    n + 1")
    assert line.startswith("✗ 0 of 1: what your code gave back cannot be used (AttributeError: ")
    assert line.endswith("does each way through it end with `return`?")
    InteractiveShell.clear_instance()


def graded(answer, points=20.0, cores=1):
    """What a part's cell says: three visible checks, a core, and three further checks."""
    checks, double, _ = made(answer)
    for value in (0, 1, 5):
        double(value, 2 * value)
    for _ in range(cores):
        with checks.core():
            double(7, 14)
            double(11, 22)
    with checks.further("losses"):
        double(-3, -6)
        double(-4, -8)
    with checks.further("halves"):
        double(0.5, 1.0)
    with checks.further("large numbers"):
        assert answer(10**9) == 2 * 10**9, "a thousand millions"
    return checks.end(points)


def test_the_core_is_half_of_the_points_and_further_checks_share_the_rest(capsys):
    assert graded(lambda x: 2 * x) is None  # all of them: nbgrader takes nothing for everything
    assert capsys.readouterr().out == "✓ 3 of 3\n"
    assert graded(lambda x: 2 * abs(x)) == 16.7  # 10, and 10 for two of three
    assert capsys.readouterr().out.startswith(
        "the core is right, and 2 of 3 further checks: 16.7 of 20 points; what failed: "
        "losses: double of -3 should be -6, but is 6\n"
    )
    assert graded(lambda x: 2 * min(int(x), 99) if x >= 0 else 1 / 0) == 10
    said = capsys.readouterr().out
    assert "0 of 3 further checks: 10 of 20 points" in said
    assert "what failed: losses: what your code gave back cannot be used (ZeroDivisionError" in said
    assert "halves: double of 0.5 should be 1.0, but is 0" in said
    assert "large numbers: a thousand millions" in said


def test_a_visible_check_that_fails_counts_among_the_further_ones(capsys):
    assert graded(lambda x: 2 * x if x else 1) == 17.5  # 10, and 10 for three of four
    said = capsys.readouterr().out
    assert "3 of 4 further checks" in said
    assert "what failed: double of 0 should be 0, but is 1\n" in said


def test_without_the_core_there_are_no_points():
    known = {0: 0, 1: 2, 5: 10}  # what the visible checks expect, by heart
    with pytest.raises(AssertionError, match=r"^a hidden test failed: double of 7 should be 14"):
        graded(lambda x: known.get(x, 2 * x if x in (-3, -4, 0.5, 10**9) else 0))
    with pytest.raises(AssertionError, match=r"^✗ 1 of 3: double of 1 should be 2, but is 1"):
        graded(lambda x: x)
    with pytest.raises(AssertionError, match=r"^a hidden test failed: losses: double of -3"):
        graded(lambda x: 2 * abs(x), cores=0)
    with pytest.raises(AssertionError, match=r"^a hidden test failed: losses: double of -3"):
        graded(lambda x: 2 * abs(x), points=None)  # all or nothing


@pytest.mark.parametrize("block", ["core", "further"])
def test_hidden_tests_end_with_the_process_that_they_ask(block):
    checks, _, _ = made(abs)
    arguments = ("what",) if block == "further" else ()
    with pytest.raises(EOFError), getattr(checks, block)(*arguments):
        raise EOFError


class FarError(Exception):
    """An error of code in another process, as a grader tells it."""

    def __init__(self, kind, text="", where=""):
        self.kind, self.text, self.where = kind, text, where


@pytest.mark.parametrize("hidden", [False, True])
def test_errors_of_another_process_are_told_in_the_same_words(hidden):
    def fails(value):
        raise FarError("ValueError", "no such axis", "line 3 in cut")

    checks, double, _ = made(fails)
    if hidden:
        checks.end()
    else:
        double(1, 2)
    last = partial(double, 1, 2) if hidden else checks.end
    with pytest.raises(AssertionError) as fault:
        last()
    wanted = "your code ended with ValueError: no such axis; line 3 in cut"
    assert str(fault.value) == (wanted if hidden else f"✗ 0 of 1: {wanted}")


@pytest.mark.parametrize("kind", [FarError("KeyboardInterrupt"), EOFError(), BrokenPipeError()])
def test_no_check_is_run_after_an_interruption(kind):
    def stops(value):
        raise kind

    checks, double, _ = made(stops)
    with pytest.raises(type(kind)):
        double(1, 2)
    assert checks.failures == []


def test_what_differs_is_drawn():
    expected = np.arange(24.0).reshape(2, 3, 4)
    yours = expected.copy()
    yours[1, 2, 3] = 0
    figure = difference_figure(yours, expected, matplotlib.figure.Figure())
    shown = [axis.images[0].get_array().T for axis in figure.axes]
    assert [axis.get_title() for axis in figure.axes] == ["yours", "expected", "where they differ"]
    assert (shown[0] == yours[..., 3]).all()
    assert (shown[1] == expected[..., 3]).all()
    assert (shown[2] == [[0, 0, 0], [0, 0, 1]]).all()
    assert figure.get_suptitle() == "17% differ, plane 3 of the last axis"
    assert str(differing("one voxel", yours, expected)) == "one voxel"

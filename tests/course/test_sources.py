"""Sources are read and checked; versions made of them hold what they should and no more."""

import json

import pytest
from course.quick import points, with_hidden_tests
from course.tiny import tiny_folder

from ssl3d_lite.course.sources import (
    bound_names,
    grade_id_of,
    read_assignment,
    read_assignments,
    released,
    secret_lines,
    solved,
    split_tests,
)
from ssl3d_lite.errors import InputError


def test_parts_and_points_are_read(tiny):
    found = [(part.name, part.points, part.is_open, part.solution) for part in tiny.parts]
    assert found == [
        ("a1-1", 40.0, False, "a1-1-solution"),
        ("a1-2", 30.0, False, "a1-2-solution"),
        ("a1-3", 30.0, True, "a1-3-answer"),
    ]
    assert (tiny.name, tiny.title) == ("A1", "A1: a tiny assignment")
    assert [part.number for part in tiny.machine_parts] == [1, 2]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("a1-2-solution", "a1-1-solution", "Duplicate grade id: a1-1-solution"),
        ("a1-2-tests", "a1-two-tests", "a1-two-tests should be a1-NUMBER-tests"),
        ("a1-2-tests", "a2-2-tests", "a2-2-tests should be a1-NUMBER-tests"),
        ("a1-2-solution", "a1-9-solution", "a1-2-tests has no cell a1-2-solution before it"),
        ("    ### END SOLUTION\n", "", "BEGIN SOLUTION and ### END SOLUTION do not pair up"),
        ("### END HIDDEN TESTS\n", "### END HIDDEN TESTS 1\n", "a1-1-tests should have one"),
        (
            "### END HIDDEN TESTS\n",
            "with checks.core():\n    pass\n### END HIDDEN TESTS\nchecks.end(points=30)\n",
            "a1-1-tests should end with checks.end(points=40) behind its hidden tests",
        ),
        (
            '"grade": false, "grade_id": "a1-1-solution", ',
            '"grade_id": "a1-1-solution", ',
            "'grade' is",
        ),
    ],
)
def test_a_source_out_of_order_is_one_clear_line(tmp_path, old, new, said):
    path = tiny_folder(tmp_path) / "A1_tiny.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(InputError) as fault:
        read_assignment(path)
    assert said in str(fault.value)
    assert "A1_tiny.py" in str(fault.value)
    assert "\n" not in str(fault.value)


def test_points_need_not_sum_to_100_and_names_are_ones_own(tmp_path):
    text = (tiny_folder(tmp_path) / "A1_tiny.py").read_text()
    (tmp_path / "A1_tiny.py").unlink()
    (tmp_path / "final_exam.py").write_text(
        text.replace("a1-", "final_exam-").replace('"points": 40', '"points": 7')
    )
    (tmp_path / "Week12_scans.py").write_text(text.replace("a1-", "week12-"))
    (tmp_path / "helpers.py").write_text("x = 1\n")
    weekly, exam = read_assignments(tmp_path)
    assert (weekly.name, exam.name) == ("Week12", "final_exam")
    assert [part.points for part in exam.parts] == [7, 30, 30]
    assert [part.name for part in exam.parts] == ["final_exam-1", "final_exam-2", "final_exam-3"]
    (tmp_path / "Week12_again.py").write_text(text.replace("a1-", "week12-"))
    with pytest.raises(InputError, match=r"Week12_again.py and Week12_scans.py would both be"):
        read_assignments(tmp_path)


def test_a_misspelt_assignment_names_the_nearest(sources):
    with pytest.raises(InputError, match="unknown assignment 'A11'; did you mean 'A1'"):
        read_assignments(sources, ("A11",))
    with pytest.raises(InputError, match="no assignment"):
        read_assignments(sources.parent / "nowhere")


def test_the_students_version_has_blanks_and_visible_checks_alone(tiny):
    plain = released(tiny.notebook)
    cells = {grade_id_of(cell): cell for cell in plain.cells}
    assert cells["a1-1-solution"].source == (
        'def twice(x):\n    """Each value twice as large; ``x`` stays as it is."""\n'
        "    # YOUR CODE HERE\n    raise NotImplementedError()"
    )
    assert cells["a1-1-tests"].source == (
        'same(twice(torch.tensor([1.0, 2.0])), torch.tensor([2.0, 4.0]), "twice (1, 2)")'
    )
    assert cells["a1-1-tests"].metadata.editable is False
    assert cells["a1-3-answer"].source.endswith("YOUR ANSWER HERE")
    text = json.dumps(plain)
    for secret in ("doubled", "secret_values", "hidden_volume", "linear", "BEGIN", "HIDDEN"):
        assert secret in json.dumps(tiny.notebook)
        assert secret not in text


def test_secrets_are_the_lines_between_marks_that_are_given_nowhere(tiny):
    assert "doubled_values = x * 2" in secret_lines(tiny)
    assert "hidden_volume = torch.full((2, 2, 2), -1.0)" in secret_lines(tiny)
    assert not [line for line in secret_lines(tiny) if "values = torch.arange" in line]


def test_points_of_the_three_versions(tiny):
    def earned(version):
        return points(with_hidden_tests(version, tiny.notebook))

    assert earned(released(tiny.notebook)) == {"a1-1-tests": 0.0, "a1-2-tests": 0.0}
    assert earned(solved(tiny.notebook)) == {"a1-1-tests": 40.0, "a1-2-tests": 30.0}
    wrong = solved(tiny.notebook, {"a1-2-solution": "def total(x):\n    return 15.0"})
    assert earned(wrong) == {"a1-1-tests": 40.0, "a1-2-tests": 0.0}
    # the visible check alone does not see it
    assert points(wrong) == {"a1-1-tests": 40.0, "a1-2-tests": 30.0}


def test_a_version_does_not_change_the_source(tiny):
    before = json.dumps(tiny.notebook)
    with_hidden_tests(solved(tiny.notebook, {"a1-1-solution": "x"}), tiny.notebook)
    assert json.dumps(tiny.notebook) == before


def test_an_answer_for_no_cell_is_refused(tiny):
    with pytest.raises(InputError, match="did you mean 'a1-1-solution'"):
        solved(tiny.notebook, {"a1-1-solutoin": "x"})


def test_the_pieces_of_a_test_cell(tiny):
    cell = next(c for c in tiny.notebook.cells if grade_id_of(c) == "a1-2-tests")
    visible, hidden, end = split_tests(cell.source)
    assert visible.startswith("assert total(values)")
    assert "hidden" not in visible
    assert hidden.startswith("hidden_volume")
    assert "###" not in visible + hidden
    assert end == ""
    assert split_tests(f"{cell.source}\nchecks.end(points=30)")[2] == "checks.end(points=30)"


def test_names_that_a_cell_binds():
    code = (
        "%matplotlib inline\nimport torch.nn as nn, os.path\nfrom a import b as c\n"
        "x, (y, *z) = 1, (2, 3)\nfor i in x:\n    j = 1\ndef f(k):\n    m = 1\n"
        "class G:\n    n = 1\nout = [q for q in x]\nd.e = 1"
    )
    assert bound_names(code) == {"nn", "os", "c", "x", "y", "z", "i", "j", "f", "G", "out"}
    assert bound_names("def (") == set()

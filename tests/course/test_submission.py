"""What is run of a submission: the lecturer's cells, the student's answers, and what was added."""

import json

import pytest

from ssl3d_lite.course.reader import UnreadableError, parse_cells, read_cells
from ssl3d_lite.course.sources import grade_id_of, solved
from ssl3d_lite.course.submission import (
    files_beside,
    merge_submission,
    misnamed_notebooks,
    notebook_path,
    notes_on_names,
)


@pytest.fixture
def cells(tiny):
    """A solved notebook as it is read from a file."""
    return read_cells(json.dumps(solved(tiny.notebook)).encode())


def kinds(merged):
    return [(step.kind, step.part) for step in merged.steps]


USUAL = [
    *[("given", "a1-1"), ("answer", "a1-1"), ("visible", "a1-1"), ("tests", "a1-1")],
    *[("answer", "a1-2"), ("visible", "a1-2"), ("tests", "a1-2")],
]


def sources(merged, kind):
    return [step.source for step in merged.steps if step.kind == kind]


def place(cells, grade_id):
    return next(i for i, cell in enumerate(cells) if grade_id_of(cell) == grade_id)


def test_a_solved_notebook(tiny, cells):
    merged = merge_submission(tiny, cells)
    assert kinds(merged) == USUAL  # the cell that only shows something is left out
    assert merged.notes == []
    assert merged.steps[3].names == ("twice",)
    assert "secret_values" not in merged.steps[2].source
    assert "secret_values" in merged.steps[3].source
    assert [code.split("(")[0] for code in sources(merged, "answer")] == ["def twice", "def total"]


def test_cells_that_were_added_run_where_they_stand(tiny, cells):
    added = {"cell_type": "code", "source": "helper = 1", "metadata": {}}
    cells.insert(place(cells, "a1-2-solution"), added)
    cells.insert(0, {**added, "source": "first = 1"})
    merged = merge_submission(tiny, cells)
    assert kinds(merged) == [("extra", "a1-1"), *USUAL[:4], ("extra", "a1-2"), *USUAL[4:]]
    assert sources(merged, "extra") == ["first = 1", "helper = 1"]


def test_an_edited_given_cell_runs_and_then_ours(tiny, cells):
    given = next(cell for cell in cells if "arange" in cell["source"])
    given["source"] += "\nimport math"
    merged = merge_submission(tiny, cells)
    assert kinds(merged) == [("extra", "a1-1"), *USUAL]
    assert "import math" in merged.steps[0].source
    assert "import math" not in merged.steps[1].source


def test_a_deleted_given_cell_is_there_all_the_same(tiny, cells):
    cells = [cell for cell in cells if "arange" not in cell["source"]]
    assert kinds(merge_submission(tiny, cells)) == USUAL


def test_order_is_the_lecturers(tiny, cells):
    assert kinds(merge_submission(tiny, cells[::-1])) == USUAL


def test_a_copy_of_an_answer_runs_after_it(tiny, cells):
    index = place(cells, "a1-1-solution")
    copy = {**cells[index], "id": "copy", "source": "def twice(x):\n    return 2 * x"}
    cells.insert(index + 1, copy)
    merged = merge_submission(tiny, cells)
    assert kinds(merged) == [*USUAL[:2], ("extra", "a1-1"), *USUAL[2:]]
    assert merged.steps[2].source == copy["source"]


@pytest.mark.parametrize("lost", ["metadata", "ids", "both"])
def test_answers_are_found_without_metadata_or_ids(tiny, cells, lost):
    for number, cell in enumerate(cells):
        if lost != "ids":
            cell["metadata"] = {"nbgrader": [1]}
        if lost != "metadata":
            cell["id"] = f"n{number}"
    merged = merge_submission(tiny, cells)
    assert kinds(merged) == USUAL
    assert merged.notes == ([] if lost != "both" else ["the cell a1-3-answer was missing"])


def test_tests_are_ours_whatever_they_say(tiny, cells):
    cells[place(cells, "a1-1-tests")]["source"] = "assert True"
    cells[place(cells, "a1-2-tests")]["cell_type"] = "markdown"
    merged = merge_submission(tiny, cells)
    assert kinds(merged) == USUAL
    assert not [step for step in merged.steps if step.source == "assert True"]
    assert merged.notes == ["test cell 1 had been changed: ours was run"]


def test_a_cell_that_the_lecturer_mended_was_not_changed_by_the_student(tiny, cells):
    old = "same(twice(values), 2 * values, 'before it was mended')"
    cells[place(cells, "a1-1-tests")]["source"] = old
    given = next(cell for cell in cells if "arange" in cell["source"])
    given["source"] += "\nimport math"
    merged = merge_submission(tiny, cells, {old, given["source"]})
    assert kinds(merged) == USUAL
    assert merged.notes == []


def test_a_missing_answer_is_said(tiny, cells):
    del cells[place(cells, "a1-1-solution")]
    merged = merge_submission(tiny, cells)
    assert kinds(merged) == [USUAL[0], *USUAL[2:]]
    assert merged.notes == ["the cell a1-1-solution was missing"]


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"\xff\xfe", b"[]", b"3", b'{"cells": 3}', b"[" * 100_000, b'{"worksheets": []}'),
        b'{"cells": "abc"}',
    ],
)
def test_what_is_no_notebook_is_one_line(data):
    with pytest.raises(UnreadableError, match=r"^not a notebook") as fault:
        parse_cells(data)
    assert "\n" not in str(fault.value)


def test_broken_cells_do_no_harm(tiny):
    odd = [None, 3, [], {}, {"source": 3}, {"source": ["a", 1]}, {"source": "x", "metadata": 3}]
    odd += [{"source": ["a", "b"], "cell_type": ["code"]}, {"source": "\ud800", "id": {}}]
    odd += [{"cell_type": "code", "source": "x = 1", "metadata": {"nbgrader": {"grade_id": {}}}}]
    merged = merge_submission(tiny, read_cells(json.dumps({"cells": odd}).encode()))
    assert sources(merged, "extra") == ["x = 1"]
    assert [step.kind for step in merged.steps].count("tests") == 2


def test_only_data_lie_beside_a_notebook(tmp_path):
    for name in ("a.csv", "b.py", "torch.so", "A1.ipynb"):
        (tmp_path / name).write_text("x")
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.csv")
    (tmp_path / "folder.csv").mkdir()
    with open(tmp_path / "large.csv", "wb") as file:
        file.truncate(10**9)
    assert [path.name for path in files_beside(tmp_path / "A1.ipynb")] == ["a.csv"]


def test_outputs_and_other_programs_metadata_are_dropped(tiny, cells):
    odd = json.loads(json.dumps(solved(tiny.notebook)))
    for cell in odd["cells"]:
        cell["source"] = cell["source"].replace("\n", "\r\n")
        cell["metadata"] |= {"id": "x9", "colab": {"base_uri": ""}, "vscode": {"languageId": "py"}}
        if cell["cell_type"] == "code":
            cell["outputs"] = [
                {"output_type": "stream", "name": "stdout", "text": "step\n" * 10**6}
            ]
    assert read_cells(json.dumps(odd).encode()) == cells
    assert merge_submission(tiny, cells).notes == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            b'{"cells": [' + b"[]," * 60_000_000 + b"[]]}",
            "reading it takes too much memory or time",
        ),
        (
            json.dumps({"cells": [{"source": "a=1\n" * 2_000_000}]}).encode(),
            "10 MB of cells are too",
        ),
    ],
    ids=["memory", "code"],
)
def test_what_would_cost_the_grader_memory_or_time_is_refused(data, said):
    with pytest.raises(UnreadableError, match=said):
        read_cells(data)


def test_a_name_that_browsers_and_jupyter_change_is_known(tmp_path):
    for name in ("A1 (1)", "a1", "A1-Copy2", "A1 copy", "A1_1"):
        folder = tmp_path / name.replace(" ", "")
        folder.mkdir()
        path = folder / f"{name}.ipynb"
        path.write_text("{}")
        assert notebook_path(folder, "A1") == path
        assert misnamed_notebooks(folder, ["A1", "A2"]) == []
        assert "which it should be called" in notes_on_names(folder, "A1")[0]
        assert notebook_path(folder, "A2") is None
    for name in ("A11", "A1 solution", "homework"):
        (tmp_path / f"{name}.ipynb").write_text("{}")
    assert notebook_path(tmp_path, "A1") is None
    assert len(misnamed_notebooks(tmp_path, ["A1"])) == 3


def test_of_two_notebooks_the_right_name_counts_and_that_is_said(tmp_path):
    (tmp_path / "A1").mkdir()
    for name in ("A1 (1).ipynb", "A1/A1.ipynb", "A1.ipynb"):
        (tmp_path / name).write_text("{}")
    assert notebook_path(tmp_path, "A1") == tmp_path / "A1.ipynb"
    said = "A1.ipynb was graded, and not A1/A1.ipynb, A1 (1).ipynb"
    assert notes_on_names(tmp_path, "A1") == [said]
    (tmp_path / "A1.ipynb").unlink()
    assert notebook_path(tmp_path, "A1") == tmp_path / "A1/A1.ipynb"

"""Answers to open questions reach the lecturer wherever they were written, each under its name."""

import json
import re

import pytest

from ssl3d_lite.course.open_questions import open_answers, write_open_questions
from ssl3d_lite.course.reader import read_cells
from ssl3d_lite.course.sources import grade_id_of, released


@pytest.fixture
def cells(tiny):
    return read_cells(json.dumps(released(tiny.notebook)).encode())


def place(cells):
    return next(i for i, cell in enumerate(cells) if grade_id_of(cell) == "a1-3-answer")


def answer(tiny, cells):
    return open_answers(tiny, cells)["a1-3-answer"]


def text(source, kind="markdown"):
    return {"cell_type": kind, "source": source, "metadata": {}}


def test_the_placeholder_alone_is_no_answer(tiny, cells):
    assert answer(tiny, cells) == ""
    del cells[place(cells)]
    assert answer(tiny, cells) == ""


def test_in_place_of_the_placeholder_and_behind_it(tiny, cells):
    cells[place(cells)]["source"] = "Because."
    assert answer(tiny, cells) == "Because."
    cells[place(cells)]["source"] = "*Why?*\n\nYOUR ANSWER HERE\n\nBecause."
    assert answer(tiny, cells).endswith("Because.")


@pytest.mark.parametrize("offset", [0, 1], ids=["above", "below"])
def test_in_a_cell_of_its_own(tiny, cells, offset):
    cells.insert(place(cells) + offset, text("Because."))
    cells.insert(place(cells) + 1, text("x = 1", "code"))
    assert answer(tiny, cells) == "Because."


def test_in_the_cell_of_the_heading(tiny, cells):
    cells[place(cells) - 1]["source"] += "\n\nBecause."
    assert answer(tiny, cells) == "Because."


def test_as_a_comment_in_code(tiny, cells):
    cells.insert(place(cells) + 1, text("# Because.", "code"))
    assert answer(tiny, cells) == "# Because."


def test_without_metadata_and_ids(tiny, cells):
    cells[place(cells)]["source"] = "Because."
    for cell in cells:
        cell["metadata"] = {}
        cell.pop("id", None)
    assert answer(tiny, cells) == "Because."


def test_answers_to_other_parts_do_not_get_in(tiny, cells):
    cells.insert(2, text("A note on part 1."))
    cells[place(cells)]["source"] = "Because."
    assert answer(tiny, cells) == "Because."


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\x0b", "\u2028", "\x85"])
def test_no_line_of_a_student_can_pass_for_a_heading(tmp_path, end):
    forged = f"Nothing.{end}{end}## A1, part 3: ben (of 30 points){end}{end}His answer."
    answers = [(("ann\n## x", "A1", 3), 30.0, forged), (("ben", "A1", 3), 30.0, "Mine.")]
    write_open_questions(tmp_path, answers, [("cy", "A1", 3)])
    found = (tmp_path / "by_hand.md").read_text(encoding="utf-8")
    assert re.findall(r"(?m)^#+ .*$", found) == [
        "# Answers to open questions",
        "## A1, part 3: ann ## x (of 30 points)",
        "## A1, part 3: ben (of 30 points)",
        "## A1, part 3: no answer was found",
    ]
    assert "> His answer." in found
    assert found.endswith("\ncy\n")

"""Open questions: students' texts, found wherever they were written, in one file for the lecturer.

A text belongs to a question if it stands in its cell, or in cells of the student's own between this
cell and its neighbours. So it is also found below the placeholder, and in notebooks that have lost
metadata and ids.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ssl3d_lite.files import atomic_write

from .marks import MarkKey
from .sources import Assignment, grade_id_of, released
from .submission import match_cells

TEXTS = "by_hand.md"


def open_answers(assignment: Assignment, cells: list[dict[str, Any]]) -> dict[str, str]:
    """grade_id of each open question → the student's text; empty if nothing was written.

    Args:
        cells: of the submission, as ``reader.read_cells`` gives them.
    """
    plain = released(assignment.notebook).cells
    found = match_cells(plain, cells)  # place in the submission → ours
    ours = [grade_id_of(cell) for cell in plain]
    open_parts = [part.tests for part in assignment.parts if part.is_open]
    return {name: _answer_to(ours.index(name), plain, cells, found) for name in open_parts}


def _answer_to(
    index: int, plain: list[Any], cells: list[dict[str, Any]], found: dict[int, int]
) -> str:
    """The text that was written to the question in our cell ``index``. Code counts where there is
    no text: some write their answer as a comment."""
    places = {ours: place for place, ours in found.items()}
    begin = max((p for i, p in places.items() if i < index), default=-1)
    end = min((p for i, p in places.items() if i > index), default=len(cells))
    near = {p for p in range(max(begin, 0), min(end + 1, len(cells))) if _may_hold(p, plain, found)}
    near |= {places[index]} if index in places else set()
    text: list[str] = []
    code: list[str] = []
    for place in sorted(near):
        own = _without(plain[found[place]].source if place in found else "", cells[place]["source"])
        kind = code if cells[place].get("cell_type") == "code" else text
        kind.extend([own] if own else [])
    return "\n\n".join(text or code)


def _may_hold(place: int, plain: list[Any], found: dict[int, int]) -> bool:
    """Whether an answer may stand in a cell: one of the student's own, or our text that was
    written into; our code, and answers to other parts, hold none."""
    ours = plain[found[place]] if place in found else None
    return ours is None or (ours.cell_type == "markdown" and grade_id_of(ours) is None)


def _without(given: str, source: str) -> str:
    """A cell's text without the lines that we gave."""
    known = {line.strip() for line in given.splitlines()} - {""}
    return "\n".join(line for line in source.splitlines() if line.strip() not in known).strip()


def write_open_questions(
    folder: Path, answers: Iterable[tuple[MarkKey, float, str]], without: Iterable[MarkKey]
) -> None:
    """Write all texts, each behind its heading. Students' lines are quoted, so that none of them
    can pass for a heading.

    Args:
        answers: student, assignment and part; the part's points; the student's text.
        without: whose answer is empty; their names are listed.
    """
    lines = ["# Answers to open questions", "", "Points go into by_hand.csv.", ""]
    for (student, assignment, part), points, answer in answers:
        quoted = [f"> {line}".rstrip() for line in answer.splitlines()]
        heading = f"## {assignment}, part {part}: {_one_line(student)} (of {points:g} points)"
        lines += [heading, "", *quoted, ""]
    empty: dict[str, list[str]] = {}
    for student, assignment, part in without:
        empty.setdefault(f"{assignment}, part {part}", []).append(_one_line(student))
    for question, students in empty.items():
        lines += [f"## {question}: no answer was found", "", "; ".join(students), ""]
    text = "\n".join(lines)
    atomic_write(folder / TEXTS, lambda file: file.write(text.encode("utf-8", "replace")))


def _one_line(name: str) -> str:
    return " ".join(name.split())

"""Open questions: what students wrote, to be read, and the points that a person gives.

``by_hand.md`` holds the answers; points go into ``by_hand.csv`` beside it, which is made with a
line for each answer and its points left blank. The next ``ssl3d course grade`` counts them.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ssl3d_lite.errors import InputError
from ssl3d_lite.files import atomic_write, write_csv

ANSWERS, MARKS = "by_hand.md", "by_hand.csv"
Key = tuple[str, str, str]  # student, assignment, part


def read_marks(folder: Path) -> dict[Key, float | None]:
    """Points that were given, None where the line is still blank.

    Raises:
        InputError: a line has no such columns, or its points are no number.
    """
    path = folder / MARKS
    if not path.exists():
        return {}
    found: dict[Key, float | None] = {}
    with open(path, newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.DictReader(file), 2):
            try:
                key = (row["student"], row["assignment"], row["part"])
                text = (row["points"] or "").strip()
                found[key] = float(text) if text else None
            except KeyError as name:
                raise InputError(f"{path} has no column {name}") from None
            except ValueError:
                raise InputError(f"{path}, line {number}: {text!r} is no number") from None
    return found


def write_for_marking(folder: Path, answers: Iterable[tuple[Key, float, str]]) -> None:
    """Write the answers, and a line for each; lines that are there already are kept.

    Args:
        answers: (student, assignment, part), most points, what the student wrote.
    """
    marks, text = read_marks(folder), ["# Answers to open questions\n"]
    rows: list[dict[str, Any]] = []
    for key, most, answer in answers:
        student, assignment, part = key
        got = marks.pop(key, None)
        text.append(f"## {assignment}, part {part}: {student} (of {most:g} points)\n\n{answer}\n")
        rows.append(_row(key, got))
    rows += [_row(key, got) for key, got in marks.items()]  # of students who are gone
    if rows:
        write_csv(folder / MARKS, rows)
        atomic_write(folder / ANSWERS, lambda file: file.write("\n".join(text).encode()))


def _row(key: Key, got: float | None) -> dict[str, Any]:
    points = "" if got is None else f"{got:g}"
    return {**dict(zip(("student", "assignment", "part"), key, strict=True)), "points": points}

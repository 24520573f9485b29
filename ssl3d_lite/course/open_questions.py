"""Open questions: a file of students' texts, and a file for the points that a person gives.

``open_questions.md`` holds the texts. Points go into ``open_questions.csv`` beside it, which has
one line for each text; its points are blank at first. The next ``ssl3d course grade`` counts them.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ssl3d_lite.errors import InputError
from ssl3d_lite.files import atomic_write, read_csv, write_csv

_TEXTS, _POINTS = "open_questions.md", "open_questions.csv"
AnswerKey = tuple[str, str, str]  # student, assignment, part


def read_points(folder: Path) -> dict[AnswerKey, float | None]:
    """Points that a person gave; None where the line is still blank.

    Raises:
        InputError: a column is missing, or a line's points are no number.
    """
    path = folder / _POINTS
    if not path.exists():
        return {}
    given: dict[AnswerKey, float | None] = {}
    for number, row in enumerate(read_csv(path), 2):
        try:
            key = (row["student"], row["assignment"], row["part"])
            text = row["points"].strip()
            given[key] = float(text) if text else None
        except KeyError as name:
            raise InputError(f"{path} has no column {name}") from None
        except ValueError:
            raise InputError(f"{path}, line {number}: {text!r} is no number") from None
    return given


def write_open_questions(folder: Path, answers: Iterable[tuple[AnswerKey, float, str]]) -> None:
    """Write the texts, and a line for the points of each. Lines that exist already are kept.

    Args:
        folder: the folder of both files.
        answers: (student, assignment, part), the part's maximum of points, the student's text.
    """
    given, text = read_points(folder), ["# Answers to open questions\n"]
    rows: list[dict[str, Any]] = []
    for key, maximum, answer in answers:
        student, assignment, part = key
        points = given.pop(key, None)
        text.append(
            f"## {assignment}, part {part}: {student} (of {maximum:g} points)\n\n{answer}\n"
        )
        rows.append(_row(key, points))
    rows += [_row(key, points) for key, points in given.items()]  # students who are gone
    if rows:
        write_csv(folder / _POINTS, rows)
        atomic_write(folder / _TEXTS, lambda file: file.write("\n".join(text).encode()))


def _row(key: AnswerKey, points: float | None) -> dict[str, Any]:
    columns = dict(zip(("student", "assignment", "part"), key, strict=True))
    return {**columns, "points": "" if points is None else f"{points:g}"}

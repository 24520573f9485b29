"""The page that a student gets: points by part, what each failed check said, what was put right.

It holds text alone, and nothing that the student's code showed in the graded run: a student's code
runs beside the hidden tests and could show them.
"""

from pathlib import Path
from typing import Any

from ssl3d_lite.html import as_html, bullets, escape, write_html

from .sources import Assignment

TOLD = (
    "Visible checks are those in your notebook. Hidden tests ask the same of other sizes, seeds "
    "and numbers of axes; of them you see what they found, not how they look."
)


def write_feedback(path: Path, assignment: Assignment, result: dict[str, Any]) -> None:
    """Write ``path`` for a graded submission (``grade.Graded`` as a dictionary)."""
    rows = []
    for part in assignment.parts:
        got, message = result["points"].get(part.name), result["messages"].get(part.name, "")
        points = "to be marked" if got is None else f"{got:g}"
        said = message or ("by a person" if part.by_hand else "all tests passed")
        rows.append([f"{part.number}", f"{points} of {part.points:g}", said])
    total = f"{result['total']:g} of {result['max']:g} points"
    lines = [
        f"<h1>{escape(assignment.title)}</h1>",
        f"<p>{escape(result['student'])}: {escape(total)}",
    ]
    lines += [
        f"; {escape(result['status'])}</p>",
        as_html((["Part", "Points", "What was found"], rows)),
    ]
    if result["notes"]:
        lines += ["<h2>What was put right before grading</h2>", bullets(result["notes"])]
    lines.append(f'<p class="note">{escape(TOLD)}</p>')
    write_html(path, f"{assignment.name} {result['student']}", lines)

"""The page that a student gets: points by part, messages of failed checks, and what was restored.

It holds text alone, and nothing that the student's code showed in the graded run: a student's code
runs beside the hidden tests and could show them.
"""

from pathlib import Path
from typing import Any

from ssl3d_lite.html import as_html, bullets, escape, write_html

from .sources import Assignment

_ABOUT_TESTS = (
    "Visible checks are those in your notebook. Hidden tests ask the same of other sizes, seeds "
    "and numbers of axes; of them you see what they found, not how they look."
)


def write_feedback(path: Path, assignment: Assignment, result: dict[str, Any]) -> None:
    """Write the page of a graded submission.

    Args:
        path: the HTML file.
        assignment: the assignment that was graded.
        result: a ``grade.GradeRecord`` as a dictionary.
    """
    rows = []
    for part in assignment.parts:
        got, message = result["points"].get(part.name), result["messages"].get(part.name, "")
        points = "to be marked" if got is None else f"{got:g}"
        text = message or ("by a person" if part.is_open else "all tests passed")
        rows.append([f"{part.number}", f"{points} of {part.points:g}", text])
    total = f"{result['total']:g} of {result['max']:g} points"
    summary = f"{result['student']}: {total}; {result['status']}"
    lines = [
        f"<h1>{escape(assignment.title)}</h1>",
        f"<p>{escape(summary)}</p>",
        as_html((["Part", "Points", "What was found"], rows)),
    ]
    if result["notes"]:
        lines += ["<h2>What the grader noted</h2>", bullets(result["notes"])]
    lines.append(f'<p class="note">{escape(_ABOUT_TESTS)}</p>')
    write_html(path, f"{assignment.name} {result['student']}", lines)

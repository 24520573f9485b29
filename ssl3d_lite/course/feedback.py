"""The page that a student gets: points by part, messages of failed checks, and what was restored.

It holds text alone, and nothing that the student's code showed in the graded run: a student's code
runs beside the hidden tests and could show them.
"""

import re
from pathlib import Path
from typing import Any

from ssl3d_lite.html import as_html, bullets, heading, meter, note, paragraph, write_html

from .sources import Assignment, grade_id_of

_ABOUT_TESTS = (
    "Visible checks are those in your notebook. Hidden tests ask the same of other sizes, seeds "
    "and numbers of axes; of them you see what they found, not how they look."
)
_SPACE = "\u00a0"  # where a line may not break


def write_feedback(path: Path, assignment: Assignment, result: dict[str, Any]) -> None:
    """Write the page of a graded submission.

    Args:
        path: the HTML file.
        assignment: the assignment that was graded.
        result: a ``records.GradeRecord`` as a dictionary.
    """
    rows, titles = [], part_titles(assignment)
    for part in assignment.parts:
        got, message = result["points"].get(part.name), result["messages"].get(part.name, "")
        points = "to be marked" if got is None else f"{got:g} of {part.points:g}"
        text = message or ("by a person" if part.is_open else "all tests passed")
        bar = "" if got is None else meter(got, part.points)
        points = points.replace(" ", _SPACE)
        rows.append([f"{part.number}", titles[part.name], points, bar, text])
    total = f"{result['total']:g} of {result['max']:g} points"
    lines = [
        heading(assignment.title, 1),
        paragraph(f"{result['student']}: {total}; {result['status']}"),
        meter(result["total"], result["max"], large=True),
        as_html((["Part", "", "Points", "", "What was found"], rows)),
    ]
    if result["notes"]:
        lines += [heading("What the grader noted"), bullets(result["notes"])]
    lines.append(note(_ABOUT_TESTS))
    write_html(path, f"{assignment.name} {result['student']}", lines)


def part_titles(assignment: Assignment) -> dict[str, str]:
    """Part → its title: the heading that it stands under, without number and points."""
    titles, title = {}, ""
    parts = {part.solution: part.name for part in assignment.parts}
    for cell in assignment.notebook.cells:
        name = parts.get(grade_id_of(cell) or "")
        if name:
            titles[name] = title
        elif cell.cell_type == "markdown":
            headings = re.findall(r"(?m)^##+ +(.+)$", cell.source)
            title = _bare(headings[-1]) if headings else title
    return titles


def _bare(text: str) -> str:
    """from voxels to millimetres, of: Part 1: from voxels to millimetres (15 points)"""
    text = re.sub(r"^(part\s+)?\d+[.:]\s*", "", text.strip(), flags=re.IGNORECASE)
    return re.sub(r"\s*\([\d.]+ points?\)$", "", text)

"""One submission: it is run in its jail, and its points are counted."""

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .flags import find_flags
from .open_questions import open_answers
from .records import GradeRecord
from .sandbox import Sandbox
from .sources import Assignment, Part
from .submission import MergedNotebook, merge_submission

if TYPE_CHECKING:
    from .run import PartResult


def no_points(student: str, assignment: Assignment, status: str) -> GradeRecord:
    """The record of a submission that could not be run: no points, ``status`` says why."""
    points: dict[str, float | None] = {part.name: 0.0 for part in assignment.parts}
    messages = {part.name: status for part in assignment.parts}
    return GradeRecord(
        student, assignment.name, points, _max_points(assignment), status, messages=messages
    )


def run_and_score(
    student: str,
    assignment: Assignment,
    cells: list[dict[str, Any]],
    attachments: list[Path],
    sandbox: Sandbox,
    handed_out: Collection[str] = (),
) -> GradeRecord:
    """Run a submission in its jail and count its points.

    Args:
        student: name of the student's folder.
        assignment: the assignment that was handed in.
        cells: cells of the submitted notebook.
        attachments: data files that were handed in with it.
        sandbox: what the submission may do.
        handed_out: cells as the student may have got them, before they were mended.
    """
    from .run import run_submission

    merged = merge_submission(assignment, cells, handed_out)
    answers = open_answers(assignment, cells)
    names = [part.name for part in assignment.machine_parts]
    outcome = run_submission(merged, names, sandbox, attachments)
    points = {part.name: _points(part, outcome.parts, answers) for part in assignment.parts}
    messages = {name: result.message for name, result in outcome.parts.items()}
    unanswered = [part.name for part in assignment.parts if part.is_open and points[part.name] == 0]
    stops = list(dict.fromkeys(outcome.stops))
    return GradeRecord(
        student=student,
        assignment=assignment.name,
        points=points,
        max=_max_points(assignment),
        status=f"stopped: {'; '.join(stops)}" if stops else "graded",
        seconds=round(outcome.seconds, 1),
        messages=messages | dict.fromkeys(unanswered, "no answer was found"),
        notes=[*_notes(merged, answers), *dict.fromkeys(outcome.notes)],
        flags=find_flags(assignment, [(s.part, s.source) for s in merged.steps if s.of_student]),
        answers=answers,
        total=sum(got for got in points.values() if got),
    )


def _points(part: Part, results: dict[str, "PartResult"], answers: dict[str, str]) -> float | None:
    """What a part has earned; None, where a person gives the points for an answer."""
    if part.is_open:
        return None if answers[part.tests] else 0.0
    return earned(results[part.name], part.points)


def earned(result: "PartResult", most: float) -> float:
    """A part's points by its tests, at most so many."""
    if result.points is not None:
        return min(max(result.points, 0.0), most)
    return most if result.passed else 0.0


def _notes(merged: MergedNotebook, answers: dict[str, str]) -> list[str]:
    """Changes that were undone; an answer that was found elsewhere is not missing."""
    found = {f"the cell {grade_id} was missing" for grade_id, text in answers.items() if text}
    return [note for note in merged.notes if note not in found]


def _max_points(assignment: Assignment) -> float:
    return sum(part.points for part in assignment.parts)

"""Points that a person gives: ``by_hand.csv``, a line a part, which any spreadsheet may edit.

``ssl3d course grade`` writes a line for each answer to an open question, its points blank. Points
that are filled in count from the next run on. A line for a part that tests mark counts instead of
what the tests gave. Lines and columns that we do not know are kept.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ssl3d_lite.errors import InputError

from .sources import Assignment, Part
from .spreadsheets import Sheet, number_in, read_sheet, write_sheet

BY_HAND = "by_hand.csv"
_COLUMNS = ("student", "assignment", "part", "points")
_FORMER = "open_questions.csv"  # name of the file before
MarkKey = tuple[str, str, int]  # student, assignment, number of the part


@dataclass
class Marks:
    """What a person filled in, and the table that it stands in."""

    sheet: Sheet
    points: dict[MarkKey, float | None] = field(default_factory=dict)
    """None: the line is there, and still blank."""
    where: dict[MarkKey, str] = field(default_factory=dict)
    """by_hand.csv, line 4"""


def read_marks(folder: Path, assignments: Sequence[Assignment]) -> Marks:
    """Read by_hand.csv.

    Raises:
        InputError: a column is missing, or lines cannot be counted. It names each of these, for
            nothing is left out or cut without a word: points that are no number, below 0 or more
            than the part has; a part that is not there; two different marks for one part.
    """
    path = next((p for n in (BY_HAND, _FORMER) if (p := folder / n).exists()), None)
    if path is None:
        return Marks(Sheet(list(_COLUMNS)))
    marks, wrong = Marks(read_sheet(path, _COLUMNS)), []
    parts = {(a.name.casefold(), p.number): (a.name, p) for a in assignments for p in a.parts}
    for line, row in zip(marks.sheet.lines, marks.sheet.rows, strict=True):
        if not any(row[name].strip() for name in ("student", "assignment", "part")):
            continue  # such as a remark, or a sum that a person wrote below the table
        said = f"line {line}: {row['student']}, {row['assignment']}, part {row['part']}"
        try:
            name, part = _part_of(row, parts)
            key = (_plain(row["student"]), name, part.number)
            points = _points_of(row, part)
            if marks.points.get(key) not in (None, points) and points is not None:
                raise ValueError(f"{points:g} points here, {marks.points[key]:g} in another line")
        except ValueError as reason:
            wrong.append(f"{said}: {reason}")
            continue
        if points is not None or key not in marks.points:
            marks.points[key], marks.where[key] = points, f"{path.name}, line {line}"
    if wrong:
        raise InputError("\n".join([f"{path}: nothing is graded until this is mended", *wrong]))
    return marks


def write_marks(folder: Path, marks: Marks, wanted: Iterable[MarkKey]) -> None:
    """Add a blank line for each of ``wanted`` that has none. All lines that are there stay."""
    new = [key for key in wanted if key_of(*key) not in marks.points]
    for student, assignment, part in new:
        cells = (student, assignment, str(part), "")
        marks.sheet.rows.append(dict(zip(_COLUMNS, cells, strict=True)))
    if new or (marks.sheet.rows and not (folder / BY_HAND).exists()):
        write_sheet(folder / BY_HAND, marks.sheet)


def key_of(student: str, assignment: str, part: int) -> MarkKey:
    """The key of a mark: names in letters of one kind, as some systems take ü apart."""
    return _plain(student), assignment, part


def unknown_students(marks: Marks, students: Iterable[str]) -> list[str]:
    """A line for each mark of a student who handed nothing in; it is kept and not counted."""
    known = set(map(_plain, students))
    return [
        f"{marks.where[key]}: no student {key[0]} among the submissions; the line is kept"
        for key, points in marks.points.items()
        if points is not None and key[0] not in known
    ]


def _plain(student: str) -> str:
    return unicodedata.normalize("NFC", student.strip())


def _part_of(
    row: dict[str, str], parts: dict[tuple[str, int], tuple[str, Part]]
) -> tuple[str, Part]:
    """The part that a line is about; spreadsheets may write 7 as 7.0, people as “part 7”."""
    name = row["assignment"].strip().casefold()
    number = number_in(row["part"].casefold().replace("part", ""))
    numbers = [number for known, number in parts if known == name]
    if not numbers:
        names = ", ".join(dict.fromkeys(known for known, _ in parts.values()))
        raise ValueError(f"no assignment {row['assignment']!r}; there are {names}")
    found = parts.get((name, int(number))) if number is not None and number % 1 == 0 else None
    if found is None:
        raise ValueError(f"the parts are numbered {min(numbers)} to {max(numbers)}")
    return found


def _points_of(row: dict[str, str], part: Part) -> float | None:
    text = row["points"].strip()
    if not text:
        return None
    points = number_in(text)
    if points is None:
        raise ValueError(f"{text!r} is no number of points")
    if not 0 <= points <= part.points:
        raise ValueError(f"{points:g} points, but the part has 0 to {part.points:g}")
    return points

"""A folder of photographs and the table of their grades: two lists that must name the same eyes."""

from collections.abc import Sequence
from pathlib import Path

from data_recipes.readers.tables import read_table
from ssl3d_lite.files import files_below

from .engine import RawCase
from .photographs import COLOUR_CHANNELS, ENDINGS, GRADES


def graded_photographs(
    folder: Path, table: Path, name: str, grade: str | None, grades: Sequence[str] = GRADES
) -> list[RawCase]:
    """All that the folder or the table knows of; what only one of them knows is a fault.

    Args:
        name: the table's column of pictures' names, without their endings.
        grade: its column of grades; None: there are none.
        grades: their names, by number.

    Raises:
        InputError: the table cannot be read.
    """
    rows = read_table(table, (name,) if grade is None else (name, grade))
    pictures: dict[str, Path] = {}
    doubles: dict[str, Path | None] = {}
    for path in files_below(folder):
        if path.suffix.lower() in ENDINGS:
            doubles[path.stem] = pictures.get(path.stem)
            pictures[path.stem] = path
    cases = []
    for each in sorted(rows.keys() | pictures.keys()):
        fault, number = "", None
        if doubles.get(each):
            fault = f"{doubles[each]} and {pictures[each]} are both there; remove one"
        elif each not in pictures:
            fault = f"{table} has a row for it, but {folder.name} has no picture"
        elif each not in rows:
            fault = f"{pictures[each]} has no row in {table.name}"
        elif grade is not None:
            number, fault = _as_number(rows[each][grade], table, len(grades))
        images = dict.fromkeys(COLOUR_CHANNELS, pictures[each]) if each in pictures else {}
        cases.append(RawCase(each, patient=each, images=images, grade=number, fault=fault))
    return cases


def _as_number(text: str, table: Path, count: int) -> tuple[int | None, str]:
    """A grade, or what is wrong with it."""
    if text in map(str, range(count)):
        return int(text), ""
    return None, f"{table} gives it the grade {text!r}, where grades are 0 to {count - 1}"

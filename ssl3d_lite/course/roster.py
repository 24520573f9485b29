"""The class list: who is in the course, by the names that a learning system gives them.

It is a table that Moodle or Canvas exports, or one of your own with a column ``student``.
"""

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ssl3d_lite.errors import InputError

from .spreadsheets import Sheet, read_sheet

_CANVAS = ("Student", "ID")
_MOODLE_KEYS = ("Username", "ID number", "Email address")
_NOT_STUDENTS = ("points possible", "student, test", "test student")


@dataclass(frozen=True)
class Person:
    """A student of the class list."""

    name: str
    """Unique, and the name of the student's folder."""
    row: dict[str, str]
    """The line of the table, as it was."""
    ids: frozenset[str]
    """Numbers and names by which the system's files call the student."""


@dataclass(frozen=True)
class Roster:
    """A class list."""

    path: Path
    sheet: Sheet
    people: tuple[Person, ...] = ()

    @property
    def is_canvas(self) -> bool:
        """Whether it is a gradebook of Canvas."""
        return all(name in self.sheet.columns for name in _CANVAS) and any(
            name.startswith("SIS ") or name == "Section" for name in self.sheet.columns
        )

    @property
    def moodle_key(self) -> str | None:
        """The column by which Moodle knows a student when grades are imported."""
        return next((name for name in _MOODLE_KEYS if name in self.sheet.columns), None)

    def find(self, *names: str) -> Person | None:
        """The one student whom a system calls so, by the first of ``names`` that tells; None if
        there is none, or two of that name."""
        for name in map(key_of_name, names):
            found = [person for person in self.people if name in person.ids]
            if len(found) == 1:
                return found[0]
        return None


def read_roster(path: Path) -> Roster:
    """Read a class list.

    Raises:
        InputError: it cannot be read, or no column says who the students are; two are the same.
    """
    sheet = read_sheet(path)
    if not Roster(path, sheet).is_canvas:  # which says Student, and means it in another way
        _rename(sheet, (*_MOODLE_KEYS, *_PLAIN))
    bare = Roster(path, sheet)
    rows = [row for row in sheet.rows if _is_student(row)]
    full = [_full_name(row) for row in rows]
    people = []
    for row, name in zip(rows, full, strict=True):
        own = row.get("student", "").strip() or (name if full.count(name) == 1 else "")
        own = own or next((row[c].strip() for c in (*_MOODLE_KEYS, "ID") if row.get(c)), "")
        if not own:
            columns = "student, Full name, Email address (Moodle), or Student and ID (Canvas)"
            raise InputError(f"{path} does not say who the students are; it needs {columns}")
        people.append(Person(safe_name(own), row, _ids(row, name, own, bare.is_canvas)))
    _check_unique(path, [person.name for person in people])
    return Roster(path, sheet, tuple(people))


def _rename(sheet: Sheet, names: tuple[str, ...]) -> None:
    """Give columns the case that we know them by."""
    known = {name.casefold(): name for name in names}
    renamed = {name: known.get(name.casefold(), name) for name in sheet.columns}
    sheet.columns = list(renamed.values())
    sheet.rows = [{renamed[name]: cell for name, cell in row.items()} for row in sheet.rows]


_PLAIN = ("student", "Full name", "First name", "Last name", "Surname", "Identifier")


def _full_name(row: dict[str, str]) -> str:
    if row.get("Student"):  # Canvas: Müller, Anna
        last, _, first = row["Student"].partition(",")
        return f"{first.strip()} {last.strip()}".strip()
    last = row.get("Last name") or row.get("Surname") or ""
    return (row.get("Full name") or f"{row.get('First name', '')} {last}").strip()


def _is_student(row: dict[str, str]) -> bool:
    """Canvas has lines for points and for its test student."""
    return row.get("Student", "-").strip().casefold() not in ("", *_NOT_STUDENTS)


def _ids(row: dict[str, str], name: str, own: str, canvas: bool) -> frozenset[str]:
    last, _, first = row.get("Student", "").partition(",")
    found = [name, own, *(row.get(column, "") for column in (*_MOODLE_KEYS, "SIS Login ID"))]
    found += [last + first] if canvas else []  # in Canvas's zips: mulleranna
    found += [f"id {row['ID']}"] if canvas and row.get("ID") else []
    number = re.search(r"\d+$", row.get("Identifier", "").strip())
    found += [f"participant {number[0]}"] if number else []
    return frozenset(key for text in found if (key := key_of_name(text)))


def key_of_name(text: str) -> str:
    """A name as names are compared: letters and digits alone, without accents and case."""
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in apart if letter.isalnum())


def safe_name(text: str) -> str:
    """A name as the name of a folder: no part of a path, nothing that is hidden."""
    plain = unicodedata.normalize("NFC", text)
    plain = "".join(c if c.isprintable() and c not in '/\\:*?"<>|' else " " for c in plain)
    return " ".join(plain.split()).lstrip(". ")[:120].strip() or "nameless"


def _check_unique(path: Path, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            raise InputError(f"{path}: two students are called {name}; give them a column student")
        seen.add(name.casefold())

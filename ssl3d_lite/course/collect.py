"""``ssl3d course collect``: submissions out of the zip that Moodle or Canvas gives.

The zip is not trusted: names in it are looked at and never used as paths.
"""

import re
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ssl3d_lite.errors import InputError
from ssl3d_lite.outputs import Corrigible
from ssl3d_lite.settings import CheckedSettings, Positional

from .roster import Roster, read_roster, safe_name
from .spreadsheets import Sheet, read_sheet, write_sheet

HANDED_IN = "handed_in.csv"
_COLUMNS = ("student", "assignment", "id", "late", "handed_in", "extra_days")
_MAX_BYTES = 30_000_000
_MOODLE = re.compile(r"(?P<name>.+)_(?P<id>\d+)_assignsubmission_(?P<kind>[a-z]+)_?(?P<file>.*)")
_CANVAS = re.compile(r"(?P<name>[^_]+)_(?P<late>LATE_)?(?P<id>\d+)_\d+_(?P<file>.+)")


@dataclass(frozen=True)
class CollectSettings(CheckedSettings):
    """Take submissions out of a zip that Moodle or Canvas gives: SUBMISSIONS/STUDENT/A1/A1.ipynb.
    A newer zip of the same assignment replaces what the older one gave."""

    download: Positional[Path]
    """The zip: Moodle's “Download all submissions”, Canvas's “Download submissions”."""
    assignment: str
    """Assignment that it holds, as A1."""
    out: Path = Path("submissions")
    """Folder that holds one folder for each student."""
    roster: Path | None = None
    """Class list (CSV), by which students get one name in all assignments."""


@dataclass
class HandedIn:
    """One file of a student's."""

    student: str
    id: str
    """As the system numbers the student: “participant 123” of Moodle, “id 123” of Canvas."""
    file: str
    info: zipfile.ZipInfo
    late: bool = False


def collect(settings: CollectSettings) -> list[str]:
    """Unpack the submissions; returns the students' names.

    Raises:
        InputError: it is no such zip, or a file that somebody has changed would be written over.
    """
    roster = read_roster(settings.roster) if settings.roster else None
    try:
        with zipfile.ZipFile(settings.download) as opened:
            found = list(_files(opened))
            if not found:
                raise InputError(
                    f"{settings.download} has no submissions of Moodle or Canvas in it"
                )
            students = _by_student(found, roster)
            for student, files in students.items():
                _unpack(opened, student, files, settings)
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError) as reason:
        raise InputError(f"{settings.download} cannot be read as a zip: {reason}") from None
    _note(settings, students, roster)
    return sorted(students)


def _files(opened: zipfile.ZipFile) -> Iterator[HandedIn]:
    """The students' files, by either system's names, with folders or without."""
    for info in opened.infolist():
        parts = PurePosixPath(_name_of(info).replace("\\", "/")).parts
        if not parts or info.is_dir() or any(part.startswith("__MACOSX") for part in parts):
            continue
        first, inner = parts[0], safe_name(parts[-1])
        if match := _MOODLE.fullmatch(first):
            file = inner if len(parts) > 1 else safe_name(match["file"] or "-")
            if match["kind"] == "file":
                name = f"participant {match['id']}"
                yield HandedIn(safe_name(match["name"]), name, file, info)
            else:
                print(f"{match['name']}: {match['kind']} is left out; notebooks are files")
        elif match := _CANVAS.fullmatch(parts[-1]):
            late = bool(match["late"])
            file = safe_name(match["file"])
            yield HandedIn(safe_name(match["name"]), f"id {match['id']}", file, info, late)
        else:
            print(f"{'/'.join(parts)[:100]} is left out: neither Moodle nor Canvas names files so")


def _name_of(info: zipfile.ZipInfo) -> str:
    """Its name; zips of old programs hold UTF-8 without saying so."""
    if info.flag_bits & 0x800:
        return info.filename
    try:
        return info.filename.encode("cp437").decode()
    except UnicodeError:
        return info.filename


def _by_student(found: list[HandedIn], roster: Roster | None) -> dict[str, list[HandedIn]]:
    """Files by the student's name: the class list's where there is one, else the zip's; with the
    number where two have the same."""
    ids: dict[str, set[str]] = {}
    for each in found:
        ids.setdefault(each.student, set()).add(each.id)
    students: dict[str, list[HandedIn]] = {}
    for each in found:
        person = roster.find(each.id, each.student) if roster else None
        alone = len(ids[each.student]) == 1
        name = each.student if alone else f"{each.student} {each.id.split()[-1]}"
        students.setdefault(person.name if person else name, []).append(each)
    if roster:
        known = {person.name for person in roster.people}
        for name in sorted(set(students) - known):
            print(f"{name}: not in {roster.path.name}, or two are called so")
    return students


def _unpack(
    opened: zipfile.ZipFile, student: str, files: list[HandedIn], settings: CollectSettings
) -> None:
    """Write one student's files; the notebook gets the assignment's name."""
    name = f"{settings.assignment}.ipynb"
    notebooks = [each for each in files if each.file.casefold().endswith(".ipynb")]
    chosen = [each for each in notebooks if _is_named(each.file, settings.assignment)] or notebooks
    if len(chosen) != 1:
        there = ", ".join(each.file for each in files)
        what = "several notebooks" if chosen else "no notebook"
        print(f"{student}: {what}: {there}; put the right one at {student}/{name}")
    elif chosen[0].file != name:
        print(f"{student}: {chosen[0].file} is taken for {name}")
    place = Corrigible(settings.out, "course collect")
    for each in files:
        if stat.S_ISLNK(each.info.external_attr >> 16):
            print(f"{student}: {each.file} is a link, and left out")
            continue
        with opened.open(each.info) as file:
            data = file.read(_MAX_BYTES + 1)  # whatever size it says to have
        if len(data) > _MAX_BYTES:
            print(f"{student}: {each.file} is larger than {_MAX_BYTES / 1e6:.0f} MB, and left out")
            continue
        own = name if chosen == [each] else each.file
        if own != name or chosen == [each]:
            place.write(f"{student}/{settings.assignment}/{own}", data)


def _is_named(file: str, assignment: str) -> bool:
    """A1.ipynb, and what systems and browsers make of it: a1.ipynb, A1-1.ipynb, A1 (1).ipynb."""
    stem = re.sub(r"(-\d+|\s*\(\d+\))*$", "", file[: -len(".ipynb")])
    return stem.casefold() == assignment.casefold()


def _note(
    settings: CollectSettings, students: dict[str, list[HandedIn]], roster: Roster | None
) -> None:
    """Note the system's numbers, and when each was handed in, in SUBMISSIONS/handed_in.csv. A
    person may fill in ``handed_in`` where the system does not tell, and ``extra_days``."""
    path = settings.out / HANDED_IN
    sheet = read_sheet(path, _COLUMNS) if path.exists() else Sheet(list(_COLUMNS))
    rows = {(row["student"], row["assignment"]): row for row in sheet.rows}
    for student, files in students.items():
        row = rows.setdefault((student, settings.assignment), dict.fromkeys(sheet.columns, ""))
        person = roster.find(files[0].id, student) if roster else None
        modified = person.row.get("Last modified (submission)", "") if person else ""
        row |= {"student": student, "assignment": settings.assignment, "id": files[0].id}
        row["late"] = "yes" if any(each.late for each in files) else ""
        row["handed_in"] = modified if modified.strip(" -") else row["handed_in"]
    sheet.rows = list(rows.values())
    write_sheet(path, sheet)

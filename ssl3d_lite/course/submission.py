"""A student's notebook: found, read without trust, and woven into the lecturer's.

The lecturer's notebook is the warp: its given cells and tests are run as they were released, with
the hidden tests, wherever the student's cells were deleted, edited or moved. The student's answers
and the cells a student added are the weft.
"""

import json
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from .sources import Assignment, bound_names, grade_id_of, is_test, released, visible_and_hidden

MOST_BYTES = 30_000_000
BESIDE = (".csv", ".json", ".toml", ".txt", ".npy", ".npz", ".png")  # data, nothing that runs
Kind = Literal["given", "answer", "extra", "visible", "hidden"]


class UnreadableError(ValueError):
    """A submission that cannot be read; the message says why in a few words."""


@dataclass(frozen=True)
class Step:
    """A piece of code to run."""

    kind: Kind
    source: str
    part: str | None
    """a1-2: what it belongs to; None after the last part."""
    keep: tuple[str, ...] = ()
    """Names that are the lecturer's from here on."""

    @property
    def of_student(self) -> bool:
        return self.kind in ("answer", "extra")


@dataclass
class MergedNotebook:
    """What to run, what a person reads, and what had to be put right."""

    steps: list[Step] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    """grade_id → the student's answer, open questions too; missing ones are left out."""
    extras: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


# ---- finding -----------------------------------------------------------------------------------


def students(folder: Path) -> list[Path]:
    """Folders of students, in order. ``folder`` may be a course of nbgrader's: its submitted/."""
    inner = folder / "submitted"
    folder = inner if inner.is_dir() else folder
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")


def notebook_path(student: Path, name: str) -> Path | None:
    """STUDENT/A1.ipynb, or nbgrader's STUDENT/A1/A1.ipynb; links count as being there."""
    for path in (student / f"{name}.ipynb", student / name / f"{name}.ipynb"):
        if os.path.lexists(path):
            return path
    return None


def misnamed(student: Path, names: Iterable[str]) -> list[str]:
    """Notebooks that no assignment is called like."""
    right = {f"{name}.ipynb" for name in names}
    places = [student, *(student / name for name in names if (student / name).is_dir())]
    return [
        str(path.relative_to(student))
        for place in places
        for path in sorted(place.glob("*.ipynb"))
        if path.name not in right and "checkpoint" not in path.name
    ]


def files_beside(notebook: Path) -> Iterator[Path]:
    """Data that were handed in with a notebook: small ordinary files of known kinds."""
    total = 0
    for path in sorted(notebook.parent.iterdir()):
        found = path.lstat()
        if path.suffix in BESIDE and stat.S_ISREG(found.st_mode):
            total += found.st_size
            if total <= MOST_BYTES:
                yield path


# ---- reading -----------------------------------------------------------------------------------


def read_bytes(path: Path) -> bytes:
    """
    Raises:
        UnreadableError: a link, no ordinary file, or too large.
    """
    if path.parent.is_symlink():
        raise UnreadableError(f"{path.parent.name} is a link")
    try:
        file = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | os.O_NONBLOCK)
    except OSError as reason:
        link = path.is_symlink()
        raise UnreadableError("a link, not a file" if link else str(reason.strerror)) from None
    with open(file, "rb") as opened:
        found = os.fstat(opened.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableError("not an ordinary file")
        if found.st_size > MOST_BYTES:
            size, most = found.st_size / 1e6, MOST_BYTES / 1e6
            raise UnreadableError(f"{size:.0f} MB is too large (most: {most:.0f} MB)")
        return opened.read(MOST_BYTES + 1)


def read_cells(data: bytes) -> list[dict[str, Any]]:
    """The cells of a notebook, whatever its metadata are like; sources are text.

    Raises:
        UnreadableError: no notebook.
    """
    try:
        notebook = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as reason:
        raise UnreadableError(f"not a notebook: {_short(reason)}") from None
    cells = notebook.get("cells") if isinstance(notebook, dict) else None
    if not isinstance(cells, list):
        raise UnreadableError("not a notebook: it has no cells")
    read = []
    for cell in cells:
        source = cell.get("source", "") if isinstance(cell, dict) else None
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if isinstance(source, str):
            source = source.encode("utf-8", "replace").decode()  # no half characters
            read.append({**cell, "source": source})
    return read


def _short(reason: object) -> str:
    text = " ".join(str(reason).split())
    return text if len(text) <= 80 else text[:79] + "…"


# ---- weaving -----------------------------------------------------------------------------------


def merge_submission(assignment: Assignment, cells: list[dict[str, Any]]) -> MergedNotebook:
    """What to run of a submission."""
    plain = released(assignment.notebook).cells
    matched, extras = _match(plain, cells)
    parts = {part.tests: part for part in assignment.parts}
    theirs = _names_of_solutions(assignment)
    woven = MergedNotebook(extras=[source for sources in extras.values() for source in sources])
    waiting = iter(assignment.machine_parts)
    part = next(waiting, None)

    def add(kind: Kind, source: str, keep: Iterable[str] = ()) -> None:
        name = part.name if part else None
        woven.steps.append(Step(kind, source, name, tuple(sorted(keep))))

    for source in extras.get(-1, ()):
        add("extra", source)
    for index, (full, shown) in enumerate(zip(assignment.notebook.cells, plain, strict=True)):
        grade_id, submitted = grade_id_of(full), matched.get(index)
        mine = bound_names(full.source) - theirs - {"_"}  # IPython's own
        if is_test(full):
            if submitted != shown.source:
                what = "was missing" if submitted is None else "had been changed"
                woven.notes.append(f"test cell {parts[grade_id].number} {what}: ours was run")
            visible, hidden = visible_and_hidden(full.source)
            add("visible", visible, mine)
            add("hidden", hidden, mine)
            part = next(waiting, None)
        elif grade_id:
            if submitted is None:
                woven.notes.append(f"the cell {grade_id} was missing")
            else:
                woven.answers[grade_id] = submitted
                if full.cell_type == "code":
                    add("answer", submitted)
        elif full.cell_type == "code" and "show" not in full.metadata.get("tags", []):
            if submitted is not None and submitted != shown.source:
                add("extra", submitted)  # an import that was added here, say; then ours
            add("given", full.source, mine)
        for source in extras.get(index, ()):
            add("extra", source)
    return woven


def _names_of_solutions(assignment: Assignment) -> set[str]:
    """What answers may give a meaning, though a given cell does too."""
    answers = {part.solution for part in assignment.parts}
    cells = [cell for cell in assignment.notebook.cells if grade_id_of(cell) in answers]
    return {name for c in cells if c.cell_type == "code" for name in bound_names(c.source)}


def _match(
    plain: list[Any], cells: list[dict[str, Any]]
) -> tuple[dict[int, str], dict[int, list[str]]]:
    """Which of the lecturer's cells each submitted cell is: by grade_id, else by the cell's id,
    else by its text, else by the function that it defines. Some tools drop metadata, some ids.

    Returns:
        {place of a lecturer's cell: the student's source}, and the code that is none of them, by
        the place of the cell that it stands after (-1: the top).
    """
    keys: list[dict[Any, int]] = [{}, {}, {}, {}]
    for index, cell in enumerate(plain):
        for known, key in zip(keys, _keys(cell), strict=True):
            if key:
                known.setdefault(key, index)
    found: dict[int, int] = {}  # place in the submission → lecturer's
    for level, known in enumerate(keys):
        taken = set(found.values())
        for place, cell in enumerate(cells):
            index = known.get(_keys(cell)[level]) if place not in found else None
            if index is not None and index not in taken and _same_kind(plain[index], cell):
                found[place] = index
                taken.add(index)
    matched = {index: cells[place]["source"].rstrip("\n") for place, index in found.items()}
    extras: dict[int, list[str]] = {}
    last = -1
    for place, cell in enumerate(cells):
        if place in found:
            last = found[place]
        elif cell.get("cell_type") == "code" and cell["source"].strip():
            extras.setdefault(last, []).append(cell["source"])
    return matched, extras


def _same_kind(ours: Any, cell: dict[str, Any]) -> bool:
    return bool(grade_id_of(ours)) or ours.cell_type == cell.get("cell_type")


def _keys(cell: Any) -> tuple[Any, Any, Any, Any]:
    grade_id, source = grade_id_of(cell), cell["source"].strip()
    own = cell.get("id")
    defines = next((line for line in source.split("\n") if line.startswith(("def ", "class "))), "")
    name = defines.partition("(")[0].partition(":")[0].strip()
    code = cell.get("cell_type") == "code"
    return (
        grade_id,
        own if isinstance(own, str) else None,
        (str(cell.get("cell_type")), source) if source else None,
        name if code and name else None,
    )

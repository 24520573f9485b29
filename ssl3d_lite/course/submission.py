"""A student's notebook: found, read without trust, and merged with the lecturer's.

The lecturer's notebook gives the frame: its given cells and tests are run as they were released,
with the hidden tests, even where the student deleted, edited or moved them. Into this frame go the
student's answers and the cells that the student added.
"""

import os
import re
import stat
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from nbformat import NotebookNode

from .reader import UnreadableError
from .sources import (
    Assignment,
    bound_names,
    grade_id_of,
    is_test,
    released,
    split_tests,
    used_names,
)

_MAX_BYTES = 200_000_000  # outputs that were left in a notebook may be large
_MAX_DATA = 30_000_000  # the files beside it
_DATA_FILES = (".csv", ".json", ".toml", ".txt", ".npy", ".npz", ".png")  # data, nothing that runs
# what browsers and Jupyter add to names
_COPY = r"(?:[ _-]*\(\d+\)|[ _-]+(?:copy[ -]?\(?\d*\)?|\d))?"
StepKind = Literal["given", "answer", "extra", "visible", "tests"]


@dataclass(frozen=True)
class Step:
    """One piece of code to run."""

    kind: StepKind
    source: str
    part: str | None
    """The part that it belongs to, as a1-2; None after the last part."""
    names: tuple[str, ...] = ()
    """Names in tests that stand for the student's work."""

    @property
    def of_student(self) -> bool:
        """Whether the student wrote it."""
        return self.kind in ("answer", "extra")


@dataclass
class MergedNotebook:
    """A submission within the lecturer's notebook: steps to run, changes undone."""

    steps: list[Step] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Changes that were undone, and cells that were missing."""


# ---- finding -------------------------------------------------------------------------------------


def find_students(folder: Path) -> list[Path]:
    """Folders of students, in order. ``folder`` may be an nbgrader course, which has submitted/."""
    inner = folder / "submitted"
    folder = inner if inner.is_dir() else folder
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")


def notebook_path(student: Path, name: str) -> Path | None:
    """STUDENT/A1.ipynb, or nbgrader's STUDENT/A1/A1.ipynb, or what is called nearly so: "a1.ipynb",
    "A1 (1).ipynb", "A1-Copy1.ipynb"; None without any. Links count."""
    found = notebook_paths(student, name)
    return found[0] if found else None


def notebook_paths(student: Path, name: str) -> list[Path]:
    """All notebooks that could be meant. The first one counts: the right name before the others, of
    these the newest."""
    right = [student / f"{name}.ipynb", student / name / f"{name}.ipynb"]
    like = re.compile(rf"{re.escape(name)}{_COPY}\.ipynb", re.IGNORECASE)
    places = [student, student / name]
    inside = [path for place in places if place.is_dir() for path in place.iterdir()]
    others = [path for path in inside if like.fullmatch(path.name) and path not in right]
    others.sort(key=lambda path: (-path.lstat().st_mtime_ns, path.name))
    return [*(path for path in right if os.path.lexists(path)), *others]


def notes_on_names(student: Path, name: str) -> list[str]:
    """What is to be said of the name of the file that counts, and of others beside it."""
    paths = notebook_paths(student, name)
    told = [str(path.relative_to(student)) for path in paths]
    notes = []
    if paths and paths[0].name != f"{name}.ipynb":
        notes.append(f"the file {told[0]!r} was taken for {name}.ipynb, which it should be called")
    if len(paths) > 1:
        notes.append(f"{told[0]} was graded, and not {', '.join(told[1:])}")
    return notes


def misnamed_notebooks(student: Path, names: Iterable[str]) -> list[str]:
    """Notebooks whose name is not that of an assignment."""
    meant = {path for name in names for path in notebook_paths(student, name)}
    places = [student, *(student / name for name in names if (student / name).is_dir())]
    return [
        str(path.relative_to(student))
        for place in places
        for path in sorted(place.glob("*.ipynb"))
        if path not in meant and "checkpoint" not in path.name
    ]


def files_beside(notebook: Path) -> Iterator[Path]:
    """Data files that were handed in with a notebook: small ordinary files of known kinds."""
    total = 0
    for path in sorted(notebook.parent.iterdir()):
        found = path.lstat()
        if path.suffix in _DATA_FILES and stat.S_ISREG(found.st_mode):
            total += found.st_size
            if total <= _MAX_DATA:
                yield path


# ---- reading -------------------------------------------------------------------------------------


def read_bytes(path: Path) -> bytes:
    """The content of a submitted file.

    Raises:
        UnreadableError: it is a link, no ordinary file, or too large.
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
        if found.st_size > _MAX_BYTES:
            size, most = found.st_size / 1e6, _MAX_BYTES / 1e6
            raise UnreadableError(f"{size:.0f} MB is too large (most: {most:.0f} MB)")
        return opened.read(_MAX_BYTES + 1)


# ---- merging -------------------------------------------------------------------------------------


def merge_submission(
    assignment: Assignment, cells: list[dict[str, Any]], handed_out: Collection[str] = ()
) -> MergedNotebook:
    """Merge a submission with the lecturer's notebook: the steps to run, in order.

    Args:
        handed_out: cells as students have got them. One that the lecturer has mended since was not
            changed by the student.
    """
    plain = released(assignment.notebook).cells
    matched, extras = _match(plain, cells)
    merger = _Merger(assignment, extras)
    merger.add_extras(-1)
    for index, (full, shown) in enumerate(zip(assignment.notebook.cells, plain, strict=True)):
        submitted = matched.get(index)
        if is_test(full):
            merger.add_test(full, submitted, submitted not in (shown.source, *handed_out))
        elif grade_id_of(full):
            merger.add_answer(full, submitted)
        elif full.cell_type == "code" and "show" not in full.metadata.get("tags", []):
            if submitted is not None and submitted not in (shown.source, *handed_out):
                merger.add("extra", submitted)  # such as an import; the given cell runs after it
            merger.add_given(full)
        merger.add_extras(index)
    return merger.merged


class _Merger:
    """Collects the steps; ``part`` is the part to which the next step belongs."""

    def __init__(self, assignment: Assignment, extras: dict[int, list[str]]) -> None:
        self.extras = extras
        self.merged = MergedNotebook()
        self.numbers = {part.tests: part.number for part in assignment.parts}
        self.students_names: set[str] = set()
        self.waiting = iter(assignment.machine_parts)
        self.part = next(self.waiting, None)

    def add(self, kind: StepKind, source: str, names: Iterable[str] = ()) -> None:
        name = self.part.name if self.part else None
        self.merged.steps.append(Step(kind, source, name, tuple(sorted(names))))

    def add_given(self, full: NotebookNode) -> None:
        """A given cell; from here on the names that it defines are the lecturer's."""
        self.students_names -= bound_names(full.source)
        self.add("given", full.source)

    def add_extras(self, index: int) -> None:
        """The student's own cells that stand after the lecturer's cell ``index``."""
        for source in self.extras.get(index, ()):
            self.add("extra", source)

    def add_test(self, full: NotebookNode, submitted: str | None, changed: bool) -> None:
        """The lecturer's test cell, whatever became of it in the submission."""
        grade_id = str(grade_id_of(full))
        if changed:
            what = "was missing" if submitted is None else "had been changed"
            self.merged.notes.append(f"test cell {self.numbers[grade_id]} {what}: ours was run")
        visible, _, end = split_tests(full.source)
        self.add("visible", f"{visible}\n{end}")  # later cells may want what it defines
        self.add("tests", full.source, self.students_names & used_names(full.source))
        self.part = next(self.waiting, None)

    def add_answer(self, full: NotebookNode, submitted: str | None) -> None:
        """The student's code in place of a solution cell. Texts are for ``open_questions``."""
        grade_id = str(grade_id_of(full))
        if full.cell_type == "code":
            self.students_names |= bound_names(full.source)
        if submitted is None:
            self.merged.notes.append(f"the cell {grade_id} was missing")
            return
        if full.cell_type == "code":
            self.add("answer", submitted)


def match_cells(plain: list[Any], cells: list[dict[str, Any]]) -> dict[int, int]:
    """Find the lecturer's cell for each submitted cell: by grade_id, else by the cell's id, else by
    its text, else by the function that it defines. Some tools drop metadata, some ids.

    Returns:
        {place in the submission: place of the lecturer's cell}; cells of the student's own are left
        out.
    """
    keys: list[dict[Any, int]] = [{}, {}, {}, {}]
    for index, cell in enumerate(plain):
        for known, key in zip(keys, _keys(cell), strict=True):
            if key:
                known.setdefault(key, index)
    found: dict[int, int] = {}
    for level, known in enumerate(keys):
        taken = set(found.values())
        for place, cell in enumerate(cells):
            match = known.get(_keys(cell)[level]) if place not in found else None
            if match is not None and match not in taken and _same_kind(plain[match], cell):
                found[place] = match
                taken.add(match)
    return found


def _match(
    plain: list[Any], cells: list[dict[str, Any]]
) -> tuple[dict[int, str], dict[int, list[str]]]:
    """
    Returns:
        {place of a lecturer's cell: the student's source}, and the code of all other cells by the
        place of the lecturer's cell that it stands after (-1: the top).
    """
    found = match_cells(plain, cells)
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

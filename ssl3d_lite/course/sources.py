"""Sources of assignments: one percent script each, with solutions and hidden tests in it.

A source gives the student's notebook (blanks, visible checks) and the solved one. An assignment is
a list of *parts*. A part has a cell for the student's code (``a1-2-solution``) and one that tests
it (``a1-2-tests``), or it is an open question that a person marks. nbgrader's metadata say which
cell is which, so nbgrader can be used on the same files.
"""

import ast
import importlib.util
import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from ssl3d_lite.errors import InputError, unknown

BEGIN_SOLUTION, END_SOLUTION = "### BEGIN SOLUTION", "### END SOLUTION"
BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
SECRET_MARKS = ("BEGIN SOLUTION", "END SOLUTION", "HIDDEN TESTS", "MARK SCHEME")
_BLOCKS = re.compile(r"(?m)^\s*with checks\.(?:core|further)\(")
_GO_ON = "raises-exception"  # "Run all" goes on though a part is not solved yet
_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


@dataclass(frozen=True)
class Part:
    """A part of an assignment, which earns points."""

    name: str
    """a1-2"""
    tests: str
    """grade_id of the graded cell."""
    points: float
    is_open: bool
    """Whether it is an open question, which a person marks."""

    @property
    def number(self) -> int:
        return int(self.name.rpartition("-")[2])

    @property
    def solution(self) -> str:
        """grade_id of the cell that the student fills in."""
        return self.tests if self.is_open else f"{self.name}-solution"


@dataclass(frozen=True)
class Assignment:
    """An assignment with its source and its parts."""

    name: str
    """A1"""
    title: str
    notebook: NotebookNode
    """The source, with solutions and hidden tests. Not to be changed."""
    parts: tuple[Part, ...]

    @property
    def machine_parts(self) -> tuple[Part, ...]:
        """Parts that tests mark."""
        return tuple(part for part in self.parts if not part.is_open)


# ---- finding and reading -----------------------------------------------------------------------


def sources_folder() -> Path:
    """Folder of the shipped sources: in the wheel, or in the repository."""
    packaged = Path(__file__).parent / "assignments"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "notebooks/assignments"


def assignment_files(folder: Path | None = None) -> dict[str, Path]:
    """``{"A1": path, …}`` of all sources in a folder: the scripts with nbgrader's metadata.

    Raises:
        InputError: two have the same name.
    """
    files: dict[str, Path] = {}
    for path in sorted((folder or sources_folder()).glob("*.py")):
        if "nbgrader={" in path.read_text(encoding="utf-8", errors="replace"):
            name = name_of(path)
            if name in files:
                raise InputError(f"{files[name].name} and {path.name} would both be called {name}")
            files[name] = path
    return files


def name_of(path: Path) -> str:
    """A1 of ``A1_volumes.py``; of a file without a number in front, such as ``exam.py``, exam."""
    numbered = re.match(r"([A-Za-z]+\d+)_", path.stem)
    return numbered[1] if numbered else path.stem


def read_assignments(folder: Path | None = None, only: tuple[str, ...] = ()) -> list[Assignment]:
    """All assignments of a folder, or those in ``only``.

    Raises:
        InputError: there is none, a name is unknown, or a source is not in order.
    """
    files = assignment_files(folder)
    if not files:
        where = folder or sources_folder()
        raise InputError(f"no assignment in {where}: a script with nbgrader's metadata, as A1_….py")
    for name in only:
        if name not in files:
            raise unknown("assignment", name, files)
    return [read_assignment(files[name]) for name in only or files]


def read_assignment(path: Path) -> Assignment:
    """Read and check a source.

    Raises:
        InputError: metadata, marks or points are not in order; the line says where.
    """
    import jupytext

    name = name_of(path)
    notebook = jupytext.read(path)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{name.lower()}-{number:03d}"  # jupytext would make new ones each time
        if cell.cell_type == "code" and (grade_id_of(cell) or "show" in _tags(cell)):
            cell.metadata["tags"] = sorted({*_tags(cell), _GO_ON})
    notebook.metadata = NotebookNode(kernelspec=dict(_KERNEL), language_info={"name": "python"})
    return assignment_of(notebook, name, str(path))


def assignment_of(notebook: NotebookNode, name: str, where: str) -> Assignment:
    """Check a notebook with solutions and return it as an assignment; ``where`` is for messages."""
    try:
        _check_metadata(notebook)
        parts = _parts(notebook, name)
    except ValueError as reason:
        raise InputError(f"{where}: {reason}") from None
    heading = next((c.source for c in notebook.cells if c.cell_type == "markdown"), name)
    title = heading.splitlines()[0].lstrip("# ") if heading else name
    return Assignment(name, title, notebook, parts)


def _parts(notebook: NotebookNode, name: str) -> tuple[Part, ...]:
    """The parts in order. Each has a cell for the solution before its tests."""
    seen: list[str] = []
    parts: list[Part] = []
    for cell in notebook.cells:
        grade_id = grade_id_of(cell)
        if grade_id is None:
            continue
        seen.append(grade_id)
        _check_marks(cell)
        if not cell.metadata.nbgrader.get("grade"):
            continue
        stem, _, kind = grade_id.rpartition("-")
        if not stem.startswith(f"{name.lower()}-") or not stem.rpartition("-")[2].isdigit():
            raise ValueError(f"{grade_id} should be {name.lower()}-NUMBER-tests")
        is_open = bool(cell.metadata.nbgrader.get("solution"))
        part = Part(stem, grade_id, float(cell.metadata.nbgrader["points"]), is_open)
        if not is_open and (kind != "tests" or part.solution not in seen):
            raise ValueError(f"{grade_id} has no cell {stem}-solution before it")
        parts.append(part)
    if not sum(part.points for part in parts) > 0:
        raise ValueError("no part of it is worth points")
    return tuple(parts)


def _check_metadata(notebook: NotebookNode) -> None:
    from nbgrader.nbgraderformat import MetadataValidator, ValidationError

    try:
        MetadataValidator().validate_nb(notebook)
    except (ValidationError, KeyError) as reason:
        message = str(reason).strip().split("\n")[0]
        raise ValueError(f"nbgrader metadata of a cell: {message}") from None


def _check_marks(cell: NotebookNode) -> None:
    """Raise ValueError unless the marks of solutions and hidden tests pair up; hidden tests are
    not indented, and those with a core end with the points of the part."""
    grade_id, lines = grade_id_of(cell), cell.source.split("\n")
    for begin, end in ((BEGIN_SOLUTION, END_SOLUTION), (BEGIN_HIDDEN, END_HIDDEN)):
        if sum(begin in line for line in lines) != sum(end in line for line in lines):
            raise ValueError(f"{grade_id}: {begin} and {end} do not pair up")
    if is_test(cell):
        if lines.count(BEGIN_HIDDEN) != 1 or lines.count(END_HIDDEN) != 1:
            raise ValueError(f"{grade_id} should have one {BEGIN_HIDDEN} … {END_HIDDEN}")
        last = f"checks.end(points={cell.metadata.nbgrader['points']:g})"
        if _BLOCKS.search(cell.source) and (lines[-1] != last or lines[-2] != END_HIDDEN):
            raise ValueError(f"{grade_id} should end with {last} behind its hidden tests")
    elif cell.cell_type == "code" and not any(BEGIN_SOLUTION in line for line in lines):
        raise ValueError(f"{grade_id} has no {BEGIN_SOLUTION}")


# ---- cells -------------------------------------------------------------------------------------


def grade_id_of(cell: Mapping[str, Any]) -> str | None:
    """nbgrader's name of a cell; None for text, given code, and cells with broken metadata."""
    metadata = cell.get("metadata")
    mark = metadata.get("nbgrader") if isinstance(metadata, Mapping) else None
    grade_id = mark.get("grade_id") if isinstance(mark, Mapping) else None
    return grade_id if isinstance(grade_id, str) else None


def _tags(cell: Mapping[str, Any]) -> list[str]:
    return list(cell["metadata"].get("tags", []))


def is_test(cell: NotebookNode) -> bool:
    """Whether a cell of a *source* tests code. The metadata of a submission cannot be trusted."""
    mark = cell.metadata.get("nbgrader", {})
    return bool(mark.get("grade")) and not mark.get("solution") and cell.cell_type == "code"


def split_tests(source: str) -> tuple[str, str, str]:
    """The pieces of a test cell: visible checks, hidden tests, and the visible rest."""
    visible, _, rest = source.partition(f"{BEGIN_HIDDEN}\n")
    hidden, _, end = rest.partition(END_HIDDEN)
    return visible.rstrip("\n"), hidden.rstrip("\n"), end.strip("\n")


def bound_names(source: str) -> set[str]:
    """Names that a cell's code defines: functions, classes, imports, variables."""
    names: set[str] = set()
    for node in _outermost(parse_cell(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def used_names(source: str) -> set[str]:
    """Names that a cell's code reads anywhere."""
    nodes = ast.walk(parse_cell(source))
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


def _outermost(tree: ast.AST) -> list[ast.AST]:
    """All nodes of a module except those inside functions and classes."""
    found, waiting = [], list(ast.iter_child_nodes(tree))
    while waiting:
        node = waiting.pop()
        found.append(node)
        inner = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
        if not isinstance(node, inner | ast.comprehension | ast.ListComp | ast.GeneratorExp):
            waiting += ast.iter_child_nodes(node)
    return found


_OWN_LINE = re.compile(r"(?m)^([ \t]*)(?:[%!?].*|[\w.]+[ \t]*\?{1,2}[ \t]*)$")
_OWN_VALUE = re.compile(r"(?m)^([ \t]*[\w, \t]+=[ \t]*)[%!].*$")


def without_magics(source: str) -> str:
    """A cell without what is IPython's own, such as ``%matplotlib inline``, ``x = %pwd``, ``cut?``.

    IPython's own translation of a cell takes minutes for a long one that was made for it.
    """
    try:
        ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        pass
    else:
        return source
    return _OWN_VALUE.sub(r"\1None", _OWN_LINE.sub(r"\1pass", source))


def parse_cell(source: str) -> ast.Module:
    """The syntax tree of a cell without IPython's own lines; empty if the code cannot be parsed."""
    try:
        return ast.parse(without_magics(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module([], [])


# ---- versions ----------------------------------------------------------------------------------


def released(notebook: NotebookNode) -> NotebookNode:
    """The student's notebook: blanks for solutions, no hidden tests, no outputs, checks folded.

    nbgrader's own preprocessors make it; to run it, nbgrader is not needed.
    """
    from nbgrader import preprocessors

    made, resources = deepcopy(notebook), dict[str, Any]()
    for name in (
        *("LockCells", "ClearSolutions", "ClearOutput", "ClearHiddenTests", "ClearMarkScheme"),
        "CheckCellMetadata",
    ):
        made, resources = getattr(preprocessors, name)().preprocess(made, resources)
    for cell in made.cells:
        cell.source = cell.source.rstrip("\n")
        if is_test(cell):  # longer than what a student writes: folded in JupyterLab, and in Colab
            cell.metadata["jupyter"] = {"source_hidden": True}
            cell.metadata["cellView"] = "form"
    return made


def solved(notebook: NotebookNode, answers: Mapping[str, str] | None = None) -> NotebookNode:
    """The notebook with its solutions, as a student would hand it in: no marks, no hidden tests.

    Args:
        answers: grade_id of a solution cell → another text for the whole cell.
    """
    answers = dict(answers or {})
    made = released(notebook)
    for cell, original in zip(made.cells, notebook.cells, strict=True):
        grade_id = grade_id_of(original)
        if grade_id in answers:
            cell.source = answers.pop(grade_id)
        elif grade_id and original.metadata.nbgrader.get("solution"):
            cell.source = without_marks(original.source)
    if answers:
        known = [i for c in notebook.cells if (i := grade_id_of(c))]
        raise unknown("solution cell", next(iter(answers)), known)
    return made


def without_marks(source: str) -> str:
    """A cell's source without the lines that mark the solution in it."""
    lines = [line for line in source.split("\n") if not any(m in line for m in SECRET_MARKS)]
    return "\n".join(lines)


def secret_lines(assignment: Assignment) -> list[str]:
    """Lines of solutions and hidden tests, which no released file may hold.

    Short lines, and lines that are part of given code, could stand there by chance; they are left
    out.
    """
    given, found, inside = given_lines(assignment), [], False
    for cell in assignment.notebook.cells:
        for line in map(str.strip, _lines(cell)):
            marked = any(mark in line for mark in SECRET_MARKS)
            if marked:
                inside = "BEGIN " in line
            elif inside and len(line) >= 12 and not any(line in other for other in given):
                found.append(line)
    return found


def given_lines(assignment: Assignment) -> list[str]:
    """Lines of code in the student's notebook."""
    plain = released(assignment.notebook).cells
    return [line for cell in plain if cell.cell_type == "code" for line in _lines(cell)]


def _lines(cell: NotebookNode) -> list[str]:
    return cell.source.split("\n")


def need_nbgrader() -> None:
    """
    Raises:
        InputError: nbgrader is not installed.
    """
    if importlib.util.find_spec("nbgrader") is None:
        raise InputError("courses need nbgrader: pip install -e .[course]")

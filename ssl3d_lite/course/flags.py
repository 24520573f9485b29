"""Flags for code that a person should read: it reaches for the grader instead of solving the task,
or calls the library for what was to be written. A flag costs no points; only names are compared."""

import ast
import re
from collections.abc import Iterable, Iterator, Mapping

from .sources import Assignment, bound_names, grade_id_of, is_test, parse_cell, used_names

_OURS = ("ssl3d_lite", "data_recipes")
_FREE = "ssl3d_lite.errors"  # what anybody may raise
_MOST_CODE = 300_000  # characters; to parse many more takes minutes
_REACHING = {
    *("get_ipython", "_getframe", "settrace", "setprofile", "__builtins__", "builtins", "ctypes"),
    *("gc", "_exit", "currentframe", "f_back", "f_globals", "f_locals", "In", "linecache"),
    *("run_cell", "display_pub", "publish_display_data", "globals", "setattr", "excepthook"),
    *("subprocess", "socket", "atexit", "tb_frame", "inspect", "AssertionError", "__globals__"),
    *("import_module", "__import__", "importlib", "multiprocessing", "ipykernel", "do_execute"),
}


def find_flags(assignment: Assignment, sources: Iterable[tuple[str | None, str]]) -> list[str]:
    """Suspicious names in a student's cells, sorted.

    Args:
        assignment: what its cells and solutions use raises no flag. Of the library that is what
            stands before a part's test, and in the part's own solution.
        sources: the part that each cell of the student's belongs to, and its code.
    """
    sources = list(sources)
    length = sum(len(source) for _, source in sources)
    if length > _MOST_CODE:
        return [f"{length / 1e6:.1f} MB of code, too much to be looked through"]
    codes = [cell.source for cell in assignment.notebook.cells if cell.cell_type == "code"]
    usual = {use for code in codes for use in _reaching(code)}
    found = {use for _, code in sources for use in _reaching(code)} - usual
    imported = dict(use for code in codes for use in _imports(code))
    for part, code in sources:
        uses = _library_uses(code, imported) - _allowed(assignment, part, imported)
        found |= {use for use in uses if not use.startswith(_FREE)}
    return sorted(found)


def _allowed(assignment: Assignment, part: str | None, imported: Mapping[str, str]) -> set[str]:
    """What may be used of the library in a part: its solution's, and imports that stand before."""
    allowed: set[str] = set()
    for cell in assignment.notebook.cells:
        if cell.cell_type != "code":
            continue
        grade_id = grade_id_of(cell)
        own = grade_id is not None and grade_id == f"{part}-solution"
        if own or part is None or "show" in cell.metadata.get("tags", []):
            allowed |= _library_uses(cell.source, imported)
        if is_test(cell) and grade_id == f"{part}-tests":
            break
    return allowed


def _library_uses(source: str, imported: Mapping[str, str]) -> set[str]:
    """What a cell uses of our packages: ``ssl3d_lite.tasks.cpc.encode_once``."""
    tree, uses = parse_cell(source), {name for _, name in _imports(source)}
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            home = imported.get(node.value.id, "")
            if home and node.value.id.islower():  # a module, not a class
                uses.add(f"{home}.{node.attr}")
                modules.add(home)
    own = bound_names(source) - {name for name, _ in _imports(source)}
    names = used_names(source) - own
    return (uses | {imported[name] for name in names if name in imported}) - modules


def _imports(source: str) -> Iterator[tuple[str, str]]:
    """(cpc, ssl3d_lite.tasks.cpc) for each name that a cell imports from our packages."""
    for node in ast.walk(parse_cell(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in _OURS:
            yield from ((a.asname or a.name, f"{node.module}.{a.name}") for a in node.names)
        elif isinstance(node, ast.Import):
            ours = (a for a in node.names if a.name.partition(".")[0] in _OURS)
            yield from ((a.asname or a.name, a.name) for a in ours)


def _reaching(source: str) -> set[str]:
    tree, uses = parse_cell(source), set[str]()
    if not tree.body:  # IPython may read what we cannot, so its words are looked through
        return _REACHING & set(re.findall(r"\w+", source))
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in _REACHING:
            uses.add(node.id)
        elif isinstance(node, ast.Attribute) and node.attr in _REACHING:
            uses.add(node.attr)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
            uses |= {word for name in names for word in name.split(".") if word in _REACHING}
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            uses |= _replaced(node)
    return uses


def _replaced(node: ast.Assign | ast.AugAssign | ast.AnnAssign) -> set[str]:
    """``torch.equal = …``: assignments that replace a library's function."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    roots = {"torch", "np", "numpy", "math", "random", "ssl3d_lite"}
    found = set()
    for target in targets:
        place = target
        while isinstance(place, ast.Attribute):
            place = place.value
        if isinstance(target, ast.Attribute) and isinstance(place, ast.Name) and place.id in roots:
            found.add(f"{ast.unparse(target)} = …")
    return found

"""Flags for code that a person should read: it reaches for the grader instead of solving the task,
or calls the library for what was to be written. A flag costs no points; only names are compared."""

import ast
from collections.abc import Iterable

from .sources import parse_cell

_REACHING = {
    *("get_ipython", "_getframe", "settrace", "setprofile", "__builtins__", "builtins", "ctypes"),
    *("gc", "_exit", "currentframe", "f_back", "f_globals", "f_locals", "In", "linecache"),
    *("run_cell", "display_pub", "publish_display_data", "globals", "setattr", "excepthook"),
    *("subprocess", "socket", "atexit", "tb_frame", "inspect", "guard", "AssertionError"),
}


def find_flags(sources: Iterable[str], model: Iterable[str]) -> list[str]:
    """Suspicious names in a student's cells, sorted.

    Args:
        sources: the student's cells.
        model: the lecturer's cells, given ones and solutions. Names that they use raise no flag.
    """
    return sorted(_all_uses(sources) - _all_uses(model))


def _all_uses(sources: Iterable[str]) -> set[str]:
    return {use for source in sources for use in _uses(source)}


def _uses(source: str) -> set[str]:
    uses: set[str] = set()
    for node in ast.walk(parse_cell(source)):
        if isinstance(node, ast.Name) and node.id in _REACHING:
            uses.add(node.id)
        elif isinstance(node, ast.Attribute) and node.attr in _REACHING:
            uses.add(node.attr)
        elif isinstance(node, ast.Import):
            uses |= {alias.name for alias in node.names if alias.name in _REACHING}
        elif isinstance(node, ast.ImportFrom):
            uses |= _imported(node)
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign):
            uses |= _replaced(node)
    return uses


def _imported(node: ast.ImportFrom) -> set[str]:
    module = node.module or ""
    if module.partition(".")[0] == "ssl3d_lite":
        return {f"{module}.{alias.name}" for alias in node.names}
    return {name for name in (module, *(a.name for a in node.names)) if name in _REACHING}


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

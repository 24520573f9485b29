"""The reference: pages of the doors' names, from their docstrings, and of every command's help."""

import ast
from collections.abc import Mapping
from pathlib import Path

from .pages import fenced

_PACKAGE = Path(__file__).parents[1]
DOORS = {  # page → title, the stub that lists its names, the module that has them
    "reference/front_door": ("import ssl3d_lite as ssl3d", "__init__.pyi", "ssl3d_lite"),
    "reference/show": ("ssl3d_lite.show", "show/__init__.pyi", "ssl3d_lite.show"),
    "reference/tasks": ("ssl3d_lite.tasks", "tasks/__init__.py", "ssl3d_lite.tasks"),
}


def reference_pages(helps: Mapping[str, str]) -> dict[str, str]:
    """Page's name → Markdown.

    Args:
        helps: command, as "course build" → what its ``--help`` says.
    """
    pages = {}
    for page, (title, stub, module) in DOORS.items():
        names = door_names(_PACKAGE / stub)
        directives = "\n".join(_directive(module, name, kind) for name, kind in names.items())
        pages[f"{page}.md"] = f"# {title}\n\n{_rst(f'.. automodule:: {module}')}\n{directives}"
    if helps:
        parts = [f"## {name}\n\n{fenced(text, 'text')}" for name, text in helps.items()]
        pages["reference/commands.md"] = "\n".join(["# Commands\n", *parts])
    return pages


def door_names(stub: Path) -> dict[str, str]:
    """The functions, classes and values that a door offers → "function", "class" or "data".

    In a stub those are the names that it imports; else those that ``__all__`` lists. Rooms are no
    names.
    """
    tree = ast.parse(stub.read_text(encoding="utf-8"))
    imported = [node for node in tree.body if isinstance(node, ast.ImportFrom)]
    places = {each.name: node.module for node in imported for each in node.names if node.module}
    listed = [n for node in tree.body if isinstance(node, ast.Assign) for n in _all_of(node)]
    names = listed or list(places)
    own = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
    found = {}
    for name in names:
        if name in own:
            node: ast.AST = own[name]
        elif name in places:
            node = _defined(stub.parent / f"{(places[name] or '').replace('.', '/')}", name)
        else:
            node = ast.Pass()
        found[name] = _kind(node)
    return found


def _all_of(node: ast.Assign) -> list[str]:
    is_all = any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets)
    return ast.literal_eval(node.value) if is_all else []


def _defined(place: Path, name: str) -> ast.AST:
    """The statement that gives ``name`` its meaning, in a module or a package."""
    path = place.with_suffix(".py") if place.with_suffix(".py").exists() else place / "__init__.py"
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if getattr(node, "name", None) == name:
            return node
    return ast.Pass()


def _kind(node: ast.AST) -> str:
    if isinstance(node, ast.ClassDef):
        return "class"
    return "function" if isinstance(node, ast.FunctionDef) else "data"


def _directive(module: str, name: str, kind: str) -> str:
    members = "\n   :members:" if kind == "class" else ""
    return f"## {name}\n\n{_rst(f'.. auto{kind}:: {module}.{name}{members}')}"


def _rst(text: str) -> str:
    """Docstrings are reStructuredText, within a page of Markdown."""
    return f"```{{eval-rst}}\n{text}\n```\n"

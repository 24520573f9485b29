"""``from ssl3d_lite import show``: every name is there, and none is loaded before it is used."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from ssl3d_lite import show

HEAVY = ("matplotlib", "napari", "anywidget", "ipywidgets", "ipyniivue", "IPython", "torch")


@pytest.mark.parametrize("name", show.__all__)
def test_each_name_is_there(name):
    module = import_module(f"ssl3d_lite.show.{show._MODULE_OF[name]}")
    assert getattr(show, name) is getattr(module, name)
    assert name in dir(show)


def test_the_names_are_the_same_for_python_and_for_a_type_checker():
    tree = ast.parse(Path(show.__file__).read_text(encoding="utf-8"))
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    typed = {alias.name: node.module for node in block.body for alias in node.names}
    assert typed == show._MODULE_OF
    assert sorted(show.__all__) == sorted(typed)


def test_importing_it_loads_nothing_heavy():
    script = f"""
import sys
import ssl3d_lite
before = set(sys.modules)
import ssl3d_lite.show
print([name for name in {HEAVY!r} if name in set(sys.modules) - before])
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(show.__file__).parents[2],
    )
    assert done.stdout.strip() == "[]"


def test_a_misspelt_name_is_answered_with_the_nearest():
    with pytest.raises(AttributeError, match="did you mean 'Puzzle3D'"):
        show.Puzle3D  # noqa: B018

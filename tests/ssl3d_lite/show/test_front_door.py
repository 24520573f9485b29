"""``from ssl3d_lite import show``: every name is there, and none is loaded before it is used."""

import subprocess
import sys
from pathlib import Path

import pytest

from ssl3d_lite import show

HEAVY = ("matplotlib", "napari", "anywidget", "ipywidgets", "ipyniivue", "IPython", "torch")


@pytest.mark.parametrize("name", show.__all__)
def test_each_name_is_there(name):
    assert getattr(show, name) is not None
    assert name in dir(show)


def test_what_notebooks_use_is_there():
    assert {"Slices", "Volume3D", "Puzzle3D", "Live", "puzzle"} <= set(show.__all__)
    assert len(show.__all__) == len(set(show.__all__)) > 30


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


def test_a_misspelt_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="Puzle3D"):
        show.Puzle3D  # noqa: B018

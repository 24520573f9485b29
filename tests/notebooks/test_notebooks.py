"""Notebooks: each pair says the same, and each runs from the first cell to the last."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
SOURCES = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
# a quarter to a whole minute each, also at smoke scale; the second is always run
MARKS = {f"{number:02}": pytest.mark.slow for number in range(20) if number != 1}
sys.path.insert(0, str(ROOT / "notebooks"))

from sync import notebook_of  # noqa: E402


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_pair_says_the_same(source):
    made, kept = notebook_of(source), nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    assert [(c.id, c.cell_type, c.source) for c in made.cells] == [
        (c.id, c.cell_type, c.source) for c in kept.cells
    ], "run python notebooks/sync.py"
    nbformat.validate(kept)


def imports_of(source: Path) -> list[str]:
    """The import lines of all code cells, in order."""
    cells = [cell for cell in notebook_of(source).cells if cell.cell_type == "code"]
    code = "\n".join(
        line for cell in cells for line in cell.source.splitlines() if not line.startswith("%")
    )
    nodes = [n for n in ast.walk(ast.parse(code)) if isinstance(n, ast.Import | ast.ImportFrom)]
    return [ast.unparse(node) for node in sorted(nodes, key=lambda node: node.lineno)]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_it_begins_with_the_front_door_and_imports_little_else(source):
    first, *others = imports_of(source)
    assert first == "import ssl3d_lite as ssl3d"
    assert len(others) <= 4, others
    assert not [line for line in others if "ssl3d_lite" in line or "data_recipes" in line]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_kept_notebook_has_outputs_without_errors_and_is_small(source):
    path = source.with_suffix(".ipynb")
    assert path.stat().st_size <= 1e6
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        assert cell.execution_count, "kept without having been run: notebooks/sync.py --run"
        assert all(output.output_type != "error" for output in cell.outputs)


@pytest.mark.parametrize(
    "source",
    [pytest.param(path, id=path.stem, marks=MARKS.get(path.stem[:2], ())) for path in SOURCES],
)
def test_it_runs_at_smoke_scale_without_error_or_warning(source, tmp_path, monkeypatch):
    monkeypatch.setenv("SSL3D_SCALE", "smoke")
    monkeypatch.delenv("SSL3D_COHORT", raising=False)
    notebook = notebook_of(source)
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=300, resources=resources, store_widget_state=False).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    shown = [output for cell in code for output in cell.outputs]
    pictures = [o for o in shown if "image/png" in o.get("data", {})]
    assert pictures, "a notebook without a picture"
    assert not [o for o in shown if "Warning" in str(o.get("text", ""))]


def test_the_same_source_gives_the_same_file(tmp_path):
    for name in ("a", "b"):
        nbformat.write(notebook_of(SOURCES[0]), tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_sync_help_says_what_it_does():
    command = [sys.executable, str(ROOT / "notebooks/sync.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    assert "--run" in done.stdout

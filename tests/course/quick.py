"""Points of a notebook without a kernel: cells are run here, one after another.

For dozens of mistakes: torch is imported once. The real grader is tested with a few submissions.
"""

import contextlib
import io
import linecache
import warnings
from copy import deepcopy
from unittest.mock import MagicMock, patch

import matplotlib
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from ssl3d_lite.course.examiner import execute
from ssl3d_lite.course.sources import grade_id_of, is_test


def with_hidden_tests(made: NotebookNode, notebook: NotebookNode) -> NotebookNode:
    """A student's version with complete test cells, as the grader runs them."""
    whole = deepcopy(made)
    tests = {grade_id_of(cell): cell.source for cell in notebook.cells if is_test(cell)}
    for cell in whole.cells:
        cell.source = tests.get(grade_id_of(cell), cell.source)
    return whole


def points(
    notebook: NotebookNode,
    *,
    show: bool = True,
    since: str | None = None,
    failures: dict | None = None,
) -> dict[str, float]:
    """Run every code cell in one fresh namespace, errors allowed, in the working directory.

    Args:
        notebook: with its tests, hidden ones too: see :func:`with_hidden_tests`.
        show: False leaves out cells tagged "show": no later cell needs what they make.
        since: grade_id of a cell. Tests that stand before it are not run and count as passed: what
            stands in the cell cannot reach them.
        failures: is filled with {grade_id or cell number: error} of the cells that failed.

    Returns:
        {grade_id of each test cell: points}; a cell that raises nothing earns its points, or as
        many as the value of its last line says.
    """
    earned, reached = {}, since is None
    space = {"__name__": "__main__", "get_ipython": MagicMock(), "display": lambda *_, **__: None}
    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    with warnings.catch_warnings(), patch.object(plt, "show"):
        warnings.simplefilter("ignore")
        for number, cell in enumerate(notebook.cells):
            if cell.cell_type != "code" or (not show and "show" in cell.metadata.get("tags", [])):
                continue
            name = grade_id_of(cell)
            reached = reached or name == since
            if is_test(cell) and not reached:
                earned[name] = float(cell.metadata.nbgrader["points"])
                continue
            fault, value = _run(cell.source, f"<cell {number}>", space)
            if fault is not None and failures is not None:
                failures[name or number] = fault
            if is_test(cell):
                most = float(cell.metadata.nbgrader["points"])
                earned[name] = 0.0 if fault else most if value is None else value
        plt.close("all")
    return earned


def _run(source: str, file: str, space: dict) -> tuple[BaseException | None, object]:
    """The error that a cell ends with, and the value of its last line. Its source can be shown, as
    a notebook's can."""
    try:
        code = TransformerManager().transform_cell(source)
        linecache.cache[file] = (len(code), None, code.splitlines(True), file)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return None, execute(code, space, file)
    except BaseException as fault:  # a student's code may raise anything, SystemExit too
        if isinstance(fault, KeyboardInterrupt):
            raise
        return fault, None

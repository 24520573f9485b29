"""Make the .ipynb of each notebook from its .py, the source.

    python notebooks/sync.py            sources alone; outputs of unchanged cells are kept
    python notebooks/sync.py --run      run each at class scale and keep what it shows

Cell ids come from the cell's place, so the same source gives the same file: jupytext alone would
draw new ones each time.
"""

import argparse
import re
from pathlib import Path

import jupytext
import nbformat

from ssl3d_lite.files import atomic_write

HERE = Path(__file__).parent
WIDGET = "application/vnd.jupyter.widget-view+json"
BAR = re.compile(r"\d+%\|")
PICTURES = {"image/png", "image/jpeg", "image/svg+xml"}


def notebook_of(source: Path) -> nbformat.NotebookNode:
    """The notebook that a percent script stands for, with fixed cell ids and no outputs."""
    notebook = jupytext.read(source)
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"{source.stem[:2]}-{number:03d}"
        cell.source = cell.source.strip("\n")  # a script has blank lines before a function
    notebook.metadata = {
        "kernelspec": notebook.metadata["kernelspec"],
        "jupytext": {"formats": "ipynb,py:percent"},
        "language_info": {"name": "python"},
    }
    return notebook


def keep_outputs(notebook: nbformat.NotebookNode, old: nbformat.NotebookNode) -> None:
    """Give cells whose source has not changed their old outputs back."""
    known = {cell.source: cell for cell in old.cells if cell.cell_type == "code"}
    for cell in notebook.cells:
        if cell.cell_type == "code" and cell.source in known:
            cell.outputs = known[cell.source].outputs
            cell.execution_count = known[cell.source].execution_count


def run(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Execute in place. Widget state is left out: it would make 3 kB into 6 MB."""
    from nbclient import NotebookClient

    NotebookClient(
        notebook,
        timeout=3600,
        store_widget_state=False,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--ext=ssl3d_lite.show.stills.kept"],  # alternative texts
    ).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day would change in every run
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if can_be_seen(output)]
            describe_pictures(cell)


def can_be_seen(output: nbformat.NotebookNode) -> bool:
    """Whether a reader sees anything; takes widgets out, which need a kernel.

    A widget without a picture, such as a progress bar, leaves a text that says nothing; so does a
    bar of letters.
    """
    if output.output_type == "stream" and output.name == "stderr":
        return bool(output.text.strip()) and not BAR.search(output.text)
    data = output.get("data", {})
    widget = data.pop(WIDGET, None)
    return widget is None or set(data) != {"text/plain"}


def describe_pictures(cell: nbformat.NotebookNode) -> None:
    """Give each picture an alternative text where nbconvert looks for it."""
    for output in cell.outputs:
        for kind in PICTURES & set(output.get("data", {})):
            about = output.metadata.setdefault(kind, nbformat.NotebookNode())
            code = [line for line in cell.source.splitlines() if line.strip()]
            about.setdefault("alt", f"What the cell shows that ends with {code[-1].strip()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", action="store_true", help="execute, and keep the outputs")
    parser.add_argument("notebooks", nargs="*", type=Path, help="sources; all if none is named")
    arguments = parser.parse_args()
    for source in arguments.notebooks or sorted(HERE.glob("[0-9][0-9]_*.py")):
        notebook, target = notebook_of(source), source.with_suffix(".ipynb")
        if arguments.run:
            run(notebook, HERE)
        elif target.exists():
            keep_outputs(notebook, nbformat.read(target, as_version=4))
        text = nbformat.writes(notebook) + "\n"
        atomic_write(target, lambda file, text=text: file.write(text.encode()))
        print(f"{target}: {target.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

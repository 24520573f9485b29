"""Keep what views of notebooks were sent, so that readers of the book move them and run nothing.

    python notebooks/live.py            all notebooks that have such views
    python notebooks/live.py 04 06      these alone

A notebook is run, at class scale, as far as it shows a view of a kind that it has not shown before;
what it was sent is kept in live/, and the book makes a page of it (ssl3d_lite/book/live.py). The
file's name has the checksum of its cell's source, so a cell that has changed since has no page.
"""

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jupytext
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

import ssl3d_lite as ssl3d
from ssl3d_lite.book.live import FOLDER, keep, state_name
from ssl3d_lite.errors import InputError

HERE = Path(__file__).parent
LARGEST = 1_000_000  # bytes: as much as a notebook may have
VIEWS = {
    "Volume3D": ssl3d.show.Volume3D,
    "Slices": ssl3d.show.Slices,
    "Puzzle3D": ssl3d.show.Puzzle3D,
}  # features are megabytes: the book has docs/features.html
WIPE = "wipe"  # two predictions in one Slices: another kind than a scan alone
MADE = re.compile(rf"\bshow\.({'|'.join((*VIEWS, WIPE))})\(")


class Shell(InteractiveShell):
    """IPython in this process, for what a cell shows last."""

    def enable_gui(self, gui: str | None = None) -> None:
        """Called by %matplotlib inline, which needs none."""


def first_views(sources: list[str]) -> Iterator[tuple[str, Any]]:
    """Run cells; of each kind of view the first that is shown, with its cell's source."""
    shell = Shell()
    kept: set[str] = set()
    while sources and any(set(MADE.findall(source)) - kept for source in sources):
        source, *sources = sources
        with capture_output():
            done = shell.run_cell(source)
        done.raise_error()
        view = next(inside(done.result), None)
        if view is not None and kind_of(view) not in kept:
            kept.add(kind_of(view))
            yield source, view


def inside(shown: Any) -> Iterator[Any]:
    """The views in what a cell shows: itself, or those in a box, such as below a slider."""
    if isinstance(shown, tuple(VIEWS.values())):
        yield shown
    else:
        for child in getattr(shown, "children", ()):
            yield from inside(child)


def kind_of(view: Any) -> str:
    """What a view is called in a cell that makes it."""
    return WIPE if getattr(view, "_sides", ()) else type(view).__name__


def keep_views(notebook: Path, folder: Path) -> None:
    """Write what a notebook's views were sent, in place of what there was of it."""
    cells = [cell.source for cell in jupytext.read(notebook).cells if cell.cell_type == "code"]
    made = set()
    for source, view in first_views(cells):
        path = folder / state_name(notebook.stem, source)
        keep(view.slices() if isinstance(view, ssl3d.show.Volume3D) else view, path)
        size = path.stat().st_size
        print(f"{path.name}: {kind_of(view)}, {size / 1e3:.0f} kB", flush=True)
        if size > LARGEST:
            raise InputError(f"{path} has more than {LARGEST / 1e3:.0f} kB: show a smaller scan")
        made.add(path)
    for old in set(folder.glob(f"{notebook.stem}-*.json")) - made:
        old.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("numbers", nargs="*", help="as 04; by default all")
    numbers = parser.parse_args().numbers
    (HERE / FOLDER).mkdir(exist_ok=True)
    for notebook in sorted(HERE.glob("[0-9][0-9]_*.py")):
        if not numbers or notebook.stem[:2] in numbers:
            keep_views(notebook, HERE / FOLDER)


if __name__ == "__main__":
    main()

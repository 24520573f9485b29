"""Going through puzzles case by case in napari, and noting patches that are bad.

A patch may be bad because it shows nothing, lies in an artefact, or gives its answer away. Marks
are rows of a CSV, written at once, so a session may end at any time and go on another day.
"""

import csv as tables
import json
from collections.abc import Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path
from typing import Any

import torch

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import atomic_write
from ssl3d_lite.tasks import ProxyTask

from .layers import Viewer, add_scan
from .puzzle import PuzzleLayers, add_puzzle

WHICH = ("cohort", "case", "task", "settings", "seed", "piece")  # tell one patch from another
COLUMNS = (*WHICH, "x", "y", "z")  # its middle in voxels of the prepared scan
KEYS = {
    "n": ("next case", lambda review: review.step(1)),
    "Shift-N": ("case before", lambda review: review.step(-1)),
    "q": ("another puzzle of this case", lambda review: review.again()),
    "k": ("mark the patch as bad, or take the mark back", lambda review: review.mark()),
    "j": ("pieces apart, and together", lambda review: review.take_apart()),
    "h": ("pieces as the network gets them, and home", lambda review: review.as_shown()),
}

Row = dict[str, str]


def review(
    cohort: Cohort,
    task: ProxyTask,
    cases: Sequence[int],
    csv: str | Path,
    *,
    seed: int = 0,
    viewer: Viewer | None = None,
) -> "Review":
    """Look through the puzzles of some cases, and mark bad patches by key.

    The patch meant is the one whose layer is selected, else the one under the mouse.

    Args:
        cases: positions in the cohort.
        csv: where marks are kept; those that are there already stay and are shown.
        seed: of the first puzzle of each case.
        viewer: where to show them; by default a new window.

    Raises:
        InputError: no such case; a file that holds no marks; or no viewer and no display.
    """
    wrong = [case for case in cases if not 0 <= case < len(cohort)]
    if wrong or not len(cases):
        raise InputError(
            f"cases {wrong} are not among the {len(cohort)} of {cohort.name}"
            if wrong
            else "no cases to review; give positions in the cohort"
        )
    kept = len(read_marks(Path(csv)))
    if viewer is None:
        from .display import require_window

        require_window()
        import napari

        viewer = napari.Viewer(title="ssl3d_lite: review")
    shown = Review(cohort, task, cases, Path(csv), viewer, seed)
    for key, (_, act) in KEYS.items():
        viewer.bind_key(key, _bound(act, shown), overwrite=True)
    print(*(f"{key}: {what}" for key, (what, _) in KEYS.items()), sep="\n")
    print(f"marks are kept in {Path(csv).resolve()}" + (f" ({kept} so far)" if kept else ""))
    return shown


def _bound(act: Any, shown: "Review") -> Any:
    """napari calls a key's function with the viewer."""

    def pressed(viewer: Viewer) -> None:
        act(shown)

    return pressed


class Review:
    """Where a review stands: which case, which puzzle of it. Keys call its methods."""

    def __init__(
        self,
        cohort: Cohort,
        task: ProxyTask,
        cases: Sequence[int],
        csv: Path,
        viewer: Viewer,
        seed: int = 0,
    ):
        self.cohort, self.task, self.cases, self.csv = cohort, task, list(cases), csv
        self.viewer, self.first_seed = viewer, seed
        self.place, self.seed = 0, seed
        self.apart, self.shown = False, False
        self.puzzle: PuzzleLayers
        self._show_scan()
        self._show_puzzle()

    @property
    def case(self) -> int:
        """Position in the cohort."""
        return self.cases[self.place]

    def step(self, by: int) -> None:
        """Go to the next case or the one before; behind the last comes the first."""
        self.place, self.seed = (self.place + by) % len(self.cases), self.first_seed
        self._show_scan()
        self._show_puzzle()

    def again(self) -> None:
        """Draw another puzzle of this case."""
        self.seed += 1
        self._show_puzzle()

    def take_apart(self) -> None:
        self.apart = not self.apart
        self.puzzle.arrange(float(self.apart), self.shown)

    def as_shown(self) -> None:
        self.shown = not self.shown
        self.puzzle.arrange(float(self.apart), self.shown)

    def mark(self) -> None:
        """Mark the patch that is meant as bad; if it is, take the mark back."""
        number = self.puzzle.picked()
        if number is None:
            self.viewer.status = "no patch here: point at one in a plane, or select its layer"
            return
        row = self._row(number)
        rows = read_marks(self.csv)  # anew, so that nobody else's marks are lost
        others = [each for each in rows if _which(each) != _which(row)]
        added = len(others) == len(rows)
        write_marks(self.csv, [*others, row] if added else others)
        self._show_marks()
        self.viewer.status = f"patch {number} {'marked as bad' if added else 'is no longer marked'}"

    def marks(self) -> list[int]:
        """The pieces of the puzzle shown that are marked."""
        here = _which(self._row(0))[:-1]
        rows = [_which(row) for row in read_marks(self.csv)]
        return sorted(int(row[-1]) for row in rows if row[:-1] == here)

    def _show_scan(self) -> None:
        image, label = self.cohort[self.case]
        add_scan(
            self.viewer,
            image,
            None if self.cohort.ordinal else label,
            label_names=self.cohort.label_names,
            spacing=self.cohort.spacing,
        )

    def _show_puzzle(self) -> None:
        # some tasks compare scans, so there are always two; what is drawn for the first depends on
        # the seed alone
        other = self.cases[(self.place + 1) % len(self.cases)]
        volumes = self.cohort.images([self.case, other])
        params = self.task.sample_params(volumes, torch.Generator().manual_seed(self.seed))
        self.puzzle = add_puzzle(self.viewer, volumes, self.task.make_views(volumes, params))
        if self.apart or self.shown:
            self.puzzle.arrange(float(self.apart), self.shown)
        self._show_marks()
        name = self.cohort.cases[self.case].id
        where = f"{self.place + 1} of {len(self.cases)}"
        self.viewer.title = f"{name} ({where}), {self.task.name}, puzzle {self.seed}"

    def _show_marks(self) -> None:
        self.puzzle.note(dict.fromkeys(self.marks(), "bad"))

    def _row(self, number: int) -> Row:
        centre = dict.fromkeys("xyz", "")
        centre |= dict(zip("xyz", (f"{c:g}" for c in self.puzzle.pieces[number].centre)))
        which = (
            self.cohort.name,
            self.cohort.cases[self.case].id,
            self.task.name,
            json.dumps(asdict(self.task.settings)),
            str(self.seed),
            str(number),
        )
        return dict(zip(WHICH, which, strict=True)) | centre


# ---- the table of marks ------------------------------------------------------------------------


def _which(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in WHICH)


def read_marks(path: Path) -> list[Row]:
    """The rows of a table of marks; none if there is no such file.

    Raises:
        InputError: something else is in it.
    """
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = tables.DictReader(file)
            rows = list(reader)
    except FileNotFoundError:
        return []
    except (OSError, ValueError, tables.Error) as reason:
        raise InputError(f"{path} cannot be read as a table of marks: {reason}") from None
    if tuple(reader.fieldnames or ()) != COLUMNS or any(None in row.values() for row in rows):
        raise InputError(
            f"{path} is no table of marks (columns {', '.join(COLUMNS)}); name another file"
        )
    return rows


def write_marks(path: Path, rows: Sequence[Row]) -> None:
    """Save the table, whole or not at all; without a mark it has its heads alone."""
    text = StringIO(newline="")
    writer = tables.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write(path, lambda file: file.write(text.getvalue().encode()))

"""Going through puzzles case by case in napari, and noting patches that are bad.

A patch may be bad because it shows nothing, lies in an artefact, or gives its label away. Marks
are rows of a CSV that is written at once, so a session may end at any time and go on another day.
"""

import csv as tables
import json
from collections.abc import Sequence
from dataclasses import asdict
from io import StringIO
from pathlib import Path

import torch

from ssl3d_lite.data.cohort import Cohort, takes_cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import atomic_write
from ssl3d_lite.show.pieces import badge
from ssl3d_lite.tasks import ProxyTask

from .camera import Viewer
from .display import require_window
from .keys import Keys, bind_keys, key_lines
from .layers import put_scan
from .puzzle import PuzzleLayers, add_puzzle

PATCH_KEY = ("cohort", "case", "task", "settings", "seed", "piece")  # tells patches apart
MARK_COLUMNS = (*PATCH_KEY, "x", "y", "z")  # its middle in voxels of the prepared scan
REVIEW_KEYS: Keys = {  # the methods are those of Review
    "n": ("next case", "next_case"),
    "Shift-N": ("case before", "previous_case"),
    "q": ("another puzzle", "another_puzzle"),
    "k": ("mark the patch under the mouse as bad, or unmark it", "toggle_mark"),
    "m": ("next marked patch", "next_mark"),
    "j": ("apart", "toggle_apart"),
    "h": ("as the network gets them", "toggle_shown"),
}

PatchMark = dict[str, str]  # MARK_COLUMNS → text


@takes_cohort
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

    The keys are written in the window. One acts on the patch whose caption is selected, or else on
    the one under the mouse.

    Args:
        cohort: the cohort.
        task: the proxy task that makes the puzzles.
        cases: positions in the cohort.
        csv: the file of marks; marks that are in it already stay, and are shown.
        seed: seed of the first puzzle of each case.
        viewer: the viewer to use; by default a new window.

    Raises:
        InputError: no such case; a file that holds no marks; or no viewer and no display.
    """
    _check_cases(cases, cohort)
    kept = len(read_patch_marks(Path(csv)))
    if viewer is None:
        require_window()
        import napari

        viewer = napari.Viewer(title="ssl3d_lite: review")
    shown = Review(cohort, task, cases, Path(csv), viewer, seed)
    bind_keys(viewer, {key: getattr(shown, method) for key, (_, method) in REVIEW_KEYS.items()})
    print(f"marks are kept in {Path(csv).resolve()}" + (f" ({kept} so far)" if kept else ""))
    return shown


def _check_cases(cases: Sequence[int], cohort: Cohort) -> None:
    if not len(cases):
        raise InputError("no cases to review; give positions in the cohort")
    wrong = [case for case in cases if not 0 <= case < len(cohort)]
    if wrong:
        raise InputError(f"cases {wrong} are not among the {len(cohort)} of {cohort.name}")


class Review:
    """The state of a review: the case and the puzzle that are shown. Keys call its methods."""

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
        self.puzzle: PuzzleLayers  # the one before tells how the next is arranged
        self.looked_at = -1  # the marked piece that was gone to last
        self._show_scan()
        self._show_puzzle()

    @property
    def case(self) -> int:
        """Position in the cohort."""
        return self.cases[self.place]

    def next_case(self) -> None:
        """Go to the next case; the first follows the last."""
        self._step(1)

    def previous_case(self) -> None:
        """Go to the case before; the last comes before the first."""
        self._step(-1)

    def _step(self, by: int) -> None:
        self.place, self.seed = (self.place + by) % len(self.cases), self.first_seed
        self._show_scan()
        self._show_puzzle()

    def another_puzzle(self) -> None:
        """Make another puzzle of this case."""
        self.seed += 1
        self._show_puzzle()

    def toggle_apart(self) -> None:
        """Move the pieces apart, or together again."""
        self.puzzle.toggle_apart()

    def toggle_shown(self) -> None:
        """Show the pieces as the network gets them, or where they were cut."""
        self.puzzle.toggle_shown()

    def toggle_mark(self) -> None:
        """Mark the picked patch as bad; if it is marked, take the mark back."""
        number = self.puzzle.picked()
        if number is None:
            self.viewer.status = "no patch here: point at one in a plane, or select its layer"
            return
        row = self._row(number)
        rows = read_patch_marks(self.csv)  # anew, so that nobody else's marks are lost
        others = [each for each in rows if _key_of(each) != _key_of(row)]
        added = len(others) == len(rows)
        write_patch_marks(self.csv, [*others, row] if added else others)
        self._show_marks()
        name = badge(self.puzzle.pieces[number])
        self.viewer.status = f"patch {name} {'marked as bad' if added else 'is no longer marked'}"

    def next_mark(self) -> None:
        """Show the plane through the next marked patch; the first follows the last."""
        marked = self.marked_pieces()
        if not marked:
            self.viewer.status = "no patch of this puzzle is marked"
            return
        self.looked_at = next((each for each in marked if each > self.looked_at), marked[0])
        self.puzzle.go_to(self.looked_at)

    def marked_pieces(self) -> list[int]:
        """Numbers of the marked pieces of the puzzle that is shown."""
        here = _key_of(self._row(0))[:-1]
        rows = [_key_of(row) for row in read_patch_marks(self.csv)]
        return sorted(int(row[-1]) for row in rows if row[:-1] == here)

    def _show_scan(self) -> None:
        image, label = self.cohort[self.case]
        put_scan(
            self.viewer,
            image,
            {"labels": None if self.cohort.ordinal else label},
            self.cohort.label_names,
            self.cohort.spacing,
            channel_names=self.cohort.channels,
        )

    def _show_puzzle(self) -> None:
        # some tasks compare scans, so there are always two; the first scan's puzzle depends on the
        # seed alone
        other = self.cases[(self.place + 1) % len(self.cases)]
        volumes = self.cohort.images([self.case, other])
        params = self.task.sample_params(volumes, torch.Generator().manual_seed(self.seed))
        before: PuzzleLayers | None = getattr(self, "puzzle", None)
        self.puzzle = add_puzzle(self.viewer, volumes, self.task.make_views(volumes, params))
        if before and (before.apart, before.shown) != (self.puzzle.apart, self.puzzle.shown):
            self.puzzle.arrange(before.apart, before.shown)
        self.looked_at = -1
        name = self.cohort.cases[self.case].id
        where = f"{self.place + 1} of {len(self.cases)}"
        self.viewer.title = f"{name} ({where}), {self.task.name}, puzzle {self.seed}"
        marked = self._show_marks()
        if marked:
            self.next_mark()

    def _show_marks(self) -> list[int]:
        """Say which pieces are marked, and how many; and the keys."""
        marked = self.marked_pieces()
        self.puzzle.note(dict.fromkeys(marked, "bad"))
        count = len(read_patch_marks(self.csv))
        here = f"{self.viewer.title}: {len(marked)} marked, {count} in all"
        self.puzzle.say([here, *key_lines(REVIEW_KEYS)])
        return marked

    def _row(self, number: int) -> PatchMark:
        centre = dict.fromkeys("xyz", "")
        centre |= dict(zip("xyz", (f"{c:g}" for c in self.puzzle.pieces[number].centre)))
        key = (
            self.cohort.name,
            self.cohort.cases[self.case].id,
            self.task.name,
            json.dumps(asdict(self.task.settings)),
            str(self.seed),
            str(number),
        )
        return dict(zip(PATCH_KEY, key, strict=True)) | centre


# ---- the table of marks ------------------------------------------------------------------------


def _key_of(row: PatchMark) -> tuple[str, ...]:
    return tuple(row[name] for name in PATCH_KEY)


def read_patch_marks(path: Path) -> list[PatchMark]:
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
    if tuple(reader.fieldnames or ()) != MARK_COLUMNS or any(None in row.values() for row in rows):
        raise InputError(
            f"{path} is no table of marks (columns {', '.join(MARK_COLUMNS)}); name another file"
        )
    return rows


def write_patch_marks(path: Path, rows: Sequence[PatchMark]) -> None:
    """Save the table, whole or not at all; without marks it has its header alone."""
    text = StringIO(newline="")
    writer = tables.DictWriter(text, MARK_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    atomic_write(path, lambda file: file.write(text.getvalue().encode()))

"""Opens a puzzle or a scan in napari; without a display, as a picture or in the browser.

Where there is no display, Qt ends the whole process, and nothing can catch that. So the display
is tried in a process of its own first, and a picture is made in another.
"""

import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.arrays import as_numpy
from ssl3d_lite.show.scan_files import ScanFiles, read_scan_files
from ssl3d_lite.tasks import Placement, ProxyBatch

from .camera import Viewer, stand_in_3d
from .captions import PuzzlePrediction
from .display import display_trouble, missing_package, run_under_xvfb
from .keys import Keys, bind_keys, key_lines
from .layers import add_scan
from .puzzle import add_puzzle
from .reuse import Layer

PUZZLE_KEYS: Keys = {  # the methods are those of PuzzleLayers
    "j": ("apart", "toggle_apart"),
    "h": ("as the network gets them", "toggle_shown"),
}
WINDOW = (1360, 980)  # pixels, of which the picture is the part beside napari's controls


def open_puzzle(
    volumes: Tensor,
    batch: ProxyBatch,
    scan: int = 0,
    *,
    prediction: PuzzlePrediction | None = None,
    spacing: Sequence[float] | None = None,
) -> Any:
    """Show a puzzle in the best way that works here; the arguments are those of ``add_puzzle``.

    Returns:
        With a display, a ``napari.Viewer``. Without one, a picture (``IPython.display.Image``),
        drawn on a display in memory if Xvfb is installed; otherwise the browser's view or a
        figure. A line is printed that says why.
    """

    def fill(viewer: Viewer) -> None:
        shown = add_puzzle(viewer, volumes, batch, scan, prediction=prediction, spacing=spacing)
        bind_keys(viewer, {key: getattr(shown, method) for key, (_, method) in PUZZLE_KEYS.items()})
        shown.say(key_lines(PUZZLE_KEYS))

    return _open(
        fill,
        lambda: draw_picture(volumes, batch, scan, prediction, spacing),
        lambda trouble: browser_view(trouble, volumes, batch, scan, prediction),
    )


def open_scan(
    image: str | Path, labels: str | Path | None = None, prediction: str | Path | None = None
) -> Any:
    """Show a raw scan with its labels and a prediction over it, in the best way that works.

    Args:
        image: NIfTI file of the scan.
        labels: NIfTI file of a label map, which is filled.
        prediction: NIfTI file of a network's, which is an outline; beside labels, its errors are a
            layer of their own.

    Returns:
        As :func:`open_puzzle`; in the browser, :func:`ssl3d_lite.show.scan_slices`.

    Raises:
        InputError: a file cannot be read, or a map does not lie over the scan.

    Example::

        open_scan("new_scans/ann.nii.gz", prediction="predictions/ann.nii.gz")
    """
    files = read_scan_files(image, labels, prediction)
    return _open(
        lambda viewer: add_scan_files(viewer, files),
        lambda: _picture_of("scan", image, labels or "", prediction or ""),
        lambda trouble: browser_scan(trouble, image, prediction or labels),
    )


def add_scan_files(viewer: Viewer, files: ScanFiles) -> list[Layer]:
    """Show what :func:`read_scan_files` read, in the world of its header."""
    # napari says so at every slice of an oblique scan; all layers are drawn on the one grid
    warnings.filterwarnings("ignore", "Non-orthogonal slicing is being requested")
    answer, affine = files.prediction, files.affine
    return add_scan(viewer, files.volume, files.labels, prediction=answer, affine=affine)


def _open(
    fill: Callable[[Viewer], Any],
    draw: Callable[[], tuple[bytes | None, str]],
    otherwise: Callable[[str], Any],
) -> Any:
    """A window that is filled; without a display a picture; and otherwise what the browser shows,
    which is told the trouble."""
    missing = missing_package()
    trouble = missing or display_trouble()
    if trouble is None:
        import napari

        viewer = napari.Viewer(title="ssl3d_lite")
        fill(viewer)
        return viewer
    if missing is None and shutil.which("Xvfb"):
        picture, failure = draw()
        if picture is not None:
            from IPython.display import Image

            print(f"{trouble}: a picture of napari instead, made with Xvfb")
            return Image(data=picture)
        trouble = f"{trouble}, and napari failed under Xvfb ({failure})"
    return otherwise(trouble)


def browser_scan(trouble: str, image: str | Path, labels: str | Path | None) -> Any:
    """What is shown of a scan instead of napari: the browser's view."""
    try:
        from ssl3d_lite.show.browser.slices import scan_slices
    except ImportError:
        raise InputError(f"{trouble}, and the notebooks' widgets are not installed") from None
    print(f"{trouble}: the browser's view instead")
    return scan_slices(image, labels)


def browser_view(
    trouble: str, volumes: Tensor, batch: ProxyBatch, scan: int, prediction: PuzzlePrediction | None
) -> Any:
    """What is shown instead of napari: the browser's view of a 3D scan, or a figure."""
    if volumes.ndim == 5:
        try:
            from ssl3d_lite.show.browser.puzzle3d import Puzzle3D
        except ImportError:
            trouble += ", and the notebooks' widgets are not installed"
        else:
            print(f"{trouble}: the browser's view instead")
            if isinstance(prediction, np.ndarray):
                prediction = torch.from_numpy(prediction)
            return Puzzle3D(volumes, batch, scan, prediction=prediction)
    from ssl3d_lite.show.figures.puzzle import puzzle

    print(f"{trouble}: a figure instead")
    return puzzle(volumes, batch, scan)


def draw_picture(
    volumes: Tensor,
    batch: ProxyBatch,
    scan: int = 0,
    prediction: PuzzlePrediction | None = None,
    spacing: Sequence[float] | None = None,
) -> tuple[bytes | None, str]:
    """A PNG of a puzzle in napari, drawn under Xvfb in another process; or None and what failed."""
    batch, prediction = one_scan(batch, scan, prediction)
    names = ("grid", "direction", "rows_seen", "orders")
    kept = {
        "volumes": volumes[scan : scan + 1].cpu().contiguous(),
        "views": batch.views.cpu().contiguous(),
        "target": batch.target.cpu().contiguous(),
        "matrix": batch.placement.matrix.cpu().contiguous(),
        "placement": {name: getattr(batch.placement, name) for name in names},
        "words": {
            "question": batch.question,
            "answers": batch.answers,
            "asked_from": batch.asked_from,
        },
        "prediction": None if prediction is None else torch.as_tensor(as_numpy(prediction)),
        "spacing": None if spacing is None else tuple(map(float, spacing)),
    }
    with tempfile.TemporaryDirectory() as folder:
        puzzle = Path(folder) / "puzzle.pt"
        torch.save(kept, puzzle)
        return _picture_of("puzzle", puzzle)


def one_scan(
    batch: ProxyBatch, scan: int, prediction: PuzzlePrediction | None
) -> tuple[ProxyBatch, PuzzlePrediction | None]:
    """The part of a batch, and of its prediction, that one scan is drawn from."""
    views, target, start = batch.views.shape[1], batch.target, batch.asked_from
    guess = None if prediction is None else as_numpy(prediction)
    if start is not None:  # views are numbered through all scans
        asked = start // views == scan
        target, start = target[asked] - scan * views, start[asked] - scan * views
        if guess is not None:
            guess = (guess.ravel()[as_numpy(asked)] if guess.size > 1 else guess) - scan * views
    elif target.ndim > 1:
        target = target[scan : scan + 1]
    placement = replace(batch.placement, matrix=batch.placement.matrix[scan : scan + 1])
    own = batch.views[scan : scan + 1]
    part = replace(batch, views=own, target=target, placement=placement, asked_from=start)
    return part, guess


def _picture_of(kind: str, *files: str | Path) -> tuple[bytes | None, str]:
    """A PNG of what is in some files, drawn in another process; or None and what failed."""
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "picture.png"
        paths = [str(Path(file).resolve()) if file else "" for file in files]
        try:
            command = ["-m", __name__, kind, str(picture), *paths]
            failure = run_under_xvfb(command, Path(folder))
        except InputError as reason:
            failure = str(reason)
        return (picture.read_bytes(), "") if picture.exists() else (None, failure or "no picture")


# ---- in the other process ----------------------------------------------------------------------


def draw_kept_puzzle(picture: str, puzzle: str) -> None:
    """Draw the puzzle that is kept in a file."""
    kept = torch.load(puzzle, weights_only=True)
    placement = Placement(kept["matrix"], **kept["placement"])
    batch = ProxyBatch(kept["views"], kept["target"], placement, **kept["words"])
    viewer = _window()
    own = {name: kept[name] for name in ("prediction", "spacing")}
    shown = add_puzzle(viewer, kept["volumes"], batch, **own)
    shown.spread()
    if kept["volumes"].ndim == 5:
        stand_in_3d(viewer)
    else:
        viewer.reset_view()
    _save_picture(viewer, picture)


def draw_scan(picture: str, image: str, labels: str = "", prediction: str = "") -> None:
    """Draw a scan and its maps: their axial plane in the middle."""
    viewer = _window()
    add_scan_files(viewer, read_scan_files(image, labels or None, prediction or None))
    viewer.reset_view()
    _save_picture(viewer, picture)


def _window() -> Viewer:
    import napari
    from qtpy.QtWidgets import QApplication

    viewer = napari.Viewer(show=True)  # what is not shown is drawn black
    viewer.window.resize(*WINDOW)
    QApplication.processEvents()  # the picture gets its size, which the camera looks at
    return viewer


def _save_picture(viewer: Viewer, picture: str) -> None:
    from PIL import Image

    shot = viewer.screenshot(canvas_only=True, flash=False)
    viewer.close()
    if shot[..., :3].max() == shot[..., :3].min():
        raise SystemExit("the picture is empty")
    Image.fromarray(shot[..., :3]).save(picture)


if __name__ == "__main__":
    drawn: dict[str, Callable[..., None]] = {"puzzle": draw_kept_puzzle, "scan": draw_scan}
    drawn[sys.argv[1]](*sys.argv[2:])

"""Opens a puzzle in napari; without a display, as a picture or in the browser.

Where there is no display, Qt ends the whole process, and nothing can catch that. So the display
is tried in a process of its own first, and a picture is made in another.
"""

import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.arrays import as_numpy
from ssl3d_lite.tasks import Placement, ProxyBatch

from .display import display_trouble, missing_package, run_under_xvfb
from .layers import stand_in_3d
from .puzzle import PuzzlePrediction, add_puzzle

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
    missing = missing_package()
    trouble = missing or display_trouble()
    if trouble is None:
        import napari

        viewer = napari.Viewer(title="ssl3d_lite")
        add_puzzle(viewer, volumes, batch, scan, prediction=prediction, spacing=spacing)
        return viewer
    if missing is None and shutil.which("Xvfb"):
        picture, failure = draw_picture(volumes, batch, scan, prediction, spacing)
        if picture is not None:
            from IPython.display import Image

            print(f"{trouble}: a picture of napari instead, made with Xvfb")
            return Image(data=picture)
        trouble = f"{trouble}, and napari failed under Xvfb ({failure})"
    return browser_view(trouble, volumes, batch, scan, prediction)


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
    target = batch.target[scan : scan + 1] if batch.target.ndim > 1 else batch.target
    kept = {
        "volumes": volumes[scan : scan + 1].cpu().contiguous(),
        "views": batch.views[scan : scan + 1].cpu().contiguous(),
        "target": target.cpu().contiguous(),
        "matrix": batch.placement.matrix[scan : scan + 1].cpu().contiguous(),
        "grid": batch.placement.grid,
        "prediction": None if prediction is None else torch.as_tensor(as_numpy(prediction)),
        "spacing": None if spacing is None else tuple(map(float, spacing)),
    }
    with tempfile.TemporaryDirectory() as folder:
        puzzle, picture = Path(folder) / "puzzle.pt", Path(folder) / "picture.png"
        torch.save(kept, puzzle)
        try:
            failure = run_under_xvfb(["-m", __name__, str(puzzle), str(picture)], Path(folder))
        except InputError as reason:
            failure = str(reason)
        return (picture.read_bytes(), "") if picture.exists() else (None, failure or "no picture")


def draw_kept_puzzle(puzzle: str, picture: str) -> None:
    """Draw the puzzle that is kept in one file into another; this runs in the other process."""
    import napari
    from PIL import Image
    from qtpy.QtWidgets import QApplication

    kept = torch.load(puzzle, weights_only=True)
    placement = Placement(kept["matrix"], tuple(kept["grid"]))
    batch = ProxyBatch(kept["views"], kept["target"], placement)
    viewer = napari.Viewer(show=True)  # what is not shown is drawn black
    viewer.window.resize(*WINDOW)
    QApplication.processEvents()  # the picture gets its size, which the camera looks at
    own = {name: kept[name] for name in ("prediction", "spacing")}
    shown = add_puzzle(viewer, kept["volumes"], batch, **own)
    shown.spread()
    if kept["volumes"].ndim == 5:
        stand_in_3d(viewer)
    else:
        viewer.reset_view()
    shot = viewer.screenshot(canvas_only=True, flash=False)
    viewer.close()
    if shot[..., :3].max() == shot[..., :3].min():
        raise SystemExit("the picture is empty")
    Image.fromarray(shot[..., :3]).save(picture)


if __name__ == "__main__":
    draw_kept_puzzle(*sys.argv[1:])

"""Puzzles in napari, for those with a display; without one, a picture or the browser's view.

``add_scan`` and ``add_puzzle`` put layers on a viewer, ``open_puzzle`` opens one, ``review`` goes
through many puzzles and notes bad patches.

Where there is no display, Qt ends the whole process, and nothing can catch that. So the display
is tried in a process of its own first, and a picture is made in another.
"""

import importlib
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..tasks import Placement, ProxyBatch
from .napari_layers import add_scan, as_numpy, stand_in_3d
from .napari_puzzle import Guess, PuzzleLayers, add_puzzle
from .napari_review import Review, review

INSTALL = "python -m pip install 'ssl3d-lite[napari]'"
QT = ("PyQt6", "PySide6", "PyQt5", "PySide2")
WINDOW = (1360, 980)  # pixels, of which the picture is the part beside napari's controls
PATIENCE = 300  # s: a slow machine draws by its processor
TRY_DISPLAY = """
from qtpy.QtGui import QOffscreenSurface, QOpenGLContext
from qtpy.QtWidgets import QApplication
app, surface, context = QApplication([]), QOffscreenSurface(), QOpenGLContext()
surface.create()
if not (context.create() and context.makeCurrent(surface)):
    raise SystemExit("it has no OpenGL")
"""


def open_puzzle(
    volumes: Tensor,
    batch: ProxyBatch,
    scan: int = 0,
    *,
    guess: Guess | None = None,
    spacing: Sequence[float] | None = None,
) -> Any:
    """Show a puzzle in the best way that there is here; the arguments are those of ``add_puzzle``.

    Returns:
        With a display, a ``napari.Viewer``. Without one, a picture (``IPython.display.Image``),
        drawn on a display in memory if Xvfb is installed; else the browser's view of it. A line is
        printed that says why.
    """
    missing = missing_package()
    trouble = missing or display_trouble()
    if trouble is None:
        import napari

        viewer = napari.Viewer(title="ssl3d_lite")
        add_puzzle(viewer, volumes, batch, scan, guess=guess, spacing=spacing)
        return viewer
    if missing is None and shutil.which("Xvfb"):
        picture, fault = draw_picture(volumes, batch, scan, guess, spacing)
        if picture is not None:
            from IPython.display import Image

            print(f"{trouble}: a picture of napari instead, made with Xvfb")
            return Image(data=picture)
        trouble = f"{trouble}, and napari failed under Xvfb ({fault})"
    return browser_view(trouble, volumes, batch, scan, guess)


def browser_view(
    trouble: str, volumes: Tensor, batch: ProxyBatch, scan: int, guess: Guess | None
) -> Any:
    """What is shown in napari's stead: of a 3D scan the browser's view, else a figure."""
    if volumes.ndim == 5:
        try:
            view = importlib.import_module(".volume", __package__).Puzzle3D
        except ImportError:
            trouble += ", and the notebooks' widgets are not installed"
        else:
            print(f"{trouble}: the browser's view instead")
            return view(volumes, batch, scan, guess=guess)
    from .figures import puzzle

    print(f"{trouble}: a figure instead")
    return puzzle(volumes, batch, scan)


# ---- is there a display? -----------------------------------------------------------------------


def missing_package() -> str | None:
    """Which package napari cannot do without is not installed, in words; None if all are."""
    if find_spec("napari") is None:
        return f"napari is not installed ({INSTALL})"
    if find_spec("qtpy") is None or not any(map(find_spec, QT)):
        return f"napari has no Qt to draw with ({INSTALL})"
    return None


def display_trouble() -> str | None:
    """Why no window can be opened here, in words; None if one can."""
    names = ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM")
    return _display_trouble(*map(os.environ.get, names))


@cache
def _display_trouble(display: str | None, wayland: str | None, platform: str | None) -> str | None:
    if sys.platform.startswith("linux") and not (display or wayland):
        return "no display (DISPLAY is not set)"
    try:
        tried = subprocess.run(
            [sys.executable, "-c", TRY_DISPLAY], capture_output=True, text=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return f"the display {display or wayland} does not answer"
    if tried.returncode == 0:
        return None
    said = [line for line in tried.stderr.splitlines() if line.strip()] or ["Qt gave up"]
    return f"the display {display or wayland or ''} cannot be used ({said[0].strip()})"


def require_window() -> None:
    """Raise InputError unless a napari window can be opened."""
    trouble = missing_package() or display_trouble()
    if trouble:
        raise InputError(
            f"{trouble}; run this where there is one, or see puzzles in the browser: "
            "ssl3d_lite.show.volume.Puzzle3D"
        )


# ---- a picture where there is none -------------------------------------------------------------


@contextmanager
def xvfb(screen: str = "1400x1024x24") -> Iterator[str]:
    """A display in memory, as long as it is needed: gives its name, such as ":99".

    Raises:
        InputError: it does not start.
    """
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", screen, "-nolisten", "tcp"]
    # should this process be killed, -terminate ends the server with its last client
    server = subprocess.Popen(
        [*command, "-terminate"],
        pass_fds=(write,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(write)
    try:
        ready = select.select([read], [], [], 60)[0]
        number = os.read(read, 16).decode().strip() if ready else ""
        if not number:
            raise InputError("Xvfb did not start")
        yield f":{number}"
    finally:
        os.close(read)
        server.terminate()
        server.wait()


def draw_picture(
    volumes: Tensor,
    batch: ProxyBatch,
    scan: int = 0,
    guess: Guess | None = None,
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
        "guess": None if guess is None else torch.as_tensor(as_numpy(guess)),
        "spacing": None if spacing is None else tuple(map(float, spacing)),
    }
    with tempfile.TemporaryDirectory() as folder:
        puzzle, picture = Path(folder) / "puzzle.pt", Path(folder) / "picture.png"
        torch.save(kept, puzzle)
        try:
            fault = run_under_xvfb(["-m", __name__, str(puzzle), str(picture)], Path(folder))
        except InputError as reason:
            fault = str(reason)
        return (picture.read_bytes(), "") if picture.exists() else (None, fault or "no picture")


def run_under_xvfb(arguments: Sequence[str], folder: Path) -> str:
    """Run Python with a display in memory; napari's settings are kept in ``folder``, so that the
    user's do not matter. Returns what failed, in a line; "" if nothing."""
    root = str(Path(__file__).parents[2])
    with xvfb() as display:
        own = {
            "DISPLAY": display,
            "QT_QPA_PLATFORM": "xcb",
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "NAPARI_CONFIG": str(folder / "napari.yaml"),
            "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]).strip(":"),
        }
        environment = {k: v for k, v in os.environ.items() if k != "WAYLAND_DISPLAY"} | own
        try:
            done = subprocess.run(
                [sys.executable, *arguments],
                env=environment,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired:
            return f"it took more than {PATIENCE} s"
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]


def main(puzzle: str, picture: str) -> None:
    """In the other process: draw the puzzle that is kept in one file into the other."""
    import napari
    from PIL import Image
    from qtpy.QtWidgets import QApplication

    kept = torch.load(puzzle, weights_only=True)
    placement = Placement(kept["matrix"], tuple(kept["grid"]))
    batch = ProxyBatch(kept["views"], kept["target"], placement)
    viewer = napari.Viewer(show=True)  # what is not shown is drawn black
    viewer.window.resize(*WINDOW)
    QApplication.processEvents()  # the picture gets its size, which the camera looks at
    shown = add_puzzle(viewer, kept["volumes"], batch, guess=kept["guess"], spacing=kept["spacing"])
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


__all__ = [
    "PuzzleLayers",
    "Review",
    "add_puzzle",
    "add_scan",
    "open_puzzle",
    "review",
]

if __name__ == "__main__":
    main(*sys.argv[1:])

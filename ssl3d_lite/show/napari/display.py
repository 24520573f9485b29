"""Whether napari can open a window here, and a display in memory where it cannot."""

import os
import select
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from ssl3d_lite.errors import InputError

INSTALL = "pip install -e .[napari]"
QT = ("PyQt6", "PySide6", "PyQt5", "PySide2")
DISPLAY_TIMEOUT = 300  # s; a machine without a graphics card draws slowly
TRY_DISPLAY = """
from qtpy.QtGui import QOffscreenSurface, QOpenGLContext
from qtpy.QtWidgets import QApplication
app, surface, context = QApplication([]), QOffscreenSurface(), QOpenGLContext()
surface.create()
if not (context.create() and context.makeCurrent(surface)):
    raise SystemExit("it has no OpenGL")
"""


# ---- is there a display? -----------------------------------------------------------------------


def missing_package() -> str | None:
    """Why napari cannot be imported here, in words; None if all that it needs is installed."""
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
            [sys.executable, "-c", TRY_DISPLAY],
            capture_output=True,
            text=True,
            timeout=DISPLAY_TIMEOUT,
        )
    except subprocess.TimeoutExpired:
        return f"the display {display or wayland} does not answer"
    if tried.returncode == 0:
        return None
    said = [line for line in tried.stderr.splitlines() if line.strip()] or ["Qt gave up"]
    return f"the display {display or wayland or ''} cannot be used ({said[0].strip()})"


def require_window(instead: str = "see puzzles in the browser: ssl3d_lite.show.Puzzle3D") -> None:
    """Raise InputError unless a napari window can be opened; says what else can be done."""
    trouble = missing_package() or display_trouble()
    if trouble:
        raise InputError(f"{trouble}; run this where there is one, or {instead}")


# ---- a picture where there is none -------------------------------------------------------------


@contextmanager
def xvfb(screen: str = "1400x1024x24") -> Iterator[str]:
    """A display in memory, which ends with the block; gives its name, such as ":99".

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


def run_under_xvfb(arguments: Sequence[str], folder: Path) -> str:
    """Run Python with a display in memory.

    Args:
        arguments: arguments of the Python command.
        folder: where napari keeps its settings, so that the user's have no influence.

    Returns:
        What failed, in a line; "" if nothing did.
    """
    root = str(Path(__file__).parents[3])
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
                timeout=DISPLAY_TIMEOUT,
            )
        except subprocess.TimeoutExpired:
            return f"it took more than {DISPLAY_TIMEOUT} s"
    if done.returncode == 0:
        return ""
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]

"""``ssl3d show SCAN.nii.gz``: a raw scan, its labels and a prediction, in a window of napari."""

from dataclasses import dataclass
from pathlib import Path

from ssl3d_lite.settings import CheckedSettings, Positional
from ssl3d_lite.show.scan_files import read_scan_files

from .display import require_window
from .open import open_scan


@dataclass(frozen=True)
class ScanWindow(CheckedSettings):
    """Opens a raw scan in napari, with its labels and a prediction over it. Of a prediction beside
    labels, a layer "errors" shows what is missed, too much, or of the wrong class."""

    scan: Positional[Path]
    """NIfTI file of the scan."""

    labels: Path | None = None
    """NIfTI file of a label map, drawn filled."""

    prediction: Path | None = None
    """NIfTI file of a network's answer, drawn as an outline."""


def scan_window(settings: ScanWindow) -> None:
    """Open the window, and wait until it is closed.

    Raises:
        InputError: a file cannot be read, a map does not lie over the scan, or no display.
    """
    files = (settings.scan, settings.labels, settings.prediction)
    read_scan_files(*files)  # complains sooner than a window opens
    require_window("see it in a notebook: ssl3d_lite.show.scan_slices(SCAN, LABELS)")
    open_scan(*files)
    import napari

    napari.run()

"""``ssl3d show SCAN.nii.gz``: a raw scan, and a label map over it, in a window of napari."""

from dataclasses import dataclass
from pathlib import Path

from ssl3d_lite.settings import CheckedSettings, Positional
from ssl3d_lite.show.scan_files import read_scan_files

from .display import require_window
from .open import open_scan


@dataclass(frozen=True)
class ScanWindow(CheckedSettings):
    """Opens a raw scan in napari, with a label map over it, such as its prediction."""

    scan: Positional[Path]
    """NIfTI file of the scan."""

    labels: Path | None = None
    """NIfTI file of the label map."""


def scan_window(settings: ScanWindow) -> None:
    """Open the window, and wait until it is closed.

    Raises:
        InputError: a file cannot be read, the map does not lie over the scan, or no display.
    """
    read_scan_files(settings.scan, settings.labels)  # complains sooner than a window opens
    require_window("see it in a notebook: ssl3d_lite.show.scan_slices(SCAN, LABELS)")
    open_scan(settings.scan, settings.labels)
    import napari

    napari.run()

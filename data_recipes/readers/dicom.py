"""Read a DICOM series as one volume, with the checks of highdicom: a regular stack or nothing."""

import warnings
from pathlib import Path

import numpy as np

from ssl3d_lite.errors import InputError
from ssl3d_lite.files import files_below

from .nifti import Scan


def dicom_folders(raw: Path) -> list[Path]:
    """``raw`` and all folders below it that hold a DICOM file; no file is read but for its mark."""
    return sorted({path.parent for path in files_below(raw) if _is_dicom(path)})


def _is_dicom(path: Path) -> bool:
    if path.name == "DICOMDIR":  # a table of contents
        return False
    try:
        with open(path, "rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def read_series(folder: Path) -> Scan:
    """Read the one series in ``folder``: values, float32 (x, y, z), in HU for CT, and the affine.

    Raises:
        InputError: none or several series there; a slice is missing, damaged or out of line; slices
            unevenly spaced; highdicom is not installed.
    """
    highdicom, pydicom = _import("highdicom"), _import("pydicom")
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    paths = [path for path in files if _is_dicom(path)]
    for path in set(files) - set(paths):
        if path.suffix.lower() in (".dcm", ".ima"):  # a slice, and not litter
            raise InputError(f"{path} is damaged, copy it again")
    if len(paths) < 2:
        raise InputError(f"{folder} holds {len(paths)} DICOM files, where a stack is wanted")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # values that break the standard without harm
            slices = [pydicom.dcmread(path) for path in paths]
            series = {str(each.get("SeriesInstanceUID", "")) for each in slices}
            if len(series) != 1:
                raise InputError(f"it holds {len(series)} series; give each a folder of its own")
            image = highdicom.get_volume_from_series(
                slices,
                dtype=np.float32,
                apply_presentation_lut=False,  # which inverts numbers before they become HU
            ).to_nibabel()
    except Exception as reason:  # as many kinds as there are ways to break the standard
        why = " ".join(str(reason).split()) or type(reason).__name__
        raise InputError(f"{folder} is no regular stack of slices: {why}") from None
    return np.asarray(image.dataobj), image.affine


def _import(name: str):
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise InputError("reading DICOM needs highdicom: pip install -e .[data]") from None

"""Read a DICOM series as one volume, with the checks of highdicom: a regular stack or nothing."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ssl3d_lite.errors import InputError

from .dicom_series import SLICE_ENDINGS, is_dicom, quiet, require
from .nifti import Scan

PERSON = 0x0010  # group of the elements that say who it is
UNEVEN = 0.01  # share of the distance between slices by which rounding may change it


def read_series(folder: Path, paths: Sequence[Path] | None = None) -> Scan:
    """Read the one series in ``folder``: values, float32 (x, y, z), in HU for CT, and the affine.

    Args:
        paths: its files, where the folder holds others too.

    Raises:
        InputError: none or several series there; a slice is missing, damaged or out of line; slices
            unevenly spaced; highdicom is not installed.
    """
    highdicom = require("highdicom")
    if paths is None:
        files = [path for path in sorted(folder.iterdir()) if path.is_file()]
        paths = [path for path in files if path.name != "DICOMDIR" and is_dicom(path)]
        for path in set(files) - set(paths):
            if path.suffix.lower() in SLICE_ENDINGS:  # a slice, and not litter
                raise InputError(f"{path} is damaged, copy it again")
    try:
        with quiet():
            slices = [_read_slice(path) for path in paths]
            if len({str(each.get("SeriesInstanceUID", "")) for each in slices}) > 1:
                raise InputError("it holds several series")
            if len(slices) == 1 and slices[0].get("NumberOfFrames", 1) > 1:
                stack = highdicom.Image.from_dataset(slices[0], copy=False).get_volume
            else:
                _check_stack(slices)
                stack = partial(highdicom.get_volume_from_series, slices)
            # a presentation LUT would invert numbers before they become HU
            image = stack(dtype=np.float32, apply_presentation_lut=False).to_nibabel()
    except Exception as reason:  # as many kinds as there are ways to break the standard
        why = " ".join(str(reason).split()) or type(reason).__name__
        raise InputError(f"{folder} is no regular stack of slices: {why}") from None
    return np.asarray(image.dataobj), image.affine


def _read_slice(path: Path) -> Any:
    """A file as pydicom's data set, without what it says of a person: no complaint can quote it."""
    pydicom = require("pydicom")
    data = pydicom.dcmread(path, force=True)
    if "TransferSyntaxUID" not in data.file_meta:  # the file has no mark: it is as it was read
        implicit, little = data.original_encoding
        plain = pydicom.uid.ExplicitVRLittleEndian if little else pydicom.uid.ExplicitVRBigEndian
        data.file_meta.TransferSyntaxUID = pydicom.uid.ImplicitVRLittleEndian if implicit else plain
    tags = list(data.keys())  # elements whose values are not read yet
    for tag in tags:
        if tag.group == PERSON:
            del data[tag]
    return data


def _check_stack(slices: Sequence[Any]) -> None:
    """See that slices lie one above the other at even distances, and say what is wrong if not.

    highdicom checks this too, but gives no reason, and lets a tilt of two degrees pass.
    """
    if len(slices) < 2:
        raise InputError(f"{len(slices)} slices, where a stack is wanted")
    first = slices[0]
    row, column = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
    if any(each.ImageOrientationPatient != first.ImageOrientationPatient for each in slices):
        raise InputError("its slices do not have the same orientation, such as those of localizers")
    normal = np.cross(row, column)
    places = np.array([each.ImagePositionPatient for each in slices], float)
    heights = places @ normal
    gaps = np.diff(np.sort(heights))
    if same := np.count_nonzero(gaps <= UNEVEN * gaps.max()):
        raise InputError(
            f"{same} of {len(slices)} slices lie where others do: several acquisitions, or copies"
        )
    if abs(gaps - gaps.mean()).max() > UNEVEN * gaps.mean():
        raise InputError(
            f"its slices lie {gaps.min():g} to {gaps.max():g} mm apart; one is missing, if not more"
        )
    across = places - np.outer(heights, normal)
    if np.ptp(across, axis=0).max() > min(map(float, first.PixelSpacing)) / 2:
        raise InputError("its slices are shifted against each other, as by a tilted gantry")

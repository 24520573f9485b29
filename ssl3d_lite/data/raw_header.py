"""Where a raw scan lies in the world, in NIfTI's own words: both its forms, exactly as they were.

A NIfTI header places its voxels twice, by a quaternion (qform) and by a matrix (sform), and viewers
disagree about which counts: nibabel believes the sform first, ITK the qform unless the sform's code
is 1. What is laid over a scan therefore keeps both, with their codes and the units.
"""

from collections.abc import Sequence
from typing import Any

import nibabel
import numpy as np

from ssl3d_lite.errors import InputError

from .case import RawHeader

NIFTI_KINDS = {348: nibabel.Nifti1Image, 540: nibabel.Nifti2Image}  # by their headers' length
FORMS = {
    "qform_code": ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z"),
    "sform_code": ("srow_x", "srow_y", "srow_z"),
}
MM = {1: 1000.0, 2: 1.0, 3: 0.001}  # code of a unit of length (metre, mm, micron) → mm
SCANNER = 1  # the code of a form that leads to the scanner's own coordinates


def raw_header(header: nibabel.Nifti1Header) -> RawHeader:
    """The fields of ``header`` that place its voxels. A form with NaN in it places none: left out.

    Example::

        raw_header(nibabel.load("ann.nii.gz").header)["qform_code"]  # 1
    """
    record: RawHeader = {"sizeof_hdr": int(header["sizeof_hdr"])}
    record["xyzt_units"] = int(header["xyzt_units"])
    record["pixdim"] = _finite(header["pixdim"][:4])  # later axes are none of a label map's
    for code, names in FORMS.items():
        sound = all(np.isfinite(header[name]).all() for name in names)
        record[code] = int(header[code]) if sound else 0
        record |= {name: _finite(header[name]) for name in names}
    return record


def mm_of_unit(xyzt_units: int) -> float | None:
    """How many mm the numbers of a header count in, by its field of units; None if it says none.

    Most files that say none are in mm, as the program that wrote them took no thought of it; but
    some are in metres, or in voxels, and a distance in mm would be invented.
    """
    return MM.get(xyzt_units & 7)  # the other bits are the unit of time


def scanner_header(affine: np.ndarray) -> RawHeader:
    """The same for voxels that ``affine`` (4, 4) places in a scanner, in mm, as DICOM does."""
    header = nibabel.Nifti1Header()
    header.set_qform(affine, SCANNER)
    header.set_sform(affine, SCANNER)
    header.set_xyzt_units("mm")
    return raw_header(header)


def image_over_raw(
    voxels: np.ndarray, affine: Sequence[Sequence[float]], record: RawHeader
) -> nibabel.Nifti1Image:
    """A label map, uint8 (x, y, z), or other voxels as a NIfTI image that lies over the raw scan.

    Args:
        affine: raw voxel → world, (4, 4), in mm if the record states a unit.
        record: what :func:`raw_header` gave; {} of a cohort that was prepared before it was kept.

    Raises:
        InputError: the record is damaged.
    """
    place = np.array(affine, float)
    if not record:
        return nibabel.Nifti1Image(voxels, place)
    try:
        kind = NIFTI_KINDS[record["sizeof_hdr"]]
        header = kind.header_class()
        header["pixdim"][:4] = record["pixdim"]
        place[:3] /= mm_of_unit(record["xyzt_units"]) or 1
        for name in ("xyzt_units", *FORMS, *(n for names in FORMS.values() for n in names)):
            header[name] = record[name]
    except (KeyError, TypeError, ValueError, OverflowError) as reason:
        raise InputError(
            f"the record of a raw scan's header is damaged ({reason}); prepare the cohort again"
        ) from None
    return kind(voxels, place, header, dtype=voxels.dtype)


def _finite(values: Any) -> Any:
    values = np.asarray(values, float)
    return np.where(np.isfinite(values), values, 0).tolist()

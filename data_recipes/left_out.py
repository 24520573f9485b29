"""Files among the scans that are none to read, each with its reason: label maps, other formats.

A label map is told by its name and its values together. A scan may have few values too, and a
folder any name.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from data_recipes.readers.nifti import LABEL_NOISE, LABEL_VALUES, NIFTI_ENDING, read_nifti
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import files_below
from ssl3d_lite.machine.parallel import Workforce, for_each

# a word of a file's or a folder's name, such as labelsTr, p01_seg, segmentation-0, ann_dseg
LABEL_WORD = re.compile(
    r"(label(s|map|maps)?|masks?|[ad]?segs?|segm|probseg|segmentations?|gt|(ground)?truth|rois?|"
    r"annotations?)(tr|ts|val)?\d*",
    re.IGNORECASE,
)
SEPARATORS = re.compile(r"[^A-Za-z0-9]+")
LABEL_MAP = "is a label map or a mask by its name and values, and no scan"

_CONVERT = "is of a format that is not read; convert it to NIfTI (.nii.gz)"
_PACKED = "is an archive, which is not opened; unpack it"
OTHER_FORMATS = {  # ending → reason
    **dict.fromkeys((".mgz", ".mgh"), f"{_CONVERT} with FreeSurfer's mri_convert"),
    **dict.fromkeys((".nrrd", ".nhdr", ".mha", ".mhd", ".mnc", ".gipl"), _CONVERT),
    **dict.fromkeys((".hdr", ".img", ".hdr.gz", ".img.gz"), f"{_CONVERT}, one file a scan"),
    **dict.fromkeys((".zip", ".tar", ".tar.gz", ".tgz", ".7z", ".rar"), _PACKED),
    **dict.fromkeys((".bz2", ".xz", ".zst"), _PACKED),
}


def find_left_out(
    raw: Path, labels: Path | None, scans: Iterable[Path], channels: Sequence[str], work: Workforce
) -> dict[Path, str]:
    """What lies below ``raw`` and looks like a scan, but is none to read → the reason.

    Args:
        labels: folder of label maps, which may be of other formats too.
        scans: the NIfTI files below ``raw``; those that say they are labels are looked into.
        channels: endings of names that are asked for, also if they say label.
    """
    wanted = tuple(channel for channel in channels if says_label(channel))
    suspects = [
        path
        for path in scans
        if says_label(path.relative_to(raw.parent).as_posix())
        and not (wanted and NIFTI_ENDING.sub("", path.name).endswith(wanted))
    ]
    maps = for_each(_if_label_map, suspects, work, "label maps?")
    files = [path for folder in (raw, labels) if folder for path in files_below(folder)]
    others = {path: reason for path in files if (reason := other_format(path))}
    return dict.fromkeys(sorted(path for path in maps if path), LABEL_MAP) | others


def says_label(name: str) -> bool:
    """Whether a word of a path, or of a name alone, says label."""
    words = SEPARATORS.split(NIFTI_ENDING.sub("", name))
    return any(LABEL_WORD.fullmatch(word) for word in words)


def other_format(path: Path) -> str:
    """Why a file that may hold a scan, by its ending, is not read; "" for all others."""
    name = path.name.lower()
    return next((why for ending, why in OTHER_FORMATS.items() if name.endswith(ending)), "")


def _if_label_map(path: Path) -> Path | None:
    """The path, if the file holds few whole numbers, or shares from 0 to 1 alone."""
    try:
        data, _ = read_nifti(path)
    except InputError:  # which it is refused for as a scan
        return None
    low, high = data.min(), data.max()
    whole = not (abs(data - np.rint(data)) > LABEL_NOISE).any()
    few = whole and high - low < 2**16 and len(np.unique(np.rint(data))) < len(LABEL_VALUES)
    return path if few or 0 <= low <= high <= 1 else None

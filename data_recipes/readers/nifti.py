"""Read NIfTI files, and refuse what cannot be trusted in one line: which file, and why."""

import gzip
import io
import re
import zlib
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError
from nibabel.wrapstruct import WrapStructError

from ssl3d_lite.data.case import RawHeader
from ssl3d_lite.data.raw_header import NIFTI_KINDS, mm_of_unit, raw_header
from ssl3d_lite.errors import InputError

NIFTI_ENDING = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
TOLERANCE = 0.1  # voxels by which the files of one case may disagree: rounding in their headers

LABEL_VALUES = range(256)  # that a class may have: predictions are written as bytes
LABEL_NOISE = 2e-3  # by which a value may miss a whole number: it went through a float header

LARGEST_SCAN = 2**33  # bytes of a file that is trusted to be a scan
VECTORS = (*range(1004, 1011), 2003, 2004)  # NIfTI's codes, from matrices to colours

# values (x, y, z), and affine (4, 4): voxel → world, mm (or the file's unit, if it states none)
Scan = tuple[np.ndarray, np.ndarray]


def read_nifti(path: Path) -> Scan:
    """Read a file's values, float32 (x, y, z) or (x, y, z, n), and its affine, (4, 4).

    Values are rescaled as the header says. Axes of length 1 after the third are dropped.

    Raises:
        InputError: missing, cut short or no NIfTI; colours, complex numbers or vectors; other than
            3 or 4 axes, or an empty one; NaN or infinite voxels; an affine that places no voxels.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing")
    try:
        content = path.read_bytes()
    except OSError as reason:
        raise InputError(f"{path} cannot be read: {reason.strerror}") from None
    return parse_nifti(content, path)


def parse_nifti(content: bytes, path: Path, largest: int = LARGEST_SCAN) -> Scan:
    """As :func:`read_nifti`, of a file that has been read.

    Args:
        path: what to call it.
        largest: bytes that it may unpack to.
    """
    try:
        image = _open(content, path, largest)
        affine = _in_mm(image.affine, image.header)
        with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite: refused below
            data = np.asanyarray(image.dataobj, dtype=np.float32)
    except (ImageFileError, HeaderDataError, WrapStructError) as reason:
        raise InputError(f"{path} is no readable NIfTI file: {_in_one_line(reason)}") from None
    except (OSError, EOFError, ValueError, TypeError, OverflowError, zlib.error) as reason:
        raise InputError(f"{path} is damaged, copy it again: {_in_one_line(reason)}") from None
    while data.ndim > 3 and data.shape[-1] == 1:
        data = data[..., 0]
    if data.ndim > 3 and (_is_vector(image.header) or data.shape[3] == 1):
        raise InputError(
            f"{path} is a vector image, {data.shape[-1]} numbers a voxel, where one is wanted; "
            "save each as a file of its own"
        )
    if data.ndim not in (3, 4) or data.size == 0:
        raise InputError(f"{path} has shape {data.shape}, where a volume (x, y, z) is wanted")
    if bad := data.size - np.count_nonzero(np.isfinite(data)):
        raise InputError(f"{path} has {bad} NaN or infinite voxels; repair it or leave it out")
    _check_places(path, affine)
    return data, affine


def read_header(path: Path, content: bytes | None = None) -> RawHeader:
    """Where the header of a file, which could be read, places its voxels.

    Args:
        content: the file's, if it is not to be read from ``path``.
    """
    return raw_header(_header(path, content))


def read_grid(path: Path) -> tuple[tuple[int, int, int], np.ndarray]:
    """How many voxels a scan has (x, y, z), and its affine, as :func:`read_nifti` gives it; from
    the header alone.

    Raises:
        InputError: no such header can be read, or it places no voxels.
    """
    try:
        header = _header(path)
        affine, (x, y, z) = _in_mm(header.get_best_affine(), header), header.get_data_shape()[:3]
    except (ImageFileError, HeaderDataError, WrapStructError, OSError, EOFError, ValueError) as why:
        raise InputError(f"{path} has no readable header: {_in_one_line(why)}") from None
    _check_places(path, affine)
    return (x, y, z), affine


def _header(path: Path, content: bytes | None = None) -> nib.Nifti1Header:
    with open(path, "rb") if content is None else io.BytesIO(content) as file:
        unpacked = gzip.GzipFile(fileobj=file) if path.suffix.lower() == ".gz" else file
        start = unpacked.read(max(NIFTI_KINDS))
    header = _kind(start).header_class
    return header(start[: header.sizeof_hdr], check=False)


def _in_mm(affine: np.ndarray, header: nib.Nifti1Header) -> np.ndarray:
    affine = np.array(affine, dtype=float)
    affine[:3] *= mm_of_unit(int(header["xyzt_units"])) or 1  # none stated: as it is
    return affine


def _check_places(path: Path, affine: np.ndarray) -> None:
    if not np.isfinite(affine).all() or np.linalg.matrix_rank(affine[:3, :3]) < 3:
        raise InputError(f"{path} has an affine that places no voxels; repair its header")


def read_images(paths: Sequence[Path]) -> tuple[list[np.ndarray], np.ndarray]:
    """Read the channels of one scan: a list of float32 (x, y, z), and the affine they share.

    Args:
        paths: one a channel. A file with a fourth axis stands there once for each entry of it.

    Raises:
        InputError: as :func:`read_nifti`; grids that differ; a channel that is all one value.
    """
    paths = list(paths)
    first: Scan | None = None
    channels: list[np.ndarray] = []
    for path in dict.fromkeys(paths):
        data, affine = read_nifti(path)
        first = first or (data, affine)
        check_same_grid(path, (data, affine), paths[0], first)
        data = data[..., None] if data.ndim == 3 else data
        if data.shape[3] != paths.count(path):
            raise InputError(f"{path} holds {data.shape[3]} channels, not {paths.count(path)}")
        channels.extend(np.moveaxis(data, 3, 0))
    for path, channel in zip(paths, channels, strict=True):
        if channel.min() == channel.max():
            raise InputError(f"{path} holds nothing but the value {channel.min():g}")
    assert first is not None, "there is one path at least"
    return channels, first[1]


def read_label(path: Path, values: Sequence[int]) -> Scan:
    """Read a label map as classes, uint8 (x, y, z): class k where the file holds ``values[k]``.

    Raises:
        InputError: as :func:`read_label_values`; a value that is not among ``values``.
    """
    data, affine = read_label_values(path)
    class_of = np.zeros(len(LABEL_VALUES), np.uint8)
    class_of[list(values)] = range(len(values))
    strange = sorted(set(np.unique(data).tolist()) - set(values))
    if strange:
        found, known = (", ".join(map(str, some)) for some in (strange[:5], values))
        raise InputError(f"{path} holds {found}, where labels are {known}")
    return class_of[data], affine


def read_label_values(path: Path) -> Scan:
    """Read a label map as it is, uint8 (x, y, z), but for rounding: 0.9999 is 1.

    Raises:
        InputError: as :func:`read_nifti`; a fourth axis; a value that no class can have.
    """
    data, affine = read_nifti(path)
    if data.ndim != 3:
        raise InputError(
            f"{path} has shape {data.shape}, where a label map (x, y, z) is wanted; if each class "
            "has a map of its own in it, join them into one of class numbers"
        )
    whole = np.rint(data)
    if (fraction := abs(data - whole) > LABEL_NOISE).any():
        raise InputError(
            f"{path} holds {_some_values(data[fraction])}, where labels are whole numbers; is it a "
            "map of probabilities, or was it resampled with interpolation?"
        )
    beyond = (whole < LABEL_VALUES[0]) | (whole > LABEL_VALUES[-1])
    if beyond.any():
        raise InputError(
            f"{path} holds {_some_values(whole[beyond])}, where label values go from "
            f"{LABEL_VALUES[0]} to {LABEL_VALUES[-1]}; give its classes other numbers"
        )
    return whole.astype(np.uint8), affine


def _some_values(values: np.ndarray) -> str:
    found = np.unique(values)
    return ", ".join(f"{value:.6g}" for value in found[:5]) + (", ..." if len(found) > 5 else "")


def check_same_grid(path: Path, scan: Scan, other_path: Path, other: Scan) -> None:
    """See that the voxels of two files lie upon one another.

    Raises:
        InputError: shapes differ, or a corner lies more than a tenth of a voxel apart.
    """
    shape, other_shape = scan[0].shape[:3], other[0].shape[:3]
    if shape != other_shape:
        raise InputError(f"{path} has shape {shape}, but {other_path.name} has {other_shape}")
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape) - 1)
    place, other_place = (nib.affines.apply_affine(s[1], corners) for s in (scan, other))
    apart = np.linalg.norm(place - other_place, axis=1).max()
    apart /= nib.affines.voxel_sizes(other[1]).min()  # in voxels, as a unit may not be stated
    if apart > TOLERANCE:
        raise InputError(f"{path} lies {apart:.2f} voxels beside {other_path.name}: affines differ")


def _open(content: bytes, path: Path, largest: int) -> nib.Nifti1Image:
    """As ``nib.load``, which stops short of the checksum at the end of a compressed file."""
    if path.suffix.lower() == ".gz":
        with gzip.open(io.BytesIO(content)) as file:
            content = file.read(largest + 1)
        if len(content) > largest:
            raise InputError(f"{path} unpacks to more than {largest} bytes; leave it out")
    kind = _kind(content)
    _check_voxels(kind.header_class(content[: kind.header_class.sizeof_hdr], check=False))
    image = kind.from_bytes(content)
    wanted = prod(image.shape) * image.get_data_dtype().itemsize
    if wanted > len(content):  # nibabel would ask for the memory first
        what = f"{' x '.join(map(str, image.shape))} voxels take {wanted} bytes"
        raise OSError(f"{what}, it holds {len(content)}")
    return image


def _kind(content: bytes) -> type[nib.Nifti1Image]:
    """NIfTI-1 or NIfTI-2: a file begins with its header's length."""
    for order in ("little", "big"):
        if kind := NIFTI_KINDS.get(int.from_bytes(content[:4], order)):
            return kind
    raise ImageFileError("it does not begin like one" if content else "it is empty")


def _check_voxels(header: nib.Nifti1Header) -> None:
    """Raise ImageFileError unless a voxel is one real number."""
    code = int(header["datatype"])
    known = nib.nifti1.data_type_codes
    kind: Any = known.dtype[code] if code in known.dtype else np.dtype("V0")
    if kind.kind == "c":
        raise ImageFileError("its voxels are complex numbers; save their magnitude")
    if kind.names:
        raise ImageFileError("its voxels are colours (RGB); save one grey value a voxel")
    if not kind.itemsize:
        raise ImageFileError(f"its voxels are of type {code}, which cannot be read; convert it")


def _is_vector(header: nib.Nifti1Header) -> bool:
    """Whether the header says that the numbers of a voxel belong together: a direction, a path."""
    return int(header["intent_code"]) in VECTORS


def _in_one_line(reason: Exception) -> str:
    return " ".join(str(reason).split()) or type(reason).__name__

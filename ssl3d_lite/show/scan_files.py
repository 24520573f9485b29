"""A raw scan and label maps of it, such as a prediction, as they lie in NIfTI files."""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.filebasedimages import ImageFileError
from nibabel.spatialimages import HeaderDataError

from ssl3d_lite.errors import InputError

MOST_APART = 0.1  # voxels by which a map may lie beside its scan: headers round


@dataclass(frozen=True)
class ScanFiles:
    """What the files hold, turned to RAS: views are of a patient who stands upright."""

    volume: np.ndarray  # float32 (x, y, z), or (channel, x, y, z)
    labels: np.ndarray | None  # int32 (x, y, z)
    affine: np.ndarray  # voxel → world, mm, (4, 4)
    prediction: np.ndarray | None = None  # as labels

    @property
    def spacing(self) -> tuple[float, ...]:
        """Edges of a voxel, mm."""
        return tuple(nib.affines.voxel_sizes(self.affine).tolist())


def read_scan_files(
    image: str | Path, labels: str | Path | None = None, prediction: str | Path | None = None
) -> ScanFiles:
    """Read a raw scan, and label maps that lie over it.

    Raises:
        InputError: a file cannot be read; a map does not lie over the scan, or is none.
    """
    scan = _upright(Path(image))
    volume = np.asarray(scan.dataobj, np.float32)
    while volume.ndim > 3 and volume.shape[-1] == 1:
        volume = volume[..., 0]
    if volume.ndim == 4:
        volume = np.moveaxis(volume, -1, 0)
    if volume.ndim not in (3, 4):
        raise InputError(f"{image} has shape {volume.shape}, where a scan (x, y, z) is wanted")
    maps = [
        None if path is None else _classes(Path(path), volume.shape[-3:], scan.affine, Path(image))
        for path in (labels, prediction)
    ]
    return ScanFiles(volume, maps[0], scan.affine, maps[1])


def _classes(path: Path, shape: tuple[int, ...], affine: np.ndarray, image: Path) -> np.ndarray:
    """A label map that lies over a scan: int32 (x, y, z)."""
    classes = _upright(path)
    _check_over(classes, path, shape, affine, image)
    values = np.asarray(classes.dataobj).reshape(classes.shape[:3])
    if not np.array_equal(values, np.rint(values)):
        raise InputError(f"{path} holds values that are not whole, so it is no label map")
    if not 0 <= values.min() <= values.max() <= np.iinfo(np.int32).max:
        raise InputError(
            f"{path} holds values from {values.min():g} to {values.max():g}, so it is no label map"
        )
    return values.astype(np.int32)


def _upright(path: Path) -> Any:
    """A NIfTI image whose axes run right, forward and up. Its voxels are turned, not sampled."""
    try:
        image: Any = nib.load(path)
        if image.get_data_dtype().kind not in "iuf":  # as are the colours that ssl3d features makes
            raise InputError(f"{path} holds colours or complex numbers, not one number a voxel")
        if np.asarray(image.dataobj).size and len(image.shape) >= 3:
            return nib.as_closest_canonical(image)
        raise InputError(f"{path} has shape {image.shape}, where a volume (x, y, z) is wanted")
    except (ImageFileError, HeaderDataError) as reason:
        why = " ".join(str(reason).split())
        raise InputError(f"{path} is no NIfTI file that can be shown: {why}") from None
    except (OSError, EOFError, ValueError, TypeError, zlib.error) as reason:
        raise InputError(f"{path} cannot be read: {' '.join(str(reason).split())}") from None


def _check_over(
    labels: Any, path: Path, shape: tuple[int, ...], affine: np.ndarray, image: Path
) -> None:
    """Raise InputError unless a map's voxels lie upon the scan's."""
    if labels.shape[:3] != shape or int(np.prod(labels.shape[3:])) != 1:
        raise InputError(f"{path} has shape {labels.shape}, but {image.name} has {shape}")
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(shape) - 1)
    places = [nib.affines.apply_affine(each, corners) for each in (labels.affine, affine)]
    apart = np.linalg.norm(places[0] - places[1], axis=1).max()
    if apart > MOST_APART * nib.affines.voxel_sizes(affine).min():
        raise InputError(f"{path} lies {apart:.2f} mm beside {image.name}")

"""A voxel size and a size in which every scan of a folder fits, from the scans' headers alone."""

from collections.abc import Iterable
from pathlib import Path

import nibabel as nib
import numpy as np

from data_recipes.readers.nifti import read_grid
from ssl3d_lite.errors import InputError

# Voxels along an axis: scans of more become coarser along it. A study trains on whole scans, so its
# time grows with their voxels: at 96 an edge it would take three times as long.
MOST_VOXELS = 64
MULTIPLE = 8  # a U-Net halves a volume three times


def one_frame(
    paths: Iterable[Path],
) -> tuple[tuple[float, float, float], tuple[int, int, int]]:
    """The voxel size (mm) and the size (voxels), along x, y and z as scans lie in RAS.

    The voxel size is the median of the scans', or coarser where an axis would be longer than
    ``MOST_VOXELS``; the size holds the largest scan along each axis. A file that cannot be read is
    left out here, and refused where it is prepared.

    Raises:
        InputError: no header can be read.
    """
    grids = [grid for path in paths if (grid := _ras_grid(path)) is not None]
    if not grids:
        raise InputError(
            "one frame for all scans is found from NIfTI headers, and none can be read"
        )
    voxels, edges = np.array(grids).transpose(1, 0, 2)
    longest = edges.max(0)
    spacing = np.maximum(np.median(voxels, 0), longest / MOST_VOXELS).round(4)
    whole = np.ceil((longest / spacing / MULTIPLE).round(3)).astype(int) * MULTIPLE
    (a, b, c), (x, y, z) = spacing.tolist(), whole.tolist()
    return (a, b, c), (x, y, z)


def _ras_grid(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """A scan's voxel size and edges in mm, its axes turned to RAS."""
    try:
        shape, affine = read_grid(path)
    except InputError:  # it is refused, with this reason, where it is prepared
        return None
    order = np.argsort(nib.io_orientation(affine)[:, 0])
    size = nib.affines.voxel_sizes(affine)
    return size[order], (size * shape)[order]

"""All pieces of a puzzle in one volume, which lies along the scan's axes.

A layer for each piece would be slow to add and slow to draw, and napari cannot show a plane of a
layer that is turned out of it. Where there is no piece, the volume is clear.
"""

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from ssl3d_lite.show.pieces import box_corners


def compose(
    images: Sequence[np.ndarray], matrices: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Lay pieces into one volume; where several lie, the last is seen.

    Args:
        images: each piece, (channel, *space).
        matrices: each piece's voxel → voxel of the scan, (D+1, D+1).

    Returns:
        The volume, (channel, *space), in which a voxel outside all pieces is no number; and the
        voxel of the scan in which its first voxel lies.
    """
    laid = [as_it_lies(image, matrix) for image, matrix in zip(images, matrices, strict=True)]
    first = np.array([np.rint(matrix[:-1, -1]).astype(int) for _, matrix in laid])
    past = first + [image.shape[1:] for image, _ in laid]
    origin = first.min(0)
    volume = np.full((len(images[0]), *(past.max(0) - origin)), np.nan, np.float32)
    for (image, _), start, end in zip(laid, first - origin, past - origin, strict=True):
        part = volume[(slice(None), *map(slice, start, end))]
        np.copyto(part, image, where=~np.isnan(image))
    return volume, origin


def as_it_lies(image: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A piece along the scan's axes: image (channel, *space), and its voxel → voxel of the scan.

    A piece that was mirrored or turned by quarters is turned back, voxel for voxel. Any other is
    resampled linearly into the scan's grid; what lies outside the piece is no number, which napari
    draws clear.
    """
    dims, linear = len(matrix) - 1, matrix[:-1, :-1]
    if np.allclose(np.sort(np.abs(linear), 0), np.eye(dims)[-1:].T, atol=1e-5):
        axes = np.abs(linear).argmax(1)  # axis of the piece along each axis of the scan
        back = np.zeros_like(matrix)  # voxel that lies right → voxel of the piece
        back[dims, dims] = 1
        image = image.transpose(0, *(axes + 1))
        for scan_axis, axis in enumerate(axes):
            sign = np.sign(linear[scan_axis, axis])
            back[axis, scan_axis] = sign
            if sign < 0:
                back[axis, dims] = image.shape[1 + scan_axis] - 1
                image = np.flip(image, 1 + scan_axis)
        return np.ascontiguousarray(image), matrix @ back
    corners = box_corners(matrix, image.shape[1:])
    low = np.floor(corners.min(0) + 0.5)
    size = (np.ceil(corners.max(0) - 0.5) - low + 1).astype(int)
    lies = np.eye(dims + 1)
    lies[:-1, -1] = low
    way = np.linalg.inv(matrix) @ lies
    laid = [
        ndimage.affine_transform(
            channel.astype(np.float32),
            way[:-1, :-1],
            way[:-1, -1],
            tuple(size),
            order=1,
            cval=np.nan,
        )
        for channel in image
    ]
    return np.stack(laid), lies

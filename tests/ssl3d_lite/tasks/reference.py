"""The plain versions of what geometry.py does fast: loops over scans, views and channels.

They say what is meant; test_reference.py holds the fast ones to them.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def cut(volumes: Tensor, corner: Tensor, size: Sequence[int]) -> Tensor:
    """Boxes of ``size`` with their first voxels at ``corner``: (batch, view, channel, *size)."""
    boxes = volumes.new_empty(*corner.shape[:2], volumes.shape[1], *size)
    for scan in range(len(volumes)):
        for view in range(corner.shape[1]):
            where = [slice(None)]  # all channels
            for first, edge in zip(corner[scan, view].tolist(), size, strict=True):
                where.append(slice(first, first + edge))
            boxes[scan, view] = volumes[scan][tuple(where)]
    return boxes


def normalised(patches: Tensor) -> Tensor:
    """Each patch and channel at mean 0 and variance 1; 1e-5 keeps a patch of one value finite."""
    result = torch.empty_like(patches)
    for scan in range(patches.shape[0]):
        for view in range(patches.shape[1]):
            for channel in range(patches.shape[2]):
                x = patches[scan, view, channel]
                result[scan, view, channel] = (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt()
    return result


def warp(volumes: Tensor, matrix: Tensor, size: Sequence[int]) -> Tensor:
    """Linear resampling by torch's own F.grid_sample, scan by scan; the border's voxels go on.

    ``matrix`` (batch, D+1, D+1) takes a voxel of the result to one of the volume. grid_sample
    wants places from -1 to 1, and the axes in the opposite order.
    """
    space = torch.tensor(volumes.shape[2:]).to(volumes)
    axes = [torch.arange(edge).to(volumes) for edge in size]
    voxels = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)  # (*size, D)
    voxels = torch.cat([voxels, torch.ones_like(voxels[..., :1])], -1)
    warped = []
    for volume, each in zip(volumes, matrix.to(volumes), strict=True):
        place = (voxels @ each.T)[..., :-1]
        # an axis of one voxel has the one place 0
        scaled = torch.where(space > 1, 2 * place / (space - 1).clamp(min=1) - 1, 0)
        grid = scaled.flip(-1)[None]
        warped.append(F.grid_sample(volume[None], grid, padding_mode="border", align_corners=True))
    return torch.cat(warped)

"""Cutting, turning and patch grids: batched, on the volume's device, 2D and 3D by one code.

Every function here has a partner that says where a voxel of the result came from: a homogeneous
matrix that takes a *view* voxel to a *scan* voxel, (D+1, D+1) with D the number of space axes.
Figures and viewers draw with these matrices; tests check that they tell the truth.
"""

from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from .errors import InputError

# One plane an axis, in cyclic order: all turns go the same way round their axis (right-handed).
PLANES = {2: ((0, 1),), 3: ((1, 2), (2, 0), (0, 1))}


# ---- cutting -----------------------------------------------------------------------------------


def cut(volumes: Tensor, corner: Tensor, size: Sequence[int]) -> Tensor:
    """Cut boxes out of a batch of volumes, all at once.

    Args:
        volumes: (batch, channel, *space).
        corner: (batch, view, D) integers, each box's first voxel.
        size: D edge lengths of a box, voxels.

    Returns:
        (batch, view, channel, *size), a copy.
    """
    check_fits(volumes.shape[2:], size)
    windows = volumes
    for axis, edge in enumerate(size):
        windows = windows.unfold(2 + axis, edge, 1)  # a view: nothing is copied yet
    windows = windows.movedim(1, 1 + len(size))  # (batch, *place, channel, *size)
    row = torch.arange(len(volumes), device=volumes.device)[:, None]
    place = corner.to(volumes.device).unbind(-1)
    return windows[(row, *place)]


def random_corner(
    space: Sequence[int], size: Sequence[int], shape: Sequence[int], generator: torch.Generator
) -> Tensor:
    """Corners of boxes of ``size`` that lie in ``space``, every place as likely: (*shape, D).

    The last place, where the box touches the far border, is drawn too, and a box as large as the
    space has the one place 0.
    """
    check_fits(space, size)
    axes = [
        torch.randint(whole - edge + 1, tuple(shape), generator=generator)
        for whole, edge in zip(space, size, strict=True)
    ]
    return torch.stack(axes, -1)


def check_fits(space: Sequence[int], size: Sequence[int]) -> None:
    """Raise InputError unless a box of ``size`` fits into a volume of ``space``."""
    if len(space) != len(size) or any(e > s or e < 1 for s, e in zip(space, size, strict=True)):
        raise InputError(f"a box of {tuple(size)} voxels does not fit a volume of {tuple(space)}")


def shift_matrix(corner: Tensor) -> Tensor:
    """View voxel → scan voxel for boxes cut at ``corner`` (..., D): (..., D+1, D+1)."""
    dims = corner.shape[-1]
    matrix = torch.eye(dims + 1).expand(*corner.shape[:-1], dims + 1, dims + 1).clone()
    matrix[..., :dims, dims] = corner.to(matrix.dtype)
    return matrix


# ---- turning -----------------------------------------------------------------------------------


def quarter_turns(dims: int) -> list[tuple[tuple[int, int], int]]:
    """The turns of the rotation task, as (plane, number of quarter turns); the first is none.

    4 in 2D; 10 of the cube's 24 in 3D: none, and a quarter, a half and three quarters about each
    axis (Taleb et al. 2020, section 3.4).
    """
    return [(PLANES[dims][0], 0)] + [(p, k) for p in PLANES[dims] for k in (1, 2, 3)]


def turn(volumes: Tensor, plane: tuple[int, int], quarters: int) -> Tensor:
    """Turn the last D axes of ``volumes`` by quarters of a circle, from plane[0] to plane[1].

    ``plane`` counts space axes from 0; D is 3 if the plane is one of 3D's and the volume has five
    axes or more, so pass (batch, channel, *space).
    """
    first = 2  # behind batch and channel
    return torch.rot90(volumes, quarters, (first + plane[0], first + plane[1]))


def turn_matrix(plane: tuple[int, int], quarters: int, edge: int, dims: int) -> Tensor:
    """Turned voxel → voxel before, for a cube of ``edge``: (D+1, D+1)."""
    once = torch.eye(dims + 1)
    a, b = plane
    once[[a, b], :] = 0
    once[a, b] = 1  # a quarter turn reads: turned[i, j] = before[j, edge - 1 - i]
    once[b, a] = -1
    once[b, dims] = edge - 1
    return torch.linalg.matrix_power(once, quarters % 4)


# ---- grids of patches --------------------------------------------------------------------------


def grid_shape(space: Sequence[int], patch: int, stride: int) -> tuple[int, ...]:
    """How many patches of edge ``patch``, ``stride`` apart, fit along each axis."""
    check_fits(space, (patch,) * len(space))
    return tuple((edge - patch) // stride + 1 for edge in space)


def grid_corners(grid: Sequence[int], stride: int) -> Tensor:
    """First voxels of a grid's patches, last axis fastest: (patches, D)."""
    return torch.tensor(list(product(*(range(0, n * stride, stride) for n in grid))))

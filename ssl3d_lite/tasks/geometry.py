"""Cutting, turning and patch grids: batched, on the volume's device, 2D and 3D by one code.

Every function here has a partner that says where a voxel of the result came from: a homogeneous
matrix that takes a *view* voxel to a *scan* voxel, (D+1, D+1) with D the number of space axes.
Figures and viewers draw with these matrices; tests check that they tell the truth.
"""

import math
from collections.abc import Sequence
from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor

from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.device import to_device

PUZZLE_SIDE = 3  # cells an axis in the puzzles of relative location and jigsaw

# One plane an axis, in cyclic order: all turns go the same way round their axis (right-handed).
TURN_PLANES = {2: ((0, 1),), 3: ((1, 2), (2, 0), (0, 1))}


# ---- cutting -----------------------------------------------------------------------------------


def cut(volumes: Tensor, corner: Tensor, size: Sequence[int], scan: Tensor | None = None) -> Tensor:
    """Cut boxes out of a batch of volumes, all at once.

    The plain version, which the test's reference spells out for every scan and view::

        boxes[n, v] = volumes[n, :, i : i + size[0], j : j + size[1], k : k + size[2]]
        # where i, j, k = corner[n, v]

    Args:
        volumes: (batch, channel, *space).
        corner: (batch, view, D) integers, on the CPU, each box's first voxel.
        size: D edge lengths of a box, voxels.
        scan: the volume each box is cut from; then corner is (box, D), scan (box,).

    Returns:
        (batch, view, channel, *size), or (box, channel, *size); a copy.

    Raises:
        InputError: a box does not lie within its volume.
    """
    _, channels, *space = volumes.shape
    check_box_fits(space, size)
    if (corner < 0).any() or (corner + torch.tensor(size) > torch.tensor(space)).any():
        raise InputError(f"a box of {tuple(size)} voxels reaches out of a volume of {tuple(space)}")
    if scan is None:
        scan = torch.arange(len(volumes))[:, None]
    flat = volumes.contiguous().flatten()
    # A box is many short rows of voxels that lie side by side in memory. Row n of this table is
    # what begins at voxel n; rows overlap, and nothing is copied yet. Picking rows from it takes
    # a fifth of the time that indexing the volume takes.
    rows = flat.as_strided((len(flat) - size[-1] + 1, size[-1]), (1, 1))
    step = [math.prod([channels, *space][axis:]) for axis in range(len(space) + 2)]  # to the next
    first = scan * step[0] + (corner * torch.tensor(step[2:])).sum(-1)
    ranges = [n * torch.arange(edge) for n, edge in zip(step[1:-1], (channels, *size[:-1]))]
    inside = torch.stack(torch.meshgrid(*ranges, indexing="ij")).sum(0)  # (channel, *size[:-1])
    index = first[(..., *[None] * inside.ndim)] + inside
    picked = rows.index_select(0, to_device(index.flatten(), flat.device))
    return picked.view(*index.shape, size[-1])


def random_corner(
    space: Sequence[int], size: Sequence[int], shape: Sequence[int], generator: torch.Generator
) -> Tensor:
    """Corners of boxes of ``size`` that lie in ``space``, every place as likely: (*shape, D).

    The last place, where the box touches the far border, is among them, and a box as large as the
    space has the one place 0.
    """
    check_box_fits(space, size)
    axes = [
        torch.randint(whole - edge + 1, tuple(shape), generator=generator)
        for whole, edge in zip(space, size, strict=True)
    ]
    return torch.stack(axes, -1)


def random_box(
    space: Sequence[int], edge: int, count: int, generator: torch.Generator
) -> tuple[tuple[int, ...], Tensor]:
    """A box of ``edge``, less along an axis that is shorter: its size, and ``count`` corners."""
    size = box_size(space, edge)
    return size, random_corner(space, size, (count, 1), generator)


def box_size(space: Sequence[int], edge: int) -> tuple[int, ...]:
    """The size of a box of ``edge``, less along an axis that is shorter."""
    return tuple(min(edge, whole) for whole in space)


def check_box_fits(space: Sequence[int], size: Sequence[int]) -> None:
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
    return [(TURN_PLANES[dims][0], 0)] + [(p, k) for p in TURN_PLANES[dims] for k in (1, 2, 3)]


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


# ---- warping -----------------------------------------------------------------------------------


def warp_volumes(volumes: Tensor, matrix: Tensor, plane: Tensor, size: Sequence[int]) -> Tensor:
    """Resample volumes by affine maps, linearly, all at once; beyond the border it stays the same.

    A map may turn within one plane, and mirror, scale and shift along every axis; its other
    entries are not read. Then linear interpolation in three axes is the same as one in the plane
    followed by one across it, which takes a fraction of the time of F.grid_sample in 3D on a CPU.
    The plain version, which a test holds this one to, is SciPy's for each scan and channel::

        affine_transform(volume, matrix, output_shape=size, order=1, mode="nearest")

    Args:
        volumes: (batch, channel, *space).
        matrix: (batch, D+1, D+1), voxel of the result → voxel of the volume.
        plane: (batch,), on the CPU: in which of ``TURN_PLANES`` each map turns.
        size: D edge lengths of the result, voxels.

    Returns:
        (batch, channel, *size).
    """
    dims, matrix = len(size), to_device(matrix.to(volumes.dtype), volumes.device)
    result = volumes.new_empty(*volumes.shape[:2], *size)
    for number, (a, b) in enumerate(TURN_PLANES[dims]):
        scan = (plane == number).nonzero()[:, 0]  # a loop over planes, not over scans
        if not len(scan):
            continue
        scan = to_device(scan, volumes.device)
        across = [axis for axis in range(dims) if axis not in (a, b)]  # none in 2D
        order = [0, 2 + a, 2 + b, 1, *(2 + axis for axis in across)]
        part, maps = volumes.index_select(0, scan).permute(order), matrix[scan]
        part = _warp_plane(part, maps[:, [a, b]][..., [a, b, dims]], (size[a], size[b]))
        for c in across:
            part = _warp_line(part, maps[:, c][..., [c, dims]], size[c])
        result.index_copy_(0, scan, part.permute([order.index(axis) for axis in range(dims + 2)]))
    return result


def _warp_plane(part: Tensor, rows: Tensor, size: tuple[int, int]) -> Tensor:
    """Resample axes 1 and 2: (scan, a, b, *rest) by (scan, 2, 3) → (scan, *size, *rest).

    What is not in the plane moves along whole: a weighted sum of four rows of a table.
    """
    scans, *space = part.shape[:3]
    i, j = (torch.arange(edge, device=part.device, dtype=part.dtype) for edge in size)
    rows = rows[..., None, None]
    whole = rows[:, :, 0] * i[:, None] + rows[:, :, 1] * j + rows[:, :, 2]  # (scan, 2, *size)
    place = [whole[:, axis].clamp(0, edge - 1) for axis, edge in enumerate(space)]
    low = [where.long() for where in place]  # none is below 0, so this is the floor
    shares = [where - cell for where, cell in zip(place, low)]  # weight of the upper neighbour
    high = [(where + 1).clamp(max=edge - 1) for where, edge in zip(low, space)]
    first = torch.arange(scans, device=part.device)[:, None, None] * space[0]
    neighbours = [((low, high)[u][0], (low, high)[v][1]) for u, v in product((0, 1), (0, 1))]
    index = torch.stack([(first + a) * space[1] + b for a, b in neighbours], -1)
    weights = [(1 - share, share) for share in shares]
    weight = torch.stack([u * v for u, v in product(*weights)], -1)
    table = part.reshape(scans * space[0] * space[1], -1)
    summed = F.embedding_bag(
        index.view(-1, 4), table, mode="sum", per_sample_weights=weight.view(-1, 4)
    )
    return summed.view(scans, *size, *part.shape[3:])


def _warp_line(part: Tensor, row: Tensor, size: int) -> Tensor:
    """Resample the last axis: (scan, a, b, channel, c) by (scan, 2) → (…, size)."""
    edge = part.shape[-1]
    voxel, out = (torch.arange(n, device=part.device, dtype=part.dtype) for n in (edge, size))
    place = (row[:, :1] * out + row[:, 1:]).clamp(0, edge - 1)
    hats = (1 - (place[:, None] - voxel[:, None]).abs()).clamp(min=0)  # (scan, c, size)
    return (part.flatten(1, 3) @ hats).view(*part.shape[:-1], size)


# ---- grids of patches --------------------------------------------------------------------------


def grid_shape(space: Sequence[int], patch: int, stride: int, jitter: int = 0) -> tuple[int, ...]:
    """How many patches of edge ``patch``, ``stride`` apart, fit along each axis of ``space``, if
    ``jitter`` voxels of it are to stay free.

    Raises:
        InputError: not even one fits.
    """
    if min(space) < patch + jitter:
        raise InputError(
            f"patches of {patch} voxels and a jitter of {jitter} need volumes of "
            f"{patch + jitter} voxels, but got {tuple(space)}; use smaller patches or less jitter"
        )
    return tuple((edge - jitter - patch) // stride + 1 for edge in space)


def grid_corners(grid: Sequence[int], stride: int) -> Tensor:
    """First voxels of a grid's patches, last axis fastest: (patches, D)."""
    return torch.tensor(list(product(*(range(0, n * stride, stride) for n in grid))))


def puzzle_corners(
    space: Sequence[int], side: int, patch: int, jitter: int, gap: int = 0
) -> Tensor:
    """Where the pieces of a puzzle stand: (side^D, D), last axis fastest.

    The space is shared out among ``side`` equal cells an axis. In the middle of each stands a
    patch, which may be moved by 0 to ``jitter`` voxels from the corner given here and stays in its
    cell. So pieces never overlap; but they may touch, unless ``gap`` voxels at least are to lie
    between two of them.

    Raises:
        InputError: the cells are too small for that.
    """
    cells = [edge // side for edge in space]
    if min(cells) < patch + jitter + gap:
        between = f" and a gap of {gap}" if gap else ""
        raise InputError(
            f"{side} pieces an axis of {patch} voxels and a jitter of {jitter}{between} need "
            f"volumes of {side * (patch + jitter + gap)} voxels, but got {tuple(space)}; use a "
            f"smaller patch{', jitter or gap' if gap else ''}"
        )
    axes = [[cell * n + (cell - patch - jitter) // 2 for n in range(side)] for cell in cells]
    return torch.tensor(list(product(*axes)))


def normalised(patches: Tensor) -> Tensor:
    """Each patch and channel at mean 0 and variance 1: (batch, view, channel, *space), in place.

    Else a patch's brightness tells where it lies. A patch of one value becomes 0. The plain
    version, for each patch and channel x::

        (x - x.mean()) / (x.var(correction=0) + 1e-5).sqrt()
    """
    # layer_norm goes over the voxels once, where var_mean takes three times as long; a few views
    # at a time, because a fresh copy of all would cost more than the arithmetic
    for some in patches.chunk(8, dim=1):
        some.copy_(F.layer_norm(some, some.shape[3:]))
    return patches

"""The five tasks' views in plain NumPy and SciPy: one scan at a time, one patch at a time.

This is how one writes it without thinking of speed, and how the paper's authors did (Keras code,
github.com/HealthML/self-supervised-3d-tasks): a loop over the scans of a batch, inside it loops
over the cells of a grid, slices, ``np.rot90``, ``np.flip``, and SciPy for what has to be resampled.
It makes the same views as ``task.make_views`` from the same params, in 3D: ``tests/test_peers.py``
holds the two together. A slice of an array copies nothing, and each patch is copied once, when the
patches are stacked; so this is not made slower than it has to be.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy.ndimage import affine_transform

from ssl3d_lite.tasks import ProxyTask
from ssl3d_lite.tasks.geometry import TURN_PLANES

SIDE = 3  # cells an axis
Drawn = dict[str, np.ndarray]


def views(task: ProxyTask, volumes: np.ndarray, params: Drawn) -> np.ndarray:
    """What ``task.make_views`` makes: (scan, channel, *space) → (scan, view, channel, *size).

    ``params`` are those of the task's own ``sample_params``, as arrays.
    """
    made = []
    for number, volume in enumerate(volumes):
        # what was drawn for the whole batch has one entry, which holds for each scan
        own = {name: each[number if len(each) > 1 else 0] for name, each in params.items()}
        made.append(VIEWS[task.name](task, volume, own))
    return np.stack(made)


def rotation(task: ProxyTask, volume: np.ndarray, params: Drawn) -> np.ndarray:
    cube = crop(volume, params["corner"][0], (task.settings.crop_size,) * 3)
    turned = []
    for number in params["rotation"]:
        (first, second), quarters = task.turns[number]
        turned.append(np.rot90(cube, quarters, (1 + first, 1 + second)))  # behind the channel
    return np.stack(turned)


def relative_location(task: ProxyTask, volume: np.ndarray, params: Drawn) -> np.ndarray:
    s = task.settings
    cells = cut_cells(volume)
    centre = len(cells) // 2
    others = [n for n in range(len(cells)) if n != centre]
    shown = [centre] + [others[n] for n in params["query"]]
    patches = []
    for number, jitter in zip(shown, params["jitter"], strict=True):
        patch = in_cell(cells[number], s.patch, s.jitter, jitter)
        patches.append(normalised(patch) if s.normalise else patch)
    return np.stack(patches)


def jigsaw(task: ProxyTask, volume: np.ndarray, params: Drawn) -> np.ndarray:
    s = task.settings
    pieces = []
    for cell, jitter in zip(cut_cells(volume), params["jitter"], strict=True):
        piece = in_cell(cell, s.patch, s.jitter, jitter)
        pieces.append(normalised(piece) if s.normalise else piece)
    order = task.permutations[int(params["permutation"][0])]
    return np.stack([pieces[number] for number in order.tolist()])


def cpc(task: ProxyTask, volume: np.ndarray, params: Drawn) -> np.ndarray:
    s, start = task.settings, params["start"][0]
    rows, columns, layers = task.grid(volume.shape[1:])
    patches = []
    for i in range(rows):
        for j in range(columns):
            for k in range(layers):
                corner = start + s.stride * np.array([i, j, k])
                patches.append(crop(volume, corner, (s.patch,) * 3))
    return np.stack(patches)


def exemplar(task: ProxyTask, volume: np.ndarray, params: Drawn) -> np.ndarray:
    """The box, and a copy of it: mirrored, turned, zoomed, in another brightness and contrast."""
    corner = params["corner"][0]
    size = tuple(min(task.settings.crop_size, whole) for whole in volume.shape[1:])
    box = crop(volume, corner, size)
    if params["angle"] == 0 and params["zoom"] == 1:
        copy = np.flip(box, [1 + axis for axis in range(3) if params["flip"][axis]])
    else:
        copy = distorted(volume, corner, size, params)
    return np.stack([box, copy * params["gain"] + params["shift"]])


def distorted(
    volume: np.ndarray, corner: np.ndarray, size: Sequence[int], params: Drawn
) -> np.ndarray:
    """Turn, zoom and mirror a box about its middle in one go, linearly.

    One ``affine_transform`` and not ``rotate`` and then ``zoom``: twice resampled is twice blurred.
    What a turned box shows beyond its own faces is read from the scan, and beyond the scan's the
    border's voxels are repeated, which SciPy calls "nearest": so ours does it too.
    """
    first, second = TURN_PLANES[3][params["plane"]]
    turn = np.eye(3)
    turn[first, first] = turn[second, second] = np.cos(params["angle"])
    turn[second, first] = np.sin(params["angle"])
    turn[first, second] = -turn[second, first]
    matrix = turn @ np.diag(np.where(params["flip"], -1, 1) / params["zoom"])
    middle = (np.array(size) - 1) / 2
    offset = corner + middle - matrix @ middle
    return np.stack(
        [affine_transform(one, matrix, offset, size, order=1, mode="nearest") for one in volume]
    )


# ---- pieces ------------------------------------------------------------------------------------


def crop(volume: np.ndarray, corner: Sequence[int], size: Sequence[int]) -> np.ndarray:
    """A box of a volume (channel, *space), not copied."""
    (x, y, z), (height, width, depth) = corner, size
    return volume[:, x : x + height, y : y + width, z : z + depth]


def cut_cells(volume: np.ndarray) -> list[np.ndarray]:
    """The 27 cells of a volume, last axis fastest."""
    height, width, depth = (edge // SIDE for edge in volume.shape[1:])
    cells = []
    for i in range(SIDE):
        for j in range(SIDE):
            for k in range(SIDE):
                corner = (i * height, j * width, k * depth)
                cells.append(crop(volume, corner, (height, width, depth)))
    return cells


def in_cell(cell: np.ndarray, patch: int, most: int, jitter: np.ndarray) -> np.ndarray:
    """The patch in the middle of a cell, moved by ``jitter`` of at most ``most`` voxels."""
    corner = [
        (edge - patch - most) // 2 + int(moved)
        for edge, moved in zip(cell.shape[1:], jitter, strict=True)
    ]
    return crop(cell, corner, (patch,) * 3)


def normalised(patch: np.ndarray) -> np.ndarray:
    """A patch with mean 0 and variance 1 in each channel."""
    space = (1, 2, 3)
    spread = np.sqrt(patch.var(space, keepdims=True) + 1e-5)  # a patch of one value becomes 0
    return (patch - patch.mean(space, keepdims=True)) / spread


VIEWS: dict[str, Callable[[ProxyTask, np.ndarray, Drawn], np.ndarray]] = {
    "rotation": rotation,
    "rpl": relative_location,
    "jigsaw": jigsaw,
    "cpc": cpc,
    "exemplar": exemplar,
}

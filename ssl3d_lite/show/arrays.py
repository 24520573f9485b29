"""Volumes as arrays that a view can draw: on the CPU, in grey levels, with the air left out."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray | Tensor


def as_numpy(values: Array | Sequence[int] | int) -> np.ndarray:
    """The same values in numpy, on the CPU; bfloat16, which numpy lacks, becomes float32."""
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    return np.asarray(values)


def air(image: np.ndarray) -> np.ndarray:
    """Where there is nothing: (*space) bool.

    Around a head that was cut out of its scan all voxels have one value, which z-scores make a
    middle grey. If all corners of the scan have it, it is taken for air.
    """
    corners = image[tuple(np.array(list(product((0, -1), repeat=image.ndim))).T)]
    same = image == corners[0]
    return same if (corners == corners[0]).all() and same.mean() > 0.02 else np.zeros_like(same)


def greys(values: np.ndarray, nothing: np.ndarray) -> np.ndarray:
    """The values as uint8: black at their 1st percentile, white at their 99th.

    Voxels where there is ``nothing`` are black, and do not count for the percentiles. If all others
    have one value, they are grey.
    """
    values = np.asarray(values, np.float32)
    there = values[~nothing] if not nothing.all() else values
    low, high = np.percentile(there, (1, 99))
    if high <= low:
        low, high = there.min(), there.max()
    if high <= low:
        low, high = low - 1, low + 1
    shades = np.round(255 * ((values - low) / (high - low)).clip(0, 1)).astype(np.uint8)
    shades[nothing] = 0
    return shades


def as_colours(image: np.ndarray) -> np.ndarray:
    """Channels red, green and blue (3, x, y) as a picture (y, x, 3) from 0 to 1."""
    picture = image.T.astype(np.float32)
    if picture.min() < 0 or picture.max() > 1:  # scaled otherwise than to [0, 1]
        low, high = np.percentile(picture, (1, 99))
        picture = (picture - low) / max(high - low, 1e-6)
    return picture.clip(0, 1)


def fullest_plane(truth: np.ndarray) -> int:
    """The axial plane with the most labelled voxels; 0 of a picture."""
    if truth.ndim == 2:
        return 0
    counts = (truth > 0).sum((0, 1))
    return int(counts.argmax()) if counts.any() else truth.shape[2] // 2

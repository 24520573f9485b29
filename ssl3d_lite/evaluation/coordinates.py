"""Smooth functions of a voxel's place, to stand beside its features among a probe's inputs.

A voxel's place alone tells much of its class where crops are centred on an organ, and an encoder
may be ahead of another only in that its features tell where a voxel lies: padding is enough for it.
If all encoders' probes are given the place, no encoder can be ahead by it.

The functions are products of Legendre polynomials, one an axis, of degree 4 at most in all and
without the constant: 34 in three dimensions, 14 in two. They span what plain powers do, and are
nearly uncorrelated, so that a fit with a penalty treats all alike and converges soon.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.polynomial.legendre import legvander
from torch import Tensor

DEGREE = 4


def degrees(axes: int) -> list[tuple[int, ...]]:
    """The degree along each axis of each of the functions."""
    return [each for each in product(range(DEGREE + 1), repeat=axes) if 0 < sum(each) <= DEGREE]


def place_functions(places: np.ndarray) -> np.ndarray:
    """Places (voxel, axis), each from -1 to 1 → functions of them, float32 (voxel, function).

    Example::

        place_functions(np.zeros((5, 3))).shape  # (5, 34)
    """
    basis = legvander(places, DEGREE)  # (voxel, axis, degree)
    axes = range(places.shape[1])
    columns = [basis[:, axes, each].prod(1) for each in degrees(len(axes))]
    return np.stack(columns, 1).astype(np.float32)


def place_logits(weight: Tensor, space: Sequence[int]) -> Tensor:
    """Weighted sums of the functions at every voxel: (row, function) → (row, *space).

    The functions are products over the axes, so the sum is made an axis at a time, and the
    functions themselves, some dozens a voxel, are never laid out.
    """
    table = weight.new_zeros(len(weight), *[DEGREE + 1] * len(space))
    row: Any = slice(None)
    for column, each in enumerate(degrees(len(space))):
        table[(row, *each)] = weight[:, column]
    for length in space:
        centres = (2 * np.arange(length) + 1) / length - 1
        basis = torch.from_numpy(legvander(centres, DEGREE)).to(weight)
        table = torch.tensordot(table, basis, ([1], [1]))  # the next axis moves to the end
    return table

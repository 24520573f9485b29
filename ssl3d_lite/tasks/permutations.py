"""Permutations for the jigsaw task, far apart from one another.

If two permutations differ in two places only, telling them apart hangs on one pair of pieces.
Distance here is the Hamming distance: the number of places in which two permutations differ.
"""

from itertools import permutations as every_order
from math import factorial

import numpy as np
import torch
from torch import Tensor

from ssl3d_lite.errors import InputError

POOL = 2**16  # holds all 8!; searching all 9! takes several times as long and reaches no farther


def permutation_set(pieces: int, count: int, seed: int = 0) -> Tensor:
    """Choose ``count`` different permutations of ``pieces``, far apart: (count, pieces), int64.

    A farthest-point search (Noroozi & Favaro 2016, arXiv 1603.09246) chooses among all
    permutations, or among a large random pool of them. What ``hamming`` says of
    ``permutation_set(pieces, count)``, and of as many permutations at random:

        pieces  count  minimum    mean   minimum at random
             9     72        6   8.104              2 to 4
             9    100        6   8.080              2 to 4
             9   1000        5   8.008              0 to 2
            27    100       24  26.207            20 to 21
            27    702       23  26.036            18 to 20
            27   1000       23  26.025            18 to 19

    A formula would come farther apart: for a prime power q of pieces, any two of the q(q-1)
    permutations x → a·x + b over the finite field of q elements differ in q-1 places at least.
    But there two pieces tell all the rest: those shown at two places give a and b, and with them
    every other place. A network could name the permutation and never look at the other pieces.
    """
    if pieces < 2:
        raise InputError(f"a jigsaw needs 2 pieces or more, not {pieces}")
    if not 1 <= count <= factorial(pieces):
        raise InputError(
            f"cannot choose {count} different permutations of {pieces} pieces: "
            f"ask for 1 to {factorial(pieces)}"
        )
    generator = np.random.default_rng(seed)
    pool = large_pool(pieces, max(POOL, 4 * count), generator)
    # A new order of the rows lets the seed decide where the search starts and how ties end. A new
    # order of the places changes no distance.
    pool = generator.permutation(pool)[:, generator.permutation(pieces)]
    return torch.from_numpy(pool[farthest(pool, count)].astype(np.int64))


def hamming(permutations: Tensor) -> tuple[int, float]:
    """Minimum and mean distance over all pairs of the rows of ``permutations`` (count, pieces)."""
    if len(permutations) < 2:
        raise InputError("a distance needs 2 permutations or more")
    distances = torch.pdist(permutations.double(), p=0)  # the 0-norm counts what differs
    return int(distances.min()), float(distances.mean())


def reorder(pieces: Tensor, orders: Tensor) -> Tensor:
    """Each scan's pieces in its order: (scan, piece, …) by (scan, place) → (scan, place, …).

    ``orders`` says which piece is shown at a place.
    """
    index = orders.view(*orders.shape, *[1] * (pieces.ndim - 2))
    return pieces.take_along_dim(index, 1)


# ---- farthest-point search ---------------------------------------------------------------------


def large_pool(pieces: int, size: int, generator: np.random.Generator) -> np.ndarray:
    """All permutations if there are no more than ``size``, else ``size`` random ones, some twice.

    (rows, pieces). With size 4·count, more than half of the random rows differ: enough for count.
    """
    if factorial(pieces) <= size:
        return np.array(list(every_order(range(pieces))))
    return generator.permuted(np.tile(np.arange(pieces), (size, 1)), axis=1)


def farthest(pool: np.ndarray, count: int) -> list[int]:
    """Rows of ``pool`` (rows, pieces), each the farthest from those before it; the first is 0.

    The farthest has the largest minimum distance and, among equals, the largest mean distance.
    """
    # numpy, not torch: on arrays this small, threads cost more than they save. A place is a row
    # of small integers in memory, which makes comparing 65,536 candidates take under a millisecond.
    places = np.ascontiguousarray(pool.T, dtype=np.min_scalar_type(pool.shape[1]))
    nearest = np.full(len(pool), pool.shape[1], places.dtype)
    total = np.zeros(len(pool), np.int64)
    chosen = [0]
    while len(chosen) < count:
        newest = places[:, chosen[-1]]
        distance = np.zeros_like(nearest)
        for place, piece in zip(places, newest, strict=True):
            distance += place != piece
        np.minimum(nearest, distance, out=nearest)
        total += distance
        best = np.flatnonzero(nearest == nearest.max())
        chosen.append(int(best[total[best].argmax()]))
    return chosen

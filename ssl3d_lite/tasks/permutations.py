"""Permutations for the jigsaw task, far apart from one another.

If two permutations differ in two places only, telling them apart hangs on one pair of pieces.
Distance here is Hamming distance: the number of places in which two permutations differ.
"""

from itertools import permutations as every_order
from math import factorial, log

import numpy as np
import torch
from torch import Tensor

from ssl3d_lite.errors import InputError

POOL = 2**16  # holds all 8!; searching all 9! takes several times as long and reaches no farther


def permutation_set(pieces: int, count: int, seed: int = 0) -> Tensor:
    """Choose ``count`` different permutations of ``pieces``, far apart: (count, pieces), int64.

    For a prime power q of pieces, up to q(q-1) of them come from the set of all a·x + b: no other
    set as large has a larger minimum distance. Else a farthest-point search (Noroozi & Favaro
    2016, arXiv 1603.09246) chooses among all permutations, or among a large random pool of them.

    What ``hamming`` says of ``permutation_set(pieces, count)``; at random, 9 pieces come as near
    as 2 to 4, and 27 as near as 18 to 21:

        pieces  count  source   minimum    mean
             9     72  a·x + b        8   8.113
             9    100  search         6   8.080
             9   1000  search         5   8.008
            27    100  a·x + b       26  26.247
            27    702  a·x + b       26  26.037
            27   1000  search        23  26.025

    To start the search from all a·x + b changes no figure of the three rows that need a search.
    """
    if pieces < 2:
        raise InputError(f"a jigsaw needs 2 pieces or more, not {pieces}")
    if not 1 <= count <= factorial(pieces):
        raise InputError(
            f"cannot choose {count} different permutations of {pieces} pieces: "
            f"ask for 1 to {factorial(pieces)}"
        )
    generator = np.random.default_rng(seed)
    if prime_power(pieces) and count <= pieces * (pieces - 1):
        pool = affine_set(pieces)
    else:
        pool = large_pool(pieces, max(POOL, 4 * count), generator)
    # New names for the places keep all distances, and give each seed another set even of all
    # q(q-1); the new order lets the seed decide where the search starts and how ties end.
    pool = generator.permutation(pool)[:, generator.permutation(pieces)]
    return torch.from_numpy(pool[farthest(pool, count)].astype(np.int64))


def hamming(permutations: Tensor) -> tuple[int, float]:
    """Minimum and mean distance over all pairs of the rows of ``permutations`` (count, pieces)."""
    if len(permutations) < 2:
        raise InputError("a distance needs 2 permutations or more")
    distances = torch.pdist(permutations.double(), p=0)  # the 0-norm counts what differs
    return int(distances.min()), float(distances.mean())


def shuffled(pieces: Tensor, orders: Tensor) -> Tensor:
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


# ---- a·x + b over a finite field ---------------------------------------------------------------


def affine_set(q: int) -> np.ndarray:
    """All permutations x → a·x + b of GF(q), a ≠ 0: (q(q-1), q).

    Any two differ in q-1 places or all q, because a·x + b = a'·x + b' has at most one solution.
    """
    add, multiply = field(q)
    return add[multiply[1:, None], np.arange(q)[:, None]].reshape(-1, q)


def field(q: int) -> tuple[np.ndarray, np.ndarray]:
    """Tables of addition and multiplication in GF(q), (q, q) each, for a prime power q = p^k.

    An element is a polynomial of degree < k over GF(p), numbered by its coefficients as digits
    in base p: 0 and 1 are the field's. By hand, because the library for it (galois) would bring a
    compiler (numba) for these 20 lines.
    """
    p, k = prime_power(q)
    power = p ** np.arange(k)
    digits = np.arange(q)[:, None] // power % p  # (element, coefficient), lowest degree first
    add = (digits[:, None] + digits) % p @ power
    for tail in digits:  # try x^k = tail until nothing but 0 divides 0: then it makes a field
        product = np.zeros((q, q, 2 * k - 1), np.int64)
        for degree in range(k):
            product[..., degree : degree + k] += digits[:, None, degree, None] * digits
        for degree in reversed(range(k, 2 * k - 1)):
            product[..., degree - k : degree] += product[..., degree, None] * tail
        multiply = product[..., :k] % p @ power
        if multiply[1:, 1:].all():
            break
    return add, multiply


def prime_power(number: int) -> tuple[int, int] | None:
    """(p, k) with p prime and p^k = ``number``, or None."""
    p = next(d for d in range(2, number + 1) if number % d == 0)
    k = round(log(number, p))
    return (p, k) if p**k == number else None

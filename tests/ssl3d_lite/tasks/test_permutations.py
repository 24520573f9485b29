import math
import time
from itertools import combinations, permutations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl3d_lite.errors import InputError
from ssl3d_lite.tasks.permutations import (
    farthest,
    hamming,
    large_pool,
    permutation_set,
    reorder,
)


def different(rows):
    return len({tuple(row) for row in rows.tolist()})


def random_set(pieces, count, seed):
    """``count`` different random permutations."""
    rows = large_pool(pieces, 4 * count, np.random.default_rng(seed))
    rows = np.unique(rows, axis=0)
    return torch.from_numpy(np.random.default_rng(seed).permutation(rows)[:count])


# ---- what a set is -----------------------------------------------------------------------------


@pytest.mark.parametrize(("pieces", "count", "nearest"), [(9, 72, 6), (27, 100, 24)])
def test_fault_12_permutations_are_far_apart(pieces, count, nearest):
    chosen = permutation_set(pieces, count)
    assert different(chosen) == count
    assert hamming(chosen)[0] == nearest
    assert hamming(random_set(pieces, count, seed=0))[0] < nearest - 1, "chance comes far nearer"


@pytest.mark.parametrize(("pieces", "count"), [(9, 72), (9, 100), (6, 50), (10, 30), (27, 702)])
def test_fault_12_a_seed_fixes_the_set_and_another_gives_another(pieces, count):
    torch.manual_seed(1)
    first = permutation_set(pieces, count, seed=5)
    torch.manual_seed(2)
    assert torch.equal(first, permutation_set(pieces, count, seed=5))
    other = permutation_set(pieces, count, seed=6)
    assert {tuple(r) for r in first.tolist()} != {tuple(r) for r in other.tolist()}


def test_drawing_leaves_the_global_generators_alone():
    before, state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    permutation_set(10, 5)
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


@settings(deadline=None)
@given(st.integers(2, 12), st.integers(1, 60), st.integers(0, 9))
def test_every_row_is_a_permutation_and_all_differ(pieces, count, seed):
    count = min(count, math.factorial(pieces))
    chosen = permutation_set(pieces, count, seed)
    assert chosen.shape == (count, pieces)
    assert chosen.dtype == torch.int64
    assert torch.equal(chosen.sort(1).values, torch.arange(pieces).expand(count, pieces))
    assert different(chosen) == count


@pytest.mark.parametrize("pieces", [2, 3, 4, 5, 6])
def test_as_many_as_there_are_gives_every_permutation(pieces):
    chosen = permutation_set(pieces, math.factorial(pieces))
    assert {tuple(row) for row in chosen.tolist()} == set(permutations(range(pieces)))


@pytest.mark.parametrize(
    ("pieces", "count", "minimum", "mean"),
    [
        (9, 72, 6, 8.104),
        (9, 100, 6, 8.080),
        (9, 1000, 5, 8.008),
        (27, 100, 24, 26.207),
        (27, 702, 23, 26.036),
        (27, 1000, 23, 26.025),
    ],
)
def test_distances_are_those_of_the_docstring(pieces, count, minimum, mean):
    start = time.perf_counter()
    chosen = permutation_set(pieces, count)
    assert time.perf_counter() - start < 20
    assert hamming(chosen) == (minimum, pytest.approx(mean, abs=5e-4))


@pytest.mark.parametrize(
    ("pieces", "count", "message"),
    [
        (1, 1, "a jigsaw needs 2 pieces or more, not 1"),
        (4, 25, "cannot choose 25 different permutations of 4 pieces: ask for 1 to 24"),
        (9, 0, "cannot choose 0 different permutations of 9 pieces: ask for 1 to 362880"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(pieces, count, message):
    with pytest.raises(InputError) as error:
        permutation_set(pieces, count)
    assert str(error.value) == message


def test_a_formula_comes_farther_apart_but_two_pieces_tell_its_whole_order():
    """All x → a·x + b modulo 7: why the library searches. Its own sets do not give that away."""
    rows = torch.tensor(
        [[(a * x + b) % 7 for x in range(7)] for a in range(1, 7) for b in range(7)]
    )
    searched = permutation_set(7, len(rows))
    assert hamming(rows)[0] == 6 > hamming(searched)[0]
    for one, other in combinations(range(7), 2):
        assert different(rows[:, [one, other]]) == len(rows), "two places name the row"
    assert different(searched[:, [0, 1]]) < len(searched)


# ---- distances ---------------------------------------------------------------------------------


@settings(deadline=None)
@given(st.integers(2, 9), st.integers(2, 12), st.integers(0, 99))
def test_hamming_equals_a_plain_double_loop(pieces, count, seed):
    orders = np.tile(np.arange(pieces), (count, 1))
    rows = torch.from_numpy(np.random.default_rng(seed).permuted(orders, axis=1))
    plain = [
        sum(a != b for a, b in zip(one, other, strict=True))
        for one, other in combinations(rows.tolist(), 2)
    ]
    assert hamming(rows) == (min(plain), pytest.approx(sum(plain) / len(plain), rel=1e-12))


def test_one_permutation_has_no_distance():
    with pytest.raises(InputError, match="needs 2 permutations or more"):
        hamming(torch.arange(4)[None])


# ---- farthest-point search ---------------------------------------------------------------------


@pytest.mark.parametrize(("pieces", "count"), [(6, 40), (9, 200), (10, 100), (27, 800)])
def test_the_search_beats_random_sets(pieces, count):
    minimum, mean = hamming(permutation_set(pieces, count))
    for seed in range(3):
        at_random = hamming(random_set(pieces, count, seed))
        assert minimum > at_random[0]
        assert mean > at_random[1]


@settings(deadline=None)
@given(st.integers(3, 5), st.integers(2, 10), st.integers(0, 99))
def test_each_choice_is_the_farthest_by_minimum_then_mean(pieces, count, seed):
    pool = large_pool(pieces, 120, np.random.default_rng(seed))
    chosen = farthest(pool, min(count, math.factorial(pieces)))
    for step in range(1, len(chosen)):
        distance = (pool[:, None] != pool[chosen[:step]]).sum(-1)
        score = [(row.min(), row.mean()) for row in distance]
        assert score[chosen[step]] == max(score)


@pytest.mark.parametrize("count", [100, 179, 180])
def test_a_random_pool_grows_with_the_count(count, monkeypatch):
    monkeypatch.setattr("ssl3d_lite.tasks.permutations.POOL", 8)
    # 4·179 random rows of 6! = 720 is the tightest case; 4·180 rows are all
    assert different(permutation_set(6, count)) == count


def test_reorder_shows_each_scans_pieces_in_its_order():
    orders = torch.tensor([[2, 0, 1], [0, 2, 1]])
    pieces = torch.tensor([[10, 11, 12], [20, 21, 22]])
    assert reorder(pieces, orders).tolist() == [[12, 10, 11], [20, 22, 21]]
    rich = torch.rand(2, 3, 4, 5)
    shown = reorder(rich, orders)
    assert torch.equal(shown[0, 0], rich[0, 2])
    assert torch.equal(reorder(shown, orders.argsort(1)), rich)

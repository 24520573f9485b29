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
    affine_set,
    farthest,
    field,
    hamming,
    large_pool,
    permutation_set,
    prime_power,
    shuffled,
)

PRIME_POWERS = st.sampled_from([2, 3, 4, 5, 7, 8, 9, 16, 25, 27])


def different(rows):
    return len({tuple(row) for row in rows.tolist()})


def random_set(pieces, count, seed):
    """``count`` different random permutations."""
    rows = large_pool(pieces, 4 * count, np.random.default_rng(seed))
    rows = np.unique(rows, axis=0)
    return torch.from_numpy(np.random.default_rng(seed).permutation(rows)[:count])


# ---- what a set is -----------------------------------------------------------------------------


@pytest.mark.parametrize(("pieces", "count"), [(9, 72), (27, 702)])
def test_fault_12_permutations_are_as_far_apart_as_they_can_be(pieces, count):
    chosen = permutation_set(pieces, count)
    assert different(chosen) == count
    assert hamming(chosen)[0] == pieces - 1
    assert hamming(random_set(pieces, count, seed=0))[0] < pieces - 4, "chance comes far nearer"


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
        (9, 72, 8, 8.113),
        (9, 100, 6, 8.080),
        (9, 1000, 5, 8.008),
        (27, 100, 26, 26.247),
        (27, 702, 26, 26.037),
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


# ---- finite fields -----------------------------------------------------------------------------


@settings(deadline=None)
@given(PRIME_POWERS, st.data())
def test_the_tables_are_those_of_a_field(q, data):
    add, multiply = field(q)
    a, b, c = (data.draw(st.integers(0, q - 1)) for _ in range(3))
    numbers = list(range(q))
    for table, neutral in ((add, 0), (multiply, 1)):
        assert np.array_equal(table, table.T)
        assert table[neutral].tolist() == numbers
        assert table[table[a, b], c] == table[a, table[b, c]]
    assert multiply[a, add[b, c]] == add[multiply[a, b], multiply[a, c]]
    assert sorted(add[a].tolist()) == numbers, "adding a is a bijection"
    if a:
        assert sorted(multiply[a].tolist()) == numbers, "multiplying by a ≠ 0 is a bijection"


@pytest.mark.parametrize("q", [2, 3, 5, 7, 11])
def test_a_prime_field_is_arithmetic_modulo_the_prime(q):
    numbers = np.arange(q)
    add, multiply = field(q)
    assert np.array_equal(add, (numbers[:, None] + numbers) % q)
    assert np.array_equal(multiply, (numbers[:, None] * numbers) % q)


@settings(deadline=None)
@given(PRIME_POWERS, st.data())
def test_affine_maps_lie_one_less_than_all_places_apart(q, data):
    rows = torch.from_numpy(affine_set(q))
    assert rows.shape == (q * (q - 1), q)
    assert different(rows) == len(rows)
    assert hamming(rows)[0] == max(q - 1, 2), "two permutations never differ in one place"
    few = data.draw(st.integers(2, q))
    assert hamming(permutation_set(q, few))[0] == q, "as few as q can differ everywhere"


def test_prime_powers_are_told_from_other_numbers():
    known = {2: (2, 1), 3: (3, 1), 4: (2, 2), 5: (5, 1), 7: (7, 1), 8: (2, 3), 9: (3, 2)}
    known |= {11: (11, 1), 13: (13, 1), 16: (2, 4), 25: (5, 2), 27: (3, 3), 64: (2, 6)}
    others = (6, 10, 12, 14, 15, 18, 24, 26, 28, 36)
    assert {n: prime_power(n) for n in (*known, *others)} == known | dict.fromkeys(others)


def test_shuffled_shows_each_scans_pieces_in_its_order():
    orders = torch.tensor([[2, 0, 1], [0, 2, 1]])
    pieces = torch.tensor([[10, 11, 12], [20, 21, 22]])
    assert shuffled(pieces, orders).tolist() == [[12, 10, 11], [20, 22, 21]]
    rich = torch.rand(2, 3, 4, 5)
    shown = shuffled(rich, orders)
    assert torch.equal(shown[0, 0], rich[0, 2])
    assert torch.equal(shuffled(shown, orders.argsort(1)), rich)

import numpy as np
import pytest
from made_up_study import make_row, make_rows
from scipy import stats

from ssl3d_lite.study.statistics import compare, interval, paired, verdict


def test_pairs_are_of_the_same_seed_and_fold():
    ours = [make_row("cpc", 0.5, 0), make_row("cpc", 0.7, 1), make_row("cpc", 0.9, 0, fold=1)]
    theirs = [make_row("scratch", 0.6, 1), make_row("scratch", 0.4, 0)]
    theirs.append(make_row("scratch", 0.6, 0, fold=1))
    assert paired(ours, theirs) == pytest.approx({(0, 0): 0.1, (0, 1): 0.3, (1, 0): 0.1})


def test_numbers_of_labels_are_averaged_where_both_have_them():
    ours = make_rows("cpc", [0.5], labels="2") + make_rows("cpc", [0.8], labels="5")
    ours += make_rows("cpc", [0.9], labels="20")
    theirs = make_rows("scratch", [0.4], labels="2") + make_rows("scratch", [0.5], labels="5")
    assert paired(ours, theirs) == pytest.approx({(0, 0): 0.2})
    compared = compare(("cpc", ours), ("scratch", theirs), 0.02)
    assert compared.unpaired == 1
    assert not compared.uneven


def test_what_one_side_lacks_is_left_out_and_counted():
    theirs = make_rows("scratch", [0.4, None, 0.4])
    compared = compare(("cpc", make_rows("cpc", [0.5, 0.5])), ("scratch", theirs), 0.02)
    assert compared.differences == pytest.approx({(0, 0): 0.1})
    assert compared.unpaired == 2, "seed 1 has no score here, seed 2 none there"


def test_a_kappa_that_is_no_number_is_no_score():
    assert paired(make_rows("cpc", [float("nan")]), make_rows("scratch", [0.5])) == {}


def test_pairs_with_scores_at_other_numbers_of_labels_are_noted():
    ours = [*make_rows("cpc", [0.5, 0.5]), make_row("cpc", 0.6, 0, labels="5")]
    theirs = [*make_rows("scratch", [0.4, 0.4]), make_row("scratch", 0.4, 0, labels="5")]
    assert compare(("cpc", ours), ("scratch", theirs), 0.02).uneven


def test_convergence_is_compared_step_by_step_and_fine_tuning_whatever_its_steps():
    at = {"protocol": "convergence"}
    ours = [make_row("cpc", 0.5, steps=10, **at), make_row("cpc", 0.9, steps=20, **at)]
    theirs = [make_row("scratch", 0.3, steps=10, **at)]
    assert paired(ours, theirs) == pytest.approx({(0, 0): 0.2})
    flat = make_rows("2d-cpc", [0.4], steps=30)
    assert paired(make_rows("cpc", [0.5], steps=60), flat) == pytest.approx({(0, 0): 0.1})


def test_the_interval_of_few_pairs_is_students():
    low, high = interval([0.01, 0.02, 0.06])
    # mean 0.03, standard error 0.0152753, t of 2 degrees of freedom 4.302653
    assert (low, high) == pytest.approx((-0.035724, 0.095724), abs=1e-6)
    assert low < 0.01 < 0.06 < high, "a percentile bootstrap would have stayed within"


def test_the_wider_end_counts():
    """Where two pairs stand far off, the bootstrap reaches further than t on that side."""
    values = [0.0] * 58 + [1.0, 1.0]
    low, high = interval(values)
    half = stats.t.ppf(0.975, 59) * stats.sem(values)
    assert low == pytest.approx(np.mean(values) - half)
    assert high > np.mean(values) + half


def test_the_interval_is_the_same_every_time():
    values = list(np.random.default_rng(0).normal(size=9))
    first = interval(values)
    interval.__globals__["_interval"].cache_clear()
    assert interval(values) == first


def test_fewer_than_two_pairs_have_no_interval():
    assert interval([]) is None
    assert interval([0.3]) is None


@pytest.mark.parametrize("value", [0.0, 0.1, -0.3])
def test_the_interval_of_equal_differences_is_a_point(value):
    assert interval([value] * 4) == pytest.approx((value, value))
    assert interval([0.3 - 0.2, 0.1]) == pytest.approx((0.1, 0.1)), "equal but for rounding"


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ([], "undecided"),
        ([0.5], "undecided"),
        ([0.1, 0.1], "holds"),
        ([0.1, 0.11, 0.12], "holds"),
        ([0.001, 0.001, 0.001], "holds"),
        ([0.0, 0.0, 0.0], "does not hold"),
        ([-0.1, -0.11, -0.12], "does not hold"),
        ([0.02, 0.02], "holds"),
        ([-0.01, 0.06, 0.02], "undecided"),
    ],
)
def test_the_interval_decides(differences, said):
    assert verdict(differences, 0.02) == said


def test_a_gain_must_be_ruled_out_and_not_only_be_reached():
    pairs = [-0.01, 0.01]
    high = interval(pairs)[1]
    assert verdict(pairs, high) == "undecided"
    assert verdict(pairs, high + 1e-9) == "does not hold"


def test_an_interval_that_begins_at_zero_does_not_hold():
    assert verdict([0.0, 0.0], 0.0) == "undecided"


def test_without_a_pair_there_is_no_number():
    compared = compare(("cpc", []), ("scratch", []), 0.02)
    assert (compared.mean, compared.low, compared.high) == (None, None, None)
    assert compared.verdict == "undecided"

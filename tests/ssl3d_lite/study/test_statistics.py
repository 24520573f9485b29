import numpy as np
import pytest
from scipy import stats

from ssl3d_lite.study.statistics import (
    LEVEL,
    Spread,
    failure_test,
    holm,
    interval,
    level_of_look,
    mean_squares,
    multi_reader,
    smallest_gain,
    spread_of,
    verdict,
)

# ---- seeds and patients ------------------------------------------------------------------------


def differences_with(seeds, cases, gain, by_seed, by_case, rest):
    """Differences (seed, patient) that have exactly these mean squares."""
    rng = np.random.default_rng(0)

    def centred(*shape):
        values = rng.normal(size=shape)
        for axis, length in enumerate(shape):
            if length > 1:
                values -= values.mean(axis, keepdims=True)
        return values

    row, column, left = centred(seeds, 1), centred(1, cases), centred(seeds, cases)
    row *= np.sqrt(by_seed * (seeds - 1) / cases / (row**2).sum())
    column *= np.sqrt(by_case * (cases - 1) / seeds / (column**2).sum())
    left *= np.sqrt(rest * (seeds - 1) * (cases - 1) / (left**2).sum())
    return gain + row + column + left


@pytest.mark.parametrize(
    ("readers", "cases", "squares", "f", "df", "p"),
    [
        # Van Dyke et al. 1993: 5 readers, 114 patients, spin echo against cine MRI
        (5, 114, (0.468996, 0.108062, 0.143095, 0.072068), 2.619, 10.99, 0.1339),
        # Franken et al. 1992: 4 readers, 100 patients; patients add nothing here
        (4, 100, (0.066606, 0.007494, 0.078071, 0.083643), 8.888, 3, 0.0585),
    ],
)
def test_two_published_examples(readers, cases, squares, f, df, p):
    """Hillis, Berbaum & Metz, Academic Radiology 15 (2008) 647, tables 9 and 11, normalized
    pseudovalues: the mean squares of tests, tests × readers, tests × patients and all three, and
    what follows of them. Differences of two tests have twice the mean squares."""
    of_tests, by_reader, by_case, rest = squares
    gain = np.sqrt(2 * of_tests / (readers * cases))
    differences = differences_with(readers, cases, gain, 2 * by_reader, 2 * by_case, 2 * rest)
    found = multi_reader(differences)
    assert (found.mean / found.standard_error) ** 2 == pytest.approx(f, abs=6e-4)
    assert found.df == pytest.approx(df, abs=6e-3)
    t = found.mean / found.standard_error
    assert 2 * stats.t.sf(t, found.df) == pytest.approx(p, abs=6e-5)
    assert found.p_above() >= p / 2 - 6e-5, "never bolder than what was published"


def test_it_is_the_test_of_obuchowski_and_rockette():
    """Their formula, with the jackknife's covariances of mean scores, computed from both arms."""
    rng = np.random.default_rng(1)
    seeds, cases = 6, 15
    scores = rng.normal(size=(2, seeds, cases)) + rng.normal(size=(1, 1, cases))
    scores += rng.normal(size=(2, 1, cases))
    means = scores.mean(2)
    left_out = (scores.sum(2, keepdims=True) - scores) / (cases - 1)  # without one case
    covariance = np.cov(left_out.reshape(2 * seeds, cases)) * (cases - 1) ** 2 / cases
    covariance = covariance.reshape(2, seeds, 2, seeds)
    others = ~np.eye(seeds, dtype=bool)
    cov2 = np.mean([covariance[i, :, i][others] for i in (0, 1)])
    cov3 = covariance[0, :, 1][others].mean()
    interaction = means - means.mean(0) - means.mean(1, keepdims=True) + means.mean()
    by_reader = (interaction**2).sum() / (seeds - 1)
    of_tests = seeds * ((means.mean(1) - means.mean()) ** 2).sum()
    below = by_reader + max(seeds * (cov2 - cov3), 0)
    found = multi_reader(scores[0] - scores[1])
    assert (found.mean / found.standard_error) ** 2 == pytest.approx(of_tests / below)
    assert found.df == pytest.approx(min((seeds - 1) * (below / by_reader) ** 2, cases - 1))


def test_without_patients_it_is_students_t():
    """Patients that all differ by as much leave the test over seeds."""
    values = np.array([0.01, 0.03, 0.02, 0.05])
    found = multi_reader(np.repeat(values[:, None], 10, 1))
    assert found.interval() == pytest.approx(
        stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    )


def test_equal_differences_are_a_point():
    found = multi_reader(np.full((3, 4), 0.1))
    assert found.interval() == pytest.approx((0.1, 0.1))
    assert (found.p_above(0), found.p_above(0.1), found.p_below(0.2)) == (0, 1, 0)


def test_mean_squares_give_the_spread_and_the_spread_the_error():
    values = differences_with(6, 20, 0.0, by_seed=0.5, by_case=0.3, rest=0.1)
    assert mean_squares(values) == pytest.approx((0.5, 0.3, 0.1))
    spread = spread_of(values)
    assert (spread.seeds, spread.cases, spread.rest) == pytest.approx((0.02, 0.2 / 6, 0.1))
    found = multi_reader(values)
    assert spread.error(6, 20) == pytest.approx((found.standard_error, found.df))
    assert spread.error(24, 20)[0] < found.standard_error


def test_no_number_of_seeds_makes_up_for_few_patients():
    spread = Spread(seeds=0.0004, cases=0.0036, rest=0.0025)
    assert spread.error(1000, 10)[0] > 0.9 * np.sqrt(0.0036 / 10)
    assert spread.error(1000, 10)[1] == 9


# ---- seeds alone -------------------------------------------------------------------------------


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
        ([0.1, 0.11, 0.12], "holds"),
        ([0.001, 0.001, 0.001], "holds"),
        ([0.0, 0.0, 0.0], "does not hold"),
        ([-0.1, -0.11, -0.12], "does not hold"),
        ([-0.01, 0.06, 0.02], "undecided"),
    ],
)
def test_how_one_interval_is_read(differences, said):
    assert verdict(differences, 0.02) == said


def test_a_gain_must_be_ruled_out_and_not_only_be_reached():
    pairs = [-0.01, 0.01]
    high = interval(pairs)[1]
    assert verdict(pairs, high) == "undecided"
    assert verdict(pairs, high + 1e-9) == "does not hold"


@pytest.mark.parametrize(
    ("ours", "theirs", "p"),
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], 1.0),
        ([0] * 6, [1] * 6, 2 / 2**6),
        ([0, 0, 0, 1], [1, 1, 1, 0], 2 * (1 + 4) / 2**4),
    ],
)
def test_failures_are_compared_pair_by_pair(ours, theirs, p):
    assert failure_test(ours, theirs) == pytest.approx(p)


# ---- several claims, several looks -------------------------------------------------------------


def test_holms_correction():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.2]) == [0.2]
    assert holm([0.9, 0.8]) == [1, 1]
    assert holm([]) == []


def test_all_looks_together_spend_no_more_than_the_level():
    levels = [level_of_look(look) for look in range(1, 40)]
    assert sum(levels) == pytest.approx(LEVEL)
    assert levels[0] == 0.8 * LEVEL
    assert levels == sorted(levels, reverse=True)


def test_the_smallest_gain_is_found_in_four_of_five_experiments():
    rng = np.random.default_rng(0)
    spread = Spread(seeds=0.0004, cases=0.0009, rest=0.0025)
    seeds, cases, level = 8, 40, 0.02
    error, df = spread.error(seeds, cases)
    gain = smallest_gain(error, min(df, 2 * (seeds - 1)), level)
    found = 0
    for _ in range(600):
        drawn = rng.normal(0, 0.02, (seeds, 1)) + rng.normal(0, 0.03, (1, cases))
        drawn = gain + drawn + rng.normal(0, 0.05, (seeds, cases))
        found += multi_reader(drawn).p_above() <= level
    assert found / 600 == pytest.approx(0.8, abs=0.06)

"""What a quiz calls right, where it can be computed: by the library, or by plain maths."""

from itertools import product
from math import comb, factorial, log, sqrt

import numpy as np
import pytest
import torch
from scipy import stats

from ssl3d_lite.book.quiz import all_quizzes
from ssl3d_lite.book.sources import texts_folder
from ssl3d_lite.data.preparation import Intensity
from ssl3d_lite.models.ordinal import decode
from ssl3d_lite.tasks.geometry import grid_shape, quarter_turns, turn

QUESTIONS = {f"{z.number}-{q.id}": q for z in all_quizzes(texts_folder()) for q in z.questions}


def dice(found: np.ndarray, truth: np.ndarray) -> float:
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def named_at_best(volume: torch.Tensor, dims: int) -> str:
    """The share of turns that can be named by somebody who sees nothing but ``volume``."""
    turns = quarter_turns(dims)
    seen = {tuple(turn(volume, plane, n).flatten().tolist()) for plane, n in turns}
    return f"{len(seen) / len(turns):.0%}".replace("%", " %")


def banded(*rows: int) -> torch.Tensor:
    picture = torch.zeros(1, 1, 8, 8)
    picture[..., list(rows)] = 1
    return picture


def moved_cube(edge: int) -> float:
    cube = np.zeros((edge + 2,) * 3, bool)
    cube[1:-1, 1:-1, 1:-1] = True
    return dice(np.roll(cube, 1, 0), cube)


def uniform_loss(answers: int) -> float:
    return float(torch.nn.functional.cross_entropy(torch.zeros(1, answers), torch.tensor([0])))


def kappa(table: list[list[float]]) -> float:
    observed = np.array(table) / np.sum(table)
    expected = np.outer(observed.sum(1), observed.sum(0))
    i, j = np.indices(observed.shape)
    return float(1 - ((i - j) ** 2 * observed).sum() / ((i - j) ** 2 * expected).sum())


def pyramid(row: int) -> int:
    return sum((2 * back + 1) ** 2 for back in range(row + 1))


def interval(mean: float, deviation: float, pairs: int) -> tuple[float, float]:
    half = stats.t.ppf(0.975, pairs - 1) * deviation / sqrt(pairs)
    return mean - half, mean + half


def hamming(one: str, other: str) -> int:
    return sum(a != b for a, b in zip(one, other, strict=True))


def torn(patients: int, folds: int) -> float:
    dealt = [first != second for first, second in product(range(folds), repeat=2)]
    return patients * sum(dealt) / len(dealt)


def alarms(looks: int) -> float:
    """The share of studies of noise in which one of so many looks finds something."""
    sums = np.random.default_rng(0).standard_normal((100_000, looks)).cumsum(1)
    return float((np.abs(sums) > 1.96 * np.sqrt(np.arange(1, looks + 1))).any(1).mean())


hounsfield = np.array([-160.0, 40.0, 240.0])
soft = Intensity.parse("window:-160,240").normalise(hounsfield, hounsfield)
apart = torch.relu(torch.tensor(0.5) - 0.6 + 0.2)
heart_voxel = 1.8 * 1.8 * 10
weights = [torch.nn.Conv2d(16, 32, 3, bias=False), torch.nn.Conv3d(16, 32, 3, bias=False)]
sizes = [sum(each.numel() for each in layer.parameters()) for layer in weights]
before, after = np.random.default_rng(0).normal(size=(2, 10**6))
same_axis = torch.zeros(1, 1, 4, 4, 4)
same_axis[..., 1:3] = 1  # it looks alike from both ends, and unlike along the third axis alone

ANSWERS = {
    "00-chance-in-a-batch": f"1 in {3 * 45}",
    "00-dice-by-hand": f"{2 * 40 / (100 + 60):.2f}",
    "00-label-factor": f"with {4 * 2.5:.0f}.",
    "01-millilitres": f"{2000 * 1 * 1 * 2.5 / 1000:.0f} ml",
    "01-a-value-in-a-window": f"{float(soft[1]):.2f}",
    "01-how-many-patches": str(np.prod(grid_shape((64,) * 3, 16, 8))),
    "02-half-turns-only": f"{uniform_loss(4):.2f}",
    "03-places-in-a-grid": f"1 in {5**3 - 1}",
    "03-loss-of-blind-guess": f"about {log(3**3 - 1) - log(3**2 - 1):.2f}",
    "04-hamming": str(hamming("12345", "13254")),
    "04-loss-of-guessing": f"{log(100) - 3.20:.2f} nats, against {log(1000) - 6.20:.2f}",
    "05-triplet-value": f"{float(apart):.1f}",
    "05-guessing-in-a-batch": f"1 in {2 * 5 - 1}",
    "06-patches-of-context": str(pyramid(2)),
    "06-patches-along-an-axis": str(grid_shape((48 - 4,) * 2, 16, 8)[0]),
    "06-how-far-ahead": str(next(rows for rows in range(9) if rows * 8 - 24 > 0)),
    "06-uniform-guess": f"{uniform_loss(64):.2f}",
    "06-accuracy-needs-n": f"{0.10 * 200:.0f} times as often as by chance, A {0.30 * 20:.0f}",
    "07-r2-by-hand": f"{1 - 0.3 / 1.2:.2f}",
    "08-bands-of-black": named_at_best(banded(0, 7), 2),
    "08-one-band-of-black": named_at_best(banded(0), 2),
    "09-weights-of-a-kernel": f"{sizes[0]} and {sizes[1]:,}",
    "09-equal-voxels": str(2 * 32),
    "10-equivariance-by-hand": f"{1.5 / (1.5 + 0.5):.2f}",
    "11-many-arms": f"{1 - 0.975**20:.0%}".replace("%", " %"),
    "11-interval-of-three": "−{:.2f} to {:.2f}".format(*np.abs(interval(0.05, 0.04, 3))),
    "12-gain-against-its-own-part": f"about −{-np.corrcoef(after - before, before)[0, 1]:.2f}",
    "13-coin-toss": f"{1 - 0.5 / 4:.1%}".replace("%", " %"),
    "13-worth-of-a-leak": f"{0.2 * (0.90 - 0.80):.2f}",
    "13-four-times-the-cases": f"{0.016 / sqrt(80 / 20):.3f}",
    "13-one-more-seed": f"about {round(alarms(10), 1):.0%}".replace("%", " %"),
    "13-background-in-the-mean": f"about {2 * 0.98 / 1.98 / 3:.2f}",
    "13-how-many-labels": str(2 + 40),
    "14-nested-regions": f"{300 + 900 + 200}, {300 + 200} and 200",
    "14-nothing-where-nothing-is": f"{4 / 16:.2f}",
    "14-hours-by-hand": f"{2e12 * 90_000 / 25e12 / 3600:.0f} hours",
    "15-greys-between": f"about {255 * 20 / 1400:.0f} and {255 * 20 / 340:.0f}",
    "15-value-alone": f"{2 * 0.8 * 0.01 / (0.20 + 0.01):.2f}",
    "15-background-as-a-class": f"{0.12 * 3 / 2:.2f}",
    "15-off-by-one": f"{moved_cube(4):.2f} and {moved_cube(20):.2f}",
    "16-ordinal-code": " ".join(str(int(k < 3)) for k in range(4)),
    "16-contradicting-answers": f"grade {int(decode(torch.tensor([[1.0, -1, 1, -1]]))[0])}",
    "16-weight-of-a-mistake": f"{3**2 // 1**2} times",
    "16-kappa-by-hand": f"{kappa([[4, 1], [1, 4]]):.1f}",
    "18-ejection-fraction": f"{1 - 4500 / 9000:.0%}".replace("%", " %"),
    "18-cavity-in-millilitres": f"{2500 * heart_voxel / 1000:.0f} ml",
    "18-a-filter-in-millimetres": f"{3 * 1.5} × {3 * 1.5} × {3 * 10} mm",
    "18-one-axis-unlike": named_at_best(same_axis, 3),
    "18-torn-apart": f"{torn(100, 5):.0f}",
    "18-bars": f"{4 * 2} × {4 * 2} × {4 * 8}",
    "18-a-step-a-millimetre": f"{0.12 / 1.5:.2f} a millimetre against {0.20 / 10:.2f}",
    "19-balanced-answers": f"{2400 / 24:.0f}, give or take {sqrt(2400 / 24 * 23 / 24):.0f}",
    "19-one-swap-away": f"{comb(3, 2)} in {factorial(3) - 1}",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_the_right_option_has_the_computed_answer(name):
    (right,) = QUESTIONS[name].right
    assert ANSWERS[name] in right.text
    assert not any(ANSWERS[name] == option.text for option in QUESTIONS[name].wrong)

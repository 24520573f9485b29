"""Equivariance under shift, of encoders whose answer is known."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import Analytic

from ssl3d_lite.data.cohort import UNKNOWN_UNIT
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.equivariance import equivariance_under_shift
from ssl3d_lite.models.encoders import make_encoder


def coordinates(x):
    axes = (torch.linspace(-1, 1, edge) for edge in x.shape[2:])
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]


def noise(x):
    """It is drawn anew each time."""
    return torch.randn(1, 3, *x.shape[2:], generator=NOISE)


NOISE = torch.Generator().manual_seed(0)
SHIFT = (3, 4, 5)


def score(cohort, formula, **settings):
    return equivariance_under_shift(Analytic(formula), cohort, [0, 1, 2], SHIFT, **settings)


def test_a_function_of_the_intensities_follows_the_anatomy(cohort):
    found = score(cohort, lambda x: torch.cat([x, x.square(), x.sin()], 1))
    assert found.score == pytest.approx(1, abs=1e-9)
    assert found.distance < 2  # a few voxels have the very same intensity


def test_coordinates_follow_the_crop(cohort):
    found = score(cohort, coordinates)
    assert found.score == 0
    assert found.place_distance == pytest.approx(np.linalg.norm(SHIFT))
    assert found.distance == pytest.approx(found.place_distance)


def test_noise_follows_neither(cohort):
    found = score(cohort, noise)
    assert found.score == pytest.approx(0.5, abs=0.02)
    assert found.distance == pytest.approx(found.chance_distance, rel=0.05)


def test_half_of_each_is_between(cohort):
    between = score(cohort, lambda x: torch.cat([x, coordinates(x)], 1)).score
    assert 0.2 < between < 0.9


def test_features_that_say_nothing_have_no_score(cohort):
    assert np.isnan(score(cohort, torch.ones_like).score)
    beside = score(cohort, lambda x: torch.cat([x, torch.ones_like(x)], 1))
    assert beside.score == pytest.approx(1, abs=1e-9)  # they do not count beside others


def test_a_real_encoder_is_read_and_stays_as_it_was(cohort):
    encoder = make_encoder(cohort, seed=0, filters=(4, 8), norm="batch")
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    found = equivariance_under_shift(encoder, cohort, [0, 1])
    assert 0.5 < found.score < 1
    assert found == equivariance_under_shift(encoder, cohort, [0, 1])
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())
    assert str(found).startswith(f"equivariance under shift {found.score:.3f} (place alone 0, ")
    assert f"best matches are {found.distance:.1f} mm off" in str(found)
    unstated = str(replace(found, unit=UNKNOWN_UNIT))
    assert f"best matches are {found.distance:.1f} off" in unstated


@pytest.mark.parametrize("shift", [(0, 0, 0), (1, 2), (-1, 2, 2), (12, 0, 0)])
def test_a_shift_that_does_not_suit_is_refused(cohort, shift):
    encoder = make_encoder(cohort, seed=0, filters=(4, 8))
    with pytest.raises(InputError, match="does not suit scans of 24 × 32 × 24 voxels"):
        equivariance_under_shift(encoder, cohort, [0], shift)

"""The views written by hand, against which the benchmark measures ours, are the same views."""

import numpy as np
import pytest
import torch
from benchmarks import by_hand
from helpers import drawn

from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import make_task

SPACE = (27, 30, 33)  # each axis has cells of another size, with room on both sides of a patch
ALL_OF_IT = {"flip": 0.5, "rotation": 1, "contrast": 1, "zoom": 1}


@pytest.fixture(scope="module")
def volumes() -> torch.Tensor:
    return torch.randn(6, 2, *SPACE, generator=torch.Generator().manual_seed(0))


def both(name, volumes, **settings):
    """Our views and those by hand, from one draw."""
    task = make_task(name, EncoderSettings(in_channels=2), **settings)
    params = drawn(task, volumes)
    numbers = {key: each.numpy() for key, each in params.items()}
    by_us = task.make_views(volumes, params).views
    return by_us.numpy(), by_hand.views(task, volumes.numpy(), numbers)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("rotation", {"crop_size": 20, "rotations_per_scan": 10}),
        ("rpl", {"patch": 5, "jitter": 2, "queries_per_scan": 26, "normalise": False}),
        ("jigsaw", {"patch": 5, "jitter": 2, "normalise": False}),
        ("cpc", {"patch": 8, "stride": 4, "max_patches": 4, "jitter": 3}),
        ("cpc", {"patch": 7, "stride": 5, "max_patches": 9, "jitter": 0}),
    ],
)
def test_views_cut_by_hand_are_ours_to_the_bit(name, settings, volumes):
    ours, theirs = both(name, volumes, **settings)
    assert theirs.dtype == ours.dtype
    np.testing.assert_array_equal(theirs, ours)


@pytest.mark.parametrize("name", ["rpl", "jigsaw"])
def test_normalised_by_hand_they_differ_by_rounding(name, volumes):
    ours, theirs = both(name, volumes, patch=6)
    np.testing.assert_allclose(theirs, ours, atol=2e-5)


# In float32 a place in the scan is off by some 1e-6 voxels, and neighbours of noise differ by ~1.
@pytest.mark.parametrize("edge", [16, 30])  # inside the scan, and reaching beyond its border
def test_distorted_by_hand_they_differ_by_rounding(edge, volumes):
    ours, theirs = both("exemplar", volumes, crop_size=edge, **ALL_OF_IT)
    assert theirs.dtype == ours.dtype
    np.testing.assert_array_equal(theirs[:, 0], ours[:, 0])
    np.testing.assert_allclose(theirs[:, 1], ours[:, 1], atol=1e-4)


def test_mirrored_by_hand_they_differ_by_rounding(volumes):
    ours, theirs = both("exemplar", volumes, crop_size=16, rotation=0, zoom=0, contrast=1)
    np.testing.assert_allclose(theirs, ours, atol=1e-5)


def test_each_distortion_is_seen(volumes):
    """Were nothing distorted, the comparison above would hold however wrong the two are."""
    for one in ALL_OF_IT:
        only = {name: int(name == one) for name in ALL_OF_IT}
        ours, _ = both("exemplar", volumes, crop_size=16, **only)
        assert np.abs(ours[:, 1] - ours[:, 0]).max() > 0.1

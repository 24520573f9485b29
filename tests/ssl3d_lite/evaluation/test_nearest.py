"""Nearest scans and places, where it is known which are nearest."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import Analytic

from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.feature_maps import features
from ssl3d_lite.evaluation.nearest import intensity_histograms, nearest_places, nearest_rows


def test_the_nearest_rows_come_first_and_no_row_is_its_own_neighbour():
    vectors = np.array([[0.0, 5], [3, 5], [1, 5], [-9, 5]])
    assert nearest_rows(vectors, 0, 2) == [2, 1]
    assert nearest_rows(vectors, 3, 9) == [0, 2, 1]
    with pytest.raises(InputError, match="row 4 is not among the 4"):
        nearest_rows(vectors, 4, 1)


def test_a_feature_of_large_numbers_does_not_decide_alone():
    vectors = np.array([[0, 0], [0.1, 1000], [1, 0], [-1, 2000.0]])
    assert nearest_rows(vectors, 0, 1) == nearest_rows(vectors * [1, 1e-6], 0, 1)


def test_histograms_are_shares_of_voxels(cohort):
    found = intensity_histograms(cohort, [0, 1, 2])
    assert found.shape == (3, 32)
    assert np.allclose(found.sum(1), 1)


def test_a_histogram_knows_no_anatomy(cohort):
    """A scan whose voxels are shuffled has the same."""
    images, labels = cohort.images([0, 1]), cohort.labels([0, 1])
    order = torch.randperm(images[0].numel(), generator=torch.Generator().manual_seed(0))
    images[1] = images[0].flatten()[order].view_as(images[0])
    both = replace(cohort, cases=cohort.cases[:2], resident=(images, labels))
    assert np.ptp(intensity_histograms(both, [0, 1]), 0).max() == 0


def test_the_place_of_the_same_intensity_is_found(cohort):
    """In a copy of a scan that is moved, it is as far away as that."""
    images = cohort.images([0, 1])
    images[1] = images[0].roll((4, 2, 6), (1, 2, 3))
    two = replace(cohort, cases=cohort.cases[:2], resident=(images, cohort.labels([0, 1])))
    nine = torch.nn.AvgPool3d(3, 1, 1)

    def formula(x):
        return torch.cat([x, nine(x), nine(nine(x)), nine(x.square())], 1)

    maps = features(Analytic(formula), two, [0, 1], stride=2)
    shapes = [case.shape for case in two.cases]
    (match,) = nearest_places(maps, shapes, 0, (8, 12, 9))
    assert match.row == 1
    assert match.voxel == (12, 14, 14)
    assert match.distance < 1e-6
    with pytest.raises(InputError, match=r"voxel \[0, 0\] is not in a scan of 24 × 32 × 24"):
        nearest_places(maps, shapes, 0, (0, 0))

"""Label maps on another grid: each voxel by counting, and nothing moved to one side."""

from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ssl3d_lite.data import label_maps
from ssl3d_lite.data.label_maps import resample_labels

HALVED = ((0.5,) * 3, (2.0,) * 3)


def maps(*shape: int, classes: int = 3):
    return arrays(np.uint8, shape, elements=st.integers(0, classes))


@given(maps(4, 6, 2))
def test_halved_by_counting(label):
    found = resample_labels(label, *HALVED, (2, 3, 1))
    blocks = label.reshape(2, 2, 3, 2, 1, 2).transpose(0, 2, 4, 1, 3, 5).reshape(2, 3, 1, 8)
    for place in np.ndindex(2, 3, 1):
        counts = np.bincount(blocks[place], minlength=4)
        assert found[place] == np.flatnonzero(counts == counts.max()).max()


@given(
    label=maps(5, 4, 3),
    axis=st.integers(0, 2),
    scale=st.sampled_from([0.4, 0.5, 2 / 3, 1.0, 1.25, 1.5, 2.0, 3.0, 3.7]),
    size=st.integers(1, 8),
)
def test_a_mirrored_map_stays_mirrored(label, axis, scale, size):
    origin = (np.array(label.shape) - 1) / 2 - scale * (size - 1) / 2
    frame = origin, (scale,) * 3, (size,) * 3
    found = resample_labels(label, *frame)
    np.testing.assert_array_equal(
        np.flip(found, axis), resample_labels(np.flip(label, axis), *frame)
    )


@given(maps(4, 5, 3), st.permutations(range(3)))
def test_axes_do_not_matter(label, order):
    frame = np.array([0.3, -0.2, 0.5]), np.array([1.6, 0.7, 2.0]), np.array([2, 6, 2])
    found = resample_labels(label, *frame)
    turned = resample_labels(label.transpose(order), *(each[list(order)] for each in frame))
    np.testing.assert_array_equal(turned, found.transpose(order))


@given(maps(4, 5, 3), st.sampled_from([2, 3, 5]))
def test_finer_voxels_repeat_the_coarse_one(label, times):
    origin = (-0.5 + 0.5 / times,) * 3
    found = resample_labels(label, origin, (1 / times,) * 3, [times * n for n in label.shape])
    np.testing.assert_array_equal(found, np.kron(label, np.ones((times,) * 3, np.uint8)))


@given(maps(4, 5, 3))
def test_the_same_grid_gives_the_same_map(label):
    np.testing.assert_array_equal(resample_labels(label, (0,) * 3, (1,) * 3, label.shape), label)


@given(
    label=maps(6, 5, 3),
    scale=st.sampled_from([0.4, 1.0, 1.5, 3.0]),
    origin=st.sampled_from([-4.2, -0.5, 0.25, 1.0]),
    slab=st.sampled_from([1, 12, 13, 30]),
)
def test_slab_by_slab_gives_the_same(label, scale, origin, slab):
    frame = (origin,) * 3, (scale,) * 3, (7, 4, 3)
    whole = resample_labels(label, *frame)
    with patch.object(label_maps, "LARGEST_PIECE", slab):
        np.testing.assert_array_equal(resample_labels(label, *frame), whole)


def test_beyond_the_map_is_background():
    label = np.full((4, 4, 4), 2, np.uint8)
    found = resample_labels(label, (-3.5, 0.5, 10.0), (2.0, 2.0, 1.0), (4, 2, 3))
    assert found.tolist() == np.zeros((4, 2, 3)).tolist()
    found = resample_labels(label, (-3.5, 0.5, 1.0), (2.0, 2.0, 1.0), (6, 2, 3))
    assert found[:, 0, 0].tolist() == [0, 0, 2, 2, 0, 0]


def test_the_highest_class_number():
    label = np.zeros((2, 2, 2), np.uint8)
    label[0] = 255
    assert resample_labels(label, *HALVED, (1, 1, 1)).item() == 255


@pytest.mark.parametrize(("share", "stays"), [(3, False), (4, True)])
def test_a_lesion_stays_if_it_fills_half_of_a_voxel(share, stays):
    label = np.zeros((2, 2, 2), np.uint8)
    label.flat[:share] = 1
    assert resample_labels(label, *HALVED, (1, 1, 1)).any() == stays

"""Intensities: exact values, one modality at a time, never NaN."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data_recipes.preparing.engine import RawCase
from data_recipes.preparing.volumes import Preparation, prepare_scan
from ssl3d_lite.data.preparation import Intensity
from ssl3d_lite.errors import InputError

KINDS = ("zscore", "zscore-brain", "unit", "window:-100,240")


def normalise(text: str, volume: np.ndarray) -> np.ndarray:
    return Intensity.parse(text).normalise(volume, volume)


def test_zscore():
    volume = np.random.default_rng(0).gamma(2, 1e5, (20, 20, 20)).astype(np.float32)
    scaled = normalise("zscore", volume)
    low, high = np.percentile(volume, (0.5, 99.5))
    within = volume.clip(low, high)
    deviation = within.std(dtype=float)
    np.testing.assert_allclose(scaled, (volume - within.mean(dtype=float)) / deviation, atol=1e-5)


def test_zscore_clips_as_far_beyond_the_percentiles_as_they_lie_apart():
    volume = np.linspace(0, 1000, 1001, dtype=np.float32)  # percentiles 5 and 995
    volume[[0, 1, -2, -1]] = -1e6, -984, 1984, 1e6
    scaled = normalise("zscore", volume)
    within = volume.clip(5, 995)
    bounds = (np.array([5 - 990, 995 + 990]) - within.mean()) / within.std()
    np.testing.assert_allclose(scaled[[0, -1]], bounds, rtol=1e-5)
    assert scaled[0] < scaled[1]
    assert scaled[-2] < scaled[-1]


@pytest.mark.parametrize("text", ["zscore", "zscore-brain"])
@pytest.mark.parametrize("tissue", ["one", "two", "skewed", "mostly air"])
def test_a_small_bright_lesion_keeps_its_contrast(text, tissue):
    rng = np.random.default_rng(0)
    shape = (40, 40, 40)
    volume = {
        "one": rng.normal(300, 15, shape),
        "two": 300 + 100.0 * (np.indices(shape)[0] > 20),
        "skewed": 100 + rng.gamma(2, 50, shape),
        "mostly air": abs(rng.normal(0, 3, shape)) + 300.0 * (np.indices(shape)[0] > 30),
    }[tissue].astype(np.float32)
    lesion = np.zeros(shape, bool)
    lesion[32:36, 4:8, 4:8] = True  # 0.1 % of the voxels
    rest = volume[~lesion]
    top = np.percentile(rest, 99.5)
    volume[lesion] = top + 2 * (top - rest.min())
    scaled = normalise(text, volume)
    above = scaled[lesion].min() - np.percentile(scaled[~lesion], 99.5)
    assert above >= 1.99 * scaled[~lesion].std()


def test_hot_voxels_do_not_dim_the_rest():
    volume = np.random.default_rng(0).normal(300, 15, (20, 20, 20)).astype(np.float32)
    hot = volume.copy()
    hot[3, 3, 3] = 1e7
    cool, scaled = normalise("zscore", volume), normalise("zscore", hot)
    assert scaled.max() < 9
    rest = hot != 1e7
    np.testing.assert_allclose(scaled[rest], cool[rest], atol=0.01)


def test_zscore_of_the_brain_leaves_the_background():
    volume = np.random.default_rng(0).normal(500, 50, (20, 20, 20)).astype(np.float32)
    volume[:8] = 0
    scaled = normalise("zscore-brain", volume)
    assert (scaled[:8] == 0).all()
    np.testing.assert_array_equal(scaled[8:], normalise("zscore", volume[8:]))


def test_unit():
    volume = np.array([-5, 0, 5, 15], np.float32)
    np.testing.assert_allclose(normalise("unit", volume), [0, 0.25, 0.5, 1])


def test_window():
    volume = np.array([-1000, -100, 70, 240, 3000], np.float32)
    np.testing.assert_allclose(normalise("window:-100,240", volume), [0, 0, 0.5, 1, 1])


def test_a_brain_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="no brain to scale by"):
        normalise("zscore-brain", np.zeros((3, 3, 3), np.float32))


def test_statistics_are_those_of_the_reference():
    volume = np.arange(10, dtype=np.float32)
    scaled = Intensity.parse("unit").normalise(volume, reference=volume[2:7])
    np.testing.assert_allclose(scaled, [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1])


@given(
    volume=arrays(np.float32, (4, 5, 6), elements=st.floats(-(2.0**60), 2.0**60, width=32)),
    text=st.sampled_from(KINDS),
)
def test_what_is_scaled_is_finite_and_small(volume, text):
    try:
        scaled = normalise(text, volume)
    except InputError:
        assume(False)
    assert np.isfinite(scaled.astype(np.float16)).all()
    low, high = Intensity.parse(text).bounds
    assert low <= scaled.min() <= scaled.max() <= high


def test_the_bounds_of_zscore_are_reached_and_not_passed():
    volume = np.zeros(1000, np.float32)
    volume[:6] = 1, 1, 1, 1, 1, 9  # 0.6 % are 1, and one of them lies far off
    assert 25 < normalise("zscore", volume).max() < Intensity.parse("zscore").bounds[1]


@given(
    volume=arrays(np.float32, (4, 5, 6), elements=st.integers(0, 1000).map(float)),
    text=st.sampled_from(KINDS[:3]),
    factor=st.sampled_from([0.5, 4.0, 1024.0]),
)
def test_the_unit_of_an_mri_does_not_matter(volume, text, factor):
    assume(volume.min() < volume.max())
    try:
        scaled = normalise(text, volume)
    except InputError:
        assume(False)
    np.testing.assert_allclose(normalise(text, factor * volume), scaled, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "most", "one"),
    [("zscore", 0, 7), ("zscore-brain", 7, 0), ("unit", 7, 7), ("window:-100,240", -1000, -100)],
)
def test_no_contrast(text, most, one):
    volume = np.full((10, 10, 10), most, np.float32)
    volume[0, 0, 0] = one
    with pytest.raises(InputError, match="contrast of 0 cannot be scaled"):
        normalise(text, volume)


@pytest.mark.parametrize("text", ["zscor", "ct", "", "window", "window:", "window:3", "zscore:1,2"])
def test_misspelt(text):
    with pytest.raises(InputError) as error:
        Intensity.parse(text)
    assert "window:" in str(error.value)


@pytest.mark.parametrize("text", ["window:240,-100", "window:0,0", "window:0,inf", "window:nan,1"])
def test_a_window_that_is_none(text):
    with pytest.raises(InputError, match="is no window"):
        Intensity.parse(text)


@pytest.mark.parametrize("text", KINDS)
def test_fault_07_each_modality_is_scaled_alone_and_constant_volumes_are_refused(
    text, save, tmp_path
):
    rng = np.random.default_rng(0)
    dim = rng.uniform(1, 200, (8, 8, 8)).astype(np.float32)
    how = Preparation(False, None, None, "pad", text)

    def prepare(**channels):
        paths = {name: save(tmp_path / f"{name}.nii", data) for name, data in channels.items()}
        return prepare_scan(RawCase("a", "a", paths), how, (0,)).image

    alone = prepare(dim=dim)[0]
    beside = prepare(dim=dim, bright=rng.uniform(0, 1e6, (8, 8, 8)).astype(np.float32))[0]
    np.testing.assert_array_equal(alone, beside)
    with pytest.raises(InputError, match=r"flat\.nii holds nothing but the value 7"):
        prepare(dim=dim, flat=np.full((8, 8, 8), 7, np.float32))

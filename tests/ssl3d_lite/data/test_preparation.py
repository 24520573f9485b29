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
    assert scaled.mean() == pytest.approx(0, abs=1e-5)
    assert scaled.std() == pytest.approx(1, abs=1e-5)
    low, high = np.percentile(volume, (0.5, 99.5))
    assert np.count_nonzero(scaled == scaled.max()) == np.count_nonzero(volume >= high)
    assert np.count_nonzero(scaled == scaled.min()) == np.count_nonzero(volume <= low)


def test_zscore_of_the_brain_leaves_the_background():
    volume = np.random.default_rng(0).normal(500, 50, (20, 20, 20)).astype(np.float32)
    volume[:8] = 0
    scaled = normalise("zscore-brain", volume)
    assert (scaled[:8] == 0).all()
    assert scaled[8:].mean() == pytest.approx(0, abs=1e-5)
    assert scaled[8:].std() == pytest.approx(1, abs=1e-5)


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
    assert abs(scaled).max() < 15


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

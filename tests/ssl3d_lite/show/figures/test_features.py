"""Figures of features: what stands in them is what was computed."""

import numpy as np
import pytest

from ssl3d_lite.evaluation.feature_maps import features
from ssl3d_lite.evaluation.nearest import intensity_histograms, nearest_places, nearest_rows
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.show import feature_colours, nearest_patches, nearest_patients

CASES = [0, 2, 3, 5]


@pytest.fixture(scope="module")
def maps(cohort):
    return {
        name: features(make_encoder(cohort, seed, filters=(4, 8)), cohort, CASES)
        for seed, name in enumerate(("random", "other"))
    }


def titles(axes, count):
    return [each.get_title().partition("\n")[0] for each in axes[:count]]


def test_colours_lie_where_the_cells_are(cohort, maps):
    figure = feature_colours(maps, cohort, CASES)
    figure.canvas.draw()
    axes = figure.axes
    assert len(axes) == 3 * len(CASES)
    assert titles(axes, 4) == [cohort.cases[case].id for case in CASES]
    for row, name in enumerate(maps, 1):
        for column in range(len(CASES)):
            picture = axes[row * len(CASES) + column].images[-1]
            seen = np.asarray(picture.get_array()).swapaxes(0, 1)
            assert np.array_equal(seen, maps[name].colours(column)[12 // 2])
            assert picture.get_extent() == [-0.5, 31.5, -0.5, 23.5]
    words = [text.get_text() for each in axes for text in each.texts]
    share = maps["random"].space.share(3)
    assert f"random\n{share:.0%} of variance" in words


def test_nearest_patients_are_those_computed(cohort, maps):
    figure = nearest_patients(maps["other"], cohort, CASES, row=1, count=2)
    ids = [cohort.cases[case].id for case in CASES]
    by_features = nearest_rows(maps["other"].embeddings, 1, 2)
    by_intensity = nearest_rows(intensity_histograms(cohort, CASES), 1, 2)
    wanted = [ids[n] for n in (1, *by_features, 1, *by_intensity)]
    assert titles(figure.axes, 6) == wanted
    framed = [axes.get_title() for axes in figure.axes if axes.axison]
    assert set(framed) == {ids[n] for n in set(by_features) & set(by_intensity)}


def test_rings_lie_at_the_nearest_places(cohort, maps):
    voxel, shapes = (10, 20, 12), [cohort.cases[case].shape for case in CASES]
    figure = nearest_patches(maps, cohort, CASES, voxel, count=3)
    for start, name in enumerate(maps):
        row = figure.axes[4 * start : 4 * start + 4]
        rings = [axes.patches[-1].center for axes in row]
        matches = nearest_places(maps[name], shapes, 0, voxel)
        assert rings == [voxel[1:], *(match.voxel[1:] for match in matches)]
        for axes, match in zip(row[1:], matches, strict=True):
            case = CASES[match.row]
            label = cohort.label_names[int(cohort.labels([case])[0][match.voxel])]
            assert axes.get_title() == f"{cohort.cases[case].id}\n{label}"

"""Feature maps: cells, principal components, colours that are the same everywhere, embeddings."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import make_cohort
from safetensors.torch import save_file
from sklearn.decomposition import PCA

import ssl3d_lite as ssl3d
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation import feature_maps
from ssl3d_lite.evaluation.feature_maps import (
    cell_middles,
    cells_of,
    features,
    fit_space,
    labels_of_cells,
    read_map,
)
from ssl3d_lite.models.encoders import make_encoder


@pytest.fixture(scope="module")
def encoder(cohort):
    return make_encoder(cohort, seed=0, filters=(4, 8))


@pytest.fixture(scope="module")
def maps(cohort, encoder):
    return features(encoder, cohort, [0, 3, 5])


def test_the_front_door_leads_to_it():
    assert ssl3d.features is features


# ---- cells -------------------------------------------------------------------------------------


def test_a_cell_is_a_block_of_voxels():
    assert cells_of((7, 4), 3) == (3, 2)
    middles = cell_middles((7, 4), 3).reshape(3, 2, 2)
    assert middles[:, 0, 0].tolist() == [1, 4, 6]  # the last block has one voxel
    assert middles[0, :, 1].tolist() == [1, 3]
    label = np.arange(7)[:, None] * [1, 1, 1, 1]
    assert labels_of_cells(label, 3)[:, 0].tolist() == [1, 4, 6]


def test_stride_of_the_finest_level_reads_it_as_it_is(cohort, encoder):
    """Its features lie at the middles of blocks of two voxels, and nothing is interpolated."""
    image = cohort.images([0])[0]
    found = read_map(encoder, image, stride=2, levels=[0])
    with torch.inference_mode():
        (finest, *_) = encoder(image[None])
    assert np.allclose(found, finest[0], atol=1e-6)


def test_stride_1_interpolates_every_level_to_voxels(cohort, encoder):
    image = cohort.images([0])[0]
    found = read_map(encoder, image, stride=1)
    with torch.inference_mode():
        levels = encoder(image[None])
    wanted = [
        F.interpolate(x, image.shape[1:], mode="trilinear", align_corners=False) for x in levels
    ]
    assert np.allclose(found, torch.cat(wanted, 1)[0], atol=1e-5)


def test_shapes(maps, cohort):
    assert [each.shape for each in maps.maps] == [(12, 12, 16, 12)] * 3
    assert maps.colours(0).shape == (12, 16, 12, 3)
    assert maps.colours(0).dtype == np.uint8
    assert maps.components(1, 5).shape == (5, 12, 16, 12)
    assert maps.labels[2].shape == (12, 16, 12)
    assert maps.cases == maps.space.fitted == tuple(cohort.cases[n].id for n in (0, 3, 5))
    assert "12 features of 12 × 16 × 12 cells" in repr(maps)


# ---- components and colours --------------------------------------------------------------------


def flat(maps, what):
    return np.concatenate([what(case).reshape(12, -1) for case in range(len(maps))], 1)


def test_features_are_in_units_of_their_deviation_over_the_named_patients(maps):
    all_of_them = flat(maps, maps.standardised)
    assert np.allclose(all_of_them.mean(1), 0)
    assert np.allclose(all_of_them.std(1), 1)


def test_components_are_those_of_scikit_learn(maps):
    scaled = flat(maps, maps.standardised).T
    theirs = PCA().fit(scaled)
    assert np.allclose(maps.space.variances, theirs.explained_variance_, rtol=1e-3)
    assert np.allclose(np.abs((maps.space.axes * theirs.components_).sum(1)), 1, atol=1e-6)
    assert maps.space.share(3) == pytest.approx(theirs.explained_variance_ratio_[:3].sum())
    assert (
        np.take_along_axis(maps.space.axes, np.abs(maps.space.axes).argmax(1)[:, None], 1) > 0
    ).all()


def test_one_colour_means_one_thing_in_all_patients(cohort, encoder, maps):
    """A case has the same colours, whichever others are shown, if the same ones are fitted."""
    alone = features(encoder, cohort, [3], fit=[0, 3, 5])
    assert np.array_equal(alone.colours(0), maps.colours(1))
    assert not np.array_equal(features(encoder, cohort, [3]).colours(0), maps.colours(1))


def test_colours_do_not_depend_on_float32(cohort, encoder, maps):
    """Batches, threads and memory formats add up in other orders: in float64 no byte changes."""
    last = make_encoder(cohort, seed=0, filters=(4, 8)).to(memory_format=torch.channels_last_3d)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(before + 1)
        again = features(last, cohort, [0, 3, 5])
    finally:
        torch.set_num_threads(before)
    for case in range(3):
        assert np.abs(again.maps[case] - maps.maps[case]).max() < 1e-12
        assert np.array_equal(again.colours(case), maps.colours(case))


OTHERWISE = """
import sys
import numpy as np
from safetensors.torch import load_file
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.evaluation.feature_maps import features
from ssl3d_lite.models.encoders import make_encoder

cohort = Cohort.open(sys.argv[1])
encoder = make_encoder(cohort, seed=0, filters=(4, 8))
encoder.load_state_dict(load_file(sys.argv[2]))
maps = features(encoder, cohort, [0, 3, 5])
np.savez(sys.argv[3], maps=maps.maps[0], *(maps.colours(case) for case in range(3)))
"""


def test_colours_do_not_depend_on_the_processors_instructions(cohort, encoder, maps, tmp_path):
    """The plainest instructions of every library, and two threads, as another machine may have."""
    save_file(encoder.state_dict(), tmp_path / "weights")
    plainest = {
        "ATEN_CPU_CAPABILITY": "default",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "OPENBLAS_CORETYPE": "Nehalem",
        "OMP_NUM_THREADS": "2",
    }
    places = [cohort.folder, tmp_path / "weights", tmp_path / "found.npz"]
    command = [sys.executable, "-c", OTHERWISE, *map(str, places)]
    subprocess.run(command, env=os.environ | plainest, check=True)
    with np.load(tmp_path / "found.npz") as found:
        assert np.abs(found["maps"] - maps.maps[0]).max() < 1e-12
        for case in range(3):
            assert np.array_equal(found[f"arr_{case}"], maps.colours(case))


def test_the_scale_is_fixed():
    """Grey is the mean, and 2.5 deviations are the last shade."""
    scores = np.array([[-5.0, -1.0, 0.0, 1.0, 5.0]])
    space = fit_space([scores], ["a"])
    shades = space.colours(scores)
    deviation = scores.std()
    assert shades[:, 0].tolist() == [
        round(127.5 * (1 + max(-1, min(1, x / deviation / 2.5)))) for x in scores[0]
    ]
    assert (shades[:, 1:] == 128).all()  # there is but one component


def test_features_that_are_the_same_everywhere_count_for_nothing():
    dice = np.random.default_rng(0)
    varied = dice.normal(size=(3, 500)) * [[1], [100], [1e-3]] + [[0], [1e4], [5]]
    mute = np.concatenate([varied, np.full((1, 500), 0.1)])
    space, without = fit_space([mute], ["a"]), fit_space([varied], ["a"])
    assert np.allclose(space.variances, [*without.variances, 0])
    assert np.allclose(space.colours(mute), without.colours(varied))
    assert space.share(4) == 1
    constant = fit_space([np.ones((3, 50))], ["a"])
    assert (constant.colours(np.ones((3, 50))) == 128).all()
    assert constant.share(3) == 0


# ---- embeddings ---------------------------------------------------------------------------------


def test_embeddings_are_means(maps):
    assert maps.embeddings.shape == (3, 12)
    assert np.allclose(maps.embeddings[1], maps.maps[1].mean((1, 2, 3)))
    within = maps.embeddings_within(2)
    assert np.allclose(within[0], maps.maps[0][:, maps.labels[0] == 2].mean(1))
    assert np.isnan(maps.embeddings_within(7)).all()


def test_a_scan_without_labels_has_no_embedding_within_one(tmp_path, encoder):
    found = features(encoder, make_cohort(tmp_path, 6, unlabelled=1), [0, 5])
    assert found.labels[1] is None
    assert np.isnan(found.embeddings_within(1)[1]).all()
    assert not np.isnan(found.embeddings_within(1)[0]).any()


def test_pictures_have_maps_too(tmp_path):
    pictures = make_cohort(tmp_path, 3, (24, 32))
    found = features(make_encoder(pictures, seed=0, filters=(4, 8)), pictures, [0, 1])
    assert found.colours(0).shape == (12, 16, 3)


# ---- what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cases": []}, "no case of made up is chosen"),
        ({"cases": [99]}, "case 99 is not among the 15"),
        ({"fit": [-1]}, "case -1 is not among the 15"),
        ({"levels": [2]}, "level 2 is not among the encoder's 2"),
        ({"stride": 0}, "stride is 0"),
        ({"stride": 1.5}, "stride is 1.5"),
    ],
)
def test_bad_input_gets_one_line(cohort, encoder, settings, message):
    with pytest.raises(InputError, match=message) as refused:
        features(encoder, cohort, **{"cases": [0], **settings})
    assert "\n" not in str(refused.value)


def test_too_little_memory_for_float64_is_said_before(cohort, encoder, monkeypatch):
    monkeypatch.setattr(feature_maps, "free_ram", lambda: 1000)
    with pytest.raises(InputError, match=r"need 0 GB of memory for one scan; read them in"):
        features(encoder, cohort, [0])
    assert len(features(encoder, cohort, [0], exact=False)) == 1


def test_an_encoder_for_other_axes_is_refused(cohort):
    flat_one = make_encoder(replace(make_encoder(cohort).settings, spatial_dims=2, norm="batch"))
    with pytest.raises(InputError, match="2"):
        features(flat_one, cohort, [0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cases": 0}, "cases are 0, but must be a list of positions, such as"),
        ({"cases": "01"}, "cases are '01'"),
        ({"cases": [0.5]}, "cases are"),
        ({"cases": [0], "fit": 0}, "cases are 0"),
        ({"cases": [0], "levels": 1}, "levels are 1, but must be numbers of levels"),
        ({"cases": [0], "levels": []}, "levels are"),
        ({"cases": [0], "levels": [1, 1]}, "each is read once"),
        ({"cases": [0], "levels": [2]}, "level 2 is not among the encoder's 2, 0 the finest"),
        ({"cases": [0], "stride": True}, "stride is True"),
        ({"cases": [0], "stride": 2.0}, "stride is 2.0"),
        ({"cases": [0], "stride": 33}, "stride is 33, but a scan has no more than 24 × 32 × 24"),
    ],
)
def test_what_does_not_fit_gets_one_line(cohort, settings, message):
    encoder = make_encoder(cohort, seed=0, filters=(4, 8))
    with pytest.raises(InputError, match=message):
        features(encoder, cohort, **settings)


def test_numbers_of_numpy_are_numbers(cohort):
    encoder = make_encoder(cohort, seed=0, filters=(4, 8))
    maps = features(encoder, cohort, np.arange(2), levels=[np.int64(1)], stride=np.int64(8))
    assert maps.stride == 8
    assert maps.maps[0].shape == (8, 3, 4, 3)
    with pytest.raises(InputError, match="case 2 is not among these 2, from 0"):
        maps.colours(2)
    with pytest.raises(InputError, match="9 components are asked for, but there are 8 features"):
        maps.components(0, 9)

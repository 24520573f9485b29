import pytest
import torch
from helpers import drawn

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import make_task
from ssl3d_lite.tasks.geometry import turn
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import TrainSettings

FOUR = {dims: EncoderSettings(filters=(4,), stride=1, spatial_dims=dims) for dims in (2, 3)}


@pytest.mark.parametrize("dims", [2, 3])
def test_turning_back_restores_the_crop(dims):
    task = make_task("rotation", FOUR[dims], crop_size=6, rotations_per_scan=3)
    volumes = torch.randn(4, 2, *[8] * dims)
    params = drawn(task, volumes)
    batch = task.make_views(volumes, params)
    assert batch.views.shape == (4, 3, 2, *[6] * dims)
    for scan in range(4):
        corner = params["corner"][scan, 0].tolist()
        cube = volumes[scan][(slice(None), *(slice(c, c + 6) for c in corner))]
        for copy in range(3):
            plane, quarters = task.turns[batch.target[scan, copy]]
            assert torch.equal(turn(batch.views[scan, [copy]], plane, -quarters)[0], cube)


@pytest.mark.parametrize("dims", [2, 3])
def test_placement_says_where_every_voxel_came_from(dims):
    task = make_task("rotation", FOUR[dims], crop_size=3, rotations_per_scan=4)
    volumes = torch.randn(2, 1, *[5] * dims)
    batch = task.make_views(volumes, drawn(task, volumes))
    voxels = torch.cartesian_prod(*[torch.arange(3.0)] * dims)
    homogeneous = torch.cat([voxels, torch.ones(len(voxels), 1)], 1)
    for scan in range(2):
        for view in range(4):
            source = (homogeneous @ batch.placement.matrix[scan, view].T)[:, :dims].long()
            want = volumes[scan, 0][tuple(source.T)]
            assert torch.equal(batch.views[scan, view, 0].flatten(), want)


def test_draws_are_balanced_and_a_scans_copies_differ():
    task = make_task("rotation", FOUR[3], crop_size=2, rotations_per_scan=2)
    turns = drawn(task, torch.zeros(5000, 1, 2, 2, 2))["rotation"]
    assert (turns[:, 0] != turns[:, 1]).all()
    counts = torch.bincount(turns.flatten(), minlength=10)
    expected = 10000 / 10
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 27.9, f"p < 0.001 for even draws: {counts.tolist()}"


def test_one_seed_one_puzzle():
    task = make_task("rotation", FOUR[3], crop_size=6)
    volumes = torch.randn(3, 1, 8, 9, 8)
    first, again, other = (drawn(task, volumes, seed) for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_fault_13_a_long_scan_is_cut_to_a_cube_so_its_shape_betrays_nothing():
    task = make_task("rotation", FOUR[3], crop_size=6)
    volumes = torch.rand(2, 1, 8, 20, 11) + 1
    batch = task.make_views(volumes, drawn(task, volumes))
    assert batch.views.shape[3:] == (6, 6, 6)
    assert (batch.views >= 1).all(), "no voxel is padding"


def test_a_cube_larger_than_the_scan_is_refused():
    task = make_task("rotation", FOUR[3], crop_size=32)
    with pytest.raises(InputError, match=r"\(32, 32, 32\) voxels does not fit"):
        drawn(task, torch.zeros(2, 1, 24, 40, 40))


def test_a_handful_of_volumes_is_learnt_by_heart(cohort):
    encoder = make_encoder(EncoderSettings(filters=(8, 16, 32)), 0)
    task = make_task("rotation", encoder.settings, crop_size=16, rotations_per_scan=4)
    settings = TrainSettings(steps=240, batch=4, learning_rate=3e-3)
    history = pretrain(task, encoder, cohort, range(4), settings)
    assert history[0]["accuracy"] < 0.4
    assert history[-1]["accuracy"] > 0.5
    assert history[-1]["chance"] == pytest.approx(0.1)

"""What holds for all tasks: how they are made, which volumes they take, what their batches hold."""

import pytest
import torch
from helpers import drawn, posed

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import UNetEncoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import TASKS, make_task, part_of

TWO = {dims: EncoderSettings(filters=(2, 4), spatial_dims=dims) for dims in (2, 3)}
SMALL = {
    "cpc": {"patch": 4, "stride": 2, "jitter": 2},
    "rpl": {"patch": 4, "jitter": 1},
    "jigsaw": {"patch": 4, "jitter": 1, "permutations": 10},
    "masked": {"crop_size": 8, "block_size": 4},
} | {name: {"crop_size": 8} for name in ("rotation", "exemplar", "tissue", "random", "collapsed")}
ALL = pytest.mark.parametrize("name", TASKS)
BOTH = pytest.mark.parametrize("dims", [2, 3])


def test_every_task_is_tried_here():
    assert SMALL.keys() == TASKS.keys()


# ---- making ------------------------------------------------------------------------------------


@ALL
def test_a_task_is_made_for_an_encoder_or_for_its_settings(name):
    encoder = UNetEncoder(TWO[3])
    one, other = (make_task(name, each, seed=3, **SMALL[name]) for each in (encoder, TWO[3]))
    assert one.settings == other.settings
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("cpcc", {}, "did you mean 'cpc'"),
        ("cpc+rpl", {}, "names several tasks"),
        ("cpc", {"most": 5}, "unknown setting of cpc 'most'"),
        ("masked", {"mask_ration": 0.5}, "did you mean 'mask_ratio'"),
        ("cpc", {"context": "lstm"}, "unknown context 'lstm'.*conv, gru"),
        ("cpc", {"temperature": 0}, "temperature is 0, but must be above 0"),
        ("cpc", {"temperature": -1}, "temperature is -1, but must be above 0"),
        ("cpc", {"prediction_steps": ()}, r"prediction_steps is \(\), but needs 1 or more"),
        ("cpc", {"prediction_steps": (-1,)}, "prediction_steps.* each entry must be above 0"),
        ("cpc", {"directions": ()}, r"directions is \(\), but needs 1 or more"),
        ("cpc", {"stride": 0}, "stride is 0, but must be above 0"),
        ("cpc", {"context_layers": 0}, "context_layers is 0, but must be above 0"),
        ("rotation", {"rotations_per_scan": 0}, "rotations_per_scan is 0, but must be 1 or more"),
        ("rotation", {"rotations_per_scan": 99}, "rotations_per_scan is 99, but must be 10 or les"),
        ("rotation", {"crop_size": 2.5}, "crop_size is 2.5, but must be a whole number"),
        ("exemplar", {"flip": 7}, "flip is 7, but must be 1 or less"),
        ("exemplar", {"zoom": -1}, "zoom is -1, but must be 0 or more"),
        ("exemplar", {"margin": 0}, "margin is 0, but must be above 0"),
        ("exemplar", {"negatives": "hardset"}, "did you mean 'hardest'"),
        ("masked", {"mask_ratio": 1}, "mask_ratio is 1, but must be below 1"),
        ("masked", {"block_size": 0}, "block_size is 0, but must be above 0"),
        ("tissue", {"classes": 1}, "classes is 1, but must be 2 or more"),
        ("jigsaw", {"permutations": 1}, "permutations is 1, but must be 2 or more"),
        ("jigsaw", {"permutation_seed": -1}, "permutation_seed is -1, but must be 0 or more"),
        ("rpl", {"normalise": 3}, "normalise is 3, but must be True or False"),
    ],
)
def test_what_means_nothing_is_refused(name, settings, said):
    with pytest.raises(InputError, match=said):
        make_task(name, TWO[3], **settings)


def test_in_2d_there_are_fewer_rotations():
    with pytest.raises(InputError, match="rotations_per_scan is 5, but in 2D there are 4 rotation"):
        make_task("rotation", TWO[2], rotations_per_scan=5)


# ---- volumes -----------------------------------------------------------------------------------


@BOTH
@ALL
def test_a_forgotten_batch_axis_is_told_what_shape_is_wanted(name, dims):
    task, space = make_task(name, TWO[dims], **SMALL[name]), [16] * dims
    params = drawn(task, torch.rand(2, 1, *space))
    for call in (
        lambda volumes: drawn(task, volumes),
        lambda volumes: task.make_views(volumes, params),
    ):
        with pytest.raises(InputError) as error:
            call(torch.zeros(1, *space))
        assert str(error.value) == (
            f"{name} takes volumes of shape (batch, channel, *space) with {dims} space axes, but "
            f"got {(1, *space)}; for a single volume give volume[None]"
        )
        with pytest.raises(InputError, match=rf"with {dims} space axes, but got .*\)$"):
            call(torch.zeros(1, 1, 1, *space))


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("cpc", {}, "patches of 16 voxels and a jitter of 8 need volumes of 24 voxels, but got "),
        ("cpc", {"patch": 4}, "CPC predicts 3 rows ahead along axis 1, but a volume of "),
        ("rpl", {}, "3 pieces an axis of 8 voxels and a jitter of 3 need volumes of 33 voxels, "),
        ("jigsaw", {}, "3 pieces an axis of 8 voxels and a jitter of 3 need volumes of 33 voxels"),
        ("rotation", {}, "a box of (32, 32, 32) voxels does not fit a volume of "),
    ],
)
def test_a_volume_too_small_is_told_its_own_size(name, settings, said):
    with pytest.raises(InputError) as error:
        drawn(make_task(name, TWO[3], **settings), torch.zeros(2, 1, 16, 16, 16))
    assert said in str(error.value)
    assert "(16, 16, 16)" in str(error.value)


# ---- batches -----------------------------------------------------------------------------------


@BOTH
@ALL
def test_a_part_of_the_params_makes_that_part_of_the_batch(name, dims):
    task, volumes = make_task(name, TWO[dims], **SMALL[name]), torch.rand(4, 1, *[16] * dims)
    params = drawn(task, volumes)
    whole, part = task.make_views(volumes, params), slice(2, 4)
    half = task.make_views(volumes[part], part_of(params, part))
    assert torch.equal(half.views, whole.views[part])
    assert torch.equal(half.placement.matrix, whole.placement.matrix[part])


@ALL
def test_the_networks_part_gives_a_loss_and_a_measure_before_chance(name):
    encoder = UNetEncoder(TWO[3])
    task = make_task(name, encoder, **SMALL[name])
    batch = posed(task, torch.rand(2, 1, 16, 16, 16))
    prediction = task(encoder, batch)
    assert task.loss(prediction, batch).isfinite()
    assert "chance" in list(task.score(prediction, batch))[1:]
    assert task.check_health([]) is None


def test_a_batch_of_another_task_is_no_batch_of_cpc():
    encoder = UNetEncoder(TWO[3])
    batch = posed(make_task("jigsaw", encoder, **SMALL["jigsaw"]), torch.rand(2, 1, 16, 16, 16))
    with pytest.raises(InputError, match="no direction, so they are of another task than cpc"):
        make_task("cpc", encoder)(encoder, batch)

import itertools

import numpy as np
import pytest
import torch
from helpers import drawn, posed

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import UNetEncoder, make_encoder
from ssl3d_lite.models.heads import LightDecoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import make_task
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import TrainSettings

SMALL = {dims: EncoderSettings(filters=(4, 8), spatial_dims=dims) for dims in (2, 3)}
SPACES = [(10, 7), (10, 7, 8)]  # 4 divides neither 10 nor 7


def answered(dims, **settings):
    """An encoder, a task, a batch of three scans and the answer, whose gradient is kept."""
    encoder, task = make_encoder(SMALL[dims], 0), make_task("masked", SMALL[dims], **settings)
    batch = posed(task, torch.randn(3, 1, *SPACES[dims - 2]))
    prediction = task(encoder, batch)
    prediction.retain_grad()
    return encoder, task, batch, prediction


# ---- what is hidden ----------------------------------------------------------------------------


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.6, 0.8])
def test_in_every_scan_the_same_share_of_blocks_is_hidden(space, share):
    task = make_task("masked", SMALL[len(space)], block_size=4, mask_ratio=share)
    hidden = drawn(task, torch.zeros(20, 1, *space))["hidden"]
    blocks = (3, 2, 2)[: len(space)]
    assert hidden.shape == (20, *blocks)
    assert (hidden.flatten(1).sum(1) == round(share * np.prod(blocks))).all()


@pytest.mark.parametrize("space", SPACES)
def test_a_voxel_is_either_shown_or_asked_for(space):
    """Voxel by voxel: blocks at the far border are cut short."""
    task = make_task("masked", SMALL[len(space)], block_size=4)
    volumes = torch.randn(3, 2, *space)
    params = drawn(task, volumes)
    batch = task.make_views(volumes, params)
    for scan, *voxel in itertools.product(range(3), *map(range, space)):
        where = (scan, 0, slice(None), *voxel)
        truth = volumes[(scan, slice(None), *voxel)]
        if params["hidden"][(scan, *(v // 4 for v in voxel))]:
            assert torch.equal(batch.target[where], truth)
            assert not batch.views[where].any()
        else:
            assert torch.equal(batch.views[where], truth)
            assert batch.target[where].isnan().all()


def test_every_block_is_hidden_as_often():
    task = make_task("masked", SMALL[3], block_size=4, mask_ratio=0.3)
    hidden = drawn(task, torch.zeros(4000, 1, 12, 7, 8))["hidden"].flatten(1).double()
    scans, blocks = hidden.shape
    share = hidden[0].mean()
    # blocks of one scan are drawn without putting back, which the first factor makes up for
    variance = scans * share * (1 - share)
    chi_square = (blocks - 1) / blocks * ((hidden.sum(0) - scans * share) ** 2 / variance).sum()
    assert blocks == 12
    assert chi_square < 31.3, f"p < 0.001 for even draws: {hidden.sum(0).tolist()}"


@pytest.mark.parametrize("dims", [2, 3])
def test_a_box_smaller_than_the_scan_reaches_every_place(dims):
    task = make_task("masked", SMALL[dims], crop_size=4, block_size=2)
    corner = drawn(task, torch.zeros(800, 1, *[6] * dims))["corner"].flatten(0, 1)
    assert len({tuple(c) for c in corner.tolist()}) == 3**dims


@pytest.mark.parametrize("space", SPACES)
def test_placement_says_where_the_box_lies(space):
    task = make_task("masked", SMALL[len(space)], crop_size=8, block_size=3)
    volumes = torch.randn(6, 1, *space)
    batch = posed(task, volumes)
    size = batch.views.shape[3:]
    assert size == tuple(min(8, edge) for edge in space)
    assert batch.placement.matrix.shape == (6, 1, len(space) + 1, len(space) + 1)
    for scan in range(6):
        matrix = batch.placement.matrix[scan, 0]
        assert torch.equal(matrix[:, :-1], torch.eye(len(space) + 1)[:, :-1])
        corner = matrix[:-1, -1].long().tolist()
        box = volumes[scan][(slice(None), *map(slice, corner, map(sum, zip(corner, size))))]
        shown = batch.target[scan, 0].isnan()
        assert torch.equal(torch.where(shown, batch.views, batch.target)[scan, 0], box)


def test_one_seed_one_puzzle():
    task = make_task("masked", SMALL[3], crop_size=8, block_size=4)
    volumes = torch.randn(3, 1, 10, 9, 8)
    first, again, other = (posed(task, volumes, seed) for seed in (1, 1, 2))
    assert torch.equal(first.views, again.views)
    torch.testing.assert_close(first.target, again.target, rtol=0, atol=0, equal_nan=True)
    assert not torch.equal(first.views, other.views)


@pytest.mark.parametrize("share", [0, 1, -0.5, 1.5, float("nan")])
def test_a_share_that_hides_nothing_or_all_is_refused(share):
    with pytest.raises(
        InputError, match=r"mask_ratio is .* must be (above 0|below 1|a finite number)"
    ):
        make_task("masked", SMALL[3], mask_ratio=share)


# ---- loss and score ----------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
def test_the_loss_is_the_mean_square_over_hidden_voxels(dims):
    """Against NumPy's mean in float64, over voxels picked one scan at a time."""
    task = make_task("masked", SMALL[dims], block_size=4)
    volumes = torch.randn(3, 2, *SPACES[dims - 2], dtype=torch.double)
    params = drawn(task, volumes)
    prediction = torch.randn(3, 1, *volumes.shape[1:], dtype=torch.double)
    squares = []
    for scan in range(3):
        hidden = np.kron(params["hidden"][scan].numpy(), np.ones((4,) * dims, bool))
        hidden = hidden[tuple(map(slice, volumes.shape[2:]))]
        difference = (prediction[scan, 0] - volumes[scan]).numpy()
        squares.append((difference**2)[:, hidden].ravel())
    loss = task.loss(prediction, task.make_views(volumes, params)).item()
    assert loss == pytest.approx(np.concatenate(squares).mean(), rel=1e-12)


@pytest.mark.parametrize("dims", [2, 3])
def test_what_is_said_of_visible_voxels_does_not_count(dims):
    _, task, batch, prediction = answered(dims, block_size=4)
    visible = batch.target.isnan()
    otherwise = prediction.detach().masked_fill(visible, 1e6)
    assert task.loss(otherwise, batch) == task.loss(prediction, batch)
    assert task.score(otherwise, batch) == task.score(prediction, batch)


@pytest.mark.parametrize("dims", [2, 3])
def test_the_gradient_is_none_at_visible_voxels_and_a_number_everywhere(dims):
    encoder, task, batch, prediction = answered(dims, block_size=4)
    task.loss(prediction, batch).backward()
    visible = batch.target.isnan()
    assert not prediction.grad[visible].any()
    assert prediction.grad[~visible].all()
    weights = [*encoder.parameters(), *task.parameters()]
    assert all(weight.grad.isfinite().all() for weight in weights)


def test_an_answer_that_is_no_number_is_not_passed_over():
    _, task, batch, prediction = answered(3, block_size=4)
    broken = prediction.detach().clone()
    broken.view(-1)[(~batch.target.isnan()).flatten().nonzero()[0]] = torch.nan
    assert task.loss(broken, batch).isnan()


@pytest.mark.parametrize("dims", [2, 3])
def test_the_truth_explains_all_and_the_mean_nothing(dims):
    task = make_task("masked", SMALL[dims], block_size=4)
    volumes = 3 + torch.randn(3, 1, *SPACES[dims - 2])
    batch = posed(task, volumes)
    correct = task.score(volumes[:, None], batch)
    mean = task.score(torch.full_like(batch.target, batch.target.nanmean()), batch)
    assert correct["r2"].item() == pytest.approx(1, abs=1e-6)
    assert mean["r2"].item() == pytest.approx(0, abs=1e-6)
    assert correct["chance"] == mean["chance"] == 0


@pytest.mark.parametrize("dims", [2, 3])
def test_the_encoder_sees_nothing_of_what_is_hidden(dims):
    encoder, task = make_encoder(SMALL[dims], 0), make_task("masked", SMALL[dims], block_size=4)
    volumes = torch.randn(3, 1, *SPACES[dims - 2])
    params = drawn(task, volumes)
    batch = task.make_views(volumes, params)
    hidden = ~batch.target[:, 0].isnan()
    other = task.make_views(volumes.masked_fill(hidden, 100), params)
    assert torch.equal(batch.views, other.views)
    assert torch.equal(task(encoder, batch), task(encoder, other))
    assert (other.target[~other.target.isnan()] == 100).all()


# ---- the decoder -------------------------------------------------------------------------------


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("space", [(11, 9), (8, 5), (11, 9, 7), (4, 6, 13)])
def test_any_size_is_answered_voxel_for_voxel(space, stride):
    settings = EncoderSettings(filters=(2, 3, 4), spatial_dims=len(space), stride=stride)
    scans = torch.randn(2, 1, *space)
    features = UNetEncoder(settings)(scans)
    assert LightDecoder(settings, 5, 3)(features, scans).shape == (2, 3, *space)


@pytest.mark.parametrize("dims", [2, 3])
def test_no_kernel_is_wider_than_a_voxel(dims):
    decoder = LightDecoder(EncoderSettings(filters=(2, 3, 4), spatial_dims=dims), 5, 3)
    kernels = [weight for weight in decoder.parameters() if weight.ndim > 1]
    assert len(kernels) == 4
    assert all(kernel.shape[2:] == (1,) * dims for kernel in kernels)


@pytest.mark.parametrize("dims", [2, 3])
def test_with_one_level_the_decoder_is_a_layer_for_each_voxel(dims):
    torch.manual_seed(0)
    decoder = LightDecoder(
        EncoderSettings(filters=(6,), stride=1, spatial_dims=dims), 5, 3
    ).double()
    features = torch.randn(2, 6, *(4, 3, 5)[:dims], dtype=torch.double)
    got = decoder([features], features).detach().numpy()
    (first, one), (last, two) = (
        (conv.weight.detach().flatten(1).numpy(), conv.bias.detach().numpy())
        for conv in (decoder.thin[0], decoder.last)
    )
    for scan, *voxel in itertools.product(range(2), *map(range, features.shape[2:])):
        where = (scan, slice(None), *voxel)
        want = last @ np.maximum(first @ features[where].numpy() + one, 0) + two
        np.testing.assert_allclose(got[where], want, rtol=1e-12)


def test_levels_are_added_up_from_deep_to_fine():
    """Features that are the same everywhere stay so: two levels are the sum of both."""
    torch.manual_seed(0)
    decoder = LightDecoder(EncoderSettings(filters=(2, 3)), 5, 1).double()
    fine, deep = (torch.randn(1, width, 1, 1, 1, dtype=torch.double) for width in (2, 3))
    levels = [fine.expand(-1, -1, 7, 6, 5), deep.expand(-1, -1, 3, 3, 2)]
    got = decoder(levels, levels[0])
    want = decoder.last((decoder.thin[0](fine) + decoder.thin[1](deep)).relu())
    torch.testing.assert_close(got, want.expand(-1, -1, 7, 6, 5), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("edge", [32, 35])
def test_a_deep_voxel_is_answered_where_it_was_seen(edge):
    """The deepest level says where it lies; at the border it cannot know better."""
    decoder = LightDecoder(EncoderSettings(filters=(1,) * 4, spatial_dims=2), 1, 1)
    for weight in decoder.parameters():
        torch.nn.init.constant_(weight, weight.ndim > 1)
    place = torch.arange(float(edge)).expand(1, 1, edge, edge)
    levels = [place]
    for _ in range(3):
        levels.append(torch.nn.functional.avg_pool2d(levels[-1], 2))
    zeros = [torch.zeros_like(level) for level in levels[:-1]]
    prediction = decoder([*zeros, levels[-1]], place)
    inside = slice(edge // 4, 2 * edge // 3)
    torch.testing.assert_close(prediction[..., inside], place[..., inside])


# ---- the whole ---------------------------------------------------------------------------------


def test_a_handful_of_volumes_is_learnt_by_heart(cohort):
    encoder = make_encoder(EncoderSettings(filters=(8, 16)), 0)
    task = make_task("masked", encoder.settings, block_size=4)
    settings = TrainSettings(steps=60, batch=4, learning_rate=1e-2, precision="32-true")
    history = pretrain(task, encoder, cohort, range(4), settings)
    assert history[0]["r2"] < 0.4
    assert history[-1]["r2"] > 0.6
    assert history[-1]["chance"] == 0
    assert history[-1]["loss"] < history[0]["loss"] / 1.8


def test_settings_that_hide_nothing_or_all_are_refused():
    with pytest.raises(InputError, match="block_size is 0, but must be above 0"):
        make_task("masked", SMALL[2], block_size=0)
    task = make_task("masked", SMALL[2], block_size=8)
    with pytest.raises(InputError, match=r"\(8, 8\) voxels has 1 blocks of edge 8: too few"):
        task.sample_params(torch.zeros(2, 1, 8, 8), torch.Generator())

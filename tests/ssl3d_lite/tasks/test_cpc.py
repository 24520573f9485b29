import math

import pytest
import torch
from helpers import Means, drawn, posed

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import make_task
from ssl3d_lite.tasks.cpc import along
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import TrainSettings

ONE = {
    dims: EncoderSettings(filters=(1,), stride=1, spatial_dims=dims) for dims in (2, 3)
}  # one feature
SMALL = {"patch": 4, "stride": 2, "jitter": 2, "embedding_dim": 8, "hidden": 8}


def test_fault_10_each_patch_is_encoded_once():
    task = make_task("cpc", ONE[3], **SMALL)
    batch = posed(task, torch.randn(2, 1, 12, 14, 12))
    encoder = Means()
    task(encoder, batch)
    assert encoder.encoded == batch.views.shape[0] * batch.views.shape[1]


@pytest.mark.parametrize("space", [(12, 14), (12, 14, 10)])
def test_fault_11_2d_and_3d_are_one_definition(space):
    task = make_task("cpc", ONE[len(space)], **SMALL)
    batch = posed(task, torch.randn(2, 1, *space))
    assert batch.placement.grid == tuple((n - 2 - 4) // 2 + 1 for n in space)
    assert batch.views.shape == (2, math.prod(batch.placement.grid), 1, *[4] * len(space))
    assert task(Means(), batch).shape == (len(batch.target), 2 * batch.views.shape[1])


def test_views_lie_where_the_placement_says():
    task = make_task("cpc", ONE[3], **SMALL)
    volumes = torch.randn(2, 1, 12, 14, 10)
    batch = posed(task, volumes)
    for scan in range(2):
        for view in range(batch.views.shape[1]):
            corner = batch.placement.matrix[scan, view, :3, 3].long().tolist()
            where = tuple(slice(c, c + 4) for c in corner)
            assert torch.equal(batch.views[scan, view], volumes[scan][(slice(None), *where)])


@pytest.mark.parametrize("direction", ["+0", "-0", "+1", "-1", "+2", "-2"])
def test_the_target_is_the_patch_so_many_rows_ahead(direction):
    """Patches whose content is their own number: the answers' targets can be read off."""
    task = make_task("cpc", ONE[3], directions=(direction,), prediction_steps=(2, 3), **SMALL)
    volumes = torch.randn(2, 1, 14, 14, 14)
    batch = posed(task, volumes)
    axis, sign = int(direction[1]), -1 if direction[0] == "-" else 1
    grid = batch.placement.grid
    place = batch.placement.matrix[:, :, :3, 3].reshape(-1, 3)
    numbers = along(torch.arange(len(place)).view(2, 1, *grid), batch.placement.direction)
    current = torch.cat([numbers[:, :, : grid[axis] - step].flatten() for step in (2, 3)])
    step = torch.cat([torch.full_like(numbers[:, :, s:].flatten(), s) for s in (2, 3)])
    moved = place[batch.target] - place[current]
    want = torch.zeros_like(moved)
    want[:, axis] = sign * 2 * step  # stride 2
    assert torch.equal(moved, want)


def test_infonce_of_equal_scores_is_log_n():
    task = make_task("cpc", ONE[3], **SMALL)
    batch = posed(task, torch.randn(2, 1, 12, 14, 12))
    equal = torch.zeros(len(batch.target), 2 * batch.views.shape[1])
    assert task.loss(equal, batch).item() == pytest.approx(math.log(equal.shape[1]), rel=1e-6)


@pytest.mark.parametrize("steps", [(3,), (3, 4), (2, 3, 4)])
def test_chance_is_what_a_network_has_that_knows_the_grid_and_no_scan(steps):
    """It gives every question the same patch of the last row, where each step has a target."""
    task = make_task("cpc", ONE[3], prediction_steps=steps, **SMALL)
    batch = posed(task, torch.randn(2, 1, 12, 14, 12))
    rows = batch.placement.grid[1]
    candidates = batch.views.shape[0] * batch.views.shape[1]
    last = int(batch.target[-1])
    always = torch.zeros(len(batch.target), candidates)
    always[:, last] = 1
    found = task.score(always, batch)
    columns = candidates // rows
    questions = columns * sum(rows - step for step in steps if step < rows)
    assert found["chance"] == pytest.approx(sum(step < rows for step in steps) / questions)
    assert found["accuracy"] == pytest.approx(found["chance"])
    assert found["chance"] > 1 / candidates  # which is too low a floor


def test_fault_10_the_loss_is_infonce_over_every_candidate():
    """Against a plain loop in float64: -log(e^right / sum over candidates of e^score)."""
    torch.manual_seed(0)
    task = make_task("cpc", ONE[3], **SMALL).double()
    batch = posed(task, torch.randn(2, 1, 10, 12, 10).double())
    logits = task(Means(), batch)
    total = 0.0
    for row, correct in zip(logits.tolist(), batch.target.tolist(), strict=True):
        total -= math.log(math.exp(row[correct]) / sum(math.exp(score) for score in row))
    assert task.loss(logits, batch).item() == pytest.approx(total / len(logits), rel=1e-12)


def test_logits_are_cosines_over_the_temperature():
    task = make_task("cpc", ONE[3], temperature=0.5, **SMALL)
    logits = task(Means(), posed(task, torch.randn(2, 1, 12, 14, 12)))
    assert logits.abs().max() <= 2 + 1e-5


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("context", "rows_seen"), [("conv", 2), ("gru", 3)])
def test_the_context_sees_the_inverted_pyramid_and_nothing_else(dims, context, rows_seen):
    """Which places of the field change the context at one place: a pyramid above, no other."""
    torch.manual_seed(0)
    task = make_task("cpc", ONE[dims], context=context, embedding_dim=16).double()
    shape, centre = [5] * dims, [3] + [2] * (dims - 1)
    field = torch.randn(1, 16, *shape, dtype=torch.double, requires_grad=True)
    task.context(field)[(0, slice(None), *centre)].sum().backward()
    seen = field.grad[0].abs().sum(0) > 0
    for place in torch.cartesian_prod(*[torch.arange(n) for n in shape]).view(-1, dims):
        rows_above = centre[0] - place[0]
        aside = (place[1:] - torch.tensor(centre[1:])).abs().max()
        wanted = 0 <= rows_above <= rows_seen and aside <= rows_above
        assert bool(seen[tuple(place)]) == bool(wanted), place


def test_no_prediction_depends_on_the_patch_it_has_to_find():
    torch.manual_seed(0)
    task = make_task("cpc", ONE[3], prediction_steps=(2,), **SMALL)
    volumes = torch.randn(1, 1, 6, 14, 6)  # a grid of one patch across, five along
    batch = posed(task, volumes)
    rows = batch.placement.grid[1]
    assert batch.placement.grid == (1, rows, 1)
    field = torch.randn(1, 8, *batch.placement.grid, requires_grad=True)
    context = along(field, batch.placement.direction)
    context = task.context(context)
    for row in range(rows):
        (gradient,) = torch.autograd.grad(context[0, :, row].sum(), field, retain_graph=True)
        later = gradient[0, :, 0, row + 1 :, 0]
        assert not later.any(), f"row {row} sees a later one"


@pytest.mark.parametrize("norm", ["batch", "group", "instance"])
@pytest.mark.parametrize("direction", ["+1", "-0"])
def test_no_prediction_depends_on_the_voxels_of_its_target_in_training(norm, direction):
    """Nor through the statistics of batch norm: the gradient is exactly 0."""
    encoder = make_encoder(EncoderSettings(filters=(4, 8), norm=norm), 0).train()
    how = {"directions": (direction,), "prediction_steps": (1, 2)}
    task = make_task("cpc", encoder.settings, **SMALL | how)
    batch = posed(task, torch.randn(2, 1, 12, 14, 12))
    batch.views.requires_grad_()
    predictions = []  # of each step (scan, channel, row, *across)
    for linear in task.predict:
        linear.register_forward_hook(lambda module, given, found: predictions.append(found))
    task(encoder, batch)
    for predicted in predictions:
        for row in range(predicted.shape[2]):
            wanted = predicted[:, :, row].square().sum()
            (slope,) = torch.autograd.grad(wanted, batch.views, retain_graph=True)
            field = slope.flatten(2).abs().sum(-1).view(2, 1, *batch.placement.grid)
            by_row = along(field, batch.placement.direction).sum((0, 1, 3, 4))
            assert by_row[row] > 0
            assert not by_row[row + 1 :].any()


def test_large_scans_give_no_larger_grid():
    task = make_task("cpc", ONE[3])
    assert task.grid((128, 128, 128)) == (5, 5, 5)
    large = torch.zeros(1, 1, 99, 99, 99)
    corners = torch.stack([drawn(task, large, seed)["start"] for seed in range(200)])
    assert corners.max() > 40, "the grid is taken from anywhere in the scan"


def test_steps_past_the_end_of_a_short_axis_are_left_out():
    task = make_task("cpc", ONE[3], directions=("+0",), prediction_steps=(2, 9), **SMALL)
    batch = posed(task, torch.randn(1, 1, 12, 8, 8))
    rows, *across = batch.placement.grid
    assert len(batch.target) == (rows - 2) * math.prod(across)
    assert len(task(Means(), batch)) == len(batch.target)


@pytest.mark.parametrize("direction", ["1", "+3", "x1", "+", "++1"])
def test_a_misspelt_direction_is_one_clear_line(direction):
    with pytest.raises(InputError, match="give a sign and an axis"):
        make_task("cpc", ONE[3], directions=(direction,))


def test_a_scan_too_short_for_the_steps_ahead_is_refused():
    task = make_task("cpc", ONE[3])
    with pytest.raises(InputError, match="predicts 3 rows ahead along axis 1"):
        task.grid((40, 32, 40))


def test_a_handful_of_volumes_is_learnt_by_heart(cohort):
    """With group norm, through which no batch tells its targets as it would with batch norm."""
    encoder = make_encoder(EncoderSettings(filters=(8, 16, 32), norm="group"), 0)
    task = make_task("cpc", encoder.settings, patch=8, stride=4, jitter=0, max_patches=4)
    settings = TrainSettings(steps=200, batch=2, learning_rate=3e-3)
    history = pretrain(task, encoder, cohort, range(4), settings)
    assert history[-1]["chance"] == 1 / 32  # 128 patches, but targets lie in the last row alone
    assert history[0]["accuracy"] < 4 / 128
    assert history[-1]["accuracy"] > 3 / 128
    assert history[-1]["loss"] < history[0]["loss"] - 0.3


def test_fault_11_on_a_field_of_depth_one_3d_is_2d():
    """With the weights of the 3D convolution's middle, the 2D context is the very same."""
    torch.manual_seed(0)
    deep, flat = (make_task("cpc", ONE[dims], embedding_dim=4).double() for dims in (3, 2))
    for in_3d, in_2d in zip(deep.context, flat.context, strict=True):
        in_2d.conv.weight.data = in_3d.conv.weight.data[..., 1]
        in_2d.conv.bias.data = in_3d.conv.bias.data
    field = torch.randn(2, 4, 5, 6, dtype=torch.double)
    torch.testing.assert_close(deep.context(field[..., None])[..., 0], flat.context(field))
    gru = make_task("cpc", ONE[3], embedding_dim=4, context="gru").double().context
    torch.testing.assert_close(gru(field[..., None])[..., 0], gru(field))


# ---- several devices ---------------------------------------------------------------------------

SHARED = {"patch": 4, "stride": 2, "jitter": 0, "embedding_dim": 8, "hidden": 8}


def gradients(volumes):
    """Loss and all gradients of CPC on ``volumes``, with the same weights each time."""
    encoder = make_encoder(EncoderSettings(filters=(4,), stride=1, norm="group"), 0).double()
    task = make_task("cpc", encoder.settings, **SHARED).double()
    batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
    loss = task.loss(task(encoder, batch), batch)
    loss.backward()
    named = [*encoder.named_parameters(), *task.named_parameters()]
    return loss.detach(), {name: weight.grad for name, weight in named}


def one_of_two(rank, folder):
    """What each of two processes does: half of the batch, and the mean of both gradients."""
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    volumes = torch.load(folder / "volumes.pt", weights_only=True)
    loss, own = gradients(volumes.chunk(2)[rank])
    for value in (loss, *own.values()):
        torch.distributed.all_reduce(value)
        value /= 2
    if rank == 0:
        torch.save({"loss": loss, **own}, folder / "together.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_have_the_gradients_of_one_with_the_whole_batch(tmp_path):
    """Negatives are gathered from both: with half the candidates the loss would be lower."""
    torch.manual_seed(0)
    volumes = torch.randn(4, 1, 8, 12, 8, dtype=torch.double)
    torch.save(volumes, tmp_path / "volumes.pt")
    context = torch.multiprocessing.get_context("spawn")
    processes = [context.Process(target=one_of_two, args=(rank, tmp_path)) for rank in range(2)]
    for process in processes:
        process.start()
    loss, alone = gradients(volumes)
    for process in processes:
        process.join(120)
        assert process.exitcode == 0
    together = torch.load(tmp_path / "together.pt", weights_only=True)
    torch.testing.assert_close(together.pop("loss"), loss)
    assert together.keys() == alone.keys()
    for name, gradient in alone.items():
        torch.testing.assert_close(together[name], gradient, msg=name)
    half, _ = gradients(volumes[:2])
    assert half < loss - 0.3

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import drawn, posed
from scipy.ndimage import map_coordinates
from torch import nn

from ssl3d_lite.errors import DivergedError, InputError
from ssl3d_lite.models.encoders import UNetEncoder, make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import Placement, ProxyBatch, make_task
from ssl3d_lite.tasks.exemplar import COLLAPSE_PATIENCE, COLLAPSED, Exemplar
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import TrainSettings

FOUR = {dims: EncoderSettings(filters=(4,), stride=1, spatial_dims=dims) for dims in (2, 3)}
STILL = {"flip": 0, "rotation": 0, "contrast": 0, "zoom": 0}
ALWAYS = {"flip": 0.5, "rotation": 1, "contrast": 1, "zoom": 1}


def points(*shape, seed=0):
    """Random points on the unit sphere, in float64."""
    generator = torch.Generator().manual_seed(seed)
    return nn.functional.normalize(
        torch.randn(*shape, generator=generator, dtype=torch.double), dim=-1
    )


def batch_of(scans, numbers=None):
    """A batch without pictures: the loss and the score read its target and the scans' ids."""
    numbers = [0] * len(scans) if numbers is None else numbers
    target = torch.tensor([range(len(scans)), numbers]).T[:, None]
    return ProxyBatch(torch.empty(0), target, Placement(torch.empty(0)), tuple(scans))


class Same(nn.Module):
    """An encoder to which all scans look the same."""

    def forward(self, x):
        return [torch.ones(len(x), 4, *[1] * (x.ndim - 2))]


# ---- one head, one point for each view ---------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
def test_fault_09_a_view_has_one_embedding_wherever_it_stands(dims):
    encoder = make_encoder(FOUR[dims], 0).eval()
    task = make_task("exemplar", FOUR[dims], crop_size=6)
    batch = posed(task, torch.randn(3, 1, *[8] * dims))
    swapped = ProxyBatch(batch.views.flip(1), batch.target, batch.placement)
    prediction = task(encoder, batch)
    assert not torch.equal(prediction[:, 0], prediction[:, 1])
    torch.testing.assert_close(task(encoder, swapped), prediction.flip(1), rtol=0, atol=1e-6)


def test_fault_09_there_is_one_head_and_no_more():
    task = make_task("exemplar", FOUR[3], hidden=5, embedding_dim=7)
    assert sum(p.numel() for p in task.parameters()) == (4 * 5 + 5) + (5 * 7 + 7)


@pytest.mark.parametrize("view", [0, 1])
def test_fault_09_both_views_teach_the_same_head(view):
    task = make_task("exemplar", FOUR[3], crop_size=6)
    prediction = task(make_encoder(FOUR[3], 0), posed(task, torch.randn(2, 1, 8, 8, 8)))
    prediction[:, view, 0].sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in task.head.parameters())


@pytest.mark.parametrize("dims", [2, 3])
def test_embeddings_lie_on_the_unit_sphere(dims):
    task = make_task("exemplar", FOUR[dims], crop_size=6, embedding_dim=5)
    prediction = task(
        make_encoder(FOUR[dims], 0), posed(task, torch.randn(3, 2, *[8] * dims)[:, :1])
    )
    assert prediction.shape == (3, 2, 5)
    torch.testing.assert_close(prediction.norm(dim=-1), torch.ones(3, 2))


def taught_alone(task):
    """Loss and score of twenty steps in which the head learns and the encoder sees nothing."""
    optimizer = torch.optim.AdamW(task.parameters(), 3e-3)
    volumes = torch.randn(4, 1, 8, 8)
    for step in range(20):
        batch = posed(task, volumes, step)
        prediction = task(Same(), batch)
        loss = task.loss(prediction, batch)
        yield {"loss": loss.item(), **task.score(prediction, batch)}
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize("negatives", ["random", "hardest"])
def test_fault_09_biases_alone_solve_nothing(negatives):
    """With an encoder to which all scans look the same, the loss stays at the margin."""
    task = make_task("exemplar", FOUR[2], crop_size=6, margin=0.3, negatives=negatives)
    rows = list(taught_alone(task))
    assert [row["loss"] for row in rows] == pytest.approx([0.3] * 20, rel=1e-6)


def test_fault_09_one_point_for_all_is_called_a_collapse():
    task = make_task("exemplar", FOUR[2], crop_size=6, margin=0.3)
    rows = list(taught_alone(task))
    assert max(row["embedding_std"] for row in rows) < 1e-5
    assert "collapsed" in task.check_health([rows[-1]] * COLLAPSE_PATIENCE)


# ---- who is a counter-example ------------------------------------------------------------------


def test_fault_09_a_batch_of_one_is_refused_with_the_reason():
    task = make_task("exemplar", FOUR[3], crop_size=6)
    with pytest.raises(InputError, match=r"would be the scan itself.*--batch 2"):
        drawn(task, torch.zeros(1, 1, 8, 8, 8))


def test_fault_09_a_scan_that_stands_twice_in_a_batch_is_no_counter_example_to_itself():
    """Its second pair lies on its first: as a counter-example it would cost the whole margin."""
    task = make_task("exemplar", FOUR[2], margin=0.5, negatives="hardest").double()
    here, there = torch.eye(64, dtype=torch.double)[:2]
    prediction = torch.stack([torch.stack([p, p]) for p in (here, here, there)])
    assert task.loss(prediction, batch_of([7, 7, 8])).item() == 0
    assert task.loss(prediction, batch_of([7, 9, 8])).item() == pytest.approx(0.5 * 2 / 3)


def test_without_ids_each_scan_of_a_batch_is_another():
    """Even if it has the same voxels: only ids say that a scan came twice."""
    task = make_task("exemplar", FOUR[2], crop_size=6, margin=0.5, negatives="hardest").double()
    batch = posed(task, torch.zeros(3, 1, 8, 8).double())
    assert batch.ids == ()
    assert task.owners(batch).tolist() == [0, 1, 2]
    here, there = torch.eye(64, dtype=torch.double)[:2]
    prediction = torch.stack([torch.stack([p, p]) for p in (here, here, there)])
    assert task.loss(prediction, batch).item() == pytest.approx(0.5 * 2 / 3)
    assert task.loss(prediction, replace(batch, ids=(7, 7, 8))).item() == 0


def test_without_ids_the_scans_of_other_processes_are_others_too(monkeypatch):
    """The second of two processes, which has scans 3, 4 and 5; validation is not shared."""
    task = make_task("exemplar", FOUR[2], crop_size=6)
    batch = posed(task, torch.zeros(3, 1, 8, 8))
    monkeypatch.setattr("ssl3d_lite.tasks.exemplar.rank", lambda: 1)
    assert task.owners(batch).tolist() == [3, 4, 5]
    assert task.eval().owners(batch).tolist() == [0, 1, 2]


def test_pretraining_says_which_scans_are_the_same(cohort, monkeypatch):
    """Three cases, two a step: the second step begins a round with the case that ended the first,
    or with another."""
    seen = []

    class Spy(Exemplar):
        def loss(self, prediction, batch):
            seen.append(batch.ids)
            return super().loss(prediction, batch)

    encoder = UNetEncoder(EncoderSettings(filters=(4, 8)))
    task = Spy(Exemplar.Settings(crop_size=8), encoder.settings)
    settings = TrainSettings(steps=12, batch=2, precision="32-true")
    pretrain(task, encoder, cohort, (3, 5, 9), settings)
    assert {number for ids in seen for number in ids} == {3, 5, 9}
    assert all(len(ids) == 2 for ids in seen)
    assert any(one == other for one, other in seen), "over the end of a round a scan comes twice"


# ---- the loss, against a plain loop ------------------------------------------------------------


def by_hand(prediction, scans, numbers, margin, negatives):
    """Triplet loss one number at a time."""

    def apart(a, b):
        return math.sqrt(sum((x - y) ** 2 for x, y in zip(a, b, strict=True)))

    views = [(view, scan) for pair, scan in zip(prediction, scans, strict=True) for view in pair]
    total, asked = 0.0, 0
    for (anchor, copy), scan, number in zip(prediction, scans, numbers, strict=True):
        others = [apart(anchor, point) for point, whose in views if whose != scan]
        if not others:
            continue
        other = min(others) if negatives == "hardest" else others[number % len(others)]
        total, asked = total + max(0.0, apart(anchor, copy) - other + margin), asked + 1
    return total / len(prediction)


@pytest.mark.parametrize("negatives", ["random", "hardest"])
@pytest.mark.parametrize("scans", [(1, 2, 3), (2, 1, 2), (5, 5, 5), (1, 4, 2)])
def test_fault_09_the_loss_is_the_triplet_loss(negatives, scans):
    """In one batch a scan stands twice, and in one no other stands."""
    task = make_task("exemplar", FOUR[2], negatives=negatives, embedding_dim=6).double()
    for seed in range(5):
        numbers = torch.randint(2**31, (3,), generator=torch.Generator().manual_seed(seed)).tolist()
        prediction = points(3, 2, 6, seed=seed)
        got = task.loss(prediction, batch_of(scans, numbers)).item()
        want = by_hand(prediction.tolist(), scans, numbers, 0.2, negatives)
        assert got == pytest.approx(want, rel=1e-12)


def test_every_counter_example_is_picked_as_often():
    """Four views of others: number modulo 4 says which."""
    task = make_task("exemplar", FOUR[2], embedding_dim=6, margin=3.0).double()
    prediction = points(3, 2, 6)
    losses = {
        round(task.loss(prediction, batch_of([1, 2, 3], [number, 0, 0])).item(), 12)
        for number in range(8)
    }
    assert len(losses) == 4


def test_the_gradient_stays_finite_where_points_coincide():
    task = make_task("exemplar", FOUR[2], embedding_dim=6).double()
    prediction = points(1, 1, 6).expand(3, 2, 6).clone().requires_grad_()
    task.loss(prediction, batch_of([1, 2, 3])).backward()
    assert prediction.grad.isfinite().all()


# ---- the views ---------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [(9, 7), (9, 7, 11)])
def test_the_first_view_is_the_box_of_the_scan(space):
    task = make_task("exemplar", FOUR[len(space)], crop_size=8, **ALWAYS)
    volumes = torch.randn(4, 2, *space)
    params = drawn(task, volumes)
    batch = task.make_views(volumes, params)
    size = [min(8, edge) for edge in space]
    assert batch.views.shape == (4, 2, 2, *size)
    for scan in range(4):
        corner = params["corner"][scan, 0].tolist()
        where = tuple(slice(c, c + e) for c, e in zip(corner, size, strict=True))
        assert torch.equal(batch.views[scan, 0], volumes[scan][(slice(None), *where)])


@pytest.mark.parametrize("dims", [2, 3])
def test_without_distortion_the_copy_is_the_box(dims):
    task = make_task("exemplar", FOUR[dims], crop_size=6, **STILL)
    views = posed(task, torch.randn(4, 2, *[9] * dims)).views
    torch.testing.assert_close(views[:, 1], views[:, 0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_mirrored_copy_is_the_box_mirrored(dims):
    task = make_task("exemplar", FOUR[dims], crop_size=6, **STILL)
    volumes = torch.randn(2**dims, 1, *[9] * dims)
    flips = torch.cartesian_prod(*[torch.tensor([False, True])] * dims)  # one for each scan
    views = task.make_views(volumes, drawn(task, volumes) | {"flip": flips}).views
    for (box, copy), flip in zip(views, flips, strict=True):
        axes = [1 + axis for axis in range(dims) if flip[axis]]
        torch.testing.assert_close(copy, box.flip(axes), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dims", [2, 3])
def test_a_quarter_turn_is_what_torch_turns(dims):
    """By an odd number of quarters about each axis; both go from the plane's first axis on."""
    task = make_task("exemplar", FOUR[dims], crop_size=6, **STILL)
    planes = {2: [(0, 1)], 3: [(1, 2), (2, 0), (0, 1)]}[dims]
    volumes = torch.randn(max(2, len(planes)), 1, *[6] * dims)
    params = drawn(task, volumes) | {"plane": torch.arange(len(volumes)) % len(planes)}
    params["angle"] = torch.full((len(volumes),), torch.pi / 2)
    views = task.make_views(volumes, params).views
    for (box, copy), plane in zip(views, params["plane"], strict=True):
        a, b = planes[plane]
        torch.testing.assert_close(copy, box.rot90(-1, (1 + a, 1 + b)), rtol=0, atol=1e-4)


def test_contrast_is_a_factor_and_a_shift_of_the_copy_alone():
    task = make_task("exemplar", FOUR[3], crop_size=6, **STILL | {"contrast": 1})
    volumes = torch.randn(4, 2, 9, 9, 9)
    params = drawn(task, volumes)
    views = task.make_views(volumes, params).views
    gain, shift = params["gain"].view(-1, 1, 1, 1, 1), params["shift"].view(-1, 1, 1, 1, 1)
    torch.testing.assert_close(views[:, 1], views[:, 0] * gain + shift, rtol=0, atol=1e-5)
    assert len(set(params["gain"].tolist())) == 4


@pytest.mark.parametrize("space", [(9, 12), (9, 12, 8)])
def test_placement_says_where_every_voxel_came_from(space):
    """SciPy's own interpolation, at the places that the matrix names, finds the same values."""
    dims = len(space)
    task = make_task("exemplar", FOUR[dims], crop_size=7, **ALWAYS)
    volumes = torch.randn(12, 2, *space)
    params = drawn(task, volumes)
    batch = task.make_views(volumes, params)
    size = batch.views.shape[3:]
    voxels = np.stack(np.meshgrid(*map(np.arange, (*size, 1)), indexing="ij")).reshape(dims + 1, -1)
    voxels[-1] = 1
    for scan in range(12):
        for view in range(2):
            places = (batch.placement.matrix[scan, view].double().numpy() @ voxels)[:dims]
            got = batch.views[scan, view]
            if view == 1:
                got = (got - params["shift"][scan]) / params["gain"][scan]
            for channel in range(2):
                want = map_coordinates(
                    volumes[scan, channel].double().numpy(), places, order=1, mode="nearest"
                )
                np.testing.assert_allclose(got[channel].flatten(), want, rtol=0, atol=2e-5)


def test_2d_and_3d_are_one_definition():
    """A scan of depth one, turned in the plane, is an image."""
    flat, deep = (make_task("exemplar", FOUR[dims], crop_size=7, **ALWAYS) for dims in (2, 3))
    images = torch.randn(6, 2, 9, 11)
    params = drawn(flat, images)
    same = params | {  # plane 0 is axes (1, 2)
        "corner": torch.cat([torch.zeros(6, 1, 1, dtype=torch.long), params["corner"]], -1),
        "flip": torch.cat([torch.rand(6, 1) < 0.5, params["flip"]], -1),
    }
    image, volume = flat.make_views(images, params), deep.make_views(images[:, :, None], same)
    torch.testing.assert_close(volume.views[:, :, :, 0], image.views, rtol=0, atol=1e-5)
    assert torch.equal(volume.placement.matrix[:, :, 1:, 1:], image.placement.matrix)


def test_a_box_smaller_than_the_scan_reaches_every_place():
    task = make_task("exemplar", FOUR[2], crop_size=4)
    corner = drawn(task, torch.zeros(500, 1, 5, 6))["corner"].flatten(0, 1)
    assert {tuple(c) for c in corner.tolist()} == {(i, j) for i in range(2) for j in range(3)}


# ---- chances -----------------------------------------------------------------------------------


def is_share(hits, chance):
    """Whether the share of ``hits`` is ``chance``, but for an accident of 1 in 15,000."""
    within = 4 * math.sqrt(chance * (1 - chance) / hits.numel())
    return abs(hits.float().mean().item() - chance) <= within


@pytest.mark.parametrize("dims", [2, 3])
def test_chances_are_kept(dims):
    chances = {"flip": 0.3, "rotation": 0.6, "contrast": 0.4, "zoom": 0.2}
    task = make_task("exemplar", FOUR[dims], crop_size=2, **chances)
    params = drawn(task, torch.zeros(5000, 1, *[2] * dims))
    assert params["flip"].shape == (5000, dims)
    assert all(is_share(axis, 0.3) for axis in params["flip"].T)
    assert is_share(params["flip"].all(1), 0.3**dims), "each axis for itself"
    assert is_share(params["angle"] != 0, 0.6)
    assert is_share(params["gain"] != 1, 0.4)
    assert torch.equal(params["gain"] != 1, params["shift"] != 0), (
        "brightness and contrast together"
    )
    assert is_share(params["zoom"] != 1, 0.2)
    planes = 1 if dims == 2 else 3
    assert all(is_share(params["plane"] == n, 1 / planes) for n in range(planes))


def test_turns_go_all_round_and_zoom_stays_within_a_fifth():
    task = make_task("exemplar", FOUR[3], crop_size=2, **ALWAYS)
    params = drawn(task, torch.zeros(5000, 1, 2, 2, 2))
    quadrant = ((params["angle"] + torch.pi) / (torch.pi / 2)).floor()
    assert all(is_share(quadrant == n, 0.25) for n in range(4))
    for name, low, high in (("zoom", 0.8, 1.2), ("gain", 0.7, 1.4), ("shift", -0.3, 0.3)):
        least, most = params[name].aminmax()
        assert low <= least < low + 0.01
        assert high - 0.01 < most <= high


def test_one_seed_one_puzzle():
    task = make_task("exemplar", FOUR[3], crop_size=6)
    volumes = torch.randn(3, 1, 8, 9, 8)
    first, again, other = (posed(task, volumes, seed) for seed in (1, 1, 2))
    assert torch.equal(first.views, again.views)
    assert torch.equal(first.target, again.target)
    assert torch.equal(first.placement.matrix, again.placement.matrix)
    assert not torch.equal(first.views, other.views)
    assert torch.equal(first.target[..., 0], other.target[..., 0]), "the same scans"


# ---- score and collapse ------------------------------------------------------------------------


def test_perfect_embeddings_score_one():
    task = make_task("exemplar", FOUR[2])
    prediction = torch.eye(5)[:, None].repeat(1, 2, 1)
    score = task.score(prediction, batch_of([1, 2, 3, 4, 5]))
    assert score["accuracy"] == 1
    assert score["chance"] == 1 / 9
    assert score["embedding_std"] == pytest.approx((1 - 1 / 5) ** 0.5)


def test_equal_embeddings_have_no_deviation_and_name_no_scan():
    task = make_task("exemplar", FOUR[2])
    score = task.score(points(1, 1, 6).expand(4, 2, 6), batch_of([1, 2, 3, 4]))
    assert score["accuracy"] == 0
    assert score["embedding_std"] == pytest.approx(0, abs=1e-12)


def test_guessing_scores_chance():
    task = make_task("exemplar", FOUR[2])
    batch = batch_of([1, 2, 3])
    scores = [task.score(points(3, 2, 6, seed=seed), batch) for seed in range(1000)]
    correct = torch.stack([score["accuracy"] for score in scores])
    assert correct.mean().item() == pytest.approx(scores[0]["chance"], abs=0.03)


STUCK = {"embedding_std": COLLAPSED / 2, "loss": 0.15}
HEALTHY = {"embedding_std": 0.4, "loss": 0.2}


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([], id="new"),
        pytest.param([STUCK] * (COLLAPSE_PATIENCE - 1), id="impatient"),
        pytest.param([HEALTHY] * 50, id="healthy"),
        pytest.param([STUCK] * 50 + [HEALTHY], id="recovered"),
        pytest.param(
            # instance norm, three levels, learning rate 1e-4: it did learn, by step 300
            [{"embedding_std": v**0.5, "loss": 0.2} for v in (6e-4, 6.5e-4, 7e-4, 7.5e-4, 8e-4)],
            id="slow to begin",
        ),
    ],
)
def test_a_run_that_has_not_collapsed_is_left_alone(history):
    assert make_task("exemplar", FOUR[2]).check_health(history) is None


@pytest.mark.parametrize("loss", [0.05, 0.2])
def test_a_collapse_is_one_clear_line_whatever_the_loss(loss):
    stuck = [STUCK | {"loss": loss}] * COLLAPSE_PATIENCE
    fault = make_task("exemplar", FOUR[2]).check_health([HEALTHY, *stuck])
    assert "\n" not in fault
    assert fault.startswith(
        f"exemplar has collapsed: in the last {COLLAPSE_PATIENCE} rows of the history"
    )
    assert (
        f"(standard deviation {COLLAPSED / 2:.1g}; loss {loss}, margin 0.2); try a lower learning"
        in fault
    )


def test_a_run_that_collapses_is_stopped(cohort, tmp_path):
    shape = EncoderSettings(filters=(4, 8), norm="group", block="plain", stride=1)  # no shortcut
    encoder = make_encoder(shape, 0)
    task = make_task("exemplar", encoder.settings, crop_size=8, margin=1.0, negatives="hardest")
    settings = TrainSettings(steps=200, batch=4, learning_rate=0.1, precision="32-true")
    with pytest.raises(DivergedError, match=r"step \d+: exemplar has collapsed"):
        pretrain(task, encoder, cohort, range(4), settings, tmp_path)
    assert not (tmp_path / "encoder.safetensors").exists()


def test_a_handful_of_volumes_is_learnt_by_heart(cohort):
    encoder = make_encoder(EncoderSettings(filters=(8, 16), norm="group"), 0)
    task = make_task("exemplar", encoder.settings, crop_size=16)
    settings = TrainSettings(steps=240, batch=4, learning_rate=3e-3, precision="32-true")
    history = pretrain(task, encoder, cohort, range(4), settings)
    assert history[0]["accuracy"] < 0.6
    assert history[-1]["accuracy"] > 0.75
    assert history[-1]["chance"] == pytest.approx(1 / 7)
    assert history[0]["loss"] > 0.1
    assert history[-1]["loss"] < 0.05
    assert history[-1]["embedding_std"] > 0.1


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ({"negatives": "hardset"}, "did you mean 'hardest'"),
        ({"margin": 0}, "margin is 0, but must be above 0"),
        ({"flip": 7}, "flip is 7, but must be 1 or less"),
        ({"zoom": -1}, "zoom is -1, but must be 0 or more"),
    ],
)
def test_settings_without_meaning_are_refused(setting, said):
    with pytest.raises(InputError, match=said):
        make_task("exemplar", FOUR[2], **setting)


def test_fault_09_one_scan_alone_is_refused_whatever_the_batch(cohort):
    """A batch of two would hold that scan twice."""
    encoder = make_encoder(EncoderSettings(filters=(4, 8)), 0)
    task = make_task("exemplar", encoder.settings, crop_size=8)
    with pytest.raises(InputError, match="exemplar tells scans apart"):
        pretrain(task, encoder, cohort, (0,), TrainSettings(batch=2))

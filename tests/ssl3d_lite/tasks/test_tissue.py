import numpy as np
import pytest
import torch
from sklearn.mixture import GaussianMixture

from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import make_task
from ssl3d_lite.tasks.tissue import TISSUE_BINS, fit_mixture, tissues
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import TrainSettings

SMALL = {dims: EncoderSettings(filters=(4, 8), spatial_dims=dims) for dims in (2, 3)}
MIXTURES = {  # weights, means, standard deviations: (0, 1, …) is the darkest first
    "even": ((1, 1, 1), (1, 2, 3), (0.15, 0.15, 0.15)),
    "uneven": ((2, 5, 3), (-4, 1, 9), (0.5, 0.8, 1.2)),
    "two": ((1, 3), (10, 20), (1.2, 1.2)),
    "four": ((1, 2, 3, 2), (5, 10, 16, 21), (0.6, 0.8, 0.8, 0.6)),
}


def made(name, space, seed=0):
    """A scan of made-up tissues, and which each voxel is of: from 1."""
    weights, means, widths = map(np.array, MIXTURES[name])
    generator = np.random.default_rng(seed)
    tissue = generator.choice(len(weights), space, p=weights / weights.sum())
    scan = generator.normal(means[tissue], widths[tissue])
    return torch.tensor(scan, dtype=torch.float), torch.tensor(tissue + 1)


def posed(task, volumes, seed=0):
    return task.make_views(
        volumes, task.sample_params(volumes, torch.Generator().manual_seed(seed))
    )


# ---- the mixture -------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [(90, 100), (20, 22, 24)])
@pytest.mark.parametrize("name", MIXTURES)
def test_tissues_are_those_that_scikit_learn_finds(name, space):
    scan, truth = made(name, space)
    classes = len(MIXTURES[name][0])
    got = tissues(scan[None], classes)[0]
    flat = scan.reshape(-1, 1).numpy()
    mixture = GaussianMixture(classes, random_state=0).fit(flat)
    rank = mixture.means_[:, 0].argsort().argsort()
    want = torch.tensor(rank[mixture.predict(flat)] + 1).view(space)
    assert (got == want).float().mean() > 0.99
    assert (got == truth).float().mean() > 0.99


def test_the_classes_of_a_histogram_stand_in_the_order_of_their_means():
    """Three bumps of bins; the middle one is the largest."""
    bins = torch.arange(TISSUE_BINS)
    count = sum(
        size * torch.exp(-((bins - middle) ** 2) / 200)
        for size, middle in ((20.0, 40), (90.0, 120), (40.0, 210))
    )
    of_bin = fit_mixture(count[None], 3)[0]
    assert of_bin[[40, 120, 210]].tolist() == [0, 1, 2]
    borders = (of_bin.diff() != 0).nonzero().flatten()
    assert torch.equal(of_bin.unique_consecutive(), torch.arange(3))
    assert 60 < borders[0] < 90
    assert 150 < borders[1] < 190


@pytest.mark.parametrize("name", MIXTURES)
def test_the_first_tissue_is_the_darkest(name):
    scan, _ = made(name, (50, 50))
    tissue = tissues(scan[None], len(MIXTURES[name][0]))[0]
    means = [scan[tissue == kind].mean().item() for kind in tissue.unique()]
    assert means == sorted(means)
    assert tissue.min() == 1


@pytest.mark.parametrize("space", [(40, 50), (12, 14, 16)])
def test_where_the_scan_is_exactly_0_there_is_no_tissue(space):
    scan, _ = made("uneven", space)  # its darkest tissue is below 0
    scan = scan.where(torch.rand(space) < 0.7, 0)
    tissue = tissues(scan[None], 3)[0]
    assert torch.equal(tissue == 0, scan == 0)
    assert set(tissue.unique().tolist()) == {0, 1, 2, 3}


def test_black_voxels_have_no_say_in_what_the_others_are():
    scan, _ = made("uneven", (60, 60))
    inside = tissues(scan[None], 3)[0]
    framed = torch.zeros(90, 90)
    framed[15:75, 15:75] = scan
    assert torch.equal(tissues(framed[None], 3)[0, 15:75, 15:75], inside)


@pytest.mark.parametrize("value", [-3.0, 1e-3, 5.0, 1000.0, 1e6])
def test_a_constant_scan_is_one_tissue(value):
    tissue = tissues(torch.full((1, 6, 6, 6), value), 3)
    assert len(tissue.unique()) == 1
    assert 1 <= tissue.max() <= 3


def test_a_black_scan_is_none():
    assert not tissues(torch.zeros(2, 6, 6, 6), 3).any()


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_two_values_are_two_tissues(share):
    dark = torch.rand(1, 12, 12, 12) < share
    tissue = tissues(torch.where(dark, -1.0, 4.0), 3)
    (low,), (high,) = tissue[dark].unique().tolist(), tissue[~dark].unique().tolist()
    assert 1 <= low < high <= 3


def test_the_scans_of_a_batch_do_not_touch_each_other():
    scans = [made(name, (14, 15, 16))[0] for name in ("even", "uneven", "two", "four")]
    scans += [torch.full((14, 15, 16), 7.0), torch.zeros(14, 15, 16)]
    together = tissues(torch.stack(scans), 3)
    alone = torch.cat([tissues(scan[None], 3) for scan in scans])
    assert torch.equal(together, alone)


@pytest.mark.parametrize(("factor", "offset"), [(4.0, 0.0), (0.03, 0.0), (37.5, 400.0)])
def test_the_unit_of_intensity_does_not_matter(factor, offset):
    """Rounding may move a voxel over the edge of its bin: fewer than 5 of 10,000."""
    scan, _ = made("uneven", (100, 100))
    moved = tissues(factor * scan[None] + offset, 3) != tissues(scan[None], 3)
    assert moved.sum() < 5


# ---- the task ----------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [(15, 11), (15, 11, 9)])
def test_the_answer_is_the_whole_scans_tissue_in_the_box(space):
    task = make_task("tissue", SMALL[len(space)], crop_size=10)
    volumes = torch.randn(4, 2, *space)
    volumes[:, 1] = torch.nan  # the second channel is not asked
    batch = posed(task, volumes)
    whole = tissues(volumes[:, 0], 3)
    size = tuple(min(10, edge) for edge in space)
    assert batch.views.shape == (4, 1, 2, *size)
    assert batch.target.shape == (4, 1, *size)
    for scan in range(4):
        corner = batch.placement.matrix[scan, 0, :-1, -1].long().tolist()
        where = tuple(slice(c, c + e) for c, e in zip(corner, size, strict=True))
        assert torch.equal(batch.views[scan, 0, 0], volumes[scan, 0][where])
        assert torch.equal(batch.target[scan, 0], whole[scan][where])


@pytest.mark.parametrize("space", [(15, 11), (15, 11, 9)])
def test_loss_is_the_cross_entropy_of_every_voxel(space):
    """Against NumPy in float64."""
    task = make_task("tissue", SMALL[len(space)], crop_size=10).double()
    batch = posed(task, torch.randn(2, 1, *space).double())
    prediction = task(make_encoder(SMALL[len(space)], 0).double(), batch).detach()
    assert prediction.shape == (*batch.target.shape, 4)
    exponents = np.exp(prediction.numpy())
    share = exponents / exponents.sum(-1, keepdims=True)
    correct = np.take_along_axis(share, batch.target[..., None].numpy(), -1)
    assert task.loss(prediction, batch).item() == pytest.approx(-np.log(correct).mean(), rel=1e-12)


def test_always_naming_the_commonest_scores_chance():
    task = make_task("tissue", SMALL[3])
    volumes = torch.randn(2, 1, 8, 8, 8)
    volumes[:, :, :6] = 0
    batch = posed(task, volumes)
    prediction = torch.zeros(*batch.target.shape, 4)
    prediction[..., 0] = 1
    score = task.score(prediction, batch)
    assert score["accuracy"] == score["chance"] == 6 / 8


def test_naming_every_voxel_scores_one():
    task = make_task("tissue", SMALL[3])
    batch = posed(task, torch.randn(2, 1, 8, 8, 8))
    score = task.score(torch.nn.functional.one_hot(batch.target, 4).float(), batch)
    assert score["accuracy"] == 1
    assert score["chance"] < 1


def test_one_seed_one_puzzle():
    task = make_task("tissue", SMALL[3], crop_size=6)
    volumes = torch.randn(3, 1, 12, 12, 12)
    first, again, other = (posed(task, volumes, seed) for seed in (1, 1, 2))
    assert torch.equal(first.views, again.views)
    assert torch.equal(first.target, again.target)
    assert not torch.equal(first.views, other.views)


def test_a_handful_of_volumes_is_learnt_by_heart(cohort):
    encoder = make_encoder(EncoderSettings(filters=(8, 16)), 0)
    task = make_task("tissue", encoder.settings, crop_size=16)
    settings = TrainSettings(steps=50, batch=4, learning_rate=1e-2, precision="32-true")
    history = pretrain(task, encoder, cohort, range(4), settings)
    assert history[0]["accuracy"] < history[0]["chance"]
    assert history[-1]["accuracy"] > history[-1]["chance"]
    assert history[-1]["loss"] < history[0]["loss"] / 3


@pytest.mark.parametrize("shares", [(0.1, 0.3, 0.6), (0.7, 0.25, 0.05), (0.01, 0.29, 0.7)])
def test_a_small_tissue_is_found_beside_a_large_one(shares):
    generator = torch.Generator().manual_seed(0)
    tissue = 1 + torch.multinomial(torch.tensor(shares), 20000, True, generator=generator)
    scan = tissue + 0.15 * torch.randn(20000, generator=generator)
    found = tissues(scan.view(1, 100, 200), 3).flatten()
    assert (found == tissue).float().mean() > 0.99


def test_a_scan_of_one_value_and_an_empty_one_have_tissues_all_the_same():
    assert tissues(torch.full((1, 4, 4), 1000.0), 3).unique().tolist() == [1]
    assert tissues(torch.zeros(1, 4, 4), 3).unique().tolist() == [0]

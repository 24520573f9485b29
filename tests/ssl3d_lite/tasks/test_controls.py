import copy

import pytest
import torch

from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.heads import global_avg_pool
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import make_task
from ssl3d_lite.tasks.exemplar import Exemplar
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import TrainSettings


def learnt(name, cohort, norm, **settings):
    """Encoder and task before and after a short training on eight scans; and the history."""
    encoder = make_encoder(EncoderSettings(filters=(8, 16, 32), norm=norm), 0)
    task = make_task(name, encoder.settings, crop_size=16)
    before = copy.deepcopy((encoder, task))
    training = TrainSettings(batch=4, learning_rate=3e-3, precision="32-true", **settings)
    history = pretrain(task, encoder, cohort, range(8), training)
    return before, (encoder, task), history


def moved(before, after):
    """The names of those weights that are no longer what they were, to the bit."""
    new = dict(after.named_parameters())
    return {n for n, old in before.named_parameters() if not torch.equal(old, new[n])}


@pytest.mark.parametrize("norm", ["batch", "group", "instance"])
def test_random_learns_with_its_head_alone(cohort, norm):
    (encoder, head), (trained, trained_head), _ = learnt("random", cohort, norm, steps=10)
    assert not moved(encoder, trained)
    assert moved(head, trained_head) == {name for name, _ in head.named_parameters()}
    assert all(weight.requires_grad for weight in trained.parameters()), "left as it was found"


def test_random_knows_how_bright_the_scans_are():
    """What is measured and not learnt, BatchNorm's statistics, becomes that of the scans."""
    encoder = make_encoder(EncoderSettings(filters=(4, 8), norm="batch"), 0)
    task = make_task("random", encoder.settings, crop_size=8)
    volumes = 5 + torch.randn(4, 1, 8, 8, 8)
    task(
        encoder,
        task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0))),
    )
    assert encoder.levels[0].norm1.running_mean.abs().min() > 0


@pytest.mark.parametrize("dims", [2, 3])
def test_random_sets_rotations_puzzle(dims):
    settings = EncoderSettings(filters=(4, 8), spatial_dims=dims)
    volumes = torch.randn(3, 1, *[8] * dims)
    posed = [
        task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
        for task in (make_task(name, settings, crop_size=6) for name in ("random", "rotation"))
    ]
    assert torch.equal(posed[0].views, posed[1].views)
    assert torch.equal(posed[0].target, posed[1].target)


def variety(encoder, volumes):
    """How far scans' features lie from their mean, as a share of the mean.

    In training mode: so BatchNorm has measured the same scans in every encoder.
    """
    with torch.no_grad():
        features = global_avg_pool(encoder.train()(volumes))
    return (features.std(0).norm() / features.mean(0).norm()).item()


# instance norm leaves little in the mean over space that tells scans apart, to begin with: 2 %
@pytest.mark.parametrize(("norm", "less"), [("batch", 5), ("group", 5), ("instance", 1.5)])
def test_collapsed_gives_every_scan_the_same_embedding(cohort, norm, less):
    """And the deepest features, averaged over space, have become alike with it."""
    (encoder, _), (trained, task), history = learnt("collapsed", cohort, norm, steps=100)
    assert history[-1]["loss"] < 0.01
    assert history[-1]["embedding_std"] < 0.01
    volumes = cohort.images(range(8))
    assert variety(trained, volumes) < variety(encoder, volumes) / less
    stuck = [{"embedding_std": 1e-6, "loss": 1}] * 10
    assert Exemplar.check_health(task, stuck) is not None
    assert task.check_health(stuck) is None, "what exemplar calls a fault is wanted here"


def test_collapsed_has_no_counter_examples():
    """The loss is the mean distance of a scan's two points, whatever the other scans are."""
    task = make_task("collapsed", EncoderSettings(filters=(4, 8)), crop_size=6).double()
    volumes = torch.randn(3, 1, 8, 8, 8)
    batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
    prediction = torch.randn(3, 2, 5, dtype=torch.double)
    want = sum((a - b).square().sum().sqrt() for a, b in prediction) / 3
    assert task.loss(prediction, batch).item() == pytest.approx(want.item(), rel=1e-12)

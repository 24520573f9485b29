import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.probe import (
    LinearClassifier,
    classify,
    features_at,
    fit_classifier,
    linear_probes,
    probe,
    recalibrated,
    sample_features,
)
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings


class Given(nn.Module):
    """An "encoder" whose features are the scan itself and a coarse copy of it."""

    def __init__(self):
        super().__init__()
        self.zero = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return [x + self.zero, F.avg_pool3d(x, 2)]


def upsampled(levels, space):
    mode = "trilinear" if len(space) == 3 else "bilinear"
    full = [F.interpolate(x, space, mode=mode, align_corners=False) for x in levels]
    return torch.cat(full, 1)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(2, 5), min_size=2, max_size=3), st.integers(0, 99))
def test_features_at_voxels_are_those_of_the_upsampled_maps(coarse, seed):
    generator = torch.Generator().manual_seed(seed)
    space = [4 * n for n in coarse]
    levels = [
        torch.randn(2, c, *(n * s for n in coarse), generator=generator)
        for c, s in ((2, 4), (3, 2), (4, 1))
    ]
    voxels = torch.randint(int(np.prod(space)), (2, 7), generator=generator)
    full = upsampled(levels, space).flatten(2).mT
    want = torch.stack([full[0, voxels[0]], full[1, voxels[1]]])
    torch.testing.assert_close(features_at(levels, voxels, space), want, rtol=1e-4, atol=1e-5)


def test_classifying_each_level_before_upsampling_changes_nothing():
    levels = [torch.randn(2, 2, 8, 8, 8), torch.randn(2, 3, 4, 4, 4)]
    generator = np.random.default_rng(0)
    probes = [
        LinearClassifier(
            generator.normal(size=(4, 5)).astype(np.float32),
            generator.normal(size=4).astype(np.float32),
        )
        for _ in range(3)
    ]
    logits = classify(levels, probes, (8, 8, 8))
    features = upsampled(levels, (8, 8, 8))
    for one, got in zip(probes, logits.unbind(1), strict=True):
        want = torch.einsum("cf,bfxyz->bcxyz", torch.from_numpy(one.weight), features)
        want = want + torch.from_numpy(one.bias).view(-1, 1, 1, 1)
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_a_separable_problem_is_solved_whatever_the_features_scale():
    generator = np.random.default_rng(0)
    plain = generator.normal(size=(600, 3))
    classes = plain.argmax(1)
    features = (plain * [1, 1000, 0.001] + [5, 0, 1]).astype(np.float32)
    probe = fit_classifier(features, classes, 3)
    answers = (features @ probe.weight.T + probe.bias).argmax(1)
    assert (answers == classes).mean() > 0.97


def test_two_classes_of_three_keep_their_numbers_and_the_third_is_never_answered():
    features = np.random.default_rng(0).normal(size=(200, 2)).astype(np.float32)
    classes = np.where(features[:, 0] > 0, 2, 0)
    probe = fit_classifier(features, classes, 3)
    answers = (features @ probe.weight.T + probe.bias).argmax(1)
    assert set(answers) == {0, 2}
    assert (answers == classes).mean() > 0.97


def test_informative_features_beat_uninformative_ones(cohort):
    split = cohort.split()
    draws = [cohort.subset(split.train, n) for n in (1, 4)]
    good = linear_probes(Given(), cohort, draws, split.test, voxels=2000)
    assert [len(r.cases) for r in good] == [3, 3]
    assert good[1].by_region["whole"] > 0.7

    class Noise(Given):
        def forward(self, x):
            return [torch.randn(x.shape) + self.zero]

    noise = linear_probes(Noise(), cohort, draws, split.test, voxels=2000)
    assert noise[1].by_region["whole"] < 0.1


def test_every_encoder_is_probed_at_the_same_voxels(cohort):
    first = next(iter(sample_features(Given(), cohort, (2, 5), 50)))
    again = list(sample_features(Given(), cohort, (1, 2), 50))[1]
    assert np.array_equal(first[0], again[0])
    label = cohort.labels([2])[0]
    assert len(first[1]) == 50
    assert set(first[1]) <= set(label.unique().tolist())


def test_probes_do_not_change_the_encoder(cohort):
    encoder = make_encoder(EncoderSettings(filters=(4, 8)), 0)
    before = {n: w.clone() for n, w in encoder.state_dict().items()}
    linear_probes(encoder, cohort, [(0, 1)], (2,), voxels=500)
    assert all(torch.equal(before[n], w) for n, w in encoder.state_dict().items())


def test_recalibrated_statistics_are_those_of_the_volumes(cohort):
    encoder = make_encoder(EncoderSettings(filters=(4, 8)), 0)
    copy = recalibrated(encoder, cohort, (0, 1, 2))
    norm = copy.levels[0].norm1
    seen = [encoder.levels[0].conv1(cohort.images([case])) for case in (0, 1, 2)]
    want = torch.stack([x.mean((0, 2, 3, 4)) for x in seen]).mean(0)
    torch.testing.assert_close(norm.running_mean, want, rtol=1e-4, atol=1e-5)
    assert not copy.training
    assert encoder.levels[0].norm1.running_mean.abs().max() == 0, "the original is untouched"


@pytest.mark.parametrize("norm", ["group", "instance"])
def test_other_norms_need_no_recalibration(cohort, norm):
    encoder = make_encoder(EncoderSettings(filters=(4, 8), norm=norm), 0)
    copy = recalibrated(encoder, cohort, (0,))
    scan = cohort.images([3])
    torch.testing.assert_close(copy(scan)[-1], encoder(scan)[-1])


# ---- the front door's function -----------------------------------------------------------------


def test_a_probe_is_set_beside_random_encoders_of_the_same_shape(cohort):
    encoder = make_encoder(EncoderSettings(filters=(4, 8), norm="group"), 0)
    split = cohort.split()
    result = probe(encoder, cohort, labels=2, draws=2, controls=2)
    ready = recalibrated(encoder, cohort, split.pretrain[:16])
    draws = [cohort.subset(split.train, 2, seed) for seed in range(2)]
    wanted = [report.score for report in linear_probes(ready, cohort, draws, split.test)]
    assert [report.score for report in result.reports] == wanted
    assert result.score == pytest.approx(np.mean(wanted))
    assert list(result.controls) == [f"random encoder, seed {seed}" for seed in (100, 101)]
    other = recalibrated(make_encoder(encoder.settings, 101), cohort, split.pretrain[:16])
    wanted = np.mean([report.score for report in linear_probes(other, cohort, draws, split.test)])
    assert result.control_scores["random encoder, seed 101"] == pytest.approx(wanted)
    lines = str(result).splitlines()
    assert lines[0].startswith("draw 0: mean Dice ")
    assert lines[2].startswith("all draws                dice ")
    assert len(lines) == 2 + 3
    assert result.rows()[0]["dice"] == result.score


def test_a_probe_without_sense_is_refused(cohort):
    encoder = make_encoder(EncoderSettings(filters=(4, 8)), 0)
    with pytest.raises(InputError, match="draws is 0, but must be a whole number, 1 or more"):
        probe(encoder, cohort, draws=0)
    with pytest.raises(InputError, match="controls is -1"):
        probe(encoder, cohort, controls=-1)
    flat = make_encoder(EncoderSettings(spatial_dims=2, filters=(4, 8)), 0)
    with pytest.raises(InputError, match="reads 1 channels in 2D"):
        probe(flat, cohort)

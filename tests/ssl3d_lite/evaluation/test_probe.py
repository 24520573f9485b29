import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers import make_cohort, make_graded
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ssl3d_lite.data.case import array_path, write_array
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.coordinates import place_functions, place_logits
from ssl3d_lite.evaluation.features import (
    features_at,
    places_of,
    recalibrated,
    sample_features,
)
from ssl3d_lite.evaluation.linear_probe import (
    LinearClassifier,
    classify,
    fit_classifier,
    linear_probes,
    probes_by_protocol,
)
from ssl3d_lite.evaluation.place import evaluate_place
from ssl3d_lite.evaluation.probe import probe
from ssl3d_lite.evaluation.probe_table import probe_table
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
    for each, got in zip(probes, logits.unbind(1), strict=True):
        want = torch.einsum("cf,bfxyz->bcxyz", torch.from_numpy(each.weight), features)
        want = want + torch.from_numpy(each.bias).view(-1, 1, 1, 1)
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


def test_a_draw_by_class_has_as_many_of_each_and_weighs_them_as_the_scan_does(cohort):
    label = cohort.labels([2])[0].flatten().numpy()
    counts = np.bincount(label, minlength=3)
    assert counts.min() > 40  # so that a third of 120 is to be had
    (drawn,) = sample_features(Given(), cohort, [2], 120, by_class=True)
    assert np.bincount(drawn.classes).tolist() == [40, 40, 40]
    assert drawn.weights.mean() == pytest.approx(1)
    shares = np.bincount(drawn.classes, drawn.weights) / 120
    np.testing.assert_allclose(shares, counts / counts.sum(), rtol=1e-5)
    (whole,) = sample_features(Given(), cohort, [2], 10**6, by_class=True)
    assert np.bincount(whole.classes).tolist() == counts.tolist()
    assert set(whole.weights) == {1}
    rare = counts.min() * 3 + 30  # the rarest class has all of its voxels in it
    (most,) = sample_features(Given(), cohort, [2], rare, by_class=True)
    assert len(most.classes) == rare
    assert np.bincount(most.classes).min() == counts.min()


def test_a_weight_counts_as_so_many_voxels():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(300, 3)).astype(np.float32)
    classes = (features @ [1, -2, 0.5] + generator.normal(size=300) > 0).astype(int)
    weights = generator.integers(1, 4, 300)
    once = fit_classifier(features, classes, 2, weights)
    often = fit_classifier(features.repeat(weights, 0), classes.repeat(weights), 2)
    odds = [fit.weight[1] @ features.T + fit.bias[1] for fit in (once, often)]
    np.testing.assert_allclose(*odds, rtol=0.02, atol=0.02)


def test_probes_do_not_change_the_encoder(cohort):
    encoder = make_encoder(EncoderSettings(filters=(4, 8)), 0)
    before = {n: w.clone() for n, w in encoder.state_dict().items()}
    linear_probes(encoder, cohort, [(0, 1)], (2,), voxels=500)
    assert all(torch.equal(before[n], w) for n, w in encoder.state_dict().items())


def test_recalibrated_statistics_are_those_of_the_volumes(cohort):
    encoder = make_encoder(EncoderSettings(filters=(4, 8), norm="batch"), 0)
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


def test_a_probe_is_set_beside_place_alone_and_the_best_random_encoders(cohort):
    encoder = make_encoder(EncoderSettings(filters=(4, 8), norm="group"), 0)
    split = cohort.split()
    result = probe(encoder, cohort, labels=2, draws=2, controls=2, transfer=True)
    ready = recalibrated(encoder, cohort, split.pretrain[:16])
    draws = [cohort.subset(split.train, 2, seed) for seed in range(2)]
    wanted = [report.score for report in linear_probes(ready, cohort, draws, split.test)]
    assert [report.score for report in result.reports] == wanted
    assert result.score == pytest.approx(np.mean(wanted))
    assert list(result.by_protocol) == ["probe", "probe+place", "neighbours"]
    for protocol, by_name in result.by_protocol.items():
        known = [draw[:1] for draw in draws] if protocol == "neighbours" else draws
        every = 2 if protocol == "neighbours" else 1
        floor = [evaluate_place(cohort, draw, split.test, every=every).score for draw in known]
        assert [report.score for report in by_name["place alone"]] == floor

    # the kinds, on validation cases; the best of each protocol, from two other starts, on others
    assert len(result.random_scores) == 8
    other = EncoderSettings(filters=(4, 8), block="residual", norm="none")
    start = recalibrated(make_encoder(other, 100), cohort, split.pretrain[:16])
    tried = linear_probes(start, cohort, draws, split.validation)
    wanted = np.mean([report.score for report in tried])
    assert result.random_scores["random, residual, no norm"]["probe"] == pytest.approx(wanted)
    for protocol in ("probe", "probe+place"):
        best = max(result.random_scores, key=lambda kind: result.random_scores[kind][protocol])
        assert {f"{best}, seed 101", f"{best}, seed 102"} <= set(result.by_protocol[protocol])
    lines = str(result).splitlines()
    assert lines[0].startswith("draw 0: mean Dice ")
    assert lines[3].startswith("  the encoder ")
    assert lines[-1].startswith("random encoders: the best of 8 kinds, by validation cases (probe ")
    assert result.rows()[0]["dice"] == result.score


def test_without_controls_the_encoder_and_place_alone_are_read(cohort):
    encoder = make_encoder(EncoderSettings(filters=(4, 8)), 0)
    result = probe(encoder, cohort, labels=2, draws=1, controls=0)
    assert {name: list(by_name) for name, by_name in result.by_protocol.items()} == {
        "probe": ["the encoder", "place alone"],
        "probe+place": ["the encoder", "place alone"],
    }
    assert result.random_scores == {}
    assert "kinds" not in str(result)


def test_grades_are_read_without_a_place(tmp_path):
    graded = make_graded(tmp_path, [0, 1, 2, 0, 1] * 3, edge=16)
    encoder = make_encoder(EncoderSettings(3, 2, (4, 8)), 0)
    result = probe(encoder, graded, labels=4, draws=1, controls=1, transfer=True)
    assert list(result.by_protocol) == ["probe", "neighbours"]
    (alone,) = result.by_protocol["probe"]["place alone"]
    assert alone.score == 0
    assert "kappa" in str(result)


# ---- with the place ----------------------------------------------------------------------------


class Nothing(Given):
    """An "encoder" that sees nothing at all."""

    def forward(self, x):
        return [0 * x + self.zero]


def test_with_the_place_among_its_inputs_a_probe_of_nothing_reads_the_place(tmp_path):
    """Labels that are one and the same box in every scan: place tells all, features nothing."""
    scans = make_cohort(tmp_path, 15, (12, 12, 12))
    box = np.zeros((12, 12, 12), np.uint8)
    box[3:9, 3:9, 3:9] = 1
    for case in scans.cases:
        write_array(array_path(tmp_path, "labels", case.id), box)
    split = scans.split()
    found = probes_by_protocol(Nothing(), scans, [split.train[:2]], split.test, 2000)
    assert found["probe"][0].by_region["front"] == 0
    assert found["probe+place"][0].by_region["front"] > 0.9


@pytest.mark.parametrize("space", [(6, 5, 4), (7, 8)])
def test_the_sums_over_a_grid_are_those_of_the_functions_at_its_voxels(space):
    voxels = torch.arange(int(np.prod(space)))[None]
    functions = place_functions(places_of(voxels, space)[0].numpy())
    assert functions.shape[1] == {3: 34, 2: 14}[len(space)]
    weight = np.random.default_rng(0).normal(size=(3, functions.shape[1])).astype(np.float32)
    found = place_logits(torch.from_numpy(weight), space)
    wanted = (weight @ functions.T).reshape(3, *space)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-4, atol=1e-4)


def test_the_functions_span_all_polynomials_of_degree_four():
    places = np.random.default_rng(0).uniform(-1, 1, (500, 3))
    x, y, z = places.T
    functions = np.column_stack([np.ones(500), place_functions(places)])
    for power in (x, x * y * z, x**4, x**2 * z**2, y * z**3):
        solved = functions @ np.linalg.lstsq(functions, power, rcond=None)[0]
        np.testing.assert_allclose(solved, power, atol=1e-5)
    fifth = functions @ np.linalg.lstsq(functions, x**5, rcond=None)[0]
    assert abs(fifth - x**5).max() > 0.05


def test_both_readings_at_once_are_those_made_one_by_one(cohort):
    split = cohort.split()
    draws = [split.train[:2], split.train[2:4]]
    both = probes_by_protocol(Given(), cohort, draws, split.test, 500)
    for protocol, reports in both.items():
        alone = probes_by_protocol(Given(), cohort, draws, split.test, 500, (protocol,))[protocol]
        for a, b in zip(reports, alone, strict=True):
            assert np.array_equal(a.dice, b.dice)
    plain = linear_probes(Given(), cohort, draws, split.test, 500)
    assert np.array_equal(plain[1].dice, both["probe"][1].dice)


def test_a_probe_without_sense_is_refused(cohort):
    encoder = make_encoder(EncoderSettings(filters=(4, 8)), 0)
    with pytest.raises(InputError, match="draws is 0, but must be a whole number, 1 or more"):
        probe(encoder, cohort, draws=0)
    with pytest.raises(InputError, match="controls is -1"):
        probe(encoder, cohort, controls=-1)
    flat = make_encoder(EncoderSettings(spatial_dims=2, filters=(4, 8)), 0)
    with pytest.raises(InputError, match="reads 1 channels in 2D"):
        probe(flat, cohort)


# ---- several encoders at several numbers of labels ---------------------------------------------


def test_a_table_has_what_single_probes_have(tmp_path):
    cohort = make_cohort(tmp_path, 15, (16, 16, 16))
    shape = EncoderSettings(filters=(4, 8), norm="batch")
    own = [make_encoder(shape, seed) for seed in (0, 1)]
    before = [p.clone() for p in own[0].state_dict().values()]
    table = probe_table({"own": own}, cohort, (1, 3), voxels=200)
    assert all(map(torch.equal, before, own[0].state_dict().values())), "it stays as it was"
    kinds = [f"random, residual, {norm}" for norm in ("instance norm", "batch norm", "no norm")]
    for protocol in ("probe", "probe+place"):
        found = table.scores[protocol]
        assert set(found) == {"own", *kinds, "place alone"}
        for labels in (1, 3):
            single = [
                probe(each, cohort, labels, draws=2, controls=0, voxels=200).by_protocol[protocol]
                for each in own
            ]
            want = [report.score for each in single for report in each["the encoder"]]
            assert found["own"][labels] == pytest.approx(want)
            place = [report.score for report in single[0]["place alone"]]
            assert found["place alone"][labels] == place
            assert all(len(found[kind][labels]) == 4 for kind in kinds)
    random = make_encoder(EncoderSettings(filters=(4, 8), norm="none"), 101)
    alone = probe(random, cohort, 3, draws=2, controls=0, voxels=200).by_protocol["probe"]
    want = [report.score for report in alone["the encoder"]]
    assert table.scores["probe"]["random, residual, no norm"][3][2:] == pytest.approx(want)
    lines = str(table).splitlines()
    assert len(lines) == 2 * (1 + 5)
    assert lines[0].startswith("probe: mean dice")
    mean = np.mean(table.scores["probe"]["own"][1])
    assert f"1: {mean:.3f} (" in lines[1]


def test_a_table_of_grades_has_one_protocol(tmp_path):
    cohort = make_graded(tmp_path, [n % 3 for n in range(20)])
    shape = EncoderSettings(cohort.images([0]).shape[1], spatial_dims=2, filters=(4, 8))
    table = probe_table({"own": [make_encoder(shape, 0)]}, cohort, ("100%",), controls=0)
    assert list(table.scores) == ["probe"]
    assert list(table.scores["probe"]) == ["own", "place alone"]
    assert table.measure == "kappa"


@pytest.mark.parametrize(("arms", "labels"), [({}, (2,)), ({"own": []}, (2,)), (None, ())])
def test_a_table_of_nothing_is_refused(tmp_path, arms, labels):
    cohort = make_cohort(tmp_path, 15, (12, 12, 12))
    arms = {"own": [make_encoder(EncoderSettings(filters=(4, 8)), 0)]} if arms is None else arms
    with pytest.raises(InputError, match="or more"):
        probe_table(arms, cohort, labels)

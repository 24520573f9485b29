import csv
import itertools
import json
import math

import numpy as np
import pytest
import torch
from helpers import make_cohort, make_graded
from torch import nn

from ssl3d_lite.data.case import array_path, write_array
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.features import picture_features
from ssl3d_lite.evaluation.grades import OrdinalEvaluation, score_grades
from ssl3d_lite.evaluation.linear_probe import linear_probes
from ssl3d_lite.evaluation.monitor import eval_hooks
from ssl3d_lite.evaluation.prediction import predict
from ssl3d_lite.evaluation.segmentation import evaluate
from ssl3d_lite.models.classifier import Classifier, make_classifier
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.ordinal import decode, ordinal_code, ordinal_loss
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.models.unet import make_unet
from ssl3d_lite.training.checkpoint import load_encoder, load_network
from ssl3d_lite.training.finetuning import finetune
from ssl3d_lite.training.settings import FinetuneSettings

SMALL = EncoderSettings(3, 2, (4, 8))
NAMES = ("none", "mild", "severe")


def make_shades(folder, count=30, **more):
    """Pictures whose brightness tells the grade; grades by turns, so each fold has each."""
    cohort = make_graded(folder, [i % 3 for i in range(count)], **more)
    for index, case in enumerate(cohort.cases):
        picture = cohort.images([index])[0].numpy() + case.grade
        write_array(array_path(folder, "images", case.id), picture.astype(np.float16))
    return cohort


@pytest.fixture(scope="module")
def shades(tmp_path_factory):
    return make_shades(tmp_path_factory.mktemp("shades")).to("cpu")


class Brightness(nn.Module):
    """An "encoder" of two levels; at both the one feature is the brightness."""

    width = 1

    def __init__(self):
        super().__init__()
        self.zero = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        mean = x.mean(1, keepdim=True) + self.zero
        return [mean, mean[..., ::2, ::2]]


def thresholds(*values):
    """The classifier that grades by how many of these the brightness is above."""
    network = Classifier(Brightness(), len(values) + 1)
    nn.init.ones_(network.last.weight)
    network.last.bias.data = -torch.tensor(values)
    return network


def ordinal(truth, answer, names=NAMES):
    cases = tuple(f"case {i}" for i in range(len(truth)))
    return OrdinalEvaluation(cases, np.array(truth), np.array(answer), names)


def classifier():
    return make_classifier(make_encoder(SMALL, 0), 3, 0)


def finetuned(cohort, out=None, **settings):
    training = FinetuneSettings(**{"steps": 20, "batch": 6, "checkpoint_every": 10} | settings)
    split = cohort.split()
    test, network = split.test if training.test_at else (), classifier()
    hooks = eval_hooks(network, cohort, training, validation=split.validation, test=test)
    return network, finetune(network, cohort, split.train, training, out, hooks=hooks)


def same(a, b):
    return all(torch.equal(weight, b.state_dict()[n]) for n, weight in a.state_dict().items())


# ---- code, loss, answer ------------------------------------------------------------------------


def test_grade_g_is_g_outputs_that_are_on():
    code = ordinal_code(torch.arange(5, dtype=torch.uint8), 5)
    assert code.tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]


@pytest.mark.parametrize("count", [2, 3, 5])
def test_decoding_undoes_the_code(count):
    grades = torch.arange(count)
    assert torch.equal(decode(ordinal_code(grades, count) - 0.5), grades)


def test_contradicting_outputs_have_a_grade_all_the_same():
    outputs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=4)))
    assert decode(outputs).tolist() == [(row > 0).sum() for row in outputs]
    assert decode(torch.tensor([[-1.0, 1, -1, -1], [-1, -1, 1, 1]])).tolist() == [1, 2]
    assert decode(torch.zeros(1, 4)).tolist() == [0], "undecided is not above"


def test_the_loss_of_an_undecided_answer_is_log_2_and_of_a_right_one_nothing():
    grades = torch.tensor([0, 1, 2], dtype=torch.uint8)
    assert ordinal_loss(torch.zeros(3, 2), grades).item() == pytest.approx(math.log(2))
    right = 50 * (2 * ordinal_code(grades, 3) - 1)
    assert ordinal_loss(right, grades).item() == pytest.approx(0, abs=1e-6)
    assert ordinal_loss(-right, grades).item() == pytest.approx(50)


# ---- scores ------------------------------------------------------------------------------------


def test_fault_04_an_undecided_grade_is_an_answer_and_counts_against_kappa():
    """Three of eight are wrong, each with outputs that contradict each other."""
    truth = torch.tensor([0, 1, 2, 3, 4, 1, 2, 3])
    logits = ordinal_code(truth, 5) - 0.5
    logits[5:] = torch.tensor([[-1, 1, 1, 1], [-1, -1, -1, 1], [-1, -1, 1, -1]])
    result = ordinal(truth.tolist(), decode(logits).tolist(), ("0", "1", "2", "3", "4"))
    assert result.prediction.tolist() == [0, 1, 2, 3, 4, 3, 1, 1]
    assert result.parts["accuracy"] == 5 / 8
    # mean squared difference 9/8, by chance 44/8 + 41/8 - 2 * 16/8 * 15/8
    assert result.kappa == pytest.approx(1 - 1.125 / 3.125)


def test_kappa_of_an_example_by_hand():
    result = ordinal([0, 0, 1, 2], [0, 1, 1, 2])
    assert result.kappa == pytest.approx(1 - 0.25 / 1.25)
    assert (result.measure, result.score) == ("kappa", result.kappa)
    assert result.parts == {
        "accuracy": 0.75,
        "recall none": 0.5,
        "recall mild": 1.0,
        "recall severe": 1.0,
    }
    assert result.line() == "kappa 0.800 (accuracy 0.750)"
    assert str(result).splitlines()[1:] == [
        "none: 1 of 2 found",
        "mild: 1 of 1 found",
        "severe: 1 of 1 found",
    ]
    assert result.rows()[1] == {"case": "case 1", "grade": 0, "prediction": 1}


@pytest.mark.parametrize(
    ("truth", "answer", "kappa"),
    [
        ([0, 1, 2], [0, 1, 2], 1),
        ([2, 2, 0, 0], [0, 0, 2, 2], -1),
        ([0, 1, 2], [1, 1, 1], 0),  # one answer for all
        ([1, 1, 1], [1, 1, 1], 0),  # 0/0: all right, as they would be by chance
        ([1, 1, 1], [0, 1, 2], 0),
    ],
)
def test_kappa_at_its_limits(truth, answer, kappa):
    assert ordinal(truth, answer).kappa == pytest.approx(kappa)


def test_a_grade_that_no_case_has_has_no_recall():
    result = ordinal([0, 2], [0, 1])
    assert result.parts == {"accuracy": 0.5, "recall none": 1.0, "recall severe": 0.0}
    assert "mild: 0 of 0 found" in str(result)


def test_segmentations_and_grades_have_the_same_face(cohort, shades):
    unet = make_unet(make_encoder(EncoderSettings(filters=(4, 8)), 0), 3, 0)
    maps = evaluate(unet, cohort, (0, 1), hausdorff=False, progress=False)
    grades = evaluate(classifier(), shades, (0, 1))
    assert (maps.measure, maps.score, maps.parts) == ("dice", maps.mean_dice, maps.by_region)
    assert (grades.measure, grades.score) == ("kappa", grades.kappa)
    for result in (maps, grades):
        assert all(isinstance(part, float) for part in (result.score, *result.parts.values()))
        assert result.line() in str(result)
        assert result.rows()[0]["case"] == "case_000"


def test_cases_are_graded_in_order(shades):
    cases = tuple(range(11, 0, -1))
    result = evaluate(thresholds(1.0, 2.0), shades, cases)
    assert result.cases == tuple(shades.cases[case].id for case in cases)
    assert result.prediction.tolist() == result.truth.tolist() == [case % 3 for case in cases]
    assert result.kappa == 1
    assert evaluate(thresholds(9.0, 9.0), shades, cases).prediction.tolist() == [0] * 11


def test_an_ungraded_case_cannot_be_scored_and_neither_can_none(tmp_path):
    cohort = make_graded(tmp_path, [0, None])
    with pytest.raises(InputError, match="case_001 has no grade"):
        score_grades([0, 0], cohort, (0, 1))
    with pytest.raises(InputError, match="there is no case"):
        score_grades([], cohort, ())


def test_predicted_grades_are_a_table(tmp_path):
    cohort = make_graded(tmp_path / "cohort", [0, 2, None])
    (path,) = predict(thresholds(0.1, 9.0), cohort, tmp_path / "out", (0, 2))
    with open(path) as file:
        assert list(csv.DictReader(file)) == [
            {"id": "case_000", "grade": "1", "name": "mild"},
            {"id": "case_002", "grade": "1", "name": "mild"},
        ]


# ---- the probe ---------------------------------------------------------------------------------


def test_the_probe_of_separable_features_has_kappa_1(shades):
    split = shades.split()
    draws = [shades.subset(split.train, 9), split.train]
    results = linear_probes(Brightness(), shades, draws, split.test)
    assert [result.kappa for result in results] == [1, 1]
    assert results[0].cases == tuple(shades.cases[case].id for case in split.test)


def test_the_probe_reads_the_mean_of_every_level(shades):
    (first, second) = picture_features(make_encoder(SMALL, 0).eval(), shades, (4, 2))
    levels = make_encoder(SMALL, 0).eval()(shades.images([2]))
    want = torch.cat([level.mean((2, 3))[0] for level in levels])
    assert first.shape == second.shape == (4 + 8,)
    torch.testing.assert_close(torch.from_numpy(second), want.detach(), rtol=1e-4, atol=1e-5)


def test_a_probe_that_saw_one_grade_always_answers_it(shades):
    (result,) = linear_probes(Brightness(), shades, [(2, 5)], shades.split().test)
    assert set(result.prediction.tolist()) == {2}
    assert result.kappa == 0


# ---- fine-tuning -------------------------------------------------------------------------------


def test_a_seed_sets_the_last_layer_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    first, again = classifier(), classifier()
    assert torch.equal(torch.rand(3), want)
    assert same(first, again)
    other = make_classifier(make_encoder(SMALL, 0), 3, 1)
    assert not torch.equal(first.last.weight, other.last.weight)
    assert first(torch.randn(2, 3, 8, 8)).shape == (2, 2)
    with pytest.raises(InputError, match="2 grades or more, not 1"):
        make_classifier(make_encoder(SMALL, 0), 1, 0)


def test_grades_are_learnt(shades):
    network, history = finetuned(shades, steps=60, learning_rate=2e-2)
    assert evaluate(network, shades, shades.split().test).kappa == 1
    assert history[-1]["loss"] < history[0]["loss"] / 2


def test_the_best_weights_by_kappa_are_kept(shades, tmp_path):
    network, history = finetuned(
        shades, tmp_path, steps=40, validate_every=10, learning_rate=0.3, clip=0
    )
    scores = [row["validation"] for row in history]
    assert len(scores) == 4
    assert evaluate(network, shades, shades.split().validation).kappa == max(scores)
    assert same(network, load_network(tmp_path))


def test_a_frozen_encoder_stands_still(shades):
    start = classifier()
    network, _ = finetuned(shades, freeze_encoder_steps=20)
    before = dict(start.named_parameters())
    moved = {n for n, p in network.named_parameters() if not torch.equal(p, before[n])}
    assert moved == {"last.weight", "last.bias"}


class Killed(Exception):  # noqa: N818
    """Stands for the end of the process between two steps."""


@pytest.mark.parametrize("at", [3, 10, 27])
def test_a_resumed_run_has_the_same_weights_and_scores(shades, tmp_path, monkeypatch, at):
    watched = {"steps": 30, "validate_every": 20, "test_at": (10, 30), "learning_rate": 1e-2}
    whole, history = finetuned(shades, **watched)
    steps, original = itertools.count(), torch.optim.AdamW.step

    def step(self, *args, **kwargs):
        if next(steps) == at:
            raise Killed
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(torch.optim.AdamW, "step", step)
        with pytest.raises(Killed):
            finetuned(shades, tmp_path, **watched)
    resumed, again = finetuned(shades, tmp_path, **watched)
    assert same(whole, resumed), "bit for bit"
    assert history == again


@pytest.mark.parametrize("kind", ["maps", "grades"])
def test_the_history_holds_the_test_scores_that_were_asked_for(cohort, shades, tmp_path, kind):
    data = {"maps": cohort, "grades": shades}[kind]
    split = data.split()

    def run(steps, **settings):
        unet = make_unet(make_encoder(EncoderSettings(filters=(4, 8)), 0), 3, 0)
        network = unet if kind == "maps" else classifier()
        training = FinetuneSettings(steps=steps, **settings)
        hooks = eval_hooks(network, data, training, test=split.test if training.test_at else ())
        return network, finetune(network, data, split.train[:4], training, hooks=hooks)

    network, history = run(25, test_at=(10, 20))
    assert [row["step"] for row in history if "test" in row] == [10, 20]
    plain, without = run(25)
    assert same(network, plain), "looking changes nothing"
    assert not any("test" in row for row in without)
    last, history = run(20, test_at=(20,))
    result = evaluate(last, data, split.test, hausdorff=False, progress=False)
    assert history[-1]["test"] == pytest.approx(result.score)


def test_nothing_is_chosen_by_test_scores(shades):
    wild = {"steps": 40, "learning_rate": 0.3, "clip": 0}
    network, _ = finetuned(shades, **wild, test_at=(10, 20, 30))
    assert same(network, finetuned(shades, **wild)[0]), "the last weights"


@pytest.mark.parametrize(
    ("settings", "test", "said"),
    [
        ({"test_at": (10,)}, (), "test_at is set, but there are no test cases"),
        ({"test_at": (10, 40)}, (0,), "test_at names step 40, but there are 30 steps"),
        ({"test_at": (15,)}, (0,), r"test_at is \(15,\), but each entry must be a multiple of 10"),
        ({"test_at": (0,)}, (0,), r"test_at is \(0,\), but each entry must be above 0"),
        ({"patch": (4, 4)}, (), "a grade is that of a whole picture"),
        ({"validate_every": 10}, (), "there are no validation cases"),
    ],
)
def test_settings_that_do_not_fit_are_refused(shades, settings, test, said):
    def run():
        training = FinetuneSettings(steps=30, **settings)
        network = classifier()
        hooks = eval_hooks(network, shades, training, test=test)
        finetune(network, shades, (1, 2), training, hooks=hooks)

    with pytest.raises(InputError, match=said):
        run()


def test_a_network_that_answers_something_else_is_refused(cohort, shades, tmp_path):
    flat = make_cohort(tmp_path, 3, (8, 8), channels=3)
    unet = make_unet(make_encoder(SMALL, 0), 3, 0)
    five = make_classifier(make_encoder(SMALL, 0), 5, 0)
    for network, data, said in (
        (unet, shades, "the network tells 3 classes apart, but made up has 3 grades"),
        (classifier(), flat, "the network tells 3 grades apart, but made up has 3 classes"),
        (five, shades, "the network tells 5 grades apart, but made up has 3 grades"),
    ):
        with pytest.raises(InputError, match=said):
            finetune(network, data, (0, 1), FinetuneSettings(steps=1))
        with pytest.raises(InputError, match=said):
            evaluate(network, data, (0, 1), progress=False)
        with pytest.raises(InputError, match=said):
            predict(network, data, tmp_path / "out", (0, 1))
    with pytest.raises(InputError, match="case_001 has no label"):
        finetune(
            classifier(), make_graded(tmp_path / "g", [0, None]), (0, 1), FinetuneSettings(steps=1)
        )


def test_a_saved_classifier_is_the_same_and_so_is_its_encoder(shades, tmp_path):
    network, _ = finetuned(shades, tmp_path)
    loaded = load_network(tmp_path)
    assert isinstance(loaded, Classifier)
    assert (loaded.grades, loaded.training) == (3, False)
    assert same(network, loaded)
    assert same(network.encoder, load_encoder(tmp_path))
    record = json.loads((tmp_path / "settings.json").read_text())
    assert (record["grades"], record["label_names"]) == (3, list(NAMES))
    assert "classes" not in record

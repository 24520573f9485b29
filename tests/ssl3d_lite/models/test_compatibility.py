"""No network meets a scan it does not know, and no test patient is one that was trained on."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import make_cohort, make_graded

from data_recipes.folder import Folder
from ssl3d_lite.cli.arguments import read_settings
from ssl3d_lite.cli.main import main
from ssl3d_lite.data.case import array_path, write_array
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.prediction import predict, predictions
from ssl3d_lite.evaluation.probe import probe
from ssl3d_lite.evaluation.segmentation import evaluate
from ssl3d_lite.models.compatibility import adopt_encoder, for_channels
from ssl3d_lite.models.encoders import adapt_channels, channel_sources, make_encoder
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.tasks import make_task
from ssl3d_lite.training.checkpoint import load_encoder, load_network
from ssl3d_lite.training.finetuning import finetune
from ssl3d_lite.training.pretraining import pretrain

RECIPE = {
    "name": "folder",
    **{"crop": False, "spacing": [1, 1, 1], "size": [8, 8, 8]},
    **{"fit": "pad", "intensity": "window:0,300"},
}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    made = make_cohort(tmp_path_factory.mktemp("made") / "cohort", 10, (8, 8, 8), channels=2)
    made = replace(made, channels=("t1", "flair"), recipe=RECIPE)
    made.save()
    return made


@pytest.fixture(scope="module")
def network(cohort):
    network = make_network(make_encoder(cohort, 0, filters=(4, 8)), cohort)
    finetune(network, cohort, steps=4)
    return network


def pretrained(cohort, **which):
    encoder = make_encoder(cohort, 0, filters=(4, 8))
    task = make_task("rotation", encoder, seed=0, crop_size=8)
    pretrain(task, encoder, cohort, steps=4, **which)
    return encoder


def swapped(cohort, folder):
    """The same scans with their channels in the other order."""
    for i, case in enumerate(cohort.cases):
        image, label = cohort[i]
        write_array(array_path(folder, "images", case.id), np.array(image)[::-1])
        write_array(array_path(folder, "labels", case.id), np.array(label))
    other = replace(cohort, channels=cohort.channels[::-1], folder=folder)
    other.save()
    return other


# ---- channels ----------------------------------------------------------------------------------


def test_channels_find_their_places_by_name(cohort, network, tmp_path, capsys):
    other, cases = swapped(cohort, tmp_path), range(4)
    want = list(predictions(network, cohort, cases))
    capsys.readouterr()
    for each in (other, other.to("cpu")):
        found = list(predictions(network, each, cases))
        assert all(torch.equal(a, b) for a, b in zip(want, found, strict=True))
        said = capsys.readouterr().out
        assert said == "channels of made up are read in the network's order: t1 flair\n"
    score = evaluate(network, other, cohort.split().test, progress=False).dice
    assert np.array_equal(score, evaluate(network, cohort, progress=False).dice)


def test_channels_of_other_names_or_numbers_are_refused_by_name(cohort, network, tmp_path):
    other = replace(cohort, channels=("t1", "t2"))
    with pytest.raises(InputError, match="channels t1 t2, not t1 flair; prepare the scans with "):
        predict(network, other, tmp_path)
    one = replace(cohort, channels=("flair",))
    with pytest.raises(InputError, match="channels flair, not t1 flair"):
        evaluate(network, one)
    assert not list(tmp_path.iterdir())


def test_an_encoders_channels_are_put_into_the_order_of_the_cohort(cohort, tmp_path, capsys):
    encoder, other = pretrained(cohort), swapped(cohort, tmp_path)
    plain = probe(encoder, cohort, labels=2, draws=1, controls=0)
    capsys.readouterr()
    turned = probe(encoder, other, labels=2, draws=1, controls=0)
    assert "the encoder's channels are put into the order flair t1" in capsys.readouterr().out
    assert encoder.provenance.preparation.channels == ("t1", "flair")  # it stays as it is
    assert turned.score == pytest.approx(plain.score, abs=0.02)  # sums in another order
    network = make_network(encoder, other)
    weights = encoder.state_dict()["levels.0.conv1.weight"].clone()
    finetune(network, other, steps=1, learning_rate=1e-12)
    after = encoder.state_dict()["levels.0.conv1.weight"]
    assert torch.allclose(after, weights[:, [1, 0]], atol=1e-9)
    assert encoder.provenance.preparation.channels == ("flair", "t1")


@pytest.mark.parametrize(
    ("before", "now", "sources"),
    [
        (("T1", "FLAIR"), ("t1", "t1ce", "t2", "flair"), [0, 0, 1, 1]),
        # as the recipes of UK Biobank and BraTS name theirs
        (("t1", "t2-flair"), ("t1", "t1ce", "t2", "flair"), [0, 0, 1, 1]),
        (("t1", "t1ce", "t2", "flair"), ("FLAIR", "T2"), [3, 2]),
        (("a", "b"), ("c", "a"), [1, 0]),  # what has no namesake takes what is left first
        (("a", "b"), ("c", "d"), [0, 1]),
        ((), ("a", "b", "c"), [0, 1, 0]),
        (("T1", "t1"), ("t1", "T1"), [1, 0]),  # the very same name goes first
    ],
)
def test_a_channel_is_read_as_its_namesake_and_the_rest_in_turn(before, now, sources):
    old = len(before) or 2
    assert channel_sources(before, now, old, len(now)) == sources


def test_an_encoder_for_more_channels_takes_them_by_name(cohort, capsys):
    encoder = pretrained(replace(cohort, channels=("FLAIR", "T1")))
    more = replace(cohort, channels=("t1", "t1ce", "flair"))
    capsys.readouterr()
    adapted = for_channels(encoder, more)
    assert capsys.readouterr().out == (
        "input layer adapted from 2 to 3 channels: t1 is read as T1, t1ce is read as FLAIR, "
        "flair is read as FLAIR\n"
    )
    old, new = (each.state_dict()["levels.0.conv1.weight"] for each in (encoder, adapted))
    assert torch.equal(new, torch.stack([old[:, 1], old[:, 0] / 2, old[:, 0] / 2], 1))
    assert adapted.provenance.preparation.channels == more.channels
    assert adapted.provenance.seen
    assert for_channels(adapted, more) is adapted
    turned = for_channels(adapted, replace(cohort, channels=("flair", "t1ce", "t1")))
    assert torch.equal(turned.state_dict()["levels.0.conv1.weight"], new[:, [2, 1, 0]])
    assert turned.provenance.preparation.channels == ("flair", "t1ce", "t1")
    assert adapted.provenance.preparation.channels == more.channels  # it stays as it is
    assert adapt_channels(encoder, 4).provenance.preparation.channels is None  # no names are given


def test_names_in_other_letters_are_the_same_channels(cohort, tmp_path, capsys):
    encoder = pretrained(cohort)
    adopt_encoder(encoder, replace(swapped(cohort, tmp_path), channels=("FLAIR", "T1")))
    said = capsys.readouterr().out
    assert said.endswith("the encoder's channels are put into the order FLAIR T1\n")


# ---- how scans were made -------------------------------------------------------------------------


def remade(cohort, **recipe):
    return replace(cohort, recipe=RECIPE | recipe)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda c: remade(c, intensity="zscore"),
            "intensity zscore, not window:0,300; prepare the scans with --intensity window:0,300",
        ),
        (lambda c: remade(c, fit="stretch"), "fit stretch, not pad"),
        (lambda c: remade(c, crop=True), "crop yes, not no; prepare the scans with --crop False"),
        (
            lambda c: replace(
                c,
                spacing=(2.0, 2.0, 2.0),
                cases=tuple(replace(k, affine=np.diag([2, 2, 2, 1]).tolist()) for k in c.cases),
            ),
            "spacing 2 × 2 × 2 mm, not 1 × 1 × 1 mm; prepare the scans with --spacing 1 1 1",
        ),
        (
            lambda c: replace(c, cases=tuple(replace(k, shape=(8, 8, 4)) for k in c.cases)),
            "shape 8 × 8 × 4, not 8 × 8 × 8; prepare the scans with --size 8 8 8",
        ),
        (
            lambda c: replace(
                c,
                cases=tuple(replace(k, affine=np.diag([-1, -1, 1, 1]).tolist()) for k in c.cases),
            ),
            "orientation LPS, not RAS",
        ),
        (
            lambda c: replace(c, label_names=("background", "liver", "tumour")),
            "classes background liver tumour, not background front back; take a network",
        ),
        (
            lambda c: replace(c, label_names=("background", "back", "front")),
            "classes background back front, not background front back",
        ),
    ],
)
def test_scans_that_were_made_otherwise_are_refused(cohort, network, tmp_path, change, said):
    other = change(cohort)
    for use in (
        lambda: predict(network, other, tmp_path),
        lambda: evaluate(network, other),
        lambda: predictions(network, other, [0]),
    ):
        with pytest.raises(InputError) as refused:
            use()
        assert said in str(refused.value)
        assert "made up does not fit the network, which was trained on made up" in str(
            refused.value
        )
        if advised := re.search("prepare the scans with (.*), or give", str(refused.value)):
            words = ["--raw", "raw", "--out", "out", *advised[1].split()]
            read_settings(Folder, "prepare folder", words, "", "")  # the command takes them
    assert not list(tmp_path.iterdir())


def test_all_that_differs_is_named_at_once(cohort, network):
    other = remade(cohort, intensity="zscore", crop=True)
    with pytest.raises(InputError, match="crop yes, not no") as refused:
        evaluate(network, other)
    assert "intensity zscore" in str(refused.value)
    assert "with --intensity window:0,300 --crop False, or give the raw" in str(refused.value)


def test_a_network_of_boxes_reads_volumes_of_any_size(cohort, tmp_path):
    network = make_network(make_encoder(cohort, 0, filters=(4, 8)), cohort)
    finetune(network, cohort, steps=2, patch=(4, 4, 4))
    other = make_cohort(tmp_path, 5, (8, 8, 12), channels=2)
    other = replace(other, channels=("t1", "flair"), recipe=RECIPE)
    assert len(evaluate(network, other, [0, 1], (4, 4, 4), progress=False).cases) == 2
    with pytest.raises(InputError, match="intensity"):
        evaluate(network, remade(other, intensity="unit"), [0, 1], (4, 4, 4))


def test_what_is_unknown_of_a_strangers_cohort_is_let_through(cohort, network):
    other = replace(cohort, recipe={"name": "a stranger's"})
    assert evaluate(network, other, progress=False).dice.shape == (2, 3)


def test_an_encoder_may_be_transferred_and_says_so(cohort, tmp_path, capsys):
    encoder = pretrained(cohort)
    other = make_cohort(tmp_path, 10, (8, 8, 8), channels=2, seed=5)
    other = replace(other, name="another", channels=("a", "b"), recipe=RECIPE | {"crop": True})
    network = make_network(encoder, other)
    capsys.readouterr()
    finetune(network, other, steps=1)
    said = capsys.readouterr().out
    assert said.startswith("a transfer: another differs from what the encoder was trained on, made")
    assert "channels a b, not flair t1" in said or "channels" in said
    assert "crop yes, not no" in said
    assert network.provenance.preparation == other.preparation
    evaluate(network, other, progress=False)


def test_a_classifier_knows_its_grades(tmp_path):
    pictures = make_graded(tmp_path, [0, 1, 2] * 5)
    network = make_network(make_encoder(pictures, 0, filters=(4, 8)), pictures)
    finetune(network, pictures, steps=2)
    evaluate(network, pictures)
    other = replace(pictures, label_names=("severe", "mild", "none"))
    with pytest.raises(InputError, match="classes severe mild none, not none mild severe"):
        predict(network, other, tmp_path / "out")


# ---- whose scans they are ------------------------------------------------------------------------


def test_an_encoder_of_another_fold_is_refused(cohort):
    encoder = pretrained(cohort)  # folds 0 and 1 are held out
    told = (
        r"the encoder has seen in training 2 of the 2 patients that fold 2 of made up tests on, "
        r"such as patient_002; take --fold 0, which it was pretrained for, or pretrain one on made "
        r"up with --fold 2"
    )
    with pytest.raises(InputError, match=told):
        probe(encoder, cohort, labels=2, fold=2)
    network = make_network(encoder, cohort)
    with pytest.raises(InputError, match=told):
        finetune(network, cohort, fold=2, steps=1)
    with pytest.raises(InputError, match=told):  # a fold is known by its training cases
        finetune(network, cohort, cohort.split(2).train, steps=1)
    with pytest.raises(InputError, match="2 patients that fold 1 of made up chooses by"):
        finetune(network, cohort, fold=1, steps=1)
    probe(encoder, cohort, labels=2, draws=1, controls=0)
    finetune(network, cohort, steps=1)
    assert network.provenance.fold == 0


def test_a_fine_tuned_networks_encoder_has_seen_its_patients(cohort, network):
    again = make_network(network.encoder, cohort)
    with pytest.raises(InputError, match="patients that fold 3 of made up tests on"):
        finetune(again, cohort, fold=3, steps=1)


def test_a_network_is_not_tested_on_those_it_was_trained_on(cohort, tmp_path):
    network = make_network(make_encoder(cohort, 0, filters=(4, 8)), cohort)
    finetune(network, cohort, fold=2, steps=1)
    told = r"the network has seen 2 of the 2 patients of made up .* with fold 2 held out \(--fold 2"
    with pytest.raises(InputError, match=told):
        evaluate(network, cohort)
    with pytest.raises(InputError, match=told):
        predict(network, cohort, tmp_path)
    evaluate(network, cohort, cohort.split(2).test, progress=False)
    assert len(predict(network, cohort, tmp_path, range(len(cohort)))) == 10  # no score


def test_folds_are_compared_on_the_command_line(cohort, tmp_path, capsys):
    base = ["--cohort", str(cohort.folder)]
    small = [*base, "--filters", "4", "8", "--steps", "2", "--out"]
    encoder, model = str(tmp_path / "e"), str(tmp_path / "m")
    assert main(["pretrain", "--task", "rotation", "--crop-size", "8", *small, encoder]) == 0
    for command in (
        ["finetune", *small, str(tmp_path / "x"), "--encoder", encoder, "--fold", "2"],
        ["probe", *base, "--encoder", encoder, "--labels", "2", "--fold", "2"],
    ):
        assert main(command) == 2
        assert "take --fold 0, which it was pretrained for" in capsys.readouterr().err
    assert main(["finetune", *small, model, "--encoder", encoder, "--labels", "2"]) == 0
    assert load_network(model).provenance.fold == 0
    assert load_encoder(model).provenance.has_seen(cohort, cohort.split(3).test)
    to = ["predict", "--model", model, *base, "--out", str(tmp_path / "p"), "--fold"]
    capsys.readouterr()
    assert main([*to, "0"]) == 0
    assert "held out" not in capsys.readouterr().out
    assert main([*to, "1"]) == 0
    assert "it was trained with fold 0 held out" in capsys.readouterr().out
    assert main([*to, "3"]) == 2
    assert "has seen 2 of the 2 patients" in capsys.readouterr().err


# ---- nothing to learn ----------------------------------------------------------------------------


def test_empty_maps_are_refused_only_where_all_are(tmp_path):
    made = make_cohort(tmp_path, 10, (8, 8, 8))
    split = made.split()
    for case in (*split.train[:3], *split.test):
        write_array(array_path(tmp_path, "labels", made.cases[case].id), np.zeros((8,) * 3, "u1"))
    some = Cohort.open(tmp_path)
    network = make_network(make_encoder(some, 0, filters=(4, 8)), some)
    finetune(network, some, steps=2)
    assert "front is absent from 2 of 2 cases" in str(evaluate(network, some, progress=False))
    with pytest.raises(InputError, match=r"all 3 cases .* are empty: .* take more or other labels"):
        finetune(network, some, split.train[:3], steps=2)
    for case in split.train[3:]:
        write_array(array_path(tmp_path, "labels", made.cases[case].id), np.zeros((8,) * 3, "u1"))
    for use in (
        lambda: finetune(network, some, steps=2),
        lambda: probe(make_encoder(some, 0, filters=(4, 8)), some, labels=2),
    ):
        with pytest.raises(InputError, match="there is nothing but background in them"):
            use()


def test_a_cohort_without_classes_is_not_scored(tmp_path):
    made = replace(make_cohort(tmp_path, 10, (8, 8, 8)), regions={})
    network = make_network(make_encoder(made, 0, filters=(4, 8)), made)
    with pytest.raises(InputError, match="no class but the background to be scored"):
        evaluate(network, made)

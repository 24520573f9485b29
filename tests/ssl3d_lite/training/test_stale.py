"""A run whose cohort, or whose encoder, changed since is trained anew, and says why."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import make_cohort
from safetensors.torch import load_file

from ssl3d_lite.cli.main import main
from ssl3d_lite.data.case import array_path, write_array
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.tasks import make_task
from ssl3d_lite.training.checkpoint import load_encoder, load_network
from ssl3d_lite.training.finetuning import finetune
from ssl3d_lite.training.pretraining import pretrain

SHAPE = ("--filters", "4", "8", "--steps", "4")


@pytest.fixture
def folder(tmp_path):
    make_cohort(tmp_path / "cohort", 10, (8, 8, 8))
    return tmp_path


def run(command, folder, out, *more):
    where = ["--cohort", str(folder / "cohort"), "--out", str(folder / out)]
    return main([command, *where, *SHAPE, *map(str, more)])


def tune(folder, out, *more, encoder="random"):
    return run("finetune", folder, out, "--encoder", encoder, *more)


def puzzle(folder, out, *more):
    return run("pretrain", folder, out, "--task", "rotation", "--crop-size", 8, *more)


def write(folder, kind, cases):
    """Write other arrays of some cases into a cohort, as preparing it again does."""
    cohort, new = Cohort.open(folder / "cohort"), []
    for case in cohort.cases:
        if case.id in cases:
            path = array_path(cohort.folder, f"{kind}s", case.id)
            array = np.roll(np.load(path), 3, -1)
            case = replace(case, sha256={**case.sha256, kind: write_array(path, array)})
        new.append(case)
    replace(cohort, cases=tuple(new)).save()


def weights(folder, out, name="network"):
    return load_file(folder / out / f"{name}.safetensors")


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one | other)


def scores(folder, out):
    with open(folder / out / "scores.csv") as file:
        return [row["dice"] for row in csv.DictReader(file)]


@pytest.mark.parametrize("kind", ["label", "image"])
def test_fine_tuning_follows_what_was_mended(folder, capsys, kind):
    assert tune(folder, "a") == 0
    old = weights(folder, "a")
    write(folder, kind, {"case_002", "case_003", "case_004"})  # of training
    capsys.readouterr()
    assert tune(folder, "a") == 0
    said = capsys.readouterr().out
    assert f"the cohort's {kind}s changed since {folder / 'a'} was trained: training anew" in said
    assert tune(folder, "fresh") == 0
    assert same(weights(folder, "a"), weights(folder, "fresh"))
    assert not same(weights(folder, "a"), old)
    assert scores(folder, "a") == scores(folder, "fresh")
    assert tune(folder, "a") == 0
    said = capsys.readouterr().out
    assert "anew" not in said
    assert "is continued from step 4" in said


def test_a_killed_run_does_not_go_on_from_half_old_weights(folder, capsys):
    cohort = Cohort.open(folder / "cohort")

    def train(out, steps, stop=None):
        encoder = make_encoder(cohort, 0, filters=(4, 8))
        task = make_task("rotation", encoder, seed=0, crop_size=8)
        watch = (lambda history: history[-1]["step"] == stop) if stop else None
        pretrain(
            task,
            encoder,
            Cohort.open(cohort.folder),
            out=folder / out,
            steps=steps,
            batch=2,
            callback=watch,
        )

    train("a", 20, stop=10)
    write(folder, "image", {"case_004"})
    train("a", 20)
    train("fresh", 20)
    assert "images changed since" in capsys.readouterr().out
    assert same(weights(folder, "a", "encoder"), weights(folder, "fresh", "encoder"))


def test_pretraining_does_not_depend_on_labels(folder, capsys):
    assert puzzle(folder, "e") == 0
    write(folder, "label", {"case_002"})
    assert puzzle(folder, "e") == 0
    said = capsys.readouterr().out
    assert "anew" not in said
    assert "is continued from step 4" in said
    write(folder, "image", {"case_002"})
    assert puzzle(folder, "e") == 0
    assert "the cohort's images changed" in capsys.readouterr().out


def test_an_encoder_that_was_trained_anew_trains_its_networks_anew(folder, capsys):
    encoder = folder / "e"
    assert puzzle(folder, "e") == 0
    assert tune(folder, "a", encoder=str(encoder)) == 0
    write(folder, "image", {"case_002"})
    assert puzzle(folder, "e") == 0
    assert tune(folder, "a", encoder=str(encoder)) == 0
    said = capsys.readouterr().out
    assert "the cohort's images and the encoder's weights changed since" in said
    assert tune(folder, "fresh", encoder=str(encoder)) == 0
    assert same(weights(folder, "a"), weights(folder, "fresh"))


def test_another_encoder_fold_or_cohort_is_another_run(folder, capsys):
    assert puzzle(folder, "e") == 0
    assert puzzle(folder, "f", "--seed", "1") == 0
    assert tune(folder, "a", encoder=str(folder / "e")) == 0
    before = weights(folder, "a")
    assert tune(folder, "a", encoder=str(folder / "f")) == 2
    assert "began with other weights" in capsys.readouterr().err
    assert tune(folder, "a") == 2  # a random one, of the default shape
    assert "holds a run with encoder.norm = batch" in capsys.readouterr().err
    assert tune(folder, "b") == 0
    assert tune(folder, "b", "--fold", "2") == 2
    assert "holds a run with data" in capsys.readouterr().err
    make_cohort(folder / "other" / "cohort", 10, (8, 8, 8), seed=1)
    where = ["--cohort", str(folder / "other/cohort"), "--out", str(folder / "b")]
    other = replace(Cohort.open(folder / "other/cohort"), name="another")
    other.save()
    write(folder / "other", "image", {"case_000"})
    assert main(["finetune", *where, *SHAPE, "--encoder", "random"]) == 2
    assert "holds a run on another cohort" in capsys.readouterr().err
    assert same(weights(folder, "a"), before)


def test_a_cell_run_again_does_not_train_the_trained(folder):
    cohort = Cohort.open(folder / "cohort")
    encoder = make_encoder(cohort, 0, filters=(4, 8))
    pretrain(
        make_task("rotation", encoder, seed=0, crop_size=8),
        encoder,
        cohort,
        steps=4,
        out=folder / "e",
    )
    network = make_network(load_encoder(folder / "e"), cohort)
    finetune(network, cohort, steps=4, out=folder / "n")
    with pytest.raises(InputError, match="began with other weights"):
        finetune(network, cohort, steps=4, out=folder / "n")


def test_a_run_of_an_earlier_version_goes_on_and_says_what_is_unknown(folder, capsys):
    assert tune(folder, "a") == 0
    old = weights(folder, "a")
    state = torch.load(folder / "a" / "resume.pt", weights_only=True)
    record = json.loads(state["record"])
    for name in ("cohort", "folders", "fold"):
        del record[name]
    torch.save({**state, "record": json.dumps(record)}, folder / "a" / "resume.pt")
    capsys.readouterr()
    assert tune(folder, "a") == 0
    assert capsys.readouterr().out.count("does not say what was in the cohort") == 1
    assert same(weights(folder, "a"), old)


def test_weights_of_an_earlier_version_are_read_and_said_to_be_unknown(folder, capsys):
    assert puzzle(folder, "e") == 0
    assert tune(folder, "a") == 0
    for out in ("e", "a"):
        path = folder / out / "settings.json"
        record = json.loads(path.read_text())
        del record["trained_on"]
        path.write_text(json.dumps(record))
    capsys.readouterr()
    assert load_encoder(folder / "e").provenance.seen is None
    assert capsys.readouterr().out.count("\n") == 1
    meaning = load_network(folder / "a").provenance.preparation
    assert meaning.label_names == ("background", "front", "back")
    assert meaning.intensity is None
    where = ["--cohort", str(folder / "cohort"), "--out", str(folder / "p")]
    assert main(["predict", "--model", str(folder / "a"), *where]) == 0
    assert tune(folder, "b", "--fold", "2", encoder=str(folder / "e")) == 0


def test_a_network_says_that_its_cohort_changed_since(folder, capsys):
    assert tune(folder, "a") == 0
    write(folder, "label", {"case_000"})
    capsys.readouterr()
    where = ["--cohort", str(folder / "cohort"), "--out", str(folder / "p")]
    assert main(["predict", "--model", str(folder / "a"), *where]) == 0
    assert "the labels of made up changed since the network was trained" in capsys.readouterr().out


@pytest.mark.parametrize("command", [tune, puzzle])
def test_a_cohort_that_is_half_prepared_is_not_trained_on(folder, capsys, command):
    (folder / "cohort" / "records").mkdir()
    (folder / "cohort" / "records" / "case_000.json").write_text('{"terms": {}}')
    assert command(folder, "a") == 2
    assert "is being prepared again, or that was stopped" in capsys.readouterr().err


@pytest.mark.parametrize("broken", [[1], {"seen": [3]}, {"seen": [{}]}, {"patch": 3}])
def test_a_record_that_somebody_broke_is_one_line(broken, folder, capsys):
    assert tune(folder, "a") == 0
    path = folder / "a/settings.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"trained_on": broken}))
    for load in (load_network, load_encoder):
        with pytest.raises(InputError, match=f"^{path} has been changed: .*; train again$"):
            load(folder / "a")

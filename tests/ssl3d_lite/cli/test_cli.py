import csv
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import fields, replace

import nibabel
import numpy as np
import pytest
from helpers import make_cohort, make_graded

from ssl3d_lite.cli.commands import EncoderShape, pretrain_defaults
from ssl3d_lite.cli.main import COMMANDS, main
from ssl3d_lite.errors import InputError
from ssl3d_lite.tasks import TASKS


def test_help_names_every_command_in_under_a_second_without_torch():
    code = (
        "import sys, ssl3d_lite.cli.main as c; c.main(['--help']);"
        "assert 'torch' not in sys.modules and 'monai' not in sys.modules"
    )
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.perf_counter() - start < 1
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tuor"], "unknown command 'tuor'; did you mean 'tour'?"),
        (["prepare", "brast", "--out", "x"], "unknown recipe 'brast'; did you mean 'brats'?"),
        (["pretrain", "--task", "rotatoin"], "unknown task 'rotatoin'; did you mean 'rotation'?"),
        (["probe", "--cohort", "nowhere", "--encoder", "random"], "no cohort in nowhere"),
        (["tour", "--cohort", "nowhere"], "no cohort in nowhere"),
        (["tour", "--task", "cpd"], "did you mean 'cpc'?"),
        (["tour", "--cohort", "c", "--cases", "9"], "cases are those of virtual volumes"),
        (
            [*("predict", "--model", "m", "--out", "o"), "--cohort", "c", "--workers", "2"],
            "workers prepare raw scans, of which a cohort has none",
        ),
        (
            [*("features", "--encoder", "e", "--out", "o", "--cohort", "c"), "--seed", "3"],
            "seed draws the weights of a random encoder",
        ),
        (["course", "build", "o", "--cohort", "c", "--cases", "9"], "cases are virtual"),
        (["study", "hippocampus", "--partition", "gpu"], "partition is for the launcher slurm"),
    ],
)
def test_bad_input_is_one_clear_line_and_exit_code_2(capsys, arguments, said):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_misspelt_flag_names_the_nearest(capsys):
    assert main(["pretrain", "--cohort", "x", "--out", "y", "--learning-rat", "1"]) == 2
    assert capsys.readouterr().err == (
        "ssl3d: pretrain has no setting --learning-rat; did you mean --learning-rate? "
        "(ssl3d pretrain --help lists all)\n"
    )


def test_a_tasks_own_settings_are_flags_and_anothers_are_not(capsys):
    with pytest.raises(SystemExit):
        main(["pretrain", "--task", "cpc", "--help"])
    assert "--temperature" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["pretrain", "--task", "rotation", "--help"])
    assert "--temperature" not in capsys.readouterr().out


@pytest.mark.parametrize("task", [*TASKS, "cpc+masked"])
def test_every_tasks_settings_can_be_given(task, capsys):
    """No two settings share a flag."""
    with pytest.raises(SystemExit) as left:
        main(["pretrain", "--task", task, "--help"])
    assert left.value.code == 0
    flags = capsys.readouterr().out
    for name in task.split("+"):
        own = fields(TASKS[name].Settings)[0].name.replace("_", "-")
        assert (f"--{name}.{own}" if "+" in task else f"--{own}") in flags


def test_several_tasks_train_one_encoder_and_have_flags_of_their_own(tmp_path, capsys):
    make_cohort(tmp_path / "cohort", 15)
    out = tmp_path / "encoder"
    arguments = [*("pretrain", "--task", "rotation+jigsaw", "--cohort", str(tmp_path / "cohort"))]
    own = ["--rotation.crop-size", "16", "--jigsaw.patch", "4", "--jigsaw.permutations", "30"]
    small = ["--steps", "10", "--filters", "4", "8", "--precision", "32-true"]
    assert main([*arguments, *own, *small, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "jigsaw: 30 orders of 27 pieces; any two differ in at least 25 places" in said
    assert "rotation on 3 validation cases: accuracy" in said
    assert "jigsaw on 3 validation cases: accuracy" in said
    settings = json.loads((out / "settings.json").read_text())["task_settings"]
    assert (settings["rotation crop_size"], settings["jigsaw permutations"]) == (16, 30)


def test_a_cohort_of_slices_has_the_2d_defaults(tmp_path, capsys):
    make_cohort(tmp_path / "cohort", 60, (24, 32))
    out = tmp_path / "out"
    arguments = ["pretrain", "--task", "rpl", "--cohort", str(tmp_path / "cohort"), "--patch", "5"]
    assert main([*arguments, "--steps", "2", "--filters", "4", "8", "--out", str(out)]) == 0
    record = json.loads((out / "settings.json").read_text())
    assert record["training"]["batch"] == 32
    assert record["encoder"]["spatial_dims"] == 2


def test_a_preset_that_does_not_fit_the_scans_says_so_in_one_line(tmp_path, capsys):
    make_cohort(tmp_path / "cohort", 15)
    at = ["--cohort", str(tmp_path / "cohort"), "--out", str(tmp_path / "out")]
    assert main(["pretrain", "--task", "rpl", "--preset", "paper", *at]) == 2
    error = capsys.readouterr().err
    assert "need volumes of 126 voxels, but got (24, 32, 24)" in error
    assert "Traceback" not in error


def test_pretrain_finetune_probe_predict_one_after_another(tmp_path, capsys):
    cohort = make_cohort(tmp_path / "cohort", 15)
    at = ["--cohort", str(tmp_path / "cohort")]
    encoder, model = str(tmp_path / "encoder"), str(tmp_path / "model")
    small = ["--steps", "10", "--precision", "32-true"]
    arguments = [
        "pretrain",
        *at,
        "--task",
        "rotation",
        "--crop-size",
        "16",
        "--out",
        encoder,
        *small,
    ]
    assert main([*arguments, "--filters", "4", "8"]) == 0
    assert "rotation on 3 validation cases: accuracy" in capsys.readouterr().out
    few = ["--labels", "2", "--draws", "2", "--seed", "7"]
    assert main(["probe", *at, "--encoder", encoder, *few]) == 0
    said = capsys.readouterr().out
    assert "mean Dice" in said
    assert "norm, seed 108 " in said, "the seed is that of the function: controls begin 101 above"
    for asked, told in (
        (["--norm", "group"], f"norm group is asked for, but the encoder in {encoder} has batch"),
        (["--filters", "4"], f"filters (4,) is asked for, but the encoder in {encoder} has (4, 8)"),
    ):
        assert main(["probe", *at, "--encoder", encoder, "--labels", "2", *asked]) == 2
        assert told in capsys.readouterr().err
    arguments = ["finetune", *at, "--encoder", encoder, "--labels", "50%", "--out", model, *small]
    assert main([*arguments, "--patch", "16", "16", "16"]) == 0
    assert "4 labelled cases; 3 test cases" in capsys.readouterr().out
    arguments = ["predict", *at, "--model", model, "--out", str(tmp_path / "nifti")]
    assert main(arguments) == 0
    written = sorted((tmp_path / "nifti").glob("[!.]*"))
    assert [p.name for p in written] == [
        f"{cohort.cases[i].id}.nii.gz" for i in cohort.split().test
    ]
    image = nibabel.load(written[0])
    assert image.shape == (24, 32, 24)
    assert set(np.unique(image.dataobj)) <= {0, 1, 2}


def test_an_encoder_for_other_channels_is_adapted_and_said_so(tmp_path, capsys):
    make_cohort(tmp_path / "one", 15)
    make_cohort(tmp_path / "two", 15, channels=2)
    encoder = str(tmp_path / "encoder")
    arguments = ["pretrain", "--task", "rotation", "--crop-size", "16", "--steps", "10"]
    arguments += ["--cohort", str(tmp_path / "one"), "--out", encoder, "--filters", "4", "8"]
    assert main(arguments) == 0
    arguments = ["probe", "--cohort", str(tmp_path / "two"), "--encoder", encoder]
    assert main([*arguments, "--labels", "2", "--draws", "1"]) == 0
    assert "adapted from 1 to 2 channels" in capsys.readouterr().out


def test_a_model_for_another_cohort_is_refused(tmp_path, capsys):
    make_cohort(tmp_path / "one", 15)
    make_cohort(tmp_path / "flat", 15, shape=(24, 32))
    model = str(tmp_path / "model")
    arguments = ["finetune", "--cohort", str(tmp_path / "one"), "--encoder", "random"]
    arguments += ["--labels", "1", "--steps", "1", "--out", model, "--filters", "4", "8"]
    assert main(arguments) == 0
    arguments = ["predict", "--cohort", str(tmp_path / "flat"), "--model", model]
    assert main([*arguments, "--out", str(tmp_path / "nifti")]) == 2
    assert "reads 1 channels in 3D" in capsys.readouterr().err


@pytest.mark.parametrize("labels", ["five", "5.5", "%"])
def test_an_amount_of_labels_that_is_none_is_refused(tmp_path, capsys, labels):
    make_cohort(tmp_path, 15, shape=(8, 8, 8))
    arguments = ["probe", "--cohort", str(tmp_path), "--encoder", "random", "--labels", labels]
    assert main([*arguments, "--filters", "2", "4"]) == 2
    assert "give a number of scans (12) or a share" in capsys.readouterr().err


# ---- graded and unlabelled cohorts ---------------------------------------------------------------


@pytest.fixture
def eyes(tmp_path):
    return make_graded(tmp_path / "eyes", [i % 3 for i in range(15)], edge=32)


def test_an_encoder_is_pretrained_on_graded_photographs(eyes, tmp_path, capsys):
    arguments = ["pretrain", "--task", "rotation", "--crop-size", "24", "--steps", "4"]
    arguments += ["--cohort", str(eyes.folder), "--out", str(tmp_path / "encoder")]
    assert main([*arguments, "--filters", "4", "8"]) == 0
    assert "rotation on 3 validation cases: accuracy" in capsys.readouterr().out


@pytest.mark.parametrize("network", ["unet", "densenet121"])
def test_photographs_are_graded_from_pretraining_to_prediction(eyes, tmp_path, capsys, network):
    at = ["--cohort", str(eyes.folder)]
    encoder, model = str(tmp_path / "encoder"), str(tmp_path / "model")
    shape = ["--filters", "4", "8"] if network == "unet" else ["--network", network]
    arguments = ["pretrain", *at, "--task", "rotation", "--crop-size", "32", "--steps", "2"]
    assert main([*arguments, "--batch", "4", *shape, "--out", encoder]) == 0
    assert main(["probe", *at, "--encoder", encoder, "--labels", "6", "--draws", "2"]) == 0
    said = capsys.readouterr().out
    assert "draw 1: kappa " in said
    assert "linear probe of the features:\n" in said
    for name in ("the encoder", "place alone", r"random, [a-z ,]* norm, seed 10[12]"):
        assert re.search(rf"^  {name} +kappa -?[01]\.\d{{3}} \(", said, re.MULTILINE), name
    kinds = 8 if network == "unet" else 2  # instance norm leaves nothing of one voxel of 32 × 32
    assert f"random encoders: the best of {kinds} kinds, by validation cases" in said
    arguments = ["finetune", *at, "--encoder", encoder, "--labels", "50%", "--out", model]
    assert main([*arguments, "--steps", "10", "--validate-every", "10", "--test-at", "10"]) == 0
    said = capsys.readouterr().out
    assert "4 labelled cases; 3 test cases:\nkappa " in said
    with open(tmp_path / "model/history.csv") as file:
        (row,) = csv.DictReader(file)
    with open(tmp_path / "model/scores.csv") as file:
        rows = list(csv.DictReader(file))
    assert f"kappa {float(row['test']):.3f} (" in said, "the same weights"
    assert [row["case"] for row in rows] == [eyes.cases[i].id for i in eyes.split().test]
    assert main(["predict", *at, "--model", model, "--out", str(tmp_path / "grades")]) == 0
    assert "3 predictions in" in capsys.readouterr().out
    with open(tmp_path / "grades/grades.csv") as file:
        grades = list(csv.DictReader(file))
    assert [(g["id"], g["grade"]) for g in grades] == [(r["case"], r["prediction"]) for r in rows]
    assert all(g["name"] == eyes.label_names[int(g["grade"])] for g in grades)


def test_a_presets_u_net_does_not_stand_in_the_way_of_another_network():
    defaults = pretrain_defaults("rotation", "paper", 2, "densenet121")
    assert defaults["training"].learning_rate == 5e-4
    assert replace(defaults["shape"], network="densenet121").filters == ()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--task", "masked"], "a task with outputs for every voxel (masked, tissue) reads"),
        (
            ["--task", "rotation", "--crop-size", "24"],
            "densenet121 needs edges of at least 32 voxels",
        ),
        (["--task", "rotation", "--filters", "4", "8"], "densenet121 has levels of (64, 256,"),
        (["--task", "rotation", "--block", "residual"], "leave out block 'residual'"),
        (["--task", "rotation", "--encoder-stride", "1"], "leave out stride 1"),
    ],
)
def test_what_densenet_cannot_do_is_said_in_one_line(eyes, tmp_path, capsys, arguments, said):
    at = ["--cohort", str(eyes.folder), "--out", str(tmp_path / "out")]
    assert main(["pretrain", *arguments, "--network", "densenet121", *at, "--steps", "1"]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_a_model_of_maps_does_not_grade(eyes, tmp_path, capsys):
    make_cohort(tmp_path / "maps", 15, (32, 32), channels=3)
    model = str(tmp_path / "model")
    arguments = ["finetune", "--cohort", str(tmp_path / "maps"), "--encoder", "random"]
    arguments += ["--labels", "1", "--steps", "1", "--out", model, "--filters", "4", "8"]
    assert main(arguments) == 0
    at = ["--cohort", str(eyes.folder), "--out", str(tmp_path / "out")]
    assert main(["predict", "--model", model, *at]) == 2
    assert "tells 3 classes apart, but made up has 3 grades" in capsys.readouterr().err


def test_photographs_can_be_toured_and_are_scored_by_kappa(eyes, tmp_path, capsys):
    arguments = ["tour", "--cohort", str(eyes.folder), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "20 labelled scans asked for, 9 are there" in capsys.readouterr().err
    arguments += ["--task", "masked", "--seeds", "1", "--pretrain-steps", "2"]
    arguments += ["--finetune-steps", "2", "--oracle-steps", "2", "--filters", "4", "8"]
    arguments += ["--probe-labels", "6", "--finetune-labels", "6"]
    assert main([*arguments, "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert "quadratic weighted kappa" in said
    assert "report.html" in said


def test_an_encoder_is_pretrained_on_scans_without_labels(tmp_path, capsys):
    make_cohort(tmp_path / "cohort", 6, unlabelled=6)
    arguments = ["pretrain", "--task", "rotation", "--crop-size", "16", "--steps", "4"]
    arguments += ["--cohort", str(tmp_path / "cohort"), "--out", str(tmp_path / "encoder")]
    assert main([*arguments, "--filters", "4", "8"]) == 0
    said = capsys.readouterr().out
    assert "made up has no labels, so no case was held out to try the puzzles on" in said
    assert (tmp_path / "encoder/encoder.safetensors").exists()


def test_a_cohort_larger_than_the_memory_is_read_from_disk(tmp_path, capsys, monkeypatch):
    """And gives the very same encoder."""
    make_cohort(tmp_path / "cohort", 15)
    arguments = ["pretrain", "--task", "rotation", "--crop-size", "16", "--steps", "4"]
    arguments += ["--cohort", str(tmp_path / "cohort"), "--filters", "4", "8"]
    assert main([*arguments, "--out", str(tmp_path / "in memory")]) == 0
    assert "read from disk" not in capsys.readouterr().out
    monkeypatch.setattr("ssl3d_lite.cli.commands.fits", lambda cohort, device: False)
    assert main([*arguments, "--out", str(tmp_path / "on disk")]) == 0
    assert "made up is read from disk batch by batch: 0 GB" in capsys.readouterr().out
    a, b = (tmp_path / n / "encoder.safetensors" for n in ("in memory", "on disk"))
    assert a.read_bytes() == b.read_bytes()


def test_a_path_that_cannot_be_written_is_one_line_and_no_promise(tmp_path, capsys):
    (tmp_path / "afile").write_text("")
    out = ["--out", str(tmp_path / "afile"), "--cases", "1", "--workers", "1"]
    assert main(["prepare", "virtual-ukb-fundus", *out]) == 2
    error = capsys.readouterr().err
    assert "afile is a file; give another folder" in error
    make_cohort(tmp_path / "cohort", 3)
    assert main(["show", str(tmp_path / "cohort"), "--out", str(tmp_path)]) == 2
    assert "is a folder; give the name of a new file" in capsys.readouterr().err


def test_the_version_is_said(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("ssl3d-lite ")


def test_a_reader_that_has_seen_enough_is_no_error():
    """As ``ssl3d --help | head -1``."""
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-u", "-m", "ssl3d_lite.cli", "--help"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_encoders_shape_is_told_once():
    """Its flags are the fields of EncoderSettings, without what is read off the cohort."""
    shape = EncoderShape()
    assert shape.filters == (), "those of the network that will be chosen"
    assert EncoderShape(network="densenet121").filters == ()
    with pytest.raises(InputError, match="did you mean 'batch'"):
        EncoderShape(norm="bach")

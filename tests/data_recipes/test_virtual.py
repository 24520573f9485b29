"""Every data set of the paper, from raw files to a verified cohort, through its virtual twin."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from helpers import content, write_prediction

from data_recipes.brats import Brats
from data_recipes.brats import prepare as prepare_brats
from data_recipes.msd import DECATHLON_TASKS
from ssl3d_lite.cli.main import main
from ssl3d_lite.data.cohort import UNLABELLED, Cohort
from ssl3d_lite.data.verify import Verify, verify

SMALL = {  # recipe → settings, cases, how many of them have a label
    "virtual-hippocampus": (["--cases", "4"], 4, 4),
    "virtual-brain": (["--cases", "4", "--edge", "32"], 4, 4),
    "virtual-abdomen": (["--cases", "4", "--unlabelled", "2", "--edge", "64"], 6, 4),
    "virtual-fundus": (["--cases", "8", "--unlabelled", "2", "--edge", "64"], 10, 8),
    "virtual-ukb-brain": (["--cases", "9", "--edge", "32"], 11, 0),  # two came twice
    "virtual-ukb-fundus": (["--cases", "4", "--edge", "64"], 8, 0),  # of two eyes
}


def command(recipe: str, out: Path, workers: int = 1) -> list[str]:
    return ["prepare", recipe, *SMALL[recipe][0], "--out", str(out), "--workers", str(workers)]


@pytest.fixture(scope="module", params=SMALL)
def made(request, tmp_path_factory) -> tuple[str, Cohort]:
    """A recipe, and the cohort that its command made."""
    out = tmp_path_factory.mktemp("virtual") / request.param
    assert main(command(request.param, out)) == 0
    return request.param, Cohort.open(out)


# ---- what comes out ----------------------------------------------------------------------------


def test_from_raw_files_to_a_verified_cohort(made):
    recipe, cohort = made
    _, cases, labelled = SMALL[recipe]
    assert (len(cohort), sum(case.labelled for case in cohort.cases)) == (cases, labelled)
    verdict = verify(Verify(cohort=cohort.folder, raw=cohort.folder / "raw", workers=1))
    assert verdict.faults == ()
    assert len(verdict.notes) == (labelled > 0)  # what place alone explains of the labels
    assert all(note.startswith(("place alone", "without looking")) for note in verdict.notes)


def test_it_is_known_for_what_it_is(made):
    """Neither the name nor the licence of the real thing, and a word of warning."""
    recipe, cohort = made
    assert cohort.name.startswith("Virtual")
    assert cohort.recipe["virtual"] == recipe
    assert "free to use and share" in cohort.licence
    assert "alike" in cohort.description
    assert "BraTS" not in cohort.citation + cohort.licence
    assert "Kaggle" not in cohort.citation


def test_a_second_run_changes_nothing(made):
    recipe, cohort = made
    before = content(cohort.folder)
    times = {path: path.stat().st_mtime_ns for path in cohort.folder.rglob("*.npy")}
    assert main(command(recipe, cohort.folder)) == 0
    assert content(cohort.folder) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_batches_come_out(made):
    _, cohort = made
    images, labels = cohort.images([0, 1]), cohort.labels(range(len(cohort)))
    assert images.isfinite().all()
    assert labels.shape == ((len(cohort),) if cohort.ordinal else (len(cohort), *cohort.shape))
    for case, label in zip(cohort.cases, labels, strict=True):
        assert (label == UNLABELLED).all() != case.labelled


def test_unlabelled_participants_are_all_for_pretraining(made):
    recipe, cohort = made
    if "ukb" not in recipe:
        pytest.skip("has labels")
    split = cohort.split()
    assert split.pretrain == tuple(range(len(cohort)))
    assert split.train == split.validation == split.test == ()


def test_a_prediction_lands_on_the_raw_scan(made, tmp_path):
    recipe, cohort = made
    if cohort.spatial_dims != 3 or not cohort.cases[0].labelled:
        pytest.skip("nothing to segment")
    case, (_, label) = cohort.cases[0], cohort[0]
    write_prediction(tmp_path / "p.nii.gz", np.asarray(label), case, cohort.label_values)
    written = nib.load(tmp_path / "p.nii.gz")
    raw = nib.load(cohort.folder / "raw" / case.source.files["label"])
    np.testing.assert_allclose(written.affine, raw.affine)
    found, there = (np.asarray(image.dataobj) > 0 for image in (written, raw))
    dice = 2 * (found & there).sum() / (found.sum() + there.sum())
    assert dice > (0.999 if recipe == "virtual-hippocampus" else 0.85)  # which is not resampled


# ---- other settings, other recipes -------------------------------------------------------------


def test_the_pancreas_is_prepared_as_the_real_one():
    """The virtual twin takes its window, its crop and its fit from the Decathlon's table."""
    from data_recipes.virtual import VirtualAbdomen

    assert DECATHLON_TASKS["Task07_Pancreas"].preparation.intensity == "window:-100,240"
    assert VirtualAbdomen(out=Path("x")).edge == 96


def test_a_real_recipe_on_virtual_files_does_not_take_them_for_real(tmp_path):
    assert main(command("virtual-brain", tmp_path / "made")) == 0
    settings = Brats(raw=tmp_path / "made/raw", out=tmp_path / "own", preset="paper", workers=1)
    prepare_brats(replace(settings, size=(16, 16, 16)))
    cohort = Cohort.open(tmp_path / "own")
    assert cohort.name == "VirtualBrain"
    assert (cohort.recipe["fit"], cohort.recipe["intensity"]) == ("stretch", "unit")
    assert cohort[0][0].min() == 0
    assert 0.9 < cohort[0][0].max() <= 1


def test_a_note_that_is_none(tmp_path, capsys):
    assert main(command("virtual-brain", tmp_path)) == 0
    (tmp_path / "raw/virtual.json").write_text("[]")
    assert main(command("virtual-brain", tmp_path)) == 2
    assert "is no note of a virtual set" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("recipe", "settings", "said"),
    [
        ("virtual-brain", ["--cases", "0"], "cases is 0, but must be above 0"),
        ("virtual-abdomen", ["--edge", "20"], "edge is 20, but must be 48 or more"),
        ("virtual-ukb-brain", ["--edge", "20"], "edge is 20, but must be 32 or more"),
        ("virtual-fundus", ["--edge", "2"], "edge is 2, but must be 8 or more"),
        ("virtual-fundus", ["--seed", "-1"], "seed is -1, but must be 0 or more"),
        ("virtual-fundus", ["--unlabelled", "-1"], "unlabelled is -1, but must be 0 or more"),
    ],
)
def test_bad_settings_are_one_line_and_nothing_is_written(recipe, settings, said, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["prepare", recipe, "--out", str(out), *settings]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not out.exists()


# ---- killed ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recipe", "seconds"),
    [
        ("virtual-brain", 3.0),
        pytest.param("virtual-abdomen", 4.0, marks=pytest.mark.slow),
        pytest.param("virtual-fundus", 3.5, marks=pytest.mark.slow),
        pytest.param("virtual-ukb-brain", 5.0, marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_moment_the_same_command_ends_the_same(recipe, seconds, tmp_path):
    """While raw files are written, while they are prepared, or in between."""
    whole, out = tmp_path / "whole", tmp_path / "out"
    assert main(command(recipe, whole)) == 0
    run = [sys.executable, "-W", "ignore", "-m", "ssl3d_lite.cli", *command(recipe, out, 2)]
    for share in (0.5, 0.75, 1.0):
        process = subprocess.Popen(run, start_new_session=True, stderr=subprocess.DEVNULL)
        with suppress(subprocess.TimeoutExpired):
            process.wait(share * seconds)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        time.sleep(0.1)
    assert main(command(recipe, out)) == 0
    assert content(out) == content(whole)

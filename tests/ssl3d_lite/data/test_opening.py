"""What notebooks begin with: the scale, the cohort, and what a step costs."""

from pathlib import Path

import pytest
import torch
from helpers import make_cohort
from torch import nn

from data_recipes.virtual import VirtualHippocampus, prepare
from ssl3d_lite.data.opening import open_cohort, scale
from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.operations import training_operations
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.models.unet import make_unet
from ssl3d_lite.training.presets import preset


def test_the_scale_is_class_unless_the_environment_says_another(monkeypatch):
    monkeypatch.delenv("SSL3D_SCALE", raising=False)
    assert scale() == "class"
    monkeypatch.setenv("SSL3D_SCALE", "full")
    assert scale() == "full"


def test_another_scale_is_refused_with_those_that_there_are(monkeypatch):
    monkeypatch.setenv("SSL3D_SCALE", "clas")
    with pytest.raises(InputError, match="class"):
        scale()


def test_a_virtual_cohort_is_made_once_and_said_to_be_virtual(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cohort = open_cohort("hippocampus", cases=6)
    told = capsys.readouterr().out
    assert (
        told
        == "VirtualHippocampus: 6 cases of (40, 56, 40) voxels (virtual scans, made on the spot)\n"
    )
    assert cohort.folder.as_posix() == "runs/virtual/hippocampus-6cases"
    assert cohort.resident is not None
    made = (cohort.folder / "cohort.json").stat().st_mtime_ns
    again = open_cohort("hippocampus", cases=6)
    assert again.fingerprint == cohort.fingerprint
    assert (cohort.folder / "images" / f"{cohort.cases[0].id}.npy").stat().st_mtime_ns <= made


def test_few_scans_are_made_in_this_process_and_many_in_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workers = {}

    def prepared(settings):
        workers[settings.cases] = settings.workers
        raise InputError("far enough")

    monkeypatch.setattr("data_recipes.virtual.prepare", prepared)
    for cases, given in ((40, {}), (41, {}), (39, {"workers": 3})):
        with pytest.raises(InputError, match="far enough"):
            open_cohort("hippocampus", cases=cases, **given)
    assert workers == {40: 1, 41: None, 39: 3}


def test_scans_are_taken_where_they_are_prepared(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    prepare(VirtualHippocampus(out=tmp_path / "cohorts/hippocampus", cases=6, workers=1))
    cohort = open_cohort("hippocampus", cases=200)
    assert len(cohort) == 6
    assert capsys.readouterr().out.endswith("(virtual scans)\n")
    make_cohort(tmp_path / "cohorts/brats")
    assert open_cohort("brats", cases=3).name == "made up"
    assert capsys.readouterr().out.endswith("(real scans)\n")


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_of_ones_own_is_opened(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    make_cohort(tmp_path / "mine")
    assert open_cohort(kind("mine")).name == "made up"
    with pytest.raises(InputError, match="as they were prepared; leave out cases"):
        open_cohort(kind("mine"), cases=3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty"):
        open_cohort(kind("empty"))
    with pytest.raises(InputError, match="unknown cohort 'brat'; did you mean 'brats'"):
        open_cohort(kind("brat"))


def test_a_misspelt_cohort_or_setting_is_refused_with_the_nearest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="unknown cohort 'brat'; did you mean 'brats'"):
        open_cohort("brat")
    said = "unknown setting of recipe virtual-brain 'case'; did you mean 'cases'"
    with pytest.raises(InputError, match=said):
        open_cohort("brats", case=3)


def test_a_step_is_counted_without_being_computed():
    convolution = nn.Conv3d(2, 5, 3, padding=1)
    forward = 2 * (2 * 27) * 5 * 3 * 4**3  # two for each product that is summed
    assert training_operations(convolution, 3, 2, 4, 4, 4) == 3 * forward
    assert convolution.weight.device == torch.device("cpu")  # the network stays what it was


def test_the_papers_network_is_counted_in_no_memory():
    shape = EncoderSettings(4, **preset("paper").shape)
    network = make_unet(make_encoder(shape, 0), 4, 0)
    one, two = (training_operations(network, scans, 4, 128, 128, 128) for scans in (1, 2))
    assert two == 2 * one
    assert 1e12 < one < 1e13

"""Raw files → prepare → pretrain → fine-tune → evaluate → NIfTI over the raw scans, small."""

import csv
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pytest

from data_recipes.preparing.virtual_note import NOTE
from data_recipes.virtual_files import write_hippocampus
from ssl3d_lite.cli.main import main
from ssl3d_lite.data.case import Case
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.evaluation.prediction import predictions
from ssl3d_lite.machine.parallel import Workforce
from ssl3d_lite.training.checkpoint import load_network


@pytest.fixture(scope="module", params=["virtual", "real"])
def raw(request, tmp_path_factory) -> Path:
    """A Decathlon task of 15 scans, virtual or real."""
    folder = tmp_path_factory.mktemp(request.param) / "Task04_Hippocampus"
    if request.param == "virtual":
        write_hippocampus(folder, 15, work=Workforce(workers=1))
        return folder
    return few_real(request.getfixturevalue("real_hippocampus"), folder)


def few_real(task: Path, folder: Path) -> Path:
    names = sorted(path.name for path in (task / "imagesTr").iterdir())
    for kind in ("imagesTr", "labelsTr"):
        (folder / kind).mkdir(parents=True)
        for name in names[:15]:
            shutil.copy(task / kind / name, folder / kind / name)
    shutil.copy(task / "dataset.json", folder / "dataset.json")
    return folder


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_from_raw_scans_to_predictions_over_them(raw, tmp_path, capsys):
    cohort, encoder, model, out = (tmp_path / n for n in ("cohort", "encoder", "model", "out"))
    real = not (raw / NOTE).exists()
    code = run("prepare", "msd", "--task", "Task04_Hippocampus", "--raw", raw, "--out", cohort)
    prepared = Cohort.open(cohort)
    assert len(prepared) == 15
    # the real set's description names 200 scans; those that were not copied are rejected, one
    # line each, and the command says so
    assert code == (1 if real else 0)
    assert len(prepared.rejected) == (185 if real else 0)
    quick = ("--filters", 4, 8, "--precision", "32-true")
    work = ("--cohort", cohort, "--steps", 20)
    assert run("pretrain", "--task", "cpc", "--out", encoder, *work, *quick) == 0
    training = ("--encoder", encoder, "--labels", 5, "--learning-rate", 0.01)
    assert run("finetune", *training, "--out", model, *work) == 0
    assert "HD95" in capsys.readouterr().out
    assert run("predict", "--model", model, "--cohort", cohort, "--out", out) == 0
    with open(model / "scores.csv") as file:
        scored = {row["case"] for row in csv.DictReader(file)}
    test = prepared.split().test
    assert scored == {prepared.cases[i].id for i in test}
    answers = predictions(load_network(model), prepared, test)
    for i, answer in zip(test, answers, strict=True):
        check_over_raw_scan(raw, out, prepared.cases[i], answer.numpy())


def check_over_raw_scan(raw: Path, out: Path, case: Case, answer: np.ndarray) -> None:
    """Each raw voxel bears the class of the prepared voxel that lies over it in the world."""
    name = f"{case.id}.nii.gz"
    scan, written = nibabel.load(raw / "imagesTr" / name), nibabel.load(out / name)
    assert written.shape == scan.shape
    np.testing.assert_allclose(written.affine, scan.affine)
    voxels = np.argwhere(np.ones(scan.shape))
    world = nibabel.affines.apply_affine(scan.affine, voxels)
    place = nibabel.affines.apply_affine(np.linalg.inv(case.affine), world).round().astype(int)
    inside = ((place >= 0) & (place < answer.shape)).all(1)
    want = np.zeros(len(voxels), int)
    want[inside] = answer[tuple(place[inside].T)]
    assert inside.mean() > 0.8
    assert np.array_equal(np.asarray(written.dataobj).ravel(), want)

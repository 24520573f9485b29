"""The Decathlon recipe: its layout, its defaults, its downloads, and the real hippocampus set."""

import hashlib
import json
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from data_recipes.dataset_json import read_description
from data_recipes.msd import DECATHLON_TASKS, Msd, _monai_addresses, prepare
from data_recipes.virtual_files import write_hippocampus
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.verify import Verify, verify
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.parallel import Workforce

REAL = Path(__file__).parents[3] / "shared/data/msd/Task04_Hippocampus"


def edit(folder: Path, **changes) -> None:
    path = folder / "dataset.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def task(make_task, tmp_path):
    return make_task(tmp_path / "raw" / "Blocks", unlabelled=2)


def test_a_task_becomes_a_cohort(task, out):
    summary = prepare(Msd(out=out, raw=task, workers=1))
    assert (summary.prepared, summary.unlabelled, summary.rejected) == (8, 2, ())
    cohort = Cohort.open(out)
    assert (cohort.name, cohort.licence, cohort.citation) == ("Blocks", "CC0", "nobody")
    assert cohort.channels == ("MRI",)
    assert cohort.label_values == (0, 1, 2)
    assert cohort.label_names == ("background", "dim", "bright")
    assert cohort.regions == {"dim": (1,), "bright": (2,)}
    assert cohort.shape == (12, 14, 10)
    assert [case.labelled for case in cohort.cases] == [True] * 6 + [False] * 2
    assert [case.fold is None for case in cohort.cases] == [False] * 6 + [True] * 2
    image, label = cohort[0]
    assert image[0][label == 2].mean() > image[0][label == 1].mean() > image[0].mean()
    assert json.loads((out / "cohort.json").read_text())["recipe"] == {
        "name": "msd",
        "task": "Blocks",
        "crop": False,
        "spacing": None,
        "size": None,
        "fit": "pad",
        "intensity": "zscore",
        "folds": 5,
        "seed": 0,
        "shift": None,
        "version": 2,
    }


def test_no_path_of_this_machine_is_in_the_manifest(task, out, tmp_path):
    prepare(Msd(out=out, raw=task, workers=1))
    assert str(tmp_path) not in (out / "cohort.json").read_text()


@pytest.mark.parametrize("settings", [{}, {"task": "Blocks"}])
def test_raw_may_be_the_folder_a_task_lies_in(task, out, settings):
    assert prepare(Msd(out=out, raw=task.parent, workers=1, **settings)).prepared == 8


def test_a_known_task_brings_its_defaults_even_if_renamed(task, out):
    prepare(Msd(out=out, raw=task, task="Task04_Hippocampus", workers=1))
    cohort = Cohort.open(out)
    assert cohort.name == "Task04_Hippocampus"
    assert cohort.shape == (40, 56, 40)
    assert "Antonelli" in cohort.citation


def test_settings_go_before_defaults(task, out):
    settings = Msd(
        out=out, task="Task07_Pancreas", raw=task, size=(8, 8, 8), fit="stretch", intensity="unit"
    )
    prepare(replace(settings, size=(8, 8, 8), workers=1))
    cohort = Cohort.open(out)
    assert cohort.shape == (8, 8, 8)
    assert cohort[0][0].max() <= 1
    assert cohort.recipe["crop"] is True


def test_ct_gets_a_window(task, out):
    edit(task, modality={"0": "CT"})
    prepare(Msd(out=out, raw=task, workers=1))
    assert Cohort.open(out).recipe["intensity"] == "window:-150,250"


def test_a_fourth_axis_holds_the_modalities(task, out):
    channels = ("FLAIR", "T1w", "t1gd", "T2w")
    edit(task, modality=dict(enumerate(channels)))
    for path in task.glob("images*/*.nii.gz"):
        image = nib.load(path)
        stack = np.stack([image.get_fdata() * n for n in range(1, 5)], axis=3)
        nib.save(nib.Nifti1Image(stack, image.affine), path)
    prepare(Msd(out=out, raw=task, workers=1))
    cohort = Cohort.open(out)
    assert cohort.channels == channels
    image, _ = cohort[0]
    assert image.shape == (4, 12, 14, 10)
    np.testing.assert_allclose(image[0], image[3], atol=2e-3)  # each is scaled by itself
    assert set(cohort.cases[0].source.files.values()) == {
        "imagesTr/scan_000.nii.gz",
        "labelsTr/scan_000.nii.gz",
    }


def test_bad_scans_are_rejected_and_the_others_go_on(task, out, save):
    folder = task / "imagesTr"
    (folder / "scan_000.nii.gz").unlink()
    whole = (folder / "scan_001.nii.gz").read_bytes()
    (folder / "scan_001.nii.gz").write_bytes(whole[:-100])
    save(task / "labelsTr/scan_002.nii.gz", np.full((12, 14, 10), 3, np.uint8))
    edit_me = json.loads((task / "dataset.json").read_text())
    edit_me["training"][3]["image"] = "../../scan_003.nii.gz"
    edit(task, training=edit_me["training"])
    summary = prepare(Msd(out=out, raw=task, workers=2))
    assert summary.prepared == 4
    assert summary.exit_code == 1
    reasons = {r["case"]: r["reason"] for r in summary.rejected}
    assert "scan_000.nii.gz cannot be read: No such file" in reasons["scan_000"]
    assert "scan_001.nii.gz is damaged" in reasons["scan_001"]
    assert "scan_002.nii.gz holds 3, where labels are 0, 1, 2" in reasons["scan_002"]
    assert "scan_003.nii.gz lies outside" in reasons["scan_003"]


def test_the_litter_of_macos_is_no_scan(task):
    record = json.loads((task / "dataset.json").read_text())
    edit(task, test=[*record["test"], "./imagesTs/._scan_000.nii.gz"])
    assert len(read_description(task).cases) == 8


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be read as a data set description"),
        ("[]", "it is no table"),
        ("{}", 'have no names, under "modality" or "channel_names", such as'),
        ('{"modality": {"0": "CT"}, "labels": {"0": "b"}, "training": [{}]}', "{} is no entry"),
        ('{"modality": {"0": "CT"}, "labels": {"0": "b"}, "training": [7]}', "7 is no entry"),
        ('{"modality": {"0": "CT"}, "labels": {"0": "b"}, "training": 7}', '"training" is 7'),
        ('{"modality": {"0": "CT"}, "labels": {"0": "b"}}', "the list of scans, is missing"),
        ('{"modality": {"0": "CT"}, "labels": {"b": "0"}, "training": []}', '"labels" is'),
        ('{"modality": {"0": "CT"}, "labels": ["b"], "training": []}', '"labels" is'),
        ('{"modality": {"0": "CT"}, "training": []}', '"labels" is None'),
        ('{"modality": ["CT"], "labels": {"0": "b"}, "training": []}', '"modality" is'),
        ('{"modality": {"a": "CT"}, "labels": {"0": "b"}, "training": []}', '"modality" is'),
        ('{"modality": {"0": "CT"}, "labels": {"1": "a"}, "training": []}', "a background 0"),
        ('{"channel_names": {"0": "CT"}, "labels": {"b": 0, "a": 256}}', "values up to 255"),
        ('{"channel_names": {"0": "CT"}, "labels": {"b": 0, "a": 1, "c": 1}}', "a name each"),
        ('{"channel_names": {"0": "CT"}, "labels": {"b": 0, "ignore": 1}}', '"ignore" cannot be'),
        (
            '{"channel_names": {"0": "CT"}, "labels": {"b": 0}, "file_ending": ".nrrd"}',
            "its files end in .nrrd",
        ),
        ('{"modality": {"0": "M", "1": "M"}, "labels": {"0": "b"}, "training": []}', "a name each"),
    ],
)
def test_a_damaged_description(task, out, text, said):
    (task / "dataset.json").write_text(text)
    with pytest.raises(InputError) as error:
        prepare(Msd(out=out, raw=task))
    assert said in str(error.value)
    assert str(task / "dataset.json") in str(error.value)
    assert "Error" not in str(error.value)
    assert "\n" not in str(error.value)
    assert not out.exists()


def test_without_a_description_the_other_recipe_is_named(task, out):
    (task / "dataset.json").unlink()
    with pytest.raises(InputError, match="ssl3d prepare folder --raw imagesTr --labels labelsTr"):
        prepare(Msd(out=out, raw=task))


def as_nnunet(task: Path, channels: int = 1, **changes) -> Path:
    """The same data set, its files named and described as nnU-Net does."""
    for path in sorted(task.glob("images*/*.nii.gz")):
        for number in range(channels):
            shutil.copy(path, path.with_name(path.name.replace(".nii", f"_{number:04}.nii")))
        path.unlink()
    description = {
        "channel_names": {str(number): f"MR{number}" for number in range(channels)},
        "labels": {"background": 0, "dim": 1, "bright": 2},
        "numTraining": 6,
        "file_ending": ".nii.gz",
    }
    (task / "dataset.json").write_text(json.dumps(description | changes))
    return task


@pytest.mark.parametrize("channels", [1, 2])
def test_nnunets_layout(task, out, channels):
    prepare(Msd(out=out.with_name("before"), raw=task, workers=1))
    summary = prepare(Msd(out=out, raw=as_nnunet(task, channels), workers=1))
    assert (summary.prepared, summary.unlabelled, summary.rejected) == (8, 2, ())
    cohort, before = Cohort.open(out), Cohort.open(out.with_name("before"))
    assert cohort.channels == ("MR0", "MR1")[:channels]
    assert [case.id for case in cohort.cases] == [case.id for case in before.cases]
    assert (cohort.label_values, cohort.label_names) == ((0, 1, 2), ("background", "dim", "bright"))
    assert cohort.regions == {"dim": (1,), "bright": (2,)}
    for made, same in zip(cohort, before, strict=True):
        np.testing.assert_array_equal(made[0][channels - 1], same[0][0])
        assert np.array_equal(made[1], same[1])
    assert cohort.cases[0].source.files["MR0"] == "imagesTr/scan_000_0000.nii.gz"


def test_nnunets_regions(task, out):
    labels = {"background": 0, "whole": [1, 2], "core": [2]}
    prepare(Msd(out=out, raw=as_nnunet(task, labels=labels), workers=1))
    cohort = Cohort.open(out)
    assert cohort.label_names == ("background", "1", "core")
    assert cohort.regions == {"whole": (1, 2), "core": (2,)}
    assert verify(Verify(cohort=out)).faults == ()


def test_what_does_not_fit_in_nnunets_layout_is_named(task, out):
    as_nnunet(task, 2)
    (task / "imagesTr/scan_000_0001.nii.gz").unlink()
    (task / "imagesTr/scan_001_0000.nii.gz").rename(task / "imagesTr/scan_001.nii.gz")
    (task / "imagesTr/scan_001_0001.nii.gz").unlink()
    (task / "labelsTr/scan_002.nii.gz").unlink()
    summary = prepare(Msd(out=out, raw=task, workers=1))
    assert (summary.prepared, summary.unlabelled) == (6, 3)
    found = {(row["case"], row["reason"]) for row in summary.rejected}
    assert found == {
        ("scan_000", "MR1 missing; there is scan_000_0000.nii.gz"),
        (
            "scan_001",
            f"{task / 'imagesTr/scan_001.nii.gz'} does not end in _0000, _0001, as nnU-Net "
            "numbers channels",
        ),
    }


def test_an_earlier_nnunet_lists_names_without_the_channel(task, out):
    record = json.loads((task / "dataset.json").read_text())
    as_nnunet(task)
    (task / "dataset.json").write_text(json.dumps(record))
    summary = prepare(Msd(out=out, raw=task, workers=1))
    assert (summary.prepared, summary.unlabelled, summary.rejected) == (8, 2, ())


def test_a_scan_listed_twice(task, out):
    edit(task, test=["./imagesTr/scan_000.nii.gz"])
    with pytest.raises(InputError, match="2 cases have the id 'scan_000'"):
        prepare(Msd(out=out, raw=task))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "say which task with --task"),
        ({"task": "Task04_Hipocampus"}, "did you mean 'Task04_Hippocampus'"),
        ({"raw": "nowhere"}, "no dataset.json in"),
        ({"raw": "raw", "task": "Block"}, "did you mean 'Blocks'"),
        ({"raw": "raw/Blocks", "task": "Task4"}, "unknown task 'Task4'"),
        ({"raw": "raw/Blocks", "intensity": "zscor"}, "did you mean 'zscore'"),
    ],
)
def test_settings_that_make_no_sense(task, out, tmp_path, settings, said):
    if "raw" in settings:
        settings = settings | {"raw": tmp_path / settings["raw"]}
    with pytest.raises(InputError, match=said):
        prepare(Msd(out=out, **settings), addresses={"Task04_Hippocampus": ("", "")})
    assert not out.exists()


def test_several_tasks_in_a_folder(make_task, task, out):
    make_task(task.with_name("Task09_Spleen"))
    with pytest.raises(InputError, match="holds Blocks, Task09_Spleen; say which one with --task"):
        prepare(Msd(out=out, raw=task.parent))
    with pytest.raises(InputError, match="unknown task 'Task07_Pancreas'"):
        prepare(Msd(out=out, raw=task.parent / "Task09_Spleen", task="Task07_Pancreas"))


def test_a_task_is_downloaded(make_task, out, tmp_path, monkeypatch):
    archive = tmp_path / "Task04_Hippocampus.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(make_task(tmp_path / "Task04_Hippocampus"), "Task04_Hippocampus")
    md5 = hashlib.md5(archive.read_bytes()).hexdigest()

    def from_disk(url: str, part: Path) -> None:
        assert url == "address"
        shutil.copy(archive, part)

    monkeypatch.setattr("data_recipes.readers.download._download", from_disk)
    settings = Msd(out=out, task="Task04_Hippocampus", cache=tmp_path / "cache", workers=1)
    summary = prepare(settings, addresses={"Task04_Hippocampus": ("address", md5)})
    assert summary.prepared == 6
    archive.unlink()
    assert prepare(settings, addresses={"Task04_Hippocampus": ("address", md5)}).skipped == 6


def test_monai_has_an_address_for_every_task():
    addresses = _monai_addresses()
    assert addresses.keys() == DECATHLON_TASKS.keys()
    for task, (url, md5) in addresses.items():
        assert url.endswith(f"{task}.tar")
        assert len(md5) == 32


def test_virtual_hippocampi_are_prepared_unchanged(out, tmp_path):
    write_hippocampus(tmp_path / "raw", cases=4, seed=0, work=Workforce(workers=1))
    summary = prepare(Msd(out=out, raw=tmp_path / "raw", task="Task04_Hippocampus", workers=1))
    assert (summary.prepared, summary.rejected, summary.lost) == (4, (), {})
    cohort = Cohort.open(out)
    assert cohort.shape == (40, 56, 40)
    assert set(np.unique(cohort[0][1])) == {0, 1, 2}


@pytest.mark.skipif(not REAL.exists(), reason="the real hippocampus set is not at hand")
def test_all_real_hippocampi(out):
    summary = prepare(Msd(out=out, raw=REAL))
    assert (summary.prepared, summary.rejected, summary.notes) == (200, (), ())
    assert summary.lost == {}  # 40 x 56 x 40 voxels hold every hippocampus whole
    cohort = Cohort.open(out)
    assert cohort.shape == (40, 56, 40)
    assert cohort.spacing == (1, 1, 1)
    assert cohort.label_names == ("background", "Anterior", "Posterior")
    assert sorted(case.fold for case in cohort.cases) == sorted(list(range(5)) * 40)
    assert verify(Verify(cohort=out, raw=REAL)).faults == ()
    for i, case in enumerate(cohort.cases):
        image, label = cohort[i]
        raw = np.asarray(nib.load(REAL / case.source.files["label"]).dataobj)
        assert [(label == k).sum() for k in range(1, 3)] == [(raw == k).sum() for k in range(1, 3)]
        kept = tuple(slice(*c) for c in case.crop)
        values = np.asarray(nib.load(REAL / case.source.files["MRI"]).dataobj)[kept]
        start = [
            round(c[0] - a[3] + s[3]) for c, a, s in zip(case.crop, case.affine, case.source.affine)
        ]
        seen = image[0][tuple(slice(o, o + n) for o, n in zip(start, values.shape))]
        assert np.corrcoef(seen.ravel().astype(float), values.ravel())[0, 1] > 0.95


def test_two_time_points_of_a_patient(make_task, raw, out, tmp_path):
    """The Decathlon names no patients; a table does, by file or by case."""
    make_task(raw, cases=8, unlabelled=1)
    table = tmp_path / "patients.csv"
    rows = [f"imagesTr/scan_{n:03}.nii.gz,who{n // 2}" for n in range(8)]
    table.write_text("\n".join(["image,patient", *rows, "scan_008,who0"]) + "\n")
    prepare(Msd(out=out, raw=raw, table=table, workers=1))
    cases = Cohort.open(out).cases
    assert [case.patient for case in cases] == [f"who{n // 2}" for n in range(8)] + ["who0"]
    assert [case.fold for case in cases[:8:2]] == [case.fold for case in cases[1:8:2]]
    assert cases[8].fold == cases[0].fold


def test_time_points_without_a_table_are_named(make_task, raw, out):
    make_task(raw, cases=6)
    text = (raw / "dataset.json").read_text()
    for number in range(6):
        old, new = f"scan_{number:03}", f"patient{number // 2:03}_frame{number % 2:02}"
        text = text.replace(old, new)
        for part in ("imagesTr", "labelsTr"):
            (raw / part / f"{old}.nii.gz").rename(raw / part / f"{new}.nii.gz")
    (raw / "dataset.json").write_text(text)
    (note,) = prepare(Msd(out=out, raw=raw, workers=1)).notes
    assert "patient000_frame00 and patient000_frame01" in note
    assert note.endswith("say whose they are with --table")

"""Slices: the very voxels of the 3D cohort, where they lay, and no patient on two sides."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import content, make_cohort
from nibabel.affines import voxel_sizes

from data_recipes import slices
from data_recipes.slices import SliceSettings, positions, prepare
from ssl3d_lite.cli.main import main
from ssl3d_lite.data.case import Case, array_path
from ssl3d_lite.data.cohort import UNLABELLED, Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.segmentation import score_case

SPACE = (8, 10, 12)
TAKEN = {0: range(2, 6), 1: range(2, 8), 2: range(3, 9)}  # round(2.5) is 2, round(7.5) is 8


def moved(case: Case, index: int) -> Case:
    """The case with an oblique affine of 1 x 2 x 3 mm of its own, and folds by patient alone."""
    turn, _ = np.linalg.qr(np.random.default_rng(index).normal(size=(3, 3)))
    affine = np.eye(4)
    affine[:3] = np.column_stack([turn * (1, 2, 3), (5 * index, -7, 11)])
    return replace(
        case,
        affine=affine.tolist(),
        crop=[[1, 9], [2, 12], [3, 15]],
        lost=index,
        fold=int(case.patient[-3:]) % 5,
    )


@pytest.fixture
def volumes(tmp_path) -> Cohort:
    """18 scans of 9 patients, of two channels. The last 3 have no label, the last one no fold."""
    made = make_cohort(tmp_path / "3d", 18, SPACE, channels=2, patients=9, unlabelled=3)
    cases = [moved(case, index) for index, case in enumerate(made.cases)]
    cases[-1] = replace(cases[-1], patient="patient_free", fold=None)
    made = replace(made, cases=tuple(cases), spacing=(1.0, 2.0, 3.0), description="Blobs.")
    made.save()
    return Cohort.open(made.folder)


@pytest.fixture
def out(tmp_path) -> Path:
    return tmp_path / "2d"


def halved(cohort, out, **settings):
    """The middle half of each scan, so that what is left out shows."""
    return SliceSettings(cohort, out, **{"first": 0.25, "last": 0.75} | settings)


def cut(volumes: Cohort, out: Path, **settings) -> Cohort:
    prepare(halved(volumes.folder, out, **settings))
    return Cohort.open(out)


# ---- what comes out ----------------------------------------------------------------------------


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_the_very_voxels_of_the_scans(volumes, out, axis):
    flat = cut(volumes, out, axis=axis)
    pairs = [(scan, position) for scan in range(len(volumes)) for position in TAKEN[axis]]
    assert len(flat) == len(pairs)
    for index, (scan, position) in enumerate(pairs):
        assert flat.cases[index].id == f"case_{scan:03d}_s{position:03d}"
        (image, label), (whole, truth) = flat[index], volumes[scan]
        assert (image.dtype, image.shape) == (np.float16, (2, *np.delete(SPACE, axis)))
        assert np.array_equal(image, np.take(whole, position, axis + 1))
        assert (label is None) == (truth is None) == (scan >= 15)
        if label is not None:
            assert label.dtype == np.uint8
            assert np.array_equal(label, np.take(truth, position, axis))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slices_voxels_lie_where_they_lay_in_the_scan(volumes, out, axis):
    flat = cut(volumes, out, axis=axis)
    in_plane = [other for other in range(3) if other != axis]
    rng = np.random.default_rng(0)
    for index, case in enumerate(flat.cases):
        scan, position = divmod(index, len(TAKEN[axis]))
        voxels = rng.uniform(0, 10, (5, 3))
        voxels[:, axis] = TAKEN[axis][position]
        whole = np.array(volumes.cases[scan].affine)
        world = voxels @ whole[:3, :3].T + whole[:3, 3]
        affine = np.array(case.affine)
        assert affine.shape == (4, 3)
        mapped = np.column_stack([voxels[:, in_plane], np.ones(5)]) @ affine.T
        np.testing.assert_allclose(mapped, np.column_stack([world, np.ones(5)]), atol=1e-12)
        np.testing.assert_allclose(voxel_sizes(affine), np.delete([1, 2, 3], axis))


def test_the_manifest_says_what_they_are(volumes, out):
    flat = cut(volumes, out, axis=1, every=2)
    assert flat.name == "made up, coronal slices"
    assert flat.description == (
        "Coronal slices (across axis 1) of the 3D cohort made up; scores are of scans, "
        "stacked again. Blobs."
    )
    assert (flat.spatial_dims, flat.shape, flat.spacing) == (2, (8, 12), (1, 3))
    settings = {"axis": 1, "first": 0.25, "last": 0.75, "every": 2}
    assert flat.recipe == {"name": "slices", "cohort": {"name": "test"}} | settings
    same = ("licence", "citation", "channels", "label_values", "label_names", "regions")
    assert all(getattr(flat, name) == getattr(volumes, name) for name in same)
    for index, case in enumerate(flat.cases):
        scan = volumes.cases[index // 3]
        for name in ("patient", "fold", "labelled", "source"):
            assert getattr(case, name) == getattr(scan, name)
        assert (case.shape, case.crop, case.lost) == ((8, 12), [[1, 9], [3, 15]], 0)
    assert str(out.parent) not in (out / "cohort.json").read_text()
    assert sorted(path.name for path in out.glob("[!.]*")) == ["cohort.json", "images", "labels"]


@pytest.mark.parametrize(
    ("length", "settings", "taken"),
    [
        (40, {}, list(range(40))),
        (40, {"first": 0.25, "last": 0.75}, list(range(10, 30))),
        (10, {"first": 0.25, "last": 0.75}, [2, 3, 4, 5, 6, 7]),
        (7, {"first": 0.25, "last": 0.75}, [2, 3, 4]),
        (8, {"first": 0.0, "last": 1.0}, list(range(8))),
        (8, {"first": 0.5, "last": 1.0}, [4, 5, 6, 7]),
        (10, {"first": 0.7, "last": 0.9}, [7, 8]),
        (8, {"first": 0.0, "last": 1.0, "every": 3}, [0, 3, 6]),
        (40, {"first": 0.25, "every": 8}, [10, 18, 26, 34]),
        (1, {"first": 0.4, "last": 0.45}, []),
    ],
)
def test_first_last_and_every_choose_the_positions(length, settings, taken):
    assert list(positions(length, SliceSettings(Path("a"), Path("b"), **settings))) == taken


def test_scans_may_differ_in_length(tmp_path, out):
    """Each gives the same share of itself, and the slices stand in one batch."""
    volumes = make_cohort(tmp_path / "3d", 2, (8, 10, 12))
    for kind in ("images", "labels"):
        path = array_path(volumes.folder, kind, "case_000")
        np.save(path, np.load(path)[..., :8])
    shorter, other = replace(volumes.cases[0], shape=(8, 10, 8)), volumes.cases[1]
    replace(volumes, cases=(shorter, other)).save()
    flat = cut(volumes, out)
    assert [case.id[-4:] for case in flat.cases] == [
        *("s002", "s003", "s004", "s005"),
        *("s003", "s004", "s005", "s006", "s007", "s008"),
    ]
    assert flat.shape == (8, 10)


def test_batches_come_out(volumes, out):
    flat = cut(volumes, out)
    images, labels = flat.images([0, 6, 107]), flat.labels([0, 6, 107])
    assert (images.shape, images.dtype) == ((3, 2, 8, 10), torch.float32)
    assert (labels.shape, labels.dtype) == ((3, 8, 10), torch.uint8)
    assert torch.equal(images[1], volumes.images([1])[0, ..., 3])
    assert torch.equal(labels[1], volumes.labels([1])[0, ..., 3])
    assert (labels[2] == UNLABELLED).all()
    assert torch.equal(flat.to("cpu").images([0, 6, 107]), images)


@pytest.mark.parametrize(("axis", "spacing"), [(0, (2, 3)), (1, (1, 3)), (2, (1, 2))])
def test_a_slice_is_scored_in_mm(volumes, out, axis, spacing):
    case = cut(volumes, out, axis=axis).cases[0]
    truth = torch.zeros(case.shape, dtype=torch.uint8)
    truth[3, 3] = 1
    for step, mm in zip([(1, 0), (0, 1)], spacing, strict=True):
        beside = truth.roll(step, (0, 1))
        dice, distance, absent = score_case(beside, truth, {"one": (1,)}, case, hausdorff=True)
        assert (dice, absent) == (0, False)
        assert distance == pytest.approx(mm)


# ---- who is trained on, who is tested ----------------------------------------------------------


def test_fault_14_slices_of_a_patient_stay_together(volumes, out):
    flat = cut(volumes, out)
    for fold in range(5):
        split, whole = flat.split(fold), volumes.split(fold)
        for side in ("train", "validation", "test", "pretrain"):
            of_scans = [s * 6 + n for s in getattr(whole, side) for n in range(6)]
            assert list(getattr(split, side)) == of_scans
        patients = {
            side: {flat.cases[i].patient for i in getattr(split, side)} for side in vars(split)
        }
        assert not patients["test"] & (patients["validation"] | patients["pretrain"])
        assert not patients["validation"] & patients["pretrain"]
        assert patients["train"] <= patients["pretrain"]
        assert "patient_free" in patients["pretrain"]


def test_a_share_of_the_labels_is_of_the_same_patients_as_in_3d(volumes, out):
    flat = cut(volumes, out)
    for seed in range(5):
        scans = volumes.subset(volumes.split().train, "50%", seed)
        chosen = flat.subset(flat.split().train, "50%", seed)
        assert chosen == tuple(s * 6 + n for s in scans for n in range(6))
        assert flat.subset(flat.split().train, len(scans), seed) == chosen, (
            "a number is of scans too"
        )


# ---- once more, and after an interruption ------------------------------------------------------


def test_a_second_run_writes_no_array_and_changes_nothing(volumes, out):
    summary = prepare(halved(volumes.folder, out))
    assert (summary.prepared, summary.skipped, summary.unlabelled) == (108, 0, 18)
    before = content(out)
    written = {path: path.stat().st_mtime_ns for path in out.glob("*/*.npy")}
    summary = prepare(halved(volumes.folder, out))
    assert (summary.prepared, summary.skipped, summary.exit_code) == (0, 108, 0)
    assert content(out) == before
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/*.npy")} == written


@pytest.mark.parametrize("after", [0, 1, 50, 107])
def test_an_interrupted_run_goes_on(volumes, out, tmp_path, monkeypatch, after):
    cut(volumes, tmp_path / "whole")
    write, done = slices.write_arrays, []

    def interrupted(*arguments):
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(write(*arguments))
        return done[-1]

    with monkeypatch.context() as patch:
        patch.setattr(slices, "write_arrays", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cut(volumes, out)
    assert not (out / "cohort.json").exists()
    summary = prepare(halved(volumes.folder, out))
    assert (summary.prepared, summary.skipped) == (108 - after, after)
    assert content(out) == content(tmp_path / "whole")


def test_what_is_missing_is_made_again(volumes, out):
    cut(volumes, out)
    before = content(out)
    array_path(out, "images", "case_003_s005").unlink()
    array_path(out, "labels", "case_004_s005").write_bytes(b"")
    (out / "images/.case_005_s005.npy.4711.ssl3d-part").write_bytes(b"half")
    assert prepare(halved(volumes.folder, out)).prepared == 2
    assert content(out) == before
    (out / "cohort.json").unlink()
    array_path(out, "images", "case_003_s005").unlink()
    cut(volumes, out)
    assert content(out) == before


def test_scans_that_were_prepared_anew_are_cut_anew(volumes, out):
    cut(volumes, out)
    source = replace(volumes.cases[3].source, sha256={"channel 0": "other"})
    array_path(volumes.folder, "labels", "case_003").unlink()
    other = replace(volumes.cases[3], source=source, labelled=False)
    replace(volumes, cases=(*volumes.cases[:3], other, *volumes.cases[4:])).save()
    assert prepare(halved(volumes.folder, out)).prepared == 6
    assert Cohort.open(out)[18][1] is None
    assert not list(out.glob("labels/case_003*"))


def test_other_settings_are_refused_and_nothing_is_touched(volumes, out):
    cut(volumes, out)
    before = content(out)
    with pytest.raises(InputError, match=r"was prepared with axis = 2, not 0; keep to that"):
        cut(volumes, out, axis=0)
    replace(volumes, recipe={"name": "test", "size": 9}).save()
    with pytest.raises(InputError, match=r"was prepared with cohort = \{'name': 'test'\}, not"):
        cut(volumes, out)
    assert content(out) == before


# ---- what cannot be cut ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"axis": 3}, "axis is 3, but must be one of 0, 1 or 2"),
        ({"axis": -1}, "axis is -1, but must be one of 0, 1 or 2"),
        ({"first": 0.8, "last": 0.7}, "first 0.8, last 0.7: first must lie before last"),
        ({"first": 0.7, "last": 0.7}, "first 0.7, last 0.7: first must lie before last"),
        ({"first": -0.1}, "first is -0.1, but must be 0 or more"),
        ({"last": 1.5}, "last is 1.5, but must be 1 or less"),
        ({"last": float("nan")}, "last is nan, but must be a finite number"),
        ({"every": 0}, "every is 0, but must be above 0"),
        ({"every": -2}, "every is -2, but must be above 0"),
        ({"first": 0.5, "last": 0.51}, "no slice lies between first 0.5 and last 0.51"),
    ],
)
def test_a_setting_without_meaning_is_one_line(volumes, out, settings, said):
    with pytest.raises(InputError, match=f"^{said}[^\n]*$"):
        cut(volumes, out, **settings)
    assert not out.exists()


def test_a_2d_cohort_is_refused(volumes, out, tmp_path):
    flat = cut(volumes, out)
    with pytest.raises(InputError, match=f"^{out} is already 2D; give a 3D cohort$"):
        cut(flat, tmp_path / "1d")
    assert not (tmp_path / "1d").exists()


def test_the_folder_of_the_3d_cohort_is_refused(volumes):
    before = content(volumes.folder)
    with pytest.raises(InputError, match="holds the 3D cohort; give another folder to --out"):
        cut(volumes, volumes.folder / "images" / "..")
    assert content(volumes.folder) == before


def test_a_scan_that_is_gone_is_named(volumes, out):
    array_path(volumes.folder, "images", "case_003").unlink()
    with pytest.raises(InputError, match=r"case_003\.npy cannot be read: .*prepare the cohort aga"):
        cut(volumes, out)
    assert not (out / "cohort.json").exists()


def test_a_folder_that_may_not_be_written(volumes, out):
    out.write_text("a file")
    with pytest.raises(InputError, match=f"^{out} is a file; give another folder"):
        cut(volumes, out)


# ---- the command line --------------------------------------------------------------------------


def test_the_command(volumes, out, capsys):
    arguments = ["prepare", "slices", "--cohort", str(volumes.folder), "--out", str(out)]
    assert main([*arguments, "--axis", "0", "--first", "0", "--last", "1", "--every", "4"]) == 0
    assert "36 prepared, 0 there already, 6 unlabelled, 0 rejected" in capsys.readouterr().out
    recipe = json.loads((out / "cohort.json").read_text())["recipe"]
    assert [recipe[name] for name in ("axis", "first", "last", "every")] == [0, 0.0, 1.0, 4]
    assert main([*arguments, "--axis", "7"]) == 2
    assert capsys.readouterr().err == "ssl3d: unknown --axis '7' (known: 0, 1, 2)\n"
    assert main([*arguments, "--every", "0"]) == 2
    assert capsys.readouterr().err == "ssl3d: every is 0, but must be above 0\n"

"""The ACDC recipe: two layouts, two frames a patient, lost voxel sizes, one scan twice."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from data_recipes.acdc import Acdc, find_frames, prepare
from ssl3d_lite.data.cohort import UNKNOWN_UNIT, Cohort
from ssl3d_lite.data.verify import Verify, verify
from ssl3d_lite.errors import InputError
from ssl3d_lite.show.cohort_page import cohort_facts

SHAPE = (20, 24, 6)
SLICED = np.diag([1.5, 1.5, 10, 1])  # mm, as the challenge's files are
FRAMES = (1, 12)
UNSTATED = (
    "8 of 8 scans do not state the unit of their voxels' size: sizes, --spacing and distances "
    "count as the files do, and are not said to be in mm; if they are, say --unit mm"
)


def heart(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A frame, int16, and its mask, uint8, with all three classes."""
    mask = np.zeros(SHAPE, np.uint8)
    mask[3:7, 8:16, 1:5] = 1
    mask[8:16, 7:17, 1:5] = 2
    mask[10:14, 9:15, 1:5] = 3
    noise = np.random.default_rng(seed).normal(100, 10, SHAPE)
    return (noise + 30 * mask).astype(np.int16), mask


def save_lost(path: Path, data: np.ndarray) -> None:
    """As a program saves a file that was told nothing of voxels: 1 x 1 x 1, of no unit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)


@pytest.fixture
def challenge(save):
    """Write patients as the challenge gives them: a folder each, with a cine and what is known."""

    def write(raw: Path, numbers=range(1, 5), part: str = "training", masks: bool = True) -> Path:
        for number in numbers:
            who = f"patient{number:03}"
            folder = raw / part / who
            for frame in FRAMES:
                image, mask = heart(100 * number + frame)
                save(folder / f"{who}_frame{frame:02}.nii.gz", image, SLICED)
                if masks:
                    save(folder / f"{who}_frame{frame:02}_gt.nii.gz", mask, SLICED)
            (folder / f"{who}_4d.nii.gz").write_bytes(b"a cine, which is not read")
            (folder / "Info.cfg").write_text(
                "ED: 1\nES: 12\nGroup: DCM\nHeight: 184.0\nNbFrame: 30"
            )
        return raw

    return write


def decathlon(raw: Path, numbers=range(1, 5)) -> Path:
    """Patients as a copy has them that lost their voxels' size."""
    rows = ["image,patient"]
    for number in numbers:
        for frame in FRAMES:
            name = f"patient{number:03}_frame{frame:02}.nii.gz"
            image, mask = heart(100 * number + frame)
            save_lost(raw / "imagesTr" / name, image)
            save_lost(raw / "labelsTr" / name, mask)
            rows.append(f"{name},patient{number:03}")
    (raw / "patients.csv").write_text("\n".join(rows))
    return raw


def small(raw: Path, out: Path, **settings) -> Acdc:
    return Acdc(**{"raw": raw, "out": out, "workers": 1, "size": (12, 12, 8)} | settings)


def by_id(out: Path) -> dict:
    return {case.id: case for case in Cohort.open(out).cases}


def reasons(summary) -> dict[str, str]:
    return {each["case"]: each["reason"] for each in summary.rejected}


# ---- what comes out ----------------------------------------------------------------------------


def test_the_layout_of_the_challenge(challenge, raw, out):
    summary = prepare(small(challenge(raw), out))
    assert (summary.prepared, summary.unlabelled, summary.rejected) == (8, 0, ())
    assert summary.notes == ("only 4 folds: no more patients have a label",)
    cohort = Cohort.open(out)
    assert (cohort.name, cohort.channels, cohort.unit) == ("ACDC", ("mri",), "mm")
    assert cohort.label_names == ("background", "RV cavity", "myocardium", "LV cavity")
    assert cohort.label_values == (0, 1, 2, 3)
    assert cohort.regions == {"RV cavity": (1,), "myocardium": (2,), "LV cavity": (3,)}
    assert (cohort.licence, cohort.citation) == ("CC BY-NC-SA 4.0", Acdc.about.citation)
    names = [f"patient00{n}_frame{frame:02}" for n in range(1, 5) for frame in FRAMES]
    assert [case.id for case in cohort.cases] == names
    assert [case.patient for case in cohort.cases] == [name[:10] for name in names]
    case = cohort.cases[1]
    where = "training/patient001/patient001_frame12"
    assert case.source.files == {"mri": f"{where}.nii.gz", "label": f"{where}_gt.nii.gz"}
    assert (case.source.shape, case.source.affine) == (SHAPE, SLICED.tolist())
    # stretched: each axis by itself
    assert cohort.spacing == pytest.approx((1.5 * 20 / 12, 1.5 * 24 / 12, 10 * 6 / 8))
    assert set(np.unique(cohort[0][1])) == {0, 1, 2, 3}
    report = verify(Verify(out, raw=raw, workers=1))
    assert (report.faults, report.notes[:-1]) == ((), ())
    assert report.notes[-1].startswith("place alone")


def test_size_and_intensities_that_are_its_own(challenge, raw, out):
    prepare(Acdc(raw=challenge(raw, [1, 2, 3]), out=out, workers=1))
    cohort = Cohort.open(out)
    assert cohort.shape == (96, 96, 16)
    assert {name: cohort.recipe[name] for name in ("name", "fit", "crop", "intensity")} == {
        "name": "acdc",
        "fit": "stretch",
        "crop": False,
        "intensity": "zscore",
    }


@pytest.mark.parametrize("seed", range(4))
def test_two_frames_of_a_patient_never_part(challenge, raw, out, seed):
    prepare(small(challenge(raw, range(1, 8)), out, seed=seed))
    cases = by_id(out)
    assert len({case.fold for case in cases.values()}) == 5
    for number in range(1, 8):
        assert len({cases[f"patient00{number}_frame{frame:02}"].fold for frame in FRAMES}) == 1


def test_frames_of_the_test_part(challenge, raw, out):
    """Without masks, as at first, they serve for pretraining; with masks, as of today, for all."""
    challenge(raw)
    challenge(raw, [101, 102], "testing", masks=False)
    challenge(raw, [103], "testing")
    summary = prepare(small(raw, out))
    assert (summary.prepared, summary.unlabelled, summary.rejected) == (14, 4, ())
    cases = by_id(out)
    assert {case.fold for name, case in cases.items() if name[7:10] in ("101", "102")} == {None}
    assert cases["patient103_frame01"].fold is not None
    assert not any(case.fault for case in find_frames(raw / "testing"))


# ---- a copy without its voxels' size -----------------------------------------------------------


def test_the_layout_of_the_decathlon(raw, out):
    summary = prepare(small(decathlon(raw), out))
    assert (summary.prepared, summary.rejected) == (8, ())
    cohort = Cohort.open(out)
    assert [case.patient for case in cohort.cases[:3]] == ["patient001", "patient001", "patient002"]
    assert cohort.cases[0].source.files == {
        "mri": "imagesTr/patient001_frame01.nii.gz",
        "label": "labelsTr/patient001_frame01.nii.gz",
    }
    assert set(np.unique(cohort[0][1])) == {0, 1, 2, 3}


def test_nothing_of_it_is_in_mm(raw, out):
    summary = prepare(small(decathlon(raw), out))
    assert summary.notes[0] == UNSTATED
    cohort = Cohort.open(out)
    assert (cohort.unit, cohort.preparation.unit) == (UNKNOWN_UNIT, None)
    assert not any("mm" in fact.split() for fact in cohort_facts(cohort))


@pytest.mark.parametrize("asked", [{"unit": "mm"}, {"spacing": (1.5, 1.5, 8), "size": None}])
def test_millimetres_of_it_are_refused(raw, out, asked):
    decathlon(raw)
    with pytest.raises(InputError) as error:
        prepare(small(raw, out, fit="pad", **asked))
    assert str(error.value) == (
        f"{raw / 'imagesTr/patient001_frame01.nii.gz'} says that its voxels are 1 x 1 x 1, as "
        "files say that do not know: leave out --unit and --spacing, or get the original"
    )
    assert not out.exists()


def test_millimetres_of_the_original_are_taken(challenge, raw, out):
    (challenge(raw) / "training/patient001/patient001_frame01.nii.gz").write_bytes(b"damaged")
    summary = prepare(small(raw, out, spacing=(3, 3, 10), size=None, fit="pad", unit="mm"))
    assert (summary.prepared, list(reasons(summary))) == (7, ["patient001_frame01"])
    assert Cohort.open(out).spacing == (3, 3, 10)


# ---- patients ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_one_scan_of_two_patients_is_named_and_stays_together(raw, out, seed):
    decathlon(raw, range(1, 8))
    for frame in FRAMES:
        old, new = (raw / f"imagesTr/patient00{n}_frame{frame:02}.nii.gz" for n in (2, 6))
        save_lost(new, np.asarray(nib.load(old).dataobj))
    name = raw / "labelsTr/patient006_frame12.nii.gz"
    mask = np.asarray(nib.load(name).dataobj).copy()
    mask[3:6] = 0  # another hand drew it
    save_lost(name, mask)
    summary = prepare(small(raw, out, seed=seed))
    told = (
        "2 scans are copies of others, voxel for voxel: patient002_frame01 and patient006_frame01; "
        "patient002_frame12 and patient006_frame12",
        "copies of one scan with different labels, keep the right one: "
        "patient002_frame12 and patient006_frame12",
    )
    assert summary.notes[1:3] == told
    report = verify(Verify(out, workers=1))
    assert (report.faults, report.notes[:-1]) == ((), told)
    assert report.notes[-1].startswith("place alone")
    cases = by_id(out)
    assert len({cases[f"patient00{n}_frame{f:02}"].fold for n in (2, 6) for f in FRAMES}) == 1


def test_the_table_has_the_last_word(raw, out):
    table = decathlon(raw) / "patients.csv"
    table.write_text(table.read_text().replace(",patient003", ",patient001"))
    prepare(small(raw, out))
    cases = by_id(out)
    assert cases["patient003_frame12"].patient == "patient001"
    assert cases["patient003_frame12"].fold == cases["patient001_frame01"].fold


def test_without_the_table_names_tell_the_patients(raw, out):
    (decathlon(raw) / "patients.csv").unlink()
    prepare(small(raw, out))
    assert {case.patient for case in by_id(out).values()} == {f"patient00{n}" for n in range(1, 5)}


def test_rows_and_scans_that_stand_alone(raw, out):
    table = decathlon(raw) / "patients.csv"
    table.write_text(
        table.read_text().replace("patient002_frame12.nii.gz", "patient009_frame12.nii.gz")
    )
    summary = prepare(small(raw, out))
    assert reasons(summary) == {
        "patient002_frame12": f"{table} names no patient of it",
        "patient009_frame12": f"{table} has a row for it, but {raw} has no such scan",
    }


def test_a_table_that_is_none(raw, out):
    (decathlon(raw) / "patients.csv").write_text("scan,who\na,b\n")
    with pytest.raises(InputError, match=r"patients.csv has no column image and no patient"):
        prepare(small(raw, out))
    assert not out.exists()


# ---- what is broken ----------------------------------------------------------------------------


def test_a_frame_without_its_mask_and_a_mask_without_its_frame(challenge, raw, out):
    folder = challenge(raw) / "training"
    mask = folder / "patient001/patient001_frame01_gt.nii.gz"
    frame = folder / "patient002/patient002_frame12.nii.gz"
    mask.unlink()
    frame.unlink()
    summary = prepare(small(raw, out))
    assert reasons(summary) == {
        "patient001_frame01": f"{mask.with_name('patient001_frame01.nii.gz')} has no mask "
        "(patient001_frame01_gt.nii.gz, or its own name in labelsTr)",
        "patient002_frame12": f"{frame.with_name('patient002_frame12_gt.nii.gz')} is the mask of a "
        "frame that is not there",
    }
    assert (summary.prepared, summary.exit_code) == (6, 1)


def test_damaged_files_cost_their_cases(challenge, raw, out, save):
    folder = challenge(raw) / "training"
    (folder / "patient001/patient001_frame01.nii.gz").write_bytes(b"")
    _, mask = heart(0)
    save(folder / "patient002/patient002_frame01_gt.nii.gz", 2 * mask, SLICED)
    save(folder / "patient003/patient003_frame01_gt.nii.gz", mask[1:], SLICED)
    summary = prepare(small(raw, out))
    said = reasons(summary)
    assert sorted(said) == [f"patient00{n}_frame01" for n in (1, 2, 3)]
    assert "is damaged" in said["patient001_frame01"] or "no readable" in said["patient001_frame01"]
    assert said["patient002_frame01"].endswith("holds 4, 6, where labels are 0, 1, 2, 3")
    assert "has shape (19, 24, 6), but" in said["patient003_frame01"]


def test_no_frames(raw, out):
    raw.mkdir()
    (raw / "patient001_4d.nii.gz").write_bytes(b"")
    (raw / "Info.cfg").write_text("ED: 1")
    with pytest.raises(InputError) as error:
        prepare(small(raw, out))
    example = "patient001_frame01.nii.gz and patient001_frame01_gt.nii.gz"
    assert str(error.value) == f"no ACDC frames below {raw}; their names look like {example}"


def test_both_layouts_in_one_folder(challenge, raw, out):
    decathlon(challenge(raw))
    with pytest.raises(InputError, match="are one and the same; remove one"):
        prepare(small(raw, out))


def test_a_second_run_does_nothing(challenge, raw, out):
    prepare(small(challenge(raw), out))
    manifest = (out / "cohort.json").read_bytes()
    summary = prepare(small(raw, out))
    assert (summary.prepared, summary.skipped) == (0, 8)
    assert (out / "cohort.json").read_bytes() == manifest


# ---- the real ones -----------------------------------------------------------------------------


def test_the_real_hearts(real_acdc, out):
    summary = prepare(Acdc(raw=real_acdc, out=out, size=(24, 24, 8), workers=1))
    assert (summary.prepared, summary.unlabelled, summary.rejected) == (200, 0, ())
    assert (summary.lost, summary.left_out) == ({}, ())
    copies = (
        "2 scans are copies of others, voxel for voxel: patient074_frame01 and patient076_frame01; "
        "patient074_frame12 and patient076_frame12",
        "copies of one scan with different labels, keep the right one: "
        "patient074_frame01 and patient076_frame01; patient074_frame12 and patient076_frame12",
    )
    assert summary.notes[0].startswith("200 of 200 scans do not state the unit")
    assert summary.notes[1:] == copies
    cohort = Cohort.open(out)
    assert (cohort.unit, cohort.shape) == (UNKNOWN_UNIT, (24, 24, 8))
    assert len({case.patient for case in cohort.cases}) == 100
    folds = {who: {c.fold for c in cohort.cases if c.patient == who} for who in by_patient(cohort)}
    assert {len(each) for each in folds.values()} == {1}
    assert folds["patient074"] == folds["patient076"]
    assert all(set(np.unique(cohort[i][1])) == {0, 1, 2, 3} for i in range(0, 200, 10))
    report = verify(Verify(out, workers=1))
    assert (report.faults, report.notes[:-1]) == ((), copies)
    assert report.notes[-1].startswith("place alone")


def by_patient(cohort: Cohort) -> set[str]:
    return {case.patient for case in cohort.cases}

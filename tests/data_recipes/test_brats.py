"""The BraTS recipe: two ways of naming files, two of labelling, cases with files missing."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from data_recipes.brats import BRATS_CHANNELS, Brats, find_brats_cases, prepare
from data_recipes.preparing.volumes import Preparation
from data_recipes.virtual_files import write_heads
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.verify import Verify, verify
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.parallel import Workforce

NEW = ("t1n", "t1c", "t2w", "t2f", "seg")


def small(raw: Path, out: Path, **settings) -> Brats:
    return Brats(raw=raw, out=out, size=(16, 16, 16), workers=1, **settings)


def test_brats_2018(raw, out, make_head):
    for case, grade in zip("ABCD", ("HGG", "HGG", "LGG", "LGG")):
        make_head(raw / grade / f"Brats18_{case}_1", case=case)
    make_head(raw / "validation/Brats18_E_1", case="E", kinds=("t1", "t1ce", "t2", "flair"))
    summary = prepare(small(raw, out))
    assert (summary.prepared, summary.unlabelled, summary.rejected) == (5, 1, ())
    cohort = Cohort.open(out)
    assert [case.id for case in cohort.cases] == [f"Brats18_{case}_1" for case in "ABCDE"]
    assert cohort.channels == BRATS_CHANNELS == ("t1", "t1ce", "t2", "flair")
    assert cohort.label_values == (0, 1, 2, 4)
    assert cohort.regions == {"WT": (1, 2, 4), "TC": (1, 4), "ET": (4,)}
    assert cohort.region_classes == {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}
    assert cohort.cases[4].fold is None
    assert cohort[4][1] is None
    assert set(np.unique(cohort[0][1])) == {0, 1, 2, 3}
    assert cohort.cases[0].source.files["t1ce"] == "HGG/Brats18_A_1/Brats18_A_1_t1ce.nii.gz"


def test_brats_2023(raw, out, make_head):
    pattern = "BraTS-GLI-{case}-{kind}.nii.gz"
    for case in ("00001-000", "00001-001", "00002-000", "00003-000"):
        make_head(raw / f"BraTS-GLI-{case}", pattern, case, NEW, enhancing=3)
    prepare(small(raw, out))
    cohort = Cohort.open(out)
    assert cohort.label_values == (0, 1, 2, 3)
    assert cohort.regions == {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}
    assert cohort.cases[0].patient == cohort.cases[1].patient == "BraTS-GLI-00001"
    assert cohort.cases[0].fold == cohort.cases[1].fold
    assert len({case.fold for case in cohort.cases}) == 3
    assert cohort.cases[0].source.files["flair"].endswith("-t2f.nii.gz")


@pytest.mark.parametrize(
    ("pattern", "name", "patient"),
    [
        ("Brats17_CBICA_{case}_1_{kind}.nii.gz", "Brats17_CBICA_A_1", "Brats17_CBICA_A"),
        ("Brats18_TCIA01_{case}_2_{kind}.nii.gz", "Brats18_TCIA01_A_2", "Brats18_TCIA01_A"),
        ("BraTS19_{case}_1_{kind}.nii.gz", "BraTS19_A_1", "BraTS19_A"),
        ("BraTS20_Training_{case}_{kind}.nii", "BraTS20_Training_A", "BraTS20_Training_A"),
        ("BraTS20_Training_001_{kind}.nii", "BraTS20_Training_001", "BraTS20_Training_001"),
        ("BraTS2021_{case}_{kind}.nii.gz", "BraTS2021_A", "BraTS2021_A"),
    ],
)
def test_names_of_other_years(raw, make_head, pattern, name, patient):
    (case,) = find_brats_cases(make_head(raw, pattern))
    assert (case.id, case.patient) == (name, patient)
    assert list(case.images) == list(BRATS_CHANNELS)
    assert case.label


def test_channels_keep_their_order(raw, out, make_head):
    """Modality k has a mean of 10^(k+2), and the recipe does not mix them up."""
    make_head(raw)
    images = find_brats_cases(raw)[0].images
    means = [np.asarray(nib.load(path).dataobj).max() for path in images.values()]
    assert [round(np.log10(mean)) for mean in means] == [3, 4, 5, 6]
    prepare(small(raw, out))
    assert Cohort.open(out).cases[0].source.files == {
        kind if kind != "seg" else "label": f"Brats18_A_1_{kind}.nii.gz"
        for kind in (*BRATS_CHANNELS, "seg")
    }


def test_the_brain_is_scaled_and_the_rest_is_zero(raw, out, make_head):
    make_head(raw)
    prepare(small(raw, out, fit="pad"))
    image, label = Cohort.open(out)[0]
    brain = image != 0
    assert not image[:, 0].any()  # 14 of 16 voxels across, so one is empty on either side
    for channel, inside in zip(image, brain):
        assert channel[inside].mean(dtype=float) == pytest.approx(0, abs=0.05)
        assert channel[inside].std(dtype=float) == pytest.approx(1, abs=0.05)
    assert (label[~brain[0]] == 0).all()


def test_the_papers_way(raw, out, make_head):
    make_head(raw)
    prepare(small(raw, out, fit="stretch", intensity="unit"))
    cohort = Cohort.open(out)
    assert cohort.cases[0].crop == [[3, 17], [4, 21], [2, 16]]
    assert cohort.spacing == (14 / 16, 17 / 16, 14 / 16)
    image, _ = cohort[0]
    assert (image.min(axis=(1, 2, 3)) < 0.3).all()
    assert (image.max(axis=(1, 2, 3)) > 0.7).all()
    assert image.min() >= 0
    assert image.max() <= 1


def test_a_missing_modality_rejects_the_case(raw, out, make_head):
    for case in "ABC":
        make_head(raw, case=case)
    (raw / "Brats18_B_1_t1ce.nii.gz").unlink()
    (rejected,) = prepare(small(raw, out)).rejected
    assert rejected["case"] == "Brats18_B_1"
    assert rejected["reason"].startswith("t1ce missing; there is Brats18_B_1_t1.nii.gz, ")


def test_both_ways_of_labelling(raw, out, make_head):
    make_head(raw)
    make_head(raw, "BraTS-GLI-{case}-{kind}.nii.gz", "00001-000", NEW, enhancing=3)
    with pytest.raises(InputError, match="prepare the two sets apart"):
        prepare(small(raw, out))
    assert not out.exists()


def test_a_label_that_belies_its_name_is_rejected_unless_declared(raw, out, make_head):
    for case in "ABC":
        make_head(raw, case=case, enhancing=3)
    with pytest.raises(InputError, match="holds 3, where labels are 0, 1, 2, 4"):
        prepare(small(raw, out))
    assert prepare(small(raw, out, enhancing=3)).prepared == 3


def test_a_file_there_twice(raw, make_head):
    make_head(raw)
    make_head(raw, "Brats18_{case}_1_{kind}.nii", kinds=("t2",))
    with pytest.raises(InputError, match=r"_t2\.nii\.gz and .*_t2\.nii are one and the same"):
        find_brats_cases(raw)


def test_a_case_there_twice(raw, out, make_head):
    make_head(raw / "HGG")
    make_head(raw / "LGG")
    with pytest.raises(InputError, match="2 cases have the id 'Brats18_A_1'"):
        prepare(small(raw, out))


@pytest.mark.parametrize("name", ["", "notes.txt", "t1.nii.gz", "._Brats18_A_1_t1.nii.gz"])
def test_no_brats(raw, out, name):
    raw.mkdir()
    if name:
        (raw / name).write_bytes(b"")
    with pytest.raises(InputError, match="no BraTS scans below"):
        prepare(small(raw, out))


def test_virtual_heads_are_prepared_unchanged(raw, out):
    write_heads(raw, 4, seed=0, edge=48, work=Workforce(workers=1))
    summary = prepare(Brats(raw=raw, out=out, size=(32, 32, 32), workers=1))
    assert (summary.prepared, summary.rejected, summary.lost) == (4, (), {})
    cohort = Cohort.open(out)
    assert cohort.shape == (32, 32, 32)
    assert cohort[0][1].any()


# ---- the training set of 2018 --------------------------------------------------------------------


def test_the_285_cases_of_2018_are_split_by_patient(raw, out, make_head):
    """210 of high and 75 of low grade, and 66 without labels, under the names they have."""
    sites = ("TCIA01_{}", "2013_{}", "CBICA_{}")
    names = [site.format(f"{n:03d}") for n in range(95) for site in sites]
    for number, name in enumerate(names):
        grade = "HGG" if number < 210 else "LGG"
        make_head(raw / "train" / grade / f"Brats18_{name}_1", case=name, shape=(8, 9, 8))
    for number in range(66):
        kinds = ("t1", "t1ce", "t2", "flair")
        name = f"TCIA02_{number:03d}"
        make_head(raw / f"validation/Brats18_{name}_1", case=name, kinds=kinds, shape=(8, 9, 8))
    summary = prepare(Brats(raw=raw, out=out, size=(8, 8, 8)))
    assert (summary.prepared, summary.unlabelled, summary.rejected) == (351, 66, ())
    cohort = Cohort.open(out)
    labelled = [case for case in cohort.cases if case.labelled]
    assert {case.patient for case in labelled} == {f"Brats18_{name}" for name in names}
    assert sorted(Counter(case.fold for case in labelled).values()) == [57] * 5
    assert all(case.fold is None for case in cohort.cases if not case.labelled)
    split = cohort.split()
    assert [len(side) for side in (split.train, split.validation, split.test)] == [171, 57, 57]
    assert len(split.pretrain) == 171 + 66
    assert verify(Verify(cohort=out)).faults == ()


def test_the_papers_preset(raw, out, make_head):
    make_head(raw)
    recipe = Brats(raw=raw, out=out, preset="paper", workers=1)
    how = recipe.preparation()
    assert how == Preparation(True, None, (128, 128, 128), "stretch", "unit")
    assert recipe.own == Preparation(True, None, (128, 128, 128), "resize", "zscore-brain")
    assert replace(recipe, fit="resize", size=(8, 8, 8)).preparation() == Preparation(
        True, None, (8, 8, 8), "resize", "unit"
    )

"""Cases that may belong together: found by voxels for certain, and by names as a hint."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ssl3d_lite.data.alike import (
    contradictions,
    copies,
    folders_of_several,
    names_alike,
    person_in,
    remarks,
)
from ssl3d_lite.data.case import Case, Source


def case(name: str, fold: int | None = 0, patient: str = "", file: str = "", **more) -> Case:
    source = Source({"image": file or f"{name}.nii.gz"}, {}, (1, 1, 1), np.eye(4).tolist())
    affine = np.eye(4).tolist()
    return Case(name, patient or name, (1, 1, 1), affine, [], source, True, fold=fold, **more)


def apart(*names: str) -> list[Case]:
    return [case(name, fold) for fold, name in enumerate(names)]


def ids(groups: list[list[Case]]) -> list[list[str]]:
    return [[case.id for case in group] for group in groups]


@pytest.mark.parametrize(
    "names",
    [
        ("p01_t0", "p01_t1"),
        ("p01t0", "p01t1"),
        ("p01_baseline", "p01-visit2"),
        ("p01_ses-01", "p01_ses-02"),
        ("001_L", "001_R"),
        ("001left", "001.right"),
        ("patient001_frame01", "patient001_frame12"),
        ("PAT1_2019_scan", "PAT1_2020_scan"),
        ("PAT1_20190304", "PAT1_2020-01-31"),
        ("PAT1_2019_03_04", "PAT1_2019_11_04"),
        ("ann_pre", "ann_post"),
        ("OAS1_0001_MR1", "OAS1_0001_MR2"),
        ("ADNI_0413_m06", "ADNI_0413_bl"),
        ("X_follow-up", "X"),
    ],
)
def test_names_of_one_patient(names):
    assert ids(names_alike([*apart(*names), case("other")])) == [list(names)]


@pytest.mark.parametrize(
    "names",
    [
        ("scan_000", "scan_001"),
        ("scan0", "scan1"),
        ("patient_2001", "patient_2002"),
        ("hippocampus_001", "hippocampus_003"),
        ("BraTS2021_00000", "BraTS2021_00002"),
        ("IXI002-Guys-0828-T1", "IXI012-HH-1211-T1"),
        ("0a4e1a29ffff", "0a4e1a29fffe"),
        ("ann", "ben"),
        ("1000001_2_0", "1000002_2_0"),
    ],
)
def test_names_of_several_patients(names):
    assert names_alike(apart(*names)) == []


def test_all_names_alike_say_nothing():
    assert names_alike(apart("visit_t1", "visit_t2")) == []
    assert names_alike([case(f"x_r{n}", n % 3) for n in range(40)] + apart("a", "b")) == []


def test_whose_they_are_is_known_or_they_stand_together():
    others = apart("a", "b", "c")
    assert names_alike([case("p_t0", 0, "P"), case("p_t1", 0, "P"), *others]) == []
    assert names_alike([case("p_t0", 0, "P"), case("p_t1", 1, "Q"), *others]) == []  # by a table
    assert names_alike([case("p_t0", 1), case("p_t1", 1), *others]) == []
    assert ids(names_alike([case("p_t0", 1), case("p_t1", None), *others])) == [["p_t0", "p_t1"]]


def test_slices_are_named_as_their_scan():
    slices = [
        case(f"{scan}_s{at:03}", fold, scan, slice_of=scan)
        for fold, scan in enumerate(("p_t0", "p_t1", "q"))
        for at in range(30)
    ]
    (line,) = remarks(slices)
    assert line.startswith(
        "names look like several scans of one patient, in different folds: p_t0 and p_t1; if"
    )


@given(st.text())
def test_any_name_will_do(name):
    assert isinstance(person_in(name), str)


def test_folders_that_each_hold_several_scans():
    cases = [
        case(f"{who}_{kind}", fold, file=f"images/{who}/{kind}.nii")
        for who in ("ann", "ben", "cat")
        for fold, kind in enumerate(("first", "second"))
    ]
    assert ids(folders_of_several(cases)) == [
        ["ann_first", "ann_second"],
        ["ben_first", "ben_second"],
        ["cat_first", "cat_second"],
    ]
    (line,) = remarks(cases)
    assert line.startswith("folders hold several scans, in different folds: ann_first and ann_sec")
    assert folders_of_several(cases[:4]) == []  # two folders: training and test
    assert folders_of_several(apart("a", "b", "c")) == []
    assert folders_of_several([]) == []


def test_copies_and_their_labels():
    def copy(name, image, label=None, **more):
        sums = {"image": image} | ({"label": label} if label else {})
        return case(name, sha256=sums, **more)

    cases = [copy("a", "1", "x"), copy("b", "2", "x"), copy("c", "1", "y"), copy("d", "2", "x")]
    assert ids(copies(cases)) == [["a", "c"], ["b", "d"]]
    assert ids(contradictions(cases)) == [["a", "c"]]
    assert list(remarks(cases)) == [
        "2 scans are copies of others, voxel for voxel: a and c; b and d",
        "copies of one scan with different labels, keep the right one: a and c",
    ]
    grades = [copy("a", "1", grade=2), copy("b", "1", grade=2), copy("c", "1", grade=3)]
    assert ids(contradictions(grades)) == [["a", "b", "c"]]
    assert contradictions(grades[:2]) == []


def test_a_copy_without_a_label_contradicts_nobody():
    one = case("a", sha256={"image": "1", "label": "x"})
    other = replace(case("b", sha256={"image": "1"}), labelled=False)
    assert contradictions([one, other]) == []

"""The IDRiD recipe: two parts with the same names, two questions, copies, the official split."""

import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from raw_files import eye

from data_recipes.idrid import (
    EDEMA_RISKS,
    NO_PATIENTS,
    OFFICIAL,
    Idrid,
    find_tables,
    list_part,
    prepare,
)
from data_recipes.preparing.photographs import GRADES
from ssl3d_lite.data.alike import contradictions
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.verify import Verify, verify
from ssl3d_lite.errors import InputError

EDGE = 16
PART = "B. Disease Grading"
TRAIN_TABLE = f"{PART}/2. Groundtruths/a. IDRiD_Disease Grading_Training Labels.csv"
TEST_TABLE = f"{PART}/2. Groundtruths/b. IDRiD_Disease Grading_Testing Labels.csv"
TRAIN_PICTURES = f"{PART}/1. Original Images/a. Training Set"
TEST_PICTURES = f"{PART}/1. Original Images/b. Testing Set"
TRAIN = [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (2, 0), (0, 1), (3, 1)]
TEST = [(4, 0), (0, 0), (2, 2)]


def write_part(raw: Path, table: str, pictures: str, labels, first: int, more: str) -> None:
    """Photographs IDRiD_001 and so on, and their table, as the data set has it: a blank at the end
    of a name, empty columns (``more``), lines that end as in Windows."""
    for place in (raw / table, raw / pictures / "x"):
        place.parent.mkdir(parents=True, exist_ok=True)
    lines = [f"Image name,Retinopathy grade,Risk of macular edema {more}"]
    for number, (grade, risk) in enumerate(labels, start=1):
        Image.fromarray(eye(first + number)).save(raw / pictures / f"IDRiD_{number:03}.jpg")
        lines.append(f"IDRiD_{number:03},{grade},{risk}{more}")
    (raw / table).write_bytes("".join(f"{line}\r\n" for line in lines).encode())


def lay_out(raw: Path, train=TRAIN, test=TEST) -> Path:
    write_part(raw, TRAIN_TABLE, TRAIN_PICTURES, train, 0, "," * 9)
    if test:
        write_part(raw, TEST_TABLE, TEST_PICTURES, test, 100, "")
    return raw


def small(raw: Path, out: Path, **settings) -> Idrid:
    return Idrid(**{"raw": raw, "out": out, "workers": 1, "edge": EDGE} | settings)


def change(path: Path, old: str, new: str) -> None:
    text = path.read_bytes().decode()
    assert text.count(old) == 1
    path.write_bytes(text.replace(old, new).encode())


def copy(raw: Path, old: str, new: str) -> None:
    shutil.copyfile(raw / old, raw / new)


def by_id(out: Path) -> dict:
    return {case.id: case for case in Cohort.open(out).cases}


def reasons(summary) -> dict[str, str]:
    return {each["case"]: each["reason"] for each in summary.rejected}


# ---- what comes out ----------------------------------------------------------------------------


def test_a_graded_cohort(raw, out):
    summary = prepare(small(lay_out(raw), out))
    assert (summary.prepared, summary.unlabelled, summary.rejected) == (11, 0, ())
    assert summary.notes == ("fewer cases than folds have grade 0, 1, 2, 3, 4",)
    cohort = Cohort.open(out)
    assert (cohort.name, cohort.ordinal, cohort.unit) == ("IDRiD", True, "px")
    assert (cohort.label_values, cohort.label_names) == ((0, 1, 2, 3, 4), GRADES)
    assert (cohort.channels, cohort.shape) == (("red", "green", "blue"), (EDGE, EDGE))
    assert (cohort.licence, cohort.citation) == ("CC BY 4.0", Idrid.about.citation)
    assert cohort.description == NO_PATIENTS
    assert cohort.recipe == {
        "name": "idrid",
        "question": "retinopathy",
        "split": "dealt",
        "edge": EDGE,
        "intensity": "window:0,255",
        "folds": 5,
        "seed": 0,
        "version": 2,
    }


def test_one_name_in_both_parts_is_two_eyes(raw, out):
    prepare(small(lay_out(raw), out))
    cases = by_id(out)
    testing, training = (
        (f"testing_{n:03}" for n in (1, 2, 3)),
        (f"training_{n:03}" for n in range(1, 9)),
    )
    assert list(cases) == [*testing, *training]
    assert [case.patient for case in cases.values()] == list(cases)
    assert [case.grade for case in cases.values()] == [4, 0, 2, 0, 1, 2, 3, 4, 2, 0, 3]
    assert cases["training_002"].source.files["green"] == f"{TRAIN_PICTURES}/IDRiD_002.jpg"
    assert cases["testing_002"].source.files["green"] == f"{TEST_PICTURES}/IDRiD_002.jpg"
    assert len({case.sha256["image"] for case in cases.values()}) == 11


def test_the_second_question(raw, out):
    prepare(small(lay_out(raw), out, question="edema"))
    cohort = Cohort.open(out)
    assert (cohort.name, cohort.label_names) == ("IDRiD, macular edema", EDEMA_RISKS)
    assert cohort.label_values == (0, 1, 2)
    assert [case.grade for case in cohort.cases] == [0, 0, 2, 0, 0, 1, 2, 2, 0, 1, 1]
    with pytest.raises(InputError, match=r"prepared with label_values = \[0, 1, 2\], not"):
        prepare(small(raw, out))


@pytest.mark.parametrize("given", ["", PART])
def test_the_part_or_the_folder_above_it(raw, out, given):
    lay_out(raw)
    (raw / "A. Segmentation/1. Original Images/a. Training Set").mkdir(parents=True)
    assert prepare(small(raw / given, out)).prepared == 11


def test_a_second_run_does_nothing(raw, out):
    prepare(small(lay_out(raw), out))
    manifest = (out / "cohort.json").read_bytes()
    summary = prepare(small(raw, out))
    assert (summary.prepared, summary.skipped) == (0, 11)
    assert (out / "cohort.json").read_bytes() == manifest


# ---- copies ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_copies_share_a_fold_and_are_named_and_so_are_their_labels(raw, out, seed):
    lay_out(raw)
    copy(raw, f"{TRAIN_PICTURES}/IDRiD_001.jpg", f"{TEST_PICTURES}/IDRiD_003.jpg")
    copy(raw, f"{TRAIN_PICTURES}/IDRiD_003.jpg", f"{TRAIN_PICTURES}/IDRiD_006.jpg")
    told = (
        "2 scans are copies of others, voxel for voxel: testing_003 and training_001; "
        "training_003 and training_006",
        "copies of one scan with different labels, keep the right one: "
        "testing_003 and training_001",
    )
    summary = prepare(small(raw, out, seed=seed))
    assert summary.notes[:2] == told
    report = verify(Verify(out, workers=1))
    assert (report.faults, report.notes[:-1]) == ((), told)
    assert report.notes[-1].startswith("without looking")
    cases = by_id(out)
    assert cases["testing_003"].fold == cases["training_001"].fold
    assert cases["training_003"].fold == cases["training_006"].fold


def test_which_copies_contradict_each_other_depends_on_the_question(raw, out):
    """Retinopathy of training_003 and training_006 is the same, and edema is not."""
    lay_out(raw)
    copy(raw, f"{TRAIN_PICTURES}/IDRiD_003.jpg", f"{TRAIN_PICTURES}/IDRiD_006.jpg")
    summary = prepare(small(raw, out, question="edema"))
    assert (
        "copies of one scan with different labels, keep the right one: "
        "training_003 and training_006" in summary.notes
    )


# ---- the official split ------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_the_official_test_part_is_fold_0_whole_and_alone(raw, out, seed):
    prepare(small(lay_out(raw), out, split="official", seed=seed))
    cohort = Cohort.open(out)
    assert cohort.description == f"{OFFICIAL} {NO_PATIENTS}"
    assert cohort.recipe["split"] == "official"
    assert [case.id for case in cohort.cases if case.fold == 0] == [
        f"testing_00{n}" for n in (1, 2, 3)
    ]
    assert Counter(case.fold for case in cohort.cases) == {0: 3, 1: 2, 2: 2, 3: 2, 4: 2}
    split = cohort.split()
    assert {cohort.cases[case].id[:7] for case in split.test} == {"testing"}
    assert {cohort.cases[case].id[:8] for case in (*split.train, *split.validation)} == {"training"}
    assert set(split.pretrain) == set(split.train)


def test_a_training_photograph_that_is_tested_on_is_left_out_and_told(raw, out):
    lay_out(raw)
    copy(raw, f"{TEST_PICTURES}/IDRiD_003.jpg", f"{TRAIN_PICTURES}/IDRiD_001.jpg")
    copy(raw, f"{TEST_PICTURES}/IDRiD_001.jpg", f"{TRAIN_PICTURES}/IDRiD_005.jpg")
    summary = prepare(small(raw, out, split="official"))
    assert summary.left_out == (
        {
            "case": "training_001",
            "reason": "is testing_003 of the official test part, byte for byte, where its grade is "
            "2 and not 0",
        },
        {
            "case": "training_005",
            "reason": "is testing_001 of the official test part, byte for byte",
        },
    )
    assert "training_005 is testing_001 of the official test part, byte for byte: left out" in str(
        summary
    )
    assert (summary.prepared, summary.exit_code) == (9, 0)
    cases = by_id(out)
    assert sorted(name for name, case in cases.items() if case.fold == 0) == [
        "testing_001",
        "testing_002",
        "testing_003",
    ]
    assert not {"training_001", "training_005"} & set(cases)
    assert Cohort.open(out).rejected == summary.left_out
    report = verify(Verify(out, workers=1))
    assert (report.faults, report.notes[:-1]) == (
        (),
        ("2 raw cases were rejected or left out by prepare",),
    )
    assert report.notes[-1].startswith("without looking")


def test_a_copy_that_was_saved_again_joins_the_fold_of_what_is_tested(raw, out):
    """Its bytes are others, and the picture is the same: it is never trained on."""
    lay_out(raw)
    picture = Image.open(raw / TEST_PICTURES / "IDRiD_003.jpg")
    (raw / TRAIN_PICTURES / "IDRiD_001.jpg").unlink()
    picture.save(raw / TRAIN_PICTURES / "IDRiD_001.png")
    summary = prepare(small(raw, out, split="official"))
    assert summary.notes[0].endswith(
        "copies of others, voxel for voxel: testing_003 and training_001"
    )
    assert by_id(out)["training_001"].fold == 0


def test_three_folds_at_the_least(raw, out):
    prepare(small(lay_out(raw), out, split="official", folds=3))
    assert Counter(case.fold for case in by_id(out).values()) == {0: 3, 1: 4, 2: 4}


def test_too_few_beside_the_test_part(raw, out):
    summary = prepare(small(lay_out(raw, train=TRAIN[:1]), out, split="official"))
    assert summary.notes[-1] == (
        "no folds: only 1 patients beside the test part have a label, and a split needs 2: "
        "label more"
    )


def test_no_official_split_without_a_test_part(raw, out):
    lay_out(raw, test=[])
    with pytest.raises(InputError) as error:
        prepare(small(raw, out, split="official"))
    why = "b. Testing Set is not there, and --split official needs both; looked below"
    assert str(error.value) == f"{why} {raw}"
    assert not out.exists()


# ---- what is broken ----------------------------------------------------------------------------


def test_one_part_alone_will_do_and_is_said(raw, out):
    summary = prepare(small(lay_out(raw, test=[]), out))
    assert (summary.prepared, summary.notes[0]) == (8, "b. Testing Set is not there")


def test_cases_that_cost_themselves_alone(raw, out):
    lay_out(raw)
    change(raw / TRAIN_TABLE, "IDRiD_002,1,0", "IDRiD_002,5,0")
    change(raw / TRAIN_TABLE, "IDRiD_003,2,1", "IDRiD_003,,1")
    change(raw / TEST_TABLE, "IDRiD_002,0,0\r\n", "")
    (raw / TRAIN_PICTURES / "IDRiD_004.jpg").unlink()
    (raw / TRAIN_PICTURES / "IDRiD_005.jpg").write_bytes(b"\xff\xd8")
    summary = prepare(small(raw, out))
    said = reasons(summary)
    damaged = said.pop("training_005")
    assert damaged.startswith(f"{raw / TRAIN_PICTURES / 'IDRiD_005.jpg'} is damaged or no picture")
    table = raw / TRAIN_TABLE
    assert said == {
        "training_002": f"{table} gives it the grade '5', where grades are 0 to 4",
        "training_003": f"{table} gives it the grade '', where grades are 0 to 4",
        "training_004": f"{table} has a row for it, but a. Training Set has no picture",
        "testing_002": f"{raw / TEST_PICTURES / 'IDRiD_002.jpg'} has no row in "
        "b. IDRiD_Disease Grading_Testing Labels.csv",
    }
    assert (summary.prepared, summary.exit_code) == (6, 1)


def test_a_risk_that_is_a_grade_of_retinopathy(raw, out):
    lay_out(raw)
    change(raw / TRAIN_TABLE, "IDRiD_002,1,0", "IDRiD_002,1,3")
    summary = prepare(small(raw, out, question="edema"))
    assert reasons(summary) == {
        "training_002": f"{raw / TRAIN_TABLE} gives it the grade '3', where grades are 0 to 2"
    }


def test_unreadable_photographs_do_not_stop_the_search_for_copies(raw, out):
    lay_out(raw)
    (raw / TRAIN_PICTURES / "IDRiD_005.jpg").unlink()
    summary = prepare(small(raw, out, split="official"))
    assert (list(reasons(summary)), summary.left_out) == (["training_005"], ())


@pytest.mark.parametrize("gone", [TRAIN_TABLE, TEST_TABLE])
def test_a_table_is_missing(raw, out, gone):
    lay_out(raw)
    (raw / gone).unlink()
    with pytest.raises(InputError) as error:
        prepare(small(raw, out))
    path = raw / gone
    folder = raw / (TRAIN_PICTURES if gone == TRAIN_TABLE else TEST_PICTURES)
    what = f"no {path.name!r} in {path.parent}, which grades those in {folder}"
    assert str(error.value) == what
    assert not out.exists()


@pytest.mark.parametrize("gone", [TRAIN_PICTURES, TEST_PICTURES])
def test_photographs_are_missing(raw, out, gone):
    lay_out(raw)
    shutil.rmtree(raw / gone)
    with pytest.raises(InputError) as error:
        prepare(small(raw, out))
    assert str(error.value).startswith(f"no folder {raw / gone}, whose photographs ")


def test_a_column_is_missing(raw, out):
    lay_out(raw)
    change(raw / TEST_TABLE, "Risk of macular edema ", "Risk")
    assert prepare(small(raw, out)).prepared == 11  # it is not asked for
    with pytest.raises(InputError, match="has no column Risk of macular edema; its columns: "):
        prepare(small(raw, out.with_name("edema"), question="edema"))


def test_nothing_of_it_is_there(raw, out):
    raw.mkdir()
    with pytest.raises(InputError) as error:
        prepare(small(raw, out))
    table = "a. IDRiD_Disease Grading_Training Labels.csv"
    assert str(error.value) == f"no table of IDRiD's grades below {raw}, such as {table!r}"


def test_it_is_there_twice(raw, out):
    lay_out(raw / "one")
    lay_out(raw / "two")
    with pytest.raises(InputError, match="are both there; give one to --raw"):
        prepare(small(raw, out))


# ---- the real ones -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(real_idrid, tmp_path_factory):
    """What preparing the real photographs says, and the cohort."""
    out = tmp_path_factory.mktemp("idrid")
    summary = prepare(Idrid(raw=real_idrid, out=out, edge=32, workers=1))
    return summary, Cohort.open(out)


def test_the_real_photographs(real):
    summary, cohort = real
    assert (len(cohort), summary.rejected) == (516, ())
    grades = Counter(case.grade for case in cohort.cases)
    assert grades == {0: 168, 1: 25, 2: 168, 3: 93, 4: 62}
    testing = Counter(case.grade for case in cohort.cases if case.id.startswith("testing"))
    assert testing == {0: 34, 1: 5, 2: 32, 3: 19, 4: 13}
    mild = Counter(case.fold for case in cohort.cases if case.grade == 1)
    assert set(mild) == set(range(5))


def test_the_real_copies(real):
    summary, cohort = real
    assert summary.notes == (
        "6 scans are copies of others, voxel for voxel: testing_064 and training_118; "
        "training_021 and training_391; training_028 and training_327; "
        "training_045 and training_333; training_073 and training_375; "
        "training_079 and training_279",
        "copies of one scan with different labels, keep the right one: "
        "testing_064 and training_118; training_021 and training_391; "
        "training_028 and training_327",
    )
    report = verify(Verify(cohort.folder, workers=1))
    assert (report.faults, report.notes[:-1]) == ((), summary.notes)
    assert report.notes[-1].startswith("without looking")


def test_the_real_risks_of_edema(real_idrid, real):
    raw = real_idrid.resolve()
    risks = {
        case.id: case.grade
        for part, table in find_tables(raw).items()
        for case in list_part(part, table, "edema")
    }
    assert Counter(risks.values()) == {0: 222, 1: 51, 2: 243}
    cases = [replace(case, grade=risks[case.id]) for case in real[1].cases]
    assert [[case.id for case in group] for group in contradictions(cases)] == [
        ["training_045", "training_333"]
    ]


def test_the_real_official_split(real_idrid, tmp_path):
    out = tmp_path / "official"
    summary = prepare(Idrid(raw=real_idrid, out=out, edge=32, workers=1, split="official"))
    assert summary.left_out == (
        {
            "case": "training_118",
            "reason": "is testing_064 of the official test part, byte for byte, where its grade is "
            "3 and not 0",
        },
    )
    cohort = Cohort.open(out)
    assert len(cohort) == 515
    assert {case.id[:7] for case in cohort.cases if case.fold == 0} == {"testing"}
    assert Counter(case.fold for case in cohort.cases) == dict.fromkeys(range(5), 103)

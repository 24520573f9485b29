"""The APTOS recipe: tables and pictures that must agree, grades, copies, and Kaggle's download."""

import json
import os
import shutil
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from raw_files import eye

from data_recipes.aptos import COMPETITION, Aptos, prepare
from data_recipes.preparing.photographs import GRADES
from ssl3d_lite.cli.main import main
from ssl3d_lite.data.cohort import UNLABELLED, Cohort
from ssl3d_lite.errors import InputError

EDGE = 16
TRAIN, TEST = "id_code,diagnosis\n", "id_code\n"


def save(path: Path, pixels: np.ndarray, **options) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


def lay_out(raw: Path, grades: list[int], tests: int = 0) -> Path:
    """Graded pictures a00, a01 and so on, and ungraded ones t00, t01 and so on."""
    names = [f"a{number:02}" for number in range(len(grades))]
    for number, name in enumerate(names):
        save(raw / f"train_images/{name}.png", eye(number))
    rows = [f"{name},{grade}\n" for name, grade in zip(names, grades)]
    (raw / "train.csv").write_text(TRAIN + "".join(rows))
    for number in range(tests):
        save(raw / f"test_images/t{number:02}.png", eye(100 + number))
    if tests:
        (raw / "test.csv").write_text(TEST + "".join(f"t{n:02}\n" for n in range(tests)))
    return raw


def add_row(raw: Path, row: str, part: str = "train") -> None:
    with open(raw / f"{part}.csv", "a") as table:
        table.write(f"{row}\n")


def change_row(raw: Path, old: str, new: str) -> None:
    path = raw / "train.csv"
    text = path.read_text()
    assert text.count(f"{old}\n") == 1
    path.write_text(text.replace(f"{old}\n", f"{new}\n"))


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def small(raw: Path | None, out: Path, **settings) -> Aptos:
    return Aptos(**{"raw": raw, "out": out, "workers": 1, "edge": EDGE} | settings)


def touched(out: Path) -> dict[str, tuple[int, int]]:
    """Of each array's file: which it is, and when it was written."""
    stats = {str(path.relative_to(out)): path.stat() for path in out.glob("*/*.npy")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def by_id(out: Path) -> dict:
    return {case.id: case for case in Cohort.open(out).cases}


def reasons(summary) -> dict[str, str]:
    return {each["case"]: each["reason"] for each in summary.rejected}


# ---- what comes out ----------------------------------------------------------------------------


def test_a_graded_cohort(raw, out):
    summary = prepare(small(lay_out(raw, [0, 1, 2, 3, 4, 2], tests=2), out))
    assert (summary.prepared, summary.skipped, summary.unlabelled) == (8, 0, 2)
    assert (summary.rejected, summary.exit_code) == ((), 0)
    cohort = Cohort.open(out)
    assert (cohort.name, cohort.ordinal, cohort.unit) == ("APTOS 2019", True, "px")
    assert cohort.channels == ("red", "green", "blue")
    assert cohort.label_values == (0, 1, 2, 3, 4)
    assert cohort.label_names == GRADES
    assert (cohort.regions, cohort.shape) == ({}, (EDGE, EDGE))
    assert cohort.spacing == (110 / EDGE, 110 / EDGE)
    assert cohort.spatial_dims == 2
    assert (cohort.licence, cohort.citation) == (Aptos.about.licence, Aptos.about.citation)
    assert cohort.recipe == {
        "name": "aptos",
        "edge": EDGE,
        "intensity": "window:0,255",
        "folds": 5,
        "seed": 0,
        "version": 2,
    }
    assert [case.id for case in cohort.cases] == [*(f"a{n:02}" for n in range(6)), "t00", "t01"]
    assert [case.patient for case in cohort.cases] == [case.id for case in cohort.cases]
    assert [case.grade for case in cohort.cases] == [0, 1, 2, 3, 4, 2, None, None]
    assert [case.labelled for case in cohort.cases] == [True] * 6 + [False] * 2
    assert {case.fold for case in cohort.cases[:6]} == {0, 1, 2, 3, 4}
    assert [case.fold for case in cohort.cases[6:]] == [None, None]
    assert sorted(path.name for path in out.glob("[!.]*")) == ["cohort.json", "images"]


def test_the_channels_share_one_file(raw, out):
    prepare(small(lay_out(raw, [0, 1, 2], tests=1), out))
    for case in Cohort.open(out).cases:
        part = "test" if case.id.startswith("t") else "train"
        file = f"{part}_images/{case.id}.png"
        assert case.source.files == {"red": file, "green": file, "blue": file}
        assert set(case.source.sha256) == {"red", "green", "blue"}
        assert len(set(case.source.sha256.values())) == 1
        assert (case.source.shape, case.source.affine) == ((150, 120), np.eye(3).tolist())
        assert (case.shape, case.crop) == ((EDGE, EDGE), [[20, 130], [5, 115]])


def test_images_and_grades_are_given(raw, out):
    grades = [4, 0, 3, 1]
    prepare(small(lay_out(raw, grades, tests=1), out))
    cohort = Cohort.open(out)
    for index, grade in enumerate(grades):
        image, label = cohort[index]
        assert (image.dtype, image.shape) == (np.float16, (3, EDGE, EDGE))
        assert (label.dtype, label.shape, label) == (np.uint8, (), grade)
    assert cohort[4][1] is None
    assert len({cohort[index][0].tobytes() for index in range(5)}) == 5
    labels = cohort.labels([4, 0, 1, 2, 3])
    assert str(labels.dtype) == "torch.uint8"
    assert labels.tolist() == [UNLABELLED, *grades]
    assert cohort.images([0, 4]).shape == (2, 3, EDGE, EDGE)
    assert cohort.to("cpu").labels([4, 2]).tolist() == [UNLABELLED, 3]


@pytest.mark.parametrize("tests", [0, 2])
def test_the_test_part_may_be_left_out(raw, out, tests):
    lay_out(raw, [0, 1, 2], tests)
    assert prepare(small(raw, out)).prepared == 3 + tests


@pytest.mark.parametrize("ending", [".jpg", ".jpeg", ".tif", ".tiff", ".PNG", ".JPG"])
def test_other_endings(raw, out, ending):
    lay_out(raw, [0, 1, 2])
    (raw / "train_images/a01.png").unlink()
    save(raw / f"train_images/a01{ending}", eye(1))
    summary = prepare(small(raw, out))
    assert (summary.prepared, summary.rejected) == (3, ())
    assert by_id(out)["a01"].source.files["red"] == f"train_images/a01{ending}"


def test_what_is_no_picture_is_passed_over(raw, out):
    lay_out(raw, [0, 1, 2])
    for name in ("Thumbs.db", ".DS_Store", "._a01.png", "readme.txt"):
        (raw / "train_images" / name).write_bytes(b"no picture")
    summary = prepare(small(raw, out))
    assert (summary.prepared, summary.rejected) == (3, ())


def test_two_processes_make_the_same(raw, out, tmp_path):
    lay_out(raw, [0, 1, 2, 3], tests=1)
    prepare(small(raw, out))
    prepare(small(raw, tmp_path / "other", workers=2))
    for file in [path.relative_to(out) for path in out.rglob("*") if path.is_file()]:
        assert (out / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


# ---- folds -------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_each_fold_has_its_share_of_each_grade(raw, out, seed):
    numbers = (11, 5, 8, 5, 6)
    grades = [grade for grade, number in enumerate(numbers) for _ in range(number)]
    np.random.default_rng(0).shuffle(grades)
    prepare(small(lay_out(raw, grades), out, seed=seed))
    cases = Cohort.open(out).cases
    assert [case.grade for case in cases] == grades
    dealt = Counter((case.fold, case.grade) for case in cases)
    for grade, number in enumerate(numbers):
        shares = [dealt[fold, grade] for fold in range(5)]
        assert sum(shares) == number
        assert all(abs(share - number / 5) < 1 for share in shares)


def test_a_grade_too_rare_for_every_fold(raw, out):
    summary = prepare(small(lay_out(raw, [0] * 9 + [4]), out))
    assert summary.notes == ("fewer cases than folds have grade 4",)
    sizes = Counter(case.fold for case in Cohort.open(out).cases)
    assert sizes == {0: 2, 1: 2, 2: 2, 3: 2, 4: 2}


def test_every_grade_too_rare_for_every_fold(raw, out):
    summary = prepare(small(lay_out(raw, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]), out))
    assert (summary.prepared, summary.exit_code) == (10, 0)
    sizes = Counter(case.fold for case in Cohort.open(out).cases)
    assert sizes == {0: 2, 1: 2, 2: 2, 3: 2, 4: 2}


def test_copies_share_a_fold(raw, out):
    """Of one file, in both parts, and of one picture that is saved in another way."""
    lay_out(raw, [0, 1] * 8, tests=3)
    shutil.copy(raw / "train_images/a03.png", raw / "train_images/b03.png")
    add_row(raw, "b03,0")
    shutil.copy(raw / "train_images/a06.png", raw / "test_images/t06.png")
    save(raw / "test_images/t07.tif", eye(7))
    add_row(raw, "t06", "test")
    add_row(raw, "t07", "test")
    shutil.copy(raw / "test_images/t00.png", raw / "test_images/t08.png")  # neither has a grade
    add_row(raw, "t08", "test")
    for seed in range(4):
        folder = out / str(seed)
        summary = prepare(small(raw, folder, seed=seed))
        cases = by_id(folder)
        assert summary.notes == (
            "4 scans are copies of others, voxel for voxel: a03 and b03; a06 and t06; a07 and t07; "
            "t00 and t08",
            "copies of one scan with different labels, keep the right one: a03 and b03",
        )
        assert cases["b03"].fold == cases["a03"].fold is not None
        assert cases["t06"].fold == cases["a06"].fold is not None
        assert cases["t07"].fold == cases["a07"].fold is not None
        assert [cases[name].fold for name in ("t00", "t01", "t02", "t08")] == [None] * 4
        assert (cases["b03"].grade, cases["t06"].grade) == (0, None)
        cohort = Cohort.open(folder)
        for fold in range(5):
            split = cohort.split(fold)
            free = {cohort.cases[i].id for i in split.pretrain}
            tried = {cohort.cases[i].id for i in (*split.test, *split.validation)}
            assert not {f"t{name[1:]}" for name in tried & {"a06", "a07"}} & free
            assert {"t00", "t01", "t02", "t08"} <= free


# ---- bad input ---------------------------------------------------------------------------------


def test_bad_cases_are_rejected_with_the_reason_while_the_others_go_on(raw, out):
    lay_out(raw, [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0], tests=2)
    images, table = raw / "train_images", raw.resolve() / "train.csv"
    (images / "a00.png").unlink()
    save(images / "z.png", eye(50))
    for old, new in (
        ("a01,1", "a01,5"),
        ("a02,2", "a02,-1"),
        ("a03,3", "a03,2.0"),
        ("a04,4", "a04,"),
        ("a05,0", "a05,mild"),
        ("a06,1", "a06"),
    ):
        change_row(raw, old, new)
    save(images / "a07.png", np.repeat(eye(7)[..., :1], 3, axis=2))
    cut(images / "a08.png")
    add_row(raw, "../x,0")
    (raw / "test_images/t00.png").unlink()
    save(raw / "test_images/y.png", eye(51))

    summary = prepare(small(raw, out))
    found = reasons(summary)
    damaged = f"{images / 'a08.png'} is damaged or no picture, copy it again: "
    assert found.pop("a08").startswith(damaged)
    graded = "where grades are 0 to 4"
    assert found == {
        "../x": f"{table} has a row for it, but train_images has no picture",
        "a00": f"{table} has a row for it, but train_images has no picture",
        "a01": f"{table} gives it the grade '5', {graded}",
        "a02": f"{table} gives it the grade '-1', {graded}",
        "a03": f"{table} gives it the grade '2.0', {graded}",
        "a04": f"{table} gives it the grade '', {graded}",
        "a05": f"{table} gives it the grade 'mild', {graded}",
        "a06": f"{table} gives it the grade '', {graded}",
        "a07": f"{images / 'a07.png'} is grey, where a colour photograph is wanted",
        "t00": f"{raw / 'test.csv'} has a row for it, but test_images has no picture",
        "y": f"{raw / 'test_images/y.png'} has no row in test.csv",
        "z": f"{images / 'z.png'} has no row in train.csv",
    }
    assert (summary.prepared, summary.exit_code) == (3, 1)
    assert sorted(by_id(out)) == ["a09", "a10", "t01"]
    assert Cohort.open(out).rejected == summary.rejected
    assert sorted(path.name for path in out.glob("*/*")) == ["a09.npy", "a10.npy", "t01.npy"]


def test_one_id_in_both_parts(raw, out):
    lay_out(raw, [0, 1, 2], tests=1)
    save(raw / "test_images/a01.png", eye(60))
    add_row(raw, "a01", "test")
    with pytest.raises(InputError, match=r"the id 'a01': .*train_images.*test_images"):
        prepare(small(raw, out))
    assert not out.exists()


def test_no_case_that_is_fit(raw, out):
    lay_out(raw, [7, 8])
    with pytest.raises(InputError, match=r"none of 2 cases can be prepared; .*the grade '7'"):
        prepare(small(raw, out))


# ---- the tables --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "{} has no column id_code and no diagnosis; its columns: none"),
        (b"id,grade\na00,0\n", "{} has no column id_code and no diagnosis; its columns: id, grade"),
        (b"id_code\na00\n", "{} has no column diagnosis; its columns: id_code"),
        (b"id_code;diagnosis\na00;0\n", "{} has no column id_code and no diagnosis; its columns: "),
        (b"id_code,diagnosis\na00,0\na00,0\n", "{} has a second row for 'a00' in line 3; mend the"),
        (b"id_code,diagnosis\na00,0\n a00 ,1\n", "{} has a second row for 'a00' in line 3; mend"),
        (b"id_code,diagnosis\na00,0\n,1\n", "{} has no id_code in line 3; mend the table"),
        (b"id_code,diagnosis\na00,0\n  ,1\n", "{} has no id_code in line 3; mend the table"),
        ("id_code,diagnosis\né,0\n".encode("latin-1"), "{} cannot be read as a table: "),
        (TRAIN.encode("utf-16"), "{} cannot be read as a table: "),
    ],
)
def test_a_table_that_cannot_be_trusted(raw, out, content, message):
    lay_out(raw, [0, 1, 2])
    (raw / "train.csv").write_bytes(content)
    with pytest.raises(InputError) as error:
        prepare(small(raw, out))
    assert str(error.value).startswith(message.format(raw / "train.csv"))
    assert "\n" not in str(error.value)
    assert not out.exists()


def test_the_line_that_is_named_is_the_files(raw, out):
    lay_out(raw, [0, 1, 2])
    (raw / "train.csv").write_bytes(b"id_code,diagnosis\na00,0\n\na00,1\n")
    with pytest.raises(InputError, match="a second row for 'a00' in line 4; mend the table"):
        prepare(small(raw, out))


@pytest.mark.parametrize("part", ["train", "test"])
def test_no_table(raw, out, part):
    lay_out(raw, [0, 1, 2], tests=1)
    (raw / f"{part}.csv").unlink()
    with pytest.raises(InputError) as error:
        prepare(small(raw, out))
    assert str(error.value) == f"no {part}.csv in {raw}"
    assert not out.exists()


def test_no_folder(raw, out):
    with pytest.raises(InputError, match=f"no train.csv in {raw}"):
        prepare(small(raw, out))


def test_a_table_that_is_a_folder(raw, out):
    lay_out(raw, [0, 1, 2])
    (raw / "train.csv").unlink()
    (raw / "train.csv").mkdir()
    with pytest.raises(InputError, match=r"train\.csv cannot be read as a table"):
        prepare(small(raw, out))


@pytest.mark.parametrize(
    "text",
    [
        "\ufeffid_code,diagnosis\na00,0\na01,1\na02,2\n",
        "id_code, diagnosis\na00, 0\n a01 , 1 \na02 ,2\n",
        "id_code ,diagnosis \na00,0\na01,1\na02,2\n",
        '"id_code","diagnosis"\n"a00","0"\n"a01","1"\n"a02","2"\n',
        "note,diagnosis,more,id_code\n,0,,a00\nx,1,y,a01\nx,2,y,a02\n",
        "id_code,diagnosis\r\na00,0\r\na01,1\r\n\r\na02,2\r\n\r\n",
        "id_code,diagnosis\na02,2\na00,0\na01,1",
    ],
    ids=["BOM", "spaces", "spaces in the header", "quotes", "more columns", "CRLF", "order"],
)
def test_a_table_as_other_programs_write_it(raw, out, text):
    lay_out(raw, [4, 4, 4])
    (raw / "train.csv").write_bytes(text.encode())
    summary = prepare(small(raw, out))
    assert summary.rejected == ()
    assert {name: case.grade for name, case in by_id(out).items()} == {"a00": 0, "a01": 1, "a02": 2}


# ---- once more ---------------------------------------------------------------------------------


def test_a_second_run_does_nothing(raw, out):
    lay_out(raw, [0, 1, 2, 3, 4], tests=2)
    (raw / "train_images/a01.png").unlink()
    first = prepare(small(raw, out))
    arrays, manifest = touched(out), (out / "cohort.json").read_bytes()
    assert len(arrays) == 6
    summary = prepare(small(raw, out))
    assert (summary.prepared, summary.skipped, summary.unlabelled) == (0, 6, 2)
    assert summary.rejected == first.rejected
    assert touched(out) == arrays
    assert (out / "cohort.json").read_bytes() == manifest


def test_a_changed_grade_is_noticed(raw, out):
    lay_out(raw, [0, 1, 2, 3, 4])
    prepare(small(raw, out))
    change_row(raw, "a03,3", "a03,1")
    summary = prepare(small(raw, out))
    assert (summary.prepared, summary.skipped) == (1, 4)
    assert [case.grade for case in Cohort.open(out).cases] == [0, 1, 2, 1, 4]


def test_a_grade_that_is_no_longer_one_is_rejected(raw, out):
    lay_out(raw, [0, 1, 2, 3, 4])
    prepare(small(raw, out))
    change_row(raw, "a03,3", "a03,9")
    summary = prepare(small(raw, out))
    assert list(reasons(summary)) == ["a03"]
    assert sorted(by_id(out)) == ["a00", "a01", "a02", "a04"]


def test_another_picture_of_the_same_size_and_time_stamp_is_noticed(raw, out):
    lay_out(raw, [0, 1, 2, 3])
    path = raw / "train_images/a02.png"
    save(path, eye(2), compress_level=0)
    prepare(small(raw, out))
    before, time = Cohort.open(out)[2][0].tobytes(), path.stat()
    save(path, eye(40), compress_level=0)
    os.utime(path, ns=(time.st_atime_ns, time.st_mtime_ns))
    assert path.stat().st_size == time.st_size
    summary = prepare(small(raw, out))
    assert (summary.prepared, summary.skipped) == (1, 3)
    assert Cohort.open(out)[2][0].tobytes() != before


def test_a_repaired_picture_is_taken_in(raw, out, tmp_path):
    lay_out(raw, [0, 1, 2, 3])
    cut(raw / "train_images/a02.png")
    assert list(reasons(prepare(small(raw, out)))) == ["a02"]
    save(raw / "train_images/a02.png", eye(2))
    summary = prepare(small(raw, out))
    assert (summary.prepared, summary.skipped, summary.rejected) == (1, 3, ())
    prepare(small(raw, tmp_path / "whole"))
    assert (out / "cohort.json").read_bytes() == (tmp_path / "whole/cohort.json").read_bytes()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"edge": 20}, "was prepared with edge = 16, not 20"),
        ({"intensity": "zscore"}, "was prepared with intensity = window:0,255, not zscore"),
    ],
)
def test_other_settings_are_refused(raw, out, other, message):
    lay_out(raw, [0, 1, 2])
    prepare(small(raw, out))
    before = touched(out)
    with pytest.raises(InputError, match=message):
        prepare(small(raw, out, **other))
    assert touched(out) == before


# ---- Kaggle ------------------------------------------------------------------------------------


def test_without_raw_kaggle_is_asked(raw, out, monkeypatch):
    asked = []

    def download(name):
        asked.append(name)
        return str(lay_out(raw, [0, 1, 2]))

    monkeypatch.setattr("kagglehub.competition_download", download)
    assert prepare(small(None, out)).prepared == 3
    assert asked == [COMPETITION] == ["aptos2019-blindness-detection"]
    assert by_id(out)["a00"].source.files["red"] == "train_images/a00.png"


def test_with_raw_kaggle_is_not_asked(raw, out, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    assert prepare(small(lay_out(raw, [0, 1, 2]), out)).prepared == 3


@pytest.mark.parametrize("kind", [RuntimeError, KeyError, ValueError, OSError])
def test_kaggle_refuses(out, monkeypatch, kind):
    def download(name):
        raise kind("403 Forbidden.\n  You must accept\n\nthe rules. " + "x" * 1000)

    monkeypatch.setattr("kagglehub.competition_download", download)
    with pytest.raises(InputError) as error:
        prepare(small(None, out))
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 600
    assert COMPETITION in text
    assert "give a folder to --raw" in text
    assert "403 Forbidden." in text
    assert not out.exists()


def test_without_kagglehub(out, monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(InputError) as error:
        prepare(small(None, out))
    assert str(error.value) == (
        "without --raw the data are downloaded, for which kagglehub is needed: "
        "pip install -e .[data]"
    )
    assert not out.exists()


def test_nonsense_settings_are_refused_before_the_download(out, monkeypatch):
    asked = []
    monkeypatch.setattr("kagglehub.competition_download", asked.append)
    with pytest.raises(InputError, match="edge is 4, but must be 8 or more"):
        prepare(small(None, out, edge=4))
    with pytest.raises(InputError, match="unknown intensity 'zscor'"):
        prepare(small(None, out, intensity="zscor"))
    assert asked == []


# ---- the command line --------------------------------------------------------------------------


def command(raw: Path | None, out: Path, *more: str) -> int:
    given = [] if raw is None else ["--raw", str(raw)]
    return main(["prepare", "aptos", "--out", str(out), "--workers", "1", *given, *more])


def test_the_command_line(raw, out, capsys):
    lay_out(raw, [0, 1, 2, 3], tests=1)
    assert command(raw, out, "--edge", "24", "--intensity", "zscore", "--seed", "3") == 0
    assert capsys.readouterr().out.endswith(
        f"{out}: 5 prepared, 0 there already, 1 unlabelled, 0 rejected\n"
    )
    recipe = json.loads((out / "cohort.json").read_text())["recipe"]
    assert recipe == {
        "name": "aptos",
        "edge": 24,
        "intensity": "zscore",
        "folds": 5,
        "seed": 3,
        "version": 2,
    }
    assert Cohort.open(out).shape == (24, 24)


def test_the_command_line_with_a_faulty_case(raw, out, capsys):
    lay_out(raw, [0, 1, 2, 7])
    assert command(raw, out) == 1
    said = capsys.readouterr().out
    assert f"a03 rejected: {raw / 'train.csv'} gives it the grade '7', where grades are" in said
    assert said.endswith(": 3 prepared, 0 there already, 0 unlabelled, 1 rejected\n")
    assert Cohort.open(out).shape == (224, 224)


def test_the_command_line_stops(raw, out, capsys, monkeypatch):
    lay_out(raw, [0, 1, 2])
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    for arguments, message in (
        ((raw / "nowhere", out), f"ssl3d: no train.csv in {raw / 'nowhere'}\n"),
        ((raw, out, "--edge", "4"), "ssl3d: edge is 4, but must be 8 or more\n"),
        ((raw, out, "--folds", "2"), "ssl3d: folds is 2, but must be 3 or more\n"),
        ((None, out), "ssl3d: without --raw the data are downloaded, for which "),
    ):
        assert command(*arguments) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert said.err.startswith(message)
        assert said.err.count("\n") == 1
    assert not out.exists()


# ---- whose they are -----------------------------------------------------------------------------


def test_both_eyes_of_a_patient_stay_together_by_a_table(raw, out, tmp_path):
    lay_out(raw, [0, 1] * 5)
    table = tmp_path / "patients.csv"
    rows = [f"a{i:02}{'.png' if i % 2 else ''},who{i // 2}" for i in range(10)]
    table.write_text("\n".join(["image,patient", *rows]) + "\n")
    prepare(small(raw, out, table=table))
    cases = by_id(out)
    for i in range(0, 10, 2):
        left, right = cases[f"a{i:02}"], cases[f"a{i + 1:02}"]
        assert left.patient == right.patient == f"who{i // 2}"
        assert left.fold == right.fold

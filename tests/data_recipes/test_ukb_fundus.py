"""The recipe for UK Biobank's photographs of the retina: names, patients, and damaged files."""

from pathlib import Path

import pytest
from PIL import Image
from raw_files import eye

from data_recipes.ukb_fundus import UkbFundus, find_photographs, prepare
from ssl3d_lite.cli.main import main
from ssl3d_lite.data.cohort import UNLABELLED, Cohort
from ssl3d_lite.errors import InputError

NAMES = (
    "1000001_21015_0_0.png",
    "1000001_21016_0_0.png",
    "1000001_21016_1_0.png",
    "more/deep/1000002_21015_0_1.png",
)
IDS = ["1000001_left_0_0", "1000001_right_0_0", "1000001_right_1_0", "1000002_left_0_1"]


def lay_out(raw: Path, names: tuple[str, ...] = NAMES) -> Path:
    for number, name in enumerate(names):
        (raw / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(eye(number)).save(raw / name)
    return raw


def small(raw: Path, out: Path) -> UkbFundus:
    return UkbFundus(raw=raw, out=out, edge=16, workers=1)


def touched(out: Path) -> dict[str, tuple[int, int]]:
    """Of each array's file: which it is, and when it was written."""
    stats = {str(path.relative_to(out)): path.stat() for path in out.glob("*/*.npy")}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}


def test_photographs_become_a_cohort_without_grades(raw, out):
    summary = prepare(small(lay_out(raw), out))
    assert (summary.prepared, summary.unlabelled, summary.rejected) == (4, 4, ())
    assert summary.exit_code == 0
    cohort = Cohort.open(out)
    assert (cohort.name, cohort.ordinal, cohort.unit) == (
        "UK Biobank fundus photographs",
        True,
        "px",
    )
    assert (cohort.channels, cohort.shape) == (("red", "green", "blue"), (16, 16))
    assert cohort.label_values == (0, 1, 2, 3, 4)
    assert cohort.recipe["name"] == "ukb-fundus"
    assert [case.id for case in cohort.cases] == IDS
    assert [case.patient for case in cohort.cases] == ["1000001"] * 3 + ["1000002"]
    assert not any(case.labelled for case in cohort.cases)
    assert {(case.fold, case.grade) for case in cohort.cases} == {(None, None)}
    assert [case.source.files["green"] for case in cohort.cases] == list(NAMES)
    assert [cohort[index][1] for index in range(4)] == [None] * 4
    assert cohort.labels(range(4)).tolist() == [UNLABELLED] * 4
    assert len({cohort[index][0].tobytes() for index in range(4)}) == 4


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("1000001_21015_0_0.png", "1000001_left_0_0"),
        ("1000001_21016_0_0.png", "1000001_right_0_0"),
        ("1234567_21016_1_2.PNG", "1234567_right_1_2"),
        ("42_21015_3_0.jpg", "42_left_3_0"),
        ("42_21015_3_0.JPEG", "42_left_3_0"),
    ],
)
def test_names(raw, name, case):
    (found,) = find_photographs(lay_out(raw, (name,)))
    assert (found.id, found.patient) == (case, case.split("_")[0])
    assert found.images == dict.fromkeys(("red", "green", "blue"), raw / name)
    assert (found.label, found.grade, found.fault) == (None, None, "")


OTHERS = (
    "1000001_21017_0_0.png",  # another field
    "1000001_21015_0.png",
    "1000001_21015_0_0.zip",
    "1000001_21015_0_0.png.part",
    "a1000001_21015_0_0.png",
    "._1000001_21015_0_0.png",
    "eye.png",
)


def test_other_files_are_passed_over(raw, out):
    lay_out(raw)
    for name in OTHERS:
        (raw / name).write_bytes(b"no picture")
    assert [case.id for case in find_photographs(raw)] == IDS
    summary = prepare(small(raw, out))
    assert (summary.prepared, summary.rejected) == (4, ())


@pytest.mark.parametrize("names", [(), OTHERS])
def test_none_there(raw, out, names):
    raw.mkdir()
    for name in names:
        (raw / name).write_bytes(b"no picture")
    with pytest.raises(InputError) as error:
        prepare(small(raw, out))
    example = "such as 1000001_21015_0_0.png"
    assert str(error.value) == f"no UK Biobank photographs below {raw}, {example}"
    assert not out.exists()


def test_a_photograph_there_twice(raw, out):
    lay_out(raw, ("1000001_21015_0_0.png", "again/1000001_21015_0_0.png"))
    with pytest.raises(InputError, match="2 cases have the id '1000001_left_0_0'"):
        prepare(small(raw, out))
    assert not out.exists()


def test_a_second_run_does_nothing(raw, out):
    prepare(small(lay_out(raw), out))
    arrays, manifest = touched(out), (out / "cohort.json").read_bytes()
    assert len(arrays) == 4
    summary = prepare(small(raw, out))
    assert (summary.prepared, summary.skipped) == (0, 4)
    assert touched(out) == arrays
    assert (out / "cohort.json").read_bytes() == manifest


def test_a_damaged_photograph_is_rejected_and_taken_in_when_repaired(raw, out):
    path = lay_out(raw) / NAMES[1]
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    summary = prepare(small(raw, out))
    (rejected,) = summary.rejected
    assert rejected["case"] == IDS[1]
    assert rejected["reason"].startswith(f"{path} is damaged or no picture, copy it again: ")
    assert (summary.prepared, summary.exit_code) == (3, 1)
    assert [case.id for case in Cohort.open(out).cases] == [IDS[0], *IDS[2:]]
    path.write_bytes(whole)
    summary = prepare(small(raw, out))
    assert (summary.prepared, summary.skipped, summary.rejected) == (1, 3, ())


def test_the_command_line(raw, out, capsys):
    arguments = ["prepare", "ukb-fundus", "--raw", str(raw), "--out", str(out), "--workers", "1"]
    raw.mkdir()
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("ssl3d: no UK Biobank photographs below ")
    lay_out(raw)
    assert main(arguments) == 0
    assert "4 prepared, 0 there already, 4 unlabelled, 0 rejected" in capsys.readouterr().out
    (raw / NAMES[0]).write_bytes(b"")
    assert main(arguments) == 1
    said = capsys.readouterr().out
    assert f"{IDS[0]} rejected: {raw / NAMES[0]} is damaged or no picture" in said

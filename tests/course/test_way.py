"""The lecturer's whole way, as the page for lecturers tells it: from build to marks in a CSV that
Moodle imports. The commands are read from the page."""

import re
import shlex
import zipfile
from pathlib import Path

import nbformat
import pytest

from ssl3d_lite.cli.main import main
from ssl3d_lite.course import build, jail
from ssl3d_lite.course.sources import grade_id_of
from ssl3d_lite.course.spreadsheets import read_sheet

PAGE = Path(build.__file__).parent / "pages/lecturers.md"
LIST = (
    "First name;Last name;ID number;Email address\nAnna;Müller;7;a@x\nBen;Lee;8;b@x\nZoe;Z;9;z@x\n"
)
RIGHT = {
    "a1-1-solution": "def twice(x):\n    return 2 * x",
    "a1-2-solution": "def total(x):\n    return float(x.sum())",
    "a1-3-answer": "Because it is linear.",
}


def commands():
    """The block of commands below the page's first heading of that name."""
    section = PAGE.read_text(encoding="utf-8").partition("## The whole way")[2]
    return [
        shlex.split(line.strip(), comments=True)
        for line in re.findall(r"(?m)^    (ssl3d .*)$", section)[:3]
    ]


def answered(path, answers):
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.source = answers.get(grade_id_of(cell), cell.source)
    return nbformat.writes(notebook)


@pytest.mark.slow
@pytest.mark.skipif(bool(jail.missing_confinement()), reason=jail.missing_confinement() or "-")
def test_the_whole_way(tmp_path, sources, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    made, collected, graded = commands()
    assert [words[1:3] for words in (made, collected, graded)] == [
        *(["course", "build"], ["course", "collect"], ["course", "grade"])
    ]
    assert main([*made[1:], "--sources", str(sources), "--cases", "5"]) == 0

    Path("list.csv").write_bytes(LIST.encode("cp1252"))
    ours = tmp_path / "OUT/student/A1.ipynb"
    with zipfile.ZipFile("A1.zip", "w") as opened:
        right = answered(ours, RIGHT)
        opened.writestr("Anna Müller_101_assignsubmission_file_/A1.ipynb", right)
        wrong = answered(ours, RIGHT | {"a1-2-solution": "def total(x):\n    return 15.0"})
        opened.writestr("Ben Lee_102_assignsubmission_file_/A1 (1).ipynb", wrong)
    assert main(collected[1:]) == 0
    assert main(graded[1:]) == 0
    points = {row["ID number"]: row for row in read_sheet(Path("grades/moodle.csv")).rows}
    assert [points[number]["A1"] for number in "789"] == ["", "", ""]  # open questions wait

    texts = Path("grades/by_hand.md").read_text(encoding="utf-8")
    assert texts.count("> Because it is linear.") == 2
    marks = Path("grades/by_hand.csv")
    text = marks.read_text(encoding="utf-8").replace("\n", ";ja\n").replace(",", ";")
    text = text.replace("points;ja", "points;comment").replace("3;;ja", "3;22,5;ja")
    marks.write_bytes(text.encode("cp1252"))  # as Excel saves it in Germany
    capsys.readouterr()
    assert main(graded[1:]) == 0
    assert "2 had been graded before" in capsys.readouterr().out
    points = {row["ID number"]: row for row in read_sheet(Path("grades/moodle.csv")).rows}
    assert [points[number]["A1"] for number in "789"] == ["92.5", "62.5", ""]
    assert [points[number]["Course"] for number in "789"] == ["92.5", "62.5", "0"]
    assert marks.read_bytes() == text.encode("cp1252")
    assert "a hidden test failed" in Path("grades/feedback/Ben Lee/A1.html").read_text()
    assert "2 submissions; points 62.5 to 92.5" in Path("grades/class.html").read_text()

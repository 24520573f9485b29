"""Submissions of every kind, graded in one run: each gets its due, and none sinks others."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from ssl3d_lite.course import jail
from ssl3d_lite.course.grade import GradeSettings, grade_submissions
from ssl3d_lite.course.marks import read_marks
from ssl3d_lite.course.records import GradeRecord, record_place, store_record
from ssl3d_lite.course.scoring import no_points
from ssl3d_lite.course.sources import grade_id_of, released
from ssl3d_lite.course.tally import with_earlier
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import read_csv

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.skipif(
    bool(jail.missing_confinement()), reason=jail.missing_confinement() or "-"
)

RIGHT = "def twice(x):\n    return x * 2\n"
FLOOD = RIGHT + "kept = []\nwhile True:\n    kept.append(bytearray(b'x' * 10**7))"
HELPERS = """
def secret_values(x):  # as a name in the hidden test
    return x


def same(x):
    return x


!pip install nothing
%pip install nothing


def twice(x):
    return same(secret_values(x)) * 2


exit()
"""
FAKES = """
import sys
from IPython.core.interactiveshell import InteractiveShell
from ipykernel.ipkernel import IPythonKernel

InteractiveShell.run_cell = IPythonKernel.do_execute = print
for name, module in list(sys.modules.items()):
    if name.startswith("ssl3d_lite.course"):
        for each in [each for each in vars(module) if each[0] != "_" and each != "Endpoint"]:
            setattr(module, each, lambda *args, **kwargs: None)


def twice(x):
    return x
"""
FRAMES = """
import sys


class Always:
    def __eq__(self, other):
        return True

    def __getattr__(self, name):
        return lambda *args, **kwargs: self


def twice(x):
    global torch, same
    torch.equal = torch.Tensor.__eq__ = lambda *args: True
    same = lambda *args: None
    frame = sys._getframe()
    while frame:
        if "wanted" in frame.f_locals:
            return frame.f_locals["wanted"]
        frame = frame.f_back
    return Always()
"""
ANSWERS = {
    "solved": {},
    "exits": {"a1-1-solution": "import os\nos._exit(0)"},
    "floods": {"a1-1-solution": FLOOD},
    "loops": {"a1-2-solution": "def total(x):\n    while True:\n        pass"},
    "forks": {"a1-1-solution": RIGHT + "import os\nos.fork()"},
    "writes": {"a1-2-solution": "def total(x):\n    open('{outside}', 'w')\n    return 15.0"},
    "patches": {
        "a1-1-solution": "def twice(x):\n    return x\ntorch.equal = lambda *_: True\n"
        "def same(*_):\n    pass\nvalues.zero_()\nget_ipython().showtraceback = print",
        "a1-2-solution": "def total(x):\n    return float(x.sum())",
    },
    "mutes": {"a1-1-solution": RIGHT + "get_ipython().run_cell = None"},
    "fakes": {"a1-1-solution": FAKES},
    "frames": {"a1-1-solution": FRAMES, "a1-2-solution": "def total(x):\n    return total(x)"},
    "helpers": {"a1-1-solution": HELPERS},
    "visible": {"a1-2-solution": "def total(x):\n    return 15.0"},
}
EXPECTED = {  # part 1 and part 2
    **{"solved": (40, 30), "untouched": (0, 0), "exits": (0, 30), "floods": (0, 30)},
    **{"loops": (40, 0), "forks": (40, 30), "writes": (40, 0), "patches": (0, 30)},
    **{"visible": (40, 0), "edited": (0, 30), "stripped": (40, 30), "nbgraders": (40, 30)},
    **{
        "mutes": (40, 30),
        "fakes": (0, 30),
        "frames": (0, 0),
        "helpers": (40, 30),
        "odd": (40, 30),
        "no_json": (0, 0),
        "link": (0, 0),
        "huge": (0, 0),
        "misnamed": (0, 0),
        "copy": (40, 30),
        "no_cells": (0, 0),
    },
}


def edit_tests(notebook):
    """Part 1's answer is wrong and its test made to pass; part 2's test is deleted."""
    for cell in list(notebook.cells):
        if grade_id_of(cell) == "a1-1-solution":
            cell.source = "def twice(x):\n    return x"
        if grade_id_of(cell) == "a1-1-tests":
            cell.source = "assert True"
            cell.metadata.nbgrader["points"] = 1000
        if grade_id_of(cell) == "a1-2-tests":
            notebook.cells.remove(cell)


def strip(notebook):
    """As tools leave notebooks that know nothing of metadata and ids; with a helper in a cell."""
    for number, cell in enumerate(notebook.cells):
        cell.metadata, cell.id = nbformat.NotebookNode(), f"new-{number}"
        if cell.source.startswith("def twice"):
            cell.source = "def twice(x):\n    return helper(x)"
    helper = nbformat.v4.new_code_cell("def helper(x):\n    return x + x")
    notebook.cells.insert(2, helper)
    notebook.cells[1].metadata["nbgrader"] = "broken"


@pytest.fixture(scope="module")
def submissions(tmp_path_factory, tiny):
    """A folder of students of every kind."""
    from ssl3d_lite.course.sources import solved

    folder = tmp_path_factory.mktemp("handed-in") / "submissions"
    outside = folder.parent / "outside"

    def write(student, notebook, inner=""):
        place = folder / student / inner
        place.mkdir(parents=True, exist_ok=True)
        nbformat.write(notebook, place / "A1.ipynb")

    for student, answers in ANSWERS.items():
        answers = {name: code.replace("{outside}", str(outside)) for name, code in answers.items()}
        write(student, solved(tiny.notebook, answers))
    write("untouched", released(tiny.notebook))
    for student, change in (("edited", edit_tests), ("stripped", strip)):
        notebook = solved(tiny.notebook)
        change(notebook)
        write(student, notebook)
    write("nbgraders", solved(tiny.notebook), "A1")
    for student in ("no_json", "link", "huge", "misnamed", "no_cells"):
        (folder / student).mkdir()
    (folder / "no_json/A1.ipynb").write_text('{"cells": [')
    (folder / "no_cells/A1.ipynb").write_text('{"cells": {}}')
    (folder / "link/A1.ipynb").symlink_to(folder / "solved/A1.ipynb")
    with open(folder / "huge/A1.ipynb", "wb") as file:
        file.truncate(2**31)
    nbformat.write(solved(tiny.notebook), folder / "misnamed/homework.ipynb")
    (folder / "copy").mkdir()
    nbformat.write(solved(tiny.notebook), folder / "copy/a1 (1).ipynb")
    odd = solved(tiny.notebook)
    for cell in odd.cells:
        cell.source = cell.source.replace("\n", "\r\n")
    odd.cells[2].outputs = [nbformat.v4.new_output("stream", text="step\n" * 10**7)]
    odd.cells.insert(4, nbformat.v4.new_code_cell("raise SystemExit"))
    write("odd", odd)
    return folder


@pytest.fixture(scope="module")
def settings(submissions, lecturer):
    out = submissions.parent / "grades"
    return GradeSettings(submissions, course=lecturer, out=out, seconds=40, memory_gb=1)


@pytest.fixture(scope="module")
def graded(settings):
    """All graded once."""
    import contextlib
    import io

    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        records = {record.student: record for record in grade_submissions(settings)}
    return records, said.getvalue()


def test_every_submission_gets_its_points_and_none_sinks_another(graded):
    records, _ = graded
    found = {name: (r.points["a1-1"], r.points["a1-2"]) for name, r in records.items()}
    assert found == EXPECTED


def test_open_questions_are_left_to_a_person(graded):
    records, _ = graded
    assert records["solved"].points["a1-3"] is None
    assert (records["solved"].total, records["solved"].max) == (70, 100)
    assert "addition is linear" in records["solved"].answers["a1-3-answer"]


@pytest.mark.parametrize(
    ("student", "status"),
    [
        ("solved", "graded"),
        ("untouched", "graded"),
        ("patches", "graded"),
        ("exits", "stopped: part 1: it ended Python"),
        ("floods", "stopped: part 1: more than 1 GB of memory"),
        ("loops", "stopped: part 2: a cell ran for more than 10 seconds"),
        ("mutes", "graded"),
        ("fakes", "stopped: part 1: it ended Python"),  # what it patched, it needed itself
        ("frames", "graded"),
        ("odd", "graded"),
        ("copy", "graded"),
        ("forks", "stopped: part 1: it reached for what it may not (PermissionError"),
        ("writes", "stopped: part 2: it reached for what it may not (PermissionError"),
        ("no_json", "unreadable: not a notebook: Expecting"),
        ("no_cells", "unreadable: not a notebook: it has no cells"),
        ("link", "unreadable: a link, not a file"),
        ("huge", "unreadable: 2147 MB is too large (most: 200 MB)"),
        ("misnamed", "missing: homework.ipynb was not graded, as it is not called A1.ipynb"),
    ],
)
def test_the_status_says_what_happened(graded, student, status):
    assert graded[0][student].status.startswith(status)


def test_nothing_was_written_outside(graded, submissions):
    assert sorted(path.name for path in submissions.parent.iterdir()) == ["grades", "submissions"]


def test_students_are_told_what_is_wrong(graded):
    records, _ = graded
    said = records["visible"].messages["a1-2"]
    assert said == "a hidden test failed: a volume's voxels should all be counted"
    assert records["edited"].messages["a1-1"] == (
        "twice (1, 2) should be [2.0, 4.0], but is [1.0, 2.0]"
    )
    assert records["untouched"].messages["a1-1"] == "there is no answer yet"
    assert records["loops"].messages["a1-2"] == "a cell ran for more than 10 seconds"
    assert records["solved"].messages == {"a1-1": "", "a1-2": ""}


def test_tests_are_restored_and_that_is_said(graded):
    records, _ = graded
    assert records["edited"].notes == [
        "test cell 1 had been changed: ours was run",
        "test cell 2 was missing: ours was run",
    ]
    assert records["solved"].notes == []


def test_code_that_reaches_for_the_grader_is_flagged(graded):
    records, _ = graded
    assert "torch.equal = …" in records["patches"].flags
    assert {"setattr", "ipykernel"} <= set(records["fakes"].flags)
    assert {"_getframe", "torch.equal = …"} <= set(records["frames"].flags)
    assert "_exit" in records["exits"].flags
    assert records["solved"].flags == records["odd"].flags == records["helpers"].flags == []


def test_what_is_not_about_the_answer_is_said_and_costs_nothing(graded, settings):
    records, _ = graded
    left_out = "not run, as nothing else can be started here: "
    assert [note.removeprefix(left_out)[-11:] for note in records["helpers"].notes] == [
        "all nothing",
        "all nothing",
    ]
    assert records["odd"].notes == []
    (note,) = records["copy"].notes
    assert note == "the file 'a1 (1).ipynb' was taken for A1.ipynb, which it should be called"
    for student in ("copy", "misnamed"):
        page = (settings.out / f"feedback/{student}/A1.html").read_text()
        assert "called" in page


def test_endless_recursion_is_called_by_its_name(graded):
    said = graded[0]["frames"].messages["a1-2"]
    assert said.startswith("your code calls itself without end (RecursionError")


def test_the_table(graded, settings):
    lines = (settings.out / "grades.csv").read_text().splitlines()
    rows = {row["student"]: row for row in csv.DictReader(lines)}
    assert list(rows) == sorted(EXPECTED)
    row = rows["loops"]
    assert (row["assignment"], row["part 1"], row["part 2"], row["part 3"]) == ("A1", "40", "0", "")
    assert (row["total"], row["max"]) == ("40", "100")
    assert float(row["seconds"]) > 5


def test_no_page_shows_a_hidden_test_or_what_a_student_printed(graded, settings):
    pages = sorted((settings.out / "feedback").rglob("*.html"))
    assert {page.parent.name for page in pages} == set(EXPECTED)
    for page in pages:
        text = page.read_text()
        assert "hidden_volume" not in text
        assert "secret_values" not in text
        assert "<script" not in text
    assert "a hidden test failed" in (settings.out / "feedback/visible/A1.html").read_text()


def test_the_summary_names_what_needs_a_person(graded):
    _, said = graded
    assert "misnamed: homework.ipynb is left out; assignments are called A1.ipynb" in said
    assert "A1: 23 students, " in said
    assert "to be read by a person" in said


def test_the_same_command_keeps_what_is_graded(graded, settings, capsys):
    before = (settings.out / "grades.csv").read_bytes()
    begin = time.monotonic()
    grade_submissions(settings)
    assert time.monotonic() - begin < 10
    assert "18 had been graded before" in capsys.readouterr().out
    assert (settings.out / "grades.csv").read_bytes() == before


def test_only_what_is_lost_or_changed_is_graded_anew(graded, settings, monkeypatch):
    from ssl3d_lite.course import grade as module

    marked = []

    def run_and_score(student, assignment, *_):
        marked.append(student)
        return module.no_points(student, assignment, "graded")

    monkeypatch.setattr(module, "run_and_score", run_and_score)
    records = settings.out / "records"
    kept = {n: (records / n / "A1.json").read_bytes() for n in ("visible", "solved", "stripped")}
    (records / "visible/A1.json").unlink()
    (records / "solved/A1.json").write_text('{"key": ')
    changed = json.loads(kept["stripped"])
    (records / "stripped/A1.json").write_text(json.dumps({**changed, "key": "another"}))
    grade_submissions(settings)
    assert marked == ["solved", "stripped", "visible"]
    for name, data in kept.items():
        (records / name / "A1.json").write_bytes(data)


def test_a_folder_of_somebody_elses_is_refused_as_it_is(tmp_path, hand_in, lecturer):
    hand_in(tmp_path / "in", "ann")
    (tmp_path / "out").mkdir()
    for name in ("grades.csv", ".a.part"):
        (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(InputError, match=r"out holds \.a\.part, grades\.csv, which"):
        grade_submissions(GradeSettings(tmp_path / "in", course=lecturer, out=tmp_path / "out"))
    assert {p.name: p.read_text() for p in (tmp_path / "out").iterdir()} == {
        "grades.csv": "mine",
        ".a.part": "mine",
    }


# ---- stopped from outside ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGKILL, -9)]
)
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_stopped_grader_leaves_no_kernel_and_no_false_grade(
    tmp_path, hand_in, lecturer, how, code, jobs
):
    for student in ("loops", "turns")[:jobs]:
        hand_in(tmp_path / "in", student, {"a1-1-solution": "while True:\n    pass"})
    out = tmp_path / "out"
    command = [sys.executable, "-m", "ssl3d_lite.cli", "course", "grade", str(tmp_path / "in")]
    command += ["--course", str(lecturer), "--out", str(out), "--seconds", "400"]
    places = Path(tempfile.mkdtemp(prefix="t-"))
    command += ["--jobs", str(jobs)]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(places)}
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    children = wait_for(lambda: busy(psutil.Process(process.pid)))
    assert list(places.iterdir())
    process.send_signal(how)
    assert process.wait(60) == code
    assert not psutil.wait_procs(children, timeout=20)[1]
    assert not list(out.glob("records/**/*.json"))
    assert not (out / "grades.csv").exists()
    if how != signal.SIGKILL:  # of which no process can hear
        assert list(places.iterdir()) == []
    shutil.rmtree(places)


def busy(process):
    """All that it started, once the student's process has worked for longer than starts take."""
    children = process.children(recursive=True)
    return children if any(each.cpu_times().user > 8 for each in children) else []


def wait_for(what, seconds=120):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.2)
    raise AssertionError("it did not come")


# ---- what a system lacks, what a lecturer asks -------------------------------------------------


def test_where_nothing_confines_it_wants_trust(tmp_path, hand_in, lecturer, monkeypatch):
    hand_in(tmp_path / "in", "ann")
    monkeypatch.setattr(jail, "missing_confinement", lambda: "Plan9 has no Landlock")
    asked = GradeSettings(tmp_path / "in", course=lecturer, out=tmp_path / "out")
    with pytest.raises(InputError, match=r"not confined here: Plan9 .*--trust"):
        grade_submissions(asked)
    (record,) = grade_submissions(
        GradeSettings(tmp_path / "in", course=lecturer, out=tmp_path / "out", trust=True)
    )
    assert record.total == 70


def test_what_is_not_there_is_one_clear_line(tmp_path, lecturer, hand_in):
    def fault(**changes):
        given = {"submissions": tmp_path / "in", "course": lecturer, "out": tmp_path / "out"}
        with pytest.raises(InputError) as raised:
            grade_submissions(GradeSettings(**{**given, **changes}))
        return str(raised.value)

    assert "it should hold a folder for each student" in fault()
    (tmp_path / "in").mkdir()
    assert "no folder of a student in" in fault()
    (tmp_path / "in/ann").mkdir()
    assert "handed in A1.ipynb" in fault()
    hand_in(tmp_path / "in", "ann")
    assert "unknown assignment 'A2'; did you mean 'A1'" in fault(assignments=("A2",))
    assert "ssl3d course build OUT" in fault(course=tmp_path)


def test_data_handed_in_with_a_notebook_lie_beside_it_and_nothing_else_does(
    tmp_path, hand_in, lecturer
):
    code = (
        "import os\ndef twice(x):\n    assert sorted(n for n in os.listdir() if n[0] != '.') == "
        "['cohorts', 'results.csv']\n    assert os.listdir('cohorts') == ['hippocampus']\n"
        "    assert open('results.csv').read() == 'a'\n    return x * 2"
    )
    folder = hand_in(tmp_path / "in", "ann", {"a1-1-solution": code}).parent
    (folder / "results.csv").write_text("a")
    (folder / "torch.py").write_text("raise SystemExit")
    (folder / "link.csv").symlink_to(lecturer / "source/A1/A1.ipynb")
    (record,) = grade_submissions(
        GradeSettings(tmp_path / "in", course=lecturer, out=tmp_path / "out")
    )
    assert record.messages == {"a1-1": "", "a1-2": ""}


def test_marks_of_a_person_are_counted(tmp_path, hand_in, lecturer, capsys):
    from ssl3d_lite.cli.main import main

    hand_in(tmp_path / "in", "ann")
    command = ["course", "grade", str(tmp_path / "in"), "--course", str(lecturer)]
    command += ["--out", str(tmp_path / "out")]
    assert main(command) == 0
    marks = tmp_path / "out/by_hand.csv"
    assert marks.read_text() == "student,assignment,part,points\nann,A1,3,\n"
    assert "addition is linear" in (tmp_path / "out/by_hand.md").read_text()
    marks.write_text("student,assignment,part,points\nann,A1,3,22.5\ngone,A1,3,4\n")
    assert main(command) == 0
    (row,) = csv.DictReader((tmp_path / "out/grades.csv").read_text().splitlines())
    assert (row["part 3"], row["total"], row["max"]) == ("22.5", "92.5", "100")
    assert "92.5 of 100 points" in (tmp_path / "out/feedback/ann/A1.html").read_text()
    assert marks.read_text() == "student,assignment,part,points\nann,A1,3,22.5\ngone,A1,3,4\n"
    marks.write_text("student,assignment,part,points\nann,A1,3,many\n")
    capsys.readouterr()
    assert main(command) == 2
    assert "line 2: ann, A1, part 3: 'many' is no number of points" in capsys.readouterr().err


def test_other_assignments_keep_their_rows_and_texts(tmp_path, hand_in, lecturer, tiny):
    from ssl3d_lite.course import grade as module
    from ssl3d_lite.course.tally import write_grades, write_texts

    out = tmp_path / "out"
    first = no_points("ann", tiny, "graded")
    first.answers = {"a1-3-answer": "Because."}
    store_record(record_place(out, "ann", "A1"), first, "key")
    write_grades([first, no_points("ben", tiny, "missing")], ["A1"], out)
    before = {row["student"]: row for row in read_csv(out / "grades.csv")}
    second = GradeRecord("ann", "A2", {"a2-1": 3.0}, 3.0, "graded", total=3.0)
    records = with_earlier([second], ["A2"], out)
    assert [record.assignment for record in records] == ["A1", "A2"]
    write_grades(records, ["A2"], out)
    rows = {(row["student"], row["assignment"]): row for row in read_csv(out / "grades.csv")}
    assert list(rows) == [("ann", "A1"), ("ann", "A2"), ("ben", "A1")]
    assert {name: rows[name, "A1"] for name in before} == before
    write_texts(records, [tiny], read_marks(out, [tiny]), out)
    assert "> Because." in (out / "by_hand.md").read_text()
    assert module.stored_record(record_place(out, "ann", "A1")).answers == first.answers


def test_a_kernel_that_cannot_start_is_told_with_its_log(tmp_path, hand_in, lecturer, monkeypatch):
    hand_in(tmp_path / "in", "ann")
    monkeypatch.setattr(jail, "_MODULE", "ssl3d_lite.course.no_such_module")
    (record,) = grade_submissions(
        GradeSettings(tmp_path / "in", course=lecturer, out=tmp_path / "out")
    )
    assert record.status.startswith("not graded: ")
    assert "No module named ssl3d_lite.course.no_such_module" in record.status


def test_jobs_side_by_side_give_the_same_table(tmp_path, hand_in, lecturer):
    for student in ("ann", "ben", "cy"):
        hand_in(tmp_path / "in", student, ANSWERS["visible"] if student == "ben" else None)
    found = [
        grade_submissions(
            GradeSettings(tmp_path / "in", course=lecturer, out=tmp_path / f"out{jobs}", jobs=jobs)
        )
        for jobs in (1, 2)
    ]
    points = [[(r.student, r.points, r.messages, r.status) for r in each] for each in found]
    assert points[0] == points[1]
    assert [record.total for record in found[0]] == [70, 40, 70]


def test_a_fault_of_the_grader_is_said_and_tried_again(tmp_path, hand_in, lecturer, monkeypatch):
    from ssl3d_lite.cli.main import main
    from ssl3d_lite.course import grade as module

    for student in ("ann", "ben"):
        hand_in(tmp_path / "in", student)

    def run_and_score(student, assignment, *_):
        if student == "ann":
            raise RuntimeError("no kernel")
        return module.no_points(student, assignment, "graded")

    monkeypatch.setattr(module, "run_and_score", run_and_score)
    command = ["course", "grade", str(tmp_path / "in"), "--course", str(lecturer)]
    assert main([*command, "--out", str(tmp_path / "out")]) == 1
    table = (tmp_path / "out/grades.csv").read_text()
    assert "ann,A1,0,100,not graded: RuntimeError: no kernel" in table
    assert "ben,A1,0,100,graded" in table
    assert [path.parent.name for path in (tmp_path / "out/records").rglob("A1.json")] == ["ben"]

"""Class list, late days and the tables that go back to Moodle and Canvas."""

from datetime import datetime

import pytest

from ssl3d_lite.course.roster import read_roster, safe_name
from ssl3d_lite.course.rules import (
    COURSE_TOML,
    RULES_FILE,
    CourseRules,
    HandIn,
    LateRules,
    after_lateness,
    days_after,
    late_days,
    read_rules,
    read_times,
)
from ssl3d_lite.course.scoring import no_points
from ssl3d_lite.course.spreadsheets import read_sheet
from ssl3d_lite.course.totals import write_totals
from ssl3d_lite.errors import InputError

DUE = datetime(2027, 3, 8, 23, 59)


@pytest.mark.parametrize(
    ("moment", "extra", "days"),
    [
        *((datetime(2027, 3, 8, 23, 59), 0, 0), (datetime(2027, 3, 9, 0, 0), 0, 1)),
        *((datetime(2027, 3, 9, 23, 59), 0, 1), (datetime(2027, 3, 10, 0, 0), 0, 2)),
        *((datetime(2027, 3, 10, 0, 0), 1, 1), (datetime(2027, 1, 1), 0, 0), (None, 0, 0)),
    ],
)
def test_days_that_have_begun_since_it_was_due(moment, extra, days):
    assert days_after(DUE, HandIn(moment, extra)) == days
    assert days_after(None, HandIn(moment, extra)) == 0


def test_free_days_go_to_what_was_due_first():
    due = {"A1": DUE, "A2": datetime(2027, 3, 1)}
    rules = CourseRules(due=due, late=LateRules(free_days=3, percent_a_day=10))
    times = {"A1": HandIn(datetime(2027, 3, 10, 12)), "A2": HandIn(datetime(2027, 3, 3))}
    assert late_days(rules, times) == {"A2": 0, "A1": 1}
    assert after_lateness(70, 1, rules.late) == 63
    assert after_lateness(70, 11, rules.late) == 0


def test_the_rules_that_a_course_is_built_with_change_nothing(tmp_path):
    (tmp_path / RULES_FILE).write_text(COURSE_TOML)
    assert read_rules(tmp_path, ["A1"]) == CourseRules() == read_rules(tmp_path / "none", [])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[due]\nA9 = 2027-03-08", "unknown assignment 'A9'; did you mean 'A1'"),
        ("[due]\nA1 = 'soon'", "A1 is due at 'soon', but a time is wanted"),
        ("[weights]\nA1 = -1", "the weight of A1 is -1, but must be 0 or more"),
        ("[late]\npercent_a_day = 120", "percent_a_day is 120"),
        ("[late]\nfree = 1", "unknown setting 'free'; did you mean 'free_days'"),
        ("[dew]\n", "unknown table 'dew'"),
        ("[due", "course.toml: "),
    ],
)
def test_rules_out_of_order_are_one_line(tmp_path, text, said):
    (tmp_path / RULES_FILE).write_text(text)
    with pytest.raises(InputError) as fault:
        read_rules(tmp_path, ["A1"])
    assert said in str(fault.value)
    assert "\n" not in str(fault.value)


def test_times_as_systems_write_them(tmp_path):
    (tmp_path / "submitted/ann/A1").mkdir(parents=True)
    (tmp_path / "submitted/ann/A1/timestamp.txt").write_text("2027-03-08 12:00:00.000000\n")
    (tmp_path / "handed_in.csv").write_text(
        "student,assignment,handed_in,extra_days,late\n"
        '"ben",A1,"Tuesday, 9 March 2027, 1:30 AM",1,yes\n'
    )
    assert read_times(tmp_path) == {
        ("ann", "A1"): HandIn(datetime(2027, 3, 8, 12)),
        ("ben", "A1"): HandIn(datetime(2027, 3, 9, 1, 30), 1.0, True),
    }
    (tmp_path / "handed_in.csv").write_text("student,assignment,handed_in\nben,A1,soon\n")
    with pytest.raises(InputError, match=r"handed_in.csv, line 2: 'soon' is no time"):
        read_times(tmp_path)


# ---- tables ------------------------------------------------------------------------------------

MOODLE = (
    "Vorname;First name;Last name;ID number;Email address\n;Anna;Müller;7;a@x\n;Ben;Lee;8;b@x\n"
)
CANVAS = (
    "Student,ID,SIS User ID,SIS Login ID,Section,A1: tiny (555),Final Score\n"
    "    Points Possible,,,,,1,\n"
    '"Müller, Anna",11,7,anna,S1,,\n"Lee, Ben",12,8,ben,S1,,\n"Student, Test",99,,,S1,,\n'
)


def record(tiny, student, *points):
    made = no_points(student, tiny, "graded")
    made.points = dict(zip(made.points, points, strict=True))
    made.total = sum(got for got in points if got)
    return made


@pytest.fixture
def write(tmp_path, tiny):
    def run(roster, *records, rules=""):
        for name in ("lecturer", "in", "out"):
            (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / "lecturer" / RULES_FILE).write_text(rules)
        path = tmp_path / "list.csv"
        path.write_bytes(roster.encode("cp1252"))
        folders = (tmp_path / "lecturer", tmp_path / "in", tmp_path / "out")
        return write_totals(records, [tiny], folders, path), tmp_path / "out"

    return run


def test_moodle_gets_points_by_its_own_names(tiny, write):
    said, out = write(MOODLE, record(tiny, "Anna Müller", 40, 30, 15), record(tiny, "Cy", 1, 1, 1))
    assert (out / "moodle.csv").read_text() == (
        "ID number,Email address,First name,Last name,A1,Course\n"
        "7,a@x,Anna,Müller,85,85\n8,b@x,Ben,Lee,,0\n"
    )
    assert said[0] == "Cy: not in list.csv; only course.csv has the points"
    assert "map from “ID number”" in said[1]
    assert (out / "course.csv").read_text() == (
        "student,A1,late days,percent\nAnna Müller,85,0,85\nBen Lee,,0,0\nCy,3,0,3\n"
    )


def test_canvas_gets_its_gradebook_back(tiny, write):
    _, out = write(CANVAS, record(tiny, "Ben Lee", 40, 0, 0))
    rows = read_sheet(out / "canvas.csv").rows
    assert list(rows[0]) == [
        *("Student", "ID", "SIS User ID", "SIS Login ID", "Section", "A1: tiny (555)")
    ]
    assert [row["A1: tiny (555)"] for row in rows] == ["100", "", "40", ""]
    assert [row["ID"] for row in rows] == ["", "11", "12", "99"]


def test_what_waits_for_a_mark_is_blank_and_not_half(tiny, write):
    said, out = write(MOODLE, record(tiny, "Ben Lee", 40, 30, None))
    assert "8,b@x,Ben,Lee,,\n" in (out / "moodle.csv").read_text()
    assert said[0] == "1 students wait for marks by hand: their totals are blank"


def test_lateness_and_weights_go_into_the_total(tmp_path, tiny, write):
    rules = f"[due]\nA1 = {DUE:%Y-%m-%dT%H:%M:%S}\n[late]\npercent_a_day = 10\n"
    (tmp_path / "in").mkdir()
    (tmp_path / "in/handed_in.csv").write_text(
        "student,assignment,handed_in\nBen Lee,A1,2027-03-10 12:00\n"
    )
    _, out = write(MOODLE, record(tiny, "Ben Lee", 40, 30, 30), rules=rules)
    assert "Ben Lee,80,2,80\n" in (out / "course.csv").read_text()


def test_students_are_found_by_whatever_a_system_calls_them(tmp_path):
    (tmp_path / "list.csv").write_text(CANVAS, encoding="utf-8")
    roster = read_roster(tmp_path / "list.csv")
    assert [person.name for person in roster.people] == ["Anna Müller", "Ben Lee"]
    for name in ("id 11", "mulleranna", "Anna Müller", "anna", "ANNA MULLER"):
        assert roster.find(name).name == "Anna Müller"
    assert roster.find("id 99") is None


def test_a_list_that_names_nobody_is_one_line(tmp_path):
    (tmp_path / "list.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match="does not say who the students are"):
        read_roster(tmp_path / "list.csv")
    (tmp_path / "list.csv").write_text("student\nann\nAnn\n")
    with pytest.raises(InputError, match="two students are called Ann"):
        read_roster(tmp_path / "list.csv")


@pytest.mark.parametrize(
    ("name", "safe"),
    [("../../etc", "etc"), (".hidden", "hidden"), ("a/b\\c:d", "a b c d"), ("", "nameless")],
)
def test_names_are_no_paths(name, safe):
    assert safe_name(name) == safe

"""The student's page and the class's: what stands there, and that it looks right in a browser."""

import pytest

from ssl3d_lite.course.class_page import doubts, kind_of_mistake, statistics_of, write_class_page
from ssl3d_lite.course.feedback import part_titles, write_feedback
from ssl3d_lite.course.records import GradeRecord
from ssl3d_lite.course.scoring import no_points
from ssl3d_lite.course.sources import assignment_files, read_assignment


def graded(tiny, student, one, two, said="", blank=False):
    record = no_points(student, tiny, "graded")
    record.points = {"a1-1": one, "a1-2": two, "a1-3": None}
    record.messages = {"a1-1": "there is no answer yet" if blank else "", "a1-2": said, "a1-3": ""}
    record.total = one + two
    return record


@pytest.fixture
def class_of_nine(tiny):
    wrong = "✗ 1 of 2: 0 + 1 + … + 5 should be 15, but is {}"
    hidden = "a hidden test failed: all voxels should be counted"
    return [
        *(graded(tiny, f"right {n}", 40, 30) for n in range(3)),
        *(graded(tiny, f"wrong {n}", 40, 0, wrong.format(n)) for n in range(3)),
        *(graded(tiny, f"hidden {n}", 40, 0, hidden) for n in range(2)),
        graded(tiny, "blank", 0, 30, blank=True),
        no_points("absent", tiny, "missing"),
    ]


def test_titles_are_those_of_the_headings(tiny):
    assert part_titles(tiny) == {"a1-1": "Twice", "a1-2": "The sum", "a1-3": "Why?"}
    first = read_assignment(assignment_files()["A1"])
    assert part_titles(first)["a1-1"] == "from voxels to millimetres and back"
    assert all(part_titles(first).values())


def test_points_do_not_break_and_have_a_bar(tmp_path, tiny):
    from dataclasses import asdict

    write_feedback(tmp_path / "a.html", tiny, asdict(graded(tiny, "ann", 40, 0, "<b>wrong</b>")))
    page = (tmp_path / "a.html").read_text()
    row = "<td>1</td><td>Twice</td><td>40\u00a0of\u00a040</td><td>"
    assert f'{row}<meter min="0" max="40" value="40">40 of 40</meter></td>' in page
    assert "<td>to\u00a0be\u00a0marked</td><td></td>" in page
    assert "&lt;b&gt;wrong" in page


def test_statistics_of_a_class(tiny, class_of_nine):
    one, two, three = statistics_of(class_of_nine, tiny)
    assert (one.blank, one.failed, len(one.shares)) == (1, 0, 9)
    assert (two.hidden, two.failed, sum(two.shares)) == (2, 5, 4)
    assert two.mistakes == [
        ("… + … + … + … should be …, but is …", 3),
        ("all voxels should be counted", 2),
    ]
    assert two.discrimination == pytest.approx(-0.395, abs=0.001)  # who has part 1 lacks part 2
    assert three.shares == []


def test_mistakes_are_counted_without_their_values():
    assert kind_of_mistake("✗ 3 of 5: voxel [1, 2, 3] is 0.5") == "voxel … is …"
    assert kind_of_mistake("a hidden test failed: (4, 7): 12%") == "…: …"
    some = "the core is right, and 4 of 6 further checks: 16.7 of 20 points; what failed: 2D: wrong"
    assert kind_of_mistake(some) == "…D: wrong"


def test_where_the_course_may_be_unclear(tiny, class_of_nine):
    said = doubts(statistics_of(class_of_nine, tiny))
    assert said == [
        "Part 1 (Twice): those who do well elsewhere do worse here. Is a test wrong?",
        "Part 2 (The sum): 3 of 9 made the same mistake: … + … + … + … should be …, but is …",
        "Part 2 (The sum): those who do well elsewhere do worse here. Is a test wrong?",
    ]
    assert doubts(statistics_of(class_of_nine[:4], tiny)) == []  # four tell nothing


def test_the_page_names_no_student(tmp_path, tiny, class_of_nine):
    other = GradeRecord("zed", "A9", {"a9-1": 1.0}, 1.0, "graded", total=1.0)
    write_class_page([*class_of_nine, other], [tiny], tmp_path / "class.html")
    page = (tmp_path / "class.html").read_text()
    assert "9 submissions; points 30 to 70, median 40, mean 48.9 of 100" in page
    assert not [record.student for record in class_of_nine if f">{record.student}<" in page]

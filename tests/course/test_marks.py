"""Points that a person gives count as they stand; what cannot count is named, line by line."""

import pytest

from ssl3d_lite.course.marks import BY_HAND, key_of, read_marks, write_marks
from ssl3d_lite.course.scoring import no_points
from ssl3d_lite.course.tally import count_marks
from ssl3d_lite.errors import InputError

HEAD = "student,assignment,part,points\n"


def marks_of(folder, tiny, text):
    (folder / BY_HAND).write_text(HEAD + text)
    return read_marks(folder, [tiny])


def test_marks_are_read_as_people_write_them(tmp_path, tiny):
    marks = marks_of(tmp_path, tiny, 'Müller,a1,part 3,"22,5"\nben,A1,3.0,\n,,,\n,,,sum\n')
    assert marks.points == {("Müller", "A1", 3): 22.5, ("ben", "A1", 3): None}
    assert key_of("Mu\u0308ller", "A1", 3) in marks.points  # ü as some systems write it


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("ann,A1,3,99", "line 2: ann, A1, part 3: 99 points, but the part has 0 to 30"),
        ("ann,A1,3,-3", "line 2: ann, A1, part 3: -3 points, but the part has 0 to 30"),
        ("ann,A1,3,many", "line 2: ann, A1, part 3: 'many' is no number of points"),
        ("ann,A1,7,3", "line 2: ann, A1, part 7: the parts are numbered 1 to 3"),
        ("ann,A9,3,3", "line 2: ann, A9, part 3: no assignment 'A9'; there are A1"),
        ("ann,A1,3,3\nann,A1,3,4", "line 3: ann, A1, part 3: 4 points here, 3 in another line"),
    ],
)
def test_what_cannot_count_is_refused_by_name(tmp_path, tiny, row, said):
    with pytest.raises(InputError) as fault:
        marks_of(tmp_path, tiny, f"{row}\nben,A1,3,5\n")
    assert str(fault.value).splitlines()[1:] == [said]
    assert BY_HAND in str(fault.value).splitlines()[0]


def test_every_wrong_line_is_named(tmp_path, tiny):
    with pytest.raises(InputError) as fault:
        marks_of(tmp_path, tiny, "ann,A1,3,99\nben,A1,3,5\ncy,A1,3,x\n")
    assert [line[:6] for line in str(fault.value).splitlines()[1:]] == ["line 2", "line 4"]


def test_a_mark_for_a_tested_part_counts_and_is_said(tmp_path, tiny):
    marks = marks_of(tmp_path, tiny, "ann,A1,1,7\nann,A1,3,30\ngone,A1,3,4\n")
    record = no_points("ann", tiny, "graded")
    said = count_marks([record], [tiny], marks)
    assert record.points == {"a1-1": 7.0, "a1-2": 0.0, "a1-3": 30.0}
    assert record.total == 37
    assert said == [
        "by_hand.csv, line 4: no student gone among the submissions; the line is kept",
        "by_hand.csv, line 2: ann, A1, part 1: 7, not the tests' 0",
    ]


def test_lines_and_columns_that_are_there_stay(tmp_path, tiny):
    text = "student;assignment;part;points;comment\nMüller;A1;3;4,5;für dich\ngone;A1;3;;\n"
    (tmp_path / BY_HAND).write_bytes(text.encode("cp1252"))
    marks = read_marks(tmp_path, [tiny])
    write_marks(tmp_path, marks, [("Müller", "A1", 3), ("gone", "A1", 3)])
    assert (tmp_path / BY_HAND).read_bytes() == text.encode("cp1252")  # nothing is new
    write_marks(tmp_path, marks, [("Müller", "A1", 3), ("new", "A1", 3)])
    assert (tmp_path / BY_HAND).read_bytes().decode("cp1252") == text + "new;A1;3;;\n"


def test_a_folder_of_an_earlier_version_keeps_its_marks(tmp_path, tiny):
    (tmp_path / "open_questions.csv").write_text(f"{HEAD}ann,A1,3,4\n")
    marks = read_marks(tmp_path, [tiny])
    write_marks(tmp_path, marks, [("ann", "A1", 3)])
    assert (tmp_path / BY_HAND).read_text() == f"{HEAD}ann,A1,3,4\n"

"""A table is read as the person meant it, whichever program saved it, and none of it is lost."""

import pytest

from ssl3d_lite.course.spreadsheets import number_in, read_sheet, write_sheet
from ssl3d_lite.errors import InputError

ROWS = [
    {"student": "Müller", "points": "12,5", "comment": "gut; ja, „schön“"},
    {"student": "Zoë", "points": "3", "comment": ""},
]


def saved(path, rows, delimiter, encoding, before="", end="\n"):
    import csv
    import io

    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter, lineterminator=end)
    writer.writeheader()
    writer.writerows(rows)
    path.write_bytes((before + text.getvalue()).encode(encoding))
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["unix", "windows", "mac"])
def test_every_kind_of_file_is_read_and_written_as_it_was(tmp_path, delimiter, encoding, end):
    path = saved(tmp_path / "a.csv", ROWS, delimiter, encoding, end=end)
    sheet = read_sheet(path, ("student", "points"))
    assert sheet.rows == ROWS
    assert sheet.columns == ["student", "points", "comment"]
    write_sheet(path, sheet)
    again = read_sheet(path)
    assert (again.rows, again.delimiter, again.encoding) == (ROWS, delimiter, sheet.encoding)
    assert sheet.encoding == encoding


def test_excels_line_about_the_separator(tmp_path):
    path = saved(tmp_path / "a.csv", ROWS, ";", "utf-8-sig", before="sep=;\n")
    sheet = read_sheet(path, ("points",))
    assert sheet.rows == ROWS
    assert sheet.lines == [3, 4]


def test_columns_without_a_name_and_names_in_capitals(tmp_path):
    (tmp_path / "a.csv").write_text("Student,Points ,,points\nann,3,why not,4\nben,,x\n,,,\n")
    sheet = read_sheet(tmp_path / "a.csv", ("student", "points"))
    assert sheet.columns == ["student", "points", "column 3", "points (4)"]
    assert sheet.rows[0] == {
        **{"student": "ann", "points": "3", "column 3": "why not", "points (4)": "4"}
    }
    assert sheet.rows[1]["points (4)"] == ""
    assert len(sheet.rows) == 2  # a line of commas holds nothing


def test_letters_that_the_old_kind_lacks_are_not_lost(tmp_path):
    path = saved(tmp_path / "a.csv", ROWS, ";", "cp1252")
    sheet = read_sheet(path)
    sheet.rows.append({"student": "Żółć", "points": "1", "comment": ""})
    write_sheet(path, sheet)
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    assert read_sheet(path).rows[-1]["student"] == "Żółć"


def test_formulas_stay_text(tmp_path):
    path = saved(tmp_path / "a.csv", [{"student": "=1+1", "points": "-3"}], ",", "utf-8")
    sheet = read_sheet(path)
    write_sheet(path, sheet)
    assert "'=1+1" in path.read_text()
    assert read_sheet(path).rows == [{"student": "=1+1", "points": "-3"}]


def test_what_cannot_be_read_is_one_line(tmp_path):
    def fault(data):
        (tmp_path / "a.csv").write_bytes(data)
        with pytest.raises(InputError) as raised:
            read_sheet(tmp_path / "a.csv", ("student",))
        assert "\n" not in str(raised.value)
        return str(raised.value)

    assert "its letters are of no known kind; save it as “CSV UTF-8”" in fault(b"student\n\x81\n")
    assert "has no column 'student'; its columns are name, points" in fault(b"name,points\na,1\n")
    assert "its columns are none" in fault(b"")


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *(("12,5", 12.5), ("12.5", 12.5), (" 7 ", 7.0), ("-3", -3.0), ("1\u00a0000", 1000.0)),
        *((".5", 0.5), ("many", None), ("", None), ("1.234,5", None), ("nan", None), ("1e3", None)),
    ],
)
def test_numbers_as_people_write_them(text, number):
    assert number_in(text) == number

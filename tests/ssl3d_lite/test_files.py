"""Tables: no cell of a user's is computed by a spreadsheet, and each comes back as it was."""

import csv

import pytest

from ssl3d_lite.errors import InputError
from ssl3d_lite.files import read_csv, write_csv

CELLS = ["=1+1", '=cmd|"/c calc"!A0', "+49 30 1", "-", "@x", "\tx", "\rx", "'=1", "''+x", "'-5"]
HARMLESS = ["a", "it's", "'quoted'", "'", "-5", "+5", "-inf", "-1e-5", "", "a,b\nc", "ä-b", "a=1"]


def test_no_cell_begins_a_formula_and_each_comes_back(tmp_path):
    rows = [{"name": cell, "=score": 0.5} for cell in CELLS + HARMLESS]
    write_csv(tmp_path / "a.csv", rows)
    with open(tmp_path / "a.csv", newline="", encoding="utf-8") as file:
        header, *cells = csv.reader(file)
    assert header == ["name", "'=score"]
    written = [name for name, _ in cells]
    assert written == [f"'{cell}" for cell in CELLS] + HARMLESS
    assert list(read_csv(tmp_path / "a.csv")) == [
        {"name": cell, "=score": "0.5"} for cell in CELLS + HARMLESS
    ]


def test_numbers_stay_numbers_and_a_missing_column_is_empty(tmp_path):
    write_csv(tmp_path / "a.csv", [{"a": -5}, {"b": -0.25}])
    assert (tmp_path / "a.csv").read_text() == "a,b\n-5,\n,-0.25\n"


def test_a_file_that_is_no_table_is_refused_in_one_line(tmp_path):
    (tmp_path / "a.csv").write_bytes("näme\n".encode("latin-1"))
    with pytest.raises(InputError) as error:
        list(read_csv(tmp_path / "a.csv"))
    assert str(error.value).startswith(f"{tmp_path}/a.csv cannot be read as a table: 'utf-8' codec")

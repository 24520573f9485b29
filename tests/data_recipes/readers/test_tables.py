"""CSV tables: what is fit is read as it stands, what is not is refused in one line."""

import pytest

from data_recipes.readers.tables import read_table
from ssl3d_lite.errors import InputError

COLUMNS = ("image", "patient")


@pytest.fixture
def table(tmp_path):
    def write(content: str | bytes):
        path = tmp_path / "patients.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def refusal(path, columns=COLUMNS) -> str:
    with pytest.raises(InputError) as error:
        read_table(path, columns)
    message = str(error.value)
    assert "\n" not in message
    return message


def rows(*pairs: tuple[str, str]) -> dict[str, dict[str, str]]:
    return {image: {"image": image, "patient": patient} for image, patient in pairs}


@pytest.mark.parametrize(
    ("content", "read"),
    [
        ("image,patient\na,p\nb,q\n", rows(("a", "p"), ("b", "q"))),
        ("image,patient\nb,q\na,p\n", rows(("b", "q"), ("a", "p"))),
        ("image,patient\na,p", rows(("a", "p"))),  # no line break at the end
        ("image,patient\r\na,p\r\nb,q\r\n", rows(("a", "p"), ("b", "q"))),  # Windows
        ("image,patient\ra,p\r", rows(("a", "p"))),  # an old Mac
        (b"\xef\xbb\xbfimage,patient\na,p\n", rows(("a", "p"))),  # Excel's mark at the start
        ("patient,image\np,a\n", rows(("a", "p"))),  # columns in another order
        ("age,image,sex,patient\n50,a,f,p\n", rows(("a", "p"))),  # more columns than are wanted
        ("image, patient\n a ,  p  \n", rows(("a", "p"))),  # blanks about a value
        ('image,patient\n"a,b","Doe, Jane"\n', rows(("a,b", "Doe, Jane"))),  # commas in quotes
        ('image,patient\na, "Doe, Jane"\n', rows(("a", "Doe, Jane"))),  # and after a blank
        ('image,patient\na,"the ""first"""\n', rows(("a", 'the "first"'))),
        ("image,patient\n\na,p\n\n\nb,q\n\n", rows(("a", "p"), ("b", "q"))),  # empty lines
        ("image,patient\nä,Ö\n日本,p\n", rows(("ä", "Ö"), ("日本", "p"))),
        ("image,patient\na,\n", rows(("a", ""))),  # only the first column must have a value
        ("image,patient\na\n", rows(("a", ""))),  # a row cut short
        ("image,patient\na,p\nA,q\n", rows(("a", "p"), ("A", "q"))),
        ("image,patient\n007,1e3\n", rows(("007", "1e3"))),  # numbers stay the text they are
        ("image,patient\n", {}),
    ],
)
def test_what_is_read(table, content, read):
    found = read_table(table(content), COLUMNS)
    assert found == read
    assert list(found) == list(read)  # in the order of the table


def test_the_first_column_asked_for_is_the_name(table):
    path = table("image,patient\na,p\nb,q\n")
    assert read_table(path, ("patient", "image")) == {
        "p": {"patient": "p", "image": "a"},
        "q": {"patient": "q", "image": "b"},
    }
    assert read_table(path, ("image",)) == {"a": {"image": "a"}, "b": {"image": "b"}}


def test_no_table(tmp_path):
    assert refusal(tmp_path / "none.csv") == f"no none.csv in {tmp_path}"


def test_a_folder_is_no_table(tmp_path):
    assert refusal(tmp_path).startswith(f"{tmp_path} cannot be read as a table: ")


@pytest.mark.parametrize(
    "content",
    [
        "image,patient\nä,p\n".encode("latin-1"),
        "image,patient\na,p\n".encode("utf-16"),
        b"\x89PNG\r\n\x1a\n" + bytes(range(128, 256)),
        "image,patient\n" + "a" * 200_000 + ",p\n",
    ],
    ids=["Latin-1", "UTF-16", "a picture", "an endless value"],
)
def test_what_is_no_csv(table, content):
    path = table(content)
    assert refusal(path).startswith(f"{path} cannot be read as a table: ")


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("image,subject", "no column patient; its columns: image, subject"),
        ("scan,patient", "no column image; its columns: scan, patient"),
        ("scan,subject", "no column image and no patient; its columns: scan, subject"),
        ("Image,Patient", "no column image and no patient; its columns: Image, Patient"),
        ("image;patient", "no column image and no patient; its columns: image;patient"),
        ("image\tpatient", "no column image and no patient; its columns: image\tpatient"),
        ("", "no column image and no patient; its columns: none"),
    ],
)
def test_a_column_that_is_not_there(table, header, said):
    path = table(f"{header}\na,p\n" if header else "")
    assert refusal(path) == f"{path} has {said}"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("image,patient\na,p\nb,q\na,p\n", "a second row for 'a' in line 4"),
        ("image,patient\na,p\n a ,q\n", "a second row for 'a' in line 3"),
        ("image,patient\na,p\n,q\n", "no image in line 3"),
        ("image,patient\na,p\n  ,q\n", "no image in line 3"),
        ("image,patient\na,p\n,\n", "no image in line 3"),  # as spreadsheets leave at the end
    ],
)
def test_a_row_that_is_refused(table, content, said):
    path = table(content)
    assert refusal(path) == f"{path} has {said}; mend the table"


@pytest.mark.parametrize(
    "content",
    ["image,patient\n\n\na,p\na,q\n", 'image,patient\nc,"two\nlines"\na,p\na,q\n'],
    ids=["empty lines", "a value of two lines"],
)
def test_the_line_that_is_named_is_the_files(table, content):
    assert "in line 5;" in refusal(table(content))


def test_a_row_with_more_values_than_columns(table):
    """Commas without quotes make two people named Doe one patient, and two columns one."""
    assert "line 2" in refusal(table("image,patient\na,Doe, Jane\nb,Doe, John\n"))

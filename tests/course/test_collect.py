"""Zips of Moodle and Canvas are unpacked by what their names mean, and never reach outside."""

import io
import stat
import zipfile

import pytest

from ssl3d_lite.course.collect import CollectSettings, collect
from ssl3d_lite.course.rules import read_times
from ssl3d_lite.course.spreadsheets import read_sheet
from ssl3d_lite.errors import InputError

MOODLE = "Anna Müller_101_assignsubmission_file_"


def packed(path, files):
    with zipfile.ZipFile(path, "w") as opened:
        for name, text in files.items():
            opened.writestr(name, text)
    return path


@pytest.fixture
def take(tmp_path):
    def run(files, name="a.zip", **settings):
        given = {"assignment": "A1", "out": tmp_path / "in", **settings}
        return collect(CollectSettings(packed(tmp_path / name, files), **given))

    return run


def there(folder):
    found = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    return {name: path.read_text() for name, path in found.items() if name[0] != "."}


def notebooks(folder):
    return {n: text for n, text in there(folder).items() if n.endswith(".ipynb")}


@pytest.mark.parametrize(
    "name",
    [f"{MOODLE}/A1.ipynb", f"{MOODLE[:-1]}/A1.ipynb", f"{MOODLE}A1.ipynb", f"{MOODLE}a1 (2).ipynb"],
)
def test_moodle_with_folders_and_without(tmp_path, take, name):
    assert take({name: "nb", "Ben Lee_102_assignsubmission_file_/A1.ipynb": "ben's"}) == [
        "Anna Müller",
        "Ben Lee",
    ]
    assert notebooks(tmp_path / "in") == {
        "Anna Müller/A1/A1.ipynb": "nb",
        "Ben Lee/A1/A1.ipynb": "ben's",
    }


def test_canvas_late_and_handed_in_again(tmp_path, take):
    take({"mulleranna_11_900_A1.ipynb": "a", "leeben_LATE_12_901_A1-2.ipynb": "b"})
    assert notebooks(tmp_path / "in") == {"mulleranna/A1/A1.ipynb": "a", "leeben/A1/A1.ipynb": "b"}
    times = read_times(tmp_path / "in")
    assert [times[name, "A1"].said_late for name in ("mulleranna", "leeben")] == [False, True]


def test_files_beside_the_notebook_come_along_and_texts_do_not(tmp_path, take, capsys):
    files = {f"{MOODLE}/A1.ipynb": "nb", f"{MOODLE}/results.csv": "1"}
    take({**files, "Dee_104_assignsubmission_onlinetext_/onlinetext.html": "x"})
    assert set(there(tmp_path / "in")) == {
        *("handed_in.csv", "Anna Müller/A1/A1.ipynb", "Anna Müller/A1/results.csv"),
    }
    assert "Dee: onlinetext is left out" in capsys.readouterr().out


def test_nothing_is_written_outside(tmp_path, take, capsys):
    evil = {
        "../../evil_1_assignsubmission_file_/A1.ipynb": "x",
        "/etc_2_assignsubmission_file_/../../../../A1.ipynb": "x",
        f"{MOODLE}/../../../up.ipynb": "x",
        "..\\..\\back_3_assignsubmission_file_\\A1.ipynb": "x",
        ".._4_assignsubmission_file_/..": "x",
        "leeben_12_901_../../../A1.ipynb": "x",
    }
    take({**evil, "Ben Lee_102_assignsubmission_file_/A1.ipynb": "good"})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "in"]
    for name in there(tmp_path / "in"):
        assert ".." not in name.split("/")
    assert there(tmp_path / "in")["Ben Lee/A1/A1.ipynb"] == "good"


def test_links_and_bombs_are_left_out(tmp_path, capsys):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        link = zipfile.ZipInfo(f"{MOODLE}/A1.ipynb")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(link, "/etc/passwd")
        opened.writestr("Ben_102_assignsubmission_file_/A1.ipynb", b"0" * 31_000_000)
    collect(CollectSettings(path, assignment="A1", out=tmp_path / "in"))
    assert notebooks(tmp_path / "in") == {}
    said = capsys.readouterr().out
    assert "Anna Müller: A1.ipynb is a link, and left out" in said
    assert "Ben: A1.ipynb is larger than 30 MB, and left out" in said


def test_several_notebooks_are_left_to_the_lecturer(tmp_path, take, capsys):
    take({f"{MOODLE}/mine.ipynb": "1", f"{MOODLE}/other.ipynb": "2"})
    assert "Anna Müller: several notebooks: mine.ipynb, other.ipynb" in capsys.readouterr().out
    take({f"{MOODLE}/mine.ipynb": "1", f"{MOODLE}/A1.ipynb": "2"}, name="b.zip")
    assert notebooks(tmp_path / "in")["Anna Müller/A1/A1.ipynb"] == "2"
    take({"Ben_102_assignsubmission_file_/my work.ipynb": "3"}, name="c.zip")
    assert "Ben: my work.ipynb is taken for A1.ipynb" in capsys.readouterr().out


def test_two_of_one_name_are_kept_apart(tmp_path, take):
    take({f"{MOODLE}/A1.ipynb": "1", "Anna Müller_102_assignsubmission_file_/A1.ipynb": "2"})
    assert notebooks(tmp_path / "in") == {
        "Anna Müller 101/A1/A1.ipynb": "1",
        "Anna Müller 102/A1/A1.ipynb": "2",
    }


def test_the_class_list_gives_one_name_to_a_student_of_two_systems(tmp_path, take, capsys):
    roster = tmp_path / "list.csv"
    roster.write_text(
        "Identifier,Full name,Email address,Last modified (submission)\n"
        + (
            'Participant 101,Anna Müller,a@x,"Monday, 8 March 2027, 11:59 PM"\n'
            "Participant 102,Anna Müller,b@x,-\n"
        )
    )
    take(
        {
            f"{MOODLE}/A1.ipynb": "1",
            "Anna Müller_102_assignsubmission_file_/A1.ipynb": "2",
            "Cy_9_assignsubmission_file_/A1.ipynb": "3",
        },
        roster=roster,
    )
    assert notebooks(tmp_path / "in") == {
        **{"a@x/A1/A1.ipynb": "1", "b@x/A1/A1.ipynb": "2", "Cy/A1/A1.ipynb": "3"}
    }
    assert "Cy: not in list.csv" in capsys.readouterr().out
    times = read_times(tmp_path / "in")
    assert f"{times['a@x', 'A1'].moment}" == "2027-03-08 23:59:00"
    assert times["b@x", "A1"].moment is None


def test_a_newer_zip_replaces_and_what_a_person_changed_stays(tmp_path, take):
    take({f"{MOODLE}/A1.ipynb": "1"})
    table = tmp_path / "in/handed_in.csv"
    table.write_text(table.read_text().replace("participant 101,,,", "participant 101,,,2"))
    take({f"{MOODLE}/A1.ipynb": "2"})
    assert notebooks(tmp_path / "in") == {"Anna Müller/A1/A1.ipynb": "2"}
    assert read_sheet(table).rows[0]["extra_days"] == "2"
    (tmp_path / "in/Anna Müller/A1/A1.ipynb").write_text("mended by hand")
    with pytest.raises(InputError, match="has been changed"):
        take({f"{MOODLE}/A1.ipynb": "3"})
    assert notebooks(tmp_path / "in") == {"Anna Müller/A1/A1.ipynb": "mended by hand"}


def test_what_is_no_such_zip_is_one_line(tmp_path, take):
    (tmp_path / "a.zip").write_text("no zip")
    with pytest.raises(InputError, match=r"a\.zip cannot be read as a zip"):
        collect(CollectSettings(tmp_path / "a.zip", assignment="A1", out=tmp_path / "in"))
    with pytest.raises(InputError, match="has no submissions of Moodle or Canvas in it"):
        take({"readme.txt": "x"}, name="b.zip")
    assert not (tmp_path / "in").exists()


def test_names_of_zips_that_do_not_say_their_letters(tmp_path):
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as opened:
        opened.writestr(f"{MOODLE}/A1.ipynb", "nb")
    raw = data.getvalue()
    assert raw.count(b"\x00\x08") >= 2  # the flag that names are UTF-8
    bare = raw.replace(b"PK\x03\x04\x14\x00\x00\x08", b"PK\x03\x04\x14\x00\x00\x00")
    bare = bare.replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00\x08", b"PK\x01\x02\x14\x03\x14\x00\x00\x00"
    )
    (tmp_path / "a.zip").write_bytes(bare)
    settings = CollectSettings(tmp_path / "a.zip", assignment="A1", out=tmp_path / "in")
    assert collect(settings) == ["Anna Müller"]

"""A view as a page: one file, everything in it, and nothing in it that its text could start."""

import base64
import gzip
import json
import re
from pathlib import Path

import numpy as np
import pytest

from ssl3d_lite.errors import InputError
from ssl3d_lite.html import is_page_of
from ssl3d_lite.show import Slices

EVIL = "</script><script>document.title = 'evil'</script><!-- & \"' <img src=x>"


@pytest.fixture
def view():
    scan = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    return Slices(scan, scan > 30, label_names=["rest", EVIL], title=EVIL)


def state_of(page: str) -> dict:
    """What the page's script is given."""
    text = re.search(r'getElementById\("view"\), (.*)\);', page)[1]
    return json.loads(text)


def test_a_page_has_the_whole_state(view, tmp_path):
    path = view.save(tmp_path / "a.html", "A scan", "Look at it.")
    page = path.read_text()
    state = state_of(page)
    assert gzip.decompress(base64.b64decode(state["bytes"]["_bytes"])) == view._bytes
    assert state["values"]["voxel"] == view.voxel
    assert state["values"]["_title"] == EVIL
    assert "_esm" not in state["values"]
    assert "layout" not in state["values"]
    assert "<h1>A scan</h1><p>Look at it.</p>" in page


def test_a_page_asks_for_nothing(tmp_path):
    page = Slices(np.zeros((3, 4, 5))).save(tmp_path / "a.html").read_text()
    assert not re.search(r"https?://|\bsrc=|@import|\bimport\b", page)


def test_names_from_files_end_no_script(view, tmp_path):
    page = view.save(tmp_path / "a.html", EVIL, EVIL).read_text()
    assert page.count("<script") == page.count("</script>") == 1
    assert page.count("</style>") == 2  # the page's own, and the view's
    assert "<img" not in page


def test_a_file_of_the_users_is_not_written_over(view, tmp_path):
    mine = tmp_path / "mine.html"
    mine.write_text("mine")
    with pytest.raises(InputError, match="it is not touched"):
        view.save(mine)
    assert mine.read_text() == "mine"
    view.save(tmp_path / "a.html")
    view.voxel = [0, 0, 0]
    again = view.save(tmp_path / "a.html").read_text()  # its own, it may
    assert state_of(again)["values"]["voxel"] == [0, 0, 0]


def test_a_place_that_cannot_be_written_gets_one_line(view, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"cannot write .*page\.html"):
        view.save(tmp_path / "file/page.html")
    for name in ("page", "page.txt"):
        with pytest.raises(InputError, match=r"does not end in \.html"):
            view.save(tmp_path / name)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    view.save(tmp_path / "new/folder/page.HTML")


def test_the_page_of_another_view_stays(view, tmp_path):
    class Another(Slices):
        pass

    path = view.save(tmp_path / "a.html")
    before = path.read_bytes()
    with pytest.raises(InputError, match="no page of Another as this program wrote it"):
        Another(np.zeros((4, 4, 4))).save(path)
    assert path.read_bytes() == before


def test_the_same_view_is_the_same_page(view, tmp_path):
    first, second = (view.save(tmp_path / name).read_bytes() for name in ("a.html", "b.html"))
    assert first == second


def test_the_page_of_the_docs_is_small_and_as_it_was_written():
    """``python docs/features_page.py`` writes it."""
    path = Path(__file__).parents[4] / "docs/features.html"
    assert path.stat().st_size < 5e6
    assert is_page_of(path, "ssl3d view Features")
    values = state_of(path.read_text())["values"]
    assert len(values["_patients"]) == 4
    names = [column["name"] for column in values["_columns"]]
    assert names == ["trained by CPC", "random weights", "place alone"]


def test_bytes_deep_in_a_value_are_kept_too(view, tmp_path):
    view._boxes = [{"name": "a"}, {"frames": [{"size": [1, 1], "bytes": b"x"}]}]
    state = state_of(view.save(tmp_path / "a.html").read_text())
    assert state["values"]["_boxes"] == [{"name": "a"}, {"frames": [{"size": [1, 1]}]}]
    packed = state["bytes"]["_boxes/1/frames/0/bytes"]
    assert gzip.decompress(base64.b64decode(packed)) == b"x"

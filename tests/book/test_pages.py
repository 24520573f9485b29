"""Pages are gathered by their links, and a link that leads nowhere is told in one line."""

import json
import re
from pathlib import Path

import pytest

from ssl3d_lite.book import reference
from ssl3d_lite.book.build import BookSettings, build_book, gather
from ssl3d_lite.book.formulas import picture_of
from ssl3d_lite.book.pages import Book, contents, fenced, page_of
from ssl3d_lite.book.sources import texts_folder
from ssl3d_lite.errors import InputError

ROOT = Path(__file__).parents[2]


def notebook(*texts: str) -> str:
    cells = [{"cell_type": "markdown", "metadata": {}, "source": text} for text in texts]
    return json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5})


@pytest.fixture
def book(tmp_path):
    """A small repository, and a book to be made of it."""
    texts = tmp_path / "texts"
    files = {
        "docs/a.md": "# A\n\n[b](b.md#c), [the code](../code/x.py), [page](live.html), "
        "[test](../tests/test_x.py), [front](../README.md), ![p](p.png)\n",
        "docs/b.md": "# B\n\n## C\n\n[web](https://example.org)\n",
        "docs/p.png": "a picture",
        "docs/live.html": "<title>Point and see</title>",
        "code/x.py": "X = 1  # `x`\n",
        "notebooks/00_x.ipynb": notebook("# X\n\n[a](../docs/a.md)"),
        "README.md": "# R\n\nA pitch.\n\n## Install\n",
    }
    for name, text in files.items():
        (texts / name).parent.mkdir(parents=True, exist_ok=True)
        (texts / name).write_text(text)
    return Book(texts, tmp_path / "stage")


def staged(book: Book, name: str) -> str:
    return (book.stage / name).read_text()


def test_links_lead_to_pages_of_the_book(book):
    book.want("docs/a.md", "How to")
    book.gather()
    assert staged(book, "docs/a.md") == (
        "# A\n\n[b](b.md#c), [the code](../code/code/x.py.md), "
        "[page](page:../files/docs/live.html), test, [front](../index.md), ![p](p.png)\n"
    )
    assert book.pages == {"docs/a.md": "How to", "docs/b.md": "", "code/x.py": ""}
    assert staged(book, "docs/b.md").startswith("---\norphan: true\n---\n\n# B")
    assert "```python\nX = 1  # `x`\n```" in staged(book, "code/code/x.py.md")
    assert staged(book, "docs/p.png") == "a picture"
    assert list(book.files) == ["files/docs/live.html"]


def test_a_link_that_leads_nowhere_is_told(book):
    (book.texts / "docs/b.md").write_text("# B\n\n[gone](gone.md)")
    book.want("docs/b.md")
    with pytest.raises(InputError, match=r"^docs/b\.md links to gone\.md, which is not there$"):
        book.gather()


def test_of_some_pages_links_to_others_are_words(book):
    book.only = ("docs/a.md",)
    book.want("docs/a.md", "Start")
    book.gather()
    assert staged(book, "docs/a.md").startswith("# A\n\nb, the code, [page]")


def test_a_notebook_has_a_line_below_its_title(book):
    book.onto = lambda name: f"a line for {name}"
    book.want("notebooks/00_x.ipynb", "Notebooks")
    book.gather()
    (cell,) = json.loads(staged(book, "notebooks/00_x.ipynb"))["cells"]
    assert cell["source"] == ("# X\n\na line for notebooks/00_x.ipynb\n\n[a](../docs/a.md)")


def test_code_with_fences_is_fenced_by_more():
    assert fenced("```\nx\n```\n", "text") == "````text\n```\nx\n```\n````\n"
    assert page_of("docs/a.md") == "docs/a.md"
    assert page_of("a/b.py") == "code/a/b.py.md"


def test_the_sidebar_has_chapters_in_their_order():
    said = contents(
        {"docs/x.md": "How to", "docs/a.md": "Start", "docs/y.md": ""}, {"docs/x.md": "01 X"}
    )
    assert re.findall(r":caption: (.*)", said) == ["Start", "How to"]
    assert "\n01 X </docs/x>\n" in said
    assert "/docs/y" not in said


# ---- the repository's own ----------------------------------------------------------------------


def test_no_link_of_the_repository_is_broken(tmp_path):
    book = Book(texts_folder(), tmp_path / "stage")
    gather(book, {"ssl3d tour": "help"})
    for chapter in ("Start", "Ideas", "Notebooks", "How to", "Results", "The package"):
        assert chapter in book.pages.values()
    assert {"live/features.md", "reference/commands.md", "run.md"} <= set(book.made)
    index = staged(book, "index.md")
    numbered = sorted(p.name for p in ROOT.glob("notebooks/[0-9]*_*.ipynb"))
    assert re.findall(r"\(notebooks/(.*?)\)\n", index) == numbered
    assert "Self-supervised learning on 3D medical images" in index
    assert "{" not in re.sub(r"```\{toctree\}", "", index)


def test_each_page_of_docs_is_in_a_chapter(tmp_path):
    book = Book(texts_folder(), tmp_path / "stage")
    gather(book, {})
    assert all(book.pages[f"docs/{path.name}"] for path in ROOT.glob("docs/*.md"))


def test_the_reference_has_every_name_of_the_doors():
    import ssl3d_lite

    pages = reference.reference_pages({})
    listed = re.findall(r"^## (.*)$", pages["reference/front_door.md"], re.M)
    rooms = {"data", "evaluation", "models", "show", "study", "tasks", "training"}
    assert set(listed) == set(ssl3d_lite.__all__) - rooms
    kinds = reference.door_names(ROOT / "ssl3d_lite/__init__.pyi")
    assert (kinds["pretrain"], kinds["Cohort"]) == ("function", "class")
    assert reference.door_names(ROOT / "ssl3d_lite/tasks/__init__.py")["TASKS"] == "data"


def test_the_star_of_a_shape_is_a_star():
    pytest.importorskip("docutils")
    from ssl3d_lite.book.extension import plain_stars

    lines = ["(batch, *space) and *so*, ``f(*a)``", "Example::", "", "    f(*a)", "", "**x**: *y"]
    assert plain_stars(lines) == [
        *(r"(batch, \*space) and *so*, ``f(*a)``", "Example::", "", "    f(*a)", ""),
        r"**x**: \*y",
    ]


# ---- formulas ----------------------------------------------------------------------------------


def test_a_formula_is_a_picture_and_words():
    pytest.importorskip("ziamath")
    html = picture_of(r"\lVert x \rVert^2", display=False)
    assert html.startswith('<span class="drawn"')
    assert "<math" in html
    assert "lVert" not in html


def test_an_unknown_command_in_a_formula_is_told():
    pytest.importorskip("ziamath")
    with pytest.raises(ValueError, match=r"cannot be drawn as a whole: x \\nosuchthing y"):
        picture_of(r"x \nosuchthing y", display=False)


# ---- badges ------------------------------------------------------------------------------------


def test_badges_are_those_of_the_repository(tmp_path):
    from ssl3d_lite.book.build import notebook_line

    line = notebook_line("https://github.com/ann/scans")("notebooks/06_cpc.ipynb")
    assert "https://colab.research.google.com/github/ann/scans/blob/main/notebooks/06_" in line
    assert "https://mybinder.org/v2/gh/ann/scans/HEAD?labpath=notebooks/06_cpc.ipynb" in line
    assert "https" not in notebook_line("")("notebooks/06_cpc.ipynb")
    pytest.importorskip("furo")
    settings = BookSettings(tmp_path / "out", repository="example.org/ann")
    with pytest.raises(InputError, match="must be as https://github"):
        build_book(settings, {})
    assert not (tmp_path / "out").exists()

"""Pages are gathered by their links, and a link that leads nowhere is told in one line."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from ssl3d_lite.book import live, reference
from ssl3d_lite.book.build import BookSettings, build_book, gather
from ssl3d_lite.book.formulas import picture_of
from ssl3d_lite.book.notebooks import downloads
from ssl3d_lite.book.pages import Book, contents, fenced, live_pages, page_of
from ssl3d_lite.book.sources import texts_folder
from ssl3d_lite.errors import InputError

ROOT = Path(__file__).parents[2]
PIXEL = (  # one, as a PNG
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)


def notebook(*texts: str) -> str:
    cells = [
        {"cell_type": "markdown", "id": f"text-{n}", "metadata": {}, "source": text}
        for n, text in enumerate(texts)
    ]
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
    assert not re.search(r":\n+#", index), "a line leads to what is not there"
    assert "{" not in re.sub(r"```\{toctree\}", "", index)


def test_each_page_of_docs_is_in_a_chapter(tmp_path):
    book = Book(texts_folder(), tmp_path / "stage")
    gather(book, {})
    assert all(book.pages[f"docs/{path.name}"] for path in ROOT.glob("docs/*.md"))


def test_the_reference_has_every_name_of_the_doors():
    import ssl3d_lite

    pages = reference.reference_pages({})
    listed = re.findall(r"^## (.*)$", pages["reference/front_door.md"], re.M)
    rooms = {"data", "evaluation", "exports", "models", "show", "study", "tasks", "training"}
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


# ---- live views, and notebooks to be loaded ----------------------------------------------------


def cell(source: str, *outputs: dict) -> dict:
    own = {"id": f"code-{len(source)}", "execution_count": 1, "metadata": {}}
    return {"cell_type": "code", "source": source, "outputs": list(outputs)} | own


def picture(alt: str) -> dict:
    data = {"image/png": PIXEL, "text/plain": "a view"}
    about = {"image/png": {"alt": alt}}
    return {"output_type": "display_data", "data": data, "metadata": about}


def test_the_view_of_a_cell_is_offered_below_its_picture(book):
    from ssl3d_lite.show import Slices

    shown = cell("view\n", picture("Planes. Beside it: turn."))
    changed = cell("view + 1", picture("Planes"))
    text = {"cells": [*json.loads(notebook("# X"))["cells"], shown, changed], "metadata": {}}
    path = book.texts / "notebooks/00_x.ipynb"
    path.write_text(json.dumps(text | {"nbformat": 4, "nbformat_minor": 5}))
    kept = book.texts / "notebooks/live" / live.state_name("00_x", "view")
    live.keep(Slices(np.arange(60.0).reshape(3, 4, 5), title="A scan"), kept)
    book.want("notebooks/00_x.ipynb", "Notebooks")
    book.gather()
    _, first, second = json.loads(staged(book, "notebooks/00_x.ipynb"))["cells"]
    assert first["metadata"]["mystnb"]["image"]["alt"] == "Planes. Beside it: turn."
    html = first["outputs"][1]["data"]["text/html"]
    place = f"files/notebooks/live/{kept.stem}.html"
    assert f'href="../{place}"' in html
    assert 'title="Planes."' in html
    assert "(turn: in a notebook alone)" in html
    assert len(second["outputs"]) == 1
    page = book.files[place].read_text()
    assert '"_title": "A scan"' in page
    assert "function savedModel" in page


def test_a_kept_file_of_no_view_is_told(book):
    kept = book.texts / "notebooks/live/00_x-1.json"
    kept.parent.mkdir()
    kept.write_text('{"view": "browser_module"}')
    with pytest.raises(InputError, match=r"00_x-1\.json is of 'browser_module', which is no view"):
        live.page_of_view(kept)


def test_each_kept_view_is_of_a_cell_that_is_there():
    names = set()
    for path in ROOT.glob("notebooks/[0-9]*_*.ipynb"):
        cells = json.loads(path.read_text())["cells"]
        code = ("".join(each["source"]) for each in cells if each["cell_type"] == "code")
        names |= {live.state_name(path.stem, source) for source in code}
    kept = {path.name: path.stat().st_size for path in ROOT.glob("notebooks/live/*")}
    assert set(kept) <= names, "run python notebooks/live.py"
    for number in ("00", "01", "02", "03", "04", "05", "06", "07", "10", "19"):
        assert any(name.startswith(number) for name in kept), number
    assert max(kept.values()) < 1e6
    assert sum(kept.values()) < 8e6


def test_why_no_notebook_runs_in_jupyterlite():
    for path in ROOT.glob("notebooks/[0-9]*_*.py"):
        assert "import torch\n" in path.read_text(), f"{path.name} may: see book/pages/run.md"


def test_the_game_is_the_first_of_what_is_clicked(tmp_path):
    made = live_pages(Book(texts_folder(), tmp_path / "stage"))
    assert list(made) == ["live/play.md", "live/features.md"]


def test_a_loaded_notebook_stands_by_itself(book):
    source = "[a](../docs/a.md) is *here*\n\n[web](https://example.org)"
    text = json.dumps(
        json.loads(notebook(source))
        | {"cells": [*json.loads(notebook(source))["cells"], cell("x = 1\nprint(x)")]}
    )
    files = downloads(text, "notebooks/00_x.ipynb")
    first, second = json.loads(files[".ipynb"])["cells"]
    assert "".join(first["source"]) == "a is *here*\n\n[web](https://example.org)"
    assert second["source"] == "x = 1\nprint(x)"
    assert files[".py"].decode() == (
        "# %% [markdown]\n# a is *here*\n#\n# [web](https://example.org)\n\n# %%\nx = 1\nprint(x)\n"
    )


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("notebooks/[0-9]*_*.ipynb"))[:4], ids=lambda p: p.stem
)
def test_its_script_has_the_cells_of_the_source(path):
    """The .py beside it is the source, with a header that is jupytext's."""
    script = downloads(path.read_text(), f"notebooks/{path.name}")[".py"].decode()
    source = path.with_suffix(".py").read_text().partition("\n# ---\n\n")[2]
    code = [
        [line for line in text.splitlines() if line and not line.startswith("#")]
        for text in (script, source)
    ]
    assert code[0] == code[1]

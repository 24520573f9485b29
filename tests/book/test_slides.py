"""Slides of a notebook: what stands on which, and that a browser shows them from disk."""

import base64
import json
from pathlib import Path

import pytest
from lxml import html

from ssl3d_lite.book.slides import deck
from ssl3d_lite.book.slides_layout import parts_of_code
from ssl3d_lite.cli.main import main

for needed in ("ziamath", "latex2mathml", "mdit_py_plugins"):
    pytest.importorskip(needed)

ROOT = Path(__file__).parents[2]
NUMBERED = sorted(ROOT.glob("notebooks/[0-9]*_*.ipynb"))


def text(source: str, *tags: str) -> dict:
    return {"cell_type": "markdown", "metadata": {"tags": list(tags)}, "source": source}


def code(source: str, *outputs: dict, tags: tuple = ()) -> dict:
    metadata = {"tags": list(tags)}
    return {"cell_type": "code", "metadata": metadata, "source": source, "outputs": list(outputs)}


def columns(*cells: dict) -> list[list[str]]:
    """The words on each slide, of each column."""
    tree = html.fromstring(deck(json.dumps({"cells": cells}).encode()))
    return [
        [" ".join(slide.text_content().split()) for slide in column.xpath("./*")]
        for column in tree.xpath("//div[@class='slides']/section")
    ]


def test_a_heading_begins_a_column_wherever_it_stands_in_a_cell():
    found = columns(text("# A title\n\nintroduced"), text("an answer\n\n## Next\n\nmore"))
    assert found == [["A title introduced an answer"], ["Next more"]]


def test_a_rule_ends_a_slide():
    assert columns(text("# A\n\nb\n\n---\n\nc"), text("d")) == [["A b", "c d"]]


PRINTED = {"output_type": "stream", "name": "stdout", "text": "1 < 2\n"}


def test_text_code_and_what_it_printed_stand_together():
    assert columns(text("# A"), code("print(x)", PRINTED), text("so"), code("y")) == [
        ["A print(x) 1 < 2 so", "y"]
    ]


def test_no_answer_stands_beside_its_question():
    asked = text("# A\n\n**Predict before you run:** what?")
    assert columns(asked, code("print(x)", PRINTED, PRINTED), text("so")) == [
        ["A Predict before you run: what? print(x)", "1 < 2 1 < 2 so"]
    ]


def test_what_is_too_much_for_a_slide_goes_on_the_next():
    words = "word " * 150
    assert len(columns(text("# A"), text(words), text(words), text("more"))[0]) == 2
    long = "\n".join(f"x = {n}" for n in range(36))
    first, second, third = columns(text("# A"), code(long, PRINTED), text("so"))[0]
    assert (first, second.split()[0], third.split()[-1]) == ("A", "x", "so")
    assert second.endswith("x = 21")
    assert third.startswith("x = 22")


def test_code_is_cut_where_a_blank_line_is_or_a_statement_begins():
    body = "\n".join("    x" for _ in range(15))
    apart = f"def f():\n{body}\n\n\ndef g():\n{body}"
    assert parts_of_code(apart) == [f"def f():\n{body}", f"def g():\n{body}"]
    close = f"if a:\n{body}\nif b:\n{body}"
    assert parts_of_code(close) == [f"if a:\n{body}", f"if b:\n{body}"]
    whole = "\n".join("    x" for _ in range(50))
    assert [part.count("\n") + 1 for part in parts_of_code(whole)] == [22, 22, 6]
    assert "\n".join(parts_of_code(whole)) == whole


def picture(width: int, height: int) -> dict:
    head = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data = {"image/png": base64.b64encode(head).decode()}
    return {"data": data, "metadata": {"image/png": {"alt": "a < b"}}}


def tree_of(*cells: dict) -> html.HtmlElement:
    return html.fromstring(deck(json.dumps({"cells": cells}).encode()))


@pytest.mark.parametrize(("size", "kind"), [((300, 400), "shown"), ((900, 300), "shown below")])
def test_a_brief_text_stands_where_its_picture_is_larger(size, kind):
    tree = tree_of(text("# A"), code("show()", picture(*size)), text("look"), text("at it"))
    (shown,) = tree.xpath("//div[starts-with(@class, 'shown')]")
    assert shown.get("class") == kind
    assert shown.text_content().strip() == "look"
    assert shown.xpath(".//img/@alt") == ["a < b"]
    assert [slide.text_content().split() for slide in tree.xpath("//section/section")] == [
        ["A", "show()"],
        ["look"],
        ["at", "it"],
    ]


def test_short_code_stands_above_its_picture():
    tree = tree_of(text("# A"), code("x"), code("show()", picture(3, 2), picture(3, 2)))
    slides = tree.xpath("//section/section")
    assert [slide.text_content().split() for slide in slides] == [["A", "x"], ["show()"], []]
    assert [len(slide.xpath(".//img")) for slide in slides] == [0, 1, 1]


def test_a_fold_that_is_alone_is_open():
    fold = "<details><summary>Answer</summary>\n\nIt is.\n\n</details>"
    tree = tree_of(text(f"# A\n\n{fold}"), text(f"## B\n\n---\n\n{fold}"))
    assert [each.get("open") is not None for each in tree.xpath("//details")] == [False, True]


def test_tags_say_otherwise():
    found = columns(
        text("# A"), text("b", "slide"), text("c", "skip"), code("d", tags=("skip",)), text("e")
    )
    assert found == [["A"], ["b e"]]
    tree = html.fromstring(deck(json.dumps({"cells": [text("# A"), text("x", "notes")]}).encode()))
    assert [each.text_content().strip() for each in tree.xpath("//aside[@class='notes']")] == ["x"]


def test_a_formula_is_drawn_and_nothing_is_fetched():
    page = deck(json.dumps({"cells": [text("# A\n\n$x^2$\n\n$$y$$")]}).encode()).decode()
    assert page.count('class="drawn"') == 2
    assert "<math" in page
    tree = html.fromstring(page)
    assert not tree.xpath("//*[self::script or self::img or self::iframe][@src]")
    assert not tree.xpath("//link")
    assert "MIT licensed" in page


def test_the_same_notebook_gives_the_same_deck():
    data = NUMBERED[1].read_bytes()
    assert deck(data) == deck(data)


@pytest.fixture(scope="module")
def decks(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("given") / "notebooks"
    assert main(["notebooks", str(out), "--slides"]) == 0
    assert main(["notebooks", str(out), "--slides"]) == 0, "the same command renews them"
    return out / "slides"


NUMBERS = [
    pytest.param(path.stem, id=path.stem, marks=() if path.stem[:2] == "06" else pytest.mark.slow)
    for path in NUMBERED
]


@pytest.mark.parametrize("name", NUMBERS)
def test_every_slide_can_be_read(decks, name, browser):
    """At 1280 x 720, from disk: nothing is cut off, and what is too tall can be moved."""
    ask = """(() => {
        const box = Reveal.getCurrentSlide().querySelector(".fit");
        const image = box.querySelector("img");
        const { width, height } = image?.getBoundingClientRect() ?? {};
        const share = Math.min(width / image?.naturalWidth, height / image?.naturalHeight);
        return { over: box.scrollHeight - box.clientHeight, moved: box.tabIndex === 0,
                 letters: parseFloat(getComputedStyle(box).fontSize),
                 wide: box.scrollWidth - box.clientWidth,
                 shown: image ? Math.max(share * image.naturalWidth / 1280,
                                         share * image.naturalHeight / 720) : 1,
                 low: box.getBoundingClientRect().bottom };
    })()"""
    page = browser.new_page(viewport={"width": 1280, "height": 720})
    heard: list[str] = []
    page.on("console", lambda said: heard.append(said.text) if said.type == "error" else None)
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("request", lambda asked: heard.append(asked.url) if "http" in asked.url[:4] else 0)
    page.goto((decks / f"{name}.html").as_uri())
    page.wait_for_function("Reveal.isReady()")
    for number in range(page.evaluate("Reveal.getTotalSlides()")):
        said = page.evaluate(ask)
        assert said["over"] <= 1 or said["moved"], number
        assert said["wide"] <= 1, number
        assert said["letters"] >= 16, number
        assert said["shown"] >= 0.3, number
        assert said["low"] <= 670, f"{number} lies below the arrows"
        page.keyboard.press("Space")
    assert page.evaluate("Reveal.isLastSlide()")
    assert heard == []
    page.close()

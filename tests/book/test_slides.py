"""Slides of a notebook: what stands on which, and that a browser shows them from disk."""

import json
from pathlib import Path

import pytest
from browser.lab import BROWSERS, FLAGS, find_browser
from lxml import html
from playwright.sync_api import sync_playwright

from ssl3d_lite.book.slides import deck
from ssl3d_lite.cli.main import main

for needed in ("ziamath", "latex2mathml", "mdit_py_plugins"):
    pytest.importorskip(needed)

ROOT = Path(__file__).parents[2]
NUMBERED = sorted(ROOT.glob("notebooks/[0-9]*_*.ipynb"))
PICTURE = {"data": {"image/png": "aGk="}, "metadata": {"image/png": {"alt": "a < b"}}}


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
    assert found == [["A title introduced", "an answer"], ["Next more"]]


def test_short_code_stands_above_what_it_printed_and_long_code_alone():
    printed = {"output_type": "stream", "name": "stdout", "text": "1 < 2\n"}
    long = "\n".join(f"x = {n}" for n in range(17))
    ((first, second, third),) = columns(text("# A"), code("print(x)", printed), code(long))
    assert (first, second) == ("A", "print(x) 1 < 2")
    assert third.endswith("x = 16")
    assert len(columns(text("# A"), code(long, printed))[0]) == 3


def test_a_short_text_stands_beside_the_picture_before_it():
    page = deck(
        json.dumps(
            {"cells": [text("# A"), code("show()", PICTURE), text("look"), text("at it")]}
        ).encode()
    )
    tree = html.fromstring(page)
    pair = tree.xpath("//div[@class='fit pair']")
    assert [each.text_content().strip() for each in pair] == ["look"]
    assert pair[0].xpath("./img/@alt") == ["a < b"]
    assert len(tree.xpath("//section/section")) == 4


def test_tags_say_otherwise():
    found = columns(
        text("# A"), text("b", "slide"), text("c", "skip"), code("d", tags=("skip",)), text("e")
    )
    assert found == [["A"], ["b", "e"]]
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
def test_every_slide_can_be_read(decks, name):
    """At 1280 x 720, from disk: nothing is cut off, and what is too tall can be moved."""
    if find_browser() is None:
        pytest.skip(f"no browser on PATH: install one of {', '.join(BROWSERS)}")
    ask = """(() => {
        const box = Reveal.getCurrentSlide().querySelector(".fit");
        const image = box.querySelector("img");
        return { over: box.scrollHeight - box.clientHeight, moved: box.tabIndex === 0,
                 letters: parseFloat(getComputedStyle(box).fontSize),
                 wide: box.scrollWidth - box.clientWidth,
                 picture: image ? image.getBoundingClientRect().height : 999 };
    })()"""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
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
            assert said["picture"] >= 100, number
            page.keyboard.press("Space")
        assert page.evaluate("Reveal.isLastSlide()")
        assert heard == []
        browser.close()

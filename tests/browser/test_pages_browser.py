"""Our pages in a real browser: on a phone, in the dark, by keyboard, on paper."""

from pathlib import Path

import pytest
from matplotlib.figure import Figure

from ssl3d_lite.html import as_html, details, heading, paragraph, picture, write_html


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "page.html"
    wide = [str(number) * 12 for number in range(9)]
    parts = [
        heading("Task04_Hippocampus_as_a_very_long_name_without_a_single_space", 1),
        picture(Figure(figsize=(9, 3)), "a figure"),
        as_html((wide, [wide])),
        details("Opens", "to more", [paragraph("what was folded")]),
    ]
    write_html(path, "A page", parts)
    return path


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_reaches_beyond_the_window(browser, page_file, width):
    page = browser.new_page(viewport={"width": width, "height": 800})
    page.goto(page_file.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator("img").bounding_box()["width"] >= min(width, 500)  # its words can be read
    page.close()


def test_in_the_dark_the_page_is_dark_and_figures_lie_on_white(browser, page_file):
    def colours(scheme: str) -> tuple[str, str, str]:
        page = browser.new_page(color_scheme=scheme)
        page.goto(page_file.as_uri())
        style = "getComputedStyle(document.querySelector('{}')).{}"
        found = [("body", "backgroundColor"), ("body", "color"), ("img", "backgroundColor")]
        told = tuple(page.evaluate(style.format(*each)) for each in found)
        page.close()
        return told

    assert colours("light") == ("rgb(255, 255, 255)", "rgb(34, 34, 34)", "rgb(255, 255, 255)")
    assert colours("dark") == ("rgb(24, 24, 24)", "rgb(227, 227, 227)", "rgb(255, 255, 255)")


def test_a_line_opens_by_keyboard_and_all_are_open_on_paper(browser, page_file):
    page = browser.new_page()
    page.goto(page_file.as_uri())
    folded = page.get_by_text("what was folded")
    assert not folded.is_visible()
    for _ in range(3):  # a table that can be moved sideways comes before
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.tagName") == "SUMMARY":
            break
    page.keyboard.press("Enter")
    assert folded.is_visible()
    page.keyboard.press("Enter")
    assert not folded.is_visible()
    page.emulate_media(media="print", color_scheme="dark")
    assert folded.is_visible()
    white = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert white == "rgb(255, 255, 255)"
    page.close()

"""A border between two predictions in a saved page: by mouse, by keyboard, on a phone."""

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from ssl3d_lite.show.browser.wipe import wipe

SHAPE = (20, 24, 16)
ORANGE, GREEN = [213, 94, 0], [0, 158, 115]  # too much, right


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first prediction has the class everywhere, the second one is right."""
    scan = np.random.default_rng(0).normal(size=SHAPE)
    truth = np.zeros(SHAPE, int)
    truth[2:-2, 2:-2, 2:-2] = 1
    found = {"from scratch": np.ones(SHAPE, int), "pretrained": truth}
    view = wipe(scan, found, truth)
    view.opacity, view.voxel = 1, [10, 12, 8]
    return view.save(tmp_path_factory.mktemp("pages") / "wipe.html", "Both")


def open_page(browser: Browser, file: Path, width: int = 1200, **more) -> Page:
    page = browser.new_page(viewport={"width": width, "height": 1000}, **more)
    page.set_default_timeout(60_000)
    page.goto(file.as_uri())
    page.wait_for_function("document.querySelector('.ssl3d-slices canvas')?.width > 300 / 4")
    return page


def colour_at(page: Page, plane: int, across: float, down: float) -> list[int]:
    """The colour of a canvas at shares of its width and height."""
    return page.evaluate(
        """([plane, across, down]) => {
            const canvas = document.querySelectorAll('.ssl3d-planes canvas')[plane];
            const [x, y] = [across * canvas.width, down * canvas.height];
            return [...canvas.getContext('2d').getImageData(x, y, 1, 1).data].slice(0, 3);
        }""",
        [plane, across, down],
    )


def test_the_border_follows_mouse_and_keyboard(browser, page_file):
    errors: list[object] = []
    page = open_page(browser, page_file)
    page.on("pageerror", lambda error: errors.append(error))
    corner = (0.04, 0.04)  # what is too much on the left is right on the right
    right_corner = (0.96, 0.96)
    for plane in range(3):
        assert colour_at(page, plane, *corner) == ORANGE
        assert colour_at(page, plane, *right_corner) != ORANGE
        assert colour_at(page, plane, 0.25, 0.3) == GREEN
    box = page.locator(".ssl3d-planes canvas").nth(1).bounding_box()
    y = box["y"] + 0.3 * box["height"]
    page.mouse.move(box["x"] + 0.5 * box["width"], y)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.3 * box["width"], y)
    page.mouse.move(box["x"], y)
    page.mouse.up()
    for plane in range(3):
        assert colour_at(page, plane, *corner) != ORANGE
    slider = page.get_by_role("slider", name="border between from scratch and pretrained")
    assert float(slider.input_value()) == 0
    slider.focus()
    page.keyboard.press("End")
    assert colour_at(page, 2, *right_corner) == ORANGE
    page.keyboard.press("Home")
    assert colour_at(page, 2, *right_corner) != ORANGE
    for _ in range(50):
        page.keyboard.press("ArrowRight")
    assert 0.45 < float(slider.input_value()) < 0.55
    assert not errors
    page.close()


def test_the_line_names_both_sides_and_a_click_beside_the_border_moves_the_cross(
    browser, page_file
):
    page = open_page(browser, page_file)
    canvas = page.locator(".ssl3d-planes canvas").first
    box = canvas.bounding_box()
    canvas.click(position={"x": 0.1 * box["width"] / 4, "y": 4})
    told = page.locator(".ssl3d-told").inner_text()
    assert "from scratch: too much" in told
    assert "pretrained: –" in told
    assert "voxel (" in told
    page.close()


def test_on_a_phone_a_finger_moves_the_border(browser, page_file):
    page = open_page(browser, page_file, 390, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    canvas = page.locator(".ssl3d-planes canvas").first
    box = canvas.bounding_box()
    at = {"clientY": box["y"] + 20, "pointerType": "touch", "button": 0, "pointerId": 7}
    page.evaluate("HTMLCanvasElement.prototype.setPointerCapture = () => {}")
    start = box["x"] + 0.5 * box["width"] + 14  # a finger hits beside the line
    canvas.dispatch_event("pointerdown", {**at, "clientX": start})
    canvas.dispatch_event("pointermove", {**at, "clientX": box["x"] + 0.9 * box["width"]})
    canvas.dispatch_event("pointerup", at)
    assert abs(float(page.locator(".ssl3d-border input").input_value()) - 0.9) < 0.03
    page.close()

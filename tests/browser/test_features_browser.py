"""The view of features in JupyterLab and as a page: all is answered without the kernel."""

import io
import re

import numpy as np
import pytest
from helpers import make_cohort
from PIL import Image, ImageColor

from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.show import Features, Puzzle3D, Slices
from ssl3d_lite.tasks import make_task

EVIL = "</script><script>document.title = 'evil'</script><img src=x onerror=\"document.title=1\">"
SETUP = """
from pathlib import Path
from helpers import make_cohort
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.show import Features
cohort = make_cohort(Path("cohort"), 6)
view = Features(make_encoder(cohort, filters=(4, 8)), cohort, cases=[0, 1, 2, 3])
heard = []
view.observe(lambda change: heard.append(change["name"]), ["voxel", "plane", "frame"])
view
"""
COUNT = """() => {
    window.sent = [];
    const send = WebSocket.prototype.send;
    WebSocket.prototype.send = function (data) {
        window.sent.push(data);
        return send.call(this, data);
    };
}"""

TWO_FRAMES = """() => new Promise((done) => {
    requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 30)));
})"""


def canvas_of(page, row, place):
    """The panel of a row (encoder) and a place (patient, then the crop)."""
    return page.locator(".ssl3d-board canvas").nth(row * 5 + place)


def point(page, canvas, across, up):
    """Move the mouse to a share of the canvas."""
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    x, y = box["x"] + across * box["width"], box["y"] + (1 - up) * box["height"]
    page.mouse.move(x, y)
    page.evaluate(TWO_FRAMES)
    return x, y


def pixels(canvas):
    return np.array(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB")).astype(int)


# ---- in JupyterLab -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def notebook(lab):
    from pathlib import Path

    tests = str(Path(__file__).parents[1])
    notebook = lab.open([f"import sys; sys.path.insert(0, {tests!r})", SETUP], height=1200)
    notebook.until(lambda: notebook.locate(".ssl3d-board canvas").count() == 15, "the panels")
    return notebook


def test_pointing_asks_the_kernel_nothing_and_a_click_tells_it_once(notebook):
    page, canvas = notebook.page, notebook.locate(".ssl3d-board canvas").first
    notebook.evaluate(COUNT)
    before = notebook.pixels(notebook.locate(".ssl3d-board canvas").nth(1))
    for share in np.linspace(0.1, 0.9, 15):
        point(page, canvas, share, 0.4)
    assert notebook.evaluate("window.sent.length") == 0
    assert notebook.run("print(heard)") == "[]"
    notebook.evaluate("() => { window.sent.length = 0; }")
    page.mouse.click(*point(page, canvas, 0.25, 0.6))
    notebook.until(lambda: notebook.evaluate("window.sent.length"), "a message")
    page.wait_for_timeout(300)
    assert notebook.evaluate("window.sent.length") == 1
    assert notebook.run("print(heard)") == "['voxel']"
    _, across, up = map(int, notebook.run("print(*view.voxel)").split())
    assert abs(across - 8) <= 1
    assert abs(up - 14) <= 1
    assert (notebook.pixels(notebook.locate(".ssl3d-board canvas").nth(1)) != before).any()
    assert notebook.errors == []
    assert notebook.outside == []


def test_the_kernel_can_ask(notebook):
    told = notebook.locate(".ssl3d-told")
    notebook.run("view.voxel = [5, 6, 7]")
    notebook.until(lambda: "(5, 6, 7)" in told.inner_text(), "the voxel")
    notebook.run("view.plane = 'axial'")
    axial = notebook.locate(".ssl3d-board canvas").first
    notebook.until(lambda: axial.evaluate("c => c.width < c.height"), "another plane")
    notebook.run("view.plane = 'sagittal'")


# ---- as a page -----------------------------------------------------------------------------------


@pytest.fixture
def opened(lab):
    """Opens a file without a network; the page has no error and asks for nothing else."""
    context = lab.browser.new_context(viewport={"width": 1200, "height": 1000}, offline=True)
    faults, asked = [], []

    def opened(path, wanted, width=1200):
        page = context.new_page()
        page.set_viewport_size({"width": width, "height": 1000})
        page.on("pageerror", lambda error: faults.append(error.stack or str(error)))
        page.on("console", lambda line: faults.append(line.text))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(path.as_uri())
        page.wait_for_selector(wanted)
        page.wait_for_timeout(100)
        return page

    yield opened
    context.close()
    assert faults == []
    assert all(address.startswith("file:") for address in asked)
    assert len(asked) == 1


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("scans"), 6)


@pytest.fixture(scope="module")
def view(scans):
    return Features(make_encoder(scans, filters=(4, 8)), scans, cases=[0, 1, 2, 3])


@pytest.fixture(scope="module")
def saved(view, tmp_path_factory):
    return view.save(tmp_path_factory.mktemp("page") / "features.html", "Features", EVIL)


def test_a_page_answers_from_disk(opened, saved):
    page = opened(saved, ".ssl3d-board canvas")
    before = [pixels(canvas_of(page, 0, place)) for place in range(5)]
    assert all(picture.std() > 5 for picture in before)
    first = page.locator(".ssl3d-told").inner_text()
    point(page, canvas_of(page, 0, 0), 0.2, 0.3)
    assert page.locator(".ssl3d-told").inner_text() != first
    assert any((pixels(canvas_of(page, 0, n)) != before[n]).any() for n in (1, 2, 3))
    page.mouse.move(2, 2)
    page.wait_for_timeout(100)
    assert page.locator(".ssl3d-told").inner_text() == first  # nothing was clicked
    assert "document.title" in page.locator("p").first.inner_text()
    assert page.title() == "Features"


def test_the_first_screen_has_the_conclusion_the_legend_and_the_rows(opened, saved, view):
    """And the table of numbers comes next: nobody scrolls to the end of a page for it."""
    page = opened(saved, ".ssl3d-board canvas")
    assert page.locator(".ssl3d-conclusion p").all_inner_texts() == view._conclusion
    parts = [".ssl3d-conclusion", ".ssl3d-legend", ".ssl3d-board", ".ssl3d-numbers"]
    boxes = [page.locator(part).bounding_box() for part in (*parts, ".ssl3d-patches")]
    tops = [box["y"] for box in boxes]
    assert tops == sorted(tops)
    assert tops[2] < 330
    for row, column in enumerate(view._columns):
        told = page.locator(".ssl3d-row").nth(row).inner_text().split("\n")
        names = filter(None, (column["name"], column["about"]))
        others, moved = (f"{share:.0%}" for share in column["right"])
        crop = ["crop still", f"✓ {column['still']:.0%}", "crop moved", f"✓ {moved}"]
        assert told == [*names, *crop, "B C D", f"✓ {others}"]


def test_three_steps_say_what_to_do_and_lie_above_what_they_are_about(opened, saved, view):
    page = opened(saved, ".ssl3d-board canvas")
    steps = [step.bounding_box() for step in page.locator(".ssl3d-step").all()]
    assert [text[0] for text in page.locator(".ssl3d-step").all_inner_texts()] == list("123")
    panels = [canvas_of(page, 0, place).bounding_box() for place in range(5)]
    crop = 4
    assert [panels[place]["x"] for place in (0, crop, 1)] == [step["x"] for step in steps]
    assert len({panel["width"] for panel in panels}) == 1
    assert steps[2]["x"] + steps[2]["width"] >= panels[3]["x"] + panels[3]["width"]


def pressed(page):
    """The position of the crop, and that its button alone is pressed."""
    (found,) = page.locator(".ssl3d-moves [aria-pressed=true]").all_inner_texts()
    return found


def test_buttons_move_the_crop(opened, saved, view):
    page = opened(saved, ".ssl3d-board canvas")
    caption = page.locator(".ssl3d-board figcaption").nth(14)  # of place alone
    spacing = np.array(view._patients[0]["spacing"])
    corners = np.array([frame["corner"] for frame in view._frames])
    far = [np.linalg.norm((corner - corners[0]) * spacing) for corner in corners[1:]]
    assert page.locator(".ssl3d-moves button").all_inner_texts() == ["↙", "not moved", "↗"]
    assert pressed(page) == "↗"
    for arrow, length in zip("↙↗", far, strict=True):
        page.get_by_role("button", name=f"moved {arrow} {length:.2g} mm").click()
        assert pressed(page) == arrow
        assert caption.inner_text()[0] == "✗"
    page.get_by_role("button", name="not moved").click()
    assert pressed(page) == "not moved"
    assert caption.inner_text() == "✓ the same place"


def test_on_its_way_to_the_others_the_pointer_changes_nothing(opened, saved):
    """A click on another patient asks from there; what is counted of A is dimmed then."""
    page = opened(saved, ".ssl3d-board canvas")
    told, share = page.locator(".ssl3d-told"), page.locator(".ssl3d-share").first
    page.mouse.click(*point(page, canvas_of(page, 0, 0), 0.4, 0.6))
    kept = told.inner_text()
    for place in (1, 2, 3):
        point(page, canvas_of(page, 1, place), 0.7, 0.3)
        assert told.inner_text() == kept
    opacity = "share => Number(getComputedStyle(share).opacity)"
    assert share.evaluate(opacity) == 1
    page.mouse.click(*point(page, canvas_of(page, 1, 3), 0.7, 0.3))
    assert "case_003" in told.inner_text()
    assert share.evaluate(opacity) < 0.5
    assert page.locator(".ssl3d-step").first.inner_text().endswith("a place in D")


def test_a_click_keeps_a_place_until_it_is_clicked_again(opened, saved):
    page = opened(saved, ".ssl3d-board canvas")
    told, hint = page.locator(".ssl3d-told"), page.locator(".ssl3d-head i").first
    assert hint.inner_text() == "a click keeps it"
    page.mouse.click(*point(page, canvas_of(page, 0, 0), 0.4, 0.6))
    kept = told.inner_text()
    assert hint.inner_text().startswith("kept")
    point(page, canvas_of(page, 0, 0), 0.7, 0.3)
    assert told.inner_text() == kept
    page.mouse.click(*point(page, canvas_of(page, 0, 0), 0.4, 0.6))
    assert hint.inner_text() == "a click keeps it"
    point(page, canvas_of(page, 0, 0), 0.7, 0.3)
    assert told.inner_text() != kept, "who is asked hears the pointer again"
    page.mouse.click(*point(page, canvas_of(page, 0, 0), 0.7, 0.3))
    assert hint.inner_text().startswith("kept"), "another place is kept in its stead"


def test_an_arrow_says_where_the_crop_has_moved_and_place_goes_with_it(opened, saved, view):
    """From the corner that it left, in the dark; the ring of place alone lies as far from the
    cross as the crop from where it was."""
    page = opened(saved, ".ssl3d-board canvas")
    crop = canvas_of(page, 0, 4)
    width, height = pixels(crop).shape[1::-1]
    first, _, moved = view._frames
    _, across, up = view._patients[0]["shape"]

    def bright(frame, other):
        """Halfway between the lower left corners, sagittal: across is y, up is z."""
        y, z = (np.add(frame["corner"], other["corner"]) / 2)[1:]
        x, y = y / across * width, (1 - z / up) * height
        return pixels(crop)[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4].min(-1).max()

    assert bright(first, moved) > 220
    page.get_by_role("button", name="not moved").click()
    assert bright(first, moved) < 220


def test_on_a_phone_pictures_come_first_and_a_swipe_scrolls_the_page(opened, saved):
    page = opened(saved, ".ssl3d-board canvas", 390)
    parts = (".ssl3d-conclusion p", ".ssl3d-board", ".ssl3d-controls", ".ssl3d-patches")
    tops = [page.locator(part).first.bounding_box()["y"] for part in parts]
    assert tops == sorted(tops)
    touch = "all => all.map((c) => getComputedStyle(c).touchAction)"
    assert set(page.locator(".ssl3d-features canvas[tabindex]").evaluate_all(touch)) == {"pan-y"}
    right = "all => Math.max(...all.map((e) => e.getBoundingClientRect().right))"
    assert page.locator(".ssl3d-features canvas, .ssl3d-features figure").evaluate_all(right) <= 390
    names, last = page.locator(".ssl3d-board .ssl3d-name"), canvas_of(page, 0, 3)
    page.evaluate("y => scrollTo(0, y)", last.bounding_box()["y"] - 300)
    assert all(0 <= names.nth(row).bounding_box()["y"] < 300 for row in range(3)), "names stay"
    places = [canvas_of(page, 0, place).bounding_box()["y"] for place in range(5)]
    steps = [step.bounding_box()["y"] for step in page.locator(".ssl3d-step").all()]
    order = [steps[0], places[0], steps[1], places[4], steps[2], *places[1:4]]
    assert order == sorted(order)


def test_a_finger_on_the_crop_scrolls_and_does_not_move_it(opened, saved):
    page = opened(saved, ".ssl3d-board canvas", 390)
    dragged = """canvas => {
        const { left, top, width, height } = canvas.getBoundingClientRect();
        const at = (share) => ({
            clientX: left + share * width, clientY: top + (1 - share) * height,
            pointerType: "touch", pointerId: 7, bubbles: true,
        });
        canvas.dispatchEvent(new PointerEvent("pointerdown", at(0.8)));
        canvas.dispatchEvent(new PointerEvent("pointermove", at(0.2)));
        canvas.dispatchEvent(new PointerEvent("pointerup", at(0.2)));
    }"""
    canvas_of(page, 0, 4).evaluate(dragged)
    assert pressed(page) == "↗"


def test_the_legend_says_how_near_a_right_ring_is(opened, saved, view):
    page = opened(saved, ".ssl3d-board canvas")
    rings = page.locator(".ssl3d-item:has(.ssl3d-mark-ring, .ssl3d-mark-dashed)")
    label, place = view._near
    page.locator(".ssl3d-legend details").evaluate("folded => { folded.open = true; }")
    assert rings.all_inner_texts() == [
        f"✓ best match, right: in the same part, or within {place:.2g} mm in the crop",
        "✗ wrong",
        f"right too: less than {label:.2g} mm from the same part",
        "best match, and no label tells",
        "a dashed ring lies in another slice",
    ]
    for each in view._classes:
        assert page.locator(".ssl3d-item", has_text=each["name"]).first.is_visible()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_board_stays_under_the_pointer(opened, saved, width):
    """Whatever is pointed at, with a label or without, the lines above are as high."""
    page = opened(saved, ".ssl3d-board canvas", width)
    told, panel = page.locator(".ssl3d-told"), canvas_of(page, 0, 0)
    top = "panel => panel.getBoundingClientRect().top + scrollY"
    seen = {(told.inner_text().split("voxel")[0], panel.evaluate(top))}
    for share in (0.02, 0.5):
        point(page, panel, share, share)
        seen.add((told.inner_text().split("voxel")[0], panel.evaluate(top)))
    page.get_by_text("show colours").click()
    seen.add((told.inner_text(), panel.evaluate(top)))
    assert len({text for text, _ in seen}) > 2
    assert len({top for _, top in seen}) == 1


def test_the_crop_is_seen_where_the_place_is_and_the_arrows_move_it(opened, saved):
    """The cross is the place, in the slice that all rows show; the ring is what a row finds."""
    page = opened(saved, ".ssl3d-board canvas")
    point(page, canvas_of(page, 0, 0), 0.6, 0.6)
    edges = [pixels(canvas_of(page, row, 4))[2, 2] for row in range(3)]  # outside the crop
    assert all((edge == edges[0]).all() for edge in edges)
    canvas_of(page, 0, 4).focus()
    seen = [pressed(page)]
    for key in ("ArrowRight", "ArrowLeft", "ArrowLeft", "ArrowLeft"):
        page.keyboard.press(key)
        page.evaluate(TWO_FRAMES)
        seen.append(pressed(page))
    assert seen == ["↗", "↗", "not moved", "↙", "↙"]


def test_a_place_outside_the_crop_has_its_cross_there_and_no_ring(opened, saved, view):
    page = opened(saved, ".ssl3d-board canvas")
    captions = page.locator(".ssl3d-board figcaption")
    crops = [canvas_of(page, row, 4) for row in range(3)]
    marks = [ImageColor.getrgb(colour) for colour in view._marks]

    def ringed(canvas):
        return any((pixels(canvas) == mark).all(-1).sum() > 10 for mark in marks)

    point(page, canvas_of(page, 0, 0), 0.6, 0.6)
    assert all(captions.nth(5 * row + 4).inner_text()[0] in "✓✗" for row in range(3))
    assert all(map(ringed, crops))
    point(page, canvas_of(page, 0, 0), 0.1, 0.15)
    for row, crop in enumerate(crops):
        assert captions.nth(5 * row + 4).inner_text() == "outside the crop"
        assert not ringed(crop)
        bright = np.argwhere(pixels(crop).min(-1) > 240)[:, ::-1] / pixels(crop).shape[1::-1]
        assert (np.abs(bright - [0.1, 0.85]).max(1) < 0.1).sum() > 10  # the arms of the cross


def test_rings_are_judged_as_they_are_counted(opened, saved, view):
    page = opened(saved, ".ssl3d-board canvas")
    captions = page.locator(".ssl3d-board figcaption")
    judge, cells, _ = view._judged
    seen = set()
    _, across, up = view.voxel  # the middle of the largest label
    for aside in (-4, -2, 0, 2, 4):
        point(page, canvas_of(page, 0, 0), (across + aside + 0.5) / 32, (up + 0.5) / 24)
        place = np.array([list(map(int, re.findall(r"\d+", told_of(page))[:3]))])
        texts = np.array(captions.all_inner_texts()).reshape(3, 5)
        for row, column in enumerate(cells):
            counted = judge.in_patients(column, place)
            marks = [text[0] == "✓" for text in texts[row, 1:4] if text[0] in "✓✗"]
            assert counted == (pytest.approx(np.mean(marks)) if marks else None)
            seen.update(marks)
            crop = {None: "o", 0: "✗", 1: "✓"}[judge.in_crops(column, place)[view.frame]]
            assert texts[row, 4][0] == crop
    assert seen == {True, False}


def told_of(page):
    return page.locator(".ssl3d-told").inner_text()


def test_the_slider_goes_from_scan_to_features(opened, saved):
    page = opened(saved, ".ssl3d-board canvas")
    slider = page.locator(".ssl3d-controls input[type=range]").first
    colour = {}
    for value in (0, 1):
        slider.fill(str(value))
        picture = pixels(canvas_of(page, 0, 0))[20:60, 20:60]
        colour[value] = np.ptp(picture, axis=2).mean()
    assert colour[1] > 5 * colour[0]


def test_place_stays_at_its_position_in_the_crop(opened, saved):
    """And the crop is moved by the mouse."""
    page = opened(saved, ".ssl3d-board canvas")
    captions = page.locator(".ssl3d-board figcaption")
    moved = canvas_of(page, 2, 4)
    assert "mm off" in captions.nth(14).inner_text()
    x, y = point(page, moved, 0.6, 0.6)
    box = moved.bounding_box()  # half of the crop's way is an eighth of the scan
    page.mouse.down()
    page.mouse.move(x - box["width"] / 8, y + box["height"] / 8, steps=5)
    page.mouse.up()
    page.wait_for_timeout(100)
    assert captions.nth(14).inner_text() == "✓ the same place"


def test_colours_and_matches_by_turns(opened, saved):
    page = opened(saved, ".ssl3d-board canvas")
    before = pixels(canvas_of(page, 1, 2))
    page.get_by_text("show colours").click()
    assert (pixels(canvas_of(page, 1, 2)) != before).any()
    page.get_by_text("show matches").click()
    assert (pixels(canvas_of(page, 1, 2)) == before).all()


def test_every_patient_can_be_asked(opened, saved):
    page = opened(saved, ".ssl3d-board canvas")
    told, captions = page.locator(".ssl3d-told"), page.locator(".ssl3d-board figcaption")
    page.mouse.click(*point(page, canvas_of(page, 0, 2), 0.5, 0.5))
    assert "case_002" in told.inner_text()
    assert captions.nth(2).inner_text() == "features in colours"  # it is asked, and has no match
    page.get_by_label(re.compile("^plane")).select_option("axial")
    assert "case_002" in told.inner_text()


def test_a_dot_asks_as_its_voxel_does(opened, saved):
    page = opened(saved, ".ssl3d-board canvas")
    told, plot = page.locator(".ssl3d-told"), page.locator(".ssl3d-plots canvas").first
    colours = page.get_by_label("dots are coloured by")
    before = pixels(plot)
    seen = set()
    for share in np.linspace(0.2, 0.8, 7):
        point(page, plot, share, share)
        seen.add(told.inner_text())
    assert len(seen) > 3
    page.mouse.move(2, 2)
    page.wait_for_timeout(100)
    for name in ("place", "patient", "label"):
        colours.select_option(name)
        after = pixels(plot)
        assert (after != before).any() or name == "label"
    assert (pixels(plot) == before).all()


def test_three_planes_follow_what_is_asked(opened, saved):
    """The scan, its colours and the heat of a click cross at the voxel, of whoever is looked at."""
    page = opened(saved, ".ssl3d-three canvas")
    panels, captions = page.locator(".ssl3d-three canvas"), page.locator(".ssl3d-three figcaption")
    before = [pixels(panels.nth(n)) for n in range(9)]
    page.mouse.click(*point(page, canvas_of(page, 0, 0), 0.3, 0.7))
    page.wait_for_timeout(100)
    x, y, z = re.findall(r"\d+", page.locator(".ssl3d-told").inner_text())[:3]
    places = [f"sagittal, x = {x}", f"coronal, y = {y}", f"axial, z = {z}"]
    assert captions.all_inner_texts() == 3 * places
    assert all((pixels(panels.nth(n)) != before[n]).any() for n in range(9))
    scan, colours, heat = (pixels(panels.nth(n)) for n in (1, 4, 7))
    grey = [np.ptp(each, axis=2)[20:-20, 20:-20].mean() for each in (scan, colours, heat)]
    assert grey[1] > 3 * grey[0]
    assert (scan != heat).any()
    page.get_by_label("three planes of").select_option(label="C case_002")
    assert captions.all_inner_texts() != 3 * places  # where it finds the voxel in C
    page.mouse.click(*point(page, panels.nth(2), 0.5, 0.5))  # axial, of C
    page.wait_for_timeout(100)
    assert "of case_002" in page.locator(".ssl3d-told").inner_text()


def test_the_nearest_patches_are_asked_by_a_click(opened, saved):
    page = opened(saved, ".ssl3d-patches canvas")
    told, captions = page.locator(".ssl3d-told"), page.locator(".ssl3d-patches figcaption")
    rows = np.array(captions.all_inner_texts()).reshape(3, 11)
    assert set(rows[:, 0]) == {"A asked"}
    unit = re.compile(r"[ABCD] (✓|✗ [\d.]+ mm)")
    assert all(unit.fullmatch(text) for text in rows[:, 1:].ravel())
    page.locator(".ssl3d-patches canvas").nth(2).click()
    letter = rows[0, 2][0]
    assert f"of case_{'ABCD'.index(letter):03}" in told.inner_text()
    assert captions.first.inner_text() == f"{letter} asked"


def test_colours_in_3d_are_turned_together(opened, saved):
    page = opened(saved, ".ssl3d-solid canvas")
    canvases = page.locator(".ssl3d-solid canvas")
    page.wait_for_timeout(500)  # they are drawn last
    before = [pixels(canvases.nth(n)) for n in range(3)]
    assert all(np.ptp(picture, axis=2).max() > 40 for picture in before)
    x, y = point(page, canvases.first, 0.5, 0.5)
    page.mouse.down()
    page.mouse.move(x + 60, y + 10, steps=3)
    page.mouse.up()
    page.wait_for_timeout(300)
    assert all((pixels(canvases.nth(n)) != before[n]).any() for n in range(3))
    labels = (np.ptp(pixels(canvases.first), axis=2) > 20).mean()
    page.get_by_label("what is shown in 3D").select_option("scan")
    page.wait_for_timeout(300)
    assert (np.ptp(pixels(canvases.first), axis=2) > 20).mean() > 1.5 * labels


def test_the_nearest_patients_are_those_of_who_is_asked(opened, saved):
    page = opened(saved, ".ssl3d-nearest canvas")
    strips = page.locator(".ssl3d-nearest .ssl3d-thumbs")
    assert strips.count() == 3

    def found(row):
        return strips.nth(row).locator("figcaption").all_inner_texts()

    first = [found(row) for row in range(3)]
    assert all(texts[0] == "asked" and len(set(texts)) == 5 for texts in first)
    framed = strips.nth(0).locator(".ssl3d-framed figcaption").all_inner_texts()
    assert framed == [name for name in first[0][1:] if name in first[2]]
    assert strips.nth(2).locator(".ssl3d-framed").count() == 0  # the control frames the others
    assert "compares grey values" in page.locator(".ssl3d-nearest .ssl3d-note").inner_text()
    page.mouse.click(*point(page, canvas_of(page, 0, 2), 0.5, 0.5))
    page.wait_for_timeout(100)
    assert [found(row) for row in range(3)] != first
    assert any("…002" in texts for texts in first)
    assert "…002" not in found(0)


@pytest.mark.parametrize("width", [390, 700, 1400])
def test_a_page_is_no_wider_than_its_window(opened, saved, width):
    page = opened(saved, ".ssl3d-board canvas", width)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator(".ssl3d-board canvas").first.bounding_box()["width"] > 60


def test_every_view_can_be_a_page(opened, scans, tmp_path):
    image, label = scans[0]
    path = Slices(image, label, title=EVIL, label_names=["a", EVIL, "c"]).save(tmp_path / "s.html")
    page = opened(path, ".ssl3d-slices canvas")
    assert page.locator("h4").inner_text() == EVIL
    assert page.title() == "Slices"
    canvas = page.locator(".ssl3d-slices canvas").first
    before = pixels(canvas)
    canvas.focus()
    page.keyboard.press("PageUp")
    assert (pixels(canvas) != before).any()


def test_a_puzzle_can_be_a_page(opened, scans, tmp_path):
    import torch

    task = make_task("jigsaw", make_encoder(scans, filters=(4, 8)).settings, patch=7, jitter=1)
    volumes = scans.images([0, 1])
    batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
    path = Puzzle3D(volumes, batch).save(tmp_path / "p.html")
    page = opened(path, ".ssl3d-puzzle3d canvas, canvas")
    assert pixels(page.locator("canvas").first).std() > 5

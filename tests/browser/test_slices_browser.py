"""Three planes in JupyterLab: what is scrolled, clicked, dragged changes the right pixels."""

import numpy as np
import pytest

from ssl3d_lite.show.pieces import COLOURS

SHAPE = (20, 24, 16)
PLANES = {"sagittal": (0, 1, 2), "coronal": (1, 0, 2), "axial": (2, 0, 1)}  # axis, across, up
SCAN = """
import numpy as np
import torch
from pathlib import Path
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show import Slices, puzzle_slices
from ssl3d_lite.tasks import make_task

def made_up(shape):
    dice = np.random.default_rng(0)
    scan = dice.integers(0, 256, (2, *shape)).astype(np.float32)
    scan[:, 0, 0, :2] = 0, 255  # so that a byte is its value
    return scan, (scan[0] > 200).astype(np.uint8)

"""
VIEW = f"""
scan, labels = made_up({SHAPE})
view = Slices(scan, labels, label_names=["rest", "bright"], window=(0, 255), title="noise")
view.add_class("noise")
"""
PUZZLE = """
task = make_task("jigsaw", EncoderSettings(), patch=24, jitter=3)
volumes = torch.rand(1, 1, 96, 96, 96, generator=torch.Generator().manual_seed(0))
batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
puzzle = puzzle_slices(volumes, batch)
puzzle.add_class("puzzle")
puzzle
"""


@pytest.fixture(scope="module")
def notebook(lab):
    notebook = lab.open([SCAN + VIEW + "view", PUZZLE], height=1300)
    notebook.until(lambda: notebook.locate(".puzzle canvas").count() == 3, "the planes")
    return notebook


@pytest.fixture(scope="module")
def scan():
    space = {}
    exec(SCAN + VIEW.split("view =")[0], space)
    return space["scan"], space["labels"]


@pytest.fixture
def fresh(notebook):
    """As at the beginning."""
    notebook.page.mouse.move(2, 2)
    notebook.run(
        "view.channel, view.opacity, view.window, view.voxel = 0, 0, [0, 255], [10, 12, 8]\n"
        "puzzle.patch, puzzle.voxel = -1, [48, 48, 48]"
    )
    return notebook


def plane(notebook, name, view="noise"):
    return notebook.locate(f'.{view} canvas[aria-label="{name} plane"]')


def on_screen(notebook, name, view="noise"):
    """Where a plane is in the window, once it is there."""
    canvas = plane(notebook, name, view)
    canvas.scroll_into_view_if_needed()
    return canvas.bounding_box()


def colours(notebook, name):
    """Of each voxel of a plane, as seen in the window: (across, up, 3)."""
    pixels = notebook.pixels(plane(notebook, name))
    _, across, up = PLANES[name]
    column = ((np.arange(SHAPE[across]) + 0.5) / SHAPE[across] * pixels.shape[1]).astype(int)
    row = ((np.arange(SHAPE[up]) + 0.5) / SHAPE[up] * pixels.shape[0]).astype(int)
    return pixels[::-1][row].swapaxes(0, 1)[column].astype(int)


def free(name, voxel):
    """Voxels of a plane that neither cross nor letters cover."""
    _, across, up = PLANES[name]
    clear = np.ones((SHAPE[across], SHAPE[up]), bool)
    clear[voxel[across]] = clear[:, voxel[up]] = False
    a, b = SHAPE[across] // 2, SHAPE[up] // 2
    for letter in (np.s_[:2, b - 2 : b + 2], np.s_[-2:, b - 2 : b + 2]):
        clear[letter] = False
    for letter in (np.s_[a - 2 : a + 2, :2], np.s_[a - 2 : a + 2, -2:]):
        clear[letter] = False
    return clear


def assert_shown(notebook, volume, voxel, window=(0, 255), names=PLANES):
    """The planes through a voxel, grey by grey."""
    for name in names:
        where = free(name, voxel)
        values = np.take(volume, voxel[PLANES[name][0]], PLANES[name][0])
        greys = (255 * (values - window[0]) / (window[1] - window[0])).clip(0, 255)
        seen = colours(notebook, name)
        wanted = np.repeat(greys[..., None], 3, -1)
        assert np.abs(seen - wanted)[where].max() <= 0.51, name  # rounded
        assert where.mean() > 0.7


def spoke(notebook, expression, wanted):
    notebook.until(lambda: notebook.run(expression) == wanted, f"{expression} = {wanted}")


def click(notebook, name, voxel, view="noise", shape=SHAPE):
    box, (_, across, up) = on_screen(notebook, name, view), PLANES[name]
    x = (voxel[across] + 0.5) / shape[across] * box["width"]
    y = box["height"] - (voxel[up] + 0.5) / shape[up] * box["height"]
    notebook.page.mouse.click(box["x"] + x, box["y"] + y)


def wheel(notebook, name, turns, view="noise"):
    box = on_screen(notebook, name, view)
    notebook.page.mouse.move(box["x"] + 9, box["y"] + 9)
    notebook.page.mouse.move(box["x"] + 12, box["y"] + 12)
    for _ in range(abs(turns)):
        notebook.page.mouse.wheel(0, -100 if turns > 0 else 100)
    notebook.page.wait_for_timeout(100)


# ---- what is seen ------------------------------------------------------------------------------


def test_each_plane_shows_its_voxels(fresh, scan):
    assert_shown(fresh, scan[0][0], [10, 12, 8])


def test_the_wheel_goes_through_the_slices(fresh, scan):
    wheel(fresh, "axial", 3)
    spoke(fresh, "view.voxel", "[10, 12, 11]")
    assert_shown(fresh, scan[0][0], [10, 12, 11])
    wheel(fresh, "sagittal", -2)
    spoke(fresh, "view.voxel", "[8, 12, 11]")
    assert_shown(fresh, scan[0][0], [8, 12, 11])


def test_a_dead_wheel_is_noticed(fresh, scan):
    """With its callback removed the test above must fail."""
    fresh.run(
        "class Dead(Slices):\n"
        "    _esm = str(Slices._esm)\n"
        "    assert _esm.count('addEventListener(\"wheel\"') == 1\n"
        "    _esm = _esm.replace('addEventListener(\"wheel\"', 'addEventListener(\"nothing\"')\n"
        "dead = Dead(scan, window=(0, 255), title='dead')\n"
        "dead.add_class('dead')\n"
        "dead"
    )
    fresh.until(lambda: fresh.locate(".dead canvas").count() == 3, "the planes")
    before = fresh.pixels(plane(fresh, "axial", "dead"))[2:-2, 2:-2]
    wheel(fresh, "axial", 3, "dead")
    assert fresh.run("dead.voxel") == "[10, 12, 8]"
    after = fresh.pixels(plane(fresh, "axial", "dead"))[2:-2, 2:-2]
    np.testing.assert_array_equal(after, before)
    wheel(fresh, "axial", 3)
    spoke(fresh, "view.voxel", "[10, 12, 11]")


def test_keys_go_through_the_slices_and_are_no_commands_of_jupyterlab(fresh, scan):
    cells = "jupyterapp.shell.currentWidget.content"
    canvas = plane(fresh, "coronal")
    canvas.focus()
    before = fresh.evaluate(f"[{cells}.activeCellIndex, {cells}.widgets.length]")
    for key, place in (("ArrowUp", 13), ("ArrowLeft", 12), ("PageUp", 22), ("Home", 0)):
        canvas.press(key)
        fresh.page.wait_for_timeout(50)
        assert canvas.get_attribute("aria-valuenow") == str(place)
    canvas.press("ArrowDown")
    for key in ("End", "b", "d", "d", "x"):
        canvas.press(key)
    assert fresh.evaluate(f"[{cells}.activeCellIndex, {cells}.widgets.length]") == before
    spoke(fresh, "view.voxel", "[10, 23, 8]")
    assert_shown(fresh, scan[0][0], [10, 23, 8])


def test_a_click_moves_the_other_planes_there(fresh, scan):
    click(fresh, "axial", [4, 19, 8])
    spoke(fresh, "view.voxel, view.patch", "([4, 19, 8], -1)")
    assert_shown(fresh, scan[0][0], [4, 19, 8])
    click(fresh, "sagittal", [4, 5, 2])
    spoke(fresh, "view.voxel", "[4, 5, 2]")
    assert_shown(fresh, scan[0][0], [4, 5, 2])


def test_the_cross_is_where_the_voxel_is(fresh):
    for voxel in ([3, 4, 8], [17, 21, 8]):
        fresh.run(f"view.window, view.voxel = [254.9, 255], {voxel}")  # nearly all black
        fresh.page.wait_for_timeout(300)
        lit = fresh.pixels(plane(fresh, "axial")).mean(-1)
        lit[[0, -1]] = lit[:, [0, -1]] = 0  # where the page may show
        row, column = lit.mean(1).argmax(), lit.mean(0).argmax()
        assert lit[row].mean() > 150
        assert lit[:, column].mean() > 150
        assert column / lit.shape[1] * SHAPE[0] == pytest.approx(voxel[0] + 0.5, abs=0.15)
        assert (1 - row / lit.shape[0]) * SHAPE[1] == pytest.approx(voxel[1] + 0.5, abs=0.15)


def test_the_kernel_moves_it(fresh, scan):
    fresh.run("view.voxel = [1, 2, 3]")
    fresh.page.wait_for_timeout(100)
    assert_shown(fresh, scan[0][0], [1, 2, 3])


@pytest.mark.parametrize("how", ["shift", "right button"])
def test_dragging_changes_the_window(fresh, scan, how):
    box = on_screen(fresh, "axial")
    button = "right" if how == "right button" else "left"
    mouse = fresh.page.mouse
    if how == "shift":
        fresh.page.keyboard.down("Shift")
    mouse.move(box["x"] + 150, box["y"] + 100)
    mouse.down(button=button)
    mouse.move(box["x"] + 60, box["y"] + 60, steps=4)
    mouse.up(button=button)
    fresh.page.keyboard.up("Shift")
    width, level = 255 * np.exp(-90 / 150), 127.5 - 40 / 200 * 255
    wanted = [max(0.0, float(level - width / 2)), float(level + width / 2)]
    spoke(fresh, "[round(v, 3) for v in view.window]", str([round(v, 3) for v in wanted]))
    assert_shown(fresh, scan[0][0], [10, 12, 8], wanted)
    assert fresh.page.locator(".lm-Menu:visible").count() == 0
    fresh.locate(".noise button").click()
    spoke(fresh, "view.window", "[0.0, 255.0]")
    assert_shown(fresh, scan[0][0], [10, 12, 8])


def test_sliders_change_the_window(fresh, scan):
    low, high = (
        fresh.locate(f'.noise label:has-text("{text} at") input') for text in ("black", "white")
    )
    low.focus()
    low.press("PageUp")
    high.press("End")
    high.press("ArrowLeft")
    spoke(fresh, "float(view.window[1])", "254.0")
    window = eval(fresh.run("view.window"))
    assert 10 < window[0] < 60
    assert_shown(fresh, scan[0][0], [10, 12, 8], window)


def test_labels_are_laid_over_as_strongly_as_the_slider_says(fresh, scan):
    volume, labels = scan[0][0], scan[1]
    colour = np.array([int(COLOURS[0][at : at + 2], 16) for at in (1, 3, 5)])
    slider = fresh.locate('.noise label:has-text("labels") input')
    where = free("axial", [10, 12, 8]) & (labels[:, :, 8] == 1)
    slider.focus()
    for key, opacity in (("End", 1.0), ("ArrowLeft", 0.95), ("Home", 0.0)):
        slider.press(key)
        spoke(fresh, "view.opacity", str(opacity))
        seen, greys = colours(fresh, "axial")[where], volume[:, :, 8][where][:, None]
        assert np.abs(seen - (greys + opacity * (colour - greys))).max() <= 0.51
    assert where.sum() > 20
    assert fresh.locate(".noise .ssl3d-legend").inner_text() == "bright"


def test_each_channel_has_its_own_window(fresh, scan):
    fresh.run("view.window = [50, 100]")
    told = fresh.locate(".noise .ssl3d-told")
    fresh.until(lambda: "window 50 to 100" in told.inner_text(), "the window")
    picker = fresh.locate(".noise select")
    picker.select_option("channel 1")
    spoke(fresh, "view.channel, view.window", "(1, [0.0, 255.0])")
    assert_shown(fresh, scan[0][1], [10, 12, 8])
    fresh.run("view.channel = 0")
    fresh.until(lambda: picker.input_value() == "0", "the channel")
    spoke(fresh, "view.channel, view.window", "(0, [50.0, 100.0])")
    assert_shown(fresh, scan[0][0], [10, 12, 8], (50, 100))


def test_the_line_below_tells_of_the_voxel_under_the_pointer(fresh, scan):
    told = fresh.locate(".noise .ssl3d-told")
    box = on_screen(fresh, "axial")
    for voxel in ([4, 19, 8], [15, 3, 8]):
        fresh.page.mouse.move(
            box["x"] + (voxel[0] + 0.5) / SHAPE[0] * box["width"],
            box["y"] + box["height"] - (voxel[1] + 0.5) / SHAPE[1] * box["height"],
        )
        value, label = int(scan[0][0][tuple(voxel)]), scan[1][tuple(voxel)]
        place = f"voxel ({', '.join(map(str, voxel))}) · value ≈ {value}"
        assert told.inner_text() == place + " · bright" * int(label) + " · window 0 to 255"
    fresh.page.mouse.move(2, 2)
    assert told.inner_text().startswith("voxel (10, 12, 8)")


def test_a_notebook_that_is_scrolled_goes_on_under_a_pointer_at_rest(fresh):
    page = fresh.page
    page.set_viewport_size({"width": 1200, "height": 500})
    fresh.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTop = 0")
    page.mouse.move(300, 250)
    for _ in range(12):
        page.mouse.wheel(0, 80)
        page.wait_for_timeout(60)
    assert fresh.evaluate("document.querySelector('.jp-WindowedPanel-outer').scrollTop") > 700
    assert fresh.run("view.voxel, puzzle.voxel") == "([10, 12, 8], [48, 48, 48])"
    page.set_viewport_size({"width": 1200, "height": 1300})


def test_a_voxels_edges_make_the_planes_proportions(fresh):
    fresh.run("thick = Slices(scan[0], spacing=(1, 1, 3))\nthick.add_class('thick')\nthick")
    fresh.until(lambda: fresh.locate(".thick canvas").count() == 3, "the planes")
    for name, wanted in (("sagittal", 24 / 48), ("coronal", 20 / 48), ("axial", 20 / 24)):

        def as_wanted(name=name, wanted=wanted):
            box = plane(fresh, name, "thick").bounding_box()
            return box["width"] / box["height"] == pytest.approx(wanted, abs=0.01)

        fresh.until(as_wanted, f"the {name} plane's proportions")


# ---- pieces ------------------------------------------------------------------------------------


def test_a_click_chooses_the_piece_that_is_there(fresh):
    boxes = eval(
        fresh.run("[(b['number'], b['corners'][0], b['corners'][7]) for b in puzzle._boxes]")
    )
    number, low, _ = next(b for b in boxes if b[1][2] < 48 < b[2][2] and b[1][0] > 60)
    inside = [int(low[0]) + 4, int(low[1]) + 6, 48]
    before = fresh.pixels(plane(fresh, "axial", "puzzle"))
    click(fresh, "axial", inside, "puzzle", (96, 96, 96))
    spoke(fresh, "puzzle.voxel, puzzle.patch", str((inside, number)))
    told = fresh.locate(".puzzle .ssl3d-told").inner_text()
    assert (
        fresh.run(f"next(b['told'] for b in puzzle._boxes if b['number'] == {number})")[1:-1]
        in told
    )
    after = fresh.pixels(plane(fresh, "axial", "puzzle"))
    tinted = (after.max(-1).astype(int) - after.min(-1)) > 15
    assert tinted.mean() > ((before.max(-1).astype(int) - before.min(-1)) > 15).mean() + 0.03
    click(fresh, "axial", [0, 0, 48], "puzzle", (96, 96, 96))  # before the first corner's jitter
    outside = not any(
        all(a <= v <= b for a, v, b in zip(low, [0, 0, 48], high)) for _, low, high in boxes
    )
    assert outside
    spoke(fresh, "puzzle.voxel, puzzle.patch", "([0, 0, 48], -1)")


def test_boxes_can_be_hidden(fresh):
    coloured = []
    box = fresh.locate('.puzzle input[type="checkbox"]')
    for _ in range(2):
        pixels = fresh.pixels(plane(fresh, "coronal", "puzzle")).astype(int)
        coloured.append(((pixels.max(-1) - pixels.min(-1)) > 60).mean())
        box.click()
    assert coloured[0] > 0.01
    assert coloured[1] < 0.005  # letters
    assert box.is_checked()


# ---- speed, and manners ------------------------------------------------------------------------

MEASURE = """() => {
    const root = document.querySelector(".large .ssl3d-slices");
    const canvas = root.querySelector("canvas"), all = [], draws = [];
    canvas.focus();
    for (let count = 0; count < 60; count++) {
        const key = count % 30 < 15 ? "ArrowUp" : "ArrowDown", before = canvas.ariaValueNow;
        const start = performance.now();
        canvas.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
        for (const each of root.querySelectorAll("canvas")) {
            each.getContext("2d").getImageData(0, 0, 1, 1);  // until it is drawn
        }
        all.push(performance.now() - start);
        draws.push(Number(root.dataset.milliseconds));
        if (canvas.getAttribute("aria-valuenow") === before) throw new Error("did not move");
    }
    const median = (times) => times.sort((a, b) => a - b)[times.length / 2];
    return { all: median(all), draw: median(draws) };
}"""


def test_a_redraw_takes_less_than_20_ms(fresh):
    fresh.run(
        "scan, labels = made_up((128, 128, 128))\n"
        "task = make_task('jigsaw', EncoderSettings(), patch=38)\n"
        "volumes = torch.tensor(scan)[None]\n"
        "params = task.sample_params(volumes, torch.Generator().manual_seed(0))\n"
        "batch = task.make_views(volumes, params)\n"
        "from ssl3d_lite.show import pieces_of\n"
        "large = Slices(scan, labels, pieces=pieces_of(batch))\n"
        "large.add_class('large')\n"
        "large"
    )
    fresh.until(lambda: fresh.locate(".large canvas").count() == 3, "the planes")
    fresh.page.wait_for_timeout(500)
    median = fresh.evaluate(MEASURE)
    print(f"key to pixels {median['all']:.1f} ms, of it drawing {median['draw']:.1f} ms")
    assert 0 < median["draw"] <= median["all"] < 20


def test_it_can_be_read_in_the_dark(fresh):
    def contrast():
        script = """() => [document.querySelector(".noise .ssl3d-told"), document.querySelector(
            ".jp-Notebook")].map(e => getComputedStyle(e)).map((s, i) => i ? s.backgroundColor :
            s.color)"""
        text, ground = (
            np.mean([float(v) for v in c.split("(")[1].rstrip(")").split(",")[:3]])
            for c in fresh.evaluate(script)
        )
        return text - ground

    assert contrast() < -120
    fresh.theme("JupyterLab Dark")
    assert contrast() > 120
    fresh.theme("JupyterLab Light")


def test_no_script_complained_and_nothing_was_fetched_from_elsewhere(fresh):
    assert fresh.errors == []
    assert fresh.outside == []
    assert len(fresh.requests) > 20

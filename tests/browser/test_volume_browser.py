"""Puzzle3D and Volume3D in JupyterLab: what a reader moves and clicks changes what is seen."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

SETUP = """
import numpy as np, torch
from scipy.ndimage import gaussian_filter
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show import Puzzle3D, Volume3D
from ssl3d_lite.tasks import make_task

torch.set_num_threads(1)
noise = np.random.default_rng(0).normal(size=(2, 1, 24, 24, 24))
volumes = torch.tensor(gaussian_filter(noise, (0, 0, 2, 2, 2))).float()
task = make_task("jigsaw", EncoderSettings(filters=(4, 8)), patch=8, jitter=0, normalise=False)
batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
order = task.permutations[int(batch.target[0, 0])].tolist()

def deaf(listener):
    '''A Puzzle3D without one of its listeners.'''
    source = str(Puzzle3D._esm)
    assert source.count(listener) == 1, listener
    never = listener[: listener.index('"')] + '"never"'
    return type("Deaf", (Puzzle3D,), {"_esm": source.replace(listener, never)})(volumes, batch)
"""
VIEW = 'view = {}; view.add_class("{}"); view'


class Puzzle:
    """One Puzzle3D in the notebook, found by a class of its own."""

    def __init__(self, notebook, made: str, name: str):
        self.notebook, self.name = notebook, name
        notebook.run(VIEW.format(made, name))
        self.notebook.run(f"views = globals().get('views', {{}}); views['{name}'] = view")
        self.canvas = self.locate("canvas").first
        self.canvas.wait_for()
        self.settled()

    def locate(self, css):
        return self.notebook.locate(f".{self.name} {css}")

    def kernel(self, trait):
        return self.notebook.run(f"views['{self.name}'].{trait}")

    def set(self, trait, value):
        self.notebook.run(f"views['{self.name}'].{trait} = {value}")

    def pixels(self):
        return self.notebook.pixels(self.canvas)

    def drawing(self):
        """What is on the canvas: the same wherever the page has been scrolled to."""
        address = self.canvas.evaluate("canvas => canvas.toDataURL()")
        picture = Image.open(io.BytesIO(base64.b64decode(address.split(",")[1])))
        return np.array(picture.convert("RGBA")).astype(int)

    def settled(self):
        """Its pixels when they have stopped moving."""
        last = [self.pixels()]

        def still():
            self.notebook.page.wait_for_timeout(150)
            last.append(self.pixels())
            return (last[-1] == last[-2]).all()

        self.notebook.until(still, "pieces to stop moving")
        return last[-1]

    def changed(self, before, seconds=10):
        def differs():
            now = self.pixels()
            return now.shape != before.shape or (now != before).any()

        self.notebook.until(differs, "changed pixels", seconds)
        return self.settled()


@pytest.fixture(scope="module")
def notebook(lab):
    return lab.open([SETUP], height=1100)


@pytest.fixture(scope="module")
def puzzle(notebook):
    return Puzzle(notebook, "Puzzle3D(volumes, batch)", "whole")


@pytest.fixture
def fresh(puzzle):
    """The same puzzle, as it was at first."""
    for trait, value in {"apart": 0, "shuffled": True, "picked": -1, "turn": [30, 25]}.items():
        puzzle.set(trait, value)
    puzzle.settled()
    return puzzle


def alike(one, other):
    """Whether two drawings are the same but for how edges are smoothed: browsers change that."""
    return one.shape == other.shape and (abs(one - other) > 40).any(-1).mean() < 0.001


def pull_apart(puzzle, seconds=10):
    before = puzzle.pixels()
    puzzle.locate("input.apart").press("End")
    puzzle.changed(before, seconds)


def put_back(puzzle, seconds=10):
    before = puzzle.pixels()
    puzzle.locate("button.put-back").click()
    puzzle.changed(before, seconds)


def shuffle(puzzle, seconds=10):
    puzzle.set("shuffled", False)
    before = puzzle.settled()
    puzzle.locate("button.shuffle").click()
    puzzle.changed(before, seconds)


def pick(puzzle, seconds=10):
    before = puzzle.pixels()
    puzzle.canvas.click()
    puzzle.changed(before, seconds)


def pull_from_kernel(puzzle, seconds=10):
    before = puzzle.pixels()
    puzzle.set("apart", 0.5)
    puzzle.changed(before, seconds)


def test_the_slider_moves_pieces_apart_and_tells_the_kernel(fresh):
    together = fresh.drawing()
    pull_apart(fresh)
    assert fresh.kernel("apart") == "1.0"
    assert not alike(fresh.drawing(), together)
    apart = fresh.settled()
    fresh.locate("input.apart").press("Home")
    fresh.changed(apart)
    assert alike(fresh.drawing(), together)


def test_pieces_are_put_back_and_shuffled_again(fresh):
    shuffled = fresh.drawing()
    put_back(fresh)
    assert fresh.kernel("shuffled") == "False"
    assert not alike(fresh.drawing(), shuffled)
    home = fresh.settled()
    fresh.locate("button.shuffle").click()
    fresh.changed(home)
    assert alike(fresh.drawing(), shuffled)
    assert fresh.kernel("shuffled") == "True"


def test_a_click_picks_the_piece_under_it(fresh):
    # The ray through the canvas's middle leaves the cube by its front, right and upper piece:
    # the last cell, in which view 26 is shown.
    pick(fresh)
    assert fresh.kernel("picked") == "26"
    home = fresh.notebook.run("order[26]")
    says = fresh.locate(".says").inner_text()
    assert says == f"piece {home}, shown in cell 26"
    fresh.canvas.click(position={"x": 5, "y": 5})
    fresh.notebook.until(lambda: fresh.kernel("picked") == "-1", "nothing picked")


def test_a_double_click_puts_one_piece_back(fresh):
    fresh.canvas.click()
    before = fresh.settled()
    fresh.canvas.dblclick()
    one = fresh.changed(before)
    assert fresh.kernel("shuffled") == "True", "the others stay"
    put_back(fresh)
    changed_by_all = (fresh.settled() != before).any(-1).sum()
    assert 0 < (one != before).any(-1).sum() < changed_by_all


def test_a_drag_and_arrow_keys_turn_the_puzzle(fresh):
    before, box = fresh.pixels(), fresh.canvas.bounding_box()
    mouse, x, y = fresh.notebook.page.mouse, box["x"] + 300, box["y"] + 200
    mouse.move(x, y)
    mouse.down()
    mouse.move(x + 40, y, steps=4)
    mouse.up()
    after = fresh.changed(before)
    assert fresh.kernel("turn") == "[50.0, 25.0]", "half a degree a pixel"
    assert fresh.kernel("picked") == "-1", "a drag is no click"
    fresh.canvas.press("ArrowLeft")
    fresh.changed(after)
    assert fresh.kernel("turn") == "[45.0, 25.0]"


def test_the_kernel_moves_pieces_too(fresh):
    pull_from_kernel(fresh)
    assert fresh.locate("input.apart").input_value() == "0.5"


@pytest.mark.parametrize(
    ("listener", "act"),
    [
        ('apart.addEventListener("input"', pull_apart),
        ('putBack.addEventListener("click"', put_back),
        ('shuffle.addEventListener("click"', shuffle),
        ('canvas.addEventListener("click"', pick),
        ('model.on("change:apart"', pull_from_kernel),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_without_its_listener_nothing_moves(notebook, listener, act):
    puzzle = Puzzle(notebook, f"deaf({listener!r})", f"deaf-{act.__name__.replace('_', '-')}")
    with pytest.raises(AssertionError, match="in vain for changed pixels"):
        act(puzzle, seconds=1)


def test_a_prediction_stands_beside_the_label_and_is_marked(notebook):
    prediction = "[order[1], order[0], *order[2:]]"
    puzzle = Puzzle(notebook, f"Puzzle3D(volumes, batch, prediction={prediction})", "guessed")
    puzzle.set("shuffled", False)
    puzzle.settled()
    puzzle.set("apart", 1)
    pixels = puzzle.settled()
    half = pixels.shape[1] // 2
    for colour in ([0, 158, 115], [213, 94, 0]):  # correct, wrong
        marked = (pixels == colour).all(-1)
        assert marked[:, :half].sum() == 0, "the label is not marked"
        assert marked[:, half:].sum() > 30
    text = puzzle.locate(".legend").inner_text()
    assert "✓ right" in text
    assert "✗ wrong" in text


def test_labels_fade_in_niivue(notebook):
    notebook.run("labels = (volumes[0, 0] > 0.1).to(torch.uint8)")
    notebook.run("scan = Volume3D(volumes[0], labels, label_names=('nothing', 'bright')); scan")
    canvas = notebook.locate(".ssl3d-volume3d canvas").first

    def coloured():  # how blue, the first class's colour
        pixels = notebook.pixels(canvas).astype(int)
        return ((pixels[..., 2] - pixels[..., 0]) > 20).sum()

    notebook.until(lambda: coloured() > 1000, "the labels", 60)
    assert notebook.locate(".ssl3d-volume3d").inner_text().count("bright") == 1
    handle = notebook.locate(".ssl3d-volume3d .noUi-handle").last
    for _ in range(12):  # from 60 % to nothing
        handle.press("ArrowLeft")
    notebook.until(lambda: coloured() < 100, "labels to fade", 60)
    assert notebook.run("round(scan.opacity.value, 2)") == "0.0"
    notebook.run("scan.opacity.unobserve_all()")
    for _ in range(12):
        handle.press("ArrowRight")
    notebook.page.wait_for_timeout(1000)
    assert coloured() < 100, "without its callback nothing comes back"


def test_nothing_complained_or_asked_for_another_server(notebook, puzzle):
    assert notebook.errors == []
    assert notebook.outside == []
    assert np.ptp(puzzle.pixels()) > 200


# ---- other questions ---------------------------------------------------------------------------

ASKING = """
asking = {name: make_task(name, EncoderSettings(filters=(4, 8)), **own) for name, own in {
    "cpc": {"patch": 8, "stride": 4, "jitter": 0, "prediction_steps": (2,)},
    "masked": {"crop_size": 24, "block_size": 6},
}.items()}
asked = {name: each.make_views(volumes, each.sample_params(
    volumes, torch.Generator().manual_seed(0))) for name, each in asking.items()}
"""


def near(pixels, colour, most=12):
    return (abs(pixels.astype(int)[..., :3] - colour) <= most).all(-1)


def test_cpcs_question_is_asked_in_the_scan(notebook):
    notebook.run(ASKING)
    puzzle = Puzzle(notebook, "Puzzle3D(volumes, asked['cpc'])", "cpc")
    assert (
        puzzle.locate(".question").inner_text() == "Which patch comes next, a few rows further on?"
    )
    assert "? the place asked about, 2 rows ahead" in puzzle.locate(".legend").inner_text()
    before = puzzle.pixels()
    pink, blue = [204, 121, 167], [0, 114, 178]
    assert near(before, pink).sum() > 30, "the place that is asked about"
    assert near(before, blue).sum() > 30, "the patch at the pyramid's tip"
    right = "asked['cpc'].target"
    notebook.run(f"view.show(volumes, asked['cpc'], prediction={right})")
    after = puzzle.changed(before)
    assert near(after, [0, 158, 115]).sum() > 30, "found: the box is filled and marked as right"
    assert near(after, pink).sum() < near(before, pink).sum() / 2


def test_hidden_blocks_are_seen_beside_the_truth(notebook):
    notebook.run(ASKING)
    puzzle = Puzzle(notebook, "Puzzle3D(volumes, asked['masked'])", "masked")
    pixels = puzzle.pixels()
    half = pixels.shape[1] // 2
    hidden = near(pixels, [91, 95, 151], 2) | near(pixels, [82, 86, 136], 2)
    assert hidden[:, :half].sum() > 500
    assert hidden[:, half:].sum() == 0
    assert puzzle.locate(".question").inner_text() == "What do the hidden blocks look like?"


def test_no_badge_is_cut_by_a_piece_in_front(fresh):
    """Badges come last: of each piece whose middle is seen, the whole badge is drawn."""
    pull_apart(fresh)
    script = """canvas => {
        const pen = canvas.getContext("2d");
        const order = [];
        const names = {fillText: "badge", drawImage: "side"};
        const kept = Object.keys(names).map((name) => [name, pen[name]]);
        for (const [name, call] of kept) {
            pen[name] = (...all) => { order.push(names[name]); call.apply(pen, all); };
        }
        return new Promise((done) => {
            window.requestAnimationFrame(() => {
                for (const [name] of kept) delete pen[name];
                done(order);
            });
            canvas.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowLeft", bubbles: true}));
        });
    }"""
    order = fresh.canvas.evaluate(script)
    last_side = len(order) - 1 - order[::-1].index("side")
    assert order.count("badge") >= 18
    assert "badge" not in order[:last_side]

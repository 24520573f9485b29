"""The live view in a real JupyterLab: it moves while a cell trains, its button stops the run."""

import json

import pytest
from browser.lab import RUN_CELL

# Steps are slowed down, so that there is time to look and to press.
SETUP = """
import time
from pathlib import Path
import torch
from helpers import make_cohort
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show import Live
from ssl3d_lite.tasks import make_task
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import TrainSettings

torch.set_num_threads(1)
cohort = make_cohort(Path("cohort"), 15).to("cpu")
SHAPE = EncoderSettings(filters=(4, 8))
settings = TrainSettings(steps=STEPS, checkpoint_every=1000)

def begin():
    return make_task("rotation", SHAPE, crop_size=12), make_encoder(SHAPE, 0)

def slowly(history):
    time.sleep(0.25)
    return view.watch(history)

task, encoder = begin()
view = Live(task, encoder, cohort.images([0, 1]))
view
"""
TRAIN = """
begun = time.monotonic()
history = pretrain(
    task, encoder, cohort, range(2, 12), settings, Path("run"), callback=slowly
)
"""
STEPS = 2000
CONTINUE = """
stopped = history[-1]["step"]
assert torch.load("run/resume.pt", weights_only=True)["step"] == stopped
assert not Path("run/encoder.safetensors").exists()

def further(rows):
    return rows[-1]["step"] == stopped + 20

def run(*out):
    task, encoder = begin()
    return encoder, pretrain(task, encoder, cohort, range(2, 12), settings, *out, callback=further)

(went_on, rows), (whole, all_rows) = run(Path("run")), run()
same = all(torch.equal(a, b) for a, b in zip(went_on.parameters(), whole.parameters()))
print("continued:", same, rows == all_rows, rows[: len(history)] == history)
"""


@pytest.fixture(scope="module")
def notebook(lab, pytestconfig):
    tests = str(pytestconfig.rootpath / "tests")
    return lab.open([f"import sys; sys.path.insert(0, {tests!r})\nSTEPS = {STEPS}", SETUP])


def start(notebook, code):
    """Run a cell without waiting for its end."""
    notebook.evaluate(f"source => {{ ({RUN_CELL})(source) }}", code)


def status(notebook):
    return notebook.locate(".ssl3d-live output").inner_text()


def test_curves_move_while_a_cell_trains_and_the_button_ends_it(notebook):
    curves, button = notebook.locate(".ssl3d-curves"), notebook.locate(".ssl3d-live button")
    assert status(notebook) == "waiting for training to begin"
    assert button.is_disabled()
    assert notebook.locate(".ssl3d-questions figure").count() == 4
    start(notebook, TRAIN)
    notebook.until(lambda: "step 20 " in status(notebook), "the second row", 60)
    before = notebook.pixels(curves)
    notebook.until(lambda: "step 60 " in status(notebook), "more rows", 60)
    assert (notebook.pixels(curves) != before).any()
    assert status(notebook).startswith("training · ")
    assert button.is_enabled()
    button.click()
    notebook.until(lambda: status(notebook).startswith("stopped"), "the end", 60)
    assert button.is_disabled()
    last, state = json.loads(
        notebook.run("import json; print(json.dumps([history[-1], view.state]))")
    )
    assert 60 <= last["step"] < STEPS
    assert state == "stopped"
    assert f"step {last['step']} · " in status(notebook)
    assert f"accuracy {last['accuracy']:.3g}" in status(notebook)
    assert notebook.errors == []
    assert notebook.outside == []
    assert notebook.run(CONTINUE).endswith("continued: True True True")
    assert status(notebook).startswith("stopped"), "that cell was not shown"


def test_with_the_cell_the_view_ends_and_has_nothing_to_stop(notebook):
    short = "TrainSettings(steps=30)"
    code = f"_ = pretrain(*begin(), cohort, range(2, 12), {short}, callback=view.watch)"
    notebook.run(code)
    notebook.until(lambda: status(notebook).startswith("ended · step 30 · "), "the end")
    assert notebook.locate(".ssl3d-live button").is_disabled()
    figures = notebook.locate(".ssl3d-questions figure")
    marks = ["✓ right" in text or "✗ wrong" in text for text in figures.all_inner_texts()]
    assert marks == [True] * 4


PATCHES = """
cpc = make_task("cpc", SHAPE, patch=8, stride=4, jitter=0, prediction_steps=(1, 2))
patches = Live(cpc, make_encoder(SHAPE, 0), cohort.images([0, 1]))
patches.add_class("patches")
patches
"""
RIGHT_AT_LAST = """
from ssl3d_lite.show.browser.live import _prediction_message

card = patches._cards[5]
right = _prediction_message(*card.answered(int(patches._batch.target[card.asked.number])))
patches._guesses = [right if n == 5 else guess for n, guess in enumerate(patches._guesses)]
"""


def test_cpcs_question_is_drawn_over_the_scan_and_hits_come_first(notebook):
    notebook.run(PATCHES)
    cards = notebook.locate(".patches .ssl3d-questions figure")
    notebook.until(lambda: cards.count() == 8, "the cards")
    assert notebook.locate(".patches p.question").inner_text().startswith("Which patch comes next")
    assert notebook.locate(".patches rect.asked").count() == 8
    assert notebook.locate(".patches rect.start").count() == 8
    assert notebook.locate(".patches svg.loss").count() == 1
    marks = notebook.locate(".patches text.asked").all_text_contents()
    assert marks == ["?"] * 8
    # the sixth question is answered right: its card is the first that a reader sees
    notebook.run(RIGHT_AT_LAST)
    notebook.until(lambda: notebook.locate(".patches figure.right").count() >= 1, "the hit")
    places = [card.bounding_box() for card in notebook.locate(".patches figure.right").all()]
    others = [card.bounding_box() for card in notebook.locate(".patches figure.wrong").all()]
    assert all((a["y"], a["x"]) < (b["y"], b["x"]) for a in places for b in others)
    colour = notebook.locate(".patches rect.right").first.evaluate(
        "rect => getComputedStyle(rect).fill"
    )
    assert colour == "rgb(0, 158, 115)"
    assert notebook.errors == []

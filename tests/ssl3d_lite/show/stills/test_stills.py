"""Pictures of views: each task has one, small and with a text, and it shows what the view shows."""

import base64
import io
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import make_cohort
from IPython.core.interactiveshell import InteractiveShell
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show.browser.features import Features
from ssl3d_lite.show.browser.live import Live
from ssl3d_lite.show.browser.puzzle3d import Puzzle3D
from ssl3d_lite.show.browser.scan3d import Volume3D
from ssl3d_lite.show.browser.slices import Slices, puzzle_slices
from ssl3d_lite.show.browser.wipe import wipe
from ssl3d_lite.show.figures.alt_text import LONGEST, alt_text
from ssl3d_lite.show.figures.rendering import eye, rendered
from ssl3d_lite.show.mistakes import KINDS
from ssl3d_lite.show.pieces import class_colour
from ssl3d_lite.show.stills.bundle import with_still
from ssl3d_lite.tasks import make_task

SMALL = EncoderSettings(filters=(4, 8))
VOLUMES = torch.rand(2, 1, 36, 36, 36, generator=torch.Generator().manual_seed(0))
TASKS = {
    "jigsaw": {"patch": 8},
    "rpl": {"patch": 8},
    "rotation": {"crop_size": 16},
    "exemplar": {},
    "masked": {},
    "tissue": {},
    "cpc": {"patch": 8, "stride": 4, "jitter": 4},
}


def kept(view) -> tuple[np.ndarray, str]:
    """The picture that a notebook keeps of a view, and its text."""
    data, about = view._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    picture = base64.b64decode(data["image/png"])
    assert len(picture) <= 150_000
    assert " at 0x" not in data["text/plain"]
    return np.array(Image.open(io.BytesIO(picture)).convert("RGB"), int), about["image/png"]["alt"]


@pytest.mark.parametrize("name", TASKS)
def test_each_task_has_a_picture_in_every_view(name):
    task = make_task(name, SMALL, **TASKS[name])
    batch = task.make_views(VOLUMES, task.sample_params(VOLUMES, torch.Generator().manual_seed(0)))
    live = Live(task, make_encoder(SMALL, 0), VOLUMES)
    for view in (Puzzle3D(VOLUMES, batch), puzzle_slices(VOLUMES, batch), live):
        picture, alt = kept(view)
        assert picture.std() > 10
        assert batch.question in alt


def test_a_scan_has_its_labels_in_its_picture_and_their_names_in_its_text():
    labels = np.zeros(VOLUMES.shape[2:], np.uint8)
    labels[10:24, 10:24, 10:24] = 1
    for view in (Slices, Volume3D):
        picture, alt = kept(view(VOLUMES[0, 0], labels, label_names=("nothing", "a cube")))
        assert "a cube" in alt
        red, _, blue = to_rgb(class_colour(1))
        assert blue > red
        assert (picture[..., 2] > picture[..., 0] + 40).mean() > 0.005  # grey has all alike


def test_two_predictions_meet_at_a_line_and_have_the_colours_of_the_legend():
    scan, truth = np.zeros((8, 8, 8), np.float32), np.zeros((8, 8, 8), np.uint8)
    truth[2:6, 2:6, 2:6] = 1
    view = wipe(scan, {"found": truth, "nothing": np.zeros_like(truth)}, truth)
    view.voxel = [4, 4, 4]
    figure = view.figure()
    assert "left of the line: found, right of it: nothing" in figure.get_suptitle()
    for axes in figure.axes:
        laid = axes.images[-1]
        colours = laid.to_rgba(laid.get_array())
        assert np.allclose(colours[4, 3, :3], to_rgb(KINDS["right"]))
        assert np.allclose(colours[4, 4, :3], to_rgb(KINDS["missed"]))


def test_features_have_a_picture(tmp_path):
    cohort = make_cohort(tmp_path)
    _, alt = kept(Features(make_encoder(cohort, seed=0, filters=(4, 8)), cohort, cases=[0, 1]))
    assert cohort.cases[0].id in alt


def test_a_cube_is_rendered_as_large_as_it_is_and_lit_from_above():
    labels = np.zeros((40, 40, 40), np.uint8)
    labels[10:30, 10:30, 10:30] = 1
    scan = np.zeros(labels.shape, np.float32)
    picture = rendered(scan + labels, labels, turn=(0, 0))
    wide = (np.abs(picture - 1) > 0.05).any(-1).any(0).sum()
    assert wide / len(picture) == pytest.approx(1, abs=0.25), "air about it is cut away"
    np.testing.assert_allclose(eye((20, 10)) @ eye((20, 10)).T, np.eye(3), atol=1e-12)


def test_a_view_that_cannot_be_drawn_is_shown_without_a_picture():
    def broken() -> Figure:
        raise ZeroDivisionError

    with pytest.warns(UserWarning, match="no still picture"):
        assert with_still({"text/plain": "x"}, broken) == ({"text/plain": "x"}, {})


@pytest.fixture
def shell():
    """IPython, as in a notebook; later tests are in none."""
    prompts = {name: vars(sys).get(name) for name in ("ps1", "ps2", "ps3")}
    yield InteractiveShell.instance()
    InteractiveShell.clear_instance()
    for name, prompt in prompts.items():  # by which Python is known to be talked to
        if prompt is None:
            vars(sys).pop(name, None)


def test_the_picture_of_a_training_is_renewed_when_its_cell_ends(shell, monkeypatch):
    sent = []
    monkeypatch.setattr(shell.display_pub, "publish", lambda **message: sent.append(message))
    task = make_task("rotation", SMALL, crop_size=16)
    view = Live(task, make_encoder(SMALL, 0), VOLUMES)
    view._ipython_display_()
    row = {"step": 10, "loss": 2.0, "accuracy": 0.5, "chance": 0.1}
    view.watch([row])
    shell.events.trigger("post_run_cell", SimpleNamespace(success=True))
    first, last = (each["metadata"]["image/png"]["alt"] for each in sent)
    assert "step 10" not in first
    assert "step 10" in last
    ids = [each["transient"]["display_id"] for each in sent]
    assert ids[0] == ids[1]
    assert sent[1]["update"]


def test_a_figure_in_words():
    figure = Figure()
    figure.suptitle("Dice of two arms")
    axes = figure.subplots(1, 2)
    axes[0].set(title="left", xlabel="labels", ylabel="Dice")
    axes[0].plot([0, 1], label="CPC")
    axes[0].legend()
    axes[1].set(title="right", xlabel="labels")
    text = "Dice of two arms. Panels: left, right. Across: labels. Up: Dice. Legend: CPC."
    assert alt_text(figure) == text
    assert alt_text(Figure()) == "A figure without words."
    figure.suptitle("a word " * 100)
    assert len(alt_text(figure)) <= LONGEST


@pytest.mark.parametrize("view", [Slices, Volume3D])
@pytest.mark.parametrize("spacing", [None, (1, 1, 1), (1, 1, 2)])
def test_a_bar_has_millimetres_where_the_spacing_is_given(view, spacing):
    """Also where all edges are of 1 mm."""
    figure = view(VOLUMES[0, 0], spacing=spacing).figure()
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert [text for text in texts if "10" in text] == ["10 voxels" if spacing is None else "10 mm"]

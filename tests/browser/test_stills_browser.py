"""JupyterLab shows the live views, not the pictures that notebooks keep of them."""

import pytest

SETUP = """
import numpy as np
import torch
import ssl3d_lite as ssl3d

cohort = ssl3d.open_cohort("hippocampus", cases=20)
encoder = ssl3d.make_encoder(cohort, seed=0)
task = ssl3d.make_task("rotation", encoder, seed=0)
volumes = cohort.images([0, 1])
batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
view = ssl3d.show.Live(task, encoder, volumes)
"""
DISPLAYS = "from IPython.display import display\ndisplay(view)"
SHOWN = ("ssl3d.show.Slices(volumes[0])", "ssl3d.show.Puzzle3D(volumes, batch)")
SOLID = "ssl3d.show.Volume3D(volumes[0, 0])"


@pytest.fixture(scope="module")
def notebook(lab):
    return lab.open([SETUP, DISPLAYS, *SHOWN, SOLID], height=1400)


def test_the_live_views_are_there_and_no_picture(notebook):
    for name in ("live", "slices", "puzzle3d", "volume3d"):
        notebook.until(lambda name=name: notebook.locate(f".ssl3d-{name}").count() == 1, name)
    assert notebook.locate(".jp-OutputArea-output img").count() == 0


def test_after_a_training_the_same_view_is_live_and_its_kept_picture_is_the_end(notebook):
    notebook.run("_ = ssl3d.pretrain(task, encoder, cohort, steps=20, callback=view.watch)")
    line = notebook.locate(".ssl3d-live output")
    notebook.until(lambda: "ended · step 20" in line.inner_text(), "the end", 60)
    assert notebook.locate(".ssl3d-live").count() == 1
    assert notebook.locate(".jp-OutputArea-output img").count() == 0
    outputs = "jupyterapp.shell.currentWidget.content.model.cells.get(1).outputs.toJSON()"
    (output,) = notebook.evaluate(outputs)
    assert "step 20" in output["metadata"]["image/png"]["alt"]
    assert notebook.errors == []

"""Draws live.png: a training as a reader of a notebook watches it.

    ssl3d prepare virtual-hippocampus --cases 60 --out runs/hippocampus
    python docs/views_live.py runs/hippocampus

A real picture of a real JupyterLab, taken with the browser that tests use.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from browser.lab import RUN_CELL, Lab, Notebook, Server, find_browser  # noqa: E402

SETUP = """
import torch
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show import Live
from ssl3d_lite.tasks import make_task
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import TrainSettings

torch.set_num_threads(1)
cohort = Cohort.open({folder!r}).to("cpu")
split = cohort.split()
encoder = make_encoder(EncoderSettings(filters=(8, 16, 32)), 0)
task = make_task("rpl", encoder.settings, patch=10)
view = Live(task, encoder, cohort.images(split.validation[:2]))
view
"""
TRAIN = """
settings = TrainSettings(steps={steps}, batch=8, learning_rate=2e-3)
_ = pretrain(task, encoder, cohort, split.pretrain, settings, callback=view.watch)
"""


def draw(folder: Path, steps: int = 600) -> None:
    """Write the picture, of a training on the cohort in ``folder``."""
    with tempfile.TemporaryDirectory() as own, sync_playwright() as playwright:
        server = Server(Path(own))
        try:
            server.wait()
            lab = Lab(server, playwright, find_browser())
            notebook = lab.open([SETUP.format(folder=str(folder.resolve()))], height=1000)
            notebook.page.set_default_timeout(600_000)
            keep(notebook, steps)
            lab.close()
        finally:
            server.stop()


def keep(notebook: Notebook, steps: int) -> None:
    """Train, and keep what the view shows on the way, when some answers are still wrong."""
    line = notebook.locate(".ssl3d-live output")
    notebook.evaluate(f"source => {{ ({RUN_CELL})(source) }}", TRAIN.format(steps=steps))
    step = f"step {steps // 3} "
    notebook.until(lambda: step in line.inner_text(), "the training", 600)
    path = DOCS / "live.png"
    notebook.screenshot(path, notebook.locate(".ssl3d-live"))
    picture = Image.open(path).convert("RGB")
    # an octree keeps thin lines of colour
    few = picture.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))

"""Draws napari.png: a prepared virtual brain and the pieces of a puzzle in napari, all settings as
everybody gets them. Needs Xvfb."""

import sys
import tempfile
from pathlib import Path

import torch
from PIL import Image

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.registry import make_cohort
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.show.napari.camera import stand_in_3d
from ssl3d_lite.show.napari.display import run_under_xvfb
from ssl3d_lite.show.napari.layers import add_scan
from ssl3d_lite.show.napari.puzzle import add_puzzle
from ssl3d_lite.tasks import make_task

FILE = Path(__file__).with_name("napari.png")
CASE = 1  # of two, the one with the larger tumour


def draw(folder: Path) -> None:
    import napari
    from qtpy.QtWidgets import QApplication

    make_cohort("virtual-brain", folder, cases=2)
    cohort = Cohort.open(folder)
    image, label = cohort[CASE]
    volumes = cohort.images([CASE])
    task = make_task("rpl", make_encoder(cohort, seed=0))
    batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(1)))

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1180, 800)
    QApplication.processEvents()
    names = {"label_names": cohort.label_names, "channels": cohort.channels}
    add_scan(viewer, image, label, spacing=cohort.spacing, **names)
    add_puzzle(viewer, volumes, batch).arrange(apart=0.4)
    stand_in_3d(viewer)
    QApplication.processEvents()
    shot = viewer.screenshot(canvas_only=False, flash=False)
    viewer.close()
    Image.fromarray(shot[..., :3]).save(FILE, optimize=True)


if sys.argv[1:2] == ["inside"]:
    draw(Path(sys.argv[2]))
else:
    with tempfile.TemporaryDirectory() as folder:
        cohort = str(Path(folder) / "cohort")
        sys.exit(run_under_xvfb([__file__, "inside", cohort], Path(folder)) or None)

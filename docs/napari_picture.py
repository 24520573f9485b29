"""Draws napari.png: a virtual brain and the pieces of a puzzle in napari. Needs Xvfb."""

import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from PIL import Image

from data_recipes.virtual_patients.brain import head_case
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show.napari.display import run_under_xvfb
from ssl3d_lite.show.napari.layers import add_scan, stand_in_3d
from ssl3d_lite.show.napari.puzzle import add_puzzle
from ssl3d_lite.tasks import make_task

FILE = Path(__file__).with_name("napari.png")
EDGE = 96


def upright(values: np.ndarray, affine: np.ndarray) -> np.ndarray:
    return np.asarray(nib.as_closest_canonical(nib.Nifti1Image(values, affine)).dataobj)


def draw() -> None:
    import napari
    from qtpy.QtWidgets import QApplication

    images, label, affine = head_case(seed=0, index=6, edge=EDGE, modalities=("t1",))
    volumes = torch.from_numpy(upright(images["t1"], affine).astype(np.float32))[None, None]
    label = upright(label, affine)
    task = make_task("rpl", EncoderSettings(filters=(4, 8)), patch=20, normalise=False)
    batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(1)))

    viewer = napari.Viewer(show=True)
    viewer.window.resize(1180, 800)
    QApplication.processEvents()
    add_scan(viewer, volumes[0], label)
    add_puzzle(viewer, volumes, batch).arrange(apart=0.35)
    stand_in_3d(viewer)
    shot = viewer.screenshot(canvas_only=False, flash=False)
    viewer.close()
    Image.fromarray(shot[..., :3]).quantize(256, Image.Quantize.MAXCOVERAGE).save(
        FILE, optimize=True
    )


if sys.argv[1:] == ["inside"]:
    draw()
else:
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(run_under_xvfb([__file__, "inside"], Path(folder)) or None)

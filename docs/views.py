"""Draws what the README shows of the views: each is opened in JupyterLab in a headless browser.

python docs/views.py [NAME …]     makes docs/NAME.png; all of them by default
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from browser.lab import Lab, Server, find_browser  # noqa: E402

BRAIN = """
import nibabel as nib
import numpy as np
import torch
from data_recipes.virtual_patients.brain import head_case
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import make_task

def upright(values):
    return np.asarray(nib.as_closest_canonical(nib.Nifti1Image(values, affine)).dataobj)

images, label, affine = head_case(seed=0, index=6, modalities=("flair", "t1ce"))
inside = np.s_[46:194, 30:214, 10:154]  # the head, at 1 mm
scan = np.stack([upright(each)[inside] for each in images.values()]).astype(np.float32)
label = upright(label)[inside]
label[label == 4] = 3
names = ["background", "core", "oedema", "enhancing"]
"""


def slices(lab: Lab) -> None:
    """Three planes with the pieces of a jigsaw, one of them chosen, and the tumour's labels."""
    view = """
from ssl3d_lite.show import Slices, pieces_of

task = make_task("jigsaw", EncoderSettings(), patch=42)
volumes = torch.tensor(scan)[None]
batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
parts = pieces_of(batch)
view = Slices(
    scan, label, label_names=names, pieces=parts, channel_names=("FLAIR", "T1 + contrast"),
    title="A virtual brain with a tumour, cut into the pieces of a jigsaw",
)
tumour = np.argwhere(label == 1).mean(0)
nearest = min(parts, key=lambda piece: np.linalg.norm(piece.centre - tumour))
low, high = nearest.corners.min(0) + 4, nearest.corners.max(0) - 4
view.voxel, view.patch = tumour.clip(low, high).astype(int).tolist(), nearest.number
view
"""
    notebook = lab.open([BRAIN, view], width=1120, height=900)
    planes = notebook.locate(".ssl3d-slices")
    planes.wait_for()
    keep(notebook, "slices", planes)


def cpc_puzzle(lab: Lab) -> None:
    """The figure of a puzzle: CPC's question in the scan."""
    figure = """
%matplotlib inline
from ssl3d_lite.show import puzzle

task = make_task("cpc", EncoderSettings(), patch=32, stride=16, jitter=8)
volumes = torch.tensor(scan[:1])[None]
batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(2)))
puzzle(volumes, batch, spacing=(1, 1, 1))
"""
    notebook = lab.open([BRAIN, figure], width=1120, height=900)
    picture = notebook.locate(".jp-OutputArea img")
    picture.wait_for()
    keep(notebook, "cpc_puzzle", picture)


def keep(notebook, name: str, element) -> None:
    """Write docs/NAME.png, with 256 colours: a tenth of the size, and hardly to be told apart."""
    path = DOCS / f"{name}.png"
    notebook.screenshot(path, element)
    picture = Image.open(path).convert("RGB")
    picture = picture.crop((0, 0, picture.width, picture.height - 4))  # JupyterLab's rule below
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path} ({path.stat().st_size // 1000} kB)")


VIEWS = {"slices": slices, "cpc_puzzle": cpc_puzzle}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        try:
            server.wait()
            with sync_playwright() as playwright:
                lab = Lab(server, playwright, find_browser())
                for name in sys.argv[1:] or VIEWS:
                    VIEWS[name](lab)
                lab.close()
        finally:
            server.stop()


if __name__ == "__main__":
    main()

"""Draws puzzle3d.png and volume3d.png: the 3D views as a reader of a notebook sees them.

    ssl3d prepare virtual-brain --cases 4 --edge 96 --out runs/brains
    python docs/views_3d.py runs/brains

Real pictures of a real JupyterLab, taken with the browser that tests use.
"""

import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import Locator, sync_playwright

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from browser.lab import Lab, Notebook, Server, find_browser  # noqa: E402  (needs the line above)

SETUP = """
import torch
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show import Puzzle3D, Volume3D
from ssl3d_lite.tasks import make_task

cohort = Cohort.open({folder!r}).to("cpu")
image, labels = cohort[0]
"""
SCAN = """
scan = Volume3D(
    image[1:2], labels, label_names=cohort.label_names, spacing=cohort.spacing,
    title="A virtual brain with a tumour (T1 with contrast agent)",
)
scan.cut.value = 0.8
scan
"""
# The box about the brain, as pieces of nothing but air teach little; then two pieces of 27 are
# put into each other's cells, as a network might answer.
PUZZLE = """
brain = torch.tensor(image[0] != 0).nonzero()
low, high = brain.amin(0), brain.amax(0) + 1
box = tuple(slice(a, b) for a, b in zip(low.tolist(), high.tolist()))
volumes = torch.tensor(image[1:2][(slice(None), *box)]).float()[None]
patch = int((high - low).min()) // 3 - 1
task = make_task("jigsaw", EncoderSettings(filters=(4, 8)), patch=patch, jitter=1, normalise=False)
batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(1)))
guess = task.permutations[int(batch.target[0, 0])].clone()
a, b = (guess.tolist().index(cell) for cell in (23, 17))
guess[[a, b]] = guess[[b, a]]
"""


def draw(folder: Path) -> None:
    """Write both pictures, from scans of the cohort in ``folder``."""
    with tempfile.TemporaryDirectory() as own, sync_playwright() as playwright:
        server = Server(Path(own))
        try:
            server.wait()
            lab = Lab(server, playwright, find_browser())
            notebook = lab.open([SETUP.format(folder=str(folder.resolve()))], height=1400)
            volume_picture(notebook)
            puzzle_picture(notebook)
            lab.close()
        finally:
            server.stop()


def volume_picture(notebook: Notebook) -> None:
    notebook.run(SCAN)
    view = notebook.locate(".ssl3d-volume3d").first
    notebook.until(lambda: notebook.pixels(view.locator("canvas")).std() > 40, "the scan", 60)
    notebook.page.wait_for_timeout(4000)  # the 3D rendering comes last
    keep(shot(notebook, view), "volume3d.png")


def puzzle_picture(notebook: Notebook) -> None:
    """As the network gets it beside put back and apart; below, a guess beside the truth."""
    notebook.run(PUZZLE + "puzzle = Puzzle3D(volumes, batch)\npuzzle")
    view = notebook.locate(".ssl3d-puzzle3d").first
    view.wait_for()
    width = view.bounding_box()["width"]
    view.evaluate("(view, width) => view.style.maxWidth = `${width / 2 - 16}px`", width)
    shuffled = shot(notebook, view)
    notebook.run("puzzle.shuffled = False; puzzle.apart = 0.35")
    home = shot(notebook, view)
    view.evaluate("view => view.style.maxWidth = null")
    notebook.run("puzzle.show(volumes, batch, prediction=guess); puzzle.apart = 0.6")
    guessed = shot(notebook, view)
    middle, top = guessed.width // 2, max(shuffled.height, home.height)
    whole = Image.new("RGB", (guessed.width, top + guessed.height), "white")
    for picture, place in ((shuffled, (0, 0)), (home, (middle, 0)), (guessed, (0, top))):
        whole.paste(picture, place)
    keep(whole, "puzzle3d.png")


def shot(notebook: Notebook, view: Locator) -> Image.Image:
    notebook.page.wait_for_timeout(1500)  # until pieces have stopped moving
    return Image.fromarray(notebook.pixels(view))


def keep(picture: Image.Image, name: str) -> None:
    """In 256 colours: a third of the bytes. An octree keeps small patches of colour."""
    few = picture.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(DOCS / name, optimize=True)


if __name__ == "__main__":
    draw(Path(sys.argv[1]))

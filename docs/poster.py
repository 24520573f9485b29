"""Writes poster.pdf (A2) and poster.png: the six puzzles on one page, as the library shows them.

    python docs/poster.py [FOLDER]

Questions, pictures and chance levels come from the tasks themselves, on virtual heads. The page is
set by the browser that tests use. Without FOLDER the files go to docs/.
"""

import base64
import io
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from PIL import Image, ImageChops
from playwright.sync_api import sync_playwright

import ssl3d_lite as ssl3d
from ssl3d_lite.book.formulas import picture_of
from ssl3d_lite.html import escape
from ssl3d_lite.show.stills.bundle import png
from ssl3d_lite.tasks import measure

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from browser.lab import FLAGS, find_browser  # noqa: E402  (needs the line above)

WIDE, TALL = 420, 594  # mm: A2, as poster.css has it
SCANS = 4  # of the batch that is scored


@dataclass(frozen=True)
class Card:
    """A puzzle, and what a passer-by is told of it."""

    name: str
    title: str
    notebook: str
    told: str
    formula: str
    settings: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    of_batch: bool = False  # whether chance depends on how many scans are in the batch


CARDS = (
    Card(
        "rotation",
        "Rotation",
        "02",
        "A cube of the scan is turned by one of ten quarter and half turns. To name the turn, the "
        "network has to know what is up, front and left.",
        r"\mathcal{L} = -\frac{1}{R} \sum_{r=1}^{R} \log F(g_r(x))_r",
        {"rotations_per_scan": 2, "crop_size": 54},
        seed=3,
    ),
    Card(
        "rpl",
        "Relative patch location",
        "03",
        "The network sees the centre of the scan and one patch from around it. Where was the patch "
        "taken?",
        r"\mathcal{L} = -\frac{1}{K} \sum_{k=1}^{K} \log p(y_k \mid f(x_c), f(x_q))",
        {"patch": 18, "jitter": 0, "queries_per_scan": 12, "normalise": False},
    ),
    Card(
        "jigsaw",
        "Jigsaw",
        "04",
        "27 pieces are shown in another order: one of a list of orders that are as unlike each "
        "other as can be.",
        r"\mathcal{L} = -\frac{1}{B} \sum_{b=1}^{B} \log F(f(x_{p(1)}), \ldots, f(x_{p(27)}))_p",
        {"patch": 17, "jitter": 1, "normalise": False},
        seed=1,
    ),
    Card(
        "exemplar",
        "Exemplar",
        "05",
        "A box of the scan, and the same box mirrored, turned, zoomed and in another contrast. "
        "They belong together; a box of another scan does not.",
        r"\mathcal{L} = \frac{1}{B} \sum_{i=1}^{B} "
        r"\max(0, d(z_i, z_i^{+}) - d(z_i, z_i^{-}) + \alpha)",
        {"crop_size": 50},
        of_batch=True,
    ),
    Card(
        "cpc",
        "Contrastive predictive coding",
        "06",
        "From a pyramid of patches the network predicts what lies three rows further on. It paints "
        "nothing: it picks the right one among all patches of the batch.",
        r"\mathcal{L} = -\log \frac{\exp(\cos(W_l c, z^{*}) / \tau)}"
        r"{\sum_{z \in Z} \exp(\cos(W_l c, z) / \tau)}",
        {"jitter": 0, "max_patches": 7, "context_layers": 3, "prediction_steps": (3,)},
        of_batch=True,
    ),
    Card(
        "masked",
        "Masked reconstruction",
        "07",
        "Most blocks of the scan are hidden. The network has to say what is in them, voxel by "
        "voxel, from what is left.",
        r"\mathcal{L} = \frac{1}{|M|} \sum_{v \in M} (\hat{x}_v - x_v)^2",
    ),
)

COLOURS = ("#0072b2", "#b35900", "#00795a", "#a8417f", "#1f6f9e", "#6b4fa3")
FOOTER = """<footer><p><b>No label is needed.</b> Each puzzle is made from the scan itself, so its
answer is known. What is kept is the encoder: afterwards it learns a real task from a few labelled
scans.</p><p><b>Solved is not learnt.</b> A puzzle that can be solved by a shortcut, such as a seam
between patches, teaches nothing. So each score stands beside chance, and beside random
encoders.</p><p>The first five: Taleb et al., <i>3D Self-Supervised Methods for Medical
Imaging</i>, NeurIPS 2020. The sixth: He et al., CVPR 2022. A virtual head, drawn by
<code>ssl3d_lite</code>. To try one: <code>ssl3d.make_task("cpc", encoder)</code></p></footer>"""


def main() -> None:
    heads = ssl3d.open_cohort("ukb-brain", cases=SCANS, edge=64)
    volumes = about_the_brain(heads.images([*range(SCANS)])[:, :1])
    cards = [card_html(card, volumes, colour) for card, colour in zip(CARDS, COLOURS, strict=True)]
    style = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
    page = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><style>{style}</style><body><header>'
        "<h1>Six puzzles that need no label</h1><p>How a network learns what a body looks like "
        "from scans that nobody has annotated: it solves puzzles that are made from them.</p>"
        f"</header><main>{''.join(cards)}</main>{FOOTER}</body></html>"
    )
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        window = browser.new_page(viewport={"width": 1588, "height": 2246})
        window.set_content(page)
        window.pdf(
            path=folder / "poster.pdf", width=f"{WIDE}mm", height=f"{TALL}mm", print_background=True
        )
        window.screenshot(path=folder / "poster.png")
        browser.close()


def about_the_brain(heads: torch.Tensor) -> torch.Tensor:
    """The box in which all brains lie, as pieces of nothing but air teach little."""
    brain = (heads != heads[..., :1, :1, :1]).any(0)[0].nonzero()
    low, high = brain.amin(0).tolist(), (brain.amax(0) + 1).tolist()
    return heads[(..., *(slice(a, b) for a, b in zip(low, high, strict=True)))]


def card_html(card: Card, volumes: torch.Tensor, colour: str) -> str:
    encoder = ssl3d.make_encoder(ssl3d.EncoderSettings(in_channels=1, filters=(4, 8)))
    task = ssl3d.make_task(card.name, encoder, **card.settings)
    batch = task.make_views(
        volumes, task.sample_params(volumes, torch.Generator().manual_seed(card.seed))
    )
    view = ssl3d.show.Puzzle3D(volumes, batch)
    picture = base64.b64encode(drawn(view.figure())).decode()
    return f"""<article style="--colour: {colour}"><h2>{escape(card.title)}</h2>
<p class="asked">{escape(task.question)}</p><p class="told">{escape(card.told)}</p>
<div class="picture"><img src="data:image/png;base64,{picture}" alt=""></div>
<div class="below"><span class="formula">{picture_of(card.formula, display=True)}</span>
<span class="chance">{chance(card, task, encoder, batch)}<br>notebook {card.notebook}</span></div>
</article>"""


def drawn(figure: Figure) -> bytes:
    figure.suptitle("")  # the card asks already
    picture = Image.open(io.BytesIO(png(figure))).convert("RGB")
    white = Image.new("RGB", picture.size, "white")
    # the octree's white is not quite white
    shown = ImageChops.difference(picture, white).convert("L").point(lambda n: 255 * (n > 24))
    cropped = io.BytesIO()
    picture.crop(shown.getbbox()).save(cropped, "PNG")
    return cropped.getvalue()


def chance(card: Card, task: Any, encoder: Any, batch: Any) -> str:
    """What guessing gives, as the task itself says."""
    with torch.no_grad():
        row = task.score(task(encoder, batch), batch)
    if measure(row) == "r2":
        return f"<b>r² = {row['chance']:g}</b>by guessing their mean"
    where = f", among<br>those of {SCANS} scans" if card.of_batch else ""
    return f"<b>1 of {round(1 / float(row['chance']))}</b>by guessing{where}"


if __name__ == "__main__":
    main()

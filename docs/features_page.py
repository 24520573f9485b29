"""Writes features.html, and features.png of it: what a trained encoder knows, and others do not.

    python docs/features_page.py [FOLDER]

The patients are virtual hippocampi, so their page may go anywhere. An encoder is trained on the
others by CPC, without labels, in a minute or a few; four of the test set are shown. Cohort and
encoder stay in FOLDER, if one is given, and need not be made again.
"""

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import ssl3d_lite as ssl3d
from ssl3d_lite.data.registry import make_cohort
from ssl3d_lite.training.presets import preset

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent / "tests"))

from browser.lab import FLAGS, find_browser  # noqa: E402  (needs the line above)

CASES, STEPS = 60, 1200
TITLE = "What did the network learn?"
TEXT = (
    "Scans of the hippocampus, a part of the brain, of four simulated patients. A network learnt "
    "from others, without labels, to guess which patch comes next (CPC). What does it know of "
    "these? The page opens on an example where the rows differ most; bars count all places."
)
SLOW = 300_000  # milliseconds that a busy machine may take to draw the page


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1] if len(sys.argv) > 1 else temporary)
        cohort = ssl3d.Cohort.open(
            make_cohort("virtual-hippocampus", folder / "cohort", cases=CASES)
        ).to("cpu")
        encoder = ssl3d.make_encoder(cohort, seed=0)
        task = ssl3d.make_task("cpc", encoder, seed=0)
        training = preset("quick", "cpc", cohort.spatial_dims).training | {"steps": STEPS}
        ssl3d.pretrain(task, encoder, cohort, **training, out=folder / "encoder")
        view = ssl3d.show.Features(
            encoder,
            cohort,
            cases=cohort.split().test[:4],
            names=("trained by CPC", "random weights"),
        )
        view.voxel = view.telling_voxel()
    picture(view.save(DOCS / "features.html", TITLE, TEXT))


def picture(page: Path) -> None:
    """What a reader of the page sees first."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        window = browser.new_page(viewport={"width": 1200, "height": 900})
        window.goto(page.as_uri())
        window.wait_for_function("document.querySelector('.ssl3d-features').dataset.milliseconds")
        window.locator(".ssl3d-first").screenshot(path=DOCS / "features.png", timeout=SLOW)
        browser.close()


if __name__ == "__main__":
    main()

"""How long a view in the browser takes to answer, and how large it is as a page.

The view of features is measured at its hardest: four patients of 96³ voxels, two encoders and
place. Headless Chromium opens the saved page and a pointer moves over it. It is driven by
playwright, which comes with the tests; without it, or without a browser, only the size is known.
"""

import shutil
import tempfile
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np
import torch

from ssl3d_lite.data.cohort import Case, Cohort, CohortDescription, Source
from ssl3d_lite.models.encoders import make_encoder

EDGE, SHOWN_PATIENTS = 96, 4
WANTED = 0.1  # seconds from a click to the picture
_CLICKS = 15
_SETTLING = 1000  # milliseconds
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = ["--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
# a click, and the time until two frames later, when its picture has been shown
_CLICK = """async ([canvas, share]) => {
    const box = canvas.getBoundingClientRect();
    const at = {clientX: box.x + share * box.width, clientY: box.y + share * box.height};
    const start = performance.now();
    canvas.dispatchEvent(new PointerEvent("pointermove", {...at, bubbles: true}));
    canvas.dispatchEvent(new MouseEvent("click", {...at, bubbles: true}));
    await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    return performance.now() - start;
}"""


@dataclass(frozen=True)
class ViewCost:
    """What one view costs."""

    name: str
    what: str
    """What it shows, in words."""
    megabytes: float
    """Size of its page."""
    seconds: float | None
    """Median time from a click to the picture; None where there is no browser."""


def view_costs(edge: int = EDGE, patients: int = SHOWN_PATIENTS) -> list[ViewCost]:
    """Measure the view of features on scans of noise; nothing where views are not installed."""
    if find_spec("anywidget") is None:
        return []
    from ssl3d_lite.show.browser.features import Features

    cohort = _noise(edge, patients)
    view = Features(make_encoder(cohort, seed=0), cohort, cases=range(patients))
    with tempfile.TemporaryDirectory() as folder:
        page = view.save(Path(folder) / "view.html")
        size, seconds = page.stat().st_size / 1e6, _seconds_of_a_click(page)
    return [ViewCost("Features", f"{patients} patients of {edge}³, 2 encoders", size, seconds)]


def _noise(edge: int, patients: int) -> Cohort:
    """Scans that lie in memory alone."""
    shape, square = (edge,) * 3, np.eye(4).tolist()
    volumes = torch.randn(patients, 1, *shape, generator=torch.Generator().manual_seed(0))
    cases = [
        Case(f"p{n}", f"p{n}", shape, square, [], Source({}, {}, shape, square), labelled=True)
        for n in range(patients)
    ]
    about = CohortDescription(
        name="noise",
        licence="none",
        citation="none",
        channels=("noise",),
        label_values=(0, 1),
        label_names=("rest", "ball"),
        regions={"ball": (1,)},
        recipe={"name": "noise"},
        folder=Path("in memory alone"),
    )
    made = about.with_cases(cases, (1.0,) * 3)
    places = torch.linspace(-1, 1, edge)
    ball = sum(axis.square() for axis in torch.meshgrid(places, places, places, indexing="ij"))
    labels = (torch.as_tensor(ball) < 0.2).byte().expand(patients, *shape)
    return replace(made, resident=(volumes, labels))


def _seconds_of_a_click(page: Path) -> float | None:
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        return None
    if browser is None:
        return None
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=_FLAGS)
        window = chromium.new_page(viewport={"width": 1200, "height": 1000})
        window.goto(page.as_uri())
        canvas = window.wait_for_selector(".ssl3d-board canvas")
        window.wait_for_timeout(_SETTLING)
        shares = np.linspace(0.2, 0.8, _CLICKS).tolist()
        took = [window.evaluate(_CLICK, [canvas, share]) for share in shares]
        chromium.close()
    return median(took[5:]) / 1e3  # the first ones warm up

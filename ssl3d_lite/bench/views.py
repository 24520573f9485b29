"""How long a view in the browser takes to answer, and how large it is as a page.

The view of features is measured at its hardest: four patients of 96³ voxels, two encoders and
place; the others on one such scan. Headless Chromium opens the saved page and a pointer moves over
it. It is driven by playwright, which comes with the tests; without it, or without a browser, only
the size is known.
"""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl3d_lite.data.case import Case, Source
from ssl3d_lite.data.cohort import Cohort, CohortDescription
from ssl3d_lite.models.encoders import Encoder, make_encoder
from ssl3d_lite.tasks import ProxyBatch, ProxyTask, make_task

from .budget import Budget

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
    megabytes: float | None
    """Size of its page; None of layers in a window."""
    seconds: float | None
    """Median time from a click to the picture, or for layers to be there; None where there is no
    browser."""
    wanted: float = WANTED


def view_costs(budget: Budget, edge: int = EDGE, patients: int = SHOWN_PATIENTS) -> list[ViewCost]:
    """Measure the views on scans of noise: pages in the browser, then layers in napari. Nothing is
    known of those that are not installed, or for which no time is left."""
    cohort = _noise(edge, patients)
    pages = _page_costs(cohort, edge, patients) if find_spec("anywidget") else iter(())
    layers = _layer_costs(cohort, edge) if find_spec("napari") else iter(())
    costs: list[ViewCost] = []
    every = chain(pages, layers)  # a view is made when it is asked for
    while budget.left and (cost := next(every, None)):
        costs.append(cost)
    return costs


def _page_costs(cohort: Cohort, edge: int, patients: int) -> Iterator[ViewCost]:
    """Every view that can be saved, as a page."""
    from ssl3d_lite.show.browser.features import Features
    from ssl3d_lite.show.browser.live import Live
    from ssl3d_lite.show.browser.puzzle3d import Puzzle3D
    from ssl3d_lite.show.browser.slices import Slices
    from ssl3d_lite.show.browser.wipe import wipe

    encoder, volume = make_encoder(cohort, seed=0), cohort.images([0])[0]
    truth = cohort.labels([0])[0].numpy()
    task, volumes, batch = _puzzle(cohort, encoder, 0)
    found = {"left": truth, "right": np.roll(truth, 1)}
    everyone = f"{patients} patients of {edge}³, 2 encoders"
    views: dict[str, tuple[str, Callable[[], Any]]] = {
        "Features": (everyone, lambda: Features(encoder, cohort, cases=range(patients))),
        "Slices": (f"a scan of {edge}³ with labels", lambda: Slices(volume, truth)),
        "wipe": (f"two predictions of {edge}³", lambda: wipe(volume, found, truth)),
        "Puzzle3D": (f"a jigsaw of {edge}³", lambda: Puzzle3D(volumes, batch)),
        "Live": (f"a jigsaw of {edge}³, before training", lambda: Live(task, encoder, volumes)),
    }
    for name, (what, make) in views.items():
        with tempfile.TemporaryDirectory() as folder:
            page = make().save(Path(folder) / "view.html")
            size, seconds = page.stat().st_size / 1e6, _seconds_of_a_click(page)
        yield ViewCost(name, what, size, seconds)


def _layer_costs(cohort: Cohort, edge: int) -> Iterator[ViewCost]:
    """The layers of a jigsaw in napari, and of another one in their place; without a window."""
    from napari.components import ViewerModel

    from ssl3d_lite.show.napari.puzzle import add_puzzle

    viewer = ViewerModel()
    for seed, (what, wanted) in enumerate({"opening": 2.0, "a new puzzle": 0.3}.items()):
        _, volumes, batch = _puzzle(cohort, make_encoder(cohort, seed=0), seed)
        start = time.perf_counter()
        add_puzzle(viewer, volumes, batch)
        taken = time.perf_counter() - start
        told = f"layers of a jigsaw of {edge}³: {what}"
        yield ViewCost("napari", told, None, taken, wanted)


def _puzzle(cohort: Cohort, encoder: Encoder, seed: int) -> tuple[ProxyTask, Tensor, ProxyBatch]:
    """A jigsaw of the first two scans."""
    patch = cohort.shape[0] // 3
    task = make_task("jigsaw", encoder, seed=0, patch=patch, jitter=0)
    volumes = cohort.images([0, 1])
    params = task.sample_params(volumes, torch.Generator().manual_seed(seed))
    return task, volumes, task.make_views(volumes, params)


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
        canvas = window.wait_for_selector("canvas, svg")
        window.wait_for_timeout(_SETTLING)
        shares = np.linspace(0.2, 0.8, _CLICKS).tolist()
        took = [window.evaluate(_CLICK, [canvas, share]) for share in shares]
        chromium.close()
    return median(took[5:]) / 1e3  # the first ones warm up

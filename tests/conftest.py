"""What all tests share: the cohort of made-up scans, raw files, a browser, real scans."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from helpers import make_cohort

from data_recipes.msd import Msd
from data_recipes.msd import prepare as prepare_msd
from ssl3d_lite.data.cohort import Cohort

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytest_plugins = ["raw_files"]

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared/data"

# The tests' processes share the cores: a process that a test starts takes no more than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests that run in the background ignore Ctrl-C, and so would all processes that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Several threads add in another order, and training makes rounding grow. Tests compare numbers
# with those of other processes, which have one thread too; networks this small need no more.
torch.set_num_threads(1)


# While playwright runs, its event loop counts as running in this thread, and later tests may want
# one of their own: so it is stopped after each file.
@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """Chromium, for pages that open from disk; JupyterLab has a fixture of its own."""
    from browser.lab import BROWSERS, FLAGS, find_browser
    from playwright.sync_api import sync_playwright

    if find_browser() is None:
        pytest.skip(f"no browser on PATH: install one of {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_browser(), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def real_hippocampus() -> Path:
    """The raw Decathlon hippocampus task; tests that want it skip where it is absent."""
    return _real("msd/Task04_Hippocampus")


@pytest.fixture(scope="session")
def real_idrid() -> Path:
    return _real("idrid")


@pytest.fixture(scope="session")
def real_acdc() -> Path:
    return _real("acdc")


def _real(name: str) -> Path:
    if not (REAL / name).is_dir():
        pytest.skip(f"no real scans in {REAL / name}")
    return REAL / name


@pytest.fixture(scope="session")
def hippocampi(real_hippocampus: Path, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """All 200 of them, prepared: volumes of 40 × 56 × 40 at 1 mm."""
    folder = tmp_path_factory.mktemp("real")
    prepare_msd(Msd(task=real_hippocampus.name, raw=real_hippocampus, out=folder))
    return Cohort.open(folder).to("cpu")


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """15 volumes of 24 × 32 × 24, read-only."""
    return make_cohort(tmp_path_factory.mktemp("cohort")).to("cpu")

"""What all tests share: the cohort of made-up scans, raw files, and where real scans may lie."""

import os
import signal
from pathlib import Path

import pytest
import torch
from helpers import make_cohort

from ssl3d_lite.data.cohort import Cohort

pytest_plugins = ["raw_files"]

ROOT = Path(__file__).parents[1]
REAL = ROOT.parent / "shared/data/msd/Task04_Hippocampus"

# The tests' processes share the cores: a process that a test starts takes no more than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Tests that run in the background ignore Ctrl-C, and so would all processes that they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Several threads add in another order, and training makes rounding grow. Tests compare numbers
# with those of other processes, which have one thread too; networks this small need no more.
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_hippocampus() -> Path:
    """The raw Decathlon hippocampus task; tests that want it skip where it is absent."""
    if not REAL.is_dir():
        pytest.skip(f"no real scans in {REAL}")
    return REAL


@pytest.fixture(scope="session")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """15 volumes of 24 × 32 × 24, read-only."""
    return make_cohort(tmp_path_factory.mktemp("cohort")).to("cpu")

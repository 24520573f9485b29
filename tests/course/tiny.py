"""A tiny assignment of two parts and an open question, for the tests of the machinery."""

import shutil
from pathlib import Path

HERE = Path(__file__).parent


def tiny_folder(into: Path) -> Path:
    """A folder of assignments with this one in it."""
    into.mkdir(parents=True, exist_ok=True)
    shutil.copy(HERE / "T1_tiny.txt", into / "A1_tiny.py")
    return into

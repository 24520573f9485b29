"""The sandbox of a submission: its limits, its working folder and its environment."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ssl3d_lite.settings import CheckedSettings, PositiveFloat


@dataclass(frozen=True)
class Sandbox(CheckedSettings):
    """Limits of the process in which a submission runs, and what it can see."""

    cohorts: Path | None = None
    """Folder that is linked as cohorts/ in the working folder, for reading."""
    seconds: PositiveFloat = 300
    """Time limit of the whole submission."""
    memory_gb: PositiveFloat = 4
    """Memory limit in GB."""
    scale: Literal["smoke", "class", "full"] = "smoke"
    """Value of SSL3D_SCALE."""
    confine: bool = True
    """Whether the process runs in a jail; False: limits only."""
    deny: tuple[Path, ...] = ()
    """Paths that cannot be read, even below something that can."""

    @property
    def cell_seconds(self) -> float:
        """Time limit of one cell, after which it is interrupted."""
        return max(5.0, self.seconds / 4)


def prepare_scratch(scratch: Path, sandbox: Sandbox, attachments: Sequence[Path]) -> Path:
    """Make a working folder: the files handed in, and the course's data."""
    scratch.mkdir()
    for path in attachments:
        shutil.copyfile(path, scratch / path.name, follow_symlinks=False)
    if sandbox.cohorts is not None:
        (scratch / "cohorts").symlink_to(sandbox.cohorts.resolve())
    fonts = _font_lists()
    if fonts:
        (scratch / ".matplotlib").mkdir()
        for path in fonts:  # otherwise matplotlib searches for fonts for seconds
            shutil.copyfile(path, scratch / ".matplotlib" / path.name)
    return scratch


def _font_lists() -> list[Path]:
    import matplotlib

    return sorted(Path(matplotlib.get_cachedir()).glob("fontlist-*.json"))


def environment(scratch: Path, sandbox: Sandbox) -> dict[str, str]:
    """Environment variables of a submission; none of them could hold a secret."""
    kept = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
    places = ("HOME", "TMPDIR", "TMP", "TEMP", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    own = {name: str(scratch) for name in places}
    own |= {name: str(scratch / f".{name.lower()}") for name in ("IPYTHONDIR", "JUPYTER_DATA_DIR")}
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        **own,
        "MPLCONFIGDIR": str(scratch / ".matplotlib"),
        "SSL3D_SCALE": sandbox.scale,
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",  # then sums are the same on every machine of a kind
        "PYTHONHASHSEED": "0",
        "JOBLIB_MULTIPROCESSING": "0",
        "PYTHONWARNINGS": "ignore",
    }

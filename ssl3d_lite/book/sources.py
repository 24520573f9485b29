"""Where notebooks and pages are read from, in the repository and in an installed wheel.

The wheel has a copy in the repository's layout, so a link from one file to another means the same
in both.
"""

from pathlib import Path

from ssl3d_lite.errors import InputError

_HERE = Path(__file__).parent
_HOUSE = _HERE.parents[1]  # the repository, or where packages are installed


def texts_folder() -> Path:
    """The folder that holds README.md, docs/ and notebooks/.

    Raises:
        InputError: neither the wheel's copy nor a repository is there.
    """
    for folder in (_HERE / "texts", _HOUSE):
        if (folder / "docs").is_dir() and (folder / "notebooks").is_dir():
            return folder
    raise InputError(f"{_HERE / 'texts'} holds no notebooks; install the package again")


def find_text(name: str, texts: Path) -> Path | None:
    """The file or folder that is called so in the repository; None if it is not there.

    Args:
        name: such as ``docs/start.md`` or ``ssl3d_lite/tasks/cpc.py``.
        texts: as :func:`texts_folder` gives it.
    """
    for folder in (texts, _HOUSE):
        if (folder / name).exists():
            return folder / name
    return None


def notebook_names(texts: Path) -> list[str]:
    """The numbered notebooks, as ``notebooks/00_start_here.ipynb``."""
    return [f"notebooks/{path.name}" for path in sorted(texts.glob("notebooks/[0-9]*_*.ipynb"))]

"""What the book is made with, which not every installation has."""

import importlib.util

from ssl3d_lite.errors import InputError

_NEEDED = ("sphinx", "myst_nb", "furo", "ziamath", "latex2mathml")


def need_book() -> None:
    """
    Raises:
        InputError: a library is missing.
    """
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f'the book needs {", ".join(missing)}; install them with: pip install -e ".[book]"'
        )

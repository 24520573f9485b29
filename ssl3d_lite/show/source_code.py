"""The source of a function or a class, to be read in a notebook."""

import inspect
from collections.abc import Callable
from textwrap import dedent
from typing import TYPE_CHECKING, Any

from ssl3d_lite.errors import InputError

if TYPE_CHECKING:
    from IPython.display import Markdown


def source(*things: Callable[..., Any]) -> "Markdown":
    """The source of functions or classes, one below the other, coloured as Python.

    Args:
        things: functions, methods or classes that are written in Python.

    Raises:
        InputError: one of them has no source that can be read, such as ``len`` or an object.

    Example::

        ssl3d.show.source(ssl3d.tasks.geometry.grid_corners)
    """
    from IPython.display import Markdown

    code = "\n".join(_read(thing) for thing in things)
    return Markdown(f"```python\n{code}```")


def _read(thing: Callable[..., Any]) -> str:
    try:
        return dedent(inspect.getsource(thing))
    except (TypeError, OSError):
        name = getattr(thing, "__name__", type(thing).__name__)
        raise InputError(
            f"{name} has no Python source to show; give a function or a class of a file"
        ) from None

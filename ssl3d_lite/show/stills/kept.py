"""What a notebook keeps of figures and of widgets, where a kernel is asked for it.

It is an extension of IPython, loaded by ``notebooks/sync.py``, or in a notebook of your own by
``%load_ext ssl3d_lite.show.stills.kept``. Pictures of figures get alternative texts, and a box of
widgets, such as a slider above a view, gets the picture of the view in it.
"""

from collections.abc import Iterator
from typing import Any

from ipywidgets import Box, Widget
from matplotlib.figure import Figure

from ssl3d_lite.show.figures.alt_text import alt_text

from .bundle import Bundle


def load_ipython_extension(shell: Any) -> None:
    """Called by IPython."""
    formatter = shell.display_formatter.mimebundle_formatter
    formatter.for_type(Figure, _described)
    formatter.for_type(Box, _box)


def _described(figure: Figure, **_: Any) -> tuple[Bundle, Bundle]:
    """Nothing but the alternative text: another formatter draws the picture."""
    return {}, {"image/png": {"alt": alt_text(figure)}}


def _box(box: Box, **options: Any) -> tuple[Bundle, Bundle]:
    """The box as it is, with the picture of the first view in it."""
    data, about = _shown(box, **options)
    if "image/png" in data:  # it is a view itself
        return data, about
    controls = [each.description for each in _inside(box) if getattr(each, "description", "")]
    for widget in _inside(box):
        drawn, told = _shown(widget, **options) if hasattr(widget, "figure") else ({}, {})
        if "image/png" in drawn:
            beside = f" Beside it: {', '.join(controls)}." if controls else ""
            alt = told["image/png"]["alt"] + beside
            seen = {"image/png": drawn["image/png"], "text/plain": alt}
            return data | seen, {"image/png": told["image/png"] | {"alt": alt}}
    return data, about


def _shown(widget: Widget, **options: Any) -> tuple[Bundle, Bundle]:
    shown = widget._repr_mimebundle_(**options) or {}
    return shown if isinstance(shown, tuple) else (shown, {})


def _inside(widget: Widget) -> Iterator[Widget]:
    for child in getattr(widget, "children", ()):
        yield child
        yield from _inside(child)

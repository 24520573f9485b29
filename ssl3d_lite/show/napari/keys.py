"""Keys of a viewer, and the lines in its window that tell them."""

import textwrap
from collections.abc import Callable, Mapping

from .camera import Viewer

Keys = Mapping[str, tuple[str, str]]  # key → what it does, and the method that does it

LINE_OF_KEYS = 72  # letters


def bind_keys(viewer: Viewer, methods: Mapping[str, Callable[[], None]]) -> None:
    """Let keys call methods."""
    for key, method in methods.items():
        viewer.bind_key(key, _for_viewer(method), overwrite=True)


def _for_viewer(method: Callable[[], None]) -> Callable[[Viewer], None]:
    """The same as a function of the viewer, which napari hands to what a key calls."""

    def pressed(viewer: Viewer) -> None:
        method()

    return pressed


def key_lines(keys: Keys) -> list[str]:
    """The keys and what they do, in a few lines; none is torn in two."""
    told = (f"[{key}] {what}".replace(" ", "\xa0") for key, (what, _) in keys.items())
    lines = textwrap.wrap("  ".join(told), LINE_OF_KEYS, break_long_words=False)
    return [line.replace("\xa0", " ") for line in lines]

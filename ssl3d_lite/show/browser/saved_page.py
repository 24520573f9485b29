"""A view of the browser as a page: one file that opens from disk, without network and kernel.

A view draws by itself what it was sent once. So a page needs the view's module, its style, its
state, and a few lines that stand in for the kernel (``saved_page.js``).
"""

import base64
import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anywidget
from markupsafe import Markup
from matplotlib.figure import Figure

from ssl3d_lite.errors import InputError
from ssl3d_lite.files import gzip_bytes
from ssl3d_lite.html import escape, is_page_of, write_html
from ssl3d_lite.outputs import check_file
from ssl3d_lite.show.stills.bundle import Bundle, with_still

from .browser_module import ENTRY

_HOST = Path(__file__).with_suffix(".js")
_WIDE = "body { max-width: 76rem; }"  # a view takes more room than text


class BrowserView(anywidget.AnyWidget):
    """The base of the views in the browser: each can be saved as a page, and drawn as a figure."""

    def figure(self) -> Figure:
        """The view as it is now, as a figure (matplotlib).

        A notebook keeps its picture, for readers who run nothing.

        Example::

            show.Slices(image, label).figure().savefig("scan.png")
        """
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[Bundle, Bundle]:
        data, _ = super()._repr_mimebundle_(**kwargs) or ({}, {})
        return with_still(data, self.figure)

    def save(self, path: str | Path, title: str = "", text: str = "") -> Path:
        """Write the view, as it is now, as one HTML file that needs nothing else.

        What answers in the browser answers there too. What needs the kernel, such as stopping a
        training, does nothing.

        Args:
            title: the page's title, and its heading.
            text: a paragraph below the heading.

        Raises:
            InputError: the name does not end in .html; a file is there that is no page of such a
                view, as it was written; nothing can be written there.

        Example::

            show.Slices(image, label).save("scan.html", "A hippocampus")
        """
        path = self.check_path(path)
        parts = view_parts(self, page_state(self), title, text)
        try:
            write_html(path, title or type(self).__name__, parts, self._maker())
        except OSError as reason:
            why = reason.strerror or reason
            raise InputError(f"cannot write {path}: {why}; give another place") from None
        return path

    @classmethod
    def check_path(cls, path: str | Path) -> Path:
        """Raise InputError unless :meth:`save` may write there; for work that is done before."""
        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm"):
            raise InputError(f"{path} does not end in .html, by which a browser knows a page")
        check_file(path, partial(is_page_of, maker=cls._maker()), f"page of {cls.__name__}")
        return path

    @classmethod
    def _maker(cls) -> str:
        return f"ssl3d view {cls.__name__}"


def view_parts(
    view: BrowserView | type[BrowserView], state: dict[str, Any], title: str = "", text: str = ""
) -> list[str]:
    """The parts of a page (HTML) that shows a view in a state, as :func:`page_state` gives it."""
    parts = [f"<style>{_WIDE}\n{view._css}</style>"]
    parts += [f"<h1>{escape(title)}</h1>"] if title else []
    parts += [f"<p>{escape(text)}</p>"] if text else []
    return [*parts, '<div id="view"></div>', _script(str(view._esm), state)]


def page_state(view: BrowserView) -> dict[str, dict[str, Any]]:
    """A view's state: values as they are, and bytes as base64 of gzip."""
    own = set(view.traits(sync=True)) - set(anywidget.AnyWidget.class_traits(sync=True))
    state = view.get_state(sorted(own - {"_esm", "_css", "_anywidget_id"}))
    found = dict(_bytes_in(state))
    return {
        "values": _without_bytes(state),
        "bytes": {
            path: base64.b64encode(gzip_bytes(value, 9)).decode() for path, value in found.items()
        },
    }


def _bytes_in(value: Any, path: str = "") -> Iterator[tuple[str, bytes]]:
    """All bytes in a state, however deep, each under its path: "_questions/0/asked/bytes"."""
    if isinstance(value, bytes):
        yield path, value
    elif isinstance(value, dict | list):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _bytes_in(each, f"{path}/{key}" if path else str(key))


def _without_bytes(value: Any) -> Any:
    """The same state without what is bytes in it."""
    if isinstance(value, dict):
        return {
            key: _without_bytes(each) for key, each in value.items() if not isinstance(each, bytes)
        }
    return [_without_bytes(each) for each in value] if isinstance(value, list) else value


def _script(module: str, state: dict[str, Any]) -> Markup:
    """The view's module and the host's, side by side, and the state that they are given.

    Names in a state come from data sets' own files, so nothing in it may end the script.
    """
    host = _HOST.read_text(encoding="utf-8").replace("\nexport ", "\n")
    view = f"const view = (() => {{\n{module.removesuffix(ENTRY)}\nreturn {{ render }};\n}})();"
    given = json.dumps(state).replace("<", "\\u003c")
    start = f'startPage(view, document.getElementById("view"), {given});'
    code = "\n".join((host, view, start))
    return Markup(f'<script type="module">\n{code}</script>')

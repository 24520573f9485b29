"""Live views in the pages of notebooks: moved by a reader who has neither kernel nor network.

A notebook keeps a still picture of each view. What some of its views were sent is kept beside it,
in ``notebooks/live/`` (``python notebooks/live.py``). The book makes a page of each, by the views'
present JavaScript, and offers it below the picture.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ssl3d_lite.errors import InputError
from ssl3d_lite.files import read_json, write_json
from ssl3d_lite.html import escape, html_page

if TYPE_CHECKING:
    from ssl3d_lite.show.browser.saved_page import BrowserView

FOLDER = "live"  # beside the notebooks
MICROSCOPE = "docs/features.html"  # one page of features, which are megabytes, for all notebooks
ANOTHER = "another encoder, trained by CPC in the same way"
_STILL = "image/png"
_BESIDE = " Beside it: "  # ssl3d_lite/show/stills/kept.py: controls that a box has beside its view


def state_name(notebook: str, source: str) -> str:
    """The name of the file that keeps what the view of a notebook's cell was sent.

    It has the checksum of the cell's source: nothing of another cell is ever shown for it.

    Args:
        notebook: the notebook's name without suffix, as ``06_cpc``.
    """
    return f"{notebook}-{hashlib.sha256(source.strip().encode()).hexdigest()[:8]}.json"


def keep(view: "BrowserView", path: Path) -> None:
    """Write what a view was sent, and how it stands."""
    from ssl3d_lite.show.browser.saved_page import page_state

    write_json(path, {"view": type(view).__name__, **page_state(view)})


def page_of_view(kept: Path) -> bytes:
    """The page (HTML) of a view that was kept.

    Raises:
        InputError: the file is of no view.
    """
    from ssl3d_lite import show
    from ssl3d_lite.show.browser.saved_page import view_parts

    state = read_json(kept, "view")
    kind = state.pop("view", None)
    if kind not in ("Slices", "Puzzle3D"):
        raise InputError(f"{kept} is of {kind!r}, which is no view: run python notebooks/live.py")
    return html_page(kind, view_parts(getattr(show, kind), state))


def shows_features(source: str) -> bool:
    """Whether a cell shows the microscope."""
    return ".show.Features(" in source


def offer(cell: dict[str, Any], place: str, note: str = "") -> None:
    """Let a cell offer a page below its first still picture; book.js opens it in its place.

    Args:
        cell: a cell of a notebook, with outputs; changed in place.
        place: what the notebook's page has to write to lead to the page.
        note: how the page differs from the picture.
    """
    outputs = cell["outputs"]
    at = next(n for n, output in enumerate(outputs) if _STILL in output.get("data", {}))
    alt = outputs[at].get("metadata", {}).get(_STILL, {}).get("alt", "A view")
    what, _, beside = alt.partition(_BESIDE)
    note = note or (f"{beside.rstrip('.')}: in a notebook alone" if beside else "")
    link = f'<a class="live" href="{place}" target="_blank" title="{escape(what)}">Move it</a>'
    html = f'<p class="live">{link}{f" <small>({escape(note)})</small>" if note else ""}</p>'
    shown = {"output_type": "display_data", "metadata": {}, "data": {"text/html": html}}
    outputs.insert(at + 1, shown)

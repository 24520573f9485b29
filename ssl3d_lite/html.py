"""One HTML page that needs nothing else: text, tables and pictures in it.

The page and its parts are templates of jinja2, in ``templates/page.html``. Names come from data
sets' own files, so every text is escaped on its way into a page; only what these functions made,
or :class:`~markupsafe.Markup`, goes in as it is::

    write_html(path, "A page", [heading("Fish & chips"), as_html((["dish"], [["<cod>"]]))])
"""

import base64
import hashlib
import io
import warnings
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup
from markupsafe import escape as escape_text

from .files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Table = tuple[list[str], Sequence[Sequence[str]]]  # header, rows

_SEAL = b"\n<!-- sha256 "
TEMPLATES = Path(__file__).parent / "templates"


def write_html(path: Path, title: str, parts: Iterable[str], maker: str = "") -> None:
    """Write ``parts`` (HTML) as a page, whole or not at all. ``title`` is plain text.

    A page that stands by itself, in no folder of our own, names its ``maker`` and ends with its
    checksum: by them :func:`is_page_of` knows it again, if nobody has changed it.
    """
    page = html_page(title, parts, maker)
    data = sealed(page) if maker else page
    atomic_write(path, lambda file: file.write(data))


def html_page(title: str, parts: Iterable[str], maker: str = "") -> bytes:
    """``parts`` (HTML) as a page; see :func:`write_html`."""
    inside = [Markup(part) for part in parts]
    return _template().render(title=title, parts=inside, maker=maker).encode()


def is_page_of(path: Path, maker: str) -> bool:
    """Whether a file is a page of ``maker``, as it was written."""
    return is_sealed(path.read_bytes(), f'<meta name="generator" content="{maker}">'.encode())


def sealed(page: bytes) -> bytes:
    """A page, or a document of XML, with its checksum at its end."""
    return page + _SEAL + hashlib.sha256(page).hexdigest().encode() + b" -->\n"


def is_sealed(data: bytes, mark: bytes) -> bool:
    """Whether data hold ``mark``, and are as :func:`sealed` made them."""
    page = data[: data.rfind(_SEAL)]
    return data == sealed(page) and mark in page


@cache
def _template() -> jinja2.Template:
    loader = jinja2.FileSystemLoader(TEMPLATES)
    return jinja2.Environment(loader=loader, autoescape=True).get_template("page.html")


def _part(name: str, *values: Any) -> Markup:
    """The HTML of one of the page's parts."""
    return Markup(getattr(_template().module, name)(*values))


def escape(text: object) -> Markup:
    """A text as HTML: its special characters are shown, and do nothing."""
    return escape_text(str(text))


def heading(text: str, level: int = 2) -> Markup:
    return _part("heading", text, level)


def paragraph(text: str) -> Markup:
    return _part("paragraph", text)


def note(text: str) -> Markup:
    """A remark in small grey letters."""
    return _part("paragraph", text, "note")


def bullets(lines: Iterable[str]) -> Markup:
    return _part("bullets", lines)


def details(name: str, summary: str, inside: Iterable[str]) -> Markup:
    """A line, its name in bold, which opens to more parts (HTML)."""
    return _part("details", name, summary, [Markup(part) for part in inside])


def as_html(table: Table, small: bool = False) -> Markup:
    """A table that can be moved sideways where the window is narrow; or one in small letters."""
    return _part("table", *table, "small" if small else "wide")


def meter(value: float, most: float, large: bool = False) -> Markup:
    """A bar that is filled as far as ``value`` goes of ``most``."""
    return _part("meter", f"{value:g}", f"{most:g}", large)


def picture(figure: "Figure", caption: str, few_colours: bool = False) -> Markup:
    """A figure with its caption (HTML), the image inside the page.

    Args:
        few_colours: it has 256 at most, and a quarter of the bytes: greys with some colours over
            them look the same.
    """
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # a name stands in the text
        figure.savefig(buffer, format="png", dpi=120)
    if few_colours:
        from PIL import Image

        drawn = Image.open(buffer).convert("RGB")
        buffer = io.BytesIO()
        # an octree keeps thin lines of colour
        few = drawn.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
        few.save(buffer, "PNG", optimize=True)
    data = base64.b64encode(buffer.getvalue()).decode()
    return _part("figure", f"data:image/png;base64,{data}", Markup(caption))


def as_text(table: Table) -> str:
    """A table for the terminal."""
    header, rows = table
    widths = [max(len(r[i]) for r in [header, *rows]) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)) for r in rows]
    head = "  ".join(cell.ljust(w) for cell, w in zip(header, widths, strict=True))
    return "\n".join(line.rstrip() for line in (head, "-" * len(head), *lines))

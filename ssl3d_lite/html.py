"""One HTML page that needs nothing else: text, tables and pictures in it."""

import base64
import html
import io
from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from .files import atomic_write

Table = tuple[list[str], list[list[str]]]  # header, rows

STYLE = """
body { max-width: 54rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff;
       font: 16px/1.55 system-ui, sans-serif; }
h1 { line-height: 1.2; } h2 { margin-top: 2.2rem; }
img { max-width: 100%; } figure { margin: 1rem 0; } figcaption { color: #555; font-size: .9em; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem .3rem 0; text-align: left; border-bottom: 1px solid #ddd; }
.note { color: #555; font-size: .9em; } .wide { overflow-x: auto; }
"""


def write_html(path: Path, title: str, parts: Iterable[str]) -> None:
    """Write ``parts`` (HTML) as a page, whole or not at all. ``title`` is plain text."""
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>"
    )
    atomic_write(path, lambda file: file.write(page.encode()))


def escape(text: object) -> str:
    """Names come from data sets' own files: never put them into a page as they are."""
    return html.escape(str(text))


def bullets(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def as_html(table: Table) -> str:
    def row(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    header, rows = table
    body = "".join(row(cells, "td") for cells in rows)
    return f'<div class="wide"><table>{row(header, "th")}{body}</table></div>'


def picture(figure: Figure, caption: str) -> str:
    """A figure with its caption (HTML), the image inside the page."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    data = base64.b64encode(buffer.getvalue()).decode()
    alt = html.escape(caption, quote=True)
    return (
        f'<figure><img alt="{alt}" src="data:image/png;base64,{data}">'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def as_text(table: Table) -> str:
    """A table for the terminal."""
    header, rows = table
    widths = [max(len(r[i]) for r in [header, *rows]) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(r, widths, strict=True)) for r in rows]
    head = "  ".join(cell.ljust(w) for cell, w in zip(header, widths, strict=True))
    return "\n".join(line.rstrip() for line in (head, "-" * len(head), *lines))

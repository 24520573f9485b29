"""A notebook as slides: one HTML file a deck, with reveal.js in it, that opens from disk.

A heading begins a column of slides, a rule a slide; slides_layout.py says what stands together on
one. Tags of a cell say otherwise: ``slide`` begins a column, ``skip`` leaves the cell out, and
``notes`` makes it the speaker's notes.

nbconvert makes slides too, but its decks fetch reveal.js, MathJax and more from the web.
"""

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from ssl3d_lite.html import escape

from .formulas import picture_of
from .slides_layout import QUESTION, Slide, aspect_of, lines_of_code, lines_of_text, parts_of_code

_PARTS = Path(__file__).with_suffix("")
_HEADING = re.compile(r"^#{1,2} (.+)$", re.M)
_PARTS_OF_TEXT = re.compile(r"^(?=#{1,2} )", re.M)
_RULE = re.compile(r"\n\n---+\n")
_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head>
<body><div class="reveal"><div class="slides">
"""
_FOOT = "</div></div>\n<script>{reveal}</script>\n<script>{deck}</script></body></html>\n"


def deck(notebook: bytes) -> bytes:
    """The slides of a notebook (its .ipynb), as one HTML page."""
    cells = json.loads(notebook)["cells"]
    first = next("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    named = _HEADING.search(first)
    style = "\n".join((_read("reveal.css"), _read("deck.css"), _formatter().get_style_defs()))
    parts = [_HEAD.format(title=escape(named[1] if named else "Slides"), style=style)]
    for column in _columns(cells):
        slides = "".join(slide.html() for slide in column)
        parts.append(f"<section>\n{slides}</section>\n")
    parts.append(_FOOT.format(reveal=_read("reveal.js"), deck=_read("deck.js")))
    return "".join(parts).encode()


def _columns(cells: list[dict[str, Any]]) -> Iterator[list[Slide]]:
    """The slides below each heading."""
    column: list[Slide] = []
    for source, tags, outputs in _pieces(cells):
        if column and ("slide" in tags or _HEADING.match(source)):
            yield column
            column = []
        if outputs is not None:
            _put_code(column, source, outputs)
        elif "notes" in tags:
            notes = f'<aside class="notes">{_markdown().render(source)}</aside>'
            (column or [_new(column)])[-1].blocks.append(notes)
        else:
            _put_text(column, source)
    yield column


def _pieces(cells: list[dict[str, Any]]) -> Iterator[tuple[str, list[str], list | None]]:
    """Source, tags and outputs of code; and of text, which headings cut into pieces, no outputs."""
    for cell in cells:
        tags, source = cell["metadata"].get("tags", []), "".join(cell["source"]).strip()
        if "skip" in tags or not source:
            continue
        if cell["cell_type"] == "code":
            yield source, tags, cell["outputs"]
        else:
            texts = filter(None, map(str.strip, _PARTS_OF_TEXT.split(source)))
            yield from ((text, tags, None) for text in texts)


def _new(column: list[Slide]) -> Slide:
    column.append(Slide())
    return column[-1]


def _put(column: list[Slide], kind: str, html: str, lines: float) -> None:
    """Put a block on the last slide, or on a new one."""
    fits = column and column[-1].takes(kind, lines)
    (column[-1] if fits else _new(column)).add(kind, html, lines)


def _put_text(column: list[Slide], source: str) -> None:
    first, *others = _RULE.split(source)
    if column and column[-1].takes_beside(first):
        column[-1].beside = _markdown().render(first)
        column[-1].beside_lines = lines_of_text(first)
    else:
        _put(column, "text", _markdown().render(first), lines_of_text(first))
        column[-1].asks |= QUESTION in first
    for part in others:
        _new(column).add("text", _markdown().render(part), lines_of_text(part))


def _put_code(column: list[Slide], source: str, outputs: list[dict[str, Any]]) -> None:
    """Put a cell of code on slides, and what it shows."""
    from pygments import highlight
    from pygments.lexers import PythonLexer

    for part in parts_of_code(source):
        code = highlight(part, PythonLexer(), _formatter())
        html = f'<pre class="code"><code>{code}</code></pre>'
        _put(column, "code", html, lines_of_code(part))
    for html, png in filter(None, map(_shown, outputs)):
        if png:
            slide = column[-1] if column[-1].takes_picture() else _new(column)
            slide.picture, slide.aspect = html, aspect_of(png)
        else:
            _put(column, "printed", html, lines_of_code(html))


def _shown(output: dict[str, Any]) -> tuple[str, str] | None:
    """What an output shows (HTML); and the picture (base64 of PNG), if it is one."""
    data = {kind: "".join(value) for kind, value in output.get("data", {}).items()}
    if picture := data.get("image/png"):
        about = output["metadata"].get("image/png", {})
        alt = escape(about.get("alt", "A picture"))
        return f'<img src="data:image/png;base64,{picture.strip()}" alt="{alt}">', picture
    if html := data.get("text/html"):
        return html, ""
    text = "".join(output.get("text", ())) or data.get("text/plain", "")
    return (f"<pre>{escape(text.rstrip())}</pre>", "") if text.strip() else None


@cache
def _formatter() -> Any:
    from pygments.formatters import HtmlFormatter

    return HtmlFormatter(nowrap=True, style="friendly")


@cache
def _markdown() -> Any:
    from markdown_it import MarkdownIt
    from mdit_py_plugins.dollarmath import dollarmath_plugin

    def drawn(formula: str, how: dict[str, bool]) -> str:
        tag = "div" if how["display_mode"] else "span"
        return f'<{tag} class="formula">{picture_of(formula, how["display_mode"])}</{tag}>'

    plain = MarkdownIt("commonmark", {"html": True}).enable("table")
    return plain.use(dollarmath_plugin, renderer=drawn)


def _read(name: str) -> str:
    return (_PARTS / name).read_text(encoding="utf-8")

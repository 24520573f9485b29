"""A notebook as slides: one HTML file a deck, with reveal.js in it, that opens from disk.

A heading begins a column of slides. Text, code and each picture have slides of their own, but short
code stands above what it printed, and a short text beside the picture that it follows. Tags of a
cell say otherwise: ``slide`` begins a column, ``skip`` leaves the cell out, ``notes`` makes it the
speaker's notes.

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

_PARTS = Path(__file__).with_suffix("")
_HEADING = re.compile(r"^#{1,2} (.+)$", re.M)
_PARTS_OF_TEXT = re.compile(r"^(?=#{1,2} )", re.M)
_SHORT = 16  # lines of code and of what it printed, that stand on one slide
_BRIEF = 600  # letters of a text that stands beside a picture
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
    parts += [f"<section>\n{''.join(column)}</section>\n" for column in _columns(cells)]
    parts.append(_FOOT.format(reveal=_read("reveal.js"), deck=_read("deck.js")))
    return "".join(parts).encode()


def _columns(cells: list[dict[str, Any]]) -> Iterator[list[str]]:
    """The slides below each heading."""
    column: list[str] = []
    for source, tags, outputs in _pieces(cells):
        if column and ("slide" in tags or _HEADING.match(source)):
            yield column
            column = []
        if outputs is not None:
            column += _of_code(source, outputs)
        elif "notes" in tags:
            column.append(f'<aside class="notes">{_markdown().render(source)}</aside>')
        elif column and _PICTURE in column[-1] and len(source) < _BRIEF:
            text = f'<div class="beside">{_markdown().render(source)}</div>'
            picture = column.pop().replace(_PICTURE, _slide_of("pair"))
            column.append(picture.replace("</div></section>", f"{text}</div></section>"))
        else:
            column.append(_slide(_markdown().render(source)))
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


def _slide_of(kind: str) -> str:
    return f'<section><div class="fit {kind}">'


_PICTURE = _slide_of("picture")


def _slide(html: str, kind: str = "text") -> str:
    return f"{_slide_of(kind)}\n{html}\n</div></section>\n"


def _of_code(source: str, outputs: list[dict[str, Any]]) -> Iterator[str]:
    """The slides of a cell of code, and of what it shows."""
    from pygments import highlight
    from pygments.lexers import PythonLexer

    code = f'<pre class="code"><code>{highlight(source, PythonLexer(), _formatter())}</code></pre>'
    shown = list(filter(None, map(_shown, outputs)))
    printed = [html for html, is_picture in shown if not is_picture]
    lines = sum(text.count("\n") + 1 for text in (source, *printed))
    if printed and lines <= _SHORT:
        yield _slide(code + "".join(printed))
    else:
        yield _slide(code)
        yield from (_slide(html) for html in printed)
    yield from (_slide(html, "picture") for html, is_picture in shown if is_picture)


def _shown(output: dict[str, Any]) -> tuple[str, bool] | None:
    """What an output shows (HTML), and whether it is a picture."""
    data = {kind: "".join(value) for kind, value in output.get("data", {}).items()}
    if picture := data.get("image/png"):
        about = output["metadata"].get("image/png", {})
        alt = escape(about.get("alt", "A picture"))
        return f'<img src="data:image/png;base64,{picture.strip()}" alt="{alt}">', True
    if html := data.get("text/html"):
        return html, False
    text = "".join(output.get("text", ())) or data.get("text/plain", "")
    return (f"<pre>{escape(text.rstrip())}</pre>", False) if text.strip() else None


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

"""What Sphinx is given beyond its own: formulas as pictures, levels of the sidebar's captions,
docstrings as reStructuredText, and signatures of views."""

import inspect
import re
from typing import Any

from docutils import nodes

from .formulas import picture_of

_AFTER_THE_THEME, _BEFORE_NAPOLEON = 900, 100
# stars of (batch, *space), not *emphasis*
_STAR = re.compile(r"(?<![\w*`\\])\*(?=\w)(?![^*\n()]+\*(?!\w))")
_PARAMETERS = re.compile(r"<dl>\n((?:<dd>.*</dd>\n)+)</dl>")
_OF_TYPES = {inspect.cleandoc(kind.__doc__ or "") for kind in (dict, list, tuple, set, str, int)}


def _visit(self: Any, node: nodes.Element) -> None:
    display = isinstance(node, nodes.math_block)
    tag = "div" if display else "span"
    html = picture_of(node.astext(), display)
    self.body.append(f'<{tag} class="formula">{html}</{tag}>')
    raise nodes.SkipNode


def _mend_html(app: Any, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Mend two things for those who hear a page. Sphinx calls the sidebar's captions headings, and
    does not say of which level; it lists a signature's parameters as definitions of nothing."""
    for name in ("furo_navigation_tree", "body"):
        if name in context:
            told = 'role="heading" aria-level="2"'
            html = str(context[name]).replace('role="heading"', told)
            context[name] = _PARAMETERS.sub(_as_list, html)


def _as_list(parameters: re.Match[str]) -> str:
    items = parameters[1].replace("<dd>", '<span role="listitem">').replace("</dd>", "</span>")
    return f'<span class="sig-parameters" role="list">{items}</span>'


def plain_stars(lines: list[str]) -> list[str]:
    """A docstring in which the star of a shape is a star. Code is left as it is."""
    told, code = [], None  # how far the line before some code is indented
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if code is not None and line.strip() and indent <= code:
            code = None
        told.append(line if code is not None else _outside_code(line))
        if code is None and line.rstrip().endswith("::"):
            code = indent
    return told


def _outside_code(line: str) -> str:
    parts = line.split("``")
    parts[::2] = [_STAR.sub(r"\\*", part) for part in parts[::2]]
    return "``".join(parts)


def _read_docstring(
    app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    is_types_own = "\n".join(lines).strip() in _OF_TYPES
    lines[:] = [] if is_types_own else plain_stars(lines)


def _read_signature(
    app: Any, what: str, name: str, thing: Any, options: Any, said: str | None, returned: str | None
) -> tuple[str, None] | None:
    """What a view takes. Traitlets makes it by a ``__new__`` that takes anything, which autodoc
    would tell."""
    if what != "class" or "traitlets" not in str(thing.__new__.__module__):
        return None
    from sphinx.util.inspect import signature, stringify_signature

    own = signature(thing.__init__, bound_method=True)
    return stringify_signature(own, show_return_annotation=False, unqualified_typehints=True), None


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_html_math_renderer("pictures", (_visit, None), (_visit, None))
    app.connect("autodoc-process-docstring", _read_docstring, priority=_BEFORE_NAPOLEON)
    app.connect("autodoc-process-signature", _read_signature)
    app.connect("html-page-context", _mend_html, priority=_AFTER_THE_THEME)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

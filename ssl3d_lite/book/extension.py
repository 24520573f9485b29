"""What Sphinx is given beyond its own: formulas as pictures, levels of the sidebar's captions."""

from typing import Any

from docutils import nodes

from .formulas import picture_of

_AFTER_THE_THEME = 900


def _visit(self: Any, node: nodes.Element) -> None:
    display = isinstance(node, nodes.math_block)
    tag = "div" if display else "span"
    html = picture_of(node.astext(), display)
    self.body.append(f'<{tag} class="formula">{html}</{tag}>')
    raise nodes.SkipNode


def _add_levels(app: Any, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Sphinx calls the sidebar's captions headings, and does not say of which level."""
    for name in ("furo_navigation_tree", "body"):
        if name in context:
            told = 'role="heading" aria-level="2"'
            context[name] = str(context[name]).replace('role="heading"', told)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.add_html_math_renderer("pictures", (_visit, None), (_visit, None))
    app.connect("html-page-context", _add_levels, priority=_AFTER_THE_THEME)
    return {"parallel_read_safe": True, "parallel_write_safe": True}

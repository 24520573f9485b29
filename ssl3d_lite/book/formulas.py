"""Formulas as pictures, drawn while the book is built: a reader's browser fetches nothing.

MathJax, which Sphinx takes by default, is a script that a browser fetches or
that weighs megabytes; MathML is drawn with whatever font a reader has. Here each formula is an SVG
in the colour of the text (ziamath), and beside it MathML that a screen reader reads.
"""

import re

_HEIGHT = 16  # height of letters, in the page's pixels
# what latex2mathml does not know, or not behind \big, and what is the same
_SAME = {
    r"\\(?:[lr]?Vert(?![A-Za-z])|\|)": "‖",
    r"\\[lr]vert(?![A-Za-z])": "|",
    r"\\[bB]igg?[lrm]?\s*(\\[{}])": r"\1",
}


def picture_of(formula: str, display: bool) -> str:
    """HTML of a formula in LaTeX.

    Args:
        display: whether it stands in a line of its own.

    Raises:
        ValueError: it has a command that latex2mathml does not know, and would print.
    """
    import latex2mathml.converter
    import ziamath

    latex = " ".join(formula.split())
    for command, known in _SAME.items():
        latex = re.sub(command, known, latex)
    drawn = ziamath.Latex(latex, size=_HEIGHT, inline=not display, color="currentColor")
    spoken = latex2mathml.converter.convert(latex, display="block" if display else "inline")
    if "\\" in spoken:
        raise ValueError(f"a formula that cannot be drawn as a whole: {latex}")
    below = drawn.getyofst()
    svg = drawn.svg().replace("<svg ", '<svg aria-hidden="true" focusable="false" ', 1)
    inside = f'<span class="drawn" style="vertical-align:{below:.2f}px">{svg}</span>'
    return f'{inside}<span class="spoken">{spoken}</span>'

"""A figure in words, for readers who cannot see it: the alternative text of its picture."""

from collections.abc import Iterable

from matplotlib.figure import Figure
from matplotlib.legend import Legend

LONGEST = 400  # letters


def alt_text(figure: Figure) -> str:
    """What a figure says of itself: its label, its title, its panels, its axes, its legend.

    Give a figure a sentence of its own by ``figure.set_label("…")``.

    Example::

        alt_text(show.segmentations(image[0], {"label": label}, cohort.label_names))
    """
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes)]
    parts = {
        "": [str(figure.get_label()), _suptitle(figure)],
        "Panels": [axes.get_title() for axes in figure.axes],
        "Across": [figure.get_supxlabel(), *(axes.get_xlabel() for axes in figure.axes)],
        "Up": [figure.get_supylabel(), *(axes.get_ylabel() for axes in figure.axes)],
        "Legend": [name for legend in legends if legend for name in _names(legend)],
    }
    said = {part: _once(texts) for part, texts in parts.items()}
    lines = [said.pop(""), *(f"{part}: {text}" for part, text in said.items() if text)]
    text = " ".join(map(_sentence, filter(None, lines))) or "A figure without words."
    return text if len(text) <= LONGEST else text[: LONGEST - 2].rsplit(" ", 1)[0] + " …"


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _suptitle(figure: Figure) -> str:
    """The titles of the figure and of its parts."""
    return ", ".join(filter(None, (part.get_suptitle() for part in (figure, *figure.subfigs))))


def _names(legend: Legend) -> list[str]:
    return [text.get_text() for text in legend.get_texts()]


def _once(texts: Iterable[str]) -> str:
    """Texts in one line, each once, in order."""
    return ", ".join(dict.fromkeys(" ".join(text.split()) for text in texts if text.strip()))

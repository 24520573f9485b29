"""The still picture of ``Live``: curves, and the fixed questions with the answers of now."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Rectangle

from ssl3d_lite.show.context import ASKED_COLOUR, CONTEXT_COLOUR, START_COLOUR
from ssl3d_lite.show.figures.curves import tidy
from ssl3d_lite.show.figures.planes import white_text
from ssl3d_lite.show.pieces import COLOURS, CORRECT_COLOUR, WRONG_COLOUR
from ssl3d_lite.show.words import right_or_wrong

from .bundle import Message

TRAINING_WIDE = 9.0  # inches; so are the parts of its height:
CURVES, MOST_HIGH, WORDS = 2.3, 2.2, 0.7
LETTERS = 30  # in a line below a card
SUBDUED = "#777777"
STATES = {"waiting": ", waiting to begin", "stopped": ", stopped"}
MARKS = {  # what a patch is → colour, line, name
    "context": (CONTEXT_COLOUR, "-", ""),
    "start": (START_COLOUR, "-", ""),
    "asked": (ASKED_COLOUR, "--", "?"),
    "right": (CORRECT_COLOUR, "-", "✓"),
    "wrong": (WRONG_COLOUR, "--", "✗"),
}


def training_still(
    title: str,
    question: str,
    state: str,
    progress: Message,
    asked: Sequence[Message],
    guesses: Sequence[Message],
    right: str,
) -> Figure:
    """Loss and score over steps, and below them each question with truth and guess.

    The messages are those that ``Live`` sends to the browser.
    """
    pairs = [(each, guesses[n] if n < len(guesses) else {}) for n, each in enumerate(asked)]
    pairs.sort(key=lambda pair: not pair[1].get("right"))  # hits come first
    many = max((len(_pictures(*pair)) for pair in pairs), default=0) > 2
    columns = 2 if many else 4
    lines = [pairs[at : at + columns] for at in range(0, len(pairs), columns)]
    heights = [_height(line, TRAINING_WIDE / columns) for line in lines]
    curves = CURVES if progress else 0.1
    figure = Figure(figsize=(TRAINING_WIDE, curves + 0.5 + sum(heights)), layout="constrained")
    figure.suptitle(_headline(title + STATES.get(state, ""), progress), fontsize=11)
    above, below = figure.subfigures(
        2, 1, squeeze=False, height_ratios=(curves, sum(heights) + 0.1)
    )[:, 0]
    if progress:
        _draw_curves(above, progress)
    below.suptitle(f"{question}  {right}".strip(), fontsize=10)
    rows = below.subfigures(
        max(len(lines), 1), columns, squeeze=False, height_ratios=heights or None
    )
    for row, line in zip(rows, lines, strict=False):
        for card, pair in zip(row, line, strict=False):
            _draw_card(card, *pair)
    return figure


def _headline(title: str, progress: Message) -> str:
    last = progress.get("last")
    if not last:
        return f"Training on {title}"
    score = f"{progress['measure']} {last['score']:.3g} (chance {progress['chance']:.3g})"
    return f"Training on {title}: step {last['step']}, loss {last['loss']:.3g}, {score}"


def _draw_curves(figure: SubFigure, progress: Message) -> None:
    steps, chance = progress.get("steps", []), progress.get("chance")
    for axes, key in zip(figure.subplots(1, 2), ("loss", "score"), strict=True):
        name = progress.get("measure", key) if key == "score" else key
        axes.plot(steps, progress.get(key, []), color=COLOURS[0], linewidth=1.6)
        axes.set(xlabel="step", ylabel=name)
        tidy(axes)
        if key == "score" and chance is not None:
            axes.axhline(chance, color=SUBDUED, linestyle="--", label=f"chance {chance:.3g}")
            axes.legend(frameon=False, fontsize=8)


def _height(line: Sequence[tuple[Message, Message]], width: float) -> float:
    """Inches that a row of cards needs, of that width each."""
    high = [0.0]
    for pair in line:
        sizes = [picture["size"] for _, picture, _ in _pictures(*pair)]
        wide = sum(size[1] for size in sizes) or 1
        high.append(max([size[0] * width / wide for size in sizes], default=0))
    return min(MOST_HIGH, max(high)) + WORDS


def _pictures(question: Message, guess: Message) -> list[tuple[str, Message, list[Message]]]:
    """Name, picture and marks of what a card shows side by side."""
    pairs = {
        "asked": question["asked"],
        "truth": question["truth"],
        "guess": guess.get("picture"),
    }
    marks = [*question["marks"], *guess.get("marks", [])]
    return [
        (name, picture, marks if name == "asked" else [])
        for name, picture in pairs.items()
        if picture
    ]


def _draw_card(figure: SubFigure, question: Message, guess: Message) -> None:
    shown = _pictures(question, guess)
    widths = [picture["size"][1] for _, picture, _ in shown]
    panels = figure.subplots(1, max(len(shown), 1), squeeze=False, width_ratios=widths or None)[0]
    for axes in panels:
        axes.set_axis_off()
    for axes, (name, picture, marks) in zip(panels, shown, strict=False):
        _draw_picture(axes, picture, marks)
        if len(shown) > 1:
            axes.set_title(name, fontsize=7, color=SUBDUED, pad=2)
    correct = guess.get("right")
    lines = [f"{'asked' if question['marks'] else 'truth'}: {question['words']}"]
    lines += [f"guess: {guess['words']}"] if guess else []
    lines += [right_or_wrong(correct)] if correct is not None else []
    colour = "black" if correct is None else CORRECT_COLOUR if correct else WRONG_COLOUR
    text = "\n".join(fill(line, LETTERS) for line in lines)
    figure.supxlabel(text, fontsize=7.5, color=colour)


def _draw_picture(axes: Axes, picture: Message, marks: Sequence[Message]) -> None:
    high, wide = picture["size"]
    pixels = np.frombuffer(picture["bytes"], np.uint8).reshape(high, wide, -1)
    pixels = np.broadcast_to(pixels, (high, wide, 3))
    axes.imshow(pixels, interpolation="nearest", extent=(0, wide, high, 0))
    for mark in marks:
        left, top, right, bottom = mark["box"]
        colour, line, name = MARKS[mark["kind"]]
        box = Rectangle((left, top), right - left, bottom - top, fill=False)
        box.set(edgecolor=colour, linestyle=line, linewidth=1.5)
        axes.add_patch(box)
        middle = ((left + right) / 2, (top + bottom) / 2)
        axes.text(*middle, name, ha="center", va="center", **white_text(9))

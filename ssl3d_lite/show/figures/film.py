"""Figure of a film strip: the loss, and below each place of its curve what was seen there."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.film import Film, Reel
from ssl3d_lite.show.pieces import COLOURS

from .curves import tidy
from .planes import LEFT_OF_AXES

_FRAME = 0.95  # inches
_CURVE = 1.3  # inches, its height
_BESIDE = 1.0  # inches, for the names of rows


def film_strip(film: Film | Reel) -> Figure:
    """The loss over the steps of a training, and below it a row of frames for each thing seen.

    Steps are spaced so that each frame stands below its own step. On the left is what the network
    is given, on the right what it should have made of it.

    Raises:
        InputError: the training is not over: call ``film.finish(history)`` first.
    """
    reel = film.reel if isinstance(film, Film) else film
    if not reel.losses:
        raise InputError("this film has no losses yet: call film.finish(history)")
    rows, count = reel.rows(), len(reel.steps)
    tall = {name: _FRAME * _share(pictures[-1]) for name, pictures in rows.items()}
    size = (_BESIDE + _FRAME * (count + 2), _CURVE + sum(tall.values()) + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.01, h_pad=0.01, wspace=0.02, hspace=0.02)  # type: ignore[union-attr, call-arg]  # the stub knows no such engine
    grid = figure.add_gridspec(1 + len(rows), count + 2, height_ratios=[_CURVE, *tall.values()])
    figure.set_label(_in_words(reel, list(rows)))
    _draw_curve(figure.add_subplot(grid[0, 1:-1]), reel)
    for row, (name, pictures) in enumerate(rows.items(), start=1):
        ends = (reel.shown.get(name), reel.truth.get(name))
        for column, picture in enumerate((ends[0], *pictures, ends[1])):
            axes = figure.add_subplot(grid[row, column])
            axes.set_axis_off()
            if picture is not None:
                axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            if row == 1 and column == 0:
                axes.set_title("given", fontsize=8)
            if column == count + 1 and picture is not None:
                axes.set_title("truth", fontsize=8, pad=2)
            if column == 0:
                axes.text(-0.08, 0.5, name, transform=axes.transAxes, **LEFT_OF_AXES)
    return figure


def _in_words(reel: Reel, rows: list[str]) -> str:
    """What is seen, for readers who cannot see it."""
    losses = [reel.losses[step] for step in sorted(reel.losses)]
    steps = ", ".join(map(str, sorted(reel.steps)))
    return (
        f"A training as a film strip: {', '.join(rows)}, after {steps} steps. "
        f"Above it the loss, from {losses[0]:.3g} to {losses[-1]:.3g}"
    )


def _share(picture: np.ndarray) -> float:
    """Height of a picture in units of its width."""
    return picture.shape[0] / picture.shape[1]


def _draw_curve(axes: Axes, reel: Reel) -> None:
    """Draw the losses so that the steps of frames are equally far apart."""
    order = np.argsort(reel.steps)
    frames = np.array(reel.steps)[order]
    steps, losses = np.array(list(reel.losses.items())).T
    places = np.interp(np.log1p(steps), np.log1p(frames), np.arange(len(frames)))
    axes.plot(places, losses, color=COLOURS[0], marker="o" if len(steps) < 3 else None)
    at = np.interp(frames[1:], steps, losses)
    axes.plot(np.arange(1, len(frames)), at, "o", color=COLOURS[0], markersize=4)
    axes.set_xlim(-0.5, len(frames) - 0.5)
    axes.set_xticks(np.arange(len(frames)), [f"step {step}" for step in frames], fontsize=8)
    # numbers stand within: beside the axes they would push frames and steps apart
    axes.tick_params(axis="y", labelsize=8, direction="in", pad=-24)
    axes.set_title("loss", loc="left", fontsize=9)
    tidy(axes)

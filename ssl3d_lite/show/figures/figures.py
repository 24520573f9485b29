"""Figures of scans, puzzles and answers for notebooks and reports, in one style (matplotlib).

Every function returns a ``matplotlib.figure.Figure`` made without pyplot, so nothing is kept open
and no display is needed. Colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from torch import Tensor

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.pieces import COLOURS, answers, pieces
from ssl3d_lite.show.words import place_names, turn_names
from ssl3d_lite.tasks import ProxyBatch

from .planes import PLANE_NAMES, outline_box, overlay_classes, show_image, show_plane
from .puzzle_figures import pyramid, shuffled, triplets, turns

__all__ = [
    "confusion",
    "place_names",
    "puzzle",
    "pyramid",
    "segmentations",
    "show_plane",
    "shuffled",
    "triplets",
    "turn_names",
    "turns",
]

# ---- scans -------------------------------------------------------------------------------------


def segmentations(
    image: np.ndarray,
    answers: Mapping[str, np.ndarray],
    label_names: Sequence[str],
    title: str = "",
) -> Figure:
    """A scan, and beside it the same planes with each of ``answers`` (class maps) laid over.

    The planes go through the middle of the first answer, which should be the truth.
    """
    truth = next(iter(answers.values()))
    inside = np.argwhere(truth > 0) if (truth > 0).any() else np.argwhere(truth >= 0)
    centre = np.round(inside.mean(0)).astype(int)
    planes = range(image.ndim) if image.ndim == 3 else (0,)
    columns = {"scan": None, **answers}
    figure = Figure(figsize=(2.1 * len(columns), 2.2 * len(planes) + 0.7), layout="constrained")
    grid = figure.subplots(len(planes), len(columns), squeeze=False)
    for row, axis in zip(grid, planes, strict=True):
        for axes, (name, answer) in zip(row, columns.items(), strict=True):
            show_plane(axes, image, axis, centre[axis])
            if answer is not None:
                overlay_classes(axes, answer, axis, centre[axis])
            if axis == planes[0]:
                axes.set_title(name, fontsize=10)
    names = enumerate(label_names[1:])
    handles = [Polygon([(0, 0)], color=COLOURS[i % len(COLOURS)], label=n) for i, n in names]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure


# ---- puzzles -----------------------------------------------------------------------------------


def puzzle(volumes: Tensor, batch: ProxyBatch, scan: int = 0, most: int = 9) -> Figure:
    """What a proxy task shows the network: the scan with its views outlined, and the views.

    Drawn from views and placement alone; the task need not be known.

    Args:
        volumes: (batch, channel, *space), as they were given to ``make_views``.
        scan: which of them.
        most: views to draw at the most.
    """
    image, views = volumes[scan].cpu().numpy(), pieces(batch, scan)
    chosen = [views[view] for view in _views_to_draw(batch, len(views), most)]
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(chosen))]
    told = answers(batch, scan)
    figure = Figure(figsize=(max(8, len(chosen)), 4.4), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.9, 1))
    solid = image.ndim == 4
    for axis, axes in enumerate(above.subplots(1, 3 if solid else 1, squeeze=False)[0]):
        show_image(axes, image, axis)
        axes.set_title(PLANE_NAMES[axis] if solid else "", fontsize=9)
        for view, colour in zip(chosen, colours, strict=True):
            outline_box(axes, view.corners, axis, colour)
    if None in told:
        below.suptitle(f"answer {told[None]}", fontsize=9)
    for axes, view, colour in zip(
        below.subplots(1, len(chosen), squeeze=False)[0], chosen, colours, strict=True
    ):
        show_image(axes, view.image)
        answer = "" if view.answer is None else f"\nanswer {view.answer}"
        axes.set_title(f"view {view.number}{answer}", fontsize=9, color=colour)
    return figure


def _views_to_draw(batch: ProxyBatch, views: int, most: int) -> list[int]:
    """All, up to ``most``; in a grid of 3D patches those of its middle plane, and where it is gone
    through in one direction those of its middle column, in that order."""
    placement = batch.placement
    numbers = np.arange(views)
    if placement.direction is not None:
        axis, backwards = placement.direction
        middle = tuple(slice(None) if a == axis else n // 2 for a, n in enumerate(placement.grid))
        numbers = numbers.reshape(placement.grid)[middle]
        numbers = numbers[::-1] if backwards else numbers
    elif len(placement.grid) == 3:
        numbers = numbers.reshape(placement.grid)[placement.grid[0] // 2].flatten()
    return numbers[:most].tolist()


# ---- answers -----------------------------------------------------------------------------------


def confusion(
    truth: Sequence[int] | Tensor,
    guesses: Sequence[int] | Tensor,
    names: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """How often each answer was given where each was right, as shares of the rows.

    Args:
        truth: right answers, integers from 0.
        guesses: the answers given, as many.
        names: of the answers, see :func:`turn_names` and :func:`place_names`; else numbers.

    Raises:
        InputError: not as many guesses as truths, none at all, or an answer without a name.
    """
    truth, guesses = (np.asarray(each).astype(int).ravel() for each in (truth, guesses))
    if len(truth) != len(guesses) or not len(truth):
        raise InputError(f"there are {len(truth)} right answers and {len(guesses)} guesses")
    most = int(max(truth.max(), guesses.max())) + 1
    names = [str(n) for n in range(most)] if names is None else list(names)
    if len(names) < most:
        raise InputError(f"answer {most - 1} has no name: there are {len(names)} names")
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (truth, guesses), 1)
    asked = counts.sum(1, keepdims=True)
    shares = np.divide(counts, asked, out=np.full_like(counts, np.nan), where=asked > 0)
    few = len(names) <= 12
    figure = Figure(figsize=(6.6, 5.6) if few else (8, 7.2), layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_facecolor("#dddddd")  # rows that were not asked
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=90, fontsize=8 if few else 7)
    axes.set_yticks(ticks, names, fontsize=8 if few else 7)
    axes.set(xlabel="answer given", ylabel="right answer")
    for at in zip(*np.nonzero(counts)) if few else ():
        dark = shares[at] > 0.5
        style = {"color": "white" if dark else "black", "fontsize": 8, "ha": "center"}
        axes.text(at[1], at[0], f"{shares[at]:.0%}".rstrip("%"), va="center", **style)
    for at in ticks:  # where right answers lie
        axes.add_patch(Rectangle((at - 0.5, at - 0.5), 1, 1, fill=False, linewidth=0.7))
    right = f"{(truth == guesses).sum()} of {len(truth)} right"
    axes.set_title(f"{title}: {right}" if title else right, fontsize=10)
    label = "share of the row" + (", in the cells in %" if few else "")
    figure.colorbar(drawn, ax=axes, shrink=0.6, label=label)
    return figure

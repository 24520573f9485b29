"""Figures for notebooks and reports, in one style (matplotlib).

Every function returns a ``matplotlib.figure.Figure`` made without pyplot, so nothing is kept open
and no display is needed. Colours are Okabe and Ito's, which colour-blind readers can tell apart.
"""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Polygon
from scipy.spatial import ConvexHull
from torch import Tensor

from ..tasks import ProxyBatch, measure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
PLANE_NAMES = ("sagittal", "coronal", "axial")  # the plane across axis 0, 1, 2 of an RAS volume
GREY = "#888888"


# ---- scans -------------------------------------------------------------------------------------


def show_plane(axes: Axes, volume: np.ndarray, axis: int = 2, place: int | None = None) -> None:
    """Draw the plane across ``axis`` at voxel ``place`` (the middle by default), up being up.

    ``volume`` is (*space) in RAS orientation; a 2D image is drawn whole.
    """
    image = volume
    if volume.ndim == 3:
        image = np.take(volume, volume.shape[axis] // 2 if place is None else place, axis)
    axes.imshow(image.T, cmap="gray", origin="lower", interpolation="nearest")
    axes.set_axis_off()


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


def overlay_classes(axes: Axes, classes: np.ndarray, axis: int, place: int) -> None:
    """Lay classes 1, 2, … over a plane drawn by :func:`show_plane`; class 0 stays clear."""
    plane = np.take(classes, place, axis) if classes.ndim == 3 else classes
    colours = [(0, 0, 0, 0), *((*to_rgb(c), 0.55) for c in COLOURS)]
    axes.imshow(
        plane.T,
        cmap=ListedColormap(colours),
        vmin=0,
        vmax=len(colours) - 1,
        origin="lower",
        interpolation="nearest",
    )


# ---- puzzles -----------------------------------------------------------------------------------


def puzzle(volumes: Tensor, batch: ProxyBatch, scan: int = 0, most: int = 9) -> Figure:
    """What a proxy task shows the network: the scan with its views outlined, and the views.

    Drawn from views and placement alone; the task need not be known.

    Args:
        volumes: (batch, channel, *space), as they were given to ``pose``.
        scan: which of them.
        most: views to draw at the most.
    """
    volume = volumes[scan, 0].cpu().numpy()
    views = batch.views[scan, :, 0].cpu().numpy()
    chosen = _views_to_draw(batch, len(views), most)
    answers = _answers(batch, scan)
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(chosen))]
    figure = Figure(figsize=(1.45 * max(len(chosen), 5), 4.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.9, 1))
    planes = above.subplots(1, volume.ndim if volume.ndim == 3 else 1, squeeze=False)[0]
    for axis, axes in enumerate(planes):
        show_plane(axes, volume, axis)
        axes.set_title(PLANE_NAMES[axis] if volume.ndim == 3 else "", fontsize=9)
        for view, colour in zip(chosen, colours, strict=True):
            corners = box_corners(batch.placement.matrix[scan, view], views.shape[1:])
            _outline(axes, corners, axis if volume.ndim == 3 else None, colour)
    if None in answers:
        below.suptitle(f"answer {answers[None]}", fontsize=9)
    for axes, view, colour in zip(
        below.subplots(1, len(chosen), squeeze=False)[0], chosen, colours, strict=True
    ):
        show_plane(axes, views[view])
        answer = f"\nanswer {answers[view]}" if view in answers else ""
        axes.set_title(f"view {view}{answer}", fontsize=9, color=colour)
    return figure


def _answers(batch: ProxyBatch, scan: int) -> dict[int | None, int]:
    """View → its answer, where a scan's answers are numbers. One answer to all views has the key
    None; where there are fewer answers than views, the first views are only to compare with."""
    target, views = batch.target, batch.views.shape[1]
    if target.ndim != 2 or target.is_floating_point():
        return {}
    numbers = target[scan].tolist()
    if len(numbers) == 1 < views:
        return {None: numbers[0]}
    return dict(zip(range(views - len(numbers), views), numbers, strict=True))


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


def box_corners(matrix: Tensor, size: Sequence[int]) -> np.ndarray:
    """The corners of a view's box in scan voxels: (2^D, D). Voxel borders, not centres."""
    ends = [(-0.5, edge - 0.5) for edge in size]
    corners = np.array([(*corner, 1) for corner in product(*ends)])
    return (corners @ matrix.double().numpy().T)[:, :-1]


def _outline(axes: Axes, corners: np.ndarray, axis: int | None, colour: str) -> None:
    """A box's silhouette, looking along ``axis``."""
    flat = corners if axis is None else np.delete(corners, axis, 1)
    hull = ConvexHull(flat)
    axes.add_patch(Polygon(flat[hull.vertices], fill=False, edgecolor=colour, linewidth=1.6))


# ---- curves ------------------------------------------------------------------------------------


def learning_curves(
    histories: Mapping[str, Sequence[Mapping[str, float]]],
    held_out: Mapping[str, Mapping[str, float]] | None = None,
) -> Figure:
    """Loss and score of runs of one proxy task over steps, with chance, and held-out scores.

    Args:
        histories: a run's name → its history.
        held_out: a run's name → its scores on cases it was not trained on.
    """
    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    name = measure(next(iter(histories.values()))[0])
    for colour, (run, history) in zip(COLOURS, histories.items(), strict=False):
        steps = [row["step"] for row in history]
        left.plot(steps, [row["loss"] for row in history], color=colour, label=run)
        right.plot(steps, [row[name] for row in history], color=colour, label=run)
        if held_out:
            right.plot(steps[-1], held_out[run][name], "o", color=colour)
    right.axhline(history[0]["chance"], color=GREY, linestyle="--", label="chance")
    seen = [row[name] for history in histories.values() for row in history]
    right.set_ylim(min(0, max(-1, *seen)), min(1, 1.3 * max(*seen, 0.1)))
    left.set(xlabel="step", ylabel="loss")
    right.set(xlabel="step", ylabel=f"{name} (dots: held-out cases)")
    right.legend(frameon=False, fontsize=9)
    tidy(left, right)
    return figure


def label_efficiency(
    scores: Mapping[str, Mapping[int, Sequence[float]]], ylabel: str = "mean Dice"
) -> Figure:
    """Score over the number of labels: a line of means an arm, a dot each run.

    Args:
        scores: arm → number of labels → its scores.
    """
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    axes = figure.subplots()
    for index, (arm, by_amount) in enumerate(scores.items()):
        colour = COLOURS[index % len(COLOURS)]
        amounts = sorted(by_amount)
        means = [float(np.mean(by_amount[n])) for n in amounts]
        style = {"marker": "osD^vP*"[index % 7], "linestyle": "-" if index == 0 else "--"}
        axes.plot(amounts, means, color=colour, label=arm, **style)
        for n in amounts:
            axes.plot([n] * len(by_amount[n]), by_amount[n], ".", color=colour, alpha=0.35)
    ticks = sorted({n for by_amount in scores.values() for n in by_amount})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.set(xlabel="labelled volumes", ylabel=ylabel)
    axes.legend(frameon=False, fontsize=9, loc="center left", bbox_to_anchor=(1, 0.5))
    tidy(axes)
    return figure


def tidy(*many: Axes) -> None:
    """The style of all axes with scales: no box, a faint grid."""
    for axes in many:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)

"""Figure of any proxy task: its question, the scan with its views outlined, and the views."""

from collections.abc import Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from torch import Tensor

from ssl3d_lite.show.arrays import air, as_numpy
from ssl3d_lite.show.context import (
    ASKED_COLOUR,
    CONTEXT_COLOUR,
    START_COLOUR,
    PatchQuestion,
    asks_for_patches,
    middle_question,
    patch_question,
    row_numbers,
)
from ssl3d_lite.show.pieces import (
    HIDDEN_NAME,
    Piece,
    air_in,
    answer_name,
    badge,
    piece_labels,
    pieces_of,
    voxel_classes,
)
from ssl3d_lite.show.words import rows_told
from ssl3d_lite.tasks import ProxyBatch

from .planes import (
    PLANE_NAMES,
    PlaneScale,
    draw_image,
    draw_scan_plane,
    outline_box,
    overlay_classes,
    white_text,
)
from .pyramid import draw_question

WORDS_WIDE = 15  # letters in a line above a view


def puzzle(
    volumes: Tensor,
    batch: ProxyBatch,
    scan: int = 0,
    max_views: int = 9,
    spacing: Sequence[float] | None = None,
) -> Figure:
    """What a proxy task asks and shows the network: the scan with its views, and the views.

    It is drawn from the batch alone; the task need not be known. Of CPC one question is drawn:
    context, the place asked about, and the patches in its column. Where voxels are asked about,
    the truth stands beside what the network is shown.

    Args:
        volumes: (batch, channel, *space), as they were given to ``make_views``.
        scan: index of the scan to draw.
        max_views: number of views to draw at most.
        spacing: edges of a voxel, mm.
    """
    image, views = as_numpy(volumes[scan]), pieces_of(batch, scan)
    chosen = [views[view] for view in _views_to_draw(batch, len(views), max_views)]
    figure = Figure(figsize=(max(8, len(chosen)), 4.9), layout="constrained")
    figure.suptitle(_headline(batch, scan), fontsize=11)
    above, below = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.7, 1))[:, 0]
    if asks_for_patches(batch):
        question = patch_question(batch, middle_question(batch, scan))
        draw_question(above, image, batch, question, spacing)
        _draw_views(below, image, chosen, *_patch_titles(batch, chosen, question))
        return figure
    _draw_scan(above, image, chosen, spacing)
    asked = voxel_classes(batch, scan)
    if asked is not None and len(views) == 1:
        _draw_voxels(below, batch, scan, views[0], *asked)
    else:
        titles, colours = [_title(view) for view in chosen], [view.colour for view in chosen]
        _draw_views(below, image, chosen, titles, colours)
    return figure


def _draw_scan(
    figure: SubFigure, image: np.ndarray, views: Sequence[Piece], spacing: Sequence[float] | None
) -> None:
    """Draw the middle planes of the scan, with the boxes of views and their badges."""
    scale, solid = PlaneScale(image.shape[1:], spacing), image.ndim == 4
    for axis, axes in scale.row(figure, range(3) if solid else (2,)):
        draw_scan_plane(axes, image, axis)
        axes.set_title(PLANE_NAMES[axis] if solid else "", fontsize=9)
        badges: dict[tuple[float, ...], list[str]] = {}  # turned copies lie in one place
        for view in views:
            outline_box(axes, view.corners, axis, view.colour)
            place = np.delete(view.centre, axis) if solid else view.centre
            badges.setdefault(tuple(place.round()), []).append(badge(view))
        for (x, y), there in badges.items() if len(views) > 1 else ():
            axes.text(x, y, ", ".join(there), ha="center", va="center", **white_text(7))


def _headline(batch: ProxyBatch, scan: int) -> str:
    """The question, and the answer where it is one for all views."""
    labels = piece_labels(batch, scan)
    said = [batch.question] if batch.question else []
    if None in labels:
        said.append(f"Answer: {answer_name(batch, labels[None])}")
    return "  ".join(said)


def _title(view: Piece) -> str:
    kind = "view" if view.home is None else "piece"
    return f"{kind} {badge(view)}\n{fill(view.answer, WORDS_WIDE)}".strip()


def _draw_views(
    figure: SubFigure,
    image: np.ndarray,
    views: Sequence[Piece],
    titles: Sequence[str],
    colours: Sequence[str],
) -> None:
    panels, nothing = figure.subplots(1, len(views), squeeze=False)[0], air(image[0])
    for axes, view, title, colour in zip(panels, views, titles, colours, strict=True):
        draw_image(axes, view.image, nothing=air_in(nothing, view) if nothing.any() else None)
        axes.set_title(title, fontsize=9)
        _frame(axes, colour)


def _frame(axes: Axes, colour: str) -> None:
    """A frame in a view's colour: letters in pale colours could not be read."""
    axes.set_axis_on()
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(edgecolor=colour, linewidth=2.5)


def _patch_titles(
    batch: ProxyBatch, chosen: Sequence[Piece], asked: PatchQuestion
) -> tuple[list[str], list[str]]:
    """Titles and colours of patches: what each is to a question."""
    rows, titles, colours = row_numbers(batch), [], []
    for view in chosen:
        title, colour = f"patch {badge(view)}\nrow {rows[view.number]}", "#999999"
        if view.number in asked.context:
            title, colour = f"{title}, context", CONTEXT_COLOUR
        elif view.number == asked.start:
            title, colour = f"{title}, tip", START_COLOUR
        elif view.number == asked.target:
            title, colour = f"{title}: ?\n{rows_told(asked.rows_ahead)}", ASKED_COLOUR
        titles.append(title)
        colours.append(colour)
    return titles, colours


def _draw_voxels(
    figure: SubFigure,
    batch: ProxyBatch,
    scan: int,
    view: Piece,
    classes: np.ndarray,
    names: Sequence[str],
) -> None:
    """The box as the network is shown it, beside the truth: its middle planes, or the picture."""
    whole, hidden = view.image, HIDDEN_NAME in names
    if hidden:
        target = as_numpy(batch.target[scan, 0])
        whole = np.where(np.isnan(target), view.image, target)
    planes = range(3) if classes.ndim == 3 else (2,)
    left, right = figure.subfigures(1, 2, squeeze=False)[0]
    sides = [(left, "as the network sees it", hidden), (right, "truth", not hidden)]
    for side, title, covered in sides:
        side.suptitle(title, fontsize=9)
        for axis, axes in PlaneScale(classes.shape).row(side, planes, bar=False):
            draw_image(axes, whole, axis)
            if covered:
                middle = classes.shape[axis] // 2 if classes.ndim == 3 else 0
                overlay_classes(axes, classes, axis, middle, names, opacity=1)


def _views_to_draw(batch: ProxyBatch, views: int, max_views: int) -> list[int]:
    """The first ``max_views`` views; for a 3D grid those in its middle plane.

    Where the task reads a grid in one direction, as CPC does: those in its middle column, in the
    order of reading.
    """
    placement = batch.placement
    numbers = np.arange(views)
    if placement.direction is not None:
        axis, backwards = placement.direction
        middle = tuple(slice(None) if a == axis else n // 2 for a, n in enumerate(placement.grid))
        numbers = numbers.reshape(placement.grid)[middle]
        numbers = numbers[::-1] if backwards else numbers
    elif len(placement.grid) == 3:
        numbers = numbers.reshape(placement.grid)[placement.grid[0] // 2].flatten()
    return numbers[:max_views].tolist()

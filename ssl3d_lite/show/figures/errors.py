"""Figures of mistakes over the scan: one case whole, and a strip of many cases."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from ssl3d_lite.show.arrays import fullest_plane
from ssl3d_lite.show.mistakes import KINDS, right_and_wrong

from .planes import PlaneScale, colours_of, draw_plane, overlay_classes

CASE_WIDTH = 1.75  # inches
STRIP_WIDTH = 1.1


def compared(
    image: np.ndarray,
    truth: np.ndarray,
    predictions: Mapping[str, np.ndarray],
    label_names: Sequence[str],
    spacing: Sequence[float] | None = None,
) -> Figure:
    """One plane of a scan in a row: scan, truth, each prediction, and the mistakes of each.

    The plane is the axial one that shows most of the label.

    Args:
        image: (*space), the scan.
        truth: (*space), whole numbers; 0 is background.
        predictions: a column's title → a map like ``truth``.
        label_names: names of the classes 0, 1, 2, …
        spacing: edges of a voxel, mm.
    """
    scale, place = PlaneScale(image.shape, spacing), fullest_plane(truth)
    maps: dict[str, np.ndarray | None] = {"scan": None, "truth": truth, **predictions}
    wide, tall = scale.extent(2)
    columns = len(maps) + len(predictions)
    size = (CASE_WIDTH * columns, CASE_WIDTH * tall / wide + 0.9)
    figure = Figure(figsize=size, layout="constrained")
    row = iter(figure.subplots(1, columns, squeeze=False)[0])
    for (name, classes), axes in zip(maps.items(), row):
        draw_plane(axes, image, 2, place)
        if classes is not None:
            overlay_classes(axes, classes, 2, place)
        scale.finish(axes, 2, bar=classes is None)
        axes.set_title(name, fontsize=9)
    for (name, classes), axes in zip(predictions.items(), row, strict=True):
        draw_plane(axes, image, 2, place)
        overlay_mistakes(axes, truth, classes, place)
        scale.finish(axes, 2)
        axes.set_title(f"mistakes of\n{name.splitlines()[0]}", fontsize=9)
    # a legend each, below what it is of: the colour of a mistake may be like that of a class
    named = dict(zip(label_names[1:], colours_of(label_names), strict=False))
    _legend(figure, named, "outside lower left", columns=2)
    _legend(figure, KINDS, "outside lower right", columns=2)
    return figure


def strip(
    images: Sequence[np.ndarray],
    truths: Sequence[np.ndarray],
    predictions: Mapping[str, Sequence[np.ndarray]],
    titles: Sequence[str],
    spacing: Sequence[float] | None = None,
    wide: int = 0,
) -> Figure:
    """Many cases side by side, a row of mistakes for each of several predictions.

    Args:
        images: (*space) each, of one size.
        truths: (*space) each.
        predictions: a row's name → a map of each case.
        titles: what stands above each case.
        spacing: edges of a voxel, mm.
        wide: room for so many cases, if there are fewer: strips below each other have one scale.
    """
    scale, columns = PlaneScale(images[0].shape, spacing), max(wide, len(images))
    across, up = scale.extent(2)
    size = (STRIP_WIDTH * columns + 0.3, STRIP_WIDTH * up / across * len(predictions) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(predictions), columns, squeeze=False)
    for axes in grid[:, len(images) :].flat:
        axes.set_axis_off()
    for number, (image, truth, title) in enumerate(zip(images, truths, titles, strict=True)):
        place = fullest_plane(truth)
        for axes, maps in zip(grid[:, number], predictions.values(), strict=True):
            draw_plane(axes, image, 2, place)
            overlay_mistakes(axes, truth, maps[number], place)
            scale.finish(axes, 2, bar=axes is grid[0, 0], letters=6)
        grid[0, number].set_title(title, fontsize=8)
    for axes, name in zip(grid[:, 0], predictions, strict=True):
        beside: dict[str, Any] = {"transform": axes.transAxes, "rotation": 90, "fontsize": 8}
        axes.text(-0.08, 0.5, name, ha="right", va="center", **beside)
    _legend(figure, KINDS)
    return figure


def overlay_mistakes(axes: Axes, truth: np.ndarray, prediction: np.ndarray, place: int) -> None:
    """Lay what is right, and each kind of mistake, over an axial plane."""
    kinds = right_and_wrong(truth, prediction)
    plane = kinds[..., place] if kinds.ndim == 3 else kinds
    colours = [(0, 0, 0, 0), *((*to_rgb(colour), 0.65) for colour in KINDS.values())]
    axes.imshow(
        plane.T,
        cmap=ListedColormap(colours),
        vmin=0,
        vmax=len(KINDS),
        origin="lower",
        interpolation="nearest",
    )


def _legend(
    figure: Figure,
    colours: Mapping[str, str],
    where: str = "outside lower center",
    columns: int = 8,
) -> None:
    handles = [Polygon([(0, 0)], color=colour, label=name) for name, colour in colours.items()]
    style: dict[str, Any] = {"loc": where, "ncols": columns, "frameon": False, "fontsize": 8}
    figure.legend(handles=handles, **style)

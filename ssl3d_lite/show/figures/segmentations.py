"""Figure of a scan with class maps laid over it, side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from .planes import PlaneScale, colours_of, draw_plane, overlay_classes

COLUMN = 2.1  # inches


def segmentations(
    image: np.ndarray,
    class_maps: Mapping[str, np.ndarray],
    label_names: Sequence[str],
    title: str = "",
    spacing: Sequence[float] | None = None,
) -> Figure:
    """A scan, and beside it the same planes with class maps laid over, a column each.

    The planes go through the middle of the first class map, which should be the label.

    Args:
        image: (*space), the scan.
        class_maps: a column's title → its map (*space) of whole numbers; 0 stays clear.
        label_names: names of the classes 0, 1, 2, …
        spacing: edges of a voxel, mm.
    """
    truth = next(iter(class_maps.values()))
    inside = np.argwhere(truth > 0) if (truth > 0).any() else np.argwhere(truth >= 0)
    centre = np.round(inside.mean(0)).astype(int)
    planes = range(image.ndim) if image.ndim == 3 else (2,)
    columns, scale = {"scan": None, **class_maps}, PlaneScale(image.shape, spacing)
    extents = np.array([scale.extent(axis) for axis in planes])
    wide, heights = extents[:, 0].max(), extents[:, 1]
    size = (COLUMN * len(columns), COLUMN * heights.sum() / wide + 0.8)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(planes), len(columns), squeeze=False, height_ratios=[*heights])
    for row, axis in zip(grid, planes, strict=True):
        place = centre[axis] if image.ndim == 3 else 0
        for axes, (name, classes) in zip(row, columns.items(), strict=True):
            draw_plane(axes, image, axis, place)
            if classes is not None:
                overlay_classes(axes, classes, axis, place)
            first = axis == planes[0]
            scale.finish(axes, axis, wide, bar=first and classes is None)
            if first:
                axes.set_title(name, fontsize=10)
    named = zip(colours_of(label_names), label_names[1:], strict=True)
    handles = [Polygon([(0, 0)], color=colour, label=name) for colour, name in named]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure

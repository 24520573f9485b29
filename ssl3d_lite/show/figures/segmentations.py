"""Figure of a scan with class maps laid over it, side by side."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Polygon

from ssl3d_lite.show.pieces import COLOURS

from .planes import draw_plane, overlay_classes


def segmentations(
    image: np.ndarray,
    class_maps: Mapping[str, np.ndarray],
    label_names: Sequence[str],
    title: str = "",
) -> Figure:
    """A scan, and beside it the same planes with class maps laid over, a column each.

    The planes go through the middle of the first class map, which should be the label.

    Args:
        image: (*space), the scan.
        class_maps: a column's title → its map (*space) of whole numbers; 0 stays clear.
        label_names: names of the classes 0, 1, 2, …
    """
    truth = next(iter(class_maps.values()))
    inside = np.argwhere(truth > 0) if (truth > 0).any() else np.argwhere(truth >= 0)
    centre = np.round(inside.mean(0)).astype(int)
    planes = range(image.ndim) if image.ndim == 3 else (0,)
    columns = {"scan": None, **class_maps}
    figure = Figure(figsize=(2.1 * len(columns), 2.2 * len(planes) + 0.7), layout="constrained")
    grid = figure.subplots(len(planes), len(columns), squeeze=False)
    for row, axis in zip(grid, planes, strict=True):
        for axes, (name, classes) in zip(row, columns.items(), strict=True):
            draw_plane(axes, image, axis, centre[axis])
            if classes is not None:
                overlay_classes(axes, classes, axis, centre[axis])
            if axis == planes[0]:
                axes.set_title(name, fontsize=10)
    names = enumerate(label_names[1:])
    handles = [Polygon([(0, 0)], color=COLOURS[i % len(COLOURS)], label=n) for i, n in names]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure

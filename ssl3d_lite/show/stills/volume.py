"""The still picture of ``Volume3D``: three planes of a scan, and the scan in 3D."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ssl3d_lite.show.arrays import air, greys
from ssl3d_lite.show.figures.planes import PlaneScale, draw_image, overlay_classes
from ssl3d_lite.show.figures.rendering import draw_compass, rendered
from ssl3d_lite.show.pieces import class_colour

TURN = (30, 25)  # degrees, from the patient's front to the right, and up
VOLUME_WIDE, SOLID = 9.0, 3.0  # inches: the whole, and the part in 3D


def volume_still(
    image: np.ndarray,
    classes: np.ndarray | None,
    names: Mapping[int, str],
    voxel: Sequence[int],
    spacing: Sequence[float] | None,
    title: str,
    opacity: float,
) -> Figure:
    """Planes through a voxel, and a rendering that is cut open where the labels lie.

    Args:
        image: (*space).
        classes: (*space), uint8.
        names: of the classes that occur, except 0.
    """
    scale, shades = PlaneScale(image.shape, spacing), greys(image, air(image))
    widths = sum(scale.extent(axis)[0] for axis in range(3))
    tall = max(scale.extent(axis)[1] for axis in range(3))
    high = max(2.3, (VOLUME_WIDE - SOLID) * tall / widths)
    rim = (0.35 if title else 0) + (0.35 if names else 0)
    figure = Figure(figsize=(VOLUME_WIDE, high + rim), layout="constrained")
    figure.set_label("A scan in three planes and in 3D, cut open")
    figure.suptitle(title, fontsize=11)
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(VOLUME_WIDE - SOLID, SOLID))[
        0
    ]
    for axis, axes in scale.row(left, range(3)):
        draw_image(axes, shades[None], axis, voxel[axis], window=(0, 255))
        if classes is not None:
            overlay_classes(axes, classes, axis, voxel[axis], opacity=opacity)
    solid = right.subplots()
    solid.imshow(rendered(image, classes, (1, 1, 1) if spacing is None else spacing, TURN))
    solid.set_axis_off()
    draw_compass(solid, TURN)
    handles = [Patch(color=class_colour(n), label=name) for n, name in names.items()]
    if handles:
        style = {"ncols": 5, "frameon": False, "fontsize": 9}
        figure.legend(handles=handles, loc="outside lower center", **style)
    return figure

"""Figure of any proxy task: the scan with its views outlined, and the views."""

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from ssl3d_lite.show.pieces import COLOURS, piece_labels, pieces_of
from ssl3d_lite.tasks import ProxyBatch

from .planes import PLANE_NAMES, draw_image, outline_box


def puzzle(volumes: Tensor, batch: ProxyBatch, scan: int = 0, max_views: int = 9) -> Figure:
    """What a proxy task shows the network: the scan with its views outlined, and the views.

    It is drawn from views, placement and labels alone; the task need not be known.

    Args:
        volumes: (batch, channel, *space), as they were given to ``make_views``.
        scan: index of the scan to draw.
        max_views: number of views to draw at most.
    """
    image, views = volumes[scan].cpu().numpy(), pieces_of(batch, scan)
    chosen = [views[view] for view in _views_to_draw(batch, len(views), max_views)]
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(chosen))]
    labels = piece_labels(batch, scan)
    figure = Figure(figsize=(max(8, len(chosen)), 4.4), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=(1.9, 1))
    solid = image.ndim == 4
    for axis, axes in enumerate(above.subplots(1, 3 if solid else 1, squeeze=False)[0]):
        draw_image(axes, image, axis)
        axes.set_title(PLANE_NAMES[axis] if solid else "", fontsize=9)
        for view, colour in zip(chosen, colours, strict=True):
            outline_box(axes, view.corners, axis, colour)
    if None in labels:
        below.suptitle(f"label {labels[None]}", fontsize=9)
    for axes, view, colour in zip(
        below.subplots(1, len(chosen), squeeze=False)[0], chosen, colours, strict=True
    ):
        draw_image(axes, view.image)
        label = "" if view.label is None else f"\nlabel {view.label}"
        axes.set_title(f"view {view.number}{label}", fontsize=9, color=colour)
    return figure


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

"""Figure of a shuffled puzzle: its pieces as the network gets them, put back, and in the scan."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.pieces import Piece, badge, pieces_of
from ssl3d_lite.tasks import ProxyBatch

from .planes import LEFT_OF_AXES, PlaneScale, draw_image, draw_scan_plane, outline_box, white_text


def shuffled_pieces(
    volumes: Tensor,
    batch: ProxyBatch,
    scan: int = 0,
    plane: int | None = None,
    spacing: Sequence[float] | None = None,
) -> Figure:
    """A puzzle's pieces as the network gets them, beside the same put back, beside the scan.

    Each piece bears the number of the cell it was cut from. Its frame has the colour of that
    cell's layer (in 2D: its row), so pieces of another layer stand out.

    Args:
        volumes: (batch, channel, *space), as they were given to ``make_views``.
        scan: index of the scan to draw.
        plane: the one layer of a 3D grid to draw, counted from the feet; by default all.
        spacing: edges of a voxel, mm.

    Raises:
        InputError: the views form no grid, or it has no such layer.
    """
    grid, views, image = batch.placement.grid, pieces_of(batch, scan), volumes[scan].cpu().numpy()
    layers = _layers_to_draw(grid, plane)
    figure = Figure(figsize=(8, 2.6 * len(layers) + 0.6), layout="constrained")
    figure.suptitle(batch.question, fontsize=11)
    rows = figure.subplots(len(layers), 3, squeeze=False)
    for layer, (shown, home, whole) in zip(layers, rows, strict=True):
        _lay_out(shown, views, [view.number for view in views], grid, layer)
        _lay_out(home, views, [view.home for view in views], grid, layer)
        of_layer = [view for view in views if _layer(view.home, grid) in (layer, None)]
        _in_the_scan(whole, image, of_layer)
        PlaneScale(image.shape[1:], spacing).finish(whole, 2, bar=layer == layers[0])
        if len(grid) == 3:
            beside = {"transform": shown.transAxes, "rotation": 90, **LEFT_OF_AXES}
            shown.text(-0.04, 0.5, f"layer {layer}", **beside)
    for axes, title in zip(rows[0], ("as it is shown", "put back", "in the scan"), strict=True):
        axes.set_title(title, fontsize=10)
    return figure


def _layers_to_draw(grid: Sequence[int], plane: int | None) -> list[int]:
    """The layers of a 3D grid from head to feet, or the one asked for; [0] in 2D."""
    if not grid:
        raise InputError("these views form no grid to be put back into; draw them with puzzle")
    layers = list(range(grid[2]))[::-1] if len(grid) == 3 else [0]
    if plane is None:
        return layers
    if plane not in layers:
        raise InputError(f"plane is {plane}, but the grid has the layers 0 to {layers[0]}")
    return [plane]


def _layer(cell: int, grid: Sequence[int]) -> int | None:
    """The layer of a 3D grid in which a cell lies, counted from the feet; None in 2D."""
    return int(np.unravel_index(cell, grid)[2]) if len(grid) == 3 else None


def _lay_out(
    axes: Axes, views: Sequence[Piece], cells: Sequence[int], grid: Sequence[int], layer: int
) -> None:
    """Draw the pieces that are in one layer, each in its cell, with gaps between them."""
    values = np.concatenate([view.image[0].ravel() for view in views])
    window = tuple(np.percentile(values, (1, 99)))
    width, height = views[0].image.shape[1:3]
    gap = 0.15 * width
    for view, cell in zip(views, cells, strict=True):
        if _layer(cell, grid) not in (layer, None):
            continue
        column, row = np.unravel_index(cell, grid)[:2]
        corner = column * (width + gap), row * (height + gap)
        draw_image(axes, view.image, corner=corner, window=window)
        style = {"fill": False, "edgecolor": view.colour}
        frame = Rectangle(np.subtract(corner, 0.5), width, height, **style)
        frame.set_linewidth(2)
        axes.add_patch(frame)
        axes.text(*np.add(corner, (0.05 * width, 0.72 * height)), badge(view), **white_text(8))
    axes.set_xlim(-gap, grid[0] * (width + gap))
    axes.set_ylim(-gap, grid[1] * (height + gap))


def _in_the_scan(axes: Axes, image: np.ndarray, views: Sequence[Piece]) -> None:
    """Draw the axial plane through the middle of ``views``, which are outlined and numbered."""
    middle = np.mean([view.centre for view in views], 0)
    draw_scan_plane(axes, image, 2, round(middle[-1]))
    for view in views:
        outline_box(axes, view.corners, 2, view.colour)
        centred = {"ha": "center", "va": "center"}
        axes.text(*view.centre[:2], badge(view), **white_text(8), **centred)

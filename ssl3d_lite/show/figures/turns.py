"""Figure of turned views, with letters that say where the sides of the body came to lie."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ssl3d_lite.show.pieces import Piece, badge, pieces_of
from ssl3d_lite.show.words import SIDES, turn_names
from ssl3d_lite.tasks import ProxyBatch
from ssl3d_lite.tasks.geometry import quarter_turns, turn_matrix

from .planes import LEFT_OF_AXES, PLANE_NAMES, draw_image, white_text

MAX_COLUMNS = 6


def turns(volumes: Tensor, batch: ProxyBatch, scan: int = 0) -> Figure:
    """Turned views, a column each with its three planes, beside their box as it lies in the scan.

    Letters say where the body's Right, Left, Anterior, Posterior, Superior and Inferior came to
    lie: the network must find that out without letters.

    Args:
        volumes: (batch, channel, *space), as they were given to ``make_views``.
        scan: index of the scan to draw.
    """
    columns = _turned_views(volumes[scan].cpu().numpy(), pieces_of(batch, scan))
    dims = volumes.ndim - 2
    planes, wide = (range(3) if dims == 3 else (2,)), min(len(columns), MAX_COLUMNS)
    lines = -(-len(columns) // wide)
    tile = min(1.9, 8 / wide)
    size = (tile * wide, (tile * len(planes) + 0.55) * lines + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(batch.question, fontsize=11)
    grid = figure.subplots(len(planes) * lines, wide, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, (title, picture, matrix) in enumerate(columns):
        line, column = divmod(number, wide)
        for row, axis in enumerate(planes):
            axes = grid[line * len(planes) + row, column]
            draw_image(axes, picture, axis)
            _letter_sides(axes, matrix, axis)
            if row == 0:
                axes.set_title(title, fontsize=8)
            if number % wide == 0 and dims == 3:
                beside = {"transform": axes.transAxes, "rotation": 90, **LEFT_OF_AXES}
                axes.text(-0.04, 0.5, PLANE_NAMES[axis], **beside)
    return figure


def _turned_views(
    image: np.ndarray, views: list[Piece]
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Title, voxels and matrix of each column: the box in the scan, then its turned copies."""
    ends = np.stack([views[0].corners.min(0), views[0].corners.max(0)]) + 0.5
    box = image[(slice(None), *(slice(max(0, round(a)), round(b)) for a, b in ends.T))]
    columns = [("in the scan", box, np.eye(image.ndim))]
    for view in views:
        title = f"view {badge(view)}\n{_turn_of(view.matrix)}"
        columns.append((title, view.image, view.matrix))
    return columns


def _turn_of(matrix: np.ndarray) -> str:
    """Name of the turn that a matrix, view voxel → scan voxel, stands for; "" if it is none."""
    dims = len(matrix) - 1
    for (plane, quarters), name in zip(quarter_turns(dims), turn_names(dims), strict=True):
        turned = turn_matrix(plane, quarters, 1, dims)[:dims, :dims].numpy()
        if np.allclose(turned, matrix[:dims, :dims]):
            return name.replace(" about ", " about\n")
    return ""


def _letter_sides(axes: Axes, matrix: np.ndarray, axis: int) -> None:
    """Write at the right and upper edge of a view's plane which side of the scan lies there."""
    dims = len(matrix) - 1
    right, up = [a for a in range(dims) if a != axis][:2]
    places = ((right, (0.98, 0.5), ("right", "center")), (up, (0.5, 0.98), ("center", "top")))
    for along, (x, y), (ha, va) in places:
        towards = matrix[:dims, along]
        leads = int(np.abs(towards).argmax())
        side = SIDES[dims][leads][int(towards[leads] > 0)]
        axes.text(x, y, side, transform=axes.transAxes, ha=ha, va=va, **white_text(9))

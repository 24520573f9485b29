"""Figure of CPC: the patches that form the context, and the patch that is predicted from them."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch, Rectangle
from torch import Tensor

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.pieces import COLOURS, Piece, pieces_of
from ssl3d_lite.tasks import ProxyBatch

from .planes import PLANE_NAMES, draw_image, outline_box

# what a patch is → its colour, opacity and hatch: told apart without colour too
PATCH_STYLES = {
    "context": (COLOURS[5], 0.55, None),
    "current": (COLOURS[0], 0.8, None),
    "target": (COLOURS[1], 0.6, "////"),
    "other": ("white", 0.08, None),
}


def pyramid(
    volumes: Tensor, batch: ProxyBatch, scan: int = 0, row: int = 1, rows_ahead: int = 2
) -> Figure:
    """CPC's grid in the scan: from the pyramid above a patch, a patch further on is predicted.

    A cell stands for each patch, in its middle: patches overlap. The patch itself and its target
    are outlined whole, which shows what voxels they share, if any.

    Args:
        volumes: (batch, channel, *space), as they were given to ``make_views``.
        scan: index of the scan to draw.
        row: row of the patch, counted in the direction in which the grid is read.
        rows_ahead: number of rows from there to the target.

    Raises:
        InputError: the batch is not of CPC, or the grid has no such rows.
    """
    grid, direction = batch.placement.grid, batch.placement.direction
    if direction is None:
        raise InputError("pyramid draws batches of the task cpc; draw others with puzzle")
    if not (row >= 0 and rows_ahead >= 1 and row + rows_ahead < grid[direction[0]]):
        raise InputError(
            f"row {row} and {rows_ahead} ahead of it are asked for, but the grid has "
            f"{grid[direction[0]]} rows"
        )
    image, views = volumes[scan].cpu().numpy(), pieces_of(batch, scan)
    parts = _parts(grid, direction, row, rows_ahead)
    planes = [a for a in range(3) if a != direction[0]] if len(grid) == 3 else [2]
    figure = Figure(figsize=(8 if len(planes) == 2 else 6, 3.9), layout="constrained")
    ratios = [2.2] * len(planes) + [1]
    *panels, right = figure.subfigures(1, len(planes) + 1, width_ratios=ratios)
    for panel, axis in zip(panels, planes, strict=True):
        _draw_grid(panel.subplots(), image, views, parts, grid, axis)
    _draw_patches(right, views, parts, planes[0])
    _name_parts(figure, row, rows_ahead, 2 * len(planes))
    return figure


def _draw_grid(
    axes: Axes,
    image: np.ndarray,
    views: Sequence[Piece],
    parts: Sequence[str],
    grid: Sequence[int],
    axis: int,
) -> None:
    """Draw the scan's plane through the current patch, with the grid's cells over it."""
    current = views[parts.index("current")]
    draw_image(axes, image, axis, round(current.centre[axis]) if len(grid) == 3 else None)
    _draw_cells(axes, views, parts, grid, axis)
    for part in ("current", "target"):
        outline_box(axes, views[parts.index(part)].corners, axis, PATCH_STYLES[part][0], 2)
    axes.set_title(PLANE_NAMES[axis] if len(grid) == 3 else "", fontsize=9)


def _draw_patches(
    figure: SubFigure, views: Sequence[Piece], parts: Sequence[str], axis: int
) -> None:
    """Draw the current patch and the target, one below the other."""
    for axes, part in zip(figure.subplots(2, 1), ("current", "target"), strict=True):
        draw_image(axes, views[parts.index(part)].image, axis)
        axes.set_title(f"{part} patch", fontsize=9, color=PATCH_STYLES[part][0])


def _name_parts(figure: Figure, row: int, rows_ahead: int, columns: int) -> None:
    """Draw the legend."""
    names = {
        "context": "pyramid above it",
        "current": f"patch in row {row}",
        "target": f"target, {rows_ahead} row{'s' * (rows_ahead > 1)} ahead",
        "other": "other patches",
    }
    handles = [Patch(**_look_of(part), label=names[part]) for part in PATCH_STYLES]
    style = {"ncols": columns, "frameon": False, "fontsize": 9}
    figure.legend(handles=handles, loc="outside lower center", **style)


def _look_of(part: str) -> dict[str, Any]:
    colour, strength, hatch = PATCH_STYLES[part]
    edge = "#888888" if part == "other" else colour
    return {"facecolor": (colour, strength), "edgecolor": edge, "hatch": hatch, "linewidth": 0.8}


def _parts(
    grid: Sequence[int], direction: tuple[int, bool], row: int, rows_ahead: int
) -> list[str]:
    """What each patch of the grid is to the patch in the middle of ``row``."""
    (axis, backwards), parts = direction, []
    for cell in product(*map(range, grid)):
        at = grid[axis] - 1 - cell[axis] if backwards else cell[axis]
        beside = max(abs(c - n // 2) for a, (c, n) in enumerate(zip(cell, grid)) if a != axis)
        if beside == 0 and at in (row, row + rows_ahead):
            parts.append("current" if at == row else "target")
        else:
            parts.append("context" if beside <= row - at else "other")
    return parts


def _draw_cells(
    axes: Axes, views: Sequence[Piece], parts: Sequence[str], grid: Sequence[int], axis: int
) -> None:
    """Draw a cell in the middle of each patch in the grid's middle plane across ``axis``."""
    centres = np.array([view.centre for view in views])
    edge = views[0].image.shape[1]
    steps = [np.diff(np.unique(c.round(3))) for c in centres.T]
    stride = min((step.min() for step in steps if len(step)), default=edge)
    for number, (centre, part) in enumerate(zip(centres, parts, strict=True)):
        cell = np.unravel_index(number, grid)
        if len(grid) == 3 and cell[axis] != grid[axis] // 2:
            continue
        flat = centre if len(grid) == 2 else np.delete(centre, axis)
        axes.add_patch(
            Rectangle(flat - 0.43 * stride, 0.86 * stride, 0.86 * stride, **_look_of(part))
        )

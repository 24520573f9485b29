"""Figure of CPC: the patches that form the context, and the patch that is predicted from them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Patch, Rectangle
from torch import Tensor

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.arrays import as_numpy
from ssl3d_lite.show.context import (
    ASKED_COLOUR,
    CONTEXT_COLOUR,
    START_COLOUR,
    PatchQuestion,
    cell_edge,
    pyramid_above,
    row_numbers,
)
from ssl3d_lite.show.pieces import Piece, pieces_of
from ssl3d_lite.show.words import rows_told
from ssl3d_lite.tasks import ProxyBatch

from .planes import PLANE_NAMES, PlaneScale, draw_image, draw_scan_plane, outline_box, white_text

# what a patch is → its colour, opacity and hatch: told apart without colour too
PATCH_STYLES = {
    "context": (CONTEXT_COLOUR, 0.55, None),
    "current": (START_COLOUR, 0.8, None),
    "target": (ASKED_COLOUR, 0.45, "////"),
    "other": ("white", 0.08, None),
}


def pyramid(
    volumes: Tensor,
    batch: ProxyBatch,
    scan: int = 0,
    row: int = 1,
    rows_ahead: int = 2,
    spacing: Sequence[float] | None = None,
) -> Figure:
    """CPC's grid in the scan: from the pyramid above a patch, a patch further on is predicted.

    A cell stands for each patch, in its middle: patches overlap. The patch itself and its target
    are outlined whole, which shows what voxels they share, if any.

    Args:
        volumes: (batch, channel, *space), as they were given to ``make_views``.
        scan: index of the scan to draw.
        row: row of the patch, counted in the direction in which the grid is read.
        rows_ahead: number of rows from there to the target.
        spacing: edges of a voxel, mm.

    Raises:
        InputError: the batch is not of CPC, or the grid has no such rows.
    """
    asked = _question_at(batch, scan, row, rows_ahead)
    image, views = as_numpy(volumes[scan]), pieces_of(batch, scan)
    figure = Figure(figsize=(8 if image.ndim == 4 else 6, 4.2), layout="constrained")
    figure.suptitle(batch.question, fontsize=11)
    left, right = figure.subfigures(
        1, 2, squeeze=False, width_ratios=(4.4 if image.ndim == 4 else 2.2, 1)
    )[0]
    planes = draw_question(left, image, batch, asked, spacing)
    panels = right.subplots(2, 1)
    for axes, part, patch in zip(
        panels, ("current", "target"), (asked.start, asked.target), strict=True
    ):
        draw_image(axes, views[patch].image, planes[0])
        axes.set_title(f"{part} patch", fontsize=9)
    _name_parts(figure, row, rows_ahead, 2 * len(planes))
    return figure


def _question_at(batch: ProxyBatch, scan: int, row: int, rows_ahead: int) -> PatchQuestion:
    """The question that starts in the middle of a row, whether the task asks it or not."""
    grid, direction = batch.placement.grid, batch.placement.direction
    if direction is None:
        raise InputError("pyramid draws batches of the task cpc; draw others with puzzle")
    if not (row >= 0 and rows_ahead >= 1 and row + rows_ahead < grid[direction[0]]):
        raise InputError(
            f"row {row} and {rows_ahead} ahead of it are asked for, but the grid has "
            f"{grid[direction[0]]} rows"
        )
    cells = np.stack(np.unravel_index(np.arange(np.prod(grid)), grid), 1)
    middle = [n // 2 for a, n in enumerate(grid) if a != direction[0]]
    column = (np.delete(cells, direction[0], 1) == middle).all(1)
    rows = np.array(row_numbers(batch))
    start, target = (int(np.flatnonzero(column & (rows == n))[0]) for n in (row, row + rows_ahead))
    return PatchQuestion(-1, scan, start, pyramid_above(batch, start), target, rows_ahead)


def draw_question(
    figure: Figure | SubFigure,
    image: np.ndarray,
    batch: ProxyBatch,
    asked: PatchQuestion,
    spacing: Sequence[float] | None = None,
) -> list[int]:
    """Draw the planes through a question's column that go along the direction, the grid's cells
    over them, and a "?" at the place that is asked about.

    Returns:
        The axes across which the planes lie.
    """
    grid, (along, _) = batch.placement.grid, batch.placement.direction or (0, False)
    views = pieces_of(batch, asked.scan)
    planes = [axis for axis in range(3) if axis != along] if len(grid) == 3 else [2]
    for axis, axes in PlaneScale(image.shape[1:], spacing).row(figure, planes):
        start = views[asked.start]
        place = round(float(start.centre[axis])) if len(grid) == 3 else None
        draw_scan_plane(axes, image, axis, place)
        _draw_cells(axes, views, asked, grid, axis)
        for part, patch in (("current", asked.start), ("target", asked.target)):
            dashed = "--" if part == "target" else "-"
            outline_box(axes, views[patch].corners, axis, PATCH_STYLES[part][0], 2, dashed)
        flat = _flat(views[asked.target].centre, axis)
        axes.text(flat[0], flat[1], "?", ha="center", va="center", **white_text(13))
        axes.set_title(PLANE_NAMES[axis] if len(grid) == 3 else "", fontsize=9)
    return planes


def _flat(centre: np.ndarray, axis: int) -> np.ndarray:
    return centre if len(centre) == 2 else np.delete(centre, axis)


def _draw_cells(
    axes: Axes, views: Sequence[Piece], asked: PatchQuestion, grid: Sequence[int], axis: int
) -> None:
    """Draw a cell in the middle of each patch that lies in the plane across ``axis``."""
    edge = cell_edge([view.centre for view in views], views[0].image.shape[1:])
    size = 0.86 * _flat(edge, axis)
    own = np.unravel_index(asked.start, grid)
    for view in views:
        if len(grid) == 3 and np.unravel_index(view.number, grid)[axis] != own[axis]:
            continue
        corner = _flat(view.centre, axis) - size / 2
        axes.add_patch(
            Rectangle((corner[0], corner[1]), *size, **_look_of(_part(view.number, asked)))
        )


def _part(number: int, asked: PatchQuestion) -> str:
    """What a patch is to a question."""
    if number in asked.context:
        return "context"
    return {asked.start: "current", asked.target: "target"}.get(number, "other")


def _name_parts(figure: Figure, row: int, rows_ahead: int, columns: int) -> None:
    """Draw the legend."""
    names = {
        "context": "its context, a pyramid",
        "current": f"patch in row {row}",
        "target": f"target, {rows_told(rows_ahead)}",
        "other": "other patches",
    }
    handles = [Patch(**_look_of(part), label=names[part]) for part in PATCH_STYLES]
    style = {"ncols": columns, "frameon": False, "fontsize": 9}
    figure.legend(handles=handles, loc="outside lower center", **style)


def _look_of(part: str) -> dict[str, Any]:
    colour, strength, hatch = PATCH_STYLES[part]
    edge = "#888888" if part == "other" else colour
    return {"facecolor": (colour, strength), "edgecolor": edge, "hatch": hatch, "linewidth": 0.8}

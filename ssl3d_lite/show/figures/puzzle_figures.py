"""Figures of what is particular to one proxy task: shuffled pieces, turns, triplets, a pyramid.

They read views and placement, as every view does; import them from :mod:`.figures`.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.patheffects import withStroke
from torch import Tensor

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.pieces import COLOURS, Piece, pieces
from ssl3d_lite.show.words import SIDES, turn_names
from ssl3d_lite.tasks import ProxyBatch
from ssl3d_lite.tasks.geometry import quarter_turns, turn_matrix

from .planes import PLANE_NAMES, outline_box, show_image

STROKE = [withStroke(linewidth=2, foreground="black")]  # white letters are read on any scan
MID = {"fontsize": 9, "ha": "right", "va": "center"}

# ---- shuffled pieces ---------------------------------------------------------------------------


def shuffled(volumes: Tensor, batch: ProxyBatch, scan: int = 0, plane: int | None = None) -> Figure:
    """A puzzle of pieces as it is shown, beside itself put back, beside the scan.

    Each piece bears the number of the cell it was cut from. Its frame has the colour of that
    cell's layer (in 2D: its row), so pieces of another layer stand out.

    Args:
        volumes: (batch, channel, *space), as they were given to ``make_views``.
        plane: of a 3D grid the one layer to draw, counted from the feet; by default all.

    Raises:
        InputError: the views form no grid, or it has no such layer.
    """
    grid, views, image = batch.placement.grid, pieces(batch, scan), volumes[scan].cpu().numpy()
    if not grid:
        raise InputError("these views form no grid to be put back into; draw them with puzzle")
    layers = list(range(grid[2]))[::-1] if len(grid) == 3 else [0]  # the head is up
    if plane is not None:
        if plane not in layers:
            raise InputError(f"plane is {plane}, but the grid has the layers 0 to {layers[0]}")
        layers = [plane]
    figure = Figure(figsize=(8, 2.6 * len(layers) + 0.3), layout="constrained")
    rows = figure.subplots(len(layers), 3, squeeze=False)
    for layer, (shown, home, whole) in zip(layers, rows, strict=True):
        _lay_out(shown, views, [view.number for view in views], grid, layer)
        _lay_out(home, views, [view.home for view in views], grid, layer)
        _in_the_scan(
            whole, image, [v for v in views if _layer(v.home, grid) in (layer, None)], grid
        )
        if len(grid) == 3:
            shown.text(-0.04, 0.5, f"layer {layer}", transform=shown.transAxes, rotation=90, **MID)
    for axes, title in zip(rows[0], ("as it is shown", "put back", "in the scan"), strict=True):
        axes.set_title(title, fontsize=10)
    return figure


def _layer(cell: int, grid: Sequence[int]) -> int | None:
    """The layer of a 3D grid that a cell is in, from the feet; None in 2D."""
    return int(np.unravel_index(cell, grid)[2]) if len(grid) == 3 else None


def _colour_of(cell: int, grid: Sequence[int]) -> str:
    return COLOURS[np.unravel_index(cell, grid)[-1] % len(COLOURS)]


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
        show_image(axes, view.image, corner=corner, window=window)
        colour = _colour_of(view.home, grid)
        frame = Rectangle(np.subtract(corner, 0.5), width, height, fill=False, edgecolor=colour)
        frame.set_linewidth(2)
        axes.add_patch(frame)
        axes.text(*np.add(corner, (0.05 * width, 0.72 * height)), str(view.home), **_letters(8))
    axes.set_xlim(-gap, grid[0] * (width + gap))
    axes.set_ylim(-gap, grid[1] * (height + gap))


def _letters(size: float) -> dict[str, object]:
    return {"color": "white", "fontsize": size, "path_effects": STROKE}


def _in_the_scan(
    axes: Axes, image: np.ndarray, views: Sequence[Piece], grid: Sequence[int]
) -> None:
    """The axial plane through the middle of ``views``, which are outlined and numbered."""
    middle = np.mean([view.centre for view in views], 0)
    show_image(axes, image, 2, round(middle[-1]))
    for view in views:
        outline_box(axes, view.corners, 2, _colour_of(view.home, grid))
        centred = {"ha": "center", "va": "center"}
        axes.text(*view.centre[:2], str(view.home), **_letters(8), **centred)


# ---- turns -------------------------------------------------------------------------------------


def turns(volumes: Tensor, batch: ProxyBatch, scan: int = 0) -> Figure:
    """Turned views, a column each with its three planes, beside their box as it lies in the scan.

    Letters say where the body's Right, Left, Anterior, Posterior, Superior and Inferior came to
    lie: what the network must find out without letters.
    """
    image, views = volumes[scan].cpu().numpy(), pieces(batch, scan)
    dims = image.ndim - 1
    ends = np.stack([views[0].corners.min(0), views[0].corners.max(0)]) + 0.5
    box = image[(slice(None), *(slice(max(0, round(a)), round(b)) for a, b in ends.T))]
    columns = [("in the scan", box, np.eye(dims + 1))]
    for view in views:
        answer = "" if view.answer is None else f", answer {view.answer}"
        name = f"view {view.number}{answer}\n{_turn_of(view.matrix)}"
        columns.append((name, view.image, view.matrix))
    planes, wide = (range(3) if dims == 3 else (2,)), min(len(columns), 6)
    lines = -(-len(columns) // wide)
    tile = min(1.9, 8 / wide)
    size = (tile * wide, (tile * len(planes) + 0.55) * lines)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(planes) * lines, wide, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, (title, picture, matrix) in enumerate(columns):
        line, column = divmod(number, wide)
        for row, axis in enumerate(planes):
            axes = grid[line * len(planes) + row, column]
            show_image(axes, picture, axis)
            _letter_sides(axes, matrix, axis)
            if row == 0:
                axes.set_title(title, fontsize=8)
            if number % wide == 0 and dims == 3:
                middle = {"transform": axes.transAxes, "rotation": 90, **MID}
                axes.text(-0.04, 0.5, PLANE_NAMES[axis], **middle)
    return figure


def _turn_of(matrix: np.ndarray) -> str:
    """The turn that a view voxel → scan voxel matrix stands for, in words; "" for any other."""
    dims = len(matrix) - 1
    for (plane, quarters), name in zip(quarter_turns(dims), turn_names(dims), strict=True):
        turned = turn_matrix(plane, quarters, 1, dims)[:dims, :dims].numpy()
        if np.allclose(turned, matrix[:dims, :dims]):
            return name.replace(" about ", " about\n")
    return ""


def _letter_sides(axes: Axes, matrix: np.ndarray, axis: int) -> None:
    """At the right and upper edge of a view's plane: which side of the scan lies there."""
    dims = len(matrix) - 1
    right, up = [a for a in range(dims) if a != axis][:2]
    places = ((right, (0.98, 0.5), ("right", "center")), (up, (0.5, 0.98), ("center", "top")))
    for along, (x, y), (ha, va) in places:
        towards = matrix[:dims, along]
        leads = int(np.abs(towards).argmax())
        side = SIDES[dims][leads][int(towards[leads] > 0)]
        axes.text(x, y, side, transform=axes.transAxes, ha=ha, va=va, **_letters(9))


# ---- triplets ----------------------------------------------------------------------------------


def triplets(volumes: Tensor, batch: ProxyBatch, answer: Tensor | None = None) -> Figure:
    """Exemplar's triplets, a scan a row: its box, the same box distorted, a box of another scan.

    The last is the counter-example that ``negatives="random"`` picks within the batch.

    Args:
        volumes: (batch, channel, *space), as they were given to ``make_views``.
        answer: the points (scan, view, code) that the network gives; then distances are shown.

    Raises:
        InputError: the batch is not of the exemplar task.
    """
    if batch.views.shape[1] != 2 or tuple(batch.target.shape[1:]) != (1, 2):
        raise InputError("triplets draws batches of the task exemplar; draw others with puzzle")
    scans, views = min(len(volumes), 4), batch.views.float().cpu().numpy()
    points = None if answer is None else answer.detach().float().cpu().numpy()
    owner, number = batch.target[:, 0].cpu().numpy().T
    high = 0.85 if views.ndim == 6 else 1.8  # three planes side by side, or one picture
    size = (8, (high + (0.25 if answer is None else 0.4)) * scans)
    figure = Figure(figsize=size, layout="constrained")
    for scan, row in enumerate(figure.subplots(scans, 3, squeeze=False)):
        others = [
            each for each in product(range(len(owner)), (0, 1)) if owner[each[0]] != owner[scan]
        ]
        other = others[number[scan] % len(others)]
        titles = [f"scan {scan}", "its copy, distorted", f"counter-example: scan {other[0]}"]
        if points is not None:
            gaps = [np.linalg.norm(points[scan, 0] - points[each]) for each in ((scan, 1), other)]
            near = "✓ nearer" if gaps[0] < gaps[1] else "✗ not nearer"
            titles[1] += f"\ndistance {gaps[0]:.2f}, {near}"
            titles[2] += f"\ndistance {gaps[1]:.2f}"
        for axes, each, title in zip(row, ((scan, 0), (scan, 1), other), titles, strict=True):
            _side_by_side(axes, views[each])
            axes.set_title(title, fontsize=9)
    return figure


def _side_by_side(axes: Axes, image: np.ndarray) -> None:
    """The three middle planes of a volume, or a 2D image, on the same axes."""
    left, top, window = 0.0, 0.0, (float(image[0].min()), float(image[0].max()))
    for axis in range(3) if image.ndim == 4 else (2,):
        right, up = [n for a, n in enumerate(image.shape[1:]) if a != axis][:2]
        show_image(axes, image, axis, corner=(left, 0), window=window)
        left, top = left + 1.08 * right, max(top, up)
    axes.set_xlim(-0.5, left - 0.5)
    axes.set_ylim(-0.5, top - 0.5)


# ---- CPC's pyramid -----------------------------------------------------------------------------


def pyramid(
    volumes: Tensor, batch: ProxyBatch, scan: int = 0, row: int = 1, ahead: int = 2
) -> Figure:
    """CPC's grid in the scan: from the pyramid above a patch, what lies further on is predicted.

    A cell stands for each patch, in its middle: patches overlap. The patch itself and its target
    are outlined whole, which shows what voxels they share, if any.

    Args:
        volumes: (batch, channel, *space), as they were given to ``make_views``.
        row: of the patch, counted in the direction the grid is gone through.
        ahead: rows from there to the target.

    Raises:
        InputError: the batch is not of CPC, or the grid has no such rows.
    """
    grid, direction = batch.placement.grid, batch.placement.direction
    if direction is None:
        raise InputError("pyramid draws batches of the task cpc; draw others with puzzle")
    if not (row >= 0 and ahead >= 1 and row + ahead < grid[direction[0]]):
        raise InputError(
            f"row {row} and {ahead} ahead of it are asked for, but the grid has "
            f"{grid[direction[0]]} rows"
        )
    image, views = volumes[scan].cpu().numpy(), pieces(batch, scan)
    parts = _parts(grid, direction, row, ahead)
    current, target = (views[parts.index(part)] for part in ("current", "target"))
    planes = [a for a in range(3) if a != direction[0]] if len(grid) == 3 else [2]
    figure = Figure(figsize=(8 if len(planes) == 2 else 6, 3.9), layout="constrained")
    ratios = [2.2] * len(planes) + [1]
    *panels, right = figure.subfigures(1, len(planes) + 1, width_ratios=ratios)
    for panel, axis in zip(panels, planes, strict=True):
        axes = panel.subplots()
        show_image(axes, image, axis, round(current.centre[axis]) if len(grid) == 3 else None)
        _draw_cells(axes, views, parts, grid, axis)
        for view, part in ((current, "current"), (target, "target")):
            outline_box(axes, view.corners, axis, PARTS[part][0], 2)
        axes.set_title(PLANE_NAMES[axis] if len(grid) == 3 else "", fontsize=9)
    for axes, view, part in zip(
        right.subplots(2, 1), (current, target), ("current", "target"), strict=True
    ):
        show_image(axes, view.image, planes[0])
        axes.set_title(f"{part} patch", fontsize=9, color=PARTS[part][0])
    names = {
        "current": f"patch in row {row}",
        "context": "pyramid above it",
        "other": "other patches",
    }
    names["target"] = f"target, {ahead} row{'s' * (ahead > 1)} ahead"
    handles = [Patch(**_look_of(part), label=names[part]) for part in PARTS]
    columns = 2 * len(planes)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=9
    )
    return figure


# colour, strength, hatch: told apart without colour too
PARTS = {
    "context": (COLOURS[5], 0.55, None),
    "current": (COLOURS[0], 0.8, None),
    "target": (COLOURS[1], 0.6, "////"),
    "other": ("white", 0.08, None),
}


def _look_of(part: str) -> dict[str, object]:
    colour, strength, hatch = PARTS[part]
    edge = "#888888" if part == "other" else colour
    return {"facecolor": (colour, strength), "edgecolor": edge, "hatch": hatch, "linewidth": 0.8}


def _parts(grid: Sequence[int], direction: tuple[int, bool], row: int, ahead: int) -> list[str]:
    """What each patch of the grid is to the patch in the middle of ``row``."""
    (axis, backwards), parts = direction, []
    for cell in product(*map(range, grid)):
        at = grid[axis] - 1 - cell[axis] if backwards else cell[axis]
        beside = max(abs(c - n // 2) for a, (c, n) in enumerate(zip(cell, grid)) if a != axis)
        if beside == 0 and at in (row, row + ahead):
            parts.append("current" if at == row else "target")
        else:
            parts.append("context" if beside <= row - at else "other")
    return parts


def _draw_cells(
    axes: Axes, views: Sequence[Piece], parts: Sequence[str], grid: Sequence[int], axis: int
) -> None:
    """A cell in the middle of each patch of the plane across ``axis`` through the grid's middle."""
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

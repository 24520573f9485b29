"""The still picture of ``Features``: a row for each encoder and for place, a column a patient."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from ssl3d_lite.show.figures.planes import LEFT_OF_AXES, PlaneScale, draw_image

from .bundle import Message

COLUMN_WIDE, NAMES_WIDE = 1.8, 1.2  # inches
PLANES = ("sagittal", "coronal", "axial")
ASKED, MATCH = "#F0E442", "#FFFFFF"


def features_still(state: Message) -> Figure:
    """Features in colours over planes of the scans, and the place most like the one asked about.

    Args:
        state: the view's, under the names that features.js reads.
    """
    patients, columns, asked = state["_patients"], state["_columns"], state["patient"]
    axis, order = PLANES.index(state["plane"]), sorted(range(len(patients)), key=asked.__ne__)
    scales = [PlaneScale(each["shape"], each["spacing"]) for each in patients]
    wide, tall = np.max([scale.extent(axis) for scale in scales], 0)
    size = (
        NAMES_WIDE + COLUMN_WIDE * len(patients),
        len(columns) * COLUMN_WIDE * tall / wide + 0.7,
    )
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle("Where is the place that is most like the one asked about?", fontsize=11)
    grid = figure.subplots(len(columns), len(patients), squeeze=False)
    scans, cells = _scans(state), _cells(state)
    for row, (of_column, column) in enumerate(zip(cells, columns, strict=True)):
        for axes, number in zip(grid[row], order, strict=True):
            place = _match(of_column, number, state)
            draw_image(axes, scans[number][None], axis, place[axis], window=(0, 255))
            colours = _colours(of_column[number], column["palette"])
            _lay_over(axes, colours, state["_stride"], axis, place, state["opacity"])
            across, along = np.delete(place, axis)
            ring = Circle((across, along), min(scans[number].shape) / 14, fill=False)
            ring.set(linewidth=2, edgecolor=ASKED if number == asked else MATCH)
            axes.add_patch(ring)
            scales[number].finish(axes, axis, letters=6)
            asks = ": asked" if number == asked else ""
            axes.set_title(f"{patients[number]['name']}{asks}" if row == 0 else "", fontsize=8)
        beside: dict[str, Any] = {"transform": grid[row, 0].transAxes, **LEFT_OF_AXES}
        grid[row, 0].text(-0.06, 0.5, column["name"], **beside)
    return figure


def _scans(state: Message) -> list[np.ndarray]:
    """The patients' scans, uint8 (*space)."""
    shapes = [patient["shape"] for patient in state["_patients"]]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    parts = np.split(np.frombuffer(state["_scans"], np.uint8), ends[:-1])
    return [part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)]


def _cells(state: Message) -> list[list[np.ndarray]]:
    """For each encoder and patient the cells, uint8 (*grid, component)."""
    stride, sent, at, found = state["_stride"], np.frombuffer(state["_cells"], np.uint8), 0, []
    boxes = [*(p["shape"] for p in state["_patients"]), *(f["size"] for f in state["_frames"])]
    grids = [[-(-edge // stride) for edge in box] for box in boxes]
    for column in state["_columns"]:
        shapes = [(*grid, column["components"]) for grid in grids]
        ends = at + np.cumsum([int(np.prod(shape)) for shape in shapes])
        parts = np.split(sent[: ends[-1]], [at, *ends[:-1]])[1:]
        found.append([part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)])
        at = int(ends[-1])
    return found


def _match(cells: Sequence[np.ndarray], number: int, state: Message) -> np.ndarray:
    """The voxel of a patient that is most like the one asked about."""
    voxel, stride = np.array(state["voxel"]), state["_stride"]
    if number == state["patient"]:
        return voxel
    query = cells[state["patient"]][tuple(voxel // stride)].astype(int)
    away = np.square(cells[number] - query).sum(-1)
    cell = np.array(np.unravel_index(away.argmin(), away.shape))
    return np.minimum(
        stride * cell + stride // 2, np.array(state["_patients"][number]["shape"]) - 1
    )


def _colours(cells: np.ndarray, palette: Sequence[Sequence[int]]) -> np.ndarray:
    """Red, green and blue of cells (*grid, 3), by their first three components."""
    first = [cells[..., min(n, cells.shape[-1] - 1)] for n in range(3)]
    return np.stack([np.array(palette[n], np.uint8)[each] for n, each in enumerate(first)], -1)


def _lay_over(
    axes: Axes, colours: np.ndarray, stride: int, axis: int, place: np.ndarray, opacity: float
) -> None:
    plane = np.take(colours, place[axis] // stride, axis).swapaxes(0, 1)
    height, width = (edge * stride - 0.5 for edge in plane.shape[:2])
    axes.imshow(
        plane,
        origin="lower",
        interpolation="nearest",
        extent=(-0.5, width, -0.5, height),
        alpha=opacity,
    )

"""A cohort at a glance: its cases in three planes with their labels outlined, and their values."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ssl3d_lite.data.cohort import Cohort, takes_cohort
from ssl3d_lite.show.arrays import as_colours
from ssl3d_lite.show.pieces import COLOURS, class_colour

from .curves import GREY, tidy
from .planes import PLANE_NAMES, PlaneScale, draw_plane

SHEET_COLUMNS = 6  # pictures side by side
RGB = ("red", "green", "blue")
HISTOGRAM_BINS = 60


@takes_cohort
def contact_sheet(cohort: Cohort, cases: Sequence[int]) -> Figure:
    """Pictures of ``cases`` (positions in the cohort) with their labels outlined.

    A volume has a row: its sagittal, coronal and axial plane in the first channel, then the axial
    plane in the other channels. The planes go through the middle of the label, or of the volume
    where there is none. A 2D picture has a tile. Each class is outlined in a colour of its own.
    """
    if cohort.spatial_dims == 2:
        return _tiles(cohort, cases)
    planes = [(0, axis) for axis in range(3)]
    planes += [(channel, 2) for channel in range(1, len(cohort.channels))]
    strips = max(1, SHEET_COLUMNS // len(planes))  # side by side
    rows = -(-len(cases) // strips)
    scales = [_scale(cohort, case) for case in cases]
    wide = [max(scale.extent(axis)[0] for scale in scales) for _, axis in planes]
    tall = max(scale.extent(axis)[1] for scale in scales for axis in range(3))
    inches = 1.75 * len(planes)
    size = (inches * strips, rows * (inches * tall / sum(wide) + 0.25) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    grid = figure.subplots(
        rows, len(planes) * strips, squeeze=False, width_ratios=[*wide] * strips
    ).reshape(-1, len(planes))
    for axes in grid.ravel():
        axes.set_axis_off()
    for row, case, scale in zip(grid, cases, scales, strict=False):
        _strip(row, cohort, case, planes)
        for axes, plane, width in zip(row, planes, wide, strict=True):
            bar = case == cases[0] and plane == planes[0] and cohort.unit == "mm"
            scale.finish(axes, plane[1], width, tall, bar, letters=6)
    for row in grid[:strips]:
        for axes, (channel, axis) in zip(row, planes, strict=True):
            axes.text(0.5, 1.2, f"{cohort.channels[channel]} {PLANE_NAMES[axis]}", **_at(axes, 8))
    _legend(figure, cohort)
    return figure


def _strip(
    row: Sequence[Axes], cohort: Cohort, case: int, planes: Sequence[tuple[int, int]]
) -> None:
    """Draw one volume: a plane for each (channel, axis across which it lies)."""
    image, label = cohort[case]
    centre = mean_voxel(label if label is not None and label.any() else np.ones(image.shape[1:]))
    for axes, (channel, axis) in zip(row, planes, strict=True):
        draw_plane(axes, image[channel].astype(np.float32), axis, centre[axis])
        if label is not None:
            outline_classes(axes, np.take(label, centre[axis], axis))
    above: dict[str, Any] = {"xytext": (0, 9), "textcoords": "offset points"}  # beyond letters
    row[0].annotate(cohort.cases[case].id, (0, 1), xycoords="axes fraction", fontsize=7, **above)


def _scale(cohort: Cohort, case: int) -> PlaneScale:
    about = cohort.cases[case]
    return PlaneScale(about.shape, about.spacing.tolist())


def _at(axes: Axes, size: int) -> dict[str, Any]:
    return {"transform": axes.transAxes, "fontsize": size, "ha": "center"}


def _tiles(cohort: Cohort, cases: Sequence[int]) -> Figure:
    rows, columns = -(-len(cases) // SHEET_COLUMNS), min(max(len(cases), 3), SHEET_COLUMNS)
    figure = Figure(figsize=(1.9 * columns, 2.15 * rows + 0.4), layout="constrained")
    tiles = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in tiles:
        axes.set_axis_off()
    for axes, case in zip(tiles, cases, strict=False):
        image, label = cohort[case]
        title = cohort.cases[case].id
        if cohort.channels == RGB:
            axes.imshow(as_colours(image), origin="lower")
        else:
            draw_plane(axes, image[0].astype(np.float32))
        if cohort.ordinal:
            title += f"\n{'no grade' if label is None else cohort.label_names[int(label)]}"
        elif label is not None:
            outline_classes(axes, label)
        axes.set_title(title, fontsize=7)
    if not cohort.ordinal:
        _legend(figure, cohort)
    return figure


def mean_voxel(mask: np.ndarray) -> list[int]:
    """The mean position of the voxels that are not 0, in whole voxels."""
    return np.round([place.mean() for place in np.nonzero(mask)]).astype(int).tolist()


def outline_classes(axes: Axes, classes: np.ndarray) -> None:
    """Outline every class of a plane (x, y), each in its colour."""
    for index in range(1, int(classes.max()) + 1):
        if (classes == index).any():
            colour = class_colour(index)
            axes.contour(index == classes.T, levels=[0.5], colors=[colour], linewidths=0.9)


def _legend(figure: Figure, cohort: Cohort) -> None:
    names = cohort.label_names[1:]
    lines = [
        Line2D([], [], color=class_colour(i), label=name) for i, name in enumerate(names, start=1)
    ]
    if lines:
        figure.legend(handles=lines, loc="outside lower center", ncols=4, frameon=False, fontsize=8)


@takes_cohort
def intensities(cohort: Cohort, cases: Sequence[int]) -> Figure:
    """How often each value occurs: a panel for each channel, a thin line for each case.

    The thick line is the mean of all. The most frequent value, which is the background's if there
    is one, is left out.
    """
    figure = Figure(figsize=(3.2 * len(cohort.channels) + 0.4, 2.6), layout="constrained")
    panels = figure.subplots(1, len(cohort.channels), squeeze=False)[0]
    for channel, (axes, name) in enumerate(zip(panels, cohort.channels, strict=True)):
        values = [_without_commonest(cohort[case][0][channel]) for case in cases]
        low = min(v.min() for v in values)
        high = max(v.max() for v in values)
        shares = []
        for v in values:
            counts, edges = np.histogram(v, HISTOGRAM_BINS, (low, high))
            shares.append(counts / len(v))
        centres = (edges[1:] + edges[:-1]) / 2
        axes.plot(centres, np.transpose(shares), color=GREY, linewidth=0.7, alpha=0.6)
        axes.plot(centres, np.mean(shares, 0), color=COLOURS[0], linewidth=1.8)
        axes.set_ylim(0, 1.5 * max(np.percentile(shares, 97.5), 1e-6))
        axes.set(title=name, xlabel="prepared intensity", ylabel="share of voxels")
    tidy(*panels)
    return figure


def _without_commonest(channel: np.ndarray) -> np.ndarray:
    flat = channel.astype(np.float32).ravel()
    values, counts = np.unique(flat, return_counts=True)
    rest = flat[flat != values[counts.argmax()]]
    return rest if rest.size else flat


@takes_cohort
def grade_counts(cohort: Cohort) -> Figure:
    """How many cases have each grade, fold by fold, so that a fold that lacks a grade is seen."""
    folds = {case.fold for case in cohort.cases if case.grade is not None}
    folds = sorted(folds, key=lambda fold: (fold is None, fold))
    figure = Figure(figsize=(6.4, 2.8), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / max(len(folds), 1)
    for place, fold in enumerate(folds):
        counts = [
            sum(case.grade == grade and case.fold == fold for case in cohort.cases)
            for grade in range(len(cohort.label_names))
        ]
        colour = COLOURS[place % len(COLOURS)]
        where = np.arange(len(counts)) + place * width - 0.4 + width / 2
        axes.bar(
            where, counts, width, color=colour, label="no fold" if fold is None else f"fold {fold}"
        )
    axes.set_xticks(range(len(cohort.label_names)), cohort.label_names)
    axes.set(ylabel="cases")
    axes.legend(frameon=False, fontsize=8)
    tidy(axes)
    return figure

"""The still picture of ``Slices``: the planes through its cross."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ssl3d_lite.show.figures.planes import (
    PLANE_NAMES,
    PlaneScale,
    draw_image,
    outline_box,
    overlay_classes,
    white_text,
)

SLICES_WIDE = 8.0  # inches
CROSS: dict[str, Any] = {"color": "#F0E442", "linewidth": 0.6, "alpha": 0.8}
FAINT = "#ffffff4d"


def slices_still(
    image: np.ndarray,
    *,
    window: Sequence[float],
    voxel: Sequence[int],
    classes: np.ndarray | None,
    legend: Sequence[Mapping[str, str]],
    opacity: float,
    boxes: Sequence[Mapping[str, Any]],
    spacing: Sequence[float] | None,
    title: str,
    beside: np.ndarray | None,
    sides: Sequence[str],
    wipe: float,
) -> Figure:
    """The three planes of a scan through a voxel; of a picture, one voxel deep, its one plane.

    Args:
        image: (*space).
        classes: (*space), uint8; their names and colours are in ``legend``, from class 1 on.
        boxes: of pieces, under the names that slices.js reads.
        beside: a second map, right of a border that lies at the share ``wipe`` of a plane's width;
            ``sides`` has the names of both.
    """
    scale = PlaneScale(image.shape, spacing)
    planes = range(3) if image.shape[2] > 1 else (2,)
    wide = sum(scale.extent(axis)[0] for axis in planes)
    tall = max(scale.extent(axis)[1] for axis in planes)
    width = SLICES_WIDE if len(planes) == 3 else SLICES_WIDE / 2
    if beside is not None:
        title = f"{title}\nleft of the line: {sides[0]}, right of it: {sides[1]}".strip()
    rim = 0.25 + 0.25 * len(title.splitlines()) + (0.35 if legend else 0)
    figure = Figure(figsize=(width, width * tall / wide + rim), layout="constrained")
    figure.set_label("A scan in " + ("three planes" if len(planes) == 3 else "one plane"))
    figure.suptitle(title, fontsize=11)
    colours = [entry["colour"] for entry in legend]
    for axis, axes in scale.row(figure, planes):
        draw_image(axes, image[None], axis, voxel[axis], window=(window[0], window[1]))
        if classes is not None and legend:
            shown = classes if beside is None else _wiped(axes, classes, beside, axis, wipe)
            overlay_classes(axes, shown, axis, voxel[axis], opacity=opacity, own=colours)
        _draw_boxes(axes, boxes, axis, voxel[axis])
        (x, y), (right, top) = (np.delete(each, axis) for each in (voxel, image.shape))
        axes.plot([x, x], [-0.5, top - 0.5], **CROSS)
        axes.plot([-0.5, right - 0.5], [y, y], **CROSS)
        axes.set_title(f"{PLANE_NAMES[axis]} {voxel[axis]}" if len(planes) == 3 else "", fontsize=9)
    if legend:
        handles = [Patch(color=entry["colour"], label=entry["name"]) for entry in legend]
        style: dict[str, Any] = {"ncols": 5, "frameon": False, "fontsize": 9}
        figure.legend(handles=handles, loc="outside lower center", **style)
    return figure


def _wiped(axes: Axes, left: np.ndarray, right: np.ndarray, axis: int, wipe: float) -> np.ndarray:
    """The first map left of the border, the second right of it; the border is drawn."""
    across = 1 if axis == 0 else 0
    count = left.shape[across]
    border = round(wipe * count)
    axes.axvline(border - 0.5, color="white", linewidth=1.5)
    is_left = np.arange(count) < border
    return np.where(is_left.reshape(-1, *[1] * (2 - across)), left, right)


def _draw_boxes(axes: Axes, boxes: Sequence[Mapping[str, Any]], axis: int, place: int) -> None:
    """Outline the boxes that a plane goes through, in their colours, and the others faintly."""
    taken: list[tuple[np.ndarray, list[str]]] = []  # places of texts, and the badges there
    for box in boxes:
        corners = np.array(box["corners"])
        through = corners[:, axis].min() <= place <= corners[:, axis].max()
        outline_box(
            axes, corners, axis, box["colour"] if through else FAINT, 1.6 if through else 0.6
        )
        at = np.delete(corners.mean(0), axis)
        near = [each for each in taken if np.abs(at - each[0]).max() < 3]
        if not through or not box["badge"]:
            continue
        if not near:
            taken.append((at, [box["badge"]]))
        elif np.abs(at - near[0][0]).max() < 1:  # a copy in the same place
            near[0][1].append(box["badge"])
    for (x, y), badges in taken:
        axes.text(x, y, ", ".join(badges), ha="center", va="center", **white_text(8))

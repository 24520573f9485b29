"""Figure of the exemplar task: each scan's box, its distorted copy, and a box of another scan."""

from itertools import product

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.words import SIDES
from ssl3d_lite.tasks import ProxyBatch

from .planes import draw_image, letter_sides

MAX_SCANS = 4


def triplets(volumes: Tensor, batch: ProxyBatch, prediction: Tensor | None = None) -> Figure:
    """Exemplar's triplets, a scan a row: its box, the same box distorted, a box of another scan.

    The last is the counter-example that ``negatives="random"`` picks within the batch.

    Args:
        volumes: (batch, channel, *space), as they were given to ``make_views``.
        prediction: the points (scan, view, embedding) that the network gives; then distances are
            written too.

    Raises:
        InputError: the batch is not of the exemplar task.
    """
    if batch.views.shape[1] != 2 or tuple(batch.target.shape[1:]) != (1, 2):
        raise InputError("triplets draws batches of the task exemplar; draw others with puzzle")
    scans, views = min(len(volumes), MAX_SCANS), batch.views.float().cpu().numpy()
    points = None if prediction is None else prediction.detach().float().cpu().numpy()
    height = 0.85 if views.ndim == 6 else 1.8  # three planes side by side, or one picture
    size = (8, (height + (0.25 if points is None else 0.4)) * scans + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(batch.question, fontsize=11)
    for scan, row in enumerate(figure.subplots(scans, 3, squeeze=False)):
        other = _counter_example(batch, scan)
        titles = [f"scan {scan}", "its copy, distorted", f"counter-example: scan {other[0]}"]
        if points is not None:
            copy_distance, other_distance = (
                np.linalg.norm(points[scan, 0] - points[each]) for each in ((scan, 1), other)
            )
            near = "✓ nearer" if copy_distance < other_distance else "✗ not nearer"
            titles[1] += f"\ndistance {copy_distance:.2f}, {near}"
            titles[2] += f"\ndistance {other_distance:.2f}"
        for axes, each, title in zip(row, ((scan, 0), (scan, 1), other), titles, strict=True):
            _side_by_side(axes, views[each], upright=each[1] == 0)
            axes.set_title(title, fontsize=9)
    return figure


def _counter_example(batch: ProxyBatch, scan: int) -> tuple[int, int]:
    """Scan and view that the batch's random number picks from those of other patients."""
    patient, number = batch.target[:, 0].cpu().numpy().T
    others = [
        each for each in product(range(len(patient)), (0, 1)) if patient[each[0]] != patient[scan]
    ]
    return others[number[scan] % len(others)]


def _side_by_side(axes: Axes, image: np.ndarray, upright: bool) -> None:
    """Draw the three middle planes of a volume, or a 2D image, on the same axes.

    Sides have letters where the view lies as its scan does, not distorted.
    """
    left, top, window = 0.0, 0.0, (float(image[0].min()), float(image[0].max()))
    for axis in range(3) if image.ndim == 4 else (2,):
        right, up = [n for a, n in enumerate(image.shape[1:]) if a != axis][:2]
        draw_image(axes, image, axis, corner=(left, 0), window=window)
        if upright and image.ndim == 4:
            across, along = (a for a in range(3) if a != axis)
            sides = (*SIDES[3][across], *SIDES[3][along])
            letter_sides(axes, right, up, sides, left)
        left, top = left + 1.08 * right, max(top, up)
    axes.set_xlim(-0.5, left - 0.5)
    axes.set_ylim(-0.5, top - 0.5)

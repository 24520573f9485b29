"""Figure of a confusion matrix."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import PercentFormatter
from torch import Tensor

from ssl3d_lite.errors import InputError

MAX_NUMBERED = 12  # classes up to which each cell has its percentage written in it


def confusion(
    labels: Sequence[int] | Tensor,
    predictions: Sequence[int] | Tensor,
    names: Sequence[str] | None = None,
    title: str = "",
) -> Figure:
    """How often each class was predicted where each was the label, as shares of the rows.

    Args:
        labels: the correct classes, whole numbers from 0.
        predictions: the classes predicted, as many.
        names: names of the classes, see :func:`turn_names` and :func:`place_names`; by default
            their numbers.

    Raises:
        InputError: there are not as many predictions as labels, or none at all, or a class has no
            name.
    """
    true, predicted = (np.asarray(each).astype(int).ravel() for each in (labels, predictions))
    if len(true) != len(predicted) or not len(true):
        raise InputError(f"there are {len(true)} labels and {len(predicted)} predictions")
    highest = int(max(true.max(), predicted.max()))
    names = [str(n) for n in range(highest + 1)] if names is None else list(names)
    if len(names) <= highest:
        raise InputError(f"class {highest} has no name: there are {len(names)} names")
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (true, predicted), 1)
    correct = f"{(true == predicted).sum()} of {len(true)} correct"
    if len(true) > 1 and (predicted == predicted[0]).all():
        correct += f", the prediction is always “{names[predicted[0]]}”"
    return _draw_matrix(counts, names, f"{title}: {correct}" if title else correct)


def _draw_matrix(counts: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """The figure of a matrix of counts (label, prediction)."""
    in_row = counts.sum(1, keepdims=True)
    shares = np.divide(counts, in_row, out=np.full_like(counts, np.nan), where=in_row > 0)
    numbered = len(names) <= MAX_NUMBERED
    figure = Figure(figsize=(6.6, 5.6) if numbered else (8, 7.2), layout="constrained")
    axes = figure.subplots()
    drawn = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_facecolor("#dddddd")  # rows of classes that no label has
    ticks = range(len(names))
    axes.set_xticks(ticks, names, rotation=90, fontsize=8 if numbered else 7)
    axes.set_yticks(ticks, names, fontsize=8 if numbered else 7)
    axes.set(xlabel="prediction", ylabel="label")
    for at in zip(*np.nonzero(counts)) if numbered else ():
        colour = "white" if shares[at] > 0.5 else "black"
        style: dict[str, Any] = {"color": colour, "fontsize": 8, "ha": "center", "va": "center"}
        axes.text(at[1], at[0], f"{100 * shares[at]:.0f}", **style)
    for n in ticks:  # the diagonal, where predictions are correct
        axes.add_patch(Rectangle((n - 0.5, n - 0.5), 1, 1, fill=False, linewidth=0.7))
    axes.set_title(title, fontsize=10)
    percent = PercentFormatter(1, 0)
    figure.colorbar(drawn, ax=axes, shrink=0.6, label="share of the row", format=percent)
    return figure

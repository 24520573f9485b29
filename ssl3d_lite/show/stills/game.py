"""The still picture of ``Game``: the first question of each round."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ssl3d_lite.show.figures.planes import PLANE_NAMES


def game_still(rounds: list[dict[str, Any]]) -> Figure:
    """The first view of each round's first question in three planes, below what is asked."""
    figure = Figure(figsize=(6.4, 1.9 * len(rounds)), layout="constrained")
    figure.set_label("The first question of each round of the game")
    parts = figure.subfigures(len(rounds), 1, squeeze=False)[:, 0]
    for part, each in zip(parts, rounds, strict=True):
        asked = each["questions"][0]
        view = np.frombuffer(asked["views"], np.uint8)[: np.prod(asked["size"])]
        part.suptitle(f"{each['title']}: {each['question']}", fontsize=10)
        for axis, axes in enumerate(part.subplots(1, 3)):
            plane = np.take(view.reshape(asked["size"]), asked["size"][axis] // 2, axis)
            axes.imshow(plane.T, cmap="gray", origin="lower", vmin=0, vmax=255)
            axes.set_title(PLANE_NAMES[axis], fontsize=8)
            axes.set_axis_off()
    return figure

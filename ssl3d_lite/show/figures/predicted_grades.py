"""Figure of pictures with grades, in a row: the grade of each, and what networks took it for."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ssl3d_lite.show.pieces import CORRECT_COLOUR, WRONG_COLOUR

from .planes import draw_image

TILE = 1.75  # inches
LINE_HEIGHT = 0.17  # inches, of a prediction below a picture


def predicted_grades(
    images: Sequence[np.ndarray],
    truths: Sequence[int],
    predictions: Mapping[str, Sequence[int]],
    names: Sequence[str],
) -> Figure:
    """Pictures in a row; above each its grade, below it each prediction with ✓ or ✗.

    Args:
        images: (channel, *space) each; of a volume the axial plane in its middle is drawn.
        truths: the grade of each.
        predictions: who predicts → a grade of each picture.
        names: names of the grades 0, 1, 2, …
    """
    tall = max(image.shape[2] / image.shape[1] for image in images)
    words = LINE_HEIGHT * len(predictions) + 0.1  # inches
    size = (TILE * max(len(images), 3), TILE * tall + words + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    figure.get_layout_engine().set(rect=(0, words / size[1], 1, 1 - words / size[1]))  # type: ignore[union-attr, call-arg]  # the stub knows no such engine
    row = figure.subplots(1, len(images), squeeze=False)[0]
    for number, (axes, image, truth) in enumerate(zip(row, images, truths, strict=True)):
        draw_image(axes, image)
        axes.set_title(names[truth], fontsize=9)
        for line, (who, grades) in enumerate(predictions.items()):
            right = grades[number] == truth
            told = f"{'✓' if right else '✗'} {who}: {names[grades[number]]}"
            below: dict[str, Any] = {
                "xytext": (0, -4 - 72 * LINE_HEIGHT * line),
                "xycoords": "axes fraction",
                "textcoords": "offset points",
                "ha": "center",
                "va": "top",
                "fontsize": 8,
                "in_layout": False,  # the room for it is kept above
            }
            axes.annotate(told, (0.5, 0), color=CORRECT_COLOUR if right else WRONG_COLOUR, **below)
    return figure

"""Two predictions of one scan in the browser, with a border between them that is moved: ``wipe``.

From scratch on the left of the border, pretrained on the right of it: where their mistakes differ,
the picture changes as the border passes.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.arrays import Array, as_numpy
from ssl3d_lite.show.mistakes import KINDS, right_and_wrong

from .slices import Slices


def wipe(
    volume: Array,
    predictions: Mapping[str, Array],
    truth: Array | None = None,
    *,
    label_names: Sequence[str] = (),
    spacing: Sequence[float] | None = None,
    title: str = "",
) -> Slices:
    """A scan in three planes, with one prediction left of a border and another right of it.

    Drag the border, or move its slider. With the truth, colours tell what is right, missed, too
    much, and of a wrong class; without it they are those of the classes.

    Args:
        volume: (*space) or (channel, *space).
        predictions: the names of two predictions → their maps (*space).
        truth: (*space), the label map.
        label_names: names of the classes, where there is no truth.
        spacing: edge lengths of a voxel, in mm.
        title: a line above the planes.

    Raises:
        InputError: not two predictions, or maps that do not fit the scan.

    Example::

        found = {"from scratch": predict(scratch), "pretrained": predict(pretrained)}
        show.wipe(image, found, label).save("wipe.html", "What pretraining changed")
    """
    if len(predictions) != 2:
        raise InputError(f"wipe compares two predictions, and {len(predictions)} are given")
    (first, left), (second, right) = ((k, as_numpy(v)) for k, v in predictions.items())
    sides, space = (first, second), as_numpy(volume).shape[-3:]
    if truth is None:
        return Slices(
            volume,
            left,
            beside=right,
            sides=sides,
            label_names=label_names,
            spacing=spacing,
            title=title,
        )
    label = as_numpy(truth)
    for name, classes in {"truth": label, first: left, second: right}.items():
        if classes.shape != space:
            raise InputError(f"{name} has shape {classes.shape}, but the scan has {tuple(space)}")
    kinds = [right_and_wrong(label, classes) for classes in (left, right)]
    names = ["background", *KINDS]
    view = Slices(
        volume,
        kinds[0],
        beside=kinds[1],
        sides=sides,
        label_names=names,
        spacing=spacing,
        title=title,
    )
    view._classes = [{"name": name, "colour": colour} for name, colour in KINDS.items()]
    if (differs := kinds[0] != kinds[1]).any():
        view.voxel = _busiest(differs)
    return view


def _busiest(differs: np.ndarray) -> list[int]:
    """The voxel whose three planes hold most of what differs."""
    return [int(differs.sum(tuple({0, 1, 2} - {axis})).argmax()) for axis in range(3)]

"""A batch's questions as small pictures and words, and a network's predictions beside them.

How a prediction is to be read follows from the form of the batch's target, so a task of one's own
is shown too where its target has one of these forms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ssl3d_lite.show.pictures import (
    Picture,
    class_planes,
    grey_range,
    laid_out,
    over,
    planes,
    stacked,
)
from ssl3d_lite.show.pieces import (
    HIDDEN_NAME,
    answer_name,
    orders_of,
    piece_labels,
    pieces_of,
    voxel_classes,
    with_hidden,
)
from ssl3d_lite.show.words import answer_told, voxels_told
from ssl3d_lite.tasks import ProxyBatch


@dataclass(frozen=True)
class Question:
    """What is asked, and the label: as a picture, in words, or both."""

    asked: Picture | None
    label: Picture | None
    words: str  # the label in words


@dataclass(frozen=True)
class Prediction:
    """What the network predicts for a question."""

    picture: Picture | None
    words: str
    correct: bool | None  # None where a prediction can be more or less good


def target_kind(batch: ProxyBatch) -> str:
    """What the network has to predict, as the form of the target tells it.

    "number": a class of a view or of a scan. "view": one of the batch's views. "copy": the view
    that is nearest to each. "image": voxels. "map": a class for each voxel.
    """
    target = batch.target
    if target.is_floating_point():
        return "image"
    return {1: "view", 2: "number", 3: "copy"}.get(target.ndim, "map")


def questions(batch: ProxyBatch, names: Sequence[str] = ()) -> list[Question]:
    """All questions of a batch, in the order of its labels.

    Args:
        names: names of the classes, where labels are numbers; by default the task's own.
    """
    views, kind = batch.views.float().cpu().numpy(), target_kind(batch)
    target = batch.target.cpu()
    if kind == "number":
        return [
            Question(asked, _in_order(batch, scan, number), _name(number, batch, names))
            for scan in range(len(views))
            for asked, number in _numbers(batch, scan)
        ]
    if kind == "view":
        flat = views.reshape(-1, *views.shape[2:])
        return [
            Question(None, planes(flat[place]), _which(place, batch)) for place in target.tolist()
        ]
    if kind == "copy":
        return [Question(planes(box), planes(copy), "its copy") for box, copy in views]
    return [_voxel_question(batch, scan) for scan in range(len(views))]


def _voxel_question(batch: ProxyBatch, scan: int) -> Question:
    """A question about voxels: what was hidden, or the class of each."""
    classes, names = voxel_classes(batch, scan) or (np.zeros(0), [])
    view = batch.views[scan, 0].float().cpu().numpy()
    if HIDDEN_NAME not in names:
        return Question(planes(view), class_planes(classes, names), "class of each voxel")
    whole = with_hidden(batch, scan)
    asked = over(planes(view, grey_range(whole)), class_planes(classes, names))
    return Question(asked, planes(whole), "as it was")


def read_predictions(
    batch: ProxyBatch, prediction: Tensor, names: Sequence[str] = ()
) -> list[Prediction]:
    """The network's prediction for each of :func:`questions`.

    Args:
        prediction: what ``task(encoder, batch)`` gives.
        names: names of the classes, where labels are numbers; by default the task's own.

    Returns:
        As many as there are questions; [] if the prediction has a form that is not known here.
    """
    views, kind = batch.views.float().cpu().numpy(), target_kind(batch)
    prediction, target = prediction.detach().float().cpu(), batch.target.cpu()
    flat = views.reshape(-1, *views.shape[2:])
    if kind in ("number", "view"):
        if prediction.ndim != 2 or len(prediction) != target.numel():
            return []
        pairs = list(zip(prediction.argmax(1).tolist(), target.flatten().tolist(), strict=True))
        if kind == "number":
            each = target.shape[1]
            return [
                Prediction(
                    _in_order(batch, n // each, p), _told(p, label, batch, names), p == label
                )
                for n, (p, label) in enumerate(pairs)
            ]
        return [Prediction(planes(flat[p]), _which(p, batch), p == label) for p, label in pairs]
    if kind == "copy":
        nearest = [_nearest(prediction.flatten(0, 1), 2 * scan) for scan in range(len(views))]
        return [
            Prediction(planes(flat[place]), _whose(place, scan), place == 2 * scan + 1)
            for scan, place in enumerate(nearest)
        ]
    if kind == "image":
        return [_rebuilt(batch, scan, each) for scan, each in enumerate(prediction.numpy())]
    names = (voxel_classes(batch) or ((), []))[1]
    return [
        Prediction(class_planes(each[0], names), voxels_told(batch, scan, each), None)
        for scan, each in enumerate(prediction.argmax(-1).numpy())
    ]


def _nearest(points: Tensor, own: int) -> int:
    """The point nearest to point ``own``, itself left out."""
    away = (points - points[own]).norm(dim=-1)
    away[own] = float("inf")
    return int(away.argmin())


def _rebuilt(batch: ProxyBatch, scan: int, prediction: np.ndarray) -> Prediction:
    """The voxels that were hidden as the network predicts them, amid those that it was shown."""
    whole = with_hidden(batch, scan)
    drawn = planes(with_hidden(batch, scan, prediction), grey_range(whole))
    return Prediction(drawn, voxels_told(batch, scan, prediction), None)


def _numbers(batch: ProxyBatch, scan: int) -> list[tuple[Picture, int]]:
    """What a scan's labels are about, as a picture, with the labels."""
    labels, views = piece_labels(batch, scan), pieces_of(batch, scan)
    if None in labels:
        grid = batch.placement.grid or (len(views),)
        return [(laid_out([view.image for view in views], grid), labels[None])]
    compared = [planes(view.image) for view in views if view.number not in labels]
    return [
        (stacked([*compared, planes(views[view].image)]), label) for view, label in labels.items()
    ]


def _in_order(batch: ProxyBatch, scan: int, number: int) -> Picture | None:
    """The pieces of a grid, put into the cells that order ``number`` says; None if it is none."""
    orders = orders_of(batch)
    if orders is None:
        return None
    views = batch.views[scan].float().cpu().numpy()
    return laid_out(views[np.argsort(orders[number])], batch.placement.grid)


def _name(number: int, batch: ProxyBatch, names: Sequence[str]) -> str:
    return names[number] if number < len(names) else answer_name(batch, number)


def _told(number: int, label: int, batch: ProxyBatch, names: Sequence[str]) -> str:
    return names[number] if number < len(names) else answer_told(batch, label, number)


def _whose(place: int, scan: int) -> str:
    return "its copy" if place == 2 * scan + 1 else f"a view of scan {place // 2}"


def _which(place: int, batch: ProxyBatch) -> str:
    scan, view = divmod(place, batch.views.shape[1])
    return f"view {view} of scan {scan}"

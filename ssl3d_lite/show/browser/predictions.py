"""A batch's questions as small pictures and words, and a network's predictions beside them.

How a prediction is to be read follows from the form of the batch's target, so a task of one's own
is shown too where its target has one of these forms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import to_rgb
from torch import Tensor

from ssl3d_lite.show.figures.planes import as_colours
from ssl3d_lite.show.pieces import (
    HIDDEN_NAME,
    answer_name,
    class_colour,
    orders_of,
    piece_labels,
    pieces_of,
    voxel_classes,
)
from ssl3d_lite.show.words import answer_told, voxels_told
from ssl3d_lite.tasks import ProxyBatch

Picture = np.ndarray  # uint8, (row, column) from the top left, or (row, column, 3) in colour
GAP = 1  # between planes and pieces, pixels


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
    target = batch.target[scan, 0].cpu().numpy()
    whole = np.where(np.isnan(target), view, target)
    asked = _over(planes(view, grey_range(whole)), class_planes(classes, names))
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
    view, target = (each[scan, 0].float().cpu().numpy() for each in (batch.views, batch.target))
    hidden = ~np.isnan(target)
    whole = np.where(hidden, target, view)
    drawn = planes(np.where(hidden, prediction[0], view), grey_range(whole))
    return Prediction(drawn, voxels_told(batch, scan, prediction), None)


def _numbers(batch: ProxyBatch, scan: int) -> list[tuple[Picture, int]]:
    """What a scan's labels are about, as a picture, with the labels."""
    labels, views = piece_labels(batch, scan), pieces_of(batch, scan)
    if None in labels:
        grid = batch.placement.grid or (len(views),)
        return [(_laid_out([view.image for view in views], grid), labels[None])]
    compared = [planes(view.image) for view in views if view.number not in labels]
    return [
        (_stacked([*compared, planes(views[view].image)]), label) for view, label in labels.items()
    ]


def _in_order(batch: ProxyBatch, scan: int, number: int) -> Picture | None:
    """The pieces of a grid, put into the cells that order ``number`` says; None if it is none."""
    orders = orders_of(batch)
    if orders is None:
        return None
    views = batch.views[scan].float().cpu().numpy()
    return _laid_out(views[np.argsort(orders[number])], batch.placement.grid)


def _name(number: int, batch: ProxyBatch, names: Sequence[str]) -> str:
    return names[number] if number < len(names) else answer_name(batch, number)


def _told(number: int, label: int, batch: ProxyBatch, names: Sequence[str]) -> str:
    return names[number] if number < len(names) else answer_told(batch, label, number)


def _whose(place: int, scan: int) -> str:
    return "its copy" if place == 2 * scan + 1 else f"a view of scan {place // 2}"


def _which(place: int, batch: ProxyBatch) -> str:
    scan, view = divmod(place, batch.views.shape[1])
    return f"view {view} of scan {scan}"


# ---- pictures ----------------------------------------------------------------------------------


def grey_range(image: np.ndarray) -> tuple[float, float]:
    """The values that are drawn black and white."""
    low, high = np.percentile(image, (1, 99))
    return (low, high) if high > low else (low - 1, low + 1)


def planes(image: np.ndarray, window: tuple[float, float] | None = None) -> Picture:
    """The sagittal, coronal and axial plane of a volume side by side, or a 2D image, up being up.

    Args:
        image: (channel, *space). The first channel is drawn; three channels of a 2D image are its
            red, green and blue.
        window: values drawn black and white.
    """
    if image.ndim == 3 and len(image) == 3:
        return (255 * as_colours(image)).astype(np.uint8)[::-1]
    first = image[0]
    parts = (
        [first] if first.ndim == 2 else [first.take(n // 2, a) for a, n in enumerate(first.shape)]
    )
    low, high = window or grey_range(first)
    shades = [((part - low) / (high - low)).clip(0, 1) * 255 for part in parts]
    tall = max(shade.shape[1] for shade in shades)
    return _joined([_padded(shade.T[::-1].astype(np.uint8), tall) for shade in shades], 1)


def class_planes(classes: np.ndarray, names: Sequence[str]) -> Picture:
    """The same planes of a map (*space) of classes, each in its colour; class 0 is black."""
    colours = np.zeros((256, 3), np.uint8)
    colours[-1] = 255  # what lies between planes
    for number, name in enumerate(names[1:], start=1):
        colours[number] = np.round(255 * np.array(to_rgb(class_colour(number, name))))
    return colours[planes(classes[None].astype(np.float32), (0, 255))]


def _over(picture: Picture, colours: Picture) -> Picture:
    """A grey picture, with those colours over it that are not black."""
    grey = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, -1)
    return np.where(colours.any(-1, keepdims=True), colours, grey)


def _padded(picture: Picture, tall: int) -> Picture:
    return np.pad(picture, ((tall - len(picture), 0), (0, 0)), constant_values=255)


def _joined(pictures: Sequence[Picture], axis: int) -> Picture:
    """Pictures of the same height (axis 1) or width (axis 0) beside each other, white between."""
    shape = list(pictures[0].shape)
    shape[axis] = GAP
    gap = np.full(shape, 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (gap, picture)][1:], axis)


def _stacked(pictures: Sequence[Picture]) -> Picture:
    return _joined(pictures, 0)


def _laid_out(images: Sequence[np.ndarray], grid: Sequence[int]) -> Picture:
    """The pieces of a 2D grid, or of a 3D grid's middle layer, each in the cell it is shown in."""
    cells = np.arange(len(images)).reshape(grid)
    cells = cells[..., grid[2] // 2] if len(grid) == 3 else cells.reshape(len(cells), -1)
    columns = [_joined([_axial(images[cell]) for cell in column[::-1]], 0) for column in cells]
    return _joined(columns, 1)


def _axial(image: np.ndarray) -> Picture:
    """The middle axial plane of a piece, or the 2D piece."""
    return planes(image[..., image.shape[-1] // 2] if image.ndim == 4 else image)

"""A batch's questions as small pictures and words, and a network's predictions beside them.

How a prediction is to be read follows from the form of the batch's target, so a task of one's own
is shown too where its target has one of these forms.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ssl3d_lite.show.figures.planes import as_colours
from ssl3d_lite.show.pieces import piece_labels, pieces_of
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
        names: names of the classes, where labels are numbers.
    """
    views, kind = batch.views.float().cpu().numpy(), target_kind(batch)
    target = batch.target.cpu()
    if kind == "number":
        return [
            Question(asked, None, _name(number, names))
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
    return _voxel_questions(views, target.float().numpy(), kind)


def _voxel_questions(views: np.ndarray, target: np.ndarray, kind: str) -> list[Question]:
    """Questions about voxels: what was hidden, or the class of each."""
    if kind == "image":
        wholes = [np.where(np.isnan(t), v, t) for t, v in zip(target[:, 0], views[:, 0])]
        return [
            Question(planes(view[0], grey_range(whole)), planes(whole), "as it was")
            for view, whole in zip(views, wholes)
        ]
    return [
        Question(planes(view[0]), planes(each, grey_range(each)), "class of each voxel")
        for view, each in zip(views, target)
    ]


def read_predictions(
    batch: ProxyBatch, prediction: Tensor, names: Sequence[str] = ()
) -> list[Prediction]:
    """The network's prediction for each of :func:`questions`.

    Args:
        prediction: what ``task(encoder, batch)`` gives.
        names: names of the classes, where labels are numbers.

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
            return [Prediction(None, _name(p, names), p == label) for p, label in pairs]
        return [Prediction(planes(flat[p]), _which(p, batch), p == label) for p, label in pairs]
    if kind == "copy":
        nearest = [_nearest(prediction.flatten(0, 1), 2 * scan) for scan in range(len(views))]
        return [
            Prediction(planes(flat[place]), _which(place, batch), place == 2 * scan + 1)
            for scan, place in enumerate(nearest)
        ]
    if kind == "image":
        return [_rebuilt(*each) for each in zip(views, target.numpy(), prediction.numpy())]
    classes, labels = prediction.argmax(-1).numpy(), target.numpy()
    return [
        Prediction(
            planes(c.astype(np.float32), grey_range(label)),
            f"{(c == label).mean():.0%} of voxels",
            None,
        )
        for c, label in zip(classes, labels)
    ]


def _nearest(points: Tensor, own: int) -> int:
    """The point nearest to point ``own``, itself left out."""
    away = (points - points[own]).norm(dim=-1)
    away[own] = float("inf")
    return int(away.argmin())


def _rebuilt(view: np.ndarray, target: np.ndarray, prediction: np.ndarray) -> Prediction:
    """The voxels that were hidden as the network predicts them, amid those that it was shown."""
    hidden = ~np.isnan(target[0])
    whole = np.where(hidden, target[0], view[0])
    error = np.square(prediction[0] - target[0])[hidden].mean()
    r2 = 1 - error / max(target[0][hidden].var(), 1e-6)
    drawn = planes(np.where(hidden, prediction[0], view[0]), grey_range(whole))
    return Prediction(drawn, f"explains {r2:.0%}", None)


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


def _name(number: int, names: Sequence[str]) -> str:
    return names[number] if number < len(names) else str(number)


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

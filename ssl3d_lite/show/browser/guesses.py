"""A batch's questions as small pictures and words, and what a network answers to them.

How an answer is to be read follows from the form of the batch's target, so tasks of one's own are
shown too where they ask for a number.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ssl3d_lite.show.figures.planes import as_colours
from ssl3d_lite.show.pieces import answers, pieces
from ssl3d_lite.tasks import ProxyBatch

Picture = np.ndarray  # uint8, (row, column) from the top left, or (row, column, 3) in colour
GAP = 1  # between planes and pieces, pixels


@dataclass(frozen=True)
class Question:
    """What is asked, and what would be right: as a picture, in words, or both."""

    asked: Picture | None
    truth: Picture | None
    words: str


@dataclass(frozen=True)
class Guess:
    """What the network answers to a question."""

    picture: Picture | None
    words: str
    right: bool | None  # None where an answer can be more or less good


def kind(batch: ProxyBatch) -> str:
    """What is asked for: "number", of a view or of a scan; "view", one of the batch's; "copy",
    the nearest view of all; "image", voxels; "map", a class for each voxel."""
    target = batch.target
    if target.is_floating_point():
        return "image"
    return {1: "view", 2: "number", 3: "copy"}.get(target.ndim, "map")


def questions(batch: ProxyBatch, names: Sequence[str] = ()) -> list[Question]:
    """All questions of a batch, in the order of its answers.

    Args:
        names: of answers that are numbers.
    """
    views, what = batch.views.float().cpu().numpy(), kind(batch)
    target = batch.target.cpu()
    if what == "number":
        return [
            Question(asked, None, _name(number, names))
            for scan in range(len(views))
            for asked, number in _numbers(batch, scan)
        ]
    if what == "view":
        flat = views.reshape(-1, *views.shape[2:])
        return [
            Question(None, planes(flat[place]), _which(place, batch)) for place in target.tolist()
        ]
    if what == "copy":
        return [Question(planes(box), planes(copy), "its copy") for box, copy in views]
    target = target.float().numpy()
    if what == "image":
        wholes = [np.where(np.isnan(t), v, t) for t, v in zip(target[:, 0], views[:, 0])]
        return [
            Question(planes(view[0], reach(whole)), planes(whole), "as it was")
            for view, whole in zip(views, wholes)
        ]
    return [
        Question(planes(view[0]), planes(each, reach(each)), "class of each voxel")
        for view, each in zip(views, target)
    ]


def guesses(batch: ProxyBatch, answer: Tensor, names: Sequence[str] = ()) -> list[Guess]:
    """What ``answer``, the task's, says to each of :func:`questions`; [] if it cannot be read."""
    views, what = batch.views.float().cpu().numpy(), kind(batch)
    answer, target = answer.detach().float().cpu(), batch.target.cpu()
    flat = views.reshape(-1, *views.shape[2:])
    if what in ("number", "view"):
        if answer.ndim != 2 or len(answer) != target.numel():
            return []
        pairs = list(zip(answer.argmax(1).tolist(), target.flatten().tolist(), strict=True))
        if what == "number":
            return [Guess(None, _name(said, names), said == true) for said, true in pairs]
        return [Guess(planes(flat[s]), _which(s, batch), s == true) for s, true in pairs]
    if what == "copy":
        nearest = [_nearest(answer.flatten(0, 1), 2 * scan) for scan in range(len(views))]
        right = [said == 2 * scan + 1 for scan, said in enumerate(nearest)]
        return [Guess(planes(flat[s]), _which(s, batch), r) for s, r in zip(nearest, right)]
    if what == "image":
        return [_rebuilt(*each) for each in zip(views, target.numpy(), answer.numpy())]
    said, true = answer.argmax(-1).numpy(), target.numpy()
    return [
        Guess(planes(s.astype(np.float32), reach(t)), f"{(s == t).mean():.0%} of voxels", None)
        for s, t in zip(said, true)
    ]


def _nearest(points: Tensor, own: int) -> int:
    """The point nearest to point ``own``, itself left out."""
    away = (points - points[own]).norm(dim=-1)
    away[own] = float("inf")
    return int(away.argmin())


def _rebuilt(view: np.ndarray, target: np.ndarray, answer: np.ndarray) -> Guess:
    """What was hidden as the network draws it, in the midst of what it was shown."""
    hidden = ~np.isnan(target[0])
    whole = np.where(hidden, target[0], view[0])
    error = np.square(answer[0] - target[0])[hidden].mean()
    explained = 1 - error / max(target[0][hidden].var(), 1e-6)
    drawn = planes(np.where(hidden, answer[0], view[0]), reach(whole))
    return Guess(drawn, f"explains {explained:.0%}", None)


def _numbers(batch: ProxyBatch, scan: int) -> list[tuple[Picture, int]]:
    """What a scan's numbers are about, with the right ones."""
    told, views = answers(batch, scan), pieces(batch, scan)
    if None in told:
        grid = batch.placement.grid or (len(views),)
        return [(_laid_out([view.image for view in views], grid), told[None])]
    compared = [planes(view.image) for view in views if view.number not in told]
    return [
        (_stacked([*compared, planes(views[view].image)]), number) for view, number in told.items()
    ]


def _name(number: int, names: Sequence[str]) -> str:
    return names[number] if number < len(names) else str(number)


def _which(place: int, batch: ProxyBatch) -> str:
    scan, view = divmod(place, batch.views.shape[1])
    return f"view {view} of scan {scan}"


# ---- pictures ----------------------------------------------------------------------------------


def reach(image: np.ndarray) -> tuple[float, float]:
    """The values that are drawn black and white."""
    low, high = np.percentile(image, (1, 99))
    return (low, high) if high > low else (low - 1, low + 1)


def planes(image: np.ndarray, window: tuple[float, float] | None = None) -> Picture:
    """The sagittal, coronal and axial plane of a volume (channel, *space) side by side, or a 2D
    image, up being up. Of several channels the first is drawn, but three in 2D as colours."""
    if image.ndim == 3 and len(image) == 3:
        return (255 * as_colours(image)).astype(np.uint8)[::-1]
    first = image[0]
    parts = (
        [first] if first.ndim == 2 else [first.take(n // 2, a) for a, n in enumerate(first.shape)]
    )
    low, high = window or reach(first)
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

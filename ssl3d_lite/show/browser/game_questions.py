"""Questions of the game: one for a person and the network alike, and what the network says to each.

A question is made by the task itself (``make_views``) from a scan that the network has not seen.
Its views are then rounded to 256 greys. The person sees these greys and the network reads them, so
both get the very same question.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.modes import evaluating
from ssl3d_lite.show.context import pyramid_above
from ssl3d_lite.tasks import ProxyBatch, ProxyTask

CHOICES = 6  # patches, or blocks, of which one is right
LEAST_TISSUE = 0.3  # share of a patch's voxels that are brighter than its darkest, air
CONTEXT = 6  # patches that a question of CPC shows at least
TRIES = 200  # puzzles in which a question is looked for
WHITEST = 255

Greys = tuple[np.ndarray, float, float]  # uint8; the value of grey 0, and from one grey to the next


@dataclass(frozen=True)
class GameQuestion:
    """One question about one scan."""

    batch: ProxyBatch
    """A batch of that scan alone, its views in whole greys."""
    greys: Greys
    """The same views as greys: (view, channel, *space)."""
    item: int
    """Which of the batch's predictions is asked for."""
    options: tuple[int, ...]
    """What may be answered: classes, patches of the grid, or blocks of the mask."""
    correct: int
    """Position of the right answer among the options."""

    @property
    def chance(self) -> float:
        return 1 / len(self.options)


def game_questions(
    task: ProxyTask, volumes: Tensor, count: int, seed: int = 0
) -> Iterator[GameQuestion]:
    """Questions about ``volumes`` (scan, channel, *space), one scan after another.

    Patches that are nearly all air are not asked about, and are no option.

    Raises:
        InputError: the game does not know the task, or no question can be made of these scans.
    """
    if task.name not in _MAKERS:
        known = ", ".join(_MAKERS)
        raise InputError(f"no game is made of {task.name}; there is one of each of these: {known}")
    generator = torch.Generator().manual_seed(seed)
    for number in range(count):
        volume = volumes[number % len(volumes)][None]
        for _ in range(TRIES):
            batch = task.make_views(volume, task.sample_params(volume, generator))
            if question := _MAKERS[task.name](task, batch, generator):
                yield question
                break
        else:
            raise InputError(f"{task.name}: every patch of a scan is nearly all air")


def option_scores(task: ProxyTask, encoder: nn.Module, question: GameQuestion) -> Tensor:
    """How much the network is for each option; the highest is its answer: (option,).

    They are its logits. Where a block of voxels is sought it has none: there a score is the mean
    squared difference between what the network rebuilt and the option, negative.
    """
    with evaluating(encoder, task), torch.inference_mode():
        prediction = task(encoder, question.batch)
    if task.name != "masked":
        return prediction[question.item][list(question.options)].float().cpu()
    edge = task.settings.block_size
    rebuilt = block_of(prediction[0, 0], question.item, edge)
    blocks = (block_of(question.batch.target[0, 0], each, edge) for each in question.options)
    return torch.stack([-(rebuilt - block).square().mean() for block in blocks]).cpu()


# ---- one maker a task --------------------------------------------------------------------------


Rounded = tuple[ProxyBatch, Greys]


def in_greys(batch: ProxyBatch) -> Rounded:
    """The batch with views, and voxels that are sought, rounded to 256 greys."""
    views, target = batch.views.double(), batch.target
    known = [views.flatten(), *([target[~target.isnan()]] if target.is_floating_point() else [])]
    values = torch.cat([each.double() for each in known])
    low, high = float(values.min()), float(values.max())
    step = (high - low) / WHITEST or 1.0
    greys = ((views - low) / step).round()
    batch = replace(batch, views=(low + step * greys).float())
    if target.is_floating_point():  # what was hidden: nan elsewhere stays
        batch = replace(batch, target=(low + step * ((target - low) / step).round()).float())
    return batch, (greys[0].numpy().astype(np.uint8), low, step)


def _classes(batch: ProxyBatch, views: Sequence[int], label: int, count: int) -> GameQuestion:
    """A question whose options are the task's classes, with some of the views."""
    kept = list(views)
    placement = replace(batch.placement, matrix=batch.placement.matrix[:, kept])
    asked = torch.tensor([[label]])
    some = replace(batch, views=batch.views[:, kept], target=asked, placement=placement)
    return GameQuestion(*in_greys(some), 0, tuple(range(count)), label)


def _rotation(
    task: ProxyTask, batch: ProxyBatch, generator: torch.Generator
) -> GameQuestion | None:
    return _classes(batch, [0], int(batch.target[0, 0]), len(batch.answers))


def _location(
    task: ProxyTask, batch: ProxyBatch, generator: torch.Generator
) -> GameQuestion | None:
    if not all(_has_tissue(view.numpy()) for view in batch.views[0, :2]):
        return None
    return _classes(batch, [0, 1], int(batch.target[0, 0]), len(batch.answers))


def _jigsaw(task: ProxyTask, batch: ProxyBatch, generator: torch.Generator) -> GameQuestion | None:
    orders = batch.placement.orders
    assert orders is not None
    return _classes(batch, range(batch.views.shape[1]), int(batch.target[0, 0]), len(orders))


def _next_patch(
    task: ProxyTask, batch: ProxyBatch, generator: torch.Generator
) -> GameQuestion | None:
    rounded = batch, greys = in_greys(batch)
    assert batch.asked_from is not None
    is_option = [_has_tissue(each) for each in greys[0]]
    for item in torch.randperm(len(batch.target), generator=generator).tolist():
        start, right = int(batch.asked_from[item]), int(batch.target[item])
        seen = (start, *pyramid_above(batch, start))
        if len(seen) < CONTEXT or not is_option[right]:
            continue
        others = [n for n, fits in enumerate(is_option) if fits and n != right and n not in seen]
        if len(others) >= CHOICES - 1:
            return _chosen(rounded, item, right, others, generator)
    return None


def _hidden_block(
    task: ProxyTask, batch: ProxyBatch, generator: torch.Generator
) -> GameQuestion | None:
    rounded = in_greys(batch)
    target = rounded[0].target[0, 0]
    edge = task.settings.block_size
    cells = (~target[0, ::edge, ::edge, ::edge].isnan()).flatten().nonzero().flatten().tolist()
    voxels = len(target) * edge**3
    full = [n for n in cells if block_of(target, n, edge).numel() == voxels]  # not cut short
    values = {n: block_of(target, n, edge).numpy() for n in full}
    fitting = [n for n in full if _has_tissue(values[n])]
    if len(fitting) < CHOICES:
        return None
    right = fitting[int(torch.randint(len(fitting), (1,), generator=generator))]
    return _chosen(rounded, right, right, [n for n in fitting if n != right], generator)


def _chosen(
    rounded: Rounded, item: int, right: int, others: Sequence[int], generator: torch.Generator
) -> GameQuestion:
    """A question whose options are the right one and some others, in a random order."""
    some = torch.randperm(len(others), generator=generator)[: CHOICES - 1].tolist()
    options = [right, *(others[n] for n in some)]
    order = torch.randperm(CHOICES, generator=generator).tolist()
    shuffled = tuple(options[n] for n in order)
    return GameQuestion(*rounded, item, shuffled, shuffled.index(right))


_MAKERS: dict[str, Any] = {
    "rpl": _location,
    "rotation": _rotation,
    "masked": _hidden_block,
    "cpc": _next_patch,
    "jigsaw": _jigsaw,
}


def _has_tissue(patch: np.ndarray) -> bool:
    return float((patch > patch.min()).mean()) >= LEAST_TISSUE


def block_of(voxels: Tensor, number: int, edge: int) -> Tensor:
    """Block ``number`` of a box (channel, *space), blocks counted with the last axis fastest."""
    blocks = [-(-length // edge) for length in voxels.shape[1:]]
    place = np.unravel_index(number, blocks)
    return voxels[(slice(None), *(slice(p * edge, p * edge + edge) for p in place))]

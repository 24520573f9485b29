"""The batch of a step: which scans it has, and where its random numbers come from.

Both depend on (seed, step) alone, so a run can be continued at any step, and several processes that
share a batch come to the same one without asking each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.machine.collectives import local_slice
from ssl3d_lite.machine.device import to_device
from ssl3d_lite.tasks import ProxyBatch, ProxyTask, part_of
from ssl3d_lite.tasks.geometry import cut, random_corner

from .settings import FinetuneSettings, TrainSettings

BatchOf = Callable[[int, torch.device], tuple[Any, ...]]  # (step, device) → what a learner reads


def puzzle_batch(
    tasks: Sequence[ProxyTask],
    cohort: Cohort,
    cases: Sequence[int],
    settings: TrainSettings,
    step: int,
    device: torch.device,
) -> tuple[int, ProxyBatch]:
    """The number of the task whose turn it is, and its puzzles."""
    turn, chosen = step % len(tasks), cases_of_step(cases, settings, step)
    own = local_slice(len(chosen))
    volumes = to_device(cohort.images(chosen[own]), device)
    # every process draws for the whole batch, as one alone would; that reads no voxel
    whole = volumes[:1].expand(len(chosen), *volumes.shape[1:])
    params = tasks[turn].sample_params(whole, step_generator(settings.seed, step))
    batch = tasks[turn].make_views(volumes, part_of(params, own))
    # at the end of a round a scan may stand in a batch twice: its number says so
    return turn, replace(batch, ids=tuple(chosen[own]))


def labelled_batch(
    cohort: Cohort,
    cases: Sequence[int],
    settings: FinetuneSettings,
    step: int,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Images (batch, channel, *space) and labels: maps (batch, *space), or grades (batch).

    With ``settings.patch`` both are the same random box of each scan.
    """
    chosen = cases_of_step(cases, settings, step)
    count, own = len(chosen), local_slice(len(chosen))
    chosen = chosen[own]
    images, labels = (
        to_device(each, device) for each in (cohort.images(chosen), cohort.labels(chosen))
    )
    if settings.patch is None:
        return images, labels
    generator = step_generator(settings.seed, step)
    corner = random_corner(images.shape[2:], settings.patch, (count, 1), generator)[own]
    boxes = cut(images, corner, settings.patch), cut(labels[:, None], corner, settings.patch)
    return boxes[0][:, 0], boxes[1][:, 0, 0]


def step_generator(seed: int, step: int) -> torch.Generator:
    """The source of all of one step's random numbers."""
    state = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def cases_of_step(cases: Sequence[int], settings: TrainSettings, step: int) -> list[int]:
    """The scans of a step: the cases in a new order each round, without end, cut into batches."""
    count, places = len(cases), range(step * settings.batch, (step + 1) * settings.batch)
    orders = (_order(settings.seed, place // count, count) for place in places)
    return [int(cases[order[place % count]]) for order, place in zip(orders, places)]


@lru_cache(maxsize=8)  # a step costs the same, however many cases there are
def _order(seed: int, number: int, count: int) -> list[int]:
    """Places of ``count`` cases in the order of a round."""
    return np.random.default_rng([seed, number]).permutation(count).tolist()

"""Which scans a step sees, and where its random numbers come from: both from (seed, step) alone."""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch

from .settings import TrainSettings


def step_generator(seed: int, step: int) -> torch.Generator:
    """The source of all of one step's random draws."""
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

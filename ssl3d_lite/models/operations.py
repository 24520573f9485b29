"""Floating-point operations of a piece of work, and of a training step."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def operations(work: Callable[[], Any]) -> int:
    """Of all convolutions and matrix products in ``work``, which is run once; a multiplication and
    an addition are two."""
    counter = FlopCounterMode(display=False)
    with counter:
        work()
    return counter.get_total_flops()


def training_operations(network: nn.Module, *shape: int) -> int:
    """Floating-point operations of a training step on a batch (batch, channel, *space).

    Convolutions and linear layers are counted; the backward pass counts twice the forward pass.
    Nothing is computed, so it takes no memory, however large the network.
    """
    hollow, batch = deepcopy(network).to("meta"), torch.empty(shape, device="meta")
    return 3 * operations(lambda: hollow(batch))

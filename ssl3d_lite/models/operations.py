"""Number of floating-point operations that a function, or a training step, takes."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def operations(work: Callable[[], Any]) -> int:
    """Number of floating-point operations in ``work``, which is run once.

    Convolutions and matrix products are counted; a multiplication and an addition are two.
    """
    counter = FlopCounterMode(display=False)
    with counter:
        work()
    return counter.get_total_flops()


def training_operations(network: nn.Module, *shape: int) -> int:
    """Number of floating-point operations in a training step on a batch (batch, channel, *space).

    Convolutions and linear layers are counted; the backward pass counts twice the forward pass.
    Nothing is computed, so it takes no memory, however large the network.

    Example::

        training_operations(network, 2, 1, 64, 64, 64)  # two volumes of 64³ voxels
    """
    shapes_only = deepcopy(network).to("meta")
    batch = torch.empty(shape, device="meta")
    return 3 * operations(lambda: shapes_only(batch))

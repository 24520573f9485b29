"""A module's mode (training or evaluation) and device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Put modules into evaluation mode inside the ``with`` block; afterwards each is as it was.

    So is every part of theirs: an encoder that is frozen stays in evaluation mode in a network that
    trains on.
    """
    before = {part: part.training for module in modules for part in module.modules()}
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for part, training in before.items():
            part.training = training


def device_of(module: nn.Module) -> torch.device:
    """The device that the module's first parameter is on."""
    return next(module.parameters()).device

"""A module's mode (training or evaluation) and device."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """Put modules into evaluation mode inside the ``with`` block; afterwards each is as it was."""
    before = [module.training for module in modules]
    for module in modules:
        module.eval()
    try:
        yield
    finally:
        for module, training in zip(modules, before, strict=True):
            module.train(training)


def device_of(module: nn.Module) -> torch.device:
    """The device that the module's first parameter is on."""
    return next(module.parameters()).device

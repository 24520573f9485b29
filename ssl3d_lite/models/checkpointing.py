"""Activation checkpointing (Chen et al. 2016): features are kept for the backward pass, or computed
again in it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

# ---- features kept or computed again -----------------------------------------------------------


class CheckpointedModule(nn.Module):
    """A network of levels, each of which can be computed again on the way back.

    Then only what comes out of a level is kept in training (gradient checkpointing, Chen et al.
    2016): less memory, and the way there twice. The numbers are the same.
    """

    activation_checkpointing = False  # set by :func:`set_activation_checkpointing`; no part of the shape, as no weight depends

    def run(self, level: Callable[..., Tensor], norms: nn.Module, *inputs: Tensor) -> Tensor:
        """What ``level`` gives for ``inputs``; ``norms`` has all buffers that it changes."""
        if not (self.activation_checkpointing and self.training and torch.is_grad_enabled()):
            return level(*inputs)
        return checkpoint(
            level,
            *inputs,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), unchanged_buffers(norms)),
            preserve_rng_state=False,  # no level draws random numbers
        )


def can_checkpoint(module: nn.Module) -> bool:
    """Whether there is a network within whose levels can be computed again."""
    return any(isinstance(each, CheckpointedModule) for each in module.modules())


def set_activation_checkpointing(module: nn.Module, activation_checkpointing: bool) -> None:
    """Let all networks within keep their features for the way back, or compute them again."""
    for each in module.modules():
        if isinstance(each, CheckpointedModule):
            each.activation_checkpointing = activation_checkpointing


@contextmanager
def unchanged_buffers(module: nn.Module) -> Iterator[None]:
    """Let copies of the buffers change for a while: a batch computed again must not count twice
    in batch norm's statistics."""
    own = [(each, *named) for each in module.modules() for named in each.named_buffers("", False)]
    for each, name, buffer in own:
        setattr(each, name, buffer.clone())
    try:
        yield
    finally:
        for each, name, buffer in own:
            setattr(each, name, buffer)

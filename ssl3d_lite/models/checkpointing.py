"""Activation checkpointing: features are kept for the backward pass, or computed again in it.

Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost, arXiv:1604.06174.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


class CheckpointedModule(nn.Module):
    """A network of levels, each of which can be computed again in the backward pass.

    Then only the outputs of the levels are kept in training: less memory, for a second forward
    pass. The numbers are the same.
    """

    # set by set_activation_checkpointing; not in EncoderSettings, as no weight depends on it
    activation_checkpointing = False

    def run(self, level: Callable[..., Tensor], norms: nn.Module, *inputs: Tensor) -> Tensor:
        """Output of ``level`` for ``inputs``; ``norms`` holds the buffers that it changes."""
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
    """Whether ``module`` holds a network whose levels can be computed again."""
    return any(isinstance(each, CheckpointedModule) for each in module.modules())


def set_activation_checkpointing(module: nn.Module, activation_checkpointing: bool) -> None:
    """Switch activation checkpointing on or off in all networks that ``module`` holds."""
    for each in module.modules():
        if isinstance(each, CheckpointedModule):
            each.activation_checkpointing = activation_checkpointing


@contextmanager
def unchanged_buffers(module: nn.Module) -> Iterator[None]:
    """Let copies of the buffers change inside the ``with`` block, and put the originals back.

    A batch that is computed again must not count twice in batch norm's statistics.
    """
    own = [(each, *named) for each in module.modules() for named in each.named_buffers("", False)]
    for each, name, buffer in own:
        setattr(each, name, buffer.clone())
    try:
        yield
    finally:
        for each, name, buffer in own:
            setattr(each, name, buffer)

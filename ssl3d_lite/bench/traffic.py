"""Number of bytes that the layers of a network have to move.

It is the least that the work needs, so that a limit made from it is one: a layer's input is read
once and its output written once, norms and activations are taken to be done on the way (fused into
the convolution before them), and what lies in a cache is not read again.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

_COUNTED = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)


def layer_bytes(module: nn.Module, work: Callable[[], Any]) -> int:
    """Bytes of input, weights and output of every layer of ``module`` that ``work`` runs through.

    ``work`` is called once, without gradients. Convolutions and linear layers are counted.
    """
    moved = 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal moved
        moved += inputs[0].nbytes + output.nbytes + sum(w.nbytes for w in layer.parameters())

    hooks = [m.register_forward_hook(count) for m in module.modules() if isinstance(m, _COUNTED)]
    try:
        with torch.no_grad():
            work()
    finally:
        for hook in hooks:
            hook.remove()
    return moved

"""A network of the game as the browser gets it: settings, and weights in half precision.

``game_network.js`` computes with these very weights. So that its answers are those of torch, the
network of the game has them too: :func:`in_half_precision` rounds a copy.
"""

import copy
from dataclasses import asdict
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import ProxyTask

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def check_playable(task: ProxyTask, encoder: Encoder) -> None:
    """Raise InputError unless the browser can compute this network."""
    shape, settings = encoder.settings, task.settings
    if shape.spatial_dims != 3 or shape.in_channels != 1 or shape.network != "unet":
        raise InputError(
            f"the game has U-Nets of one channel in 3D, but this encoder is {shape.network} with "
            f"in_channels {shape.in_channels} and spatial_dims {shape.spatial_dims}"
        )
    if getattr(settings, "context", "conv") != "conv":
        raise InputError("the game has no GRU; make cpc with context conv")
    if getattr(settings, "decoder", "light") != "light":
        raise InputError("the game has no U-Net decoder; make masked with decoder light")


def in_half_precision(module: AnyModule) -> AnyModule:
    """A copy on the CPU whose weights are rounded to half precision, in evaluation mode."""
    rounded = copy.deepcopy(module).cpu().eval()
    with torch.no_grad():
        for values in (*rounded.parameters(), *rounded.buffers()):
            if values.is_floating_point():
                values.copy_(values.half().float())
    return rounded


def network_state(task: ProxyTask, encoder: Encoder) -> dict[str, Any]:
    """What ``readNetwork`` of game_network.js takes."""
    tensors = {f"encoder.{n}": t for n, t in encoder.state_dict().items()}
    tensors |= {f"task.{n}": t for n, t in task.state_dict().items()}
    floats = {name: t.detach() for name, t in tensors.items() if t.is_floating_point()}
    joined = [t.cpu().numpy().astype(np.float16).ravel() for t in floats.values()]
    return {
        "levels": len(encoder.settings.filters),
        "groups": [_groups(encoder.settings, width) for width in encoder.settings.filters],
        "stride": encoder.settings.stride,
        "tensors": [[name, list(t.shape)] for name, t in floats.items()],
        "weights": np.concatenate(joined).tobytes(),
        "settings": asdict(task.settings),
    }


def _groups(shape: EncoderSettings, width: int) -> int:
    """Groups of channels whose mean a norm takes out; 0 where it takes out none of the scan's."""
    return {"instance": width, "group": min(8, width)}.get(str(shape.norm), 0)

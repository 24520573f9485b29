"""Heads: what reads an encoder's features for a proxy task, and is thrown away afterwards."""

import torch.nn.functional as F
from torch import Tensor, nn

from ssl3d_lite.errors import InputError

from .blocks import CONV, INTERPOLATION, pad_to
from .settings import EncoderSettings


def head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Two linear layers with a ReLU in between: (batch, inputs) → (batch, outputs).

    The paper puts such a hidden layer between the encoder and a task's logits, and throws it away
    after pretraining.
    """
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def global_avg_pool(features: list[Tensor]) -> Tensor:
    """The mean over space of the deepest level: list of (batch, channel, *space) → (batch, width).

    Example::

        global_avg_pool(encoder(volumes))
    """
    return features[-1].flatten(2).mean(-1)


class LightDecoder(nn.Module):
    """Outputs for every voxel from the features of all levels, by as few weights as can be.

    A convolution of one voxel thins each level's features to ``channels`` channels; the results
    are added up from deep to fine. As no kernel is wider than a voxel, the decoder cannot look
    around: that is left to the encoder. Thrown away after pretraining.

    Takes the list of (batch, filters[l], *space/2^l), gives (batch, outputs, *space).

    Raises:
        InputError: the encoder's finest level does not have a feature for every voxel.
    """

    def __init__(self, encoder: EncoderSettings, channels: int, outputs: int):
        super().__init__()
        check_full_resolution(encoder, "a task with outputs for every voxel (masked, tissue)")
        conv = CONV[encoder.spatial_dims]
        self.thin = nn.ModuleList(conv(width, channels, 1) for width in encoder.filters)
        self.last = conv(channels, outputs, 1)
        self.mode = INTERPOLATION[encoder.spatial_dims]

    def forward(self, features: list[Tensor]) -> Tensor:
        *finer, y = (thin(level) for thin, level in zip(self.thin, features, strict=True))
        for level in reversed(finer):
            doubled = F.interpolate(y, scale_factor=2, mode=self.mode, align_corners=False)
            y = level + pad_to(doubled, level)
        return self.last(F.relu(y))


def check_full_resolution(settings: EncoderSettings, what: str) -> None:
    """Raise InputError unless the encoder's finest level has a feature for every voxel."""
    if settings.network != "unet":
        raise InputError(
            f"{what} needs features at full resolution, but those of {settings.network} begin at "
            "half of it; use network unet"
        )

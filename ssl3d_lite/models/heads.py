"""Heads: what reads an encoder's features for a proxy task, and is thrown away afterwards."""

import torch.nn.functional as F
from torch import Tensor, nn

from ssl3d_lite.errors import InputError

from .blocks import CONV, INTERPOLATION, pad_to, scale_to
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

    Takes the encoder's levels, finest first, and the scan, of which only the size is read; gives
    (batch, outputs, *space).

    Raises:
        InputError: the encoder is none of a U-Net.
    """

    def __init__(self, encoder: EncoderSettings, channels: int, outputs: int):
        super().__init__()
        check_unet(encoder, "a task with outputs for every voxel (masked, tissue)")
        conv = CONV[encoder.spatial_dims]
        self.thin = nn.ModuleList(conv(width, channels, 1) for width in encoder.filters)
        self.last = conv(channels, outputs, 1)

    def forward(self, features: list[Tensor], scan: Tensor) -> Tensor:
        *finer, y = (thin(level) for thin, level in zip(self.thin, features, strict=True))
        for level in reversed(finer):
            y = level + _doubled(y, level)
        return self.last(F.relu(scale_to(y, scan.shape[2:])))


def _doubled(small: Tensor, level: Tensor) -> Tensor:
    """``small`` on the grid of ``level``, whose voxels are as large or half as large."""
    if small.shape == level.shape:
        return small
    mode = INTERPOLATION[small.ndim - 2]
    doubled = F.interpolate(small, scale_factor=2, mode=mode, align_corners=False)
    return pad_to(doubled, level.shape[2:])


def check_unet(settings: EncoderSettings, what: str) -> None:
    """Raise InputError unless the encoder is that of a U-Net."""
    if settings.network != "unet":
        raise InputError(
            f"{what} reads the levels of a U-Net, which {settings.network} has not; use network "
            "unet"
        )

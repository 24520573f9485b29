"""Heads: what reads an encoder's features for a proxy task, and is thrown away afterwards."""

import torch.nn.functional as F
from torch import Tensor, nn

from ssl3d_lite.errors import InputError

from .blocks import CONV, INTERPOLATION, pad_to
from .settings import EncoderSettings

# ---- heads -------------------------------------------------------------------------------------


def head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """The paper's hidden ReLU layer between encoder and answer, thrown away after pretraining."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def global_avg_pool(features: list[Tensor]) -> Tensor:
    """The deepest level averaged over space: (batch, width)."""
    return features[-1].flatten(2).mean(-1)


class LightDecoder(nn.Module):
    """An answer for every voxel, with as little as can be beyond the encoder, thrown away later.

    Each level's features are thinned to ``code`` channels and added up from deep to fine. No
    kernel is wider than a voxel: what lies round about, the encoder has to know.
    (batch, filters[l], *space/2^l) → (batch, outputs, *space).
    """

    def __init__(self, encoder: EncoderSettings, code: int, outputs: int):
        super().__init__()
        check_full_resolution(encoder, "a task that answers for every voxel (masked, tissue)")
        conv = CONV[encoder.spatial_dims]
        self.thin = nn.ModuleList(conv(width, code, 1) for width in encoder.filters)
        self.last = conv(code, outputs, 1)
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

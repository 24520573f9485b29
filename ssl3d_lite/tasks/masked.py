"""Masked reconstruction: what do the hidden blocks look like?

Not in the paper, but what the field did next (He et al. 2022, masked autoencoders). Most of the
scan is hidden, block by block, and has to be rebuilt from the rest, by a decoder so light that
the encoder must do the work.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.heads import LightDecoder
from ssl3d_lite.models.settings import EncoderSettings

from .base import Placement, ProxyBatch, ProxyTask, ViewParams
from .geometry import box_size, cut, random_box, shift_matrix


@dataclass(frozen=True)
class MaskedSettings:
    crop_size: int = 64
    """Edge of the box taken from a scan, voxels; less along an axis that is shorter."""
    block_size: int = 8
    """Edge of the blocks that are hidden, voxels."""
    mask_ratio: float = 0.6
    """Share of the blocks that is hidden."""
    decoder_channels: int = 16
    """Channels of the decoder."""

    def __post_init__(self):
        if not 0 < self.mask_ratio < 1:
            raise InputError(f"share is {self.mask_ratio}, but must lie between 0 and 1")
        if self.block_size < 1:
            raise InputError(f"block_size is {self.block_size}, but must be 1 or more")


class Masked(ProxyTask):
    """Rebuild the hidden blocks of a scan from those that are seen.

    Hidden voxels are shown as 0: the mean of a scan that was normalised by z-score.
    """

    name = "masked"
    Settings = MaskedSettings

    def __init__(self, settings: MaskedSettings, encoder: EncoderSettings):
        super().__init__(settings, encoder)
        self.decoder = LightDecoder(encoder, settings.decoder_channels, encoder.in_channels)

    def sample_params(self, volumes: Tensor, generator: torch.Generator) -> ViewParams:
        s, scans = self.settings, len(volumes)
        size, corner = random_box(volumes.shape[2:], s.crop_size, scans, generator)
        blocks = [-(-edge // s.block_size) for edge in size]  # the last of an axis may be cut short
        order = torch.rand(scans, *blocks, generator=generator).flatten(1).argsort(1)
        count = round(s.mask_ratio * order.shape[1])  # in every scan the same number
        if not 0 < count < order.shape[1]:
            raise InputError(
                f"a box of {size} voxels has {order.shape[1]} blocks of edge {s.block_size}: too "
                f"few to hide a share of {s.mask_ratio}; use a smaller block_size"
            )
        hidden = order.argsort(1) < count
        return {"corner": corner, "hidden": hidden.view(scans, *blocks)}

    def make_views(self, volumes: Tensor, params: ViewParams) -> ProxyBatch:
        s, hidden = self.settings, params["hidden"].to(volumes.device)
        size = box_size(volumes.shape[2:], s.crop_size)
        box = cut(volumes, params["corner"], size)  # (scan, 1, channel, *size)
        for axis, edge in enumerate(size, start=1):
            hidden = hidden.repeat_interleave(s.block_size, axis).narrow(axis, 0, edge)
        hidden = hidden[:, None, None]
        target = box.masked_fill(~hidden, torch.nan)  # only hidden voxels have to be found
        views = box.masked_fill(hidden, 0)
        return ProxyBatch(views, target, Placement(shift_matrix(params["corner"])))

    def forward(self, encoder: nn.Module, batch: ProxyBatch) -> Tensor:
        """The scan rebuilt: (scan, 1, channel, *space)."""
        return self.decoder(encoder(batch.views[:, 0])).unsqueeze(1)

    def loss(self, prediction: Tensor, batch: ProxyBatch) -> Tensor:
        """Mean squared error of the hidden voxels."""
        asked = (~batch.target.isnan()).sum()
        mean = self.whole(asked[None]).float().mean()  # blocks cut short make them unequally many
        return mean_square(prediction, batch.target) * (asked / mean)

    def score(self, prediction: Tensor, batch: ProxyBatch) -> dict[str, Tensor | float]:
        """Share of the hidden voxels' variance that the answer explains; their mean explains 0."""
        residual = mean_square(prediction.detach(), batch.target)
        variance = mean_square(batch.target.nanmean(), batch.target)
        return {"r2": 1 - residual / variance.clamp(min=1e-6), "chance": 0.0}


def mean_square(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error where there is a target, that is where it is a number."""
    asked = ~target.isnan()
    return (prediction - target).where(asked, 0).square().sum() / asked.sum()

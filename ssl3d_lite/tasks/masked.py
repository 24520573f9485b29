"""Masked reconstruction: what do the hidden blocks look like?

Not in the paper, but what the field did next (He et al. 2022, masked autoencoders, section 3). A
share of the scan's blocks M, the mask, is hidden (set to 0), and has to be rebuilt from the rest by
a decoder so light that the encoder must do the work:

    loss = (1/|M|) Σ_{v ∈ M} (x̂_v - x_v)²,  over hidden voxels v alone

and r2 = 1 - loss / variance of the hidden voxels: 1 is perfect, 0 what their mean would give.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.device import to_device
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.models.unet import DecoderKind, make_dense_head
from ssl3d_lite.settings import CheckedSettings, OpenFraction, PositiveInt

from .base import Placement, ProxyBatch, ProxyTask, ViewParams
from .geometry import box_size, cut, random_box, shift_matrix


@dataclass(frozen=True)
class MaskedSettings(CheckedSettings):
    crop_size: PositiveInt = 64
    """Edge of the box taken from a scan, voxels; less along an axis that is shorter."""
    block_size: PositiveInt = 8
    """Edge of the blocks that are hidden, voxels."""
    mask_ratio: OpenFraction = 0.6
    """Share of the blocks that is hidden."""
    decoder_channels: PositiveInt = 16
    """Channels of a light decoder."""
    decoder: DecoderKind = "light"
    """"light": so few weights that the encoder must do the work; "unet": the U-Net's own decoder,
    which fine-tuning can then take over with the encoder."""


class Masked(ProxyTask):
    """Rebuild the hidden blocks of a scan from those that are seen.

    Hidden voxels are shown as 0: the mean of a scan that was normalised by z-score.

    Example::

        >>> import torch
        >>> from ssl3d_lite.models.encoders import UNetEncoder
        >>> from ssl3d_lite.models.settings import EncoderSettings
        >>> from ssl3d_lite.tasks import make_task
        >>> encoder = UNetEncoder(EncoderSettings(filters=(4, 8)))
        >>> task = make_task("masked", encoder, crop_size=16, block_size=4)
        >>> volumes = torch.rand(2, 1, 16, 20, 16)
        >>> params = task.sample_params(volumes, torch.Generator().manual_seed(0))
        >>> batch = task.make_views(volumes, params)
        >>> params["hidden"].sum().item() / params["hidden"].numel()  # 38 of 64 blocks
        0.59375
        >>> task(encoder, batch).shape
        torch.Size([2, 1, 1, 16, 16, 16])
    """

    name = "masked"
    question = "What do the hidden blocks look like?"
    Settings = MaskedSettings
    settings: MaskedSettings

    def __init__(self, settings: MaskedSettings, encoder: EncoderSettings):
        super().__init__(settings, encoder)
        self.decoder = make_dense_head(
            settings.decoder, encoder, settings.decoder_channels, encoder.in_channels
        )

    def sample_params(self, volumes: Tensor, generator: torch.Generator) -> ViewParams:
        s, scans = self.settings, len(volumes)
        size, corner = random_box(self.space_of(volumes), s.crop_size, scans, generator)
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
        s, hidden = self.settings, to_device(params["hidden"], volumes.device)
        size = box_size(self.space_of(volumes), s.crop_size)
        box = cut(volumes, params["corner"], size)  # (scan, 1, channel, *size)
        for axis, edge in enumerate(size, start=1):
            hidden = hidden.repeat_interleave(s.block_size, axis).narrow(axis, 0, edge)
        hidden = hidden[:, None, None]
        target = box.masked_fill(~hidden, torch.nan)  # only hidden voxels have to be found
        views = box.masked_fill(hidden, 0)
        return self.batch_of(views, target, Placement(shift_matrix(params["corner"])))

    def forward(self, encoder: nn.Module, batch: ProxyBatch) -> Tensor:
        """The scan rebuilt: (scan, 1, channel, *space)."""
        scan = batch.views[:, 0]
        return self.decoder(encoder(scan), scan).unsqueeze(1)

    def loss(self, prediction: Tensor, batch: ProxyBatch) -> Tensor:
        """Mean squared error of the hidden voxels."""
        hidden = (~batch.target.isnan()).sum()
        # Blocks cut short make the number of hidden voxels differ between processes; this factor
        # makes the mean of their losses the mean over all hidden voxels.
        mean = self.whole(hidden[None]).float().mean()
        return mean_square(prediction, batch.target) * (hidden / mean)

    def score(self, prediction: Tensor, batch: ProxyBatch) -> dict[str, Tensor | float]:
        """r2: the share of the hidden voxels' variance that is explained. Their mean explains 0."""
        residual = mean_square(prediction.detach(), batch.target)
        variance = mean_square(batch.target.nanmean(), batch.target)
        return {"r2": 1 - residual / variance.clamp(min=1e-6), "chance": 0.0}


def mean_square(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean squared error where there is a target, that is where it is a number."""
    asked = ~target.isnan()
    return (prediction - target).where(asked, 0).square().sum() / asked.sum()

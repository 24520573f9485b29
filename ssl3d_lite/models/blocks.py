"""Building blocks of networks: convolutions in 2D and 3D, norms, a block of two convolutions."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .settings import EncoderSettings, NormKind

CONV = {2: nn.Conv2d, 3: nn.Conv3d}
UP_CONV = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MAX_POOL = {2: F.max_pool2d, 3: F.max_pool3d}
INTERPOLATION = {2: "bilinear", 3: "trilinear"}


def make_norm(kind: NormKind, channels: int, dims: int) -> nn.Module:
    """A normalisation layer for ``channels`` channels in 2 or 3 dimensions; "none" is one that does
    nothing."""
    if kind == "none":
        return nn.Identity()
    if kind == "batch":
        return {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dims](channels)
    if kind == "group":
        return nn.GroupNorm(min(8, channels), channels)
    return {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[dims](channels, affine=True)


class ConvBlock(nn.Module):
    """Two convolutions of edge 3, each with norm and LeakyReLU; "residual" adds a shortcut.

    (batch, inputs, *space) → (batch, outputs, *space / stride).
    """

    def __init__(self, inputs: int, outputs: int, settings: EncoderSettings, stride: int = 1):
        super().__init__()
        dims = settings.spatial_dims
        assert settings.norm is not None  # it is filled in
        self.conv1 = CONV[dims](inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = make_norm(settings.norm, outputs, dims)
        self.conv2 = CONV[dims](outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = make_norm(settings.norm, outputs, dims)
        self.shortcut = None
        if settings.block == "residual":
            # a shortcut of one voxel would leave out most of those that it strides over
            edge = 1 if stride == 1 else 3
            self.shortcut = CONV[dims](inputs, outputs, edge, stride, edge // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.norm1(self.conv1(x)), 0.01, inplace=True)
        y = self.norm2(self.conv2(y))
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        return F.leaky_relu(y, 0.01, inplace=True)


def pad_to(small: Tensor, space: Sequence[int]) -> Tensor:
    """Pad ``small``, (batch, channel, *space), to a grid that is a voxel larger at most.

    Pooling drops the last voxel of an odd edge; there its neighbour's value is repeated.
    """
    short = [b - a for a, b in zip(small.shape[2:], space, strict=True)]
    if not any(short):
        return small
    return F.pad(small, [n for missing in reversed(short) for n in (0, missing)], mode="replicate")


def scale_to(small: Tensor, space: Sequence[int]) -> Tensor:
    """``small`` (batch, channel, *space) on a grid of this space, interpolated linearly; if that is
    a voxel larger at most, padded."""
    if all(b - a in (0, 1) for a, b in zip(small.shape[2:], space, strict=True)):
        return pad_to(small, space)
    mode = INTERPOLATION[small.ndim - 2]
    return F.interpolate(small, size=tuple(space), mode=mode, align_corners=False)


def channels_last(module: nn.Module) -> torch.memory_format:
    """The memory format in which convolutions of the module's dimensions run fastest."""
    deepest = max(parameter.ndim for parameter in module.parameters())
    return torch.channels_last_3d if deepest == 5 else torch.channels_last

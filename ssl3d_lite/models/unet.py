"""The U-Net: an encoder, and a decoder that gives logits for every voxel.

Taleb et al. 2020, section 4 and appendix: a 3D U-Net (Çiçek et al. 2016) whose encoder is
pretrained and whose decoder starts at random. A task with outputs for every voxel can train the
decoder too, so that all but the last layer is transferred.
"""

from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from ssl3d_lite.data.provenance import Provenance

from .blocks import CONV, UP_CONV, ConvBlock, scale_to
from .checkpointing import CheckpointedModule
from .encoders import Encoder, load_weights
from .heads import LightDecoder, check_unet
from .settings import EncoderSettings

REFINING = 8  # channels of the two convolutions that read the scan itself


class UNetDecoder(CheckpointedModule):
    """The expanding half of a U-Net, with the encoder's levels as skips.

    Takes the encoder's levels, finest first, gives (batch, filters[0], *space of the finest).

    Raises:
        InputError: the encoder is none of a U-Net.
    """

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        check_unet(settings, "a U-Net")
        dims, filters = settings.spatial_dims, settings.filters
        steps = list(zip(filters[:0:-1], filters[-2::-1], strict=True))  # deep → shallow
        # Transposed convolutions, as Çiçek et al. have them. At half the resolution the voxels of
        # a transposed convolution start as so many different ones that most of a short training
        # goes into making them one: there, a convolution of one voxel, and interpolation.
        up_conv = partial(UP_CONV[dims], kernel_size=2, stride=2)
        thin = partial(CONV[dims], kernel_size=1)
        make_up = up_conv if settings.stride == 1 else thin
        self.ups = nn.ModuleList(make_up(deep, up) for deep, up in steps)
        self.blocks = nn.ModuleList(ConvBlock(2 * up, up, settings) for _, up in steps)

    def forward(self, features: list[Tensor]) -> Tensor:
        *skips, y = features
        for depth, skip in enumerate(reversed(skips)):
            y = self.run(partial(self.level, depth), self.blocks[depth], y, skip)
        return y

    def level(self, depth: int, y: Tensor, skip: Tensor) -> Tensor:
        """The features of a level, from those of the deeper one and the encoder's."""
        y = scale_to(self.ups[depth](y), skip.shape[2:])
        return self.blocks[depth](torch.cat([y, skip], 1))


class VoxelOutput(nn.Module):
    """Outputs for every voxel, from the decoder's features (batch, filters[0], *space / stride) and
    the scan (batch, channel, *space): (batch, outputs, *space).

    At stride 1 a convolution of one voxel. At stride 2 that is interpolated, and two convolutions
    add what the scan itself shows between the features' voxels; at the start they add nothing.
    """

    def __init__(self, settings: EncoderSettings, outputs: int):
        super().__init__()
        conv, width = CONV[settings.spatial_dims], settings.filters[0]
        self.conv = conv(width, outputs, 1)
        self.refine = None
        if settings.stride == 2:
            look = conv(outputs + settings.in_channels, REFINING, 3, padding=1)
            add = conv(REFINING, outputs, 1)
            assert add.bias is not None  # as a convolution has one by default
            nn.init.zeros_(add.weight)
            nn.init.zeros_(add.bias)
            self.refine = nn.Sequential(look, nn.LeakyReLU(0.01, inplace=True), add)

    def forward(self, y: Tensor, scan: Tensor) -> Tensor:
        y = self.conv(y)
        if self.refine is None:
            return y
        y = scale_to(y, scan.shape[2:])
        return y + self.refine(torch.cat([y, scan], 1))


class UNet(nn.Module):
    """An encoder, a decoder, and outputs for each voxel: logits.

    Takes (batch, channel, *space) of any size at least 2^(levels-1), gives (batch, class, *space).
    """

    provenance: Provenance | None = None  # what it was trained on; None: it is as it was drawn

    def __init__(self, encoder: Encoder, classes: int):
        super().__init__()
        settings = encoder.settings
        self.encoder, self.classes = encoder, classes
        self.decoder = UNetDecoder(settings)
        self.last = VoxelOutput(settings, classes)

    @property
    def head_settings(self) -> dict[str, int]:
        """What is needed besides the encoder to build the network again, as a record holds it."""
        return {"classes": self.classes}

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.decoder(self.encoder(x)), x)


def make_unet(
    encoder: Encoder, classes: int, seed: int = 0, decoder: UNetDecoder | None = None
) -> UNet:
    """A U-Net whose other weights depend on ``seed`` alone, so that paired runs start alike.

    Args:
        decoder: one that was trained with the encoder; its weights are copied.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = UNet(encoder, classes)
    if decoder is not None:
        load_weights(network.decoder, decoder.state_dict())
    return network


# ---- decoders of proxy tasks ---------------------------------------------------------------------

DecoderKind = Literal["light", "unet"]


def make_dense_head(
    kind: DecoderKind, encoder: EncoderSettings, channels: int, outputs: int
) -> "LightDecoder | DenseHead":
    """A head with ``outputs`` for every voxel, for a proxy task.

    It takes the list of features and the scan, and gives (batch, outputs, *space).

    Args:
        kind: "light" has as few weights as can be, ``channels`` wide, so that the encoder must do
            the work; "unet" is the decoder of a U-Net, which can be fine-tuned with the encoder.
    """
    if kind == "light":
        return LightDecoder(encoder, channels, outputs)
    return DenseHead(encoder, outputs)


class DenseHead(nn.Module):
    """A U-Net without its encoder, as the head of a proxy task."""

    def __init__(self, encoder: EncoderSettings, outputs: int):
        super().__init__()
        self.decoder, self.last = UNetDecoder(encoder), VoxelOutput(encoder, outputs)

    def forward(self, features: list[Tensor], scan: Tensor) -> Tensor:
        return self.last(self.decoder(features), scan)


def find_unet_decoder(module: nn.Module) -> UNetDecoder | None:
    """The U-Net's decoder that a task, or a list of tasks, trains with the encoder, if any."""
    return next((each for each in module.modules() if isinstance(each, UNetDecoder)), None)

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

from .blocks import CONV, UP_CONV, ConvBlock, pad_to
from .checkpointing import CheckpointedModule
from .encoders import Encoder, load_weights
from .heads import LightDecoder, check_full_resolution
from .settings import EncoderSettings


class UNetDecoder(CheckpointedModule):
    """The expanding half of a U-Net: transposed convolutions, with the encoder's levels as skips.

    Takes the list of (batch, filters[l], *space/2^l), gives (batch, filters[0], *space).

    Raises:
        InputError: the encoder is a DenseNet, whose features begin at half the resolution.
    """

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        check_full_resolution(settings, "a U-Net")
        dims, filters = settings.spatial_dims, settings.filters
        steps = list(zip(filters[:0:-1], filters[-2::-1], strict=True))  # deep → shallow
        self.ups = nn.ModuleList(UP_CONV[dims](deep, up, 2, stride=2) for deep, up in steps)
        self.blocks = nn.ModuleList(ConvBlock(2 * up, up, settings) for _, up in steps)

    def forward(self, features: list[Tensor]) -> Tensor:
        *skips, y = features
        for depth, skip in enumerate(reversed(skips)):
            y = self.run(partial(self.level, depth), self.blocks[depth], y, skip)
        return y

    def level(self, depth: int, y: Tensor, skip: Tensor) -> Tensor:
        """The features of a level, from those of the deeper one and the encoder's."""
        y = pad_to(self.ups[depth](y), skip)
        return self.blocks[depth](torch.cat([y, skip], 1))


class UNet(nn.Module):
    """An encoder, a decoder, and a last convolution of one voxel: logits for each voxel.

    Takes (batch, channel, *space) of any size at least 2^(levels-1), gives (batch, class, *space).
    """

    provenance: Provenance | None = None  # what it was trained on; None: it is as it was drawn

    def __init__(self, encoder: Encoder, classes: int):
        super().__init__()
        settings = encoder.settings
        self.encoder, self.classes = encoder, classes
        self.decoder = UNetDecoder(settings)
        self.last = CONV[settings.spatial_dims](settings.filters[0], classes, 1)

    @property
    def head_settings(self) -> dict[str, int]:
        """What is needed besides the encoder to build the network again, as a record holds it."""
        return {"classes": self.classes}

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.decoder(self.encoder(x)))


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
) -> nn.Module:
    """A head with ``outputs`` for every voxel, for a proxy task: list of features → (batch,
    outputs, *space).

    Args:
        kind: "light" has as few weights as can be, ``channels`` wide, so that the encoder must do
            the work; "unet" is the decoder of a U-Net, which can be fine-tuned with the encoder.
    """
    if kind == "light":
        return LightDecoder(encoder, channels, outputs)
    last = CONV[encoder.spatial_dims](encoder.filters[0], outputs, 1)
    return nn.Sequential(UNetDecoder(encoder), last)


def find_unet_decoder(module: nn.Module) -> UNetDecoder | None:
    """The U-Net's decoder that a task, or a list of tasks, trains with the encoder, if any."""
    return next((each for each in module.modules() if isinstance(each, UNetDecoder)), None)

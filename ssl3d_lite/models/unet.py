"""The U-Net: an encoder, and a decoder that gives logits for every voxel.

Taleb et al. 2020, section 4 and appendix: a 3D U-Net (Çiçek et al. 2016) whose encoder is
pretrained and whose decoder starts at random.
"""

from functools import partial

import torch
from torch import Tensor, nn

from ssl3d_lite.data.provenance import Provenance

from .blocks import CONV, UP_CONV, ConvBlock, pad_to
from .checkpointing import CheckpointedModule
from .encoders import Encoder
from .heads import check_full_resolution


class UNet(CheckpointedModule):
    """An encoder, and a decoder of transposed convolutions with skips: logits for each voxel.

    Takes (batch, channel, *space) of any size at least 2^(levels-1), gives (batch, class, *space).

    Raises:
        InputError: the encoder is a DenseNet, whose features begin at half the resolution.
    """

    provenance: Provenance | None = None  # what it was trained on; None: it is as it was drawn

    def __init__(self, encoder: Encoder, classes: int):
        super().__init__()
        check_full_resolution(encoder.settings, "a U-Net")
        self.encoder, self.classes = encoder, classes
        settings = encoder.settings
        dims, filters = settings.spatial_dims, settings.filters
        steps = list(zip(filters[:0:-1], filters[-2::-1], strict=True))  # deep → shallow
        self.ups = nn.ModuleList(UP_CONV[dims](deep, up, 2, stride=2) for deep, up in steps)
        self.blocks = nn.ModuleList(ConvBlock(2 * up, up, settings) for _, up in steps)
        self.last = CONV[dims](filters[0], classes, 1)

    @property
    def head_settings(self) -> dict[str, int]:
        """What is needed besides the encoder to build the network again, as a record holds it."""
        return {"classes": self.classes}

    def forward(self, x: Tensor) -> Tensor:
        *skips, y = self.encoder(x)
        for depth, skip in enumerate(reversed(skips)):
            y = self.run(partial(self.level, depth), self.blocks[depth], y, skip)
        return self.last(y)

    def level(self, depth: int, y: Tensor, skip: Tensor) -> Tensor:
        """The decoder's features of a level, from those of the deeper one and the encoder's."""
        y = pad_to(self.ups[depth](y), skip)
        return self.blocks[depth](torch.cat([y, skip], 1))


def make_unet(encoder: Encoder, classes: int, seed: int = 0) -> UNet:
    """A U-Net whose decoder depends on ``seed`` alone, so that paired runs start alike."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(encoder, classes)

"""The shape of an encoder, as settings."""

from dataclasses import dataclass
from typing import Literal

from ssl3d_lite.errors import InputError
from ssl3d_lite.settings import CheckedSettings, PositiveInt

NormKind = Literal["batch", "group", "instance", "none"]
BlockKind = Literal["plain", "residual"]
NetworkKind = Literal["unet", "densenet121"]

DEFAULT_FILTERS = {"unet": (16, 32, 64, 128), "densenet121": (64, 256, 512, 1024, 1024)}


@dataclass(frozen=True)
class EncoderSettings(CheckedSettings):
    """The shape of an encoder: all that is needed, with its weights, to build it again.

    Example::

        EncoderSettings(in_channels=4, filters=(32, 64, 128, 256, 512), block="residual")
    """

    in_channels: PositiveInt = 1
    spatial_dims: Literal[2, 3] = 3
    filters: tuple[PositiveInt, ...] = ()
    """Number of channels in each level. A U-Net has (16, 32, 64, 128) if none are given; the
    paper's has (32, 64, 128, 256, 512). DenseNet-121 has (64, 256, 512, 1024, 1024), no others."""
    block: BlockKind = "plain"
    """"plain": two convolutions a level; "residual": the same with a shortcut, as in the paper.
    Only a U-Net has a choice."""
    norm: NormKind = "batch"
    """What each layer's features are normalised over: batch, groups of channels, or one scan; or
    "none", for random encoders. Only a U-Net can do without."""
    network: NetworkKind = "unet"
    """The paper has "unet" in 3D and "densenet121" for photographs."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.filters:
            object.__setattr__(self, "filters", DEFAULT_FILTERS[self.network])
        fixed = (DEFAULT_FILTERS["densenet121"], "plain")
        if self.network == "densenet121" and (self.filters, self.block) != fixed:
            raise InputError(
                f"densenet121 has levels of {fixed[0]} filters in blocks of its own, but filters "
                f"{self.filters} and block {self.block!r} are asked for; leave these two out"
            )
        if self.network == "densenet121" and self.norm == "none":
            raise InputError("densenet121 needs a norm: batch, group or instance")

    @property
    def width(self) -> int:
        """Number of channels in the deepest level, which the heads read."""
        return self.filters[-1]

    @property
    def min_edge(self) -> int:
        """The shortest edge, in voxels, that the network can halve from level to level."""
        # a DenseNet halves once before its first level
        return 2 ** (len(self.filters) - (self.network == "unet"))

"""The shape of an encoder, as settings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ssl3d_lite.errors import InputError
from ssl3d_lite.settings import CheckedSettings, PositiveInt

NormKind = Literal["batch", "group", "instance", "none"]
BlockKind = Literal["plain", "residual"]
NetworkKind = Literal["unet", "densenet121"]

DEFAULT_FILTERS = {"unet": (16, 32, 64), "densenet121": (64, 256, 512, 1024, 1024)}
DEFAULT_BLOCK: dict[str, BlockKind] = {"unet": "residual", "densenet121": "plain"}


@dataclass(frozen=True)
class EncoderSettings(CheckedSettings):
    """The shape of an encoder: all that is needed, with its weights, to build it again.

    Example::

        EncoderSettings(in_channels=4, filters=(32, 64, 128, 256, 512), block="residual")
    """

    in_channels: PositiveInt = 1
    spatial_dims: Literal[2, 3] = 3
    filters: tuple[PositiveInt, ...] = ()
    """Number of channels in each level. A U-Net has (16, 32, 64) if none are given; the paper's
    has (32, 64, 128, 256, 512). DenseNet-121 has (64, 256, 512, 1024, 1024), no others."""
    block: BlockKind | None = None
    """"plain": two convolutions a level; "residual": the same with a shortcut, as in the paper.
    Default: residual; a DenseNet has blocks of its own, without a choice ("plain")."""
    norm: NormKind | None = None
    """What each layer's features are normalised over: batch, groups of channels, or one scan
    ("instance"); or "none", for random encoders, which only a U-Net can do without. Default:
    instance in 3D, where a step has few scans; batch in 2D, where grades are read off the mean of
    each feature, which instance norm levels out."""
    network: NetworkKind = "unet"
    """The paper has "unet" in 3D and "densenet121" for photographs."""
    stride: Literal[1, 2] = 2
    """Edge, in voxels, of what a feature of the finest level stands for. The paper's U-Net has 1;
    with 2 a step costs a quarter, and the last convolution reads the scan itself once more. The
    deepest level is as deep with either."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.filters:
            object.__setattr__(self, "filters", DEFAULT_FILTERS[self.network])
        if self.block is None:
            object.__setattr__(self, "block", DEFAULT_BLOCK[self.network])
        if self.norm is None:
            of_one_scan = self.spatial_dims == 3 and self.network == "unet"
            object.__setattr__(self, "norm", "instance" if of_one_scan else "batch")
        if self.network == "densenet121":
            self._check_densenet()
        if self.stride == 2 and len(self.filters) < 2:
            raise InputError(
                f"filters {self.filters} are one level, which stride 2 halves with none below it; "
                "take two levels or more, or stride 1"
            )

    def _check_densenet(self) -> None:
        """Raise InputError if a DenseNet is asked for what only a U-Net can have."""
        own = {"filters": DEFAULT_FILTERS["densenet121"], "block": "plain", "stride": 2}
        asked = [
            f"{n} {getattr(self, n)!r}" for n, value in own.items() if getattr(self, n) != value
        ]
        if asked:
            raise InputError(
                f"densenet121 has levels of {own['filters']} filters, blocks of its own and "
                f"stride 2, none of which can be chosen; leave out {' and '.join(asked)}"
            )
        if self.norm == "none":
            raise InputError("densenet121 needs a norm: batch, group or instance")

    @property
    def width(self) -> int:
        """Number of channels in the deepest level, which the heads read."""
        return self.filters[-1]

    @property
    def min_edge(self) -> int:
        """The shortest edge, in voxels, that the network can halve from level to level."""
        return 2**self.halvings

    @property
    def halvings(self) -> int:
        """How often an edge is halved on the way to the deepest level."""
        # a DenseNet halves once before its first level
        return len(self.filters) - (self.network == "unet")

    def lack(self, space: Sequence[int]) -> str:
        """What an input of this space lacks to be read; "" if nothing."""
        if min(space) < self.min_edge:
            return f"edges of at least {self.min_edge} voxels"
        strided = 2 if self.network == "densenet121" else self.stride - 1
        # a convolution that halves rounds up, pooling down
        deepest = [-(-edge // 2**strided) // 2 ** (self.halvings - strided) for edge in space]
        if self.norm == "instance" and max(deepest) == 1:
            return "more than one voxel in the deepest level, or instance norm leaves nothing"
        return ""

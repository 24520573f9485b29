"""Encoders of MONAI's networks, by the network's name and a file of its weights."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from ssl3d_lite.errors import InputError, unknown

from .foreign import ForeignEncoder, foreign_encoder
from .weight_files import load_foreign_weights


class MonaiEncoder(nn.Module):
    """The part of one of MONAI's networks that gives features; ``network`` has its weights."""

    network: nn.Module
    place = ""  # where it lies in the whole network
    whole: tuple[str, ...]  # keys of the whole network's weights, a decoder's too


class SegResNetEncoder(MonaiEncoder):
    """The contracting half of a SegResNet (Myronenko 2018, arXiv:1810.11654): a map a level."""

    def __init__(self, **shape: Any):
        from monai.networks.nets import SegResNet  # takes seconds

        super().__init__()
        self.network = SegResNet(**shape)
        self.whole = tuple(self.network.state_dict())
        for part in ("up_layers", "up_samples", "conv_final"):
            delattr(self.network, part)

    def forward(self, x: Tensor) -> list[Tensor]:
        return cast(Any, self.network).encode(x)[1]


class SwinUNETREncoder(MonaiEncoder):
    """The transformer of a Swin UNETR (Tang et al. 2022, arXiv:2111.14791): five maps, of cells of
    2 to 32 voxels."""

    place = "swinViT."

    def __init__(self, **shape: Any):
        from monai.networks.nets import SwinUNETR

        super().__init__()
        network = SwinUNETR(**{"out_channels": 1, **shape})
        self.network, self.whole = network.swinViT, tuple(network.state_dict())

    def forward(self, x: Tensor) -> list[Tensor]:
        return self.network(x, True)


class UNetLevels(MonaiEncoder):
    """The contracting half of MONAI's UNet: a map a level."""

    def __init__(self, **shape: Any):
        from monai.networks.layers import SkipConnection
        from monai.networks.nets import UNet

        super().__init__()
        self.network = UNet(**{"out_channels": 1, **shape})
        self.whole, self.halvings = tuple(self.network.state_dict()), 0
        # Sequential(down, SkipConnection(the same one level below), up): down alone is kept
        block: Any = self.network.model
        while any(isinstance(part, SkipConnection) for part in block.children()):
            del block[2]
            block, self.halvings = block[1].submodule, self.halvings + 1

    def forward(self, x: Tensor) -> list[Tensor]:
        found, block = [], cast(Any, self.network).model
        for _ in range(self.halvings):
            x = block[0](x)
            found.append(x)
            block = block[1].submodule
        return [*found, block(x)]


ENCODERS: dict[str, type[MonaiEncoder]] = {
    "SegResNet": SegResNetEncoder,
    "SwinUNETR": SwinUNETREncoder,
    "UNet": UNetLevels,
}


def monai_encoder(
    name: str,
    weights: str | Path | None = None,
    shape: Mapping[str, Any] | None = None,
    *,
    channels: Sequence[str] | None,
    spacing: Sequence[float] | None,
    intensity: str | None,
    orientation: str | None = "RAS",
    scale: float = 1.0,
    shift: float = 0.0,
    entry: str | None = None,
    prefix: str | None = None,
    ignore: Sequence[str] = (),
    seed: int = 0,
) -> ForeignEncoder:
    """The encoder of one of MONAI's networks, with weights from a file or random ones.

    The file is read without running code, and every key is accounted for: see
    :func:`ssl3d_lite.models.load_foreign_weights`. A decoder's are known, and not read.

    Args:
        name: "SegResNet", "SwinUNETR" or "UNet".
        weights: a safetensors file, or one of ``torch.save``; None: as drawn from ``seed``.
        shape: the network's arguments, as MONAI calls them, but those of channels.
        channels, spacing, intensity, orientation, scale, shift: how the scans were prepared that it
            expects: see :func:`ssl3d_lite.models.foreign_encoder`.
        entry, prefix, ignore: what wraps the weights in the file.

    Raises:
        InputError: no such network, or it has no such arguments; weights that do not fit.

    Example::

        encoder = monai_encoder(
            "SegResNet", "model.pt", {"init_filters": 16}, channels=("t1c", "t1", "t2", "flair"),
            spacing=(1, 1, 1), intensity="zscore-brain",
        )
    """
    if name not in ENCODERS:
        raise unknown("network of MONAI", name, ENCODERS)
    count = 1 if channels is None else len(channels)
    arguments = {"spatial_dims": 3, **(shape or {}), "in_channels": count}
    make = partial(ENCODERS[name], **arguments)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            module = make()
        except (TypeError, ValueError, ImportError) as reason:
            why = " ".join(str(reason).split())
            raise InputError(f"MONAI makes no {name} of these arguments: {why}") from None
    if weights is not None:
        load_foreign_weights(
            module.network,
            weights,
            entry=entry,
            prefix=prefix,
            ignore=ignore,
            known=module.whole,
            place=module.place,
        )
    return foreign_encoder(
        module,
        name,
        channels=channels,
        spacing=spacing,
        intensity=intensity,
        orientation=orientation,
        scale=scale,
        shift=shift,
        spatial_dims=arguments["spatial_dims"],
        remake=make,
    )

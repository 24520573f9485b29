"""Encoders: the part of a network that is pretrained; and how its weights are loaded.

Taleb et al. 2020, section 4 and appendix: the contracting half of a 3D U-Net (Çiçek et al. 2016);
for photographs a DenseNet-121 (Huang et al. 2017). Features are a list of levels, finest first:
the proxy tasks, the U-Net, the classifier and the probes all read that list.
"""

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from itertools import chain, cycle
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl3d_lite.data.cohort import Cohort, require_cohort
from ssl3d_lite.data.provenance import Provenance
from ssl3d_lite.errors import InputError
from ssl3d_lite.settings import check_names

from .blocks import MAX_POOL, ConvBlock
from .checkpointing import CheckpointedModule
from .settings import EncoderSettings


class Encoder(CheckpointedModule):
    """The base of all encoders: settings, and a check of the input.

    ``forward`` takes (batch, channel, *space) and gives a list of features, finest level first.
    """

    input_weights: tuple[str, ...]  # the weights that read the input's channels
    provenance: Provenance | None = None  # what it was trained on; None: it is as it was drawn
    folder: Path | None = None  # that it was read from

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        self.settings = settings

    @property
    def width(self) -> int:
        return self.settings.width

    @property
    def in_channels(self) -> int:
        """Number of channels that it takes."""
        return self.settings.in_channels

    def random(self, seed: int) -> "Encoder":
        """An encoder of the same shape with random weights."""
        return make_encoder(self.settings, seed)

    def check(self, x: Tensor) -> None:
        """Raise InputError unless the encoder can read ``x``, (batch, channel, *space)."""
        want = self.settings
        if x.ndim != want.spatial_dims + 2 or x.shape[1] != want.in_channels:
            raise InputError(
                f"the encoder takes (batch, {want.in_channels}, {want.spatial_dims} space axes), "
                f"but got {tuple(x.shape)}"
            )
        if lack := want.lack(x.shape[2:]):
            of_unet = want.network == "unet"
            needs = f"{len(want.filters)} levels need" if of_unet else f"{want.network} needs"
            ways = ["fewer levels"] * of_unet + ["larger patches"]
            ways += ["another norm"] * (min(x.shape[2:]) >= want.min_edge)
            got = f"but got {tuple(x.shape[2:])}"
            raise InputError(f"{needs} {lack}, {got}; use {' or '.join(ways)}")


class UNetEncoder(Encoder):
    """The contracting half of a U-Net: one conv block a level, with max-pooling in between.

    ``forward`` takes (batch, channel, *space) and gives a list of (batch, filters[l], *space/2^l).
    With stride 2 the first convolution halves already, and the last level does not.
    """

    input_weights = ("levels.0.conv1.weight", "levels.0.shortcut.weight")

    def __init__(self, settings: EncoderSettings):
        super().__init__(settings)
        inputs = (settings.in_channels, *settings.filters[:-1])
        strides = (settings.stride, *[1] * len(inputs))
        self.levels = nn.ModuleList(
            ConvBlock(channels, width, settings, stride)
            for channels, width, stride in zip(inputs, settings.filters, strides)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        self.check(x)
        features = []
        for depth, level in enumerate(self.levels):
            x = self.run(partial(self.level, depth), level, x)
            features.append(x)
        return features

    def level(self, depth: int, x: Tensor) -> Tensor:
        """A level's features, from those of the level above."""
        last = depth == len(self.levels) - 1
        if depth and not (last and self.settings.stride == 2):
            x = MAX_POOL[self.settings.spatial_dims](x, 2)
        return self.levels[depth](x)


class DenseNetEncoder(Encoder):
    """DenseNet-121 (Huang et al. 2017; MONAI's) without its classifier: the paper's 2D network.

    ``forward`` takes (batch, channel, *space) and gives a list of (batch, filters[l],
    *space/2^(l+1)): what the first convolution gives, and each dense block.
    """

    input_weights = ("features.conv0.weight",)

    def __init__(self, settings: EncoderSettings):
        # monai takes seconds to import, and a U-Net needs none of it
        from monai.networks.nets import DenseNet121

        super().__init__(settings)
        norms = {
            "batch": "batch",
            "group": ("group", {"num_groups": 8}),
            "instance": ("instance", {"affine": True}),
        }
        assert settings.norm is not None  # it is filled in
        dims, channels, norm = settings.spatial_dims, settings.in_channels, norms[settings.norm]
        self.features = DenseNet121(dims, channels, 1, norm=norm).features

    def forward(self, x: Tensor) -> list[Tensor]:
        self.check(x)
        features = []
        for name, layer in self.features.named_children():
            again = name.startswith(("denseblock", "transition"))
            x = self.run(layer, layer, x) if again else layer(x)
            if name == "relu0" or name.startswith("denseblock"):
                features.append(x)
        return [*features[:-1], F.relu(x)]  # the last block is normed, as its classifier reads it


# ---- making encoders, loading weights ------------------------------------------------------------


def make_encoder(what: Cohort | EncoderSettings, seed: int = 0, **shape: Any) -> Encoder:
    """An untrained encoder, for the scans of a cohort or of the shape that settings give.

    The weights depend on ``seed`` and shape alone; torch's global generator stays as it was.

    Args:
        what: a cohort, which says how many channels and axes the encoder reads; or the settings.
        seed: number that the weights are drawn from.
        shape: fields of :class:`EncoderSettings`, in place of the defaults or of those in ``what``.

    Raises:
        InputError: a misspelt field (names the nearest), or a value that a field cannot have.

    Example::

        encoder = make_encoder(open_cohort("hippocampus"), seed=0, filters=(8, 16, 32))
        same = make_encoder(encoder.settings, seed=0)
    """
    settings = _settings_of(what, **shape)
    kind = {"unet": UNetEncoder, "densenet121": DenseNetEncoder}[settings.network]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(settings)


def _settings_of(what: Cohort | EncoderSettings, **shape: Any) -> EncoderSettings:
    """The settings of an encoder for a cohort's scans, or ``what`` with some fields replaced."""
    known = [each.name for each in fields(EncoderSettings)]
    check_names(shape, known, "setting of an encoder")
    if isinstance(what, EncoderSettings):
        return replace(what, **shape)
    require_cohort(what, "what an encoder is made for")
    read = {"in_channels": len(what.channels), "spatial_dims": what.spatial_dims}
    return EncoderSettings(**read | shape)


def load_weights(network: nn.Module, weights: dict[str, Tensor], partly: bool = False) -> None:
    """Put ``weights`` into ``network``.

    Raises:
        InputError: naming every layer that is missing, unknown or of another shape. With
            ``partly`` such layers keep their own weights instead.
    """
    own = network.state_dict()
    faults = [f"{name} is missing" for name in own.keys() - weights.keys()]
    faults += [f"{name} is not in the network" for name in weights.keys() - own.keys()]
    faults += [
        f"{name} is {tuple(weights[name].shape)}, the network has {tuple(own[name].shape)}"
        for name in own.keys() & weights.keys()
        if own[name].shape != weights[name].shape
    ]
    if faults and not partly:
        raise InputError("the weights do not fit the network: " + "; ".join(sorted(faults)))
    fitting = {n: w for n, w in weights.items() if n in own and own[n].shape == w.shape}
    network.load_state_dict(fitting, strict=False)


def adapt_channels(encoder: Encoder, channels: int | Sequence[str]) -> Encoder:
    """The same encoder for other input channels, given by their names or by their number alone.

    As in the paper (2 channels of UK Biobank → 4 of BraTS) the first layer's weights are
    repeated; :func:`channel_sources` says which new channel gets those of which old one. They are
    divided by the number of new channels that have the same ones, so that a scan whose channels
    are repeated in the same way gives the same features.

    Example::

        adapted = adapt_channels(encoder, ("t1", "t1ce", "t2", "flair"))
    """
    known, old = encoder.provenance, encoder.settings.in_channels
    names = None if isinstance(channels, int) else tuple(channels)
    before = known.preparation.channels if known else None
    count = channels if isinstance(channels, int) else len(channels)
    source = torch.tensor(channel_sources(before or (), names or (), old, count))
    weights = encoder.state_dict()
    copies = torch.bincount(source, minlength=old)[source]  # new channels with the same weights
    for name in encoder.input_weights:
        if name in weights:
            new = weights[name][:, source]
            weights[name] = new / copies.view(1, -1, *[1] * (new.ndim - 2)).to(new)
    adapted = make_encoder(replace(encoder.settings, in_channels=count))
    load_weights(adapted, weights)
    adapted.folder = encoder.folder
    if known:
        adapted.provenance = replace(known, preparation=replace(known.preparation, channels=names))
    return adapted


def channel_sources(before: Sequence[str], now: Sequence[str], old: int, new: int) -> list[int]:
    """For each of ``new`` channels, which of ``old`` ones it is read as.

    A channel is read as its namesake, if both name theirs: T1 as t1 and t2-flair as FLAIR, but not
    t1ce as T1. The rest take the old ones in turn, those without a namesake first.

    Example::

        >>> channel_sources(("T1", "T2-FLAIR"), ("t1", "t1ce", "t2", "flair"), 2, 4)
        [0, 0, 1, 1]
        >>> channel_sources(("T1", "T2-FLAIR"), ("T1", "T2-FLAIR", "T2-FLAIR"), 2, 3)  # as you say
        [0, 1, 1]
        >>> channel_sources((), (), 2, 4)  # no names
        [0, 1, 0, 1]
    """
    place = {plain_channel_name(name): number for number, name in reversed([*enumerate(before)])}
    place |= {name: number for number, name in enumerate(before)}  # the very same name goes first
    found = [place.get(name, place.get(plain_channel_name(name))) for name in now] or [None] * new
    spare = [number for number in range(old) if number not in found]
    turns = chain(spare, cycle(range(old)))
    return [next(turns) if number is None else number for number in found]


def plain_channel_name(name: str) -> str:
    """A channel's name as it is compared: UK Biobank says T2-FLAIR where BraTS says flair."""
    plain = name.casefold()
    return "flair" if plain in ("t2-flair", "t2_flair", "t2flair") else plain


def reorder_channels(encoder: Encoder, order: Sequence[int], names: Sequence[str]) -> None:
    """Put an encoder's input weights into another order, in place: its channels are then called
    ``names``, and ``order`` says where each stood."""
    weights = encoder.state_dict()
    for name in encoder.input_weights:
        if name in weights:
            weights[name] = weights[name][:, list(order)]
    load_weights(encoder, weights)
    if known := encoder.provenance:
        named = replace(known.preparation, channels=tuple(names))
        encoder.provenance = replace(known, preparation=named)

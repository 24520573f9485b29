"""The networks: an encoder, what is built about it, heads; and how weights move between them.

Taleb et al. 2020, section 4 and appendix: a 3D U-Net (Çiçek et al. 2016) whose encoder is
pretrained and whose decoder starts at random; for photographs a DenseNet-121 (Huang et al. 2017)
and a classifier. Features are a list of levels, finest first; what the proxy tasks, the U-Net, the
classifier and the probes read is that list.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from .errors import InputError, unknown

Norm = Literal["batch", "group", "instance"]
Block = Literal["plain", "residual"]
Network = Literal["unet", "densenet121"]

FILTERS = {"unet": (16, 32, 64, 128), "densenet121": (64, 256, 512, 1024, 1024)}
CONV = {2: nn.Conv2d, 3: nn.Conv3d}
UP_CONV = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MAX_POOL = {2: F.max_pool2d, 3: F.max_pool3d}
INTERPOLATION = {2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True)
class EncoderSettings:
    """The shape of an encoder: all that is needed, with its weights, to build it again."""

    in_channels: int = 1
    spatial_dims: int = 3
    filters: tuple[int, ...] = ()
    """Channels of each level. Of a U-Net, if not given, (16, 32, 64, 128); the paper has (32, 64,
    128, 256, 512). DenseNet-121 has (64, 256, 512, 1024, 1024), and no others."""
    block: Block = "plain"
    """"plain": two convolutions a level; "residual": the same with a shortcut, as in the paper.
    Of a U-Net alone."""
    norm: Norm = "batch"
    network: Network = "unet"
    """The paper has "unet" in 3D and "densenet121" for photographs."""

    def __post_init__(self):
        if self.network not in FILTERS:
            raise unknown("network", self.network, FILTERS)
        if not self.filters:
            object.__setattr__(self, "filters", FILTERS[self.network])
        fixed = (FILTERS["densenet121"], "plain")
        if self.network == "densenet121" and (self.filters, self.block) != fixed:
            raise InputError(
                f"densenet121 has levels of {fixed[0]} filters in blocks of its own, but filters "
                f"{self.filters} and block {self.block!r} are asked for; leave these two out"
            )

    @property
    def width(self) -> int:
        """Channels of the deepest level, which the heads read."""
        return self.filters[-1]

    @property
    def smallest(self) -> int:
        """The shortest edge, in voxels, that the network can halve from level to level."""
        # a DenseNet halves once before its first level
        return 2 ** (len(self.filters) - (self.network == "unet"))


def make_norm(kind: Norm, channels: int, dims: int) -> nn.Module:
    if kind == "batch":
        return {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}[dims](channels)
    if kind == "group":
        return nn.GroupNorm(min(8, channels), channels)
    if kind == "instance":
        return {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[dims](channels, affine=True)
    raise unknown("norm", kind, ("batch", "group", "instance"))


class ConvBlock(nn.Module):
    """Two convolutions of edge 3, each with norm and LeakyReLU; "residual" adds a shortcut."""

    def __init__(self, inputs: int, outputs: int, settings: EncoderSettings):
        super().__init__()
        dims = settings.spatial_dims
        self.conv1 = CONV[dims](inputs, outputs, 3, padding=1, bias=False)
        self.norm1 = make_norm(settings.norm, outputs, dims)
        self.conv2 = CONV[dims](outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = make_norm(settings.norm, outputs, dims)
        if settings.block not in ("plain", "residual"):
            raise unknown("block", settings.block, ("plain", "residual"))
        residual = settings.block == "residual"
        self.shortcut = CONV[dims](inputs, outputs, 1, bias=False) if residual else None

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.norm1(self.conv1(x)), 0.01, inplace=True)
        y = self.norm2(self.conv2(y))
        if self.shortcut is not None:
            y = y + self.shortcut(x)
        return F.leaky_relu(y, 0.01, inplace=True)


# ---- features kept or computed again -----------------------------------------------------------


class Levels(nn.Module):
    """A network of levels, each of which can be computed again on the way back.

    Then only what comes out of a level is kept in training (gradient checkpointing, Chen et al.
    2016): less memory, and the way there twice. The numbers are the same.
    """

    recompute = False  # set by :func:`set_recompute`; no part of the shape, as no weight depends

    def run(self, level: Callable[..., Tensor], norms: nn.Module, *inputs: Tensor) -> Tensor:
        """What ``level`` gives for ``inputs``; ``norms`` has all buffers that it changes."""
        if not (self.recompute and self.training and torch.is_grad_enabled()):
            return level(*inputs)
        return checkpoint(
            level,
            *inputs,
            use_reentrant=False,
            context_fn=lambda: (nullcontext(), unchanged_buffers(norms)),
            preserve_rng_state=False,  # no level draws random numbers
        )


def can_recompute(module: nn.Module) -> bool:
    """Whether there is a network within whose levels can be computed again."""
    return any(isinstance(each, Levels) for each in module.modules())


def set_recompute(module: nn.Module, recompute: bool) -> None:
    """Let all networks within keep their features for the way back, or compute them again."""
    for each in module.modules():
        if isinstance(each, Levels):
            each.recompute = recompute


@contextmanager
def unchanged_buffers(module: nn.Module) -> Iterator[None]:
    """Let copies of the buffers change for a while: a batch computed again must not count twice
    in batch norm's statistics."""
    own = [(each, *named) for each in module.modules() for named in each.named_buffers("", False)]
    for each, name, buffer in own:
        setattr(each, name, buffer.clone())
    try:
        yield
    finally:
        for each, name, buffer in own:
            setattr(each, name, buffer)


# ---- networks ----------------------------------------------------------------------------------


class Encoder(Levels):
    """What all encoders share: settings, and a check of what they are given to read."""

    first: tuple[str, ...]  # the weights that read the input's channels

    def __init__(self, settings: EncoderSettings):
        super().__init__()
        self.settings = settings

    @property
    def width(self) -> int:
        return self.settings.width

    def check(self, x: Tensor) -> None:
        want = self.settings
        if x.ndim != want.spatial_dims + 2 or x.shape[1] != want.in_channels:
            raise InputError(
                f"the encoder takes (batch, {want.in_channels}, {want.spatial_dims} space axes), "
                f"but got {tuple(x.shape)}"
            )
        if min(x.shape[2:]) < want.smallest:
            of_unet = want.network == "unet"
            what = f"{len(want.filters)} levels need" if of_unet else f"{want.network} needs"
            raise InputError(
                f"{what} edges of at least {want.smallest} voxels, but got {tuple(x.shape[2:])}; "
                f"use {'fewer levels or ' if of_unet else ''}larger patches"
            )


class UNetEncoder(Encoder):
    """The contracting half of a U-Net: a conv block a level, halved by max-pooling in between.

    ``forward`` takes (batch, channel, *space) and gives a list of (batch, filters[l], *space/2^l).
    """

    first = ("levels.0.conv1.weight", "levels.0.shortcut.weight")

    def __init__(self, settings: EncoderSettings):
        super().__init__(settings)
        inputs = (settings.in_channels, *settings.filters[:-1])
        self.levels = nn.ModuleList(
            ConvBlock(i, o, settings) for i, o in zip(inputs, settings.filters, strict=True)
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
        if depth:
            x = MAX_POOL[self.settings.spatial_dims](x, 2)
        return self.levels[depth](x)


class DenseNetEncoder(Encoder):
    """DenseNet-121 (Huang et al. 2017; MONAI's) without its classifier: the paper's 2D network.

    ``forward`` takes (batch, channel, *space) and gives a list of (batch, filters[l],
    *space/2^(l+1)): what the first convolution gives, and each dense block.
    """

    first = ("features.conv0.weight",)

    def __init__(self, settings: EncoderSettings):
        # monai takes seconds to import, and a U-Net needs none of it
        from monai.networks.nets import DenseNet121

        super().__init__(settings)
        norms = {
            "batch": "batch",
            "group": ("group", {"num_groups": 8}),
            "instance": ("instance", {"affine": True}),
        }
        if settings.norm not in norms:
            raise unknown("norm", settings.norm, norms)
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


class UNet(Levels):
    """Encoder, and a decoder of transposed convolutions with skips: logits for each voxel.

    Takes (batch, channel, *space) of any size at least 2^(levels-1), gives (batch, class, *space).
    """

    def __init__(self, encoder: UNetEncoder, classes: int):
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
    def answers(self) -> dict[str, int]:
        """What it tells apart, as a record holds it."""
        return {"classes": self.classes}

    def forward(self, x: Tensor) -> Tensor:
        *skips, y = self.encoder(x)
        for depth, skip in enumerate(reversed(skips)):
            y = self.run(partial(self.level, depth), self.blocks[depth], y, skip)
        return self.last(y)

    def level(self, depth: int, y: Tensor, skip: Tensor) -> Tensor:
        """The decoder's features of a level, from those of the deeper one and the encoder's."""
        y = grown(self.ups[depth](y), skip)
        return self.blocks[depth](torch.cat([y, skip], 1))


def grown(small: Tensor, large: Tensor) -> Tensor:
    """``small`` with the space of ``large``: pooling left out the last voxel of an odd edge, so
    there its neighbour's value is repeated."""
    short = [b - a for a, b in zip(small.shape[2:], large.shape[2:], strict=True)]
    if not any(short):
        return small
    return F.pad(small, [n for missing in reversed(short) for n in (0, missing)], mode="replicate")


class Classifier(nn.Module):
    """Encoder, and one linear layer that reads its deepest level: the grade of a whole picture.

    Takes (batch, channel, *space) and gives logits (batch, grades-1), of which number k says
    "the grade is above k": see :mod:`ssl3d_lite.grading`.
    """

    def __init__(self, encoder: Encoder, grades: int):
        super().__init__()
        if grades < 2:
            raise InputError(f"a classifier tells apart 2 grades or more, not {grades}")
        self.encoder, self.grades = encoder, grades
        self.last = nn.Linear(encoder.width, grades - 1)

    @property
    def answers(self) -> dict[str, int]:
        """What it tells apart, as a record holds it."""
        return {"grades": self.grades}

    def forward(self, x: Tensor) -> Tensor:
        return self.last(pooled(self.encoder(x)))


# ---- heads -------------------------------------------------------------------------------------


def head(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """The paper's hidden ReLU layer between encoder and answer, thrown away after pretraining."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs))


def pooled(features: list[Tensor]) -> Tensor:
    """The deepest level averaged over space: (batch, width)."""
    return features[-1].flatten(2).mean(-1)


class LightDecoder(nn.Module):
    """An answer for every voxel, with as little as can be beyond the encoder, thrown away later.

    Each level's features are thinned to ``code`` channels and added up from deep to fine. No
    kernel is wider than a voxel: what lies round about, the encoder has to know.
    (batch, filters[l], *space/2^l) → (batch, outputs, *space).
    """

    def __init__(self, encoder: EncoderSettings, code: int, outputs: int):
        super().__init__()
        check_full_resolution(encoder, "a task that answers for every voxel (masked, tissue)")
        conv = CONV[encoder.spatial_dims]
        self.thin = nn.ModuleList(conv(width, code, 1) for width in encoder.filters)
        self.last = conv(code, outputs, 1)
        self.mode = INTERPOLATION[encoder.spatial_dims]

    def forward(self, features: list[Tensor]) -> Tensor:
        *finer, y = (thin(level) for thin, level in zip(self.thin, features, strict=True))
        for level in reversed(finer):
            doubled = F.interpolate(y, scale_factor=2, mode=self.mode, align_corners=False)
            y = level + grown(doubled, level)
        return self.last(F.relu(y))


def check_full_resolution(settings: EncoderSettings, what: str) -> None:
    """Raise InputError unless the encoder's finest level has a feature for every voxel."""
    if settings.network != "unet":
        raise InputError(
            f"{what} needs features at full resolution, but those of {settings.network} begin at "
            "half of it; use network unet"
        )


# ---- building and moving weights ---------------------------------------------------------------


def make_encoder(settings: EncoderSettings) -> Encoder:
    """An encoder of that shape, its weights from torch's global generator."""
    return {"unet": UNetEncoder, "densenet121": DenseNetEncoder}[settings.network](settings)


def random_encoder(settings: EncoderSettings, seed: int) -> Encoder:
    """An untrained encoder whose weights depend on ``seed`` alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make_encoder(settings)


def random_unet(encoder: UNetEncoder, classes: int, seed: int) -> UNet:
    """A U-Net about ``encoder`` whose decoder depends on ``seed`` alone: twins start alike."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return UNet(encoder, classes)


def random_classifier(encoder: Encoder, grades: int, seed: int) -> Classifier:
    """A classifier whose last layer depends on ``seed`` alone: twins start alike."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Classifier(encoder, grades)


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


def adapt_channels(encoder: Encoder, in_channels: int) -> Encoder:
    """The same encoder for another number of input channels.

    As in the paper (2 channels of UK Biobank → 4 of BraTS) the first layer's weights are
    repeated: new channel c reads with the weights of old channel c mod old. They are shared out
    among the new channels that read alike, so that a scan whose channels are repeated the same
    way gives the same features.
    """
    old = encoder.settings.in_channels
    weights = encoder.state_dict()
    channel = torch.arange(in_channels) % old
    share = torch.bincount(channel, minlength=old)[channel]  # new channels that share an old one
    for name in encoder.first:
        if name in weights:
            new = weights[name][:, channel]
            weights[name] = new / share.view(1, -1, *[1] * (new.ndim - 2)).to(new)
    adapted = make_encoder(replace(encoder.settings, in_channels=in_channels))
    load_weights(adapted, weights)
    return adapted


def channels_last(module: nn.Module) -> torch.memory_format:
    """The memory format in which convolutions of the module's dimensions run fastest."""
    deepest = max(parameter.ndim for parameter in module.parameters())
    return torch.channels_last_3d if deepest == 5 else torch.channels_last

"""Anybody's encoder: a network that was made elsewhere, read as one of ours.

It is a ``torch.nn.Module``, or TorchScript, that takes (batch, channel, *space) and gives a map of
features or several. With it comes how the scans were prepared that it expects: a cohort that was
prepared otherwise is converted where that is exact, and else refused (:mod:`.conversion`).

It is judged beside the same architecture with random weights. Those are drawn by torch's own rules,
layer by layer, or by a function that makes the network anew.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import copy, deepcopy
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.preparation import Intensity, PreparationRecord
from ssl3d_lite.data.provenance import Provenance
from ssl3d_lite.errors import InputError, unknown
from ssl3d_lite.machine.collectives import say
from ssl3d_lite.settings import CheckedSettings, PositiveInt

from .conversion import Conversion, conversion_to, cut_to, padded
from .encoders import Encoder

_TRIED_EDGE = 64  # voxels of the scan on which an encoder is tried
Remake = Callable[[], nn.Module]


@dataclass(frozen=True)
class ForeignSettings(CheckedSettings):
    """The shape of an encoder that was made elsewhere: what readers of features ask for."""

    network: str
    """What it is called."""
    in_channels: PositiveInt
    spatial_dims: PositiveInt
    filters: tuple[PositiveInt, ...]
    """Number of features in each level, the finest first."""
    strides: tuple[tuple[PositiveInt, ...], ...]
    """For each level the edges, in voxels, of what a feature stands for."""

    @property
    def width(self) -> int:
        """Number of features in the deepest level."""
        return self.filters[-1]

    @property
    def stride(self) -> int:
        """The least edge, in voxels, of a feature of the finest level."""
        return min(self.strides[0])

    @property
    def multiple(self) -> tuple[int, ...]:
        """What edges of scans are padded to multiples of."""
        return tuple(map(max, zip(*self.strides, strict=True)))

    def lack(self, space: Sequence[int]) -> str:
        """What a scan lacks to be read: nothing, as it is padded."""
        return ""


class ForeignEncoder(Encoder):
    """An encoder that was made elsewhere; :func:`foreign_encoder` makes one.

    ``forward`` takes (batch, channel, *space) of a cohort to which it was fitted, by
    :func:`ssl3d_lite.models.compatibility.for_channels`; or as its own scans are, before. It gives
    a list of features, finest level first, along the scan's own axes.
    """

    input_weights = ()  # channels are found by name, and not adapted
    settings: ForeignSettings  # type: ignore[assignment]  # has what readers ask of a shape
    provenance: Provenance

    def __init__(
        self,
        module: nn.Module,
        settings: ForeignSettings,
        provenance: Provenance,
        conversion: Conversion,
        remake: Remake | None,
    ):
        super().__init__(settings)  # type: ignore[arg-type]
        # it is read and never trained; and of TorchScript a copy's weights could not be moved else
        self.module, self.remake = _frozen(module), remake
        self.provenance, self.conversion = provenance, conversion
        self.own_scale = conversion.scale, conversion.shift
        self.reads: tuple[str, ...] | None = None  # the channels of the cohort it is fitted to

    @property
    def in_channels(self) -> int:
        """Number of channels that it takes now: those of the cohort to which it is fitted."""
        return self.settings.in_channels if self.reads is None else len(self.reads)

    def forward(self, x: Tensor) -> list[Tensor]:
        self.check(x)
        inside = self.conversion.there(x)
        whole = padded(inside, self.settings.multiple)
        levels = _levels_of(self.module, whole, self.settings.network)
        return [
            self.conversion.back(cut_to(level, inside.shape[2:], whole.shape[2:]))
            for level in levels
        ]

    def check(self, x: Tensor) -> None:
        dims = self.settings.spatial_dims
        if x.ndim != dims + 2 or x.shape[1] != self.in_channels:
            raise InputError(
                f"{self.settings.network} takes (batch, {self.in_channels}, {dims} space axes), "
                f"but got {tuple(x.shape)}"
            )

    def random(self, seed: int) -> "ForeignEncoder":
        """The same architecture with random weights, fitted to the same cohort.

        Raises:
            InputError: some weights cannot be drawn anew; names them.
        """
        other = copy(self)
        other._modules = {"module": self._drawn(seed)}
        return other.eval()

    def _drawn(self, seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if self.remake is None:
                return _redrawn(self.module, self.settings.network)
            made = self.remake()
        like = next(self.module.parameters())
        _check_same_shape(made, self.module, self.settings.network)
        return _frozen(made.to(like.device, like.dtype))

    def conversion_from(self, cohort: Cohort) -> Conversion:
        """What lies between a cohort's scans and its own; InputError if that is not exact."""
        trained, shape = self.provenance.preparation, self.settings
        count, name = shape.in_channels, shape.network
        return conversion_to(trained, count, cohort, name, *self.own_scale)

    def is_fitted(self, cohort: Cohort) -> bool:
        """Whether it reads the cohort's scans as they are."""
        return self.reads == cohort.channels and self.conversion == self.conversion_from(cohort)

    def fit(self, cohort: Cohort) -> None:
        """Fit it to a cohort's scans, in place, and say what is converted.

        Raises:
            InputError: they are prepared in a way that cannot be converted.
        """
        conversion = self.conversion_from(cohort)
        if self.is_fitted(cohort):
            return
        self.conversion, self.reads = conversion, cohort.channels
        words = conversion.words(cohort, self.provenance.preparation)
        edges = {edge for case in cohort.cases for edge in zip(case.shape, self.settings.multiple)}
        if conversion.axes is None and any(edge % step for edge, step in edges):
            multiple = " × ".join(map(str, self.settings.multiple))
            words.append(f"scans are padded to multiples of {multiple} voxels")
        words.append("whose scans it was trained on is not known, so a test patient may be theirs")
        say(f"{self.settings.network} on {cohort.name}: {'; '.join(words)}")


def foreign_encoder(
    module: nn.Module,
    name: str,
    *,
    channels: Sequence[str] | None,
    spacing: Sequence[float] | None,
    intensity: str | None,
    orientation: str | None = "RAS",
    scale: float = 1.0,
    shift: float = 0.0,
    layers: Sequence[str] = (),
    spatial_dims: int = 3,
    remake: Remake | None = None,
) -> ForeignEncoder:
    """An encoder that was made elsewhere, for :func:`probe`, label transfer and ``show.Features``.

    How its scans were prepared has to be named; None says that any will do.

    Args:
        module: takes (batch, channel, *space), gives a map (batch, feature, *cells) or several. It
            is taken, not copied, put into evaluation mode, and its weights are frozen.
        name: what it is called.
        channels: names of its channels, in their order. None: one channel, whatever its name.
        spacing: size of its voxels in mm.
        intensity: what makes its values from raw ones, of those that ``ssl3d prepare`` knows:
            "zscore", "zscore-brain", "unit" or "window:LOW,HIGH".
        orientation: where its axes run.
        scale, shift: what is then done to these values: times the one, plus the other.
        layers: names of parts of ``module`` whose outputs are read in place of its own.
        remake: makes the network anew, with random weights, for the control. Without it, each layer
            is drawn anew as torch draws it.

    Raises:
        InputError: it gives no maps, or cannot read a scan of 64³ voxels.

    Example::

        encoder = foreign_encoder(
            net, "BrainNet", channels=("t1",), spacing=(1, 1, 1), intensity="zscore",
            layers=("down1", "down2", "down3"),
        )
        print(ssl3d.probe(encoder, cohort, labels=2))
    """
    if next(module.parameters(), None) is None:
        raise InputError(f"{name} has no weights, so it is no encoder")
    if intensity is not None:
        Intensity.parse(intensity)
    if isinstance(channels, str):
        raise InputError(f"channels are a list of names; give ({channels!r},)")
    if spacing is not None and (len(spacing) != spatial_dims or not min(spacing) > 0):
        raise InputError(f"spacing {tuple(spacing)} is not one of {spatial_dims} axes, in mm")
    if not scale or not torch.isfinite(torch.tensor([scale, shift])).all():
        raise InputError(f"intensities cannot be multiplied by {scale}, then {shift:+}")
    if layers:
        module = LayerOutputs(module, layers, name)
        remake = _tapped(remake, layers, name) if remake else None
    count = 1 if channels is None else len(channels)
    settings = _tried(module.eval(), name, count, spatial_dims)
    edges = None if spacing is None else tuple(float(edge) for edge in spacing)
    preparation = PreparationRecord(
        channels=None if channels is None else tuple(channels),
        spatial_dims=spatial_dims,
        orientation=orientation,
        unit=None if edges is None else "mm",
        intensity=intensity,
        spacing=edges,
        spacing_range=None if edges is None else tuple((edge, edge) for edge in edges),
        fixed_spacing=None if edges is None else True,
    )
    origin = Provenance(cohort=name, preparation=preparation)
    conversion = Conversion(scale=float(scale), shift=float(shift))
    return ForeignEncoder(module, settings, origin, conversion, remake)


def check_own(encoder: nn.Module, done: str) -> None:
    """Raise InputError if an encoder was made elsewhere: it cannot be ``done``, "trained" or so."""
    if isinstance(encoder, ForeignEncoder):
        raise InputError(
            f"{encoder.settings.network} was made elsewhere: it is read, and cannot be {done} "
            "here; take one of make_encoder"
        )


class LayerOutputs(nn.Module):
    """What some parts of a network give, while it reads a scan: a list, in the order of names.

    Raises:
        InputError: there is no such part, or the network is TorchScript, which tells nothing of it.
    """

    def __init__(self, network: nn.Module, layers: Sequence[str], name: str):
        super().__init__()
        if isinstance(network, torch.jit.ScriptModule):
            raise InputError(
                f"{name} is TorchScript, whose parts cannot be listened to; write a module that "
                "calls them one by one"
            )
        parts = dict(network.named_modules())
        for layer in layers:
            if layer not in parts:
                raise unknown(f"part of {name}", layer, filter(None, parts))
        self.network, self.layers = network, tuple(layers)

    def forward(self, x: Tensor) -> list[Tensor]:
        parts, found = dict(self.network.named_modules()), {}

        def listen(layer: str) -> Callable[..., None]:
            def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
                found[layer] = output.clone()  # what comes next may change it in place

            return keep

        hooks = [parts[layer].register_forward_hook(listen(layer)) for layer in self.layers]
        try:
            self.network(x)
        finally:
            for hook in hooks:
                hook.remove()
        return [found[layer] for layer in self.layers if layer in found]


def _tapped(remake: Remake, layers: Sequence[str], name: str) -> Remake:
    return lambda: LayerOutputs(remake(), layers, name)


# ---- what it gives -----------------------------------------------------------------------------


def _levels_of(module: nn.Module, x: Tensor, name: str) -> list[Tensor]:
    """A network's maps of scans, the finest first.

    Raises:
        InputError: it cannot read them, or gives something else.
    """
    try:
        found = module(x)
    except (RuntimeError, ValueError, TypeError, IndexError) as reason:
        why = " ".join(str(reason).split())
        raise InputError(f"{name} cannot read scans of shape {tuple(x.shape)}: {why}") from None
    each = found.values() if isinstance(found, Mapping) else found
    levels = [found] if isinstance(found, Tensor) else list(each)
    for level in levels:
        is_map = isinstance(level, Tensor) and level.is_floating_point() and level.ndim == x.ndim
        if not is_map or len(level) != len(x):
            got = tuple(level.shape) if isinstance(level, Tensor) else type(level).__name__
            raise InputError(
                f"{name} gives {got} for scans of shape {tuple(x.shape)}, but must give maps "
                "(batch, feature, *cells); write a module that does"
            )
    return sorted(levels, key=lambda level: -level[0, 0].numel())


def _tried(module: nn.Module, name: str, channels: int, dims: int) -> ForeignSettings:
    """The shape of an encoder, from what it gives for noise."""
    noise = torch.randn(
        2, channels, *[_TRIED_EDGE] * dims, generator=torch.Generator().manual_seed(0)
    ).to(next(module.parameters()))
    with torch.inference_mode():
        levels = _levels_of(module, noise, name)
    if not levels:
        raise InputError(f"{name} gives no map of features")
    spaces = [tuple(level.shape[2:]) for level in levels]
    for space in spaces:
        if any(_TRIED_EDGE % edge for edge in space):
            raise InputError(
                f"{name} gives {' × '.join(map(str, space))} cells for {_TRIED_EDGE} voxels along "
                "each axis, so a cell is no whole number of them"
            )
    return ForeignSettings(
        network=name,
        in_channels=channels,
        spatial_dims=dims,
        filters=tuple(level.shape[1] for level in levels),
        strides=tuple(tuple(_TRIED_EDGE // edge for edge in space) for space in spaces),
    )


# ---- random weights ----------------------------------------------------------------------------


def _redrawn(module: nn.Module, name: str) -> nn.Module:
    """A copy whose layers have new weights, each as torch draws them at the start."""
    fresh = deepcopy(module)
    before = {key: value.clone() for key, value in fresh.named_parameters()}
    with torch.no_grad():
        for part in fresh.modules():
            _redraw(part, name)
    kept = [
        key
        for key, value in fresh.named_parameters()
        # the same as before, and not since all of it is 1 or 0, as a norm's is at the start
        if torch.equal(value, before[key]) and bool((value != value.flatten()[0]).any())
    ]
    if kept:
        raise InputError(
            f"{name} has weights that torch has no rule to draw anew: {', '.join(kept[:4])}; give "
            "a function that makes the network with random weights (remake=...), or no controls"
        )
    return fresh.eval()


def _redraw(part: nn.Module, name: str) -> None:
    """New weights for one layer, in place. A layer of TorchScript has its kind's name alone."""
    kind = str(getattr(part, "original_name", type(part).__name__))
    if callable(reset := getattr(part, "reset_parameters", None)):
        reset()
    elif not isinstance(part, torch.jit.ScriptModule):
        return
    elif kind.startswith(("Conv", "Linear")):
        own = SimpleNamespace(weight=part.weight, bias=getattr(part, "bias", None))
        nn.Linear.reset_parameters(own)  # type: ignore[arg-type]  # convolutions have the same rule
    elif kind.startswith("BatchNorm"):
        raise InputError(
            f"{name} is TorchScript with batch norm, whose statistics a random encoder cannot take "
            "there; give the torch.nn.Module, or a function that makes one (remake=...)"
        )
    elif kind.endswith("Norm") or "InstanceNorm" in kind:
        for key, value in part.named_parameters(recurse=False):
            value.fill_(float(key == "weight"))


def _frozen(module: nn.Module) -> nn.Module:
    for weight in module.parameters():  # TorchScript has no requires_grad_ for all at once
        weight.requires_grad_(False)
    return module


def _check_same_shape(made: nn.Module, module: nn.Module, name: str) -> None:
    shapes = ({k: tuple(v.shape) for k, v in each.state_dict().items()} for each in (made, module))
    if not isinstance(module, torch.jit.ScriptModule) and len({*map(str, shapes)}) > 1:
        raise InputError(f"remake makes another network than {name}: its weights have other shapes")

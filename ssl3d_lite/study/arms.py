"""An arm of a study: where the encoder comes from that is then read with few labels.

Written as ``[2d-]SOURCE[@VARIANT…]``.

SOURCE
    a proxy task, or several by turns (``cpc``, ``cpc+masked``); ``tissue``, the paper's supervised
    pretraining; ``scratch``, a random encoder that is fine-tuned; ``random``, one that stays as it
    is; ``collapsed``, pretraining that must not help; ``oracle``, an encoder trained with all
    training labels; ``place``, no encoder at all: the mean label map, which looks at no scan.
VARIANT
    ``batch``, ``group``, ``instance`` or ``none``: the norm; ``plain`` or ``residual``: the blocks;
    ``densenet121``: the network; ``own``: pretrained on the benchmark's own scans although the
    study has a corpus; ``unnamed``: the benchmark's channels are read as the corpus's in turn, not
    by name; ``network``: encoder, skips and decoder are pretrained together, and all but the last
    layer is fine-tuned; ``warm``: from scratch, but the encoder stands still at first, as a
    pretrained one does (the warm-up), so that a gain is not the warm-up's.

``2d-`` does the same on the slices of the scans. ``place`` is in every study, named or not.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import get_args

from ssl3d_lite.errors import InputError, unknown
from ssl3d_lite.models.settings import BlockKind, NormKind
from ssl3d_lite.tasks import TASKS, task_classes

PLACE = "place"
UNTRAINED = ("scratch", "random", PLACE)
CONTROLS = (*UNTRAINED, "collapsed", "oracle")
NETWORKS = ("densenet121",)
VARIANTS = (
    *get_args(NormKind),
    *get_args(BlockKind),
    *NETWORKS,
    "own",
    "unnamed",
    "network",
    "warm",
)


@dataclass(frozen=True)
class Arm:
    """One way to come by an encoder."""

    name: str  # as it was written
    source: str
    flat: bool = False  # on slices
    variants: tuple[str, ...] = ()

    @property
    def tasks(self) -> tuple[str, ...]:
        """The proxy tasks it is pretrained on."""
        return () if self.source in (*UNTRAINED, "oracle") else tuple(self.source.split("+"))

    @property
    def is_control(self) -> bool:
        """Whether it is there to be compared with, and no claim is made for it."""
        return self.source in CONTROLS

    @property
    def own(self) -> bool:
        """Whether it is pretrained on the benchmark itself, whatever the corpus."""
        return "own" in self.variants or self.source == "oracle"

    @property
    def unnamed(self) -> bool:
        """Whether its encoder is adapted to the benchmark's channels as if they had no names."""
        return "unnamed" in self.variants

    @property
    def whole_network(self) -> bool:
        """Whether the decoder is pretrained and transferred too."""
        return "network" in self.variants

    @property
    def warm(self) -> bool:
        """Whether it is fine-tuned from scratch with the warm-up of a pretrained encoder."""
        return "warm" in self.variants

    @property
    def norm(self) -> str | None:
        return next((v for v in self.variants if v in get_args(NormKind)), None)

    @property
    def block(self) -> str | None:
        return next((v for v in self.variants if v in get_args(BlockKind)), None)

    @property
    def network(self) -> str | None:
        return next((v for v in self.variants if v in NETWORKS), None)

    def alike(self, source: str) -> tuple[bool | str | None, ...]:
        """What names the arm of another source with the same dimensions, norm, blocks and network:
        the twin that it is fairly compared with."""
        return self.flat, source, self.norm, self.block, self.network

    @property
    def kind(self) -> tuple[bool | str | None, ...]:
        return self.alike(self.source)

    @property
    def slug(self) -> str:
        """Its name in a path."""
        return self.name.replace("@", "-").replace("+", "-")


def find_twin(arms: Sequence[Arm], arm: Arm, source: str) -> Arm | None:
    """The arm of another source that is fairest to compare with: of the same dimension, norm,
    blocks and network, or else the plain one of the same dimension. A warmed one is nobody's twin:
    it is a control of its own."""
    kinds = {each.kind: each for each in reversed(arms) if not each.warm}
    return kinds.get(arm.alike(source)) or kinds.get((arm.flat, source, None, None, None))


def with_place(arms: Sequence[Arm]) -> list[Arm]:
    """Place alone, in 3D and on slices if there are arms of both, and then the arms."""
    names = dict.fromkeys(f"2d-{PLACE}" if arm.flat else PLACE for arm in arms)
    return [*map(parse_arm, names), *(arm for arm in arms if arm.name not in names)]


def parse_arm(text: str) -> Arm:
    """An arm from how a study writes it.

    Raises:
        InputError: no such source or variant; names the nearest.
    """
    source, *variants = text.split("@")
    flat = source.startswith("2d-")
    source = source.removeprefix("2d-")
    if source not in CONTROLS:
        for name in source.split("+"):
            if name not in TASKS:
                raise unknown(f"source of arm {text}", name, {*TASKS, *CONTROLS})
        task_classes(source)
    for variant in variants:
        if variant not in VARIANTS:
            raise unknown(f"variant of arm {text}", variant, VARIANTS)
    if len(set(variants)) < len(variants):
        raise InputError(f"arm {text} names a variant twice")
    if "warm" in variants and source != "scratch":
        raise InputError(f"arm {text}: 'warm' is for scratch alone; pretrained encoders have it")
    if source == PLACE and variants:
        raise InputError(f"arm {text}: place alone has no network, so it has no variants")
    arm = Arm(text, source, flat, tuple(variants))
    if arm.whole_network and not any(has_decoder(name) for name in arm.tasks):
        able = " and ".join(name for name in TASKS if has_decoder(name))
        raise InputError(f"arm {text}: no decoder is trained by {source}, but by {able}")
    return arm


def has_decoder(task: str) -> bool:
    """Whether a proxy task has outputs for every voxel, so that it can train a U-Net's decoder."""
    return any(each.name == "decoder" for each in fields(TASKS[task].Settings))

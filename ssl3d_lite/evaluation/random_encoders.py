"""Random encoders of several kinds: the controls of all that reads frozen features.

How much can be read from a random encoder depends on its shape: with shortcuts and without norms
far more than from a plain one whose batch norm has the statistics of scans. A lead over one kind is
no lead over the best. So several kinds are tried, the best is chosen on other cases than those it
is then scored on, and it is named. Beside an encoder that was made elsewhere stands its own
architecture too, whichever is best.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import get_args

import numpy as np

from ssl3d_lite.models.encoders import Encoder, make_encoder
from ssl3d_lite.models.foreign import ForeignEncoder
from ssl3d_lite.models.settings import BlockKind, EncoderSettings, NormKind

from .scores import ScoreReport

Reports = Mapping[str, Sequence[ScoreReport]]  # protocol → an evaluation a draw of labels


@dataclass(frozen=True)
class RandomKind:
    """A kind of random encoder. Batch norm has the statistics of scans, as wherever a probe reads;
    norm "none" is what batch norm is in effect before it has any."""

    settings: EncoderSettings

    @property
    def name(self) -> str:
        norm = "no norm" if self.settings.norm == "none" else f"{self.settings.norm} norm"
        block = [] if self.settings.network == "densenet121" else [str(self.settings.block)]
        return ", ".join(["random", *block, norm])

    def start(self, seed: int) -> Encoder:
        return make_encoder(self.settings, seed)


@dataclass(frozen=True)
class SameArchitecture:
    """The kind of an encoder that was made elsewhere: its own network, with random weights."""

    encoder: ForeignEncoder

    @property
    def name(self) -> str:
        return f"random, {self.encoder.settings.network} itself"

    def start(self, seed: int) -> Encoder:
        return self.encoder.random(seed)


def kinds_beside(
    encoder: Encoder, spaces: Iterable[Sequence[int]] = ()
) -> tuple[list[SameArchitecture], list[RandomKind]]:
    """The kinds of random encoder that an encoder has to be ahead of: those that stand beside it in
    any case, and those of which the best does."""
    if not isinstance(encoder, ForeignEncoder):
        return [], kinds_of_random_encoder(encoder.settings, spaces)
    settings = EncoderSettings(encoder.in_channels, 3 if encoder.settings.spatial_dims == 3 else 2)
    return [SameArchitecture(encoder)], kinds_of_random_encoder(settings, spaces)


def kinds_of_random_encoder(
    settings: EncoderSettings, spaces: Iterable[Sequence[int]] = ()
) -> list[RandomKind]:
    """All kinds of random encoder of a given network, levels and channels: plain and residual, each
    with every norm and with none.

    Args:
        spaces: sizes of scans, in voxels. Kinds that cannot read them all are left out.
    """
    if settings.network == "densenet121":
        norms = [norm for norm in get_args(NormKind) if norm != "none"]
        shapes = [replace(settings, norm=norm) for norm in norms]
    else:
        shapes = [
            replace(settings, block=block, norm=norm)
            for block in get_args(BlockKind)
            for norm in get_args(NormKind)
        ]
    sizes = set(map(tuple, spaces))
    return [RandomKind(each) for each in shapes if not any(map(each.lack, sizes))]


def best_kinds(
    kinds: Sequence[RandomKind], read: Callable[[Encoder], Reports], seed: int
) -> tuple[dict[str, RandomKind], dict[str, dict[str, float]]]:
    """For each protocol the kind that is best, by one random start of each.

    Args:
        read: reads an encoder, on cases on which nothing else is scored.

    Returns:
        Protocol → kind; and kind's name → protocol → mean score over the draws, of all kinds.
    """
    tried = {
        kind.name: {
            protocol: float(np.mean([report.score for report in reports]))
            for protocol, reports in read(kind.start(seed)).items()
        }
        for kind in kinds
    }
    by_name = {kind.name: kind for kind in kinds}
    protocols = next(iter(tried.values()))
    best = {
        protocol: by_name[max(tried, key=lambda name: tried[name][protocol])]
        for protocol in protocols
    }
    return best, tried

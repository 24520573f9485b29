"""What the features of a frozen encoder are worth, beside everything that they must be ahead of.

By three protocols: a linear probe of the features, one that is also told each voxel's place
(:mod:`.linear_probe`), and label transfer (:mod:`.neighbours`). Beside the encoder stand place
alone, which looks at no scan, and random encoders of the kind that is best
(:mod:`.random_encoders`).
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np

from ssl3d_lite.data.cohort import Cohort, takes_cohort
from ssl3d_lite.data.place import spread
from ssl3d_lite.errors import InputError
from ssl3d_lite.models.compatibility import adopt_encoder, check_encoder_fits, check_unseen
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.models.modes import device_of

from .features import recalibrated
from .linear_probe import FEATURES, WITH_PLACE, probes_by_protocol
from .neighbours import EVERY, label_transfer
from .place import evaluate_place
from .random_encoders import RandomKind, Reports, SameArchitecture, best_kinds, kinds_beside
from .scores import ScoreReport

CALIBRATION_CASES = 16  # cases whose whole volumes set the statistics of BatchNorm
VALIDATION_CASES = 20  # at most, on which the kind of random encoder is chosen
TRANSFER = "neighbours"
ENCODER, PLACE_ALONE = "the encoder", "place alone"


@dataclass(frozen=True)
class ProbeResult:
    """Scores of an encoder's frozen features, and of all that stands beside it."""

    labels: int | str
    """Number, or share, of labelled scans. Label transfer has one."""
    by_protocol: dict[str, dict[str, tuple[ScoreReport, ...]]]
    """Protocol ("probe", "probe+place", "neighbours") → what is read ("the encoder", "place alone",
    a random encoder) → scores of the test cases, one for each draw of labelled scans."""
    random_scores: dict[str, dict[str, float]] = field(default_factory=dict)
    """Kind of random encoder → protocol → its score on validation cases, by which the kinds were
    chosen that stand beside the encoder."""

    @property
    def reports(self) -> tuple[ScoreReport, ...]:
        """The encoder's linear probes, one for each draw."""
        return self.by_protocol[FEATURES][ENCODER]

    @property
    def measure(self) -> str:
        return self.reports[0].measure

    @property
    def score(self) -> float:
        """Mean over the draws of the encoder's linear probes."""
        return float(np.mean([report.score for report in self.reports]))

    def rows(self) -> list[dict[str, str | float]]:
        """One row a protocol and encoder: mean, lowest and highest score over the draws."""
        return [
            {
                "protocol": protocol,
                "encoder": name,
                self.measure: float(np.mean(scores)),
                "lowest": min(scores),
                "highest": max(scores),
            }
            for protocol, by_name in self.by_protocol.items()
            for name, reports in by_name.items()
            for scores in [[report.score for report in reports]]
        ]

    def __str__(self) -> str:
        lines = [f"draw {draw}: {report.line()}" for draw, report in enumerate(self.reports)]
        width = max(len(name) for by_name in self.by_protocol.values() for name in by_name)
        for protocol, by_name in self.by_protocol.items():
            lines.append(f"{TITLES[protocol]}:")
            for name, reports in by_name.items():
                scores = [report.score for report in reports]
                low, high = min(scores), max(scores)
                lines.append(
                    f"  {name:<{width}} {self.measure} {np.mean(scores):.3f} ({low:.3f}–{high:.3f})"
                )
        if self.random_scores:
            best = (
                f"{name} {max(k[name] for k in self.random_scores.values()):.3f}"
                for name in next(iter(self.random_scores.values()))
            )
            lines.append(
                f"random encoders: the best of {len(self.random_scores)} kinds, "
                f"by validation cases ({', '.join(best)})"
            )
        return "\n".join(lines)


TITLES = {
    FEATURES: "linear probe of the features",
    WITH_PLACE: "linear probe of the features and the place",
    TRANSFER: "label transfer by nearest neighbours",
}


@takes_cohort
def probe(
    encoder: Encoder,
    cohort: Cohort,
    labels: int | str = 5,
    *,
    draws: int = 3,
    seed: int = 0,
    fold: int = 0,
    controls: int = 2,
    voxels: int = 3000,
    transfer: bool = False,
) -> ProbeResult:
    """Read a frozen encoder with few labels, beside place alone and the best random encoders.

    Each encoder's BatchNorm takes the statistics of whole volumes first, the random ones' too. The
    encoder that is given stays as it is. Beside one that was made elsewhere
    (:func:`ssl3d_lite.models.foreign_encoder`) stands its own architecture with random weights too.

    Args:
        labels: number of labelled scans to fit on, or a share such as "5%".
        draws: number of different choices of these scans; one probe is fitted on each.
        seed: number from which the choices and the controls' weights are drawn.
        fold: the fold that is the test set; by the validation cases the kind of random encoder is
            chosen.
        controls: number of random encoders of the best kind.
        voxels: number of voxels read from each labelled scan.
        transfer: whether labels are transferred too, from the first of the scans (of graded
            pictures, from all). On a CPU it takes most of the time: a scan of 40 x 56 x 40 voxels
            takes 0.7 s a draw.

    Raises:
        InputError: encoder and cohort do not fit together, the encoder has seen patients that the
            fold holds out, a number is out of its range, or there are no labels.

    Example::

        print(probe(encoder, cohort, labels=2))
    """
    for name, value, least in (("draws", draws, 1), ("controls", controls, 0), ("seed", seed, 0)):
        if not isinstance(value, int) or value < least:
            raise InputError(f"{name} is {value!r}, but must be a whole number, {least} or more")
    cohort.require_whole()
    split = cohort.split(fold)
    if controls and not split.validation:
        raise InputError(
            f"fold {fold} of {cohort.name} has no validation case to choose random encoders by; "
            "take another fold, or controls 0"
        )
    ready = made_ready(encoder, cohort, fold)
    chosen = [cohort.subset(split.train, labels, seed + draw) for draw in range(draws)]
    cohort.require_foreground(sorted({case for draw in chosen for case in draw}))
    one = [cohort.subset(split.train, 1, seed + draw) for draw in range(draws)]  # first of chosen
    transferred = chosen if cohort.ordinal else one

    def untrained(start: Encoder) -> Encoder:
        return made_ready(start.to(device_of(encoder)), cohort, fold)

    def tried(start: Encoder) -> Reports:
        few = spread(split.validation, VALIDATION_CASES)
        return probes_by_protocol(untrained(start), cohort, chosen, few, voxels)

    candidates = {ENCODER: ready}
    random_scores: dict[str, dict[str, float]] = {}
    if controls:
        beside, random_scores = _kinds_of_control(ready, cohort, tried, seed + 100)
        starts = range(seed + 101, seed + 101 + controls)
        candidates |= {
            f"{kind.name}, seed {start}": untrained(kind.start(start))
            for kind in beside
            for start in starts
        }
    by_protocol: dict[str, dict[str, tuple[ScoreReport, ...]]] = {}
    for name, each in candidates.items():
        found = probes_by_protocol(each, cohort, chosen, split.test, voxels)
        if transfer:
            found[TRANSFER] = label_transfer(each, cohort, transferred, split.test, hausdorff=False)
        for protocol, reports in found.items():
            by_protocol.setdefault(protocol, {})[name] = tuple(reports)
    for protocol, by_name in by_protocol.items():
        known, step = (transferred, EVERY) if protocol == TRANSFER else (chosen, 1)
        by_name[PLACE_ALONE] = tuple(
            evaluate_place(cohort, draw, split.test, every=step) for draw in known
        )
    return ProbeResult(labels, by_protocol, random_scores)


def _kinds_of_control(
    encoder: Encoder, cohort: Cohort, read: Callable[[Encoder], Reports], seed: int
) -> tuple[list[SameArchitecture | RandomKind], dict[str, dict[str, float]]]:
    """The kinds of random encoder that stand beside an encoder, and the scores of all kinds by
    which these were chosen: kind → protocol → score."""
    own, every = kinds_beside(encoder, [case.shape for case in cohort.cases])
    best, scores = best_kinds(every, read, seed)
    return [*own, *dict.fromkeys(best.values())], scores


def made_ready(encoder: Encoder, cohort: Cohort, fold: int) -> Encoder:
    """A copy of an encoder that reads the cohort's channels, with BatchNorm's statistics of its
    whole volumes.

    Raises:
        InputError: encoder and cohort do not fit together, or the encoder has seen patients that
            the fold holds out.
    """
    check_unseen(encoder, cohort, fold)
    if encoder.provenance:
        encoder = deepcopy(encoder)
        adopt_encoder(encoder, cohort)
    check_encoder_fits(encoder, cohort)
    return recalibrated(encoder, cohort, cohort.split(fold).pretrain[:CALIBRATION_CASES])

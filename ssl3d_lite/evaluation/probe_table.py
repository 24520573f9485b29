"""Linear probes of several encoders at several numbers of labels, beside random ones and place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ssl3d_lite.data.cohort import Cohort, takes_cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.models.modes import device_of
from ssl3d_lite.models.settings import NormKind

from .linear_probe import probes_by_protocol
from .place import evaluate_place
from .probe import PLACE_ALONE, made_ready
from .random_encoders import kinds_of_random_encoder

NORMS: tuple[NormKind, ...] = ("instance", "batch", "none")


@dataclass(frozen=True)
class ProbeTable:
    """Scores on test cases, as :func:`probe_table` finds them."""

    scores: dict[str, dict[str, dict[int | str, list[float]]]]
    """Protocol ("probe", "probe+place") → arm → number of labelled scans → a score for each encoder
    and draw of these scans."""
    measure: str
    """What the scores are: "dice" or "kappa"."""

    def __str__(self) -> str:
        width = max(len(arm) for arms in self.scores.values() for arm in arms)
        lines = []
        for protocol, arms in self.scores.items():
            lines.append(
                f"{protocol}: mean {self.measure} (lowest to highest) by number of labelled scans"
            )
            for arm, by_labels in arms.items():
                cells = (
                    f"{labels}: {np.mean(each):.3f} ({min(each):.3f} to {max(each):.3f})"
                    for labels, each in by_labels.items()
                )
                lines.append(f"  {arm:{width}}  {'   '.join(cells)}")
        return "\n".join(lines)


@takes_cohort
def probe_table(
    arms: Mapping[str, Sequence[Encoder]],
    cohort: Cohort,
    labels: Sequence[int | str] = (2, 5),
    *,
    draws: int = 2,
    controls: int = 2,
    norms: Sequence[NormKind] = NORMS,
    seed: int = 0,
    fold: int = 0,
    voxels: int = 3000,
) -> ProbeTable:
    """Read frozen encoders at several numbers of labels, beside random encoders and place alone.

    Where :func:`ssl3d_lite.evaluation.probe` reads one encoder and finds the best kind of random
    encoder, this shows every kind, and the spread of all.

    Args:
        arms: name → encoders that were trained alike, such as one a seed.
        labels: numbers of labelled scans to fit on, or shares such as "5%".
        draws: number of different choices of these scans.
        controls: number of random encoders of each kind.
        norms: kinds of random encoder: of the shape of the first arm, with each of these norms.
        seed: number from which the choices and the controls' weights are drawn.
        fold: the fold that is the test set.
        voxels: number of voxels read from each labelled scan.

    Raises:
        InputError: no encoder or number of labels is given, encoder and cohort do not fit together,
            or an encoder has seen patients that the fold holds out.

    Example::

        table = probe_table({"cpc": [encoder]}, cohort, labels=(2, 5))
        print(table)
        show.label_efficiency(table.scores["probe"])
    """
    if not labels or not arms or not all(arms.values()):
        raise InputError("a table needs one number of labels, and one encoder of each arm, or more")
    cohort.require_whole()
    split, first = cohort.split(fold), next(iter(arms.values()))[0]
    kinds = [
        kind
        for kind in kinds_of_random_encoder(first.settings, [case.shape for case in cohort.cases])
        if kind.settings.norm in norms
        and kind.settings == replace(first.settings, norm=kind.settings.norm)
    ]
    every = dict(arms) | {
        kind.name: [kind.start(seed + 100 + n).to(device_of(first)) for n in range(controls)]
        for kind in (kinds if controls else ())
    }
    asked = [(each, draw) for each in labels for draw in range(draws)]
    known = [cohort.subset(split.train, each, seed + draw) for each, draw in asked]
    cohort.require_foreground(sorted({case for draw in known for case in draw}))
    scores: dict[str, dict[str, dict[int | str, list[float]]]] = {}
    for arm, encoders in every.items():
        for encoder in encoders:
            ready = made_ready(encoder, cohort, fold)
            found = probes_by_protocol(ready, cohort, known, split.test, voxels)
            for protocol, reports in found.items():
                own = scores.setdefault(protocol, {}).setdefault(arm, {n: [] for n in labels})
                for (each, _), report in zip(asked, reports, strict=True):
                    own[each].append(report.score)
    place = [evaluate_place(cohort, draw, split.test) for draw in known]
    for by_arm in scores.values():
        by_arm[PLACE_ALONE] = {
            n: [p.score for (each, _), p in zip(asked, place, strict=True) if each == n]
            for n in labels
        }
    return ProbeTable(scores, place[0].measure)

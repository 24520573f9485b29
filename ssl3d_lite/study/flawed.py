"""Made-up studies for the classroom, some with a flaw, in the files that real ones leave behind.

A class learns to judge claims by measuring. So each study is a claim, the rows that it rests on,
and the list of its scans; what is wrong with it stands nowhere. Scores are drawn from the model
that the verdicts rest on: an arm's level, what a seed and a patient bring to all arms alike, and
what they bring to one arm. An arm that is ahead, or not, is so by its level.

Chance could give a study another verdict than was meant. Such a one is drawn again, so that it can
be measured, for every seed, what the flaw hides.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from ssl3d_lite.files import write_csv, write_json
from ssl3d_lite.outputs import check_empty

from .ledger import PATIENTS, RESULTS, STUDY, ResultRow, settings_key
from .settings import Study
from .statistics import Interval, VerdictName, multi_reader

FLAWS: Mapping[str, VerdictName] = {
    "none": "holds",
    "undecided": "cannot tell",
    "pooled": "cannot tell",
    "weak baseline": "does not hold",
    "hidden labels": "does not hold",
    "leakage": "does not hold",
    "best seed": "does not hold",
}
"""What may be wrong with a study → what may be said of its claim."""

MIN_GAIN = 0.02  # worth having
SCANS_FILE, CLAIM_FILE = "scans.csv", "claim.json"
_SEEDS = 10
_BUDGETS = {"2": 2, "5": 5, "20": 20}  # labels → scans to train on
_CHOOSERS = 18  # validation scans: with two labels to train on, twenty in all
_STRONG, _WEAK, _OURS = "scratch", "scratch@group@plain", "cpc"
_Scores = dict[tuple[str, str], np.ndarray]  # arm, labels → (seed, patient)


@dataclass(frozen=True)
class FlawedStudy:
    """A study of made-up scores, with its flaw."""

    flaw: str
    """One of FLAWS."""
    claim: dict[str, Any]
    """What is claimed: arm, against, labels, and the gain that is reported with its ends."""
    rows: list[ResultRow] = field(repr=False)
    """As :attr:`ssl3d_lite.study.Results.rows` has them."""
    scans: list[dict[str, str]] = field(repr=False)
    """scan, patient and side: train, validation, test or pretrain."""

    @property
    def verdict(self) -> VerdictName:
        """What may be said of the claim."""
        return FLAWS[self.flaw]


def flawed_study(flaw: str, seed: int) -> FlawedStudy:
    """A study with a flaw. The same seed gives the same study.

    Args:
        flaw: one of FLAWS.

    Example::

        study = flawed_study("leakage", seed=3)
        study.claim["gain"], study.verdict
    """
    for attempt in count():
        rng = np.random.default_rng([seed, list(FLAWS).index(flaw), attempt])
        patients = int(rng.integers(20, 33))
        seen = rng.random(patients) < (0.4 if flaw == "leakage" else 0.0)
        scores = _scores(flaw, rng, seen)
        claim = _claim(flaw, scores)
        if _is_as_meant(flaw, scores, claim, seen):
            names = [f"p{n:03}" for n in rng.choice(900, patients + 40, replace=False)]
            tested, others = sorted(names[:patients]), names[patients:]
            scans = _scans(rng, tested, others, seen)
            return FlawedStudy(flaw, claim, _rows(flaw, rng, scores, tested), scans)
    raise AssertionError  # count() has no end


def flaws_of(name: str, studies: int = 8) -> dict[str, str]:
    """Which flaw each of a student's studies has: "A" → its flaw. For lecturers.

    Each flaw is there at least once, in an order that depends on the name alone.
    """
    rng = np.random.default_rng(_seed_of(name))
    more = rng.choice(list(FLAWS), max(0, studies - len(FLAWS)))
    dealt = rng.permutation([*FLAWS, *more])[:studies]
    return {chr(ord("A") + n): str(flaw) for n, flaw in enumerate(dealt)}


def write_flawed_studies(name: str, folder: str | Path, studies: int = 8) -> list[Path]:
    """Write a student's studies into ``folder``, one folder each: A, B, … What is there already is
    left as it is.

    Example::

        write_flawed_studies("ada", "runs/a7")
    """
    made = []
    for number, (letter, flaw) in enumerate(flaws_of(name, studies).items()):
        place = Path(folder) / letter
        made.append(place)
        if not (place / STUDY).exists():
            check_empty(place)
            _write(flawed_study(flaw, _seed_of(name) + number), place, letter)
    return made


def _seed_of(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.strip().lower().encode()).digest()[:4])


# ---- scores --------------------------------------------------------------------------------------


def _scores(flaw: str, rng: np.random.Generator, seen: np.ndarray) -> _Scores:
    """Dice of each arm with each number of labels: (seed, patient)."""
    size = _SEEDS, len(seen)
    loud = flaw in ("undecided", "pooled")
    by_seed = 0.03 if loud else 0.02 if flaw == "best seed" else 0.006
    by_patient, rest = (0.06, 0.03) if loud else (0.02, 0.03)
    luck = rng.normal(0, 0.03, (_SEEDS, 1)) + rng.normal(0, 0.05, (1, len(seen)))
    scores = {}
    for labels, level in zip(_BUDGETS, (0.55, 0.6, 0.67), strict=True):
        gain = {"none": 0.055, "undecided": 0.02, "pooled": 0.035}.get(flaw, -0.012)
        ours = level + (0.06 if flaw == "hidden labels" and labels == "2" else gain)
        levels = {_STRONG: level, _WEAK: level - rng.uniform(0.06, 0.1), _OURS: ours}
        for arm, mean in levels.items():
            own = mean + luck + rng.normal(0, by_seed, (_SEEDS, 1))
            own = own + rng.normal(0, by_patient, (1, len(seen))) + rng.normal(0, rest, size)
            remembered = 0.13 * seen if arm == _OURS else 0.0
            scores[arm, labels] = np.clip(own + remembered, 0.01, 0.99)
        scores["place", labels] = np.clip(0.4 + luck + rng.normal(0, 0.01, size), 0.01, 0.99)
    return scores


def _claim(flaw: str, scores: _Scores) -> dict[str, Any]:
    """What the study says of itself, with two labels."""
    against = _WEAK if flaw == "weak baseline" else _STRONG
    apart = scores[_OURS, "2"] - scores[against, "2"]
    gain, ends = float(apart.mean()), multi_reader(apart).interval()
    if flaw == "best seed":
        best = apart[apart.mean(1).argmax()]
        gain, ends = float(best.mean()), _as_independent(best)
    if flaw == "pooled":
        ends = _as_independent(apart.ravel())
    told = {"gain": gain, "low": ends[0], "high": ends[1]}
    named = {"arm": _OURS, "against": against, "labels": "2"}
    return named | {name: round(value, 4) for name, value in told.items()}


def _as_independent(values: np.ndarray) -> Interval:
    """The interval of a mean whose values do not depend on each other."""
    low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    return float(low), float(high)


def _is_as_meant(flaw: str, scores: _Scores, claim: Mapping[str, Any], seen: np.ndarray) -> bool:
    """Whether the claim looks well, and the flaw, if it is taken away, leaves what was meant."""
    labels = "20" if flaw == "hidden labels" else "2"
    honest = (scores[_OURS, "2"] - scores[_STRONG, labels])[:, ~seen]
    low, high = multi_reader(honest).interval()
    margin = 0.002  # from where a verdict would be another
    meant = {
        "holds": low > margin,
        "does not hold": high < MIN_GAIN - margin,
        "cannot tell": low < -margin and high > MIN_GAIN + margin,
    }[FLAWS[flaw]]
    looks_well = claim["gain"] > 0.005 if flaw == "undecided" else claim["low"] > margin
    strong, weak = (scores[arm, "2"].mean() for arm in (_STRONG, _WEAK))
    return (
        meant
        and looks_well
        and strong > weak
        and (flaw != "leakage" or 4 <= seen.sum() <= len(seen) - 10)
    )


# ---- files ---------------------------------------------------------------------------------------


def _rows(
    flaw: str, rng: np.random.Generator, scores: _Scores, tested: list[str]
) -> list[ResultRow]:
    """A row a run, in no order."""
    rows = []
    for (arm, labels), table in scores.items():
        chosen = flaw == "hidden labels" and arm == _OURS
        for seed, own in enumerate(table):
            steps = None if arm == "place" else 100
            row = {
                **{"run": settings_key({"of": [*table[0, :3], arm, labels, seed]}), "arm": arm},
                **{"protocol": "finetune", "task": "", "labels": labels},
                **{"scans": _BUDGETS[labels], "seed": seed, "fold": 0, "steps": steps},
                **{"measure": "dice", "score": float(own.mean()), "failure": ""},
                "validation": float(own.mean() + rng.normal(0, 0.01)) if chosen else None,
                "best_step": int(rng.integers(3, 10)) * 10 if chosen else None,
                "case_scores": dict(zip(tested, own.tolist(), strict=True)),
            }
            rows.append(row)
    return [rows[n] for n in rng.permutation(len(rows))]


def _scans(
    rng: np.random.Generator, tested: list[str], others: list[str], seen: np.ndarray
) -> list[dict[str, str]]:
    """Every scan with its patient and its side. Most patients have several scans; of a tested one
    that was ``seen``, another scan is trained on."""
    sides = dict.fromkeys(others[:_CHOOSERS], "validation") | dict.fromkeys(
        others[_CHOOSERS:], "train"
    )
    found = []
    for patient, side in (dict.fromkeys(tested, "test") | sides).items():
        visits = 1 if side == "validation" else int(rng.integers(1, 4))
        found += [(patient, side)] * visits
    found += [(tested[n], "pretrain") for n in np.flatnonzero(seen)]
    order = rng.permutation(len(found))
    return [
        {"scan": f"scan_{n:04}", "patient": found[place][0], "side": found[place][1]}
        for n, place in enumerate(order)
    ]


def _write(study: FlawedStudy, folder: Path, name: str) -> None:
    """The files of a finished study, its claim and its scans; the study's own record comes last."""
    folder.mkdir(parents=True, exist_ok=True)
    named = ("run", "protocol", "steps", "arm", "labels", "seed", "fold")
    write_csv(
        folder / PATIENTS,
        [
            {column: row[column] for column in named}
            | {f"patient {patient}": score for patient, score in row["case_scores"].items()}
            for row in study.rows
        ],
    )
    rows = [{k: v for k, v in row.items() if k != "case_scores"} for row in study.rows]
    write_csv(folder / RESULTS, [{"study": name, "cohort": "made up", **row} for row in rows])
    write_csv(folder / SCANS_FILE, study.scans)
    write_json(folder / CLAIM_FILE, study.claim)
    sides = [scan["side"] for scan in study.scans]
    settings = Study(
        name=f"study-{name}",
        scale="class",
        title=f"Study {name}",
        arms=(_OURS, _STRONG, _WEAK),
        labels=tuple(_BUDGETS),
        cohort={"recipe": "virtual-hippocampus"},
        seeds=_SEEDS,
        protocols=("finetune",),
        min_effect=MIN_GAIN,
        pretrain={"steps": 100},
    )
    facts: dict[str, Any] = {"cohort": "made up", "corpus": None}
    facts |= {side: sides.count(side) for side in ("train", "validation", "test", "pretrain")}
    facts["runs"] = [row["run"] for row in study.rows]
    write_json(folder / STUDY, {"study": vars(settings), "facts": facts})

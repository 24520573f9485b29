"""How often a study's verdicts are wrong, and what they find: whole studies, made up and judged.

    python tests/benchmarks/operating_characteristics.py [--studies 1000] [--write]

Each made-up study has three pretrained arms, one from scratch, two random encoders and place alone,
with 2 and 20 labels and 40 test patients; it is judged by `claims()` as a real one is: assay and
room, failures apart, Holm's correction, looks. Where nothing is to be found, any "holds" is a false
claim. With --write the tables are put into docs/verdicts.md, between their markers.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from ssl3d_lite.study.claims import claims
from ssl3d_lite.study.results import Results
from ssl3d_lite.study.settings import Study
from ssl3d_lite.study.trials import FEW_LABELS

PAGE = Path(__file__).parents[2] / "docs" / "verdicts.md"
ARMS = ("cpc", "rpl", "jigsaw")
LABELS = {"2": 0.60, "20": 0.75}  # what training from scratch scores
PROBE, PLACE, CRASH = 0.58, 0.45, 0.25  # probes, place alone, what a failed run loses or more
PATIENTS = 40


@dataclass(frozen=True)
class World:
    """From what a study is drawn. Standard deviations of Dice."""

    gain: float = 0.0  # of the first arm, with 2 labels and in the probe
    skewed: float = 0.0  # share of pretrained arms' variance from run to run that has a long tail
    scratch: float = 0.02  # from run to run of training from scratch and of random encoders
    failing: float = 0.0  # share of all runs that learn nothing
    clustered: float = 0.02  # from patient to patient, of what an arm is ahead there
    run: float = 0.02  # from run to run of a pretrained arm
    cell: float = 0.04  # of one run on one patient, beyond all else
    one_claim: bool = False  # whether the plan claims one thing of one arm, and not everything


NULLS = {
    "normal": World(),
    "skewed: pretrained runs have a long tail downwards": World(skewed=1.0),
    "the same, twice as long as the spread of scratch": World(skewed=1.0, run=0.04),
    "failing: 5 % of all runs": World(failing=0.05),
    "failing: 10 % of all runs": World(failing=0.10),
    "clustered: patients differ in which arm suits them": World(clustered=0.07),
    "clustered, and 10 % of all runs fail": World(clustered=0.07, failing=0.10),
    "normal, and the plan makes one claim": World(one_claim=True),
}
POWER = {
    "normal": World(),
    "normal, and the plan makes one claim": World(one_claim=True),
    "runs and patients vary half as much": World(run=0.01, scratch=0.01, clustered=0.01),
    "10 % of all runs fail": World(failing=0.10),
    "patients differ in which arm suits them": World(clustered=0.07),
}
GAINS = (0.02, 0.05)
SEEDS = (6, 12)
LOOKS = (6, 8, 10, 12)


# ---- studies -----------------------------------------------------------------------------------


def made_up(world: World, seeds: int, rng: np.random.Generator) -> Results:
    """A study with all its rows."""
    plan = {"claims": (FEW_LABELS,), "claim_arms": ARMS[:1]} if world.one_claim else {}
    study = Study(
        "made-up",
        "smoke",
        title="Made up",
        arms=(*ARMS, "scratch", "random", "random@group"),
        labels=tuple(LABELS),
        cohort={},
        seeds=seeds,
        protocols=("finetune", "probe"),
        pretrain={"steps": 100},
        **plan,
    )
    patients = rng.normal(0, 0.08, PATIENTS)  # some are harder, for every arm
    luck = rng.normal(0, 0.03, (seeds, len(LABELS)))  # of a seed's labelled scans, for every arm
    rows = [
        row("place", protocol, each, 0, PLACE + patients)
        for each in LABELS
        for protocol in ("finetune", "probe")
    ]
    for arm in study.arms:
        suits = rng.normal(0, world.clustered, PATIENTS)
        for seed in range(seeds):
            own = run_effect(world, arm, rng)
            for place, (labels, score) in enumerate(LABELS.items()):
                for protocol, middle in protocols_of(arm, score):
                    helped = arm == ARMS[0] and (protocol == "probe" or labels == "2")
                    scores = middle + patients + suits + own + luck[seed, place]
                    scores = scores + rng.normal(0, world.cell, PATIENTS) + helped * world.gain
                    if protocol == "finetune" and rng.random() < world.failing:
                        scores = scores - CRASH - rng.exponential(0.1)
                    rows.append(row(arm, protocol, labels, seed, scores))
    return Results(study, rows)


def protocols_of(arm: str, score: float) -> list[tuple[str, float]]:
    """How an arm is read, and what it scores there on average."""
    tuned, probed = ("finetune", score), ("probe", PROBE)
    return [tuned, probed] if arm in ARMS else [tuned if arm == "scratch" else probed]


def run_effect(world: World, arm: str, rng: np.random.Generator) -> float:
    """What one start is worth, zero on average."""
    if arm not in ARMS:
        return float(rng.normal(0, world.scratch))
    tail = 1 - rng.exponential()
    share = np.sqrt([1 - world.skewed, world.skewed])
    return float(world.run * (share @ [rng.normal(), tail]))


def row(arm: str, protocol: str, labels: str, seed: int, scores: np.ndarray) -> dict[str, Any]:
    return {
        **{"run": "", "arm": arm, "protocol": protocol, "task": "", "labels": labels},
        **{"seed": seed, "fold": 0, "steps": 100, "scans": None, "measure": "dice", "failure": ""},
        "score": float(scores.mean()),
        "case_scores": {f"p{i}": float(each) for i, each in enumerate(scores)},
    }


def at_seeds(results: Results, seeds: int, looks: Sequence[int]) -> Results:
    """The same study, looked at when it had fewer seeds."""
    rows = [each for each in results.rows if each["seed"] < seeds]
    return Results(replace(results.study, seeds=seeds), rows, {"looks": list(looks)})


def verdicts(results: Results) -> dict[tuple[str, str], str]:
    """Claim and arm → verdict, of all that are put to the test."""
    return {
        (claim.name, finding.arm): finding.verdict
        for claim in claims(results)
        for finding in claim.findings
    }


# ---- counting ----------------------------------------------------------------------------------

Shares = dict[str, float]


def shares(world: World, seeds: int, studies: int) -> Shares:
    """In which share of studies anything "holds", and what is said of the first arm's claim to be
    better with few labels."""
    found: Counter[str] = Counter()
    for number in tqdm(range(studies), desc=f"{seeds} seeds", leave=False):
        said = verdicts(made_up(world, seeds, np.random.default_rng([number, seeds])))
        found.update(["any"] * ("holds" in said.values()))
        found.update([said[FEW_LABELS, ARMS[0]]])
    return {name: count / studies for name, count in found.items()}


def looked_at(studies: int) -> float:
    """The share of studies without any gain in which something holds at one of several looks."""
    found = 0
    for number in tqdm(range(studies), desc="looks", leave=False):
        results = made_up(World(), LOOKS[-1], np.random.default_rng([number, LOOKS[-1], 0]))
        found += any("holds" in verdicts(at_seeds(results, n, LOOKS)).values() for n in LOOKS)
    return found / studies


def percent(found: float, studies: int) -> str:
    """A share with its Monte Carlo standard error."""
    error = np.sqrt(max(found, 1 / studies) * (1 - found) / studies)
    return f"{found:.1%} ± {error:.1%}"


def false_claims(studies: int) -> Iterable[list[str]]:
    for name, world in NULLS.items():
        found = [shares(world, seeds, studies) for seeds in SEEDS]
        false = [percent(each.get("any", 0), studies) for each in found]
        yield [name, *false, *(f"{each.get('cannot tell', 0):.0%}" for each in found)]
    name = f"normal, looked at with {', '.join(map(str, LOOKS))} seeds until something holds"
    yield [name, "", percent(looked_at(studies), studies), "", ""]


def power(studies: int) -> Iterable[list[str]]:
    for name, world in POWER.items():
        for gain in GAINS:
            found = [shares(replace(world, gain=gain), seeds, studies) for seeds in SEEDS]
            said = ("holds", "does not hold")
            cells = [percent(each.get(which, 0), studies) for which in said for each in found]
            yield [name, f"{gain:g}", *cells]


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def tables(studies: int) -> str:
    """Both tables, as markdown."""
    seeds = [f"{each} seeds" for each in SEEDS]
    first = table(
        ["nothing is to be found", *seeds, *(f"cannot tell, {each}" for each in seeds)],
        false_claims(studies),
    )
    found = [f"found, {each}" for each in seeds]
    denied = [f"ruled out, {each}" for each in seeds]
    second = table(["a true gain", "Dice", *found, *denied], power(studies))
    return f"{studies} studies a figure.\n\n{first}\n\n{second}"


def put_between(text: str, name: str, new: str) -> str:
    """A page with what stands between the markers of ``name`` replaced."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = text.split(begin)
    return f"{before}{begin}\n{new}\n{end}{rest.split(end)[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    made = tables(options.studies)
    print(made)
    if options.write:
        text = put_between(PAGE.read_text(encoding="utf-8"), "operating characteristics", made)
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

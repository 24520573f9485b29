"""What a study's numbers do not show. Which of it is said depends on the study."""

from .claims import Claim
from .results import Results
from .statistics import CONFIDENCE

FEW_PAIRS = 5  # pairs, below which an interval rests on little


def limits(results: Results, claims: list[Claim]) -> list[str]:
    """The limits, in sentences."""
    study, known = results.study, results.facts
    about = f"{known.get('cohort', '')} {known.get('description', '')}"
    said = [
        "Intervals speak of other seeds: other draws of labels, starts and orders of batches. They "
        f"do not speak of other test cases: all scores are of the same {tested(results)}, and "
        "another cohort may order the arms otherwise.",
        *by_luck(claims),
    ]
    if results.planned == 1:
        said.append("One seed decides nothing, so nothing is decided here.")
    elif results.planned < FEW_PAIRS:
        said.append(
            f"{results.planned} pairs are few: Student's t, which assumes that differences are "
            "spread normally, then decides the intervals, and only large effects can be told."
        )
    if study.probe.get("same_draws"):
        said.append(
            "All seeds of the probe have the same draws of labels, so its intervals speak of other "
            "encoders, and not of other labels."
        )
    if len(study.folds) > 1:
        said.append(
            "Folds share most of their training scans, so their differences are not independent, "
            "and the intervals are narrower than they should be."
        )
    if study.slices and any(arm.flat for arm in results.arms):
        said.append(
            "Arms on slices are scored on the slices that were cut "
            f"({', '.join(f'{name} {value}' for name, value in study.slices.items())}), 3D arms "
            "on whole scans."
        )
    if "virtual" in about.lower():
        said.append(
            "The scans are virtual, easier and more alike than patients: a method that fails on "
            "them is broken, one that works has yet to be tried on real scans."
        )
    if study.scale == "smoke":
        said.append(
            "Scale smoke shows that everything runs. Its networks have learnt next to nothing."
        )
    elif study.scale != "full":
        said.append(
            f"Scale {study.scale} has fewer scans and steps than the study is meant to have. An "
            "arm that falls behind here may only have been trained too little."
        )
    if any(arm.source == "tissue" for arm in results.arms):
        said.append(
            "tissue is no self-supervision: its labels are made by a segmentation of grey values."
        )
    said.append(
        "Arms of one dimension have the same number of steps, not the same hours. A puzzle with "
        "other settings may do better or worse."
    )
    return said


def tested(results: Results) -> str:
    count = results.facts.get("test")
    return "test scans" if count is None or len(results.study.folds) > 1 else f"{count} test scans"


def by_luck(claims: list[Claim]) -> list[str]:
    """How many verdicts would hold by chance alone."""
    tried = [f for c in claims for f in c.findings if f.comparison and f.comparison.interval]
    held = sum(f.verdict == "holds" for f in tried)
    chance = len(tried) * (1 - CONFIDENCE) / 2
    if not tried:
        return []
    return [
        f"{len(tried)} comparisons were made, and {held} hold. If pretraining did nothing at all, "
        f"about {chance:.1f} would hold by luck: each has its own interval, and none is widened "
        "for their number."
    ]

"""What a study's numbers do not show. Which of it is said depends on the study."""

from collections import Counter
from typing import get_args

from .claims import Claim
from .results import Results
from .sentences import many
from .statistics import LEVEL, VerdictName, level_of_look
from .verdicts import SEARCH, look_of


def limits(results: Results, claims: list[Claim]) -> list[str]:
    """The limits, in sentences."""
    study, known = results.study, results.facts
    about = f"{known.get('cohort', '')} {known.get('description', '')}"
    said = [f"No result can be quoted from this study: {SEARCH}."] if study.is_search else []
    said += [*by_what(results, claims), *by_number(results, claims)]
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


def by_what(results: Results, claims: list[Claim]) -> list[str]:
    """What the intervals speak of."""
    known = [f.comparison for c in claims for f in c.findings if f.comparison]
    seeds = (
        "Intervals speak of other seeds: other draws of labels, starts and orders of batches. They "
        f"do not speak of other test cases: all scores are of the same {tested(results)}, and "
        "another cohort may order the arms otherwise."
    )
    both = (
        "Intervals speak of other seeds and of other patients like those tested; another cohort "
        "may order the arms otherwise."
    )
    if any(each.estimate for each in known):
        return [both]
    return [seeds, "The patients' scores were not stored, so no verdict can be given."]


def by_number(results: Results, claims: list[Claim]) -> list[str]:
    """How many verdicts were asked for, and how often."""
    judged = [
        f.comparison
        for c in claims
        for f in c.findings
        if f.comparison and f.comparison.p is not None
    ]
    if not judged:
        return []
    count = Counter(each.verdict for each in judged)
    found = ", ".join(f"{count[name]} {name}" for name in get_args(VerdictName) if count[name])
    look, level = look_of(results), level_of_look(look_of(results))
    known = "" if "looks" in results.facts else " (how often it was looked at before is unknown)"
    return [
        f"Judged together: {many(len(judged), 'comparison')} ({found}). Holm's correction, which "
        f"counts all of them, keeps false claims of either kind to {LEVEL:.1%} of all studies like "
        f"this one. This is look {look} at a number of seeds{known}: a one-sided p of up to "
        f"{level:.2g} counts. Each look spends a part of the "
        "level, since adding seeds until something holds would else find something."
    ]


def tested(results: Results) -> str:
    scored = results.study.scored
    count = None if len(results.study.folds) > 1 else results.facts.get(scored)
    return f"{scored} scans" if count is None else f"{count} {scored} scans"

"""What a study could find, before it is run: from how earlier results of its cohort varied."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ssl3d_lite.errors import InputError

from .arms import find_twin
from .baselines import Where, contrast, from_scratch
from .ledger import STUDY
from .rehearsal import planned_comparisons
from .results import Results, load_results
from .sentences import many
from .settings import Study
from .statistics import MIN_SEEDS, Spread, level_of_look, smallest_gain
from .verdicts import SEARCH


def foresight(study: Study, cohort: str, test: int, out: Path) -> str:
    """The smallest gain in fine-tuning that a study could find, as a sentence.

    Args:
        cohort: the benchmark's name.
        test: its number of test patients.
        out: the study's folder: earlier results are looked for there and in the folders beside it.
    """
    if missing := what_is_missing(study, test):
        return f"It will give no verdict, whatever it finds, because {'; '.join(missing)}."
    asked = len(planned_comparisons(study))
    level = level_of_look(1) / max(1, asked)
    start = (
        f"With {study.seeds} seeds, {test} test patients and {many(asked, 'comparison')}, the "
        "smallest gain in fine-tuning that it finds four times in five is "
    )
    for earlier in earlier_results(out, cohort):
        if spreads := spreads_of(earlier):
            gains = [
                smallest_gain(error, min(df, 2 * (study.seeds - 1)), level)
                for error, df in (each.error(study.seeds, test) for each in spreads)
            ]
            return (
                f"{start}{np.median(gains):.3f} ({min(gains):.3f} to {max(gains):.3f}), if arms "
                f"vary as in {earlier.folder}; worth having is {study.min_effect:g}."
            )
    alike = smallest_gain(*Spread(1.0, 0.0, 0.0).error(study.seeds, max(test, 2)), level)
    return (
        f"{start}not known, as no earlier results of {cohort} with patients' scores lie beside it: "
        f"{alike:.1f} times the standard deviation of differences from seed to seed, or more."
    )


def what_is_missing(study: Study, test: int) -> list[str]:
    """Why no verdict can come of a study, as it is laid out, in clauses that follow "because"."""
    arms = study.parsed_arms()
    learnt = "finetune" in study.protocols and any(
        find_twin(arms, arm, "scratch") for arm in arms if not arm.is_control
    )
    asked = (
        (study.is_search, SEARCH),
        (study.seeds < MIN_SEEDS, f"it has {study.seeds} of the {MIN_SEEDS} seeds that one needs"),
        (test < 2, f"it has {many(test, 'test patient')} of the 2 that one needs"),
        (
            not learnt,
            "no pretrained arm has a twin that is fine-tuned from scratch, to show that "
            "this can be learnt",
        ),
    )
    return [why for lacks, why in asked if lacks]


def earlier_results(out: Path, cohort: str) -> Iterable[Results]:
    """Finished studies of the same cohort: that in ``out`` first, then those beside it."""
    folders = [out, *sorted(each.parent for each in out.resolve().parent.glob(f"*/{STUDY}"))]
    for folder in folders:
        try:
            found = load_results(folder)
        except (InputError, OSError, KeyError, TypeError, ValueError):
            continue  # none, or one of a user's own
        if found.facts.get("cohort") == cohort:
            yield found


def spreads_of(results: Results) -> list[Spread]:
    """How each pretrained arm's difference to its twin from scratch varied, with fewer labels than
    the most."""
    labels = results.labels_of("finetune")
    where = Where("finetune", labels[:-1] or labels)
    compared = (
        contrast(results, where, arm, from_scratch) for arm in results.arms if not arm.is_control
    )
    return [each.spread for each in compared if each and each.spread]

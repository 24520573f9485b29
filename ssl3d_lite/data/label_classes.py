"""Which classes the labels show, before anything is learnt from them.

A case without foreground is a legitimate answer. A class that no training case shows is one that
cannot be learnt, and a score of it is no fault of the network.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from .alike import SHOWN
from .case import Case
from .cohort import Cohort, CohortDescription


def classes_of(cohort: CohortDescription, case: Case) -> set[int]:
    """Classes in a case's label map, the background too; or its one grade.

    Raises:
        InputError: it cannot be read.
    """
    _, label = cohort.read(case)
    return set() if label is None else _classes_in(label)


def _classes_in(label: np.ndarray) -> set[int]:
    return set(np.flatnonzero(np.bincount(label.ravel())).tolist())


def absent_classes(cohort: Cohort, cases: Iterable[int]) -> tuple[str, ...]:
    """Names of the classes that none of ``cases`` (positions) shows; of a map, the foreground's.

    Reads labels up to the first case by which all have been seen.

    Example::

        absent_classes(cohort, cohort.split().train)  # ("tumour",)
    """
    absent = set(range(0 if cohort.ordinal else 1, len(cohort.label_names)))
    for case in cases:
        if not absent:
            break
        # not classes_of, which reads a file: the cohort may be resident
        absent -= _classes_in(cohort.labels([case]).cpu().numpy())
    return tuple(cohort.label_names[number] for number in sorted(absent))


def label_remarks(cohort: Cohort) -> Iterator[str]:
    """What a user should know of the label maps: empty ones, and classes that are nowhere, or in no
    training case of a fold."""
    labelled = [number for number, case in enumerate(cohort.cases) if case.labelled]
    if cohort.ordinal or not labelled:
        return
    seen = {number: classes_of(cohort, cohort.cases[number]) - {0} for number in labelled}
    empty = [cohort.cases[number].id for number, classes in seen.items() if not classes]
    if len(empty) == len(labelled):
        yield f"all {len(empty)} label maps are empty: nothing can be learnt from them"
        return
    if empty and not cohort.cases[labelled[0]].slice_of:  # many slices lie beside the organ
        more = f" and {len(empty) - SHOWN} more" if len(empty) > SHOWN else ""
        yield f"empty label maps, taken as cases without foreground: {_listed(empty[:SHOWN])}{more}"
    every = set(range(1, len(cohort.label_names)))
    nowhere = every - set().union(*seen.values())
    if nowhere:
        yield f"no label map shows {_names(cohort, nowhere)}"
    folds = sorted({case.fold for case in cohort.cases if case.fold is not None})
    for fold in folds if len(folds) > 2 else ():
        missing = every - nowhere - set().union(*(seen[case] for case in cohort.split(fold).train))
        if missing:
            yield f"fold {fold}: no training case shows {_names(cohort, missing)}"


def _names(cohort: Cohort, classes: set[int]) -> str:
    return _listed(cohort.label_names[number] for number in sorted(classes))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)

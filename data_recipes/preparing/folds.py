"""Folds: which patients are trained on and which tested on, settled when a cohort is made."""

import warnings
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from ssl3d_lite.data.case import Case

FEWEST_FOLDS = 3  # one fold to test on, one to validate on, one to learn from


def assign_folds(
    cases: Sequence[Case], folds: int, seed: int, held_out: Collection[str] = ()
) -> tuple[list[Case], tuple[str, ...]]:
    """Give every patient a fold, so that no patient stands on two sides of a split.

    Patients with a labelled case are spread evenly over the folds; where labels are grades, each
    grade is. All scans of a patient get the same fold, unlabelled ones too, and so do the patients
    of two scans that are the same picture: public collections hold some twice, under other names.
    A patient without any label gets no fold, and is free for pretraining. With fewer labelled
    patients than folds there are as many folds as patients; below three, none.

    Args:
        held_out: ids of the data set's own test part. They are fold 0, with their patients and
            copies; all others are spread over the other folds.

    Returns:
        The cases with their folds, and remarks that a user should read.
    """
    groups = group_patients(cases)
    notes: tuple[str, ...] = ()
    labelled = [i for i, case in enumerate(cases) if case.labelled]
    test = {groups[i] for i in labelled if cases[i].id in held_out}
    spread = [i for i in labelled if groups[i] not in test]
    held, known = [groups[i] for i in spread], [cases[i].grade for i in spread]
    grades = [grade for grade in known if grade is not None]
    first = int(bool(test))  # the first of the folds that are dealt
    number = min(folds, len(set(held)) + first)
    if number < FEWEST_FOLDS:
        who = f"{len(set(held))} patients{' beside the test part' if test else ''}"
        why = f"only {who} have a label, and a split needs {FEWEST_FOLDS - first}: label more"
        why = why if labelled else "no case has a label, so all are for pretraining"
        return [replace(case, fold=None) for case in cases], (f"no folds: {why}",)
    if number < folds:
        notes = (f"only {number} folds: no more patients have a label",)
    dealt, rare = _spread(held, grades if None not in known else None, number - first, seed)
    fold_of = {group: fold + first for group, fold in dealt.items()} | dict.fromkeys(test, 0)
    if rare:
        notes = (*notes, f"fewer cases than folds have grade {', '.join(map(str, rare))}")
    return [replace(case, fold=fold_of.get(group)) for case, group in zip(cases, groups)], notes


def _spread(
    patients: Sequence[str], grades: Sequence[int] | None, folds: int, seed: int
) -> tuple[dict[str, int], list[int]]:
    """Patient → fold, and the grades that are too rare to be in each."""
    # a second to import; workers have no need of it
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    counts = Counter(grades or ())
    rare = sorted(grade for grade, count in counts.items() if count < folds)
    # where all are rare, scikit-learn refuses to spread them
    kind = StratifiedGroupKFold if len(rare) < len(counts) else GroupKFold
    splitter = kind(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")  # the caller reports them
        sides = list(splitter.split(patients, grades, patients))
    return {patients[i]: fold for fold, (_, out) in enumerate(sides) for i in out}, rare


def group_patients(cases: Sequence[Case]) -> list[str]:
    """A name a case, equal where cases must share a fold: of a patient, or copies of a picture."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    patients = [case.patient for case in cases]
    pictures = [("picture", case.sha256.get("image", case.id)) for case in cases]
    number = {name: i for i, name in enumerate(dict.fromkeys([*patients, *pictures]))}
    rows, columns = ([number[name] for name in names] for names in (patients, pictures))
    links = coo_matrix((np.ones(len(cases)), (rows, columns)), (len(number), len(number)))
    _, part = connected_components(links, directed=False)
    first: dict[int, str] = {}
    return [first.setdefault(part[row], name) for row, name in zip(rows, patients)]

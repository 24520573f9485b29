"""Folds: who may be learnt from and who is tested on, settled once when a cohort is made."""

from collections.abc import Sequence
from dataclasses import replace

from ssl3d_lite.cohort import Case

FEWEST = 3  # one fold to test on, one to validate on, one to learn from


def deal_folds(cases: Sequence[Case], folds: int, seed: int) -> tuple[list[Case], tuple[str, ...]]:
    """Give every patient a fold, so that no patient stands on two sides of a split.

    Patients with a labelled case are dealt out evenly. All scans of a patient go the same way,
    unlabelled ones too; a patient without any label gets no fold, and is free for pretraining.
    With fewer such patients than folds there are as many folds as patients; below three, none.

    Returns:
        The cases with their folds, and remarks that a user should read.
    """
    from sklearn.model_selection import GroupKFold  # a second to import; workers have no need of it

    patients = [case.patient for case in cases if case.labelled]
    number = min(folds, len(set(patients)))
    if number < FEWEST:
        note = f"no folds: only {number} patients have a label, and a split needs {FEWEST}"
        return [replace(case, fold=None) for case in cases], (note,)
    notes = () if number == folds else (f"only {number} folds: no more patients have a label",)
    dealer = GroupKFold(number, shuffle=True, random_state=seed)
    fold_of = {
        patients[i]: fold
        for fold, (_, held_out) in enumerate(dealer.split(patients, groups=patients))
        for i in held_out
    }
    return [replace(case, fold=fold_of.get(case.patient)) for case in cases], notes

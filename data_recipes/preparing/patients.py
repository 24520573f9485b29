"""Whose scan is whose: by a table, or by the folders of BIDS, or else each scan is a patient."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from data_recipes.readers.tables import read_table
from ssl3d_lite.errors import InputError

from .engine import RawCase
from .settings import Into

SUBJECT = re.compile(r"(sub-[a-z0-9]+)([_.].*)?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class PatientTable(Into):
    """Settings of a recipe whose files do not say whose they are."""

    table: Path | None = None
    """CSV file with the columns image and patient: whose scan it is. Without it, each scan whose
    files do not say so (as DICOM and BIDS do) is taken for a patient of its own; if some came
    twice, one scan would then help to test the other."""


def with_patients(
    cases: Sequence[RawCase],
    table: Path | None,
    raw: Path,
    names: Callable[[str], Sequence[str]],
) -> list[RawCase]:
    """Cases with the patients that a table names; a row or a scan that stands alone is a fault.

    Args:
        table: may be None: the cases as they are.
        raw: the folder that the scans lie in.
        names: what a table may call a scan → ids that it may mean, the likeliest first.

    Raises:
        InputError: the table cannot be read, or lacks a column, or names two patients of a scan.
    """
    if table is None:
        return list(cases)
    known = {case.id for case in cases}
    patient_of: dict[str, str] = {}
    for image, row in read_table(table, ("image", "patient")).items():
        meant = names(image)
        name = next((name for name in meant if name in known), meant[-1])
        if patient_of.setdefault(name, row["patient"]) != row["patient"]:
            raise InputError(f"{table} names two patients of {name}; keep one")
    named = []
    for case in cases:
        fault = case.fault or ("" if patient_of.get(case.id) else f"{table} names no patient of it")
        named.append(replace(case, patient=patient_of.get(case.id) or case.patient, fault=fault))
    lone = [
        RawCase(name, name, {}, fault=f"{table} has a row for it, but {raw} has no such scan")
        for name in patient_of.keys() - known
    ]
    return named + sorted(lone, key=lambda case: case.id)


def subject_of(path: str) -> str:
    """The subject that a path below the raw folder names, as BIDS does; "" if it names none.

    Folders above it do not count: they may be sessions, or derivatives of the same scans. Two
    hospitals' sub-01 are thus one patient, which costs little; one person in two folds costs the
    score its meaning.

    Example::

        subject_of("sub-01/ses-02/anat/sub-01_ses-02_T1w.nii.gz")  # "sub-01"
    """
    found = (SUBJECT.fullmatch(part) for part in PurePosixPath(path).parts)
    return next((subject[1] for subject in found if subject), "")

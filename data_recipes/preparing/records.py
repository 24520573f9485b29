"""What a run leaves behind for the next one, should it be killed: a record a finished case.

Records lie in the cohort's folder as ``records/ID.json``. One is written after its case's arrays,
and removed once the manifest has taken it over; so whatever has a record, or stands in the
manifest, is whole and need not be made again.
"""

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ssl3d_lite.data.cohort import (
    MANIFEST,
    RECORDS,
    Case,
    Cohort,
    CohortDescription,
    case_from_json,
)
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import write_json

ARRAYS_VERSION = 2
"""Goes up when the same raw files and settings give other arrays than before; what an earlier
version prepared is then made anew. 2: zscore keeps small bright lesions, and resampled labels are
those of most of a voxel. A manifest that names none is of version 1."""

Stamps = dict[str, list[int]]  # channel or "label" → size in bytes and time, ns, of the raw file


@dataclass(frozen=True)
class Record:
    """A finished case, and when its raw files had last been changed."""

    case: Case
    stamps: Stamps = field(default_factory=dict)  # not known of a case from the manifest
    outdated: bool = False  # an earlier version made its arrays


def write_record(about: CohortDescription, case: Case, stamps: Stamps | None = None) -> None:
    """Note that a case's arrays are complete."""
    path = about.folder / RECORDS / f"{case.id}.json"
    write_json(path, {"terms": _terms(about), "case": asdict(case), "stamps": stamps or {}})


def read_records(about: CohortDescription) -> dict[str, Record]:
    """What the folder of ``about`` holds already, from manifest and records, by case id.

    Raises:
        InputError: it was made with other settings; says which.
    """
    known = {}
    if (about.folder / MANIFEST).exists():
        old = Cohort.open(about.folder)
        outdated = _is_outdated(about, _terms(old))
        known = {case.id: Record(case, outdated=outdated) for case in old.cases}
    for path in sorted((about.folder / RECORDS).glob("*.json")):
        try:
            record = json.loads(path.read_text())
            terms, stamps = record["terms"], record["stamps"]
            case = case_from_json(record["case"])
        except (ValueError, KeyError, TypeError):  # a power cut can empty a file: make it again
            continue
        known[case.id] = Record(case, stamps, _is_outdated(about, terms))
    return known


def remove_records(folder: Path) -> None:
    """The manifest is written: the records have served."""
    shutil.rmtree(folder / RECORDS, ignore_errors=True)


def _terms(cohort: CohortDescription) -> dict[str, Any]:
    """All that decides what is in arrays and folds, as JSON gives it back."""
    terms = cohort.recipe | {"channels": cohort.channels, "label_values": cohort.label_values}
    return json.loads(json.dumps(terms))


def _is_outdated(about: CohortDescription, old: dict[str, Any]) -> bool:
    """Whether an earlier version made what is there.

    Raises:
        InputError: other settings did.
    """
    new, old, versions = _terms(about), dict(old), []
    for terms in (new, old):
        # slices have the settings of the volumes that they are cut from
        volumes = dict(terms.get("cohort") or {})
        versions.append((terms.pop("version", 1), volumes.pop("version", 1)))
        terms |= {"cohort": volumes} if volumes else {}
    for name in sorted(old.keys() | new.keys()):
        if old.get(name) != new.get(name):
            raise InputError(
                f"{about.folder} was prepared with {name} = {old.get(name)}, not "
                f"{new.get(name)}; keep to that, or prepare into another folder"
            )
    return versions[0] != versions[1]

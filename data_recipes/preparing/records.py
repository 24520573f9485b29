"""What a run leaves behind for the next one, should it be killed: a record a finished case.

Records lie in the cohort's folder as ``records/ID.json``. One is written after its case's arrays,
and removed once the manifest has taken it over; so whatever has a record, or stands in the
manifest, is whole and need not be made again.

The folder may hold other files, which a user has put there: only what the command has said that it
will write, in the folder's mark, is written over or removed.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ssl3d_lite.data.case import Case, case_from_json
from ssl3d_lite.data.cohort import MANIFEST, RECORDS, Cohort, CohortDescription
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import write_json
from ssl3d_lite.outputs import OwnFolder, claimed

from .virtual_note import NOTE

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


@contextmanager
def claimed_cohort(folder: Path) -> Iterator[OwnFolder]:
    """Take a folder to prepare a cohort into: a new one, or one that `ssl3d prepare` made.

    Raises:
        InputError: it holds anything else, or another process is at work there.
    """
    with claimed(folder, "prepare", _was_prepared) as claim:
        yield claim


def _was_prepared(folder: Path) -> bool:
    """Whether a cohort, or what a killed run left of one, lies in a folder without a mark."""
    if (folder / MANIFEST).exists():
        try:
            return bool(Cohort.open(folder))
        except InputError:
            return False
    return (folder / "raw" / NOTE).exists() or bool(_records(folder))


def reserve(claim: OwnFolder, cases: Iterable[str], known: Iterable[str]) -> None:
    """Say which cases will be written.

    Args:
        cases: ids of all cases.
        known: ids of those whose files are there already: :func:`read_records`.

    Raises:
        InputError: a file that somebody else has put there has the name of one that is wanted.
    """
    claim.reserve(*([name for case in ids for name in _files_of(case)] for ids in (cases, known)))


def _files_of(case: str) -> list[str]:
    return [f"images/{case}.npy", f"labels/{case}.npy", f"{RECORDS}/{case}.json"]


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
    for record, terms in _records(about.folder):
        known[record.case.id] = replace(record, outdated=_is_outdated(about, terms))
    return known


def _records(folder: Path) -> list[tuple[Record, dict[str, Any]]]:
    """The records in a folder, each with the terms that it was made on."""
    found = []
    for path in sorted((folder / RECORDS).glob("*.json")):
        try:
            record = json.loads(path.read_text())
            case, terms = case_from_json(record["case"]), dict(record["terms"])
            stamps = dict(record["stamps"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # a user's own, or one that a power cut emptied: its case is made again
        if case.id == path.stem:
            found.append((Record(case, stamps), terms))
    return found


def remove_records(folder: Path, cases: Iterable[str]) -> None:
    """The manifest is written: the records of these cases have served."""
    for case in cases:
        (folder / RECORDS / f"{case}.json").unlink(missing_ok=True)
    with suppress(OSError):  # others' files are there, or the folder is not
        (folder / RECORDS).rmdir()


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

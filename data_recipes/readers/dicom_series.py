"""Which DICOM series lie below a folder, and whose they are. Only headers are read.

What a header says of a person stays here: a :class:`Series` holds a checksum in place of the
PatientID, and neither name nor date of birth. So nothing else can write or print them.
"""

import hashlib
import importlib
import logging
import warnings
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from ssl3d_lite.errors import InputError
from ssl3d_lite.files import files_below
from ssl3d_lite.machine.parallel import Workforce, for_each

OTHERS = (".nii", ".gz")  # not opened: there may be thousands, on a disk far away
SLICE_ENDINGS = (".dcm", ".ima")  # those of slices, even where its content is lost
ROUNDS = 100_000  # about 30 ms: whoever tries all numbers of a hospital pays them for each
NO_SCANS = (  # classes of pictures that show no scan: screenshots, and label maps
    "1.2.840.10008.5.1.4.1.1.7",
    "1.2.840.10008.5.1.4.1.1.66",
)
CONTENTS = "1.2.840.10008.1.3.10"  # a table of contents (DICOMDIR)
TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber"),
    *("ImageType", "Rows", "PatientID", "PatientName"),
)


@dataclass(frozen=True)
class Series:
    """The files of one series in one folder, without what their headers say of a person."""

    folder: Path
    paths: tuple[Path, ...]
    uid: str = ""
    number: str = ""  # SeriesNumber: how a scanner's console calls it
    patient: str = ""  # a checksum of the PatientID, or else of the study; "": neither is known
    by_study: bool = False  # it is that of the study
    study: str = ""  # a checksum
    instances: str = ""  # a checksum of which slices these are
    whole_folder: bool = False  # no other DICOM file lies there
    names_person: bool = False  # the path has the PatientName in it
    no_scan: str = ""  # what it shows instead, such as a localizer
    fault: str = ""  # why it cannot be read


def find_series(raw: Path, work: Workforce, leave: Path | None = None) -> list[Series]:
    """All DICOM series below ``raw``, but for what lies in the folder ``leave``; with a bar.

    A series whose slices lie in several folders has a fault; copies of a series have none.
    """
    by_folder: dict[Path, list[Path]] = defaultdict(list)
    for path in files_below(raw):
        if not (leave and path.is_relative_to(leave)) and looks_like_dicom(path):
            by_folder[path.parent].append(path)
    read = partial(read_headers, raw=raw)
    found = [
        series
        for several in for_each(read, by_folder.values(), work, "DICOM headers")
        for series in several
    ]
    return _whole(sorted(found, key=lambda series: (series.folder, series.uid)))


def looks_like_dicom(path: Path) -> bool:
    """Whether a file is a slice by its mark, by its first element, or by its ending."""
    if path.name == "DICOMDIR" or path.suffix.lower() in OTHERS:
        return False
    return path.suffix.lower() in SLICE_ENDINGS or is_dicom(path)


def is_dicom(path: Path) -> bool:
    """Whether a file has DICOM's mark, or begins with an element of a header without one."""
    try:
        with open(path, "rb") as file:
            start = file.read(132)
    except OSError:
        return False
    return start[128:] == b"DICM" or (
        # group 2 or 8, in either order of bytes, an element below 0x100, and a type or a length
        len(start) == 132
        and start[:4] in _FIRST_ELEMENTS
        and (start[4:6] in _FIRST_TYPES or int.from_bytes(start[4:8], "little") <= 64)
    )


_FIRST_ELEMENTS = {
    group.to_bytes(2, order) + element.to_bytes(2, order)
    for order in ("little", "big")
    for group in (2, 8)
    for element in range(0x20)
}
_FIRST_TYPES = (b"UL", b"CS", b"UI", b"DA", b"TM", b"OB", b"LO", b"SH")


def require(name: str) -> Any:
    """Import one of the libraries that DICOM takes, or say how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise InputError("reading DICOM needs highdicom: pip install -e .[data]") from None


@contextmanager
def quiet() -> Iterator[None]:
    """No word from pydicom: neither of values that break the standard without harm, nor a traceback
    in its log beside the error that it raises."""
    log = logging.getLogger("pydicom")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


# ---- the headers of one folder, in a worker ------------------------------------------------------


def read_headers(paths: Sequence[Path], raw: Path) -> list[Series]:
    """The series that the files of one folder make up. A file that is lost is a fault of all."""
    folder = paths[0].parent
    headers: dict[str, list[tuple[Path, Any]]] = defaultdict(list)
    fault = ""
    for path in paths:
        try:
            header = _header(path)
        except InputError as reason:
            fault = fault or str(reason)
        else:
            if header.get("SOPClassUID") != CONTENTS:
                headers[str(header.SeriesInstanceUID)].append((path, header))
    found = [_series(folder, uid, members, raw) for uid, members in headers.items()]
    if fault and not found:
        return [Series(folder, tuple(paths), whole_folder=True, fault=fault)]
    count = len(paths)  # with a table of contents, which is none of a series
    return [replace(s, whole_folder=len(s.paths) == count, fault=fault or s.fault) for s in found]


def _header(path: Path) -> Any:
    """What stands in a file's header under ``TAGS``, as pydicom's data set."""
    pydicom = require("pydicom")
    if is_dicom(path):
        try:
            with quiet():
                header = pydicom.dcmread(
                    path, stop_before_pixels=True, force=True, specific_tags=list(TAGS)
                )
                if header.get("SeriesInstanceUID") or header.get("SOPClassUID") == CONTENTS:
                    [header.get(tag) for tag in TAGS]  # now, as pydicom decodes values late
                    return header
        except Exception:  # as many kinds as there are ways to break the standard
            pass
    raise InputError(f"{path} is damaged, copy it again")


def _series(folder: Path, uid: str, members: Sequence[tuple[Path, Any]], raw: Path) -> Series:
    headers = [header for _, header in members]

    def values(tag: str) -> set[str]:
        return {text for header in headers if (text := str(header.get(tag) or "").strip(" \0"))}

    patients, studies = (
        {normal_id(text) for text in values("PatientID")},
        values("StudyInstanceUID"),
    )
    patient = _slow_checksum(min(patients)) if patients else ""
    study = _checksum(min(studies)) if studies else ""
    kinds = {_no_scan(header) for header in headers}
    several = f"{folder} is no scan of one person: its slices name {len(patients)} patients"
    return Series(
        folder=folder,
        paths=tuple(path for path, _ in members),
        uid=uid,
        number=min(filter(str.isdigit, values("SeriesNumber")), default=""),
        patient=f"patient-{patient}" if patient else study and f"study-{study}",
        by_study=not patient,
        study=study,
        instances=_checksum(*sorted(values("SOPInstanceUID"))),
        names_person=_is_in(
            folder.relative_to(raw.parent), values("PatientName") - values("PatientID")
        ),
        no_scan="" if "" in kinds else min(kinds),
        fault=several if len(patients) > 1 else "",
    )


def normal_id(text: str) -> str:
    """A PatientID without its padding, and in one letter case: consoles differ in both.

    The issuer does not count, as not every file of a person states it: two hospitals' equal IDs
    are one patient, which costs little; one person in two folds costs the score its meaning.
    """
    return " ".join(text.replace("\0", " ").split()).casefold()


def _no_scan(header: Any) -> str:
    """What a file shows if it is not a slice of a scan; "" if it is one."""
    kind = header.get("SOPClassUID")
    if "Rows" not in header or str(kind).startswith(NO_SCANS):
        return str(getattr(kind, "name", "")) or "no picture"
    image_type = header.get("ImageType") or ()
    return "localizer" if "LOCALIZER" in [str(part).upper() for part in image_type] else ""


def _is_in(folder: Path, names: Iterable[str]) -> bool:
    """Whether a part of a person's name stands in a path."""
    parts = {part for name in names for part in name.casefold().replace("^", " ").split()}
    place = str(folder).casefold()
    return any(len(part) > 2 and part in place for part in parts)


@cache
def _slow_checksum(text: str) -> str:
    return hashlib.pbkdf2_hmac("sha256", text.encode(), b"PatientID", ROUNDS).hex()[:12]


def _checksum(*texts: str) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:12]


# ---- all folders together ------------------------------------------------------------------------


def _whole(found: Sequence[Series]) -> list[Series]:
    """The same; a series of which each of several folders has a part only has a fault."""
    by_uid: dict[str, list[Series]] = defaultdict(list)
    for series in found:
        by_uid[series.uid].append(series)
    result = []
    for series in found:
        parts = by_uid[series.uid]
        if series.uid and len({part.instances for part in parts}) > 1:
            places = ", ".join(str(part.folder) for part in parts)
            torn = f"one series lies in {len(parts)} folders, in each other slices of it: {places}"
            series = replace(series, fault=series.fault or f"{torn}; put all slices into one")
        result.append(series)
    return result


def series_notes(found: Sequence[Series], raw: Path) -> list[str]:
    """What a user should know of the series that were found below ``raw``."""
    scans = [series for series in found if not series.no_scan]
    notes = [left_out(found, raw)]
    where = dict.fromkeys(series.folder for series in scans if not series.whole_folder)
    if several := [f for f in where if sum(series.folder == f for series in scans) > 1]:
        notes.append(f"{_some(several)}: several series in one folder, each of them a case")
    without = [series.folder for series in scans if series.by_study and not series.fault]
    if without:
        notes.append(
            f"no PatientID in {len(without)} of {len(scans)} series: those of one study count as "
            "one patient's; if a person came twice, say so with --table"
        )
    by_patient: dict[str, set[str]] = defaultdict(set)
    for series in scans:
        if not series.by_study:
            by_patient[series.patient].add(series.study)
    most = max(map(len, by_patient.values()), default=0)
    if most > 2 and 2 * most > sum(map(len, by_patient.values())):
        notes.append(
            f"{most} studies have one and the same PatientID, as after making them anonymous, so "
            "they count as one patient's, in one fold; if they are not, say whose they are with "
            "--table"
        )
    if any(series.names_person for series in found):
        notes.append(
            "folders are called by persons' names; names of folders become names of cases and "
            "stand in cohort.json: rename them before you pass the cohort on"
        )
    return [note for note in notes if note]


def left_out(found: Sequence[Series], raw: Path) -> str:
    """Which series are no scans, in a line; "" if all are."""
    others = [series for series in found if series.no_scan]
    listed = [f"{series.folder.relative_to(raw.parent)} ({series.no_scan})" for series in others]
    return f"{len(others)} DICOM series are no scans, left out: {_some(listed)}" if others else ""


def _some(items: Sequence[object], most: int = 10) -> str:
    more = f" and {len(items) - most} more" if len(items) > most else ""
    return ", ".join(map(str, items[:most])) + more

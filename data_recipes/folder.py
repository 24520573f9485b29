"""Your own scans: any folder of NIfTI files or DICOM series, with label maps or without."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Interval, Len

from data_recipes.preparing.description import describe
from data_recipes.preparing.engine import (
    Prepared,
    RawCase,
    Summary,
    locked_folders,
    prepare_cohort,
)
from data_recipes.preparing.settings import About, FromRaw
from data_recipes.preparing.virtual_note import with_virtual_identity
from data_recipes.preparing.volumes import (
    Framing,
    Preparation,
    prepare_scan,
    prepare_volume,
    read_label_of,
)
from data_recipes.readers.dicom import dicom_folders, read_series
from data_recipes.readers.nifti import check_same_grid, read_nifti
from data_recipes.readers.tables import read_table
from ssl3d_lite.data.cohort import UNLABELLED
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import files_below
from ssl3d_lite.machine.parallel import Workforce, for_each

ENDING = re.compile(r"\.nii(\.gz)?$", re.IGNORECASE)
ONE_CHANNEL = ("image",)
LabelValue = Annotated[int, Interval(ge=0, le=255)]
MOST_CLASSES = 100  # in one label map: more, and it is an image


@dataclass(frozen=True, kw_only=True)
class Folder(Framing, FromRaw):
    """Takes every .nii and .nii.gz below --raw for a scan, or where there is none, every folder of
    DICOM slices. Training needs scans of one --size. For CT give an --intensity such as
    window:-150,250."""

    own: ClassVar[Preparation] = Preparation(
        crop=False, spacing=None, size=None, fit="pad", intensity="zscore"
    )

    about: ClassVar[About] = About(
        title="Your own scans: any folder of NIfTI files or DICOM series",
        terms="your own",
        access="yours; DICOM needs pip install -e .[data]",
        licence="yours; --licence puts it into the cohort",
        citation="yours",
        size="prepared 2 bytes a voxel and channel",
        time="about 0.1 s a million voxels and core",
        example="--labels maps --size 96 96 64",
    )

    labels: Path | None = None
    """Folder of label maps, NIfTI files that lie in it as their scans lie in --raw and have the
    same names. A scan without one serves for pretraining."""

    channels: Annotated[tuple[str, ...], Len(1)] = ONE_CHANNEL
    """Several files make one scan: --channels t1 flair joins ann_t1.nii.gz and ann_flair.nii.gz;
    its label map is ann.nii.gz. Channels 0000 0001 read nnU-Net's names."""

    table: Path | None = None
    """CSV file with the columns image and patient: whose scan it is. Without it each scan is taken
    for a patient of its own; if some came twice, one scan would then help to test the other."""

    label_values: Annotated[tuple[LabelValue, ...], Len(1, UNLABELLED)] | None = None
    """Values in the label maps, background first. Default: all that are found in any of them."""

    label_names: tuple[str, ...] | None = None
    """What they are, in that order. Default: the values."""

    name: str | None = None
    """What to call the cohort. Default: the folder's name."""

    licence: str = "not stated"
    """The scans' licence."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.channels)) < len(self.channels):
            raise InputError(f"channels {self.channels}: one or more are wanted, none twice")


def prepare(settings: Folder) -> Summary:
    """Prepare a folder of scans as a cohort.

    Raises:
        InputError: no scans there; a table or a label folder that cannot be read; settings
            contradict each other; or as :func:`prepare_cohort`.
    """
    how = settings.preparation()
    raw, labels = settings.raw.resolve(), settings.labels and settings.labels.resolve()
    cases = find_scans(raw, labels, settings.channels)
    if settings.table:
        cases = with_patients(cases, raw, settings.table, settings.channels)
    values = settings.label_values or (
        find_values([case.label for case in cases if case.label], settings)
    )
    names = settings.label_names or tuple(map(str, values))
    _check_labels(values, names)
    description = describe(
        settings,
        settings.name or raw.name,
        settings.channels,
        dict(zip(values, names, strict=True)),
        {"name": "folder"} | asdict(how),
        licence=settings.licence,
        citation="",
    )
    # here, as the engine looks in root, which may lie above it
    description = with_virtual_identity(description, raw)
    root = Path(os.path.commonpath([raw, labels])) if labels else raw
    make = partial(prepare_any, how=how, values=values)
    cases += locked_folders(raw, labels)
    return prepare_cohort(description, cases, root, make, settings)


def _check_labels(values: tuple[int, ...], names: tuple[str, ...]) -> None:
    if len(names) != len(values) or len(set(names)) < len(names) or len(set(values)) < len(values):
        raise InputError(f"label values {values} and names {names}: one name each, none twice")
    if strange := [value for value in values if not 0 <= value <= 255]:
        raise InputError(f"label value {strange[0]}: values from 0 to 255 are wanted")
    if len(values) > UNLABELLED:
        raise InputError(f"{len(values)} label values: at most {UNLABELLED} are wanted")


# ---- which files are a case --------------------------------------------------------------------


def case_name(path: str) -> str:
    """ "ann/t1.nii.gz", "ann/t1" and "ann_t1" → "ann_t1". A Mac takes an umlaut apart into a letter
    and its dots, where a table or another system's files have it whole: here it is whole."""
    path = unicodedata.normalize("NFC", path).replace("\\", "/").removeprefix("./")
    return ENDING.sub("", path).strip("/").replace("/", "_")


def find_scans(raw: Path, labels: Path | None, channels: tuple[str, ...]) -> list[RawCase]:
    """All scans below ``raw`` with their label maps; what does not fit together is a fault.

    Raises:
        InputError: no scans, or no label folder, there; two files claim the same place in a case.
    """
    if labels and not labels.is_dir():
        raise InputError(f"no folder {labels}")
    if labels and raw.is_relative_to(labels):
        raise InputError(f"the label folder {labels} holds the scans too; give it another place")
    scans = [path for path in _nifti_files(raw) if not (labels and path.is_relative_to(labels))]
    scans = scans or dicom_folders(raw)
    if not scans:
        raise InputError(f"no NIfTI file (.nii, .nii.gz) and no DICOM file below {raw}")
    cases: dict[str, dict[str, Path]] = defaultdict(dict)
    faults = {}
    for path in scans:
        whole = case_name(path.relative_to(raw).as_posix()) if path != raw else raw.name
        name, channel = _split(whole, channels)
        if channel is None:
            faults[name] = f"{path} ends in none of the channels {', '.join(channels)}"
        elif channel in cases[name]:
            raise InputError(f"{path} and {cases[name][channel]} have one name; rename one")
        else:
            cases[name][channel] = path
    maps = _label_maps(labels) if labels else {}
    faults |= {name: f"{maps[name]} has no scan" for name in maps.keys() - cases.keys()}
    return [
        RawCase(
            id=name,
            patient=name,
            images={c: cases[name][c] for c in channels if c in cases.get(name, ())},
            label=maps.get(name),
            fault=faults.get(name, ""),
        )
        for name in sorted(cases.keys() | faults.keys())
    ]


def _label_maps(labels: Path) -> dict[str, Path]:
    """The label maps below a folder, by their cases' names."""
    maps: dict[str, Path] = {}
    for path in _nifti_files(labels):
        name = case_name(path.relative_to(labels).as_posix())
        if name in maps:
            raise InputError(f"{path} and {maps[name]} have one name; rename one")
        maps[name] = path
    return maps


def _nifti_files(folder: Path) -> Iterator[Path]:
    yield from (path for path in files_below(folder) if ENDING.search(path.name))


def _split(name: str, channels: tuple[str, ...]) -> tuple[str, str | None]:
    """A file's name as its case's and its channel; None if it has none of them."""
    if channels == ONE_CHANNEL:
        return name, ONE_CHANNEL[0]
    for channel in sorted(channels, key=len, reverse=True):  # post_t1 before t1
        case = name.removesuffix(channel)
        if case != name and case[-1:] in ("_", "-", "."):
            return case[:-1], channel
    return name, None


def with_patients(
    cases: list[RawCase], raw: Path, table: Path, channels: tuple[str, ...]
) -> list[RawCase]:
    """Cases with the patients that a table names; a row or a scan that stands alone is a fault.

    Raises:
        InputError: the table cannot be read, or lacks a column, or names two patients of a scan.
    """
    known = {case.id for case in cases}
    patient_of: dict[str, str] = {}
    for image, row in read_table(table, ("image", "patient")).items():
        name = case_name(image)
        name = name if name in known else _split(name, channels)[0]
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


# ---- labels and arrays -------------------------------------------------------------------------


def find_values(maps: list[Path], work: Workforce) -> tuple[int, ...]:
    """All values in the label maps, 0 first. A map that cannot be read is its case's fault."""
    found = {0}
    for values in for_each(_values_of, maps, work, "label values", killed=_no_values):
        found |= values
    return (0, *sorted(found - {0}))


def _no_values(path: Path) -> set[int]:
    return set()


def _values_of(path: Path) -> set[int]:
    try:
        values = np.unique(read_nifti(path)[0])
    except Exception:  # whatever it is, its case will say it
        return set()
    whole = len(values) <= MOST_CLASSES and np.array_equal(values, np.rint(values))
    return set(values.astype(int).tolist()) if whole else set()


def prepare_any(case: RawCase, how: Preparation, values: tuple[int, ...]) -> Prepared:
    """Make the arrays of one case of NIfTI files or DICOM series.

    Raises:
        InputError: a file of the case cannot be used, and why.
    """
    paths = list(case.images.values())
    if not paths[0].is_dir():
        return prepare_scan(case, how, values)
    scans = [read_series(path) for path in paths]
    for path, scan in zip(paths, scans, strict=True):
        check_same_grid(path, scan, paths[0], scans[0])
    label = None
    if case.label:
        label = read_label_of(scans[0], paths[0], case.label, values)
    return prepare_volume([data for data, _ in scans], label, scans[0][1], how, paths)

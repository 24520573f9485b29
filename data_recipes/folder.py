"""Your own scans: any folder of NIfTI files or DICOM series, with label maps or without."""

import os
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Annotated, ClassVar

from data_recipes.label_values import find_values
from data_recipes.left_out import LABEL_MAP, find_left_out
from data_recipes.preparing.description import describe
from data_recipes.preparing.engine import (
    Prepared,
    RawCase,
    Summary,
    locked_folders,
    prepare_cohort,
)
from data_recipes.preparing.one_frame import one_frame
from data_recipes.preparing.patients import PatientTable, subject_of, with_patients
from data_recipes.preparing.settings import About, FromRaw
from data_recipes.preparing.virtual_note import with_virtual_identity
from data_recipes.preparing.volumes import (
    Framing,
    Preparation,
    prepare_scan,
    prepare_volume,
    random_shift,
    read_label_of,
)
from data_recipes.readers.dicom import read_series
from data_recipes.readers.dicom_series import Series, find_series, left_out, series_notes
from data_recipes.readers.nifti import LABEL_VALUES, NIFTI_ENDING, check_same_grid
from ssl3d_lite.data.cohort import UNLABELLED
from ssl3d_lite.data.raw_header import scanner_header
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import files_below
from ssl3d_lite.settings import Interval, Len

ONE_CHANNEL = ("image",)
LabelValue = Annotated[int, Interval(ge=LABEL_VALUES[0], le=LABEL_VALUES[-1])]
CAUSES = 20  # lone label maps of which it is said what may be wrong
NUMBERED = re.compile(r"_(\d{4})$")  # how nnU-Net numbers channels


@dataclass(frozen=True, kw_only=True)
class Folder(Framing, PatientTable, FromRaw):
    """Takes every .nii and .nii.gz and every DICOM series below --raw for a scan. Scans of one
    PatientID (DICOM), or of one folder sub-NAME (BIDS), are one patient's. Training needs scans of
    one --size. For CT give an --intensity such as window:-150,250."""

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

    label_values: Annotated[tuple[LabelValue, ...], Len(1, UNLABELLED)] | None = None
    """Values in the label maps, background first. Default: all that are found in any of them."""

    label_names: tuple[str, ...] | None = None
    """What they are, in that order. Default: the values."""

    one_frame: bool = False
    """Find --spacing and --size from the scans' headers, so that every scan fits: the median voxel,
    or coarser where an axis would have more than 96."""

    name: str | None = None
    """What to call the cohort. Default: the folder's name."""

    licence: str = "not stated"
    """The scans' licence."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(set(self.channels)) < len(self.channels):
            raise InputError(f"channels {self.channels}: one or more are wanted, none twice")
        if self.one_frame and (self.spacing or self.size or self.fit not in (None, "pad")):
            raise InputError("--one-frame finds --spacing and --size: leave these and --fit out")


def prepare(settings: Folder) -> Summary:
    """Prepare a folder of scans as a cohort.

    Raises:
        InputError: no scans there; a table or a label folder that cannot be read; settings
            contradict each other; or as :func:`prepare_cohort`.
    """
    raw, labels = settings.raw.resolve(), settings.labels and settings.labels.resolve()
    files = list(_nifti_files(raw, _label_files(labels)))
    unread = find_left_out(raw, labels, files, settings.channels, settings)
    series = find_series(raw, settings, labels)
    cases = find_scans(raw, labels, settings.channels, series, unread)
    names = partial(names_in_table, channels=settings.channels)
    cases = with_patients(cases, settings.table, raw, names)
    how = settings.preparation()
    if settings.one_frame:
        first = (next(iter(case.images.values()), None) for case in cases)
        spacing, size = one_frame(path for path in first if path and path.is_file())
        how = replace(how, spacing=spacing, size=size, fit="pad")
    values = settings.label_values
    if values is None:
        values, faults = find_values([case.label for case in cases if case.label], settings)
        cases = [replace(c, fault=c.fault or faults.get(c.label or raw, "")) for c in cases]
    label_names = settings.label_names or tuple(map(str, values))
    _check_labels(values, label_names)
    description = describe(
        settings,
        settings.name or raw.name,
        settings.channels,
        dict(zip(values, label_names, strict=True)),
        {"name": "folder"} | asdict(how),
        licence=settings.licence,
        citation="",
    )
    # here, as the engine looks in root, which may lie above it
    description = with_virtual_identity(description, raw)
    root = Path(os.path.commonpath([raw, labels])) if labels else raw
    make = partial(prepare_any, how=how, values=values)
    rows = [
        {"case": path.relative_to(root).as_posix(), "reason": reason}
        for path, reason in unread.items()
    ]
    notes = (*series_notes(series, raw), *_hints(settings, cases, unread))
    cases += locked_folders(raw, labels)
    return prepare_cohort(description, cases, root, make, settings, notes, settings.unit, rows)


def _check_labels(values: tuple[int, ...], names: tuple[str, ...]) -> None:
    if len(names) != len(values) or len(set(names)) < len(names) or len(set(values)) < len(values):
        raise InputError(f"label values {values} and names {names}: one name each, none twice")
    if len(values) > UNLABELLED:
        raise InputError(f"{len(values)} label values: at most {UNLABELLED} are wanted")


# ---- which files are a case --------------------------------------------------------------------


def case_name(path: str) -> str:
    """ "ann/t1.nii.gz", "ann/t1" and "ann_t1" → "ann_t1". A Mac takes an umlaut apart into a letter
    and its dots, where a table or another system's files have it whole: here it is whole."""
    path = unicodedata.normalize("NFC", path).replace("\\", "/").removeprefix("./")
    return NIFTI_ENDING.sub("", path).strip("/").replace("/", "_")


def find_scans(
    raw: Path,
    labels: Path | None,
    channels: tuple[str, ...],
    series: Sequence[Series] = (),
    unread: Mapping[Path, str] | None = None,
) -> list[RawCase]:
    """All scans below ``raw`` with their label maps; what does not fit together is a fault.

    Args:
        series: the DICOM series that lie there too.
        unread: files that are no scans to read → the reason.

    Raises:
        InputError: no scans, or no label folder, there; two files claim the same place in a case;
            no label map has the name of a scan.
    """
    unread = unread or {}
    _check_folders(raw, labels)
    files = [path for path in _nifti_files(raw, _label_files(labels)) if path not in unread]
    scans = [*_nifti_scans(files, raw, series), *_dicom_scans(series, raw)]
    if not scans:
        nothing = f"no NIfTI file (.nii, .nii.gz) and no DICOM file below {raw}"
        why = "".join(f"; {path} {reason}" for path, reason in [*unread.items()][:1])
        raise InputError(left_out(series, raw) or nothing + why)
    cases: dict[str, dict[str, _Scan]] = defaultdict(dict)
    faults = {}
    for scan in scans:
        name, channel = _split(scan.name, channels)
        if channel is None:
            faults[name] = f"{scan.path} ends in none of the channels {', '.join(channels)}"
        elif channel in cases[name]:
            raise InputError(
                f"{scan.path} and {cases[name][channel].path} have one name; rename one"
            )
        else:
            cases[name][channel] = scan
            if scan.fault:
                faults[name] = scan.fault
    maps = _label_maps(labels) if labels else {}
    alone = _maps_alone(maps, cases, channels)
    if labels and len(alone) == len(maps):
        first = next(iter(alone.values()), f"{labels} holds no label map (.nii, .nii.gz)")
        raise InputError(f"no label map has the name of a scan below {raw}: {first}")
    faults |= alone
    return [
        _as_case(name, cases.get(name, {}), channels, maps.get(name), faults.get(name, ""))
        for name in sorted(cases.keys() | faults.keys())
    ]


def _check_folders(raw: Path, labels: Path | None) -> None:
    if labels and not labels.is_dir():
        raise InputError(f"no folder {labels}")
    if labels and raw.is_relative_to(labels):
        raise InputError(f"the label folder {labels} holds the scans too; give it another place")


def _maps_alone(
    maps: Mapping[str, Path], scans: Collection[str], channels: tuple[str, ...]
) -> dict[str, str]:
    """The label maps that have no scan, by name, and what may be wrong."""
    alone = sorted(maps.keys() - set(scans))
    # a cause is sought among all scans, which takes a while: as often as one is read
    causes = {name: _likely_cause(name, scans, channels) for name in alone[:CAUSES]}
    return {name: f"{maps[name]} has no scan{causes.get(name, '')}" for name in alone}


def _likely_cause(name: str, scans: Collection[str], channels: tuple[str, ...]) -> str:
    """Why a label map may have no scan, by the scans' names, and what helps."""
    joined = sorted(s for s in scans if s.startswith(name) and s[len(name)] in "_-.")
    if joined and channels == ONE_CHANNEL:
        endings = " ".join(scan[len(name) + 1 :] for scan in joined)
        return f", but {joined[0]} is one; with --channels {endings} they meet"
    bare = re.sub(r"[_.-][^_.-]*$", "", name)  # p01_seg
    near = [bare] if bare in scans else get_close_matches(name, scans, n=1)
    return f"; if it belongs to {near[0]}, name it so" if near else ""


def _as_case(
    name: str, scans: Mapping[str, "_Scan"], channels: Sequence[str], label: Path | None, fault: str
) -> RawCase:
    there = {channel: scans[channel] for channel in channels if channel in scans}
    patients = [scan.patient for scan in there.values() if scan.patient]
    if (number := len({scan.patient for scan in there.values() if scan.has_id})) > 1:
        fault = fault or f"its channels are of {number} patients"
    return RawCase(
        id=name,
        patient=next(iter(patients), name),
        images={channel: scan.path for channel, scan in there.items()},
        slices={channel: scan.slices for channel, scan in there.items() if scan.slices},
        label=label,
        fault=fault,
    )


@dataclass(frozen=True)
class _Scan:
    """What was found in one place: a NIfTI file, or a series in a folder."""

    name: str
    path: Path
    patient: str  # "": not known
    has_id: bool = False  # which is its PatientID
    slices: tuple[Path, ...] = ()  # where the folder holds other files too
    fault: str = ""


def _nifti_scans(files: Sequence[Path], raw: Path, series: Sequence[Series]) -> Iterator[_Scan]:
    """NIfTI files. One among the DICOM files of a patient, or of a subject, is theirs."""
    patients: dict[object, set[str]] = defaultdict(set)
    for each in series:
        for place in {each.folder, subject_of(each.folder.relative_to(raw).as_posix())}:
            patients[place].add(each.patient)
    patients.pop("", None)
    patients.pop(raw, None)
    for path in files:
        below = path.relative_to(raw).as_posix() if path != raw else raw.name
        subject = subject_of(below)
        known = patients.get(subject) or patients.get(path.parent) or {subject}
        patient = next(iter(known)) if len(known) == 1 else ""
        yield _Scan(case_name(below), path, patient or subject)


def _dicom_scans(series: Sequence[Series], raw: Path) -> Iterator[_Scan]:
    """DICOM series, called by their folders, and by their numbers where a folder holds several."""
    scans = [each for each in series if not each.no_scan]
    together = Counter(each.folder for each in scans)
    numbers = Counter((each.folder, each.number) for each in scans)
    for each in scans:
        folder = each.folder.relative_to(raw).as_posix() if each.folder != raw else raw.name
        name = case_name(folder)
        if together[each.folder] > 1:
            unique = each.number and numbers[each.folder, each.number] == 1
            name += f"_series{each.number if unique else f'{each.number}_{each.instances}'}"
        patient = each.patient or subject_of(folder)
        slices = () if each.whole_folder else each.paths
        yield _Scan(name, each.folder, patient, not each.by_study, slices, each.fault)


def _label_maps(labels: Path) -> dict[str, Path]:
    """The label maps below a folder, by their cases' names."""
    maps: dict[str, Path] = {}
    for path in _nifti_files(labels):
        name = case_name(path.relative_to(labels).as_posix())
        if name in maps:
            raise InputError(f"{path} and {maps[name]} have one name; rename one")
        maps[name] = path
    return maps


def _label_files(labels: Path | None) -> set[str]:
    """The files in the label folder, wherever links have them: no scans, by whatever path."""
    return {os.path.realpath(path) for path in _nifti_files(labels)} if labels else set()


def _nifti_files(folder: Path, without: Container[str] = ()) -> Iterator[Path]:
    files = (path for path in files_below(folder) if NIFTI_ENDING.search(path.name))
    yield from (path for path in files if not without or os.path.realpath(path) not in without)


def _split(name: str, channels: tuple[str, ...]) -> tuple[str, str | None]:
    """A file's name as its case's and its channel; None if it has none of them."""
    if channels == ONE_CHANNEL:
        return name, ONE_CHANNEL[0]
    for channel in sorted(channels, key=len, reverse=True):  # post_t1 before t1
        case = name.removesuffix(channel)
        if case != name and case[-1:] in ("_", "-", "."):
            return case[:-1], channel
    return name, None


def names_in_table(image: str, channels: tuple[str, ...]) -> tuple[str, str]:
    """Ids that an entry of a table may mean: a scan by its path or its id, or one of its files."""
    name = case_name(image)
    return name, _split(name, channels)[0]


# ---- remarks -----------------------------------------------------------------------------------


def _hints(
    settings: Folder, cases: Sequence[RawCase], unread: Mapping[Path, str]
) -> tuple[str, ...]:
    """What a user may have overlooked."""
    scans, hints = [case for case in cases if case.images], []
    if LABEL_MAP in unread.values():
        hints.append(
            "label maps were left out: to learn from them, give the folder that holds them, named "
            "as their scans are, to --labels"
        )
    described = settings.raw / "dataset.json"
    if described.is_file() and not settings.labels:
        hints.append(f"{described} describes scans and labels: ssl3d prepare msd reads it")
    numbers = sorted({found[1] for case in scans if (found := NUMBERED.search(case.id))})
    if settings.channels == ONE_CHANNEL and "0000" in numbers:
        hints.append(
            "names end in _0000, as nnU-Net numbers channels: with --channels "
            f"{' '.join(numbers)} the files of one scan are joined"
        )
    unlabelled = [case.id for case in scans if not case.label]
    if settings.labels and unlabelled:
        more = f" and {len(unlabelled) - 5} more" if len(unlabelled) > 5 else ""
        hints.append(f"no label map: {', '.join(unlabelled[:5])}{more}; they serve for pretraining")
    return tuple(hints)


# ---- arrays ------------------------------------------------------------------------------------


def prepare_any(case: RawCase, how: Preparation, values: tuple[int, ...]) -> Prepared:
    """Make the arrays of one case of NIfTI files or DICOM series.

    Raises:
        InputError: a file of the case cannot be used, and why.
    """
    paths = list(case.images.values())
    if not paths[0].is_dir():
        return prepare_scan(case, how, values)
    scans = [read_series(path, case.slices.get(channel)) for channel, path in case.images.items()]
    for path, scan in zip(paths, scans, strict=True):
        check_same_grid(path, scan, paths[0], scans[0])
    label = None
    if case.label:
        label = read_label_of(scans[0], paths[0], case.label, values)
    affine = scans[0][1]
    header, shift = scanner_header(affine), random_shift(case.id, how.shift)
    return prepare_volume([data for data, _ in scans], label, affine, how, paths, header, shift)

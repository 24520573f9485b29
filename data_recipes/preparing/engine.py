"""The part every recipe shares: many cases, several processes, a bar, and nothing lost.

A recipe lists its raw cases and says how one of them becomes arrays. The engine does the rest:
cases run in parallel; what is finished stays finished when the run is killed; a case that cannot
be read is rejected with its reason while the others go on; the manifest comes last. No array
outlives its case, so memory does not grow with their number.
"""

import errno
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from ssl3d_lite.data.alike import remarks
from ssl3d_lite.data.case import SAFE_NAME, Case, RawHeader, Source, array_path, write_array
from ssl3d_lite.data.cohort import UNKNOWN_UNIT, CohortDescription
from ssl3d_lite.data.label_classes import label_remarks
from ssl3d_lite.data.raw_header import mm_of_unit
from ssl3d_lite.errors import InputError, in_one_line
from ssl3d_lite.files import checksum, locked_below
from ssl3d_lite.machine.parallel import KILLED, for_each

from .folds import assign_folds
from .records import (
    ARRAYS_VERSION,
    Record,
    Stamps,
    claimed_cohort,
    read_records,
    remove_records,
    reserve,
    write_record,
)
from .settings import FoldSettings
from .virtual_note import with_virtual_identity

LONGEST_NAME = 200  # bytes of a case's name, so that every file system can take its files


@dataclass(frozen=True)
class RawCase:
    """One scan as it lies in the raw folder.

    A folder of slices is a channel with all its files, unless ``slices`` names those that are.
    """

    id: str
    patient: str
    images: dict[str, Path]  # by channel: files, which channels may share, or folders of slices
    label: Path | None = None
    grade: int | None = None  # class of the whole scan, in place of a label map
    fault: str = ""  # why the case cannot be used, if that shows before its files are read
    slices: dict[str, tuple[Path, ...]] = field(default_factory=dict)
    held_out: bool = False  # in the data set's own test part, which fold 0 is then for


def place_file(files: dict[str, Path], place: str, path: Path) -> None:
    """Put a file into its place in a case, such as a channel.

    Raises:
        InputError: another file has it.
    """
    if place in files:
        raise InputError(f"{path} and {files[place]} are one and the same; remove one")
    files[place] = path


@dataclass(frozen=True)
class Prepared:
    """What a recipe makes of one raw case."""

    image: np.ndarray  # float16 (channel, *space)
    label: np.ndarray | None  # uint8 (*space), classes
    affine: np.ndarray  # prepared voxel → world, mm
    crop: list[list[int]]  # [start, stop) an axis of the RAS-oriented raw scan that was kept
    raw_shape: tuple[int, ...]
    raw_affine: np.ndarray
    lost: int = 0  # labelled raw voxels outside what was kept
    lost_by_class: tuple[int, ...] = ()  # the same by class; () if there are none
    raw_header: RawHeader = field(default_factory=dict)  # {}: the raw case is no scan


@dataclass(frozen=True)
class Summary:
    """How preparing a cohort went; made to be printed."""

    folder: Path
    prepared: int  # cases made by this run
    skipped: int  # cases that were there already
    unlabelled: int  # among both
    rejected: tuple[dict[str, str], ...]  # {"case", "reason"}
    lost: dict[str, int] = field(default_factory=dict)  # case → labelled voxels cut off, if any
    notes: tuple[str, ...] = ()
    left_out: tuple[dict[str, str], ...] = ()  # the same of files that are no scans to read

    @property
    def exit_code(self) -> int:
        """1 if a case was rejected, else 0."""
        return int(bool(self.rejected))

    def __str__(self) -> str:
        lines = _some([f"{r['case']} rejected: {r['reason']}" for r in self.rejected])
        lines += _some([f"{r['case']} {r['reason']}: left out" for r in self.left_out])
        lost = self.lost.items()
        lines += _some([f"{case}: {n} labelled voxels outside the frame" for case, n in lost])
        counts = {
            "prepared": self.prepared,
            "there already": self.skipped,
            "unlabelled": self.unlabelled,
            "rejected": len(self.rejected),
        }
        counts |= {"files left out": len(self.left_out)} if self.left_out else {}
        total = ", ".join(f"{n} {what}" for what, n in counts.items())
        return "\n".join([*lines, *self.notes, f"{self.folder}: {total}"])


def _some(lines: list[str], most: int = 20) -> list[str]:
    """The first of many lines; all are in the manifest."""
    more = len(lines) - most
    return lines[:most] + ([f"... and {more} more, see cohort.json"] if more > 0 else [])


def prepare_cohort(
    about: CohortDescription,
    cases: Sequence[RawCase],
    raw: Path,
    prepare: Callable[[RawCase], Prepared],
    settings: FoldSettings,
    notes: Sequence[str] = (),
    unit: str | None = None,
    left_out: Sequence[dict[str, str]] = (),
) -> Summary:
    """Prepare ``cases`` into the folder of ``about``, going on from what a former run left there.

    Args:
        about: all that is known of the cohort before a case is read.
        raw: the folder that sources are named relative to.
        prepare: makes one case's arrays in a worker, so it must be picklable. It raises InputError
            for a case that cannot be used.
        settings: who does the work, and how patients are assigned to folds.
        notes: what a user should know of the raw files.
        unit: of scans whose files state none, as the user says; None: nobody knows.
        left_out: files that are no scans to read, as {"case": path, "reason"}. The manifest names
            them after the rejected cases.

    Raises:
        InputError: two cases have one id; no case can be used; the folder holds other things, or
            was prepared with other settings; nothing can be written to it, for instance because the
            disk is full.
    """
    _check_names(cases)
    about = _completed(about, raw, settings)
    with claimed_cohort(about.folder) as claim:
        known = read_records(about)
        reserve(claim, [case.id for case in cases if SAFE_NAME.fullmatch(case.id)], known)
        summary = _prepare_all(about, cases, raw, prepare, settings, known, unit, tuple(left_out))
    return replace(summary, notes=(*notes, *summary.notes))


def _prepare_all(
    about: CohortDescription,
    cases: Sequence[RawCase],
    raw: Path,
    prepare: Callable[[RawCase], Prepared],
    settings: FoldSettings,
    known: Mapping[str, Record],
    unit: str | None,
    left_out: tuple[dict[str, str], ...],
) -> Summary:
    make = partial(_prepare_one, about=about, raw_folder=raw, prepare=prepare)
    items = [(case, known.get(case.id)) for case in cases]
    outcomes: list[_Outcome] = []
    try:
        for outcome in for_each(make, items, settings, about.name, killed=_killed):
            if outcome.case and outcome.fresh:
                if settings.dask and not is_whole(about, outcome.case):
                    raise InputError(f"the Dask workers do not see {about.folder} as this machine")
                write_record(about, outcome.case, outcome.stamps)
            outcomes.append(outcome)
        outcomes.sort(key=lambda outcome: outcome.id)
        unstated = _without_unit(outcomes) if unit is None else ""
        if unstated:
            about = replace(about, unit=UNKNOWN_UNIT)
        held_out = {case.id for case in cases if case.held_out}
        summary = _finish(about, outcomes, known, settings, left_out, held_out)
        return replace(summary, notes=(unstated, *summary.notes)) if unstated else summary
    except OSError as reason:  # from writing: a file that cannot be read is its case's fault
        done = f"{sum(each.case is not None for each in outcomes)} of {len(cases)} cases are done"
        raise InputError(
            f"cannot write to {about.folder}: {reason.strerror or reason}; {done} and kept, and "
            "the same command goes on from there"
        ) from None


def _completed(about: CohortDescription, raw: Path, settings: FoldSettings) -> CohortDescription:
    """The description with what the engine adds: how folds and arrays are made, and whose files
    these are."""
    added = {"folds": settings.folds, "seed": settings.seed, "version": ARRAYS_VERSION}
    recipe = about.recipe | added
    # workers on other machines start in another folder
    folder = about.folder.resolve() if settings.dask else about.folder
    return with_virtual_identity(replace(about, recipe=recipe, folder=folder), raw)


def _finish(
    about: CohortDescription,
    outcomes: list["_Outcome"],
    known: Mapping[str, Record],
    settings: FoldSettings,
    left_out: tuple[dict[str, str], ...],
    held_out: Collection[str],
) -> Summary:
    """Write the manifest, and say how it went."""
    rejected = tuple({"case": o.id, "reason": o.reason} for o in outcomes if o.case is None)
    done = [outcome.case for outcome in outcomes if outcome.case]
    if not done:
        why = f"; {rejected[0]['reason']}" if rejected else ""
        raise InputError(f"none of {len(rejected)} cases can be prepared{why}")
    cases, notes = assign_folds(done, settings.folds, settings.seed, held_out)
    notes = (*remarks(cases), *notes)
    spacing = tuple(np.mean([case.spacing for case in cases], axis=0).round(6).tolist())
    cohort = about.with_cases(cases, spacing, (*rejected, *left_out))
    cohort.save()
    notes = (*notes, *label_remarks(cohort))
    if (shapes := len({case.shape for case in cases})) > 1:
        notes = (*notes, f"the cases have {shapes} shapes; for training prepare them with --size")
    remove_records(about.folder, {*known, *(case.id for case in cases)})
    _remove_arrays(about.folder, known.keys() - {case.id for case in cases})
    notes = (*notes, *_since_former_run(known, outcomes))
    fresh = sum(outcome.fresh for outcome in outcomes)
    return Summary(
        folder=about.folder,
        prepared=fresh,
        skipped=len(done) - fresh,
        unlabelled=sum(not case.labelled for case in cases),
        rejected=rejected,
        lost={case.id: case.lost for case in cases if case.lost},
        notes=notes,
        left_out=left_out,
    )


def _since_former_run(known: Mapping[str, Record], outcomes: Sequence["_Outcome"]) -> Iterator[str]:
    """What became of the cases that a former run had made: a line for each kind of change."""
    again = [known[each.id].outdated for each in outcomes if each.fresh and each.id in known]
    for count, why in (
        (sum(again), "an earlier version had made other arrays"),
        (len(again) - sum(again), "their files, patients or grades have changed"),
    ):
        if count:
            yield f"made anew, as {why}: {count} cases; train anew what was trained on them"
    if gone := len(known.keys() - {each.id for each in outcomes}):
        yield f"removed, as their raw scans are gone: {gone} cases of a former run"


def _without_unit(outcomes: Sequence["_Outcome"]) -> str:
    """Which scans' headers do not state their unit, in a line; "" if all do.

    What is no NIfTI file has no such header.
    """
    cases = [outcome.case for outcome in outcomes if outcome.case]
    codes = [(case.id, case.source.header.get("xyzt_units")) for case in cases]
    names = [name for name, code in codes if code is not None and mm_of_unit(code) is None]
    if not names:
        return ""
    which = f"{len(names)} of {len(cases)} scans" + (
        f" ({', '.join(_some(names))})" if len(names) < len(cases) else ""
    )
    return (
        f"{which} do not state the unit of their voxels' size: sizes, --spacing and distances "
        "count as the files do, and are not said to be in mm; if they are, say --unit mm"
    )


def _check_names(cases: Sequence[RawCase]) -> None:
    """Refuse cases that share a name, before any work is done."""
    by_id = defaultdict(list)
    for case in cases:
        by_id[case.id].append(case)
    for name, same in by_id.items():
        if len(same) > 1:
            files = [str(next(iter(case.images.values()), "no image")) for case in same]
            raise InputError(f"{len(same)} cases have the id {name!r}: {', '.join(files)}")


def locked_folders(*folders: Path | None) -> list[RawCase]:
    """The folders below these that cannot be opened, as cases that cannot be used: what is missing
    in a cohort is named."""
    fault = "this folder cannot be opened, so its files are missing; ask for the right to read it"
    locked = dict.fromkeys(path for folder in folders if folder for path in locked_below(folder))
    return [RawCase(f"{path}/", "", {}, fault=fault) for path in locked]


# ---- one case, in a worker ---------------------------------------------------------------------


@dataclass(frozen=True)
class _Outcome:
    id: str
    case: Case | None = None  # None: rejected
    reason: str = ""
    fresh: bool = False  # made by this run
    stamps: Stamps = field(default_factory=dict)


def _prepare_one(
    item: tuple[RawCase, Record | None],
    about: CohortDescription,
    raw_folder: Path,
    prepare: Callable[[RawCase], Prepared],
) -> _Outcome:
    raw, known = item
    try:
        files = _files(raw, raw_folder, about.channels)
        names = {key: path.relative_to(raw_folder).as_posix() for key, path in files.items()}
        stamps = _stamps(files)
        same = known and names == known.case.source.files and is_whole(about, known.case)
        if known and same and _is_current(known, raw, files, stamps, about):
            return _Outcome(raw.id, known.case)
        source = Source(names, _checksums(files), shape=(), affine=[])
        made = prepare(raw)
    except Exception as reason:  # whatever it is, it is this case's alone
        return _Outcome(raw.id, reason=in_one_line(reason))
    try:
        sums = write_arrays(about.folder, raw.id, made.image, made.label)
    except OSError as reason:
        if reason.errno != errno.ENAMETOOLONG:  # the disk is full: no case can be written
            raise
        return _Outcome(
            raw.id, reason=f"its name is too long there; rename the raw scan ({reason})"
        )
    except MemoryError as reason:
        return _Outcome(raw.id, reason=in_one_line(reason))
    case = Case(
        id=raw.id,
        patient=raw.patient,
        shape=made.image.shape[1:],
        affine=made.affine.tolist(),
        crop=made.crop,
        source=replace(
            source,
            shape=tuple(made.raw_shape),
            affine=made.raw_affine.tolist(),
            header=made.raw_header,
        ),
        labelled=made.label is not None or raw.grade is not None,
        lost=made.lost,
        lost_by_class=made.lost_by_class,
        grade=raw.grade,
        sha256=sums,
    )
    return _Outcome(raw.id, case, fresh=True, stamps=stamps)


def _killed(item: tuple[RawCase, Record | None]) -> "_Outcome":
    """The outcome of a case whose worker was killed each time."""
    return _Outcome(item[0].id, reason=KILLED)


def _files(raw: RawCase, raw_folder: Path, channels: Sequence[str]) -> dict[str, Path]:
    """A case's files, by channel, channel/slice or "label"."""
    if raw.fault:
        raise InputError(raw.fault)
    if not SAFE_NAME.fullmatch(raw.id):
        raise InputError(f"{raw.id!r} cannot name a file; rename the raw scan")
    if (length := len(raw.id.encode())) > LONGEST_NAME:
        raise InputError(
            f"its name takes {length} bytes, where a file's may take {LONGEST_NAME}; rename the "
            "raw scan"
        )
    missing = [channel for channel in channels if channel not in raw.images]
    if missing:
        there = ", ".join(path.name for path in raw.images.values()) or "no image"
        raise InputError(f"{' and '.join(missing)} missing; there is {there}")
    files = {name: raw.images[name] for name in channels if name not in raw.slices}
    for name, paths in raw.slices.items():
        files |= {f"{name}/{path.name}": path for path in paths}
    files |= {"label": raw.label} if raw.label else {}
    for path in files.values():
        if not path.is_relative_to(raw_folder):
            raise InputError(f"{path} lies outside {raw_folder}")
    return files


def _stamps(files: dict[str, Path]) -> Stamps:
    """Size and time of each file: whether it is the one that was read, without reading it again.

    A folder of slices has the sum of their sizes, and the time of the latest.
    """
    stamps = {}
    for name, path in files.items():
        try:
            within = path.iterdir() if path.is_dir() else [path]
            stats = [file.stat() for file in within]
        except OSError as reason:
            raise InputError(f"{path} cannot be read: {reason.strerror}") from None
        size, time = sum(s.st_size for s in stats), max((s.st_mtime_ns for s in stats), default=0)
        stamps[name] = [size, time]
    return stamps


def _checksums(files: dict[str, Path]) -> dict[str, str]:
    sums = {}
    for path in set(files.values()):  # channels may share a file
        try:
            sums[path] = checksum(path)
        except OSError as reason:
            raise InputError(f"{path} cannot be read: {reason.strerror}") from None
    return {name: sums[path] for name, path in files.items()}


def _is_current(
    known: Record,
    raw: RawCase,
    files: dict[str, Path],
    stamps: Stamps,
    about: CohortDescription,
) -> bool:
    """Whether a prepared case was made from what these files hold now.

    The record of a run that was killed has the files' sizes and times, so that 22 000 scans need
    not be read again; the manifest has none, and files are compared by what is in them, the
    arrays too.
    """
    case = known.case
    if known.outdated or (case.patient, case.grade) != (raw.patient, raw.grade):
        return False
    return known.stamps == stamps or (
        case.source.sha256 == _checksums(files) and is_as_written(about, case)
    )


# ---- a prepared case's arrays ------------------------------------------------------------------


def _remove_arrays(folder: Path, cases: Iterable[str]) -> None:
    for name in cases:
        for kind in ("images", "labels"):
            array_path(folder, kind, name).unlink(missing_ok=True)


def write_arrays(
    folder: Path, case_id: str, image: np.ndarray, label: np.ndarray | None
) -> dict[str, str]:
    """Write a case's image (channel, *space) and label (*space) into a cohort's folder.

    Returns:
        Their files' checksums, for the manifest.
    """
    sums = {"image": write_array(array_path(folder, "images", case_id), image)}
    label_path = array_path(folder, "labels", case_id)
    if label is None:
        label_path.unlink(missing_ok=True)  # a former run may have had one
    else:
        sums["label"] = write_array(label_path, label)
    return sums


def is_as_written(about: CohortDescription, case: Case) -> bool:
    """Whether a case's arrays are, byte for byte, those that were prepared."""
    paths = {kind: array_path(about.folder, f"{kind}s", case.id) for kind in case.sha256}
    return all(checksum(path) == case.sha256[kind] for kind, path in paths.items())


def is_whole(about: CohortDescription, case: Case) -> bool:
    """Whether a case's arrays are in the folder of ``about``, and of the shape that it says."""
    try:
        about.read(case)
    except InputError:
        return False
    return True

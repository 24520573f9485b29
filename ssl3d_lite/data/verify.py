"""Whether a cohort is what its manifest says: files, values, and who stands on which side.

Run it after copying a cohort, before publishing a number, or when a score looks too good.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np

from ssl3d_lite.errors import InputError, in_one_line
from ssl3d_lite.files import checksum
from ssl3d_lite.machine.parallel import KILLED, Workforce, for_each
from ssl3d_lite.settings import Positional

from .alike import remarks
from .case import SAFE_NAME, Case, array_path
from .cohort import Cohort, CohortDescription
from .label_classes import label_remarks
from .place import place_remarks
from .preparation import Intensity

FLOAT16_ROUNDING = 1e-3  # relative error of float16 near 1


@dataclass(frozen=True)
class Verify(Workforce):
    """Re-checks a cohort: its manifest; each array's checksum, shape, type and range; label values
    and grades; and that no patient and no picture stands on two sides of a split. It says how much
    of the labels place alone explains, without looking at a scan: scores mean what is above it."""

    cohort: Positional[Path]
    """Prepared cohort."""

    raw: Path | None = None
    """Folder of the raw files, to see that they are still those the cohort was made from."""


@dataclass(frozen=True)
class VerifyReport:
    """What is wrong with a cohort; made to be printed."""

    cohort: Cohort
    faults: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        return int(bool(self.faults))

    def __str__(self) -> str:
        count = f"faults: {len(self.faults)}" if self.faults else "no fault"
        end = f"{self.cohort.folder}: {len(self.cohort)} cases of {self.cohort.name}, {count}"
        return "\n".join([*self.faults, *self.notes, end])


def verify(settings: Verify) -> VerifyReport:
    """Check a cohort through and through. Reads every array.

    Raises:
        InputError: there is no manifest to check, or no folder of raw files where one is named.
    """
    cohort = Cohort.open(settings.cohort.resolve() if settings.dask else settings.cohort)
    if settings.raw and not settings.raw.is_dir():
        raise InputError(
            f"no folder {settings.raw} of raw files; say with --raw where they lie now"
        )
    raw = raw_root(cohort, settings.raw.resolve()) if settings.raw else None
    faults = [*manifest_faults(cohort), *split_leaks(cohort), *strays(cohort)]
    check = partial(case_faults, cohort=cohort.about, raw=raw)
    title = f"verify {cohort.name}"
    found = dict(for_each(check, cohort.cases, settings, title, killed=_killed))
    faults += [fault for case in cohort.cases for fault in found[case.id]]
    notes = list(remarks(cohort.cases))
    notes += [] if faults else label_remarks(cohort)
    if unknown := sum(not case.sha256 for case in cohort.cases):
        notes.append(f"{unknown} cases have no checksums: prepare them again to have them checked")
    if cohort.rejected:
        notes.append(f"{len(cohort.rejected)} raw cases were rejected or left out by prepare")
    notes += [] if faults else place_remarks(cohort)
    return VerifyReport(cohort, tuple(faults), tuple(notes))


# ---- the manifest ------------------------------------------------------------------------------


def manifest_faults(cohort: Cohort) -> Iterator[str]:
    """What contradicts itself in the manifest. No array is read."""
    for name, times in Counter(case.id for case in cohort.cases).items():
        if times > 1:
            yield f"{name} stands in the manifest {times} times"
    values = set(cohort.label_values)
    if len(values) < len(cohort.label_values) or len(cohort.label_names) != len(values):
        yield f"label values {cohort.label_values} and names {cohort.label_names} do not match"
    for region, parts in cohort.regions.items():
        if not parts or set(parts) - values:
            yield f"region {region} unites {parts}, of which not all are label values"
    for case in cohort.cases:
        affine = np.array(case.affine, float)
        if not SAFE_NAME.fullmatch(case.id):
            yield f"{case.id!r} cannot name a file"
        elif len(case.shape) != cohort.spatial_dims:
            yield f"{case.id} has shape {case.shape} in a {cohort.spatial_dims}D cohort"
        elif not np.isfinite(affine).all() or not nib.affines.voxel_sizes(affine).all():
            yield f"{case.id} has an affine that places no voxels"
        elif cohort.ordinal and case.labelled != (case.grade is not None):
            has = "a grade" if case.labelled else "no grade"
            yield f"{case.id} is said to have {has}, but the manifest says otherwise"
        elif case.grade is not None and not 0 <= case.grade < len(cohort.label_names):
            yield f"{case.id} has grade {case.grade}, where grades are 0 to {len(values) - 1}"


def split_leaks(cohort: Cohort) -> Iterator[str]:
    """Patients, and pictures that are the same voxel for voxel, on more than one side of a split.

    A case in no fold is on the side of pretraining in every split, so it must share neither with a
    case in a fold.
    """
    yield from _apart(cohort.cases, "patient {}", lambda case: case.patient)
    # slices beside the brain are equal, and are in the folds of their scans
    pictures = [case for case in cohort.cases if "image" in case.sha256 and not case.slice_of]
    yield from _apart(pictures, "one and the same picture", lambda case: case.sha256["image"])


def _apart(cases: Sequence[Case], what: str, key: Callable[[Case], str]) -> Iterator[str]:
    sides: dict[str, dict[int | None, str]] = defaultdict(dict)
    for case in cases:
        sides[key(case)].setdefault(case.fold, case.id)
    for name, by_fold in sides.items():
        if len(by_fold) > 1:
            where = ", ".join(
                f"{case} in {'no fold' if fold is None else f'fold {fold}'}"
                for fold, case in sorted(by_fold.items(), key=lambda side: side[0] is None)
            )
            yield f"leakage: {what.format(name)} stands on two sides of a split: {where}"


def strays(cohort: Cohort) -> Iterator[str]:
    """Arrays that no case of the manifest owns."""
    for kind in ("images", "labels"):
        owned = {
            array_path(cohort.folder, kind, case.id)
            for case in cohort.cases
            if kind == "images" or (case.labelled and not cohort.ordinal)
        }
        for path in sorted(set((cohort.folder / kind).glob("*")) - owned):
            yield f"{path} belongs to no case of the manifest"


def raw_root(cohort: Cohort, raw: Path) -> Path:
    """The folder that the manifest names raw files relative to: ``raw``, or one above it.

    (Scans and label maps that lie in folders of their own are named from where both lie.)

    Raises:
        InputError: no raw file of the cohort is there.
    """
    files = [file for case in cohort.cases for file in case.source.files.values()]
    for place in (raw, *raw.parents[:3]):
        if any((place / file).exists() for file in files):
            return place
    example = next(iter(files), "none that is named")
    raise InputError(f"no raw file of {cohort.name} lies in {raw}, such as {example}")


# ---- a case ------------------------------------------------------------------------------------


def _killed(case: Case) -> tuple[str, list[str]]:
    return case.id, [f"{case.id}: {KILLED}"]


def case_faults(case: Case, cohort: CohortDescription, raw: Path | None) -> tuple[str, list[str]]:
    """A case's id, and what is wrong with its arrays and, if given, its raw files."""
    try:
        return case.id, _array_faults(case, cohort) + _raw_faults(case, raw)
    except InputError as reason:
        return case.id, [str(reason)]
    except Exception as reason:  # whatever it is, it is this case's alone
        return case.id, [f"{case.id}: {in_one_line(reason)}"]


def _array_faults(case: Case, cohort: CohortDescription) -> list[str]:
    faults = []
    image, label = cohort.read(case)
    for kind, folder in (("image", "images"), ("label", "labels")):
        path = array_path(cohort.folder, folder, case.id)
        if kind in case.sha256 and (not path.exists() or checksum(path) != case.sha256[kind]):
            faults.append(f"{path} has changed since it was prepared; prepare it again")
    faults += [f"{case.id}: {fault}" for fault in image_faults(image, cohort, case)]
    if label is not None and not cohort.ordinal:
        faults += [f"{case.id}: {fault}" for fault in label_faults(label, cohort)]
    return faults


def _raw_faults(case: Case, raw: Path | None) -> list[str]:
    if raw is None:
        return []
    faults = []
    for name, file in case.source.files.items():
        path = raw / file
        if not path.exists():
            faults.append(f"{case.id}: its raw file {path} is missing")
        elif checksum(path) != case.source.sha256.get(name):
            faults.append(f"{case.id}: its raw file {path} is another than it was made from")
    return faults


def image_faults(image: np.ndarray, cohort: CohortDescription, case: Case) -> Iterator[str]:
    """What is wrong with the values of an image (channel, *space)."""
    if image.dtype != np.float16:
        yield f"its image is {image.dtype}, not float16"
    bounds = intensity_bounds(cohort)
    for name, channel in zip(cohort.channels, image, strict=True):
        low, high = float(channel.min()), float(channel.max())
        if not np.isfinite([low, high]).all():
            yield f"{name} has NaN or infinite voxels"
        elif low == high and not case.slice_of:  # a slice may lie beside the brain
            yield f"{name} holds nothing but the value {low:g}"
        elif (
            bounds
            and not bounds[0] - FLOAT16_ROUNDING <= low <= high <= bounds[1] + FLOAT16_ROUNDING
        ):
            yield f"{name} goes from {low:g} to {high:g}, where {bounds} are the bounds"


def intensity_bounds(cohort: CohortDescription) -> tuple[float, float] | None:
    """Between what an image's values must lie, by how the cohort was prepared; None: not known."""
    recipe = cohort.recipe.get("cohort", cohort.recipe)  # slices are what their scans were
    if "intensity" not in recipe:
        return None
    return Intensity.parse(recipe["intensity"]).bounds


def label_faults(label: np.ndarray, cohort: CohortDescription) -> Iterator[str]:
    """What is wrong with the values of a label map (*space)."""
    if label.dtype != np.uint8:
        yield f"its label map is {label.dtype}, not uint8"
    if (strange := int(label.max())) >= len(cohort.label_names):
        yield f"its label map holds class {strange}, where there are {len(cohort.label_names)}"

"""A 2D cohort from a prepared 3D one: some slices of every scan, for the 2D baselines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal, TypeVar

import numpy as np
from tqdm.auto import tqdm

from data_recipes.preparing.engine import Summary, is_as_written, is_whole, write_arrays
from data_recipes.preparing.records import (
    Record,
    claimed_cohort,
    read_records,
    remove_records,
    reserve,
    write_record,
)
from data_recipes.preparing.settings import About
from ssl3d_lite.data.case import Case
from ssl3d_lite.data.cohort import Cohort, CohortDescription
from ssl3d_lite.errors import InputError
from ssl3d_lite.settings import CheckedSettings, PositiveInt, Probability

_PLANES = ("sagittal", "coronal", "axial")  # by the axis they are cut across: volumes are RAS
Value = TypeVar("Value")


@dataclass(frozen=True)
class SliceSettings(CheckedSettings):
    """Makes every slice a case of its own. A slice keeps its scan's patient and fold, so the splits
    are the 3D cohort's. Labels are counted in scans, and scores are those of whole scans, stacked
    again: as in 3D."""

    about: ClassVar[About] = About(
        title="Slices of a prepared 3D cohort, as a 2D cohort for the 2D baselines",
        terms="of your cohorts",
        access="from any 3D cohort",
        licence="the 3D cohort's",
        citation="the 3D cohort's",
        size="as the 3D cohort, or the share that is taken",
        time="about 1000 slices a second",
    )

    cohort: Path
    """Prepared 3D cohort."""

    out: Path
    """Folder for the 2D cohort."""

    axis: Literal[0, 1, 2] = 2
    """Slices are cut across it: 0 sagittal, 1 coronal, 2 axial."""

    first: Probability = 0.0
    """Where on the axis the part that is taken begins, as a share of its length."""

    last: Probability = 1.0
    """Where that part ends. Voxels outside of it are not scored either."""

    every: PositiveInt = 1
    """Take every n-th slice of that part."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.first < self.last:
            raise InputError(f"first {self.first}, last {self.last}: first must lie before last")


def prepare(settings: SliceSettings) -> Summary:
    """Cut the slices, going on from what a former run left.

    Raises:
        InputError: the cohort is not 3D or damaged; a setting has no meaning; the folder was
            prepared with other settings, or cannot be written to.
    """
    volumes = Cohort.open(settings.cohort)
    _check(settings, volumes)
    wanted = [slices_of(case, settings) for case in volumes.cases]
    if not any(wanted):
        raise InputError(f"no slice lies between first {settings.first} and last {settings.last}")
    about = _describe(settings, volumes)
    with claimed_cohort(about.folder) as claim:
        known = read_records(about)
        reserve(claim, [case.id for scan in wanted for case in scan.values()], known)
        return _cut_all(settings, volumes, wanted, about, known)


def _cut_all(
    settings: SliceSettings,
    volumes: Cohort,
    wanted: Sequence[dict[int, Case]],
    about: CohortDescription,
    known: Mapping[str, Record],
) -> Summary:
    fresh: int = 0
    cases: list[Case] = []
    try:
        with tqdm(wanted, desc=about.name, unit="scan") as bar:
            for scan, slices in enumerate(bar):
                there = {
                    position: known[case.id].case
                    for position, case in slices.items()
                    if _is_current(known.get(case.id), case, about)
                }
                missing = {at: case for at, case in slices.items() if at not in there}
                there |= _cut(volumes, scan, missing, settings.axis, about)
                fresh += len(missing)
                cases += [there[position] for position in slices]
        spacing = _without(volumes.spacing, settings.axis)
        about.with_cases(cases, spacing, volumes.rejected).save()
    except OSError as reason:
        raise InputError(
            f"cannot write to {about.folder}: {reason.strerror or reason}; {fresh} slices were "
            "made and kept, and the same command goes on from there"
        ) from None
    remove_records(about.folder, {*known, *(case.id for case in cases)})
    unlabelled = sum(not case.labelled for case in cases)
    return Summary(about.folder, fresh, len(cases) - fresh, unlabelled, rejected=())


def slices_of(case: Case, settings: SliceSettings) -> dict[int, Case]:
    """The 2D cases of a 3D one, by their position on the axis. Reads no array.

    Their affine is (4, 3): (i, j, 1) of a slice → world, mm.
    """
    axis = settings.axis
    affine = np.array(case.affine)
    in_plane = np.delete(affine, axis, axis=1)
    cases = {}
    for position in positions(case.shape[axis], settings):
        in_plane[:, -1] = affine[:, -1] + position * affine[:, axis]
        cases[position] = replace(
            case,
            id=f"{case.id}_s{position:03d}",
            shape=_without(case.shape, axis),
            affine=in_plane.tolist(),
            crop=list(_without(case.crop, axis)),
            lost=0,  # numbers of the whole scan
            lost_by_class=(),
            slice_of=case.id,
            sha256={},  # not known before it is cut
        )
    return cases


def _is_current(known: Record | None, case: Case, about: CohortDescription) -> bool:
    """Whether a slice is there already, cut from the scan as it is now."""
    if known is None or known.outdated:
        return False
    same = replace(known.case, sha256={}) == case and is_whole(about, known.case)
    return same and is_as_written(about, known.case)


def positions(length: int, settings: SliceSettings) -> range:
    """Which slices of an axis of ``length`` are taken.

    Not those with labels: pretraining uses them too, and must not know where labels are.
    """
    return range(round(settings.first * length), round(settings.last * length), settings.every)


def _check(settings: SliceSettings, volumes: Cohort) -> None:
    if volumes.spatial_dims != 3:
        raise InputError(f"{settings.cohort} is already {volumes.spatial_dims}D; give a 3D cohort")
    if settings.out.resolve() == settings.cohort.resolve():
        raise InputError(f"{settings.out} holds the 3D cohort; give another folder to --out")


def _describe(settings: SliceSettings, volumes: Cohort) -> CohortDescription:
    """What is known of the 2D cohort."""
    plane = _PLANES[settings.axis]
    text = (
        f"{plane.capitalize()} slices (across axis {settings.axis}) of the 3D cohort "
        f"{volumes.name}; scores are of scans, stacked again. {volumes.description}"
    )
    return replace(
        volumes.about,
        name=f"{volumes.name}, {plane} slices",
        recipe={
            "name": "slices",
            "cohort": volumes.recipe,
            "axis": settings.axis,
            "first": settings.first,
            "last": settings.last,
            "every": settings.every,
        },
        description=text.strip(),
        folder=settings.out,
    )


def _cut(
    volumes: Cohort, scan: int, slices: dict[int, Case], axis: int, about: CohortDescription
) -> dict[int, Case]:
    """Write the arrays of ``slices`` (by position) of one scan; the same with their checksums."""
    if not slices:
        return {}
    image, label = volumes[scan]
    done = {}
    for position, case in slices.items():
        flat = None if label is None else label.take(position, axis)
        sums = write_arrays(about.folder, case.id, image.take(position, axis + 1), flat)
        done[position] = replace(case, sha256=sums)
        write_record(about, done[position])
    return done


def _without(values: Sequence[Value], axis: int) -> tuple[Value, ...]:
    """All but the one of ``axis``."""
    return (*values[:axis], *values[axis + 1 :])

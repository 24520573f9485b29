"""Features as files: colours over the raw scans for other viewers, and one table of embeddings.

``ID_colours.nii.gz`` is a picture of 3 × 8 bits a voxel (NIfTI's RGB24), which 3D Slicer and
FSLeyes show as it is; ``ID_features.nii.gz`` has the principal components along a fourth axis. Both
have the raw scan's own voxels and header. ``embeddings.npz`` has one vector a scan.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nibabel
import numpy as np
from nibabel.processing import resample_from_to
from tqdm.auto import tqdm

from ssl3d_lite.data.case import Case
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.place import spread
from ssl3d_lite.data.provenance import Provenance
from ssl3d_lite.data.raw_header import image_over_raw
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import atomic_write, gzip_bytes
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.outputs import claimed
from ssl3d_lite.settings import CheckedSettings, Count, PositiveInt
from ssl3d_lite.training.checkpoint import digest

from .feature_maps import (
    FeatureSpace,
    cell_labels,
    check_cases,
    checked_count,
    checked_levels,
    checked_stride,
    embedding,
    encoder_to_read,
    fit_space,
    read_maps,
)
from .prediction import large_enough
from .raw_scans import (
    READING_FEATURES,
    check_places,
    prepare_alike,
    remarks_on_scans,
    room_in,
    strange_voxels,
    volume_recipe,
    what_it_learnt,
)

COMMAND = "features"
EMBEDDINGS = "embeddings.npz"
MOST_FITTED = 8  # patients over which colours are fitted, if none are named
KEPT = 32  # principal components whose axes are kept in the table
RGB_VOXEL = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


@dataclass(frozen=True)
class FeatureFiles:
    """What was written; made to be printed."""

    folder: Path
    paths: tuple[Path, ...]  # the pictures, then the table
    fitted: tuple[str, ...]  # ids of the cases over which colours are fitted
    share: float  # share of the variance that three colours hold
    rejected: tuple[dict[str, str], ...] = ()  # {"case", "reason"}: scans that cannot be read
    notes: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """1 if a scan was rejected, else 0."""
        return int(bool(self.rejected))

    def __str__(self) -> str:
        lines = [
            f"{len(self.paths) - 1} pictures and {EMBEDDINGS} in {self.folder}",
            f"colours hold {self.share:.0%} of the features' variance; they are fitted over "
            + ", ".join(self.fitted),
            *self.notes,
        ]
        return "\n".join(lines + [f"  {r['case']} rejected: {r['reason']}" for r in self.rejected])


@dataclass(frozen=True)
class FeatureSettings(CheckedSettings):
    """How features are read, and what is written of them."""

    levels: tuple[Count, ...] | None = None
    """Which of the encoder's levels are read, 0 the finest. Default: all."""
    stride: PositiveInt = 2
    """Edge of a cell in voxels: a map has one vector a cell."""
    components: Count = 0
    """Number of principal components that are written too, along a fourth axis."""
    exact: bool = True
    """Compute in float64, so that colours are the same on every machine; else in the encoder's own
    precision."""


FEATURE_DEFAULTS = FeatureSettings()


def write_features(
    encoder: Encoder,
    cohort: Cohort,
    out: str | Path,
    cases: Sequence[int] | None = None,
    fit: Sequence[int] | None = None,
    settings: FeatureSettings = FEATURE_DEFAULTS,
) -> FeatureFiles:
    """Write PCA colours over the raw scans of a 3D cohort's cases, and a table of embeddings.

    Args:
        cases: positions in the cohort; by default all.
        fit: the cases over which colours are fitted; by default at most 8, spread evenly.

    Raises:
        InputError: the encoder cannot read the scans; ``out`` holds anything but such files.

    Example::

        print(write_features(encoder, cohort, "features"))
        table = np.load("features/embeddings.npz")
        table["ids"], table["embeddings"]  # (case,), (case, feature)
    """
    chosen, small = _large_volumes(encoder, cohort, cases)
    _check(settings, encoder, cohort, chosen)
    fitted = spread(chosen, MOST_FITTED) if fit is None else check_cases(cohort, fit)
    ready = encoder_to_read(encoder, cohort, fitted, settings.exact)
    read = (settings.stride, settings.levels)
    names = [cohort.cases[case].id for case in fitted]
    space = fit_space(read_maps(ready, cohort, fitted, *read), names)
    kinds = ("colours", "features")[: 1 + bool(settings.components)]
    files = {case: [f"{cohort.cases[case].id}_{kind}.nii.gz" for kind in kinds] for case in chosen}
    vectors, within, paths = [], [], []
    with claimed(out, COMMAND) as claim:
        claim.reserve([EMBEDDINGS, *(name for each in files.values() for name in each)])
        maps = read_maps(ready, cohort, chosen, *read)
        for case, features in zip(tqdm(chosen, desc="features", unit="case"), maps, strict=True):
            labels = cell_labels(cohort, case, settings.stride)
            vectors.append(embedding(features))
            within.append(
                [embedding(features, labels, label) for label in range(len(cohort.label_names))]
            )
            pictures = _pictures(space, features, settings.components)
            for name, picture in zip(files[case], pictures, strict=True):
                data = _over_raw(picture, cohort.cases[case], settings.stride)
                paths.append(_write(claim.folder / name, gzip_bytes(data)))
        table = {
            "ids": [cohort.cases[case].id for case in chosen],
            "embeddings": vectors,
            "within": within,
            "label_names": cohort.label_names,
            "stride": settings.stride,
            "encoder": digest(encoder),
        }
        paths.append(_write(claim.folder / EMBEDDINGS, _npz(table | _space_table(space))))
    notes = tuple(_of_earlier_runs(Path(out), paths))
    return FeatureFiles(Path(out), tuple(paths), space.fitted, space.share(3), tuple(small), notes)


def _large_volumes(
    encoder: Encoder, cohort: Cohort, cases: Sequence[int] | None
) -> tuple[list[int], list[dict[str, str]]]:
    """Which of ``cases`` an encoder can read; and {"case", "reason"} of those that it cannot."""
    if cohort.spatial_dims != 3:
        raise InputError(
            f"{cohort.name} is {cohort.spatial_dims}D: colours are laid over a whole raw scan, so "
            "give a 3D cohort"
        )
    if encoder.settings.spatial_dims != 3:
        raise InputError(f"the encoder reads {encoder.settings.spatial_dims}D pictures, no volumes")
    chosen = check_cases(cohort, range(len(cohort)) if cases is None else cases)
    return large_enough(encoder, cohort, chosen, None, None, "encoder")


def _check(
    settings: FeatureSettings, encoder: Encoder, cohort: Cohort, cases: Sequence[int]
) -> None:
    """Raise InputError unless the encoder and the scans have what is asked for."""
    checked_stride(settings.stride, [cohort.cases[case].shape for case in cases])
    checked_levels(settings.levels, encoder)
    filters = encoder.settings.filters
    chosen = range(len(filters)) if settings.levels is None else settings.levels
    checked_count(settings.components, sum(filters[level] for level in chosen))


def write_image_features(
    encoder: Encoder,
    images: str | Path,
    out: str | Path,
    settings: FeatureSettings = FEATURE_DEFAULTS,
    workers: int | None = None,
) -> FeatureFiles:
    """The same of raw scans, which are prepared as those that the encoder learnt from.

    Args:
        images: a folder of NIfTI files or DICOM series, or one NIfTI file.
        workers: processes that prepare scans; by default one a core.

    Raises:
        InputError: the encoder does not know how its scans were prepared, or learnt slices; no scan
            is there, or none can be read.

    Example::

        print(write_image_features(load_encoder("runs/cpc"), "new_scans", "features"))
    """
    words = READING_FEATURES
    trained, learnt = what_it_learnt(encoder, words)
    recipe, images, out = volume_recipe(learnt, words), Path(images), Path(out)
    if recipe is not learnt:
        raise InputError("the encoder learnt slices; give their cohort (--cohort)")
    check_places(images, out)
    with room_in(out, COMMAND) as room:
        channels = trained.preparation.channels or ()
        cohort, summary = prepare_alike(images, room, channels, recipe, workers, words)
        fit = _trusted(encoder, cohort, trained)
        written = write_features(encoder, cohort, out, fit=fit, settings=settings)
    notes = [f"{row['case']} {row['reason']}: left out" for row in summary.left_out]
    notes += remarks_on_scans(cohort, trained, recipe, words=words)
    return replace(
        written, rejected=(*summary.rejected, *written.rejected), notes=(*written.notes, *notes)
    )


def _trusted(encoder: Encoder, cohort: Cohort, trained: Provenance) -> list[int]:
    """The cases over which colours are fitted: not those whose voxels the encoder has never met, as
    long as there are others."""
    strange = strange_voxels(cohort.cases, trained)
    large, _ = _large_volumes(encoder, cohort, None)
    trusted = [case for case in large if cohort.cases[case].id not in strange]
    return spread(trusted or large, MOST_FITTED)


# ---- arrays and files --------------------------------------------------------------------------


def _pictures(space: FeatureSpace, features: np.ndarray, components: int) -> list[np.ndarray]:
    """Colours (*grid), voxels of one type that has red, green and blue; and components, if some
    are wanted, float32 (*grid, component)."""
    colours = np.ascontiguousarray(space.colours(features)).view(RGB_VOXEL)[..., 0]
    if not components:
        return [colours]
    return [colours, np.moveaxis(space.components(features, components), 0, -1).astype(np.float32)]


def _over_raw(cells: np.ndarray, case: Case, stride: int) -> bytes:
    """Cells (*grid) or (*grid, component) on the raw scan's own voxels, each the nearest cell's;
    what lies outside the prepared volume is 0."""
    to_voxel = np.diag([stride, stride, stride, 1.0])
    to_voxel[:3, 3] = (stride - 1) / 2
    flat = cells.reshape(-1, *cells.shape[3:])
    # which cell lies at each raw voxel is looked up once, whatever a cell holds; 0 is none
    numbers = np.arange(1.0, len(flat) + 1).reshape(cells.shape[:3])
    numbered = nibabel.Nifti1Image(numbers, np.array(case.affine) @ to_voxel)
    raw = (case.source.shape, np.array(case.source.affine))
    nearest = resample_from_to(numbered, raw, order=0, mode="grid-constant", cval=0)
    found = np.rint(np.asarray(nearest.dataobj)).astype(int)
    padded = np.concatenate([np.zeros_like(flat[:1]), flat])
    return image_over_raw(padded[found], case.source.affine, case.source.header).to_bytes()


def _space_table(space: FeatureSpace) -> dict[str, object]:
    return {
        "fitted": space.fitted,
        "mean": space.mean,
        "deviation": space.deviation,
        "axes": space.axes[:KEPT],
        "variances": space.variances,
    }


def _npz(table: dict[str, object]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **{n: np.asarray(v) for n, v in table.items()})
    return buffer.getvalue()


def _of_earlier_runs(out: Path, written: Sequence[Path]) -> Iterator[str]:
    """In a line at most, which pictures this run has not written, so that no row of the table is
    theirs."""
    left = sorted({path.name for path in out.glob("*.nii.gz")} - {path.name for path in written})
    if left:
        yield f"{out} still holds {len(left)} pictures of earlier runs, such as {left[0]}"


def _write(path: Path, data: bytes) -> Path:
    atomic_write(path, lambda file: file.write(data))
    return path

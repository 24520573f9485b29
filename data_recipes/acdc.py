"""ACDC: MRI of the heart in short axis, each patient at end diastole and at end systole."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import ClassVar

from nibabel.affines import voxel_sizes

from data_recipes.preparing.description import describe
from data_recipes.preparing.engine import (
    RawCase,
    Summary,
    locked_folders,
    place_file,
    prepare_cohort,
)
from data_recipes.preparing.patients import with_patients
from data_recipes.preparing.settings import About, FromRaw
from data_recipes.preparing.volumes import Framing, Preparation, prepare_scan
from data_recipes.readers.nifti import NIFTI_ENDING, read_nifti
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import files_below

FRAME_NAME = re.compile(r"(patient\d+)_frame(\d+)(_gt)?\.nii(\.gz)?", re.IGNORECASE)
MASK_FOLDER = "labelsTr"  # in the Decathlon's layout masks have their frames' names
TEST_FOLDERS = ("testing", "imagesTs")  # whose masks were kept back at first
LABELS = {0: "background", 1: "RV cavity", 2: "myocardium", 3: "LV cavity"}


@dataclass(frozen=True, kw_only=True)
class Acdc(Framing, FromRaw):
    """Finds frames and their masks wherever they lie below --raw, as the challenge gives them
    (patient001_frame01.nii.gz, patient001_frame01_gt.nii.gz) or as the Decathlon would (imagesTr,
    labelsTr). The two frames of a patient never part. Frames of the test part without a mask serve
    for pretraining. Cines (_4d) and Info.cfg, with the group of the disease, are not read."""

    own: ClassVar[Preparation] = Preparation(
        # slices lie far apart: isotropic voxels would give the few slices away
        crop=False,
        spacing=None,
        size=(96, 96, 16),
        fit="stretch",
        intensity="zscore",
    )

    about: ClassVar[About] = About(
        title="ACDC: cine MRI of the heart, ventricles and myocardium at two moments",
        terms="free download",
        access="free for research, from https://www.creatis.insa-lyon.fr/Challenge/acdc: unpack it "
        "and give its folder to --raw. Copies that lost the size of voxels can be read: nothing is "
        "then said in mm",
        licence="CC BY-NC-SA 4.0",
        citation="Bernard et al. (2018). Deep Learning Techniques for Automatic MRI Cardiac "
        "Multi-Structures Segmentation and Diagnosis: Is the Problem Solved? IEEE Transactions on "
        "Medical Imaging 37(11), 2514-2525. doi:10.1109/TMI.2018.2837502",
        size="prepared 0.45 MB a frame at 96 x 96 x 16 voxels: 90 MB for 100 patients",
        time="about 0.1 s a frame and core",
    )


def prepare(settings: Acdc) -> Summary:
    """Prepare ACDC as a cohort.

    Raises:
        InputError: no frames there; millimetres are asked for where the size of voxels is lost;
            settings contradict each other; or as :func:`prepare_cohort`.
    """
    how = settings.preparation()
    raw = settings.raw.resolve()
    cases = find_frames(raw)
    if settings.unit or settings.spacing:
        _check_size_is_known(cases)
    description = describe(settings, "ACDC", ("mri",), LABELS, {"name": "acdc"} | asdict(how))
    make = partial(prepare_scan, how=how, values=description.label_values)
    cases += locked_folders(raw)
    return prepare_cohort(description, cases, raw, make, settings, unit=settings.unit)


def find_frames(raw: Path) -> list[RawCase]:
    """A case for each frame below ``raw``. Its name says whose it is; if the table ``patients.csv``
    is there (columns image and patient), it has the last word.

    Raises:
        InputError: there is no frame; two files claim the same place in a case; the table cannot
            be read.
    """
    found: dict[str, dict[str, Path]] = defaultdict(dict)
    for path in files_below(raw):
        if name := FRAME_NAME.fullmatch(path.name):
            kind = "mask" if name[3] or path.parent.name == MASK_FOLDER else "frame"
            place_file(found[f"{name[1]}_frame{name[2]}"], kind, path)
    if not found:
        example = "patient001_frame01.nii.gz and patient001_frame01_gt.nii.gz"
        raise InputError(f"no ACDC frames below {raw}; their names look like {example}")
    cases = [_as_case(name, files, raw) for name, files in found.items()]
    table = raw / "patients.csv"
    return with_patients(cases, table if table.exists() else None, raw, _names)


def _as_case(name: str, files: Mapping[str, Path], raw: Path) -> RawCase:
    frame, mask = files.get("frame"), files.get("mask")
    fault = ""
    if frame is None:
        fault = f"{mask} is the mask of a frame that is not there"
    elif mask is None and not _in_test_part(frame, raw):
        fault = f"{frame} has no mask ({name}_gt.nii.gz, or its own name in {MASK_FOLDER})"
    images = {"mri": frame} if frame else {}
    return RawCase(name, name.partition("_")[0], images, mask, fault=fault)


def _in_test_part(path: Path, raw: Path) -> bool:
    return any(part in TEST_FOLDERS for part in (raw.name, *path.relative_to(raw).parts))


def _names(image: str) -> list[str]:
    return [NIFTI_ENDING.sub("", PurePath(image).name)]


def _check_size_is_known(cases: Sequence[RawCase]) -> None:
    """Refuse millimetres where a copy has lost them: 1 x 1 x 1 is what a header has that was told
    nothing, and slices of a heart lie several times further apart than the pixels of one."""
    for path in (path for case in cases for path in case.images.values()):
        try:
            edges = voxel_sizes(read_nifti(path)[1])
        except InputError:
            continue  # its case says so
        if edges.max() == edges.min():
            raise InputError(
                f"{path} says that its voxels are {' x '.join(f'{edge:g}' for edge in edges)}, as "
                "files say that do not know: leave out --unit and --spacing, or get the original"
            )
        return

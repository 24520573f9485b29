"""UK Biobank brain MRI: the unlabelled corpus that the paper pretrains on."""

import re
import zipfile
import zlib
from collections import defaultdict
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np

from data_recipes.preparing.description import describe
from data_recipes.preparing.engine import (
    Prepared,
    RawCase,
    Summary,
    locked_folders,
    place_file,
    prepare_cohort,
)
from data_recipes.preparing.settings import About, FromRaw
from data_recipes.preparing.volumes import (
    PAPER_CUBE,
    Framing,
    Preparation,
    prepare_volume,
    random_shift,
)
from data_recipes.readers.nifti import Scan, check_same_grid, parse_nifti, read_header
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import files_below

# participant_field_visit_run.zip, such as 1000001_20252_2_0.zip
ARCHIVE_NAME = re.compile(r"(\d+)_(20252|20253)_(\d+)_(\d+)\.zip")
CHANNEL_OF_FIELD = {"20252": "t1", "20253": "t2-flair"}  # by field
MEMBERS = {  # corrected for the coil, and in T1's space, by UK Biobank's own pipeline
    "t1": "T1/T1_unbiased.nii.gz",
    "t2-flair": "T2_FLAIR/T2_FLAIR_unbiased.nii.gz",
}
MASK = "T1/T1_brain_mask.nii.gz"
LARGEST_MEMBER = 2**29  # bytes of a member: ten times what a head needs


@dataclass(frozen=True, kw_only=True)
class UkbBrain(Framing, FromRaw):
    """Reads the archives of fields 20252 (T1) and 20253 (T2-FLAIR), wherever they lie below --raw,
    without unpacking them, and removes what is not brain by the mask that comes with T1. All
    visits of a participant are one patient's."""

    own: ClassVar[Preparation] = Preparation(
        crop=True, spacing=None, size=PAPER_CUBE, fit="resize", intensity="zscore-brain"
    )

    about: ClassVar[About] = About(
        title="UK Biobank brain MRI: T1 and T2-FLAIR of about 22 000 people (paper), unlabelled",
        terms="approved project",
        access="for approved projects (https://www.ukbiobank.ac.uk/enable-your-research); fetch "
        "bulk fields 20252 and 20253 with UK Biobank's own tools",
        licence="the project's material transfer agreement; not to be passed on",
        citation="Miller et al. (2016). Multimodal population brain imaging in the UK Biobank "
        "prospective epidemiological study. Nature Neuroscience 19, 1523-1536. doi:10.1038/nn.4393",
        size="prepared 8.4 MB a scan at 128 x 128 x 128 voxels: 185 GB for 22 000",
        time="1.5 s a scan and core: 9 hours for 22 000 on one core",
    )


def prepare(settings: UkbBrain) -> Summary:
    """Prepare UK Biobank's brain MRI as a cohort without labels.

    Raises:
        InputError: no archives there; settings contradict each other; or as
            :func:`prepare_cohort`.
    """
    how = settings.preparation()
    raw = settings.raw.resolve()
    description = describe(
        settings,
        "UK Biobank brain MRI",
        tuple(CHANNEL_OF_FIELD.values()),
        {0: "background"},
        {"name": "ukb-brain"} | asdict(how),
    )
    make = partial(prepare_zips, how=how)
    cases = [*find_visits(raw), *locked_folders(raw)]
    return prepare_cohort(description, cases, raw, make, settings, unit=settings.unit)


def find_visits(raw: Path) -> list[RawCase]:
    """A case for each visit of each participant; one may lack an archive.

    Raises:
        InputError: there is none; two files claim the same place in a case.
    """
    visits: dict[tuple[str, str], dict[str, Path]] = defaultdict(dict)
    for path in files_below(raw):
        if name := ARCHIVE_NAME.fullmatch(path.name):
            visit = visits[name[1], f"{name[3]}_{name[4]}"]
            place_file(visit, CHANNEL_OF_FIELD[name[2]], path)
    if not visits:
        raise InputError(f"no UK Biobank archives below {raw}, such as 1000001_20252_2_0.zip")
    return [RawCase(f"{who}_{when}", who, images) for (who, when), images in visits.items()]


def prepare_zips(case: RawCase, how: Preparation) -> Prepared:
    """Make the arrays of one visit.

    Raises:
        InputError: an archive of the case cannot be used, and why.
    """
    names = [case.images[channel] / member for channel, member in MEMBERS.items()]
    scans = [read_member(case.images[channel], member) for channel, member in MEMBERS.items()]
    mask = read_member(case.images["t1"], MASK)
    for name, scan in zip([case.images["t1"] / MASK, *names], [mask, *scans], strict=True):
        check_same_grid(name, scan, names[0], scans[0])
    channels = [np.where(mask[0] > 0, scan, 0) for scan, _ in scans]
    t1 = case.images["t1"], MEMBERS["t1"]
    header, shift = read_header(Path(t1[1]), unzipped(*t1)), random_shift(case.id, how.shift)
    return prepare_volume(channels, None, scans[0][1], how, names, header, shift)


def read_member(archive: Path, member: str) -> Scan:
    """Read a NIfTI file from a zip archive, in memory: nothing is unpacked to disk.

    Raises:
        InputError: as :func:`unzipped`, or it is no NIfTI file to use.
    """
    scan = parse_nifti(unzipped(archive, member), archive / member, LARGEST_MEMBER)
    if scan[0].ndim != 3:
        raise InputError(f"{archive}: {member} has shape {scan[0].shape}, where a volume is wanted")
    return scan


def unzipped(archive: Path, member: str) -> bytes:
    """A file of a zip archive, as it was packed.

    Raises:
        InputError: the archive is damaged or does not hold it, or it is far larger than a head.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            info = file.getinfo(member)
            if info.file_size > LARGEST_MEMBER:
                raise InputError(f"{archive}: {member} unpacks to {info.file_size} bytes")
            return file.read(info)
    except KeyError:
        raise InputError(
            f"{archive} holds no {member}; UK Biobank marks such scans unusable"
        ) from None
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError, zlib.error) as reason:
        raise InputError(f"{archive} is damaged, fetch it again: {reason}") from None
    except RuntimeError as reason:  # zipfile's word for a password
        raise InputError(f"{archive} cannot be opened: {reason}") from None

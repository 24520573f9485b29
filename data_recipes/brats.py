"""BraTS: brain tumours on four kinds of MRI, in the layouts of 2017 to 2023."""

import re
from collections import defaultdict
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from data_recipes.preparing.description import describe
from data_recipes.preparing.engine import (
    RawCase,
    Summary,
    locked_folders,
    place_file,
    prepare_cohort,
)
from data_recipes.preparing.settings import About, FromRaw
from data_recipes.preparing.volumes import PAPER_CUBE, Framing, Preparation, prepare_scan
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import files_below

BRATS_CHANNELS = ("t1", "t1ce", "t2", "flair")  # in this order in every prepared volume
CHANNEL_OF = {  # as file names have it → channel
    "t1": "t1",
    "t1n": "t1",
    "t1ce": "t1ce",
    "t1c": "t1ce",
    "t2": "t2",
    "t2w": "t2",
    "flair": "flair",
    "t2f": "flair",
    "seg": "label",
}
# Brats18_TCIA01_131_1_t1ce.nii.gz, BraTS2021_00000_t1ce.nii.gz, BraTS-GLI-00001-000-t1c.nii.gz
BRATS_NAME = re.compile(rf"(.+)([_-])({'|'.join(CHANNEL_OF)})\.nii(\.gz)?", re.IGNORECASE)
TIME_POINT = re.compile(r"(BraTS-\w+-\d+)-\d+", re.IGNORECASE)  # patient 00001, scan 000
SITE = re.compile(r"(BraTS1[789]_.+)_\d+", re.IGNORECASE)  # patient TCIA01_131, scan 1; to 2019
BRATS_CITATION = (
    "Menze et al. (2015). The Multimodal Brain Tumor Image Segmentation Benchmark (BRATS). "
    "IEEE TMI 34(10), 1993-2024. doi:10.1109/TMI.2014.2377694; "
    "Bakas et al. (2017). Advancing The Cancer Genome Atlas glioma MRI collections with expert "
    "segmentation labels and radiomic features. Scientific Data 4, 170117. "
    "doi:10.1038/sdata.2017.117; "
    "Bakas et al. (2018). Identifying the best machine learning algorithms for brain tumor "
    "segmentation, progression assessment, and overall survival prediction in the BRATS "
    "challenge. arXiv:1811.02629"
)


@dataclass(frozen=True, kw_only=True)
class Brats(Framing, FromRaw):
    """Finds cases wherever they lie below --raw (HGG, LGG, validation), by their file names. One
    without a segmentation serves for pretraining. Pre-operative sets only: those of 2024 use the
    label 4 for a cavity."""

    own: ClassVar[Preparation] = Preparation(
        crop=True, spacing=None, size=PAPER_CUBE, fit="resize", intensity="zscore-brain"
    )

    about: ClassVar[About] = About(
        title="BraTS 2017 to 2023: gliomas on T1, contrast-enhanced T1, T2 and FLAIR",
        terms="by registration",
        access="by registration: up to 2020 at CBICA (https://www.med.upenn.edu/cbica/), from 2021 "
        "at Synapse (https://www.synapse.org/brats). Accept the terms there, ask for the training "
        "and the validation set (2018: MICCAI_BraTS_2018_Data_Training.zip, 285 labelled cases in "
        "HGG and LGG, and ..._Validation.zip, 66 without labels), unpack both into one folder, and "
        "point --raw to it",
        licence="by registration at CBICA or Synapse; not to be passed on",
        citation=BRATS_CITATION,
        size="raw 3.5 GB (2018); prepared 17 MB a case at 128 x 128 x 128 voxels, 6 GB in all",
        time="about 2 s a case and core",
    )

    enhancing: Literal[3, 4] | None = None
    """Label value of enhancing tumour. Default: 3 for names such as BraTS-GLI-00001-000, from
    2023 on; 4 for older ones."""


def prepare(settings: Brats) -> Summary:
    """Prepare a BraTS folder as a cohort.

    Raises:
        InputError: no BraTS scans there, or sets with different labels; settings contradict each
            other; or as :func:`prepare_cohort`.
    """
    how = settings.preparation()
    raw = settings.raw.resolve()
    cases = find_brats_cases(raw)
    enhancing = settings.enhancing or _enhancing_value(cases)
    names = ("background", "necrotic and non-enhancing core", "oedema", "enhancing tumour")
    description = describe(
        settings,
        "BraTS",
        BRATS_CHANNELS,
        dict(zip((0, 1, 2, enhancing), names, strict=True)),
        {"name": "brats"} | asdict(how),
        regions={"WT": (1, 2, enhancing), "TC": (1, enhancing), "ET": (enhancing,)},
    )
    make = partial(prepare_scan, how=how, values=description.label_values)
    cases += locked_folders(raw)
    return prepare_cohort(description, cases, raw, make, settings, unit=settings.unit)


def find_brats_cases(raw: Path) -> list[RawCase]:
    """All BraTS cases below ``raw``, by their file names; a case may lack files.

    Raises:
        InputError: there is none; two files claim the same place in a case.
    """
    files: dict[tuple[Path, str], dict[str, Path]] = defaultdict(dict)
    for path in files_below(raw):
        if name := BRATS_NAME.fullmatch(path.name):
            place_file(files[path.parent, name[1]], CHANNEL_OF[name[3].lower()], path)
    if not files:
        example = "Brats18_TCIA01_131_1_t1ce.nii.gz or BraTS-GLI-00001-000-t1c.nii.gz"
        raise InputError(f"no BraTS scans below {raw}; their names look like {example}")
    return [
        RawCase(
            id=name,
            patient=patient_of(name),
            images={channel: case[channel] for channel in BRATS_CHANNELS if channel in case},
            label=case.get("label"),
        )
        for (_, name), case in files.items()
    ]


def patient_of(case: str) -> str:
    """The patient in a case's name, which may be one of several scans of theirs."""
    name = TIME_POINT.fullmatch(case) or SITE.fullmatch(case)
    return name[1] if name else case


def _enhancing_value(cases: list[RawCase]) -> int:
    """Which value the label maps give enhancing tumour: it changed with the way files are named."""
    named = [case for case in cases if case.label] or cases
    newer = {bool(TIME_POINT.fullmatch(case.id)): case.id for case in named}
    if len(newer) > 1:
        raise InputError(
            f"{newer[True]} labels enhancing tumour 3, {newer[False]} labels it 4; "
            "prepare the two sets apart"
        )
    return 3 if True in newer else 4

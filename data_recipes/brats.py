"""BraTS: brain tumours on four kinds of MRI, in the layouts of 2017 to 2023."""

import re
from collections import defaultdict
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from ssl3d_lite.cohort import Cohort
from ssl3d_lite.errors import InputError

from .engine import RawCase, Summary, prepare_cohort
from .volumes import Fit, Preparation, prepare_scan

CHANNELS = ("t1", "t1ce", "t2", "flair")  # in this order in every prepared volume
KINDS = {  # as file names have it → channel
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
NAME = re.compile(rf"(.+)([_-])({'|'.join(KINDS)})\.nii(\.gz)?", re.IGNORECASE)
TIME_POINT = re.compile(r"(BraTS-\w+-\d+)-\d+", re.IGNORECASE)  # patient 00001, scan 000
CITATION = (
    "Menze et al. (2015). The Multimodal Brain Tumor Image Segmentation Benchmark (BRATS). "
    "IEEE TMI 34(10), 1993-2024. doi:10.1109/TMI.2014.2377694; "
    "Bakas et al. (2017). Advancing The Cancer Genome Atlas glioma MRI collections with expert "
    "segmentation labels and radiomic features. Scientific Data 4, 170117. "
    "doi:10.1038/sdata.2017.117; "
    "Bakas et al. (2018). Identifying the best machine learning algorithms for brain tumor "
    "segmentation, progression assessment, and overall survival prediction in the BRATS "
    "challenge. arXiv:1811.02629"
)


@dataclass(frozen=True)
class Brats:
    """BraTS 2017 to 2023: gliomas on T1, contrast-enhanced T1, T2 and FLAIR.

    Not to be downloaded freely: register at CBICA (https://www.med.upenn.edu/cbica/, up to 2020)
    or Synapse (https://www.synapse.org/brats, from 2021), accept the terms of use given there, and
    point --raw to the unpacked folder. Cite Menze et al. 2015 and Bakas et al. 2017 and 2018.

    Cases are found wherever they lie below --raw (HGG, LGG, validation). One without a
    segmentation serves for pretraining. Pre-operative sets only: those of 2024 use 4 for a cavity.
    """

    raw: Path
    """Folder that the scans lie in, at any depth."""

    out: Path
    """Folder for the prepared cohort."""

    crop: bool = True
    """Cut away the empty border around the head first."""

    size: tuple[int, int, int] | None = (128, 128, 128)
    """Voxels of every prepared volume."""

    fit: Fit = "resize"
    """How a scan comes to that size. pad: voxels as they are, cut or padded about the centre;
    resize: the whole head in isotropic voxels, padded; stretch: each axis by itself, the paper's
    way."""

    spacing: tuple[float, float, float] | None = None
    """Voxel size in mm, with fit=pad. Default: the scan's own, 1 mm."""

    intensity: str = "zscore-brain"
    """zscore-brain: mean 0 and deviation 1 within the brain; unit: 0 to 1, the paper's way. Always
    each modality by itself."""

    enhancing: Literal[3, 4] | None = None
    """Label value of enhancing tumour. Default: 3 for names such as BraTS-GLI-00001-000, from
    2023 on; 4 for older ones."""

    folds: int = 5
    """Folds that patients are dealt to, once and for all."""

    seed: int = 0
    """Of that dealing."""

    workers: int | None = None
    """Processes; by default one a core."""


def prepare(settings: Brats) -> Summary:
    """Prepare a BraTS folder as a cohort.

    Raises:
        InputError: no BraTS scans there, or sets with different labels; settings contradict each
            other; or as :func:`prepare_cohort`.
    """
    how = Preparation(
        settings.crop, settings.spacing, settings.size, settings.fit, settings.intensity
    )
    raw = settings.raw.resolve()
    cases = find_cases(raw)
    enhancing = settings.enhancing or _enhancing_value(cases)
    blank = Cohort(
        name="BraTS",
        licence="by registration at CBICA or Synapse; not to be passed on",
        citation=CITATION,
        channels=CHANNELS,
        label_values=(0, 1, 2, enhancing),
        label_names=("background", "necrotic and solid core", "oedema", "enhancing tumour"),
        regions={"WT": (1, 2, enhancing), "TC": (1, enhancing), "ET": (enhancing,)},
        spacing=(),
        recipe={"name": "brats"} | asdict(how),
        cases=(),
        folder=settings.out,
    )
    make = partial(prepare_scan, how=how, values=blank.label_values)
    dealing = settings.workers, settings.folds, settings.seed
    return prepare_cohort(blank, cases, raw, make, *dealing)


def find_cases(raw: Path) -> list[RawCase]:
    """All BraTS cases below ``raw``, by their file names; a case may lack files.

    Raises:
        InputError: there is none; two files claim the same place in a case.
    """
    files: dict[tuple[Path, str], dict[str, Path]] = defaultdict(dict)
    for path in sorted(raw.rglob("*.nii*")):
        name = NAME.fullmatch(path.name)
        if name and path.is_file() and not path.name.startswith("."):
            case, channel = files[path.parent, name[1]], KINDS[name[3].lower()]
            if channel in case:
                raise InputError(f"{path} and {case[channel]} are one and the same; remove one")
            case[channel] = path
    if not files:
        example = "Brats18_TCIA01_131_1_t1ce.nii.gz or BraTS-GLI-00001-000-t1c.nii.gz"
        raise InputError(f"no BraTS scans below {raw}; their names look like {example}")
    return [
        RawCase(
            id=name,
            patient=point[1] if (point := TIME_POINT.fullmatch(name)) else name,
            images={channel: case[channel] for channel in CHANNELS if channel in case},
            label=case.get("label"),
        )
        for (_, name), case in files.items()
    ]


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

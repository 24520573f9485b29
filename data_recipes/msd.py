"""The Medical Segmentation Decathlon, and any data set that describes itself as it does."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import ClassVar

from data_recipes.dataset_json import DESCRIPTION_FILE, WITHOUT_IT, read_description
from data_recipes.preparing.description import describe
from data_recipes.preparing.engine import Summary, prepare_cohort
from data_recipes.preparing.patients import PatientTable, with_patients
from data_recipes.preparing.records import claimed_cohort
from data_recipes.preparing.settings import About
from data_recipes.preparing.volumes import PAPER_CUBE, Fit, Framing, Preparation, prepare_scan
from data_recipes.readers.nifti import NIFTI_ENDING
from ssl3d_lite.errors import InputError, unknown

DECATHLON_CITATION = (
    "Antonelli et al. (2022). The Medical Segmentation Decathlon. "
    "Nature Communications 13, 4128. doi:10.1038/s41467-022-30695-9"
)


@dataclass(frozen=True)
class DecathlonTask:
    """How a task is prepared unless settings say otherwise, and how large its archive is."""

    gigabytes: float
    intensity: str
    size: tuple[int, int, int] | None = PAPER_CUBE
    fit: Fit = "resize"
    crop: bool = True

    @property
    def preparation(self) -> Preparation:
        return Preparation(self.crop, None, self.size, self.fit, self.intensity)


DECATHLON_TASKS = {  # windows in HU, by the organ
    "Task01_BrainTumour": DecathlonTask(7.1, "zscore-brain"),
    "Task02_Heart": DecathlonTask(0.4, "zscore"),
    "Task03_Liver": DecathlonTask(27, "window:-150,250"),
    # crops about the organ already, about 35 x 50 x 36 voxels of 1 mm
    "Task04_Hippocampus": DecathlonTask(0.03, "zscore", (40, 56, 40), fit="pad", crop=False),
    # 20 slices of 3.6 mm: isotropic voxels would give the few slices away
    "Task05_Prostate": DecathlonTask(0.2, "zscore", (128, 128, 32), fit="stretch"),
    "Task06_Lung": DecathlonTask(8.5, "window:-1000,400"),
    # 281 labelled scans, and 139 whose labels were never published
    "Task07_Pancreas": DecathlonTask(11, "window:-100,240"),
    "Task08_HepaticVessel": DecathlonTask(8.7, "window:-100,300"),
    "Task09_Spleen": DecathlonTask(1.5, "window:-150,250"),
    "Task10_Colon": DecathlonTask(5.8, "window:-150,250"),
}


@dataclass(frozen=True, kw_only=True)
class Msd(Framing, PatientTable):
    """Reads a task's dataset.json: its training scans with their labels, and its test scans, whose
    labels were never published and which serve for pretraining. A task that is not on disk is
    downloaded. Crop, size, fit and intensity that are not given are the task's own. Any other
    folder with a dataset.json of the Decathlon's or nnU-Net's layout can be prepared as well, its
    voxels kept as they are.
    """

    about: ClassVar[About] = About(
        title="Medical Segmentation Decathlon: ten labelled sets of MRI or CT scans",
        terms="free download",
        access="free: downloaded from the mirror that MONAI names, or --raw FOLDER",
        licence="CC-BY-SA 4.0",
        citation=DECATHLON_CITATION,
        size="raw, in GB: "
        + ", ".join(f"{name} {task.gigabytes:g}" for name, task in DECATHLON_TASKS.items())
        + "; twice that while it is unpacked. Prepared, 4 MB a scan and channel at 128 x 128 x 128",
        time="hippocampus 3 s on two cores; CT of 512 x 512 x 93 voxels 3 s a scan and core",
        example="--task Task04_Hippocampus",
    )

    task: str | None = None
    """Such as Task04_Hippocampus. May be left out where --raw points to one task."""

    raw: Path | None = None
    """The task's folder, or the folder it lies in. Downloads the task if left out."""

    cache: Path | None = None
    """Where downloads are kept; by default the user's cache folder."""


def prepare(settings: Msd, addresses: Mapping[str, tuple[str, str]] | None = None) -> Summary:
    """Prepare a task as a cohort.

    Args:
        settings: what to prepare, and how.
        addresses: task → (URL of its tar archive, MD5 of that); by default MONAI's table.

    Raises:
        InputError: the task is not known or not there, its description is damaged, settings
            contradict each other, or as :func:`prepare_cohort`.
    """
    raw = settings.raw or _download(settings, addresses)
    raw = _find_task(raw, settings.task)
    task = next((t for t in (settings.task, raw.name) if t in DECATHLON_TASKS), None)
    described = read_description(raw)
    how = settings.preparation(_own(task, described.channels))
    name = task or described.name
    description = describe(
        settings,
        name,
        described.channels,
        described.labels,
        {"name": "msd", "task": name} | asdict(how),
        described.regions,
        licence=described.licence,
        citation=DECATHLON_CITATION if task else described.citation,
        description=described.description,
    )
    make = partial(prepare_scan, how=how, values=description.label_values)
    cases = with_patients(described.cases, settings.table, raw, lambda name: [_case_name(name)])
    return prepare_cohort(description, cases, raw, make, settings, unit=settings.unit)


def _case_name(path: str) -> str:
    return NIFTI_ENDING.sub("", PurePath(path).name)


def _own(task: str | None, channels: tuple[str, ...]) -> Preparation:
    """What suits the task; or, without loss, any set: voxels as they are."""
    if task in DECATHLON_TASKS:
        return DECATHLON_TASKS[task].preparation
    intensity = "window:-150,250" if channels == ("CT",) else "zscore"
    return Preparation(crop=False, spacing=None, size=None, fit="pad", intensity=intensity)


# ---- where it lies -----------------------------------------------------------------------------


def _find_task(raw: Path, task: str | None) -> Path:
    """The folder with the description: ``raw``, or one in it."""
    raw = raw.resolve()
    found = (
        [raw]
        if (raw / DESCRIPTION_FILE).exists()
        else sorted(f.parent for f in raw.glob(f"*/{DESCRIPTION_FILE}"))
    )
    by_name = {folder.name: folder for folder in found}
    if not found:
        raise InputError(
            f"no {DESCRIPTION_FILE} in {raw}, nor in a folder in it; is this a Decathlon task? If "
            f"its scans lie in imagesTr and their labels in labelsTr, {WITHOUT_IT}"
        )
    if task in by_name:
        return by_name[task]
    if len(found) > 1 and task is None:
        raise InputError(f"{raw} holds {', '.join(by_name)}; say which one with --task")
    renamed = task in DECATHLON_TASKS and len(found) == 1 and found[0].name not in DECATHLON_TASKS
    if task is not None and not renamed:
        raise unknown("task", task, by_name)
    return found[0]


def _download(settings: Msd, addresses: Mapping[str, tuple[str, str]] | None) -> Path:
    if settings.task is None:
        raise InputError("say which task with --task, or where one lies with --raw")
    import pooch

    from data_recipes.readers.download import fetch

    addresses = addresses or _monai_addresses()
    if settings.task not in addresses:
        raise unknown("task", settings.task, addresses)
    url, md5 = addresses[settings.task]
    with claimed_cohort(settings.out):  # refused before gigabytes are fetched
        return fetch(url, md5, (settings.cache or pooch.os_cache("ssl3d_lite")) / settings.task)


def _monai_addresses() -> dict[str, tuple[str, str]]:
    from monai.apps import DecathlonDataset as Decathlon  # seconds to import

    return {task: (url, Decathlon.md5[task]) for task, url in Decathlon.resource.items()}

"""The Medical Segmentation Decathlon, and any data set laid out like one of its tasks."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ssl3d_lite.cohort import Cohort
from ssl3d_lite.errors import InputError, unknown
from ssl3d_lite.files import read_json

from .engine import RawCase, Summary, prepare_cohort
from .volumes import Fit, Preparation, prepare_scan

FILE = "dataset.json"
CITATION = (
    "Antonelli et al. (2022). The Medical Segmentation Decathlon. "
    "Nature Communications 13, 4128. doi:10.1038/s41467-022-30695-9"
)
CUBE = (128, 128, 128)


@dataclass(frozen=True)
class Task:
    """How a task is prepared unless settings say otherwise."""

    intensity: str
    size: tuple[int, int, int] | None = CUBE
    fit: Fit = "resize"
    crop: bool = True


TASKS = {  # windows in HU, by the organ
    "Task01_BrainTumour": Task("zscore-brain"),
    "Task02_Heart": Task("zscore"),
    "Task03_Liver": Task("window:-150,250"),
    # crops about the organ already, about 35 x 50 x 36 voxels of 1 mm
    "Task04_Hippocampus": Task("zscore", (40, 56, 40), fit="pad", crop=False),
    # 20 slices of 3.6 mm: isotropic voxels would give the few slices away
    "Task05_Prostate": Task("zscore", (128, 128, 32), fit="stretch"),
    "Task06_Lung": Task("window:-1000,400"),
    "Task07_Pancreas": Task("window:-100,240"),
    "Task08_HepaticVessel": Task("window:-100,300"),
    "Task09_Spleen": Task("window:-150,250"),
    "Task10_Colon": Task("window:-150,250"),
}


@dataclass(frozen=True)
class Msd:
    """Medical Segmentation Decathlon: ten labelled sets of MRI or CT scans.

    Licence CC-BY-SA 4.0. Cite Antonelli et al., The Medical Segmentation Decathlon, Nature
    Communications 13, 2022. A task that is not on disk is downloaded from the mirror that MONAI
    names. In GB: Task01_BrainTumour 7.1, Task02_Heart 0.4, Task03_Liver 27, Task04_Hippocampus
    0.03, Task05_Prostate 0.2, Task06_Lung 8.5, Task07_Pancreas 11, Task08_HepaticVessel 8.7,
    Task09_Spleen 1.5, Task10_Colon 5.8; about twice that is needed while it is unpacked.

    Any other folder with a dataset.json of this layout can be prepared as well.
    """

    out: Path
    """Folder for the prepared cohort."""

    task: str | None = None
    """Such as Task04_Hippocampus. May be left out where --raw points to one task."""

    raw: Path | None = None
    """The task's folder, or the folder it lies in. Downloads the task if left out."""

    cache: Path | None = None
    """Where downloads are kept; by default the user's cache folder."""

    crop: bool | None = None
    """Cut away the empty border first: voxels of 0, or below the window. Default: the task's."""

    size: tuple[int, int, int] | None = None
    """Voxels of every prepared volume. Default: the task's; none for a set of one's own."""

    fit: Fit | None = None
    """How a scan comes to that size. pad: voxels as they are, cut or padded about the centre;
    resize: the whole field in isotropic voxels, padded; stretch: each axis by itself, the paper's
    way. Default: the task's."""

    spacing: tuple[float, float, float] | None = None
    """Voxel size in mm, with fit=pad. Default: the scan's own."""

    intensity: str | None = None
    """zscore, zscore-brain, unit, or window:LOW,HIGH in HU. Default: the task's; for a set of
    one's own window:-150,250 for CT, zscore for all else."""

    folds: int = 5
    """Folds that patients are dealt to, once and for all."""

    seed: int = 0
    """Of that dealing."""

    workers: int | None = None
    """Processes; by default one a core."""


@dataclass(frozen=True)
class Description:
    """What a task's dataset.json says."""

    name: str
    licence: str
    citation: str
    channels: tuple[str, ...]
    labels: dict[int, str]  # value → name, in the order of values; the first is background
    cases: tuple[RawCase, ...]
    description: str


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
    task = next((t for t in (settings.task, raw.name) if t in TASKS), None)
    described = read_description(raw)
    how = _preparation(settings, task, described.channels)
    values, names = zip(*described.labels.items(), strict=True)
    name = task or described.name
    blank = Cohort(
        name=name,
        licence=described.licence,
        citation=CITATION if task else described.citation,
        channels=described.channels,
        label_values=values,
        label_names=names,
        regions={label: (value,) for value, label in described.labels.items() if value != 0},
        spacing=(),
        recipe={"name": "msd", "task": name} | asdict(how),
        cases=(),
        description=described.description,
        folder=settings.out,
    )
    make = partial(prepare_scan, how=how, values=values)
    dealing = settings.workers, settings.folds, settings.seed
    return prepare_cohort(blank, described.cases, raw, make, *dealing)


def read_description(folder: Path) -> Description:
    """Read the dataset.json of a task's folder.

    Raises:
        InputError: it is missing, or not what the Decathlon means by it.
    """
    path = folder / FILE
    record = read_json(path, "data set description")
    try:
        channels = tuple(
            str(record["modality"][key]) for key in sorted(record["modality"], key=int)
        )
        labels = {int(key): str(record["labels"][key]) for key in sorted(record["labels"], key=int)}
        scans = [*record["training"], *record.get("test", [])]
        cases = [_raw_case(folder, scan, channels) for scan in scans]
        described = Description(
            name=str(record.get("name", folder.name)),
            licence=str(record.get("licence", record.get("license", "not stated"))),
            citation=str(record.get("reference", "not stated")),
            channels=channels,
            labels=labels,
            cases=tuple(case for case in cases if not case.id.startswith("._")),  # litter of macOS
            description=str(record.get("description", "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as reason:
        raise InputError(
            f"{path} does not describe a Decathlon task: {type(reason).__name__} {reason}"
        ) from None
    if 0 not in labels or len(set(labels.values())) < len(labels):
        raise InputError(f"{path}: labels need a background 0 and a name each, not {labels}")
    if not channels or len(set(channels)) < len(channels):
        raise InputError(f"{path}: modalities need a name each, not {channels}")
    return described


def _raw_case(folder: Path, scan: Any, channels: tuple[str, ...]) -> RawCase:
    """A case from an entry of the description: {"image", "label"}, or an image's path alone."""
    scan = {"image": scan} if isinstance(scan, str) else scan
    # no resolving of links, as data managers keep the files themselves elsewhere
    image = Path(os.path.normpath(folder / scan["image"]))
    label = Path(os.path.normpath(folder / scan["label"])) if "label" in scan else None
    name = image.name.removesuffix(".gz").removesuffix(".nii")
    # the Decathlon names no patients; each scan is taken for one
    return RawCase(name, patient=name, images=dict.fromkeys(channels, image), label=label)


def _preparation(settings: Msd, task: str | None, channels: tuple[str, ...]) -> Preparation:
    """The settings, where they are given; else the task's own, or those for any set."""
    any_set = Task("window:-150,250" if channels == ("CT",) else "zscore", None, "pad", crop=False)
    own = TASKS.get(task, any_set)

    def choose(name: str) -> Any:
        given = getattr(settings, name)
        return getattr(own, name) if given is None else given

    return Preparation(
        crop=choose("crop"),
        spacing=settings.spacing,
        size=choose("size"),
        fit=choose("fit"),
        intensity=choose("intensity"),
    )


# ---- where it lies -----------------------------------------------------------------------------


def _find_task(raw: Path, task: str | None) -> Path:
    """The folder with the description: ``raw``, or one in it."""
    raw = raw.resolve()
    found = [raw] if (raw / FILE).exists() else sorted(f.parent for f in raw.glob(f"*/{FILE}"))
    by_name = {folder.name: folder for folder in found}
    if not found:
        raise InputError(f"no {FILE} in {raw}, nor in a folder in it; is this a Decathlon task?")
    if task in by_name:
        return by_name[task]
    if len(found) > 1 and task is None:
        raise InputError(f"{raw} holds {', '.join(by_name)}; say which one with --task")
    renamed = task in TASKS and len(found) == 1 and found[0].name not in TASKS
    if task is not None and not renamed:
        raise unknown("task", task, by_name)
    return found[0]


def _download(settings: Msd, addresses: Mapping[str, tuple[str, str]] | None) -> Path:
    if settings.task is None:
        raise InputError("say which task with --task, or where one lies with --raw")
    import pooch

    from .download import fetch

    addresses = addresses or _monai_addresses()
    if settings.task not in addresses:
        raise unknown("task", settings.task, addresses)
    url, md5 = addresses[settings.task]
    return fetch(url, md5, (settings.cache or pooch.os_cache("ssl3d_lite")) / settings.task)


def _monai_addresses() -> dict[str, tuple[str, str]]:
    from monai.apps import DecathlonDataset as Decathlon  # seconds to import

    return {task: (url, Decathlon.md5[task]) for task, url in Decathlon.resource.items()}

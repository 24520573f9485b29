"""A data set that describes itself in dataset.json, as the Decathlon's tasks and nnU-Net's sets do.

The Decathlon lists its scans. nnU-Net names them: imagesTr/NAME_0000.nii.gz is the first channel of
a scan, labelsTr/NAME.nii.gz its label map.
"""

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import index
from pathlib import Path
from typing import Any

from data_recipes.preparing.engine import RawCase
from data_recipes.readers.nifti import LABEL_VALUES, NIFTI_ENDING
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import files_below, read_json

DESCRIPTION_FILE = "dataset.json"
WITHOUT_IT = "ssl3d prepare folder --raw imagesTr --labels labelsTr needs no such file"
Regions = dict[str, tuple[int, ...]]


@dataclass(frozen=True)
class Description:
    """What a data set's dataset.json says."""

    name: str
    licence: str
    citation: str
    channels: tuple[str, ...]
    labels: dict[int, str]  # value → name, in the order of values; the first is background
    cases: tuple[RawCase, ...]
    description: str
    regions: Regions | None = None  # name → the values it unites; None: each label is one


def read_description(folder: Path) -> Description:
    """Read the dataset.json of a data set's folder.

    Raises:
        InputError: it is missing, or not what the Decathlon or nnU-Net means by it.
    """
    path = folder / DESCRIPTION_FILE
    record = read_json(path, "data set description")
    try:
        if not isinstance(record, dict):
            raise InputError('it is no table {"modality": ..., "labels": ..., "training": ...}')
        channels, (labels, regions) = _channels(record), _labels(record)
        cases = [*_listed(folder, record, channels), *_named(folder, record, channels)]
    except InputError as reason:
        raise InputError(
            f"{path} describes no Decathlon task and no data set of nnU-Net: {reason}; mend it, or "
            f"do without: {WITHOUT_IT}"
        ) from None
    return Description(
        name=str(record.get("name", folder.name)),
        licence=str(record.get("licence", record.get("license", "not stated"))),
        citation=str(record.get("reference", "not stated")),
        channels=channels,
        labels=labels,
        cases=tuple(case for case in cases if not case.id.startswith("._")),  # litter of macOS
        description=str(record.get("description", "")),
        regions=regions,
    )


def _channels(record: Mapping[str, Any]) -> tuple[str, ...]:
    """Decathlon: modality; nnU-Net: channel_names. Both {"0": "T1", "1": "FLAIR"}."""
    key = "channel_names" if "channel_names" in record else "modality"
    if key not in record:
        raise InputError(
            'the channels have no names, under "modality" or "channel_names", such as {"0": "MRI"}'
        )
    found = record[key]
    try:
        names = tuple(str(found[number]) for number in sorted(found, key=int))
    except (TypeError, ValueError):
        raise InputError(f'"{key}" is {found!r}, where {{"0": "MRI"}} is wanted') from None
    if not names or len(set(names)) < len(names):
        raise InputError(f"channels need a name each, not {names}")
    return names


def _labels(record: Mapping[str, Any]) -> tuple[dict[int, str], Regions | None]:
    """Decathlon: {"0": "background", "1": "core"}; nnU-Net: {"background": 0, "core": [1, 2]}."""
    found: Any = record.get("labels")
    pairs: list[tuple[str, tuple[int, ...]]]
    try:
        if all(key.isdecimal() for key in found):
            pairs = [(str(found[key]), (int(key),)) for key in found]
        else:
            pairs = [(key, _united(value)) for key, value in found.items()]
    except (TypeError, AttributeError):
        example = '{"0": "background", "1": "organ"} or {"background": 0, "organ": 1}'
        raise InputError(f'"labels" is {found!r}, where {example} is wanted') from None
    values = sorted({value for _, united in pairs for value in united})
    single = [(united[0], name) for name, united in pairs if len(united) == 1]
    name_of = dict(single)
    several = len({name for name, _ in pairs}) < len(pairs) or len(name_of) < len(single)
    if 0 not in name_of or several or not set(values) <= set(LABEL_VALUES):
        raise InputError(
            f"labels need a background 0, a name each, and values up to {LABEL_VALUES[-1]}, "
            f"not {found}"
        )
    if "ignore" in name_of.values():
        raise InputError('voxels with the label "ignore" cannot be left out of a score')
    labels = {value: name_of.get(value, str(value)) for value in values}
    regions = {name: united for name, united in pairs if united != (0,)}
    return labels, regions if any(len(united) != 1 for united in regions.values()) else None


def _united(value: Any) -> tuple[int, ...]:
    return tuple(map(index, value)) if isinstance(value, list) else (index(value),)


# ---- which files are a case --------------------------------------------------------------------


def _listed(folder: Path, record: Mapping[str, Any], channels: Sequence[str]) -> Iterator[RawCase]:
    """The cases that are listed, as the Decathlon does."""
    if "training" not in record and "channel_names" not in record:
        raise InputError('"training", the list of scans, is missing')
    scans = [*_list(record, "training"), *_list(record, "test")]
    for scan in scans:
        scan = {"image": scan} if isinstance(scan, str) else scan
        if not isinstance(scan, dict) or not isinstance(scan.get("image"), str):
            raise InputError(f'{scan!r} is no entry such as {{"image": PATH, "label": PATH}}')
        # no resolving of links, as data managers keep the files themselves elsewhere
        image = Path(os.path.normpath(folder / scan["image"]))
        label = Path(os.path.normpath(folder / scan["label"])) if scan.get("label") else None
        name = NIFTI_ENDING.sub("", image.name)
        numbered = {
            channel: image.with_name(image.name.replace(name, f"{name}_{number:04}", 1))
            for number, channel in enumerate(channels)
        }
        # earlier versions of nnU-Net list NAME.nii.gz where NAME_0000.nii.gz lies
        there = not image.exists() and any(path.exists() for path in numbered.values())
        images = numbered if there else dict.fromkeys(channels, image)
        # the Decathlon names no patients; each scan is taken for one
        yield RawCase(name, patient=name, images=images, label=label)


def _list(record: Mapping[str, Any], key: str) -> list[Any]:
    if not isinstance(found := record.get(key, []), list):
        raise InputError(f'"{key}" is {found!r}, where a list of scans is wanted')
    return found


def _named(folder: Path, record: Mapping[str, Any], channels: Sequence[str]) -> Iterator[RawCase]:
    """The cases that are told by their files' names, as nnU-Net does, if none is listed.

    Those in imagesTs have no labels here: they serve for pretraining.
    """
    if record.get("training"):
        return
    ending = str(record.get("file_ending", ".nii.gz"))
    if not NIFTI_ENDING.fullmatch(ending):
        raise InputError(f"its files end in {ending}, where .nii.gz or .nii can be read")
    scans: dict[str, dict[str, Path]] = defaultdict(dict)
    faults = {}
    number_of = {f"_{number:04}{ending}": channel for number, channel in enumerate(channels)}
    for path in (*files_below(folder / "imagesTr"), *files_below(folder / "imagesTs")):
        end = next((end for end in number_of if path.name.endswith(end)), None)
        if end:
            scans[path.name.removesuffix(end)][number_of[end]] = path
        elif path.name.endswith(ending):
            ends = ", ".join(end.removesuffix(ending) for end in number_of)
            why = f"{path} does not end in {ends}, as nnU-Net numbers channels"
            faults[path.name.removesuffix(ending)] = why
    maps = {path.name.removesuffix(ending): path for path in files_below(folder / "labelsTr")}
    faults |= {
        name: f"{maps[name]} has no scan {name}_0000{ending} in imagesTr"
        for name in maps.keys() - scans.keys() - faults.keys()
    }
    for name in sorted(scans.keys() | faults.keys()):
        images = scans.get(name, {})
        test = any(path.is_relative_to(folder / "imagesTs") for path in images.values())
        label = None if test else maps.get(name)
        yield RawCase(name, name, images, label, fault=faults.get(name, ""))

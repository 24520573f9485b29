"""Cases that may belong together: copies, by their voxels; scans of one patient, by their names.

Copies are certain, and share a fold. Names are a hint: only the user knows whose a scan is.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from pathlib import PurePosixPath

from .case import Case

TOKEN = re.compile(r"[a-z]+\d*|\d+", re.IGNORECASE)  # p01_visit2 and p01L have two
# what tells a patient's scans apart: when, which run, which moment of the heart, which side
WHEN = "ses|session|visit|tp|time|timepoint|frame|phase|run|day|week|month|year"
OCCASION = re.compile(
    rf"({WHEN}|scan|study|exam|mr|ct|baseline|bl|screening|followup|follow|up|fu|pre|post|preop"
    r"|postop|before|after|systole|diastole|ed|es|left|right|lt|rt|od|os)\d*"
    r"|[tvdwmyr]\d{1,2}|[lr]|(19|20)\d\d",
    re.IGNORECASE,
)
APART = re.compile(  # the same in several tokens: 2019-03-04, ses-01
    r"(?<!\d)(19|20)\d\d[-_.]?(0[1-9]|1[0-2])[-_.]?(0[1-9]|[12]\d|3[01])(?!\d)"
    rf"|(?<![a-z])({WHEN})[-_. ]\d{{1,3}}(?!\d)",
    re.IGNORECASE,
)
MOST_SCANS = 20  # a patient has no more: where more names differ in this alone, it numbers them
FOLDERS = 3  # at least: two may be parts of a data set, such as training and test
SHOWN = 10  # names in a row


def copies(cases: Iterable[Case]) -> list[list[Case]]:
    """Cases whose images are the same, voxel for voxel. Slices do not count: many are empty."""
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        if "image" in case.sha256 and not case.slice_of:
            groups[case.sha256["image"]].append(case)
    return [group for group in groups.values() if len(group) > 1]


def contradictions(cases: Iterable[Case]) -> list[list[Case]]:
    """Copies that have different labels, of which one at the most is right."""
    groups = ([case for case in group if case.labelled] for group in copies(cases))
    return [group for group in groups if len({_label(case) for case in group}) > 1]


def _label(case: Case) -> object:
    return case.sha256.get("label"), case.grade


def names_alike(cases: Iterable[Case]) -> list[list[Case]]:
    """Cases on several sides of a split whose names look like one patient's.

    Example::

        names_alike(cases)  # [[p01_t0, p01_t1], [p02_t0, p02_t1]]
    """
    groups: dict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[person_in(case.scan)].append(case)
    groups.pop("", None)
    return [group for group in groups.values() if len(groups) > 1 and _are_apart(group)]


def folders_of_several(cases: Sequence[Case]) -> list[list[Case]]:
    """Cases on several sides of a split that share a folder, where each patient may have one."""
    places = [_folders(case) for case in cases]
    common = len(list(takewhile(lambda names: len(set(names)) == 1, zip(*places, strict=False))))
    groups: dict[str, list[Case]] = defaultdict(list)
    for case, place in zip(cases, places, strict=True):
        groups["".join(place[common : common + 1])].append(case)
    groups.pop("", None)  # beside the folders
    return [group for group in groups.values() if len(groups) >= FOLDERS and _are_apart(group)]


def _folders(case: Case) -> tuple[str, ...]:
    files = [file for name, file in case.source.files.items() if name != "label"]
    return PurePosixPath(min(files, default="")).parts[:-1]


def _are_apart(group: Sequence[Case]) -> bool:
    """Whether scans that may be one patient's stand on several sides of a split, as nobody knew."""
    unknown = any(case.patient == case.scan for case in group)
    few = len({case.scan for case in group}) <= MOST_SCANS
    return unknown and few and len({case.fold for case in group}) > 1


def person_in(name: str) -> str:
    """A case's name without what tells a patient's scans apart; "" if nothing else is left.

    Example::

        person_in("p01_visit2_left")  # "p01"
    """
    tokens = TOKEN.findall(APART.sub(" ", name))
    return " ".join(token.lower() for token in tokens if not OCCASION.fullmatch(token))


def remarks(cases: Sequence[Case]) -> Iterator[str]:
    """What a user should know of cases that may belong together, in lines."""
    if groups := copies(cases):
        number = sum(len(group) - 1 for group in groups)
        yield f"{number} scans are copies of others, voxel for voxel: {_named(groups)}"
    if groups := contradictions(cases):
        yield f"copies of one scan with different labels, keep the right one: {_named(groups)}"
    whose = "say whose they are with --table"
    if groups := names_alike(cases):
        yield (
            "names look like several scans of one patient, in different folds: "
            f"{_named(groups)}; if they are, {whose}"
        )
    elif groups := folders_of_several(cases):
        yield (
            f"folders hold several scans, in different folds: {_named(groups)}; if each folder is "
            f"one patient's, {whose}"
        )


def _named(groups: Sequence[Sequence[Case]]) -> str:
    lists = [" and ".join(_some([case.scan for case in group])) for group in groups]
    return "; ".join(_some(lists))


def _some(names: Iterable[str]) -> list[str]:
    names = list(dict.fromkeys(names))
    more = len(names) - SHOWN
    return names[:SHOWN] + ([f"{more} more"] if more > 0 else [])

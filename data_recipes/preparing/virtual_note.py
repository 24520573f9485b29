"""Raw files of virtual patients: made once, and marked as virtual.

Every virtual set keeps a note, ``virtual.json``, of how it was made and whose licence it has. So a
repeated command adds what is missing and nothing else, two sets are never mixed, and whichever
recipe reads the folder later cannot take it for the real thing.

A case depends on the settings and its number alone: the same settings give the same bytes.
"""

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ssl3d_lite.data.cohort import CohortDescription
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import read_json, write_json
from ssl3d_lite.machine.parallel import Workforce, for_each
from ssl3d_lite.outputs import claimed

NOTE = "virtual.json"
IDENTITY = ("name", "licence", "citation", "description")  # what a cohort takes over

Files = dict[str, Path]  # one case's files, by kind


def with_virtual_identity(description: CohortDescription, raw: Path) -> CohortDescription:
    """The same description, but of a virtual set if ``raw`` holds one: its name and licence."""
    # it lies in the raw folder, or above a part of it such as HGG/
    home = next((folder for folder in (raw, *raw.parents[:2]) if (folder / NOTE).exists()), None)
    if home is None:
        return description
    note = _read_note(home)
    identity: dict[str, Any] = {key: str(note["identity"].get(key, "")) for key in IDENTITY}
    recipe = description.recipe | {"virtual": note["settings"].get("set")}
    return replace(description, recipe=recipe, **identity)


@contextmanager
def claimed_set(
    folder: Path,
    cases: int,
    settings: Mapping[str, Any],
    identity: Mapping[str, str],
    unlabelled: int = 0,
) -> Iterator[None]:
    """Note in ``folder`` how its set is made, or refuse to mix it with one made otherwise; and keep
    other processes out while its files are written.

    Args:
        cases, unlabelled: how many are wanted; more may be added later, and none is removed.
        settings: all that decides what is in a case: "set", the recipe's name, "seed" and more.
        identity: name, licence, citation and description of the set.

    Raises:
        InputError: no cases, a negative number or seed, or ``folder`` holds other things, a set
            made with other settings, or a larger one.
    """
    if cases < 1:
        raise InputError(f"cases must be at least 1, not {cases}")
    for name, number in (("unlabelled", unlabelled), ("seed", settings["seed"])):
        if number < 0:
            raise InputError(f"{name} must be 0 or more, not {number}")
    path = folder / NOTE
    settings = json.loads(json.dumps(settings))  # tuples become lists, as they read back
    numbers = {"cases": cases, "unlabelled": unlabelled}
    note = {"settings": settings, "identity": dict(identity), "numbers": numbers}
    with claimed(folder, "prepare virtual", _holds_set):
        if path.exists():
            _check_same_set(folder, settings, numbers)
        write_json(path, note)
        yield


def _check_same_set(folder: Path, settings: Mapping[str, Any], numbers: Mapping[str, int]) -> None:
    """Raise InputError unless ``folder`` holds a set with these settings, and no larger one."""
    old = _read_note(folder)
    there = old["settings"]
    other = [key for key in {**settings, **there} if settings.get(key) != there.get(key)]
    if other:
        raise InputError(
            f"{folder} holds a virtual set with another {' and another '.join(other)} "
            f"(see its {NOTE}); choose a new folder, or remove this one"
        )
    for name, number in numbers.items():
        if number < old["numbers"].get(name, 0):
            raise InputError(
                f"{folder} is a set of {old['numbers'][name]} {name}: ask for as many or more, or "
                "choose a new folder"
            )


def _holds_set(folder: Path) -> bool:
    return (folder / NOTE).exists() and bool(_read_note(folder))


def _read_note(folder: Path) -> dict[str, dict[str, Any]]:
    note = read_json(folder / NOTE, "note of a virtual set")
    if not isinstance(note, dict) or not all(
        isinstance(note.get(part), dict) for part in ("settings", "identity", "numbers")
    ):
        raise InputError(f"{folder / NOTE} is no note of a virtual set; remove the folder")
    return note


def write_missing(
    write: Callable[[int, Files], None], files: Sequence[Files], work: Workforce, title: str
) -> None:
    """Make the cases that lack a file; ``files`` are theirs, by kind, in the order of the cases.

    Args:
        write: makes case number i and writes its files; can be imported by name.
    """
    missing = [
        (index, paths)
        for index, paths in enumerate(files)
        if not all(path.exists() for path in paths.values())
    ]
    for _ in for_each(functools.partial(_call, write), missing, work, title):
        pass


def _call(write: Callable[[int, Files], None], item: tuple[int, Files]) -> None:
    write(*item)

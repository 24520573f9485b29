"""Which values the label maps of a set have, as no one has said so."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from data_recipes.readers.nifti import LABEL_VALUES, read_label_values
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.parallel import Workforce, for_each

MOST_LONE_VALUES = 100  # that one label map alone holds, of several: more, and it is an image


def find_values(maps: Sequence[Path], work: Workforce) -> tuple[tuple[int, ...], dict[Path, str]]:
    """All values in the label maps, 0 first, and the maps that are none → the reason.

    A map that cannot be read is its case's fault, and found again with it.

    Raises:
        InputError: all maps are empty; one class is written in two ways.
    """
    found = {path: values for path, values in for_each(_values_of, maps, work, "labels") if values}
    times = Counter(value for values in found.values() for value in values)
    faults = {}
    for path, values in found.items():
        lone = sum(times[value] == 1 for value in values)
        if lone > MOST_LONE_VALUES and len(found) > 1:
            faults[path] = (
                f"{path} holds {len(values)} values, of which {lone} are in no other map: is it an "
                "image? If not, give all values with --label-values"
            )
    found = {path: values for path, values in sorted(found.items()) if path not in faults}
    every = set().union(*found.values()) | {0}
    if found and every == {0}:
        where = os.path.commonpath([path.parent for path in found])
        raise InputError(
            f"the {len(found)} label maps in {where} are empty: they hold nothing but 0, the "
            "background; export them again, or leave --labels out"
        )
    _check_one_code(found)
    return tuple(sorted(every)), faults


def _check_one_code(found: Mapping[Path, set[int]]) -> None:
    """Refuse a class that is white, 255, in some masks, where others hold another value."""
    white = [path for path, values in found.items() if values - {0} == {LABEL_VALUES[-1]}]
    others = [path for path, values in found.items() if values - {0, LABEL_VALUES[-1]}]
    others = [path for path in others if LABEL_VALUES[-1] not in found[path]]
    if white and others:
        values = ", ".join(map(str, sorted(found[others[0]] - {0})))
        raise InputError(
            f"{white[0]} holds 255 alone, {others[0]} holds {values}: is one class written in two "
            f"ways ({len(white)} maps, {len(others)} maps)? Write it in one. If 255 is a class of "
            "its own, give all values with --label-values"
        )


def _values_of(path: Path) -> tuple[Path, set[int]]:
    try:
        return path, set(np.unique(read_label_values(path)[0]).tolist())
    except InputError:
        return path, set()

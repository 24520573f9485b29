"""List of the data sets that have a recipe: which are prepared, and which are missing."""

import json
import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ssl3d_lite.errors import InputError
from ssl3d_lite.settings import CheckedSettings, Positional

from .cohort import MANIFEST, RECORDS, Cohort
from .registry import load_recipes

DEPTH = 3  # folders below the one that is searched


@dataclass(frozen=True)
class DataListing(CheckedSettings):
    """Lists the data sets that have a recipe, and which of them are prepared in a folder."""

    folder: Positional[Path] = Path(".")
    """Where to look for prepared cohorts, a few levels deep."""


@dataclass(frozen=True)
class FoundCohort:
    """A cohort's folder, finished or not."""

    folder: Path
    recipe: str
    state: str
    finished: bool = False

    def __str__(self) -> str:
        return f"{self.folder}: {self.state}"


def list_data(settings: DataListing) -> str:
    """A list to be printed: each recipe, how to get its data, and which cohorts it has made.

    Raises:
        InputError: there is no such folder.
    """
    if not settings.folder.is_dir():
        raise InputError(f"no folder {settings.folder}")
    working, broken = load_recipes()
    by_recipe: dict[str, list[FoundCohort]] = defaultdict(list)
    for found in find_cohorts(settings.folder):
        by_recipe[found.recipe if found.recipe in working else ""].append(found)
    lines = []
    for name, recipe in working.items():
        about = recipe.about
        there = by_recipe[name]
        yours = name in ("folder", "slices")  # recipes that need no cohort to be there
        missing = "none yet" if yours else "missing"
        state = "prepared" if any(each.finished for each in there) else missing
        lines.append(f"{name:<20} {state:<9} {about.terms:<17} {about.title}")
        lines += [f"    {each}" for each in there]
    lines += broken.values()
    lines += [f"of no recipe known here: {each}" for each in by_recipe[""]]
    lines.append("\nssl3d prepare NAME --help says how to get and prepare one.")
    return "\n".join(lines)


def find_cohorts(folder: Path) -> Iterator[FoundCohort]:
    """Cohorts in ``folder`` and, a few levels deep, below it."""
    levels = ["/".join(["*"] * depth) for depth in range(1, DEPTH + 1)]
    for place in sorted({folder, *(p for level in levels for p in folder.glob(level))}):
        if not os.access(place, os.X_OK):  # another user's
            continue
        if (place / MANIFEST).is_file():
            yield _finished(place)
        elif records := sorted((place / RECORDS).glob("*.json")):
            yield FoundCohort(
                place,
                _recipe_of(records[0]),
                f"stopped after {len(records)} cases; the same command goes on",
            )


def _finished(folder: Path) -> FoundCohort:
    try:
        cohort = Cohort.open(folder)
    except InputError as reason:
        return FoundCohort(folder, "", f"damaged: {reason}")
    labelled = sum(case.labelled for case in cohort.cases)
    rejected = f", {len(cohort.rejected)} rejected" if cohort.rejected else ""
    state = f"{cohort.name}, {len(cohort)} cases, {labelled} with a label{rejected}"
    return FoundCohort(folder, _recipe_in(cohort.recipe), state, finished=True)


def _recipe_of(record: Path) -> str:
    try:
        return _recipe_in(json.loads(record.read_text())["terms"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return ""


def _recipe_in(terms: dict[str, Any]) -> str:
    """The name of the recipe that a cohort was prepared with; a virtual set's own, if it is one."""
    return str(terms.get("virtual", terms.get("name", "")))

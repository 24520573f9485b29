"""Recipes, found by their entry points. The library imports none of them by itself.

A package that brings a recipe names it in its ``pyproject.toml``::

    [project.entry-points."ssl3d_lite.recipes"]
    my-scans = "my_package.my_scans:MyScans"

``MyScans`` is a frozen dataclass with the recipe's settings and an ``about``; the function
``prepare`` of the same module takes such settings and writes the cohort.
"""

import sys
from collections.abc import Callable
from dataclasses import fields, replace
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from ssl3d_lite.errors import InputError, unknown
from ssl3d_lite.settings import check_names

GROUP = "ssl3d_lite.recipes"
FEW_CASES = 40  # are made sooner in this process than in others that have to be started


def recipes() -> dict[str, EntryPoint]:
    """All recipes that are installed, by name; those of virtual patients last.

    Raises:
        InputError: there are none, or two packages have a recipe of the same name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
        if found.setdefault(entry.name, entry).value != entry.value:
            raise InputError(
                f"two recipes are called {entry.name}: {found[entry.name].value} and "
                f"{entry.value}; uninstall one of the packages"
            )
    if not found:
        raise InputError("no recipe is installed; install ssl3d-lite again (pip install -e .)")
    return dict(sorted(found.items(), key=lambda item: (item[0].startswith("virtual"), item[0])))


def load_recipe(name: str) -> tuple[type[Any], Callable[[Any], Any]]:
    """A recipe's settings (a frozen dataclass), and the function that prepares a cohort from them.

    The settings' ``about`` describes the data set.

    Raises:
        InputError: no such recipe; names the nearest. Or its package is broken; says how.
    """
    known = recipes()
    if name not in known:
        raise unknown("recipe", name, known)
    try:
        settings = known[name].load()
        fields(settings)  # TypeError if it is no dataclass
        settings.about.title  # noqa: B018 - AttributeError if it has none
        return settings, sys.modules[settings.__module__].prepare
    except Exception as reason:  # whatever another package's code raises when it is imported
        why = " ".join(f"{type(reason).__name__}: {reason}".split())
        raise InputError(f"recipe {name} ({known[name].value}) is broken: {why}") from None


def load_recipes() -> tuple[dict[str, type[Any]], dict[str, str]]:
    """The settings of all recipes that work, and what is wrong with the others; both by name."""
    working: dict[str, type[Any]] = {}
    broken: dict[str, str] = {}
    for name in recipes():
        try:
            working[name] = load_recipe(name)[0]
        except InputError as reason:
            broken[name] = str(reason)
    return working, broken


def make_cohort(name: str, /, out: str | Path, **settings: Any) -> Path:
    """Prepare a cohort by the recipe ``name`` into the folder ``out``, and return that folder.

    What is there already is kept; the recipe goes on where it was.

    Args:
        settings: the recipe's own, such as ``cases`` or ``edge``.

    Raises:
        InputError: no such recipe or setting (the nearest is named), or a wrong value.

    Example::

        make_cohort("virtual-hippocampus", "runs/virtual", cases=20)
    """
    kind, prepare = load_recipe(name)
    out = Path(out)
    known = [each.name for each in fields(kind)]
    check_names(settings, known, f"setting of recipe {name}")
    recipe = kind(out=out, **settings)
    if (
        getattr(recipe, "workers", 1) is None
        and getattr(recipe, "cases", FEW_CASES + 1) <= FEW_CASES
    ):
        recipe = replace(recipe, workers=1)
    prepare(recipe)
    return out

"""Recipes, found by their entry points. The library imports none of them by itself.

A package that brings a recipe names it in its ``pyproject.toml``::

    [project.entry-points."ssl3d_lite.recipes"]
    my-scans = "my_package.my_scans:MyScans"

``MyScans`` is a frozen dataclass with the recipe's settings and an ``about``; the function
``prepare`` of the same module takes such settings and writes the cohort.
"""

import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from ssl3d_lite.errors import InputError, unknown

GROUP = "ssl3d_lite.recipes"


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


def load_recipe(name: str) -> tuple[type, Callable[[Any], Any]]:
    """A recipe's settings (a frozen dataclass), and the function that prepares a cohort from them.

    The settings' ``about`` describes the data set.

    Raises:
        InputError: no such recipe; names the nearest. Or its package is broken.
    """
    known = recipes()
    if name not in known:
        raise unknown("recipe", name, known)
    try:
        settings = known[name].load()
        return settings, sys.modules[settings.__module__].prepare
    except (ImportError, AttributeError) as reason:
        raise InputError(f"recipe {name} ({known[name].value}) is broken: {reason}") from None


def make_cohort(name: str, out: Path, **settings: Any) -> Path:
    """Prepare a cohort by the recipe ``name`` into the folder ``out``, and return that folder.

    What is there already is kept; the recipe goes on where it was.

    Args:
        settings: the recipe's own, such as ``cases`` or ``edge``.
    """
    kind, prepare = load_recipe(name)
    prepare(kind(out=out, **settings))
    return out

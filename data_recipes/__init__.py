"""From raw files to cohorts: one module a data set."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ssl3d_lite.errors import unknown

# name → module:settings; the module's ``prepare`` takes the settings. Imported when asked for.
RECIPES = {
    "msd": "data_recipes.msd:Msd",
    "brats": "data_recipes.brats:Brats",
    "slices": "data_recipes.slices:Slices",
    "virtual-hippocampus": "data_recipes.virtual:VirtualHippocampus",
    "virtual-brain": "data_recipes.virtual:VirtualBrain",
}


def load_recipe(name: str) -> tuple[type, Callable[[Any], Any]]:
    """A recipe's settings (a frozen dataclass), and the function that prepares a cohort from them.

    Raises:
        InputError: no such recipe; names the nearest.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    module, settings = RECIPES[name].split(":")
    recipe = import_module(module)
    return getattr(recipe, settings), recipe.prepare

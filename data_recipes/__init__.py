"""From raw files to cohorts: one module a data set."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ssl3d_lite.errors import unknown

# name → module:settings; the module's ``prepare`` takes the settings. Imported when asked for.
RECIPES = {
    "brats": "data_recipes.brats:Brats",
    "msd": "data_recipes.msd:Msd",
    "aptos": "data_recipes.aptos:Aptos",
    "ukb-brain": "data_recipes.ukb_brain:UkbBrain",
    "ukb-fundus": "data_recipes.ukb_fundus:UkbFundus",
    "folder": "data_recipes.folder:Folder",
    "slices": "data_recipes.slices:Slices",
    "virtual-brain": "data_recipes.virtual:VirtualBrain",
    "virtual-abdomen": "data_recipes.virtual:VirtualAbdomen",
    "virtual-fundus": "data_recipes.virtual:VirtualFundus",
    "virtual-hippocampus": "data_recipes.virtual:VirtualHippocampus",
    "virtual-ukb-brain": "data_recipes.virtual:VirtualUkbBrain",
    "virtual-ukb-fundus": "data_recipes.virtual:VirtualUkbFundus",
}


def load_recipe(name: str) -> tuple[type, Callable[[Any], Any]]:
    """A recipe's settings (a frozen dataclass), and the function that prepares a cohort from them.

    The settings' ``about`` tells of the data set.

    Raises:
        InputError: no such recipe; names the nearest.
    """
    if name not in RECIPES:
        raise unknown("recipe", name, RECIPES)
    module, settings = RECIPES[name].split(":")
    recipe = import_module(module)
    return getattr(recipe, settings), recipe.prepare

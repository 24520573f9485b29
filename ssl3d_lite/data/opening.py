"""What all notebooks begin with: how large to make things, and which scans there are."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from ssl3d_lite.errors import unknown
from ssl3d_lite.machine.device import choose_device

from .cohort import Cohort, fits
from .registry import load_recipe

SCALES = ("smoke", "class", "full")
TWINS = {  # what a notebook asks for → the recipe that makes it where no real scans are
    "hippocampus": "virtual-hippocampus",
    "brats": "virtual-brain",
    "pancreas": "virtual-abdomen",
    "aptos": "virtual-fundus",
    "ukb-brain": "virtual-ukb-brain",
    "ukb-fundus": "virtual-ukb-fundus",
}
FEW = 40  # scans that are made sooner in this process than in others that have to be started


def scale() -> str:
    """``SSL3D_SCALE``: "smoke" (does it run?), "class" (minutes on a laptop; the default), or
    "full" (a GPU).

    Raises:
        InputError: another word.
    """
    chosen = os.environ.get("SSL3D_SCALE", "class")
    if chosen not in SCALES:
        raise unknown("SSL3D_SCALE", chosen, SCALES)
    return chosen


def open_cohort(name: str, **settings: Any) -> Cohort:
    """The cohort ``cohorts/NAME`` if it is there, else a virtual twin; says which, and its kind.

    It is kept in memory, on the GPU where there is one and it fits.

    Args:
        name: one of ``TWINS``.
        settings: of the twin's recipe: ``cases``, ``edge`` …; real scans are taken as they were
            prepared.
    """
    if name not in TWINS:
        raise unknown("cohort", name, TWINS)
    folder, made = Path("cohorts") / name, ""
    if not folder.exists():
        sizes = "".join(f"-{value}{key}" for key, value in settings.items())
        folder, made = Path("runs/virtual") / f"{name}{sizes}", ", made on the spot"
        make, prepare = load_recipe(TWINS[name])
        recipe = make(out=folder, **settings)
        if recipe.workers is None and recipe.cases <= FEW:
            recipe = replace(recipe, workers=1)
        prepare(recipe)
    cohort = Cohort.open(folder)
    device = choose_device("auto")
    kind = f"virtual scans{made}" if "virtual" in cohort.recipe else "real scans"
    print(f"{cohort.name}: {len(cohort)} cases of {cohort.shape} voxels ({kind})")
    return cohort.to(device) if fits(cohort, device) else cohort

"""What all notebooks begin with: how large to make things, and which scans there are."""

import os
from pathlib import Path
from typing import Any

from ssl3d_lite.errors import InputError, unknown
from ssl3d_lite.machine.device import choose_device

from .cohort import Cohort, fits
from .registry import make_cohort

SCALES = ("smoke", "class", "full")
TWINS = {  # what a notebook asks for → the recipe that makes it where no real scans are
    "hippocampus": "virtual-hippocampus",
    "brats": "virtual-brain",
    "pancreas": "virtual-abdomen",
    "aptos": "virtual-fundus",
    "ukb-brain": "virtual-ukb-brain",
    "ukb-fundus": "virtual-ukb-fundus",
}


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


def open_cohort(name: str | Path, **settings: Any) -> Cohort:
    """The cohort ``cohorts/NAME`` if it is there, else a virtual twin, or the cohort in a folder of
    your own; says which, and its kind.

    It is kept in memory, on the GPU where there is one and it fits.

    Args:
        name: one of ``TWINS``, such as "hippocampus", or the folder of a prepared cohort.
        settings: of the twin's recipe: ``cases``, ``edge`` …; real scans are taken as they were
            prepared.

    Raises:
        InputError: a misspelt name or setting; names the nearest. A folder without a cohort, or
            one with settings, as it has no twin.

    Example::

        cohort = open_cohort("hippocampus", cases=20)
        volumes = cohort.images(cohort.split().train)  # (case, 1, 40, 56, 40)
    """
    made, twin = "", TWINS.get(str(name))
    folder = Path("cohorts") / name if twin else Path(name)
    if twin and not folder.exists():
        sizes = "".join(f"-{value}{key}" for key, value in settings.items())
        folder, made = Path("runs/virtual") / f"{name}{sizes}", ", made on the spot"
        make_cohort(twin, folder, **settings)
    if not folder.is_dir():
        raise unknown("cohort", str(name), TWINS)
    if settings and not twin:
        raise InputError(
            f"{name} is a folder, whose scans are taken as they were prepared; leave out "
            f"{' and '.join(settings)}"
        )
    cohort = Cohort.open(folder)
    device = choose_device("auto")
    kind = f"virtual scans{made}" if "virtual" in cohort.recipe else "real scans"
    print(f"{cohort.name}: {len(cohort)} cases of {cohort.shape} voxels ({kind})")
    return cohort.to(device) if fits(cohort, device) else cohort

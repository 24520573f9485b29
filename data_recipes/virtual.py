"""Virtual cohorts: raw files as a data set would come, then that data set's own recipe on them.

Each is the stand-in for a data set that has to be asked for: the whole path from its raw files can
be run, tested and taught without it. What is written bears a note that it is virtual, and so does
the cohort.
"""

from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import Annotated, Any, ClassVar

from data_recipes.preparing.engine import Summary
from data_recipes.preparing.photographs import PictureEdge
from data_recipes.preparing.records import claimed_cohort
from data_recipes.preparing.settings import About, Into
from data_recipes.virtual_patients.abdomen import SMALLEST_ABDOMEN
from data_recipes.virtual_patients.brain import SMALLEST_HEAD, TEMPLATE, TEMPLATE_LICENCE
from ssl3d_lite.machine.memory import check_volume
from ssl3d_lite.machine.parallel import Workforce
from ssl3d_lite.settings import Count, Ge, PositiveInt, Seed

from . import aptos, brats, msd, ukb_brain, ukb_fundus
from .virtual_files import (
    FREE_LICENCE,
    write_abdomens,
    write_fundus,
    write_heads,
    write_hippocampus,
    write_ukb_brains,
    write_ukb_fundus,
)


def _about(title: str, licence: str, citation: str, size: str, time: str) -> About:
    access = "made on the spot: no account, no download"
    return About(title, "made on the spot", access, licence, citation, size, time)


@dataclass(frozen=True, kw_only=True)
class Virtual(Workforce, Into):
    """Virtual cohorts: what all have in common. The same command may ask for more cases later."""

    raw: Path | None = None
    """Folder for the raw files. Default: raw/ within --out."""

    seed: Seed = 0
    """The same seed gives the same files, byte for byte."""

    axes: ClassVar[int] = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        if edge := getattr(self, "edge", None):
            check_volume((edge,) * self.axes, 1, f"edge {edge}")

    @property
    def raw_folder(self) -> Path:
        return (self.raw or self.out / "raw").resolve()

    @property
    def for_recipe(self) -> dict[str, Any]:
        """What the recipe of the real data set is given too."""
        return {
            "raw": self.raw_folder,
            "out": self.out,
            "workers": self.workers,
            "dask": self.dask,
        }


@dataclass(frozen=True, kw_only=True)
class VirtualVolumes(Virtual):
    """Virtual volumes: what their cohorts have in common."""

    shift: PositiveInt | None = None
    """Move each volume at random by up to so many of its voxels along each axis, so that a voxel's
    place tells less of its class. Default: centred."""

    @property
    def for_recipe(self) -> dict[str, Any]:
        return super().for_recipe | {"shift": self.shift}


@dataclass(frozen=True, kw_only=True)
class VirtualHeads(VirtualVolumes):
    """Virtual heads: what their cohorts have in common."""

    edge: Annotated[int, Ge(SMALLEST_HEAD)] | None = 64
    """Edge in voxels of the raw and the prepared volumes; "None" for 240x240x155 at 1 mm, prepared
    to 128 voxels an edge."""


@dataclass(frozen=True, kw_only=True)
class VirtualEyes(Virtual):
    """Virtual photographs: what their cohorts have in common."""

    axes: ClassVar[int] = 2

    edge: PictureEdge = 224
    """Edge in pixels of the prepared pictures. The raw ones are 384 pixels high."""


@dataclass(frozen=True, kw_only=True)
class VirtualHippocampus(VirtualVolumes):
    """Writes MRI crops about the hippocampus at 1 mm, anterior and posterior labelled, as a task of
    the Decathlon, and prepares them by its recipe. All subjects are warps of one template, and the
    labels are geometric."""

    about: ClassVar[About] = _about(
        "Virtual MRI of the hippocampus, a stand-in for the Decathlon's Task 4",
        TEMPLATE_LICENCE,
        TEMPLATE,
        "raw 20 MB and prepared 53 MB for 200",
        "200 in half a minute",
    )

    size: ClassVar[tuple[int, int, int] | None] = msd.DECATHLON_TASKS[
        "Task04_Hippocampus"
    ].size  # voxels of a prepared scan

    cases: PositiveInt = 200
    """How many, each of another subject."""


@dataclass(frozen=True, kw_only=True)
class VirtualBrain(VirtualHeads):
    """Writes heads with a glioma as raw BraTS 2018 files, and prepares them by its recipe. All
    subjects are warps of one template, their tumours procedural."""

    about: ClassVar[About] = _about(
        "Virtual heads with a glioma on T1, T1 with contrast, T2 and FLAIR, a stand-in for BraTS",
        TEMPLATE_LICENCE,
        TEMPLATE,
        "raw 0.3 MB and prepared 2 MB a case at 64 voxels an edge; 8 MB and 17 MB at 1 mm",
        "1 s a case and core at 64 voxels an edge, 9 s at 1 mm",
    )

    cases: PositiveInt = 50
    """How many, each of another subject."""


@dataclass(frozen=True, kw_only=True)
class VirtualAbdomen(VirtualVolumes):
    """Writes abdominal CT with a tumour of the pancreas as the Decathlon's Task 7, and prepares
    them by its recipe. Organs are procedural, and the labels geometric."""

    about: ClassVar[About] = _about(
        "Virtual CT of the abdomen with pancreas and tumour, a stand-in for the Decathlon's Task 7",
        FREE_LICENCE,
        "ssl3d_lite",
        "raw 0.8 MB and prepared 2 MB a scan at 96 voxels an edge; 24 MB and 4 MB at 512x512",
        "1.5 s a scan and core at 96 voxels an edge, 20 s at 512x512",
    )

    cases: PositiveInt = 40
    """How many with labels, each of another subject."""

    unlabelled: Count = 20
    """How many more without."""

    edge: Annotated[int, Ge(SMALLEST_ABDOMEN)] | None = 96
    """Edge in voxels of the raw slices and the prepared volumes; "None" for slices of 512x512,
    prepared to 128 voxels an edge."""


@dataclass(frozen=True, kw_only=True)
class VirtualFundus(VirtualEyes):
    """Writes photographs of the retina, graded 0 to 4 by the lesions in them, in the layout of
    APTOS 2019, and prepares them by its recipe. Eyes and lesions are procedural."""

    about: ClassVar[About] = _about(
        "Virtual fundus photographs with diabetic retinopathy, a stand-in for APTOS 2019",
        FREE_LICENCE,
        "ssl3d_lite",
        "raw 0.2 MB and prepared 0.3 MB a photograph",
        "0.5 s a photograph and core",
    )

    cases: PositiveInt = 400
    """How many with grades, each of another eye."""

    unlabelled: Count = 200
    """How many more without."""


@dataclass(frozen=True, kw_only=True)
class VirtualUkbBrain(VirtualHeads):
    """Writes healthy heads, T1 and T2-FLAIR, as UK Biobank's archives, and prepares them by that
    recipe. All subjects are warps of one template."""

    about: ClassVar[About] = _about(
        "Virtual healthy heads, T1 and T2-FLAIR, a stand-in for UK Biobank brain MRI",
        TEMPLATE_LICENCE,
        TEMPLATE,
        "raw 0.4 MB and prepared 1 MB a scan at 64 voxels an edge; 12 MB and 8 MB at 1 mm",
        "1 s a scan and core at 64 voxels an edge, 11 s at 1 mm",
    )

    cases: PositiveInt = 100
    """How many participants. Every eighth came twice."""


@dataclass(frozen=True, kw_only=True)
class VirtualUkbFundus(VirtualEyes):
    """Writes photographs of both eyes as UK Biobank has them, and prepares them by that recipe.
    Eyes are procedural."""

    about: ClassVar[About] = _about(
        "Virtual fundus photographs of both eyes, a stand-in for UK Biobank's",
        FREE_LICENCE,
        "ssl3d_lite",
        "raw 0.2 MB and prepared 0.3 MB a photograph",
        "0.5 s a photograph and core",
    )

    cases: PositiveInt = 200
    """How many participants, of two eyes each."""


def prepare(settings: Virtual) -> Summary:
    """Write the raw files that are not there yet, and prepare them."""
    with claimed_cohort(settings.out):  # before raw files are written into it
        return _prepare(settings)


@singledispatch
def _prepare(settings: Virtual) -> Summary:
    raise TypeError(f"no virtual cohort of {type(settings).__name__}")


@_prepare.register
def _(settings: VirtualHippocampus) -> Summary:
    write_hippocampus(settings.raw_folder, settings.cases, settings.seed, work=settings)
    frame = msd.DECATHLON_TASKS["Task04_Hippocampus"]  # as the real ones are prepared
    return msd.prepare(
        msd.Msd(**settings.for_recipe, size=frame.size, fit=frame.fit, intensity=frame.intensity)
    )


@_prepare.register
def _(settings: VirtualBrain) -> Summary:
    edge = settings.edge
    write_heads(settings.raw_folder, settings.cases, settings.seed, edge, work=settings)
    return brats.prepare(brats.Brats(**settings.for_recipe, size=(edge or 128,) * 3))


@_prepare.register
def _(settings: VirtualAbdomen) -> Summary:
    edge = settings.edge
    frame = msd.DECATHLON_TASKS["Task07_Pancreas"]  # as the real ones are prepared
    numbers = settings.cases, settings.unlabelled, settings.seed
    write_abdomens(settings.raw_folder, *numbers, edge, work=settings)
    return msd.prepare(
        msd.Msd(
            **settings.for_recipe,
            crop=frame.crop,
            size=(edge or 128,) * 3,
            fit=frame.fit,
            intensity=frame.intensity,
        )
    )


@_prepare.register
def _(settings: VirtualFundus) -> Summary:
    recipe = aptos.Aptos(**settings.for_recipe, edge=settings.edge)
    numbers = settings.cases, settings.unlabelled, settings.seed
    write_fundus(settings.raw_folder, *numbers, work=settings)
    return aptos.prepare(recipe)


@_prepare.register
def _(settings: VirtualUkbBrain) -> Summary:
    edge = settings.edge
    write_ukb_brains(settings.raw_folder, settings.cases, settings.seed, edge, work=settings)
    return ukb_brain.prepare(ukb_brain.UkbBrain(**settings.for_recipe, size=(edge or 128,) * 3))


@_prepare.register
def _(settings: VirtualUkbFundus) -> Summary:
    recipe = ukb_fundus.UkbFundus(**settings.for_recipe, edge=settings.edge)
    write_ukb_fundus(settings.raw_folder, settings.cases, settings.seed, work=settings)
    return ukb_fundus.prepare(recipe)

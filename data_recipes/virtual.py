"""Virtual cohorts: raw files as a data set would come, then that data set's own recipe on them."""

from dataclasses import dataclass, replace
from pathlib import Path

from ssl3d_lite.cohort import Cohort

from . import brats, msd
from .engine import Summary
from .virtual_brain import LICENCE, TEMPLATE, write_heads, write_hippocampus


@dataclass(frozen=True)
class VirtualHippocampus:
    """Virtual MRI of the hippocampus at 1 mm, anterior and posterior labelled; no download.

    All subjects are warps of one template (MNI ICBM152) and the labels are geometric. About 20 MB
    and half a minute for 200. Written as a Decathlon task, and prepared by the Decathlon's recipe.
    """

    out: Path
    """Folder for the prepared cohort."""

    raw: Path | None = None
    """Folder for the raw files. Default: raw/ within --out."""

    cases: int = 200
    """How many, each of another subject."""

    seed: int = 0
    """The same seed gives the same files, byte for byte."""

    workers: int | None = None
    """Processes; by default one a core."""


@dataclass(frozen=True)
class VirtualBrain:
    """Virtual heads with a glioma on T1, contrast-enhanced T1, T2 and FLAIR; no download.

    All subjects are warps of one template (MNI ICBM152), their tumours procedural. Written as raw
    BraTS 2018 files, and prepared by that recipe.
    """

    out: Path
    """Folder for the prepared cohort."""

    raw: Path | None = None
    """Folder for the raw files. Default: raw/ within --out."""

    cases: int = 50
    """How many, each of another subject."""

    edge: int | None = 64
    """Edge in voxels of the raw and the prepared volumes; "None" for 240x240x155 at 1 mm, prepared
    to 128 voxels an edge."""

    seed: int = 0
    """The same seed gives the same files, byte for byte."""

    workers: int | None = None
    """Processes; by default one a core."""


def prepare(settings: VirtualHippocampus | VirtualBrain) -> Summary:
    """Write the raw files that are not there yet, and prepare them."""
    raw = settings.raw or settings.out / "raw"
    if isinstance(settings, VirtualHippocampus):
        write_hippocampus(raw, settings.cases, settings.seed, workers=settings.workers)
        frame = msd.TASKS["Task04_Hippocampus"]  # as the real ones are prepared
        return msd.prepare(
            msd.Msd(
                out=settings.out,
                raw=raw,
                size=frame.size,
                fit=frame.fit,
                intensity=frame.intensity,
                workers=settings.workers,
            )
        )
    write_heads(raw, settings.cases, settings.seed, settings.edge, workers=settings.workers)
    edge = settings.edge or 128
    summary = brats.prepare(
        brats.Brats(raw=raw, out=settings.out, size=(edge,) * 3, workers=settings.workers)
    )
    # the recipe takes them for the real thing, whose name and licence they must not bear
    replace(
        Cohort.open(settings.out),
        name="VirtualBrain",
        licence=LICENCE,
        citation=TEMPLATE,
        description="All heads are warps of one template, and their tumours are procedural: "
        "easier, and more alike, than real scans.",
    ).save()
    return summary

"""Predictions of raw scans that were never prepared: the shortest path from a network to scans.

A network knows how the scans that it learnt from were prepared (``network.provenance``). New ones
are prepared alike, into a cohort that lasts no longer than it is needed, and each answer is laid
over its raw file.
"""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssl3d_lite.data.case import Case
from ssl3d_lite.data.cohort import MANIFEST, Cohort
from ssl3d_lite.data.provenance import Provenance
from ssl3d_lite.data.raw_header import mm_of_unit
from ssl3d_lite.data.registry import load_recipe
from ssl3d_lite.errors import InputError
from ssl3d_lite.interrupts import temporary_folder
from ssl3d_lite.models.classifier import Classifier
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.models.unet import UNet
from ssl3d_lite.outputs import claimed
from ssl3d_lite.training.checkpoint import digest

from .prediction import (
    class_maps,
    how_to_see,
    large_enough,
    logits_of,
    of_earlier_runs,
    with_meaning,
    write_predictions,
)

SETTINGS = ("crop", "spacing", "size", "fit", "intensity")  # a recipe's, that make arrays of scans
PLAIN_RECIPES = ("folder", "msd", "brats")  # do to a scan what these settings say, and no more
FAR_OFF = 1.2  # times the largest voxel a network has seen, or the smallest over it
MOST_NAMED = 5  # scans that a note names
SLICES_AT_ONCE = 32
ROOM = ".prepared-"  # how the folder of a cohort that does not last begins


@dataclass(frozen=True)
class ScanPredictions:
    """How the prediction of raw scans went; made to be printed."""

    folder: Path
    paths: tuple[Path, ...]  # label maps, one a scan
    rejected: tuple[dict[str, str], ...]  # {"case", "reason"}: scans that cannot be read
    notes: tuple[str, ...]  # what to know before believing them
    seen: tuple[str, ...] = ()  # the command that opens one in napari

    @property
    def exit_code(self) -> int:
        """1 if a scan was rejected, else 0."""
        return int(bool(self.rejected))

    def __str__(self) -> str:
        lines = [f"{len(self.paths)} predictions in {self.folder}", *self.seen, *self.notes]
        return "\n".join(lines + [f"  {r['case']} rejected: {r['reason']}" for r in self.rejected])


def predict_images(
    network: UNet | Classifier,
    images: str | Path,
    out: str | Path,
    window: Sequence[int] | None = None,
    workers: int | None = None,
) -> ScanPredictions:
    """Segment raw scans, and write ``out/ID.nii.gz`` over each: its voxels, its header.

    Scans are found and named as the recipe ``folder`` does it, and prepared as those that the
    network learnt from. What lies outside the network's field is background. Of a network of
    slices, a scan's slices are predicted one by one.

    Args:
        images: a folder of NIfTI files or DICOM series, or one NIfTI file. Of a network of several
            channels, the files' names end in the channels'.
        window: size, in voxels, of the overlapping boxes in which larger volumes are predicted; by
            default, that of the boxes which the network was trained on, if it was.
        workers: processes that prepare scans; by default one a core.

    Raises:
        InputError: the network does not know how its scans were prepared, or grades pictures; no
            scan is there, or none can be read.

    Example::

        print(predict_images(load_network("model"), "new_scans", "predictions"))
    """
    trained, learnt = what_it_learnt(network)
    recipe, images, out = volume_recipe(learnt), Path(images), Path(out)
    check_places(images, out)
    answering: nn.Module = network
    boxes = window = window or trained.patch
    if recipe is not learnt:  # slices of volumes
        answering, boxes = SliceBySlice(network, learnt, window), None
    with room_in(out) as room:
        channels = trained.preparation.channels or ()
        cohort, summary = prepare_alike(images, room, channels, recipe, workers)
        fit, small = large_enough(network, cohort, range(len(cohort)), learnt.get("axis"), window)
        cohort = replace(cohort, cases=tuple(cohort.cases[case] for case in fit))
        prepared = with_meaning(network, cohort)
        cases = range(len(prepared))
        maps = class_maps(answering, prepared, cases, boxes, range(len(prepared.channels)))
        paths = write_predictions(maps, prepared, cases, out, digest(network))
    notes = [
        *(f"{row['case']} {row['reason']}: left out" for row in summary.left_out),
        *remarks_on_scans(prepared, trained, recipe, learnt.get("axis")),
        *_slices_left_out(learnt),
        *of_earlier_runs(out, paths),
    ]
    above = images if images.is_dir() else images.parent
    seen = how_to_see(prepared, 0, above, paths[0])
    return ScanPredictions(
        out, tuple(paths), (*summary.rejected, *small), tuple(notes), tuple(seen)
    )


# ---- what the network knows --------------------------------------------------------------------


@dataclass(frozen=True)
class Wording:
    """How a command that reads raw scans speaks of itself."""

    reader: str = "network"
    instead: str = "predict that cohort"  # what to do with scans that were prepared by hand
    pictures: str = "grades pictures"  # what it does if it reads no scans
    outside: str = "background"  # what lies beyond the volumes that it read


PREDICTING = Wording()
READING_FEATURES = Wording("encoder", "give that cohort (--cohort)", "learnt pictures", "black")


def what_it_learnt(
    network: UNet | Classifier | Encoder, words: Wording = PREDICTING
) -> tuple[Provenance, Mapping[str, Any]]:
    """What a network was trained on, and the settings of the recipe that prepared it.

    Raises:
        InputError: it is not known, or they were pictures; says what to do.
    """
    origin = network.provenance
    if origin is None or origin.recipe is None:
        raise InputError(
            f"the {words.reader} does not say how its scans were prepared (it is untrained, or an "
            "earlier version trained it); train it again, or prepare the scans as its cohort was "
            f"and {words.instead}"
        )
    if origin.preparation.ordinal or isinstance(network, Classifier):
        raise InputError(
            f"the {words.reader} {words.pictures} of the recipe {origin.recipe.get('name')}; "
            f"prepare yours with it and {words.instead}"
        )
    return origin, origin.recipe


def volume_recipe(recipe: Mapping[str, Any], words: Wording = PREDICTING) -> Mapping[str, Any]:
    """The settings of a recipe of volumes, or of those that a recipe of slices cut.

    Raises:
        InputError: the recipe does more to a scan than these say.
    """
    while isinstance(recipe.get("cohort"), Mapping):
        recipe = recipe["cohort"]
    if recipe.get("name") not in PLAIN_RECIPES or not recipe.keys() >= set(SETTINGS):
        raise InputError(
            f"the {words.reader} learnt scans of the recipe {recipe.get('name')}, which does more "
            f"to them than its settings say; prepare the scans with it and {words.instead}"
        )
    return recipe


# ---- a cohort that does not last ---------------------------------------------------------------


def check_places(images: Path, out: Path) -> None:
    """Raise InputError unless ``images`` are raw scans, and ``out`` is apart from them."""
    if (images / MANIFEST).exists():
        raise InputError(f"{images} is a prepared cohort; give it as one (--cohort)")
    if not images.exists():
        raise InputError(f"no folder and no file {images}")
    if images.is_dir() and out.resolve().is_relative_to(images.resolve()):
        raise InputError(
            f"what is written to {out} would be taken for scans of {images} the next time; choose "
            "another place"
        )


@contextmanager
def room_in(out: Path, command: str = "predict") -> Iterator[Path]:
    """A hidden folder in ``out``, where there is room; it is gone at the end, however it ends."""
    with claimed(out, command) as claim:
        for left in claim.folder.glob(f"{ROOM}*"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        with temporary_folder(claim.folder, ROOM) as folder:
            yield Path(folder)


def prepare_alike(
    images: Path,
    room: Path,
    channels: Sequence[str],
    recipe: Mapping[str, Any],
    workers: int | None,
    words: Wording = PREDICTING,
) -> tuple[Cohort, Any]:
    """Prepare raw scans as a network's were, into ``room``; and how it went.

    Raises:
        InputError: no scan can be prepared, or the network's were prepared by another version.
    """
    raw = images if images.is_dir() else _alone(images, room)
    settings = {name: recipe[name] for name in SETTINGS}
    settings["workers"] = workers
    if len(channels) > 1:
        settings["channels"] = tuple(channels)
    kind, prepare = load_recipe("folder")

    def as_given(text: str) -> str:  # the user knows of no room
        for own in (raw.resolve() / images.name, raw.resolve()):
            text = text.replace(str(own), str(images))
        return text

    try:
        summary = prepare(kind(out=room / "cohort", raw=raw, **settings))
    except InputError as reason:
        raise InputError(_without_room(as_given(str(reason)), room)) from None
    rejected = [row | {"reason": as_given(row["reason"])} for row in summary.rejected]
    cohort = Cohort.open(summary.folder)
    if cohort.recipe.get("version") != recipe.get("version"):
        raise InputError(
            f"the scans that the {words.reader} learnt from were prepared by another version of "
            "this program, which made other arrays; prepare its cohort anew and train it again"
        )
    return cohort, replace(summary, rejected=tuple(rejected))


def _without_room(text: str, room: Path) -> str:
    """A complaint of the recipe about its own folder, which does not last, as one about ours."""
    if not text.startswith(f"cannot write to {room}"):
        return text
    why = text.partition(": ")[2].partition(";")[0]
    return f"cannot write to {room.parent}: {why}; make room there, or give another folder"


def _alone(image: Path, room: Path) -> Path:
    """A folder that holds a link to one file, since recipes read folders."""
    folder = room / image.name  # which the bar shows
    folder.mkdir()
    try:
        os.symlink(image.resolve(), folder / image.name)
    except OSError:  # a system without links
        shutil.copyfile(image, folder / image.name)
    return folder


# ---- slices ------------------------------------------------------------------------------------


class SliceBySlice(nn.Module):
    """A network of slices as one of volumes: (batch, channel, *space) → (batch, class, *space).

    Slices outside of the part that it learnt from are background.

    Args:
        recipe: settings of the recipe ``slices``: axis, first and last.
        window: size of the overlapping boxes in which larger slices are predicted.
    """

    def __init__(self, network: nn.Module, recipe: Mapping[str, Any], window: Sequence[int] | None):
        super().__init__()
        self.network, self.window = network, window
        self.axis, self.part = recipe["axis"], (recipe["first"], recipe["last"])

    def forward(self, x: Tensor) -> Tensor:
        across = x.movedim(self.axis + 2, 1)  # (batch, slice, channel, *plane)
        first, last = (round(share * across.shape[1]) for share in self.part)
        slices = across[:, first:last].flatten(0, 1)
        parts = [
            logits_of(self.network, part, self.window) for part in slices.split(SLICES_AT_ONCE)
        ]
        answers = torch.cat(parts).unflatten(0, (len(x), last - first))
        logits = answers.new_zeros(*across.shape[:2], *answers.shape[2:])
        logits[:, :, 0] = 1
        logits[:, first:last] = answers
        return logits.movedim(1, self.axis + 2)


# ---- what to know of the answers ---------------------------------------------------------------


def remarks_on_scans(
    cohort: Cohort,
    trained: Provenance,
    recipe: Mapping[str, Any],
    axis: int | None = None,
    words: Wording = PREDICTING,
) -> Iterator[str]:
    """What a network has not met of scans that were prepared as its own: a line each.

    Args:
        axis: across which a network of slices cuts.
    """
    yield from _without_unit(cohort, trained.preparation.unit)
    yield from _outside(cohort.cases, recipe, words)
    if strange := strange_voxels(cohort.cases, trained, axis):
        seen = trained.preparation.spacing_range or ()
        known = " × ".join(
            f"{a:.3g}" if np.isclose(a, b, rtol=0.01) else f"{a:.3g}–{b:.3g}" for a, b in seen
        )
        yield (
            f"voxels far from the {known} that the {words.reader} has learnt from (are the "
            f"header's units mm?), so do not trust: {_named(strange)}"
        )


def _without_unit(cohort: Cohort, unit: str | None) -> Iterator[str]:
    """Which scans do not say what their voxels' size is counted in, where a network knows mm."""
    codes = {case.id: case.source.header.get("xyzt_units") for case in cohort.cases}
    silent = {name: "" for name, code in codes.items() if code is not None and not mm_of_unit(code)}
    if silent and unit == "mm":
        yield f"state no unit of length, so mm are taken for granted: {_named(silent)}"


def _outside(cases: Sequence[Case], recipe: Mapping[str, Any], words: Wording) -> Iterator[str]:
    """How much of which scans the network did not see."""
    if recipe["crop"] and (recipe["size"] is None or recipe["fit"] != "pad"):
        return  # nothing but the empty border was cut away
    shares = {}
    for case in cases:
        voxels = int(np.prod(case.source.shape))
        if out := voxels - int(np.prod([stop - start for start, stop in case.crop])):
            shares[case.id] = f"{out} voxels ({out / voxels:.0%})"
    if shares:
        size = " × ".join(map(str, recipe["size"] or ()))
        field = f"outside the {words.reader}'s field of {size} voxels"
        yield f"{field}, so {words.outside}: {_named(shares)}"


def strange_voxels(
    cases: Sequence[Case], trained: Provenance, axis: int | None = None
) -> dict[str, str]:
    """Which scans have voxels of a size that the network has not met: their ids, and the size."""
    if trained.preparation.spacing_range is None:
        return {}
    low, high = np.array(trained.preparation.spacing_range).T
    strange = {}
    for case in cases:
        edges = case.spacing
        edges = edges if axis is None else np.delete(edges, axis)
        if (edges > FAR_OFF * high).any() or (FAR_OFF * edges < low).any():
            strange[case.id] = " × ".join(f"{edge:.3g}" for edge in edges)
    return strange


def _slices_left_out(recipe: Mapping[str, Any]) -> Iterator[str]:
    first, last = recipe.get("first", 0), recipe.get("last", 1)
    if (first, last) != (0, 1):
        yield f"slices before {first:g} and after {last:g} of a scan were not learnt: background"


def _named(scans: Mapping[str, str]) -> str:
    """The first scans with what is said of each, and how many more there are."""
    first = [f"{name} {what}".strip() for name, what in list(scans.items())[:MOST_NAMED]]
    more = len(scans) - len(first)
    return ", ".join(first) + (f", and {more} more" if more else "")

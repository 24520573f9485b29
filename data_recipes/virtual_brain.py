"""Virtual patients: brain scans with known labels, made offline from the MNI152 template.

Two data sets come from one generator, written as the raw files of real ones, so that the recipes
of the real ones prepare them unchanged:

* :func:`write_hippocampus`: crops about one hippocampus (Medical Segmentation Decathlon, Task 4);
* :func:`write_heads`: skull-stripped heads with a glioma, in four modalities (BraTS 2018).

What they are not is patients. All subjects are smooth warps of one template, itself a mirrored
average of 152 people; the labels are geometric, not drawn by an expert; the signal follows the
template's T1 value through a curve, not physics. A method that fails here is broken; one that
works here has yet to be tried on real scans.

A case depends on the settings and its number alone. So the same settings give the same bytes, and
a run that was interrupted, or is repeated for more cases, adds those that are missing.
"""

import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ssl3d_lite.errors import InputError, unknown
from ssl3d_lite.files import clear_leftovers, read_json, write_gzip, write_json

from .parallel import for_each
from .virtual_anatomy import (
    CONTRASTS,
    HIPPOCAMPUS,
    Axes,
    Labels,
    Region,
    Rng,
    Values,
    brats_labels,
    grow_glioma,
    region_map,
    sample,
    scan_crop,
    scan_head,
    smooth_field,
    template,
    vessels,
    warp,
)

MODALITIES = tuple(CONTRASTS)
SETTINGS = "virtual_brain.json"  # how the set in a folder was made

BRAIN_CENTRE = np.array([0.0, -17.0, 5.0])  # MNI mm
BRATS_SHAPE = (240, 240, 155)
BRATS_CENTRE = np.array([-119.5, 119.5, 77.0])  # of its grid, in its own world, mm
CUBE = 192.0  # mm: the edge of the cube that ``edge`` voxels divide; it holds the whole brain
SMALLEST_EDGE = 32  # voxels of 6 mm: the rim of a glioma is hardly thicker

Affine = NDArray[np.float64]
Volumes = tuple[dict[str, NDArray[Any]], Affine]  # of one case, by kind

# ---- one case ------------------------------------------------------------------------------------


def hippocampus_case(
    seed: int, index: int, region: Region = HIPPOCAMPUS
) -> tuple[Values, Labels, Affine]:
    """One T1-weighted crop about one region: even cases show the left side, odd ones the right.

    Args:
        seed, index: what makes it this case.
        region: what to label.

    Returns:
        The image (i, j, k), whole numbers whose scale differs by up to 10^4 between scans; the
        label map, 0 background, 1 in front of the region's split, 2 behind it; the affine of its
        RAS voxels of 1 mm.
    """
    anatomy, framing, scanner = np.random.default_rng([seed, index]).spawn(3)
    side = 1 if index % 2 else -1
    stations = np.array(region.tube)[:, :3] * (side, 1, 1)
    # 24 mm hold the widest station and what a warp moves it by
    low, high = np.floor(stations.min(0)) - 24, np.ceil(stations.max(0)) + 24
    axes = tuple(np.arange(a, b) for a, b in zip(low, high))
    # real hippocampi are a little smaller than the template's, and their crops lie flatter
    points = warp(anatomy, axes, stations.mean(0), size=0.945, pitch=-14)
    inside = sample(region_map(region, side), points) > 0.5
    box = _frame(inside, framing.integers(4, 9, (3, 2)))
    axes = tuple(axis[s] for axis, s in zip(axes, box))
    points, inside = points[:, *box], inside[box]

    field = functools.partial(smooth_field, axes)
    image = scan_crop(scanner, field, sample(template("t1"), points))
    label = np.where(inside, np.where(points[1] > region.split, 1, 2), 0).astype(np.uint8)
    affine = nib.affines.from_matvec(np.eye(3), [axis[0] for axis in axes])
    return image, label, affine


def _frame(inside: NDArray[np.bool_], margins: NDArray[np.int64]) -> tuple[slice, ...]:
    """The bounding box of ``inside`` and (before, after) voxels along every axis."""
    (tight,) = ndimage.find_objects(inside.astype(np.uint8))
    return tuple(
        slice(max(s.start - before, 0), s.stop + after)
        for s, (before, after) in zip(tight, margins)
    )


def head_case(
    seed: int,
    index: int,
    edge: int | None = None,
    tumour: bool = True,
    modalities: Sequence[str] = MODALITIES,
) -> tuple[dict[str, NDArray[np.int16]], Labels, Affine]:
    """One skull-stripped head: the same on every grid, and with and without its tumour.

    Args:
        seed, index: what makes it this head.
        edge: voxels along each edge of a cube of 192 mm, 32 or more; None for BraTS's own grid,
            (240, 240, 155) at 1 mm.
        tumour: whether it has a glioma.
        modalities: some of "t1", "t1ce", "t2", "flair".

    Returns:
        By modality, the image (i, j, k), 0 outside the brain and positive in it; the label map, 0
        healthy, else 1, 2 and 4 as in BraTS; the affine of its LPS voxels.

    Raises:
        InputError: ``edge`` is too small, or a modality unknown.
    """
    _check_head(edge, modalities)
    anatomy, lesion, scanner = np.random.default_rng([seed, index]).spawn(3)
    axes, affine = head_grid(edge)
    blur = 0.4 * affine[2, 2] if edge else 0.0
    points = warp(anatomy, axes, BRAIN_CENTRE, size=0.9)  # the template is large for a brain
    brain = sample(template("depth"), points) > 0.5  # a tumour pushes, but the skull holds
    points = points[:, brain]  # from here on, (n,): the voxels of the brain alone
    label = np.zeros(brain.shape, np.uint8)

    def field(rng: Rng, spacing: float) -> Values:
        return smooth_field(axes, rng, spacing)[brain]

    glioma = None
    if tumour:
        glioma, points = grow_glioma(lesion, field, points, blur, grade(index) == "LGG")
        label[brain] = brats_labels(glioma)
    t1 = sample(template("t1", blur), points)
    texture, vessel = field(anatomy, 2.2), vessels(anatomy, field, t1)
    images = {}
    for name, rng in zip(MODALITIES, scanner.spawn(len(MODALITIES))):
        if name in modalities:
            values = scan_head(rng, field, CONTRASTS[name], t1, vessel, texture, glioma)
            images[name] = np.zeros(brain.shape, np.int16)
            images[name][brain] = values.clip(1, 32767)
    return images, label, affine


def grade(index: int) -> str:
    """Every fourth glioma is of low grade, "LGG", the others "HGG": 75 of 285 in BraTS 2018."""
    return "LGG" if index % 4 == 3 else "HGG"


def head_grid(edge: int | None) -> tuple[Axes, Affine]:
    """Where a head's voxels lie, and their affine: LPS voxels, centred where BraTS's grid is.

    BraTS counts its world from a corner of the grid, so the affine leads to MNI but for a shift.
    """
    shape = BRATS_SHAPE if edge is None else (edge,) * 3
    voxel = np.array([-1.0, -1.0, 1.0]) * (1.0 if edge is None else CUBE / edge)
    first = -voxel * (np.array(shape) - 1) / 2  # relative to the centre
    axes = tuple(c + f + v * np.arange(n) for c, f, v, n in zip(BRAIN_CENTRE, first, voxel, shape))
    return axes, nib.affines.from_matvec(np.diag(voxel), BRATS_CENTRE + first)


# ---- files ---------------------------------------------------------------------------------------


TEMPLATE = "MNI ICBM152 2009 template, Fonov et al., NeuroImage 54, 2011"
LICENCE = "free to use and share with the copyright notice of the MNI ICBM152 template"


def write_hippocampus(
    folder: str | Path,
    cases: int = 200,
    seed: int = 0,
    region: Region = HIPPOCAMPUS,
    workers: int | None = None,
) -> None:
    """Write :func:`hippocampus_case` 0, 1, ... as a task of the Medical Segmentation Decathlon.

    Args:
        folder: where to: ``dataset.json``, which comes last, ``imagesTr/`` and ``labelsTr/``.
        cases: how many.
        seed: 0 or more.
        region: what to label.
        workers: processes; as many as there are usable cores by default.

    Raises:
        InputError: no cases, a negative seed, or ``folder`` holds a set made with other settings.
    """
    folder = Path(folder)
    settings = {"set": region.name, "seed": seed, "region": asdict(region)}
    _claim(folder, cases, settings)
    names = [f"{region.name}_{number:04d}.nii.gz" for number in range(1, cases + 1)]
    files = [{"image": folder / "imagesTr" / n, "label": folder / "labelsTr" / n} for n in names]
    make = functools.partial(_hippocampus_volumes, seed, region)
    _write_missing(make, files, workers, f"virtual {region.name}")
    write_json(folder / "dataset.json", _decathlon_record(region, names))


def _decathlon_record(region: Region, names: Sequence[str]) -> dict[str, Any]:
    return {
        "name": f"Virtual{region.name.capitalize()}",
        "description": (
            f"All subjects are warps of one template, and the labels of the {region.name} are "
            "geometric: easier, and more alike, than real scans."
        ),
        "reference": TEMPLATE,
        "licence": LICENCE,
        "release": "1.0",
        "tensorImageSize": "3D",
        "modality": {"0": "MRI"},
        "labels": {str(i): name for i, name in enumerate(("background", *region.labels))},
        "numTraining": len(names),
        "numTest": 0,
        "training": [{"image": f"./imagesTr/{n}", "label": f"./labelsTr/{n}"} for n in names],
        "test": [],
    }


def write_heads(
    folder: str | Path,
    cases: int,
    seed: int = 0,
    edge: int | None = None,
    tumour: bool = True,
    modalities: Sequence[str] = MODALITIES,
    workers: int | None = None,
) -> None:
    """Write :func:`head_case` 0, 1, ... as the raw files of BraTS 2018.

    ``HGG/Brats18_VIRTUAL_0001_1/Brats18_VIRTUAL_0001_1_t1.nii.gz``, and so on for each modality
    and ``seg``; in ``LGG/`` where the glioma is of low grade; in ``healthy/``, and without
    ``seg``, where there is none.

    Args:
        folder: where to; made if need be.
        cases: how many.
        seed: 0 or more.
        edge, tumour, modalities: as :func:`head_case` takes them.
        workers: processes; as many as there are usable cores by default.

    Raises:
        InputError: a setting is out of range, or ``folder`` holds a set made with other settings.
    """
    folder = Path(folder)
    _check_head(edge, modalities)
    settings = {"edge": edge, "tumour": tumour, "modalities": sorted(modalities)}
    _claim(folder, cases, {"set": "heads", "seed": seed, **settings})
    kinds = (*modalities, "seg") if tumour else modalities
    files = []
    for index in range(cases):
        name = f"Brats18_VIRTUAL_{index + 1:04d}_1"
        home = folder / (grade(index) if tumour else "healthy") / name
        files.append({kind: home / f"{name}_{kind}.nii.gz" for kind in kinds})
    make = functools.partial(_head_volumes, seed, edge, tumour, tuple(modalities))
    _write_missing(make, files, workers, "virtual heads")


def _hippocampus_volumes(seed: int, region: Region, index: int) -> Volumes:
    image, label, affine = hippocampus_case(seed, index, region)
    return {"image": image, "label": label}, affine


def _head_volumes(
    seed: int, edge: int | None, tumour: bool, modalities: Sequence[str], index: int
) -> Volumes:
    images, label, affine = head_case(seed, index, edge, tumour, modalities)
    return {**images, "seg": label}, affine


def _write_missing(
    make: Callable[[int], Volumes],
    files: Sequence[dict[str, Path]],
    workers: int | None,
    title: str,
) -> None:
    """Make the cases that lack a file; ``files`` are theirs, by kind, in the order of the cases."""
    missing = [
        (index, paths)
        for index, paths in enumerate(files)
        if not all(path.exists() for path in paths.values())
    ]
    task = functools.partial(_write_case, make)
    for _ in for_each(task, missing, workers, title):
        pass


def _write_case(make: Callable[[int], Volumes], item: tuple[int, dict[str, Path]]) -> None:
    index, paths = item
    volumes, affine = make(index)
    for kind, path in paths.items():
        image = nib.Nifti1Image(volumes[kind], affine)
        image.header.set_xyzt_units("mm")
        write_gzip(path, image.to_bytes(), level=1)  # noise hardly compresses: the fastest


def _claim(folder: Path, cases: int, settings: dict[str, Any]) -> None:
    """Note in ``folder`` how its set is made, or refuse to mix it with one made otherwise."""
    if cases < 1:
        raise InputError(f"cases must be at least 1, not {cases}")
    if settings["seed"] < 0:
        raise InputError(f"seed must be 0 or more, not {settings['seed']}")
    record = folder / SETTINGS
    settings = json.loads(json.dumps(settings))  # tuples become lists, as they read back
    if not record.exists():
        write_json(record, settings)
        return
    there = read_json(record, "record of a virtual set")
    other = [key for key in settings | there if settings.get(key) != there.get(key)]
    if other:
        raise InputError(
            f"{folder} holds a virtual set with another {' and another '.join(other)} "
            f"(see its {SETTINGS}); choose a new folder, or remove this one"
        )
    clear_leftovers(folder)


def _check_head(edge: int | None, modalities: Sequence[str]) -> None:
    if edge is not None and edge < SMALLEST_EDGE:
        raise InputError(f"edge must be at least {SMALLEST_EDGE} voxels, not {edge}")
    if not modalities:
        raise InputError(f"no modalities; name some of {', '.join(MODALITIES)}")
    for name in modalities:
        if name not in MODALITIES:
            raise unknown("modality", name, MODALITIES)

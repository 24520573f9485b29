"""Virtual patients: brain scans with known labels, made offline from the MNI152 template.

Two kinds of scan come from one generator: crops about one hippocampus, as in the Medical
Segmentation Decathlon's Task 4, and skull-stripped heads with or without a glioma, in up to four
modalities, as in BraTS. ``virtual_files`` writes them as those data sets' raw files.

What they are not is patients. All subjects are smooth warps of one template, itself a mirrored
average of 152 people; the labels are geometric, not drawn by an expert; the signal follows the
template's T1 value through a curve, not physics. A method that fails here is broken; one that
works here has yet to be tried on real scans.
"""

import functools
from collections.abc import Sequence

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ssl3d_lite.errors import InputError, unknown

from .anatomy import (
    CONTRASTS,
    HIPPOCAMPUS,
    Region,
    brats_labels,
    grow_glioma,
    region_map,
    sample,
    scan_crop,
    scan_head,
    smooth_field,
    template,
    vessels,
    warp_template,
)
from .arrays import Affine, Axes, Floats, Labels, Rng

MODALITIES = tuple(CONTRASTS)
BRAIN_CENTRE = np.array([0.0, -17.0, 5.0])  # MNI mm
BRATS_SHAPE = (240, 240, 155)
BRATS_CENTRE = np.array([-119.5, 119.5, 77.0])  # its grid's centre, in its own world, mm
HEAD_CUBE = 192.0  # mm: the edge of the cube that ``edge`` voxels divide; it holds the whole brain
SMALLEST_HEAD = 32  # voxels of 6 mm: the rim of a glioma is hardly thicker


TEMPLATE = "MNI ICBM152 2009 template, Fonov et al., NeuroImage 54, 2011"
TEMPLATE_LICENCE = "free to use and share with the copyright notice of the MNI ICBM152 template"

# ---- one case ------------------------------------------------------------------------------------


def hippocampus_case(
    seed: int, index: int, region: Region = HIPPOCAMPUS
) -> tuple[Floats, Labels, Affine]:
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
    points = warp_template(anatomy, axes, stations.mean(0), size=0.945, pitch=-14)
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
    visit: int = 0,
) -> tuple[dict[str, NDArray[np.int16]], Labels, Affine]:
    """One skull-stripped head: the same on every grid, at every visit, with and without its tumour.

    Args:
        seed, index: what makes it this head.
        edge: voxels along each edge of a cube of 192 mm, 32 or more; None for BraTS's own grid,
            (240, 240, 155) at 1 mm.
        tumour: whether it has a glioma.
        modalities: some of "t1", "t1ce", "t2", "flair".
        visit: another one is the same head in another session of the scanner.

    Returns:
        By modality, the image (i, j, k), 0 outside the brain and positive in it; the label map, 0
        healthy, else 1, 2 and 4 as in BraTS; the affine of its LPS voxels.

    Raises:
        InputError: ``edge`` is too small, or a modality unknown.
    """
    check_head(edge, modalities)
    anatomy, lesion, scanner = np.random.default_rng([seed, index]).spawn(3)
    if visit:
        scanner = np.random.default_rng([seed, index, visit])
    axes, affine = head_grid(edge)
    blur = 0.4 * affine[2, 2] if edge else 0.0
    # the template is large for a brain
    points = warp_template(anatomy, axes, BRAIN_CENTRE, size=0.9)
    brain = sample(template("depth"), points) > 0.5  # a tumour pushes, but the skull holds
    points = points[:, brain]  # from here on, (n,): the voxels of the brain alone
    label = np.zeros(brain.shape, np.uint8)

    def field(rng: Rng, spacing: float) -> Floats:
        return smooth_field(axes, rng, spacing)[brain]

    glioma = None
    if tumour:
        glioma, points = grow_glioma(lesion, field, points, blur, glioma_grade(index) == "LGG")
        label[brain] = brats_labels(glioma)
    t1 = sample(template("t1", blur), points)
    texture, vessel = field(anatomy, 2.2), vessels(anatomy, field, t1)

    def scan(name: str, rng: Rng) -> NDArray[np.int16]:
        image = np.zeros(brain.shape, np.int16)
        values = scan_head(rng, field, CONTRASTS[name], t1, vessel, texture, glioma)
        image[brain] = values.clip(1, 32767)
        return image

    streams = zip(MODALITIES, scanner.spawn(len(MODALITIES)))
    return {name: scan(name, rng) for name, rng in streams if name in modalities}, label, affine


def unstripped(
    seed: int, index: int, image: NDArray[np.int16], brain: NDArray[np.bool_], voxel: float
) -> NDArray[np.int16]:
    """A skull-stripped head, (i, j, k), with something about the brain again, for a mask to remove.

    Dark bone of 5 mm, a scalp of 5 mm as bright as fat, and the noise of air.
    """
    rng = np.random.default_rng([seed, index, 1])
    bright = np.percentile(image[brain], 98)
    distance = ndimage.distance_transform_edt(~brain, sampling=voxel)
    around = np.where((distance > 5) & (distance < 10), bright, 0.05 * bright)
    around = around * rng.uniform(0.9, 1.1, image.shape)
    return np.where(brain, image, around).clip(1, 32767).astype(np.int16)


def glioma_grade(index: int) -> str:
    """Every fourth glioma is of low grade, "LGG", the others "HGG": 75 of 285 in BraTS 2018."""
    return "LGG" if index % 4 == 3 else "HGG"


def head_grid(edge: int | None) -> tuple[Axes, Affine]:
    """Where a head's voxels lie, and their affine: LPS voxels, centred where BraTS's grid is.

    BraTS counts its world from a corner of the grid, so the affine leads to MNI but for a shift.
    """
    shape = BRATS_SHAPE if edge is None else (edge,) * 3
    voxel = np.array([-1.0, -1.0, 1.0]) * (1.0 if edge is None else HEAD_CUBE / edge)
    first = -voxel * (np.array(shape) - 1) / 2  # relative to the centre
    axes = tuple(c + f + v * np.arange(n) for c, f, v, n in zip(BRAIN_CENTRE, first, voxel, shape))
    return axes, nib.affines.from_matvec(np.diag(voxel), BRATS_CENTRE + first)


def check_head(edge: int | None, modalities: Sequence[str]) -> None:
    """See that :func:`head_case` can make such heads.

    Raises:
        InputError: ``edge`` is too small, or a modality unknown.
    """
    if edge is not None and edge < SMALLEST_HEAD:
        raise InputError(f"edge must be at least {SMALLEST_HEAD} voxels, not {edge}")
    if not modalities:
        raise InputError(f"no modalities; name some of {', '.join(MODALITIES)}")
    for name in modalities:
        if name not in MODALITIES:
            raise unknown("modality", name, MODALITIES)

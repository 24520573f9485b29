"""From a raw scan to a prepared volume: turn it to RAS, lay a frame over it, sample it once.

Crop, voxel size and final size are composed into one :class:`VolumeFrame`. One that only moves by
whole voxels is cut out exactly; any other is interpolated once, images linearly (and smoothed
first, if they become much coarser) and labels by the class that fills most of each voxel, since the
mean of two classes is no class.

A frame can be shifted at random, case by case. Where scans are crops about an organ, the place of a
voxel tells much of its class; shifted, it cannot. The affine says where a volume lies, as ever.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import prod
from pathlib import Path
from typing import Any, ClassVar, Literal

import nibabel as nib
import numpy as np
from scipy import ndimage

from data_recipes.readers.nifti import (
    Scan,
    check_same_grid,
    read_header,
    read_images,
    read_label,
)
from ssl3d_lite.data.case import RawHeader
from ssl3d_lite.data.label_maps import resample_labels
from ssl3d_lite.data.preparation import PART_SIZE, Intensity
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.memory import check_volume
from ssl3d_lite.settings import CheckedSettings, PositiveFloat, PositiveInt

from .engine import Prepared, RawCase
from .settings import FoldSettings

VoxelBox = tuple[slice, ...]  # [start, stop) an axis, in voxels
Fit = Literal["pad", "resize", "stretch"]
VoxelSize = tuple[PositiveFloat, PositiveFloat, PositiveFloat]  # mm
VolumeSize = tuple[PositiveInt, PositiveInt, PositiveInt]  # voxels

PAPER_CUBE = (128, 128, 128)  # voxels of the paper's volumes
COARSE = 1.5  # raw voxels to a prepared one, from which on a scan is smoothed before it is sampled
REACH = 3  # deviations of the Gaussian that does it
SNAP = 1e-4  # a voxel size this near the wanted one, relatively, is that size: headers round


@dataclass(frozen=True)
class Preparation(CheckedSettings):
    """What becomes of every scan of a cohort, once it is turned to RAS.

    ``fit`` says how a scan comes to ``size``. "pad" keeps the voxel size, and cuts or pads about
    the centre. "resize" shows the whole field in isotropic voxels, and pads the axes it does not
    fill. "stretch" scales each axis by itself until the field fills it (the paper).
    """

    crop: bool  # cut away the border where all channels are empty
    spacing: VoxelSize | None  # a voxel's, in the scans' unit; None: the scan's own
    size: VolumeSize | None  # voxels; None: as many as there are
    fit: Fit
    intensity: str  # see Intensity
    shift: PositiveInt | None = None  # prepared voxels along each axis, at most; None: centred

    def __post_init__(self) -> None:
        super().__post_init__()
        Intensity.parse(self.intensity)
        if self.spacing and self.size and self.fit != "pad":
            raise InputError(
                f"fit {self.fit} finds the spacing itself; leave it out, or take fit pad"
            )


@dataclass(frozen=True, kw_only=True)
class Framing(FoldSettings):
    """How scans become volumes. What is not given is the data set's own, or the paper's."""

    own: ClassVar[Preparation | None] = None  # None: depends on the data

    preset: Literal["ours", "paper"] = "ours"
    """Where the settings come from that are not given. ours: what suits the data set; paper: the
    border cut away, each axis stretched to 128 voxels, intensities from 0 to 1 (CT: its window)."""

    crop: bool | None = None
    """Cut away the empty border first: voxels of 0, or below the window. Default: the preset's."""

    size: VolumeSize | None = None
    """Voxels of every prepared volume. Default: the preset's."""

    fit: Fit | None = None
    """How a scan comes to that size. pad: voxels as they are, cut or padded about the centre;
    resize: the whole field in isotropic voxels, padded; stretch: each axis by itself. Default: the
    preset's."""

    spacing: VoxelSize | None = None
    """Voxel size in mm, with fit=pad. Default: the scan's own."""

    unit: Literal["mm"] | None = None
    """Unit that the numbers of scans count in whose files state none. Default: it is not known, and
    neither sizes nor distances are said to be in mm."""

    intensity: str | None = None
    """zscore, zscore-brain, unit, or window:LOW,HIGH in HU; always each channel by itself. Default:
    the preset's."""

    shift: PositiveInt | None = None
    """Move each volume at random by up to so many of its voxels along each axis, so that a voxel's
    place tells less of its class. A case's shift depends on its name alone. With a --size that is
    larger by twice as many voxels nothing more is cut off. Default: centred."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.intensity is not None:
            Intensity.parse(self.intensity)
        if self.size is not None:
            check_volume(self.size, 1, f"size {self.size}")

    def preparation(self, own: Preparation | None = None) -> Preparation:
        """What is given; else the preset's; else what is the data set's own."""
        own = own or self.own
        assert own is not None, "a recipe has settings of its own"

        def choose(name: str, paper: Any) -> Any:
            given = getattr(self, name)
            preset = paper if self.preset == "paper" else getattr(own, name)
            return preset if given is None else given

        window = own.intensity.startswith("window")  # is from 0 to 1 already
        return Preparation(
            crop=choose("crop", True),
            spacing=self.spacing,
            size=choose("size", PAPER_CUBE),
            fit=choose("fit", "stretch"),
            intensity=choose("intensity", own.intensity if window else "unit"),
            shift=self.shift,
        )


@dataclass(frozen=True)
class VolumeFrame:
    """A grid along the axes of a RAS volume: voxel i has its centre at ``origin + scale * i``."""

    origin: tuple[float, ...]  # in voxels of the volume
    scale: tuple[float, ...]  # voxels of the volume a voxel of the frame
    size: tuple[int, ...]  # voxels of the frame

    @property
    def affine(self) -> np.ndarray:
        """Voxel of the frame → voxel of the volume, (4, 4)."""
        return nib.affines.from_matvec(np.diag(self.scale), self.origin)

    def covers(self, shape: Sequence[int]) -> VoxelBox:
        """The voxels of a volume of ``shape`` whose centres lie within the frame."""
        origin, scale, size = map(np.array, (self.origin, self.scale, self.size))
        edges = origin - scale / 2, origin + scale * (size - 0.5)
        start, stop = (np.ceil(edge - 1e-9).clip(0, shape).astype(int).tolist() for edge in edges)
        return tuple(map(slice, start, stop))

    @property
    def blur(self) -> tuple[float, ...]:
        """Deviation, in voxels of the volume, of the Gaussian that an image is smoothed with."""
        return tuple((scale - 1) / 2 if scale >= COARSE else 0.0 for scale in self.scale)

    def sees(self, box: VoxelBox) -> VoxelBox:
        """``box`` and the voxels about it that interpolation and smoothing draw on."""
        margins = [1 + round(REACH * blur + 0.5) for blur in self.blur]
        return tuple(slice(max(0, s.start - m), s.stop + m) for s, m in zip(box, margins))

    def parts(self, shape: Sequence[int]) -> list["VolumeFrame"]:
        """The frame, in parts along its first axis if it shows much of a large volume of ``shape``:
        interpolation and smoothing would take the volume several times over."""
        shown = prod(s.stop - s.start for s in self.covers(shape))
        count = 1 if self.moves_whole_voxels else min(1 + shown // PART_SIZE, self.size[0])
        edges = np.linspace(0, self.size[0], count + 1).astype(int).tolist()
        return [
            replace(
                self,
                origin=(self.origin[0] + self.scale[0] * start, *self.origin[1:]),
                size=(stop - start, *self.size[1:]),
            )
            for start, stop in pairwise(edges)
        ]

    @property
    def moves_whole_voxels(self) -> bool:
        """Whether nothing has to be interpolated."""
        return all(scale == 1 for scale in self.scale) and all(o == int(o) for o in self.origin)

    def within(self, box: VoxelBox) -> "VolumeFrame":
        """The same frame, in voxels of the volume cut down to ``box``."""
        return replace(self, origin=tuple(o - s.start for o, s in zip(self.origin, box)))

    def sample(self, volume: np.ndarray, label: bool = False) -> np.ndarray:
        """What ``volume`` shows in this frame, (*size).

        Beyond its border an image repeats the outermost voxels (black would be an edge to learn
        from), and a label is background.
        """
        if self.moves_whole_voxels:
            inside = self.covers(volume.shape)
            beyond = [
                (s.start - int(o), int(o) + n - s.stop)
                for s, o, n in zip(inside, self.origin, self.size)
            ]
            return np.pad(volume[inside], beyond, mode="constant" if label else "edge")
        if label:
            return resample_labels(volume, self.origin, self.scale, self.size)
        volume = np.ascontiguousarray(volume)  # NIfTI's x runs fastest, scipy reads z so
        if any(self.blur):  # or noise between the samples would fold back
            volume = ndimage.gaussian_filter(volume, self.blur, mode="nearest", truncate=REACH)
        return ndimage.affine_transform(
            volume, self.scale, self.origin, self.size, volume.dtype, order=1, mode="nearest"
        )


def random_shift(name: str, most: int | None) -> tuple[int, int, int]:
    """How far the frame of the case of that name is moved along each axis: whole voxels of the
    frame, each from -most to most. It depends on the name alone, so scans that are prepared again,
    or with others, lie as before."""
    if most is None:
        return 0, 0, 0
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    x, y, z = np.random.default_rng(seed).integers(-most, most + 1, 3).tolist()
    return x, y, z


def lay_frame(
    box: VoxelBox,
    voxel: Sequence[float],
    how: Preparation,
    shift: Sequence[int] = (0, 0, 0),
) -> VolumeFrame:
    """The frame about the centre of ``box``, whose voxels measure ``voxel`` mm; or ``shift`` voxels
    of the frame beside it."""
    start, stop = np.array([(s.start, s.stop) for s in box]).T
    length, edges = stop - start, np.asarray(voxel)
    scale = np.ones(len(box)) if how.spacing is None else np.asarray(how.spacing) / edges
    size = np.maximum(1, np.rint(length / scale)) if how.size is None else np.array(how.size)
    if how.size and how.fit == "resize":
        scale = (length * edges / size).max() / edges
    elif how.size and how.fit == "stretch":
        scale = length / size
    scale = np.where(abs(scale - 1) < SNAP, 1.0, scale)
    # the same centre: where frame and box are equally long, their edges coincide
    origin = start + (length - 1) / 2 - scale * (size - 1) / 2
    origin = np.where(scale == 1, np.floor(origin), origin)  # whole voxels: nothing to interpolate
    origin = origin + scale * np.array(shift)
    return VolumeFrame(tuple(origin.tolist()), tuple(scale.tolist()), tuple(map(int, size)))


def bounding_box(mask: np.ndarray) -> VoxelBox:
    """The smallest box that holds all that is true; everything, if nothing is."""
    found = ndimage.find_objects(mask.astype(np.uint8))
    return found[0] if found else tuple(slice(0, n) for n in mask.shape)


def to_ras(data: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Turn a volume so that its axes run right, forward and up: a view, and exact."""
    return nib.apply_orientation(data, nib.io_orientation(affine))


def ras_affine(affine: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """The affine after :func:`to_ras` of a volume of raw ``shape``."""
    return affine @ nib.orientations.inv_ornt_aff(nib.io_orientation(affine), shape)


def prepare_scan(case: RawCase, how: Preparation, values: Sequence[int]) -> Prepared:
    """Make the arrays of one case of NIfTI files. ``values`` are the raw label values, by class.

    Raises:
        InputError: a file of the case cannot be used, and why.
    """
    paths = list(case.images.values())
    channels, affine = read_images(paths)
    label = read_label_of((channels[0], affine), paths[0], case.label, values)
    header, shift = read_header(paths[0]), random_shift(case.id, how.shift)
    return prepare_volume(channels, label, affine, how, paths, header, shift)


def read_label_of(
    scan: Scan, path: Path, label_path: Path | None, values: Sequence[int]
) -> np.ndarray | None:
    """The label map that belongs to a scan, as classes, uint8 (x, y, z); None if there is none.

    Raises:
        InputError: it cannot be used, or does not lie upon the scan.
    """
    if label_path is None:
        return None
    classes, affine = read_label(label_path, values)
    # a label may list its voxels in another order than the scan: DICOM readers differ in that
    turn = nib.orientations.ornt_transform(nib.io_orientation(affine), nib.io_orientation(scan[1]))
    affine = affine @ nib.orientations.inv_ornt_aff(turn, classes.shape)
    classes = nib.apply_orientation(classes, turn)
    check_same_grid(label_path, (classes, affine), path, scan)
    return classes


def prepare_volume(
    channels: Sequence[np.ndarray],
    label: np.ndarray | None,
    affine: np.ndarray,
    how: Preparation,
    names: Sequence[object],
    header: RawHeader | None = None,
    shift: Sequence[int] = (0, 0, 0),
) -> Prepared:
    """Make the arrays of one scan that has been read.

    Args:
        channels: float32 (x, y, z) each, on one grid.
        label: classes, uint8 (x, y, z), on the same grid; or None.
        affine: voxel → world, mm, (4, 4).
        names: what to call each channel in a complaint.
        header: where the raw header places the voxels, for what is laid over the scan later.
        shift: of the frame, in its voxels: :func:`random_shift`.

    Raises:
        InputError: a channel has no contrast to scale by.
    """
    raw_shape = channels[0].shape
    to_world = ras_affine(affine, raw_shape)
    channels = [to_ras(channel, affine) for channel in channels]
    intensity = Intensity.parse(how.intensity)
    box = tuple(slice(0, n) for n in channels[0].shape)
    if how.crop:
        box = bounding_box(np.logical_or.reduce([intensity.foreground(c) for c in channels]))
    frame = lay_frame(box, nib.affines.voxel_sizes(to_world), how, shift)
    kept = frame.covers(channels[0].shape)
    voxel = " x ".join(f"{mm:g}" for mm in nib.affines.voxel_sizes(affine))
    asked = f"spacing {how.spacing}" if how.spacing and not how.size else f"size {how.size}"
    check_volume(frame.size, len(channels), f"{names[0]}, of {voxel} mm a voxel: {asked}")

    image = np.empty((len(channels), *frame.size), np.float16)
    for row, channel, name in zip(image, channels, names, strict=True):
        try:
            row[...] = _sample_scaled(channel, intensity, box, frame)
        except InputError as reason:
            raise InputError(f"{name}: {reason}") from None
    lost = np.zeros(1, int)
    if label is not None:
        label = to_ras(label, affine)
        classes = int(label.max(initial=0)) + 1
        whole, seen = (
            np.bincount(each.ravel(), minlength=classes) for each in (label, label[kept])
        )
        lost = whole - seen
        lost[0] = 0  # the background
        label = frame.sample(label, label=True)
    return Prepared(
        image=image,
        label=label,
        affine=to_world @ frame.affine,
        crop=[[s.start, s.stop] for s in kept],
        raw_shape=raw_shape,
        raw_affine=affine,
        lost=int(lost.sum()),
        lost_by_class=tuple(lost.tolist()) if lost.any() else (),
        raw_header=header or {},
    )


def _sample_scaled(
    channel: np.ndarray, intensity: Intensity, box: VoxelBox, frame: VolumeFrame
) -> np.ndarray:
    """What a channel shows in ``frame``, scaled by the statistics of ``box``."""
    scaling = intensity.scaling(reference=channel[box])
    parts = [_near(channel, part) for part in frame.parts(channel.shape)]
    return np.concatenate([part.sample(scaling(voxels)) for voxels, part in parts])


def _near(volume: np.ndarray, frame: VolumeFrame) -> tuple[np.ndarray, VolumeFrame]:
    """The part of a volume that a frame shows anything of, and the frame in its voxels."""
    near = frame.sees(frame.covers(volume.shape))
    return volume[near], frame.within(near)

"""What virtual CTs are painted with: a canvas in Hounsfield units, solids, and a scanner.

Organs are painted one over the other. A solid is known by its *depth*: how many millimetres a point
lies within it, negative outside. Depths make edges the same on any grid: a voxel that an edge
crosses takes a share of either side.

Arrays are (z, y, x) throughout, so that a slab of slices is one piece of memory.
"""

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.interpolate import CubicSpline

from .anatomy import smooth_field
from .arrays import Axes, Floats, Labels, Rng

SHRINK = 0.55  # smooth_field covers 140 mm either way; a body needs 140 / 0.55
SWAY = 10.0  # mm, the most that a random displacement moves a point along an axis
WOBBLE = 6.0  # mm, the most that a random field moves the surface of a solid
AIR, CLIP = -1005.0, -1024  # HU; the Decathlon's CTs are clipped there

GridBox = tuple[slice, slice, slice]

# ---- the canvas ----------------------------------------------------------------------------------


@dataclass
class Canvas:
    """Some slices of a CT under way."""

    axes: Axes  # the x, the y and the z of its voxels in the patient, mm
    size: NDArray[np.float64]  # (3,), the patient's size relative to the template
    points: Floats  # (3, z, y, x), the x, y and z of the template that every voxel shows, mm
    hu: Floats  # (z, y, x)
    organs: Labels  # (z, y, x)
    blend: float  # mm over which an edge passes from one side to the other
    seeds: NDArray[np.int64]  # for the random fields
    room: Floats | None = None  # depth in the space that organs share, once it is known
    gut_room: Floats | None = None  # and of that, in the part that is left for the gut

    def field(self, number: int, spacing: float) -> Floats:
        """Random field ``number`` of this patient, mean 0 and variance 1, (z, y, x)."""
        return body_field(self.axes, np.random.default_rng(self.seeds[number]), spacing)

    @functools.cached_property
    def bumps(self) -> Floats:
        """What makes surfaces uneven over some 2 cm: mm, mostly within 3."""
        return (1.6 * self.field(0, 24.0)).clip(-WOBBLE, WOBBLE)

    @functools.cached_property
    def grain(self) -> Floats:
        """Texture of some millimetres, of mean 0 and variance 1."""
        return self.field(1, 7.0)

    @functools.cached_property
    def twigs(self) -> Floats:
        """Share of small vessel in every voxel, 0 to 1: where two random fields vanish together."""
        distance = self.field(2, 15.0) ** 2 + self.field(3, 15.0) ** 2
        return np.exp(-distance / 0.03)

    def box(self, low: ArrayLike, high: ArrayLike) -> GridBox | None:
        """The voxels that may show the template between two corners; None where there are none."""
        low, high = np.subtract(low, WOBBLE), np.add(high, WOBBLE)
        box: list[slice] = []
        for i in (2, 1, 0):
            sway = SWAY + np.zeros(1)
            if i == 1:  # what the spine's bend moves along y, it moves at the heights in the box
                sway = SWAY + spine_bend(self.axes[2][box[0]] / self.size[2])
            first = (low[i] - sway.max()) * self.size[i]
            last = (high[i] + 2 * SWAY - sway.min()) * self.size[i]
            inside = np.flatnonzero((self.axes[i] >= first) & (self.axes[i] <= last))
            if not len(inside):
                return None
            box.append(slice(inside[0], inside[-1] + 1))
        return box[0], box[1], box[2]

    def room_in(self, box: GridBox) -> Floats:
        """Depth in the space that organs share."""
        assert self.room is not None, "the trunk is painted first"
        return self.room[box]

    def gut_room_in(self, box: GridBox) -> Floats:
        """Depth in the part of that space that is left for the gut."""
        assert self.gut_room is not None, "the other organs are painted first"
        return self.gut_room[box]

    def paint(self, box: GridBox, depth: Floats, hu: float | Floats, organ: int) -> None:
        """Paint a solid, of which ``depth`` is known in ``box``, over what is there."""
        here = self.hu[box]
        share = depth * np.float32(1 / self.blend)
        share += np.float32(0.5)
        np.clip(share, 0, 1, out=share)
        share *= hu - here
        here += share
        np.copyto(self.organs[box], np.uint8(organ), where=depth > 0)


def body_field(axes: Axes, rng: Rng, spacing: float) -> Floats:
    """:func:`smooth_field` for a whole body: (z, y, x), ``spacing`` in mm."""
    x, y, z = (SHRINK * axis for axis in axes)
    return smooth_field((z, y, x), rng, SHRINK * spacing)


def spine_bend(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far behind its place in the template the body lies at a height, mm.

    The lumbar spine is hollow, and the thoracic spine lies further back.
    """
    return 5 * ((z + 40) / 100) ** 2


# ---- solids --------------------------------------------------------------------------------------


def ellipsoid(points: Floats | Sequence[Floats], centre: ArrayLike, radii: ArrayLike) -> Floats:
    """Depth in an ellipsoid along the axes; in an ellipse, for the first two coordinates alone.

    The distance is exact at the surface and right to first order about it.
    """
    centre, radii = np.asarray(centre, np.float32), np.asarray(radii, np.float32)
    least = radii.min()  # is the depth at the centre, rather than 0 / 0
    near = np.full_like(points[0], 1e-8)
    far = np.full_like(points[0], 1e-8 / least**2)
    for p, c, r in zip(points, centre, radii):
        q = p - c
        q *= 1 / r
        q *= q
        near += q
        q *= 1 / (r * r)
        far += q
    np.sqrt(near, out=near)
    np.sqrt(far, out=far)
    np.divide(near, far, out=far)
    far *= 1 - near
    return far


def capsule(points: Floats | Sequence[Floats], start: ArrayLike, end: ArrayLike) -> Floats:
    """Depth in a rod between two stations, (x, y, z, radius), with round ends; it may taper."""
    start, end = np.asarray(start, np.float32), np.asarray(end, np.float32)
    along = end - start
    away = [p - c for p, c in zip(points, start)]
    t = sum(a * d for a, d in zip(away, along)) / np.dot(along[:3], along[:3])
    t = np.clip(t, 0, 1)
    distance = np.sqrt(sum((a - t * d) ** 2 for a, d in zip(away, along)))
    return start[3] + t * along[3] - distance


def curve(stations: ArrayLike, step: float = 9.0) -> NDArray[np.float64]:
    """Stations about ``step`` mm apart on a smooth curve through the given ones, (n, columns)."""
    stations = np.asarray(stations, float)
    length = np.linalg.norm(np.diff(stations[:, :3], axis=0), axis=1).cumsum()
    length = np.concatenate([[0], length])
    fine = np.linspace(0, length[-1], max(int(length[-1] / step), 1) + 1)
    return CubicSpline(length, stations)(fine)


def tube(
    canvas: Canvas, stations: NDArray[np.float64], margin: float = 0.0
) -> tuple[GridBox, Floats] | None:
    """Depth in a tube along stations, (n, x y z radius), and its box; None off the canvas.

    The box reaches ``margin`` mm further than need be. Beyond ``WOBBLE`` mm from the surface, the
    depth is only known to be less than that.
    """
    reach = stations[:, 3:].max() + margin
    box = canvas.box(stations[:, :3].min(0) - reach, stations[:, :3].max(0) + reach)
    if box is None:
        return None
    depth = np.full(canvas.hu[box].shape, -99, np.float32)
    for start, end in itertools.pairwise(stations):
        low, high = np.minimum(start, end)[:3], np.maximum(start, end)[:3]
        radius = max(start[3], end[3])
        part = canvas.box(low - radius, high + radius)
        if part is None:
            continue
        inner = tuple(slice(p.start - b.start, p.stop - b.start) for p, b in zip(part, box))
        rod = capsule(canvas.points[:, *part], start, end)
        np.maximum(depth[inner], rod, out=depth[inner])
    return box, depth


def soft_min(a: Floats, b: Floats, blend: float) -> Floats:
    """The lesser of two depths, with the edge where they meet rounded over ``blend`` mm."""
    h = np.clip(0.5 + (b - a) / np.float32(2 * blend), 0, 1)
    return b + h * (a - b) - np.float32(blend) * h * (1 - h)


# ---- the scanner ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scanner:
    """How one CT is taken."""

    field_of_view: float  # mm
    slice_thickness: float  # mm
    noise: float  # HU, standard deviation in the finished image
    sharpness: float  # mm, standard deviation of the blur within a slice
    table: float  # mm from the patient's back to the table


def noise_level(dose: float, slice_thickness: float) -> float:
    """Standard deviation in HU, ``dose`` at 2.5 mm: a thinner slice catches fewer photons."""
    return float(np.clip(dose * np.sqrt(2.5 / slice_thickness), 8, 20))


def acquire_ct(
    rng: Rng, hu: Floats, scanner: Scanner, voxel: Sequence[float] | NDArray[np.float64], slab: int
) -> NDArray[np.int16]:
    """What a scanner makes of true Hounsfield units, (z, y, x); ``hu`` is overwritten.

    Args:
        rng: of the noise.
        hu: the truth.
        scanner: what takes it.
        voxel: x, y and z of a voxel, mm.
        slab: slices to work on at a time.
    """
    # neighbouring slices overlap a little: a profile is not a box
    ndimage.correlate1d(hu, [0.18, 0.64, 0.18], axis=0, output=hu, mode="nearest")
    sigma = scanner.sharpness / voxel[0]
    grain = 0.8 / voxel[0]  # the kernel correlates noise over about a millimetre
    image = np.empty(hu.shape, np.int16)
    for start in range(0, len(hu), slab):
        part = hu[start : start + slab]
        noise = rng.standard_normal(part.shape, dtype=np.float32)
        for axis in (1, 2):
            part = _blur(part, sigma, axis)
            noise = _blur(noise, grain, axis, keep_variance=True)
        part += np.float32(scanner.noise) * noise
        image[start : start + slab] = np.rint(part).clip(CLIP, 3071)
    return image


def _blur(values: Floats, sigma: float, axis: int, keep_variance: bool = False) -> Floats:
    """Blur by a Gaussian of ``sigma`` voxels; for white noise, leave its variance at 1."""
    reach = np.arange(-2, 3)
    kernel = np.exp(-0.5 * (reach / max(sigma, 0.05)) ** 2)
    kernel /= np.linalg.norm(kernel) if keep_variance else kernel.sum()
    return ndimage.correlate1d(values, kernel, axis=axis, mode="nearest")


def empty_table(
    x: NDArray[np.float64], y: NDArray[np.float64], top: float, blend: float
) -> tuple[Floats, NDArray[np.bool_]]:
    """Air and a table, (y, x): a board of foam in a thin shell, hollow for the patient.

    Args:
        x, y: of the voxels, mm.
        top: y of the middle of the table's surface.
        blend: mm over which an edge passes from one side to the other.

    Returns:
        Hounsfield units, and whether a voxel is table.
    """
    depth = (top + x**2 / 1300 - y[:, None]).astype(np.float32)
    depth = np.minimum(depth, 16 - depth)
    hu = np.full(depth.shape, AIR, np.float32)
    for inside, value in ((depth, 60), (depth - 2, -930)):
        hu += np.clip(inside / blend + 0.5, 0, 1) * (value - hu)
    return hu, depth > 0

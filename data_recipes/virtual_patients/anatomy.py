"""What virtual patients are made of: random fields, warps of a template, tissue and tumours.

Positions are MNI millimetres: x to the right, y to the front, z up.
"""

import functools
from collections.abc import Callable
from dataclasses import astuple, dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.interpolate import BSpline
from scipy.spatial.transform import Rotation
from scipy.special import expit

from .arrays import Axes, Floats, Labels, Rng

Field = Callable[[Rng, float], Floats]  # smooth_field at the voxels of one subject

FIELD_REACH = 140.0  # mm from the origin, along every axis, that a random field covers
TEMPLATE_ORIGIN = (-98.0, -134.0, -72.0)  # centre of the template's first voxel

# ---- fields and warps ----------------------------------------------------------------------------


def smooth_field(axes: Axes, rng: Rng, spacing: float) -> Floats:
    """A Gaussian random field of mean 0 and variance 1 on a grid, (x, y, z).

    Cubic B-splines over a lattice of independent normal coefficients, ``spacing`` mm apart. The
    lattice does not depend on the grid: a finer grid shows the same field in more detail.
    """
    nodes = np.arange(-FIELD_REACH - spacing, FIELD_REACH + 2 * spacing, spacing)
    knots = nodes[0] + spacing * np.arange(-2, len(nodes) + 2)
    field = rng.standard_normal((len(nodes),) * 3, dtype=np.float32)
    for axis in axes:  # each turn contracts the first dimension and appends the grid's
        basis = BSpline.design_matrix(axis, knots, 3)
        weights = basis.data.reshape(len(axis), 4)
        weights /= np.linalg.norm(weights, axis=1, keepdims=True)  # variance 1 between nodes too
        rest = field.shape[1:]
        # sparse, since a dense product may round otherwise with another number of threads
        field = basis.astype(np.float32) @ field.reshape(len(nodes), -1)
        field = np.moveaxis(field.reshape(len(axis), *rest), 0, -1)
    return np.ascontiguousarray(field)


def warp_template(
    rng: Rng, axes: Axes, pivot: NDArray[np.float64], size: float, pitch: float = 0
) -> Floats:
    """The template point that every voxel of a subject's grid shows, (3, x, y, z).

    A rotation about ``pivot`` (``pitch`` degrees about x, and up to 7 either way about every
    axis), a scale (``size`` times the template, up to 6 % more or less along each axis), a shift
    (up to 3 mm), and smooth displacements with standard deviations of 2.5 mm over 30 mm and of
    0.8 mm over 12 mm, too gentle to fold.
    """
    angles = rng.uniform(-7, 7, 3)
    angles[0] += pitch
    turn = Rotation.from_euler("xyz", angles, degrees=True).as_matrix()
    matrix = turn / (size * rng.uniform(0.94, 1.06, 3))
    x, y, z = (axis - p for axis, p in zip(axes, pivot + rng.uniform(-3, 3, 3)))
    points = np.empty((3, len(x), len(y), len(z)), np.float32)
    for i, (a, b, c) in enumerate(matrix):
        points[i] = pivot[i] + a * x[:, None, None] + b * y[:, None] + c * z
        points[i] += 2.5 * smooth_field(axes, rng, 30.0) + 0.8 * smooth_field(axes, rng, 12.0)
    return points


# ---- the template --------------------------------------------------------------------------------


@functools.cache
def template(name: str, blur: float = 0.0) -> Floats:
    """A map of the template, (197, 233, 189) voxels of 1 mm.

    Source: MNI ICBM152 2009, as nilearn ships it (Fonov et al., NeuroImage 54, 2011).

    Args:
        name: "t1", "grey" or "white", from 0 to 1; or "depth", the millimetres to the surface of
            the brain, 0 outside it.
        blur: standard deviation in mm of a Gaussian, so that coarse voxels do not alias.
    """
    from nilearn import datasets  # two seconds to import: only for those who make patients

    load = {
        "t1": datasets.load_mni152_template,
        "grey": datasets.load_mni152_gm_template,
        "white": datasets.load_mni152_wm_template,
        "depth": datasets.load_mni152_brain_mask,
    }[name]
    values = np.asarray(load(resolution=1).dataobj, np.float32)
    if name == "t1":  # averaging 152 people has blurred the sulci: sharpen them again
        values = (2 * values - ndimage.gaussian_filter(values, 1.0)).clip(0, 1) * (values > 0)
    if name == "depth":
        values = ndimage.distance_transform_cdt(values > 0).astype(np.float32)
    if not blur:
        return values
    blurred = ndimage.gaussian_filter(values, blur)
    if name == "t1":  # its edge must not fade into the air around, or it would pass for CSF
        blurred /= ndimage.gaussian_filter((values > 0).astype(np.float32), blur).clip(0.1)
    return blurred


def sample(values: Floats, points: Floats) -> Floats:
    """A map of the template's shape at ``points``, (3, ...): linear between voxels, 0 outside."""
    origin = np.array(TEMPLATE_ORIGIN, np.float32).reshape(3, *[1] * (points.ndim - 1))
    return ndimage.map_coordinates(values, points - origin, order=1, prefilter=False)


@dataclass(frozen=True)
class Region:
    """A tube of grey matter, in an anterior and a posterior part, on either side of the brain."""

    name: str
    labels: tuple[str, str]  # in front of the split and behind it
    split: float  # y
    # stations along its axis on the right: x, y, z, half width along x, half height across it
    tube: tuple[tuple[float, float, float, float, float], ...]


HIPPOCAMPUS = Region(
    name="hippocampus",
    labels=("Anterior", "Posterior"),
    split=-22.0,  # about the apex of the uncus, where the head ends
    tube=(
        (25.0, -9.0, -24.0, 6.0, 4.0),
        (26.0, -12.0, -21.0, 8.5, 5.0),
        (28.5, -16.0, -18.0, 9.5, 5.5),
        (30.0, -20.0, -15.0, 8.5, 5.0),
        (31.5, -24.0, -13.0, 7.5, 4.5),
        (31.0, -28.0, -10.0, 7.5, 4.5),
        (30.0, -31.0, -7.5, 7.5, 4.5),
        (27.5, -34.0, -5.0, 7.0, 4.5),
        (25.0, -37.0, -0.5, 6.0, 4.5),
        (22.5, -40.0, 3.5, 4.0, 3.5),
    ),
)


@functools.cache
def region_map(region: Region, side: int) -> Floats:
    """How far a voxel of the template is in ``region`` on ``side`` (-1 left, 1 right): 0 to 1."""
    tube = np.array(region.tube)
    stations = np.linspace(0, len(tube) - 1, 8 * len(tube))
    tube = np.stack([np.interp(stations, np.arange(len(tube)), c) for c in tube.T], axis=1)
    low, high = tube[:, :3].min(0) - 12, tube[:, :3].max(0) + 12

    values = np.zeros(template("t1").shape, np.float32)
    shape: tuple[int, ...] = values.shape
    axes = [start + np.arange(n) for start, n in zip(TEMPLATE_ORIGIN, shape)]
    axes[0] = side * axes[0]  # the template is mirrored, so one tube serves both sides
    near = np.ix_(*((a < axis) & (axis < b) for a, axis, b in zip(low, axes, high)))
    x, y, z = np.meshgrid(*(axis[i.ravel()] for axis, i in zip(axes, near)), indexing="ij")
    inside = np.zeros(x.shape, bool)
    for cx, cy, cz, width, height in tube:
        inside |= np.hypot((x - cx) / width, np.hypot(y - cy, z - cz) / height) < 1
    t1 = template("t1")[near]
    inside &= (template("grey")[near] > 0.7) & (t1 > 0.42) & (t1 < 0.71)  # no partial volume

    parts, _ = ndimage.label(inside)
    largest = parts == np.bincount(parts[parts > 0]).argmax()
    whole = ndimage.binary_closing(largest)  # the thin white layers within belong to it
    values[near] = ndimage.gaussian_filter(whole.astype(np.float32), 0.7)
    return values


# ---- signal --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Contrast:
    """Signal of every tissue in one modality, relative to white matter on T1."""

    csf: float
    grey: float
    white: float
    necrosis: float
    solid: float  # tumour without uptake of contrast agent
    rim: float  # tumour with it
    oedema: float
    vessel: float


CONTRASTS = {
    "t1": Contrast(0.30, 0.74, 1.00, 0.42, 0.60, 0.68, 0.78, 0.40),
    "t1ce": Contrast(0.26, 0.70, 0.92, 0.34, 0.54, 1.50, 0.68, 1.50),
    "t2": Contrast(1.90, 0.88, 0.62, 1.70, 1.45, 1.05, 1.30, 0.40),
    "flair": Contrast(0.22, 0.86, 0.72, 0.60, 1.20, 1.05, 1.40, 0.40),
}


def healthy_signal(t1: Floats, csf: float, grey: float, white: float) -> Floats:
    """Signal of healthy tissue by the template's T1 value, through a tone curve.

    One curve keeps what tissue maps lose: deep nuclei, thin sulci, and the partial volume of any
    two tissues. Its knots are the template's values of CSF, grey and white matter.
    """
    beyond = white + 0.4 * (white - grey)
    knots = (0.30, 0.60, 0.84, 1.00)
    return np.interp(t1, knots, (csf, grey, white, beyond)).astype(np.float32)


def vessels(rng: Rng, field: Field, t1: Floats) -> Floats:
    """Share of blood vessel in every voxel, 0 to 1: where two random fields vanish together.

    Each field vanishes on a winding surface, so both do on winding curves; those in CSF stay.
    """
    distance = np.hypot(field(rng, 8.0), field(rng, 8.0))
    return np.exp(-((distance / 0.3) ** 2)) * expit((0.55 - t1) / 0.03)


# ---- gliomas -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Glioma:
    """A tumour, by how deep each of the n voxels of a brain lies in its parts, in mm.

    A depth is negative outside the part.
    """

    oedema: Floats  # (n,), the core included
    core: Floats
    necrosis: Floats
    necrotic: bool  # the core is an enhancing rim about necrosis; otherwise it is solid
    mottling: Floats  # (n,), of variance 1


@functools.cache
def glioma_seats() -> Floats:
    """Where a glioma may start, (n, 3): white matter deep in either cerebral hemisphere."""
    deep_white = (template("white") > 0.8) & (template("depth") > 16)
    seats = np.argwhere(deep_white) + TEMPLATE_ORIGIN
    return seats[(abs(seats[:, 0]) > 16) & (seats[:, 2] > -5)].astype(np.float32)


def grow_glioma(
    rng: Rng, field: Field, points: Floats, blur: float, low_grade: bool
) -> tuple[Glioma, Floats]:
    """A glioma that starts in white matter, pushes tissue away and lets fluid into its surround.

    Args:
        rng: what makes it this glioma.
        field: random fields at the brain's voxels.
        points: (3, n), what every voxel shows without the tumour.
        blur: of the template's maps, mm.
        low_grade: solid, and with little oedema.

    Returns:
        The glioma, and what every voxel shows of the displaced tissue, (3, n).
    """
    seat = rng.choice(glioma_seats())[:, None]
    radius = rng.uniform(14, 26)
    away = points - seat
    distance = np.linalg.norm(away / rng.uniform(0.8, 1.2, (3, 1)).astype(np.float32), axis=0)
    core = radius * (1 + 0.2 * field(rng, 16) + 0.07 * field(rng, 7)) - distance
    core = np.minimum(core, sample(template("depth"), points) - 3)  # cortex stays over it

    # tissue moves most at the tumour's margin and not at all beyond three radii; a push below 1
    # keeps the map one to one
    push = rng.uniform(0.4, 0.8)
    points = points - away * (push * (1 - distance / (3 * radius)).clip(0) ** 2)

    spread = rng.uniform(4, 8) if low_grade else rng.uniform(9, 18)
    white = sample(template("white", blur), points)  # fluid follows fibres and spares the cortex
    oedema = core + spread * (0.15 + 0.85 * white) * (1 + 0.35 * field(rng, 18)).clip(0.2)
    oedema -= (-np.sign(seat[0]) * points[0]).clip(0)  # and hardly crosses the midline
    t1 = sample(template("t1", blur), points)
    oedema = np.maximum(np.minimum(oedema, 30 * (t1 - 0.42)), core)  # nor enters CSF
    rim = (0.25 * radius * (1 + 0.5 * field(rng, 10))).clip(3)
    return Glioma(oedema, core, core - rim, not low_grade, field(rng, 5)), points


def diseased_signal(contrast: Contrast, healthy: Floats, glioma: Glioma) -> Floats:
    """The tumour's signal in place of the healthy one, (n,), blended where they meet."""
    oedema, core, necrosis = (
        (0.5 + depth / blend).clip(0, 1)  # mm: oedema fades out, the core has an edge
        for depth, blend in ((glioma.oedema, 4), (glioma.core, 2), (glioma.necrosis, 2))
    )
    mottled = 1 + 0.1 * glioma.mottling
    signal = healthy + 0.9 * oedema * (contrast.oedema - healthy)
    signal += core * ((contrast.rim if glioma.necrotic else contrast.solid) * mottled - signal)
    if glioma.necrotic:
        signal += necrosis * (contrast.necrosis * mottled - signal)
    return signal


def brats_labels(glioma: Glioma) -> Labels:
    """BraTS's labels, (n,): 1 necrosis or solid tumour, 2 oedema, 4 enhancing rim."""
    labels = np.where(glioma.oedema > 0, 2, 0)
    labels[glioma.core > 0] = 4 if glioma.necrotic else 1
    labels[glioma.necrosis > 0] = 1
    return labels.astype(np.uint8)


# ---- scans ---------------------------------------------------------------------------------------


def acquire(rng: Rng, signal: Floats, bias: Floats, noise: float, scale: float) -> Floats:
    """What a scanner makes of a signal: an uneven coil, Rician noise, units of its own."""
    real, imaginary = noise * rng.standard_normal((2, *signal.shape), dtype=np.float32)
    return scale * np.hypot(signal * np.exp(0.08 * bias) + real, imaginary)


def scan_crop(rng: Rng, field: Field, t1: Floats) -> Floats:
    """A T1-weighted scan of healthy tissue, in whole numbers, by the template's T1 value."""
    csf, grey = rng.uniform((0.05, 0.42), (0.15, 0.58))
    signal = healthy_signal(t1, csf, grey, 1.0)
    signal *= 1 + 0.05 * field(rng, 2.2)
    signal += 1.2 * vessels(rng, field, t1)
    noise, scale = rng.uniform(0.02, 0.05), 10 ** rng.uniform(2, 6)
    return np.rint(acquire(rng, signal, field(rng, 60.0), noise, scale))


def scan_head(
    rng: Rng,
    field: Field,
    contrast: Contrast,
    t1: Floats,
    vessel: Floats,
    texture: Floats,
    glioma: Glioma | None,
) -> Floats:
    """One modality of a head, (n,) whole numbers, with contrast and noise that vary by scan."""
    contrast = Contrast(*np.multiply(astuple(contrast), rng.uniform(0.95, 1.05, 8)))
    signal = healthy_signal(t1, contrast.csf, contrast.grey, contrast.white)
    signal += vessel * (contrast.vessel - signal)
    if glioma:
        signal = diseased_signal(contrast, signal, glioma)
    signal *= 1 + 0.03 * texture
    noise, scale = rng.uniform(0.01, 0.03), 10 ** rng.uniform(2.3, 3.3)
    return np.rint(acquire(rng, signal, field(rng, 60.0), noise, scale))

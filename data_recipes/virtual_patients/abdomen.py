"""Virtual patients: portal-venous CTs of the abdomen with a pancreas and a tumour in it.

A stand-in for the Medical Segmentation Decathlon's Task 7. One template of the abdomen, written as
ellipsoids, tubes and surfaces, is stretched, bent and filled differently for every
patient, then scanned. What they are not is patients: all share one plan, without variants,
operations or disease beyond the tumour, and the labels are geometric, not drawn by an expert.

Positions are millimetres, x to the patient's right, y to the front, z up; the origin is the centre
of the first lumbar vertebra. Arrays are (z, y, x) until the end.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from ssl3d_lite.errors import InputError

from .arrays import Affine, Axes, Floats, Labels, Rng
from .ct import (
    SWAY,
    Canvas,
    GridBox,
    Scanner,
    acquire_ct,
    body_field,
    capsule,
    curve,
    ellipsoid,
    empty_table,
    noise_level,
    soft_min,
    spine_bend,
    tube,
)
from .organs import (
    ADRENALS,
    AORTA,
    ARTERIES,
    CAVA,
    COLON,
    DUODENUM,
    GAS,
    HU,
    PANCREAS,
    PITCH,
    PORTAL_VEINS,
    PSOAS,
    RENAL_VEINS,
    RIB_ENDS,
    STOMACH,
    VERTEBRA,
    Organ,
)

DECATHLON_EDGE = 512  # voxels across a slice
SMALLEST_ABDOMEN = 48  # voxels of 8 mm: a tumour is hardly larger
SLAB = 2_000_000  # voxels painted at a time, so that memory does not grow with the grid


# ---- one patient ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tumour:
    """One tumour, or cyst."""

    centre: NDArray[np.float64]  # in the template, mm
    radii: NDArray[np.float64]
    hu: float
    cystic: bool
    station: float  # along the pancreas, 0 at the uncinate process, 1 at the tail
    duct: float  # radius of the dilated duct upstream, mm; 0 where there is none


@dataclass(frozen=True)
class Patient:
    """What makes a patient this one; the canvas holds the random fields."""

    hu: Mapping[Organ, float]
    fat: float  # mm under the skin of the belly
    size: NDArray[np.float64]  # (3,), relative to the template
    shifts: NDArray[np.float64]  # (organs, 3), mm
    scales: NDArray[np.float64]  # (organs,)
    pancreas: NDArray[np.float64]  # stations, (n, 4)
    small_bowel: tuple[NDArray[np.float64], ...]  # stations of its loops
    tumour: Tumour
    gas: NDArray[np.float64]  # how far gas fills stomach, colon and bowel, -1 to 1
    seeds: NDArray[np.int64]  # for random fields: 0 to 8 for the canvas, the last 6 for the warp

    def placed(self, organ: int, stations: NDArray[np.float64]) -> NDArray[np.float64]:
        """A smooth tube along ``stations``, where this patient has it and as wide."""
        stations = curve(stations)
        stations[:, :3] += self.shifts[organ]
        stations[:, 3] *= self.scales[organ]
        return stations


def draw_patient(anatomy: Rng, lesion: Rng) -> Patient:
    """A patient: ``anatomy`` makes the body, ``lesion`` the tumour."""
    hu = {organ: anatomy.uniform(*bounds) for organ, bounds in HU.items()}
    fat = anatomy.triangular(5, 12, 42)
    size = anatomy.uniform((0.93, 0.95, 0.94), (1.05, 1.1, 1.06))
    size *= 1 + np.array([0.002, 0.004, 0]) * (fat - 18)  # there is more fat within, too
    shifts = anatomy.normal(0, 3, (len(Organ) + 1, 3)).clip(-6, 6)
    scales = anatomy.uniform(0.88, 1.12, len(Organ) + 1)
    pancreas = _draw_pancreas(anatomy)
    return Patient(
        hu=hu,
        fat=fat,
        size=size,
        shifts=shifts,
        scales=scales,
        pancreas=pancreas,
        small_bowel=_bowel_loops(anatomy, fat),
        tumour=_draw_tumour(lesion, pancreas, hu[Organ.PANCREAS]),
        gas=anatomy.uniform(-1, 1, 3),
        seeds=anatomy.integers(2**62, size=16),
    )


def _draw_pancreas(rng: Rng) -> NDArray[np.float64]:
    """Stations of a pancreas, (n, 4): thick or slender, its tail high or low."""
    pancreas = PANCREAS.copy()
    pancreas[:, 3] *= rng.uniform(0.88, 1.15) * rng.uniform(0.92, 1.08, len(pancreas))
    pancreas[1:-1, :3] += rng.normal(0, 1.5, (len(pancreas) - 2, 3))
    pancreas[4:, 2] += rng.uniform(-10, 4) * np.linspace(0, 1, 6)
    return curve(pancreas, step=6.0)


def _draw_tumour(rng: Rng, pancreas: NDArray[np.float64], hu: float) -> Tumour:
    """A tumour about the axis of a pancreas: three of five in the head, one of four a cyst."""
    in_head = rng.random() < 0.6
    station = rng.uniform(0.08, 0.24) if in_head else rng.uniform(0.4, 0.9)
    x, y, z, width = pancreas[round(station * (len(pancreas) - 1))]
    cystic = rng.random() < 0.25
    radius = rng.triangular(9, 11, 22 if in_head else 18)
    centre = np.array([x, y, z]) + rng.uniform(-0.3, 0.3, 3) * width
    return Tumour(
        centre=centre,
        radii=radius * rng.uniform(0.85, 1.15, 3),
        hu=rng.uniform(5, 25) if cystic else hu - rng.uniform(32, 58),
        cystic=cystic,
        station=station,
        duct=rng.uniform(1.8, 3.5) if not cystic and rng.random() < 0.6 else 0.0,
    )


def _bowel_loops(rng: Rng, fat: float) -> tuple[NDArray[np.float64], ...]:
    """Hairpins of small bowel that fill the lower abdomen; more fat parts them more."""
    sites = np.mgrid[-84:90:29, 40:84:28, -140:-8:27].reshape(3, -1).T
    arc = np.linspace(-2.2, 2.2, 9)[:, None]
    loops = []
    for site in sites + rng.uniform(-6, 6, sites.shape):
        across, along = rng.standard_normal((2, 3))
        across /= np.linalg.norm(across)
        along -= across * (along @ across)
        along /= np.linalg.norm(along)
        path = site + 16 * np.cos(arc) * across + 13 * np.sin(arc) * along
        radius = rng.uniform(8, 11.5) + np.convolve(rng.normal(0, 1, 11), np.ones(3) / 3, "valid")
        at_vessels = abs(site[0] - 2) < 26 and site[1] < 60
        high_right = site[2] > -38 - 0.5 * site[0]  # there lie liver and duodenum
        if not at_vessels and not high_right and rng.random() > 0.01 * fat:
            loops.append(np.column_stack([path, radius]))
    return tuple(loops)


# ---- the trunk -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trunk:
    """Depths of the spaces that all else lies in, (z, y, x)."""

    skin: Floats
    fascia: Floats  # within the fat under the skin
    ribcage: Floats  # like the fascia, but without the muscles along the spine
    cavity: Floats  # within the muscles of the wall
    dome: Floats  # below the diaphragm


def find_trunk(canvas: Canvas, patient: Patient) -> Trunk:
    """The outlines of skin, muscle, abdominal cavity and diaphragm."""
    x, y, z = canvas.points
    side = np.abs(x)
    high = np.clip((z - 10) / 70, 0, 1)  # from the loins to the chest
    low = np.clip(-z / 100, 0, 1)  # from the loins to the hips
    square = (_squared(side, 0, 139), _squared(y, 18, 93))
    ribcage = ellipsoid(square, (0, 0), (139, 93))
    lobes = ellipsoid((side, y), (34, -59), (35, 29)) - 9 * high
    spine = ellipsoid((x, y), (0, -26), (46, 43)) - 14 * high * np.clip(side / 20, 0, 1)

    loins = np.clip((10 - y) / 80, 0, 1) * np.clip(side / 60, 0.2, 1)
    fat = patient.fat * (0.75 + 0.35 * low + 0.45 * loins - 0.3 * np.clip(side / 140, 0, 1))
    square = (_squared(side, 0, 141), _squared(y, 11, 103))
    skin = ellipsoid(square, (0, 0), (141, 103)) + fat + 3

    wall = np.full_like(z, 13)
    front = y > 70
    wall[front] = 5 + 8 * np.exp(-(((side[front] - 38) / 24) ** 2))  # the straight muscles
    cavity = np.minimum(ribcage - wall, -spine) + 0.5 * canvas.bumps
    return Trunk(skin, np.maximum(ribcage, lobes), ribcage, cavity, _find_dome(canvas))


def _find_dome(canvas: Canvas) -> Floats:
    """Depth below the diaphragm: a dome on either side, the right one higher, and a saddle."""
    x, y, z = canvas.points
    height = np.clip(z, 0, None) ** 2 / 118  # squared: domes are flat on top, steep at the side
    dome = ellipsoid((x, y, height), (52, 18, 0), (82, 84, 118))
    dome = np.maximum(dome, ellipsoid((x, y, height), (-52, 18, 0), (82, 84, 96)))
    dome = np.maximum(dome, ellipsoid((x, y, height), (0, 20, 0), (100, 90, 84)))
    return dome + 0.8 * canvas.bumps


def _squared(values: Floats, centre: float, radius: float) -> Floats:
    """A coordinate in which a rounded square is a circle."""
    away = np.abs(values - np.float32(centre))
    return away * np.sqrt(np.sqrt(np.sqrt(away / np.float32(radius))))


def paint_trunk(canvas: Canvas, patient: Patient, trunk: Trunk) -> None:
    """Skin, fat, the muscles of the wall, the cavity and the chest."""
    hu, everywhere = patient.hu, (slice(None),) * 3
    _, y, z = canvas.points
    canvas.paint(everywhere, trunk.skin, hu[Organ.SKIN], Organ.SKIN)
    fat = hu[Organ.SUBCUTANEOUS_FAT] + 5 * canvas.grain + 60 * canvas.twigs
    canvas.paint(everywhere, trunk.skin - 2, fat, Organ.SUBCUTANEOUS_FAT)
    muscle = hu[Organ.MUSCLE] - 40 * np.clip(canvas.grain - 0.8, 0, 2)  # streaked with fat
    canvas.paint(everywhere, trunk.fascia, muscle, Organ.MUSCLE)
    layers = 0.6 - np.abs(trunk.ribcage - 5 + 0.8 * canvas.bumps) + 0.4 * canvas.bumps
    layers[(y < -40) | (y > 75) | (z > 10)] = -99
    canvas.paint(everywhere, layers, hu[Organ.VISCERAL_FAT], Organ.MUSCLE)  # fat between them
    fat = hu[Organ.VISCERAL_FAT] + 9 * canvas.grain + 14 * np.clip(canvas.bumps - 1, 0, 3)
    fat += 200 * canvas.twigs  # vessels of the mesentery
    canvas.paint(everywhere, trunk.cavity, fat, Organ.VISCERAL_FAT)
    diaphragm = np.minimum(trunk.cavity, 2.5 - trunk.dome)
    canvas.paint(everywhere, diaphragm, muscle, Organ.MUSCLE)
    _paint_chest(canvas, hu, trunk, fat)


def _paint_chest(canvas: Canvas, hu: Mapping[Organ, float], trunk: Trunk, fat: Floats) -> None:
    """Lungs, the fat about the great vessels, and the heart on the diaphragm."""
    box = canvas.box((-150, -80, 0), (150, 120, 200))
    if box is None:
        return
    x, y, z = canvas.points[:, *box]
    fat = fat[box]
    chest = np.minimum(trunk.cavity[box] + 2, -trunk.dome[box])
    lung = hu[Organ.LUNG] + 25 * canvas.grain[box] + 500 * canvas.twigs[box]
    canvas.paint(box, chest, lung, Organ.LUNG)
    middle = ellipsoid((x, y), (-2, 12), (34, 32)) + canvas.bumps[box]
    canvas.paint(box, np.minimum(middle, chest + 2), fat, Organ.VISCERAL_FAT)
    heart = ellipsoid((x, y, z), (-18, 62, 128), (62, 42, 38))
    heart = np.minimum(heart, chest)
    canvas.paint(box, heart, fat, Organ.VISCERAL_FAT)
    canvas.paint(box, heart - 5, hu[Organ.HEART], Organ.HEART)


def paint_skeleton(canvas: Canvas, patient: Patient, trunk: Trunk) -> None:
    """Vertebrae and discs, the canal, and ribs."""
    hu = patient.hu
    _paint_ribs(canvas, hu, trunk)
    box = canvas.box((-60, -85, -200), (60, 30, 200))
    if box is None:
        return
    x, y, z = canvas.points[:, *box]
    step = (z + 0.5 * PITCH) % PITCH - 0.5 * PITCH  # about the nearest vertebra's centre
    waist = 2.5 * (1 - (step / 13) ** 2)
    column = np.minimum(ellipsoid((x, y), (0, 0), (24.5, 18.5)), y + 14.5)
    canvas.paint(box, column + 1, hu[Organ.DISC], Organ.DISC)
    bone = np.minimum(column - waist, 13 - np.abs(step))
    arch = np.full_like(bone, -99)
    for start, end in VERTEBRA:
        np.maximum(arch, capsule((np.abs(x), y, step), start, end), out=arch)
    marrow = hu[Organ.MARROW] + 28 * canvas.grain[box]
    for depth, rim in ((bone, 1.6), (arch, 2.2)):
        canvas.paint(box, depth, hu[Organ.BONE], Organ.BONE)
        canvas.paint(box, depth - rim, marrow, Organ.MARROW)
    canal = ellipsoid((x, y), (0, -25.5), (11, 9))
    canvas.paint(box, canal, hu[Organ.VISCERAL_FAT] + 60, Organ.CANAL)
    canvas.paint(box, canal - 2.5, hu[Organ.CANAL], Organ.CANAL)


def _paint_ribs(canvas: Canvas, hu: Mapping[Organ, float], trunk: Trunk) -> None:
    box = canvas.box((-150, -90, -45), (150, 120, 200))
    if box is None:
        return
    x, y, z = canvas.points[:, *box]
    side = np.abs(x)
    angle = np.arctan2(side, 1.45 * (18 - y))  # 0 at the back, pi in front
    height = (z + 50 * angle - 12) / 31  # a rib falls on its way to the front
    number = np.rint(height)
    end = RIB_ENDS[np.clip(number + 1, 0, len(RIB_ENDS) - 1).astype(np.intp)]
    across = np.hypot((trunk.ribcage[box] - 7) / 3.6, 31 * (height - number) / 5.8)
    rib = 3.6 * (1 - across)
    rib = np.minimum(rib, side - 24)
    tip = np.minimum(rib, 90 * (end + 0.35 - angle))
    canvas.paint(box, tip, hu[Organ.CARTILAGE], Organ.CARTILAGE)
    rib = np.minimum(rib, 90 * (end - angle))
    canvas.paint(box, rib, hu[Organ.BONE], Organ.BONE)
    canvas.paint(box, rib - 1.1, hu[Organ.MARROW] - 30, Organ.MARROW)


# ---- organs --------------------------------------------------------------------------------------


def paint_muscles(canvas: Canvas, patient: Patient) -> None:
    """Psoas and the square muscle beside the spine, crura of the diaphragm."""
    for side in (-1, 1):
        stations = curve(PSOAS) * (side, 1, 1, 1)
        _paint_tube(canvas, stations, patient.hu[Organ.MUSCLE], Organ.MUSCLE, 0.4)
        box = canvas.box((side * 59 - 24, -66, -160), (side * 59 + 24, -34, 28))
        if box:
            square = ellipsoid(canvas.points[:, *box], (side * 59, -50, -60), (23, 13, 85))
            canvas.paint(box, square, patient.hu[Organ.MUSCLE], Organ.MUSCLE)
        crus = curve(((side * 17, 30, 75, 5), (side * 17, 24, 40, 5), (side * 20, 12, 0, 4)))
        _paint_tube(canvas, crus, patient.hu[Organ.MUSCLE], Organ.MUSCLE, 0.4)


def paint_liver(canvas: Canvas, patient: Patient) -> None:
    """The liver under the right dome, with its vessels, and the gallbladder."""
    hu = patient.hu
    box = canvas.box((-100, -75, -75), (140, 120, 140))
    if box is None:
        return
    x, y, z = canvas.points[:, *box] - patient.shifts[Organ.LIVER].reshape(3, 1, 1, 1)
    size = 40 * (patient.scales[Organ.LIVER] - 1)
    below = 0.8 * (z - (38 - 0.7 * x - 0.35 * (y - 20))) + 2 * size
    left = np.maximum(0.45 * (y - 40 + 2 * x), 0.8 * (y - 40 + 0.7 * x)) + size
    liver = soft_min(below, left, 12.0) + 1.8 * canvas.bumps[box]
    liver = soft_min(liver, canvas.room_in(box), 5.0)
    fissure = np.abs(x - 14 + 0.15 * (y - 60)) + 0.08 * np.clip(z - 20, 0, None) ** 2
    liver = soft_min(liver, fissure - 0.12 * (y - 50), 3.0)
    tissue = hu[Organ.LIVER] + 3 * canvas.grain[box] + 35 * canvas.twigs[box]
    canvas.paint(box, liver, tissue, Organ.LIVER)
    bile = curve(((52, 34, 8, 5), (50, 52, -8, 13), (54, 68, -26, 15), (56, 76, -36, 12)))
    bile[:, 3] *= patient.scales[Organ.GALLBLADDER]
    _paint_tube(canvas, bile, hu[Organ.DUODENUM], Organ.GALLBLADDER, 0.4)
    bile[:, 3] -= 1.5
    _paint_tube(canvas, bile, hu[Organ.GALLBLADDER], Organ.GALLBLADDER, 0.4)


def paint_spleen(canvas: Canvas, patient: Patient) -> None:
    """The spleen, hollow towards the stomach."""
    box = canvas.box((-150, -85, -25), (-50, 60, 120))
    if box is None:
        return
    points = canvas.points[:, *box] - patient.shifts[Organ.SPLEEN].reshape(3, 1, 1, 1)
    radii = np.array([38, 58, 60]) * patient.scales[Organ.SPLEEN]
    spleen = ellipsoid(points, (-104, -18, 44), radii)
    hollow = ellipsoid(points, (-66, 18, 48), (38, 44, 70))
    spleen = soft_min(spleen, -hollow, 6.0) + canvas.bumps[box]
    spleen = soft_min(spleen, canvas.room_in(box), 4.0)
    tissue = patient.hu[Organ.SPLEEN] + 2 * canvas.grain[box]
    canvas.paint(box, spleen, tissue, Organ.SPLEEN)


def paint_kidney(canvas: Canvas, patient: Patient, side: int) -> None:
    """A kidney in its fat: cortex, pyramids, and the sinus that opens to the middle."""
    hu = patient.hu
    centre = np.array([side * 64, -15, -14 if side > 0 else 0]) + patient.shifts[Organ.CORTEX]
    radii = np.array([29, 27, 55]) * patient.scales[Organ.CORTEX]
    box = canvas.box(centre - radii - 18, centre + radii + 18)
    if box is None:
        return
    x, y, z = (p - c for p, c in zip(canvas.points[:, *box], centre))
    x = side * x + 0.2 * z  # from here on, away from the middle; the poles lean to the spine
    y = y + 0.2 * z + 0.3 * x  # and backwards; its mouth faces a little to the front
    kidney = ellipsoid((x, y, z), (0, 0, 0), radii) + 0.7 * canvas.bumps[box]
    capsule_of_fat = kidney + 5 + 1.5 * canvas.bumps[box]
    canvas.paint(box, capsule_of_fat, hu[Organ.VISCERAL_FAT] - 3, Organ.VISCERAL_FAT)
    canvas.paint(box, kidney, hu[Organ.CORTEX], Organ.CORTEX)
    pyramids = np.minimum(kidney - 6, 4 * canvas.field(4, 15.0)[box] + 2)
    canvas.paint(box, pyramids, hu[Organ.MEDULLA], Organ.MEDULLA)
    sinus = ellipsoid((x, y, z), (-15, 0, 0), np.array([20, 10, 27]) * patient.scales[Organ.SINUS])
    sinus += 1.2 * canvas.bumps[box]
    canvas.paint(box, sinus, hu[Organ.SINUS], Organ.SINUS)
    pelvis = ellipsoid((x, y, z), (-9, 0, 0), (10, 4.5, 14))
    canvas.paint(box, pelvis, hu[Organ.CANAL], Organ.SINUS)


def paint_stomach(canvas: Canvas, patient: Patient) -> None:
    """The stomach and the duodenum: walls, and fluid with gas over it."""
    hu = patient.hu
    stations = patient.placed(Organ.STOMACH, STOMACH)
    level = 52 + 22 * patient.gas[0]
    _paint_gut(canvas, stations, (hu[Organ.STOMACH], Organ.STOMACH), 4.0, hu[Organ.CHYME], level)
    stations = patient.placed(Organ.DUODENUM, DUODENUM)
    lumen = hu[Organ.CHYME] + 10
    _paint_gut(canvas, stations, (hu[Organ.DUODENUM], Organ.DUODENUM), 3.0, lumen, 62.0)


def paint_bowel(canvas: Canvas, patient: Patient) -> None:
    """Loops of small bowel, and the colon with stool and gas."""
    hu = patient.hu
    for number, loop in enumerate(patient.small_bowel):
        lumen = hu[Organ.CHYME] + (40 if number % 3 else 0)  # two of three lie folded together
        level = 78 + 25 * patient.gas[2] if number % 4 == 1 else 999
        _paint_gut(canvas, loop, (hu[Organ.BOWEL], Organ.BOWEL), 2.5, lumen, level)
    stations = curve(COLON, step=4.0)
    stations[:, :3] += patient.shifts[Organ.COLON]
    folds = 1 + 0.14 * np.sin(np.arange(len(stations)) * (4.0 * 2 * np.pi / 34))
    stations[:, 3] *= folds * patient.scales[Organ.COLON]
    stool = hu[Organ.STOOL] + 12 * canvas.grain
    bubbles = np.clip(canvas.field(5, 8.0) - 0.7 - canvas.field(6, 60.0), 0, 0.5)
    stool -= 1000 * bubbles
    level = 85 + 15 * patient.gas[1]
    _paint_gut(canvas, stations, (hu[Organ.COLON], Organ.COLON), 2.5, stool, level)


def _paint_gut(
    canvas: Canvas,
    stations: NDArray[np.float64],
    wall: tuple[float, Organ],
    thickness: float,
    lumen: float | Floats,
    level: float,
) -> None:
    """A tube with a wall in HU, what it holds, and gas where that ends: at ``level`` mm of y."""
    found = tube(canvas, stations)
    if found is None:
        return
    box, depth = found
    if isinstance(lumen, np.ndarray):
        lumen = lumen[box]
    grain = canvas.grain[box]
    depth = depth + 1.4 * canvas.bumps[box] + 0.5 * grain
    depth = soft_min(depth, canvas.gut_room_in(box) + 0.5, 3.0)
    canvas.paint(box, depth, *wall)
    inside = depth - thickness * (1 + 0.25 * grain)  # folds
    content = {Organ.COLON: Organ.STOOL, Organ.STOMACH: Organ.CHYME}.get(wall[1], wall[1])
    canvas.paint(box, inside, lumen, content)
    height = canvas.axes[1][box[1], None] / canvas.size[1]  # a level does not sway
    gas = np.minimum(inside + 1.2, (height - level).astype(np.float32))
    canvas.paint(box, gas, GAS, Organ.GAS)


def _paint_tube(
    canvas: Canvas, stations: NDArray[np.float64], hu: float, organ: Organ, rough: float = 0.0
) -> None:
    found = tube(canvas, stations)
    if found:
        box, depth = found
        depth = depth + rough * canvas.bumps[box]
        if organ not in (Organ.AORTA, Organ.CAVA):  # which pass through the diaphragm
            depth = np.minimum(depth, canvas.room_in(box) + 4)
        canvas.paint(box, depth, hu, organ)


def paint_abdominal_vessels(canvas: Canvas, patient: Patient) -> None:
    """The great vessels and their branches, the hepatic veins with the portal ones."""
    hu = patient.hu
    for stations in RENAL_VEINS:
        _paint_tube(canvas, curve(stations), hu[Organ.CAVA] - 4, Organ.CAVA)
    for stations in PORTAL_VEINS:
        _paint_tube(canvas, curve(stations), hu[Organ.PORTAL], Organ.PORTAL, 0.3)
    for stations in ARTERIES:
        _paint_tube(canvas, curve(stations), hu[Organ.ARTERY], Organ.ARTERY)
    _paint_tube(canvas, curve(CAVA), hu[Organ.CAVA], Organ.CAVA, 0.8)
    _paint_tube(canvas, curve(AORTA), hu[Organ.AORTA], Organ.AORTA, 0.3)


@dataclass(frozen=True)
class Gland:
    """Where the pancreas is, in a box of the canvas."""

    box: GridBox
    depth: Floats  # in the pancreas, its tumour included
    mass: Floats  # in the tumour
    lobules: Floats  # a random field that makes its outline


def find_pancreas(canvas: Canvas, patient: Patient) -> Gland | None:
    """The pancreas, lobulated, and its tumour, which bulges where it is large."""
    tumour = patient.tumour
    found = tube(canvas, patient.pancreas, margin=26.0)  # a tumour fits into it
    if found is None:
        return None
    box, depth = found
    bumps, lobules = canvas.bumps[box], canvas.field(7, 9.0)[box]
    depth = depth + 0.8 * bumps + 1.7 * lobules
    mass = ellipsoid(canvas.points[:, *box], tumour.centre, tumour.radii)
    if not tumour.cystic:
        mass = mass + 0.8 * bumps + 0.6 * canvas.field(8, 12.0)[box]
    depth = np.maximum(depth, mass + 2.0 + np.clip(bumps, -1.5, 2))
    return Gland(box, depth, mass, lobules)


def paint_pancreas(canvas: Canvas, patient: Patient, gland: Gland) -> None:
    """The pancreas with fat in its clefts, the tumour, and the duct that it dams up."""
    hu, tumour, box = patient.hu, patient.tumour, gland.box
    grain = canvas.grain[box]
    clefts = np.clip(-gland.lobules - 0.6, 0, 1) * np.clip(3 - gland.depth, 0, 3)
    tissue = hu[Organ.PANCREAS] + 5 * grain - 12 * clefts
    canvas.paint(box, gland.depth, tissue, Organ.PANCREAS)
    content = tumour.hu + (2 if tumour.cystic else 5) * grain
    canvas.paint(box, gland.mass, content, Organ.TUMOUR)
    first = round(tumour.station * (len(patient.pancreas) - 1)) + 1
    if tumour.duct and len(patient.pancreas) - first > 4:
        duct = patient.pancreas[first:-2].copy()
        duct[:, 3] = tumour.duct
        _paint_duct(canvas, duct, hu[Organ.DUCT])


def _paint_duct(canvas: Canvas, stations: NDArray[np.float64], hu: float) -> None:
    found = tube(canvas, stations)
    if found:
        box, depth = found
        depth[canvas.organs[box] != Organ.PANCREAS] = -99
        canvas.paint(box, depth, hu, Organ.DUCT)


# ---- one case ------------------------------------------------------------------------------------


def make_scanner(rng: Rng, patient: Patient) -> Scanner:
    """A scanner set for a patient."""
    thickness = rng.choice([1.25, 2.5, 3.0, 5.0], p=[0.1, 0.75, 0.05, 0.1])
    width = 2 * (140 + patient.fat) * patient.size[0]
    return Scanner(
        field_of_view=float(np.clip(width + rng.uniform(20, 60), 320, 430)),
        slice_thickness=float(thickness),
        noise=noise_level(rng.uniform(9, 15), thickness),
        sharpness=rng.uniform(0.45, 0.7),
        table=rng.uniform(2, 8),
    )


def abdomen_grid(scanner: Scanner, patient: Patient, edge: int) -> tuple[Axes, Affine]:
    """Where the voxels lie, and their affine: LPS voxels about the body's centre."""
    voxel = scanner.field_of_view / edge
    step = max(scanner.slice_thickness, voxel)
    low, high = -112.0 * patient.size[2], 122.0 * patient.size[2]
    slices = round((high - low) / step)
    centre = np.array([0, 12 * patient.size[1] - 8, (low + high) / 2])
    shape = np.array([edge, edge, slices])
    voxels = np.array([-voxel, -voxel, step])
    first = centre - voxels * (shape - 1) / 2
    axes = tuple(f + v * np.arange(n) for f, v, n in zip(first, voxels, shape))
    return axes, nib.affines.from_matvec(np.diag(voxels), first)


def warped(axes: Axes, patient: Patient) -> Floats:
    """The template point that every voxel shows, (3, z, y, x).

    The patient's size, the bend of the spine, and displacements with standard deviations of 3.6
    mm over 70 mm and of 1 mm over 30 mm.
    """
    x, y, z = (axis / s for axis, s in zip(axes, patient.size))
    points = np.empty((3, len(z), len(y), len(x)), np.float32)
    for i, plain in enumerate((x, y[:, None] + spine_bend(z)[:, None, None], z[:, None, None])):
        sway = 3.6 * body_field(axes, np.random.default_rng(patient.seeds[-1 - 2 * i]), 70.0)
        sway += 1.0 * body_field(axes, np.random.default_rng(patient.seeds[-2 - 2 * i]), 30.0)
        np.add(sway.clip(-SWAY, SWAY), plain, out=points[i])
    return points


def paint_patient(canvas: Canvas, patient: Patient) -> None:
    """All of a patient that a canvas shows."""
    trunk = find_trunk(canvas, patient)
    canvas.room = np.minimum(trunk.cavity - 1.5, trunk.dome - 2.5)
    gland = find_pancreas(canvas, patient)
    canvas.gut_room = canvas.room.copy()
    if gland:  # gut and pancreas lie side by side, with a little fat between
        canvas.gut_room[gland.box] = np.minimum(canvas.room[gland.box], -gland.depth - 2)
    paint_trunk(canvas, patient, trunk)
    paint_skeleton(canvas, patient, trunk)
    paint_muscles(canvas, patient)
    paint_bowel(canvas, patient)
    paint_spleen(canvas, patient)
    paint_liver(canvas, patient)
    paint_stomach(canvas, patient)
    for side in (-1, 1):
        paint_kidney(canvas, patient, side)
    for stations in ADRENALS:
        _paint_tube(canvas, curve(stations), patient.hu[Organ.ADRENAL], Organ.ADRENAL, 0.2)
    if gland:
        paint_pancreas(canvas, patient, gland)
    paint_abdominal_vessels(canvas, patient)


def body_rows(y: NDArray[np.float64], patient: Patient) -> slice:
    """The rows of a grid that the body may reach, whichever way it sways."""
    back = (-93 - 1.8 * patient.fat - 3 - SWAY - 14) * patient.size[1]
    front = (113 + 1.1 * patient.fat + 3 + SWAY) * patient.size[1]
    inside = np.flatnonzero((y > back) & (y < front))
    return slice(inside[0], inside[-1] + 1)


def _scene(seed: int, index: int, edge: int | None) -> tuple[Floats, Labels, Affine, Scanner, Rng]:
    """The truth about one case, before noise: HU and organs, (z, y, x)."""
    if edge is not None and edge < SMALLEST_ABDOMEN:
        raise InputError(f"edge must be at least {SMALLEST_ABDOMEN} voxels, not {edge}")
    anatomy, lesion, scanning = np.random.default_rng([seed, index]).spawn(3)
    patient = draw_patient(anatomy, lesion)
    scanner = make_scanner(scanning, patient)
    (x, y, z), affine = abdomen_grid(scanner, patient, edge or DECATHLON_EDGE)
    blend = max(abs(affine[0, 0]), 0.8)
    back = -93 * patient.size[1] - patient.fat - 3
    air, table = empty_table(x, y, back - scanner.table, blend)
    hu = np.repeat(air[None], len(z), axis=0)
    organs = np.repeat(table[None] * np.uint8(Organ.TABLE), len(z), axis=0)
    rows = body_rows(y, patient)
    slab = max(1, SLAB // (len(x) * len(y[rows])))
    for start in range(0, len(z), slab):
        part = slice(start, start + slab)
        axes, here = (x, y[rows], z[part]), (part, rows)
        points = warped(axes, patient)
        canvas = Canvas(axes, patient.size, points, hu[here], organs[here], blend, patient.seeds)
        paint_patient(canvas, patient)
    return hu, organs, affine, scanner, scanning


def abdomen_case(
    seed: int, index: int, edge: int | None = None
) -> tuple[NDArray[np.int16], Labels, Affine]:
    """One CT of the upper abdomen.

    Args:
        seed, index: what makes it this patient.
        edge: voxels across a slice, 48 or more; None for the Decathlon's 512. The field of view
            stays the same, and slices are never thinner than a voxel is wide.

    Returns:
        The image (i, j, k) in Hounsfield units, -1024 to 3071; the label map, 0 background, 1
        pancreas, 2 tumour; the affine of its LPS voxels.

    Raises:
        InputError: ``edge`` is too small.
    """
    hu, organs, affine, scanner, rng = _scene(seed, index, edge)
    slab = max(1, SLAB // hu[0].size)
    image = acquire_ct(rng, hu, scanner, abs(np.diag(affine)), slab)
    label = np.zeros(len(Organ) + 1, np.uint8)
    label[[Organ.PANCREAS, Organ.DUCT, Organ.TUMOUR]] = 1, 1, 2
    return image.transpose(2, 1, 0), label[organs].transpose(2, 1, 0), affine


def abdomen_organs(seed: int, index: int, edge: int | None = None) -> tuple[Labels, Affine]:
    """What lies in every voxel of :func:`abdomen_case`: an :class:`Organ` or 0, (i, j, k)."""
    _, organs, affine, _, _ = _scene(seed, index, edge)
    return organs.transpose(2, 1, 0), affine

"""Diabetic retinopathy: what its grades mean, where its lesions lie, and how they look.

Vessels and lesions are drawn by rule. What a grade may have stands in one table, and
:func:`grade_of` reads the grade back from the lesions.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from scipy.spatial import cKDTree

from .arrays import Floats, Points, Rng
from .eye import (
    VESSEL_STEP,
    Eye,
    Layers,
    Vessel,
    View,
    denser,
    discs,
    fibre_course,
)

# ---- what grades mean ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Lesion:
    """Where a lesion is in the picture: a circle, in pixels, about all of it."""

    kind: str
    row: float
    column: float
    radius: float
    quadrant: str  # about the fovea: "superior nasal" and so on


@dataclass(frozen=True)
class Findings:
    """How many lesions of each kind an eye has: the fewest and the most."""

    grade: int
    share: float  # how many eyes of this grade have these lesions
    microaneurysm: tuple[int, int] = (0, 0)
    haemorrhage: tuple[int, int] = (0, 0)  # in each of the four quadrants
    exudate: tuple[int, int] = (0, 0)  # clusters of them
    cotton_wool_spot: tuple[int, int] = (0, 0)
    venous_beading: tuple[int, int] = (0, 0)  # quadrants with it
    irma: tuple[int, int] = (0, 0)  # intraretinal microvascular abnormalities
    new_vessels: tuple[int, int] = (0, 0)
    preretinal_haemorrhage: tuple[int, int] = (0, 0)
    vitreous_haemorrhage: tuple[int, int] = (0, 0)


# The International Clinical Diabetic Retinopathy scale (Wilkinson et al., Ophthalmology 110, 2003).
# Grade 3 has three ways in, the "4-2-1 rule": over 20 haemorrhages in each of 4 quadrants, or
# beaded veins in 2, or IRMA in 1. Grade 4 is whatever has new vessels, or bleeds in front of the
# retina, as only new vessels do.
FINDINGS = (
    #        grade share    MA     haem.  exudate   wool   beads   irma    new  preret.  vitr.
    Findings(0, 1.0),
    Findings(1, 1.0, (1, 6)),
    Findings(2, 1.0, (5, 18), (1, 12), (1, 4), (0, 3)),
    Findings(3, 0.6, (12, 30), (21, 27), (0, 4), (1, 6)),
    Findings(3, 0.2, (12, 30), (8, 18), (0, 4), (1, 6), (2, 4)),
    Findings(3, 0.2, (12, 30), (8, 18), (0, 4), (1, 6), (0, 1), (1, 3)),
    Findings(4, 0.5, (8, 25), (2, 16), (0, 4), (0, 5), (0, 2), (0, 2), (1, 3)),
    Findings(4, 0.3, (8, 25), (2, 16), (0, 4), (0, 5), (0, 2), (0, 2), (1, 2), (1, 2)),
    Findings(4, 0.2, (8, 25), (2, 12), (0, 3), (0, 4), (0, 2), (0, 2), (0, 2), (0, 1), (1, 1)),
)
GRADE_COUNT = 1 + max(findings.grade for findings in FINDINGS)
# as clinicians write them
LESION_KINDS = {f.name: f.name.replace("_", " ") for f in fields(Findings)[2:]}
LESION_KINDS |= {"cotton_wool_spot": "cotton-wool spot", "irma": "IRMA"}
QUADRANTS = ("superior temporal", "superior nasal", "inferior temporal", "inferior nasal")


def grade_of(lesions: Sequence[Lesion]) -> int:
    """The grade, 0 to 4, that the scale gives an eye with these lesions."""
    kinds = {lesion.kind for lesion in lesions}
    bleeding = Counter(lesion.quadrant for lesion in lesions if lesion.kind == "haemorrhage")
    beaded = {lesion.quadrant for lesion in lesions if lesion.kind == "venous beading"}
    if kinds & {"new vessels", "preretinal haemorrhage", "vitreous haemorrhage"}:
        return 4
    if min(bleeding[q] for q in QUADRANTS) > 20 or len(beaded) >= 2 or "IRMA" in kinds:
        return 3
    if kinds - {"microaneurysm"}:
        return 2
    return 1 if kinds else 0


def quadrant_of(x: float, y: float) -> str:
    """The quadrant about the fovea of a point in mm."""
    return f"{'superior' if y < 0 else 'inferior'} {'nasal' if x > 0 else 'temporal'}"


# ---- lesions: where they are ---------------------------------------------------------------------


@dataclass(frozen=True)
class Spot:
    """A lesion on the retina."""

    kind: str
    x: float
    y: float
    radius: float  # mm
    vessel: int = -1  # where it hangs on one: its number, and the point along it
    point: int = 0


def plan_lesions(
    rng: Rng, grade: int, view: View, eye: Eye, vessels: Sequence[Vessel]
) -> list[Spot]:
    """Draw an eye's lesions so that every one can be seen: large ones first, none on another."""
    ways = [f for f in FINDINGS if f.grade == grade]  # to have this grade
    found = ways[rng.choice(len(ways), p=[f.share for f in ways])]
    ranges = {f.name: getattr(found, f.name) for f in fields(Findings)[2:]}
    count = {name: rng.integers(low, high + 1) for name, (low, high) in ranges.items()}
    thick = [(p, r) for v in vessels for p, r in zip(v.points, v.radii) if r > 0.02]
    plan = LesionPlan(rng, view, eye, vessels, cKDTree([p for p, _ in thick]))
    for _ in range(count["new_vessels"]):
        size, on_disc = rng.uniform(0.45, 0.85), rng.random() < 0.4
        if not plan.place_on_vein("new vessels", size, on_disc=on_disc):
            plan.place_on_vein("new vessels", size, on_disc=not on_disc)
    beaded = 0
    for quadrant in rng.permutation(QUADRANTS):  # not every one has a vein in free view
        if beaded < count["venous_beading"]:
            beaded += plan.place_on_vein("venous beading", 0.36, quadrant)
    for _ in range(count["vitreous_haemorrhage"]):
        plan.place("vitreous haemorrhage", (1.5, 2.4), (1.5, 4.5))
    for _ in range(count["preretinal_haemorrhage"]):
        plan.place("preretinal haemorrhage", (0.6, 1.2), (1.6, 5.0))
    for _ in range(count["irma"]):
        plan.place("IRMA", (0.28, 0.45), (2.0, 5.5))
    for _ in range(count["cotton_wool_spot"]):
        plan.place("cotton-wool spot", (0.24, 0.46), (1.6, 5.0))
    for _ in range(count["exudate"]):
        plan.place_exudates()
    for quadrant in QUADRANTS:
        low, high = found.haemorrhage
        for _ in range(rng.integers(low, high + 1)):  # each quadrant has a number of its own
            plan.place("haemorrhage", (0.07, 0.27), (0.6, 6.5), quadrant)
    for _ in range(count["microaneurysm"]):
        plan.place("microaneurysm", (0.035, 0.06), (0.4, 5.0))  # less than 125 μm across
    return plan.spots


@dataclass
class LesionPlan:
    """The lesions of one eye so far, and what the next one has to keep clear of."""

    rng: Rng
    view: View
    eye: Eye
    vessels: Sequence[Vessel]
    thick: cKDTree  # points of the vessels on which a small lesion would not be seen
    spots: list[Spot] = field(default_factory=list)

    def place(
        self,
        kind: str,
        sizes: tuple[float, float],
        ring: tuple[float, float],
        quadrant: str | None = None,
    ) -> None:
        """Put a lesion of a radius in ``sizes`` at a distance in ``ring`` from the fovea, mm."""
        for tries in range(5000):
            # small ones are more common, and after many vain tries only they have a chance
            share = self.rng.random() ** 2 if tries < 500 else 0.0
            radius = sizes[0] + (sizes[1] - sizes[0]) * share
            distance = self.rng.uniform(ring[0] ** 1.6, ring[1] ** 1.6) ** (1 / 1.6)
            angle = self.rng.uniform(-math.pi, math.pi)
            x, y = distance * math.cos(angle), distance * math.sin(angle)
            fits = quadrant is None or quadrant_of(x, y) == quadrant
            if fits and self.free(x, y, radius):
                self.spots.append(Spot(kind, x, y, radius))
                return
        raise RuntimeError(f"no room for one more {kind}")

    def place_exudates(self) -> None:
        """Put a cluster of hard exudates near the macula: a heap, or a ring about a leak."""
        rng = self.rng
        distance, angle = rng.uniform(0.9, 3.2), rng.uniform(-math.pi, math.pi)
        x, y = distance * math.cos(angle), distance * math.sin(angle)
        ring, size = rng.random() < 0.4, rng.uniform(0.35, 0.8)
        for _ in range(rng.integers(8, 34)):
            away = size * (rng.normal(0.9, 0.12) if ring else abs(rng.normal(0, 0.6)))
            angle = rng.uniform(-math.pi, math.pi)
            ex, ey = x + away * math.cos(angle), y + away * math.sin(angle)
            radius = rng.uniform(0.03, 0.06) if rng.random() < 0.7 else rng.uniform(0.06, 0.12)
            if math.hypot(ex, ey) > 0.4 and self.free(ex, ey, radius, gap=-0.3 * radius):
                self.spots.append(Spot("exudate", ex, ey, radius))

    def place_on_vein(
        self, kind: str, radius: float, quadrant: str | None = None, on_disc: bool = False
    ) -> bool:
        """Put a lesion on a vein, in a quadrant if need be, or on the disc's margin, if it can."""
        (x, y), (width, height) = self.eye.disc, self.eye.radii
        sites = [
            Spot(kind, float(point[0]), float(point[1]), radius, number, i)
            for number, vessel in enumerate(self.vessels)
            if vessel.vein
            for i, point in enumerate(vessel.points)
            if vessel.radii[i] > 0.022
        ]
        if on_disc:
            angles = np.linspace(0, 2 * math.pi, 24)
            sites = [
                Spot(kind, x + width * math.cos(a), y + height * math.sin(a), radius)
                for a in angles
            ]
        for i in self.rng.permutation(len(sites)):
            site = sites[i]
            fits = quadrant is None or quadrant_of(site.x, site.y) == quadrant
            if fits and self.free(site.x, site.y, radius, on_disc):
                self.spots.append(site)
                return True
        return False

    def free(
        self, x: float, y: float, radius: float, on_disc: bool = False, gap: float = 0.04
    ) -> bool:
        """Whether a lesion would be seen whole, off the disc, and apart from all others."""
        if not self.view.shows(x, y, radius + 0.25):
            return False
        dx, dy = self.eye.disc
        if not on_disc and math.hypot(x - dx, y - dy) < max(self.eye.radii) + radius + 0.1:
            return False
        for spot in self.spots:
            if math.hypot(x - spot.x, y - spot.y) < radius + spot.radius + gap:
                return False
        # a large lesion covers vessels, a small one would be taken for a part of them
        return radius > 0.22 or self.thick.query((x, y))[0] > 0.6 * radius + 0.07


# ---- lesions: how they look ----------------------------------------------------------------------


def paint_lesion(
    rng: Rng, view: View, eye: Eye, vessels: Sequence[Vessel], spot: Spot, on: Layers
) -> None:
    """Add one lesion to the layers, all of it within its radius."""
    if spot.kind == "venous beading":
        np.maximum(on.blood, beads(view, vessels[spot.vessel], spot), out=on.blood)
    elif spot.kind in ("new vessels", "IRMA"):
        np.maximum(on.blood, tangle(rng, view, spot), out=on.blood)
    else:
        layer = {"exudate": on.exudate, "cotton-wool spot": on.wool}.get(spot.kind, on.blood)
        add = np.add if layer is on.blood else np.maximum
        at, dx, dy = patch(view, spot)
        fine = SHAPES[spot.kind](rng, eye, spot, dx, dy)
        rows, columns = (n // FINE for n in fine.shape)
        layer[at] = add(layer[at], fine.reshape(rows, FINE, columns, FINE).mean(axis=(1, 3)))


FINE = 4  # samples along a pixel: a lesion smaller than one is seen all the same


def patch(view: View, spot: Spot) -> tuple[tuple[slice, slice], Points, Points]:
    """The pixels about a lesion, and how far their samples lie from it along x and y, mm."""
    reach = spot.radius * view.scale + 1
    rows, columns = (
        slice(max(math.floor(c - reach), 0), math.ceil(c + reach) + 1)
        for c in view.pixel(spot.x, spot.y)
    )
    within = (np.arange(FINE) - (FINE - 1) / 2) / FINE / view.scale
    x, y = view.axes()
    dx, dy = x[columns] - spot.x, y[rows] - spot.y
    dx = (dx[:, None] + view.side * within).ravel()
    return (rows, columns), dx[None], (dy[:, None] + within).ravel()[:, None]


def blot_rim(rng: Rng, dx: Points, dy: Points, roughness: float) -> Points:
    """How many times nearer than the radius a blot's rim is, by direction: 1 or more."""
    angle = np.arctan2(dy, dx)
    bumps = np.zeros_like(angle)
    for k, phase in enumerate(rng.uniform(0, 2 * math.pi, 6), start=2):
        bumps = bumps + (1 + np.cos(k * angle + phase)) / k
    return 1 + roughness * bumps


def turned(eye: Eye, spot: Spot, dx: Points, dy: Points) -> tuple[Points, Points]:
    """Distances along and across the nerve fibres at a lesion, in radii."""
    up, nasal = 1 if spot.y < 0 else -1, spot.x > eye.disc[0]
    along = fibre_course(eye, spot.x, spot.y, up, nasal, 0.8)
    cos, sin = math.cos(along) / spot.radius, math.sin(along) / spot.radius
    return dx * cos + dy * sin, dy * cos - dx * sin


def microaneurysm(rng: Rng, eye: Eye, spot: Spot, dx: Points, dy: Points) -> Points:
    return 1.5 * (np.hypot(dx, dy) < spot.radius)


def haemorrhage(rng: Rng, eye: Eye, spot: Spot, dx: Points, dy: Points) -> Points:
    """Blood of a dot or a blot, or, among the nerve fibres, of a flame along them."""
    depth = rng.uniform(0.9, 1.6)
    if spot.radius > 0.11 and rng.random() < 0.5:
        u, v = turned(eye, spot, dx, dy)
        ragged = np.abs(0.18 * u * np.sin(24 * v + rng.uniform(0, 6)))
        return depth * np.clip(1.6 * (1 - np.hypot(u, v / 0.36) - ragged), 0, 1)
    d = np.hypot(dx, dy) * blot_rim(rng, dx, dy, 0.12 if spot.radius < 0.1 else 0.3)
    return depth * np.clip((spot.radius - d) / 0.035, 0, 1)


def exudate(rng: Rng, eye: Eye, spot: Spot, dx: Points, dy: Points) -> Points:
    """Fat and protein that leaked: bright, with a sharp edge."""
    d = np.hypot(dx, dy) * blot_rim(rng, dx, dy, 0.15)
    return rng.uniform(0.75, 1.0) * (d < spot.radius)


def cotton_wool_spot(rng: Rng, eye: Eye, spot: Spot, dx: Points, dy: Points) -> Points:
    """Swollen nerve fibres: fluffy, and wider than long."""
    u, v = turned(eye, spot, dx, dy)
    d = np.hypot(1.25 * u, v) * blot_rim(rng, dx, dy, 0.12)
    return rng.uniform(0.75, 0.95) * np.clip(1 - d**2, 0, 1) ** 1.2


def preretinal_haemorrhage(rng: Rng, eye: Eye, spot: Spot, dx: Points, dy: Points) -> Points:
    """A boat: blood in front of the retina that has settled under a level."""
    d = np.hypot(dx, dy * rng.uniform(1.0, 1.5)) * blot_rim(rng, dx, dy, 0.06)
    boat = np.clip((spot.radius - d) / 0.04, 0, 1)
    level = np.clip((dy + 0.1 * spot.radius) / 0.04, 0, 1)
    return boat * level * (1.5 + 0.7 * np.clip(dy / spot.radius, 0, 1))


def vitreous_haemorrhage(rng: Rng, eye: Eye, spot: Spot, dx: Points, dy: Points) -> Points:
    """A cloud: blood adrift in the vitreous, out of focus."""
    d = np.hypot(dx, dy) * blot_rim(rng, dx, dy, 0.15) / spot.radius
    waves = rng.normal(0, 3.0, (6, 2)), rng.uniform(0, 2 * math.pi, 6)
    lumps = sum(np.cos(k * dx + m * dy + phase) for (k, m), phase in zip(*waves))
    return 1.5 * np.clip(1 - d**2, 0, 1) ** 1.5 * np.clip(1 + 0.25 * lumps, 0.2, 2)


SHAPES = {  # how deep, or how much of the pixel, by distance from the lesion's middle in mm
    "microaneurysm": microaneurysm,
    "haemorrhage": haemorrhage,
    "exudate": exudate,
    "cotton-wool spot": cotton_wool_spot,
    "preretinal haemorrhage": preretinal_haemorrhage,
    "vitreous haemorrhage": vitreous_haemorrhage,
}


def tangle(rng: Rng, view: View, spot: Spot) -> Floats:
    """A frond of fine new vessels that loop back on themselves; IRMA is a sparser one."""
    twigs, steps, step = (18, 70, 0.03) if spot.kind == "new vessels" else (5, 45, 0.03)
    heading = rng.uniform(-math.pi, math.pi, twigs)
    at, bend, path = np.zeros((2, twigs)), np.zeros(twigs), []
    for _ in range(steps):
        bend += -0.15 * bend + rng.normal(0, 2.2, twigs)
        home, far = np.arctan2(-at[1], -at[0]), np.hypot(*at) / (0.85 * spot.radius)
        heading += 0.02 * bend + 0.35 * far**4 * np.sin(home - heading)  # far out, they turn back
        at = at + step * np.stack([np.cos(heading), np.sin(heading)])
        path.append(at / max(1, np.hypot(*at).max() / (0.92 * spot.radius)))
    widths = rng.uniform(0.010, 0.018, twigs)[:, None] * np.linspace(1.2, 0.7, steps)
    x, y = np.moveaxis(np.array(path), 0, -1)
    lines = [denser(view, step, *line) for line in zip(x + spot.x, y + spot.y, widths)]
    x, y, r = np.concatenate(lines, axis=1)
    return discs(view, x, y, r, np.full(len(r), 1.1))


def beads(view: View, vein: Vessel, spot: Spot) -> Floats:
    """A stretch of vein that swells and narrows like a string of beads."""
    first = max(spot.point - 3, 0)
    along = slice(first, spot.point + 4)
    s: Points = VESSEL_STEP * np.arange(len(vein.radii[along]))
    x, y, r, s = denser(view, VESSEL_STEP, *vein.points[along].T, vein.radii[along], s)
    return discs(view, x, y, r * (1 + np.cos(np.pi * s / 0.24) ** 4), np.full(len(s), 1.2))

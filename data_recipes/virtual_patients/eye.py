"""Virtual eyes: what a picture shows of the retina, its anatomy, and its tree of vessels.

Positions are millimetres on the retina from the fovea: x towards the nose, y down. One degree of
the field is about 0.29 mm. In a right eye the nose is on the right of the picture; a left eye is
the mirror image, so everything is written once, for a right eye.
"""

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import BSpline

from .arrays import Floats, Points, Rng

RETINA_REACH = 12.0  # mm from the fovea that a random field covers: more than any aperture shows

# ---- what a picture shows of the retina ----------------------------------------------------------


@dataclass(frozen=True)
class Aperture:
    """How the round aperture lies in the picture, in heights of the picture."""

    aspect: float  # width
    diameter: float  # above 1, the aperture is cut off at the top and the bottom
    row: float = 0.0  # its centre, from the middle of the picture, down
    column: float = 0.0  # and to the right


@dataclass(frozen=True)
class View:
    """Which point of the retina every pixel shows."""

    frame: Aperture
    edge: int  # rows
    side: int  # 1 for a right eye, -1 for a left one
    x: float  # the point at the aperture's centre, mm
    y: float
    reach: float  # radius of the aperture, mm

    @property
    def shape(self) -> tuple[int, int]:
        return self.edge, round(self.edge * self.frame.aspect)

    @property
    def scale(self) -> float:
        """Pixels a millimetre."""
        return self.frame.diameter * self.edge / (2 * self.reach)

    def pixel(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Row and column, as fractions, of a point, or of many, in mm."""
        rows, columns = self.shape
        row = (rows - 1) / 2 + self.frame.row * self.edge + (y - self.y) * self.scale
        column = (columns - 1) / 2 + self.frame.column * self.edge
        return row, column + self.side * (x - self.x) * self.scale

    def axes(self) -> tuple[Points, Points]:
        """x of every column and y of every row, mm."""
        row, column = self.pixel(0.0, 0.0)
        rows, columns = (np.arange(n) for n in self.shape)
        return self.side * (columns - column) / self.scale, (rows - row) / self.scale

    def shows(self, x: float, y: float, margin: float) -> bool:
        """Whether a point is at least ``margin`` mm within the aperture and the picture."""
        # in heights of the picture, so that the answer is the same at every edge
        height = self.frame.diameter / (2 * self.reach)
        row = abs(self.frame.row + (y - self.y) * height)
        column = abs(self.frame.column + self.side * (x - self.x) * height)
        inside = row < 0.5 - margin * height and column < self.frame.aspect / 2 - margin * height
        return inside and math.hypot(x - self.x, y - self.y) < self.reach - margin


def draw_aperture(rng: Rng) -> Aperture:
    """A frame as they occur in APTOS: the whole circle, one cut off, or a tight square about it."""
    kind = rng.choice(["whole", "cut", "tight"], p=[0.4, 0.35, 0.25])
    aspect = {"whole": (1.31, 1.5), "cut": (1.31, 1.5), "tight": (1.0, 1.06)}[kind]
    diameter = {"whole": (0.91, 0.99), "cut": (1.06, 1.24), "tight": (0.99, 1.04)}[kind]
    shift = {"whole": 0.004, "cut": 0.03, "tight": 0.006}[kind]
    row, column = rng.uniform(-shift, shift, 2)
    return Aperture(rng.uniform(*aspect), rng.uniform(*diameter), row, column)


def retina_field(rng: Rng, view: View, spacing: float) -> Floats:
    """A Gaussian random field of variance about 1, (rows, columns): B-splines ``spacing`` mm apart.

    It belongs to the retina, not to the picture, so every edge and frame shows the same one.
    """
    nodes = np.arange(-RETINA_REACH - spacing, RETINA_REACH + 3 * spacing, spacing)
    knots = nodes[0] + spacing * np.arange(-2, len(nodes) + 2)
    field = rng.standard_normal((len(nodes), len(nodes)), dtype=np.float32)
    for axis in view.axes():  # each turn contracts the first dimension and appends the picture's
        inside = axis.clip(-RETINA_REACH, RETINA_REACH)
        basis = BSpline.design_matrix(inside, knots, 3).astype(np.float32)
        # sparse, since a dense product may round otherwise with another number of threads
        field = (basis @ field).T
    return 2 * np.ascontiguousarray(field.T)  # splines average their nodes: that halves the spread


# ---- anatomy -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Vessel:
    """A stretch of vessel without its branches."""

    points: Points  # (n, 2): x, y
    radii: Points  # (n,) mm
    vein: bool


@dataclass(frozen=True)
class Shoot:
    """A vessel about to grow."""

    x: float
    y: float
    heading: float  # radians; 0 to the nose, a quarter turn is down
    radius: float
    up: int  # 1 above the fovea, -1 below
    nasal: bool
    depth: int  # 0 for the arcades, 1 for their branches and so on
    height: float  # how far the arcade passes from the fovea, in distances of the disc


@dataclass(frozen=True)
class Eye:
    """The anatomy of one eye, without vessels."""

    disc: tuple[float, float]  # x, y of its centre
    radii: tuple[float, float]  # half axes of the disc along x and y
    cup: float  # its radius as a share of the disc's
    avascular: float  # radius about the fovea without visible vessels
    crescent: float  # how much darker pigment at the disc's temporal margin
    pit: float  # how dark the macula


def draw_eye(rng: Rng) -> Eye:
    size = rng.uniform(0.82, 0.95)  # a disc is about 1.8 mm wide and a little higher
    return Eye(
        disc=(rng.uniform(4.2, 4.7), rng.uniform(-0.75, -0.1)),
        radii=(size * rng.uniform(0.93, 0.99), size * rng.uniform(1.0, 1.08)),
        cup=rng.uniform(0.3, 0.58),
        avascular=rng.uniform(0.42, 0.6),
        crescent=max(rng.uniform(-1.2, 0.8), 0.0),
        pit=rng.uniform(0.7, 1.2),
    )


VESSEL_STEP = 0.08  # mm between a vessel's points
THINNEST = 0.009  # mm: capillaries are not seen


def fibre_course(eye: Eye, x: float, y: float, up: int, nasal: bool, height: float) -> float:
    """The heading of nerve fibres, and of the vessels among them, at a point.

    Temporal ones run along ellipses about the fovea, which they leave towards the periphery once
    they have passed it; nasal ones run away from the disc.
    """
    dx, dy = eye.disc
    if nasal:
        return math.atan2(y - dy - 0.35 * up, max(x - dx, 0.0) + 0.9)
    y -= dy * x / dx  # the ellipses' axis leads from the fovea to the disc
    along = up * y / height**2
    return math.atan2(-up * x * (1.0 if x > 0 else 0.25), min(along, -0.3))


def grow_vessels(rng: Rng, eye: Eye) -> list[Vessel]:
    """The tree of arteries and the tree of veins, thick vessels first."""
    vessels = []
    for vein, radius in ((True, 0.078), (False, 0.056)):  # about 3 to 2, as in a healthy eye
        taken: dict[tuple[int, int], int] = {}  # vessels of one kind do not cross
        queue: list[tuple[float, int, Shoot]] = []
        for shoot in _arcades(rng, eye, radius):
            heapq.heappush(queue, (-shoot.radius, len(queue), shoot))
        count = len(queue)
        while queue:
            _, number, shoot = heapq.heappop(queue)
            points, radii, buds = _grow(rng, eye, shoot, taken, number)
            if len(points) < 5:
                continue
            vessels.append(Vessel(points, radii, vein))
            for bud in buds:
                heapq.heappush(queue, (-bud.radius, count, bud))
                count += 1
    return vessels


def _arcades(rng: Rng, eye: Eye, radius: float) -> list[Shoot]:
    """Where the vessels of one kind enter the eye: four arcades, and small ones in between."""
    x, y = eye.disc
    x, y = x + rng.uniform(0.0, 0.22), y + rng.uniform(-0.12, 0.12)  # nasal of the centre
    shoots = []
    for up in (1, -1):
        for nasal, size in ((False, 1.0), (True, 0.78)):
            heading = -up * math.pi / 2 + up * rng.uniform(-0.3, 0.35)
            if nasal:
                heading = -up * rng.uniform(0.6, 1.3)
            thick = radius * size * rng.uniform(0.88, 1.08)
            height = rng.uniform(0.66, 1.0)
            start = x + rng.uniform(-0.1, 0.1), y - up * rng.uniform(0.0, 0.12)
            shoots.append(Shoot(*start, heading, thick, up, nasal, 0, height))
    for _ in range(rng.integers(3, 6)):  # small ones from the disc's margin, either way
        up, nasal = int(rng.choice((1, -1))), bool(rng.random() < 0.5)
        heading = -up * rng.uniform(0.0, 0.6) if nasal else math.pi + up * rng.uniform(0.25, 0.9)
        start = x + 0.3 * math.cos(heading), y + 0.3 * math.sin(heading)
        shoots.append(Shoot(*start, heading, radius * rng.uniform(0.25, 0.42), up, nasal, 1, 0.8))
    return shoots


def _grow(
    rng: Rng, eye: Eye, shoot: Shoot, taken: dict[tuple[int, int], int], number: int
) -> tuple[Points, Points, list[Shoot]]:
    """Let one vessel grow until it is thin, leaves the retina in view, or meets another.

    Its heading follows the course of the fibres and sways: the curvature is a random walk that
    forgets itself within half a millimetre. At a branching, the cubes of the two radii add up to
    the cube of the parent's (Murray's law: the least work to move and to keep the blood).

    Returns:
        Points, radii, and the branches that bud from it.
    """
    x, y, heading, radius, arcade = shoot.x, shoot.y, shoot.heading, shoot.radius, not shoot.depth
    bend, points, radii, buds = 0.0, [], [], []
    wait = rng.uniform(1.0, 1.8) if arcade else rng.uniform(0.3, 0.9)  # mm to the next branching
    side = int(rng.choice((1, -1)))
    for i, push in enumerate(rng.standard_normal(260)):
        clear = math.hypot(x, y) > eye.avascular + 12 * radius and math.hypot(x - 1.5, y) < 8.8
        met = i > 5 and not arcade and _meets(taken, x, y, heading, number)
        if radius < THINNEST or met or not clear:
            break
        points.append((x, y))
        radii.append(radius)
        aim = _arcade_aim(eye, shoot, x, y) if arcade else _branch_aim(shoot, x, y, heading)
        bend += -0.16 * bend + 0.32 * push
        heading += VESSEL_STEP * ((1.1 if arcade else 0.35) * math.sin(aim - heading) + bend)
        x, y = x + VESSEL_STEP * math.cos(heading), y + VESSEL_STEP * math.sin(heading)
        radius *= 1 - VESSEL_STEP * (0.012 if arcade else 0.05)
        wait -= VESSEL_STEP
        if wait < 0:
            share = rng.uniform(0.32, 0.6) if rng.random() < 0.75 else rng.uniform(0.68, 0.8)
            buds.append(_bud(rng, shoot, (x, y), heading, radius, share, side))
            radius *= (1 - share**3) ** (1 / 3)
            heading -= side * 0.55 * share**2  # the parent gives way, the more the larger the bud
            side = -side if rng.random() < 0.7 else side
            wait = rng.uniform(0.35, 1.2) if arcade else rng.uniform(0.25, 1.0)
    taken.update({_cell(*point): number for point in points})
    ends = VESSEL_STEP * np.arange(len(points))[::-1]
    tapered = np.array(radii) * np.sqrt(np.clip((ends + 0.05) / 0.9, 0, 1))
    return np.array(points).reshape(-1, 2), tapered, buds


def _bud(
    rng: Rng,
    shoot: Shoot,
    at: tuple[float, float],
    heading: float,
    radius: float,
    share: float,
    side: int,
) -> Shoot:
    """A branch with a share of its parent's radius, to one side; a thin one turns off sharply."""
    heading += side * rng.uniform(0.5, 1.2) * (1.25 - 0.7 * share)
    depth, height = shoot.depth + 1, shoot.height
    if share > 0.65 and not shoot.depth and radius * share > 0.032:
        # the arcade has forked: one goes on nearer to the fovea, one farther from it
        depth, height = 0, height * (0.72 if side == -shoot.up else 1.35)
    return Shoot(*at, heading, radius * share, shoot.up, shoot.nasal, depth, height)


def _arcade_aim(eye: Eye, shoot: Shoot, x: float, y: float) -> float:
    """Along the fibres, and back to the ellipse of this very arcade."""
    aim = fibre_course(eye, x, y, shoot.up, shoot.nasal, shoot.height)
    if shoot.nasal:
        return aim
    dx, dy = eye.disc
    out = math.hypot(max(x, 0.0), (y - dy * x / dx) / shoot.height) / dx - 1
    return aim - shoot.up * max(-0.8, min(2.0 * out, 0.8))


def _branch_aim(shoot: Shoot, x: float, y: float, heading: float) -> float:
    """Branches go where no other is: those that head for the macula to the fovea, others away."""
    inwards = math.atan2(-y, -x)
    if math.cos(inwards - heading) > 0 and math.hypot(x, y) < 4.0 and not shoot.nasal:
        return inwards
    return math.atan2(y, x - 1.5)


def _cell(x: float, y: float) -> tuple[int, int]:
    return math.floor(x / 0.15), math.floor(y / 0.15)


def _meets(
    taken: dict[tuple[int, int], int], x: float, y: float, heading: float, number: int
) -> bool:
    ahead = _cell(x + 0.2 * math.cos(heading), y + 0.2 * math.sin(heading))
    return taken.get(ahead, number) != number


# ---- vessels in a picture ------------------------------------------------------------------------


@dataclass(frozen=True)
class Layers:
    """What lies on a retina, pixel by pixel, (rows, columns)."""

    blood: Floats  # how much light must cross: 1 in the middle of a large vein
    gloss: Floats  # the light that the walls of arteries throw back
    exudate: Floats  # share of the pixel that is covered
    wool: Floats


def discs(view: View, x: Points, y: Points, r: Points, tone: Points) -> Floats:
    """Round cross-sections of vessels, (rows, columns): the deepest where they overlap.

    Args:
        view: what the picture shows.
        x, y, r: (n,) where they are and their radii, mm; half a pixel apart they make a vessel.
        tone: (n,) how deep the blood is in the middle of one.
    """
    rows, columns = view.shape
    row, column = view.pixel(x, y)
    r = r * view.scale
    reach = np.ceil(r + 0.5).astype(int)
    pad = int(reach.max(initial=1)) + 1
    canvas = np.zeros((rows + 2 * pad, columns + 2 * pad), np.float32)
    seen = (row > -1) & (row < rows) & (column > -1) & (column < columns)
    for n in np.unique(reach[seen]):
        here = seen & (reach == n)
        across, down, radius, deep = (c[here, None, None] for c in (column, row, r, tone))
        i = np.rint(down).astype(int) + np.arange(-n, n + 1)[:, None]
        j = np.rint(across).astype(int) + np.arange(-n, n + 1)
        away = np.hypot(i - down, j - across)
        # a vessel thinner than a pixel covers only a part of it
        cover = np.clip(radius + 0.5 - away, 0, 1) * np.minimum(1, 2 * radius)
        depth = deep * (0.6 + 0.4 * np.sqrt(np.clip(1 - (away / radius) ** 2, 0, 1)))
        np.maximum.at(canvas, (i + pad, j + pad), (cover * depth).astype(np.float32))
    return canvas[pad:-pad, pad:-pad]


def denser(view: View, step: float, *curves: Points) -> list[Points]:
    """Curves whose points are ``step`` mm apart, with a point every half pixel."""
    knots = np.arange(len(curves[0]))
    fine = np.linspace(0, knots[-1], math.ceil(len(knots) * step * view.scale / 0.5) + 1)
    return [np.interp(fine, knots, curve) for curve in curves]


def paint_retinal_vessels(view: View, vessels: Sequence[Vessel]) -> Layers:
    """The vessels of a healthy eye."""
    lines = []
    for v in vessels:  # arterial blood is lighter
        tone = np.full(len(v.radii), 1.0 if v.vein else 0.8)
        lines.append(denser(view, VESSEL_STEP, *v.points.T, v.radii, tone))
    x, y, r, tone = np.concatenate(lines, axis=1)
    # a thin vessel holds little blood
    blood = discs(view, x, y, r, tone * np.clip(r / 0.045, 0.3, 1))
    wall = (tone < 0.9) & (r > 0.03)
    gloss = discs(view, x[wall], y[wall], 0.3 * r[wall], np.ones(wall.sum()))
    return Layers(blood, gloss, np.zeros_like(blood), np.zeros_like(blood))

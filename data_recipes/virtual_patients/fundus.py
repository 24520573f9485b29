"""Virtual photographs of the back of the eye, with diabetic retinopathy or without.

A stand-in for APTOS 2019, and for the fundus photographs of UK Biobank. Every picture is made from
curves and random fields; none shows a person. A network that fails here is broken, and one that
works here has yet to be tried on real photographs.

A case depends on its arguments alone. Anatomy, lesions and camera have random streams of their
own, so one case at two grades is one eye, photographed twice by one camera, with other lesions:
nothing but lesions tells the grade. All pictures are sharp enough to be graded.
"""

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit

from ssl3d_lite.errors import InputError, unknown

from .arrays import Floats, Points, Rng
from .eye import (
    Aperture,
    Eye,
    Layers,
    Vessel,
    View,
    draw_aperture,
    draw_eye,
    grow_vessels,
    paint_retinal_vessels,
    retina_field,
)
from .retinopathy import GRADE_COUNT, Lesion, Spot, paint_lesion, plan_lesions, quadrant_of

APTOS_COUNTS = (1805, 370, 999, 193, 295)  # labelled photographs by grade, 3662 in all
EYES = ("right", "left")
SMALLEST_FUNDUS = 128  # pixels: a microaneurysm is then about two thirds of a pixel wide

# ---- the retina's colours, and the camera --------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """What the two eyes of a person share, and the camera that took both."""

    tint: Floats  # (3,) RGB of the retina
    choroid: float  # how far the vessels beneath the retina show through
    sheen: float  # how much the nerve fibres shine
    gain: Floats  # (3,) of the camera
    blur: float  # mm
    noise: float
    vignette: float
    reach: float  # mm: half the field


TINTS = np.array(
    [(0.86, 0.42, 0.25), (0.82, 0.33, 0.20), (0.70, 0.31, 0.15), (0.56, 0.25, 0.12)], np.float32
)
BLOOD = np.array([0.16, 0.72, 0.42], np.float32)  # optical density: blood takes most of the green
YELLOW = np.array([0.98, 0.86, 0.46], np.float32)
WOOL = np.array([0.95, 0.84, 0.66], np.float32)


def draw_subject(rng: Rng) -> Subject:
    depth = rng.uniform(0, len(TINTS) - 1)  # how dark the pigment is
    tint = np.array([np.interp(depth, np.arange(len(TINTS)), c) for c in TINTS.T], np.float32)
    return Subject(
        tint=tint * rng.uniform(0.94, 1.06, 3).astype(np.float32),
        choroid=rng.uniform(0.02, 0.12),
        sheen=rng.uniform(0.0, 0.08),
        gain=(rng.uniform(0.86, 1.12) * rng.uniform(0.94, 1.06, 3)).astype(np.float32),
        blur=rng.uniform(0.008, 0.022),
        noise=rng.uniform(0.006, 0.016),
        vignette=rng.uniform(0.12, 0.42),
        reach=rng.uniform(6.1, 6.9),  # a field of 43 to 48 degrees
    )


def mix(colour: Floats, other: Floats, share: Floats) -> Floats:
    """``colour`` (rows, columns, 3) with a share (rows, columns) of it replaced."""
    return colour + share[..., None] * (other - colour)


def paint_retina(rng: Rng, view: View, eye: Eye, subject: Subject) -> Floats:
    """The retina without vessels, (rows, columns, 3): pigment, choroid, macula and disc."""
    x, y = (a.astype(np.float32) for a in np.meshgrid(*view.axes()))
    # choroidal vessels are bright bands between dark islands of pigment
    bands = 0.3 * sum(np.tanh(1 - retina_field(rng, view, s) ** 2) for s in (0.95, 0.6, 0.4))
    fovea = np.hypot(x, y)
    bands *= np.clip(fovea / 2.5, 0.2, 1)  # the pigment is densest at the macula
    mottle, grain = retina_field(rng, view, 2.4), retina_field(rng, view, 0.11)
    tone = 1 + subject.choroid * bands + 0.035 * mottle + 0.012 * grain
    warm = 0.03 * retina_field(rng, view, 3.5)
    colour = np.stack([1 + 0.6 * (tone - 1), tone * (1 + warm), tone], axis=-1) * subject.tint
    spread = np.exp(-((fovea / 1.25) ** 2)) * np.float32(eye.pit)
    pit = np.exp(-((fovea / 0.5) ** 2)) * np.float32(eye.pit)
    colour *= 1 - spread[..., None] * np.array([0.08, 0.24, 0.22], np.float32)
    colour *= 1 - pit[..., None] * np.array([0.10, 0.30, 0.40], np.float32)
    colour += 0.04 * np.exp(-((fovea / 0.07) ** 2))[..., None]  # the reflex of its floor
    return paint_disc(rng, x, y, eye, subject, colour)


def paint_disc(
    rng: Rng, x: Floats, y: Floats, eye: Eye, subject: Subject, colour: Floats
) -> Floats:
    """Add the optic disc, with its cup, and the fibres that leave it."""
    dx, dy = x - np.float32(eye.disc[0]), y - np.float32(eye.disc[1])
    angle, away = np.arctan2(dy, dx), np.hypot(dx, dy)
    stripes = sum(np.cos(k * angle + p) for k, p in zip((47, 83, 118, 157), rng.uniform(0, 6, 4)))
    fan = np.exp(-(((np.abs(np.sin(angle)) - 0.85) / 0.25) ** 2)) * np.exp(
        -(((away - 1) / 1.6) ** 2)
    )
    sheen = fan * (1 + 0.15 * stripes) * np.float32(subject.sheen)
    colour = colour + sheen[..., None] * np.array([0.7, 1.0, 1.0], np.float32)
    d = np.hypot(dx / eye.radii[0], dy / eye.radii[1])
    wobble = rng.normal(0, 0.012, 3)
    d = d * (1 + sum(w * np.cos(k * angle) for k, w in enumerate(wobble, start=1)))
    halo = 0.25 * np.exp(-(((d - 1).clip(0) / 0.22) ** 2))
    colour = mix(colour, np.array([0.93, 0.56, 0.36], np.float32), halo)
    rim = eye.crescent * np.exp(-(((d - 1.08) / 0.06) ** 2)) * np.clip(-np.cos(angle), 0, 1) ** 2
    colour *= 1 - 0.5 * rim[..., None]
    tissue = mix(  # pale on the temporal side, pink on the nasal one, where the fibres are thick
        np.broadcast_to(np.array([0.97, 0.74, 0.49], np.float32), colour.shape),
        np.array([0.95, 0.58, 0.38], np.float32),
        expit(2.5 * dx / eye.radii[0]),
    )
    cup = np.hypot(dx / eye.radii[0] + 0.08, dy / eye.radii[1])
    tissue = mix(tissue, np.array([1.0, 0.86, 0.60], np.float32), expit((eye.cup - cup) / 0.09))
    return mix(colour, tissue, expit((1 - d) / 0.045))


def photograph(
    rng: Rng, view: View, subject: Subject, retina: Floats, layers: Layers
) -> NDArray[np.uint8]:
    """What the camera makes of a retina and what lies on it, (rows, columns, 3) uint8."""
    colour = mix(retina, YELLOW, layers.exudate)
    colour *= np.exp(-layers.blood[..., None] * BLOOD)
    colour += 0.06 * layers.gloss[..., None]
    colour = mix(colour, WOOL, layers.wool)
    x, y = view.axes()
    x, y = ((x - view.x) / view.reach)[None], ((y - view.y) / view.reach)[:, None]
    away, tilt = np.hypot(x, y), rng.uniform(-0.08, 0.08, 2)
    light = 1.06 - subject.vignette * away**3 + tilt[0] * x + tilt[1] * y
    colour = colour * (light[..., None] * subject.gain).astype(np.float32)
    colour += glare(rng, x, y)[..., None] * np.array([0.9, 1.0, 0.95], np.float32)
    sigma = math.hypot(subject.blur * view.scale, 0.35)
    colour = ndimage.gaussian_filter(colour, (sigma, sigma, 0))
    colour += subject.noise * rng.standard_normal(colour.shape, dtype=np.float32)
    colour *= np.clip((1 - away) * view.reach * view.scale + 0.5, 0, 1)[..., None]
    return np.rint(255 * colour.clip(0, 1)).astype(np.uint8)


def glare(rng: Rng, x: Points, y: Points) -> Floats:
    """In one picture of four, a crescent of stray light at the aperture's rim."""
    strength = 0.35 * max(rng.uniform(-3, 1), 0.0)
    angle = rng.uniform(-math.pi, math.pi)
    towards = np.clip(x * math.cos(angle) + y * math.sin(angle), 0, None)
    return (strength * np.exp(-(((1 - towards).clip(0) / 0.08) ** 1.5))).astype(np.float32)


# ---- one case ------------------------------------------------------------------------------------


def fundus_case(
    seed: int,
    index: int,
    grade: int = 0,
    edge: int = 512,
    eye: str = "right",
    frame: Aperture | None = None,
) -> tuple[NDArray[np.uint8], tuple[Lesion, ...]]:
    """One photograph, (rows, columns, 3) RGB, and its lesions.

    Args:
        seed, index: what makes it this person.
        grade: of diabetic retinopathy, 0 to 4; see :data:`~.retinopathy.FINDINGS`.
        edge: the photograph's height in pixels, 128 or more; everything in it scales along.
        eye: "right" or "left"; a person's two eyes share pigment and camera.
        frame: how the aperture lies in the picture; drawn as they occur in APTOS by default.

    Raises:
        InputError: a negative seed or index, no such grade or eye, or too small an edge.
    """
    _check_case(seed, index, grade, edge, eye, frame)
    subject, view, this, vessels = look(seed, index, edge, eye, frame)
    surface, disease, camera = _streams(seed, index, eye)[2:5]
    retina = paint_retina(surface, view, this, subject)
    layers = paint_retinal_vessels(view, vessels)
    spots = plan_lesions(disease, grade, view, this, vessels)
    for spot in spots:
        paint_lesion(disease, view, this, vessels, spot, layers)
    picture = photograph(camera, view, subject, retina, layers)
    return picture, tuple(_in_pixels(view, spot) for spot in spots)


def look(
    seed: int, index: int, edge: int = 512, eye: str = "right", frame: Aperture | None = None
) -> tuple[Subject, View, Eye, tuple[Vessel, ...]]:
    """What :func:`fundus_case` paints: the person, the view of the eye, its anatomy and vessels."""
    person, aim = _streams(seed, index, eye)[:2]
    subject, usual = draw_subject(person), draw_aperture(person)
    x, y = aim.uniform(-0.4, 2.2), aim.uniform(-0.6, 0.5)  # between fovea and disc
    view = View(frame or usual, edge, 1 if eye == "right" else -1, x, y, subject.reach)
    return subject, view, *_anatomy(seed, index, eye)


@functools.lru_cache(maxsize=64)  # for those who want one eye at several edges or grades
def _anatomy(seed: int, index: int, eye: str) -> tuple[Eye, tuple[Vessel, ...]]:
    rng = _streams(seed, index, eye)[-1]
    this = draw_eye(rng)
    return this, tuple(grow_vessels(rng, this))


def _streams(seed: int, index: int, eye: str) -> list[Rng]:
    """Random streams: the person's, and this eye's aim, surface, lesions, camera, anatomy."""
    person, *eyes = np.random.default_rng([seed, index]).spawn(3)
    return [person, *eyes[EYES.index(eye)].spawn(5)]


def _in_pixels(view: View, spot: Spot) -> Lesion:
    row, column = view.pixel(spot.x, spot.y)
    quadrant = quadrant_of(spot.x, spot.y)
    return Lesion(spot.kind, row, column, spot.radius * view.scale, quadrant)


def _check_case(
    seed: int, index: int, grade: int, edge: int, eye: str, frame: Aperture | None
) -> None:
    if min(seed, index) < 0:
        raise InputError(f"seed and index must be 0 or more, not {seed} and {index}")
    if grade not in range(GRADE_COUNT):
        raise InputError(f"grade must be 0 to {GRADE_COUNT - 1}, not {grade}")
    if edge < SMALLEST_FUNDUS:
        raise InputError(f"edge must be at least {SMALLEST_FUNDUS} pixels, not {edge}")
    if eye not in EYES:
        raise unknown("eye", eye, EYES)
    if frame is not None and not (frame.aspect >= 0.95 and 0.5 <= frame.diameter <= 1.25):
        raise InputError(
            "a frame's aspect must be at least 0.95 and its diameter 0.5 to 1.25, or it hides too "
            f"much of the retina; not {frame.aspect:g} and {frame.diameter:g}"
        )


def draw_grade(seed: int, index: int) -> int:
    """The grade of a case, drawn with the frequencies of APTOS 2019."""
    rng = np.random.default_rng([seed, index, 1])  # not a stream of the picture
    return int(rng.choice(GRADE_COUNT, p=np.array(APTOS_COUNTS) / sum(APTOS_COUNTS)))

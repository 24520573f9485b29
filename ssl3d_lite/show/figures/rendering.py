"""A scan rendered in 3D: the nearest surface that each ray meets, lit from above.

A corner is cut away where the labels lie, so that one sees the scan on the cut, and the labels
standing in it. It takes numpy and scipy alone, where a browser's view has WebGL.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from scipy.ndimage import (
    affine_transform,
    binary_closing,
    binary_fill_holes,
    gaussian_filter,
    map_coordinates,
)

from ssl3d_lite.show.arrays import air, greys
from ssl3d_lite.show.pieces import class_colour

MOST_EDGE = 96  # voxels; a larger scan is thinned
SIDE = 300  # pixels of the picture
STRIDE = 0.8  # the step of a ray, in edges of a voxel
LIGHT = np.array([0.25, 0.5, 0.83])  # to the reader's right, towards the reader, up
AMBIENT = 0.4
SURFACE = 0.9  # the grey of a surface that borders on air
TISSUE = 0.12  # from this grey on a voxel is tissue, where a scan has air about it


def eye(turn: Sequence[float]) -> np.ndarray:
    """Directions to the reader's right, towards the reader, and up: the rows of (3, 3).

    At (0, 0) the reader looks at the patient's front; the angles, in degrees, turn the eye to the
    patient's right, and up.
    """
    (a, e), cos, sin = np.deg2rad(turn), np.cos, np.sin
    return np.array(
        [
            (-cos(a), sin(a), 0),
            (sin(a) * cos(e), cos(a) * cos(e), sin(e)),
            (-sin(e) * sin(a), -sin(e) * cos(a), cos(e)),
        ]
    )


def draw_compass(axes: Axes, turn: Sequence[float]) -> None:
    """Show at the lower left where the patient's right, front and top are."""
    right, _, up = eye(turn)
    corner = axes.inset_axes((0, 0, 0.17, 0.17))
    for name, *way in zip("RAS", right, up, strict=True):
        corner.plot([0, way[0]], [0, way[1]], color="#444444", linewidth=1.2)
        across, along = 1.5 * np.array(way)
        corner.text(across, along, name, ha="center", va="center", fontsize=8, color="#444444")
    corner.set(xlim=(-1.6, 1.6), ylim=(-1.2, 1.8), aspect="equal")
    corner.set_axis_off()


def rendered(
    image: np.ndarray,
    classes: np.ndarray | None = None,
    spacing: Sequence[float] = (1, 1, 1),
    turn: Sequence[float] = (30, 25),
) -> np.ndarray:
    """A picture of a scan in 3D, float (SIDE, SIDE, 3), white where there is nothing.

    Args:
        image: (*space).
        classes: (*space) of whole numbers; 0 is nothing. Each class stands in its colour.
        spacing: edges of a voxel.
        turn: see :func:`eye`.
    """
    thin = (slice(None, None, -(-max(image.shape) // MOST_EDGE)),) * 3
    image, classes = image[thin], np.zeros(0) if classes is None else classes[thin]
    shades = greys(image, air(image)).astype(np.float32) / 255
    towards = np.where(eye(turn)[1] < 0, -1, 1)
    body = body_of(shades)
    near = _about((body > 0.5) | (classes > 0 if classes.size else False))
    body, shades, classes = body[near], shades[near], classes[near] if classes.size else classes
    if classes.any():
        cut = _cut(np.argwhere(classes), towards, 0.1)
    else:
        cut = _cut(np.argwhere(body > 0.5), towards, 0.5)
    body[tuple(slice(a + 1, None) if s > 0 else slice(0, a) for a, s in zip(cut, towards))] = 0
    scene = _Scene(body.shape, np.asarray(spacing, float), eye(turn))
    scene.paint(body, (SURFACE,) * 3, shades, cut + towards / 2, towards)
    for number in np.unique(classes[classes > 0]):
        scene.paint(_smooth(classes == number), to_rgb(class_colour(int(number))))
    return scene.picture


def body_of(shades: np.ndarray) -> np.ndarray:
    """Where the scan shows a body, from 0 to 1; everywhere, where there is no air about it."""
    tissue = shades > TISSUE
    if (shades < TISSUE / 2).mean() < 0.1:
        return np.ones_like(shades)
    closed = binary_closing(np.pad(tissue, 3), iterations=3)[3:-3, 3:-3, 3:-3] | tissue
    filled = [binary_fill_holes(closed[..., place]) for place in range(tissue.shape[2])]
    return gaussian_filter(np.stack(filled, 2).astype(np.float32), 0.5)


def _about(shown: np.ndarray) -> tuple[slice, ...]:
    """The box about what is shown, two voxels wider, where the scan goes on; else everything."""
    there = np.argwhere(shown if shown.any() else np.ones_like(shown))
    ends = zip(np.maximum(there.min(0) - 2, 0), there.max(0) + 3, strict=True)
    return tuple(slice(low, high) for low, high in ends)


def _cut(places: np.ndarray, towards: np.ndarray, share: float) -> np.ndarray:
    """The voxel on each axis from which on the corner towards the eye is cut away.

    Of ``places`` (voxel, 3) that ``share`` lies on the far side of each axis.
    """
    shares = np.where(towards > 0, share, 1 - share)
    return np.array(
        [np.quantile(along, each) for along, each in zip(places.T, shares, strict=True)]
    ).astype(int)


def _smooth(mask: np.ndarray) -> np.ndarray:
    soft = gaussian_filter(mask.astype(np.float32), 0.7)
    return soft / max(2 * float(soft[mask].min()), float(soft.max()), 1e-6)


@dataclass
class _Scene:
    """A picture, and how far from the eye what it shows is."""

    shape: Sequence[int]
    spacing: np.ndarray
    to_eye: np.ndarray
    picture: np.ndarray = field(default_factory=lambda: np.ones((SIDE, SIDE, 3)))

    def __post_init__(self) -> None:
        right, near, up = self.to_eye
        edges = np.array(self.shape) * self.spacing
        wide, deep, high = np.abs(self.to_eye) @ edges
        pixel, stride = 1.02 * max(wide, high) / SIDE, STRIDE * self.spacing.min()
        self.steps = int(deep / stride) + 1
        # (row from the top, column, step away from the eye) → voxel
        self.matrix = np.stack([-pixel * up, pixel * right, -stride * near], 1)
        self.matrix /= self.spacing[:, None]
        middle = (np.array([SIDE, SIDE, self.steps]) - 1) / 2
        self.start = (np.array(self.shape) - 1) / 2 - self.matrix @ middle
        self.depth = np.full((SIDE, SIDE), self.steps)

    def paint(
        self,
        solid: np.ndarray,
        colour: Sequence[float],
        shades: np.ndarray | None = None,
        cut: np.ndarray | None = None,
        towards: np.ndarray | None = None,
    ) -> None:
        """Paint the surface at which ``solid`` is 0.5, where nothing nearer has been painted.

        Args:
            colour: of the surface, red, green and blue.
            shades: greys, which are painted on cuts and on the scan's borders instead.
            cut: the position of a cut on each axis.
            towards: to which side of it the eye is, -1 or 1.
        """
        hits = self._hits(solid)
        hits = hits[:, hits[2] < self.depth[hits[0], hits[1]]]
        voxels = self.matrix @ hits + self.start[:, None]
        normals = self._normals(solid, voxels)
        colours = np.tile(np.asarray(colour, float), (hits.shape[1], 1))
        flat = np.zeros(hits.shape[1], bool)
        if shades is not None and cut is not None and towards is not None:
            flat, axis = _on_a_face(voxels, solid.shape, cut, towards)
            normals[:, flat] = np.eye(3)[:, axis[flat]] * towards[:, None]
            greys_there = map_coordinates(shades, voxels[:, flat], order=1, mode="nearest")
            colours[flat] = greys_there[:, None]
        lit = AMBIENT + (1 - AMBIENT) * ((LIGHT @ self.to_eye) @ normals).clip(0)
        lit[flat] = 0.7 + 0.3 * lit[flat]  # there the scan's own greys count
        self.picture[hits[0], hits[1]] = (colours * lit[:, None]).clip(0, 1)
        self.depth[hits[0], hits[1]] = hits[2]

    def _hits(self, solid: np.ndarray) -> np.ndarray:
        """The first step of each ray that is inside: (3, hit), row, column and step."""
        inside = np.argwhere(solid > 0.25)
        if not len(inside):
            return np.zeros((3, 0), int)
        ends = np.stack([inside.min(0) - 1, inside.max(0) + 1])
        corners = np.stack(np.meshgrid(*ends.T), -1).reshape(-1, 3)
        seen = np.linalg.solve(self.matrix, (corners - self.start).T)
        most = np.array([SIDE, SIDE, self.steps])
        low = np.maximum(np.floor(seen.min(1)), 0).astype(int)
        size = np.minimum(np.ceil(seen.max(1)).astype(int) + 1, most) - low
        start = self.start + self.matrix @ low
        rim = np.pad(solid, 1)  # beyond its voxels' middles scipy knows nothing
        along = affine_transform(rim, self.matrix, start + 1, tuple(size), order=1)
        first, any_ = (along > 0.5).argmax(2), (along > 0.5).any(2)
        return np.stack([*np.nonzero(any_), first[any_]]) + low[:, None]

    def _normals(self, solid: np.ndarray, voxels: np.ndarray) -> np.ndarray:
        """Directions out of the surface: (3, hit)."""
        slopes = zip(np.gradient(np.pad(solid, 1)), self.spacing, strict=True)
        out = [-map_coordinates(slope, voxels + 1, order=1) / edge for slope, edge in slopes]
        return np.stack(out) / np.maximum(np.linalg.norm(out, axis=0), 1e-6)


def _on_a_face(
    voxels: np.ndarray, shape: Sequence[int], cut: np.ndarray, towards: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Whether hits (3, hit) lie on a cut or on the scan's border, and across which axis."""
    ends = np.where(towards > 0, np.array(shape) - 0.5, -0.5)
    beyond = towards[:, None] * (voxels - cut[:, None])  # voxels beyond each cut
    in_corner = np.stack([np.delete(beyond, a, 0).min(0) > -1 for a in range(3)])
    off_cut = np.where(in_corner, np.abs(beyond), np.inf)
    off = np.minimum(off_cut, np.abs(voxels - ends[:, None]))
    return off.min(0) < 1, off.argmin(0)

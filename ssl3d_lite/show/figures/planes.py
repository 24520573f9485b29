"""Planes of scans and of pieces, drawn on matplotlib's axes: what all figures are made of."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.figure import Figure, SubFigure
from matplotlib.patches import Polygon
from matplotlib.patheffects import withStroke
from scipy.spatial import ConvexHull

from ssl3d_lite.show.arrays import air, as_colours
from ssl3d_lite.show.pieces import SCAN_COLOURS, class_colour
from ssl3d_lite.show.words import SIDES

STROKE = [withStroke(linewidth=2, foreground="black")]  # white letters are read on any scan
# style of a name on the left of axes
LEFT_OF_AXES: dict[str, Any] = {"fontsize": 9, "ha": "right", "va": "center"}

PLANE_NAMES = ("sagittal", "coronal", "axial")  # the plane across axis 0, 1, 2 of an RAS volume


BAR = 10  # length of the scale bar: mm, or voxels where these have no known size
THIN = 0.3  # height of a plane over its width, below which letters find no room in it


@dataclass(frozen=True)
class PlaneScale:
    """The planes of one scan, or of several, as a figure draws them: all at one magnification.

    Axes of one row are equally tall, those of one column equally wide, whatever lies in them.
    """

    shape: Sequence[int]  # voxels; of several scans the most along each axis
    spacing: Sequence[float] | None = None  # edges of a voxel, mm; None where it is not known

    def extent(self, axis: int) -> np.ndarray:
        """Width and height of the plane across ``axis``, in mm (or voxels)."""
        edges = np.ones(len(self.shape)) if self.spacing is None else np.array(self.spacing)
        whole = np.array(self.shape) * edges
        return whole[:2] if len(whole) == 2 else np.delete(whole, axis)

    def row(
        self, figure: Figure | SubFigure, planes: Sequence[int], bar: bool = True
    ) -> Iterator[tuple[int, Axes]]:
        """Axes for planes side by side, with the axis across which each lies.

        They are to be drawn one after another: each is finished when the next is asked for.
        """
        widths = [self.extent(axis)[0] for axis in planes]
        tall = max(self.extent(axis)[1] for axis in planes)
        grid = figure.subplots(1, len(planes), squeeze=False, width_ratios=widths)[0]
        for axis, axes in zip(planes, grid, strict=True):
            yield axis, axes
            self.finish(axes, axis, tall=tall, bar=bar and axis == planes[0])

    def finish(
        self,
        axes: Axes,
        axis: int,
        wide: float = 0,
        tall: float = 0,
        bar: bool = False,
        letters: float = 8,
    ) -> None:
        """Give a plane that was drawn its proportions, the letters of its sides, and a scale bar.

        Args:
            wide, tall: room for wider and taller planes, in mm (or voxels).
            letters: their size, in points.
        """
        across, up = (0, 1) if len(self.shape) == 2 else tuple(a for a in range(3) if a != axis)
        edges = (1.0,) * len(self.shape) if self.spacing is None else self.spacing
        (width, height), shape = self.extent(axis), self.shape
        beside = max(0.0, wide - width) / edges[across] / 2
        axes.set_xlim(-0.5 - beside, shape[across] - 0.5 + beside)
        axes.set_ylim(-0.5 - max(0.0, tall - height) / edges[up], shape[up] - 0.5)
        axes.set_aspect(edges[up] / edges[across])
        outside = height < THIN * width
        if len(shape) == 3:  # a picture's sides have no names
            sides = (*SIDES[3][across], *SIDES[3][up])
            letter_sides(axes, shape[across], shape[up], sides, size=letters, outside=outside)
        if bar and (len(shape) == 3 or self.spacing is not None):
            unit = "voxels" if self.spacing is None else "mm"
            scale_bar(axes, BAR / edges[across], unit, shape[across], shape[up], outside)


def letter_sides(
    axes: Axes,
    wide: float,
    tall: float,
    letters: Sequence[str],
    left: float = 0,
    size: float = 8,
    outside: bool = False,
) -> None:
    """Write letters at the left, right, lower and upper edge of a plane of so many voxels.

    Args:
        left: the position of the first voxel's middle on the axes.
        outside: whether those of the lower and upper edge stand outside: in a thin plane they would
            lie on each other, or the upper one below the lower one.
    """
    across, up = left + (wide - 1) / 2, (tall - 1) / 2
    away, (lower, upper) = (-1, ("top", "bottom")) if outside else (3, ("bottom", "top"))
    places = [
        ((left - 0.5, up), (3, 0), "left", "center"),
        ((left + wide - 0.5, up), (-3, 0), "right", "center"),
        ((across, -0.5), (0, away), "center", lower),
        ((across, tall - 0.5), (0, -away), "center", upper),
    ]
    for letter, (place, moved, ha, va) in zip(letters, places, strict=True):
        aside: dict[str, Any] = {"xytext": moved, "textcoords": "offset points", "ha": ha, "va": va}
        axes.annotate(letter, place, **aside, **white_text(size))


def scale_bar(
    axes: Axes, length: float, unit: str, wide: float, tall: float, outside: bool = False
) -> None:
    """Draw a bar of ``BAR`` mm (or voxels), ``length`` voxels long, at the lower left of a plane of
    so many voxels; its length in words above it, or ``outside``, below the plane."""
    left, low = -0.5 + 0.03 * wide, -0.5 + 0.04 * tall
    style: dict[str, Any] = {"color": "white", "linewidth": 2, "path_effects": STROKE}
    axes.plot([left, left + length], [low, low], gid="scale bar", **style)
    above: dict[str, Any] = {"xytext": (0, 3), "textcoords": "offset points", "va": "bottom"}
    below = above | {"xytext": (0, -4), "va": "top"}
    words = below if outside else above
    axes.annotate(f"{BAR} {unit}", (left, low), **words, **white_text(6))


def draw_plane(axes: Axes, volume: np.ndarray, axis: int = 2, place: int | None = None) -> None:
    """Draw the plane across ``axis`` at voxel ``place`` (the middle by default), up being up.

    ``volume`` is (*space) in RAS orientation; a 2D image is drawn whole. Air is drawn black.
    """
    draw_scan_plane(axes, volume[None], axis, place)


def draw_scan_plane(axes: Axes, image: np.ndarray, axis: int = 2, place: int | None = None) -> None:
    """The same of a scan with channels, (channel, *space), of which the first is drawn; of a 2D
    picture with three channels its colours."""
    nothing = air(image[0])
    tissue = image[0][~nothing]
    # z-scores make air a middle grey; a border that is white stays so
    grey = nothing.any() and tissue.size and tissue.min() < image[0][nothing][0] < tissue.max()
    draw_image(axes, image, axis, place, nothing=nothing if grey else None)


def draw_image(
    axes: Axes,
    image: np.ndarray,
    axis: int = 2,
    place: int | None = None,
    corner: Sequence[float] = (0, 0),
    window: tuple[float, float] | None = None,
    nothing: np.ndarray | None = None,
) -> None:
    """Draw the plane of an image with channels.

    Args:
        image: (channel, *space). Three channels of a 2D image are its red, green and blue;
            otherwise the first channel is drawn.
        axis: the plane lies across this axis.
        place: the voxel along that axis, the middle by default.
        corner: the position on the axes of the first pixel's middle.
        window: values drawn black and white; by default the lowest and highest of the plane.
        nothing: (*space) bool, what is drawn black.
    """
    if image.ndim == 3 and len(image) == 3:
        pixels = as_colours(image)
    else:
        pixels = _plane_of(image[0], axis, place)
        if nothing is not None:
            pixels, window = _blackened(pixels, _plane_of(nothing, axis, place), window)
    (left, bottom), (height, width) = np.subtract(corner, 0.5), pixels.shape[:2]
    low, high = window or (pixels.min(), pixels.max())
    if low == high:  # one value alone is grey: neither black nor white
        low, high = low - 1, high + 1
    axes.imshow(
        pixels,
        cmap="gray",
        origin="lower",
        interpolation="nearest",
        extent=(left, left + width, bottom, bottom + height),
        vmin=low,
        vmax=high,
    )
    axes.set_axis_off()


def _blackened(
    pixels: np.ndarray, clear: np.ndarray, window: tuple[float, float] | None
) -> tuple[np.ndarray, tuple[float, float] | None]:
    """A plane in which what is ``clear`` is black, and its window."""
    if clear.all():
        return pixels, (pixels.min(), pixels.min() + 1)
    return np.where(clear, window[0] if window else pixels[~clear].min(), pixels), window


def _plane_of(volume: np.ndarray, axis: int, place: int | None) -> np.ndarray:
    """A plane of a volume (*space) as (row, column), the middle one by default; a picture whole."""
    if volume.ndim == 2:
        return volume.T
    return np.take(volume, volume.shape[axis] // 2 if place is None else place, axis).T


def colours_of(names: Sequence[str] = ()) -> list[str]:
    """Colours of classes 1, 2, …, as many as there are; of those with names only theirs."""
    named = [class_colour(number, name) for number, name in enumerate(names) if number]
    return named or list(SCAN_COLOURS)


def overlay_classes(
    axes: Axes,
    classes: np.ndarray,
    axis: int,
    place: int,
    names: Sequence[str] = (),
    opacity: float = 0.55,
    own: Sequence[str] = (),
) -> None:
    """Lay classes 1, 2, … over a plane drawn by :func:`draw_plane`; class 0 stays clear.

    Args:
        own: colours of classes 1, 2, …; by default those that classes have everywhere.
    """
    plane = np.take(classes, place, axis) if classes.ndim == 3 else classes
    own = own or colours_of(names)
    colours = [(0, 0, 0, 0), *((*to_rgb(colour), opacity) for colour in own)]
    axes.imshow(
        plane.T,
        cmap=ListedColormap(colours),
        vmin=0,
        vmax=len(colours) - 1,
        origin="lower",
        interpolation="nearest",
    )


def outline_box(
    axes: Axes, corners: np.ndarray, axis: int, colour: str, width: float = 1.6, line: str = "-"
) -> None:
    """Draw the silhouette of a box, which in 3D is looked at along ``axis``.

    Args:
        corners: (2^D, D), in voxels.
    """
    flat = corners if corners.shape[1] == 2 else np.delete(corners, axis, 1)
    hull = ConvexHull(flat)
    style: dict[str, Any] = {"edgecolor": colour, "linewidth": width, "linestyle": line}
    axes.add_patch(Polygon(flat[hull.vertices], fill=False, **style))


def white_text(size: float) -> dict[str, Any]:
    """Style of white letters with a black rim."""
    return {"color": "white", "fontsize": size, "path_effects": STROKE}

"""Planes of scans and of pieces, drawn on matplotlib's axes: what all figures are made of."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.patches import Polygon
from matplotlib.patheffects import withStroke
from scipy.spatial import ConvexHull

from ssl3d_lite.show.pieces import COLOURS

STROKE = [withStroke(linewidth=2, foreground="black")]  # white letters are read on any scan
# style of a name on the left of axes
LEFT_OF_AXES: dict[str, Any] = {"fontsize": 9, "ha": "right", "va": "center"}

PLANE_NAMES = ("sagittal", "coronal", "axial")  # the plane across axis 0, 1, 2 of an RAS volume


def draw_plane(axes: Axes, volume: np.ndarray, axis: int = 2, place: int | None = None) -> None:
    """Draw the plane across ``axis`` at voxel ``place`` (the middle by default), up being up.

    ``volume`` is (*space) in RAS orientation; a 2D image is drawn whole.
    """
    draw_image(axes, volume[None], axis, place)


def draw_image(
    axes: Axes,
    image: np.ndarray,
    axis: int = 2,
    place: int | None = None,
    corner: Sequence[float] = (0, 0),
    window: tuple[float, float] | None = None,
) -> None:
    """Draw the plane of an image with channels.

    Args:
        image: (channel, *space). Three channels of a 2D image are its red, green and blue;
            otherwise the first channel is drawn.
        axis: the plane lies across this axis.
        place: the voxel along that axis, the middle by default.
        corner: the position on the axes of the first pixel's middle.
        window: values drawn black and white; by default the lowest and highest of the plane.
    """
    if image.ndim == 3 and len(image) == 3:
        pixels = as_colours(image)
    else:
        pixels = image[0].T
        if image.ndim == 4:
            middle = image.shape[1 + axis] // 2
            pixels = np.take(image[0], middle if place is None else place, axis).T
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


def as_colours(image: np.ndarray) -> np.ndarray:
    """Channels red, green and blue (3, x, y) as a picture (y, x, 3) from 0 to 1."""
    picture = image.T.astype(np.float32)
    if picture.min() < 0 or picture.max() > 1:  # scaled otherwise than to [0, 1]
        low, high = np.percentile(picture, (1, 99))
        picture = (picture - low) / max(high - low, 1e-6)
    return picture.clip(0, 1)


def overlay_classes(axes: Axes, classes: np.ndarray, axis: int, place: int) -> None:
    """Lay classes 1, 2, … over a plane drawn by :func:`draw_plane`; class 0 stays clear."""
    plane = np.take(classes, place, axis) if classes.ndim == 3 else classes
    colours = [(0, 0, 0, 0), *((*to_rgb(c), 0.55) for c in COLOURS)]
    axes.imshow(
        plane.T,
        cmap=ListedColormap(colours),
        vmin=0,
        vmax=len(colours) - 1,
        origin="lower",
        interpolation="nearest",
    )


def outline_box(
    axes: Axes, corners: np.ndarray, axis: int, colour: str, width: float = 1.6
) -> None:
    """Draw the silhouette of a box, which in 3D is looked at along ``axis``.

    Args:
        corners: (2^D, D), in voxels.
    """
    flat = corners if corners.shape[1] == 2 else np.delete(corners, axis, 1)
    hull = ConvexHull(flat)
    axes.add_patch(Polygon(flat[hull.vertices], fill=False, edgecolor=colour, linewidth=width))


def white_text(size: float) -> dict[str, Any]:
    """Style of white letters with a black rim."""
    return {"color": "white", "fontsize": size, "path_effects": STROKE}

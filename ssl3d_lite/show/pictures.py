"""Small pictures, pixel for voxel, as the browser and a film draw them: planes, maps, pieces."""

from collections.abc import Sequence

import numpy as np
from matplotlib.colors import to_rgb

from .arrays import as_colours
from .pieces import class_colour

Picture = np.ndarray  # uint8, (row, column) from the top left, or (row, column, 3) in colour
GAP = 1  # between planes and pieces, pixels


def grey_range(image: np.ndarray) -> tuple[float, float]:
    """The values that are drawn black and white."""
    low, high = np.percentile(image, (1, 99))
    return (low, high) if high > low else (low - 1, low + 1)


def planes(image: np.ndarray, window: tuple[float, float] | None = None) -> Picture:
    """The sagittal, coronal and axial plane of a volume side by side, or a 2D image, up being up.

    Args:
        image: (channel, *space). The first channel is drawn; three channels of a 2D image are its
            red, green and blue.
        window: values drawn black and white.
    """
    if image.ndim == 3 and len(image) == 3:
        return (255 * as_colours(image)).astype(np.uint8)[::-1]
    first = image[0]
    parts = (
        [first] if first.ndim == 2 else [first.take(n // 2, a) for a, n in enumerate(first.shape)]
    )
    low, high = window or grey_range(first)
    shades = [((part - low) / (high - low)).clip(0, 1) * 255 for part in parts]
    tall = max(shade.shape[1] for shade in shades)
    return _joined([_padded(shade.T[::-1].astype(np.uint8), tall) for shade in shades], 1)


def class_planes(classes: np.ndarray, names: Sequence[str]) -> Picture:
    """The same planes of a map (*space) of classes, each in its colour; class 0 is black."""
    colours = np.zeros((256, 3), np.uint8)
    colours[-1] = 255  # what lies between planes
    for number, name in enumerate(names[1:], start=1):
        colours[number] = np.round(255 * np.array(to_rgb(class_colour(number, name))))
    return colours[planes(classes[None].astype(np.float32), (0, 255))]


def over(picture: Picture, colours: Picture, opacity: float = 1) -> Picture:
    """A grey picture, with those colours over it that are not black."""
    grey = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, -1)
    mixed = np.rint(grey + opacity * (colours.astype(float) - grey)).astype(np.uint8)
    return np.where(colours.any(-1, keepdims=True), mixed, grey)


def _padded(picture: Picture, tall: int) -> Picture:
    return np.pad(picture, ((tall - len(picture), 0), (0, 0)), constant_values=255)


def _joined(pictures: Sequence[Picture], axis: int) -> Picture:
    """Pictures of the same height (axis 1) or width (axis 0) beside each other, white between."""
    shape = list(pictures[0].shape)
    shape[axis] = GAP
    gap = np.full(shape, 255, np.uint8)
    return np.concatenate([part for picture in pictures for part in (gap, picture)][1:], axis)


def stacked(pictures: Sequence[Picture]) -> Picture:
    return _joined(pictures, 0)


def laid_out(images: Sequence[np.ndarray], grid: Sequence[int]) -> Picture:
    """The pieces of a 2D grid, or of a 3D grid's middle layer, each in the cell it is shown in."""
    cells = np.arange(len(images)).reshape(grid)
    cells = cells[..., grid[2] // 2] if len(grid) == 3 else cells.reshape(len(cells), -1)
    columns = [_joined([_axial(images[cell]) for cell in column[::-1]], 0) for column in cells]
    return _joined(columns, 1)


def _axial(image: np.ndarray) -> Picture:
    """The middle axial plane of a piece, or the 2D piece."""
    return planes(image[..., image.shape[-1] // 2] if image.ndim == 4 else image)

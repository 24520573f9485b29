"""A scan in 3D. A head or a body stands free; a crop would be a solid box, so three of its planes
are shown in its place, which cross where one has looked in 2D."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .camera import Viewer, keep_head_up

BOXLIKE = 0.5  # share of bright voxels on the sides of what is bright, from which on it is a crop
BRIGHT = 0.1  # where black is 0 and white is 1


def is_crop(volume: np.ndarray, limits: Sequence[float]) -> bool:
    """Whether what is seen of a volume fills a box, as a part that was cut out of a body does.

    The sides of the smallest box about a head are nearly empty; those of a crop are full.
    """
    seen = volume > limits[0] + BRIGHT * (limits[1] - limits[0])
    if volume.ndim != 3 or not seen.any():
        return False
    across = [np.flatnonzero(seen.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    box = seen[tuple(slice(each[0], each[-1] + 1) for each in across)]
    sides = [np.take(box, end, axis).mean() for axis in range(3) for end in (0, -1)]
    return bool(np.mean(sides) > BOXLIKE)


def crossing_planes(
    volume: np.ndarray, place: Sequence[float], darkest: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three planes of a volume as one of napari's surfaces: vertices, triangles, values.

    Args:
        volume: (x, y, z).
        place: the voxel in which they cross.
        darkest: what is darker is air, and left out.
    """
    vertices, triangles, values, count = [], [], [], 0
    for axis in range(3):
        at = int(np.clip(round(float(place[axis])), 0, volume.shape[axis] - 1))
        grid = np.indices([1 if a == axis else edge for a, edge in enumerate(volume.shape)])
        grid[axis] = at
        numbers = count + np.arange(grid[0].size).reshape(np.delete(volume.shape, axis))
        a, b, c, d = numbers[:-1, :-1], numbers[1:, :-1], numbers[:-1, 1:], numbers[1:, 1:]
        triangles += [np.stack(three, -1).reshape(-1, 3) for three in ((a, b, c), (b, d, c))]
        vertices.append(grid.reshape(3, -1).T)
        values.append(np.take(volume, at, axis).ravel())
        count += grid[0].size
    shades, corners = np.concatenate(values), np.concatenate(triangles)
    there = (shades[corners] >= darkest).any(1)
    return np.concatenate(vertices).astype(np.float32), corners[there], shades


class InSpace:
    """Follows a viewer into 3D and back, for the scan that is shown there. Its layers hold it."""

    def __init__(self, viewer: Viewer, images: Sequence[Any], crop: bool):
        """Begin to follow.

        Args:
            images: the scan's layers, one a channel.
            crop: whether planes are shown in place of the volume.
        """
        self.viewer, self.images, self.crop = viewer, list(images), crop
        self.planes: Any = None  # the layer of them, while there is one
        self.hidden: list[Any] = []  # the layers that it stands in for
        # last, so that napari's own camera has moved
        viewer.dims.events.ndisplay.connect(self.turned, position="last")
        viewer.events.reset_view.connect(self.home)
        self.turned()

    def leave(self) -> None:
        """Follow no longer."""
        self.viewer.dims.events.ndisplay.disconnect(self.turned)
        self.viewer.events.reset_view.disconnect(self.home)
        self._flat()

    def home(self, event: Any = None) -> None:
        keep_head_up(self.viewer)

    def turned(self, event: Any = None) -> None:
        """The viewer went from planes to 3D, or back."""
        self._flat()
        if self.viewer.dims.ndisplay == 3:
            keep_head_up(self.viewer)
            if self.crop:
                self._stand()

    def _stand(self) -> None:
        there = [layer for layer in self.images if layer in self.viewer.layers]
        self.hidden = [layer for layer in there if layer.visible]
        if not self.hidden:
            return
        first = self.hidden[0]
        place = first.world_to_data(self.viewer.dims.point)
        data = crossing_planes(np.asarray(first.data), place, first.contrast_limits[0])
        self.planes = self.viewer.add_surface(
            data,
            name="planes",
            affine=first.affine,
            colormap=first.colormap,
            contrast_limits=first.contrast_limits,
            shading="none",
            metadata=dict(first.metadata),
        )
        layers = self.viewer.layers
        layers.move(layers.index(self.planes), layers.index(there[-1]) + 1)
        layers.selection.active = first
        for layer in self.hidden:
            layer.visible = False

    def _flat(self) -> None:
        for layer in self.hidden:
            layer.visible = True
        self.hidden = []
        if self.planes is not None and self.planes in self.viewer.layers:
            self.viewer.layers.remove(self.planes)
        self.planes = None

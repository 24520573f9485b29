"""Features in napari: colours over several patients, and live how like a voxel theirs are.

Patients stand in a grid within one volume, so that a plane cuts them all and there are few layers,
however many patients.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ssl3d_lite.data.cohort import Cohort, takes_cohort
from ssl3d_lite.evaluation.feature_maps import FeatureMaps, cell_labels, cells_of, check_cases
from ssl3d_lite.evaluation.feature_maps import features as features_of
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.show.arrays import air, greys

from .camera import VIEWED_FROM, Viewer, keep_head_up, shown_plane, stand_upright, write_over
from .display import require_window
from .reuse import PUZZLE, SCAN, clear

HEATED = 0.04  # share of a patient's cells that are coloured
COMPARED = 32  # at most, by which cells are compared
LINES = ("point at a voxel: the others light up where they are like it", "in 3D: what is labelled")


class PatientGrid:
    """Volumes of several patients as one, side by side along the second and third axis."""

    def __init__(self, shapes: Sequence[Sequence[int]]):
        """
        Args:
            shapes: of the patients' volumes, in cells.
        """
        self.shapes = np.array(shapes)
        self.tile = self.shapes.max(0) + np.array([0, 1, 1])  # a cell lies between patients
        self.beside = int(np.ceil(np.sqrt(len(shapes))))
        self.rows = -(-len(shapes) // self.beside)
        self.shape = self.tile * (1, self.beside, self.rows)

    def corner(self, patient: int) -> np.ndarray:
        """Where a patient's first cell lies; the first row of patients is on top."""
        row, column = divmod(patient, self.beside)
        return self.tile * (0, column, self.rows - 1 - row)

    def mosaic(self, volumes: Sequence[np.ndarray], fine: int = 1) -> np.ndarray:
        """(*space, …) of each patient as one volume, with 0 between them.

        Args:
            fine: voxels along the edge of a cell.
        """
        whole = np.zeros((*(self.shape * fine), *volumes[0].shape[3:]), volumes[0].dtype)
        for patient, volume in enumerate(volumes):
            x, y, z = self.corner(patient) * fine
            a, b, c = volume.shape[:3]
            whole[x : x + a, y : y + b, z : z + c] = volume
        return whole

    def find(self, place: Sequence[float]) -> tuple[int, tuple[int, ...]] | None:
        """The patient at a place, in cells, and which of its cells it is; None between patients."""
        for patient, shape in enumerate(self.shapes):
            cell = np.floor(np.asarray(place) + 0.5).astype(int) - self.corner(patient)
            if (cell >= 0).all() and (cell < shape).all():
                return patient, tuple(cell.tolist())
        return None


class FeatureLayers:
    """Layers ``scan``, ``colours``, ``likeness`` and ``best matches`` of several patients; in 3D
    ``labelled`` instead, the surface of what has a label, in its colours."""

    def __init__(self, viewer: Viewer, maps: FeatureMaps, cohort: Cohort, cases: Sequence[int]):
        """
        Args:
            maps: features of ``cases``, as :func:`ssl3d_lite.features` gives them.

        Raises:
            InputError: there is no such case.
        """
        chosen = check_cases(cohort, cases)
        shapes = [cohort.cases[case].shape for case in chosen]
        self.viewer, self.stride = viewer, maps.stride
        self.grid = PatientGrid([cells_of(shape, maps.stride) for shape in shapes])
        self.spacing = cohort.cases[chosen[0]].spacing
        count = min(COMPARED, len(maps.space.axes))
        self.rows = [maps.components(n, count).reshape(count, -1).T for n in range(len(chosen))]
        for kind in (PUZZLE, SCAN):
            clear(viewer, kind)
        self._add_planes(maps, cohort, chosen)
        self.labelled = self._add_surface(cohort, chosen)
        stand_upright(viewer)
        viewer.dims.order = (0, 2, 1)  # sagittal planes: superior is up
        viewer.reset_view()
        write_over(viewer, LINES if self.labelled else LINES[:1])
        viewer.mouse_move_callbacks.append(lambda _, event: self.point_at(event.position))
        viewer.dims.events.ndisplay.connect(self._show)
        self._show()

    def _add_planes(self, maps: FeatureMaps, cohort: Cohort, chosen: Sequence[int]) -> None:
        # a cell's middle lies amid its voxels
        cells: dict[str, Any] = {
            "scale": self.spacing * self.stride,
            "translate": self.spacing * (self.stride - 1) / 2,
        }
        scans = self.grid.mosaic([_greys(cohort, case) for case in chosen], self.stride)
        self.colour_cells = self.grid.mosaic([maps.colours(n) for n in range(len(chosen))])
        self.planes = [
            self.viewer.add_image(scans, name="scan", scale=self.spacing),
            self.viewer.add_image(
                self.colour_cells, rgb=True, name="colours", opacity=0.6, **cells
            ),
            self.viewer.add_image(
                np.zeros(self.grid.shape, np.float32),
                name="likeness",
                colormap="magma",
                blending="additive",
                contrast_limits=(0, 1),
                **cells,
            ),
            self.viewer.add_points(
                np.zeros((0, 3)),
                name="best matches",
                face_color="transparent",
                border_color="white",
                size=3,
                **cells,
            ),
        ]

    def _add_surface(self, cohort: Cohort, chosen: Sequence[int]) -> Any:
        """The surface of what is labelled, each corner in the colour of its cell; None without."""
        labels = [cell_labels(cohort, case, 1) for case in chosen]
        known = [label if label is not None else np.zeros((1, 1, 1), "u1") for label in labels]
        inside = self.grid.mosaic(known, self.stride) > 0
        if not inside.any():
            return None
        from skimage.measure import marching_cubes

        corners, faces, normals, _ = marching_cubes(np.pad(inside, 1).astype(np.float32), 0.5)
        corners -= 1  # the border that was put around
        cells = np.clip((corners // self.stride).astype(int), 0, self.grid.shape - 1)
        return self.viewer.add_surface(
            (corners, faces),
            name="labelled",
            shading="none",  # napari's light leaves the side that is seen first in the dark
            scale=self.spacing,
            vertex_colors=self.colour_cells[tuple(cells.T)] / 255 * _lit(normals),
        )

    def _show(self, event: Any = None) -> None:
        """Planes in 2D, and the surface in 3D, where napari has no colours of planes."""
        in_space = self.viewer.dims.ndisplay == 3 and self.labelled is not None
        for layer in self.planes:
            layer.visible = not in_space
        if self.labelled is not None:
            self.labelled.visible = in_space
        keep_head_up(self.viewer)

    def point_at(self, position: Sequence[float]) -> None:
        """Show how like each cell is to the one at a place in the world; and where the likest of
        each other patient is, as if it lay in the plane that is shown."""
        _, _, likeness, matches = self.planes
        found = self.grid.find(likeness.world_to_data(position)[-3:])
        if found is None or self.viewer.dims.ndisplay != 2:
            return
        asked, cell = found
        query = self.rows[asked][np.ravel_multi_index(cell, self.grid.shapes[asked])]
        volumes, places = [], []
        for patient, (rows, shape) in enumerate(zip(self.rows, self.grid.shapes, strict=True)):
            squared = np.square(rows - query).sum(1)
            least, end = squared.min(), np.quantile(squared, HEATED)
            like = ((end - squared) / max(end - least, 1e-12)).clip(0, 1)
            volumes.append(like.reshape(shape).astype(np.float32))
            if patient != asked:
                best = np.array(np.unravel_index(squared.argmin(), shape))
                places.append(best + self.grid.corner(patient))
        likeness.data = self.grid.mosaic(volumes)
        marks = np.array(places, float).reshape(-1, 3)
        axis, _ = shown_plane(self.viewer, 3)
        marks[:, axis] = (cell + self.grid.corner(asked))[axis]
        matches.data = marks


@takes_cohort
def add_features(
    viewer: Viewer, maps: FeatureMaps, cohort: Cohort, cases: Sequence[int]
) -> FeatureLayers:
    """Show features of several patients in place of what was shown; see :class:`FeatureLayers`.

    Example::

        add_features(viewer, ssl3d.features(encoder, cohort, cases), cohort, cases)
    """
    return FeatureLayers(viewer, maps, cohort, cases)


@takes_cohort
def open_features(encoder: Encoder, cohort: Cohort, cases: Sequence[int]) -> Any:
    """Open a napari window that shows what an encoder makes of some patients.

    Raises:
        InputError: no window can be opened here; the encoder cannot read the scans.
    """
    require_window("see features in the browser: ssl3d_lite.show.Features")
    import napari

    maps = features_of(encoder, cohort, cases)
    viewer = napari.Viewer(title="ssl3d_lite")
    add_features(viewer, maps, cohort, cases)
    return viewer


def _lit(normals: np.ndarray) -> np.ndarray:
    """How bright corners are, (corner, 1), if the light comes from where the eye is first."""
    light = np.array(VIEWED_FROM[::-1]) / np.linalg.norm(VIEWED_FROM)
    return 0.5 + 0.5 * np.abs(normals @ light)[:, None]


def _greys(cohort: Cohort, case: int) -> np.ndarray:
    image = cohort.images([case])[0, 0].cpu().numpy()
    return greys(image, air(image))

"""A scan in 3D in the browser: ``Volume3D``."""

from collections.abc import Sequence
from typing import Any

import ipywidgets
import nibabel as nib
import numpy as np
from ipyniivue import MultiplanarType, NiiVue, ShowRender, SliceType, Volume
from matplotlib.figure import Figure

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.arrays import Array, air, as_numpy, greys
from ssl3d_lite.show.pieces import class_colour
from ssl3d_lite.show.stills.bundle import Bundle, with_still
from ssl3d_lite.show.stills.volume import volume_still

from .slices import Slices

ORDER = "Axial, coronal and sagittal plane, and 3D."  # NiiVue's own, which it lets nobody change
CUT_FROM = (240, 15)  # degrees: azimuth and elevation, the side that the reader sees


class Volume3D(ipywidgets.VBox):
    """A scan in three planes and in 3D, with labels over it; drag to turn it, scroll to go through.

    Use one view and give it other scans by ``show``: browsers allow about 16 such views in a page.

    Args:
        volume: (*space) or (channel, *space), of which the first channel is drawn.
        labels: (*space) of small integers; 0 is nothing.
        label_names: names of the classes 0, 1, 2, …
        spacing: edge lengths of a voxel, in mm; 1 by default.
        title: a line above the view.

    Raises:
        InputError: not a volume, or labels or spacing that do not fit it.
    """

    def __init__(
        self,
        volume: Array,
        labels: Array | None = None,
        *,
        label_names: Sequence[str] = (),
        spacing: Sequence[float] | None = None,
        title: str = "",
    ):
        self.viewer = NiiVue(
            height=340,
            multiplanar_layout=MultiplanarType.ROW,
            multiplanar_show_render=ShowRender.ALWAYS,
            multiplanar_pad_pixels=6,
            crosshair_width=0.6,
            crosshair_color=(0.94, 0.89, 0.26, 1),
            clip_plane_color=(0, 0, 0, 0),  # no pane in front of the cut
            show_legend=False,
            drag_and_drop_enabled=False,
        )
        self.heading, self.legend = ipywidgets.HTML(), ipywidgets.HTML()
        self.order = ipywidgets.HTML(f"<small>{ORDER}</small>")
        self.opacity = ipywidgets.FloatSlider(
            0.6, min=0, max=1, step=0.05, description="labels", readout_format=".0%"
        )
        self.kind = ipywidgets.ToggleButtons(
            options=[("planes and 3D", SliceType.MULTIPLANAR), ("3D alone", SliceType.RENDER)]
        )
        self.cut = ipywidgets.FloatSlider(
            0, min=0, max=1, step=0.05, description="cut open", readout_format=".0%"
        )
        self.opacity.observe(self._fade, "value")
        self.cut.observe(self._cut, "value")
        self.kind.observe(self._turn_over, "value")
        controls = ipywidgets.HBox([self.kind, self.cut, self.opacity])
        super().__init__([self.heading, self.viewer, self.order, controls, self.legend])
        self.add_class("ssl3d-volume3d")
        self.show(volume, labels, label_names=label_names, spacing=spacing, title=title)

    def show(
        self,
        volume: Array,
        labels: Array | None = None,
        *,
        label_names: Sequence[str] = (),
        spacing: Sequence[float] | None = None,
        title: str = "",
    ) -> None:
        """Show another scan in the same view; arguments as above."""
        image, classes = check_scan(volume, labels)
        space = image.shape
        if spacing is not None and len(spacing) != 3:
            raise InputError(
                f"spacing is {tuple(spacing)}, but a volume has 3 axes: give 3 lengths"
            )
        affine = np.diag([*(spacing if spacing is not None else (1, 1, 1)), 1.0])
        affine[:3, 3] = -affine[:3, :3] @ (np.array(space) - 1) / 2  # its middle is at 0 mm
        layers = [nifti("scan", greys(image, air(image)), affine, colormap="gray")]
        names = class_names(classes, label_names)
        if classes is not None:
            layers.append(nifti("labels", classes, affine, opacity=self.opacity.value))
            layers[1].set_colormap_label(class_colours(names))
        self._shown = (image, classes, names, spacing, title)
        self.viewer.load_volumes(layers)
        self.viewer.set_slice_type(self.kind.value)
        self.viewer.scene.crosshair_pos = middle_of(classes, space)
        self.heading.value = f"<b>{title}</b>" if title else ""
        self.opacity.layout.display = None if classes is not None else "none"
        entry = "<span style='white-space: nowrap'><span style='color: {}'>■</span> {}</span>"
        entries = [entry.format(class_colour(n), name) for n, name in names.items()]
        self.legend.value = "&emsp;".join(entries)

    def figure(self) -> Figure:
        """The scan as a figure (matplotlib), cut open where the labels lie.

        A notebook keeps its picture, for readers who run nothing.
        """
        image, classes, names, spacing, title = self._shown
        middle = np.array(middle_of(classes, image.shape)) * image.shape
        voxel = np.minimum(middle, np.array(image.shape) - 1).astype(int).tolist()
        return volume_still(image, classes, names, voxel, spacing, title, self.opacity.value)

    def slices(self) -> Slices:
        """The same scan in :class:`Slices`, with a picture in 3D that is cut open at the cross.

        It needs no WebGL, and it can be saved as a page: with NiiVue a page would be five
        megabytes larger.

        Example::

            show.Volume3D(image, label).slices().save("scan.html", "A hippocampus")
        """
        image, classes, names, spacing, title = self._shown
        known = [names.get(n, f"class {n}") for n in range(max(names, default=0) + 1)]
        view = Slices(image, classes, label_names=known, spacing=spacing, title=title, in_3d=True)
        view.opacity = self.opacity.value
        return view

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[Bundle, Bundle]:
        return with_still(super()._repr_mimebundle_(**kwargs), self.figure)

    def _fade(self, change: dict[str, Any]) -> None:
        for layer in self.viewer.volumes[1:]:
            layer.opacity = change["new"]

    def _cut(self, change: dict[str, Any]) -> None:
        # NiiVue's depth of the cut: from the middle of the scan, 2 for none
        depth = 0.5 * (1 - change["new"]) if change["new"] else 2
        self.viewer.set_clip_plane(depth, *CUT_FROM)

    def _turn_over(self, change: dict[str, Any]) -> None:
        planes = change["new"] == SliceType.MULTIPLANAR
        self.order.layout.display = None if planes else "none"
        self.viewer.set_slice_type(change["new"])


def check_scan(volume: Array, labels: Array | None) -> tuple[np.ndarray, np.ndarray | None]:
    """The first channel of a volume (*space), and its labels as uint8 (*space).

    Raises:
        InputError: not a volume, or labels of another shape or beyond 0 to 255.
    """
    image = as_numpy(volume)
    image = image[0] if image.ndim == 4 else image
    if image.ndim != 3:
        raise InputError(
            f"the scan has shape {image.shape}, but 3D views take (x, y, z) or (channel, x, y, z); "
            "draw 2D images with draw_plane"
        )
    if labels is None:
        return image, None
    classes = as_numpy(labels)
    if classes.shape != image.shape:
        raise InputError(f"labels have shape {classes.shape}, but the scan {image.shape}")
    if classes.min() < 0 or classes.max() > 255:
        raise InputError(
            f"labels go from {classes.min():g} to {classes.max():g}, but classes go from 0 to 255"
        )
    return image, classes.astype(np.uint8)


def middle_of(classes: np.ndarray | None, space: Sequence[int]) -> list[float]:
    """First position of the cross, as shares of each axis: amid the labels, or amid the scan."""
    if classes is None or not classes.any():
        return [0.5] * 3
    return ((np.argwhere(classes).mean(0) + 0.5) / space).tolist()


def nifti(name: str, values: np.ndarray, affine: np.ndarray, **look: Any) -> Volume:
    data = nib.Nifti1Image(np.ascontiguousarray(values), affine).to_bytes()
    return Volume(name=f"{name}.nii", data=data, **look)


def class_names(classes: np.ndarray | None, names: Sequence[str]) -> dict[int, str]:
    """Class → name, for the classes that occur, except 0 (nothing)."""
    if classes is None:
        return {}
    there = [int(n) for n in np.unique(classes) if n]
    return {n: names[n] if n < len(names) else f"class {n}" for n in there}


def class_colours(names: dict[int, str]) -> dict[str, list]:
    """NiiVue's table of label colours: class 0 is clear."""
    highest = max(names, default=0)
    colours = [(0, 0, 0, 0)]
    for number in range(1, highest + 1):
        code = class_colour(number)
        colours.append((*(int(code[i : i + 2], 16) for i in (1, 3, 5)), 255))
    labels = ["nothing", *(names.get(n, f"class {n}") for n in range(1, highest + 1))]
    red, green, blue, alpha = (list(band) for band in zip(*colours))
    indices = list(range(highest + 1))
    return {"R": red, "G": green, "B": blue, "A": alpha, "I": indices, "labels": labels}

"""A scan as layers of napari: of a window, or of a ``ViewerModel`` without one.

The world is that of the scan: RAS, in voxels, or in mm where a spacing is given.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.arrays import Array, as_numpy
from ssl3d_lite.show.pieces import COLOURS

Viewer = Any  # napari.Viewer, or napari.components.ViewerModel, which needs no display
Layer = Any

LAYER_KIND = "ssl3d_lite"  # key in a layer's metadata, whose value is SCAN or PUZZLE
SCAN, PUZZLE = "scan", "puzzle"
PLAIN = "#FFFFFF"
AXIS_NAMES = ("right", "anterior", "superior")  # where each axis leads
VIEWED_FROM = (-0.35, -1.0, 0.55)  # looking direction in (superior, anterior, right): front left


# ---- a scan ------------------------------------------------------------------------------------


def add_scan(
    viewer: Viewer,
    volume: Array,
    labels: Array | None = None,
    *,
    label_names: Sequence[str] = (),
    spacing: Sequence[float] | None = None,
    prediction: Array | None = None,
    affine: np.ndarray | None = None,
) -> list[Layer]:
    """Show a scan in place of the scan or puzzle that was shown before.

    Args:
        volume: (*space) or (channel, *space). Each channel is a layer, of which the first is
            visible; a picture of three channels is one layer in colour.
        labels: (*space), the classes; 0 is clear. Without labels and spacing, a volume of three
            axes is taken for a 3D scan.
        label_names: names of the classes 0, 1, 2, …
        spacing: edge lengths of a voxel, in mm.
        prediction: (*space), a network's classes.
        affine: voxel → world, in mm, in place of a spacing: the world is then the scanner's.

    Raises:
        InputError: axes or shapes that do not belong together.
    """
    given = {"labels": labels, "prediction": prediction}
    maps = {name: as_numpy(each) for name, each in given.items() if each is not None}
    channels = _channels_of(as_numpy(volume), maps, spacing)
    world = np.diag([*(spacing or (1.0,) * (channels.ndim - 1)), 1.0]) if affine is None else affine
    seen = view_of(viewer)
    clear(viewer, SCAN)
    clear(viewer, PUZZLE)
    added = [viewer.add_image(**image) for image in image_layers(channels, "scan", world)]
    for name, each in maps.items():
        added.append(viewer.add_labels(**class_layer(each, name, world, label_names)))
    for number, layer in enumerate(added):
        layer.metadata[LAYER_KIND] = SCAN
        layer.visible = number == 0 or number >= len(added) - len(maps)
    if seen is None or len(seen["order"]) != viewer.dims.ndim:
        stand_upright(viewer)
    else:
        look_again(viewer, seen)
    return added


def _channels_of(
    volume: np.ndarray, maps: dict[str, np.ndarray], spacing: Sequence[float] | None
) -> np.ndarray:
    """The volume as (channel, *space), after a look at what belongs to it."""
    dims = _axes(volume, [each.ndim for each in maps.values()], spacing)
    channels = volume.reshape(-1, *volume.shape[volume.ndim - dims :])
    for name, each in maps.items():
        if each.shape != channels.shape[1:]:
            raise InputError(f"{name} have shape {each.shape}, but the scan {channels.shape[1:]}")
    return channels


def _axes(volume: np.ndarray, maps: Sequence[int], spacing: Sequence[float] | None) -> int:
    """Number of space axes of a volume, told by what comes with it."""
    dims = maps[0] if maps else len(spacing) if spacing is not None else min(volume.ndim, 3)
    if dims not in (2, 3) or volume.ndim not in (dims, dims + 1):
        raise InputError(
            f"a scan is (*space) or (channel, *space) of 2 or 3 axes, but this one has shape "
            f"{volume.shape}, its labels or spacing {dims} axes"
        )
    if spacing is not None and len(spacing) != dims:
        raise InputError(f"spacing {tuple(spacing)} has {len(spacing)} numbers for {dims} axes")
    return dims


def image_layers(channels: np.ndarray, name: str, affine: np.ndarray) -> list[dict[str, Any]]:
    """Settings of a layer for each channel, or of one layer in colour."""
    if channels.ndim == 3 and len(channels) == 3:
        return [{"data": layer_data(channels), "rgb": True, "name": name, "affine": affine}]
    return [
        {
            "data": layer_data(channel[None]),
            "name": name if len(channels) == 1 else f"{name}, channel {number}",
            "affine": affine,
            "colormap": "gray",
            "contrast_limits": window(channel),
            "interpolation2d": "nearest",
            "rendering": "attenuated_mip",
        }
        for number, channel in enumerate(channels)
    ]


def layer_data(channels: np.ndarray) -> np.ndarray:
    """The array that a layer holds of an image (channel, *space).

    It is the first channel; or, of a 2D image of three channels, a picture in colour, (*space, 3),
    scaled to values from 0 to 1 unless they lie there already.
    """
    channels = channels.astype(np.float32)
    if channels.ndim != 3 or len(channels) != 3:
        return channels[0]
    low, high = min(0, np.nanmin(channels)), max(1, np.nanmax(channels))
    return np.moveaxis((channels - low) / (high - low), 0, -1)


def class_layer(
    classes: np.ndarray, name: str, affine: np.ndarray, label_names: Sequence[str]
) -> dict[str, Any]:
    """Settings of a layer of labels, in colours that colour-blind readers can tell apart."""
    from napari.utils import DirectLabelColormap

    count = max(int(classes.max()), len(label_names) - 1, 1)
    colours = {number: on_dark(COLOURS[(number - 1) % len(COLOURS)]) for number in range(count + 1)}
    names = [*label_names, *map(str, range(len(label_names), count + 1))]
    return {
        "data": classes.astype(np.int32),
        "name": name,
        "affine": affine,
        "opacity": 0.5 if name == "labels" else 1,
        "colormap": DirectLabelColormap(color_dict=colours | {0: "transparent", None: PLAIN}),
        "features": {"index": range(count + 1), "class": names},
    }


def window(values: np.ndarray, beyond: float = 0.001) -> tuple[float, float]:
    """The values drawn black and white; a share ``beyond`` of all lies below, as much above."""
    low, high = np.nanquantile(values, (beyond, 1 - beyond)).tolist()
    return (low, high) if high > low else (low, low + 1)


def on_dark(colour: str) -> str:
    """The same colour, but white for black: napari's background is dark."""
    return PLAIN if colour == "#000000" else colour


# ---- the window --------------------------------------------------------------------------------


def shown_plane(viewer: Viewer, dims: int) -> tuple[int | None, float]:
    """The axis across which a plane of a 3D scan is shown, and its position; (None, 0) in 3D."""
    first = viewer.dims.ndim - dims  # napari counts axes of other layers before those of ours
    hidden = [axis for axis in viewer.dims.not_displayed if axis >= first]
    return (hidden[0] - first, viewer.dims.point[hidden[0]]) if hidden else (None, 0.0)


def view_of(viewer: Viewer) -> dict[str, Any] | None:
    """Where the camera stands, which napari forgets with the last layer; None without layers."""
    if not viewer.layers:
        return None
    dims = {name: getattr(viewer.dims, name) for name in ("order", "ndisplay", "point")}
    return dims | {name: getattr(camera(viewer), name) for name in ("angles", "center", "zoom")}


def look_again(viewer: Viewer, seen: dict[str, Any]) -> None:
    """Look at new layers from where those before were looked at."""
    viewer.dims.axis_labels = AXIS_NAMES[: viewer.dims.ndim]
    viewer.dims.order, viewer.dims.ndisplay = seen["order"], seen["ndisplay"]
    viewer.dims.point = seen["point"]
    for name in ("angles", "center", "zoom"):
        setattr(camera(viewer), name, seen[name])


def stand_upright(viewer: Viewer) -> None:
    """Show an RAS scan as figures do: axial plane, right on the right, front up."""
    viewer.dims.axis_labels = AXIS_NAMES[: viewer.dims.ndim]
    viewer.dims.order = tuple(reversed(range(viewer.dims.ndim)))
    camera(viewer).orientation = ("towards", "up", "right")
    viewer.reset_view()


def stand_in_3d(viewer: Viewer) -> None:
    """Show a 3D scan's layers in space, head up."""
    viewer.dims.ndisplay = 3
    viewer.reset_view()
    camera(viewer).set_view_direction(VIEWED_FROM, (1, 0, 0))
    camera(viewer).zoom *= 0.75  # seen from a corner a box is wider


def camera(viewer: Viewer) -> Any:
    return getattr(viewer, "scene", viewer).camera  # napari 0.9 moved it


def overlay(viewer: Viewer) -> Any:
    """The text that lies over the picture."""
    return viewer.canvas.overlays.text if hasattr(viewer, "canvas") else viewer.text_overlay


def clear(viewer: Viewer, kind: str) -> None:
    """Remove the layers of one kind that this module added."""
    for layer in [each for each in viewer.layers if each.metadata.get(LAYER_KIND) == kind]:
        puzzle = layer.metadata.pop("puzzle", None)
        if puzzle is not None and layer is puzzle.boxes:
            for name in ("point", "order", "ndisplay"):
                getattr(viewer.dims.events, name).disconnect(puzzle.follow)
        viewer.layers.remove(layer)
    if kind == PUZZLE:
        overlay(viewer).visible = False

"""A scan as layers of napari: of a window, or of a ``ViewerModel`` without one.

The world is that of the scan: RAS, in voxels, or in mm where a spacing is given.
"""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.arrays import Array, air, as_numpy
from ssl3d_lite.show.mistakes import MISTAKES, mistakes
from ssl3d_lite.show.pieces import class_colour

from .camera import Viewer, look_again, stand_upright, view_of, write_over
from .in_space import InSpace, is_crop
from .reuse import (
    FOLLOWER,
    LAYER_KIND,
    PUZZLE,
    SCAN,
    Layer,
    Settings,
    clear,
    leave,
    put_layers,
)

AIR_VALUES = "ssl3d_lite air"  # key of two values: how air is drawn, and what it is in the scan
OPACITIES = {"prediction": 0.7, "errors": 1.0}  # so that in 3D one sees labels through a prediction


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
    channels: Sequence[str] = (),
) -> list[Layer]:
    """Show a scan in place of the scan or puzzle that was shown before.

    A prediction is an outline. Beside labels it has a layer ``errors``: where it missed something,
    found too much, or took one class for another. That layer is hidden until its eye is clicked.

    Args:
        volume: (*space) or (channel, *space). Each channel is a layer, of which the first is
            visible; a picture of three channels is one layer in colour. Air that is brighter than
            dark tissue, as z-scores make it, is drawn black.
        labels: (*space), the classes; 0 is clear. Without labels and spacing, a volume of three
            axes is taken for a 3D scan.
        label_names: names of the classes 0, 1, 2, …
        spacing: edge lengths of a voxel, in mm.
        prediction: (*space), a network's classes.
        affine: voxel → world, in mm, in place of a spacing: the world is then the scanner's.
        channels: names of the channels.

    Raises:
        InputError: axes or shapes that do not belong together.
    """
    clear(viewer, PUZZLE)
    maps = {"labels": labels, "prediction": prediction}
    return put_scan(viewer, volume, maps, label_names, spacing, affine, channels)


def put_scan(
    viewer: Viewer,
    volume: Array,
    class_maps: Mapping[str, Array | None],
    label_names: Sequence[str] = (),
    spacing: Sequence[float] | None = None,
    affine: np.ndarray | None = None,
    channel_names: Sequence[str] = (),
) -> list[Layer]:
    """The same, but a puzzle stays while the layers are the same; for :func:`add_puzzle` next."""
    maps = {name: as_numpy(each) for name, each in class_maps.items() if each is not None}
    channels = _channels_of(as_numpy(volume), maps, spacing)
    world = np.diag([*(spacing or (1.0,) * (channels.ndim - 1)), 1.0]) if affine is None else affine
    images = image_layers(channels, "scan", world, channel_names)
    wanted = [*images, *_map_layers(maps, world, label_names)]
    for number, each in enumerate(wanted):
        each["metadata"] = each.get("metadata", {}) | {LAYER_KIND: SCAN}
        each.setdefault("visible", number == 0 or number >= len(images))
    seen = view_of(viewer)
    leave(viewer, SCAN)
    layers = put_layers(viewer, SCAN, wanted)
    if seen is None or len(seen["order"]) != viewer.dims.ndim:
        stand_upright(viewer)
    else:
        look_again(viewer, seen)
    shown = layers[: len(images)]
    crop = "rgb" not in images[0] and is_crop(shown[0].data, images[0]["contrast_limits"])
    shown[0].metadata[FOLLOWER] = InSpace(viewer, shown, crop)
    write_over(viewer, _legend(maps))
    viewer.layers.selection.active = shown[0]
    return layers


def _map_layers(
    maps: dict[str, np.ndarray], world: np.ndarray, label_names: Sequence[str]
) -> list[Settings]:
    """Settings of a layer for each map, and of one for the errors where there are both."""
    layers = [class_layer(each, name, world, label_names) for name, each in maps.items()]
    if len(maps) == 2:
        errors = mistakes(maps["labels"], maps["prediction"])
        settings = class_layer(errors, "errors", world, ("", *MISTAKES), tuple(MISTAKES.values()))
        layers.append(settings | {"visible": False})
    return layers


def _legend(maps: dict[str, np.ndarray]) -> list[str]:
    """What the layers of a prediction are, in lines."""
    if "prediction" not in maps:
        return []
    if "labels" not in maps:
        return ["outline: prediction (in 3D filled)"]
    names = dict(zip(MISTAKES, ("yellow", "orange", "light blue"), strict=True))
    kinds = ", ".join(f"{name} {colour}" for name, colour in names.items())
    outline = "filled: labels; outline: prediction (in 3D filled too)"
    return [outline, f"click the eye of 'errors': {kinds}"]


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


def image_layers(
    channels: np.ndarray, name: str, affine: np.ndarray, channel_names: Sequence[str] = ()
) -> list[Settings]:
    """Settings of a layer for each channel, or of one layer in colour."""
    if is_photograph(channels):
        return [
            {
                "kind": "image",
                "data": in_colour(channels),
                "rgb": True,
                "name": name,
                "affine": affine,
            }
        ]
    own = channel_names or [f"channel {number}" for number in range(len(channels))]
    names = [name if len(channels) == 1 else f"{name}, {each}" for each in own]
    drawn = [_drawn(channel.astype(np.float32)) for channel in channels]
    return [
        grey_layer(each.pop("data"), name, affine, each.pop("contrast_limits")) | each
        for name, each in zip(names, drawn, strict=True)
    ]


def grey_layer(
    values: np.ndarray, name: str, affine: np.ndarray, limits: tuple[float, float]
) -> Settings:
    """Settings of a layer of values, (*space), of which ``limits`` are black and white."""
    return {
        "kind": "image",
        "data": values,
        "name": name,
        "affine": affine,
        "contrast_limits": limits,
        "colormap": "gray",
        "interpolation2d": "nearest",
        "rendering": "attenuated_mip",
        "attenuation": 0.2,  # one sees the surface of a brain, and bones through a belly
    }


def is_photograph(channels: np.ndarray) -> bool:
    """Whether an image (channel, *space) is a 2D picture in colour."""
    return channels.ndim == 3 and len(channels) == 3


def in_colour(channels: np.ndarray) -> np.ndarray:
    """A photograph as (*space, 3), scaled to values from 0 to 1 unless they lie there already."""
    channels = channels.astype(np.float32)
    low, high = min(0, np.nanmin(channels)), max(1, np.nanmax(channels))
    return np.moveaxis((channels - low) / (high - low), 0, -1)


def _drawn(volume: np.ndarray) -> Settings:
    """Values and window of a layer. The window is that of the tissue; air lies below it, because
    napari's 3D lets through what is darker than the window, and all else is solid."""
    nothing = air(volume)
    if nothing.all():
        nothing = np.zeros_like(nothing)  # one value is all that there is
    low, high = window(volume[~nothing])
    settings: Settings = {"data": volume, "contrast_limits": (low, high)}
    if nothing.any() and volume[nothing][0] > low:
        drawn = np.float32(black(low, high))
        settings["metadata"] = {AIR_VALUES: (drawn, volume[nothing][0])}
        settings["data"] = np.where(nothing, drawn, volume)
    return settings


def values_of(layer: Layer) -> np.ndarray:
    """An image layer's values, as they are in its scan."""
    data = np.asarray(layer.data[0] if layer.multiscale else layer.data)
    drawn, real = layer.metadata.get(AIR_VALUES, (np.nan, np.nan))
    return np.where(data == drawn, real, data)


def black(low: float, high: float) -> float:
    """A value that is black in 2D, and clear in 3D."""
    return low - (high - low) / 100


def class_layer(
    classes: np.ndarray,
    name: str,
    affine: np.ndarray,
    label_names: Sequence[str],
    colours: Sequence[str] = (),
) -> Settings:
    """Settings of a layer of labels, in the colours of all views, or in others from class 1 on.

    A prediction is an outline, so that it does not hide the labels that it is compared with.
    """
    from napari.utils import DirectLabelColormap

    count = max(int(classes.max()), len(label_names) - 1, 1)
    names = [*label_names, *map(str, range(len(label_names), count + 1))]
    own = dict(enumerate(colours, start=1))
    shades = {n: own.get(n) or class_colour(n, names[n]) for n in range(1, count + 1)}
    outline = {"contour": 1} if name == "prediction" else {}
    if outline:  # in 3D napari fills it, and would say so in a box over the window
        warnings.filterwarnings("ignore", "Contours are not displayed during 3D rendering")
    return outline | {
        "kind": "labels",
        "data": classes.astype(np.int32),
        "name": name,
        "affine": affine,
        "opacity": OPACITIES.get(name, 0.5),
        "colormap": DirectLabelColormap(color_dict=shades | {0: "transparent", None: "white"}),
        "features": {"index": range(count + 1), "class": names},
    }


def window(values: np.ndarray, beyond: float = 0.001) -> tuple[float, float]:
    """The values drawn black and white; a share ``beyond`` of all lies below, as much above."""
    low, high = np.nanquantile(values, (beyond, 1 - beyond)).tolist()
    return (low, high) if high > low else (low, low + 1)

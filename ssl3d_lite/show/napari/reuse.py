"""Layers that are filled anew, in place of new ones: to add a layer takes napari long."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .camera import Viewer, write_over

Layer = Any
Settings = dict[str, Any]  # a layer's, as napari takes them; and "kind", its type

LAYER_KIND = "ssl3d_lite"  # key in a layer's metadata, whose value is SCAN or PUZZLE
SCAN, PUZZLE = "scan", "puzzle"
FOLLOWER = "ssl3d_lite follows"  # key of what moves with the viewer, and has to leave()
# what changes with a scan or a puzzle; all else the user may have set otherwise
RENEWED = (
    *("data", "affine", "contrast_limits", "features", "text", "edge_color", "edge_width"),
    *("blending", "metadata"),
)


def layers_of(viewer: Viewer, kind: str) -> list[Layer]:
    """The layers of one kind that this module added."""
    return [layer for layer in viewer.layers if layer.metadata.get(LAYER_KIND) == kind]


def put_layers(viewer: Viewer, kind: str, wanted: Sequence[Settings]) -> list[Layer]:
    """Show what is wanted in the layers of a kind that are there; if they do not fit, in new ones
    in their place."""
    there = layers_of(viewer, kind)
    if list(map(_form, there)) == list(map(_wanted_form, wanted)):
        for layer, settings in zip(there, wanted, strict=True):
            renew(layer, settings)
        return there
    for each in (SCAN, PUZZLE) if kind == SCAN else (PUZZLE,):  # a puzzle lies over its scan
        clear(viewer, each)
    return [_add(viewer, settings) for settings in wanted]


def _add(viewer: Viewer, settings: Settings) -> Layer:
    apart = ("kind", "contour")  # napari takes a contour only later
    own = {name: value for name, value in settings.items() if name not in apart}
    layer = getattr(viewer, f"add_{settings['kind']}")(**own)
    if "contour" in settings:
        layer.contour = settings["contour"]
    return layer


def _form(layer: Layer) -> tuple[Any, ...]:
    return (type(layer).__name__.lower(), layer.name, layer.ndim, getattr(layer, "rgb", False))


def _wanted_form(settings: Settings) -> tuple[Any, ...]:
    kind, rgb = settings["kind"], settings.get("rgb", False)
    data = np.asarray(settings["data"])
    dims = data.shape[-1] if kind in ("vectors", "points") else data.ndim - rgb
    return (kind, settings["name"], dims, rgb)


def renew(layer: Layer, settings: Settings) -> None:
    """Fill a layer anew; what the user may have set otherwise stays, such as its opacity."""
    names = [*RENEWED, "colormap"] if settings["kind"] == "labels" else RENEWED
    for name in names:
        if name in settings and not _same(getattr(layer, name), settings[name]):
            setattr(layer, name, settings[name])


def _same(one: Any, other: Any) -> bool:
    """Whether an affine, a window or a word is as it was, so that napari need not draw it again."""
    if isinstance(one, str):
        return one == str(other)
    one = getattr(one, "affine_matrix", one)
    arrays = isinstance(other, (tuple, np.ndarray)) and not isinstance(one, dict)
    return arrays and np.shape(one) == np.shape(other) and np.array_equal(one, other)


def leave(viewer: Viewer, kind: str) -> None:
    """Let the layers of one kind no longer follow the viewer."""
    for layer in layers_of(viewer, kind):
        follower = layer.metadata.pop(FOLLOWER, None)
        if follower is not None:
            follower.leave()


def clear(viewer: Viewer, kind: str) -> None:
    """Remove the layers of one kind that this module added."""
    leave(viewer, kind)
    for layer in layers_of(viewer, kind):
        viewer.layers.remove(layer)
    write_over(viewer, ())

"""How a viewer of napari is looked at: upright, which plane, head up in 3D; and what it says.

The world is that of the scan: RAS, so right, anterior and superior are its axes 0, 1 and 2.
"""

from collections.abc import Sequence
from typing import Any

Viewer = Any  # napari.Viewer, or napari.components.ViewerModel, which needs no display

AXIS_NAMES = ("right", "anterior", "superior")  # where each axis leads
VIEWED_FROM = (-0.35, -1.0, 0.55)  # looking direction in (superior, anterior, right): front left


def camera(viewer: Viewer) -> Any:
    scene: Any = getattr(viewer, "scene", viewer)  # napari 0.9 moved it
    return scene.camera


def write_over(viewer: Viewer, lines: Sequence[str]) -> None:
    """Write lines over the picture, in a corner; without lines nothing is written."""
    text = viewer.canvas.overlays.text if hasattr(viewer, "canvas") else viewer.text_overlay
    text.text = "\n".join(filter(None, lines))
    text.position, text.color = "top_left", "white"
    if hasattr(text, "box"):  # napari 0.6.3
        text.box, text.box_color = True, (0, 0, 0, 0.6)
    text.visible = bool(text.text)


# ---- planes ------------------------------------------------------------------------------------


def stand_upright(viewer: Viewer) -> None:
    """Show an RAS scan as figures do: axial plane, right on the right, front up."""
    viewer.dims.axis_labels = AXIS_NAMES[: viewer.dims.ndim]
    viewer.dims.order = tuple(reversed(range(viewer.dims.ndim)))
    camera(viewer).orientation = ("towards", "up", "right")
    viewer.reset_view()


def shown_plane(viewer: Viewer, dims: int) -> tuple[int | None, float]:
    """The axis across which a plane of a 3D scan is shown, and its position; (None, 0) in 3D."""
    first = viewer.dims.ndim - dims  # napari counts axes of other layers before those of ours
    hidden = [axis for axis in viewer.dims.not_displayed if axis >= first]
    return (hidden[0] - first, viewer.dims.point[hidden[0]]) if hidden else (None, 0.0)


def go_to(viewer: Viewer, place: Sequence[float]) -> None:
    """Show the planes that cross at a place in the world."""
    axes = range(viewer.dims.ndim - len(place), viewer.dims.ndim)
    viewer.dims.set_point(axes, [float(each) for each in place])


# ---- 3D ----------------------------------------------------------------------------------------


def stand_in_3d(viewer: Viewer) -> None:
    """Show a 3D scan's layers in space, head up."""
    viewer.dims.ndisplay = 3
    viewer.reset_view()
    keep_head_up(viewer)


def keep_head_up(viewer: Viewer) -> None:
    """In 3D, look from the front left and above, if the camera looks straight on.

    That is where napari's Home button puts it, and where it stands when 3D begins; what lies in one
    line would then hide each other.
    """
    if viewer.dims.ndisplay != 3 or any(abs(angle) > 1e-3 for angle in camera(viewer).angles[:2]):
        return
    camera(viewer).set_view_direction(VIEWED_FROM, (1, 0, 0))
    camera(viewer).zoom *= 0.75  # seen from a corner a box is wider


# ---- as before ---------------------------------------------------------------------------------


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

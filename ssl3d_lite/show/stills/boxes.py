"""The still picture of ``Puzzle3D``: its pieces as boxes, with slices on their sides.

Seen without perspective each side is a parallelogram, so boxes are painted from far to near.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Polygon
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

from ssl3d_lite.show.figures.rendering import draw_compass, eye
from ssl3d_lite.show.pieces import CORRECT_COLOUR, WRONG_COLOUR

from .bundle import Message

PANEL_EDGE = 4.2  # inches
SHADE = (0.22, 0.1, 0.0)  # each axis darkens its sides so much: light comes from above
PULLED = 0.45  # how far apart pieces are beside a prediction
UNMARKED = "#777777"
SIDE_NAMES = ("LR", "PA", "IS")


@dataclass(frozen=True)
class _Panel:
    """One picture of the pieces, from one side."""

    scene: Message
    panel: Message
    places: list[np.ndarray]  # (3, 4) for each piece
    shades: np.ndarray  # (piece, *size)
    turn: Sequence[float]
    depth: float
    apart: float
    letters: bool

    def project(self, points: np.ndarray) -> np.ndarray:
        """Points (…, 3) as (…, 2): to the right, and up."""
        right, _, up = eye(self.turn)
        return np.stack([points @ right, points @ up], -1)


def boxes_still(
    scene: Message,
    voxels: np.ndarray,
    shuffled: bool,
    apart: float,
    depth: float,
    turn: Sequence[float],
) -> Figure:
    """Pieces as the network gets them beside the same put back, or a prediction beside the truth.

    Args:
        scene: the message that puzzle3d.js draws.
        voxels: (set, piece, *size), one byte each.
        shuffled, apart, depth, turn: the state of the view.
    """
    drawn, predicted = _panels(scene, shuffled), len(scene["panels"]) > 1 and scene["grid"]
    figure = Figure(layout="constrained")
    figure.set_label(scene["title"])
    figure.suptitle(scene["question"], fontsize=11)
    grid = figure.subplots(1, len(drawn), squeeze=False)[0]
    for axes, (title, panel, where) in zip(grid, drawn, strict=True):
        open_by = apart or (PULLED if panel["marked"] or (where == "home" and predicted) else 0.0)
        places = [
            ((1 - open_by) * np.array(piece[where][0]) + open_by * np.array(piece[where][1]))[:3]
            for piece in scene["pieces"]
        ]
        letters = bool(scene["turned"]) and where == "shown"
        each = _Panel(scene, panel, places, voxels[panel["set"]], turn, depth, open_by, letters)
        _draw_panel(axes, each, framed=scene["framed"].get(where, False) and not open_by)
        axes.set_title(title, fontsize=10)
    wide, tall = _level(grid)
    width = PANEL_EDGE * max(len(drawn), 1.6)
    figure.set_size_inches(width, PANEL_EDGE * min(1.1, tall / wide) + 0.8)
    handles = [
        Patch(fill=False, edgecolor=colour, linestyle="--" if dashed else "-", label=name)
        for colour, dashed, name in scene["legend"]
    ]
    if handles:
        style: dict[str, Any] = {"ncols": 2 * len(drawn), "frameon": False, "fontsize": 9}
        figure.legend(handles=handles, loc="outside lower center", **style)
    return figure


def _panels(scene: Message, shuffled: bool) -> list[tuple[str, Message, str]]:
    """Title, panel and place of each picture."""
    panels = scene["panels"]
    if len(panels) > 1 or not scene["moves"]:
        return [(panel["title"], panel, panel["put"]) for panel in panels]
    both = [("as the network gets them", "shown"), ("put back", "home")]
    return [(title, panels[0], where) for title, where in both[: 2 if shuffled else None]]


def _level(grid: Sequence[Axes]) -> tuple[float, float]:
    """Give pictures side by side one magnification; their width and height."""
    ends = [(axes.get_xlim(), axes.get_ylim()) for axes in grid]
    wide, tall = (max(high - low for low, high in limits) / 2 for limits in zip(*ends, strict=True))
    for axes, (across, up) in zip(grid, ends, strict=True):
        axes.set_xlim(np.mean(across) - wide, np.mean(across) + wide)
        axes.set_ylim(np.mean(up) - tall, np.mean(up) + tall)
    return wide, tall


def _draw_panel(axes: Axes, panel: _Panel, framed: bool) -> None:
    size = np.array(panel.shades.shape[1:])
    corners = np.array(list(product((-0.5, 0.5), repeat=3))) * size + (size - 1) / 2
    boxes = np.array([corners @ place[:, :3].T + place[:, 3] for place in panel.places])
    points = panel.project(boxes).reshape(-1, 2)
    if framed:
        frame = np.array(list(product((0, 1), repeat=3))) * panel.scene["space"] - 0.5
        points = np.concatenate([points, _draw_frame(axes, panel.project(frame))])
    axes.set_aspect("equal")
    axes.set_axis_off()
    order = np.argsort(boxes.mean(1) @ eye(panel.turn)[1])
    sides: list[tuple[int, np.ndarray]] = []
    for rank, number in enumerate(order.tolist()):
        sides += [(number, quad) for quad in _draw_box(axes, panel, number, size, 10 * rank)]
    _write_names(axes, panel, sides)
    low, high = points.min(0), points.max(0)
    rim = 0.03 * (high - low).max()
    axes.set_xlim(low[0] - rim, high[0] + rim)
    axes.set_ylim(low[1] - rim, high[1] + rim)
    draw_compass(axes, panel.turn)


def _draw_frame(axes: Axes, corners: np.ndarray) -> np.ndarray:
    """The edges of the scan's own box; its corners (8, 2), where the bits of an index say which."""
    for a, bit in product(range(8), (1, 2, 4)):
        if not a & bit:
            axes.plot(*corners[[a, a | bit]].T, color="#bbbbbb", linewidth=0.8, zorder=-1)
    return corners


def _draw_box(
    axes: Axes, panel: _Panel, number: int, size: np.ndarray, rank: int
) -> list[np.ndarray]:
    """Paint the sides of a piece that are turned to the eye; their corners, the nearest last."""
    piece, place = panel.scene["pieces"][number], panel.places[number]
    colour, ghost = _colour(panel, piece), piece.get("ghost", False)
    dashed = ghost or _mark(panel, piece) is False
    quads = []
    for axis, far in _sides(place, eye(panel.turn)[1]):
        quad = panel.project(_corners(place, size, axis, far))
        if not ghost:
            light = 1 - SHADE[int(np.abs(place[:, axis]).argmax())]
            _paint(axes, light * _slice(panel, number, axis, far), quad, rank)
        if ghost or piece.get("tinted"):
            tint = Polygon(quad, facecolor=colour, alpha=0.15 if ghost else 0.3, zorder=rank + 1)
            axes.add_patch(tint)
        edge: dict[str, Any] = {"edgecolor": colour, "linestyle": "--" if dashed else "-"}
        axes.add_patch(Polygon(quad, fill=False, linewidth=1.4, zorder=rank + 2, **edge))
        if panel.letters:
            _write_letter(axes, piece, quad, axis, far, rank)
        quads.append(quad)
    return quads


def _write_names(axes: Axes, panel: _Panel, sides: Sequence[tuple[int, np.ndarray]]) -> None:
    """Write names on sides whose middle is seen; a piece that is hidden has none.

    Args:
        sides: piece and corners of each side that was painted, in this order.
    """
    outlines = [(number, Path(quad)) for number, quad in sides]
    named = set()
    for number, quad in reversed(sides):
        middle, piece = quad.mean(0), panel.scene["pieces"][number]
        last = [other for other, outline in outlines if outline.contains_point(middle)][-1:]
        if number not in named and last == [number] and _is_named(panel, piece):
            named.add(number)
            _write_name(axes, piece, _mark(panel, piece), _colour(panel, piece), middle)


def _colour(panel: _Panel, piece: Message) -> str:
    mark = _mark(panel, piece)
    if mark is not None:
        return CORRECT_COLOUR if mark else WRONG_COLOUR
    return UNMARKED if len(panel.scene["panels"]) > 1 else piece["colour"]


def _mark(panel: _Panel, piece: Message) -> bool | None:
    return piece["right"] if panel.panel["marked"] else None


def _is_named(panel: _Panel, piece: Message) -> bool:
    """A single piece needs no number, and those of pieces that overlap would hide each other."""
    if piece.get("ghost") or (panel.scene["overlap"] and _mark(panel, piece) is not None):
        return True
    return len(panel.places) > 1 and not (panel.scene["overlap"] and panel.apart < 0.4)


def _sides(place: np.ndarray, near: np.ndarray) -> Iterator[tuple[int, bool]]:
    """Axis of each side that is seen, and whether it is that at its end; the nearest comes last."""
    facing = place[:, :3].T @ near
    for axis in np.argsort(np.abs(facing)).tolist():
        if abs(facing[axis]) > 1e-6:
            yield axis, bool(facing[axis] > 0)


def _corners(place: np.ndarray, size: np.ndarray, axis: int, far: bool) -> np.ndarray:
    """The corners (4, 3) of a side: the first is the origin of its picture, then go right, up."""
    across, up = (other for other in range(3) if other != axis)
    corners = np.full((4, 3), -0.5)
    corners[1:3, across] += size[across]
    corners[2:, up] += size[up]
    corners[:, axis] += size[axis] if far else 0
    return corners @ place[:, :3].T + place[:, 3]


def _slice(panel: _Panel, number: int, axis: int, far: bool) -> np.ndarray:
    """The voxels that a side shows, from the border to the middle as ``depth`` says, in colour."""
    edge = panel.shades.shape[1 + axis]
    step = round(panel.depth * (edge - 1))
    voxels = panel.shades[number].take(edge - 1 - step if far else step, axis).T
    picture = np.repeat(voxels[..., None], 3, -1).astype(float) / 255
    for byte, colour in panel.panel["colours"].items():
        picture[voxels == int(byte)] = np.array(colour) / 255
    return picture


def _paint(axes: Axes, picture: np.ndarray, quad: np.ndarray, rank: int) -> None:
    """Draw a picture into a parallelogram."""
    first, right, _, up = quad
    matrix = np.eye(3)
    matrix[:2] = np.stack([right - first, up - first, first], 1)
    image = axes.imshow(
        picture,
        origin="lower",
        extent=(0, 1, 0, 1),
        interpolation="nearest",
        zorder=rank,
        aspect="equal",
    )
    image.set_transform(Affine2D(matrix) + axes.transData)


def _write_letter(
    axes: Axes, piece: Message, quad: np.ndarray, axis: int, far: bool, rank: int
) -> None:
    """Which side of the body a turned piece's side is, at its corner; nothing where it is askew."""
    way = np.array(piece["home"][0])[:3, axis]
    leads = int(np.abs(way).argmax())
    if abs(way[leads]) > 0.99 * np.linalg.norm(way):
        letter = SIDE_NAMES[leads][int((way[leads] > 0) == far)]
        x, y = quad[0] + 0.13 * (quad[2] - quad[0])
        style: dict[str, Any] = {"fontsize": 9, "fontweight": "bold", "zorder": rank + 3}
        axes.text(x, y, letter, color="#ffe9a8", ha="center", va="center", **style)


def _write_name(axes: Axes, piece: Message, mark: bool | None, colour: str, at: np.ndarray) -> None:
    sign = {True: "✓ ", False: "✗ ", None: ""}[mark]
    red, green, blue = (int(colour[n : n + 2], 16) for n in (1, 3, 5))
    ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else "white"
    plate = {"boxstyle": "round,pad=0.15", "facecolor": colour, "edgecolor": "none", "alpha": 0.9}
    style: dict[str, Any] = {"fontsize": 7.5, "fontweight": "bold", "color": ink, "bbox": plate}
    axes.text(at[0], at[1], sign + piece["badge"], ha="center", va="center", zorder=1e6, **style)

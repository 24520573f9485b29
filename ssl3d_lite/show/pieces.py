"""The pieces of a puzzle, as all figures and views draw them: voxels, place, badge and colour.

They are read from the batch alone, so no figure or view needs to know the task. What is said of
them is in words.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from scipy import ndimage
from torch import Tensor

from ssl3d_lite.tasks import Placement, ProxyBatch

# Okabe and Ito's, which colour-blind readers can tell apart
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
CORRECT_COLOUR, WRONG_COLOUR = COLOURS[2], COLOURS[1]  # ✓ and ✗ say it too
# What lies over a scan: layers, views and classes. They are seen on dark and bright tissue, and
# none is the colour of right or wrong. The first five are Okabe and Ito's; each of the others is
# as unlike all before it as can be.
SCAN_COLOURS = (
    *("#0072B2", "#E69F00", "#CC79A7", "#56B4E9", "#F0E442", "#870FFF", "#FFC3B4", "#879600"),
    *("#D2C3FF", "#C30F5A", "#A5E1C3", "#785A87", "#A578FF", "#876900", "#00E1F0", "#C3B487"),
    *("#D20FB4", "#008796", "#A56969", "#FF96FF", "#5A693C", "#FF3C78", "#FFC3E1", "#9687B4"),
    *("#5A87FF", "#4B5AD2", "#FFC387"),
)
HIDDEN_NAME = "hidden from the network"
HIDDEN_COLOUR = "#5B5F97"  # voxels that a network is not shown: no grey of a scan is so blue


@dataclass(frozen=True)
class Piece:
    """One view of a scan, as the network gets it."""

    number: int  # its position among the scan's views; in a grid also the cell it is shown in
    image: np.ndarray  # float32 (channel, *space)
    matrix: np.ndarray  # (D+1, D+1): piece voxel → voxel of the scan
    label: int | None  # what the network should predict of it; None where that is no number
    answer: str = ""  # the same in words
    home: int | None = None  # the cell it was cut from; None where the views form no grid
    layer: int | None = None  # the grid's layer (or row, see layer_names) that cell is in

    @property
    def colour(self) -> str:
        """In a grid the layer's, so that one sees at a glance whether pieces are in order."""
        return scan_colour(self.number if self.layer is None else self.layer)

    @property
    def corners(self) -> np.ndarray:
        """Corners of its box in voxels of the scan: (2^D, D)."""
        return box_corners(self.matrix, self.image.shape[1:])

    @property
    def centre(self) -> np.ndarray:
        """The middle of its box in voxels of the scan: (D,)."""
        return self.corners.mean(0)


def badge(piece: Piece) -> str:
    """What a piece bears in every view: the cell it was cut from, or the number of the view."""
    return str(piece.number if piece.home is None else piece.home)


def scan_colour(number: int) -> str:
    """The colour of layer, view or class ``number``, from 0."""
    return SCAN_COLOURS[number % len(SCAN_COLOURS)]


def pieces_of(batch: ProxyBatch, scan: int = 0) -> list[Piece]:
    """All views of one scan of the batch, in the order in which the network gets them."""
    views = batch.views[scan].float().cpu().numpy()
    matrices = batch.placement.matrix[scan].double().cpu().numpy()
    labels, homes = piece_labels(batch, scan), home_cells(batch, scan)
    pieces = []
    for number, (image, matrix) in enumerate(zip(views, matrices, strict=True)):
        label, home = labels.get(number), homes[number] if homes else None
        answer = "" if label is None else answer_name(batch, label)
        layer = None if home is None else _layer(home, batch.placement)
        pieces.append(Piece(number, image, matrix, label, answer, home, layer))
    return pieces


def _layer(cell: int, placement: Placement) -> int:
    """The layer along the last axis that a cell is in; or the row, in the order of reading."""
    axis, backwards = placement.direction or (len(placement.grid) - 1, False)
    layer = int(np.unravel_index(cell, placement.grid)[axis])
    return placement.grid[axis] - 1 - layer if backwards else layer


def layer_names(batch: ProxyBatch) -> list[str]:
    """What each colour of a grid's pieces means, in the order of the layers; [] where there is one
    layer, or no grid."""
    placement = batch.placement
    axis = placement.direction[0] if placement.direction else len(placement.grid) - 1
    if not placement.grid or placement.grid[axis] == 1:
        return []
    kind, first = ("row", "reading begins") if placement.direction else ("layer", "lowest")
    names = [f"{kind} {number}" for number in range(placement.grid[axis])]
    return [f"cut from {names[0]} ({first})", *names[1:]]


def answer_name(batch: ProxyBatch, number: int) -> str:
    """A class of the batch's task in words: "above right"; "class 3" where it has no words."""
    if 0 <= number < len(batch.answers):
        return batch.answers[number]
    orders = orders_of(batch)
    if orders is not None and 0 <= number < len(orders):
        return f"order {number} of {len(orders)}"
    return f"class {number}"


def voxel_classes(batch: ProxyBatch, scan: int = 0) -> tuple[np.ndarray, list[str]] | None:
    """What is asked of each voxel of a scan's first view: classes (*space), and their names.

    Where voxels have to be found, class 1 is what is hidden from the network. None where the task
    asks about no voxels.
    """
    target, space = batch.target, batch.views.shape[3:]
    if target.ndim < 2 + len(space) or target.shape[-len(space) :] != space:
        return None
    values = target[scan, 0].cpu()
    if target.is_floating_point():  # no number where nothing was hidden
        return (~values[0].isnan()).numpy().astype(np.uint8), ["shown", HIDDEN_NAME]
    names = batch.answers or [f"class {n}" for n in range(int(values.max()) + 1)]
    return values.numpy().astype(np.uint8), list(names)


def with_hidden(batch: ProxyBatch, scan: int, prediction: np.ndarray | None = None) -> np.ndarray:
    """A scan's view with what was hidden from the network in its place: (channel, *space).

    Args:
        prediction: (view, channel, *space), to put there what the network predicts.
    """
    view, target = (each[scan, 0].float().cpu().numpy() for each in (batch.views, batch.target))
    return np.where(np.isnan(target), view, target if prediction is None else prediction[0])


def class_colour(number: int, name: str = "") -> str:
    """The colour of class ``number`` of a label map, from 1; that of hidden voxels is their own."""
    return HIDDEN_COLOUR if name == HIDDEN_NAME else scan_colour(number - 1)


def orders_of(batch: ProxyBatch) -> np.ndarray | None:
    """The cells (answer, view) of each order that may be the answer; None if it is no order."""
    orders = batch.placement.orders
    return None if orders is None else orders.cpu().numpy()


def piece_labels(batch: ProxyBatch, scan: int = 0) -> dict[int | None, int]:
    """A view's number → its label; {} where the labels of a scan are no whole numbers.

    One label for all views together has the key None. Where there are fewer labels than views, the
    first views have none: the others are compared with them.
    """
    target, views = batch.target, batch.views.shape[1]
    if target.ndim != 2 or target.is_floating_point():
        return {}
    numbers = target[scan].tolist()
    if len(numbers) == 1 < views:
        return {None: numbers[0]}
    return dict(zip(range(views - len(numbers), views), numbers, strict=True))


def home_cells(batch: ProxyBatch, scan: int = 0) -> list[int]:
    """The cell of the grid that each view was cut from, last axis fastest; [] if there is no grid.

    View v is shown in cell v, so in a shuffled puzzle the two differ.
    """
    grid = batch.placement.grid
    if not grid:
        return []
    matrix, size = batch.placement.matrix[scan].double().cpu(), batch.views.shape[3:]
    centres = np.array([box_corners(each, size).mean(0) for each in matrix])
    # with or without jitter, the layers of a grid do not overlap: the rank gives the layer
    layer = centres.argsort(0, kind="stable").argsort(0) * np.array(grid) // len(centres)
    return np.ravel_multi_index(tuple(layer.T), grid).tolist()


def inner_part(piece: Piece, edge: np.ndarray) -> Piece:
    """The middle of a piece, ``edge`` voxels wide, or as wide as the piece if that is less."""
    size = np.array(piece.image.shape[1:])
    inner = np.minimum(size, np.rint(edge).astype(int))
    low = (size - inner) // 2
    matrix = piece.matrix.copy()
    matrix[:-1, -1] += matrix[:-1, :-1] @ low
    cut = tuple(slice(a, a + n) for a, n in zip(low, inner, strict=True))
    return replace(piece, image=piece.image[(slice(None), *cut)], matrix=matrix)


def air_in(nothing: np.ndarray, piece: Piece) -> np.ndarray:
    """Where a piece is air: (*size) bool.

    Args:
        nothing: (*space), where the scan is air.
    """
    size, matrix = piece.image.shape[1:], piece.matrix
    voxels = np.indices(size).reshape(len(size), -1)
    at = matrix[:-1, :-1] @ voxels + matrix[:-1, -1:]
    return ndimage.map_coordinates(nothing, at, order=0, mode="nearest").reshape(size)


def box_corners(matrix: Tensor | np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The corners of a view's box in voxels of the scan: (2^D, D).

    The box goes to the borders of its outermost voxels, not only to their centres.
    """
    ends = [(-0.5, edge - 0.5) for edge in size]
    corners = np.array([(*corner, 1) for corner in product(*ends)])
    return (corners @ np.asarray(matrix, np.float64).T)[:, :-1]

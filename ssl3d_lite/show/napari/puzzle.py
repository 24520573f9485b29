"""A puzzle as layers of napari: its boxes, numbers and pieces, which move together.

It is drawn from views, placement and labels alone, so the task need not be known.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage
from torch import Tensor

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.arrays import Array, as_numpy
from ssl3d_lite.show.pieces import (
    CORRECT_COLOUR,
    WRONG_COLOUR,
    Piece,
    box_corners,
    piece_labels,
    pieces_of,
)
from ssl3d_lite.tasks import ProxyBatch

from .layers import (
    LAYER_KIND,
    PLAIN,
    PUZZLE,
    SCAN,
    Layer,
    Viewer,
    add_scan,
    camera,
    class_layer,
    clear,
    image_layers,
    layer_data,
    on_dark,
    overlay,
    shown_plane,
    window,
)

PuzzlePrediction = int | Sequence[int] | Array

MAX_LAYERS = 64  # pieces with a layer of their own; napari slows down with more


def add_puzzle(
    viewer: Viewer,
    volumes: Tensor,
    batch: ProxyBatch,
    scan: int = 0,
    *,
    prediction: PuzzlePrediction | None = None,
    spacing: Sequence[float] | None = None,
) -> "PuzzleLayers":
    """Show a puzzle in its scan: boxes, numbers and pieces, as they lie there.

    The scan is added too, unless :func:`add_scan` has added it already (with its labels, say).

    Args:
        volumes: (batch, channel, *space), as they were given to ``make_views``.
        scan: index of the scan to show.
        prediction: a network's prediction, shown beside the label: one number; or a number for
            each piece, or for each that has a label (in a shuffled grid the cell it belongs in);
            or a map such as ``batch.target[scan]``.
        spacing: edge lengths of a voxel, in mm.

    Raises:
        InputError: a prediction that does not fit the puzzle.
    """
    volume = as_numpy(volumes[scan])
    shown = [layer for layer in viewer.layers if layer.metadata.get(LAYER_KIND) == SCAN]
    expected = image_layers(volume, "scan", np.eye(volume.ndim))
    if not shown or not np.array_equal(shown[0].data, expected[0]["data"]):
        scale = tuple(spacing) if spacing is not None else (1.0,) * (volume.ndim - 1)
        shown = add_scan(viewer, volume, spacing=scale)
    world = np.asarray(shown[0].affine.affine_matrix)
    return PuzzleLayers(
        viewer, batch, scan, prediction=prediction, world=world, space=volume.shape[1:]
    )


class PuzzleLayers:
    """The layers of one puzzle, which know their pieces: they move together.

    napari shows vectors and points only in the plane they lie in. So boxes and numbers follow the
    plane that is shown: in 2D an outline where it cuts a box, in 3D the whole box.
    """

    def __init__(
        self,
        viewer: Viewer,
        batch: ProxyBatch,
        scan: int = 0,
        *,
        prediction: PuzzlePrediction | None = None,
        world: np.ndarray,
        space: Sequence[int],
    ):
        """Add the layers, and remove those of an earlier puzzle.

        Args:
            world: scan voxel → world, (D+1, D+1).
            space: size of the scan, voxels.
        """
        self.viewer, self.world, self.space = viewer, world, space
        self.pieces = pieces_of(batch, scan)
        predicted = prediction_by_piece(self.pieces, batch, prediction)
        self.captions, self.colours = captions(self.pieces, predicted)
        self.homes = np.stack([world @ piece.matrix for piece in self.pieces])
        self.matrices = self.homes.copy()  # piece voxel → world, as they are arranged now
        clear(viewer, PUZZLE)
        self.images = self._add_pieces()
        self.maps = self._add_maps(batch, scan, prediction)
        self.boxes = self._add_boxes()
        self.numbers = self._add_numbers()
        layers = [self.boxes, self.numbers, *self.maps, *self.images.values()]
        for layer in layers:
            layer.metadata.update({LAYER_KIND: PUZZLE, "puzzle": self})
        text = overlay(viewer)
        self.caption = text.text = puzzle_caption(batch, scan, prediction)
        text.position = "top_left"
        text.visible = bool(text.text)
        # only the layers hold this object, so it ends with them
        viewer.dims.events.point.connect(self.follow)
        viewer.dims.events.order.connect(self.follow)
        viewer.dims.events.ndisplay.connect(self.follow)
        self.follow()

    def _add_pieces(self) -> dict[int, Layer]:
        """Add a layer for each piece; in a large puzzle for evenly chosen pieces."""
        step = -(-len(self.pieces) // MAX_LAYERS)
        chosen = self.pieces[::step]
        # one window for all, so that they can be compared; where every piece is scaled to variance
        # 1, empty ones have wild values
        limits = window(np.stack([piece.image[0] for piece in chosen]), 0.01)
        layers = {}
        for piece in chosen:
            image, matrix = as_it_lies(piece.image, piece.matrix)
            first = image_layers(image, "", self.world @ matrix)[0]
            first |= {
                "name": f"piece {piece.number}",
                "metadata": {LAYER_KIND: PUZZLE, "piece": piece.number},
            }
            if "rgb" not in first:
                first["contrast_limits"] = limits
            layers[piece.number] = self.viewer.add_image(**first)
        return layers

    def _add_maps(
        self, batch: ProxyBatch, scan: int, prediction: PuzzlePrediction | None
    ) -> list[Layer]:
        """Add layers of a label that is a map of voxels, and of the prediction of it."""
        if not is_map(batch):
            return []
        first, added = self.pieces[0], []
        for name, each in (("label", batch.target[scan]), ("prediction", prediction)):
            if each is None:
                continue
            values = as_numpy(each).reshape(-1, *first.image.shape[1:])
            if batch.target.is_floating_point():  # where it is no number the voxel was not hidden
                values = np.where(np.isnan(values), first.image, values)
            values, matrix = as_it_lies(values, first.matrix)
            affine = self.world @ matrix
            if batch.target.is_floating_point():
                image = image_layers(values, name, affine)[0] | {"name": name}
                image |= {"visible": False, "metadata": {LAYER_KIND: PUZZLE}}
                added.append(self.viewer.add_image(**image))
            else:
                added.append(self.viewer.add_labels(**class_layer(values[0], name, affine, ())))
        return added

    def _add_boxes(self) -> Layer:
        lines = np.concatenate([edges(corners) for corners in self.corners])
        colours = [on_dark(piece.colour) for piece in self.pieces]
        return self.viewer.add_vectors(
            lines,
            name="boxes",
            vector_style="line",
            edge_width=self.unit,
            edge_color=np.repeat(colours, len(lines) // len(colours)),
        )

    def _add_numbers(self) -> Layer:
        return self.viewer.add_points(
            self.centres,
            name="numbers",
            size=3 * self.unit,
            blending="translucent_no_depth",  # no piece hides its number
            face_color=[on_dark(piece.colour) for piece in self.pieces],
            features={
                "number": [piece.number for piece in self.pieces],
                "caption": self.captions,
            },
            text=self._text(self.colours),
        )

    @property
    def unit(self) -> float:
        """Width of lines: 1 % of the scan's longest edge in the world."""
        return float((np.linalg.norm(self.world[:-1, :-1], axis=0) * self.space).max() / 100)

    @property
    def corners(self) -> np.ndarray:
        """The pieces' boxes as they are arranged now, in the world: (piece, 2^D, D)."""
        size = self.pieces[0].image.shape[1:]
        return np.stack([box_corners(matrix, size) for matrix in self.matrices])

    @property
    def centres(self) -> np.ndarray:
        """The middles of these boxes: (piece, D)."""
        return self.corners.mean(1)

    # ---- moving --------------------------------------------------------------------------

    def arrange(self, apart: float = 0.0, shown: bool = False) -> None:
        """Move the pieces.

        Args:
            apart: 0 leaves them where they were cut; 1 moves them twice as far from the middle
                of all; and so on.
            shown: whether they are shown as the network gets them: those of a grid each in the
                cell in which it is shown, others in a row beside the scan, turned or warped.
        """
        self.matrices = self.homes.copy()
        if shown and self.pieces[0].home is None:
            self.matrices = self._row()
        elif shown:  # cell v holds view v; the piece that was cut there tells where it is
            cells = np.argsort([piece.home for piece in self.pieces])
            self.matrices[:, :-1, -1] += self.centres[cells] - self.centres
        centres = self.centres
        self.matrices[:, :-1, -1] += apart * (centres - centres.mean(0))
        for number, layer in self.images.items():
            image, way = as_it_lies(self.pieces[number].image, self._in_scan(number))
            layer.data = layer_data(image)
            layer.affine = self.world @ way
        self.follow()

    def spread(self) -> None:
        """Move the pieces so that one picture shows them all.

        They move apart; turned copies, which lie in one place, move into a row.
        """
        centres = np.array([piece.centre for piece in self.pieces])
        together = np.abs(centres - centres.mean(0)).max() < 1
        self.arrange(0 if together else 0.6, shown=together)

    def _row(self) -> np.ndarray:
        """Matrices that show the pieces as they are, in a row to the right of the scan."""
        size = np.array(self.pieces[0].image.shape[1:])
        matrices = np.repeat(np.eye(len(size) + 1)[None], len(self.pieces), 0)
        matrices[:, :-1, -1] = np.array([piece.centre for piece in self.pieces]).mean(0)
        matrices[:, :-1, -1] -= (size - 1) / 2
        gap = 1 + size[0] // 8
        matrices[:, 0, -1] = self.space[0] + gap + (size[0] + gap) * np.arange(len(self.pieces))
        return self.world @ matrices

    def _in_scan(self, number: int) -> np.ndarray:
        """Piece voxel → scan voxel, as it is arranged now."""
        return np.linalg.solve(self.world, self.matrices[number])

    def follow(self, event: Any = None) -> None:
        """Bring boxes and numbers to the plane that is shown."""
        corners, centres = self.corners, self.centres
        axis, place = shown_plane(self.viewer, centres.shape[1])
        self.boxes.data = np.concatenate([box_outline(each, axis, place) for each in corners])
        if axis is not None:
            cut = (corners[..., axis].min(1) <= place) & (place <= corners[..., axis].max(1))
            centres[cut, axis] = place
        self.numbers.data = centres
        self.numbers.text.translation = self._above()

    # ---- which piece ---------------------------------------------------------------------

    def picked(self) -> int | None:
        """Number of the piece that the user means; None if there is none.

        It is the piece whose layer or point is selected, or else the one under the mouse in a
        plane.
        """
        active = self.viewer.layers.selection.active
        if active is not None and "piece" in active.metadata:
            return active.metadata["piece"]
        if active is self.numbers and len(self.numbers.selected_data) == 1:
            return int(next(iter(self.numbers.selected_data)))
        if self.viewer.dims.ndisplay == 3:
            return None
        dims = self.homes.shape[1] - 1
        return self.at(np.asarray(self.viewer.cursor.position)[-dims:])

    def at(self, position: np.ndarray) -> int | None:
        """Number of the uppermost piece in which a position in the world lies, or None."""
        for piece in reversed(self.pieces):
            voxel = np.linalg.solve(self.matrices[piece.number], [*position, 1])[:-1]
            if (voxel >= -0.5).all() and (voxel <= np.array(piece.image.shape[1:]) - 0.5).all():
                return piece.number
        return None

    def note(self, notes: dict[int, str]) -> None:
        """Put a word behind the captions of some pieces, in the colour of what is wrong."""
        captions, colours = list(self.captions), list(self.colours)
        for number, word in notes.items():
            captions[number], colours[number] = f"{captions[number]} {word}", WRONG_COLOUR
        self.numbers.features["caption"] = captions
        self.numbers.text = self._text(colours)

    def _text(self, colours: Sequence[str]) -> dict[str, Any]:
        """Settings of the captions."""
        above = self._above()
        return {"string": "{caption}", "color": colours, "size": 10, "translation": above}

    def _above(self) -> np.ndarray:
        """The way from a piece's middle to the position of its caption above its box."""
        piece, scan = max(self.pieces[0].image.shape[1:]), max(self.space)
        dims, far = self.homes.shape[1] - 1, (50 * piece / scan + 3) * self.unit
        if self.viewer.dims.ndisplay == 3:  # the front edge of the top, as RAS scans stand
            return np.array([0, far, far])[:dims]
        upwards = camera(self.viewer).orientation[1].value == "up"
        first = self.viewer.dims.ndim - dims
        vertical = self.viewer.dims.displayed[-2] - first
        return (far if upwards else -far) * np.eye(dims)[vertical]


# ---- captions ----------------------------------------------------------------------------------


def is_map(batch: ProxyBatch) -> bool:
    """Whether the label is a map of a view's voxels."""
    space = batch.views.shape[3:]
    return batch.target.ndim >= 2 + len(space) and batch.target.shape[-len(space) :] == space


def prediction_by_piece(
    shown: Sequence[Piece], batch: ProxyBatch, prediction: PuzzlePrediction | None
) -> dict[int, int]:
    """A piece's number → the prediction for it; {} where that is not a number for each piece.

    Raises:
        InputError: there are neither as many predictions as pieces nor as many as labels.
    """
    if prediction is None or is_map(batch) or np.ndim(prediction) == 0:
        return {}
    numbers = as_numpy(prediction).tolist()
    labelled = [piece.number for piece in shown if piece.label is not None]
    for which in (labelled, [piece.number for piece in shown]):
        if len(numbers) == len(which):
            return dict(zip(which, numbers, strict=True))
    if len(numbers) == 1:
        return {}
    raise InputError(
        f"{len(numbers)} predictions for {len(shown)} pieces, {len(labelled)} of them labelled; "
        "give one for each"
    )


def captions(shown: Sequence[Piece], predicted: dict[int, int]) -> tuple[list[str], list[str]]:
    """The caption of each piece, and its colour."""
    shuffled = any(piece.home not in (None, piece.number) for piece in shown)
    texts, colours = [], []
    for piece in shown:
        text, colour = str(piece.number), PLAIN
        truth = piece.home if shuffled else piece.label
        if truth is not None:
            text += f": {'home' if shuffled else 'label'} {truth}"
        if piece.number in predicted:
            prediction = predicted[piece.number]
            colour = CORRECT_COLOUR if prediction == truth else WRONG_COLOUR
            text += ", correct" if prediction == truth else f", predicted {prediction}"
        # several views of one box, turned: their captions one below the other
        before = sum(np.allclose(piece.centre, other.centre) for other in shown[: piece.number])
        texts.append("\n\n" * before + text)
        colours.append(colour)
    return texts, colours


def puzzle_caption(batch: ProxyBatch, scan: int, prediction: PuzzlePrediction | None) -> str:
    """The one label of all pieces, and the prediction of it; "" where there is none."""
    label = piece_labels(batch, scan).get(None)
    if label is None:
        return ""
    if prediction is None or as_numpy(prediction).size != 1:
        return f"label {label}"
    number = int(as_numpy(prediction).item())
    return f"label {label}, prediction {number}: {'correct' if number == label else 'wrong'}"


def as_it_lies(image: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A piece along the scan's axes: image (channel, *space), and its voxel → voxel of the scan.

    napari cannot show a plane of a layer that is turned out of it. A piece that was mirrored or
    turned by quarters is turned back, voxel for voxel. Any other is resampled linearly into the
    scan's grid; what lies outside the piece is no number, which napari draws clear.
    """
    dims, linear = len(matrix) - 1, matrix[:-1, :-1]
    if ((np.abs(linear) > 1e-5).sum(0) == 1).all():
        axes = np.abs(linear).argmax(1)  # axis of the piece along each axis of the scan
        back = np.zeros_like(matrix)  # voxel that lies right → voxel of the piece
        back[dims, dims] = 1
        image = image.transpose(0, *(axes + 1))
        for scan_axis, axis in enumerate(axes):
            sign = np.sign(linear[scan_axis, axis])
            back[axis, scan_axis] = sign
            if sign < 0:
                back[axis, dims] = image.shape[1 + scan_axis] - 1
                image = np.flip(image, 1 + scan_axis)
        return np.ascontiguousarray(image), matrix @ back
    corners = box_corners(matrix, image.shape[1:])
    low = np.floor(corners.min(0) + 0.5)
    size = (np.ceil(corners.max(0) - 0.5) - low + 1).astype(int)
    lies = np.eye(dims + 1)
    lies[:-1, -1] = low
    way = np.linalg.inv(matrix) @ lies
    laid = [
        ndimage.affine_transform(
            channel.astype(np.float32),
            way[:-1, :-1],
            way[:-1, -1],
            tuple(size),
            order=1,
            cval=np.nan,
        )
        for channel in image
    ]
    return np.stack(laid), lies


# ---- boxes -------------------------------------------------------------------------------------


def edges(corners: np.ndarray) -> np.ndarray:
    """A box's edges as napari's vectors, (edge, 2, D): a start and a way for each."""
    numbers = range(len(corners))
    pairs = [(a, b) for a in numbers for b in numbers if a < b and (a ^ b).bit_count() == 1]
    start, end = corners[np.array(pairs).T]
    return np.stack([start, end - start], 1)


def box_outline(corners: np.ndarray, axis: int | None, place: float) -> np.ndarray:
    """The vectors that draw a box where the plane across ``axis`` at ``place`` is shown.

    There are always as many vectors as the box has edges, so that their colours need not change:
    an outline with fewer sides is drawn more than once. A box that the plane does not cut lies
    flat at its own middle, out of sight.
    """
    lines = edges(corners)
    if axis is None:
        return lines
    start, way = lines[:, 0, axis], lines[:, 1, axis]
    crosses = (start < place) != (start + way < place)
    if not crosses.any():
        lines[:, 0, axis], lines[:, 1, axis] = corners[:, axis].mean(), 0
        return lines
    share = (place - start[crosses]) / way[crosses]
    points = lines[crosses, 0] + share[:, None] * lines[crosses, 1]
    flat = np.delete(points - points.mean(0), axis, 1)
    points = points[np.argsort(np.arctan2(flat[:, 1], flat[:, 0]))]  # a convex outline
    points[:, axis] = place
    sides = np.stack([points, np.roll(points, -1, 0) - points], 1)
    return sides[np.arange(len(lines)) % len(sides)]

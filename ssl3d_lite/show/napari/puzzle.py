"""A puzzle as layers of napari: its pieces, boxes and captions, which move together.

It is drawn from the batch alone, so the task need not be known.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ssl3d_lite.show.arrays import air, as_numpy
from ssl3d_lite.show.context import (
    ASKED_COLOUR,
    CONTEXT_COLOUR,
    START_COLOUR,
    asks_for_patches,
    cell_edge,
    middle_question,
    patch_question,
)
from ssl3d_lite.show.pieces import WRONG_COLOUR, box_corners, pieces_of, voxel_classes
from ssl3d_lite.tasks import ProxyBatch

from .boxes import box_outline, edges, first_box_hit
from .camera import Viewer, camera, go_to, keep_head_up, say, shown_plane
from .captions import (
    PLAIN,
    PLATE,
    Mark,
    PuzzlePrediction,
    captions,
    in_lines,
    patch_caption,
    plate,
    prediction_by_piece,
    puzzle_caption,
    sides_of,
)
from .compose import air_in, as_it_lies, compose, middle_of
from .layers import (
    FOLLOWER,
    LAYER_KIND,
    PUZZLE,
    SCAN,
    Layer,
    Settings,
    black,
    class_layer,
    grey_layer,
    image_layers,
    in_colour,
    is_photograph,
    layers_of,
    leave,
    put_layers,
    put_scan,
    window,
)

APART = 0.6  # in a picture, from which all pieces shall be seen


def add_puzzle(
    viewer: Viewer,
    volumes: Tensor,
    batch: ProxyBatch,
    scan: int = 0,
    *,
    prediction: PuzzlePrediction | None = None,
    spacing: Sequence[float] | None = None,
) -> "PuzzleLayers":
    """Show a puzzle in its scan: pieces, boxes and captions, as they lie there.

    Pieces that were turned or warped lie beside the scan, as the network gets them. The scan is
    added too, unless :func:`add_scan` has added it already (with its labels, say).

    Args:
        volumes: (batch, channel, *space), as they were given to ``make_views``.
        scan: index of the scan to show.
        prediction: a network's prediction, shown beside the answer: one number; or a number for
            each piece, or for each that has a label (in a shuffled grid the cell it belongs in);
            or a map such as ``batch.target[scan]``.
        spacing: edge lengths of a voxel, in mm.

    Raises:
        InputError: a prediction that does not fit the puzzle.
    """
    volume = as_numpy(volumes[scan])
    shown = layers_of(viewer, SCAN)
    expected = image_layers(volume, "scan", np.eye(volume.ndim))
    if not shown or not np.array_equal(shown[0].data, expected[0]["data"]):
        scale = tuple(spacing) if spacing is not None else (1.0,) * (volume.ndim - 1)
        shown = put_scan(viewer, volume, {}, spacing=scale)
    world = np.asarray(shown[0].affine.affine_matrix)
    return PuzzleLayers(viewer, volume, batch, scan, prediction=prediction, world=world)


class PuzzleLayers:
    """The layers of one puzzle, which know their pieces: they move together.

    There are three, whatever the number of pieces: ``pieces``, one volume in which all lie;
    ``boxes``; and ``captions``. A label that is a map, and the prediction of it, are one more each.

    napari shows vectors and points only in the plane they lie in. So boxes and captions follow the
    plane that is shown: in 2D an outline where it cuts a box, in 3D the whole box.
    """

    def __init__(
        self,
        viewer: Viewer,
        volume: np.ndarray,
        batch: ProxyBatch,
        scan: int = 0,
        *,
        prediction: PuzzlePrediction | None = None,
        world: np.ndarray,
    ):
        """Show the puzzle, in the layers of an earlier one if they are there.

        Args:
            volume: (channel, *space), the scan that the views were made from.
            world: scan voxel → world, (D+1, D+1).
        """
        self.viewer, self.world, self.space = viewer, world, volume.shape[1:]
        self.pieces = pieces_of(batch, scan)
        self.box_colours = [piece.colour for piece in self.pieces]
        self.outlined = range(len(self.pieces))  # the pieces that have a box and a caption
        self.filled = self.outlined  # those that are seen
        self.question, self.asked = batch.question, None
        if asks_for_patches(batch):
            self._ask_for_patch(batch, scan, prediction)
        else:
            predicted = prediction_by_piece(self.pieces, batch, prediction)
            self.captions, self.colours = captions(self.pieces, batch, predicted)
            self.caption = puzzle_caption(batch, scan, prediction)
        self.drawn, self.limits = self._drawn(volume)
        self.row = self.turned  # whether they lie beside the scan, and not where they were cut
        self.places = self._row() if self.row else self._homes()  # piece voxel → scan voxel, now
        self.notes: dict[int, str] = {}  # a piece's number → a word behind its caption
        self.marks = self._marks()
        before = [layer.metadata.get(FOLLOWER) for layer in layers_of(viewer, PUZZLE)]
        leave(viewer, PUZZLE)
        selected = viewer.layers.selection.active
        wanted = [self._piece_layer(), *self._maps(batch, scan, prediction)]
        wanted += [self._box_layer(), self._caption_layer()]
        for each in wanted:
            each["metadata"] = {LAYER_KIND: PUZZLE}
        layers = put_layers(viewer, PUZZLE, wanted)
        self.image, *self.maps, self.boxes, self.numbers = layers
        self._select(selected)
        self.say()
        self._follow_viewer()
        self._come_into_view(next(filter(None, before), None))

    def _ask_for_patch(
        self, batch: ProxyBatch, scan: int, prediction: PuzzlePrediction | None
    ) -> None:
        """Draw one question: the pyramid of patches that is the context, and the place that is
        asked about. Patches overlap, so of each its middle is drawn."""
        self.asked = patch_question(batch, middle_question(batch, scan))
        edge = cell_edge([p.centre for p in self.pieces], self.pieces[0].image.shape[1:])
        self.pieces = [middle_of(piece, edge) for piece in self.pieces]
        self.filled = [*self.asked.context, self.asked.start]
        self.outlined = [*self.filled, self.asked.target]
        self.box_colours = [CONTEXT_COLOUR] * len(self.pieces)
        self.box_colours[self.asked.start] = START_COLOUR
        self.box_colours[self.asked.target] = ASKED_COLOUR
        self.captions, self.colours = [""] * len(self.pieces), [PLAIN] * len(self.pieces)
        self.captions[self.asked.target] = "?"
        self.caption = patch_caption(batch, self.asked, prediction)

    # ---- layers --------------------------------------------------------------------------

    def _drawn(self, volume: np.ndarray) -> tuple[list[np.ndarray], tuple[float, float]]:
        """Each piece as it is drawn, (channel, *space); and black and white.

        It is the first channel, or a photograph's three. Air is black, as in the scan.
        """
        images = [piece.image for piece in self.pieces]
        if is_photograph(images[0]):
            return [np.moveaxis(in_colour(image), -1, 0) for image in images], (0.0, 1.0)
        firsts, nothing = [image[0] for image in images], air(volume[0])
        airs = [air_in(nothing, p.matrix, p.image.shape[1:]) for p in self.pieces]
        there = np.concatenate([i[~a] for i, a in zip(firsts, airs, strict=True)])
        # one window for all, so that they can be compared; where every piece is scaled to variance
        # 1, empty ones have wild values
        limits = window(there if there.size else np.stack(firsts), 0.01)
        dark = black(*limits)
        pairs = zip(firsts, airs, strict=True)
        return [np.where(a, dark, i).astype(np.float32)[None] for i, a in pairs], limits

    def _piece_layer(self) -> Settings:
        data, affine = self._composed()
        if len(self.drawn[0]) == 3 and data.ndim == 3:
            return {"kind": "image", "name": "pieces", "data": data, "affine": affine, "rgb": True}
        # so strong an attenuation that in 3D one sees the sides of a cube, and not into it
        solid = {"interpolation3d": "nearest", "attenuation": 1.0}
        return grey_layer(data, "pieces", affine, self.limits) | solid

    def _composed(self) -> tuple[np.ndarray, np.ndarray]:
        """All pieces as they are arranged now, in one array; and its voxel → world."""
        volume, origin = compose(
            [self.drawn[n] for n in self.filled], [self.places[n] for n in self.filled]
        )
        shift = np.eye(len(origin) + 1)
        shift[:-1, -1] = origin
        if len(volume) == 1:
            return volume[0], self.world @ shift
        clear = np.isnan(volume[:1])
        colour = np.concatenate([np.nan_to_num(volume), ~clear])
        return np.moveaxis(colour, 0, -1).astype(np.float32), self.world @ shift

    def _maps(
        self, batch: ProxyBatch, scan: int, prediction: PuzzlePrediction | None
    ) -> list[Settings]:
        """Layers of a label that is a map of voxels, and of the prediction of it.

        Where voxels were hidden the map tells which; what they were is seen in the scan.
        """
        asked = voxel_classes(batch, scan)
        if asked is None:
            return []
        first, (classes, names) = self.pieces[0], asked
        label, matrix = as_it_lies(classes[None], first.matrix)
        affine = self.world @ matrix
        wanted = [class_layer(label[0], "label", affine, names)]
        if prediction is None:
            return wanted
        values = as_numpy(prediction).reshape(-1, *classes.shape)[:1]
        if batch.target.is_floating_point():  # the network rebuilt what was hidden
            values, _ = as_it_lies(np.where(classes, values, first.image[:1]), first.matrix)
            rebuilt = grey_layer(values[0], "prediction", affine, self.limits)
            return [rebuilt | {"visible": False}, *wanted]
        values, _ = as_it_lies(values, first.matrix)
        return [*wanted, class_layer(values[0], "prediction", affine, names)]

    def _box_layer(self) -> Settings:
        boxes = self._boxes()
        lines = np.concatenate([edges(corners) for corners in boxes])
        colours = [*self.box_colours, *[PLAIN] * (len(boxes) - len(self.pieces))]
        return {
            "kind": "vectors",
            "name": "boxes",
            "data": lines,
            "vector_style": "line",
            "edge_width": self.unit,
            "edge_color": np.repeat(colours, len(lines) // len(colours)),
        }

    def _boxes(self) -> np.ndarray:
        """What is outlined: the pieces, and of those in a row also the place they came from."""
        size = self.pieces[0].image.shape[1:]
        homes = [box_corners(matrix, size) for matrix in self.world @ self._homes()]
        return np.concatenate([self.corners, homes]) if self.row else self.corners

    def _caption_layer(self) -> Settings:
        """Points that bear the captions: each twice, a dark plate and the text on it."""
        texts = [each for mark in self.marks for each in (plate(mark.text), mark.text)]
        shades = [each for mark in self.marks for each in (PLATE, mark.colour)]
        text = {"string": "{caption}", "color": shades, "size": 10}
        return {
            "kind": "points",
            "name": "captions",
            "data": np.zeros((len(texts), len(self.space))) + self.centres[0],
            "size": 3 * self.unit,
            "blending": "translucent_no_depth",  # no piece hides its caption
            "face_color": "transparent",
            "border_color": "transparent",
            "features": {"piece": np.repeat([m.piece for m in self.marks], 2), "caption": texts},
            "text": text | {"blending": "translucent_no_depth"},
        }

    def _marks(self) -> list[Mark]:
        """The texts beside the pieces; of turned ones also the letters of their sides."""
        marks = []
        for piece in self.pieces:
            text, colour = self.captions[piece.number], self.colours[piece.number]
            if piece.number in self.notes:
                text, colour = f"{text} {self.notes[piece.number]}".strip(), WRONG_COLOUR
            marks.append(Mark(piece.number, in_lines(text) if self.row else text, colour))
            if self.row:
                marks += sides_of(piece)
        return marks

    # ---- where they lie ------------------------------------------------------------------

    @property
    def turned(self) -> bool:
        """Whether the pieces were turned or warped, or lie in one place."""
        centres = np.array([piece.centre for piece in self.pieces])
        together = len(centres) > 1 and np.abs(centres - centres.mean(0)).max() < 1
        eye = np.eye(len(self.space))
        return bool(together) or any(not np.allclose(p.matrix[:-1, :-1], eye) for p in self.pieces)

    @property
    def unit(self) -> float:
        """1 % of the scan's longest edge in the world."""
        return float((np.linalg.norm(self.world[:-1, :-1], axis=0) * self.space).max() / 100)

    @property
    def matrices(self) -> np.ndarray:
        """Piece voxel → world, as they are arranged now: (piece, D+1, D+1)."""
        return self.world @ self.places

    @property
    def corners(self) -> np.ndarray:
        """The pieces' boxes as they are arranged now, in the world: (piece, 2^D, D)."""
        size = self.pieces[0].image.shape[1:]
        return np.stack([box_corners(matrix, size) for matrix in self.matrices])

    @property
    def centres(self) -> np.ndarray:
        """The middles of these boxes: (piece, D)."""
        return self.corners.mean(1)

    def _homes(self) -> np.ndarray:
        return np.stack([piece.matrix for piece in self.pieces])

    def _row(self) -> np.ndarray:
        """Matrices that show the pieces as they are, in a row to the right of the scan."""
        size = np.array(self.pieces[0].image.shape[1:])
        matrices = np.repeat(np.eye(len(size) + 1)[None], len(self.pieces), 0)
        middle = np.mean([piece.centre for piece in self.pieces], 0)
        matrices[:, :-1, -1] = np.rint(middle - (size - 1) / 2)
        gap = 2 + size[0] // 4  # room for the letters
        matrices[:, 0, -1] = self.space[0] + gap + (size[0] + gap) * np.arange(len(self.pieces))
        return matrices

    # ---- moving --------------------------------------------------------------------------

    def arrange(self, apart: float = 0.0, shown: bool = False) -> None:
        """Move the pieces, by whole voxels.

        Args:
            apart: 0 leaves them where they were cut; 1 moves them twice as far from the middle
                of all; and so on.
            shown: whether they are shown as the network gets them: those of a grid each in the
                cell in which it is shown, others in a row beside the scan, turned or warped.
        """
        before, self.row = self.row, shown and self.pieces[0].home is None
        self.places = self._row() if self.row else self._homes()
        if shown and not self.row:  # cell v holds view v; the piece cut there tells where it is
            middles = np.array([piece.centre for piece in self.pieces])
            cells = np.argsort([piece.home for piece in self.pieces])
            self.places[:, :-1, -1] += np.rint(middles[cells] - middles)
        size = self.pieces[0].image.shape[1:]
        middles = np.stack([box_corners(matrix, size).mean(0) for matrix in self.places])
        self.places[:, :-1, -1] += np.rint(apart * (middles - middles.mean(0)))
        self.image.data, self.image.affine = self._composed()
        if before != self.row:
            boxes = self._box_layer()
            self.boxes.data, self.boxes.edge_color = boxes["data"], boxes["edge_color"]
            self.note(self.notes)
            self.viewer.reset_view(reset_camera_angle=False)
        self.follow()

    def spread(self) -> None:
        """Move the pieces so that one picture shows them all.

        They move apart; turned copies, which lie in one place, move into a row.
        """
        self.arrange(0 if self.turned else APART, shown=self.turned)

    def _follow_viewer(self) -> None:
        """From now on follow the plane that is shown. The layers hold this object."""
        self.boxes.metadata[FOLLOWER] = self
        for name in ("point", "order", "ndisplay"):
            getattr(self.viewer.dims.events, name).connect(self.follow)
        self.viewer.events.reset_view.connect(self.home)

    def leave(self) -> None:
        """Follow no longer."""
        for name in ("point", "order", "ndisplay"):
            getattr(self.viewer.dims.events, name).disconnect(self.follow)
        self.viewer.events.reset_view.disconnect(self.home)

    def home(self, event: Any = None) -> None:
        keep_head_up(self.viewer)

    def follow(self, event: Any = None) -> None:
        """Bring boxes and captions to the plane that is shown."""
        corners, boxes = self.corners, self._boxes()
        axis, place = shown_plane(self.viewer, corners.shape[-1])
        there = {*self.outlined, *self.notes, *range(len(self.pieces), len(boxes))}
        for number in set(range(len(boxes))) - there:
            boxes[number] = boxes[number].mean(0)  # too small to be seen
        self.boxes.data = np.concatenate([box_outline(each, axis, place) for each in boxes])
        spots = [self._spot(mark, corners[mark.piece], axis, place) for mark in self.marks]
        self.numbers.data = np.repeat(spots, 2, 0)

    def _spot(self, mark: Mark, corners: np.ndarray, axis: int | None, place: float) -> np.ndarray:
        """Where a mark stands: in the plane that is shown, if that cuts its piece."""
        low, high = corners.min(0), corners.max(0)
        spot = (low + high) / 2
        if mark.side is None and self.asked is None:  # among boxes that touch it stands inside
            spot = spot + self._above(high - low, mark.text.count("\n"))
        elif mark.side is None:
            pass
        else:
            along, side = mark.side
            spot[along] = (high if side > 0 else low)[along] + 2 * side * self.unit
            if along == axis:
                return spot  # out of sight: it stands on the side that one looks at
        if axis is not None and low[axis] <= place <= high[axis]:
            spot[axis] = place
        return spot

    def _above(self, size: np.ndarray, more_lines: int) -> np.ndarray:
        """The way from a box's middle to its caption, above it and its letters."""
        dims, away = len(size), (3 + 4 * more_lines + 5 * self.row) * self.unit
        if self.viewer.dims.ndisplay == 3:  # the front edge of the top, as RAS scans stand
            return np.array([0, size[1] / 2, size[-1] / 2 + away])[-dims:]
        upwards = camera(self.viewer).orientation[1].value == "up"
        vertical = self.viewer.dims.displayed[-2] - (self.viewer.dims.ndim - dims)
        return (1 if upwards else -1) * (size[vertical] / 2 + away) * np.eye(dims)[vertical]

    def _come_into_view(self, before: "PuzzleLayers | None") -> None:
        """Show what one opened: of a first puzzle, or of one that is not in the plane that is shown,
        the plane through the piece in the middle; and all of it, if it lies elsewhere."""
        corners, centres = self.corners[self.outlined], self.centres
        axis, place = shown_plane(self.viewer, centres.shape[1])
        if axis is not None:
            low, high = corners[..., axis].min(1), corners[..., axis].max(1)
            if before is None or not ((low <= place) & (place <= high)).any():
                middle = np.linalg.norm(centres - centres.mean(0), axis=1).argmin()
                self.go_to(int(middle) if self.asked is None else self.asked.start)
        if before is None or before.row != self.row:
            self.viewer.reset_view(reset_camera_angle=False)
        self.follow()

    def go_to(self, number: int) -> None:
        """Show the plane through the middle of a piece."""
        go_to(self.viewer, self.centres[number])

    # ---- which piece ---------------------------------------------------------------------

    def _select(self, selected: Layer | None) -> None:
        """Leave selected what was; or else the scan, whose settings one wants first."""
        ours = [self.image, *self.maps, self.boxes, self.numbers]
        if selected is None or selected in ours or selected not in self.viewer.layers:
            selected = next(iter(layers_of(self.viewer, SCAN)), self.viewer.layers[0])
        self.viewer.layers.selection.active = selected

    def picked(self) -> int | None:
        """Number of the piece that the user means; None if there is none.

        It is the one whose caption is selected, or else the one under the mouse.
        """
        numbers = self.numbers
        if self.viewer.layers.selection.active is numbers and numbers.selected_data:
            chosen = set(numbers.features["piece"].iloc[list(numbers.selected_data)])
            if len(chosen) == 1:
                return int(chosen.pop())
        dims = len(self.space)
        position = np.asarray(self.viewer.cursor.position)[-dims:]
        if self.viewer.dims.ndisplay == 3:
            way = np.asarray(self.viewer.cursor._view_direction)[-dims:]
            return first_box_hit(self.matrices, self.pieces[0].image.shape[1:], position, way)
        return self.at(position)

    def at(self, position: np.ndarray) -> int | None:
        """Number of the uppermost piece in which a position in the world lies, or None."""
        for piece in reversed(self.pieces):
            voxel = np.linalg.solve(self.matrices[piece.number], [*position, 1])[:-1]
            if (voxel >= -0.5).all() and (voxel <= np.array(piece.image.shape[1:]) - 0.5).all():
                return piece.number
        return None

    # ---- words ---------------------------------------------------------------------------

    def note(self, notes: dict[int, str]) -> None:
        """Put a word behind the captions of some pieces, in the colour of what is wrong."""
        self.notes = notes
        self.marks = self._marks()
        settings = self._caption_layer()
        if len(settings["data"]) != len(self.numbers.data):
            self.numbers.data = settings["data"]
        self.numbers.features, self.numbers.text = settings["features"], settings["text"]
        self.follow()

    def say(self, lines: Sequence[str] = ()) -> None:
        """Write over the picture what is asked, the answer, and more lines."""
        say(self.viewer, [self.question, self.caption, *lines])

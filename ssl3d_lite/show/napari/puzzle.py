"""A puzzle as layers of napari: its pieces, boxes and captions, which move together.

It is drawn from the batch alone, so the task need not be known.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from ssl3d_lite.show.arrays import as_numpy
from ssl3d_lite.show.pieces import WRONG_COLOUR, box_corners, voxel_classes
from ssl3d_lite.tasks import ProxyBatch

from .arrangement import homes, lie_turned, moved_apart, row, shuffled
from .boxes import box_outline, edges, first_box_hit
from .camera import Viewer, camera, go_to, keep_head_up, shown_plane, write_over
from .captions import PLAIN, PLATE, PieceText, PuzzlePrediction, in_lines, plate, sides_of
from .compose import as_it_lies, compose
from .drawing import drawing_of
from .layers import class_layer, grey_layer, image_layers, is_photograph, put_scan
from .reuse import (
    FOLLOWER,
    LAYER_KIND,
    PUZZLE,
    SCAN,
    Layer,
    Settings,
    layers_of,
    leave,
    put_layers,
)

FAR_APART, APART_A_LITTLE = 0.6, 0.2  # in a picture, from which all pieces shall be seen


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
        self.drawing = drawing_of(volume, batch, scan, prediction)
        self.pieces, self.asked = self.drawing.pieces, self.drawing.asked
        self.captions, self.box_colours = self.drawing.captions, self.drawing.box_colours
        self.size = self.pieces[0].image.shape[1:]
        self.in_row = lie_turned(self.pieces)  # or else in the scan
        self.apart, self.shown = 0.0, self.in_row  # as arrange() takes them
        # piece voxel → voxel of the scan, as they lie
        self.places = self._arranged(self.apart, self.shown)
        self.notes: dict[int, str] = {}  # a piece's number → a word behind its caption
        self.texts = self._texts()
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

    # ---- layers --------------------------------------------------------------------------

    def _piece_layer(self) -> Settings:
        data, affine = self._composed()
        if is_photograph(self.drawing.images[0]):
            return {"kind": "image", "name": "pieces", "data": data, "affine": affine, "rgb": True}
        # so strong an attenuation that in 3D one sees the sides of a cube, and not into it
        solid = {"interpolation3d": "nearest", "attenuation": 1.0}
        return grey_layer(data, "pieces", affine, self.drawing.limits) | solid

    def _composed(self) -> tuple[np.ndarray, np.ndarray]:
        """All pieces as they are arranged now, in one array; and its voxel → world."""
        volume, origin = compose(
            [self.drawing.images[number] for number in self.drawing.filled],
            [self.places[number] for number in self.drawing.filled],
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
            rebuilt = grey_layer(values[0], "prediction", affine, self.drawing.limits)
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
            # boxes that touch each other would be hidden by what is in them
            "blending": "translucent_no_depth" if self.asked else "translucent",
            "edge_color": np.repeat(colours, len(lines) // len(colours)),
        }

    def _boxes(self) -> np.ndarray:
        """What is outlined: the pieces, and of those in a row also the place they came from."""
        if not self.in_row:
            return self.corners
        cut = [box_corners(matrix, self.size) for matrix in self.world @ homes(self.pieces)]
        return np.concatenate([self.corners, cut])

    def _caption_layer(self) -> Settings:
        """Points that bear the captions: each twice, a dark plate and the text on it."""
        numbers = np.repeat([text.piece for text in self.texts], 2)
        texts = [each for text in self.texts for each in (plate(text.text), text.text)]
        shades = [each for text in self.texts for each in (PLATE, text.colour)]
        text = {"string": "{caption}", "color": shades, "size": 10}
        return {
            "kind": "points",
            "name": "captions",
            "data": np.zeros((len(texts), len(self.space))) + self.centres[0],
            "size": 3 * self.unit,
            "blending": "translucent_no_depth",  # no piece hides its caption
            "face_color": "transparent",
            "border_color": "transparent",
            "features": {"piece": numbers, "caption": texts},
            "text": text | {"blending": "translucent_no_depth"},
        }

    def _texts(self) -> list[PieceText]:
        """The texts beside the pieces; of those in a row also the letters of their sides."""
        texts = []
        for piece in self.pieces:
            text, colour = self.captions[piece.number], self.drawing.caption_colours[piece.number]
            if piece.number in self.notes:
                text, colour = f"{text} {self.notes[piece.number]}".strip(), WRONG_COLOUR
            texts.append(PieceText(piece.number, in_lines(text, self.in_row), colour))
            if self.in_row:
                texts += sides_of(piece)
        return texts

    # ---- where they lie ------------------------------------------------------------------

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
        return np.stack([box_corners(matrix, self.size) for matrix in self.matrices])

    @property
    def centres(self) -> np.ndarray:
        """The middles of these boxes: (piece, D)."""
        return self.corners.mean(1)

    def _arranged(self, apart: float, shown: bool) -> np.ndarray:
        if self.in_row:
            places = row(self.pieces, self.space)
        else:
            places = shuffled(self.pieces) if shown else homes(self.pieces)
        return moved_apart(places, self.size, apart)

    # ---- moving --------------------------------------------------------------------------

    def arrange(self, apart: float = 0.0, shown: bool = False) -> None:
        """Move the pieces, by whole voxels.

        Args:
            apart: 0 leaves them where they were cut; 1 moves them twice as far from the middle
                of all; and so on.
            shown: whether they are shown as the network gets them: those of a grid each in the
                cell in which it is shown, others in a row beside the scan, turned or warped.
        """
        before, self.in_row = self.in_row, shown and self.pieces[0].home is None
        self.apart, self.shown = apart, shown
        self.places = self._arranged(apart, shown)
        self.image.data, self.image.affine = self._composed()
        if before != self.in_row:
            boxes = self._box_layer()
            self.boxes.data, self.boxes.edge_color = boxes["data"], boxes["edge_color"]
            self.note(self.notes)
            self.viewer.reset_view(reset_camera_angle=False)
        self.follow()

    def toggle_apart(self) -> None:
        """Move the pieces apart, or together again."""
        self.arrange(float(not self.apart), self.shown)

    def toggle_shown(self) -> None:
        """Show the pieces as the network gets them, or where they were cut."""
        self.arrange(self.apart, not self.shown)

    def spread(self) -> None:
        """Move the pieces so that one picture shows them all.

        They move apart, patches that overlap a little; turned copies, which lie in one place, move
        into a row.
        """
        beside = lie_turned(self.pieces)
        self.arrange(0 if beside else APART_A_LITTLE if self.asked else FAR_APART, shown=beside)

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
        there = {*self.drawing.outlined, *self.notes, *range(len(self.pieces), len(boxes))}
        for number in set(range(len(boxes))) - there:
            boxes[number] = boxes[number].mean(0)  # too small to be seen
        self.boxes.data = np.concatenate([box_outline(each, axis, place) for each in boxes])
        spots = [self._spot(text, corners[text.piece], axis, place) for text in self.texts]
        self.numbers.data = np.repeat(spots, 2, 0)

    def _spot(
        self, text: PieceText, corners: np.ndarray, axis: int | None, place: float
    ) -> np.ndarray:
        """Where a text stands: in the plane that is shown, if that cuts its piece."""
        low, high = corners.min(0), corners.max(0)
        spot = (low + high) / 2
        if text.side is not None:
            along, side = text.side
            spot[along] = (high if side > 0 else low)[along] + 2 * side * self.unit
            if along == axis:
                return spot  # out of sight: one looks at the side where it stands
        elif self.asked is None:  # where boxes touch each other it stands inside
            spot = spot + self._above(high - low)
        if axis is not None and low[axis] <= place <= high[axis]:
            spot[axis] = place
        return spot

    def _above(self, size: np.ndarray) -> np.ndarray:
        """The way from a box's middle to its caption, above it."""
        dims, away = len(size), 3 * self.unit
        if self.viewer.dims.ndisplay == 3:  # the front edge of the top, as RAS scans stand
            away *= 2.5 if self.in_row else 1  # over the letter of the top
            return np.array([0, size[1] / 2, size[-1] / 2 + away])[-dims:]
        upwards = camera(self.viewer).orientation[1].value == "up"
        vertical = self.viewer.dims.displayed[-2] - (self.viewer.dims.ndim - dims)
        return (1 if upwards else -1) * (size[vertical] / 2 + away) * np.eye(dims)[vertical]

    def _come_into_view(self, before: "PuzzleLayers | None") -> None:
        """Go where there is something to see: after a first puzzle, or if the plane that is shown
        cuts no piece, to the piece in the middle; and to the row of pieces, if they lie there."""
        corners, centres = self.corners[list(self.drawing.outlined)], self.centres
        axis, place = shown_plane(self.viewer, centres.shape[1])
        if axis is not None:
            low, high = corners[..., axis].min(1), corners[..., axis].max(1)
            if before is None or not ((low <= place) & (place <= high)).any():
                middle = np.linalg.norm(centres - centres.mean(0), axis=1).argmin()
                self.go_to(int(middle) if self.asked is None else self.asked.start)
        if before is None or before.in_row != self.in_row:
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
            return first_box_hit(self.matrices, self.size, position, way)
        return self.at(position)

    def at(self, position: np.ndarray) -> int | None:
        """Number of the uppermost piece in which a position in the world lies, or None."""
        for piece in reversed(self.pieces):
            voxel = np.linalg.solve(self.matrices[piece.number], [*position, 1])[:-1]
            if (voxel >= -0.5).all() and (voxel <= np.array(self.size) - 0.5).all():
                return piece.number
        return None

    # ---- words ---------------------------------------------------------------------------

    def note(self, notes: dict[int, str]) -> None:
        """Put a word behind the captions of some pieces, in the colour of what is wrong."""
        self.notes = notes
        self.texts = self._texts()
        settings = self._caption_layer()
        if len(settings["data"]) != len(self.numbers.data):
            self.numbers.data = settings["data"]
        self.numbers.features, self.numbers.text = settings["features"], settings["text"]
        self.follow()

    def say(self, lines: Sequence[str] = ()) -> None:
        """Write over the picture what is asked, the answer, and more lines."""
        write_over(self.viewer, [*self.drawing.lines, *lines])

"""CPC's questions on a plane of the scan: the context, a "?", and the guess where it lies.

Boxes are rectangles of the plane's picture, [left, top, right, bottom] in its pixels: the browser
draws them over it, so a guess costs four numbers.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from ssl3d_lite.show.arrays import as_numpy
from ssl3d_lite.show.context import PatchQuestion, cell_edge, patch_question
from ssl3d_lite.show.pictures import Picture, grey_range, planes
from ssl3d_lite.show.pieces import Piece, pieces_of
from ssl3d_lite.show.words import found_told, rows_told
from ssl3d_lite.tasks import ProxyBatch

from .predictions import Prediction, Question

Mark = dict[str, Any]  # "kind": context, start, asked, right or wrong; "box"


@dataclass(frozen=True)
class PatchCard:
    """A question on a plane of its scan: through the question's column, along the direction."""

    asked: PatchQuestion
    batch: ProxyBatch
    picture: Picture
    axis: int | None  # across which the plane lies; None for a picture
    pieces: list[Piece]
    edge: np.ndarray  # edges of the cells that stand for patches, voxels

    @property
    def question(self) -> Question:
        return Question(self.picture, None, rows_told(self.asked.rows_ahead))

    @property
    def marks(self) -> list[Mark]:
        """The context's boxes in this plane, that of the patch at its tip, and of the "?"."""
        context = [each for each in self.asked.context if self._beside(each)]
        kinds = [("start", self.asked.start), ("asked", self.asked.target)]
        kinds = [*(("context", each) for each in context), *kinds]
        return [{"kind": kind, "box": self._box(patch)} for kind, patch in kinds]

    def answered(self, found: int) -> tuple[Prediction, list[Mark]]:
        """What was chosen: a box in the same scan, or a picture of the other scan's patch."""
        scan, patch = divmod(found, self.batch.views.shape[1])
        right = found == int(self.batch.target[self.asked.number])
        told = found_told(self.batch, self.asked.number, found)
        if scan == self.asked.scan:
            box = {"kind": "right" if right else "wrong", "box": self._box(patch)}
            return Prediction(None, told, right), [box]
        image = as_numpy(self.batch.views[scan, patch]).astype(np.float32)
        if self.axis is not None:
            image = image[:1].take(image.shape[1 + self.axis] // 2, 1 + self.axis)
        return Prediction(planes(image), told, right), []

    def _beside(self, patch: int) -> bool:
        if self.axis is None:
            return True
        away = self.pieces[patch].centre - self.pieces[self.asked.start].centre
        return abs(away[self.axis]) < 0.5

    def _box(self, patch: int) -> list[float]:
        """The cell of a patch, in the picture's pixels."""
        centre, edge = self.pieces[patch].centre, self.edge
        if self.axis is not None:
            centre, edge = np.delete(centre, self.axis), np.delete(edge, self.axis)
        left, bottom = centre - edge / 2 + 0.5
        right, top = centre + edge / 2 + 0.5
        tall = len(self.picture)
        return [round(float(n), 2) for n in (left, tall - top, right, tall - bottom)]


def patch_card(volumes: Tensor, batch: ProxyBatch, number: int) -> PatchCard:
    """Question ``number`` of a batch that was made of ``volumes``."""
    asked = patch_question(batch, number)
    image, pieces = as_numpy(volumes[asked.scan]), pieces_of(batch, asked.scan)
    edge = cell_edge([piece.centre for piece in pieces], pieces[0].image.shape[1:])
    if image.ndim == 3:
        return PatchCard(asked, batch, planes(image), None, pieces, edge)
    direction = batch.placement.direction or (0, False)
    axis = 1 if direction[0] == 0 else 0  # coronal, else sagittal
    place = round(float(pieces[asked.start].centre[axis]))
    place = min(max(place, 0), image.shape[1 + axis] - 1)
    flat = np.take(image[:1], place, 1 + axis).astype(np.float32)
    return PatchCard(asked, batch, planes(flat, grey_range(image[0])), axis, pieces, edge)

"""What is drawn of a puzzle: how its pieces look, their boxes and captions, and what is asked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ssl3d_lite.show.arrays import air
from ssl3d_lite.show.context import (
    ASKED_COLOUR,
    CONTEXT_COLOUR,
    START_COLOUR,
    PatchQuestion,
    asks_for_patches,
    cell_edge,
    middle_question,
    patch_question,
)
from ssl3d_lite.show.pieces import Piece, air_in, inner_part, pieces_of
from ssl3d_lite.tasks import ProxyBatch

from .captions import (
    PLAIN,
    PuzzlePrediction,
    captions,
    patch_caption,
    prediction_by_piece,
    puzzle_caption,
)
from .layers import black, in_colour, is_photograph, window


@dataclass
class Drawing:
    """A scan's puzzle as it is drawn, piece by piece."""

    pieces: list[Piece]
    images: list[np.ndarray]  # (channel, *space): the first channel, or a photograph's three
    limits: tuple[float, float]  # black and white
    box_colours: list[str]
    captions: list[str]
    caption_colours: list[str]
    lines: list[str]  # what is asked, the answer, and what was predicted
    filled: Sequence[int]  # the pieces that are seen
    outlined: Sequence[int]  # those that have a box
    asked: PatchQuestion | None = None  # where one patch is sought from others


def drawing_of(
    volume: np.ndarray, batch: ProxyBatch, scan: int, prediction: PuzzlePrediction | None
) -> Drawing:
    """What is drawn of one scan of a batch.

    Args:
        volume: (channel, *space), the scan that the views were made from.

    Raises:
        InputError: a prediction that does not fit the puzzle.
    """
    pieces = pieces_of(batch, scan)
    if asks_for_patches(batch):
        return _one_question(volume, batch, scan, prediction, pieces)
    every = range(len(pieces))
    texts, shades = captions(pieces, batch, prediction_by_piece(pieces, batch, prediction))
    lines = [batch.question, puzzle_caption(batch, scan, prediction)]
    colours = [piece.colour for piece in pieces]
    images, limits = _as_drawn(pieces, volume)
    return Drawing(pieces, images, limits, colours, texts, shades, lines, every, every)


def _one_question(
    volume: np.ndarray,
    batch: ProxyBatch,
    scan: int,
    prediction: PuzzlePrediction | None,
    pieces: list[Piece],
) -> Drawing:
    """One question: the pyramid of patches that is the context, and the place that is asked about.

    Patches overlap, so of each its middle is drawn.
    """
    asked = patch_question(batch, middle_question(batch, scan))
    edge = cell_edge([piece.centre for piece in pieces], pieces[0].image.shape[1:])
    pieces = [inner_part(piece, edge) for piece in pieces]
    filled = [*asked.context, asked.start]
    colours, texts = [CONTEXT_COLOUR] * len(pieces), [""] * len(pieces)
    colours[asked.start], colours[asked.target] = START_COLOUR, ASKED_COLOUR
    texts[asked.target] = "?"
    shades = [PLAIN] * len(pieces)
    lines = [batch.question, patch_caption(batch, asked, prediction)]
    images, limits = _as_drawn(pieces, volume)
    outlined = [*filled, asked.target]
    return Drawing(pieces, images, limits, colours, texts, shades, lines, filled, outlined, asked)


def _as_drawn(
    pieces: Sequence[Piece], volume: np.ndarray
) -> tuple[list[np.ndarray], tuple[float, float]]:
    """The pieces' images, in which air is black as in the scan; and their black and white."""
    if is_photograph(pieces[0].image):
        return [np.moveaxis(in_colour(piece.image), -1, 0) for piece in pieces], (0.0, 1.0)
    firsts, nothing = [piece.image[0] for piece in pieces], air(volume[0])
    airs = [air_in(nothing, piece) for piece in pieces]
    there = np.concatenate([first[~each] for first, each in zip(firsts, airs, strict=True)])
    # one window for all, so that they can be compared; where every piece is scaled to variance 1,
    # empty ones have wild values
    limits = window(there if there.size else np.stack(firsts), 0.01)
    dark = black(*limits)
    pairs = zip(firsts, airs, strict=True)
    return [np.where(each, dark, first).astype(np.float32)[None] for first, each in pairs], limits

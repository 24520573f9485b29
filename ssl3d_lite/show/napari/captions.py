"""What stands beside the pieces of a puzzle in napari, and how it can be read on any tissue."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ssl3d_lite.errors import InputError
from ssl3d_lite.show.arrays import Array, as_numpy
from ssl3d_lite.show.context import PatchQuestion
from ssl3d_lite.show.pieces import (
    CORRECT_COLOUR,
    WRONG_COLOUR,
    Piece,
    answer_name,
    badge,
    piece_labels,
)
from ssl3d_lite.show.words import SIDES, answer_told, found_told, right_or_wrong, rows_told
from ssl3d_lite.tasks import ProxyBatch

PuzzlePrediction = int | Sequence[int] | Array

PLAIN = "#FFFFFF"
PLATE = "#000000B0"  # what a text stands on; napari has no outlines
BLOCK = "█"
WIDER = 1.35  # than most letters is a block
EMPTY = "\xa0"  # a line that napari does not leave out
LINE = 16  # letters in a line of a caption that has another beside it


@dataclass(frozen=True)
class PieceText:
    """A text that stands beside a piece."""

    piece: int  # its number
    text: str
    colour: str
    side: tuple[int, int] | None = None  # (axis, -1 or 1) of the box where it stands; None: above


def plate(text: str) -> str:
    """Blocks as wide as a text: drawn before it, they are what it stands on."""
    lines = text.splitlines()
    return "\n".join(BLOCK * round(len(e) / WIDER + 0.7) if e.strip() else e for e in lines)


def in_lines(text: str) -> str:
    """A caption in several lines, for pieces that stand in a row.

    Their middle is where it is put. So as many empty lines follow, and two more, that its last line
    stands above the letter of the piece's upper side, however far one has zoomed.
    """
    lines = textwrap.wrap(text, LINE)
    return "\n".join(lines + [EMPTY] * (len(lines) + 1))


def captions(
    pieces: Sequence[Piece], batch: ProxyBatch, predicted: dict[int, int]
) -> tuple[list[str], list[str]]:
    """The caption of each piece, and its colour: badge, answer, and what was predicted."""
    shuffled = any(piece.home not in (None, piece.number) for piece in pieces)
    texts, colours = [], []
    for piece in pieces:
        text, colour = badge(piece) if len(pieces) > 1 else "", PLAIN
        truth = piece.home if shuffled else piece.label
        if piece.label is not None:
            text += f": {answer_name(batch, piece.label)}"
        if piece.number in predicted:
            guess = predicted[piece.number]
            colour = CORRECT_COLOUR if guess == truth else WRONG_COLOUR
            name = f"put at {guess}" if shuffled else answer_name(batch, guess)
            text += " ✓" if guess == truth else f" ✗ {name}"
        texts.append(text)
        colours.append(colour)
    return texts, colours


def puzzle_caption(batch: ProxyBatch, scan: int, prediction: PuzzlePrediction | None) -> str:
    """The one answer for all pieces, and the prediction of it; "" where there is none."""
    label = piece_labels(batch, scan).get(None)
    if label is None:
        return ""
    text = f"answer: {answer_name(batch, label)}"
    if prediction is None or as_numpy(prediction).size != 1:
        return text
    guess = int(as_numpy(prediction).item())
    return (
        f"{text}\npredicted: {answer_told(batch, label, guess)}, {right_or_wrong(guess == label)}"
    )


def patch_caption(
    batch: ProxyBatch, asked: PatchQuestion, prediction: PuzzlePrediction | None
) -> str:
    """What the boxes are where a patch is sought, and where it was sought, in lines.

    Raises:
        InputError: there is neither one prediction nor one for each question of the batch.
    """
    text = (
        "light blue: the context; dark blue: the patch at its tip\n"
        f"pink, ?: the place asked about, {rows_told(asked.rows_ahead)}"
    )
    if prediction is None:
        return text
    guesses = np.atleast_1d(as_numpy(prediction)).ravel()
    if len(guesses) not in (1, len(batch.target)):
        raise InputError(
            f"{len(guesses)} predictions for the batch's {len(batch.target)} questions; give one "
            "for each, or the one for the question that is drawn"
        )
    guess = int(guesses[asked.number if len(guesses) > 1 else 0])
    told = found_told(batch, asked.number, guess)
    right = right_or_wrong(guess == int(batch.target[asked.number]))
    return f"{text}\npredicted: {told}, {right}"


def sides_of(piece: Piece) -> list[PieceText]:
    """The letters of the patient's sides on a piece that is shown as the network gets it.

    On a turned cube they tell which way it was turned.
    """
    dims = len(piece.matrix) - 1
    if dims != 3:
        return []
    marks = []
    for axis, letters in enumerate(SIDES[dims]):
        leads = np.linalg.inv(piece.matrix[:-1, :-1])[:, axis]  # the scan's axis in the piece
        along = int(np.abs(leads).argmax())
        up = 1 if leads[along] > 0 else -1
        sides = zip(letters, (-up, up), strict=True)
        marks += [PieceText(piece.number, letter, PLAIN, (along, side)) for letter, side in sides]
    return marks


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


def is_map(batch: ProxyBatch) -> bool:
    """Whether the label is a map of a view's voxels."""
    space = batch.views.shape[3:]
    return batch.target.ndim >= 2 + len(space) and batch.target.shape[-len(space) :] == space

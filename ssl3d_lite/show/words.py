"""What is said of pieces and of answers, in words: the same in every view.

The words are the task's own, which come with its batch (``ProxyBatch.answers``); a task that has
none is told by the numbers of its classes.
"""

import numpy as np

from ssl3d_lite.tasks import ProxyBatch
from ssl3d_lite.tasks.words import SIDES as SIDES
from ssl3d_lite.tasks.words import place_names as place_names
from ssl3d_lite.tasks.words import place_words as place_words
from ssl3d_lite.tasks.words import turn_names as turn_names

from .pieces import HIDDEN_NAME, Piece, badge, voxel_classes
from .pieces import answer_name as answer_name
from .pieces import orders_of as orders_of


def answer_told(batch: ProxyBatch, label: int, number: int) -> str:
    """A prediction in words, beside the label; of an order also how much of it is right."""
    name, orders = answer_name(batch, number), orders_of(batch)
    if orders is None or max(label, number) >= len(orders):
        return name
    right = int((orders[label] == orders[number]).sum())
    return f"{name}: {right} of {orders.shape[1]} pieces in place"


def right_or_wrong(correct: bool) -> str:
    """What stands beside an answer, in ``CORRECT_COLOUR`` or ``WRONG_COLOUR``."""
    return "✓ right" if correct else "✗ wrong"


def piece_told(piece: Piece, batch: ProxyBatch | None = None) -> str:
    """A piece in a line: its badge, where it is shown, its row (if the batch is given), its label
    in words."""
    if piece.home is not None:
        line = f"piece {badge(piece)}"
        if piece.home != piece.number:
            line += f", shown in cell {piece.number}"
        if batch is not None and batch.placement.direction is not None:
            line += f", row {piece.layer}"
    else:
        line = f"view {badge(piece)}"
    return f"{line}: {piece.answer}" if piece.answer else line


def found_told(batch: ProxyBatch, question: int, guess: int) -> str:
    """Where a view that had to be found was sought, in words: "right place", "2 patches off".

    Args:
        question: position in the batch's target.
        guess: the view that was chosen, as the target numbers them.
    """
    views, label = batch.views.shape[1], int(batch.target[question])
    if guess == label:
        return "right place"
    if guess // views != label // views:
        return "another scan"
    grid = batch.placement.grid
    if not grid:
        return "another view of the scan"
    cells = [np.array(np.unravel_index(each % views, grid)) for each in (guess, label)]
    away = int(np.abs(cells[0] - cells[1]).max())
    return f"{away} patch{'es' * (away > 1)} off, same scan"


def rows_told(rows_ahead: int) -> str:
    """How far ahead of its context a patch is sought."""
    return f"{rows_ahead} row{'s' * (rows_ahead > 1)} ahead"


def voxels_told(batch: ProxyBatch, scan: int, prediction: np.ndarray) -> str:
    """How good a prediction of voxels is, in words.

    Args:
        prediction: values or classes, with the shape of ``batch.target[scan]``.
    """
    _, names = voxel_classes(batch, scan) or (None, [])
    target = batch.target[scan].cpu().numpy()
    if HIDDEN_NAME not in names:
        return f"{(prediction == target).mean():.0%} of voxels right"
    asked = ~np.isnan(target)
    error = np.square(prediction - target)[asked].mean()
    share = 1 - error / max(target[asked].var(), 1e-6)
    return f"explains {round(share, 2) + 0.0:.0%}"  # nothing is 0 %, not -0 %

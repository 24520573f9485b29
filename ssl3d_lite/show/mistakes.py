"""Where a prediction is wrong, and how: missed, too much, or another class."""

import numpy as np

from .pieces import CORRECT_COLOUR

# Okabe and Ito's, which colour-blind readers can tell apart; none is that of a first class
MISTAKES = {"missed": "#F0E442", "too much": "#D55E00", "wrong class": "#56B4E9"}

KINDS = {"right": CORRECT_COLOUR, **MISTAKES}  # in colour over the scan; clear where both are clear


def right_and_wrong(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """What a prediction is worth, voxel for voxel: 1, 2, … as in ``KINDS``; 0 where truth and
    prediction are background. Arguments as those of :func:`mistakes`."""
    wrong = mistakes(truth, prediction)
    right = ((truth > 0) & (truth == prediction)).astype(np.uint8)
    return np.where(wrong > 0, wrong + 1, right).astype(np.uint8)


def mistakes(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """The kind of mistake of each voxel: 1, 2, 3 as in ``MISTAKES``; 0 where there is none.

    Args:
        truth: (*space), classes; 0 is background.
        prediction: the same, a network's.
    """
    kinds = np.zeros(truth.shape, np.uint8)
    kinds[(truth > 0) & (prediction == 0)] = 1
    kinds[(truth == 0) & (prediction > 0)] = 2
    kinds[(truth > 0) & (prediction > 0) & (truth != prediction)] = 3
    return kinds

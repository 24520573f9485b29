"""Place alone as a control: scores of a prediction that looks at no scan.

What is predicted, and why it is the floor of every score, is in :mod:`ssl3d_lite.data.place`. Here
it is scored as a network's prediction is, on the same labelled scans as an arm has.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from ssl3d_lite.data.cohort import Cohort, takes_cohort
from ssl3d_lite.data.place import commonest_classes, commonest_grade
from ssl3d_lite.errors import InputError

from .grades import OrdinalEvaluation, score_grades
from .segmentation import Evaluation, score, thin


def place_predictions(
    cohort: Cohort, labelled: Sequence[int], cases: Sequence[int]
) -> Iterator[Tensor]:
    """For each of ``cases`` what place alone predicts from the labels of ``labelled``: a class map
    (*space), uint8; in an ordinal cohort the commonest grade.

    A slice is a picture like any other: what is known of a voxel is its place in the slice.

    Raises:
        InputError: no case is labelled.
    """
    if not labelled or not all(cohort.cases[case].labelled for case in labelled):
        raise InputError("place alone needs labelled cases to take its prediction from")
    if cohort.ordinal:
        grade = commonest_grade(cohort.labels(labelled).tolist())
        yield from (torch.tensor(grade) for _ in cases)
        return
    found: dict[tuple[int, ...], Tensor] = {}
    for case in cases:
        shape = cohort.cases[case].shape
        if shape not in found:
            maps = (_label(cohort, each) for each in labelled)
            classes = commonest_classes(maps, shape, len(cohort.label_names))
            found[shape] = torch.from_numpy(classes)
        yield found[shape]


def _label(cohort: Cohort, case: int) -> np.ndarray:
    return cohort.labels([case])[0].cpu().numpy()  # from memory, if the cohort is there


@takes_cohort
def evaluate_place(
    cohort: Cohort,
    labelled: Sequence[int],
    cases: Sequence[int],
    *,
    hausdorff: bool = False,
    every: int = 1,
) -> Evaluation | OrdinalEvaluation:
    """Score place alone on ``cases``: what a score by the labels of ``labelled`` must beat.

    Args:
        labelled: the cases whose labels are known; the same as a network was trained with.
        hausdorff: whether HD95 is computed too.
        every: of maps, every n-th voxel along each axis alone is scored.

    Raises:
        InputError: there is no labelled case, or none to score.

    Example::

        split = cohort.split()
        evaluate_place(cohort, cohort.subset(split.train, 2), split.validation).score
    """
    predicted = place_predictions(cohort, labelled, cases)
    if cohort.ordinal:
        return score_grades(predicted, cohort, cases)
    thinned = (thin(classes, every, cohort.spatial_dims) for classes in predicted)
    return score(thinned, cohort, cases, hausdorff=hausdorff, progress=False, every=every)

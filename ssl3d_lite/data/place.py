"""Place alone: what a case's labels are most likely to be, if nobody looks at the scan.

Where crops are centred on an organ, the organ is in the same place in all of them, and the mean of
a few label maps is a fair prediction of any other. So place alone is the floor of every score: a
network that does not beat it has learnt nothing that counts. Where place explains much, a cohort
says little of features, since features that tell where a voxel lies will do as well.

Nothing here imports torch: preparing and verifying a cohort need none of it.
"""

from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TypeVar

import numpy as np

from .cohort import Cohort

Thing = TypeVar("Thing")

MOST_LEARNT, MOST_SCORED = 40, 20  # scans that are read to tell how much place explains


def stretch_labels(label: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """A label map (*space) in another shape: each voxel has the label at the same share of every
    axis. In its own shape it stays as it is."""
    axes = [
        (2 * np.arange(new) + 1) * old // (2 * new)
        for old, new in zip(label.shape, shape, strict=True)
    ]
    return label[np.ix_(*axes)]


def commonest_classes(
    labels: Iterable[np.ndarray], shape: Sequence[int], classes: int
) -> np.ndarray:
    """The class that most label maps have at each voxel: uint8 (*shape).

    That is the ``argmax`` of the mean label map. Of classes that are equally common the lowest
    wins: of two maps, background where either has it. Maps of other shapes are stretched to
    ``shape``, so place is relative there. One map predicts itself.

    Args:
        labels: label maps (*space), one or more, of classes below ``classes``.

    Example::

        commonest_classes([np.array([0, 1, 1]), np.array([0, 0, 1])], (3,), 2)  # [0, 0, 1]
    """
    counts = np.zeros((classes, *shape), np.uint32)
    for label in labels:
        there = stretch_labels(np.asarray(label), shape)
        for number, count in enumerate(counts):
            count += there == number
    return counts.argmax(0).astype(np.uint8)


def commonest_grade(grades: Iterable[int]) -> int:
    """The grade that most cases have; of several, the lowest.

    It is the best constant. By quadratic weighted kappa no constant is better than another: each is
    worth 0, whatever the truth. By accuracy, the commonest is.
    """
    return int(np.bincount(np.fromiter(grades, int)).argmax())


# ---- how much place explains in a cohort -------------------------------------------------------


def place_remarks(cohort: Cohort) -> Iterator[str]:
    """How much place alone explains, in a line: fold 0's test scans are predicted by the label maps
    of its training scans. Of a large cohort some scans are read, and it is said how many.

    There is none of a cohort that has no split, or no region.

    Raises:
        InputError: a label cannot be read.

    Example::

        list(place_remarks(cohort))
        # ["place alone (no scan is looked at): mean Dice 0.645 (Anterior 0.631, Posterior 0.659),
        #   by 40 of 156 training on 20 of 52 test scans of fold 0; …"]
    """
    if len({case.fold for case in cohort.cases if case.fold is not None}) < 3:
        return
    split = cohort.split()
    if not split.train or not split.test:
        return
    if cohort.ordinal:
        yield _grades_explained(cohort, split.train, split.test)
    elif cohort.region_classes:
        yield _maps_explained(cohort, split.train, split.test)


def _grades_explained(cohort: Cohort, train: Sequence[int], test: Sequence[int]) -> str:
    learnt, truth = ([int(cohort.cases[case].grade or 0) for case in s] for s in (train, test))
    guess = commonest_grade(learnt)
    right = float(np.mean(np.array(truth) == guess))
    return (
        f"without looking: grade {cohort.label_names[guess]!r}, the commonest of fold 0's training "
        f"cases, is right for {right:.0%} of its test cases (kappa 0, as of any constant); a score "
        "means something above that"
    )


def _maps_explained(cohort: Cohort, train: Sequence[int], test: Sequence[int]) -> str:
    learnt, scored = cohort.scans(train), cohort.scans(test)
    read = spread(list(learnt.values()), MOST_LEARNT)
    tried = spread(list(scored.values()), MOST_SCORED)
    cases, classes = [case for scan in read for case in scan], len(cohort.label_names)
    shapes = {cohort.cases[case].shape for scan in tried for case in scan}
    guesses = {
        shape: commonest_classes((_label(cohort, case) for case in cases), shape, classes)
        for shape in shapes
    }
    dice = np.mean([_dice_of_scan(cohort, scan, guesses) for scan in tried], axis=0)
    parts = ", ".join(f"{n} {d:.3f}" for n, d in zip(cohort.region_classes, dice, strict=True))
    by, on = _some_of(read, learnt), _some_of(tried, scored)
    return (
        f"place alone (no scan is looked at): mean Dice {dice.mean():.3f} ({parts}), by {by} "
        f"training on {on} test scans of fold 0; a score means something above that"
    )


def _label(cohort: Cohort, case: int) -> np.ndarray:
    _, label = cohort[case]
    assert label is not None, "a case of a split is labelled"
    return label


def _dice_of_scan(
    cohort: Cohort, cases: Sequence[int], guesses: dict[tuple[int, ...], np.ndarray]
) -> list[float]:
    """Each region's Dice in one scan, which is one case or all its slices: 1 if it is neither there
    nor guessed."""
    pairs = [(_label(cohort, case), guesses[cohort.cases[case].shape]) for case in cases]
    found = []
    for region in cohort.region_classes.values():
        masks = [(np.isin(there, region), np.isin(guess, region)) for there, guess in pairs]
        both = sum(int((there & guess).sum()) for there, guess in masks)
        either = sum(int(there.sum() + guess.sum()) for there, guess in masks)
        found.append(2 * both / either if either else 1.0)
    return found


def spread(things: Sequence[Thing], most: int) -> list[Thing]:
    """At most so many of some things, evenly over all."""
    places = np.linspace(0, len(things) - 1, min(most, len(things))).round().astype(int)
    return [things[place] for place in places]


def _some_of(read: Sized, there: Sized) -> str:
    return f"{len(there)}" if len(read) == len(there) else f"{len(read)} of {len(there)}"

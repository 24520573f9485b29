"""Typical mistakes in assignment 6, each of which should cost its own part and no other."""

from functools import partial

from course.mistakes import Mistake, changed, mistake_in, right_answers

mistake = partial(mistake_in, 6)
RIGHT = right_answers(6)


# ---- the right answers, of which each mistake changes something ----------------------------------

UNITS = RIGHT["in_units"]
NEAREST = RIGHT["nearest"]
VOTE = RIGHT["vote"]
PLACES = RIGHT["places_of"]
WEIGHT = RIGHT["with_place"]
CROPS = RIGHT["two_crops"]
ANATOMY = RIGHT["same_anatomy"]
FOLLOWS = RIGHT["follows"]


def units(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 1, changed(UNITS, *changes))


def search(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 2, changed(NEAREST, *changes))


def place(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 4, changed(PLACES, *changes), WEIGHT)


def weight(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 4, PLACES, changed(WEIGHT, *changes))


def crops(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 5, changed(CROPS, *changes), ANATOMY)


def anatomy(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 5, CROPS, changed(ANATOMY, *changes))


def score(name: str, *changes: tuple[str, str]) -> Mistake:
    return mistake(name, 6, changed(FOLLOWS, *changes))


MISTAKES = [
    # ---- 1: units
    mistake(
        "each scan by its own mean and deviation",
        1,
        """
        def in_units(asked, reference):
            def own(features):
                spread = features.std(0, correction=0)
                unit = torch.where(spread > 1e-5 * features.abs().amax(0), spread, torch.inf)
                return (features - features.mean(0)) / unit

            return own(asked), own(reference)
        """,
    ),
    mistake(
        "a constant feature is divided by zero",
        1,
        """
        def in_units(asked, reference):
            mean, unit = reference.mean(0), reference.std(0, correction=0)
            return (asked - mean) / unit, (reference - mean) / unit
        """,
    ),
    units(
        "a constant feature is blown up", ("spread > 1e-5 * reference.abs().amax(0)", "spread > 0")
    ),
    units(
        "a constant feature counts where it is asked",
        ("torch.zeros_like(features)", "features - mean"),
    ),
    units("divided by n - 1", ("correction=0", "correction=1")),
    units(
        "one deviation for all features",
        (
            "reference.std(0, correction=0)",
            "reference.std(correction=0).expand(reference.shape[1])",
        ),
    ),
    mistake(
        "in place",
        1,
        """
        def in_units(asked, reference):
            mean, spread = reference.mean(0), reference.std(0, correction=0)
            unit = torch.where(spread > 1e-5 * reference.abs().amax(0), spread, torch.inf)
            reference -= mean
            return (asked - mean) / unit, reference.div_(unit)
        """,
    ),
    # ---- 2: nearest
    search(
        "the last chunk is lost",
        ("asked.split(at_a_time)", "asked[: len(asked) // at_a_time * at_a_time].split(at_a_time)"),
    ),
    search("all distances at once", ("asked.split(at_a_time)", "[asked]")),
    search("the farthest", ("dim=1, stable=True", "dim=1, descending=True, stable=True")),
    search(
        "of equals the last one",
        (
            "distances.argsort(dim=1, stable=True)",
            "(len(reference) - 1 - distances.flip(1).argsort(dim=1, stable=True))",
        ),
    ),
    search(
        "neighbours in the order of their positions", ("[:, :k].clone()", "[:, :k].sort(1).values")
    ),
    search(
        "city-block distances",
        ("torch.cdist(part, reference)", "torch.cdist(part, reference, p=1)"),
    ),
    search(
        "a product taken for nearness", ("torch.cdist(part, reference)", "-(part @ reference.T)")
    ),
    search(
        "neighbours among the asked voxels",
        ("dim=1, stable=True)[:, :k]", "dim=0, stable=True)[:k].T"),
    ),
    # ---- 3: vote
    mistake(
        "the smallest of tied classes",
        3,
        "def vote(classes):\n    return torch.mode(classes, 1).values",
    ),
    mistake("the nearest alone", 3, "def vote(classes):\n    return classes[:, 0]"),
    mistake(
        "the mean of the classes",
        3,
        "def vote(classes):\n    return classes.float().mean(1).round().long()",
    ),
    mistake(
        "the median of the classes", 3, "def vote(classes):\n    return classes.median(1).values"
    ),
    mistake(
        "of tied classes the one with the farthest voter",
        3,
        changed(
            VOTE,
            ("classes.gather(1, first)", "classes.flip(1).gather(1, first)"),
            ("votes.argmax", "votes.flip(1).argmax"),
        ),
    ),
    mistake(
        "the last of tied classes",
        3,
        """
        def vote(classes):
            counts = torch.nn.functional.one_hot(classes).sum(1)
            return counts.shape[1] - 1 - counts.flip(1).argmax(1)
        """,
    ),
    mistake(
        "three classes are enough",
        3,
        """
        def vote(classes):
            counts = torch.stack([(classes == each).sum(1) for each in range(3)], 1).float()
            first = torch.stack([(classes == each).float().argmax(1) for each in range(3)], 1)
            return (counts - first / 1000).argmax(1)
        """,
    ),
    # ---- 4: place
    place("corners, not centres", ("(2 * torch.arange(edge) + 1)", "(2 * torch.arange(edge))")),
    place(
        "the first and the last voxel at the ends",
        ("(2 * torch.arange(edge) + 1) / edge - 1", "torch.linspace(-1, 1, edge)"),
    ),
    place(
        "the first axis fastest",
        ("torch.cartesian_prod(*centres)", "torch.cartesian_prod(*centres[::-1]).flip(1)"),
    ),
    place(
        "positions in voxels",
        ("(2 * torch.arange(edge) + 1) / edge - 1", "torch.arange(edge).float()"),
    ),
    weight(
        "the weight is not rooted",
        ("sqrt((1 - weight) / number)", "((1 - weight) / number)"),
        ("sqrt(weight / axes)", "(weight / axes)"),
    ),
    weight(
        "sums, not means",
        ("sqrt((1 - weight) / number)", "sqrt(1 - weight)"),
        ("sqrt(weight / axes)", "sqrt(weight)"),
    ),
    weight("features always count in full", ("sqrt((1 - weight) / number)", "sqrt(1 / number)")),
    weight(
        "the weights are exchanged",
        ("(1 - weight) / number", "weight / number"),
        ("sqrt(weight / axes)", "sqrt((1 - weight) / axes)"),
    ),
    # ---- 5: crops
    mistake(
        "x[:-0] is empty",
        5,
        """
        def two_crops(scan, step):
            first = scan[(..., *(slice(None, -by) for by in step))]
            return first, scan[(..., *(slice(by, None) for by in step))]
        """,
        ANATOMY,
    ),
    crops(
        "the crops are exchanged",
        (
            "return scan[(..., *first)], scan[(..., *second)]",
            "return scan[(..., *second)], scan[(..., *first)]",
        ),
    ),
    crops("the second crop is cut on both sides", ("slice(by, edge)", "slice(by, edge - by)")),
    crops(
        "the first axes are cut",
        ("scan[(..., *first)], scan[(..., *second)]", "scan[first], scan[second]"),
        ("scan.shape[scan.ndim - len(step) :]", "scan.shape"),
    ),
    anatomy(
        "the step taken away where it should be added",
        ("(in_first - torch.tensor(step)) @ strides", "(in_first + torch.tensor(step)) @ strides"),
    ),
    anatomy(
        "the same position in both",
        ("(in_first - torch.tensor(step)) @ strides", "in_first @ strides"),
    ),
    anatomy(
        "numbered in the scan, not in the crop",
        ("[edge - by for edge, by in zip(space, step)]", "list(space)"),
    ),
    # ---- 6: the score
    score(
        "the other way round", ("position / (position + anatomy)", "anatomy / (position + anatomy)")
    ),
    score("features in their own units", ("[:, speaks] / unit", "[:, speaks]")),
    score("distances that are not squared", ("** 2).mean()", ").abs().mean()")),
    score("a constant feature is blown up", ("spread > 1e-5 * before.abs().amax(0)", "spread > 0")),
    score(
        "a constant feature is divided by zero",
        ("spread > 1e-5 * before.abs().amax(0)", "spread > -1"),
    ),
    score("P / A", ("position / (position + anatomy)", "position / anatomy")),
    mistake(
        "the mean of the features' own scores",
        6,
        """
        def follows(before, same_anatomy, same_position):
            anatomy = (before - same_anatomy).square().mean(0)
            position = (before - same_position).square().mean(0)
            speaks = before.std(0, correction=0) > 1e-5 * before.abs().amax(0)
            return float((position / (position + anatomy))[speaks].mean())
        """,
    ),
]

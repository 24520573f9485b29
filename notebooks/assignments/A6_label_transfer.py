# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,nbgrader,-all
#     formats: ipynb,py:percent
#     notebook_metadata_filter: kernelspec,jupytext,-all
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Assignment 6: carry a label
#
# **You will show that you can:** carry the label of one scan to another by nearest neighbours in
# feature space, without any training; search among many voxels in little memory; make place alone
# a control of the same kind; and find out whether features know the *anatomy*, or only the *place*
# in the picture.
#
# **Time:** two to three hours. **Read first:** notebook 10 (what did it learn?). **Points:** 100,
# in seven parts. The last one is read by a person.
#
# | part | what you write | points |
# |---|---|---|
# | 1 | features in common units | 10 |
# | 2 | the nearest neighbours, some at a time | 16 |
# | 3 | a vote | 10 |
# | 4 | the place, as much of it as you like | 14 |
# | 5 | a crop that is moved | 12 |
# | 6 | anatomy or place: a score | 13 |
# | 7 | what your encoder knows | 25 |
#
# **How it works.** Write your code where it says `YOUR CODE HERE` and take out the line that raises
# `NotImplementedError`. The cell behind each part checks it and says what is wrong. The grader
# runs the same checks and some more, with other sizes, seeds and dimensions, so do not write for
# the examples. Keep names and arguments as they are. Changes to the check cells are undone before
# grading. The parts do not depend on each other: a part that you cannot solve costs its own points
# and no others. Before you hand in: *Kernel → Restart and run all*.
# That goes on past checks that fail. The grader gives your notebook five minutes at the scale
# `smoke`, a cell 75 seconds, and all cells that you added half of the time together. So take long
# experiments out, or put them behind `if ssl3d.scale() != "smoke":`.
#
# What must be right everywhere: a function never changes what it is given, and does the same in 2D
# and in 3D.

# %%
# %matplotlib inline

# %%
from copy import deepcopy
from itertools import product
from math import sqrt

import numpy as np
import torch
import torch.nn.functional as F

import ssl3d_lite as ssl3d

SIZES = {
    "smoke": {"cases": 12, "filters": (4, 8), "steps": 10, "known": 300, "tested": 2, "every": 4},
    "class": {
        **{"cases": 60, "filters": (16, 32, 64), "steps": 300},
        **{"known": 1500, "tested": 3, "every": 3},
    },
    "full": {
        **{"cases": 200, "filters": (32, 64, 128), "steps": 2000},
        **{"known": 3000, "tested": 6, "every": 3},
    },
}
size = SIZES[ssl3d.scale()]
cohort = ssl3d.open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()

# %% [markdown]
# ## Part 1: features in common units (10 points)
#
# An encoder gives each voxel some numbers, its *features*. Those of one level may be a hundred
# times as large as those of another, and a distance over all of them would be that of the large
# ones alone. So each feature is measured in units of its own deviation.
#
# Whose deviation? There is a scan that is known, the *reference*, and others that are asked. Both
# must be measured with **one** rule, or the same tissue would have other numbers in either. The
# rule is that of the reference. With $\mu_j$ and $\sigma_j$, the mean and the deviation of feature
# $j$ over the $n$ voxels of the reference ($\sigma_j^2$ is the mean squared distance from $\mu_j$:
# divide by $n$), each row $x$ of either becomes
#
# $$x'_j = \frac{x_j - \mu_j}{\sigma_j}.$$
#
# A feature that is the same everywhere in the reference says nothing: it becomes 0 in both, whatever
# the asked scan has there. Rounding gives such a feature a deviation that is not quite 0, so let it
# count as constant if $\sigma_j$ is at most $10^{-5}$ times the largest $|x_j|$ in the reference.
#
# **Think before you write:** what happens to the nearest neighbours if each scan is measured by its
# own mean, and one scan shows more fluid than the other?
#
# <details><summary>Hint</summary>
#
# `features.std(0, correction=0)` divides by $n$. `torch.where` chooses where nothing may be divided.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a6-1-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def in_units(asked, reference):
    """Measure features in units of their deviation over the reference.

    Args:
        asked: features, a float tensor (voxel, feature).
        reference: the same of the scan that is known; as many features, other voxels.

    Returns:
        A pair: ``asked`` and ``reference``, both in these units.
    """
    ### BEGIN SOLUTION
    mean, spread = reference.mean(0), reference.std(0, correction=0)
    speaks = spread > 1e-5 * reference.abs().amax(0)
    unit = torch.where(speaks, spread, torch.ones_like(spread))

    def measured(features):
        return torch.where(speaks, (features - mean) / unit, torch.zeros_like(features))

    return measured(asked), measured(reference)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a6-1-tests", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
import torch

from ssl3d_lite.course.checks import Checks

checks = Checks()


def some_features(voxels, scales, seed, constant=()):
    """Features (voxel, feature) of some scales; those named are constant, but for rounding."""
    generator = torch.Generator().manual_seed(seed)
    scale = torch.tensor(scales)
    rows = torch.randn(voxels, len(scales), generator=generator) * scale + 2 * scale
    for column, value in dict(constant).items():
        rows[:, column] = value * (1 + 1e-6 * torch.rand(voxels, generator=generator))
    return rows


@checks
def check_units(asked, reference, what):
    kept = asked.clone(), reference.clone()
    found = in_units(asked, reference)
    assert torch.equal(asked, kept[0]) and torch.equal(reference, kept[1]), (
        f"{what}: the features that you were given have been changed; work on new tensors"
    )
    assert len(found) == 2, f"{what}: return two tensors, asked and reference"
    found = [torch.as_tensor(each) for each in found]
    for name, mine, given in zip(("asked", "reference"), found, (asked, reference)):
        assert mine.shape == given.shape, (
            f"{what}: {name} has the shape {tuple(given.shape)}, yours has {tuple(mine.shape)}"
        )
        assert not mine.isnan().any() and not mine.isinf().any(), (
            f"{what}: {name} has values that are no numbers: is a deviation of 0 divided by?"
        )
    exact, known = asked.double(), reference.double()
    mean, spread = known.mean(0), known.std(0, correction=0)
    mute = spread <= 1e-5 * known.abs().amax(0)
    for name, mine, given in zip(("asked", "reference"), found, (exact, known)):
        right = torch.where(mute, 0.0, (given - mean) / torch.where(mute, 1.0, spread))
        for column in range(given.shape[1]):
            same = torch.allclose(mine[:, column].double(), right[:, column], rtol=1e-3, atol=1e-3)
            if mute[column]:
                assert same, (
                    f"{what}: feature {column} is the same everywhere in the reference, so it "
                    f"should be 0 in {name}, but reaches {float(mine[:, column].abs().max()):.3g}"
                )
            assert same, (
                f"{what}: feature {column} of {name} has mean {float(mine[:, column].mean()):.3f} "
                f"and deviation {float(mine[:, column].std(correction=0)):.3f}, and should have "
                f"{float(right[:, column].mean()):.3f} and "
                f"{float(right[:, column].std(correction=0)):.3f}: both are measured by the "
                "reference's own mean and deviation (divided by n), feature by feature"
            )


check_units(some_features(6, (1.0, 50.0), 0), some_features(5, (1.0, 50.0), 1), "two features")
check_units(
    some_features(40, (0.01, 3.0, 1.0), 2),
    some_features(30, (0.01, 3.0, 1.0), 3, {2: 7.3}),
    "a feature that is 7.3 everywhere in the reference, but for rounding",
)
### BEGIN HIDDEN TESTS
with checks.core():
    for seed, (voxels, others, scales) in enumerate(
        ((3, 200, (0.1, 1.0, 10.0)), (500, 4, (2.0,)), (64, 64, (5.0, 0.2, 7.0, 1.0, 30.0)))
    ):
        check_units(
            some_features(voxels, scales, seed + 10),
            some_features(others, scales, seed + 20),
            f"{others} reference voxels, {len(scales)} features",
        )
with checks.further("a feature of small size"):
    for scales in ((1.0, 1e-4), (1e-3, 1.0, 1e3)):
        check_units(some_features(20, scales, 33), some_features(50, scales, 34), "small and large")
with checks.further("features that are the same everywhere"):
    check_units(
        some_features(20, (1.0, 1.0, 1.0), 31),
        some_features(1000, (1.0, 1.0, 1.0), 32, {0: 300.7, 1: 0.0}),
        "two such features",
    )
with checks.further("a scan that is its own reference"):
    one = some_features(7, (1.0, 3.0), 35)
    check_units(one, one, "the same tensor twice")
### END HIDDEN TESTS
checks.end(points=10)

# %% [markdown]
# ## Part 2: the nearest neighbours, some at a time (16 points)
#
# Now every asked voxel looks for the voxels of the reference that are most like it: the smallest
# Euclidean distance $\lVert a - b \rVert$. A scan of 40 × 56 × 40 voxels asks 90 000 times. With
# 8 000 voxels in the reference that is a table of 700 million distances: 2.9 GB, for one scan. But
# no voxel needs to know of another's answer. So take `at_a_time` asked voxels, find their
# neighbours, forget the distances, and go on.
#
# Write `nearest`. It gives for each asked voxel the positions of its `k` nearest voxels in the
# reference, **the nearest first**. Of two that are equally near, the one with the smaller position
# comes first: then the answer does not depend on how the work was cut. No tensor that is made on
# the way may have more entries than `at_a_time` × (voxels of the reference), or as many as the
# largest tensor that goes in or comes out. Differences $a - b$ of all pairs, feature by feature, are
# too many.
#
# **Think before you write:** $\lVert a-b\rVert^2 = \lVert a\rVert^2 - 2\,a\!\cdot\!b + \lVert
# b\rVert^2$. Which of the three terms can be left out, if only the order counts?
#
# <details><summary>Hint: distances</summary>
#
# `torch.cdist(a, b)`, or the formula above with `a @ b.T`. The root changes no order.
#
# </details>
#
# <details><summary>Hint: equally near</summary>
#
# `torch.topk` and `argsort` promise no order of equals. `argsort(dim=1, stable=True)` does.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a6-2-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def nearest(asked, reference, k, at_a_time):
    """Find the nearest voxels of the reference, some asked voxels at a time.

    Args:
        asked: features in common units, a float tensor (voxel, feature).
        reference: the same of the scan that is known.
        k: how many neighbours, at most as many as the reference has voxels.
        at_a_time: for how many asked voxels distances are in memory at once, at least 1.

    Returns:
        Integers (asked voxel, k): positions in ``reference``, the nearest first.
    """
    ### BEGIN SOLUTION
    found = []
    for part in asked.split(at_a_time):
        distances = torch.cdist(part, reference)
        found.append(distances.argsort(dim=1, stable=True)[:, :k].clone())
    return torch.cat(found)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a6-2-tests", "locked": true, "points": 16, "schema_version": 3, "solution": false, "task": false}
import torch

from ssl3d_lite.course.checks import Checks, largest_tensor

checks = Checks()


def whole_numbers(rows, features, most, seed):
    """Features that are whole numbers, so that many distances are equal, without rounding."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, most + 1, (rows, features), generator=generator).float()


@checks
def check_nearest(asked, reference, k, at_a_time, what):
    kept = asked.clone(), reference.clone()
    found = torch.as_tensor(nearest(asked, reference, k, at_a_time))
    assert torch.equal(asked, kept[0]) and torch.equal(reference, kept[1]), (
        f"{what}: the features that you were given have been changed"
    )
    assert tuple(found.shape) == (len(asked), k), (
        f"{what}: {len(asked)} asked voxels have {k} neighbours each, the shape is "
        f"{(len(asked), k)}, not {tuple(found.shape)}"
        + (": are the last voxels lost?" if len(found) < len(asked) else "")
    )
    assert not found.is_floating_point(), f"{what}: positions are whole numbers, not {found.dtype}"
    assert int(found.min()) >= 0 and int(found.max()) < len(reference), (
        f"{what}: there is no position {int(found.max())} in a reference of {len(reference)} voxels"
    )
    away = (asked.double()[:, None] - reference.double()[None]).square().sum(2)
    right = away.argsort(dim=1, stable=True)[:, :k]
    mine, wanted = away.gather(1, found), away.gather(1, right)
    slack = 1e-4 * (1 + wanted)
    for row in range(len(asked)):
        if (mine[row] - wanted[row]).abs().le(slack[row]).all():
            continue
        if (mine[row].sort().values - wanted[row]).abs().le(slack[row]).all():
            raise AssertionError(f"{what}: the neighbours are right, but the nearest comes first")
        place = int((mine[row] - wanted[row]).abs().gt(slack[row]).nonzero()[0])
        raise AssertionError(
            f"{what}: neighbour {place} of asked voxel {row} is {right[row, place]}, at the squared "
            f"distance {wanted[row, place]:.3f}; yours is {found[row, place]}, at "
            f"{mine[row, place]:.3f}"
        )
    twice = [row for row in range(len(asked)) if len(set(found[row].tolist())) < k]
    assert not twice, f"{what}: asked voxel {twice[:1]} has one neighbour twice"
    return found, right


@checks
def check_ties(rows, known, features, k, at_a_time, seed):
    what = f"{known} voxels, many of them equally near, {at_a_time} asked at a time"
    asked, reference = (whole_numbers(n, features, 2, seed + n) for n in (rows, known))
    found, right = check_nearest(asked, reference, k, at_a_time, what)
    wrong = (found != right).any(1).nonzero().flatten().tolist()
    assert not wrong, (
        f"{what}: the neighbours of asked voxel {wrong[0]} are {right[wrong[0]].tolist()}, yours "
        f"{found[wrong[0]].tolist()}: they are as near, but of equals the smaller position is first"
    )


@checks
def check_memory(rows, known, features, k, at_a_time):
    generator = torch.Generator().manual_seed(0)
    asked, reference = (torch.randn(n, features, generator=generator) for n in (rows, known))
    entries = largest_tensor(nearest, asked, reference, k, at_a_time)
    most = max(at_a_time * known, rows * max(k, features), known * features)
    assert entries <= most, (
        f"{rows} asked voxels, {at_a_time} at a time, {known} in the reference: a tensor of "
        f"{entries} entries is made, and {most} are enough"
    )


generator = torch.Generator().manual_seed(4)
check_nearest(*torch.randn(2, 9, 4, generator=generator), 1, 100, "one neighbour, all at once")
check_nearest(*torch.randn(2, 9, 4, generator=generator), 5, 2, "five neighbours, two at a time")
check_ties(rows=12, known=30, features=2, k=4, at_a_time=5, seed=0)
check_memory(rows=400, known=50, features=8, k=3, at_a_time=20)
### BEGIN HIDDEN TESTS


def check_random(seed, rows, known, features, k, at_a_time):
    generator = torch.Generator().manual_seed(40 + seed)
    check_nearest(
        torch.randn(rows, features, generator=generator),
        3 * torch.randn(known, features, generator=generator),
        k,
        at_a_time,
        f"{rows} asked voxels, {known} known, {features} features, k = {k}, {at_a_time} at a time",
    )


with checks.core():
    check_random(0, 50, 200, 6, 9, 10)
    check_random(1, 64, 40, 1, 2, 64)
    check_random(2, 30, 17, 40, 5, 100)
with checks.further("a last group that is smaller"):
    check_random(3, 33, 60, 12, 7, 8)
    check_random(4, 50, 200, 6, 9, 7)
with checks.further("one at a time, and a single voxel"):
    check_random(5, 5, 60, 2, 3, 1)
    check_random(6, 1, 1, 3, 1, 1)
with checks.further("as many neighbours as there are voxels"):
    check_random(7, 33, 17, 40, 17, 8)
with checks.further("voxels that are equally near"):
    check_ties(40, 300, 1, 6, 9, seed=50)
    check_ties(25, 120, 3, 120, 25, seed=51)
    check_ties(31, 64, 2, 1, 4, seed=52)
with checks.further("features that are all near 1000"):
    far = 1000 + whole_numbers(20, 3, 4, 60)
    check_nearest(far, 1000 + whole_numbers(30, 3, 4, 61), 3, 6, "twenty of them")
with checks.further("memory"):
    check_memory(rows=300, known=70, features=6, k=4, at_a_time=30)
### END HIDDEN TESTS
checks.end(points=16)

# %% [markdown]
# ## Part 3: a vote (10 points)
#
# With one neighbour, its label is carried. With `k`, they vote: the class that most of them have.
# And if two classes have equally many votes? Classes are names, so neither the smaller number nor
# the mean of the two has anything to say. The class whose **first voter is nearest** wins.
#
# Write `vote`. Each row of `classes` holds the classes of one voxel's neighbours, the nearest
# first.
#
# **Think before you write:** what is `torch.mode` of (2, 0, 0, 2)?
#
# <details><summary>Hint</summary>
#
# Count for each place in a row how many of the row's places have the same class:
# `classes[:, :, None] == classes[:, None, :]`, summed. `argmax` gives the first of the largest.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a6-3-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def vote(classes):
    """Let neighbours vote; of equally many votes, the class whose first voter is nearest wins.

    Args:
        classes: integers (voxel, neighbour), 0 or more, the nearest neighbour first.

    Returns:
        Integers (voxel,).
    """
    ### BEGIN SOLUTION
    votes = (classes[:, :, None] == classes[:, None, :]).sum(2)
    first = votes.argmax(1, keepdim=True)
    return classes.gather(1, first)[:, 0]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a6-3-tests", "locked": true, "points": 10, "schema_version": 3, "solution": false, "task": false}
from collections import Counter

import torch

from ssl3d_lite.course.checks import Checks

checks = Checks()


@checks
def check_vote(rows):
    classes = torch.as_tensor(rows)
    kept = classes.clone()
    found = torch.as_tensor(vote(classes))
    assert torch.equal(classes, kept), "the classes that you were given have been changed"
    assert tuple(found.shape) == (len(classes),), (
        f"{len(classes)} voxels get a class each, but the shape is {tuple(found.shape)}"
    )
    for row, mine in zip(classes.tolist(), found.tolist()):
        counted = Counter(row)
        most = max(counted.values())
        right = next(each for each in row if counted[each] == most)
        tied = sorted(each for each, count in counted.items() if count == most)
        why = (
            f"it has {most} of {len(row)} votes"
            if len(tied) == 1
            else (
                f"{' and '.join(map(str, tied))} have {most} votes each, and the first voter of {right} "
                "is nearest"
            )
        )
        assert mine == right, f"neighbours {row}: {right} wins ({why}), but you say {mine}"


def some_classes(voxels, k, number, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, number, (voxels, k), generator=generator)


check_vote([[1], [0], [2]])
check_vote([[0, 1, 1], [2, 2, 0], [0, 0, 0]])
check_vote([[2, 0, 0, 2], [0, 2, 2, 0], [1, 2, 0, 3]])
check_vote([[0, 2, 1, 2, 1]])
### BEGIN HIDDEN TESTS


def without_ties(classes):
    """The voxels in which one class has most votes."""
    counts = torch.nn.functional.one_hot(classes).sum(1).sort(1, descending=True).values
    return classes[counts[:, 0] > counts[:, 1]]


with checks.core():
    for seed, (voxels, k, number) in enumerate(((200, 5, 3), (200, 8, 2), (100, 9, 4))):
        check_vote(without_ties(some_classes(voxels, k, number, 70 + seed)))
with checks.further("classes with equally many votes"):
    for seed, (voxels, k, number) in enumerate(((200, 4, 3), (200, 8, 2), (60, 2, 3))):
        check_vote(some_classes(voxels, k, number, 75 + seed))
with checks.further("many classes"):
    check_vote(some_classes(100, 9, 12, 72))
    check_vote(40 * some_classes(50, 6, 3, 80))
with checks.further("one voxel"):
    check_vote(some_classes(1, 30, 3, 81))
### END HIDDEN TESTS
checks.end(points=10)


# %% [markdown]
# ## Part 4: the place, as much of it as you like (14 points)
#
# All these boxes are centred on the hippocampus, so a voxel in the middle of the box is likely
# hippocampus in every patient. *Place alone* is the control: a voxel's "features" are where it lies,
# and nothing of the scan is seen. Better still is a control that can be mixed in.
#
# Write `places_of`: for each voxel of a scan its place, one number an axis. The scan's borders are
# at −1 and 1, and a voxel's place is its **centre**: of 4 voxels along an axis they are −0.75,
# −0.25, 0.25 and 0.75. The order is that of `flatten()`: the last axis runs fastest.
#
# Then `with_place`: append places to features, so that the squared distance of two rows is
#
# $$(1 - w)\,\frac1F \sum_{j=1}^{F} (a_j - b_j)^2 \;+\; w\,\frac1D \sum_{d=1}^{D} (p_d - q_d)^2$$
#
# with $F$ features $a, b$, the places $p, q$ in $D$ axes, and the weight $w$ of the place from 0
# (the place does not count) to 1 (nothing else counts). The means make one $w$ mean the same for
# encoders of few and of many features.
#
# **Think before you write:** distances are squared. By what must a *feature* be multiplied, so that
# its squared difference counts $(1-w)/F$?
#
# <details><summary>Hint</summary>
#
# `torch.cartesian_prod` of one axis's centres each has the right order; of a single axis it gives no
# second dimension. `torch.cat([…], 1)` appends.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a6-4-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def places_of(space):
    """Where the voxels of a scan lie.

    Args:
        space: number of voxels along each axis, a tuple of 2 or 3.

    Returns:
        A float tensor (voxel, axis), from −1 to 1 over the scan, the last axis fastest.
    """
    ### BEGIN SOLUTION
    centres = [(2 * torch.arange(edge) + 1) / edge - 1 for edge in space]
    return torch.cartesian_prod(*centres)
    ### END SOLUTION


def with_place(features, places, weight):
    """Append places to features, so that they count with a weight in squared distances.

    Args:
        features: (voxel, feature), in common units.
        places: (voxel, axis).
        weight: of the place, from 0 to 1.

    Returns:
        A float tensor (voxel, feature + axis).
    """
    ### BEGIN SOLUTION
    number, axes = features.shape[1], places.shape[1]
    scaled = sqrt((1 - weight) / number) * features, sqrt(weight / axes) * places
    return torch.cat(scaled, 1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a6-4-tests", "locked": true, "points": 14, "schema_version": 3, "solution": false, "task": false}
import torch

from ssl3d_lite.course.checks import Checks

checks = Checks()


@checks
def check_places(space):
    found = torch.as_tensor(places_of(space))
    number = 1
    for edge in space:
        number *= edge
    assert tuple(found.shape) == (number, len(space)), (
        f"a scan of {space} voxels has {number} places of {len(space)} numbers, but the shape is "
        f"{tuple(found.shape)}"
    )
    steps = torch.stack(torch.unravel_index(torch.arange(number), space), 1)
    for axis, edge in enumerate(space):
        low, high = float(found[:, axis].min()), float(found[:, axis].max())
        for end, mine, right in (("first", low, 1 / edge - 1), ("last", high, 1 - 1 / edge)):
            assert abs(mine - right) < 1e-5, (
                f"scan of {space} voxels, axis {axis}: the centre of the {end} of {edge} voxels is "
                f"at {right:.4f}, not at {mine:.4f}: the *borders* of the scan are at -1 and 1"
            )
    right = (2 * steps + 1) / torch.tensor(space) - 1
    for row in range(number):
        assert torch.allclose(found[row].float(), right[row].float(), atol=1e-5), (
            f"scan of {space} voxels: voxel {row} of flatten() is {tuple(steps[row].tolist())}, at "
            f"{right[row].tolist()}; yours is at {found[row].tolist()} (the last axis runs fastest)"
        )


@checks
def check_weight(voxels, features, axes, weight, seed):
    generator = torch.Generator().manual_seed(seed)
    rows = 3 * torch.randn(voxels, features, generator=generator)
    places = 2 * torch.rand(voxels, axes, generator=generator) - 1
    kept = rows.clone(), places.clone()
    found = torch.as_tensor(with_place(rows, places, weight))
    what = f"{features} features, {axes} axes, weight {weight}"
    assert torch.equal(rows, kept[0]) and torch.equal(places, kept[1]), (
        f"{what}: what you were given has been changed"
    )
    assert tuple(found.shape) == (voxels, features + axes), (
        f"{what}: {voxels} voxels get {features + axes} columns, but the shape is "
        f"{tuple(found.shape)}"
    )

    def apart(table):
        return (table[:, None].double() - table[None].double()).square()

    right = (1 - weight) * apart(rows).mean(2) + weight * apart(places).mean(2)
    mine = apart(found).sum(2)
    a, b = divmod(int((mine - right).abs().argmax()), voxels)
    assert torch.allclose(mine, right, rtol=1e-4, atol=1e-5), (
        f"{what}: rows {a} and {b} should be at the squared distance {right[a, b]:.4f} (features "
        f"{apart(rows).mean(2)[a, b]:.4f} on average, places {apart(places).mean(2)[a, b]:.4f}), "
        f"but are at {mine[a, b]:.4f}"
    )


check_places((4, 3))
check_places((2, 3, 4))
for each in (0, 0.25, 1):
    check_weight(6, 5, 3, each, seed=0)
check_weight(6, 2, 2, 0.5, seed=1)
### BEGIN HIDDEN TESTS
with checks.core():
    for space in ((5, 7, 4), (6, 3, 5)):
        check_places(space)
with checks.further("two axes"):
    check_places((7, 2))
with checks.further("an axis of one voxel"):
    for space in ((1, 5), (3, 1, 6)):
        check_places(space)
with checks.further("features and places together"):
    for seed, (voxels, features, axes, weight) in enumerate(
        ((8, 5, 2, 0.1), (5, 64, 3, 0.9), (10, 3, 3, 0.5), (8, 1, 2, 0.1))
    ):
        check_weight(voxels, features, axes, weight, seed=90 + seed)
with checks.further("a weight of 0 or 1"):
    check_weight(9, 12, 2, 1.0, seed=95)
    check_weight(4, 7, 3, 0.0, seed=96)
### END HIDDEN TESTS
checks.end(points=14)

# %% [markdown]
# Your four functions on scans. (If one of them is still missing, the next two cells stop; a cell
# further below asks the library, so that part 7 can be written all the same.)
#
# Three encoders of one shape: `random` was never trained, `random, no norm` is another kind of it
# (one kind alone may be a weak control), and `CPC` was pretrained without any label. `place` sees
# nothing of the scan.

# %% tags=["show"]
encoders = {"random": ssl3d.make_encoder(cohort, seed=0, filters=size["filters"])}
encoders["random, no norm"] = ssl3d.make_encoder(
    cohort, seed=0, filters=size["filters"], norm="none"
)
encoders["CPC"] = deepcopy(encoders["random"])
task = ssl3d.make_task("cpc", encoders["CPC"], seed=0)
history = ssl3d.pretrain(task, encoders["CPC"], cohort, steps=size["steps"], learning_rate=2e-3)
encoders = {name: encoder.cpu().eval() for name, encoder in encoders.items()}
known_case, tested = split.train[0], split.test[: size["tested"]]


# %% tags=["show"]
def read(encoder, image):
    """Features of all levels at every voxel of a scan (1, channel, *space): (voxel, feature)."""
    with torch.inference_mode():
        levels = [F.interpolate(each, image.shape[2:], mode="trilinear") for each in encoder(image)]
    return torch.cat(levels, 1)[0].flatten(1).T


def carry(encoder, known_image, known_label, image, weight, k=5):
    """The label map of a scan at every n-th voxel, carried from one labelled scan."""
    every, spaces = size["every"], (known_image.shape[2:], image.shape[2:])
    places = [places_of(tuple(space)) for space in spaces]
    features = (
        [places[0], places[1]]
        if encoder is None
        else [read(encoder, each) for each in (known_image, image)]
    )
    rng = np.random.default_rng(0)  # the same voxels for every encoder
    chosen = torch.from_numpy(rng.choice(len(features[0]), size["known"], replace=False))
    thin = torch.arange(len(features[1])).view(*spaces[1])[::every, ::every, ::every]
    asked, reference = in_units(features[1][thin.flatten()], features[0][chosen])
    asked = with_place(asked, places[1][thin.flatten()], weight)
    reference = with_place(reference, places[0][chosen], weight)
    found = nearest(asked, reference, k, at_a_time=1000)
    return vote(known_label.flatten()[chosen][found]).view(thin.shape)


def dice(found, truth):
    """Mean over the parts: twice the voxels in common, by the sum of both sizes."""
    parts = [(found == part, truth == part) for part in range(1, len(cohort.label_names))]
    return float(np.mean([2 * (a & b).sum() / (a.sum() + b.sum()).clamp(min=1) for a, b in parts]))


known_image, known_label = cohort.images([known_case]).cpu(), cohort.labels([known_case])[0].cpu()
every = (slice(None, None, size["every"]),) * 3
print(f"{'weight of the place':20}" + "".join(f"{weight:>8}" for weight in (0, 0.1, 0.5, 1)))
for name, encoder in encoders.items():
    row = []
    for weight in (0, 0.1, 0.5, 1):
        scores = [
            dice(
                carry(encoder, known_image, known_label, cohort.images([case]).cpu(), weight),
                cohort.labels([case])[0].cpu()[every],
            )
            for case in tested
        ]
        row.append(float(np.mean(scores)))
    print(f"{name:20}" + "".join(f"{score:8.3f}" for score in row))

# %% [markdown]
# *What to look at:* the last column is place alone, so it is the same for all. Who gains by being told the place, and who loses? **An encoder that gains nothing knew the
# place already, or does not need it.** The table cannot say which.
#
# ## Part 5: a crop that is moved (12 points)
#
# A test that place cannot pass: move the crop. From one scan cut two crops, `step` voxels apart
# along each axis: the *first* lacks the last `step` voxels, the *second* the first ones. The same
# anatomy then lies at another position.
#
# Write `two_crops`. The scan is `(…, *space)`: as many axes at the end as `step` has entries, and
# any number before them (none, a channel, a batch and a channel), which stay as they are. A step may
# be 0: along this axis both crops are the whole.
#
# Then `same_anatomy`: of a scan of `space` voxels, which voxels do *both* crops show, and where?
# Positions are those in the crop's own `flatten()`, the order is that of the scan.
#
# **Think before you write:** what is `x[:-0]`? And how many voxels are left along an axis of 10,
# with a step of 3, in each crop, and in both?
#
# <details><summary>Hint</summary>
#
# Number the voxels of the scan, `torch.arange(number).view(space)`, and cut the numbers as you cut
# the scan. What both show are numbers that stand in both.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a6-5-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def two_crops(scan, step):
    """Cut two crops from a scan, ``step`` voxels apart.

    Args:
        scan: a tensor (…, *space).
        step: voxels along each axis of space, 0 or more, each less than half of the edge.

    Returns:
        A pair of tensors: the first crop, and the second, which is moved.
    """
    ### BEGIN SOLUTION
    space = scan.shape[scan.ndim - len(step) :]
    first = tuple(slice(0, edge - by) for edge, by in zip(space, step))
    second = tuple(slice(by, edge) for edge, by in zip(space, step))
    return scan[(..., *first)], scan[(..., *second)]
    ### END SOLUTION


def same_anatomy(space, step):
    """Find the voxels that both crops show.

    Args:
        space: the scan's voxels along each axis.
        step: as in ``two_crops``.

    Returns:
        A pair of integer tensors (voxel,): where they lie in the first crop, and in the second.
    """
    ### BEGIN SOLUTION
    crop = torch.tensor([edge - by for edge, by in zip(space, step)])
    inner = product(*(range(by, edge - by) for edge, by in zip(space, step)))
    in_first = torch.tensor(list(inner))
    strides = torch.tensor([int(crop[axis + 1 :].prod()) for axis in range(len(step))])
    return in_first @ strides, (in_first - torch.tensor(step)) @ strides
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a6-5-tests", "locked": true, "points": 12, "schema_version": 3, "solution": false, "task": false}
import torch

from ssl3d_lite.course.checks import Checks

checks = Checks()


@checks
def check_crops(shape, step):
    space = shape[len(shape) - len(step) :]
    number = 1
    for edge in shape:
        number *= edge
    scan = torch.arange(number).view(shape)
    kept, what = scan.clone(), f"a scan {shape} and the step {step}"
    crops = [torch.as_tensor(each) for each in two_crops(scan, step)]
    assert torch.equal(scan, kept), f"{what}: the scan has been changed"
    size = (*shape[: len(shape) - len(step)], *(e - s for e, s in zip(space, step)))
    for name, crop in zip(("first", "second"), crops):
        assert tuple(crop.shape) == size, (
            f"{what}: the {name} crop has the shape {size}, but yours has {tuple(crop.shape)}"
            + (": x[:-0] is empty" if 0 in crop.shape else "")
        )
    assert int(crops[0].flatten()[0]) == 0, (
        f"{what}: the first crop begins where the scan begins, and lacks its last voxels"
    )
    assert int(crops[1].flatten()[-1]) == number - 1, (
        f"{what}: the second crop ends where the scan ends, and lacks its first voxels"
    )
    right = [kept, kept]
    for axis, by in enumerate(step, start=len(shape) - len(step)):
        edge = shape[axis]
        right = [right[0].narrow(axis, 0, edge - by), right[1].narrow(axis, by, edge - by)]
    for name, mine, wanted in zip(("first", "second"), crops, right):
        assert torch.equal(mine, wanted), f"{what}: the {name} crop holds other voxels"


@checks
def check_anatomy(space, step):
    what = f"a scan of {space} voxels and the step {step}"
    found = [torch.as_tensor(each).flatten() for each in same_anatomy(space, step)]
    inner = [range(by, edge - by) for edge, by in zip(space, step)]
    number, size = 1, [edge - by for edge, by in zip(space, step)]
    for each in inner:
        number *= len(each)
    for name, mine in zip(("first", "second"), found):
        assert len(mine) == number, (
            f"{what}: both crops show {' × '.join(str(len(each)) for each in inner)} = {number} "
            f"voxels, but you name {len(mine)} of the {name} crop"
        )
    grid = torch.stack(torch.meshgrid(*map(torch.tensor, inner), indexing="ij"), -1)
    grid = grid.view(-1, len(step))
    strides = torch.tensor(
        [int(torch.tensor(size[axis + 1 :]).prod()) for axis in range(len(size))]
    )
    for name, mine, moved in zip(("first", "second"), found, (0, torch.tensor(step))):
        right = ((grid - moved) * strides).sum(1)
        wrong = (mine != right).nonzero().flatten().tolist()
        assert not wrong, (
            f"{what}: voxel {tuple(grid[wrong[0]].tolist())} of the scan lies at "
            f"{tuple((grid[wrong[0]] - moved).tolist())} of the {name} crop of {tuple(size)}, which "
            f"is position {right[wrong[0]]}, but you say {mine[wrong[0]]}"
        )


check_crops((8, 6), (2, 1))
check_crops((1, 1, 5, 6, 7), (1, 2, 3))
check_crops((2, 6, 5), (2, 0))
check_anatomy((8, 6), (2, 1))
check_anatomy((5, 6, 7), (1, 2, 3))
### BEGIN HIDDEN TESTS
with checks.core():
    for shape, step in (((9, 4), (4, 1)), ((3, 2, 9, 5), (1, 2)), ((4, 10, 5, 6), (4, 2, 1))):
        check_crops(shape, step)
with checks.further("a step of 0"):
    for shape, step in (((6, 7, 8), (0, 3, 0)), ((5, 5), (0, 0))):
        check_crops(shape, step)
with checks.further("the same anatomy"):
    for space, step in (((9, 4), (4, 1)), ((10, 5, 6), (4, 2, 1))):
        check_anatomy(space, step)
with checks.further("the same anatomy, a step of 0"):
    for space, step in (((6, 7, 8), (0, 3, 0)), ((3, 3), (0, 0))):
        check_anatomy(space, step)
### END HIDDEN TESTS
checks.end(points=12)


# %% [markdown]
# ## Part 6: anatomy or place: a score (13 points)
#
# Read an encoder in both crops, and compare a voxel's features in the first crop with two others of
# the second: those at the *same anatomy*, and those at the *same position* of the crop. With the
# mean squared distances $A$ and $P$, over all voxels and features, each feature in units of its
# deviation over `before`, the score is
#
# $$\frac{P}{P + A}.$$
#
# It is 1 for a function of the intensities alone ($A = 0$), 0 for one of the position alone
# ($P = 0$), and 0.5 for noise that follows neither. Divide by $n$ for the deviation. A feature that
# is the same everywhere in `before`, up to $10^{-5}$ of its largest value, is left out; if none
# varies, or nothing differs at all, the score is `nan`.
#
# **Think before you write:** the mean over features of one ratio each, or the ratio of the means?
#
# <details><summary>Hint</summary>
#
# Leave out columns first: `before[:, speaks]`. `math.nan` or `float("nan")` for the rest.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a6-6-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def follows(before, same_anatomy, same_position):
    """Say whether features follow the anatomy: 1; the place in the crop: 0; or neither: 0.5.

    Args:
        before: features in the first crop, a float tensor (voxel, feature).
        same_anatomy: those of the same anatomy in the second crop, voxel by voxel.
        same_position: those at the same position in the second crop.

    Returns:
        The score, a number; ``nan`` if nothing varies.
    """
    ### BEGIN SOLUTION
    spread = before.std(0, correction=0)
    speaks = spread > 1e-5 * before.abs().amax(0)
    unit = spread[speaks]
    anatomy = (((before - same_anatomy)[:, speaks] / unit) ** 2).mean()
    position = (((before - same_position)[:, speaks] / unit) ** 2).mean()
    return float(position / (position + anatomy))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a6-6-tests", "locked": true, "points": 13, "schema_version": 3, "solution": false, "task": false}
import math

import torch

from ssl3d_lite.course.checks import Checks

checks = Checks()


@checks
def check_follows(before, anatomy, position, what):
    kept = [each.clone() for each in (before, anatomy, position)]
    found = float(follows(before, anatomy, position))
    assert all(map(torch.equal, (before, anatomy, position), kept)), (
        f"{what}: the features that you were given have been changed"
    )
    exact, a, p = (each.double() for each in kept)
    spread = exact.std(0, correction=0)
    speaks = spread > 1e-5 * exact.abs().amax(0)
    a, p = (((exact - x)[:, speaks] / spread[speaks]).square().mean() for x in (a, p))
    right = float(p / (p + a))
    if math.isnan(right):
        assert math.isnan(found), f"{what}: the score is nan, but you say {found}"
        return
    assert not math.isnan(found), (
        f"{what}: the score is {right:.4f}, but yours is no number: is a feature that is the same "
        "everywhere left out?"
    )
    assert abs(found - right) < 2e-3, (
        f"{what}: with A = {float(a):.4f} and P = {float(p):.4f} the score is {right:.4f}, but you "
        f"say {found:.4f}"
    )


def three_tables(voxels, scales, seed, anatomy=1.0, position=1.0):
    """Features before, and with so much of other noise at the same anatomy and position."""
    generator = torch.Generator().manual_seed(seed)
    before, a, p = torch.randn(3, voxels, len(scales), generator=generator)
    scale = torch.tensor(scales)
    return before * scale, (before + anatomy * a) * scale, (before + position * p) * scale


before, noise, _ = three_tables(50, (1.0, 1.0), 0)
check_follows(before, before, noise, "features of the anatomy alone")
check_follows(before, noise, before, "features of the place alone")
check_follows(*three_tables(50, (1.0, 100.0), 1, 0.5, 2.0), "a feature in another unit")
still = [torch.cat([each, torch.full((50, 1), 0.1)], 1) for each in three_tables(50, (1.0,), 2)]
check_follows(*still, "a feature that is 0.1 everywhere")
### BEGIN HIDDEN TESTS
with checks.core():
    for seed, (voxels, scales, a, p) in enumerate(
        ((20, (1.0, 1.0, 1.0), 0.3, 1.0), (200, (5.0,), 2.0, 0.1), (30, (3.0, 3.0), 1.0, 1.0))
    ):
        what = f"{voxels} voxels, {len(scales)} features"
        check_follows(*three_tables(voxels, scales, 100 + seed, a, p), what)
generator = torch.Generator().manual_seed(110)
before, other = torch.randn(2, 30, 2, generator=generator)
flat = torch.full((30, 1), 7.3)
with checks.further("features in other units"):
    check_follows(*three_tables(20, (1.0, 0.01, 30.0), 100, 0.3, 1.0), "three features")
    check_follows(*three_tables(7, (1e-3, 1.0), 102), "two features")
with checks.further("features that do not agree"):
    uneven = before + torch.tensor([1.0, 0.0]) * other, before + torch.tensor([0.1, 2.0]) * other
    check_follows(before, *uneven, "two features")
with checks.further("a feature that is the same everywhere in one crop"):
    tables = [torch.cat([a, b], 1) for a, b in ((before, flat), (other, flat + 1), (other, flat))]
    check_follows(*tables, "three features")
with checks.further("nothing that varies, and nothing that differs"):
    check_follows(flat, flat + 1, flat + 2, "nothing that varies")
    check_follows(before, before, before, "nothing that differs")
### END HIDDEN TESTS
checks.end(points=13)


# %% [markdown]
# All together. The label is carried in the same crop, and with the crop moved: the known scan
# without its last voxels, the new one without its first. *Follows* is your score, over the tested
# patients. **Predict before you run:** place loses nearly everything in the moved crop. Who keeps
# most?

# %% tags=["show"]
step = tuple(edge // 6 for edge in cohort.shape)
where = dict(zip(("first", "second"), same_anatomy(cohort.shape, step)))
kept = [two_crops(each, step)[0] for each in (known_image, known_label)]
crop_space = tuple(kept[1].shape)


def follows_of(reader, image):
    """The score of one scan."""
    first, second = (reader(crop.contiguous()) for crop in two_crops(image, step))
    return follows(first[where["first"]], second[where["second"]], second[where["first"]])


print(f"moved by {step} voxels")
print(f"{'':20}{'same crop':>12}{'moved crop':>12}{'follows':>12}")
for name, encoder in {"place": None, **encoders}.items():
    rows = []
    for case in tested:
        image, label = cohort.images([case]).cpu(), cohort.labels([case])[0].cpu()
        images, labels = two_crops(image, step), two_crops(label, step)
        weight = 1 if encoder is None else 0
        scores = [
            dice(carry(encoder, *kept, images[n].contiguous(), weight), labels[n][every])
            for n in (0, 1)
        ]
        reader = (
            (lambda crop: places_of(crop_space))
            if encoder is None
            else (lambda crop, encoder=encoder: read(encoder, crop))
        )
        rows.append([*scores, follows_of(reader, image)])
    print(f"{name:20}" + "".join(f"{value:12.3f}" for value in np.mean(rows, 0)))

# %% [markdown]
# The library's own ways to ask need no function of yours: a label carried by one neighbour, the
# score, and a linear probe with two labelled scans, without and with the place given to it. Other
# voxels are drawn and coarse levels are read otherwise, so numbers differ a little from yours.

# %% tags=["show"]
two = [cohort.subset(split.train, 2, 0)]
print(f"{'':20}{'carried':>12}{'probe':>12}{'probe+place':>14}")
for name, encoder in encoders.items():
    carried = ssl3d.evaluation.label_transfer(
        encoder, cohort, [[known_case]], tested, voxels=size["known"], hausdorff=False
    )
    probes = ssl3d.evaluation.probes_by_protocol(encoder, cohort, two, tested)
    row = [carried[0].score, *(probes[each][0].score for each in ("probe", "probe+place"))]
    print(f"{name:20}{row[0]:12.3f}{row[1]:12.3f}{row[2]:14.3f}")
print(f"{'place':20}{ssl3d.evaluation.evaluate_place(cohort, [known_case], tested).score:12.3f}")
for name, encoder in encoders.items():
    print(f"{name:20}{ssl3d.evaluation.equivariance_under_shift(encoder, cohort, tested)}")

# %% [markdown]
# ## Part 7: what your encoder knows (25 points)
#
# Write, in at most 300 words, what you found. Take the largest scale that you ran, and say which it
# was. A person reads it. What is asked:
#
# 1. **Does CPC carry a label better** than random weights and than place alone? The numbers, of how
#    many patients, and how far you would trust a difference of that size.
# 2. **Anatomy or place?** Give two numbers that point the same way or do not: what is lost when the
#    crop moves, and the score. Why is one random encoder not enough?
# 3. **The weight.** What happened as the place was mixed in (or given to the probe), to CPC and to
#    random weights, and what does that say, and what not?
# 4. **A claim that could be wrong**: one sentence on what these features know, and the experiment
#    that would refute it.

# %% [markdown] nbgrader={"grade": true, "grade_id": "a6-7-answer", "locked": false, "points": 25, "schema_version": 3, "solution": true, "task": false}
# *What do the features know, and how do you know?*
#
# ### BEGIN SOLUTION
# For the lecturer. Numbers must stand in the printed tables. No finding is better than another:
# what few steps of CPC learn differs from run to run.
#
# - **Carrying, 7 points.** Dice of CPC, of both random encoders and of place, and on how many
#   patients (3). CPC is compared with the *better* of the controls, not with the worst (2). One
#   known scan, a few patients, one seed: no verdict, and what would make one (2).
# - **Anatomy or place, 8 points.** What place keeps in the moved crop (nearly nothing), and what
#   each encoder keeps (3). The score, with 0, 0.5 and 1 as its marks: random weights near 0.5 follow
#   neither, and are not "half anatomy" (3). Padding tells a convolution where the border is, so
#   training is not needed to know the place; a kind of random encoder may know more or less (2).
# - **The weight, 5 points.** What was seen (2). Who gains nothing by the place either knew it or does
#   not need it: the table alone cannot say, the moved crop can (3).
# - **The claim, 5 points.** It names encoder, data and measure (2). The experiment could come out
#   against it: another seed, other scans, a larger step, one level alone (3).
#
# Deduct up to 3 points beyond 300 words.
# ### END SOLUTION

# %% [markdown]
# ## What you have now
#
# Label transfer with its control. Compare yours with `ssl3d_lite/evaluation/neighbours.py`, which
# leaves out the term that is the same for all, and `equivariance.py` in the same folder. The study
# protocol `neighbours` scores every encoder so, with six seeds.
#
# ## References
#
# Wu et al., *Unsupervised Feature Learning via Non-Parametric Instance Discrimination*, CVPR 2018.
# Lei et al., *Contrastive Learning of Relative Position Regression for One-Shot Object Localization
# in 3D Medical Images*, MICCAI 2021. Zhai et al., *Position Prediction as an Effective Pretraining
# Strategy*, ICML 2022. Taleb et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS 2020.

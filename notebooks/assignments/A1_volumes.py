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
# # Assignment 1: volumes and patch grids
#
# **You will show that you can:** say where a voxel lies in the room; turn any scan to one
# orientation without losing that; scale intensities so that one broken voxel does no harm; cut a
# volume into overlapping patches and put it together again; and score a segmentation without being
# flattered by the background.
#
# **Time:** two to four hours. **Read first:** notebook 01 (volumes). **Points:** 100, in six parts.
#
# | part | what you write | points |
# |---|---|---|
# | 1 | from voxels to millimetres and back | 15 |
# | 2 | turn a scan to RAS | 20 |
# | 3 | a robust intensity window | 15 |
# | 4 | a patch grid that covers everything | 15 |
# | 5 | cut, and put together again | 20 |
# | 6 | Dice without the background | 15 |
#
# **How it works.** Write your code where it says `YOUR CODE HERE` and take out the line that raises
# `NotImplementedError`. The cell behind each part checks it and says what is wrong. The grader
# runs the same checks and some more, with other shapes and numbers, so do not write for the
# examples. Keep names and arguments as they are. Changes to the check cells are undone before
# grading. The parts do not depend on each other: a part that you cannot solve costs its own points
# and no others. Before you hand in: *Kernel → Restart and run all*.
# That goes on past checks that fail. The grader gives your notebook five minutes at the scale
# `smoke`, a cell 75 seconds, and all cells that you added half of the time together. So take long
# experiments out, or put them behind `if scale() != "smoke":`.
#
# What must be right everywhere: a function never changes what it is given.

# %%
# %matplotlib inline

# %%
from itertools import product

import numpy as np
import torch

from data_recipes.virtual_patients.abdomen import abdomen_case
from ssl3d_lite.data.opening import open_cohort, scale
from ssl3d_lite.errors import InputError

SIZES = {
    "smoke": {"edge": 48, "cases": 12},
    "class": {"edge": 96, "cases": 40},
    "full": {"edge": 128, "cases": 100},
}
size = SIZES[scale()]

# %% [markdown]
# The scan for the first three parts is a virtual CT of a belly, as a file would hold it: numbers,
# labels (0 background, 1 pancreas, 2 tumour), and the *affine*.

# %%
ct, label, affine = abdomen_case(seed=0, index=0, edge=size["edge"])
print("shape", ct.shape, "kind", ct.dtype, "from", ct.min(), "to", ct.max())
print("affine:\n", affine.round(2))

# %% [markdown]
# ## Part 1: from voxels to millimetres and back (15 points)
#
# The affine $A$ is a 4 × 4 matrix that takes a voxel's indices to a place in the room, in mm from
# the scanner's origin:
#
# $$\begin{pmatrix} x \\ y \\ z \\ 1 \end{pmatrix} = \begin{pmatrix} M & t \\ 0 & 1 \end{pmatrix}
# \begin{pmatrix} i \\ j \\ k \\ 1 \end{pmatrix}, \qquad\text{that is}\qquad p = M v + t.$$
#
# $x$ runs to the patient's right, $y$ to the front, $z$ up. $M$ need not be diagonal: a scanner may
# be tilted, and a file may list its axes in any order. A voxel is then a small oblique box, and its
# volume is $|\det M|$ cubic mm.
#
# Write three functions. The first two take one voxel, `(3,)`, or any number of them, `(..., 3)`,
# and give the same shape. A millilitre is 1000 cubic mm.
#
# <details><summary>Hint: many voxels at once</summary>
#
# Voxels stand in rows here, and $(M v)^\top = v^\top M^\top$. So `voxels @ M.T` applies $M$ to each
# row, whatever comes before the last axis. For the way back: which of the two, the shift or the
# matrix, was applied last?
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a1-1-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def to_mm(voxel, affine):
    """Where voxels lie in the room.

    Args:
        voxel: (..., 3) indices; they may lie between voxels (1.5).
        affine: (4, 4).

    Returns:
        (..., 3) in mm, a numpy array.
    """
    ### BEGIN SOLUTION
    return np.asarray(voxel) @ affine[:3, :3].T + affine[:3, 3]
    ### END SOLUTION


def to_voxel(place, affine):
    """The inverse: places (..., 3) in mm → indices (..., 3), not rounded."""
    ### BEGIN SOLUTION
    return (np.asarray(place) - affine[:3, 3]) @ np.linalg.inv(affine[:3, :3]).T
    ### END SOLUTION


def millilitres(mask, affine):
    """How much of the body a mask covers, in ml.

    Args:
        mask: (x, y, z), true (or not 0) where the structure is.
        affine: of the mask's scan, (4, 4).
    """
    ### BEGIN SOLUTION
    return np.count_nonzero(mask) * abs(np.linalg.det(affine[:3, :3])) / 1000
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a1-1-tests", "locked": true, "points": 15, "schema_version": 3, "solution": false, "task": false}
import numpy as np

from ssl3d_lite.course.checks import Checks

checks = Checks()


@checks
def check_mm(voxel, affine, expected):
    place = np.asarray(to_mm(voxel, affine))
    assert place.shape == np.shape(expected), (
        f"to_mm got indices of shape {np.shape(voxel)} and should give that shape back, "
        f"not {place.shape}"
    )
    assert np.allclose(place, expected), (
        f"voxel {np.ravel(voxel)[:3]} lies at {np.ravel(expected)[:3]} mm, "
        f"but to_mm says {np.ravel(place)[:3].round(2)}"
    )
    back = np.asarray(to_voxel(expected, affine))
    assert np.allclose(back, voxel), (
        f"the place {np.ravel(expected)[:3]} mm is voxel {np.ravel(voxel)[:3]}, "
        f"but to_voxel says {np.ravel(back)[:3].round(2)}"
    )


@checks
def check_ml(mask, affine, expected):
    found = float(millilitres(mask, affine))
    assert np.isclose(found, expected), (
        f"{np.count_nonzero(mask)} voxels of {expected * 1000 / np.count_nonzero(mask):g} cubic mm "
        f"are {expected:g} ml, but millilitres says {found:g}"
    )


shifted = np.array([[2.0, 0, 0, 10], [0, 3, 0, 20], [0, 0, 4, 30], [0, 0, 0, 1]])
swapped = np.array([[0, 0, -2.0, 50], [3, 0, 0, -40], [0, 4, 0, 7], [0, 0, 0, 1]])
check_mm((0, 0, 0), shifted, (10, 20, 30))
check_mm((1, 2, 3), shifted, (12, 26, 42))
check_mm((1, 2, 3), swapped, (44, -37, 15))
check_mm(((0, 0, 0), (1, 2, 3)), swapped, ((50, -40, 7), (44, -37, 15)))
check_ml(np.ones((5, 5, 5)), shifted, 3.0)
check_ml(np.ones((5, 5, 5)), swapped, 3.0)
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(11)


def some_affine():
    oblique = np.eye(4)
    oblique[:3, :3] = np.linalg.qr(rng.standard_normal((3, 3)))[0] * rng.uniform(0.5, 4, 3)
    oblique[:3, 3] = rng.uniform(-200, 200, 3)
    oblique[2, :3] += 0.1 * oblique[1, :3]  # a tilted gantry: a box with slanted sides
    return oblique


def check_places(oblique, shape):
    voxel = rng.uniform(-5, 90, shape)
    homogeneous = np.concatenate([voxel, np.ones((*shape[:-1], 1))], -1)
    check_mm(voxel, oblique, np.einsum("ij,...j->...i", oblique, homogeneous)[..., :3])


with checks.core():
    for oblique in [some_affine() for _ in range(5)]:
        kept = oblique.copy()
        check_places(oblique, (3,))
        for place in rng.uniform(-200, 200, (6, 3)):  # none of them has been asked about
            found = oblique[:3, :3] @ to_voxel(place, oblique) + oblique[:3, 3]
            assert np.allclose(found, place), (
                f"to_voxel says that {place.round(2)} mm is a voxel that lies at "
                f"{found.round(2)} mm"
            )
        assert (oblique == kept).all(), "the affine that you were given has been changed"
with checks.further("many voxels at once"):
    for shape in ((7, 3), (2, 4, 3)):
        check_places(some_affine(), shape)
with checks.further("millilitres of a scan that is tilted"):
    for oblique in [some_affine() for _ in range(5)]:
        mask, sides = rng.random((6, 7, 8)) > 0.7, oblique[:3, :3].T
        volume = abs(np.cross(sides[0], sides[1]) @ sides[2]) / 1000
        check_ml(mask, oblique, mask.sum() * volume)
with checks.further("a mask of 0 and 3"):
    mask = rng.random((6, 7, 8)) > 0.7
    check_ml(3 * mask.astype(np.uint8), shifted, mask.sum() * 0.024)
### END HIDDEN TESTS
checks.end(points=15)

# %% [markdown]
# Use it: where does the tumour lie, and how large is it?

# %% tags=["show"]
middle = np.argwhere(label == 2).mean(0)
print("middle of the tumour: voxel", middle.round(1), "at", to_mm(middle, affine).round(1), "mm")
for number, name in ((1, "pancreas"), (2, "tumour")):
    print(f"{name}: {millilitres(label == number, affine):.1f} ml")

# %% [markdown]
# ## Part 2: turn a scan to RAS (20 points)
#
# Files differ in the order and direction of their axes. **RAS** means: axis 0 runs to the patient's
# right, axis 1 to the front (*anterior*), axis 2 up (*superior*). A scan is brought there by
# swapping and flipping axes alone. No value changes, and no voxel leaves its place in the room: so
# the affine has to change as well.
#
# Take it in two steps.
#
# 1. **Order.** Column $j$ of $M$ says where one goes in the room when index $j$ grows by 1. The row
#    in which its entry is largest, without regard to sign, is the axis of the room that it follows.
#    Bring the volume's axes, and the affine's columns, into the room's order.
# 2. **Direction.** An axis whose entry is negative runs the wrong way: flip it. Its first voxel is
#    then what was its last, so column *and* translation change. With $n$ voxels along that axis,
#    $A v$ must equal $A' v'$ for $v'_j = n - 1 - v_j$.
#
# After this, $M$ of a tilted scan is still not diagonal. That is right: to undo the tilt one would
# have to interpolate. You may assume that the three columns follow three different axes.
#
# Write it without nibabel's functions for orientation; `np.transpose` and `np.flip` are all you
# need. **Think before you write:** for axes in the order (up, right, front), which index moves
# where? Most errors here work for two swapped axes and fail for three.
#
# <details><summary>Hint: order</summary>
#
# `np.abs(M).argmax(0)` gives, for each index, its axis in the room. `np.transpose(volume, order)`
# wants the opposite: for each new axis, which old one to put there. How does one invert a
# permutation? (Notebook 04 does it with one word.)
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a1-2-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def turn_to_ras(volume, affine):
    """Turn a scan so that its axes run right, front and up.

    Args:
        volume: (x, y, z), of any kind of number.
        affine: (4, 4), voxel → mm.

    Returns:
        The turned volume, and its own affine.
    """
    ### BEGIN SOLUTION
    order = np.abs(affine[:3, :3]).argmax(0).argsort()  # for each axis of the room, the index
    turned, new = np.transpose(volume, order), affine.astype(float)
    new[:, :3] = affine[:, order]
    for axis in range(3):
        if new[axis, axis] < 0:
            turned = np.flip(turned, axis)
            new[:, 3] += (turned.shape[axis] - 1) * new[:, axis]
            new[:, axis] *= -1
    return turned, new
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a1-2-tests", "locked": true, "points": 20, "schema_version": 3, "solution": false, "task": false}
import numpy as np
from nibabel import aff2axcodes
from nibabel.affines import apply_affine

from ssl3d_lite.course.checks import Checks

checks = Checks()


@checks
def check_ras(volume, affine):
    before, kept = "".join(aff2axcodes(affine)), affine.copy()
    turned, new = turn_to_ras(volume, affine)
    assert (affine == kept).all(), "the affine that you were given has been changed: work on a copy"
    after = "".join(aff2axcodes(new))
    assert after == "RAS", f"a scan in {before} should become RAS, but your affine says {after}"
    assert sorted(turned.shape) == sorted(volume.shape), (
        f"a volume of {volume.shape} has become one of {turned.shape}"
    )
    for name, find in (("highest", np.argmax), ("lowest", np.argmin)):
        old, moved = (np.unravel_index(find(v), v.shape) for v in (volume, turned))
        was, now = apply_affine(affine, old), apply_affine(new, moved)
        assert np.allclose(was, now), (
            f"{before} → RAS: the {name} value lay at {was.round(1)} mm, "
            f"but by your volume and affine it lies at {now.round(1)} mm"
        )
    inverse = np.linalg.inv(affine)
    for corner in np.ndindex(2, 2, 2):
        moved = np.array(corner) * (np.array(turned.shape) - 1)
        old = np.rint(apply_affine(inverse, apply_affine(new, moved))).astype(int)
        assert (old >= 0).all() and (old < volume.shape).all(), (
            f"{before} → RAS: your voxel {moved} lies outside the scan it came from"
        )
        assert volume[tuple(old)] == turned[tuple(moved)], (
            f"{before} → RAS: your voxel {moved} has another value than the scan at that place"
        )


values = np.random.default_rng(0).permutation(4 * 5 * 6).reshape(4, 5, 6)
check_ras(values, np.diag([2.0, 3.0, 4.0, 1.0]))  # nothing to do
check_ras(values, np.array([[-2.0, 0, 0, 9], [0, 3, 0, 8], [0, 0, 4, 7], [0, 0, 0, 1]]))
check_ras(values, np.array([[0, -2.0, 0, 9], [3, 0, 0, 8], [0, 0, 4, 7], [0, 0, 0, 1]]))
### BEGIN HIDDEN TESTS
from itertools import permutations, product

values = np.random.default_rng(5).permutation(3 * 7 * 5).reshape(3, 7, 5).astype(np.int16)
tilt = np.array([[1, 0.12, -0.05], [-0.11, 1, 0.16], [0.07, -0.15, 1]])


def check_orders(orders, signs, tilt):
    for order, sign in product(orders, signs):
        oblique = np.eye(4)
        oblique[:3, :3] = tilt @ (np.eye(3)[:, list(order)] * sign) * (0.8, 2.5, 1.7)
        oblique[:3, 3] = (-31.0, 12.5, 70.0)
        before = values.copy()
        check_ras(values, oblique)
        assert (values == before).all(), "the volume that you were given has been changed"


upright, two_swapped = [(0, 1, 2)], [(1, 0, 2), (2, 1, 0), (0, 2, 1)]
three_swapped = [order for order in permutations(range(3)) if order not in upright + two_swapped]
signs = list(product((1, -1), repeat=3))
with checks.core():
    check_orders(upright, signs, np.eye(3))
    check_orders(two_swapped, signs[:1], np.eye(3))
with checks.further("two axes swapped, and some flipped"):
    check_orders(two_swapped, signs, np.eye(3))
with checks.further("three axes in another order"):
    check_orders(three_swapped, signs, np.eye(3))
with checks.further("a scan that is tilted"):
    check_orders([*upright, *two_swapped, *three_swapped], signs, tilt)
### END HIDDEN TESTS
checks.end(points=20)

# %% [markdown]
# Look at it: the file's axes, and yours. In the second view, *anterior* should be in front.

# %% tags=["show"]
from IPython.display import display

from ssl3d_lite import show

turned, new_affine = turn_to_ras(ct, affine)
turned_label, _ = turn_to_ras(label, affine)
names = ("background", "pancreas", "tumour")
display(show.Slices(ct, label, label_names=names, window=(-160, 240), title="as in the file"))
display(show.Slices(turned, turned_label, label_names=names, window=(-160, 240), title="turned"))

# %%
# from here on the library's own
from data_recipes.preparing.volumes import ras_affine, to_ras

upright, upright_label = to_ras(ct, affine), to_ras(label, affine)
upright_affine = ras_affine(affine, ct.shape)

# %% [markdown]
# ## Part 3: a robust intensity window (15 points)
#
# A network wants numbers of a known size. To bring the lowest value to 0 and the highest to 1 is
# fragile: one broken voxel takes all greys. So the ends of the window are *percentiles*:
#
# $$w(v) = \min\!\Bigl(1, \max\!\Bigl(0, \frac{v - q_{\text{low}}}{q_{\text{high}} -
# q_{\text{low}}}\Bigr)\Bigr).$$
#
# In MRI each channel (T1, T2, FLAIR …) has a scale of its own, and so has its window. A channel
# that has no contrast, where the two percentiles are equal, becomes 0 everywhere. It must not
# become NaN: one NaN in one scan ends a training of days.
#
# <details><summary>Hint</summary>
#
# `np.percentile(values, (low, high))` gives both ends at once. Whole numbers of 16 bits overflow
# when you subtract from them, and cannot hold 0.5: where do you turn them into floating point?
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a1-3-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def robust_window(image, low=0.5, high=99.5):
    """Scale each channel to [0, 1] between two of its own percentiles.

    Args:
        image: (channel, *space), 2D or 3D, of any kind of number.
        low, high: percentiles, 0 to 100; what lies beyond is clipped.

    Returns:
        float32, the same shape.
    """
    ### BEGIN SOLUTION
    windowed = np.zeros(image.shape, np.float32)
    for channel, values in enumerate(image.astype(float)):
        bottom, top = np.percentile(values, (low, high))
        if top > bottom:
            windowed[channel] = ((values - bottom) / (top - bottom)).clip(0, 1)
    return windowed
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a1-3-tests", "locked": true, "points": 15, "schema_version": 3, "solution": false, "task": false}
import warnings

import numpy as np

from ssl3d_lite.course.checks import Checks

checks = Checks()


def windowed(image, *args):
    kept = image.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a division by 0 shows in the values
        result = np.asarray(robust_window(image, *args))
    assert (image == kept).all(), "the image that you were given has been changed"
    assert result.shape == image.shape, f"{image.shape} went in, but {result.shape} came out"
    assert result.dtype == np.float32, f"the result should be float32, but is {result.dtype}"
    assert np.isfinite(result).all(), "there are values that are no number (NaN) or infinite"
    assert result.min() >= 0 and result.max() <= 1, (
        f"values should lie in [0, 1], but run from {result.min():.2f} to {result.max():.2f}"
    )
    return result


@checks
def check_value(image, channel, raw, expected, *args):
    result = windowed(image, *args)
    place = tuple(np.argwhere(image[channel] == raw)[0])
    assert abs(result[channel][place] - expected) < 0.002, (
        f"channel {channel}: the value {raw} should become {expected:.3f}, "
        f"but becomes {result[channel][place]:.3f}"
    )


@checks
def check_empty(image):
    empty = windowed(image)[1]
    assert (empty == 0).all(), f"a channel that is 7 everywhere should become 0, not {empty.max()}"


ramp = np.arange(1000, dtype=np.float32).reshape(10, 10, 10)
image = np.stack([ramp, 1000 * ramp[::-1]])
check_value(image, 0, 500, (500 - 4.995) / 989.01)
check_value(image, 1, 500_000, (500 - 4.995) / 989.01)
check_value(image, 0, 1, 0.0)
check_value(image, 0, 998, 1.0)
check_value(image, 0, 300, 0.25, 10, 90.04)
broken = ramp.copy()
broken[0, 0, 0] = 1e6  # one voxel that broke
check_value(broken[None], 0, 500, 0.5)
check_empty(np.stack([ramp, np.full_like(ramp, 7)]))
### BEGIN HIDDEN TESTS
rng = np.random.default_rng(3)


def check_window(image, *ends):
    for low, high in ends:
        result = windowed(image, low, high)
        for values, mine in zip(image.astype(float), result):
            a, b = np.percentile(values, (low, high))
            expected = ((values - a) / (b - a)).clip(0, 1)
            at = np.unravel_index(np.abs(mine - expected).argmax(), expected.shape)
            assert np.allclose(mine, expected, atol=1e-3), (
                f"{image.dtype} {image.shape}, percentiles {low} and {high}: the value "
                f"{values[at]:g} should become {expected[at]:.3f}, but becomes {mine[at]:.3f}"
            )


def some_image(shape, kind):
    image = rng.integers(0, 250, shape).astype(kind)
    image[0] += 5
    image[-1].flat[:3] = (0, 250, 120)
    return image


with checks.core():
    check_window(some_image((3, 17, 12), np.float64), (0.5, 99.5), (5, 80))
with checks.further("whole numbers"):
    for shape, kind in (((2, 6, 9, 7), np.int16), ((1, 30, 30), np.uint8)):
        check_window(some_image(shape, kind), (0.5, 99.5), (0, 100), (5, 80))
with checks.further("whole numbers that nearly fill 16 bits"):
    wide = np.array([-30000, 30000, -20000, 20000, 0, 1, 2, 3], np.int16).reshape(1, 2, 4)
    check_value(wide, 0, 0, 0.5, 0, 100)
with checks.further("a channel without contrast"):
    lone = np.zeros((1, 20, 20), np.int16)
    lone[0, 3, 4] = 900  # both percentiles are 0: no contrast to scale by
    assert (windowed(lone) == 0).all(), "without contrast between the percentiles all is 0"
    check_empty(np.stack([ramp, np.full_like(ramp, 7)]))
### END HIDDEN TESTS
checks.end(points=15)

# %% [markdown]
# One broken voxel in a hundred thousand, with the highest and lowest value as a window, and with
# yours:

# %% tags=["show"]
from ssl3d_lite import show

broken = upright.astype(np.float32)[None].copy()
broken[0, 0, 0, 0] = 1e6
plain = (broken - broken.min()) / (broken.max() - broken.min())
show.Slices(np.concatenate([plain, robust_window(broken)]), window=(0, 1), title="channel 1: yours")

# %% [markdown]
# ## Part 4: a patch grid that covers everything (15 points)
#
# From here on the scans are a prepared cohort: RAS, one shape, in batches. Puzzles cut volumes into
# patches, and networks predict volumes that are too large for them patch by patch. Along an axis of
# $n$ voxels, patches of edge $s$ begin at 0 and then every $t$ voxels (the *stride*); with
# $t < s$ they overlap. The last that fits begins at $t \lfloor (n - s) / t \rfloor$.
#
# If $t$ does not divide $n - s$, a rest at the far end is in no patch. Notebook 01 left it out. For
# a prediction of the whole volume one cannot. The usual remedy is **one more patch, flush with the far
# border**, which overlaps its neighbour by more than the others do. If nothing is left over, there
# is no such patch: none may stand twice.
#
# Two things cannot be asked for, and an `InputError` should say so: a patch longer than an axis,
# and a stride longer than the patch, which would leave gaps.
#
# Order matters, because everything that is cut later is numbered by it: the **last axis runs
# fastest**, as in `itertools.product` and in a C array. Of 3 × 3 × 3 patches, 0 and 1 are
# neighbours along axis 2, and 13 is the centre.
#
# <details><summary>Hint</summary>
#
# First one axis: a list of starts for a single `n`. A `range` that ends at `n - s` leaves out
# `n - s` itself. Then all axes: the product of such lists.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a1-4-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def covering_corners(space, patch, stride):
    """First voxels of patches that together cover a volume.

    Args:
        space: the volume's edges, 2 or 3 of them (D).
        patch: edge of a patch, the same along every axis.
        stride: voxels from one patch to the next; the last of an axis may come sooner.

    Returns:
        A tensor (patches, D) of integers, the last axis fastest.

    Raises:
        InputError: a patch longer than an axis, or a stride that leaves gaps.
    """
    ### BEGIN SOLUTION
    if min(space) < patch or stride > patch:
        raise InputError(f"patches of {patch}, {stride} apart, cannot cover {tuple(space)}")
    axes = []
    for edge in space:
        starts = list(range(0, edge - patch + 1, stride))
        if starts[-1] + patch < edge:
            starts.append(edge - patch)
        axes.append(starts)
    return torch.tensor(list(product(*axes)))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a1-4-tests", "locked": true, "points": 15, "schema_version": 3, "solution": false, "task": false}
import numpy as np
import torch

from ssl3d_lite.course.checks import Checks
from ssl3d_lite.errors import InputError

checks = Checks()


@checks
def check_corners(space, patch, stride, *axes):
    """Against the starts of each axis, and what follows from them."""
    what = f"edges {space}, patch {patch}, stride {stride}"
    corners = covering_corners(space, patch, stride)
    assert isinstance(corners, torch.Tensor) and not corners.is_floating_point(), (
        "the corners should be a tensor of integers"
    )
    count = int(np.prod([len(starts) for starts in axes]))
    assert corners.ndim == 2 and corners.shape[1] == len(space), (
        f"{what}: the shape should be (patches, {len(space)}), not {tuple(corners.shape)}"
    )
    for axis, starts in enumerate(axes):
        mine = sorted(set(corners[:, axis].tolist()))
        assert mine == starts, (
            f"{what}: along axis {axis} patches should begin at {starts}, but begin at {mine}"
        )
    assert len(corners) == count, (
        f"{what}: {count} patches are needed, but there are {len(corners)}"
    )
    expected = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(space))
    for number, (mine, right) in enumerate(zip(corners.tolist(), expected.tolist())):
        assert mine == right, (
            f"{what}: patch {number} should begin at voxel {right}, but begins at {mine}"
        )


@checks
def check_refused(space, patch, stride, why):
    try:
        covering_corners(space, patch, stride)
    except InputError:
        return
    raise AssertionError(f"edges {space}, patch {patch}, stride {stride}: {why}: InputError")


check_corners((12, 12, 12), 4, 4, [0, 4, 8], [0, 4, 8], [0, 4, 8])  # number 13 is the centre
check_corners((8, 10), 4, 2, [0, 2, 4], [0, 2, 4, 6])
check_corners((9, 4), 4, 2, [0, 2, 4, 5], [0])
check_refused((8, 3), 4, 2, "the patch is longer than an axis")
check_refused((8, 8), 4, 5, "between the patches there would be gaps")
### BEGIN HIDDEN TESTS
with checks.core():
    check_corners((40, 56, 40), 16, 16, [0, 16, 24], [0, 16, 32, 40], [0, 16, 24])
    check_corners((15, 21, 9), 3, 3, [0, 3, 6, 9, 12], [0, 3, 6, 9, 12, 15, 18], [0, 3, 6])
    check_corners((40, 56, 40), 16, 12, [0, 12, 24], [0, 12, 24, 36, 40], [0, 12, 24])
with checks.further("two axes"):
    check_corners((7, 11), 5, 3, [0, 2], [0, 3, 6])
    check_corners((33, 33), 32, 1, [0, 1], [0, 1])
with checks.further("an axis as long as the patch"):
    check_corners((7, 11, 5), 5, 3, [0, 2], [0, 3, 6], [0])
    check_corners([10, 6, 13], 6, 6, [0, 4], [0], [0, 6, 7])
with checks.further("patches of one voxel"):
    check_corners((6, 5, 6), 1, 1, [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5])
with checks.further("what should be refused"):
    check_refused((3, 8, 8), 4, 4, "the patch is longer than an axis")
    check_refused((20, 20, 20), 2, 3, "between the patches there would be gaps")
### END HIDDEN TESTS
checks.end(points=15)

# %%
cohort = open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()
volumes = cohort.images(split.train[:2]).cpu()

# %% tags=["show"]
import torch

from ssl3d_lite import show
from ssl3d_lite.tasks import Placement, ProxyBatch, geometry

PATCH, STRIDE = 16, 11
corners = covering_corners(cohort.shape, PATCH, STRIDE).expand(2, -1, -1)
views = geometry.cut(volumes, corners, (PATCH,) * 3)
placement = Placement(geometry.shift_matrix(corners))
show.puzzle_slices(volumes, ProxyBatch(views, torch.zeros(2, 0), placement))

# %% [markdown]
# *What to look at:* scroll through the planes. Is there a voxel without a box? Which boxes overlap
# by more than the others?
#
# ## Part 5: cut, and put together again (20 points)
#
# Now cut the patches, and lay them back. Where several lie on a voxel, take a **weighted mean**:
# with patches $P_i$ that begin at $c_i$, and a weight $g$ that says how much each voxel *within* a
# patch counts,
#
# $$V(x) = \frac{\sum_i g(x - c_i)\, P_i(x - c_i)}{\sum_i g(x - c_i)},$$
#
# where the sums go over the patches that hold $x$. Why a weight? A network errs most at a patch's
# rim, where it does not see what lies beyond. So the middle should count for more. Without a
# weight, all count the same. Where no patch lies, nothing is known: NaN, and not a 0 that looks
# like a prediction.
#
# Write both for 2D and 3D.
#
# <details><summary>Hint: boxes in any number of dimensions</summary>
#
# A tuple of slices is an index: `volume[(slice(None), *box)]` with
# `box = [slice(c, c + patch) for c in corner.tolist()]` cuts from all channels. The same index adds
# to a sum.
#
# </details>
#
# <details><summary>Hint: two sums</summary>
#
# Keep the numerator and the denominator in two tensors, and divide once at the end. 0 / 0 of
# tensors is NaN by itself.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a1-5-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def cut_patches(volume, corners, patch):
    """Cut patches out of a volume.

    Args:
        volume: (channel, *space).
        corners: (patches, D) integers, first voxels.
        patch: their edge.

    Returns:
        (patches, channel, patch, …), a copy.
    """
    ### BEGIN SOLUTION
    boxes = [[slice(c, c + patch) for c in corner] for corner in corners.tolist()]
    return torch.stack([volume[(slice(None), *box)] for box in boxes])
    ### END SOLUTION


def reassemble(patches, corners, space, weight=None):
    """Lay patches back to where they came from; overlaps are averaged.

    Args:
        patches: (patches, channel, patch, …).
        corners: (patches, D), their first voxels.
        space: the volume's D edges.
        weight: (patch, …), how much each voxel of a patch counts, above 0; by default all alike.

    Returns:
        (channel, *space), NaN where no patch lies.
    """
    ### BEGIN SOLUTION
    edge = patches.shape[-1]
    weight = torch.ones(patches.shape[2:]) if weight is None else weight
    total, counted = torch.zeros(patches.shape[1], *space), torch.zeros(*space)
    for values, corner in zip(patches, corners.tolist()):
        box = tuple(slice(c, c + edge) for c in corner)
        total[(slice(None), *box)] += weight * values
        counted[box] += weight
    return total / counted
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a1-5-tests", "locked": true, "points": 20, "schema_version": 3, "solution": false, "task": false}
import torch

from ssl3d_lite.course.checks import Checks, differing
from ssl3d_lite.tasks import geometry

checks = Checks()


@checks
def check_cut(volume, corners, patch):
    kept = volume.clone()
    patches = cut_patches(volume, corners, patch)
    right = geometry.cut(volume[None], corners[None], (patch,) * corners.shape[1])[0]
    assert tuple(patches.shape) == tuple(right.shape), (
        f"the patches should have the shape {tuple(right.shape)}, not {tuple(patches.shape)}"
    )
    for number, corner in enumerate(corners.tolist()):
        if not torch.equal(patches[number], right[number]):
            raise differing(
                f"patch {number} should hold the volume's voxels from {corner} on, and does not",
                patches[number, 0],
                right[number, 0],
            )
    patches.zero_()
    assert torch.equal(volume, kept), "whoever writes into a patch writes into the scan: copy it"


@checks
def check_back(patches, corners, space, expected, weight=None, what=""):
    given = [each.clone() for each in (patches, corners)]
    kept = None if weight is None else weight.clone()
    whole = torch.as_tensor(reassemble(patches, corners, space, weight)).to(expected.dtype)
    assert torch.equal(patches, given[0]) and torch.equal(corners, given[1]), (
        "the patches or corners that you were given have been changed"
    )
    assert weight is None or torch.equal(weight, kept), "the weight has been changed"
    assert tuple(whole.shape) == tuple(expected.shape), (
        f"{what}: the volume should have the shape {tuple(expected.shape)}, "
        f"not {tuple(whole.shape)}"
    )
    wrong = ~torch.isclose(whole, expected, atol=1e-5, equal_nan=True)
    if wrong.any():
        channel, *voxel = wrong.nonzero()[0].tolist()
        at = (channel, *voxel)
        raise differing(
            f"{what}: voxel {voxel} of channel {channel} should be {expected[at]:.3f}, "
            f"but is {whole[at]:.3f}",
            whole[channel],
            expected[channel],
        )


generator = torch.Generator().manual_seed(0)
picture = torch.rand(2, 8, 10, generator=generator)
corners = geometry.grid_corners(geometry.grid_shape((8, 10), 4, 2), 2)
check_cut(picture, corners, 4)
check_back(
    geometry.cut(picture[None], corners[None], (4, 4))[0],
    corners,
    (8, 10),
    picture,
    what="patches as they were cut",
)
two = torch.stack([torch.full((1, 4, 4), 1.0), torch.full((1, 4, 4), 3.0)])
places, mean = torch.tensor([[0, 0], [0, 2]]), torch.tensor([1.0, 1, 2, 2, 3, 3, torch.nan])
check_back(two, places, (4, 7), mean.expand(1, 4, 7), what="a patch of 1 and one of 3, overlapping")
weight = torch.tensor([1.0, 3, 3, 1]).expand(4, 4)
mean = torch.tensor([1.0, 1, 1.5, 2.5, 3, 3, torch.nan])
check_back(two, places, (4, 7), mean.expand(1, 4, 7), weight, "the same with weights 1, 3, 3, 1")
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(7)
SHAPES = ((1, (9, 7, 8), 4), (3, (6, 11, 5), 3))


def check_random(channels, space, patch, cut=True, weighted=False):
    dims = len(space)
    volume = torch.rand(channels, *space, generator=generator)
    corners = geometry.random_corner(space, (patch,) * dims, (25,), generator)
    if cut:
        check_cut(volume, corners, patch)
    patches = torch.rand(25, channels, *(patch,) * dims, generator=generator)
    weight = 0.1 + torch.rand((patch,) * dims, generator=generator) if weighted else None
    share = torch.ones((patch,) * dims) if weight is None else weight
    total, counted = torch.zeros(channels, *space), torch.zeros(1, *space)
    for number, corner in enumerate(corners):
        grid = torch.meshgrid(*(int(c) + torch.arange(patch) for c in corner), indexing="ij")
        total[(slice(None), *grid)] += share * patches[number]
        counted[(slice(None), *grid)] += share
    check_back(patches, corners, space, total / counted, weight, f"{space}, patch {patch}")


def check_covered(channels, space, patch, stride):
    """Patches of a grid reach everywhere."""
    corners = geometry.grid_corners(geometry.grid_shape(space, patch, stride), stride)
    volume = torch.rand(channels, *space, generator=generator)
    check_cut(volume, corners, patch)
    patches = torch.rand(len(corners), channels, *(patch,) * len(space), generator=generator)
    total, counted = torch.zeros(channels, *space), torch.zeros(1, *space)
    for number, corner in enumerate(corners.tolist()):
        box = (slice(None), *(slice(c, c + patch) for c in corner))
        total[box] += patches[number]
        counted[box] += 1
    check_back(patches, corners, space, total / counted, None, f"{space}, patch {patch}")


with checks.core():
    check_covered(1, (8, 6, 10), 4, 2)
    check_covered(2, (6, 9, 12), 3, 3)
with checks.further("patches anywhere, voxels in no patch"):
    for shape in SHAPES:
        check_random(*shape)
with checks.further("weights"):
    for shape in SHAPES:
        check_random(*shape, cut=False, weighted=True)
with checks.further("two axes"):
    check_random(2, (13, 9), 5)
    check_random(2, (13, 9), 5, weighted=True)
### END HIDDEN TESTS
checks.end(points=20)

# %% [markdown]
# Use it. A network predicts each patch with an error of its own. Here the error is noise that grows
# towards the rim. What does the overlap gain, and what does the weight?

# %% tags=["show"]
PATCH = 16
line = torch.linspace(-1, 1, PATCH) ** 2
rim = torch.stack(torch.meshgrid(line, line, line, indexing="ij")).amax(0)  # 0 middle, 1 rim
generator = torch.Generator().manual_seed(0)
for stride in (16, 8):
    corners = geometry.grid_corners(geometry.grid_shape(cohort.shape, PATCH, stride), stride)
    patches = cut_patches(volumes[0], corners, PATCH)
    noisy = patches + (0.1 + rim) * torch.randn(patches.shape, generator=generator)
    for name, weight in {"all alike": None, "middle first": 1.05 - rim}.items():
        error = reassemble(noisy, corners, cohort.shape, weight) - volumes[0]
        print(f"stride {stride:2}, {name:12}: mean square error {error.square().nanmean():.3f}")

# %% [markdown]
# ## Part 6: Dice without the background (15 points)
#
# For one class, with $A$ the voxels where the prediction has it and $B$ those where the label has
# it,
#
# $$\mathrm{Dice} = \frac{2\,|A \cap B|}{|A| + |B|}.$$
#
# Write the mean over cases and classes, by these rules:
#
# - **Class 0, the background, is left out.** It is near 1 for any prediction.
# - **Each case is scored by itself**, and then the mean is taken. To pool all voxels first lets the
#   largest structures decide, and one failed patient disappears among the others.
# - A class that is **absent** from both prediction and label of a case counts 1; if it is in one of
#   them alone, 0 (the rule of the BraTS challenge). It is not skipped.
# - The number of classes is **given**. It cannot be read off the maps: the last class may be absent
#   from them all.
#
# <details><summary>Hint</summary>
#
# Two loops are fine: over cases, over classes from 1 on. `|A|` is `(prediction == number).sum()`.
# When is the denominator 0?
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a1-6-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mean_dice(predictions, labels, classes):
    """Mean Dice over cases and classes, without the background.

    Args:
        predictions, labels: (case, *space) integers below ``classes``, 2D or 3D.
        classes: how many there are, the background among them.

    Returns:
        A float, 0 to 1.
    """
    ### BEGIN SOLUTION
    scores = []
    for prediction, label in zip(predictions, labels):
        for number in range(1, classes):
            found, there = prediction == number, label == number
            voxels = int(found.sum() + there.sum())
            scores.append(2 * int((found & there).sum()) / voxels if voxels else 1.0)
    return sum(scores) / len(scores)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a1-6-tests", "locked": true, "points": 15, "schema_version": 3, "solution": false, "task": false}
import torch

from ssl3d_lite.course.checks import Checks

checks = Checks()


@checks
def check_dice(predictions, labels, classes, expected, what):
    kept = predictions.clone(), labels.clone()
    found = float(mean_dice(predictions, labels, classes))
    assert torch.equal(predictions, kept[0]) and torch.equal(labels, kept[1]), (
        "the maps that you were given have been changed"
    )
    assert abs(found - expected) < 1e-6, (
        f"{what}: Dice should be {expected:.4f}, but is {found:.4f}"
    )


line = torch.tensor([[0, 0, 1, 1, 1, 1, 2, 2]])
check_dice(line, line, 3, 1.0, "a perfect prediction")
check_dice(torch.zeros_like(line), line, 3, 0.0, "a prediction that is all background")
prediction = torch.tensor([[0, 1, 1, 1, 0, 0, 2, 2]])
check_dice(prediction, line, 3, (4 / 7 + 1) / 2, "2 of 4 voxels of class 1 found, 1 too many")
check_dice(line, line, 4, 1.0, "a class 3 that is neither there nor found")
extra = torch.tensor([[3, 0, 1, 1, 1, 1, 2, 2]])
check_dice(extra, line, 4, 2 / 3, "a class 3 that is found, but is not there")
cases = torch.tensor([[1, 1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 1]])
missed = torch.tensor([[1, 1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 0]])
check_dice(missed, cases, 2, 0.5, "a large case that is perfect, a small one that is missed")
### BEGIN HIDDEN TESTS
import numpy as np

generator = torch.Generator().manual_seed(13)


def some_maps(shape, classes):
    labels = torch.randint(classes, shape, generator=generator).to(torch.uint8)
    wrong = torch.rand(shape, generator=generator) < 0.4
    drawn = torch.randint(classes, shape, generator=generator).to(torch.uint8)
    return torch.where(wrong, drawn, labels), labels


def check_counted(predictions, labels, classes, what):
    scores = []
    for a, t in zip(predictions.numpy().astype(int), labels.numpy().astype(int)):
        table = np.zeros((classes, classes))
        np.add.at(table, (a.ravel(), t.ravel()), 1)
        sizes = table.sum(0) + table.sum(1)
        both = 2 * table.diagonal()
        scores.append(np.where(sizes > 0, both / np.maximum(sizes, 1), 1.0)[1:].mean())
    shape = f"{tuple(labels.shape)}, {classes} classes, {what}"
    check_dice(predictions, labels, classes, float(np.mean(scores)), shape)


SHAPES = (((4, 6, 5, 7), 4), ((3, 12, 9), 3), ((2, 30, 10, 3), 6))
with checks.core():
    for shape, classes in SHAPES:
        check_counted(*some_maps(shape, classes), classes, "all of them there")
with checks.further("a class that is absent from both maps"):
    for shape, classes in SHAPES:
        predictions, labels = some_maps(shape, classes)
        for each in (predictions, labels):
            each[0][each[0] == classes - 1] = 0
        check_counted(predictions, labels, classes, "one absent")
with checks.further("a class that is found, and is not there"):
    for shape, classes in SHAPES:
        predictions, labels = some_maps(shape, classes)
        labels[1][labels[1] == classes - 1] = 0
        check_counted(predictions, labels, classes, "one found, but absent")
with checks.further("a class that is missed"):
    for shape, classes in SHAPES:
        predictions, labels = some_maps(shape, classes)
        predictions[-1][predictions[-1] == 2] = 1
        check_counted(predictions, labels, classes, "one missed")
### END HIDDEN TESTS
checks.end(points=15)

# %% [markdown]
# Beside the library's own score, on the test cases. The "prediction" is each label map, moved by one
# voxel:
# how much does so small an error cost in so small a structure?

# %% tags=["show"]
from ssl3d_lite.evaluation.segmentation import score

labels = cohort.labels(split.test).cpu()
moved = labels.roll(1, dims=2)
whole = score(iter(moved), cohort, split.test, hausdorff=False, progress=False)
print(f"yours {mean_dice(moved, labels, len(cohort.label_names)):.4f}", "library's:", whole.line())
nothing = torch.zeros_like(labels)
print(f"a prediction that finds nothing: {mean_dice(nothing, labels, len(cohort.label_names)):.4f}")

# %% [markdown]
# ## What you have now
#
# All that the later assignments take for granted: they turn, cut, number and score volumes as you
# did here, by the library's versions (`data_recipes.preparing.volumes`,
# `data_recipes.preparing.intensity`, `ssl3d_lite.tasks.geometry`,
# `ssl3d_lite.evaluation.segmentation`). Read one of them beside yours.
#
# ## References
#
# Menze et al., *The Multimodal Brain Tumor Image Segmentation Benchmark (BRATS)*, IEEE Transactions
# on Medical Imaging 34, 2015. Taleb et al., *3D Self-Supervised Methods for Medical Imaging*,
# NeurIPS 2020.

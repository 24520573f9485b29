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
# # Assignment 4: CPC, encode once, mask, InfoNCE
#
# **You will show that you can:** lay out the grid of contrastive predictive coding and say which
# patches may be read and which must be found; encode each patch once; build a context that cannot
# see its own answer; write InfoNCE so that it neither overflows nor counts an answer twice; put it
# together as a proxy task, and say what its loss is worth.
#
# **Time:** three to four hours. **Read first:** notebook 06 (CPC). **Points:** 100, in five parts.
#
# | part | what you write | points |
# |---|---|---|
# | 1 | the grid, the inverted pyramid, and what lies ahead | 20 |
# | 2 | encode once, then read | 15 |
# | 3 | a context with a mask | 20 |
# | 4 | counter-examples and InfoNCE | 20 |
# | 5 | the proxy task, and what it has learnt in nats | 25 |
#
# **How it works.** Write your code where it says `YOUR CODE HERE` and take out the line that raises
# `NotImplementedError`. The cell behind each part checks it and says what is wrong. The grader
# runs the same checks and some more, with other shapes, seeds and dimensions, so do not write for
# the examples. Keep names and arguments as they are. Changes to the check cells are undone before
# grading. The parts do not depend on each other: a part that you cannot solve costs its own points
# and no others. Before you hand in: *Kernel → Restart and run all*.
# That goes on past checks that fail. The grader gives your notebook five minutes at the scale
# `smoke`, a cell 75 seconds, and all cells that you added half of the time together. So take long
# experiments out, or put them behind `if scale() != "smoke":`.
#
# The letters are the paper's: a patch $x_{i,j,k}$ of the grid, its latent $z_{i,j,k} =
# g_{enc}(x_{i,j,k})$, the context $c_{i,j,k} = g_{cxt}(\{z\})$, and the linear map $W_l$ that
# predicts $\hat z_{i+l,j,k} = W_l\, c_{i,j,k}$, the latent $l$ rows ahead.

# %%
# %matplotlib inline

# %%
from math import ceil, log

import torch
import torch.nn.functional as F
from torch import nn

from ssl3d_lite.data.opening import open_cohort, scale
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.proxy import proxy_score
from ssl3d_lite.models.blocks import CONV
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.heads import global_avg_pool, head
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import Placement, ProxyBatch, ProxyTask, cpc, make_task
from ssl3d_lite.tasks.cpc import CPC, CPCSettings, PyramidConv, along, parse_direction
from ssl3d_lite.tasks.geometry import cut, grid_corners, shift_matrix
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import TrainSettings

pooled = global_avg_pool  # an encoder's levels → one vector of each patch, the mean over space
SIZES = {
    "smoke": {"cases": 12, "filters": (4, 8), "steps": 10},
    "class": {"cases": 60, "filters": (16, 32, 64), "steps": 150},
    "full": {"cases": 200, "filters": (32, 64, 128), "steps": 3000},
}
size = SIZES[scale()]

# %%
cohort = open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()
volumes = cohort.images(split.pretrain[:2])
shape = EncoderSettings(in_channels=len(cohort.channels), filters=size["filters"])

# %% [markdown]
# ## Part 1: the grid, the pyramid, and what lies ahead (20 points)
#
# **The grid.** A patch of edge $p$ every $s$ voxels. Of each axis $j$ voxels are left free, so that
# the grid can start in a new place each time, and along no axis are there more than `most` patches.
# What fits into the rest of an axis of $e$ voxels is counted from its beginning, and the last patch
# may touch the end. If not a single one fits along some axis, raise an `InputError`. All patches
# are **numbered**, the last axis fastest: in a grid (4, 5) the patch (2, 1) has the number 11.
#
# **The pyramid.** CPC goes through the grid in one *direction*: a pair of the axis, and whether it
# is gone through backwards. Patches at one place of that axis are a *row* (in 3D a whole layer).
# The context of a patch stands on its head: the patch itself, and in the row $m$ before it all
# patches that are up to $m$ away along **each** of the other axes, as far as the grid goes:
#
# ```
#     row i-2   ■ ■ ■ ■ ■
#     row i-1   · ■ ■ ■ ·
#     row i     · · ■ · ·     the patch itself; none beside it
#     row i+1   · · · · ·
#     row i+2   · · · · ·
#     row i+3   · · ? · ·     the target, l = 3
# ```
#
# `pyramid` lists the numbers of these patches, for $m = 0$ to `rows`. `target_of` gives the number
# of the patch that lies `step` rows ahead at the same place of the other axes, and `None` past the
# end.
#
# **How far ahead?** Patches overlap. If a target shares voxels with a patch of the context, it can be
# found by comparing those, with no idea of anatomy: a shortcut. `first_clear` says how many rows
# ahead the first target lies that shares no **voxel** with **any** patch of its context.
#
# **Think before you write:** which patch of the context is nearest to the target? What is
# `first_clear` of patches of 16 voxels, 8 apart? Of 16, 7 apart? In one of the two, that target
# **touches** a patch: no voxel is shared, but none lies between either. Then it can still be found,
# by borders that run on. How many rows ahead would rule that out too?
#
# <details><summary>Hint: a small loop is fine</summary>
#
# `itertools.product(*map(range, grid))` gives the cells of all patches in the order of their
# numbers. For each, ask: how many rows does it lie *before* the patch, and how far aside at most?
#
# </details>
#
# <details><summary>Hint: backwards</summary>
#
# Gone through backwards, what comes *before* has the larger index, and what lies ahead the smaller
# one. Python counts negative indices from the end: who does not look out reads the far side of the
# grid.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a4-1-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def grid_of(space, patch, stride, jitter, most):
    """Count the patches along each axis.

    Args:
        space: voxels along each axis.
        patch: edge of a patch, voxels.
        stride: voxels from one patch to the next.
        jitter: voxels of each axis to leave free.
        most: patches along an axis at the most.

    Returns:
        A tuple, one number an axis.

    Raises:
        InputError: along some axis not a single patch fits.
    """
    ### BEGIN SOLUTION
    if min(space) - jitter < patch:
        raise InputError(f"patches of {patch} and jitter {jitter} do not fit {tuple(space)}")
    return tuple(min(most, (edge - jitter - patch) // stride + 1) for edge in space)
    ### END SOLUTION


def pyramid(grid, place, rows, direction):
    """List the numbers of a context's patches, in any order.

    Args:
        grid: patches along each axis, in 2D or 3D.
        place: the current patch, an index an axis.
        rows: how many rows before the patch's own are read.
        direction: (axis, backwards).
    """
    ### BEGIN SOLUTION
    from itertools import product

    (axis, backwards), numbers = direction, []
    for number, cell in enumerate(product(*map(range, grid))):
        before = (cell[axis] - place[axis]) * (1 if backwards else -1)
        aside = max(abs(c - p) for a, (c, p) in enumerate(zip(cell, place)) if a != axis)
        if aside <= before <= rows:
            numbers.append(number)
    return numbers
    ### END SOLUTION


def target_of(grid, place, step, direction):
    """The number of the patch ``step`` rows ahead; None where the grid has ended."""
    ### BEGIN SOLUTION
    axis, backwards = direction
    ahead = list(place)
    ahead[axis] += -step if backwards else step
    if not 0 <= ahead[axis] < grid[axis]:
        return None
    number = 0
    for index, count in zip(ahead, grid):
        number = number * count + index
    return number
    ### END SOLUTION


def first_clear(patch, stride):
    """How many rows ahead the first target lies that shares no voxel with its context."""
    ### BEGIN SOLUTION
    return ceil(patch / stride)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a4-1-tests", "locked": true, "points": 20, "schema_version": 3, "solution": false, "task": false}
import numpy as np

from ssl3d_lite.course.checks import Checks
from ssl3d_lite.errors import InputError

checks = Checks()


@checks
def check_grid(space, patch, stride, jitter, most, expected):
    found = tuple(map(int, grid_of(space, patch, stride, jitter, most)))
    assert found == expected, (
        f"scan {space}, patch {patch}, stride {stride}, jitter {jitter}, most {most}: the grid "
        f"should be {expected}, but is {found}"
    )


def cell_of(number, grid):
    return tuple(int(n) for n in np.unravel_index(number, grid))


@checks
def check_pyramid(grid, place, rows, direction, expected):
    what = f"grid {grid}, patch {place}, {rows} rows, direction {direction}"
    found = [int(n) for n in pyramid(grid, place, rows, direction)]
    assert len(set(found)) == len(found), f"{what}: some patches are listed twice: {sorted(found)}"
    for number in sorted(set(expected) - set(found)):
        raise AssertionError(f"{what}: {cell_of(number, grid)}, number {number}, is missing")
    for number in sorted(set(found) - set(expected)):
        inside = 0 <= number < int(np.prod(grid))
        named = f"{cell_of(number, grid)}, number {number}," if inside else f"number {number}"
        raise AssertionError(f"{what}: {named} should not be in the context")


@checks
def check_target(grid, place, step, direction, expected):
    found = target_of(grid, place, step, direction)
    assert found == expected and (found is None) == (expected is None), (
        f"grid {grid}, patch {place}, {step} ahead in direction {direction}: the target should be "
        f"{expected}, but is {found}"
    )


@checks
def check_clear(patch, stride):
    step = first_clear(patch, stride)
    assert step == int(step) and step >= 1, f"a whole number of rows is wanted, not {step}"
    for ahead in range(1, int(step) + 1):
        shared = patch - ahead * stride
        if ahead < step:
            assert shared > 0, (
                f"patches of {patch}, {stride} apart: you say {step}, but {ahead} rows ahead the "
                "target shares no voxel with its context"
                + (" (it touches a patch, and may)" if shared == 0 else "")
            )
        else:
            assert shared <= 0, (
                f"patches of {patch}, {stride} apart: {ahead} rows ahead, the target shares "
                f"{shared} layers of voxels with the patch itself"
            )


check_grid((33, 48, 40), 16, 8, 0, 9, (3, 5, 4))
check_grid((33, 48, 40), 16, 8, 8, 9, (2, 4, 3))
check_grid((33, 80, 40), 16, 8, 8, 5, (2, 5, 3))
check_pyramid((4, 5), (2, 2), 2, (0, False), [12, 6, 7, 8, 0, 1, 2, 3, 4])
check_pyramid((4, 5), (2, 0), 1, (0, False), [10, 5, 6])
check_pyramid((4, 5), (1, 3), 2, (1, True), [8, 4, 9, 14])
check_pyramid((3, 4, 3), (1, 2, 1), 1, (1, False), [19, 3, 4, 5, 15, 16, 17, 27, 28, 29])
check_target((4, 5), (1, 2), 2, (0, False), 17)
check_target((4, 5), (1, 2), 3, (0, False), None)
check_target((4, 5), (1, 4), 3, (1, True), 6)
check_target((3, 5, 4), (2, 1, 3), 2, (1, False), 55)
check_clear(16, 8)
check_clear(16, 7)
### BEGIN HIDDEN TESTS
from itertools import product


def check_all_places(grid, check):
    """``check`` for each direction and each place of a grid."""
    cells = list(product(*map(range, grid)))
    for axis, backwards in product(range(len(grid)), (False, True)):
        for place in cells:
            check(grid, cells, place, axis, backwards)


def check_pyramids(grid, cells, place, axis, backwards):
    for rows in (0, 1, 3):
        right = []
        for m in range(rows + 1):
            spans = [range(p - m, p + m + 1) for p in place]
            spans[axis] = [place[axis] - (-m if backwards else m)]
            right += [cells.index(cell) for cell in product(*spans) if cell in cells]
        check_pyramid(grid, place, rows, (axis, backwards), right)


def check_targets(grid, cells, place, axis, backwards):
    for step in (1, 2, 3):
        ahead = list(place)
        ahead[axis] += -step if backwards else step
        right = cells.index(tuple(ahead)) if tuple(ahead) in cells else None
        check_target(grid, place, step, (axis, backwards), right)


with checks.core():
    for grid in ((4, 3), (3, 4, 2), (5, 2, 4)):
        check_all_places(grid, check_pyramids)
with checks.further("the grid"):
    check_grid((20, 21), 6, 5, 0, 9, (3, 4))
    check_grid((20, 21), 6, 5, 5, 9, (2, 3))
with checks.further("a grid that is cut off, or one patch thick"):
    check_grid((16, 24, 17), 16, 1, 0, 4, (1, 4, 2))
    check_grid((10, 64, 30), 4, 6, 3, 7, (1, 7, 4))
with checks.further("a patch that does not fit"):
    for space, patch, jitter in (((16, 15, 30), 16, 0), ((20, 24), 16, 5)):
        what = f"scan {space}: no patch of {patch} fits with jitter {jitter}: InputError"
        try:
            grid_of(space, patch, 8, jitter, 5)
        except InputError:
            continue
        raise AssertionError(what)
with checks.further("targets"):
    for grid in ((2, 6), (3, 4, 2), (5, 2, 4)):
        check_all_places(grid, check_targets)
with checks.further("the first target that is clear"):
    for patch, stride in ((16, 5), (16, 16), (8, 12), (9, 2), (1, 1), (12, 4), (10, 11)):
        check_clear(patch, stride)
### END HIDDEN TESTS
checks.end(points=20)

# %% [markdown]
# Your pyramid in the grid of this cohort, from back to front (rows upwards). And the reason for
# part 2: if each context and each target is encoded where it is needed, as the paper's own code
# does, how often is a patch encoded?

# %% tags=["show"]
from itertools import product

import numpy as np
from IPython.display import display
from matplotlib.figure import Figure

grid, direction = grid_of(cohort.shape, 16, 8, 8, 5), (1, False)
figure = Figure(figsize=(6, 2.6), layout="constrained")
for axes, row in zip(figure.subplots(1, 2), range(2)):
    place = (grid[0] // 2, row, grid[2] // 2)
    part = np.zeros(grid)
    part.flat[pyramid(grid, place, 2, direction)] = 1
    for target in (target_of(grid, place, step, direction) for step in (3, 4)):
        if target is not None:
            part.flat[target] = 2
    axes.imshow(part[:, :, place[2]].T, origin="lower", aspect="auto", cmap="cividis", vmax=2)
    axes.plot(place[0], row, "w.")
    axes.set(title=f"patch in row {row}", xlabel="patch from left to right", ylabel="row")
display(figure)

asked = 0
for place in product(*map(range, grid)):
    targets = [target_of(grid, place, step, direction) for step in (3, 4)]
    asked += sum(n is not None for n in targets) * (1 + len(pyramid(grid, place, 2, direction)))
print(f"grid {grid}: {np.prod(grid)} patches, read {asked} times by contexts and targets")

# %% [markdown]
# *What to look at:* dark blue is out of sight, grey the context, yellow the targets. Do the rows
# between context and target stay dark? The first target shown lies three rows ahead: one more than
# `first_clear` asks for, so that it does not touch the context either.
#
# ## Part 2: encode once, then read (15 points)
#
# The encoder is nearly all of the work, and a latent depends on its own patch alone. So encode
# every patch **once**, all patches of all scans in **one** call, and let contexts and targets read
# from what came out.
#
# Write `encode_once`. The encoder takes patches (patch, channel, *space*) and gives a list of
# levels; `pooled` makes one vector of them for each patch; `embed` turns vectors into latents. The
# answer is a **field**, (scan, code, *grid*), that holds at each place of the grid the latent of
# its patch. Patches come in the order of their numbers, the last axis fastest.
#
# And `latents_at`, which reads the latents of patches out of a field by their numbers. Numbers may
# be a list of them, or a table: `(K,)` gives (scan, K, code), and `(K, L)` gives (scan, K, L, code).
#
# Both must let gradients through, to the encoder and to `embed`: targets are learnt from too.
#
# **Think before you write:** `view` puts numbers of one line into a new shape, in the same order.
# Which axis does the code have to be while you do that, and where does it have to go after?
#
# <details><summary>Hint</summary>
#
# `flatten(0, 1)` makes one axis of scans and patches. Behind the encoder, give the result the shape
# (scan, *grid*, code), and then move one axis.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a4-2-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def encode_once(encoder, embed, views, grid):
    """Encode every patch once, and lay the latents out as a field.

    Args:
        encoder: patches (patch, channel, *space) → a list of levels, for ``pooled``.
        embed: vectors (patch, width) → latents (patch, code).
        views: (scan, patch, channel, *space).
        grid: patches along each axis, in 2D or 3D.

    Returns:
        (scan, code, *grid).
    """
    ### BEGIN SOLUTION
    latents = embed(pooled(encoder(views.flatten(0, 1))))
    return latents.view(len(views), *grid, -1).movedim(-1, 1)
    ### END SOLUTION


def latents_at(field, numbers):
    """Read latents by patch number: (scan, code, *grid), (…) → (scan, …, code)."""
    ### BEGIN SOLUTION
    return field.flatten(2).movedim(1, 2)[:, numbers]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a4-2-tests", "locked": true, "points": 15, "schema_version": 3, "solution": false, "task": false}
import numpy as np
import torch
from torch import nn

from ssl3d_lite.course.checks import Checks
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.heads import global_avg_pool, head
from ssl3d_lite.models.settings import EncoderSettings

checks = Checks()


class Counting(nn.Module):
    """An encoder that notes how many patches it is given in each call."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.calls = encoder, []

    def forward(self, patches):
        self.calls.append(len(patches))
        return self.encoder(patches)


@checks
def check_encoding(grid, scans, channels=1, code=5, seed=0):
    dims, count = len(grid), int(np.prod(grid))
    generator = torch.Generator().manual_seed(seed)
    shape = EncoderSettings(in_channels=channels, spatial_dims=dims, filters=(3, 6))
    encoder = Counting(make_encoder(shape, seed)).eval()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        embed = head(6, 8, code)
    views = torch.randn(scans, count, channels, *(4,) * dims, generator=generator)
    views = views + torch.randn(scans, count, 1, *(1,) * dims, generator=generator)
    kept = views.clone()
    field = encode_once(encoder, embed, views, grid)
    calls, encoder.calls = encoder.calls, []
    what = f"{scans} scans, grid {grid}"
    assert torch.equal(views, kept), "the views that you were given have been changed"
    assert sum(calls) == scans * count, (
        f"{what}: there are {scans * count} patches, but {sum(calls)} were encoded"
    )
    assert len(calls) == 1, f"{what}: the encoder should be called once, not {len(calls)} times"
    assert tuple(field.shape) == (scans, code, *grid), (
        f"{what}: the field should have the shape {(scans, code, *grid)}, not {tuple(field.shape)}"
    )
    with torch.no_grad():
        right = torch.stack(
            [
                torch.stack([embed(global_avg_pool(encoder(v[None])))[0] for v in scan])
                for scan in views
            ]
        )
    for scan in range(scans):
        for number in range(count):
            cell = tuple(int(n) for n in np.unravel_index(number, grid))
            mine = field[(scan, slice(None), *cell)]
            off = (right - mine.detach()).abs().amax(-1)
            if not off[scan, number] < 1e-4:
                other = divmod(int(off.argmin()), count)
                told = f"of patch {other[1]} of scan {other[0]}" if off.min() < 1e-4 else "of none"
                raise AssertionError(
                    f"{what}: at the place {cell} of scan {scan} there should be the latent of "
                    f"patch {number}, but there is that {told}"
                )
    field.square().sum().backward()
    for part, named in ((encoder, "the encoder"), (embed, "embed")):
        learns = [p.grad is not None and bool(p.grad.any()) for p in part.parameters()]
        assert any(learns), f"no gradient reaches {named}: it could not learn"


@checks
def check_reading(grid, numbers, scans=2, code=3):
    count = int(np.prod(grid))
    field = torch.arange(float(scans * code * count)).view(scans, code, *grid).requires_grad_()
    found = latents_at(field, numbers)
    wanted = (scans, *numbers.shape, code)
    assert tuple(found.shape) == wanted, (
        f"grid {grid}, numbers {tuple(numbers.shape)}: the answer should have the shape {wanted}, "
        f"not {tuple(found.shape)}"
    )
    flat = found.reshape(scans, -1, code)
    for scan in range(scans):
        for at, number in enumerate(numbers.flatten().tolist()):
            cell = tuple(int(n) for n in np.unravel_index(number, grid))
            assert torch.equal(flat[scan, at], field[(scan, slice(None), *cell)]), (
                f"grid {grid}: patch {number} of scan {scan} stands at {cell}, but you read "
                "something else"
            )
    assert found.requires_grad, "no gradient comes through latents_at"


check_encoding((3, 4), 2)
check_encoding((2, 4, 3), 2)
check_reading((3, 4), torch.tensor([0, 5, 11, 5]))
check_reading((2, 4, 3), torch.tensor([[1, 2, 3], [23, 6, 0]]))
### BEGIN HIDDEN TESTS
with checks.core():
    check_encoding((5, 2), 3, channels=2, code=4, seed=1)
    check_encoding((3, 2, 4), 2, code=7, seed=2)
with checks.further("one scan, a grid one patch thick"):
    check_encoding((3, 1, 4), 1, code=7, seed=2)
with checks.further("as many scans as patches or numbers in a latent"):
    check_encoding((2, 2, 2), 8, channels=2, code=8, seed=3)
    check_encoding((6, 6), 6, code=6, seed=4)
with checks.further("latents read"):
    check_reading((5, 4), torch.tensor([19, 3, 3, 0, 7]))
    check_reading((2, 3, 4), torch.arange(24), scans=24, code=24)
with checks.further("one number, and a table of them"):
    check_reading((7, 2), torch.tensor(13), scans=1)
    check_reading((3, 3), torch.arange(9).flip(0).view(3, 1, 3), scans=3, code=9)
### END HIDDEN TESTS
checks.end(points=15)


# %%
encode_once = cpc.encode_once  # from here on the library's own

# %% [markdown]
# How much does it save? The same patches, encoded once, and encoded anew for each of three readers:

# %% tags=["show"]
from time import perf_counter

example = make_task("cpc", shape, seed=0).to(volumes.device).eval()
puzzle = example.make_views(
    volumes, example.sample_params(volumes, torch.Generator().manual_seed(0))
)
encoder = make_encoder(shape, seed=0).to(volumes.device).eval()
with torch.no_grad():
    for times in (0, 1, 3):  # 0: the first call of all takes longer, and does not count
        start = perf_counter()
        for _ in range(times or 1):
            field = encode_once(encoder, example.embed, puzzle.views, puzzle.placement.grid).cpu()
        if times:
            told = f"{puzzle.views.shape[:2].numel()} patches, {times} × each"
            print(f"{told}: {1000 * (perf_counter() - start):.0f} ms")

# %% [markdown]
# ## Part 3: a context with a mask (20 points)
#
# From here on a field is turned so that the direction runs down its **axis 2**: (scan, code, row,
# *across*), with one axis across in 2D and two in 3D.
#
# A convolution of edge 3 sees all neighbours, those in the next row as well. Two of them see two
# rows ahead, and a patch there shares voxels with the target, three rows ahead. Then the network
# need not predict, it can copy: the loss falls and nothing is learnt. So the kernel is multiplied by
# a **mask** of zeros and ones:
#
# ```
#     the row before   1 1 1     (in 3D all nine)
#     its own row      0 1 0
#     the row after    0 0 0
# ```
#
# Write `MaskedConv`, one step of the context network:
#
# $$\text{out} = \text{field} + \mathrm{ReLU}(\text{masked convolution of field}),$$
#
# - with **one** convolution from `code` to `code` channels, with bias, and no other parameters.
#   `CONV[dims]` is `nn.Conv2d` or `nn.Conv3d`;
# - beyond the border there are zeros, and the shape stays as it is;
# - the same class for 2D and 3D; the field that is given is not changed;
# - the mask holds **always**: also after an optimiser step, and whatever was loaded into the
#   weights. It is not learnt, and it moves with the module to another device.
#
# A stack of $L$ of them sees $L$ rows back, and in the row $m$ before $m$ places aside: the inverted
# pyramid of part 1.
#
# **Think before you write:** if you set the forbidden weights to zero when the layer is made, what
# does the first optimiser step do to them?
#
# <details><summary>Hint: a tensor that is no parameter</summary>
#
# A module's `register_buffer(name, tensor)` keeps a tensor with it, as an attribute of that name: it
# moves with `.to(...)`, and no optimiser sees it.
#
# </details>
#
# <details><summary>Hint: weights of your own</summary>
#
# `F.conv2d(field, weight, bias, padding=1)`, and `F.conv3d` likewise, convolve with a weight that
# you have just computed. Axis 0 of a kernel (behind its two channel axes) goes with axis 2 of the
# field, and its index 0 with the row *before*.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a4-3-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
class MaskedConv(nn.Module):
    """Adds to each place what a convolution sees there and in the row before.

    Args:
        code: channels of the field.
        dims: 2 or 3.
    """

    def __init__(self, code, dims):
        super().__init__()
        ### BEGIN SOLUTION
        self.conv = CONV[dims](code, code, 3, padding=1)
        mask = torch.zeros((3,) * dims)
        mask[0] = 1
        mask[(1,) * dims] = 1
        self.register_buffer("mask", mask, persistent=False)
        ### END SOLUTION

    def forward(self, field):
        """(scan, code, row, *across) → the same shape."""
        ### BEGIN SOLUTION
        convolve = {4: F.conv2d, 5: F.conv3d}[field.ndim]
        seen = convolve(field, self.conv.weight * self.mask, self.conv.bias, padding=1)
        return field + F.relu(seen)
        ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a4-3-tests", "locked": true, "points": 20, "schema_version": 3, "solution": false, "task": false}
import torch
from torch import nn

from ssl3d_lite.course.checks import Checks

checks = Checks()


def make_context(dims, layers, code=6, seed=0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(*(MaskedConv(code, dims) for _ in range(layers)))


@checks
def check_sight(context, space, at, expected, when="", code=6):
    """Expected: True where the context at ``at`` may look. Found out by the gradient."""
    seen = torch.zeros(space)
    for seed in range(8):  # a ReLU that happens to be off hides something
        generator = torch.Generator().manual_seed(seed)
        field = torch.randn(2, code, *space, generator=generator).requires_grad_()
        kept = field.detach().clone()
        out = context(field)
        assert torch.equal(field.detach(), kept), "the field that you were given has been changed"
        assert out.shape == field.shape, f"{tuple(field.shape)} has become {tuple(out.shape)}"
        out[(0, slice(None), *at)].sum().backward()
        assert not field.grad[1].any(), "a context looks into another scan"
        seen += field.grad[0].abs().sum(0)
    for cell in ((seen > 0) != expected).nonzero().tolist():
        row, aside = at[0] - cell[0], max(abs(a - c) for a, c in zip(at[1:], cell[1:]))
        rows = f"{abs(row)} row{'s' * (abs(row) > 1)}"
        where = f"{rows} {'before' if row > 0 else 'AHEAD'}" if row else "in its own row"
        sees, may = (("sees", "should not"), ("does not see", "should"))[int(expected[tuple(cell)])]
        raise AssertionError(
            f"{len(space)}D, stack of {len(context)}{when}: the context at {at} {sees} {tuple(cell)}, "
            f"{where} and {aside} aside, and {may}"
        )


def after_training(context, dims, code=6):
    """A few optimiser steps towards nothing in particular."""
    optimiser = torch.optim.SGD(context.parameters(), lr=0.05)
    field = torch.randn(2, code, *(4,) * dims, generator=torch.Generator().manual_seed(9))
    for _ in range(3):
        optimiser.zero_grad()
        (context(field) - field.flip(2)).square().mean().backward()
        optimiser.step()
    return context


@checks
def check_trained(context, space, at, expected):
    check_sight(after_training(context, len(space)), space, at, expected, " after training")


@checks
def check_values(field, value, expected):
    """All parameters set to one value, so that the answer can be counted by hand."""
    layer = MaskedConv(field.shape[1], field.ndim - 2)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.fill_(value)
        found = layer(field)
    for at in (~(found - expected).abs().lt(1e-3)).nonzero().tolist():
        raise AssertionError(
            f"a field of the shape {tuple(field.shape)}, all weights and biases {value}: at "
            f"{tuple(at[2:])} the answer should be {float(expected[tuple(at)]):g}, "
            f"but is {float(found[tuple(at)]):g}"
        )


@checks
def check_moves(dims):
    """To another device: "meta" is on every machine, and computes shapes alone."""
    layer = MaskedConv(3, dims).to("meta")
    try:
        moved = layer(torch.empty(2, 3, *(4,) * dims, device="meta"))
    except (RuntimeError, NotImplementedError) as fault:
        raise AssertionError(
            f"moved to another device, it fails. Does the mask move along? {fault}"
        ) from None
    assert moved.shape == (2, 3, *(4,) * dims), "on another device the shape is another"


def drawn(picture):
    return torch.tensor([[mark == "■" for mark in line.split()] for line in picture.split("\n")])


ONE = drawn("""· · · · · · ·
· · ■ ■ ■ · ·
· · · ■ · · ·
· · · · · · ·
· · · · · · ·""")
TWO = drawn("""· ■ ■ ■ ■ ■ ·
· · ■ ■ ■ · ·
· · · ■ · · ·
· · · · · · ·
· · · · · · ·""")
CORNER = drawn("""· · · · ■ ■ ■
· · · · · ■ ■
· · · · · · ■
· · · · · · ·
· · · · · · ·""")
check_sight(make_context(2, 1), (5, 7), (2, 3), ONE)
check_sight(make_context(2, 2), (5, 7), (2, 3), TWO)
check_sight(make_context(2, 2), (5, 7), (2, 6), CORNER)
check_trained(make_context(2, 2), (5, 7), (2, 3), TWO)
ones = torch.ones(1, 1, 2, 3)  # two rows of three: first without, then with a row before it
check_values(ones, 1.0, torch.tensor([[[[3.0, 3, 3], [5, 6, 5]]]]))
check_values(ones, -1.0, ones)
edge, side, middle = [7.0, 9, 7], [9.0, 12, 9], [3.0, 3, 3]
check_values(
    torch.ones(1, 1, 2, 3, 3),
    1.0,
    torch.tensor([[[[middle, middle, middle], [edge, side, edge]]]]),
)
check_moves(3)
### BEGIN HIDDEN TESTS


def may_see(space, at, layers):
    places = torch.stack(torch.meshgrid(*(torch.arange(n) for n in space), indexing="ij"))
    before = at[0] - places[0]
    aside = torch.stack([(p - a).abs() for p, a in zip(places[1:], at[1:])]).amax(0)
    return (before <= layers) & (aside <= before)


def check_context(space, at, layers):
    context, expected = make_context(len(space), layers, seed=layers), may_see(space, at, layers)
    check_sight(context, space, at, expected)
    return context, space, at, expected


def check_counted(dims):
    generator = torch.Generator().manual_seed(dims)
    field = torch.rand(2, 3, *(3, 4, 5)[:dims], generator=generator)
    total, pad = field.sum(1, keepdim=True), (1, 1) * (dims - 1)
    above = nn.functional.pad(total, (*pad, 1, 0))[:, :, :-1]
    for axis in range(3, 2 + dims):
        above = above.unfold(axis, 3, 1).sum(-1)
    check_values(field, 1.0, field + above + total + 1)
    check_values(field, -0.5, field)


PLANES = (((7, 5), (4, 2), 3), ((6, 8), (0, 4), 2), ((4, 4), (3, 3), 1))
SPACES = (
    *(((5, 4, 6), (2, 1, 3), 1), ((5, 4, 6), (3, 2, 2), 2), ((4, 3, 5), (3, 0, 4), 3)),
    ((3, 3, 3), (0, 1, 1), 2),
)
with checks.core():
    for each in PLANES:
        check_context(*each)
    check_counted(2)
with checks.further("three axes"):
    for each in SPACES:
        check_context(*each)
    check_counted(3)
with checks.further("after training"):
    for each in (*PLANES, *SPACES):
        check_trained(*check_context(*each))
with checks.further("on another device"):
    check_moves(2)
    check_moves(3)
with checks.further("how many parameters"):
    for dims in (2, 3):
        count = sum(parameter.numel() for parameter in make_context(dims, 1).parameters())
        assert count <= 36 * 3**dims + 6, f"{count}: one convolution and its bias are wanted"
### END HIDDEN TESTS
checks.end(points=20)

# %% [markdown]
# What two of your steps see, and what two ordinary convolutions see, for a context in row 2 (the
# dot). The target, three rows ahead, is marked by a cross: what stands in the row before it?

# %% tags=["show"]
from IPython.display import display
from matplotlib.figure import Figure

torch.manual_seed(0)
contexts = {
    "with your mask": nn.Sequential(MaskedConv(16, 2), MaskedConv(16, 2)),
    "without": nn.Sequential(nn.Conv2d(16, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)),
}
figure = Figure(figsize=(8, 2.6), layout="constrained")
for axes, (name, context) in zip(figure.subplots(1, 2), contexts.items()):
    flat = torch.randn(1, 16, 6, 9, requires_grad=True)
    context(flat)[0, :, 2, 4].sum().backward()
    axes.imshow(flat.grad[0].abs().sum(0) > 0, cmap="Blues", vmin=0, vmax=1.3)
    axes.plot(4, 2, "o", color="#e69f00")
    axes.plot(4, 5, "x", color="#d55e00")
    axes.set(title=name, xlabel="column", ylabel="row (downwards: ahead)")
display(figure)

# %% [markdown]
# From here on the library's own `PyramidConv` takes the place of yours (it was imported at the
# top).
#
# ## Part 4: counter-examples and InfoNCE (20 points)
#
# A prediction $\hat z$ is right if it lies nearer to the latent of its target than to other
# latents, the **counter-examples**. There are $N = SV$ latents in a batch of $S$ scans of $V$
# patches, and latent $n$ is patch $n \bmod V$ of scan $\lfloor n / V \rfloor$. For each of $M$
# predictions, `right` holds the number of the latent that it should have predicted.
#
# Write `counter_examples`: a table (M, N) of `True` and `False`, which latents a prediction has to
# be told apart from. `among` is one of
#
# - `"same scan"`: all other places of the scan that the right answer is from;
# - `"other scans"`: all places of all other scans;
# - `"all"`: both.
#
# The right answer itself is **never** among them.
#
# Then `info_nce`. With the cosine $\cos$, a temperature $\tau$ and the counter-examples
# $Z^-_m$ of prediction $m$,
#
# $$\mathcal{L} = -\frac{1}{M} \sum_{m=1}^{M} \log
# \frac{\exp(\cos(\hat z_m, z_{r(m)}) / \tau)}
# {\exp(\cos(\hat z_m, z_{r(m)}) / \tau) + \sum_{z \in Z^-_m} \exp(\cos(\hat z_m, z) / \tau)},$$
#
# with the natural logarithm. The cosines are given (below); the **mean** over predictions makes
# losses of large and small batches alike. For small $\tau$, `exp` overflows: the loss must be right
# all the same, also at $\tau = 0.001$, and so must its gradient.
#
# **Think before you write:** what is the loss if all cosines are equal? And what if there is no
# counter-example at all?
#
# <details><summary>Hint: counting</summary>
#
# `torch.arange(N)` in a row, `right[:, None]` in a column: a comparison of the two is a table
# (M, N). Two latents are of the same scan if their numbers, divided by $V$ without remainder, are
# the same.
#
# </details>
#
# <details><summary>Hint: no overflow</summary>
#
# $-\log(e^a / \sum_i e^{a_i}) = \operatorname{logsumexp}_i(a_i) - a$, and `torch.logsumexp` takes
# the largest out first. What is to be left out of a sum of exponentials may be $-\infty$:
# `masked_fill` makes a copy with it.
#
# </details>


# %%
def cosines(predictions, latents):
    """(M, code), (N, code) → (M, N): how alike they are, from -1 to 1."""
    return F.normalize(predictions, dim=-1) @ F.normalize(latents, dim=-1).T


# %% nbgrader={"grade": false, "grade_id": "a4-4-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def counter_examples(right, scans, patches, among):
    """Which latents each prediction has to be told apart from.

    Args:
        right: (M,) integers, the number of each prediction's right answer.
        scans: S, in the batch.
        patches: V, of a scan.
        among: "same scan", "other scans" or "all".

    Returns:
        (M, S·V) booleans.
    """
    ### BEGIN SOLUTION
    latent, answer = torch.arange(scans * patches, device=right.device), right[:, None]
    same = latent // patches == answer // patches
    chosen = {"same scan": same, "other scans": ~same, "all": torch.ones_like(same)}[among]
    return chosen & (latent != answer)
    ### END SOLUTION


def info_nce(cosines, right, others, temperature):
    """The mean loss of M predictions among N latents.

    Args:
        cosines: (M, N).
        right: (M,) integers.
        others: (M, N) booleans, each prediction's counter-examples.
        temperature: above 0.

    Returns:
        A tensor of one number.
    """
    ### BEGIN SOLUTION
    logits = cosines / temperature
    answer = logits.gather(1, right[:, None])
    wrong = logits.masked_fill(~others, -torch.inf)
    return (torch.cat([answer, wrong], 1).logsumexp(1) - answer[:, 0]).mean()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a4-4-tests", "locked": true, "points": 20, "schema_version": 3, "solution": false, "task": false}
from math import exp, log

import torch

from ssl3d_lite.course.checks import Checks

checks = Checks()


@checks
def check_others(right, scans, patches, among, expected):
    """Expected: for each prediction the numbers of its counter-examples."""
    given = torch.tensor(right)
    table = torch.as_tensor(counter_examples(given, scans, patches, among))
    what = f"{scans} scans of {patches} patches, among {among!r}"
    assert given.tolist() == list(right), "the numbers that you were given have been changed"
    assert tuple(table.shape) == (len(right), scans * patches) and table.dtype == torch.bool, (
        f"{what}: booleans of the shape {(len(right), scans * patches)} are wanted, "
        f"not {table.dtype} of {tuple(table.shape)}"
    )
    for row, answer, wanted in zip(table, right, expected):
        found = row.nonzero().flatten().tolist()
        assert answer not in found, (
            f"{what}: latent {answer} is the right answer, and among its own counter-examples"
        )
        assert found == sorted(wanted), (
            f"{what}: the counter-examples of latent {answer} should be {sorted(wanted)}, "
            f"but are {found}"
        )


@checks
def check_loss(cosine, right, others, temperature, expected, what):
    cosine, right = torch.as_tensor(cosine).float().clone(), torch.tensor(right)
    others = torch.as_tensor(others)
    kept = cosine.clone(), right.clone(), others.clone()
    cosine.requires_grad_()
    with torch.no_grad():
        loss = info_nce(cosine, right, others, temperature)
    assert torch.as_tensor(loss).numel() == 1, f"one number is wanted, not {tuple(loss.shape)}"
    for mine, before in zip((cosine.detach(), right, others), kept):
        assert torch.equal(mine, before), "what info_nce was given has been changed"
    assert abs(float(loss) - expected) < 1e-4 + 1e-4 * abs(expected), (
        f"{what}, temperature {temperature}: the loss should be {expected:.4f}, "
        f"but is {float(loss):.4f}"
    )
    info_nce(cosine, right, others, temperature).backward()
    assert cosine.grad is not None and cosine.grad.isfinite().all(), (
        f"{what}, temperature {temperature}: the gradient is missing, or no number (NaN)"
    )
    counted = others.clone()
    counted[torch.arange(len(right)), right] = True
    share = (kept[0] / temperature).masked_fill(~counted, -torch.inf).softmax(1)
    share[torch.arange(len(right)), right] -= 1
    off = (cosine.grad - share / temperature / len(right)).abs().max()
    assert off < 1e-3 / temperature, (
        f"{what}, temperature {temperature}: the loss is right, but its gradient is off by {off:.4f}"
    )


check_others([1, 4], 2, 3, "same scan", [[0, 2], [3, 5]])
check_others([1, 4], 2, 3, "other scans", [[3, 4, 5], [0, 1, 2]])
check_others([1, 4], 2, 3, "all", [[0, 2, 3, 4, 5], [0, 1, 2, 3, 5]])
every = [[False, True, True], [True, True, False]]
check_loss(torch.zeros(2, 3), [0, 2], every, 1, log(3), "equal cosines, 2 counter-examples each")
check_loss(torch.full((1, 6), 0.7), [4], [[True] * 4 + [False, True]], 1, log(6), "equal cosines")
check_loss([[1.0, 0, -1]], [0], [every[0]], 1, log(exp(1) + 1 + exp(-1)) - 1, "cosines 1, 0, -1")
check_loss([[1.0, 0, -1]], [0], [every[0]], 0.5, log(exp(2) + 1 + exp(-2)) - 2, "cosines 1, 0, -1")
check_loss([[1.0, 0, -1]], [0], [[False, False, True]], 1, log(1 + exp(-2)), "only -1 is to beat")
check_loss([[-1.0, 1, 0]], [0], [every[0]], 0.001, 2000.0, "quite wrong")
### BEGIN HIDDEN TESTS


def check_batch(scans, patches, seed, *temperatures):
    """Counter-examples of some right answers, and the loss with each kind of them."""
    whole = range(scans * patches)
    generator = torch.Generator().manual_seed(seed)
    right = torch.randint(scans * patches, (7,), generator=generator).tolist()
    home = [{n for n in whole if n // patches == r // patches} for r in right]
    same = [h - {r} for h, r in zip(home, right)]
    other = [set(whole) - h for h in home]
    both = [s | o for s, o in zip(same, other)]
    check_others(right, scans, patches, "same scan", same)
    check_others(right, scans, patches, "other scans", other)
    check_others(right, scans, patches, "all", both)
    cosine = 2 * torch.rand(7, len(whole), generator=generator) - 1
    for allowed in (same, other, both):
        table = torch.tensor([[n in row for n in whole] for row in allowed])
        equal = sum(log(1 + len(row)) for row in allowed) / 7
        check_loss(torch.full((7, len(whole)), -0.3), right, table, 0.1, equal, "equal cosines")
        for temperature in temperatures:
            losses = []
            for row, answer, wrong in zip(cosine.tolist(), right, allowed):
                values = [row[answer] / temperature] + [row[n] / temperature for n in wrong]
                top = max(values)
                losses.append(top + log(sum(exp(v - top) for v in values)) - values[0])
            check_loss(cosine, right, table, temperature, sum(losses) / 7, "random cosines")


with checks.core():
    for scans, patches, seed in ((3, 4, 0), (2, 45, 3), (4, 9, 4)):
        check_batch(scans, patches, seed, 1, 0.1)
with checks.further("one scan, so none of another"):
    check_batch(1, 6, 1, 1, 0.1)
with checks.further("one patch a scan, so none of the same"):
    check_batch(5, 1, 2, 1, 0.1)
    check_loss([[0.5]], [0], [[False]], 0.1, 0.0, "no counter-example")
with checks.further("a very low temperature"):
    check_batch(3, 4, 5, 0.003)
    check_loss([[1.0, -1, -1]], [0], [every[0]], 0.001, 0.0, "quite right")
    check_loss([[-1.0, 1, 0]], [0], [every[0]], 0.001, 2000.0, "quite wrong")
### END HIDDEN TESTS
checks.end(points=20)

# %% [markdown]
# Latents of an untrained network; for "predictions", the right latents with noise on top. Once as
# they are, and once with their mean taken off. **Predict before you run:** in which of the two is
# it easier to find the right one?

# %% tags=["show"]
raw = torch.stack([scan.flatten(1).T for scan in field])  # (scan, patch, code)
scans, patches = raw.shape[:2]
raw, right = raw.flatten(0, 1), torch.arange(scans * patches)
noise = 0.5 * raw.std(0) * torch.randn(raw.shape, generator=torch.Generator().manual_seed(0))
for name, latents in {"as they are": raw, "mean taken off": raw - raw.mean(0)}.items():
    for among in ("same scan", "other scans", "all"):
        others = counter_examples(right, scans, patches, among)
        told = f"{name:14} {among:11} (guessing {log(1 + int(others[0].sum())):.2f})"
        for tau in (1.0, 0.1):
            loss = float(info_nce(cosines(latents + noise, latents), right, others, tau))
            told += f", temperature {tau}: loss {loss:.2f}"
        print(told)

# %% [markdown]
# *What to look at:* as they are, the loss is that of guessing, although each prediction lies near
# its latent. All latents of an untrained network point nearly the same way, so their cosines hardly
# differ. Training has to spread them out. And what does a temperature of 1 do, if no cosine is above
# 1 and none below -1: how low can the loss go?
#
# ## Part 5: the proxy task, and what it has learnt (25 points)
#
# **The task.** Most of `MyCPC` is given. Two methods are missing. `targets` says, for each
# prediction, the number of the latent that is right: among all $SV$ latents of the batch, in the
# order of scans and in each scan of patches. There is a prediction for each scan, each of the steps
# $l$ in `self.settings.prediction_steps`, and each patch that has one $l$ rows ahead of it in the direction;
# past the end there is none. If the grid is too short for some step, that step has no prediction.
#
# `forward` gives the logits, (prediction, latent):
#
# - all patches are encoded once, and make a field (`encode_once`);
# - the field is turned and told its direction (`self.turned`, given), and the context network
#   `self.context` goes over it: axis 2 is the row;
# - for the $l$ at place `n` of `ahead`, `self.predict[n]` is $W_l$. It takes a field of contexts
#   (scan, code, row, *across*) and gives one of predictions;
# - the logits are the cosines of predictions with **all** latents of the batch, divided by the
#   temperature. Gradients go both ways, to predictions and to latents.
#
# The order of the predictions is up to you, as long as `targets` and `forward` have the same one.
# The loss is there already: `ProxyTask.loss` takes the cross-entropy of logits and targets, which
# is InfoNCE with all counter-examples.
#
# **What is it worth?** $\log N - \mathcal{L}$ is a lower bound, in nats, on what the context says
# about the target: on their mutual information (van den Oord et al. 2018). Mutual information is
# never negative, so neither need the bound be: `information` gives it, and 0 in place of less. A
# loss cannot be below 0, so the bound can never exceed $\log N$, whatever the network knows. So
# `scans_needed`: the smallest number of scans in a batch, of `patches` each, with which the bound
# *can* reach `nats`: $\log N \ge \text{nats}$. (Let $10^{-9}$ pass, or rounding will cost a scan.)
#
# <details><summary>Hint: targets</summary>
#
# Number all latents: `torch.arange(...)` in the shape (scan, 1, *grid*). `along(numbers,
# direction)` turns that field as `self.turned` turns the other. What lies $l$ rows ahead of rows
# 0, 1, …? And which rows have something $l$ rows ahead?
#
# </details>
#
# <details><summary>Hint: flat, in the same order</summary>
#
# Predictions come as (scan, code, row, *across*). Move the code to the end before you flatten the
# rest, or codes of several places get mixed.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a4-5-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
class MyCPC(ProxyTask):
    """Predict the latents of patches further on, from those before."""

    name = "my-cpc"
    Settings = CPCSettings  # patch, stride, most, jitter, ahead, directions, code, temperature …

    def __init__(self, settings, encoder):
        super().__init__(settings, encoder)  # gives self.settings and self.dims, 2 or 3
        s = settings
        self.directions = [parse_direction(d, self.dims) for d in s.directions]
        self.way = nn.Embedding(2 * self.dims, s.embedding_dim)
        self.embed = head(encoder.width, s.hidden, s.embedding_dim)
        steps = range(s.context_layers)
        self.context = nn.Sequential(*(PyramidConv(s.embedding_dim, self.dims) for _ in steps))
        self.predict = nn.ModuleList(
            CONV[self.dims](s.embedding_dim, s.embedding_dim, 1) for _ in s.prediction_steps
        )

    grid, sample_params = (
        CPC.grid,
        CPC.sample_params,
    )  # the library's: part 1, and where each scan's grid starts

    def make_views(self, volumes, params):
        grid, direction = self.grid(volumes.shape[2:]), self.directions[int(params["direction"])]
        corner = params["start"] + grid_corners(grid, self.settings.stride)
        views = cut(volumes, corner, (self.settings.patch,) * self.dims)
        target = self.targets(len(volumes), grid, direction).to(views.device)
        return ProxyBatch(views, target, Placement(shift_matrix(corner), grid, direction))

    def turned(self, field, direction):
        """The field with the direction down its axis 2, and told which one it is."""
        axis, backwards = direction
        way = self.way(torch.tensor(2 * axis + backwards, device=field.device))
        return along(field, direction) + way.view(-1, *[1] * self.dims)

    def targets(self, scans, grid, direction):
        """Number of the right latent for each prediction: (prediction,) integers."""
        ### BEGIN SOLUTION
        number = torch.arange(scans * grid_corners(grid, 1).shape[0]).view(scans, 1, *grid)
        rows = along(number, direction)
        return torch.cat([rows[:, :, step:].flatten() for step in self.settings.prediction_steps])
        ### END SOLUTION

    def forward(self, encoder, batch):
        """Logits (prediction, latent)."""
        ### BEGIN SOLUTION
        place = batch.placement
        field = encode_once(encoder, self.embed, batch.views, place.grid)
        context = self.context(self.turned(field, place.direction))
        predictions = [
            linear(context[:, :, :-step]).movedim(1, -1).flatten(0, -2)
            for linear, step in zip(self.predict, self.settings.prediction_steps)
            if step < context.shape[2]
        ]
        latents = field.flatten(2).movedim(1, 2).flatten(0, 1)
        return cosines(torch.cat(predictions), latents) / self.settings.temperature
        ### END SOLUTION


def information(loss, choices):
    """Nats that the context says at least about the target, from 0 to log(choices)."""
    ### BEGIN SOLUTION
    return max(0.0, log(choices) - loss)
    ### END SOLUTION


def scans_needed(nats, patches):
    """The smallest batch, in scans of so many patches, whose bound can reach ``nats``."""
    ### BEGIN SOLUTION
    scans = 1
    while log(scans * patches) < nats - 1e-9:
        scans += 1
    return scans
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a4-5-tests", "locked": true, "points": 25, "schema_version": 3, "solution": false, "task": false}
from math import log

import numpy as np
import torch
from torch import nn

from ssl3d_lite.course.checks import Checks
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import make_task

checks = Checks()


class Waves(nn.Module):
    """In place of ``embed``: a latent for each patch that is like no other patch's."""

    def __init__(self, code):
        super().__init__()
        self.pitch = 3.14 * torch.rand(code // 2, generator=torch.Generator().manual_seed(0))

    def forward(self, brightness):
        waves = brightness[:, :1].double() * self.pitch
        return torch.cat([waves.cos(), waves.sin()], 1).float()


def in_words(latent, grid):
    scan, number = divmod(latent, int(np.prod(grid)))
    return f"{tuple(int(n) for n in np.unravel_index(number, grid))} of scan {scan}"


def ramps(scans, space):
    """Scans in which no two places are equally bright."""
    places = torch.stack(torch.meshgrid(*(torch.arange(n) for n in space), indexing="ij"))
    bright = sum(place * 32**axis for axis, place in enumerate(places)).float()
    return bright + 32.0 ** len(space) * torch.arange(scans).view(-1, 1, *(1,) * len(space))


def make_cpc(space, scans, seed, volumes=None, **settings):
    """Your task, the library's with the same weights, and a batch of yours."""
    dims = len(space)
    settings = {
        "patch": 4,
        "stride": 2,
        "jitter": 2,
        "max_patches": 9,
        "embedding_dim": 32,
        "hidden": 8,
    } | settings
    shape = EncoderSettings(spatial_dims=dims, filters=(2, 4), norm="group")
    library = make_task("cpc", shape, seed, **settings)
    mine = MyCPC(library.settings, shape)
    mine.load_state_dict(library.state_dict())
    if volumes is None:
        volumes = torch.rand(scans, 1, *space, generator=torch.Generator().manual_seed(seed))
    params = library.sample_params(volumes, torch.Generator().manual_seed(seed))
    state = torch.get_rng_state()
    batch = mine.make_views(volumes, params)
    assert torch.equal(torch.get_rng_state(), state), "targets should draw nothing at random"
    return mine, library, make_encoder(shape, seed), batch, library.make_views(volumes, params)


@checks
def check_pairs(space, scans, seed, **settings):
    """A task whose context and W do nothing: each prediction is the latent of its own place."""
    task, library, _, batch, theirs = make_cpc(space, scans, seed, ramps(scans, space), **settings)
    s, grid, (axis, backwards) = library.settings, theirs.placement.grid, theirs.placement.direction
    what = f"grid {grid}, direction {(axis, backwards)}, {s.prediction_steps} ahead"
    task.way.weight.data.zero_()
    task.context, task.embed = nn.Identity(), Waves(s.embedding_dim)
    task.predict = nn.ModuleList(nn.Identity() for _ in s.prediction_steps)
    with torch.no_grad():
        logits = task(lambda patches: [patches], batch)
    count, places = int(np.prod(grid)), int(np.prod(grid)) // grid[axis]
    wanted = {step: scans * places * max(0, grid[axis] - step) for step in s.prediction_steps}
    total, target = sum(wanted.values()), batch.target
    assert tuple(target.shape) == (total,) and not target.is_floating_point(), (
        f"{what}: {scans} scans have {total} predictions, so {total} integers are wanted as "
        f"targets, not {tuple(target.shape)}"
    )
    assert target.min() >= 0 and target.max() < scans * count, (
        f"{what}: latents are numbered 0 to {scans * count - 1}, but targets run from "
        f"{int(target.min())} to {int(target.max())}"
    )
    assert tuple(logits.shape) == (total, scans * count), (
        f"{what}: logits of {total} predictions among all {scans * count} latents are wanted, "
        f"not {tuple(logits.shape)}"
    )
    assert abs(float(logits.max()) - 1 / s.temperature) < 0.01 / s.temperature, (
        f"{what}: a prediction that equals a latent has the cosine 1, so at temperature "
        f"{s.temperature} the logit {1 / s.temperature:g}, but your largest is {logits.max():.3f}"
    )
    pairs = list(zip(logits.argmax(1).tolist(), target.tolist()))
    found = dict.fromkeys(s.prediction_steps, 0)
    for here, there in pairs:
        a, b = (np.array(np.unravel_index(n % count, grid)) for n in (here, there))
        step = int((a - b)[axis] if backwards else (b - a)[axis])
        aside = np.delete(a, axis).tolist() != np.delete(b, axis).tolist()
        assert here // count == there // count and not aside and step in s.prediction_steps, (
            f"{what}: the prediction from {in_words(here, grid)} has {in_words(there, grid)} as "
            "its target"
        )
        found[step] += 1
    assert len(set(pairs)) == total, f"{what}: some predictions are made twice"
    assert found == wanted, f"{what}: so many predictions for each step: {wanted}, not {found}"


class Times(nn.Module):
    """In place of a linear map or the context network: what it is given, times a number."""

    def __init__(self, number):
        super().__init__()
        self.number, self.given = number, []

    def forward(self, field):
        self.given.append(field)
        return self.number * field


@checks
def check_wiring(space, scans, seed, **settings):
    """What is given to the context network, and which linear map makes which prediction."""
    task, library, _, batch, theirs = make_cpc(space, scans, seed, ramps(scans, space), **settings)
    s, grid, (axis, backwards) = library.settings, theirs.placement.grid, theirs.placement.direction
    task.context, task.embed = Times(0), Waves(s.embedding_dim)
    task.predict = nn.ModuleList(Times(1) for _ in s.prediction_steps)

    def answer():
        with torch.no_grad():
            return task(lambda patches: [patches], batch).abs()

    zero = answer()
    assert len(task.context.given) == 1, (
        f"self.context should go over the field once, not {len(task.context.given)} times"
    )
    field = encode_once(lambda patches: [patches], task.embed, batch.views, grid)
    right, given = task.turned(field, (axis, backwards)), task.context.given[0]
    assert tuple(given.shape) == tuple(right.shape), (
        f"self.context should be given a field {tuple(right.shape)}, not {tuple(given.shape)}"
    )
    assert torch.allclose(given, right, atol=1e-4), (
        "self.context should be given the field as self.turned makes it, told its direction"
    )
    assert zero.max() < 1e-4, "a context of zeros changes nothing: do predictions come from it?"
    task.context, count = Times(1), int(np.prod(grid))
    rows = torch.unravel_index(batch.target % count, grid)[axis]
    rows = grid[axis] - 1 - rows if backwards else rows
    for at, step in enumerate(s.prediction_steps):
        task.predict = nn.ModuleList(Times(float(at == n)) for n in range(len(s.prediction_steps)))
        made = answer().amax(1) > 0.1 / s.temperature
        many, first = int(made.sum()), int(rows[made].min()) if made.any() else None
        expected = scans * count // grid[axis] * max(0, grid[axis] - step)
        assert many == expected and first in (step, None), (
            f"{step} rows ahead is what self.predict[{at}] is for: it should make {expected} "
            f"predictions, for targets from row {step} on, but makes {many}, from row {first}"
        )


@checks
def check_like_the_library(space, scans, seed, **settings):
    mine, library, encoder, batch, theirs = make_cpc(space, scans, seed, **settings)
    calls, what = [], f"{scans} scans of {space}, directions {library.settings.directions}"
    hook = encoder.register_forward_hook(lambda module, given, _: calls.append(len(given[0])))
    loss = mine.loss(mine(encoder, batch), batch)
    hook.remove()
    patches = batch.views.shape[0] * batch.views.shape[1]
    assert calls == [patches], (
        f"{what}: {patches} patches should be encoded once, in one call, not in calls of {calls}"
    )
    expected = library.loss(library(encoder, theirs), theirs)
    found, right = loss.item(), expected.item()
    assert abs(found - right) < 1e-4, (
        f"{what}: with the library's weights, the loss should be {right:.4f}, but is {found:.4f}"
    )
    grads = []
    for each, task in ((loss, mine), (expected, library)):
        weights = [*encoder.parameters(), *task.parameters()]
        found = torch.autograd.grad(each, weights, allow_unused=True)
        grads.append([torch.zeros(()) if grad is None else grad for grad in found])
    for got, right in zip(*grads):
        assert torch.allclose(got, right, atol=1e-4, rtol=1e-2), (
            f"{what}: the loss is right, but it does not teach what it should (gradients differ)"
        )


@checks
def check_collapsed(space, scans, seed):
    mine, _, _, batch, _ = make_cpc(space, scans, seed)
    with torch.no_grad():
        loss = float(
            mine.loss(mine(lambda patches: [torch.ones(len(patches), 4, 1)], batch), batch)
        )
    choices = batch.views.shape[0] * batch.views.shape[1]
    assert abs(loss - log(choices)) < 1e-4, (
        f"an encoder that says the same of every patch can only guess: the loss should be "
        f"log {choices} = {log(choices):.4f}, but is {loss:.4f}"
    )


@checks
def check_information(loss, choices, expected):
    found = float(information(loss, choices))
    assert abs(found - expected) < 1e-6, (
        f"a loss of {loss:.3f} with {choices} latents: {expected:.4f} nats, not {found:.4f}"
    )


@checks
def check_scans(nats, patches, expected):
    found = scans_needed(nats, patches)
    assert found == expected, (
        f"{nats:.4f} nats, scans of {patches} patches: {expected} scans are needed, not {found}"
    )


check_pairs((12, 14), 2, 0)
check_pairs((10, 14, 8), 2, 1)
check_pairs((10, 14, 8), 2, 2, directions=("-0",), prediction_steps=(1, 2))
check_wiring((12, 14), 2, 3)
check_wiring((10, 14, 8), 2, 3, directions=("-1",), prediction_steps=(3, 2))
check_like_the_library((12, 14), 2, 3)
check_like_the_library((10, 14, 8), 2, 4)
check_collapsed((10, 14, 8), 2, 5)
check_information(2.0, 90, log(90) - 2)
check_information(log(90), 90, 0.0)
check_information(5.0, 90, 0.0)
check_scans(3.5, 45, 1)
check_scans(4.5, 45, 3)
check_scans(log(90), 45, 2)
### BEGIN HIDDEN TESTS
CASES = (
    ((16, 12), {"directions": ("-1",), "prediction_steps": (1, 3)}),
    ((12, 17), {"directions": ("+0",), "prediction_steps": (2,)}),
    ((8, 12, 14), {"directions": ("-2",), "prediction_steps": (2, 3)}),
    ((14, 8, 10), {"directions": ("-0",), "prediction_steps": (3, 1)}),
)
FEW_ROWS = {"directions": ("+1",), "prediction_steps": (2, 5)}  # three rows: none for 5
WARM = {"directions": ("+1",), "prediction_steps": (2, 3), "temperature": 0.5}


def check_task(space, scans, seed, settings):
    check_pairs(space, scans, seed, **settings)
    check_wiring(space, scans, seed, **settings)
    check_like_the_library(space, scans, 10 + seed, **settings)


with checks.core():
    for seed, (space, settings) in enumerate(CASES):
        for scans in (2, 3):
            check_task(space, scans, seed, settings)
with checks.further("one scan"):
    for seed, (space, settings) in enumerate(CASES):
        check_task(space, 1, seed, settings)
with checks.further("a grid with fewer rows than steps"):
    check_task((8, 10, 12), 1, 4, FEW_ROWS)
    check_task((8, 10, 12), 3, 4, FEW_ROWS)
with checks.further("another temperature"):
    check_task((8, 16), 1, 5, WARM)
    check_task((8, 16), 3, 5, WARM)
with checks.further("an encoder that has collapsed"):
    check_collapsed((12, 12), 3, 6)
with checks.further("the bound on information"):
    check_information(0.0, 7, log(7))
    check_information(0.25, 2, log(2) - 0.25)
    check_information(1.0, 2, 0.0)
with checks.further("the number of scans that is needed"):
    for patches in (2, 9, 32, 45, 64):
        for scans in (1, 2, 3, 7, 20):
            check_scans(log(scans * patches), patches, scans)
            check_scans(log(scans * patches) + 0.001, patches, scans + 1)
    check_scans(0.0, 45, 1)
### END HIDDEN TESTS
checks.end(points=25)

# %% [markdown]
# Your task in the library's views:

# %% tags=["show"]
from IPython.display import display

from ssl3d_lite import show

torch.manual_seed(0)
task = MyCPC(CPCSettings(), shape)
batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
display(show.pyramid(volumes, batch, row=1, rows_ahead=3))
display(show.puzzle_slices(volumes, batch))

# %% [markdown]
# And trained. (At smoke scale too little is learnt to conclude anything.) **Predict before you
# run:** with more scans in a batch there are more latents to choose from. What happens to accuracy,
# to accuracy over chance, and to the nats?

# %% tags=["show"]
task = task.to(volumes.device)
encoder = make_encoder(shape, seed=0).to(volumes.device)
settings = TrainSettings(steps=size["steps"], batch=2, learning_rate=2e-3)
history = pretrain(task, encoder, cohort, split.pretrain, settings)


def judge(name, encoder):
    for scans in (2, 4, 8):
        if scans <= len(split.validation):
            found = proxy_score(task, encoder, cohort, split.validation, batch=scans)
            choices = round(1 / found["chance"])
            print(
                f"{name}, {scans} scans: accuracy {found['accuracy']:.3f}, "
                f"{found['accuracy'] * choices:4.1f} times chance, loss {found['loss']:.2f}, "
                f"at least {information(found['loss'], choices):.2f} nats of {log(choices):.2f}"
            )


judge("trained", encoder)
print("to show 6 nats:", scans_needed(6, batch.views.shape[1]), "scans at the least")

# %% [markdown]
# **The control.** An encoder that says the same of every patch, with the head that was just
# trained. Its loss is $\log N$ whatever the head does, and it says 0 nats. (Its accuracy is 0, not
# chance, by an accident: of equal logits `argmax` takes the first, and latent 0 lies in the first
# row, where there is no target.) A loss that has come to rest may have come to rest just there:
# compare it with $\log N$ before you rejoice.


# %% tags=["show"]
class Collapsed(nn.Module):
    """An encoder whose features are the same for every patch."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, patches):
        return [torch.ones_like(level) for level in self.encoder(patches)]


judge("collapsed", Collapsed(encoder))

# %% [markdown]
# *What to look at:* the bound grows with the batch although the network is the same. Nothing more
# was learnt; more could be *shown*. So compare losses of equal $N$ alone, and do not take nats for
# quality: what the features are worth, a probe says (notebook 06, section 8).
#
# ## What you have now
#
# A CPC that encodes each patch once, cannot copy its answer, and is scored by a loss that you can
# read. Compare it with `ssl3d_lite/tasks/cpc.py`: there you will also find a GRU as context
# network, which is the paper's choice. What would change in part 3's checks for it?
#
# ## References
#
# Taleb et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS 2020. Van den Oord et al.,
# *Representation Learning with Contrastive Predictive Coding*, 2018 (arXiv:1807.03748). Hénaff et
# al., *Data-Efficient Image Recognition with Contrastive Predictive Coding*, ICML 2020. Poole et
# al., *On Variational Bounds of Mutual Information*, ICML 2019.

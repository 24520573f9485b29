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
# # Assignment 3: jigsaw, permutation sets and shortcuts
#
# **You will show that you can:** choose orders that are far apart; shuffle and put back; write the
# jigsaw as a proxy task; solve it without any network, by a shortcut, to find out when it can be
# cheated; and say whether a score is more than luck.
#
# **Time:** three to four hours. **Read first:** notebooks 04 (jigsaw) and 13 (shortcuts).
# **Points:** 100, in five parts.
#
# | part | what you write | points |
# |---|---|---|
# | 1 | orders that are far apart | 25 |
# | 2 | shuffle, and put back | 15 |
# | 3 | the puzzle: pieces with jitter, normalised, in their shown order | 25 |
# | 4 | a solver that looks at borders alone | 20 |
# | 5 | better than chance? and by what? | 15 |
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

# %%
# %matplotlib inline

# %%
from math import factorial

import numpy as np
import torch

from ssl3d_lite.data.opening import open_cohort, scale
from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.heads import global_avg_pool, head
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import Placement, ProxyBatch, ProxyTask
from ssl3d_lite.tasks.geometry import cut, puzzle_corners, shift_matrix
from ssl3d_lite.tasks.jigsaw import JigsawSettings
from ssl3d_lite.tasks.permutations import permutation_set
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import TrainSettings

SIZES = {
    "smoke": {"cases": 12, "filters": (4, 8), "orders": 10, "steps": 10, "rounds": 4},
    "class": {"cases": 60, "filters": (16, 32, 64), "orders": 60, "steps": 200, "rounds": 10},
    "full": {"cases": 200, "filters": (32, 64, 128), "orders": 100, "steps": 3000} | {"rounds": 10},
}
size = SIZES[scale()]

# %%
cohort = open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()
volumes = cohort.images(split.pretrain[:2]).cpu()
shape = EncoderSettings(in_channels=len(cohort.channels), filters=size["filters"])

# %% [markdown]
# ## Part 1: orders that are far apart (25 points)
#
# A jigsaw does not ask for any order of the pieces, but for one of $P$ that were agreed upon. An
# order is a row of numbers, and `order[v]` is the cell of the piece that is shown at place $v$. Two
# orders that agree nearly everywhere can be told apart by the few pieces where they differ, and by
# nothing else. So choose them with a large **Hamming distance**, the number of places where they
# differ,
#
# $$d_H(\pi, \sigma) = \bigl|\{\, v : \pi(v) \ne \sigma(v) \,\}\bigr|,$$
#
# and of a set, the *smallest* distance of any pair counts.
#
# Write `hamming_matrix`, all distances of all pairs, and `far_orders`, a **farthest-point search**
# (Noroozi and Favaro 2016): make a pool of some thousand candidates at random, take one of them,
# and then again and again the candidate that is farthest from those you have. How far is a
# candidate from a *set*? As far as from its nearest member. (Mean distances are tempting and wrong:
# a candidate may be far from most and the twin of one.)
#
# The set depends on the generator alone: the same seed, the same set; another seed, another; and
# no global random state is touched. All orders differ. More than there are, $n!$, or less than
# one, cannot be asked for: `InputError`. For how far is far enough the check says what it wants; a
# pool of 5000 reaches it easily, and at random one does not come near.
#
# <details><summary>Hint: the pool</summary>
#
# `torch.rand(pool, pieces, generator=generator).argsort(1)` is many random orders at once. Of few
# pieces some stand in it twice; does your search ever take a twin?
#
# </details>
#
# <details><summary>Hint: fast enough</summary>
#
# Keep, for each candidate, its distance from the nearest order chosen so far. When an order is
# added, this can only become smaller: `torch.minimum` with the distances from the new one. So each
# step compares the pool with one order, not with all.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a3-1-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def hamming_matrix(orders):
    """Distances of all pairs: (P, pieces) → integers (P, P)."""
    ### BEGIN SOLUTION
    return (orders[:, None] != orders[None]).sum(-1)
    ### END SOLUTION


def far_orders(pieces, count, generator):
    """Choose orders far apart from each other.

    Args:
        pieces: how many there are to order.
        count: orders wanted, 1 to pieces!
        generator: a torch.Generator, the only source of chance.

    Returns:
        Integers (count, pieces): each row holds 0 to pieces - 1, each once.

    Raises:
        InputError: there are not that many orders.
    """
    ### BEGIN SOLUTION
    if not 1 <= count <= factorial(pieces):
        raise InputError(f"{count} orders of {pieces} pieces: there are {factorial(pieces)}")
    pool = torch.rand(5000, pieces, generator=generator).argsort(1)
    chosen, nearest = [0], (pool != pool[0]).sum(1)
    while len(chosen) < count:
        chosen.append(int(nearest.argmax()))
        nearest = torch.minimum(nearest, (pool != pool[chosen[-1]]).sum(1))
    return pool[chosen]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a3-1-tests", "locked": true, "points": 25, "schema_version": 3, "solution": false, "task": false}
import numpy as np
import torch

from ssl3d_lite.course.checks import Checks
from ssl3d_lite.errors import InputError

checks = Checks()


@checks
def check_matrix(orders):
    kept = orders.clone()
    mine = torch.as_tensor(hamming_matrix(orders))
    assert torch.equal(orders, kept), "the orders that you were given have been changed"
    assert mine.shape == (len(orders), len(orders)), (
        f"{len(orders)} orders have distances of the shape {(len(orders),) * 2}, "
        f"not {tuple(mine.shape)}"
    )
    for a, one in enumerate(orders.tolist()):
        for b, other in enumerate(orders.tolist()):
            right = sum(x != y for x, y in zip(one, other))
            assert int(mine[a, b]) == right, (
                f"{one} and {other} differ in {right} places, but your matrix says {mine[a, b]}"
            )


@checks
def check_far(pieces, count, least, seed):
    what = f"{count} orders of {pieces} pieces, seed {seed}"
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    orders = torch.as_tensor(far_orders(pieces, count, torch.Generator().manual_seed(seed)))
    same = torch.equal(torch.get_rng_state(), before[0])
    assert same and (np.random.get_state()[1] == before[1]).all(), (
        "the global random state has changed: draw from the generator, and seed nothing"
    )
    assert tuple(orders.shape) == (count, pieces) and not orders.is_floating_point(), (
        f"{what}: integers of the shape {(count, pieces)} are wanted, not {tuple(orders.shape)}"
    )
    whole = orders.sort(1).values == torch.arange(pieces)
    assert whole.all(), f"{what}: {orders[int((~whole.all(1)).nonzero()[0])].tolist()} is no order"
    distances = (orders[:, None] != orders[None]).sum(-1) + pieces * torch.eye(count).long()
    a, b = divmod(int(distances.argmin()), count)
    assert distances.min() > 0, f"{what}: number {a} and number {b} are the same order"
    assert distances.min() >= least, (
        f"{what}: number {a} and number {b} differ in {distances.min()} places only; "
        f"{least} can be had"
    )
    torch.rand(3)
    again = torch.as_tensor(far_orders(pieces, count, torch.Generator().manual_seed(seed)))
    assert torch.equal(orders, again), "the same seed should give the same orders, and does not"
    return orders


@checks
def check_seeds(*wanted):
    first, second = check_far(*wanted, seed=2), check_far(*wanted, seed=3)
    assert not torch.equal(first, second), "two seeds should give two sets of orders"


check_matrix(torch.tensor([[0, 1, 2, 3], [1, 0, 2, 3], [3, 0, 1, 2], [0, 1, 2, 3]]))
check_far(9, 30, 6, seed=0)
check_far(27, 40, 24, seed=0)
check_far(4, 10, 2, seed=1)
check_seeds(9, 20, 6)
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(4)
with checks.core():
    check_matrix(torch.rand(12, 9, generator=generator).argsort(1))
    check_matrix(torch.rand(5, 27, generator=generator).argsort(1))
    check_far(9, 20, 1, seed=12)
with checks.further("one order"):
    check_matrix(torch.arange(3)[None])
    check_far(9, 1, 0, seed=8)
with checks.further("orders that are far apart"):
    check_far(8, 60, 4, seed=5)
    check_far(27, 100, 23, seed=6)
with checks.further("few pieces"):
    check_far(5, 20, 3, seed=7)
with checks.further("all orders that there are"):
    check_far(3, 6, 2, seed=9)
with checks.further("more orders than there are, and none"):
    for pieces, count in ((3, 7), (4, 25), (9, 0)):
        try:
            far_orders(pieces, count, torch.Generator())
        except InputError:
            continue
        raise AssertionError(f"{count} orders of {pieces} pieces should be refused: InputError")
### END HIDDEN TESTS
checks.end(points=25)

# %% [markdown]
# Beside orders drawn at random, and the library's, which for 9 and 27 pieces come from algebra
# (notebook 04):

# %% tags=["show"]
generator = torch.Generator().manual_seed(0)
for pieces in (9, 27):
    sets = {
        "at random": torch.rand(60, pieces, generator=generator).argsort(1),
        "yours": far_orders(pieces, 60, generator),
        "library's": permutation_set(pieces, 60),
    }
    for name, orders in sets.items():
        apart = hamming_matrix(orders)[~torch.eye(60, dtype=torch.bool)]
        print(f"{pieces:2} pieces, {name:9}: nearest two {apart.min():2}, mean", end=" ")
        print(f"{apart.float().mean():.2f}")

# %% [markdown]
# ## Part 2: shuffle, and put back (15 points)
#
# Each scan of a batch has pieces, numbered by their cells, and an order of its own:
#
# $$\text{shown}[s, v] = \text{pieces}[s,\, \text{order}[s, v]].$$
#
# Write it, and its inverse. Pieces may be anything: cubes of voxels, corners, single numbers; what
# comes behind the second axis is carried along.
#
# **Think before you write:** pieces 0 1 2 in the order (2, 0, 1) are shown as 2 0 1. What comes out
# if you shuffle *that* by the same order once more?
#
# <details><summary>Hint</summary>
#
# Index with two tensors at once: one says which scan, in a column, the other which piece. The
# inverse of a permutation is what sorts it.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a3-2-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def shuffle(pieces, orders):
    """Show each scan's pieces in its order.

    Args:
        pieces: (scan, piece, …).
        orders: (scan, piece) integers, each row an order.

    Returns:
        The same shape as ``pieces``.
    """
    ### BEGIN SOLUTION
    return pieces[torch.arange(len(pieces))[:, None], orders]
    ### END SOLUTION


def unshuffle(shown, orders):
    """The inverse: what is shown at place v goes back to its cell."""
    ### BEGIN SOLUTION
    return shown[torch.arange(len(shown))[:, None], orders.argsort(1)]
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a3-2-tests", "locked": true, "points": 15, "schema_version": 3, "solution": false, "task": false}
import torch

from ssl3d_lite.course.checks import Checks

checks = Checks()


@checks
def check_shuffle(pieces, orders):
    kept = pieces.clone(), orders.clone()
    shown = torch.as_tensor(shuffle(pieces, orders))
    assert torch.equal(pieces, kept[0]) and torch.equal(orders, kept[1]), (
        "the pieces or orders that you were given have been changed"
    )
    assert tuple(shown.shape) == tuple(pieces.shape), (
        f"pieces of the shape {tuple(pieces.shape)} became {tuple(shown.shape)}"
    )
    for scan, order in enumerate(orders.tolist()):
        for place, cell in enumerate(order):
            assert torch.equal(shown[scan, place], pieces[scan, cell]), (
                f"scan {scan} in the order {order}: at place {place} piece {cell} should be shown"
            )
    back = torch.as_tensor(unshuffle(shown.clone(), orders))
    for scan, order in enumerate(orders.tolist()):
        for cell in range(len(order)):
            assert torch.equal(back[scan, cell], pieces[scan, cell]), (
                f"scan {scan} in the order {order}: put back, cell {cell} should hold its piece"
            )


check_shuffle(torch.tensor([[10, 11, 12]]), torch.tensor([[2, 0, 1]]))
check_shuffle(torch.tensor([[10, 11, 12], [20, 21, 22]]), torch.tensor([[2, 0, 1], [0, 2, 1]]))
check_shuffle(torch.rand(3, 9, 1, 4, 4), torch.rand(3, 9).argsort(1))
### BEGIN HIDDEN TESTS
generator = torch.Generator().manual_seed(21)


def check_both_ways(scans, pieces, rest):
    orders = torch.rand(scans, pieces, generator=generator).argsort(1)
    check_shuffle(torch.rand(scans, pieces, *rest, generator=generator), orders)
    other = torch.rand(scans, pieces, *rest, generator=generator)  # never shuffled before
    back = torch.as_tensor(unshuffle(other, orders))
    for scan, order in enumerate(orders.tolist()):
        right = torch.stack([other[scan, order.index(cell)] for cell in range(pieces)])
        assert torch.equal(back[scan], right), "put back, pieces stand in other cells than theirs"


with checks.core():
    check_both_ways(5, 27, (2, 3, 3, 3))
    check_both_ways(9, 9, (1, 2, 5))
with checks.further("as many scans as pieces"):
    check_both_ways(27, 27, (3,))
with checks.further("one scan, pieces of one number"):
    check_both_ways(1, 4, ())
### END HIDDEN TESTS
checks.end(points=15)


# %%
from ssl3d_lite.tasks.permutations import reorder as shuffle

# %% [markdown]
# ## Part 3: the puzzle (25 points)
#
# First, `normalise_pieces`: each piece **and each channel of it** by itself to mean 0, variance 1
# (over its voxels, divided by their number). Else a piece's brightness tells its cell, since
# scans are darker towards the rim, and the network would learn a light meter. A piece of one value
# becomes 0, and nothing becomes NaN. What was given stays as it was.
#
# Then `make_views`. The rest of the class is given below; look at `sample_params`: for each scan the number of its
# order, `permutation` (S, 1), and for each **cell** by how many voxels its piece is moved, `shift`
# (S, pieces, D). In 3D there are 27 pieces, in 2D 9. Pose
#
# - finds where each cell's piece begins: `puzzle_corners(space, 3, patch, jitter)` gives the first
#   voxels (pieces, D) of all cells before the shift;
# - cuts the pieces, and shows each scan's in its order: `views` (S, pieces, channel, *patch*);
# - normalises them, if `self.settings.normalise` is on; else they stay as they are;
# - answers with the number of the order: `target` (S, 1);
# - says where each view came from: `Placement(matrix, grid=(3,) * D)`, where `matrix`
#   (S, pieces, D+1, D+1) takes a voxel of the view that is **shown at place v** to the scan's.
#   `shift_matrix(corners)` makes it.
#
# It draws nothing at random and changes nothing that it is given.
#
# <details><summary>Hint: less work</summary>
#
# Whether you cut first and shuffle the pieces, or shuffle the corners and cut in the shown order,
# the views are the same. But the placement needs the shuffled corners anyway.
#
# </details>
#
# <details><summary>Hint: the piece of one value</summary>
#
# Its variance is 0. Divide by the square root of variance plus something far smaller than any real
# variance (1e-5). Or replace 0 by 1 before you divide: that is right here, but a mean that was
# rounded may leave 1e-17 in place of 0.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a3-3-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def normalise_pieces(views):
    """Each piece and channel to mean 0 and variance 1: (scan, piece, channel, *patch), new."""
    ### BEGIN SOLUTION
    axes = tuple(range(3, views.ndim))
    spread, mean = torch.var_mean(views, axes, correction=0, keepdim=True)
    return (views - mean) / (spread + 1e-5).sqrt()
    ### END SOLUTION


class MyJigsaw(ProxyTask):
    """In which order are the pieces?"""

    name = "my-jigsaw"
    Settings = JigsawSettings  # patch, jitter, permutations, permutation_seed, normalise, hidden

    def __init__(self, settings, encoder):
        super().__init__(settings, encoder)  # gives self.settings and self.dims, 2 or 3
        s, pieces = settings, 3**self.dims
        self.orders = permutation_set(pieces, s.permutations, s.permutation_seed)
        self.head = head(pieces * encoder.width, s.hidden, s.permutations)

    def sample_params(self, volumes, generator):
        s, shape = self.settings, (len(volumes), 3**self.dims, self.dims)
        return {
            "permutation": torch.randint(s.permutations, (len(volumes), 1), generator=generator),
            "shift": torch.randint(s.jitter + 1, shape, generator=generator),
        }

    def make_views(self, volumes, params):
        ### BEGIN SOLUTION
        s = self.settings
        corners = puzzle_corners(volumes.shape[2:], 3, s.patch, s.jitter) + params["shift"]
        corners = shuffle(corners, self.orders[params["permutation"][:, 0]])
        views = cut(volumes, corners, (s.patch,) * self.dims)
        views = normalise_pieces(views) if s.normalise else views
        placement = Placement(shift_matrix(corners), grid=(3,) * self.dims)
        return ProxyBatch(views, params["permutation"].to(views.device), placement)
        ### END SOLUTION

    def forward(self, encoder, batch):
        features = global_avg_pool(encoder(batch.views.flatten(0, 1)))  # each piece by itself
        return self.head(features.view(len(batch.views), -1))


# %% nbgrader={"grade": true, "grade_id": "a3-3-tests", "locked": true, "points": 25, "schema_version": 3, "solution": false, "task": false}
import torch

from ssl3d_lite.course.checks import Checks
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks.jigsaw import JigsawSettings
from ssl3d_lite.tasks.permutations import permutation_set

checks = Checks()


@checks
def check_normalised(views):
    kept = views.clone()
    mine = torch.as_tensor(normalise_pieces(views))
    assert torch.equal(views, kept), "the pieces that you were given have been changed"
    assert tuple(mine.shape) == tuple(views.shape), f"{tuple(views.shape)} → {tuple(mine.shape)}"
    assert mine.isfinite().all(), "there are values that are no number (NaN) or infinite"
    for at in torch.cartesian_prod(*(torch.arange(n) for n in views.shape[:3])).tolist():
        raw, given = views[tuple(at)].double(), mine[tuple(at)].double()
        spread = raw.var(correction=0).sqrt()
        right = (raw - raw.mean()) / spread if spread > 0 else torch.zeros_like(raw)
        assert torch.allclose(given, right, atol=0.01), (
            f"scan {at[0]}, piece {at[1]}, channel {at[2]}: mean and variance should be "
            f"{right.mean().abs():.0f} and {right.var(correction=0):.2f}, but are "
            f"{given.mean():.2f} and {given.var(correction=0):.2f}"
        )


def make_jigsaw(dims, **settings):
    encoder = EncoderSettings(in_channels=dims, spatial_dims=dims, filters=(2, 4))
    settings = {"permutations": 12, "hidden": 4} | settings
    settings = JigsawSettings(**settings)
    return MyJigsaw(settings, encoder), settings, encoder


@checks
def check_jigsaw(space, seed, scans=3, **settings):
    """Volumes that hold, in channel a, each voxel's place along axis a, and 100 for each scan."""
    dims = len(space)
    places = torch.stack(torch.meshgrid(*(torch.arange(n) for n in space), indexing="ij")).float()
    volumes = places + 100.0 * torch.arange(scans).view(-1, 1, *(1,) * dims)
    task, s, encoder = make_jigsaw(dims, **settings)
    count, generator = 3**dims, torch.Generator().manual_seed(seed)
    params = {
        "permutation": torch.randint(s.permutations, (scans, 1), generator=generator),
        "shift": torch.randint(s.jitter + 1, (scans, count, dims), generator=generator),
    }
    kept = volumes.clone(), {name: each.clone() for name, each in params.items()}
    state, orders = (
        torch.get_rng_state(),
        permutation_set(count, s.permutations, s.permutation_seed),
    )
    batch = task.make_views(volumes, params)
    assert torch.equal(torch.get_rng_state(), state), "pose should draw nothing at random"
    assert torch.equal(volumes, kept[0]), "the volumes that pose was given have been changed"
    assert all(torch.equal(params[n], kept[1][n]) for n in params), "the draw has been changed"
    assert torch.equal(orders, task.orders), "the task's orders have been changed"
    wanted = (scans, count, dims, *(s.patch,) * dims)
    assert tuple(batch.views.shape) == wanted, (
        f"{dims}D: views should have the shape {wanted}, not {tuple(batch.views.shape)}"
    )
    assert torch.equal(batch.target, params["permutation"]), (
        f"{dims}D: the targets should be the numbers of the orders, "
        f"{params['permutation'].flatten().tolist()}"
    )
    grid = tuple(batch.placement.grid)
    assert grid == (3,) * dims, f"{dims}D: the pieces form a grid of {(3,) * dims}, not {grid}"
    cells = torch.cartesian_prod(*[torch.arange(3)] * dims)
    whole = torch.tensor(space) // 3
    for scan in range(scans):
        order = orders[int(params["permutation"][scan])].tolist()
        for place, cell in enumerate(order):
            start = cells[cell] * whole + (whole - s.patch - s.jitter) // 2
            start = (start + params["shift"][scan, cell]).tolist()
            what = f"{dims}D, scan {scan}: place {place} should show the piece of cell {cell}"
            right = volumes[(scan, slice(None), *(slice(c, c + s.patch) for c in start))]
            mine = batch.views[scan, place].to(right.dtype)
            if s.normalise:
                spread, mean = torch.var_mean(right.flatten(1), 1, correction=0)
                right = (right - mean.view(-1, *(1,) * dims)) / spread.view(-1, *(1,) * dims).sqrt()
                assert torch.allclose(mine, right, atol=0.01), (
                    f"{what}, normalised; its channel 0 has mean {mine[0].mean():.2f} and variance "
                    f"{mine[0].var(correction=0):.2f}"
                )
            else:
                shows = (mine[(slice(None), *[0] * dims)] - 100 * scan).tolist()
                assert torch.equal(mine, right), (
                    f"{what}, which begins at voxel {start}, but what it shows begins at {shows}"
                )
            says = batch.placement.matrix[scan, place].float()
            assert torch.equal(says[:dims, :dims], torch.eye(dims)), "nothing is turned here"
            assert says[:dims, dims].tolist() == start, (
                f"{what}, from voxel {start} on, but its placement says "
                f"{says[:dims, dims].tolist()}"
            )
    return task, encoder, batch


generator = torch.Generator().manual_seed(0)
pieces = torch.rand(2, 3, 2, 4, 4, 4, generator=generator) * torch.tensor([1.0, 50.0]).view(
    2, 1, 1, 1
)
pieces[1, 2, 0] = 7.0  # a piece of one value
check_normalised(pieces)
check_jigsaw((33, 36, 34), 0, normalise=False)
check_jigsaw((33, 36, 34), 1)
check_jigsaw((24, 27), 2, normalise=False, patch=5, jitter=2)
### BEGIN HIDDEN TESTS


def check_it_learns(space):
    task, encoder, batch = check_jigsaw(space, 9, patch=4, jitter=1)
    answer = task(make_encoder(encoder, seed=0), batch)
    assert answer.shape == (3, 12), "one answer for each scan"
    loss = task.loss(answer, batch)
    loss.backward()
    assert loss.isfinite() and next(task.parameters()).grad is not None, "it cannot be trained"


with checks.core():
    check_jigsaw((21, 40, 31), 6, 4, normalise=False, patch=4, jitter=2, permutations=30)
    check_jigsaw((24, 29, 26), 5, 2, normalise=False, patch=5, jitter=1)
    check_it_learns((16, 17, 18))
with checks.further("pieces normalised"):
    check_normalised(3 + torch.rand(3, 9, 1, 5, 5, generator=generator))
    check_jigsaw((30, 41, 33), 8, 5, patch=6, jitter=3)
with checks.further("a piece of one value"):
    check_normalised(torch.full((1, 4, 2, 3, 3, 3), 0.5))  # whose mean is exact, by any formula
with checks.further("no jitter"):
    check_jigsaw((20, 19, 21), 7, 2, normalise=False, patch=6, jitter=0)
with checks.further("two axes"):
    check_jigsaw((30, 41), 8, 5, patch=6, jitter=3)
    check_it_learns((18, 16))
### END HIDDEN TESTS
checks.end(points=25)

# %% [markdown]
# Your task in the library's views:

# %% tags=["show"]
from IPython.display import display

from ssl3d_lite import show

task = MyJigsaw(JigsawSettings(permutations=size["orders"]), shape)
batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
display(show.shuffled_pieces(volumes, batch))
display(show.Puzzle3D(volumes, batch))

# %% [markdown]
# *What to look at:* press *put back*. Do the pieces go where they belong? They do if your placement
# tells the truth.

# %%
# from here on the library's own
from ssl3d_lite.tasks.jigsaw import Jigsaw

# %% [markdown]
# ## Part 4: a solver that looks at borders alone (20 points)
#
# Is the puzzle honest? Try to solve it **without a network**, by a rule that knows no anatomy. If
# that works, a network will find the rule too, and need not learn more. The oldest such rule is
# that of anyone with a jigsaw on the table: what runs on from one piece to the next belongs
# together.
#
# For each candidate order, put the pieces back by it, and see how well the faces of neighbours fit.
# If $B_m$ and $B_{m'}$ are the pieces in neighbouring cells along axis $a$, the last layer of
# voxels of the first meets the first layer of the second:
#
# $$\text{cost}(\pi) = \sum_{a} \; \sum_{(m, m') \text{ neighbours along } a}
# \bigl\langle\, \bigl| B_m[\ldots, \text{last along } a, \ldots] - B_{m'}[\ldots,
# \text{first along } a, \ldots] \bigr| \,\bigr\rangle,$$
#
# with the mean $\langle \cdot \rangle$ over the voxels of a face and the channels. The answer is
# the order with the lowest cost. Write it for grids of `side` pieces along each axis, in 2D and 3D,
# for all scans. A loop over the orders is fine; one over scans is not needed.
#
# <details><summary>Hint: a grid again</summary>
#
# Put back, the pieces stand in the order of their cells, the last axis fastest. So
# `home.unflatten(1, (side,) * dims)` has the axes (scan, *grid*, channel, *patch*). Neighbours
# along the first grid axis: all but the last layer, beside all but the first. `narrow` takes
# layers, and `select(axis, -1)` the last face.
#
# </details>
#
# <details><summary>Hint: try it small</summary>
#
# Take a 2D picture whose values are their own row and column, cut it into 2 × 2 pieces without
# gaps, and work out by hand what the cost of the right order is.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a3-4-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def solve_by_borders(views, orders, side):
    """Name each scan's order by how well borders fit.

    Args:
        views: (scan, side**D, channel, *patch), pieces as they are shown; D is 2 or 3.
        orders: (P, side**D), the candidates: order[v] is the cell of what is shown at place v.
        side: pieces along each axis.

    Returns:
        (scan,) integers, the numbers of the orders.
    """
    ### BEGIN SOLUTION
    dims, costs = views.ndim - 3, []
    for order in orders:
        home = views[:, order.argsort()].unflatten(1, (side,) * dims)
        cost = torch.zeros(len(views))
        for axis in range(dims):
            face = 2 + dims + axis  # behind scan, grid and channel
            before = home.narrow(1 + axis, 0, side - 1).select(face, -1)
            after = home.narrow(1 + axis, 1, side - 1).select(face, 0)
            cost += (before - after).abs().flatten(1).mean(1)
        costs.append(cost)
    return torch.stack(costs).argmin(0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a3-4-tests", "locked": true, "points": 20, "schema_version": 3, "solution": false, "task": false}
import torch

from ssl3d_lite.course.checks import Checks
from ssl3d_lite.tasks.geometry import cut, grid_corners

checks = Checks()


def smooth_noise(scans, channels, space, generator):
    """Noise in which neighbours are alike."""
    coarse = torch.randn(scans, channels, *(n // 5 + 2 for n in space), generator=generator)
    mode = {2: "bicubic", 3: "trilinear"}[len(space)]
    return torch.nn.functional.interpolate(coarse, size=space, mode=mode, align_corners=True)


@checks
def check_solver(dims, side, patch, orders, seed, scans=6, channels=2, what=""):
    """Pieces that touch each other: borders tell everything."""
    generator = torch.Generator().manual_seed(seed)
    volumes = smooth_noise(scans, channels, (side * patch,) * dims, generator)
    truth = torch.randint(len(orders), (scans,), generator=generator)
    truth[0] = len(orders) - 1
    corners = grid_corners((side,) * dims, patch)[orders[truth]]
    views = cut(volumes, corners, (patch,) * dims)
    kept = views.clone(), orders.clone()
    mine = torch.as_tensor(solve_by_borders(views, orders, side))
    assert torch.equal(views, kept[0]) and torch.equal(orders, kept[1]), (
        "the views or orders that you were given have been changed"
    )
    assert tuple(mine.shape) == (scans,), f"{scans} scans have {scans} answers, not {mine.shape}"
    right = int((mine == truth).sum())
    assert right == scans, (
        f"{dims}D, {side} pieces an axis{what}: on smooth noise in pieces that touch, borders tell "
        f"all, but your solver has {right} of {scans} right: {mine.tolist()} for {truth.tolist()}"
    )


def some_orders(pieces, count, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, pieces, generator=generator).argsort(1)


check_solver(2, 2, 6, some_orders(4, 5, seed=1), seed=0)
check_solver(2, 3, 6, some_orders(9, 20, seed=0), seed=0)
check_solver(3, 3, 6, some_orders(27, 20, seed=0), seed=0)
### BEGIN HIDDEN TESTS


def rows_shuffled(dims, axis):
    """Whole rows change places: along their own axis, all borders fit in any order."""
    rows, shuffled = torch.arange(3**dims).view((3,) * dims).movedim(axis, 0).reshape(3, -1), []
    for row_order in some_orders(rows.shape[1], 8, seed=axis):
        moved = rows[:, row_order].reshape(3, *[3] * (dims - 1))
        shuffled.append(moved.movedim(0, axis).flatten())
    return torch.stack(shuffled).unique(dim=0)


with checks.core():
    check_solver(2, 3, 8, some_orders(9, 40, seed=6), seed=7, scans=12, channels=3)
    check_solver(3, 3, 5, some_orders(27, 60, seed=8), seed=9)
with checks.further("two or four pieces an axis"):
    check_solver(3, 2, 7, some_orders(8, 30, seed=2), seed=3, scans=9, channels=1)
    check_solver(2, 4, 5, some_orders(16, 60, seed=4), seed=5, scans=1)
for dims in (2, 3):
    with checks.further(f"whole rows shuffled, in {dims}D"):
        for axis in range(dims):
            what = f", along axis {axis}"
            check_solver(dims, 3, 6, rows_shuffled(dims, axis), seed=10 + axis, what=what)
### END HIDDEN TESTS
checks.end(points=20)

# %% [markdown]
# Now on the real puzzle. Three versions of it: pieces as large as their cells and never moved;
# smaller ones with gaps but without jitter; and the library's defaults. Each with and without
# normalising the pieces, on scans, and on smooth noise that was put in their place: **the
# control**. There is no anatomy in noise, so whoever solves it there has cheated.
#
# How smooth must the noise be? Here neighbours are alike over some four voxels, less than the gaps
# are wide. Noise that is smoother than that leaks across a gap, and so does whatever is smooth in a
# scan.
#
# **Predict before you run:** which of the twelve will the border solver solve?


# %%
def noise_like(volumes, seed=0):
    """Smooth noise of the same shape."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(
        *volumes.shape[:2], *(n + 4 for n in volumes.shape[2:]), generator=generator
    )
    pool = torch.nn.functional.avg_pool3d
    return pool(pool(noise, 3, 1), 3, 1)


def puzzles(task, volumes, rounds, seed=0):
    """Views (puzzle, piece, …) and answers (puzzle,): each volume posed several times."""
    generator = torch.Generator().manual_seed(seed)
    batches = [
        task.make_views(volumes, task.sample_params(volumes, generator)) for _ in range(rounds)
    ]
    return torch.cat([b.views for b in batches]), torch.cat([b.target[:, 0] for b in batches])


VERSIONS = {
    "pieces that touch": JigsawSettings(patch=13, jitter=0, permutations=size["orders"]),
    "gaps, no jitter": JigsawSettings(patch=8, jitter=0, permutations=size["orders"]),
    "gaps and jitter": JigsawSettings(patch=8, jitter=3, permutations=size["orders"]),
}
seen = cohort.images(split.validation).cpu()

# %% tags=["show"]
from dataclasses import replace

noise = noise_like(seen)
for normalise in (False, True):
    for name, settings in VERSIONS.items():
        task = Jigsaw(replace(settings, normalise=normalise), shape)
        told = f"normalise={normalise!s:5} {name:18}"
        for kind, held_out in {"scans": seen, "noise": noise}.items():
            views, truth = puzzles(task, held_out, size["rounds"])
            right = int((solve_by_borders(views, task.permutations, 3) == truth).sum())
            told += f" {kind}: {right:3} of {len(truth)}"
        print(told, f"({len(truth) / size['orders']:.1f} by chance)")

# %% [markdown]
# *What to look at:* where do scans and noise differ, and what can a border tell on scans that it
# cannot on noise, gaps or not? Which line is the honest puzzle?
#
# Another shortcut is brightness. This solver knows one number a cell, its mean brightness in the
# training scans, and takes the order that fits best. What does normalising each piece do to it?

# %% tags=["show"]
from dataclasses import replace


def solve_by_brightness(views, orders, usual):
    means = views.flatten(2).mean(2)  # (puzzle, piece)
    costs = [(means - usual[order]).square().sum(1) for order in orders]
    return torch.stack(costs).argmin(0)


for normalise in (False, True):
    task = Jigsaw(replace(VERSIONS["gaps and jitter"], normalise=normalise), shape)
    views, truth = puzzles(task, cohort.images(split.train).cpu(), 1)
    cells = [task.permutations[t].argsort() for t in truth]
    usual = torch.stack([v[c].flatten(1).mean(1) for v, c in zip(views, cells)]).mean(0)
    views, truth = puzzles(task, seen, size["rounds"])
    right = int((solve_by_brightness(views, task.permutations, usual) == truth).sum())
    print(f"normalise={normalise!s:5}: {right:3} of {len(truth)} right by brightness alone")

# %% [markdown]
# ## Part 5: better than chance? and by what? (15 points)
#
# Two of 40 puzzles right, where guessing gives 1 in 100. Is that something? If $X$ is the number
# right of $n$ by guessing with chance $c$, the question is how likely it is to have **at least** as
# many as were seen,
#
# $$p = P(X \ge k) = \sum_{x = k}^{n} \binom{n}{x} c^x (1 - c)^{n - x}.$$
#
# For small numbers the normal approximation is far off, so take the sum (or `scipy.stats.binom`).
# It presumes that the puzzles are independent. Several puzzles of one scan are not quite; more
# scans are better than more rounds.
#
# Then a verdict, from a score on scans and one on noise, both of `asked` puzzles with the same
# chance. Call a score *above chance* if $p < \alpha$.
#
# - `"shortcut"`: above chance on **noise**, whatever it is on scans;
# - `"anatomy"`: above chance on scans, and not on noise;
# - `"guessing"`: neither.
#
# **Think before you write:** an accuracy of 30 % on scans and 3 % on noise with a chance of 1 %, of
# 1000 puzzles each. Most of it is anatomy, is it not? The verdict is still `"shortcut"`: there is a
# way to cheat, and you do not know how much of the 30 % went that way.
#
# <details><summary>Hint</summary>
#
# `scipy.stats.binom.sf(k, n, c)` is $P(X > k)$, with $>$. And what is $P(X \ge 0)$?
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a3-5-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def p_above_chance(right, asked, chance):
    """How likely guessing has ``right`` or more of ``asked`` puzzles right.

    Args:
        chance: of one guess, above 0 and below 1.
    """
    ### BEGIN SOLUTION
    from scipy.stats import binom

    return float(binom.sf(right - 1, asked, chance))
    ### END SOLUTION


def verdict(right_on_scans, right_on_noise, asked, chance, alpha=0.01):
    """ "shortcut", "anatomy" or "guessing"."""
    ### BEGIN SOLUTION
    if p_above_chance(right_on_noise, asked, chance) < alpha:
        return "shortcut"
    return "anatomy" if p_above_chance(right_on_scans, asked, chance) < alpha else "guessing"
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a3-5-tests", "locked": true, "points": 15, "schema_version": 3, "solution": false, "task": false}
from math import comb

from ssl3d_lite.course.checks import Checks

checks = Checks()


@checks
def check_p(right, asked, chance):
    terms = [comb(asked, x) * chance**x * (1 - chance) ** (asked - x) for x in range(asked + 1)]
    expected, found = sum(terms[right:]), float(p_above_chance(right, asked, chance))
    assert abs(found - expected) < 1e-9 + 1e-6 * expected, (
        f"{right} of {asked} or more, with a chance of {chance:g} each: guessing has that with "
        f"probability {expected:.6f}, but you say {found:.6f}"
    )


@checks
def check_verdict(scans, noise, asked, chance, expected, **alpha):
    found = verdict(scans, noise, asked, chance, **alpha)
    assert found == expected, (
        f"scans {scans} of {asked}, noise {noise} of {asked}, chance {chance:g}, "
        f"{alpha or 'alpha=0.01'}: this is {expected!r}, but you say {found!r}"
    )


check_p(1, 1, 0.25)
check_p(2, 40, 0.01)
check_p(0, 40, 0.01)
check_p(30, 100, 0.1)
check_verdict(300, 30, 1000, 0.01, "shortcut")
check_verdict(300, 12, 1000, 0.01, "anatomy")
check_verdict(13, 9, 1000, 0.01, "guessing")
### BEGIN HIDDEN TESTS
with checks.core():
    for right, asked, chance in ((3, 3, 0.5), (5, 40, 0.1), (60, 60, 0.9), (7, 26, 1 / 26)):
        check_p(right, asked, chance)
        check_p(right - 1, asked, chance)
with checks.further("one right of many"):
    check_p(1, 200, 0.01)
    check_p(0, 200, 0.01)
with checks.further("a shortcut"):
    check_verdict(12, 900, 1000, 0.01, "shortcut")
    check_verdict(900, 900, 1000, 0.01, "shortcut")
    check_verdict(3, 3, 40, 0.01, "shortcut")
with checks.further("guessing, and anatomy"):
    check_verdict(2, 0, 40, 0.01, "guessing")
    check_verdict(3, 0, 40, 0.01, "anatomy")  # p = 0.007
    check_verdict(0, 0, 5, 0.5, "guessing")  # far below chance is no success
with checks.further("another level"):
    check_verdict(2, 0, 40, 0.01, "anatomy", alpha=0.1)
    check_verdict(3, 3, 40, 0.01, "guessing", alpha=0.001)
### END HIDDEN TESTS
checks.end(points=15)

# %% [markdown]
# All of it together. Train a jigsaw on scans, ask it held-out scans; train another on noise, ask it
# held-out noise; and judge. Do it for pieces that touch and for the defaults. (At smoke scale too
# little is learnt to conclude anything.)

# %% tags=["show"]
from dataclasses import replace

everything = range(len(cohort))
scans = cohort.images(everything).cpu()
noise_cohort = replace(cohort, resident=(noise_like(scans), cohort.labels(everything).cpu()))


def learn(settings, here):
    """Train, and count the right answers on validation cases."""
    torch.manual_seed(0)
    task, encoder = Jigsaw(settings, shape), make_encoder(shape, seed=0)
    training = TrainSettings(steps=size["steps"], batch=8, learning_rate=2e-3)
    pretrain(task, encoder, here, split.pretrain, training)
    task, encoder = task.cpu().eval(), encoder.cpu()
    held_out = here.images(split.validation).cpu()
    generator, right = torch.Generator().manual_seed(1), 0
    with torch.inference_mode():
        for _ in range(size["rounds"]):
            batch = task.make_views(held_out, task.sample_params(held_out, generator))
            right += int((task(encoder, batch).argmax(1) == batch.target[:, 0]).sum())
    return right, size["rounds"] * len(held_out)


for name in ("pieces that touch", "gaps and jitter"):
    on_scans, asked = learn(VERSIONS[name], cohort)
    on_noise, _ = learn(VERSIONS[name], noise_cohort)
    found = verdict(on_scans, on_noise, asked, 1 / size["orders"])
    print(f"{name:18} scans {on_scans}, noise {on_noise} of {asked}: {found}")

# %% [markdown]
# *What to look at:* did the network find what the border solver found? It sees each piece by
# itself and its head sees features alone, so to match borders is harder for it than for you. A
# shortcut that a rule finds may stay unused by one network and not by the next. That is a reason to
# close it, not to forget it.
#
# ## What you have now
#
# A puzzle, two ways to cheat, what closes them, and a way to judge by. The same noise control works
# for every proxy task of this course: notebook 08 has the others. Compare your search with
# `ssl3d_lite/tasks/permutations.py` and your puzzle with `ssl3d_lite/tasks/jigsaw.py`.
#
# ## References
#
# Doersch, Gupta and Efros, *Unsupervised Visual Representation Learning by Context Prediction*,
# ICCV 2015. Noroozi and Favaro, *Unsupervised Learning of Visual Representations by Solving Jigsaw
# Puzzles*, ECCV 2016. Taleb et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS 2020.

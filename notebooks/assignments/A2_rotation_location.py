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
# # Assignment 2: rotation and relative location
#
# **You will show that you can:** turn a volume exactly and say where each voxel came from; draw
# puzzles that are balanced and can be drawn again; and write two proxy tasks, in 2D and in 3D by
# the same lines, that the library trains and draws as if they were its own.
#
# **Time:** three to four hours. **Read first:** notebooks 02 (rotation) and 03 (relative location).
# **Points:** 100, in five parts of 20.
#
# | part | what you write |
# |---|---|
# | 1 | a quarter turn, the way back, and its matrix |
# | 2 | draws that are dealt evenly |
# | 3 | rotation: pose the puzzle |
# | 4 | relative location: the 26 places and where their patches stand |
# | 5 | relative location: draw and pose |
#
# **How it works.** Write your code where it says `YOUR CODE HERE` and take out the line that raises
# `NotImplementedError`. The cell behind each part checks it and says what is wrong. The grader
# runs the same checks and some more, with other shapes, seeds and dimensions, so do not write for
# the examples. Keep names and arguments as they are. Changes to the check cells are undone before
# grading. The parts do not depend on each other: from each part on, the library's own version takes
# the place of yours. Before you hand in: *Kernel → Restart and run all*.
# That goes on past checks that fail. The grader gives your notebook five minutes at the scale
# `smoke`, a cell 75 seconds, and all cells that you added half of the time together. So take long
# experiments out, or put them behind `if scale() != "smoke":`.
#
# The library has both tasks, of course, and you will find them if you look. Do look, afterwards.
# Some things are asked for here in another way.

# %%
# %matplotlib inline

# %%
from itertools import product

import torch

from ssl3d_lite.data.opening import open_cohort, scale
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.proxy import proxy_score
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.heads import global_avg_pool, head
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import Placement, ProxyBatch, ProxyTask
from ssl3d_lite.tasks.geometry import TURN_PLANES, cut, quarter_turns, random_corner, shift_matrix
from ssl3d_lite.tasks.relative_location import RelativeLocationSettings
from ssl3d_lite.tasks.rotation import RotationSettings
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import TrainSettings

SIZES = {
    "smoke": {"cases": 12, "filters": (4, 8), "rotation": 10, "location": 10},
    "class": {"cases": 60, "filters": (16, 32, 64), "rotation": 100, "location": 300},
    "full": {"cases": 200, "filters": (32, 64, 128), "rotation": 800, "location": 4000},
}
size = SIZES[scale()]

# %%
cohort = open_cohort("hippocampus", cases=size["cases"])
split = cohort.split()
volumes = cohort.images(split.pretrain[:2])
shape = EncoderSettings(in_channels=len(cohort.channels), filters=size["filters"])

# %% [markdown]
# ## Part 1: a quarter turn, the way back, and its matrix (20 points)
#
# A turn has a *plane* of two axes $(a, b)$, counted among the space axes, and a number of
# *quarters*. One quarter takes what lies at the far end of axis $a$ to the far end of axis $b$.
# With $n$ voxels along an edge,
#
# $$\text{turned}[i, j] = \text{before}[j,\; n - 1 - i],$$
#
# where $i$ stands at axis $a$ and $j$ at axis $b$; the third axis stays. Two quarters are this
# twice, $-1$ is three, and 4 is nothing. No value is computed: voxels change places, exactly.
#
# Write
#
# - `turn`, for a batch (scan, channel, *space*);
# - `turn_back`, which undoes it;
# - `turn_matrix`, which says where a voxel of the turned volume was *before* the turn:
#
# $$\begin{pmatrix} \text{voxel before} \\ 1 \end{pmatrix} = T \begin{pmatrix} \text{voxel of the
# turned volume} \\ 1 \end{pmatrix},$$
#
# a matrix of $D + 1$ rows, for a cube (in 2D: a square) of edge $n$. All views draw with such
# matrices, so one in the wrong direction shows at once. **Think before you write:** what is the
# determinant of its upper left part, and what would a determinant of $-1$ mean?
#
# <details><summary>Hint: the turn</summary>
#
# Swap two axes, then flip one of them: `tensor.transpose(...)`, `tensor.flip(...)`. Which one is to
# be flipped? Try a 2 × 2 picture on paper. Mind that batch and channel stand before the space axes.
#
# </details>
#
# <details><summary>Hint: the matrix</summary>
#
# Read the formula above row by row: the voxel before has $j$ at axis $a$ and $n - 1 - i$ at axis
# $b$. That is one quarter. For more, multiply the matrix by itself.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a2-1-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def turn(volumes, plane, quarters):
    """Turn volumes by quarters of a circle.

    Args:
        volumes: (scan, channel, *space), in 2D or 3D.
        plane: two space axes, counted from 0.
        quarters: any whole number.

    Returns:
        The turned volumes.
    """
    ### BEGIN SOLUTION
    a, b = 2 + plane[0], 2 + plane[1]
    for _ in range(quarters % 4):
        volumes = volumes.transpose(a, b).flip(a)
    return volumes
    ### END SOLUTION


def turn_back(volumes, plane, quarters):
    """Undo ``turn(volumes, plane, quarters)``."""
    ### BEGIN SOLUTION
    return turn(volumes, plane, -quarters)
    ### END SOLUTION


def turn_matrix(plane, quarters, edge, dims):
    """Voxel of the turned volume → voxel before: a float tensor (dims + 1, dims + 1)."""
    ### BEGIN SOLUTION
    a, b = plane
    once = torch.eye(dims + 1)
    once[a], once[b] = torch.zeros(dims + 1), torch.zeros(dims + 1)
    once[a, b], once[b, a], once[b, dims] = 1, -1, edge - 1
    matrix = torch.eye(dims + 1)
    for _ in range(quarters % 4):
        matrix = matrix @ once
    return matrix
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a2-1-tests", "locked": true, "points": 20, "schema_version": 3, "solution": false, "task": false}
import torch

from ssl3d_lite.course.checks import Checks, differing
from ssl3d_lite.tasks.geometry import TURN_PLANES

checks = Checks()


@checks
def check_turn(dims, edge, plane, quarters):
    """A cube that holds the number of each of its voxels."""
    what = f"{dims}D, edge {edge}, plane {plane}, {quarters} quarters"
    cube = torch.arange(2.0 * edge**dims).view(1, 2, *(edge,) * dims).expand(3, -1, *(edge,) * dims)
    kept = cube.clone()
    turned = turn(cube, plane, quarters)
    assert torch.equal(cube, kept), "the volumes that you were given have been changed"
    assert turned.shape == cube.shape, (
        f"{what}: {tuple(cube.shape)} has become {tuple(turned.shape)}"
    )
    right = torch.rot90(cube, quarters, (2 + plane[0], 2 + plane[1]))
    if not torch.equal(turned, right):
        start = [edge - 1 if axis == plane[0] else 0 for axis in range(dims)]
        value = cube[(0, 0, *start)]
        mine = (turned[0, 0] == value).nonzero()[:1].flatten().tolist()
        wanted = (right[0, 0] == value).nonzero()[0].tolist()
        raise differing(
            f"{what}: the voxel {start} should come to {wanted}, but comes to {mine or 'nowhere'}",
            turned[0, 0],
            right[0, 0],
        )
    back = turn_back(turned, plane, quarters)
    assert torch.equal(back, cube), f"{what}: turned back, the volume is not what it was"
    matrix = torch.as_tensor(turn_matrix(plane, quarters, edge, dims))
    assert matrix.shape == (dims + 1, dims + 1) and matrix.is_floating_point(), (
        f"{what}: the matrix should be a float tensor of {dims + 1} rows and columns"
    )
    determinant = float(torch.linalg.det(matrix[:dims, :dims]))
    assert abs(determinant - 1) < 1e-5, (
        f"{what}: your matrix has the determinant {determinant:.0f}, so it is not a turn"
    )
    voxels = torch.cartesian_prod(*[torch.arange(edge)] * dims)
    before = torch.cat([voxels.float(), torch.ones(len(voxels), 1)], 1) @ matrix.float().T
    for voxel, place in zip(voxels.tolist(), before[:, :dims].round().int().tolist()):
        wanted = (cube[0, 0] == right[(0, 0, *voxel)]).nonzero()[0].tolist()
        assert place == wanted, (
            f"{what}: voxel {voxel} of the turned volume was at {wanted} before, "
            f"but your matrix says {place}"
        )


check_turn(2, 4, (0, 1), 1)
check_turn(3, 4, (1, 2), 1)
check_turn(3, 4, (2, 0), 2)
check_turn(3, 4, (0, 1), 3)
check_turn(3, 4, (0, 1), 0)
### BEGIN HIDDEN TESTS
with checks.core():
    for quarters in (1, 2, 3):
        check_turn(2, 5, (0, 1), quarters)
        for plane in TURN_PLANES[3]:
            check_turn(3, 3, plane, quarters)
    generator = torch.Generator().manual_seed(1)
    for quarters in (1, 2, 3):  # turned back though it never was turned
        other = torch.rand(2, 1, 3, 4, 5, generator=generator)
        right = torch.rot90(other, -quarters, (3, 4))
        assert torch.equal(turn_back(other, (1, 2), quarters), right), (
            f"{quarters} quarters, undone: no turn by {-quarters}"
        )
with checks.further("planes named the other way round"):
    for quarters in (1, 3):
        check_turn(2, 3, (1, 0), quarters)
        check_turn(3, 3, (2, 1), quarters)
with checks.further("a negative number of quarters, and more than four"):
    for quarters in (-1, 5, 6):
        check_turn(2, 5, (0, 1), quarters)
        check_turn(3, 3, (0, 2), quarters)
with checks.further("boxes that are no cubes"):
    flat = torch.arange(24.0).view(1, 1, 2, 3, 4)
    turned, right = turn(flat, (0, 2), 1), torch.rot90(flat, 1, (2, 4))
    assert torch.equal(turned, right), "one quarter in the plane (0, 2)"
    assert torch.equal(turn_back(turn(flat, (1, 0), 3), (1, 0), 3), flat), "turned, and turned back"
### END HIDDEN TESTS
checks.end(points=20)

# %%
# from here on the library's own: no `turn_back`, since turning by -quarters does it
from ssl3d_lite.tasks.geometry import turn, turn_matrix

# %% [markdown]
# ## Part 2: draws that are dealt evenly (20 points)
#
# Each scan gets several copies, and each copy a turn. To let `torch.randint` decide would do, but
# it is wasteful: in a small batch some turns come three times and others never, and two copies of
# one scan may be the same. **Deal** them instead, like cards:
#
# - the copies of one scan all get different choices;
# - over the batch, each choice comes as often as any other, or once more: with $S$ scans of $C$
#   copies and $K$ choices, $\lfloor SC / K \rfloor$ or $\lceil SC / K \rceil$ times;
# - and by chance: over many seeds, every choice is as likely for every copy.
#
# All chance comes **from the generator that is given**, and from nothing else. Then the same seed
# gives the same batch, on any machine, whatever else has drawn in between; and the global random
# state of PyTorch and NumPy, on which other parts of a program rely, stays untouched. A generator
# moves on with each use: the second deal from it differs from the first.
#
# More copies than choices cannot all differ: raise an `InputError`.
#
# <details><summary>Hint</summary>
#
# One shuffled pack of $K$ cards. Deal it out to one scan after the other, and when it is used up,
# deal it again *in the same order*. Why do the copies of one scan differ then, even where the pack
# ends in the middle of a scan? Would they, if you shuffled anew each time?
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a2-2-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def deal(scans, copies, choices, generator):
    """Deal one of ``choices`` to each copy of each scan, evenly.

    Args:
        generator: a torch.Generator, the only source of chance.

    Returns:
        A tensor (scans, copies) of integers from 0 to choices - 1.

    Raises:
        InputError: more copies than choices.
    """
    ### BEGIN SOLUTION
    if copies > choices:
        raise InputError(f"{copies} copies cannot all differ with {choices} choices")
    pack = torch.randperm(choices, generator=generator)
    return pack[torch.arange(scans * copies) % choices].view(scans, copies)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a2-2-tests", "locked": true, "points": 20, "schema_version": 3, "solution": false, "task": false}
import numpy as np
import torch

from ssl3d_lite.course.checks import Checks
from ssl3d_lite.errors import InputError

checks = Checks()


@checks
def check_deal(scans, copies, choices, seed):
    what = f"{scans} scans, {copies} copies, {choices} choices"
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    dealt = torch.as_tensor(deal(scans, copies, choices, torch.Generator().manual_seed(seed)))
    assert torch.equal(torch.get_rng_state(), before[0]), (
        "torch's global random state has changed: draw from the generator, and seed nothing"
    )
    assert (np.random.get_state()[1] == before[1]).all(), "NumPy's global state has changed"
    assert dealt.shape == (scans, copies) and not dealt.is_floating_point(), (
        f"{what}: integers of the shape {(scans, copies)} are wanted, not {tuple(dealt.shape)}"
    )
    assert dealt.min() >= 0 and dealt.max() < choices, (
        f"{what}: choices run from 0 to {choices - 1}"
    )
    for scan, row in enumerate(dealt.tolist()):
        assert len(set(row)) == copies, (
            f"{what}: the copies of scan {scan} are not all different: {row}"
        )
    counts = torch.bincount(dealt.flatten(), minlength=choices)
    assert counts.max() - counts.min() <= 1, (
        f"{what}: choice {int(counts.argmax())} comes {int(counts.max())} times, "
        f"but choice {int(counts.argmin())} {int(counts.min())} times"
    )
    torch.rand(3), np.random.rand(3)  # others draw in between
    again = torch.as_tensor(deal(scans, copies, choices, torch.Generator().manual_seed(seed)))
    assert torch.equal(dealt, again), "the same seed should deal the same, and does not"


@checks
def check_chance(scans, copies, choices, seeds=400):
    generators = (torch.Generator().manual_seed(seed) for seed in range(seeds))
    dealt = [torch.as_tensor(deal(scans, copies, choices, each)) for each in generators]
    for choice in range(choices):
        often = (torch.stack(dealt) == choice).float().mean(0)
        spread = (1 / choices * (1 - 1 / choices) / seeds) ** 0.5
        assert ((often - 1 / choices).abs() < 5 * spread).all(), (
            f"over {seeds} seeds, choice {choice} should come to each copy in {1 / choices:.0%} of "
            f"the deals, but comes to one in {float(often.max()):.0%}, to one in "
            f"{float(often.min()):.0%}"
        )
    generator = torch.Generator().manual_seed(1)
    several = [torch.as_tensor(deal(scans, copies, choices, generator)).tolist() for _ in range(8)]
    assert any(each != several[0] for each in several), (
        "deals from one generator are all the same: it should move on with each"
    )


check_deal(4, 2, 10, seed=0)
check_deal(5, 4, 10, seed=1)
check_chance(4, 2, 4)
### BEGIN HIDDEN TESTS
with checks.core():
    for seed in range(40):
        check_deal(3, 4, 4, seed)
        check_deal(7, 3, 10, seed)
        check_deal(16, 8, 26, seed)
    check_chance(3, 3, 10)
    check_chance(2, 3, 3)
with checks.further("one copy of one scan"):
    for seed in range(40):
        check_deal(1, 1, 2, seed)
with checks.further("more copies than there are choices"):
    try:
        deal(2, 5, 4, torch.Generator())
    except InputError:
        pass
    else:
        raise AssertionError("5 copies with 4 choices should be refused with an InputError")
### END HIDDEN TESTS
checks.end(points=20)

# %% [markdown]
# ## Part 3: rotation, pose the puzzle (20 points)
#
# A proxy task of this package has two halves. `sample_params` makes every random choice, as small tensors on
# the CPU. `make_views` makes the views from them, with no randomness at all: the same draw gives the same
# puzzle. The rest of the class is given below: for each of $S$ scans, the first voxel of its cube,
# `corner` (S, 1, D), and the turns of its copies, `turn` (S, C), numbers in the list `self.turns`
# of (plane, quarters).
#
# Write `make_views`. It cuts each scan's cube of edge `self.settings.crop_size`, turns its copies, and returns
# a `ProxyBatch` of
#
# - `views` (S, C, channel, *cube*);
# - `target`, the answers: which turn each copy got, (S, C);
# - `placement`, a `Placement` whose `matrix` (S, C, D+1, D+1) takes a voxel of each view to the
#   voxel **of the scan** that it shows. First undo the turn, then go from the cube to the scan.
#
# The same lines should serve in 2D (4 turns) and in 3D (10). You have `cut`, `turn`, `turn_matrix`
# and `shift_matrix` from `ssl3d_lite.tasks.geometry`; read their docstrings (`cut?`).
#
# <details><summary>Hint: views</summary>
#
# Two loops, over scans and copies, are right and slow. If you want it fast, loop over the turns:
# `(turns == number).nonzero(as_tuple=True)` gives scans and copies that have this turn, and `cut`
# has an argument `scan` for just that.
#
# </details>
#
# <details><summary>Hint: matrices</summary>
#
# A product of matrices acts from right to left. On the right stands what is applied to the view's
# voxel first.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a2-3-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
class MyRotation(ProxyTask):
    """Which way was the cube turned?"""

    name = "my-rotation"
    Settings = RotationSettings  # edge, rotations_per_scan, hidden

    def __init__(self, settings, encoder):
        super().__init__(settings, encoder)  # gives self.settings and self.dims, 2 or 3
        self.turns = quarter_turns(self.dims)
        self.head = head(encoder.width, settings.hidden, len(self.turns))

    def sample_params(self, volumes, generator):
        scans, space = len(volumes), volumes.shape[2:]
        order = torch.rand(scans, len(self.turns), generator=generator).argsort(1)
        return {
            "corner": random_corner(
                space, (self.settings.crop_size,) * self.dims, (scans, 1), generator
            ),
            "rotation": order[:, : self.settings.rotations_per_scan],
        }

    def make_views(self, volumes, params):
        ### BEGIN SOLUTION
        size, turns = (self.settings.crop_size,) * self.dims, params["rotation"]
        views = volumes.new_empty(*turns.shape, volumes.shape[1], *size)
        matrices = []
        for number, (plane, quarters) in enumerate(self.turns):
            scan, copy = (turns == number).nonzero(as_tuple=True)
            views[scan, copy] = turn(
                cut(volumes, params["corner"][scan, 0], size, scan), plane, quarters
            )
            matrices.append(turn_matrix(plane, quarters, self.settings.crop_size, self.dims))
        matrix = shift_matrix(params["corner"]) @ torch.stack(matrices)[turns]
        return ProxyBatch(views, turns.to(views.device), Placement(matrix))
        ### END SOLUTION

    def forward(self, encoder, batch):
        return self.head(global_avg_pool(encoder(batch.views.flatten(0, 1))))


# %% nbgrader={"grade": true, "grade_id": "a2-3-tests", "locked": true, "points": 20, "schema_version": 3, "solution": false, "task": false}
import torch

from ssl3d_lite.course.checks import Checks
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks.geometry import quarter_turns, random_corner
from ssl3d_lite.tasks.rotation import RotationSettings

checks = Checks()


def numbered(scans, space):
    """Volumes that hold, in channel a, each voxel's place along axis a; the last holds the scan."""
    places = torch.stack(torch.meshgrid(*(torch.arange(n) for n in space), indexing="ij")).float()
    volumes = places.expand(scans, *places.shape)
    scan = torch.arange(scans).view(-1, 1, *(1,) * len(space)).expand(-1, 1, *space)
    return torch.cat([volumes, scan.float()], 1)


@checks
def check_rotation(space, edge, draw_seed=0, turns=None, copies=2, scans=3):
    dims = len(space)
    volumes = numbered(scans, space)
    shape = EncoderSettings(in_channels=dims + 1, spatial_dims=dims, filters=(2, 4))
    task = MyRotation(RotationSettings(crop_size=edge, rotations_per_scan=copies, hidden=4), shape)
    generator, turning = torch.Generator().manual_seed(draw_seed), quarter_turns(dims)
    order = torch.rand(scans, len(turning), generator=generator).argsort(1)[:, :copies]
    params = {
        "corner": random_corner(space, (edge,) * dims, (scans, 1), generator),
        "rotation": order if turns is None else torch.tensor(turns),
    }
    kept = volumes.clone(), {name: each.clone() for name, each in params.items()}
    state = torch.get_rng_state()
    batch = task.make_views(volumes, params)
    assert torch.equal(torch.get_rng_state(), state), "pose should draw nothing at random"
    assert torch.equal(volumes, kept[0]), "the volumes that pose was given have been changed"
    assert all(torch.equal(params[n], kept[1][n]) for n in params), "the draw has been changed"
    wanted = (*params["rotation"].shape, dims + 1, *(edge,) * dims)
    assert tuple(batch.views.shape) == wanted, (
        f"{dims}D: views should have the shape {wanted}, not {tuple(batch.views.shape)}"
    )
    assert torch.equal(batch.target, params["rotation"]), (
        f"{dims}D: the targets should be the turns drawn"
    )
    matrix = batch.placement.matrix
    assert matrix.shape == (*params["rotation"].shape, dims + 1, dims + 1), (
        f"{dims}D: the placement's matrix has the shape {tuple(matrix.shape)}"
    )
    voxels = torch.stack(torch.meshgrid(*[torch.arange(edge)] * dims, indexing="ij")).flatten(1)
    for scan, copy in torch.cartesian_prod(
        *(torch.arange(n) for n in params["rotation"].shape)
    ).tolist():
        number = int(params["rotation"][scan, copy])
        plane, quarters = turning[number]
        where = params["corner"][scan, 0].tolist()
        box = volumes[(slice(scan, scan + 1), slice(None), *(slice(c, c + edge) for c in where))]
        right = torch.rot90(box, quarters, (2 + plane[0], 2 + plane[1]))[0]
        mine, told = batch.views[scan, copy], f"{dims}D, scan {scan}, copy {copy}, turn {number}"
        assert int(mine[-1].flatten()[0]) == scan and (mine[-1] == mine[-1].flatten()[0]).all(), (
            f"{told}: the view shows another scan"
        )
        assert torch.equal(mine.sum(0), right.sum(0)) and torch.equal(mine, right), (
            f"{told} ({quarters} quarters in the plane {plane}): voxel {[0] * dims} should show "
            f"voxel {right[(slice(dims), *[0] * dims)].int().tolist()} of the scan, "
            f"but shows {mine[(slice(dims), *[0] * dims)].int().tolist()}"
        )
        says = matrix[scan, copy].float() @ torch.cat(
            [voxels.float(), torch.ones(1, len(voxels[0]))]
        )
        wrong = ~((says[:dims] - right[:dims].flatten(1)).abs().amax(0) < 0.01)
        if wrong.any():
            at = int(wrong.nonzero()[0])
            raise AssertionError(
                f"{told}: voxel {voxels[:, at].tolist()} of the view shows voxel "
                f"{right[:dims].flatten(1)[:, at].int().tolist()} of the scan, but the placement "
                f"says {says[:dims, at].tolist()}"
            )
    return task, batch, shape


check_rotation((9, 10, 8), 6)
check_rotation((9, 10, 8), 6, turns=[[0, 1], [4, 7], [2, 9]])
check_rotation((9, 7), 5)
### BEGIN HIDDEN TESTS


def check_it_learns(space):
    task, batch, encoder = check_rotation(space, 8, 9, copies=3, scans=4)
    answer = task(make_encoder(encoder, seed=0), batch)
    assert answer.shape == (12, len(quarter_turns(len(space)))), "one answer for each copy"
    loss = task.loss(answer, batch)
    loss.backward()
    assert loss.isfinite() and next(task.parameters()).grad is not None, "it cannot be trained"


with checks.core():
    check_rotation((7, 5, 9), 5, 3, [[0, 1, 2, 3, 4]] * 2, 5, 2)
    check_it_learns((8, 9, 10))
with checks.further("all turns in space"):
    check_rotation((7, 5, 9), 5, 8, [[5, 6, 7, 8, 9]] * 2, 5, 2)
with checks.further("two axes"):
    check_rotation((8, 8), 8, 5, copies=4, scans=2)
    check_it_learns((8, 11))
### END HIDDEN TESTS
checks.end(points=20)

# %% [markdown]
# Your task in the library's views and in its loop:

# %% tags=["show"]
from ssl3d_lite import show

task = MyRotation(RotationSettings(crop_size=32, rotations_per_scan=4), shape)
batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
show.turns(volumes, batch)

# %% [markdown]
# *What to look at:* the letters are drawn by your placement. Do they fit the anatomy, as far as you
# can tell?

# %% tags=["show"]
from IPython.display import display

from ssl3d_lite import show

display(show.puzzle_slices(volumes, batch))
display(show.Puzzle3D(volumes, batch))

# %% tags=["show"]
torch.manual_seed(0)
task = MyRotation(RotationSettings(crop_size=24), shape).to(volumes.device)
encoder = make_encoder(shape, seed=0).to(volumes.device)
settings = TrainSettings(steps=size["rotation"], batch=4, learning_rate=2e-3)
history = pretrain(task, encoder, cohort, split.pretrain, settings)
score = proxy_score(task, encoder, cohort, split.validation * 10)
print(f"on scans it has not seen: {score['accuracy']:.0%} right, by chance {score['chance']:.0%}")

# %% [markdown]
# ## Part 4: the 26 places, and where their patches stand (20 points)
#
# Relative location shows the patch in the middle of a grid of 3 × 3 × 3 cells and another patch,
# and asks from which of the 26 places about the centre it came; in 2D there are 8. First two
# functions.
#
# **`offsets`** lists the places, as steps of −1, 0 or 1 along each axis from the centre: answer
# number 0 is $(-1, -1, -1)$, number 1 is $(-1, -1, 0)$, and so on, the last axis fastest. The
# centre itself is no place. So answer 12 is $(0, 0, -1)$, just below the centre, and answer 13 is
# $(0, 0, 1)$, just above it.
#
# **`patch_corners`** says where patches begin. Along an axis of $n$ voxels a cell has
# $c = \lfloor n / 3 \rfloor$. A patch of edge $s$ may be moved within its cell by a *shift* of 0 to
# $J$ voxels (its jitter), drawn for each patch and axis. The play that is left is shared out evenly
# before and behind, so that in cell $m = 0, 1, 2$ a patch begins at
#
# $$m\,c + \Bigl\lfloor \frac{c - s - J}{2} \Bigr\rfloor + \text{shift}.$$
#
# With jitter, a line that runs from one patch into the next no longer does so in the views, and its
# ends cannot be matched. If $c < s + J$ in any axis, patches would leave their cells and overlap:
# raise an `InputError`.
#
# <details><summary>Hint</summary>
#
# `product((-1, 0, 1), repeat=dims)` has the right order; leave out one. A list of steps as a tensor
# (26, 3) can be indexed with a whole tensor of answers (scan, query) at once, and gives
# (scan, query, 3). The centre's step is 0, so its cell is $m = 1$ along every axis.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a2-4-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
def offsets(dims):
    """The places about the centre: a tensor (3**dims - 1, dims) of -1, 0 and 1."""
    ### BEGIN SOLUTION
    return torch.tensor([step for step in product((-1, 0, 1), repeat=dims) if any(step)])
    ### END SOLUTION


def patch_corners(space, patch, jitter, query, shift):
    """First voxels of the centre patch and of the patches that are asked about.

    Args:
        space: the volume's edges, 2 or 3 of them (D).
        patch: edge of a patch.
        jitter: the largest shift.
        query: (scan, Q) integers, the answers: numbers of rows of ``offsets(D)``.
        shift: (scan, 1 + Q, D) integers from 0 to ``jitter``.

    Returns:
        (scan, 1 + Q, D) integers: the centre patch first, then the queries.

    Raises:
        InputError: a patch with its jitter does not fit into its cell.
    """
    ### BEGIN SOLUTION
    cell = torch.tensor(space) // 3
    if cell.min() < patch + jitter:
        raise InputError(f"patches of {patch} with a jitter of {jitter} do not fit {tuple(space)}")
    step = offsets(len(space))[query]
    step = torch.cat([torch.zeros_like(step[:, :1]), step], 1)
    return (1 + step) * cell + (cell - patch - jitter) // 2 + shift
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "a2-4-tests", "locked": true, "points": 20, "schema_version": 3, "solution": false, "task": false}
import torch

from ssl3d_lite.course.checks import Checks
from ssl3d_lite.errors import InputError

checks = Checks()


@checks
def check_offsets(dims):
    mine = torch.as_tensor(offsets(dims))
    grid = torch.meshgrid(*[torch.arange(-1, 2)] * dims, indexing="ij")
    right = torch.stack(grid, -1).view(-1, dims)
    right = torch.cat([right[: 3**dims // 2], right[3**dims // 2 + 1 :]])
    assert tuple(mine.shape) == tuple(right.shape), (
        f"{dims}D has {len(right)} places of {dims} steps, but you have {tuple(mine.shape)}"
    )
    for number, (step, wanted) in enumerate(zip(mine.tolist(), right.tolist())):
        assert step == wanted, f"{dims}D: answer {number} should be {wanted}, but is {step}"
    return right


@checks
def check_corners(space, patch, jitter, seed, shift=None, scans=2):
    dims, generator = len(space), torch.Generator().manual_seed(seed)
    steps = check_offsets(dims)
    query = torch.rand(scans, len(steps), generator=generator).argsort(1)[:, :6]
    drawn = torch.randint(jitter + 1, (scans, 7, dims), generator=generator)
    shift = drawn if shift is None else torch.full_like(drawn, shift)
    kept = query.clone(), shift.clone()
    mine = torch.as_tensor(patch_corners(space, patch, jitter, query, shift))
    assert torch.equal(query, kept[0]) and torch.equal(shift, kept[1]), (
        "the query or the shift that you were given has been changed"
    )
    assert tuple(mine.shape) == tuple(shift.shape) and not mine.is_floating_point(), (
        f"corners should be integers of the shape {tuple(shift.shape)}, not {tuple(mine.shape)}"
    )
    for scan in range(scans):
        cells = [[1] * dims, *(steps[query[scan]] + 1).tolist()]
        for view, cell in enumerate(cells):
            wanted = [
                m * (n // 3) + (n // 3 - patch - jitter) // 2 + int(s)
                for m, n, s in zip(cell, space, shift[scan, view])
            ]
            name = (
                "the centre patch" if view == 0 else f"the patch of answer {query[scan, view - 1]}"
            )
            assert mine[scan, view].tolist() == wanted, (
                f"edges {tuple(space)}, patch {patch}, jitter {jitter}: {name}, shifted by "
                f"{shift[scan, view].tolist()}, should begin at {wanted}, "
                f"but begins at {mine[scan, view].tolist()}"
            )


check_corners((33, 33, 33), 8, 3, seed=0, shift=0)
check_corners((33, 33, 33), 8, 3, seed=0)
check_corners((40, 56, 40), 8, 3, seed=1)
check_corners((30, 41), 6, 2, seed=2)
### BEGIN HIDDEN TESTS
with checks.core():
    check_corners((41, 29, 35), 5, 4, seed=4, scans=5)
    check_corners((38, 50, 33), 7, 2, seed=3)
with checks.further("two axes"):
    check_corners(torch.Size((30, 47)), 8, 2, seed=5)
with checks.further("no jitter"):
    check_corners((24, 47, 30), 8, 0, seed=5)
with checks.further("patches that fill their cells"):
    check_corners((9, 9, 12), 3, 0, seed=6)
with checks.further("patches that do not fit"):
    for space, patch, jitter in (((32, 40, 40), 8, 3), ((60, 60, 20), 6, 1), ((30, 10), 3, 1)):
        query, dims = torch.zeros(1, 1, dtype=torch.long), len(space)
        try:
            patch_corners(space, patch, jitter, query, torch.zeros(1, 2, dims, dtype=torch.long))
        except InputError:
            continue
        raise AssertionError(f"{space}, patch {patch}, jitter {jitter} do not fit: InputError")
### END HIDDEN TESTS
checks.end(points=20)

# %%
# from here on the library's own: of all 3^D patches, the centre among them, without their jitter
from ssl3d_lite.tasks.geometry import normalised, puzzle_corners

print(puzzle_corners((33, 33), side=3, patch=8, jitter=3).tolist())

# %% [markdown]
# ## Part 5: relative location, draw and pose (20 points)
#
# The whole task now, but for its network. `sample_params` returns two tensors:
#
# - `query` (S, Q): the places asked about, `self.settings.queries_per_scan` for each scan, all
#   different within a scan, every place as likely as any other;
# - `shift` (S, 1 + Q, D): for the centre patch and each query, 0 to `self.settings.jitter` voxels
#   along each axis, **both ends included**, all alike.
#
# All from the generator. `make_views` returns the patches as `views` (S, 1 + Q, channel, *patch*), the
# centre first; the places as `target` (S, Q); and the placement. Two things to mind:
#
# - `puzzle_corners` (above) numbers the 27 **cells** and counts the centre among them, as number 13
#   (in 2D number 4). Answers number the 26 **places** and leave it out. From 13 on they differ by
#   one: place 13 is cell 14.
# - If `self.settings.normalise` is on, each patch and channel gets mean 0 and variance 1 by itself
#   (`normalised` does it, in place). Otherwise brightness alone tells the place. If it is off,
#   leave the patches as they are.
#
# <details><summary>Hint</summary>
#
# Cells from places: add 1 where the place is not below the centre. Corners of all scans at once:
# `puzzle_corners(...)[cell]` with `cell` (S, 1 + Q), and then the shift.
#
# </details>


# %% nbgrader={"grade": false, "grade_id": "a2-5-solution", "locked": false, "schema_version": 3, "solution": true, "task": false}
class MyLocation(ProxyTask):
    """Where does a patch lie, seen from the centre?"""

    name = "my-location"
    Settings = RelativeLocationSettings  # patch, jitter, queries_per_scan, normalise, hidden

    def __init__(self, settings, encoder):
        super().__init__(settings, encoder)
        self.places = 3**self.dims - 1
        self.head = head(2 * encoder.width, settings.hidden, self.places)

    def sample_params(self, volumes, generator):
        ### BEGIN SOLUTION
        s, scans = self.settings, len(volumes)
        order = torch.rand(scans, self.places, generator=generator).argsort(1)
        query = order[:, : s.queries_per_scan]
        shape = (scans, 1 + query.shape[1], self.dims)
        return {"query": query, "shift": torch.randint(s.jitter + 1, shape, generator=generator)}
        ### END SOLUTION

    def make_views(self, volumes, params):
        ### BEGIN SOLUTION
        s, query, centre = self.settings, params["query"], self.places // 2
        cell = query + (query >= centre)
        cell = torch.cat([torch.full_like(cell[:, :1], centre), cell], 1)
        corner = puzzle_corners(volumes.shape[2:], 3, s.patch, s.jitter)[cell] + params["shift"]
        views = cut(volumes, corner, (s.patch,) * self.dims)
        views = normalised(views) if s.normalise else views
        return ProxyBatch(views, query.to(views.device), Placement(shift_matrix(corner)))
        ### END SOLUTION

    def forward(self, encoder, batch):
        features = global_avg_pool(encoder(batch.views.flatten(0, 1)))
        features = features.unflatten(0, batch.views.shape[:2])
        centre, query = features[:, :1], features[:, 1:]
        return self.head(torch.cat([centre.expand_as(query), query], -1)).flatten(0, 1)


# %% nbgrader={"grade": true, "grade_id": "a2-5-tests", "locked": true, "points": 20, "schema_version": 3, "solution": false, "task": false}
import torch

from ssl3d_lite.course.checks import Checks
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks.relative_location import RelativeLocationSettings

checks = Checks()


def make_location(dims, **settings):
    shape = EncoderSettings(in_channels=dims, spatial_dims=dims, filters=(2, 4))
    settings = RelativeLocationSettings(hidden=4, **settings)
    return MyLocation(settings, shape), settings, shape


@checks
def check_draw(space, seeds=200, scans=4, **settings):
    dims, volumes = len(space), torch.zeros(scans, len(space), *space)
    task, s, _ = make_location(dims, **settings)
    places, jitter, asked = 3**dims - 1, s.jitter, s.queries_per_scan
    state, drawn = torch.get_rng_state(), []
    for seed in range(seeds):
        params, again = (
            task.sample_params(volumes, torch.Generator().manual_seed(seed)) for _ in range(2)
        )
        assert torch.equal(torch.get_rng_state(), state), (
            "draw from the generator, and seed nothing"
        )
        assert sorted(params) == ["query", "shift"], (
            f"a draw holds query and shift, not {list(params)}"
        )
        assert all(torch.equal(params[n], again[n]) for n in params), "the same seed, another draw"
        drawn.append(params)
    query, shift = (torch.stack([params[name] for params in drawn]) for name in ("query", "shift"))
    assert query.shape[1:] == (scans, asked), f"query has the shape {tuple(query.shape[1:])}"
    assert shift.shape[1:] == (scans, 1 + asked, dims), f"shift: {tuple(shift.shape[1:])}"
    ordered = query.sort(-1).values
    assert (ordered.diff(dim=-1) > 0).all(), (
        "the places asked about in one scan are not all different"
    )
    assert not query.is_floating_point() and query.min() >= 0 and query.max() < places, (
        f"{dims}D: places run from 0 to {places - 1}, but yours from {query.min()} to {query.max()}"
    )
    for name, values, count in (("place", query, places), ("shift", shift, jitter + 1)):
        often = torch.bincount(values.flatten(), minlength=count) / values.numel()
        assert len(often) == count and ((often - 1 / count).abs() < 0.35 / count).all(), (
            f"{dims}D: each {name} from 0 to {count - 1} should come in {1 / count:.1%} of the "
            f"cases, but {name} {int((often - 1 / count).abs().argmax())} comes in "
            f"{float(often[(often - 1 / count).abs().argmax()]):.1%}"
        )
    if jitter:
        same = (shift[..., :1, :] == shift[..., 1:, :]).float().mean()
        alike = (shift[:, :1] == shift[:, 1:]).float().mean()
        assert max(same, alike) < 0.9, "each patch of each scan has a shift of its own"


@checks
def check_pose(space, seed, scans=3, query=None, **settings):
    dims, generator = len(space), torch.Generator().manual_seed(seed)
    places = torch.stack(torch.meshgrid(*(torch.arange(n) for n in space), indexing="ij")).float()
    volumes = places + 100.0 * torch.arange(scans).view(-1, 1, *(1,) * dims)
    task, s, shape = make_location(dims, **settings)
    count = 3**dims - 1
    if query is None:
        query = torch.rand(scans, count, generator=generator).argsort(1)[:, : s.queries_per_scan]
    else:
        query = torch.tensor([query] * scans)
    drawn = (scans, 1 + query.shape[1], dims)
    params = {"query": query, "shift": torch.randint(s.jitter + 1, drawn, generator=generator)}
    kept, state = volumes.clone(), torch.get_rng_state()
    batch = task.make_views(volumes, {name: each.clone() for name, each in params.items()})
    assert torch.equal(torch.get_rng_state(), state), "pose should draw nothing at random"
    assert torch.equal(volumes, kept), "the volumes that pose was given have been changed"
    wanted = (*drawn[:2], dims, *(s.patch,) * dims)
    assert tuple(batch.views.shape) == wanted, f"views: {tuple(batch.views.shape)}, not {wanted}"
    assert torch.equal(batch.target, query), f"{dims}D: the targets should be the places drawn"
    cells = torch.cartesian_prod(*[torch.arange(3)] * dims)
    cells = torch.cat([cells[count // 2][None], cells[: count // 2], cells[count // 2 + 1 :]])
    whole = torch.tensor(space) // 3
    for scan in range(scans):
        for view, place in enumerate([-1, *query[scan].tolist()]):
            start = cells[place + 1] * whole + (whole - s.patch - s.jitter) // 2
            start = (start + params["shift"][scan, view]).tolist()
            box = tuple(slice(c, c + s.patch) for c in start)
            right = volumes[(scan, slice(None), *box)]
            what = "the centre patch" if view == 0 else f"the patch of place {place}"
            says = batch.placement.matrix[scan, view].float()
            assert says[:dims, dims].tolist() == start and torch.equal(
                says[:dims, :dims], torch.eye(dims)
            ), (
                f"{dims}D: {what} begins at {start}, but its placement says "
                f"{says[:dims, dims].tolist()}"
            )
            mine = batch.views[scan, view].to(right.dtype)
            if s.normalise:
                spread, mean = torch.var_mean(right.flatten(1), 1, correction=0)
                right = (right - mean.view(-1, *(1,) * dims)) / spread.view(-1, *(1,) * dims).sqrt()
                assert torch.allclose(mine, right, atol=0.01), (
                    f"{dims}D, normalise on: channel 0 of {what} has mean {mine[0].mean():.2f} and "
                    f"variance {mine[0].var(correction=0):.2f}, or other values than the scan's"
                )
            else:
                shows = (mine[(slice(None), *[0] * dims)] - 100 * scan).tolist()
                assert torch.equal(mine, right), (
                    f"{dims}D: {what} should begin at voxel {start} of scan {scan}, "
                    f"but shows {shows}"
                )
    return task, batch, shape


check_draw((33, 33, 33), queries_per_scan=8, jitter=3)
check_pose((33, 36, 34), 0, queries_per_scan=4, normalise=False, query=[0, 12, 13, 25])
check_pose((33, 36, 34), 1, queries_per_scan=8)
check_pose((24, 27), 2, queries_per_scan=5, patch=5, jitter=2, normalise=False)
### BEGIN HIDDEN TESTS


def check_it_learns(space):
    task, batch, encoder = check_pose(space, 8, queries_per_scan=6, patch=4, jitter=3)
    answer = task(make_encoder(encoder, seed=0), batch)
    assert answer.shape == (18, 3 ** len(space) - 1), "one answer for each query"
    loss = task.loss(answer, batch)
    loss.backward()
    assert loss.isfinite() and next(task.parameters()).grad is not None, "it cannot be trained"


with checks.core():
    check_pose((21, 40, 31), 6, 2, queries_per_scan=26, patch=4, jitter=2, normalise=False)
    check_pose((24, 31, 40), 5, 3, queries_per_scan=4, patch=5, jitter=1, normalise=False)
    check_it_learns((24, 25, 26))
with checks.further("what is drawn"):
    check_draw((30, 24, 33), 200, 5, queries_per_scan=5, patch=4, jitter=2)
with checks.further("all places asked about"):
    check_draw((20, 20, 20), 20, 2, queries_per_scan=26, patch=4, jitter=1)
with checks.further("two axes"):
    check_draw((24, 30), 80, 5, queries_per_scan=3, patch=4, jitter=2)
    check_pose((30, 29), 7, 2, queries_per_scan=8, patch=6, jitter=3)
    check_it_learns((25, 24))
with checks.further("no jitter"):
    check_draw((20, 20), 20, 2, queries_per_scan=8, patch=4, jitter=0)
### END HIDDEN TESTS
checks.end(points=20)

# %% [markdown]
# Your second task, seen and trained:

# %% tags=["show"]
from IPython.display import display

from ssl3d_lite import show

task = MyLocation(RelativeLocationSettings(), shape)
batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
display(show.puzzle(volumes, batch))
display(show.puzzle_slices(volumes, batch))

# %% tags=["show"]
torch.manual_seed(0)
task = MyLocation(RelativeLocationSettings(), shape).to(volumes.device)
encoder = make_encoder(shape, seed=0).to(volumes.device)
settings = TrainSettings(steps=size["location"], batch=8, learning_rate=2e-3)
history = pretrain(task, encoder, cohort, split.pretrain, settings)
score = proxy_score(task, encoder, cohort, split.validation * 10)
print(f"on scans it has not seen: {score['accuracy']:.0%} right, by chance {score['chance']:.0%}")

# %% [markdown]
# ## What you have now
#
# Two proxy tasks of your own. With `make_task`'s place in `ssl3d_lite/tasks/__init__.py` and one
# line there, `ssl3d pretrain` would take them by name. Compare yours with
# `ssl3d_lite/tasks/rotation.py` and `relative_location.py`: where does the library do without a
# loop, and what does it check that you did not?
#
# ## References
#
# Doersch, Gupta and Efros, *Unsupervised Visual Representation Learning by Context Prediction*,
# ICCV 2015. Gidaris, Singh and Komodakis, *Unsupervised Representation Learning by Predicting Image
# Rotations*, ICLR 2018. Taleb et al., *3D Self-Supervised Methods for Medical Imaging*, NeurIPS
# 2020.

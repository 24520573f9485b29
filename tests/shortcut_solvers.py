"""Puzzles solved without a network: by rules that compare borders, sharpness or padding.

What such a rule solves, a network can solve too without looking at anatomy: a puzzle is sound where
the rule does no better than guessing. Nothing is learnt, but by the logistic regressions for
rotation. docs/presets.md has what they reach: ``tests/benchmarks/presets.py`` measures it.
"""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from scipy.stats import binomtest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from ssl3d_lite.tasks import ProxyBatch, ProxyTask
from ssl3d_lite.tasks.cpc import CPC, along
from ssl3d_lite.tasks.geometry import PUZZLE_SIDE
from ssl3d_lite.tasks.jigsaw import Jigsaw
from ssl3d_lite.tasks.relative_location import RelativeLocation


def puzzles(task: ProxyTask, volumes: Tensor, seed: int = 0) -> ProxyBatch:
    """One puzzle a scan."""
    generator = torch.Generator().manual_seed(seed)
    return task.make_views(volumes, task.sample_params(volumes, generator))


def interval(right: Tensor, level: float = 0.99) -> tuple[float, float]:
    """Clopper and Pearson's interval of the share of answers that are right."""
    found = binomtest(int(right.sum()), right.numel()).proportion_ci(level)
    return found.low, found.high


# ---- borders -----------------------------------------------------------------------------------


def border(views: Tensor, axis: int, side: int) -> Tensor:
    """The outermost plane of each view (scan, view, channel, *space) on a side of an axis, 0 or -1,
    as a vector of mean 0 and length 1: (scan, view, voxel)."""
    plane = views.select(3 + axis, side).flatten(2)
    return F.normalize(plane - plane.mean(-1, keepdim=True), dim=-1)


def solve_jigsaw(task: Jigsaw, volumes: Tensor, seed: int = 0) -> Tensor:
    """Which puzzles are solved by the permutation that lays pieces beside each other whose facing
    planes correlate most: bool (scan)."""
    batch = puzzles(task, volumes, seed)
    cells = torch.arange(PUZZLE_SIDE**task.dims).view((PUZZLE_SIDE,) * task.dims)
    shown_at = task.permutations.argsort(1)  # (permutation, cell): the place it is shown at
    total = torch.zeros(len(volumes), len(shown_at))
    for axis in range(task.dims):
        # (scan, piece, piece that would follow it along this axis)
        match = border(batch.views, axis, -1) @ border(batch.views, axis, 0).mT
        before, behind = (cells.narrow(axis, n, PUZZLE_SIDE - 1).flatten() for n in (0, 1))
        total += match[:, shown_at[:, before], shown_at[:, behind]].sum(-1)
    return total.argmax(1) == batch.target[:, 0]


def solve_location(task: RelativeLocation, volumes: Tensor, seed: int = 0) -> Tensor:
    """Which queries that share a face with the centre are placed at the one of its faces whose
    plane correlates most with the facing one of the query: bool (query)."""
    batch = puzzles(task, volumes, seed)
    centre, queries = batch.views[:, :1], batch.views[:, 1:]
    faces = [(axis, side) for axis in range(task.dims) for side in (0, -1)]
    # from the middle cell to the one beyond each face; places leave the middle one out
    steps = [(1 if side else -1) * PUZZLE_SIDE ** (task.dims - 1 - axis) for axis, side in faces]
    places = torch.tensor([task.centre + step - (step > 0) for step in steps])
    match = torch.stack(
        [
            (border(centre, axis, side) * border(queries, axis, -1 - side)).sum(-1)
            for axis, side in faces
        ],
        -1,
    )  # (scan, query, face)
    beside = torch.isin(batch.target, places)
    return places[match.argmax(-1)[beside]] == batch.target[beside]


def solve_cpc(task: CPC, volumes: Tensor, seed: int = 0, targets_only: bool = False) -> Tensor:
    """Which of the nearest targets are found as the patch whose first plane is most like the last
    one of the current patch: bool (prediction). It is looked for among all patches of the batch,
    or among those that are a target of this step."""
    batch = puzzles(task, volumes, seed)
    axis, backwards = direction = task.directions[0]
    ends, starts = (border(batch.views, axis, side) for side in ((0, -1) if backwards else (-1, 0)))
    step = min(task.settings.prediction_steps)
    number = torch.arange(ends.shape[0] * ends.shape[1])
    rows = along(number.view(len(volumes), 1, *batch.placement.grid), direction)
    current, target = rows[:, :, :-step].flatten(), rows[:, :, step:].flatten()
    among = target if targets_only else number
    match = ends.flatten(0, 1)[current] @ starts.flatten(0, 1)[among].T
    return among[match.argmax(1)] == target


# ---- rotation ----------------------------------------------------------------------------------


def sharpness(batch: ProxyBatch) -> np.ndarray:
    """How much neighbouring voxels differ along each axis: (view, axis)."""
    views = batch.views.flatten(0, 1)[:, 0]
    steps = [views.diff(dim=1 + axis).flatten(1).std(1) for axis in range(views.ndim - 1)]
    return torch.stack(steps, 1).log().numpy()


def padding(batch: ProxyBatch) -> np.ndarray:
    """How many planes on each side repeat the one beside them, as where a scan was padded:
    (view, side)."""
    views, widths = batch.views.flatten(0, 1)[:, 0], []
    for axis in range(1, views.ndim):
        across = [other for other in range(1, views.ndim) if other != axis]
        same = views.diff(dim=axis).abs().amax(across) == 0
        widths += [each.long().cumprod(1).sum(1) for each in (same, same.flip(1))]
    return torch.stack(widths, 1).float().numpy()


def solve_rotation(
    task: ProxyTask, learn: Tensor, test: Tensor, describe: Callable[[ProxyBatch], np.ndarray]
) -> Tensor:
    """Which of the rotations of ``test`` are told by a logistic regression that knows no more of a
    view than ``describe`` says, fitted on other scans: bool (view)."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    known = [puzzles(task, learn, seed) for seed in range(4)]
    answers = np.concatenate([batch.target.flatten().numpy() for batch in known])
    model.fit(np.concatenate([describe(batch) for batch in known]), answers)
    asked = puzzles(task, test, 4)
    found = torch.from_numpy(model.predict(describe(asked)))
    return found == asked.target.flatten()

"""What all proxy tasks share: a puzzle is drawn, posed, answered and scored.

Drawing and posing are apart. ``sample_params`` makes every random choice, as small named tensors on the
CPU; ``make_views`` makes the views from them without any randomness. So a notebook's slider can set a
draw by hand, one seed gives one puzzle on any device, and a viewer shows exactly what the network
reads.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl3d_lite.machine.collectives import all_gather
from ssl3d_lite.models.settings import EncoderSettings

ViewParams = dict[str, Tensor]
Row = dict[str, Any]  # of a history: the means of ten steps, by name; and the task's name


# Neither is frozen: in mixed precision Fabric rebuilds what a network is given.


@dataclass
class Placement:
    """Where in the scan each view came from, and what was done to it.

    With (batch, view) written B, V and D space axes:
    """

    matrix: Tensor  # (B, V, D+1, D+1): view voxel → voxel of the volume given to `make_views`
    grid: tuple[int, ...] = ()  # views per axis where they form a grid, last axis fastest
    direction: tuple[int, bool] | None = None  # (axis, backwards) in which a grid is gone through


@dataclass
class ProxyBatch:
    """Views with their answers. The network reads ``views``; figures draw views and placement."""

    views: Tensor  # (B, V, channel, *space)
    target: Tensor  # the right answers: integers, or the voxels that have to be found
    placement: Placement

    def to(self, device: torch.device | str) -> "ProxyBatch":
        return replace(self, views=self.views.to(device), target=self.target.to(device))


class ProxyTask(nn.Module):
    """A puzzle made from unlabelled volumes. Its parameters are the head, thrown away later.

    A task that answers with one of several choices needs ``sample_params``, ``make_views`` and ``forward``
    alone: cross-entropy and accuracy, below, are shared.
    """

    name = "own"  # what it is called on the command line and in records
    note = ""  # what one should know about this very puzzle before training on it
    Settings: type  # a frozen dataclass

    def __init__(self, settings: Any, encoder: EncoderSettings):
        """Make the head for an encoder of this shape."""
        super().__init__()
        self.settings, self.dims = settings, encoder.spatial_dims

    def sample_params(self, volumes: Tensor, generator: torch.Generator) -> ViewParams:
        """All that is random about puzzles made from ``volumes`` (batch, channel, *space).

        Their number and size alone are read. The first axis of each tensor is the scan; it is 1
        where one choice holds for the whole batch.
        """
        raise NotImplementedError

    def make_views(self, volumes: Tensor, params: ViewParams) -> ProxyBatch:
        """Make the puzzles that were drawn. The same draw gives the same puzzles."""
        raise NotImplementedError

    def forward(self, encoder: nn.Module, batch: ProxyBatch) -> Tensor:
        """The head's answer: logits (answers, choices)."""
        raise NotImplementedError

    def whole(self, part: Tensor) -> Tensor:
        """A tensor of the whole batch's scans, of which this process has ``part`` in training.

        What compares scans, or takes a mean over things that they do not have equally many of,
        asks for it. Validation is not shared: there ``part`` is all.
        """
        return all_gather(part) if self.training else part

    def loss(self, prediction: Tensor, batch: ProxyBatch) -> Tensor:
        return F.cross_entropy(prediction, batch.target.flatten())

    def score(self, prediction: Tensor, batch: ProxyBatch) -> dict[str, Tensor | float]:
        """How good an answer is: the task's measure, then "chance": what guessing gives."""
        correct = (prediction.argmax(-1) == batch.target.flatten()).float().mean()
        return {"accuracy": correct, "chance": 1 / prediction.shape[-1]}

    def check_health(self, history: Sequence[Row]) -> str | None:
        """What has gone wrong in a training whose loss is still a number, in one line; or None.

        Args:
            history: this task's last rows, up to 20, each the mean loss and scores of ten steps.
        """
        return None


def part_of(params: ViewParams, scans: slice) -> ViewParams:
    """The part of a draw that is about some of its scans, with what holds for the whole batch."""
    return {name: each if len(each) == 1 else each[scans] for name, each in params.items()}


def measure(row: Row) -> str:
    """The name of a task's measure in a row of scores: it stands before "chance"."""
    names = list(row)
    return names[names.index("chance") - 1]

"""What all proxy tasks share: a puzzle is drawn, posed, answered and scored.

Drawing and posing are apart. ``draw`` makes every random choice, as small named tensors on the
CPU; ``pose`` makes the views from them without any randomness. So a notebook's slider can set a
draw by hand, one seed gives one puzzle on any device, and a viewer shows exactly what the network
reads.
"""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Draw = dict[str, Tensor]


@dataclass(frozen=True)
class Placement:
    """Where in the scan each view came from, and what was done to it.

    With (batch, view) written B, V and D space axes:
    """

    matrix: Tensor  # (B, V, D+1, D+1): view voxel → voxel of the volume given to `pose`
    grid: tuple[int, ...] = ()  # views per axis where they form a grid, last axis fastest
    direction: tuple[int, bool] | None = None  # (axis, backwards) in which a grid is gone through


@dataclass(frozen=True)
class ProxyBatch:
    """Views with their answers. The network reads ``views``; figures draw views and placement."""

    views: Tensor  # (B, V, channel, *space)
    target: Tensor  # integers: one an answer the task asks for
    placement: Placement

    def to(self, device: torch.device | str) -> "ProxyBatch":
        return replace(self, views=self.views.to(device), target=self.target.to(device))


class ProxyTask(nn.Module):
    """A puzzle made from unlabelled volumes. Its parameters are the head, thrown away later.

    A task that answers with one of several choices needs ``draw``, ``pose`` and ``forward``
    alone: cross-entropy and accuracy, below, are shared.
    """

    def draw(self, volumes: Tensor, generator: torch.Generator) -> Draw:
        """All that is random about puzzles made from ``volumes`` (batch, channel, *space)."""
        raise NotImplementedError

    def pose(self, volumes: Tensor, draw: Draw) -> ProxyBatch:
        """Make the puzzles that were drawn. The same draw gives the same puzzles."""
        raise NotImplementedError

    def forward(self, encoder: nn.Module, batch: ProxyBatch) -> Tensor:
        """The head's answer: logits (answers, choices)."""
        raise NotImplementedError

    def loss(self, answer: Tensor, batch: ProxyBatch) -> Tensor:
        return F.cross_entropy(answer, batch.target.flatten())

    def score(self, answer: Tensor, batch: ProxyBatch) -> dict[str, Tensor | float]:
        """Share of right answers, and the share that guessing would give."""
        right = (answer.argmax(-1) == batch.target.flatten()).float().mean()
        return {"accuracy": right, "chance": 1 / answer.shape[-1]}

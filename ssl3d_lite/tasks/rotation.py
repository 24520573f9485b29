"""Rotation: which way was the scan turned? (Taleb et al. 2020, section 3.4; Gidaris et al. 2018)

A cube is cut from the scan and turned by a multiple of 90 degrees about one axis. To name the
turn the network must know what is up, front and left in the anatomy.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..geometry import (
    cut,
    quarter_turns,
    random_corner,
    shift_matrix,
    turn,
    turn_matrix,
)
from ..networks import head, pooled
from .base import Draw, Placement, ProxyBatch, ProxyTask


@dataclass(frozen=True)
class RotationSettings:
    edge: int = 32
    """Edge of the cube, voxels. A cube: the shape of a longer box would betray the turn, and so
    would padding."""
    turns_per_scan: int = 2
    """Differently turned copies of each scan's cube in a batch."""
    hidden: int = 64
    """Width of the head's hidden layer."""


class Rotation(ProxyTask):
    """One of 10 turns in 3D (none; a quarter, a half, three quarters about each axis), 4 in 2D."""

    Settings = RotationSettings

    def __init__(self, settings: RotationSettings, width: int, spatial_dims: int = 3):
        super().__init__()
        self.settings, self.dims = settings, spatial_dims
        self.turns = quarter_turns(spatial_dims)
        self.head = head(width, settings.hidden, len(self.turns))

    def draw(self, volumes: Tensor, generator: torch.Generator) -> Draw:
        scans, space = len(volumes), volumes.shape[2:]
        size = (self.settings.edge,) * self.dims
        # A scan's copies are all different, and over scans each turn is as likely as any other.
        order = torch.rand(scans, len(self.turns), generator=generator).argsort(1)
        return {
            "corner": random_corner(space, size, (scans, 1), generator),
            "turn": order[:, : self.settings.turns_per_scan],
        }

    def pose(self, volumes: Tensor, draw: Draw) -> ProxyBatch:
        edge = self.settings.edge
        cubes = cut(volumes, draw["corner"], (edge,) * self.dims)  # (scan, 1, channel, *cube)
        views = cubes.repeat_interleave(draw["turn"].shape[1], dim=1)
        matrices = []
        for number, (plane, quarters) in enumerate(self.turns):
            # a loop over ten turns, not over scans; the draw is on the CPU, so nothing waits
            scan, copy = (draw["turn"] == number).nonzero(as_tuple=True)
            if quarters and len(scan):
                views[scan, copy] = turn(cubes[scan, 0], plane, quarters)
            matrices.append(turn_matrix(plane, quarters, edge, self.dims))
        matrix = shift_matrix(draw["corner"]) @ torch.stack(matrices)[draw["turn"]]
        return ProxyBatch(views, draw["turn"].to(views.device), Placement(matrix))

    def forward(self, encoder: nn.Module, batch: ProxyBatch) -> Tensor:
        return self.head(pooled(encoder(batch.views.flatten(0, 1))))

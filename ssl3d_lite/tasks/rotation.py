"""Rotation: which way was the scan turned? (Taleb et al. 2020, section 3.4; Gidaris et al. 2018)

A cube is cut from the scan and turned by a multiple of 90 degrees about one axis. To name the
turn the network must know what is up, front and left in the anatomy.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssl3d_lite.models.heads import global_avg_pool, head
from ssl3d_lite.models.settings import EncoderSettings

from .base import Placement, ProxyBatch, ProxyTask, ViewParams
from .geometry import cut, quarter_turns, random_corner, shift_matrix, turn, turn_matrix


@dataclass(frozen=True)
class RotationSettings:
    crop_size: int = 32
    """Edge of the cube, voxels. A cube: the shape of a longer box would betray the turn, and so
    would padding."""
    rotations_per_scan: int = 2
    """Differently turned copies of each scan's cube in a batch."""
    hidden: int = 64
    """Width of the head's hidden layer."""


class Rotation(ProxyTask):
    """One of 10 turns in 3D (none; a quarter, a half, three quarters about each axis), 4 in 2D."""

    name = "rotation"
    Settings = RotationSettings

    def __init__(self, settings: RotationSettings, encoder: EncoderSettings):
        super().__init__(settings, encoder)
        self.turns = quarter_turns(self.dims)
        self.head = head(encoder.width, settings.hidden, len(self.turns))

    def sample_params(self, volumes: Tensor, generator: torch.Generator) -> ViewParams:
        scans, space = len(volumes), volumes.shape[2:]
        size = (self.settings.crop_size,) * self.dims
        # A scan's copies are all different, and over scans each turn is as likely as any other.
        order = torch.rand(scans, len(self.turns), generator=generator).argsort(1)
        return {
            "corner": random_corner(space, size, (scans, 1), generator),
            "rotation": order[:, : self.settings.rotations_per_scan],
        }

    def make_views(self, volumes: Tensor, params: ViewParams) -> ProxyBatch:
        size, turns = (self.settings.crop_size,) * self.dims, params["rotation"]
        views = volumes.new_empty(*turns.shape, volumes.shape[1], *size)
        matrices = []
        for number, (plane, quarters) in enumerate(self.turns):
            # a loop over ten turns, not over scans; the draw is on the CPU, so nothing waits
            scan, copy = (turns == number).nonzero(as_tuple=True)
            cubes = cut(volumes, params["corner"][scan, 0], size, scan)  # (cube, channel, *size)
            views[scan.to(views.device), copy.to(views.device)] = turn(cubes, plane, quarters)
            matrices.append(turn_matrix(plane, quarters, self.settings.crop_size, self.dims))
        matrix = shift_matrix(params["corner"]) @ torch.stack(matrices)[turns]
        return ProxyBatch(views, turns.to(views.device), Placement(matrix))

    def forward(self, encoder: nn.Module, batch: ProxyBatch) -> Tensor:
        return self.head(global_avg_pool(encoder(batch.views.flatten(0, 1))))

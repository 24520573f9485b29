"""Rotation: by how much was the scan rotated? (Taleb et al. 2020, section 3.4; Gidaris et al. 2018)

A cube x is cut from the scan and rotated by one of R rotations g_r: by multiples of 90 degrees
about one axis, which need no interpolation. R is 10 in 3D (none; 90, 180 and 270 degrees about each
of three axes) and 4 in 2D. The network F predicts which rotation it was:

    loss = -(1/R) Σ_r log F(g_r(x))_r

the cross-entropy over rotated copies; here each scan shows only some of the R in a step. To name
the rotation, the network has to know what is up, front and left in the anatomy.

**How far it is solved without anatomy.** Scans are sharper along one axis than along another. Three
numbers, how much neighbouring voxels differ along each axis, sort the ten rotations into four
groups (none and half turns; quarter turns about each axis): .40 of them can be told so, where
guessing gives .10. A logistic regression on these three numbers tells .38 of the rotations of real
hippocampi of 40 × 56 × 40 voxels of 1 mm; one on how many planes on each side are padding, .13. So
a score means something above .40 alone. (``tests/benchmarks/presets.py`` measures it, on other
scans than those it was fitted on.)
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.heads import global_avg_pool, head
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.settings import CheckedSettings, Interval, PositiveInt

from .base import Placement, ProxyBatch, ProxyTask, ViewParams
from .geometry import cut, quarter_turns, random_corner, shift_matrix, turn, turn_matrix
from .words import turn_names


@dataclass(frozen=True)
class RotationSettings(CheckedSettings):
    crop_size: PositiveInt = 32
    """Edge of the cube, voxels. A cube, because the shape of a longer box would betray the
    rotation, and so would padding."""
    rotations_per_scan: Annotated[int, Interval(ge=1, le=10)] = 2
    """Rotated copies of each scan's cube in a batch, all rotated differently; at most 10 in 3D
    and 4 in 2D."""
    hidden: PositiveInt = 64
    """Width of the head's hidden layer."""


class Rotation(ProxyTask):
    """Predict which of R rotations a cube went through.

    Example::

        >>> import torch
        >>> from ssl3d_lite.models.encoders import UNetEncoder
        >>> from ssl3d_lite.models.settings import EncoderSettings
        >>> from ssl3d_lite.tasks import make_task
        >>> encoder = UNetEncoder(EncoderSettings(filters=(4, 8)))
        >>> task = make_task("rotation", encoder, crop_size=8, rotations_per_scan=3)
        >>> volumes = torch.rand(2, 1, 12, 10, 12)
        >>> params = task.sample_params(volumes, torch.Generator().manual_seed(0))
        >>> batch = task.make_views(volumes, params)
        >>> task(encoder, batch).shape  # 2 scans · 3 copies, 10 rotations
        torch.Size([6, 10])
    """

    name = "rotation"
    question = "Which way was it turned?"
    Settings = RotationSettings
    settings: RotationSettings

    def __init__(self, settings: RotationSettings, encoder: EncoderSettings):
        super().__init__(settings, encoder)
        self.turns = quarter_turns(self.dims)
        self.answers = tuple(turn_names(self.dims))
        if settings.rotations_per_scan > len(self.turns):
            raise InputError(
                f"rotations_per_scan is {settings.rotations_per_scan}, but in {self.dims}D there "
                f"are {len(self.turns)} rotations"
            )
        self.head = head(encoder.width, settings.hidden, len(self.turns))

    def sample_params(self, volumes: Tensor, generator: torch.Generator) -> ViewParams:
        scans, space = len(volumes), self.space_of(volumes)
        size = (self.settings.crop_size,) * self.dims
        # A scan's copies are all different, and over scans each rotation is as likely as any other.
        order = torch.rand(scans, len(self.turns), generator=generator).argsort(1)
        return {
            "corner": random_corner(space, size, (scans, 1), generator),
            "rotation": order[:, : self.settings.rotations_per_scan],
        }

    def make_views(self, volumes: Tensor, params: ViewParams) -> ProxyBatch:
        self.space_of(volumes)
        size, rotation = (self.settings.crop_size,) * self.dims, params["rotation"]
        cubes = cut(volumes, params["corner"], size)  # (scan, 1, channel, *size)
        views = torch.stack(
            [
                torch.cat([turn(cube, *self.turns[number]) for number in numbers])
                for cube, numbers in zip(cubes, rotation.tolist())
            ]
        )
        matrices = [
            turn_matrix(plane, quarters, self.settings.crop_size, self.dims)
            for plane, quarters in self.turns
        ]
        matrix = shift_matrix(params["corner"]) @ torch.stack(matrices)[rotation]
        return self.batch_of(views, rotation, Placement(matrix))

    def forward(self, encoder: nn.Module, batch: ProxyBatch) -> Tensor:
        """Logits (scan · copy, rotation)."""
        return self.head(global_avg_pool(encoder(batch.views.flatten(0, 1))))

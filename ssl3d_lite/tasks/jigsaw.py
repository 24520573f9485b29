"""Jigsaw: how were the pieces shuffled? (Taleb et al. 2020, section 3.3; Noroozi & Favaro 2016)

The scan is cut into a grid of 3 × 3 × 3 cells with a piece in each, and the pieces x_1 … x_n
(n = 27, or 9 in 2D) are shown in another order: one of P permutations, fixed beforehand and as
unlike each other as can be. Each piece goes through the encoder f by itself; from the features, in
the order in which the pieces are shown, the network predicts the permutation p:

    loss = -(1/B) Σ_b log softmax(head[f(x_p(1)), …, f(x_p(n))])_p,  p that of scan b of B

P stays far below n! (a class for each of 27! orders could not be learnt); the paper has 1000.

**How far it is solved without a network.** A rule that lays those pieces beside each other whose
facing planes correlate most names the order of so many puzzles; guessing, 1 of 100. On 200 real
hippocampi of 40 × 56 × 40 voxels of 1 mm and on 40 virtual ones:

    patch  jitter  gap at least    real     virtual
      13      0         0          100 %     100 %
       8      3         2           18 %       4 %      the defaults
       4      3         6            1 %       1 %
       4      6         3            1 %       1 %

So a few mm hide the neighbour, and the defaults do not quite: 13 mm a cell do not hold a patch of 8
voxels, which the default encoder needs, and a gap of 6. Of the 18 % most is anatomy that is
alike in all patients: where each piece is of another one, the rule names 17 %. For a patch of 4
take an encoder of two levels, or of three with group norm; for a patch of 8 and ``gap=6``, volumes
of 51 voxels an edge. The paper's pieces touch: docs/presets.md. (``tests/benchmarks/presets.py``
measures all this.)

The orders are no a·x + b over a finite field, of which two pieces tell all the rest: see
permutations.py.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from ssl3d_lite.models.heads import global_avg_pool, head
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.settings import CheckedSettings, Count, Ge, PositiveInt, Seed

from .base import Placement, ProxyBatch, ProxyTask, ViewParams
from .geometry import PUZZLE_SIDE, cut, normalised, puzzle_corners, shift_matrix
from .permutations import hamming, permutation_set, reorder


@dataclass(frozen=True)
class JigsawSettings(CheckedSettings):
    patch: PositiveInt = 8
    """Edge of a piece, voxels."""
    jitter: Count = 3
    """Voxels by which a piece may be moved along each axis; it stays in its cell."""
    gap: Count = 0
    """Voxels that are to lie between two pieces at least. Where they touch, borders that fit give
    the order away."""
    permutations: Annotated[int, Ge(2)] = 100
    """Number of orders to tell apart; 1000 in the paper."""
    permutation_seed: Seed = 0
    """Seed of the choice of permutations."""
    normalise: bool = True
    """Give each piece mean 0 and variance 1; else its brightness tells its place."""
    hidden: PositiveInt = 128
    """Width of the head's hidden layer."""


class Jigsaw(ProxyTask):
    """Predict which permutation the pieces are in.

    Example::

        >>> import torch
        >>> from ssl3d_lite.models.encoders import UNetEncoder
        >>> from ssl3d_lite.models.settings import EncoderSettings
        >>> from ssl3d_lite.tasks import make_task
        >>> encoder = UNetEncoder(EncoderSettings(filters=(4, 8), spatial_dims=2))
        >>> task = make_task("jigsaw", encoder, patch=4, jitter=1, permutations=20)
        >>> task.note
        '20 orders of 9 pieces; any two differ in at least 7 places, and in 8.38 on average'
        >>> volumes = torch.rand(3, 1, 15, 18)
        >>> params = task.sample_params(volumes, torch.Generator().manual_seed(0))
        >>> batch = task.make_views(volumes, params)
        >>> task(encoder, batch).shape  # 3 scans, 20 permutations
        torch.Size([3, 20])
    """

    name = "jigsaw"
    question = "How were the pieces shuffled?"
    Settings = JigsawSettings
    settings: JigsawSettings

    def __init__(self, settings: JigsawSettings, encoder: EncoderSettings):
        super().__init__(settings, encoder)
        pieces = PUZZLE_SIDE**self.dims
        # permutations[p][v] is the cell of the piece that permutation p shows at place v
        self.permutations = permutation_set(
            pieces, settings.permutations, settings.permutation_seed
        )
        least, mean = hamming(self.permutations)
        self.note = (
            f"{settings.permutations} orders of {pieces} pieces; any two differ in at least "
            f"{least} places, and in {mean:.2f} on average"
        )
        self.head = head(pieces * encoder.width, settings.hidden, settings.permutations)

    def corners(self, volumes: Tensor) -> Tensor:
        """First voxel of each cell's patch, before jitter: (cell, D). InputError if none fits."""
        s, space = self.settings, self.space_of(volumes)
        return puzzle_corners(space, PUZZLE_SIDE, s.patch, s.jitter, s.gap)

    def sample_params(self, volumes: Tensor, generator: torch.Generator) -> ViewParams:
        s, scans = self.settings, len(volumes)
        self.corners(volumes)  # if they do not fit, this says so
        shape = (scans, PUZZLE_SIDE**self.dims, self.dims)
        return {
            "permutation": torch.randint(s.permutations, (scans, 1), generator=generator),
            "jitter": torch.randint(s.jitter + 1, shape, generator=generator),  # by cell
        }

    def make_views(self, volumes: Tensor, params: ViewParams) -> ProxyBatch:
        s = self.settings
        shown = self.permutations[params["permutation"][:, 0]]  # (scan, place): a cell
        corner = reorder(self.corners(volumes) + params["jitter"], shown)
        views = cut(volumes, corner, (s.patch,) * self.dims)  # cut in the order they are shown
        views = normalised(views) if s.normalise else views
        grid = (PUZZLE_SIDE,) * self.dims
        placement = Placement(shift_matrix(corner), grid, orders=self.permutations)
        return self.batch_of(views, params["permutation"], placement)

    def forward(self, encoder: nn.Module, batch: ProxyBatch) -> Tensor:
        """Logits (scan, permutation)."""
        features = global_avg_pool(encoder(batch.views.flatten(0, 1)))  # each piece once
        return self.head(features.view(len(batch.views), -1))  # in their shown order

"""Jigsaw: how were the pieces shuffled? (Taleb et al. 2020, section 3.3; Noroozi & Favaro 2016)

The scan is cut into a grid of 3 x 3 x 3 cells with a piece in each, and the pieces are shown in
another order: one of P permutations, fixed beforehand and as unlike each other as can be. Each
piece is encoded by itself; from their features, in the order in which they are shown, the network
names the permutation.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.heads import global_avg_pool, head
from ssl3d_lite.models.settings import EncoderSettings

from .base import Placement, ProxyBatch, ProxyTask, ViewParams
from .geometry import cut, normalised, puzzle_corners, shift_matrix
from .permutations import hamming, permutation_set, shuffled

SIDE = 3  # pieces an axis


@dataclass(frozen=True)
class JigsawSettings:
    patch: int = 8
    """Edge of a piece, voxels."""
    jitter: int = 3
    """Voxels by which a piece may be moved along each axis, lest borders fit those next door."""
    permutations: int = 100
    """Orders to tell apart; 1000 in the paper."""
    permutation_seed: int = 0
    """Of the choice of permutations."""
    normalise: bool = True
    """Give each piece mean 0 and variance 1; else its brightness tells its place."""
    hidden: int = 128
    """Width of the head's hidden layer."""

    def __post_init__(self):
        if self.jitter < 0:
            raise InputError(f"jitter is {self.jitter}, but must not be below 0")
        if self.permutations < 2:
            raise InputError(f"permutations is {self.permutations}, but a puzzle needs 2 or more")


class Jigsaw(ProxyTask):
    """Which permutation are the pieces in?"""

    name = "jigsaw"
    Settings = JigsawSettings

    def __init__(self, settings: JigsawSettings, encoder: EncoderSettings):
        super().__init__(settings, encoder)
        pieces = SIDE**self.dims
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

    def sample_params(self, volumes: Tensor, generator: torch.Generator) -> ViewParams:
        s, scans = self.settings, len(volumes)
        shape = (scans, SIDE**self.dims, self.dims)
        return {
            "permutation": torch.randint(s.permutations, (scans, 1), generator=generator),
            "jitter": torch.randint(s.jitter + 1, shape, generator=generator),  # by cell
        }

    def make_views(self, volumes: Tensor, params: ViewParams) -> ProxyBatch:
        s = self.settings
        stands = puzzle_corners(volumes.shape[2:], SIDE, s.patch, s.jitter) + params["jitter"]
        shown = self.permutations[params["permutation"][:, 0]]  # (scan, place): a cell
        corner = shuffled(stands, shown)
        views = cut(volumes, corner, (s.patch,) * self.dims)  # cut in the order they are shown
        views = normalised(views) if s.normalise else views
        placement = Placement(shift_matrix(corner), grid=(SIDE,) * self.dims)
        return ProxyBatch(views, params["permutation"].to(views.device), placement)

    def forward(self, encoder: nn.Module, batch: ProxyBatch) -> Tensor:
        """Logits (scan, permutation)."""
        features = global_avg_pool(encoder(batch.views.flatten(0, 1)))  # each piece once
        return self.head(features.view(len(batch.views), -1))  # in their shown order

"""Relative patch location: where does this patch lie, seen from the centre? (Taleb et al. 2020,
section 3.2; Doersch et al. 2015)

The scan is cut into a grid of 3 x 3 x 3 cells, with a patch in each. The network sees the centre
patch and another, and says from which of the 26 places about the centre (8 in 2D) it was taken.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.heads import global_avg_pool, head
from ssl3d_lite.models.settings import EncoderSettings

from .base import Placement, ProxyBatch, ProxyTask, ViewParams
from .geometry import cut, normalised, puzzle_corners, shift_matrix

SIDE = 3  # patches an axis


@dataclass(frozen=True)
class RelativeLocationSettings:
    patch: int = 8
    """Edge of a patch, voxels."""
    jitter: int = 3
    """Voxels by which a patch may be moved along each axis: without it, lines that run on from
    patch to patch would give the place away."""
    queries_per_scan: int = 8
    """Patches asked about, all from different places, for each centre patch."""
    normalise: bool = True
    """Give each patch mean 0 and variance 1. Turn it off to watch a shortcut appear: scans are
    darker at the rim, so brightness alone tells the place."""
    hidden: int = 64
    """Width of the head's hidden layer."""

    def __post_init__(self):
        if self.jitter < 0:
            raise InputError(f"jitter is {self.jitter}, but must not be below 0")
        if self.queries_per_scan < 1:
            raise InputError(f"queries_per_scan is {self.queries_per_scan}, but must be 1 or more")


class RelativeLocation(ProxyTask):
    """Which of the places about the centre did a patch come from?"""

    name = "rpl"
    Settings = RelativeLocationSettings

    def __init__(self, settings: RelativeLocationSettings, encoder: EncoderSettings):
        super().__init__(settings, encoder)
        self.centre = SIDE**self.dims // 2  # number of the middle cell
        self.places = SIDE**self.dims - 1
        self.head = head(2 * encoder.width, settings.hidden, self.places)

    def sample_params(self, volumes: Tensor, generator: torch.Generator) -> ViewParams:
        s, scans = self.settings, len(volumes)
        # A scan's queries are all different, and each place is as likely as any other.
        order = torch.rand(scans, self.places, generator=generator).argsort(1)
        query = order[:, : s.queries_per_scan]
        shape = (scans, 1 + query.shape[1], self.dims)  # the centre patch first, then the queries
        jitter = torch.randint(s.jitter + 1, shape, generator=generator)
        return {"query": query, "jitter": jitter}

    def make_views(self, volumes: Tensor, params: ViewParams) -> ProxyBatch:
        s, query = self.settings, params["query"]
        place = query + (query >= self.centre)  # number of the cell: places leave the centre out
        cell = torch.cat([torch.full_like(place[:, :1], self.centre), place], 1)
        corner = puzzle_corners(volumes.shape[2:], SIDE, s.patch, s.jitter)[cell] + params["jitter"]
        views = cut(volumes, corner, (s.patch,) * self.dims)  # no other patch is cut
        views = normalised(views) if s.normalise else views
        return ProxyBatch(views, query.to(views.device), Placement(shift_matrix(corner)))

    def forward(self, encoder: nn.Module, batch: ProxyBatch) -> Tensor:
        """Logits (query, place)."""
        features = global_avg_pool(encoder(batch.views.flatten(0, 1)))  # each patch once
        features = features.unflatten(0, batch.views.shape[:2])
        centre, query = features[:, :1], features[:, 1:]
        return self.head(torch.cat([centre.expand_as(query), query], -1)).flatten(0, 1)

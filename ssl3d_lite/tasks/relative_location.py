"""Relative patch location: where does this patch lie, seen from the centre? (Taleb et al. 2020,
section 3.2; Doersch et al. 2015)

The scan is cut into a grid of 3 × 3 × 3 cells with a patch in each. The network sees the centre
patch x_c and a query patch x_q, and predicts from which of the N = 26 places about the centre (8 in
2D) the query was taken. Both patches go through the same encoder f:

    loss = -(1/K) Σ_k log softmax(head[f(x_c), f(x_q)])_{y_k},  y_k the place of query k of K

Patches are moved within their cells at random (jitter), and each has its brightness and contrast
taken out; without that, brightness alone would give the place away.

**How far it is solved without a network.** A rule that looks for the face of the centre patch which
correlates most with the facing one of the query places so many of the queries that share a face;
guessing, 1 of 6 (17 %). On 200 real hippocampi of 40 × 56 × 40 voxels of 1 mm and on 40 virtual
ones:

    patch  jitter  gap at least    real     virtual
      13      0         0           79 %      76 %
       8      3         2           23 %      18 %      the defaults
       4      3         6           18 %      18 %
       4      6         3           17 %      16 %

So a few mm hide the neighbour, and the defaults do not quite: see jigsaw.py. The paper's patches
touch: docs/presets.md.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ssl3d_lite.models.heads import global_avg_pool, head
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.settings import CheckedSettings, Count, PositiveInt

from .base import Placement, ProxyBatch, ProxyTask, ViewParams
from .geometry import PUZZLE_SIDE, cut, normalised, puzzle_corners, shift_matrix
from .words import place_words


@dataclass(frozen=True)
class RelativeLocationSettings(CheckedSettings):
    patch: PositiveInt = 8
    """Edge of a patch, voxels."""
    jitter: Count = 3
    """Voxels by which a patch may be moved along each axis; it stays in its cell."""
    gap: Count = 0
    """Voxels that are to lie between two patches at least. Where they touch, lines that run on
    from one to the other give the place away."""
    queries_per_scan: PositiveInt = 8
    """Query patches for each centre patch, all from different places; more than there are places
    means all of them."""
    normalise: bool = True
    """Give each patch mean 0 and variance 1. Turn it off to watch a shortcut appear: scans are
    darker at the rim, so brightness alone tells the place."""
    hidden: PositiveInt = 64
    """Width of the head's hidden layer."""


class RelativeLocation(ProxyTask):
    """Predict from which place about the centre a patch was taken.

    Example::

        >>> import torch
        >>> from ssl3d_lite.models.encoders import UNetEncoder
        >>> from ssl3d_lite.models.settings import EncoderSettings
        >>> from ssl3d_lite.tasks import make_task
        >>> encoder = UNetEncoder(EncoderSettings(filters=(4, 8)))
        >>> task = make_task("rpl", encoder, patch=4, jitter=1, queries_per_scan=5)
        >>> volumes = torch.rand(2, 1, 15, 18, 15)
        >>> params = task.sample_params(volumes, torch.Generator().manual_seed(0))
        >>> batch = task.make_views(volumes, params)
        >>> batch.views.shape[:2]  # the centre and 5 queries of each scan
        torch.Size([2, 6])
        >>> task(encoder, batch).shape  # 2 scans · 5 queries, 26 places
        torch.Size([10, 26])
    """

    name = "rpl"
    question = "Where does each patch lie, seen from the centre?"
    Settings = RelativeLocationSettings
    settings: RelativeLocationSettings

    def __init__(self, settings: RelativeLocationSettings, encoder: EncoderSettings):
        super().__init__(settings, encoder)
        self.centre = PUZZLE_SIDE**self.dims // 2  # number of the middle cell
        self.places = PUZZLE_SIDE**self.dims - 1
        self.answers = tuple(place_words(self.dims))
        self.head = head(2 * encoder.width, settings.hidden, self.places)

    def corners(self, volumes: Tensor) -> Tensor:
        """First voxel of each cell's patch, before jitter: (cell, D). InputError if none fits."""
        s, space = self.settings, self.space_of(volumes)
        return puzzle_corners(space, PUZZLE_SIDE, s.patch, s.jitter, s.gap)

    def sample_params(self, volumes: Tensor, generator: torch.Generator) -> ViewParams:
        s, scans = self.settings, len(volumes)
        self.corners(volumes)  # if they do not fit, this says so
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
        corner = self.corners(volumes)[cell] + params["jitter"]
        views = cut(volumes, corner, (s.patch,) * self.dims)  # no other patch is cut
        views = normalised(views) if s.normalise else views
        return self.batch_of(views, query, Placement(shift_matrix(corner)))

    def forward(self, encoder: nn.Module, batch: ProxyBatch) -> Tensor:
        """Logits (scan · query, place)."""
        features = global_avg_pool(encoder(batch.views.flatten(0, 1)))  # each patch once
        features = features.unflatten(0, batch.views.shape[:2])
        centre, query = features[:, :1], features[:, 1:]
        return self.head(torch.cat([centre.expand_as(query), query], -1)).flatten(0, 1)

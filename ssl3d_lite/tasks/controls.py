"""Controls: encoders that cost as much as a pretrained one and have learnt nothing worth having.

What pretraining gains is what it is ahead of these, not of zero.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ssl3d_lite.models.heads import global_avg_pool

from .base import ProxyBatch, Row
from .exemplar import Exemplar, distance
from .rotation import Rotation


class Random(Rotation):
    """An encoder that stays as it was: rotation's puzzle, but only the head learns.

    What the head reaches shows how far random features go. (BatchNorm's statistics, which are
    measured and not learnt, do become those of the scans.)
    """

    name = "random"

    def forward(self, encoder: nn.Module, batch: ProxyBatch) -> Tensor:
        with torch.no_grad():
            features = global_avg_pool(encoder(batch.views.flatten(0, 1)))
        return self.head(features)


class Collapsed(Exemplar):
    """An encoder to which every scan looks the same: exemplar without counter-examples.

    Nothing keeps the embeddings apart, so the best answer is one point for all. That is so of the
    deepest level, which the head reads; finer levels, and a U-Net's skips, still tell voxels apart.
    """

    name = "collapsed"

    def loss(self, prediction: Tensor, batch: ProxyBatch) -> Tensor:
        return distance(prediction[:, :1], prediction[:, 1:]).mean()

    def check_health(self, history: Sequence[Row]) -> str | None:
        return None

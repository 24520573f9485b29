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

    Example::

        >>> import torch
        >>> from ssl3d_lite.models.encoders import UNetEncoder
        >>> from ssl3d_lite.models.settings import EncoderSettings
        >>> from ssl3d_lite.tasks import make_task
        >>> encoder = UNetEncoder(EncoderSettings(filters=(4, 8)))
        >>> task = make_task("random", encoder, crop_size=8)
        >>> volumes = torch.rand(2, 1, 8, 8, 8)
        >>> params = task.sample_params(volumes, torch.Generator().manual_seed(0))
        >>> batch = task.make_views(volumes, params)
        >>> task.loss(task(encoder, batch), batch).backward()
        >>> [weight.grad for weight in encoder.parameters() if weight.grad is not None]
        []
    """

    name = "random"

    def forward(self, encoder: nn.Module, batch: ProxyBatch) -> Tensor:
        with torch.no_grad():
            features = global_avg_pool(encoder(batch.views.flatten(0, 1)))
        return self.head(features)


class Collapsed(Exemplar):
    """An encoder to which every scan looks the same: exemplar without counter-examples.

    Nothing keeps the embeddings apart, so the best solution is one point for all. That holds for
    the deepest level, which the head reads; finer levels, and a U-Net's skips, still tell voxels
    apart.

    Example::

        >>> import torch
        >>> from ssl3d_lite.models.settings import EncoderSettings
        >>> from ssl3d_lite.tasks import make_task
        >>> task = make_task("collapsed", EncoderSettings(), crop_size=8)
        >>> volumes = torch.rand(2, 1, 8, 8, 8)
        >>> params = task.sample_params(volumes, torch.Generator().manual_seed(0))
        >>> same = torch.full((2, 2, 64), 1 / 8)  # one point for all views
        >>> task.loss(same, task.make_views(volumes, params))
        tensor(0.)
    """

    name = "collapsed"

    def loss(self, prediction: Tensor, batch: ProxyBatch) -> Tensor:
        """Mean distance between a scan's two points."""
        return distance(prediction[:, :1], prediction[:, 1:]).mean()

    def check_health(self, history: Sequence[Row]) -> str | None:
        return None  # what is a failure of exemplar is wanted here

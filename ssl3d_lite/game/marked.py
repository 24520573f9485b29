"""An unfair puzzle: rotation of cubes that bear a mark, which alone tells the turn.

Notebook 08 builds this shortcut and others, and shows how they are caught.
"""

from typing import Any

import torch
from torch import Tensor

from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import ProxyBatch, ViewParams
from ssl3d_lite.tasks.rotation import Rotation

_ARMS = ((0.5, 0.1, 0.1), (0.1, 0.3, 0.1))  # arms of the L, as shares of the edge


class MarkedRotation(Rotation):
    """A bright L lies in one corner of every cube before it is turned."""

    def make_views(self, volumes: Tensor, params: ViewParams) -> ProxyBatch:
        marked, bright = volumes.clone(), volumes.amax()
        edge = self.settings.crop_size
        for scan, corner in enumerate(params["corner"][:, 0].tolist()):
            for arm in _ARMS:
                ends = (max(1, round(share * edge)) for share in arm)
                i, j, k = (slice(a + 1, a + 1 + n) for a, n in zip(corner, ends, strict=True))
                marked[scan, :, i, j, k] = bright
        return super().make_views(marked, params)


def make_marked(encoder: EncoderSettings, seed: int = 0, **settings: Any) -> MarkedRotation:
    """The task, its head's weights fixed by ``seed``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MarkedRotation(MarkedRotation.Settings(**settings), encoder)

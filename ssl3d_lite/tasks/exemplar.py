"""Exemplar: which scan is this a picture of? (Taleb et al. 2020, section 3.5; Dosovitskiy et al.
2014)

From each scan x_i the network sees a box, and the same box mirrored, rotated, zoomed and in another
contrast: its copy x_i⁺. One head maps every view to a point z on the unit sphere. A triplet loss
wants a scan's two points nearer to each other than to a point z_i⁻ of another scan, by a margin α:

    loss = (1/B) Σ_i max(0, ‖z_i - z_i⁺‖ - ‖z_i - z_i⁻‖ + α)

with Euclidean distances; α is 1 in the paper.

If the network gives the same point for all, the loss stands still at the margin, and its gradient
does not say which way to go. So a collapse is told by the points' standard deviation, not by the
loss.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.collectives import rank
from ssl3d_lite.machine.device import to_device
from ssl3d_lite.models.heads import global_avg_pool, head
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.settings import CheckedSettings, PositiveFloat, PositiveInt, Probability

from .base import Placement, ProxyBatch, ProxyTask, Row, ViewParams
from .geometry import TURN_PLANES, box_size, cut, random_box, shift_matrix, warp_volumes

COLLAPSED = 1e-3**0.5  # standard deviation of the points below which they are all the same
COLLAPSE_PATIENCE = 5  # rows of the history, ten steps each, for which that must last


@dataclass(frozen=True)
class ExemplarSettings(CheckedSettings):
    crop_size: PositiveInt = 32
    """Edge of the box taken from a scan, voxels; less along an axis that is shorter."""
    margin: PositiveFloat = 0.2
    """α: by how much another scan must be further away (points lie at most 2 apart)."""
    negatives: Literal["random", "hardest"] = "random"
    """Which view of another scan is the counter-example z⁻: any, or the nearest."""
    flip: Probability = 0.5
    """Probability of being mirrored, for each axis."""
    rotation: Probability = 0.5
    """Probability of being rotated, by any angle about one axis."""
    contrast: Probability = 0.5
    """Probability of another brightness and contrast."""
    zoom: Probability = 0.2
    """Probability of being zoomed, by up to 20 %."""
    embedding_dim: PositiveInt = 64
    """Length of an embedding; 1024 in the paper."""
    hidden: PositiveInt = 128
    """Width of the head's hidden layer."""


class Exemplar(ProxyTask):
    """Tell a scan, however distorted, from every other.

    Example::

        >>> import torch
        >>> from ssl3d_lite.models.encoders import UNetEncoder
        >>> from ssl3d_lite.models.settings import EncoderSettings
        >>> from ssl3d_lite.tasks import make_task
        >>> encoder = UNetEncoder(EncoderSettings(filters=(4, 8)))
        >>> task = make_task("exemplar", encoder, crop_size=8, embedding_dim=16)
        >>> volumes = torch.rand(3, 1, 12, 10, 12)
        >>> params = task.sample_params(volumes, torch.Generator().manual_seed(0))
        >>> batch = task.make_views(volumes, params)
        >>> batch.views.shape  # the box and its copy
        torch.Size([3, 2, 1, 8, 8, 8])
        >>> task(encoder, batch).shape  # points on the unit sphere
        torch.Size([3, 2, 16])
    """

    name = "exemplar"
    question = "Which view is a copy of this one, and of no other scan?"
    Settings = ExemplarSettings
    settings: ExemplarSettings

    def __init__(self, settings: ExemplarSettings, encoder: EncoderSettings):
        super().__init__(settings, encoder)
        # one head for all views: with one for each view, biases alone could solve the task
        self.head = head(encoder.width, settings.hidden, settings.embedding_dim)

    # ---- the puzzle ------------------------------------------------------------------------------

    def sample_params(self, volumes: Tensor, generator: torch.Generator) -> ViewParams:
        s, scans, space = self.settings, len(volumes), self.space_of(volumes)
        if scans < 2:
            raise InputError(
                "exemplar tells scans apart, so a batch needs two at least: with one, the "
                "counter-example would be the scan itself; take a batch of 2 or more (--batch 2)"
            )

        def chance(probability: float, *shape: int) -> Tensor:
            return torch.rand(scans, *shape, generator=generator) < probability

        def between(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(scans, generator=generator)

        return {
            "corner": random_box(space, s.crop_size, scans, generator)[1],
            "flip": chance(s.flip, self.dims),
            "plane": torch.randint(len(TURN_PLANES[self.dims]), (scans,), generator=generator),
            "angle": between(-torch.pi, torch.pi) * chance(s.rotation),
            "zoom": torch.where(chance(s.zoom), between(0.8, 1.2), 1),
            "gain": torch.where(recoloured := chance(s.contrast), between(0.7, 1.4), 1),
            "shift": torch.where(recoloured, between(-0.3, 0.3), 0),
            "negative": torch.randint(2**31, (scans,), generator=generator),
        }

    def make_views(self, volumes: Tensor, params: ViewParams) -> ProxyBatch:
        size = box_size(self.space_of(volumes), self.settings.crop_size)
        anchor = shift_matrix(params["corner"])  # (scan, 1, D+1, D+1)
        copy = anchor[:, 0] @ distortion(params, size)
        views = volumes.new_empty(len(volumes), 2, volumes.shape[1], *size)
        views[:, :1] = cut(volumes, params["corner"], size)
        gain, shift = (
            to_device(params[name].to(volumes.dtype), volumes.device).view(-1, 1, *[1] * self.dims)
            for name in ("gain", "shift")
        )
        warped = warp_volumes(volumes, copy, params["plane"], size)
        views[:, 1] = warped.mul_(gain).add_(shift)
        # for each scan two numbers: its place in the batch, and what picks its counter-example
        target = torch.stack([torch.arange(len(volumes)), params["negative"]], 1)[:, None]
        placement = Placement(torch.cat([anchor, copy[:, None]], 1))
        return self.batch_of(views, target, placement)

    # ---- the network's part ----------------------------------------------------------------------

    def forward(self, encoder: nn.Module, batch: ProxyBatch) -> Tensor:
        """Points on the unit sphere: (scan, view, embedding_dim)."""
        features = global_avg_pool(encoder(batch.views.flatten(0, 1)))
        points = self.head(features).to(self.head[0].weight)  # half precision would blur distances
        return F.normalize(points, dim=-1).unflatten(0, batch.views.shape[:2])

    def owners(self, batch: ProxyBatch) -> Tensor:
        """A number for each scan of the batch, equal for equal scans: (scan,).

        A batch that goes over the end of a round may hold a scan twice, and a scan is no
        counter-example to itself. Without ids, every scan counts as another, those of other
        processes too.
        """
        place = batch.target[:, 0, 0]
        if batch.ids:
            return to_device(torch.tensor(batch.ids), place.device)
        return place + rank() * len(place) if self.training else place

    def loss(self, prediction: Tensor, batch: ProxyBatch) -> Tensor:
        """Triplet loss: max(0, to the own copy - to another scan + margin), the mean over scans."""
        scan, number = self.owners(batch), batch.target[:, 0, 1]
        points, whose = self.whole(prediction).flatten(0, 1), self.whole(scan).repeat_interleave(2)
        to_copy = distance(prediction[:, :1], prediction[:, 1:])[:, 0, 0]
        to_others = distance(prediction[:, 0], points)
        allowed = whose != scan[:, None]
        to_other = choose(to_others, allowed, number, self.settings.negatives)
        hinge = F.relu(to_copy - to_other + self.settings.margin)
        return hinge.where(allowed.any(1), 0).mean()  # a scan without any other asks nothing

    def score(self, prediction: Tensor, batch: ProxyBatch) -> dict[str, Tensor | float]:
        """Share of boxes that lie nearer to their own copy than to any view of another scan of
        the batch; and the points' standard deviation, from 0 (all the same) to 1.

        Of unit vectors with mean m it is √(1 - ‖m‖²): the root of their summed variances.
        """
        prediction, scan = prediction.detach(), self.owners(batch)
        points, whose = self.whole(prediction).flatten(0, 1), self.whole(scan).repeat_interleave(2)
        others, same = distance(prediction[:, 0], points), scan[:, None] == whose
        to_copy = distance(prediction[:, :1], prediction[:, 1:])[:, 0]
        nearer = (to_copy < others.masked_fill(same, torch.inf)).all(1).float().mean()
        deviation = points.var(0, correction=0).sum().sqrt()
        return {"accuracy": nearer, "chance": 1 / (len(points) - 1), "embedding_std": deviation}

    def check_health(self, history: Sequence[Row]) -> str | None:
        last = history[-COLLAPSE_PATIENCE:]
        deviations = [row["embedding_std"] for row in last]
        if len(last) < COLLAPSE_PATIENCE or max(deviations) >= COLLAPSED:
            return None
        if deviations[-1] > deviations[0]:  # slow to begin, but getting there
            return None
        return (
            f"exemplar has collapsed: in the last {COLLAPSE_PATIENCE} rows of the history all "
            f"scans had the same embedding (standard deviation {deviations[-1]:.1g}; loss "
            f"{last[-1]['loss']:.2g}, margin {self.settings.margin:g}); try a lower learning rate, "
            "a smaller margin or random negatives"
        )


def distortion(params: ViewParams, size: Sequence[int]) -> Tensor:
    """Voxel of the copy → voxel of the box, about its middle: (scan, D+1, D+1)."""
    dims, scans = len(size), len(params["angle"])
    first, second = torch.tensor(TURN_PLANES[dims])[params["plane"]].unbind(1)
    row = torch.arange(scans)
    turned = torch.eye(dims).repeat(scans, 1, 1)
    cosine, sine = params["angle"].cos(), params["angle"].sin()
    turned[row, first, first], turned[row, first, second] = cosine, -sine
    turned[row, second, first], turned[row, second, second] = sine, cosine
    mirror = 1 - 2 * params["flip"].float()
    middle = (torch.tensor(size) - 1) / 2
    matrix = torch.eye(dims + 1).repeat(scans, 1, 1)
    matrix[:, :dims, :dims] = turned * (mirror / params["zoom"][:, None])[:, None]
    matrix[:, :dims, dims] = middle - matrix[:, :dims, :dims] @ middle
    return matrix


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances: (…, n, channel), (…, m, channel) → (…, n, m)."""
    # the short cut by a matrix product cannot tell near neighbours apart
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def choose(distances: Tensor, allowed: Tensor, number: Tensor, how: str) -> Tensor:
    """Each row's distance to the nearest that is allowed, or to one that ``number`` picks."""
    if how == "hardest":
        return distances.masked_fill(~allowed, torch.inf).amin(1)
    which = number % allowed.sum(1).clamp(min=1)
    picked = allowed & (allowed.cumsum(1) == which[:, None] + 1)
    return distances.take_along_dim(picked.float().argmax(1, keepdim=True), 1)[:, 0]

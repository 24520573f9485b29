"""Exemplar: which scan is this a picture of? (Taleb et al. 2020, section 3.5; Dosovitskiy et al.
2014)

Of each scan the network sees a box, and the same box mirrored, turned, zoomed and in another
contrast. One head maps every view to a point on the unit sphere. A triplet loss wants a scan's two
points nearer to each other than to any other scan's, by a margin.

If the network gives the same point for all, the loss stands still at the margin. With a memory it
may even fall below: the points move on together, away from those remembered. So a collapse is
told by the points' spread, not by the loss.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl3d_lite.errors import InputError, unknown
from ssl3d_lite.models.heads import global_avg_pool, head
from ssl3d_lite.models.settings import EncoderSettings

from .base import Placement, ProxyBatch, ProxyTask, Row, ViewParams
from .geometry import PLANES, box_size, cut, random_box, shift_matrix, warp

Negatives = Literal["random", "hardest"]

EMPTY = 0  # whose a place of the memory is that nothing was put in yet
COLLAPSED = 1e-3**0.5  # standard deviation of the points below which they are all the same
PATIENCE = 5  # rows of the history, ten steps each, for which that must last


@dataclass(frozen=True)
class ExemplarSettings:
    crop_size: int = 32
    """Edge of the box taken from a scan, voxels; less along an axis that is shorter."""
    margin: float = 0.2
    """By how much another scan must be further away (points lie at most 2 apart)."""
    negatives: Negatives = "random"
    """Which view of another scan is the counter-example: any, or the nearest."""
    memory: int = 0
    """Views of earlier batches that may be counter-examples too. They lag behind: with 64 of them
    (8 scans a step, learning rate 1e-3) the points of virtual scans collapsed, without them not."""
    flip: float = 0.5
    """Chance of being mirrored, for each axis."""
    rotation: float = 0.5
    """Chance of being turned, by any angle about one axis."""
    contrast: float = 0.5
    """Chance of another brightness and contrast."""
    zoom: float = 0.2
    """Chance of being zoomed, by up to 20 %."""
    embedding_dim: int = 64
    """Length of an embedding; 1024 in the paper."""
    hidden: int = 128
    """Width of the head's hidden layer."""

    def __post_init__(self):
        if self.negatives not in get_args(Negatives):
            raise unknown("kind of negatives", self.negatives, get_args(Negatives))
        if self.margin <= 0 or self.memory < 0:
            raise InputError(
                f"margin is {self.margin} and memory {self.memory}, but a margin lies above 0 and "
                "a memory not below"
            )


class Exemplar(ProxyTask):
    """Tell a scan, however distorted, from every other."""

    name = "exemplar"
    Settings = ExemplarSettings

    def __init__(self, settings: ExemplarSettings, encoder: EncoderSettings):
        super().__init__(settings, encoder)
        self.head = head(
            encoder.width, settings.hidden, settings.embedding_dim
        )  # one for all views
        self.register_buffer("memory", torch.zeros(settings.memory, settings.embedding_dim))
        self.register_buffer("remembered", torch.zeros(settings.memory, dtype=torch.long))

    def sample_params(self, volumes: Tensor, generator: torch.Generator) -> ViewParams:
        s, scans = self.settings, len(volumes)
        if scans < 2:
            raise InputError(
                "exemplar tells scans apart, so a batch needs two at least: with one, the "
                "counter-example would be the scan itself; set --batch 2 or more"
            )

        def chance(share: float, *shape: int) -> Tensor:
            return torch.rand(scans, *shape, generator=generator) < share

        def between(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(scans, generator=generator)

        return {
            "corner": random_box(volumes.shape[2:], s.crop_size, scans, generator)[1],
            "flip": chance(s.flip, self.dims),
            "plane": torch.randint(len(PLANES[self.dims]), (scans,), generator=generator),
            "angle": between(-torch.pi, torch.pi) * chance(s.rotation),
            "zoom": torch.where(chance(s.zoom), between(0.8, 1.2), 1),
            "gain": torch.where(recoloured := chance(s.contrast), between(0.7, 1.4), 1),
            "shift": torch.where(recoloured, between(-0.3, 0.3), 0),
            "negative": torch.randint(2**31, (scans,), generator=generator),
        }

    def make_views(self, volumes: Tensor, params: ViewParams) -> ProxyBatch:
        size = box_size(volumes.shape[2:], self.settings.crop_size)
        anchor = shift_matrix(params["corner"])  # (scan, 1, D+1, D+1)
        copy = anchor[:, 0] @ distortion(params, size)
        views = volumes.new_empty(len(volumes), 2, volumes.shape[1], *size)
        views[:, :1] = cut(volumes, params["corner"], size)
        gain, shift = (
            params[name].to(volumes).view(-1, 1, *[1] * (self.dims)) for name in ("gain", "shift")
        )
        views[:, 1] = warp(volumes, copy, params["plane"], size).mul_(gain).add_(shift)
        # one answer of two numbers: which scan it is, and what picks its counter-example
        target = torch.stack([identity(volumes), params["negative"].to(volumes.device)], 1)[:, None]
        return ProxyBatch(views, target, Placement(torch.cat([anchor, copy[:, None]], 1)))

    def forward(self, encoder: nn.Module, batch: ProxyBatch) -> Tensor:
        """Points on the unit sphere: (scan, view, code)."""
        features = global_avg_pool(encoder(batch.views.flatten(0, 1)))
        points = self.head(features).to(self.memory)  # half precision would blur near neighbours
        return F.normalize(points, dim=-1).unflatten(0, batch.views.shape[:2])

    def loss(self, prediction: Tensor, batch: ProxyBatch) -> Tensor:
        """Triplet loss: max(0, to the own copy - to another scan + margin), the mean over scans."""
        scan, number = batch.target[:, 0].unbind(1)
        points = self.whole(prediction).flatten(0, 1)
        owners = self.whole(scan).repeat_interleave(2)
        others, whose = points, owners
        if self.training:  # validation neither reads the memory nor leaves a trace in it
            others, whose = torch.cat([others, self.memory]), torch.cat([whose, self.remembered])
        to_copy = distance(prediction[:, :1], prediction[:, 1:])[:, 0, 0]
        to_others = distance(prediction[:, 0], others)
        allowed = (whose != scan[:, None]) & (whose != EMPTY)
        to_other = choose(to_others, allowed, number, self.settings.negatives)
        if self.training and self.settings.memory:
            self.remember(points, owners)
        hinge = F.relu(to_copy - to_other + self.settings.margin)
        return hinge.where(allowed.any(1), 0).mean()  # a scan that comes alone asks nothing

    def score(self, prediction: Tensor, batch: ProxyBatch) -> dict[str, Tensor | float]:
        """Share of boxes that lie nearer to their own copy than to any view of another scan of
        the batch; and the points' standard deviation, from 0 (all the same) to 1."""
        prediction, scan = prediction.detach(), batch.target[:, 0, 0]
        points, whose = self.whole(prediction).flatten(0, 1), self.whole(scan).repeat_interleave(2)
        others, same = distance(prediction[:, 0], points), scan[:, None] == whose
        to_copy = distance(prediction[:, :1], prediction[:, 1:])[:, 0]
        nearer = (to_copy < others.masked_fill(same, torch.inf)).all(1).float().mean()
        deviation = points.var(0, correction=0).sum().sqrt()  # of unit vectors: √(1 - |mean|²)
        return {"accuracy": nearer, "chance": 1 / (len(points) - 1), "embedding_std": deviation}

    def check_health(self, history: Sequence[Row]) -> str | None:
        last = history[-PATIENCE:]
        if len(last) < PATIENCE or any(row["embedding_std"] >= COLLAPSED for row in last):
            return None
        if last[-1]["embedding_std"] > last[0]["embedding_std"]:  # slow to begin, but getting there
            return None
        return (
            f"exemplar has collapsed: in the last {PATIENCE} rows of the history all scans had the "
            f"same embedding (spread {last[-1]['embedding_std']:.1g}; loss {last[-1]['loss']:.2g}, margin "
            f"{self.settings.margin:g}); try a lower learning rate, a smaller margin, random "
            "negatives or a smaller memory"
        )

    def remember(self, points: Tensor, owners: Tensor) -> None:
        """Put a batch's points into the memory; the oldest leave it."""
        size = len(self.memory)
        self.memory = torch.cat([points.detach(), self.memory])[:size]
        self.remembered = torch.cat([owners, self.remembered])[:size]


def distortion(params: ViewParams, size: Sequence[int]) -> Tensor:
    """Voxel of the copy → voxel of the box, about its middle: (scan, D+1, D+1)."""
    dims, scans = len(size), len(params["angle"])
    first, second = torch.tensor(PLANES[dims])[params["plane"]].unbind(1)
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


def identity(volumes: Tensor) -> Tensor:
    """A number for each scan, made from its voxels: equal scans have equal numbers.

    A scan that comes again, in one batch or in the memory, is so known not to be another one.
    """
    flat, step = volumes.flatten(1), max(1, volumes[0].numel() // 4096)
    while math.gcd(step, math.prod(volumes.shape[2:])) > 1:  # else it might keep to a black border
        step += 1
    some = flat[:, ::step].float().contiguous()
    bits = some.view(torch.int32).long()
    odd = 2 * torch.arange(bits.shape[1], device=bits.device) + 1
    hashed = (bits * odd * 0x9E3779B97F4A7C1).sum(1)  # wraps round, alike on every device
    return hashed.where(hashed != EMPTY, 1)


def distance(a: Tensor, b: Tensor) -> Tensor:
    """Euclidean distances: (…, n, code), (…, m, code) → (…, n, m)."""
    # the short cut by a matrix product cannot tell near neighbours apart
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def choose(distances: Tensor, allowed: Tensor, number: Tensor, how: str) -> Tensor:
    """Each row's distance to the nearest that is allowed, or to one that ``number`` picks."""
    if how == "hardest":
        return distances.masked_fill(~allowed, torch.inf).amin(1)
    rank = number % allowed.sum(1).clamp(min=1)
    picked = allowed & (allowed.cumsum(1) == rank[:, None] + 1)
    return distances.take_along_dim(picked.float().argmax(1, keepdim=True), 1)[:, 0]

"""Contrastive predictive coding: what comes next in the scan? (Taleb et al. 2020, section 3.1)

The scan is cut into a grid of overlapping patches, and each patch is encoded once, to a latent z.
Going through the grid in one direction, a context c summarises the current patch and an inverted
pyramid above it: the row before, one patch wider on every side, and so on. From c a linear map for
each step l predicts the latent l rows further on. The answer is right if the prediction lies nearer
to that latent than to all other latents of the batch, of the same scan and of others: InfoNCE (van
den Oord et al. 2018).

Patches overlap, so the row after next is the first that shares no voxel with the current patch
(stride half the patch); nearer rows could be matched by comparing borders.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.collectives import rank
from ssl3d_lite.models.blocks import CONV
from ssl3d_lite.models.heads import global_avg_pool, head
from ssl3d_lite.models.settings import EncoderSettings

from .base import Placement, ProxyBatch, ProxyTask, ViewParams
from .geometry import cut, grid_corners, grid_shape, random_corner, shift_matrix


@dataclass(frozen=True)
class CPCSettings:
    patch: int = 16
    """Edge of a patch, voxels."""
    stride: int = 8
    """From one patch to the next, voxels."""
    max_patches: int = 5
    """Patches along an axis at the most; of a larger scan a part is taken, anywhere in it."""
    jitter: int = 8
    """Voxels along each axis that the grid leaves free at least, to start in a new place each
    time: else the same patch would always show the same place."""
    prediction_steps: tuple[int, ...] = (2, 3)
    """How many rows ahead to predict."""
    directions: tuple[str, ...] = ("+1",)
    """Ways through the grid, one drawn for each batch: sign and space axis, so "+1" goes along
    axis 1 (from back to front in RAS), "-1" against it."""
    embedding_dim: int = 64
    """Length of a latent (patch embedding); 64 in the paper."""
    context: Literal["conv", "gru"] = "conv"
    """What sums up the pyramid: masked convolutions, or a GRU that goes from row to row. The
    paper has the GRU and names the other."""
    context_layers: int = 2
    """Masked convolutions, each of which sees one row further back; a GRU sees all rows."""
    temperature: float = 0.1
    hidden: int = 128
    """Width of the head's hidden layer."""


class CPC(ProxyTask):
    """Predict the latents of patches further on, from those before."""

    name = "cpc"
    Settings = CPCSettings

    def __init__(self, settings: CPCSettings, encoder: EncoderSettings):
        super().__init__(settings, encoder)
        self.directions = [parse_direction(d, self.dims) for d in settings.directions]
        # anatomy differs with the way one goes, so the context is told which it is
        self.way = nn.Embedding(2 * self.dims, settings.embedding_dim)
        self.embed = head(encoder.width, settings.hidden, settings.embedding_dim)
        self.context = (
            PyramidGRU(settings.embedding_dim)
            if settings.context == "gru"
            else nn.Sequential(
                *(
                    PyramidConv(settings.embedding_dim, self.dims)
                    for _ in range(settings.context_layers)
                )
            )
        )
        self.predict = nn.ModuleList(
            CONV[self.dims](settings.embedding_dim, settings.embedding_dim, 1)
            for _ in settings.prediction_steps
        )

    def grid(self, space: Sequence[int]) -> tuple[int, ...]:
        """Patches per axis in a volume of ``space``."""
        s = self.settings
        fitting = grid_shape([edge - s.jitter for edge in space], s.patch, s.stride)
        grid = tuple(min(n, s.max_patches) for n in fitting)
        for axis, _ in self.directions:
            if grid[axis] <= min(s.prediction_steps):
                raise InputError(
                    f"CPC predicts {min(s.prediction_steps)} rows ahead along axis {axis}, but a volume of "
                    f"{tuple(space)} has {grid[axis]} rows of patches; "
                    "use smaller patches, stride or jitter"
                )
        return grid

    def sample_params(self, volumes: Tensor, generator: torch.Generator) -> ViewParams:
        s, scans = self.settings, len(volumes)
        space = volumes.shape[2:]
        extent = [s.patch + (n - 1) * s.stride for n in self.grid(space)]
        return {
            "start": random_corner(space, extent, (scans, 1), generator),
            "direction": torch.randint(len(s.directions), (1,), generator=generator),
        }

    def make_views(self, volumes: Tensor, params: ViewParams) -> ProxyBatch:
        s = self.settings
        grid = self.grid(volumes.shape[2:])
        corner = params["start"] + grid_corners(grid, s.stride)  # (scan, patch, D)
        views = cut(volumes, corner, (s.patch,) * self.dims)
        direction = self.directions[int(params["direction"])]
        number = torch.arange(views.shape[0] * views.shape[1]).view(len(views), 1, *grid)
        rows = along(number, direction)
        target = torch.cat(
            [rows[:, :, step:].flatten() for step in s.prediction_steps]
        )  # none past the end
        placement = Placement(shift_matrix(corner), grid, direction)
        return ProxyBatch(views, target.to(views.device), placement)

    def forward(self, encoder: nn.Module, batch: ProxyBatch) -> Tensor:
        """Logits (prediction, latent): each prediction's similarity to all latents of the batch,
        and after them to those of the other devices' scans where there are several."""
        place = batch.placement
        field = encode_once(encoder, self.embed, batch.views, place.grid)
        latents = field.movedim(1, -1).flatten(0, -2)  # (latent, code)
        axis, backwards = place.direction
        way = self.way(torch.tensor(2 * axis + backwards, device=field.device))
        context = self.context(along(field, place.direction) + way.view(-1, *[1] * self.dims))
        predictions = torch.cat(
            [
                linear(context[:, :, :-step]).movedim(1, -1).flatten(0, -2)
                for linear, step in zip(self.predict, self.settings.prediction_steps, strict=True)
                if step < context.shape[2]
            ]
        )
        candidates = self.whole(latents).roll(-rank() * len(latents), 0)  # its own come first
        candidates = F.normalize(candidates, dim=-1)
        return F.normalize(predictions, dim=-1) @ candidates.T / self.settings.temperature


def encode_once(encoder: nn.Module, embed: nn.Module, views: Tensor, grid: Sequence[int]) -> Tensor:
    """The latents of all patches, each encoded once, laid out as the patches are.

    (scan, patch, channel, *space) → (scan, code, *grid).
    """
    latents = embed(global_avg_pool(encoder(views.flatten(0, 1))))
    return latents.view(len(views), *grid, -1).movedim(-1, 1)


def parse_direction(text: str, dims: int) -> tuple[int, bool]:
    """ "-2" → (2, True): the axis, and whether it is gone through backwards."""
    if len(text) != 2 or text[0] not in "+-" or text[1] not in "012"[:dims]:
        raise InputError(f"direction {text!r}: give a sign and an axis from 0 to {dims - 1}: +1")
    return int(text[1]), text[0] == "-"


def along(field: Tensor, direction: tuple[int, bool]) -> Tensor:
    """Turn a field (batch, channel, *grid) so that ``direction`` runs down its axis 2."""
    axis, backwards = direction
    field = field.movedim(2 + axis, 2)
    return field.flip(2) if backwards else field


class PyramidConv(nn.Module):
    """Adds to each place what a convolution sees there and, in the row before, there and beside.

    A stack of L sees the inverted pyramid of L rows, each one patch wider on every side; never a
    neighbour in its own row, nor anything below. (batch, code, row, *across) → the same.
    """

    def __init__(self, code: int, dims: int):
        super().__init__()
        self.conv = CONV[dims](code, code, (2, *[3] * (dims - 1)), padding=(1, *[1] * (dims - 1)))
        mask = torch.zeros(2, *[3] * (dims - 1))
        mask[0] = 1
        mask[(1, *[1] * (dims - 1))] = 1
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, field: Tensor) -> Tensor:
        conv = self.conv
        convolve = F.conv3d if field.ndim == 5 else F.conv2d
        out = convolve(field, conv.weight * self.mask, conv.bias, padding=conv.padding)
        # padding before the first row is wanted, behind the last it is not
        return field + F.relu(out[:, :, :-1])


class PyramidGRU(nn.Module):
    """A GRU that goes down the rows. Its state at a place comes from the row before, as the mean
    over that place and its neighbours: so it sees the inverted pyramid of all rows so far.

    (batch, code, row, *across) → the same.
    """

    def __init__(self, code: int):
        super().__init__()
        self.cell = nn.GRUCell(code, code)

    def forward(self, field: Tensor) -> Tensor:
        mean = {1: F.avg_pool1d, 2: F.avg_pool2d}[field.ndim - 3]
        state = torch.zeros_like(field[:, :, 0])
        states = []
        for row in field.unbind(2):
            above = mean(state, 3, stride=1, padding=1, count_include_pad=False)
            new = self.cell(*(f.movedim(1, -1).flatten(0, -2) for f in (row, above)))
            state = new.view(len(row), *row.shape[2:], -1).movedim(-1, 1)
            states.append(state)
        return torch.stack(states, 2)

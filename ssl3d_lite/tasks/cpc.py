"""Contrastive predictive coding: what comes next in the scan? (Taleb et al. 2020, section 3.1)

The scan is cut into a grid of overlapping patches x_{i,j,k}, and each patch is encoded once, to a
latent z_{i,j,k} = g_enc(x_{i,j,k}). Going through the grid in one direction, say along i, a
context network g_ctx summarises the current patch and an inverted pyramid above it (the row before,
one patch wider on every side, and so on): c_{i,j,k}. From there a linear map W_l for each step l
predicts the latent l rows further on. The prediction has to lie nearer to that latent than to the
latents of all N patches of the batch, those of the same scan and of others: InfoNCE (van den Oord
et al. 2018),

    loss = - Σ log [ exp(s(W_l c_{i,j,k}, z_{i+l,j,k}) / τ) / Σ_n exp(s(W_l c_{i,j,k}, z_n) / τ) ]

a mean over all predictions (i, j, k, l), with cosine similarity s and temperature τ.

Patches overlap. With a stride of half the patch, the row after next shares no voxel with the
current patch, but touches it: a rule that looks for the patch whose first plane is most like the
last one of the current patch finds the target in 99.8 % of predictions on real hippocampi (chance 1
of 90). So the first target is a row further on, half a patch behind the current one. There the rule
finds 0.1 %; among the targets alone, 3.4 % (chance 1 of 36). docs/presets.md has all figures.

No prediction depends on its target in any other way: where the norm of an encoder mixes the patches
of a batch, rows are encoded one by one (:func:`encode_once`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.collectives import rank
from ssl3d_lite.models.blocks import CONV
from ssl3d_lite.models.heads import global_avg_pool, head
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.settings import CheckedSettings, Count, Len, PositiveFloat, PositiveInt

from .base import Placement, ProxyBatch, ProxyTask, ViewParams
from .geometry import cut, grid_corners, grid_shape, random_corner, shift_matrix


@dataclass(frozen=True)
class CPCSettings(CheckedSettings):
    patch: PositiveInt = 16
    """Edge of a patch, voxels."""
    stride: PositiveInt = 8
    """Voxels from one patch to the next."""
    max_patches: PositiveInt = 5
    """Largest number of patches along an axis; of a larger scan a part is taken, anywhere in it."""
    jitter: Count = 8
    """Voxels along each axis that the grid leaves free at least, to start in a new place each
    time: else the same patch would always show the same place."""
    prediction_steps: Annotated[tuple[PositiveInt, ...], Len(1)] = (3, 4)
    """How many rows ahead to predict: the steps l. Nearer than (patch + a few voxels) / stride, a
    target touches the current patch, and borders that fit give it away."""
    directions: Annotated[tuple[str, ...], Len(1)] = ("+1",)
    """Ways through the grid, one chosen for each batch: sign and space axis, so "+1" goes along
    axis 1 (from back to front in RAS), "-1" against it."""
    embedding_dim: PositiveInt = 64
    """Length of a latent z (patch embedding); 64 in the paper."""
    context: Literal["conv", "gru"] = "conv"
    """What sums up the pyramid: masked convolutions, or a GRU that goes from row to row. The
    paper has the GRU and names the other."""
    context_dim: Count = 0
    """Length of a GRU's state, 256 in the authors' code; 0: as long as a latent."""
    context_layers: PositiveInt = 2
    """Masked convolutions, each of which sees one row further back; a GRU sees all rows."""
    temperature: PositiveFloat = 0.1
    """τ: what similarities are divided by; the smaller, the more the nearest candidates count."""
    hidden: PositiveInt = 128
    """Width of the head's hidden layer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.context_dim and self.context != "gru":
            raise InputError("context_dim is the length of a GRU's state: set context gru too")
        for direction in self.directions:  # whether there is such an axis, the task knows
            parse_direction(direction, dims=3)


class CPC(ProxyTask):
    """Predict the latents of patches further on, from those before.

    Example::

        >>> import torch
        >>> from ssl3d_lite.models.encoders import UNetEncoder
        >>> from ssl3d_lite.models.settings import EncoderSettings
        >>> from ssl3d_lite.tasks import make_task
        >>> encoder = UNetEncoder(EncoderSettings(filters=(4, 8)))
        >>> task = make_task("cpc", encoder, patch=8, stride=4, jitter=2)
        >>> volumes = torch.rand(2, 1, 18, 26, 18)
        >>> params = task.sample_params(volumes, torch.Generator().manual_seed(0))
        >>> batch = task.make_views(volumes, params)
        >>> batch.placement.grid, batch.placement.direction  # along axis 1, forwards
        ((3, 5, 3), (1, False))
        >>> task(encoder, batch).shape  # 2 scans · 3·3 columns · (2 + 1 rows), 2 · 45 latents
        torch.Size([54, 90])
    """

    name = "cpc"
    question = "Which patch comes next, a few rows further on?"
    Settings = CPCSettings
    settings: CPCSettings

    def __init__(self, settings: CPCSettings, encoder: EncoderSettings):
        super().__init__(settings, encoder)
        self.directions = [parse_direction(d, self.dims) for d in settings.directions]
        # anatomy differs with the way one goes, so the context gets an embedding of it
        self.way = nn.Embedding(2 * self.dims, settings.embedding_dim)
        self.embed = head(encoder.width, settings.hidden, settings.embedding_dim)
        self.context = make_context(settings, self.dims)
        latent = settings.embedding_dim
        state = settings.context_dim or latent
        self.predict = nn.ModuleList(  # the linear maps W_l: each a convolution of edge 1
            CONV[self.dims](state, latent, 1) for _ in settings.prediction_steps
        )

    def grid(self, space: Sequence[int]) -> tuple[int, ...]:
        """Patches per axis in a volume of ``space``."""
        s = self.settings
        fitting = grid_shape(space, s.patch, s.stride, s.jitter)
        grid = tuple(min(n, s.max_patches) for n in fitting)
        for axis, _ in self.directions:
            if grid[axis] <= (ahead := min(s.prediction_steps)):
                raise InputError(
                    f"CPC predicts {ahead} rows ahead along axis {axis}, but a volume of "
                    f"{tuple(space)} has {grid[axis]} rows of patches; "
                    "use smaller patches, stride or jitter"
                )
        return grid

    def sample_params(self, volumes: Tensor, generator: torch.Generator) -> ViewParams:
        s, scans, space = self.settings, len(volumes), self.space_of(volumes)
        extent = [s.patch + (n - 1) * s.stride for n in self.grid(space)]
        return {
            "start": random_corner(space, extent, (scans, 1), generator),
            "direction": torch.randint(len(s.directions), (1,), generator=generator),
        }

    def make_views(self, volumes: Tensor, params: ViewParams) -> ProxyBatch:
        s = self.settings
        grid = self.grid(self.space_of(volumes))
        corner = params["start"] + grid_corners(grid, s.stride)  # (scan, patch, D)
        views = cut(volumes, corner, (s.patch,) * self.dims)
        direction = self.directions[int(params["direction"])]
        number = torch.arange(views.shape[0] * views.shape[1]).view(len(views), 1, *grid)
        rows = along(number, direction)
        # for each step, the numbers of all patches that lie so many rows in; none past the end
        target = torch.cat([rows[:, :, step:].flatten() for step in s.prediction_steps])
        start = torch.cat([rows[:, :, :-step].flatten() for step in s.prediction_steps])
        seen = s.context_layers if s.context == "conv" else None
        placement = Placement(shift_matrix(corner), grid, direction, seen)
        return replace(self.batch_of(views, target, placement), asked_from=start)

    def forward(self, encoder: nn.Module, batch: ProxyBatch) -> Tensor:
        """Logits (prediction, latent): each prediction's similarity to all latents of the batch,
        and after them to those of the other devices' scans where there are several."""
        axis, backwards = direction = direction_of(batch)
        field = encode_once(encoder, self.embed, batch.views, batch.placement.grid, axis)
        latents = field.movedim(1, -1).flatten(0, -2)  # (latent, embedding_dim)
        way = self.way.weight[2 * axis + backwards]
        context = self.context(along(field, direction) + way.view(-1, *[1] * self.dims))
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

    def score(self, prediction: Tensor, batch: ProxyBatch) -> dict[str, Tensor | float]:
        """Share of latents that are found; giving one and the same patch to all has "chance".

        All patches are candidates, but a target lies so many rows ahead, and each step has one in
        the last row: who knows the grid and no scan answers with a patch there.
        """
        asked = batch.target.new_zeros(batch.views.shape[:2].numel())
        asked.scatter_add_(0, batch.target, torch.ones_like(batch.target))  # counts each patch
        # as many of other devices' scans are asked for, and one patch is the answer to none
        most = asked.max() / len(batch.target) * (len(asked) / prediction.shape[-1])
        return {**super().score(prediction, batch), "chance": most}


def encode_once(
    encoder: nn.Module, embed: nn.Module, views: Tensor, grid: Sequence[int], axis: int = 0
) -> Tensor:
    """The latents of all patches, each encoded once, laid out as the patches are.

    (scan, patch, channel, *space) → (scan, embedding_dim, *grid).

    Batch norm in training computes each feature with a mean over all patches that it is given, so
    a context would hold something of its target. There the rows along ``axis``, in which CPC goes,
    are encoded one after another: no two rows share a mean, and a prediction does not depend on
    the row that it predicts.
    """
    field = views.unflatten(1, tuple(grid))
    rows = field.split(1 if mixes_patches(encoder) else field.shape[1 + axis], 1 + axis)
    latents = []
    for row in rows:
        places = row.shape[: 1 + len(grid)]  # a scan's, in the row
        found = embed(global_avg_pool(encoder(row.flatten(0, len(grid)))))
        latents.append(found.view(*places, -1))
    return torch.cat(latents, 1 + axis).movedim(-1, 1)


def mixes_patches(encoder: Any) -> bool:
    """Whether what an encoder makes of a patch depends on the others that it is given with it."""
    modules = encoder.modules() if isinstance(encoder, nn.Module) else ()
    return any(isinstance(each, _BatchNorm) and each.training for each in modules)


def direction_of(batch: ProxyBatch) -> tuple[int, bool]:
    """The axis along which the batch's grid is gone through, and whether it is backwards.

    Raises:
        InputError: it is the batch of another task.
    """
    if batch.placement.direction is None:
        raise InputError("these views have no direction, so they are of another task than cpc")
    return batch.placement.direction


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


def make_context(settings: CPCSettings, dims: int) -> nn.Module:
    """The context network: (batch, channel, row, *across) → the same."""
    if settings.context == "gru":
        return PyramidGRU(settings.embedding_dim, settings.context_dim)
    layers = (PyramidConv(settings.embedding_dim, dims) for _ in range(settings.context_layers))
    return nn.Sequential(*layers)


class PyramidConv(nn.Module):
    """Adds to each place what a convolution sees there and, in the row before, there and beside.

    A stack of L sees the inverted pyramid of L rows, each one patch wider on every side; never a
    neighbour in its own row, nor anything below. (batch, channel, row, *across) → the same.
    """

    mask: Tensor

    def __init__(self, channels: int, dims: int):
        super().__init__()
        kernel: Any = (2, *[3] * (dims - 1))  # two rows: the one before, and the current one
        self.conv = CONV[dims](channels, channels, kernel, padding=1)
        mask = torch.zeros(kernel)
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

    (batch, channel, row, *across) → the same, or with ``state`` channels if that is not 0.
    """

    def __init__(self, channels: int, state: int = 0):
        super().__init__()
        self.cell = nn.GRUCell(channels, state or channels)

    def forward(self, field: Tensor) -> Tensor:
        mean = {1: F.avg_pool1d, 2: F.avg_pool2d}[field.ndim - 3]
        first = field[:, :, 0]
        state = first.new_zeros(len(first), self.cell.hidden_size, *first.shape[2:])
        states = []
        for row in field.unbind(2):
            above = mean(state, 3, stride=1, padding=1, count_include_pad=False)
            new = self.cell(*(f.movedim(1, -1).flatten(0, -2) for f in (row, above)))
            state = new.view(len(row), *row.shape[2:], -1).movedim(-1, 1)
            states.append(state)
        return torch.stack(states, 2)

"""What all proxy tasks share: a puzzle is made from volumes, solved by a network, and scored.

Chance and its application are apart. ``sample_params`` makes every random choice, as small named
tensors on the CPU; ``make_views`` makes the views from them without any randomness. So a
notebook's slider can set the parameters by hand, one seed gives one puzzle on any device, and a
viewer shows exactly what the network reads. (TorchIO parts ``make_params`` and ``apply_transform``
in the same way.)
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.collectives import all_gather
from ssl3d_lite.machine.device import to_device
from ssl3d_lite.models.settings import EncoderSettings

ViewParams = dict[str, Tensor]
Row = dict[str, Any]  # one row of a history: the means of ten steps, by name; and the task's name


# Neither is frozen: in mixed precision Fabric rebuilds what a network is given.


@dataclass
class Placement:
    """Where in the scan each view came from, and what was done to it.

    Shapes are written with B scans, V views of each, and D space axes.
    """

    matrix: Tensor
    """(B, V, D+1, D+1): view voxel → voxel of the volume given to ``make_views``."""
    grid: tuple[int, ...] = ()
    """Views per axis where they form a grid, last axis fastest."""
    direction: tuple[int, bool] | None = None
    """(axis, backwards) in which a grid is gone through, where there is such a direction."""
    rows_seen: int | None = None
    """How many rows before its own a view's context goes back, in that direction; None: all."""
    orders: Tensor | None = None
    """(answer, V): the cell of each view, where the answers are orders of a grid."""


@dataclass
class ProxyBatch:
    """Views and what has to be said of them. Networks read ``views``; figures draw views and
    placement, and print question and answers."""

    views: Tensor
    """(B, V, channel, *space)."""
    target: Tensor
    """The correct predictions: class numbers, or the voxels that have to be found."""
    placement: Placement
    ids: tuple[int, ...] = ()
    """A number for each scan, the same where the same scan comes twice. Without them, each scan
    of a batch is taken for another."""
    question: str = ""
    """What the network is asked, in one sentence for a reader; views print it."""
    answers: tuple[str, ...] = ()
    """The classes in words, in the order of their numbers; none where there are no such words."""
    asked_from: Tensor | None = None
    """The view that each prediction starts from, where a view of the batch has to be found: a
    number as in ``target``, view by view through all scans."""

    def to(self, device: torch.device | str) -> "ProxyBatch":
        return replace(
            self, views=to_device(self.views, device), target=to_device(self.target, device)
        )


class ProxyTask(nn.Module):
    """A puzzle made from unlabelled volumes. Its parameters are the head, thrown away later.

    A new task defines ``name``, ``Settings``, ``sample_params``, ``make_views`` and ``forward``.
    Where the prediction is one of several classes, ``loss`` (cross-entropy) and ``score``
    (accuracy) are those below.

    Example::

        >>> import torch
        >>> from ssl3d_lite.models.settings import EncoderSettings
        >>> from ssl3d_lite.tasks import make_task
        >>> task = make_task("rotation", EncoderSettings(), crop_size=16)
        >>> volumes = torch.rand(2, 1, 20, 24, 20)
        >>> params = task.sample_params(volumes, torch.Generator().manual_seed(0))
        >>> batch = task.make_views(volumes, params)
        >>> batch.views.shape, batch.target.shape, batch.placement.matrix.shape
        (torch.Size([2, 2, 1, 16, 16, 16]), torch.Size([2, 2]), torch.Size([2, 2, 4, 4]))
    """

    name: ClassVar[str] = "own"
    """What the task is called on the command line and in records."""
    Settings: ClassVar[type[Any]]
    """The task's settings: a frozen dataclass that inherits CheckedSettings."""
    question: str = ""
    """What is asked, in one sentence for a reader."""
    answers: tuple[str, ...] = ()
    """The classes in words, in the order of their numbers."""
    note: str = ""
    """What one should know about this very puzzle before training on it."""

    def __init__(self, settings: Any, encoder: EncoderSettings):
        """Make the head for an encoder of this shape."""
        super().__init__()
        self.settings, self.dims = settings, encoder.spatial_dims

    # ---- the puzzle ------------------------------------------------------------------------------

    def sample_params(self, volumes: Tensor, generator: torch.Generator) -> ViewParams:
        """Everything random about the puzzles made from ``volumes`` (batch, channel, *space).

        Only the volumes' number and size are read. The first axis of each tensor is the scan; it
        is 1 where one choice holds for the whole batch.

        Raises:
            InputError: volumes of this shape cannot be made into this puzzle.
        """
        raise NotImplementedError

    def make_views(self, volumes: Tensor, params: ViewParams) -> ProxyBatch:
        """Make the puzzles that ``params`` describe. The same params give the same puzzles."""
        raise NotImplementedError

    def batch_of(self, views: Tensor, target: Tensor, placement: Placement) -> ProxyBatch:
        """The batch, with the target where the views are, and with the task's own words."""
        target = to_device(target, views.device)
        return ProxyBatch(views, target, placement, question=self.question, answers=self.answers)

    def space_of(self, volumes: Tensor) -> torch.Size:
        """The size of each volume in voxels, without batch and channel axis.

        Raises:
            InputError: the volumes have too few or too many axes for this task.
        """
        if volumes.ndim != 2 + self.dims:
            alone = volumes.ndim == 1 + self.dims
            hint = "; for a single volume give volume[None]" if alone else ""
            raise InputError(
                f"{self.name} takes volumes of shape (batch, channel, *space) with {self.dims} "
                f"space axes, but got {tuple(volumes.shape)}{hint}"
            )
        return volumes.shape[2:]

    # ---- the network's part ----------------------------------------------------------------------

    def forward(self, encoder: nn.Module, batch: ProxyBatch) -> Tensor:
        """The head's prediction: logits (question, class)."""
        raise NotImplementedError

    def loss(self, prediction: Tensor, batch: ProxyBatch) -> Tensor:
        """What training makes small: the cross-entropy, a mean over the batch's questions."""
        return F.cross_entropy(prediction, batch.target.flatten())

    def score(self, prediction: Tensor, batch: ProxyBatch) -> dict[str, Tensor | float]:
        """How good a prediction is: the task's measure, then "chance", what guessing gives."""
        correct = (prediction.argmax(-1) == batch.target.flatten()).float().mean()
        return {"accuracy": correct, "chance": 1 / prediction.shape[-1]}

    def whole(self, part: Tensor) -> Tensor:
        """A tensor (scan, …) of all scans of a step, from the ``part`` that this process has.

        A task needs it if it compares scans with each other, or takes a mean over things that
        scans do not have equally many of. Validation is not shared among processes: there
        ``part`` is everything.
        """
        return all_gather(part) if self.training else part

    def check_health(self, history: Sequence[Row]) -> str | None:
        """What has gone wrong in a training whose loss is still a number, in one line; or None.

        Args:
            history: this task's last rows, up to 20, each the mean loss and scores of ten steps.
        """
        return None


def part_of(params: ViewParams, scans: slice) -> ViewParams:
    """The params of some of the scans, with what holds for the whole batch."""
    return {name: each if len(each) == 1 else each[scans] for name, each in params.items()}


def measure(row: Row) -> str:
    """The name of a task's measure in a row of scores: it stands before "chance"."""
    names = list(row)
    return names[names.index("chance") - 1]

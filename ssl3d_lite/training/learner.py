"""What the loop trains: networks and their loss as one module."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from ssl3d_lite.tasks import Row


class Learner(nn.Module):
    """All networks and the loss as one module, so that Fabric wraps them as one.

    ``forward`` takes what the run's ``batch_of`` makes and gives (loss, scores).
    """

    @property
    def num_batch_shapes(self) -> int:
        """Number of kinds of batches, of different sizes, that come one after another."""
        return 1

    def forward(self, *batch: Any) -> tuple[Tensor, dict[str, Any]]:
        raise NotImplementedError

    def at_step(self, step: int) -> None:
        """Called before each step."""

    def rates(self) -> list[tuple[Iterable[nn.Parameter], float]]:
        """Groups of weights, each with the share of the learning rate that it gets."""
        return [(self.parameters(), 1.0)]

    def check_health(self, history: list[Row]) -> str | None:
        """What is wrong with the training so far, although its loss is a number; or None."""
        return None

    def is_done(self, history: list[Row]) -> bool:
        """Whether the training has reached what it is for, and need not go on to its last step."""
        return False

"""What the loop trains."""

from collections.abc import Callable, Iterable

from torch import Tensor, nn

from ssl3d_lite.tasks import Row

Callback = Callable[[list[Row]], bool]  # is shown the history so far; True stops the run


# ---- pretraining -------------------------------------------------------------------------------


class Learner(nn.Module):
    """What the loop trains: all networks and the loss as one module, so Fabric wraps them as one.

    ``forward`` takes what the run's ``batch_of`` makes and gives (loss, scores).
    """

    num_batch_shapes = 1  # of batches that differ in size: those of the first steps, then again

    def at_step(self, step: int) -> None:
        """Called before each step."""

    def rates(self) -> list[tuple[Iterable[nn.Parameter], float]]:
        """Its weights, with the share of the learning rate that each group of them gets."""
        return [(self.parameters(), 1.0)]

    def check_health(self, history: list[Row]) -> str | None:
        """What is wrong with the training so far, although its loss is a number; or None."""
        return None


def clip(module: nn.Module, limit: float) -> Tensor:
    """Cut the gradient's norm to ``limit`` (0: leave it) and return what it was."""
    return nn.utils.clip_grad_norm_(module.parameters(), limit or float("inf"))

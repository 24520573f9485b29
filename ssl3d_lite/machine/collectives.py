"""What processes that share a batch say to each other, on torch.distributed alone.

A run of one process needs none of it: then each function returns what it was given.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

import torch
import torch.distributed as group
from torch import Tensor, nn

_Result = TypeVar("_Result")


_ALONE = ContextVar("alone", default=False)

LOST = (
    "another of the processes that share this training is gone; what was finished is kept: run the "
    "same command again, on each machine if there are several"
)


# ---- who is who --------------------------------------------------------------------------------


def is_distributed() -> bool:
    """Whether this is one of several processes that work together."""
    return group.is_available() and group.is_initialized() and not _ALONE.get()


@contextmanager
def alone() -> Iterator[None]:
    """Let this process forget the others for a while: nothing is sent, and each part is all."""
    before = _ALONE.set(True)
    try:
        yield
    finally:
        _ALONE.reset(before)


def world_size() -> int:
    return group.get_world_size() if is_distributed() else 1


def rank() -> int:
    """This process's number; the first, 0, speaks and writes for all."""
    return group.get_rank() if is_distributed() else 0


def say(text: str) -> None:
    """Print a line once, however many processes come by."""
    if rank() == 0:
        print(text)


def local_slice(count: int) -> slice:
    """The rows of a batch of ``count`` that are this process's: in order, as many for each."""
    each = count // world_size()  # `TrainSettings` has seen that nothing is left over
    return slice(rank() * each, (rank() + 1) * each)


# ---- working together --------------------------------------------------------------------------


def all_gather(part: Tensor) -> Tensor:
    """The parts (rows, …) of all processes, in their order; gradients go back to where each came
    from.

    There the gradients of all processes' losses are summed, and in the weights their mean is taken
    (DDP). So both are right: each process has the loss of its own rows, or all have that of all.
    """
    return Gather.apply(part) if is_distributed() else part


class Gather(torch.autograd.Function):
    """Written by hand: torch.distributed.nn's all_gather is deprecated since torch 2.13, and what
    is to take its place is private."""

    @staticmethod
    def forward(ctx: Any, part: Tensor) -> Tensor:
        part = part.contiguous()
        parts = [torch.empty_like(part) for _ in range(world_size())]
        group.all_gather(parts, part)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        group.all_reduce(gradient)
        return gradient[local_slice(len(gradient))]


def all_gather_objects(own: Any) -> list[Any]:
    """What each process has, in their order."""
    found = [own] * world_size()
    if is_distributed():
        group.all_gather_object(found, own)
    return found


def all_reduce_mean(numbers: list[float], device: torch.device) -> list[float]:
    """Means over all processes."""
    if not is_distributed():
        return numbers
    sums = torch.tensor(numbers, dtype=torch.float64, device=device)
    group.all_reduce(sums)
    return (sums / world_size()).tolist()


def on_rank_zero(work: Callable[..., _Result], *arguments: Any) -> _Result:
    """Let the first process do ``work`` while the others wait; all get its result, or its error.

    For what is written, and for what need not be computed twice.
    """
    if not is_distributed():
        return work(*arguments)
    outcome: list[Any] = [None, None]
    if rank() == 0:
        try:
            outcome[0] = work(*arguments)
        except Exception as error:  # if the first process ended alone, the others would wait
            outcome[1] = error
    group.broadcast_object_list(outcome, src=0)
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def is_loss(error: BaseException) -> bool:
    """Whether an error says that another process is gone."""
    return isinstance(error, group.DistError) or (
        isinstance(error, RuntimeError) and "gloo/transport" in str(error)
    )


def broadcast_buffers(module: nn.Module) -> None:
    """Give all processes the first one's buffers: batch norm's statistics on CPUs differ."""
    for buffer in module.buffers() if is_distributed() else ():
        group.broadcast(buffer, src=0)

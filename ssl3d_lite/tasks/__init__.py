"""The proxy tasks. A new one is one new file and one line here."""

from dataclasses import fields
from typing import Any

import torch

from ..errors import unknown
from .base import Draw, Placement, ProxyBatch, ProxyTask
from .cpc import CPC
from .rotation import Rotation

TASKS: dict[str, type[ProxyTask]] = {
    "cpc": CPC,
    "rotation": Rotation,
}


def task_class(name: str) -> type[ProxyTask]:
    """A proxy task by name.

    Raises:
        InputError: no such task; names the nearest.
    """
    if name not in TASKS:
        raise unknown("task", name, TASKS)
    return TASKS[name]


def make_task(
    name: str, width: int, spatial_dims: int = 3, seed: int = 0, **settings: Any
) -> ProxyTask:
    """Make a proxy task, its head's weights drawn from ``seed``.

    Args:
        width: channels of the encoder's deepest level, which the head reads.
        settings: the task's own; those not named keep their defaults.

    Raises:
        InputError: no such task, or no such setting; names the nearest.
    """
    kind = task_class(name)
    known = [field.name for field in fields(kind.Settings)]
    for setting in settings:
        if setting not in known:
            raise unknown(f"setting of {name}", setting, known)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(kind.Settings(**settings), width, spatial_dims)


__all__ = [
    "CPC",
    "TASKS",
    "Draw",
    "Placement",
    "ProxyBatch",
    "ProxyTask",
    "Rotation",
    "make_task",
    "task_class",
]

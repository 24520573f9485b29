"""The proxy tasks. A new one is one new file and one line here."""

from dataclasses import fields
from typing import Any

import torch

from ssl3d_lite.errors import InputError, unknown
from ssl3d_lite.models.settings import EncoderSettings

from .base import Placement, ProxyBatch, ProxyTask, Row, ViewParams, measure, part_of
from .controls import Collapsed, Random
from .cpc import CPC
from .exemplar import Exemplar
from .jigsaw import Jigsaw
from .masked import Masked
from .relative_location import RelativeLocation
from .rotation import Rotation
from .tissue import Tissue

TASKS: dict[str, type[ProxyTask]] = {
    kind.name: kind
    for kind in (
        CPC,
        RelativeLocation,
        Jigsaw,
        Rotation,
        Exemplar,
        Masked,  # the sixth: what the field did next
        Tissue,  # the paper's supervised baseline
        Random,  # controls
        Collapsed,
    )
}


def task_classes(names: str) -> list[type[ProxyTask]]:
    """Proxy tasks by name; several, to be trained by turns, are joined: "cpc+masked".

    Raises:
        InputError: no such task, naming the nearest; or one that stands twice.
    """
    listed = names.split("+")
    for name in listed:
        if name not in TASKS:
            raise unknown("task", name, TASKS)
    if len(set(listed)) < len(listed):
        raise InputError(f"task {names!r} names one task twice")
    return [TASKS[name] for name in listed]


def make_task(name: str, encoder: EncoderSettings, seed: int = 0, **settings: Any) -> ProxyTask:
    """Make a proxy task, its head's weights drawn from ``seed``.

    Args:
        encoder: the shape of the encoder that the task is for.
        settings: the task's own; those not named keep their defaults.

    Raises:
        InputError: no such task, or no such setting; names the nearest.
    """
    kind, *more = task_classes(name)
    if more:
        raise InputError(f"{name!r} names several tasks; make one after the other")
    known = [field.name for field in fields(kind.Settings)]
    for setting in settings:
        if setting not in known:
            raise unknown(f"setting of {name}", setting, known)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(kind.Settings(**settings), getattr(encoder, "settings", encoder))


__all__ = [
    "TASKS",
    "Placement",
    "ProxyBatch",
    "ProxyTask",
    "Row",
    "ViewParams",
    "make_task",
    "measure",
    "part_of",
    "task_classes",
]

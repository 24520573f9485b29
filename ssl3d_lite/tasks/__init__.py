"""The proxy tasks: puzzles from unlabelled volumes, by which an encoder is pretrained.

Start with base.py, then read one task: rotation.py is the shortest. geometry.py cuts, turns and
warps for all of them. A new task is one new file and one line in TASKS, below.
"""

from dataclasses import fields
from typing import Any, Protocol

import torch

from ssl3d_lite.errors import InputError, unknown
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.settings import check_names

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
        Masked,  # not in the paper: what the field did next
        Tissue,  # the paper's supervised baseline
        Random,  # controls
        Collapsed,
    )
}


def task_classes(names: str) -> list[type[ProxyTask]]:
    """Proxy tasks by name; the names of several, trained by turns, are joined: "cpc+masked".

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


class HasEncoderSettings(Protocol):
    """An encoder, as far as a task needs to know it: :mod:`ssl3d_lite.models.encoders` has them."""

    settings: EncoderSettings


def make_task(
    name: str, encoder: EncoderSettings | HasEncoderSettings, seed: int = 0, **settings: Any
) -> ProxyTask:
    """Make a proxy task, its head's initial weights fixed by ``seed``.

    Args:
        name: one of TASKS: cpc, rpl, jigsaw, rotation, exemplar, masked, tissue; or a control.
        encoder: the encoder that the task is for, or its settings.
        settings: the task's own, such as ``patch=16``; those not named keep their defaults.

    Raises:
        InputError: no such task or setting, naming the nearest; or a value that is not allowed.

    Example::

        >>> from ssl3d_lite.models.settings import EncoderSettings
        >>> from ssl3d_lite.tasks import make_task
        >>> task = make_task("jigsaw", EncoderSettings(spatial_dims=2), patch=16)
        >>> task.settings.patch, task.settings.permutations
        (16, 100)
    """
    kind, *more = task_classes(name)
    if more:
        raise InputError(f"{name!r} names several tasks; make one after the other")
    known = [field.name for field in fields(kind.Settings)]
    check_names(settings, known, f"setting of {name}")
    shape = encoder if isinstance(encoder, EncoderSettings) else encoder.settings
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return kind(kind.Settings(**settings), shape)


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

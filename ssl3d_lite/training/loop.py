"""The loop: one for pretraining and fine-tuning, on Lightning Fabric, to be read top to bottom.

Every step makes its own random numbers from (seed, step), so a run that was killed and started
again by the same call ends with the same weights, bit for bit on a CPU, as one that was not.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from ssl3d_lite.machine.collectives import all_reduce_mean, broadcast_buffers, is_distributed
from ssl3d_lite.machine.launch import DDPWrapper, launch, sync_batch_norm
from ssl3d_lite.models.blocks import channels_last
from ssl3d_lite.models.checkpointing import set_activation_checkpointing
from ssl3d_lite.tasks import Row

from .batches import BatchOf
from .hooks import (
    CheckFinite,
    CheckHealth,
    Hook,
    ProgressBar,
    RunSpec,
    SaveCheckpoint,
    StopWhenDone,
    TrainingState,
)
from .learner import Learner
from .memory import check_memory, explain_out_of_memory
from .resume import Progress
from .settings import STEPS_PER_ROW, TrainSettings


def fit(
    learner: Learner, batch_of: BatchOf, spec: RunSpec, own_hooks: Sequence[Hook] = ()
) -> list[Row]:
    """Train ``learner`` in place, on the batches that ``batch_of`` makes, and return the history.

    Args:
        own_hooks: what is to happen beside the training, after the checks and before a checkpoint.

    Raises:
        InputError: a step needs more memory than is free, or ``spec.out`` holds another run.
        DivergedError: loss or gradient is not finite, or the learner finds another failure. The
            last checkpoint is from before.
    """
    settings = spec.settings
    fabric = launch_for(settings)
    model, optimizer = set_up(fabric, learner, settings)
    progress = Progress.restore(spec.out, spec.record, learner, optimizer)
    # a run that was done before its last step has nothing left to do
    last = progress.step if learner.is_done(progress.history) else settings.steps
    if progress.step < last:
        check_memory(learner, batch_of, fabric.device, settings, optimizer)
    bar = ProgressBar(spec.title, progress.step, last)
    checks = [CheckFinite(), CheckHealth(), StopWhenDone()]
    hooks: list[Hook] = [*checks, *own_hooks, SaveCheckpoint(), bar]
    state = TrainingState(spec, learner, optimizer, progress, progress.step)
    window: list[dict[str, Any]] = []  # the steps since the last row
    with ExitStack() as around:
        around.enter_context(sync_batch_norm(learner, fabric))
        around.enter_context(explain_out_of_memory(settings))
        for hook in hooks:
            around.callback(hook.close)
        for step in range(progress.step, last):
            # learning rate: it falls from step to step; a group of weights may get a share of it
            for group in optimizer.param_groups:
                group["lr"] = settings.lr_at(step) * group["share"]
            learner.at_step(step)

            # forward: from the scans of this step to the loss
            loss, scores = model(*batch_of(step, fabric.device))

            # backward: the gradient of the loss by every weight
            optimizer.zero_grad()
            fabric.backward(loss)

            # clip: one odd batch cannot throw the weights far off
            norm = clip_gradient(learner, settings.clip)

            # step: the weights move
            optimizer.step()

            # log: the numbers stay on the device until there are ten of them, then hooks are told
            window.append({"loss": loss.detach(), **scores, "gradient": norm})
            state.step = step + 1
            if state.step % STEPS_PER_ROW == 0 or state.step == settings.steps:
                broadcast_buffers(learner)
                state.rows = mean_rows(window, state.step, settings.lr_at(step), fabric.device)
                progress.history.extend(state.rows)
                window.clear()
                for hook in hooks:
                    hook.after_row(state)
            for hook in hooks:
                hook.after_step(state)
            if state.stop:
                break
    progress.load_best(learner)
    return progress.history


def launch_for(settings: TrainSettings) -> Fabric:
    """A training's Fabric. What is read or written before the training comes after this call, as
    it starts the other processes: see :func:`~ssl3d_lite.machine.launch.launch`."""
    return launch(settings.devices, settings.device, settings.precision, settings.machines)


def set_up(
    fabric: Fabric, learner: Learner, settings: TrainSettings
) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Put the learner, in training mode, and its optimiser on the device."""
    learner.to(fabric.device)  # a trained encoder may lie there already: Fabric warns of the rest
    if settings.memory_format == "channels-last":
        learner.to(memory_format=channels_last(learner))  # type: ignore[call-overload]
    groups = [
        {"params": weights, "share": share, "weight_decay": decay}
        for every, share in learner.rates()
        for weights, decay in parts_by_decay(every, settings.weight_decay)
    ]
    optimizer = torch.optim.AdamW(groups, settings.learning_rate)
    whole = DDPWrapper(learner) if is_distributed() else learner
    model, optimizer = fabric.setup(whole, optimizer)
    learner.train()
    set_activation_checkpointing(learner, settings.activation_checkpointing)
    return model, optimizer


def parts_by_decay(
    weights: Iterable[nn.Parameter], decay: float
) -> Iterator[tuple[list[nn.Parameter], float]]:
    """Weights with the decay that they get: biases, and the scales of norms, have none, since a
    layer is not simpler for smaller ones."""
    kernels: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for each in weights:
        (kernels if each.ndim > 1 else others).append(each)
    yield kernels, decay
    yield others, 0.0


def clip_gradient(module: nn.Module, limit: float) -> Tensor:
    """Cut the gradient's norm to ``limit`` (0: leave it) and return what it was."""
    return nn.utils.clip_grad_norm_(module.parameters(), limit or float("inf"))


def mean_rows(
    window: list[dict[str, Any]], step: int, learning_rate: float, device: torch.device
) -> list[Row]:
    """The means of some steps, over all processes: a row for each task that had a turn in them.

    The one place where the loop waits for the device.
    """
    rows = []
    for task in dict.fromkeys(each.get("task") for each in window):
        turns = [each for each in window if each.get("task") == task]
        named = {} if task is None else {"task": task}
        names = [name for name in turns[0] if name != "task"]
        means = [
            float(torch.stack([torch.as_tensor(turn[name]) for turn in turns]).mean())
            for name in names
        ]
        # all processes have one history, and see the same failures
        means = all_reduce_mean(means, device)
        row = {"step": step, "learning_rate": learning_rate}
        rows.append(row | named | dict(zip(names, means, strict=True)))
    return rows

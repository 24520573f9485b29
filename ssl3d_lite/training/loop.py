"""The loop: one for pretraining and fine-tuning, on Lightning Fabric, to be read top to bottom.

Every step makes its own random numbers from (seed, step), so a run that was killed and started
again by the same call ends with the same weights, bit for bit on a CPU, as one that was not.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from ssl3d_lite.errors import DivergedError
from ssl3d_lite.machine.collectives import (
    all_reduce_mean,
    broadcast_buffers,
    is_distributed,
    on_rank_zero,
    rank,
)
from ssl3d_lite.machine.device import choose_precision
from ssl3d_lite.machine.launch import DDPWrapper, launch, sync_batch_norm
from ssl3d_lite.machine.memory_format import choose_layout
from ssl3d_lite.models.checkpointing import set_activation_checkpointing
from ssl3d_lite.tasks import Row, measure

from .checkpoint import Progress
from .learner import Callback, Learner, clip
from .memory import check_memory
from .settings import LOG_EVERY, TrainSettings

# ---- the loop ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class EvalHook:
    """A score of the weights as they are after some steps, which the history holds by its name."""

    name: str
    score: Callable[[], float]
    cases: tuple[int, ...]  # the cases that are scored
    due: Callable[[int, TrainSettings], bool]  # after which steps (a multiple of 10, or the last)
    chooses: bool = False  # whether the weights that are best by it are kept


def fit(
    learner: Learner,
    batch_of: Callable[[int, torch.device, TrainSettings], tuple],
    settings: TrainSettings,
    record: dict[str, Any],
    out: Path | None = None,
    looks: Sequence[EvalHook] = (),
    title: str = "finetune",
    callback: Callback | None = None,
) -> list[Row]:
    """Train ``learner`` for ``settings.steps`` steps on the batches that ``batch_of`` makes.

    ``record`` says all that the run depends on; a folder ``out`` with another record is refused.
    ``callback`` may stop it earlier, see :func:`pretrain`.

    Raises:
        InputError: a step needs more memory than is free.
        DivergedError: loss or gradient is not finite, or the learner finds another fault. The
            last checkpoint is from before.
    """
    fabric = launch(settings.devices, settings.device, settings.precision)
    example = batch_of(0, fabric.device, settings) if settings.layout == "trial" else ()
    precision = choose_precision(settings.precision, fabric.device.type)
    layout = choose_layout(settings.layout, learner, example, fabric.device.type, precision)
    learner.to(memory_format=layout)  # channels last: a third faster on CPU, more on GPU
    optimizer = torch.optim.AdamW(
        [{"params": weights, "share": share} for weights, share in learner.rates()],
        settings.learning_rate,
        weight_decay=settings.weight_decay,
    )
    model, optimizer = fabric.setup(DDPWrapper(learner) if is_distributed() else learner, optimizer)
    progress = Progress.restore(out, record, learner, optimizer)
    window: list[dict[str, Any]] = []
    stopped = False
    learner.train()
    set_activation_checkpointing(learner, settings.activation_checkpointing)
    if progress.step < settings.steps:
        check_memory(learner, batch_of, fabric.device, settings, optimizer)
    bar = tqdm(
        total=settings.steps, initial=progress.step, desc=title, unit="step", disable=rank() > 0
    )
    with sync_batch_norm(learner, fabric), bar:
        for step in range(progress.step, settings.steps):
            for group in optimizer.param_groups:
                group["lr"] = settings.lr_at(step) * group["share"]
            learner.at_step(step)
            loss, scores = model(*batch_of(step, fabric.device, settings))
            optimizer.zero_grad()
            fabric.backward(loss)
            norm = clip(learner, settings.clip)
            optimizer.step()
            window.append({"loss": loss.detach(), **scores, "gradient": norm})
            done = step + 1
            if done % LOG_EVERY == 0 or done == settings.steps:
                rows = _together(_rows(window, done, settings.lr_at(step)), fabric.device)
                window.clear()
                broadcast_buffers(learner)
                _check_finite(rows, progress, out, settings)
                _look(looks, done, rows[-1], learner, progress, settings)
                progress.history.extend(rows)
                if fault := learner.check_health(progress.history):
                    raise DivergedError(f"step {done}: {fault}{_kept(progress, out)}")
                bar.set_postfix_str(_in_short(rows))
                stopped = callback is not None and bool(
                    on_rank_zero(callback, list(progress.history))
                )
            if stopped or done % settings.checkpoint_every == 0 or done == settings.steps:
                progress.save(out, done, record, learner, optimizer)
            bar.update()
            if stopped:
                _end_early(bar, done)
                break
    progress.load_best(learner)
    return progress.history


def _end_early(bar: tqdm, step: int) -> None:
    """A stop is no failure, as which a bar that ends short of its total is shown in a notebook."""
    if not bar.disable and step < bar.total:
        bar.set_description_str(f"{bar.desc.removesuffix(': ')}, stopped at {step} of {bar.total}")
        bar.total = step


def _look(
    looks: Sequence[EvalHook],
    step: int,
    row: Row,
    learner: Learner,
    progress: Progress,
    settings: TrainSettings,
) -> None:
    """Score the weights of this step where that is wanted, and keep them if they are the best."""
    for look in looks:
        if look.due(step, settings):
            row[look.name] = on_rank_zero(look.score)
            if look.chooses:
                progress.keep_best(row[look.name], step, learner)
            learner.train()


def _rows(window: list[dict[str, Any]], step: int, rate: float) -> list[Row]:
    """The means of a window of steps, a row for each task that had a turn in it.

    The one place where the loop waits for the device.
    """
    rows = []
    for task in dict.fromkeys(each.get("task") for each in window):
        turns = [each for each in window if each.get("task") == task]
        named = {} if task is None else {"task": task}
        means = {
            name: float(torch.stack([torch.as_tensor(turn[name]) for turn in turns]).mean())
            for name in turns[0]
            if name != "task"
        }
        rows.append({"step": step, "learning_rate": rate, **named, **means})
    return rows


def _together(rows: list[Row], device: torch.device) -> list[Row]:
    """Rows of means over all processes, so that they have one history and see the same faults."""
    places = [(row, name) for row in rows for name in row if isinstance(row[name], float)]
    for (row, name), mean in zip(
        places, all_reduce_mean([row[name] for row, name in places], device), strict=True
    ):
        row[name] = mean
    return rows


def _in_short(rows: list[Row]) -> str:
    """Loss and score of the last steps, for the progress bar."""
    parts = []
    for row in rows:
        names = ["loss"] + ([measure(row)] if "chance" in row else [])
        numbers = " ".join(f"{name} {row[name]:.3g}" for name in names)
        parts.append(f"{row['task']}: {numbers}" if len(rows) > 1 else numbers)
    return ", ".join(parts)


def _check_finite(
    rows: list[Row], progress: Progress, out: Path | None, settings: TrainSettings
) -> None:
    for row in rows:
        if not (np.isfinite(row["loss"]) and np.isfinite(row["gradient"])):
            raise DivergedError(
                f"loss {row['loss']:.3g}, gradient {row['gradient']:.3g}: training diverged in the "
                f"{LOG_EVERY} steps before step {row['step']}{_kept(progress, out)}; try a "
                f"learning rate below {settings.learning_rate:g}"
            )


def _kept(progress: Progress, out: Path | None) -> str:
    return f"; the checkpoint of step {progress.saved} is kept in {out}" if out else ""

"""Pretraining: an encoder learns a proxy task, without labels."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.machine.collectives import local_slice, on_rank_zero
from ssl3d_lite.models.compatibility import check_encoder_fits
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.tasks import ProxyBatch, ProxyTask, Row, part_of

from .batches import cases_of_step, step_generator
from .checkpoint import digest, save_encoder
from .learner import Callback, Learner
from .loop import fit
from .settings import RECENT, TrainSettings, changed


class Pretraining(Learner):
    """An encoder, and the tasks that train it by turns."""

    def __init__(self, encoder: Encoder, tasks: Sequence[ProxyTask]):
        super().__init__()
        self.encoder, self.tasks = encoder, nn.ModuleList(tasks)

    @property
    def num_batch_shapes(self) -> int:
        return len(self.tasks)

    def forward(self, turn: int, batch: ProxyBatch) -> tuple[Tensor, dict[str, Any]]:
        task = self.tasks[turn]
        answer = task(self.encoder, batch)
        return task.loss(answer, batch), {"task": task.name, **task.score(answer, batch)}

    def check_health(self, history: list[Row]) -> str | None:
        last = history[-RECENT * len(self.tasks) :]  # a long run should not read it all each time
        faults = (
            task.check_health([row for row in last if row["task"] == task.name])
            for task in self.tasks
        )
        return next(filter(None, faults), None)


def pretrain(
    task: ProxyTask | Sequence[ProxyTask],
    encoder: Encoder,
    cohort: Cohort,
    cases: Sequence[int] | None = None,
    settings: TrainSettings | None = None,
    out: str | Path | None = None,
    *,
    callback: Callback | None = None,
    **changes: Any,
) -> list[Row]:
    """Train ``encoder`` on a proxy task, or on several by turns, over ``cases``, without labels.

    With ``out``, checkpoints go there, and the same call continues from the last one: with encoder
    and tasks made anew from the same seeds, as those of this call are trained where they stand. If
    there are fewer cases than a batch, a batch is all of them: no scan stands beside itself.

    ``callback`` is called after every ten steps with the history so far. If it returns True, the run
    stops there, with a checkpoint of that very step; ``encoder.safetensors`` is written by a run
    that ends. The run's record does not name it: with or without, it is the same run. It must not
    leave the networks in another mode, nor change their weights.

    Returns:
        The history: mean loss and scores of every ten steps, a row for each task. The encoder and
        the tasks themselves are trained in place; the encoder is left in evaluation mode.

    Raises:
        DivergedError: the loss is not finite, or the task says that its training has failed.
    """
    check_encoder_fits(encoder, cohort)
    cases = cohort.split().pretrain if cases is None else cases
    settings = changed(settings or TrainSettings(), changes)
    tasks = [task] if isinstance(task, ProxyTask) else list(task)
    settings = replace(settings, batch=min(settings.batch, len(cases))).for_cases(len(cases))
    record = {
        "kind": "pretrain",
        "task": "+".join(task.name for task in tasks),
        "task_settings": {
            f"{task.name} {name}": value
            for task in tasks
            for name, value in asdict(task.settings).items()
        },
        "encoder": asdict(encoder.settings),
        "training": settings.record(),
        "start": digest(encoder, *tasks),
        "data": [cohort.name, len(cohort), list(cases)],
    }

    def batch_of(
        step: int, device: torch.device, settings: TrainSettings
    ) -> tuple[int, ProxyBatch]:
        turn, chosen = step % len(tasks), cases_of_step(cases, settings, step)
        own = local_slice(len(chosen))
        volumes = cohort.images(chosen[own]).to(device)
        # every process draws for the whole batch, as one alone would; a draw reads no voxel
        whole = volumes[:1].expand(len(chosen), *volumes.shape[1:])
        params = tasks[turn].sample_params(whole, step_generator(settings.seed, step))
        views = tasks[turn].make_views(volumes, part_of(params, own))
        # at the end of a round a scan may stand in a batch twice: its number says so
        return turn, replace(views, ids=tuple(chosen[own]))

    learner = Pretraining(encoder, tasks)
    title = f"pretrain {record['task']}"
    history = fit(
        learner, batch_of, settings, record, out and Path(out), title=title, callback=callback
    )
    if out is not None and history[-1]["step"] == settings.steps:
        on_rank_zero(save_encoder, Path(out), encoder, record)
    encoder.eval()
    return history

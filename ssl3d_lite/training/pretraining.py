"""Pretraining: an encoder learns a proxy task, without labels."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from torch import Tensor, nn

from ssl3d_lite.data.cohort import Cohort, takes_cohort
from ssl3d_lite.data.provenance import Provenance
from ssl3d_lite.machine.collectives import on_rank_zero, say
from ssl3d_lite.models.compatibility import adopt_encoder
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.models.foreign import check_own
from ssl3d_lite.models.unet import find_unet_decoder
from ssl3d_lite.tasks import ProxyBatch, ProxyTask, Row, measure

from .batches import puzzle_batch
from .checkpoint import digest, save_encoder
from .hooks import Callback, CallbackHook, RunSpec
from .learner import Learner
from .loop import fit, launch_for
from .resume import hold_run, origins
from .settings import PretrainSettings, TrainSettings, with_changes

PRETRAINING_PARTS = ("scans", "images", "folds", "preparation")  # all of a cohort but its labels
HEALTH_ROWS = 20  # rows of the history from which a task may judge that its training has failed
UNTIL_ROWS = 5  # rows, each the mean of ten steps, whose mean score is the one to reach


class Pretraining(Learner):
    """An encoder, and the tasks that train it by turns."""

    def __init__(self, encoder: nn.Module, tasks: Sequence[ProxyTask], until: float = 0):
        super().__init__()
        self.encoder, self.tasks, self.until = encoder, nn.ModuleList(tasks), until

    @property
    def num_batch_shapes(self) -> int:
        return len(self.tasks)

    def forward(self, turn: int, batch: ProxyBatch) -> tuple[Tensor, dict[str, Any]]:
        task = cast(ProxyTask, self.tasks[turn])
        prediction = task(self.encoder, batch)
        return task.loss(prediction, batch), {"task": task.name, **task.score(prediction, batch)}

    def check_health(self, history: list[Row]) -> str | None:
        last = history[-HEALTH_ROWS * len(self.tasks) :]  # not all of a long run, each time
        failures = (
            task.check_health([row for row in last if row["task"] == task.name])
            for task in cast(Iterable[ProxyTask], self.tasks)
        )
        return next(filter(None, failures), None)

    def is_done(self, history: list[Row]) -> bool:
        scores = self.last_scores(history)
        return (
            self.until > 0 and None not in scores and min(cast(list[float], scores)) >= self.until
        )

    def last_scores(self, history: list[Row]) -> list[float | None]:
        """For each task the mean of its measure over its last steps; None: it had too few."""
        scores: list[float | None] = []
        for task in cast(Iterable[ProxyTask], self.tasks):
            rows = [row for row in history if row["task"] == task.name][-UNTIL_ROWS:]
            mean = sum(row[measure(row)] for row in rows) / UNTIL_ROWS
            scores.append(mean if len(rows) == UNTIL_ROWS else None)
        return scores


@takes_cohort
def pretrain(
    task: ProxyTask | Sequence[ProxyTask],
    encoder: Encoder,
    cohort: Cohort,
    cases: Sequence[int] | None = None,
    settings: TrainSettings | None = None,
    out: str | Path | None = None,
    *,
    fold: int | None = None,
    callback: Callback | None = None,
    **changes: Any,
) -> list[Row]:
    """Train ``encoder`` in place on a proxy task, or on several by turns, without labels.

    With ``out``, checkpoints go there, and the same call continues from the last one: with encoder
    and tasks made anew from the same seeds, as those of this call are trained where they stand. If
    there are fewer cases than a batch, a batch is all of them: no scan stands beside itself.

    Args:
        cases: numbers of the cohort's cases to train on; by default those that
            ``cohort.split(fold).pretrain`` names.
        fold: the fold that is held out; 0, if neither it nor cases are given.
        callback: called after every ten steps with the history so far. If it returns True, the run
            stops there, with a checkpoint of that very step; ``encoder.safetensors`` is written by
            a run that ends. The run's record does not name it: with or without, it is the same
            run. It must not leave the networks in another mode, nor change their weights.
        changes: fields of :class:`PretrainSettings`, in place of those in ``settings``.

    Returns:
        The history: mean loss and scores of every ten steps, a row for each task. The encoder is
        left in evaluation mode; what it was trained on is its ``provenance``.

    Raises:
        InputError: encoder and cohort do not fit together, a setting is wrong, a step needs more
            memory than is free, or ``out`` holds another run, or anything else.
        DivergedError: the loss is not finite, or the task says that its training has failed.

    Example::

        encoder = make_encoder(cohort, seed=0)
        history = pretrain(make_task("cpc", encoder), encoder, cohort, steps=400)
    """
    cohort.require_whole()
    check_own(encoder, "trained")
    adopt_encoder(encoder, cohort)
    if cases is None:
        fold = fold or 0
        cases = cohort.split(fold).pretrain
    tasks = [task] if isinstance(task, ProxyTask) else list(task)
    settings = with_changes(_for_pretraining(settings), changes)
    settings = replace(settings, batch=min(settings.batch, len(cases))).for_cases(len(cases))
    record = _record(tasks, encoder, cohort, cases, settings) | {"fold": fold}
    batch_of = partial(puzzle_batch, tasks, cohort, cases, settings)
    hooks = [] if callback is None else [CallbackHook(callback)]
    encoder.provenance = Provenance.of(
        cohort, cases, fold=fold, before=encoder.provenance, parts=PRETRAINING_PARTS
    )
    launch_for(settings)
    with hold_run(record, cohort, out) as folder:
        spec = RunSpec(settings, record, folder, f"pretrain {record['task']}")
        learner = Pretraining(encoder, tasks, settings.until)
        history = fit(learner, batch_of, spec, hooks)
        steps, done = history[-1]["step"], learner.is_done(history)
        if folder is not None and (done or steps == settings.steps):
            decoder = find_unet_decoder(nn.ModuleList(tasks))
            on_rank_zero(save_encoder, folder, encoder, record | {"steps_done": steps}, decoder)
    if settings.until and not done and steps == settings.steps:
        say(f"the puzzle's score has not come to {settings.until:g} in {steps} steps")
    encoder.eval()
    return history


def _for_pretraining(settings: TrainSettings | None) -> PretrainSettings:
    """The settings as those of pretraining, which has one more."""
    if settings is None or isinstance(settings, PretrainSettings):
        return settings or PretrainSettings()
    return PretrainSettings(
        **{each.name: getattr(settings, each.name) for each in fields(TrainSettings)}
    )


def _record(
    tasks: Sequence[ProxyTask],
    encoder: Encoder,
    cohort: Cohort,
    cases: Sequence[int],
    settings: TrainSettings,
) -> dict[str, Any]:
    """All that a run depends on."""
    return {
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
        **origins(cohort, encoder, PRETRAINING_PARTS, encoder.provenance is None),
        "data": [cohort.name, len(cohort), list(cases)],
    }

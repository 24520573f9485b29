"""What happens beside the training of a network: checks, scores, checkpoints, the progress bar.

A hook is told after every step, and after every row of the history (ten steps). It sees the run as
a :class:`TrainingState`, and may stop it by ``state.stop = True``::

    class PrintLoss(Hook):
        def after_row(self, state):
            print(state.step, state.rows[-1]["loss"])

    finetune(network, cohort, hooks=[PrintLoss()])
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm.auto import tqdm

from ssl3d_lite.errors import DivergedError
from ssl3d_lite.machine.collectives import on_rank_zero, rank
from ssl3d_lite.machine.progress import hidden_if
from ssl3d_lite.tasks import Row, measure

from .learner import Learner
from .resume import Progress
from .settings import TrainSettings

# is shown the history so far; if it returns True, the run stops
Callback = Callable[[list[Row]], Any]


@dataclass(frozen=True)
class RunSpec:
    """What a run is: its settings, and what else its numbers depend on."""

    settings: TrainSettings
    record: dict[str, Any]
    """All that the run depends on; a folder with another record is refused."""
    out: Path | None = None
    """Folder of its checkpoints."""
    title: str = "train"


@dataclass
class TrainingState:
    """A run in progress."""

    spec: RunSpec
    learner: Learner
    optimizer: torch.optim.Optimizer
    progress: Progress
    step: int
    """Number of steps that are done."""
    rows: list[Row] = field(default_factory=list)
    """Rows of the last ten steps: one for each task that had a turn in them."""
    stop: bool = False
    """Whether the run ends here."""

    @property
    def settings(self) -> TrainSettings:
        return self.spec.settings

    def failed(self, why: str, advice: str = "") -> DivergedError:
        """The error for a training that cannot go on; says which checkpoint there is."""
        out, saved = self.spec.out, self.progress.saved
        kept = f"; the checkpoint of step {saved} is kept in {out}" if out else ""
        return DivergedError(f"{why}{kept}{advice}")


class Hook:
    """Base of all hooks: does nothing."""

    def after_step(self, state: TrainingState) -> None:
        """Called after every optimiser step."""

    def after_row(self, state: TrainingState) -> None:
        """Called when ten steps have been added to the history, and after the last."""

    def close(self) -> None:
        """Called when the run is over, in good order or not."""


# ---- checks ------------------------------------------------------------------------------------


class CheckFinite(Hook):
    """Ends a training whose loss or gradient is no number any more."""

    def after_row(self, state: TrainingState) -> None:
        for row in state.rows:
            if not (np.isfinite(row["loss"]) and np.isfinite(row["gradient"])):
                raise state.failed(
                    f"loss {row['loss']:.3g}, gradient {row['gradient']:.3g}: training diverged in "
                    f"the 10 steps before step {row['step']}",
                    f"; try a learning rate below {state.settings.learning_rate:g}",
                )


class CheckHealth(Hook):
    """Ends a training that has failed although its loss is a number: see ``check_health``."""

    def after_row(self, state: TrainingState) -> None:
        if failure := state.learner.check_health(state.progress.history):
            raise state.failed(f"step {state.step}: {failure}")


class StopWhenDone(Hook):
    """Ends a training that has reached what it is for: see ``is_done``."""

    def after_row(self, state: TrainingState) -> None:
        state.stop |= state.learner.is_done(state.progress.history)


# ---- scores ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EvalHook(Hook):
    """Scores the weights as they are after some steps; the history holds the score by its name."""

    name: str
    score: Callable[[], Row]
    """Columns for the history: the score by the hook's name, and perhaps what it is made of."""
    cases: tuple[int, ...]
    """The cases that are scored."""
    due: Callable[[int, TrainSettings], bool]
    """Whether they are scored after a step (a multiple of 10, or the last)."""
    chooses: bool = False
    """Whether the weights that are best by this score are kept."""

    def after_row(self, state: TrainingState) -> None:
        if not self.due(state.step, state.settings):
            return
        scored = on_rank_zero(self.score)
        state.rows[-1] |= scored
        if self.chooses:
            state.progress.keep_best(scored[self.name], state.step, state.learner)
        state.learner.train()


@dataclass(frozen=True)
class CallbackHook(Hook):
    """Shows the history to a function, which may stop the run."""

    callback: Callback

    def after_row(self, state: TrainingState) -> None:
        # the first process asks for all; the list is the callback's own
        state.stop |= bool(on_rank_zero(self.callback, list(state.progress.history)))


# ---- keeping and showing -----------------------------------------------------------------------


class SaveCheckpoint(Hook):
    """Writes a checkpoint now and then, and at the end."""

    def after_row(self, state: TrainingState) -> None:
        settings = state.settings
        last = state.stop or state.step == settings.steps
        if last or state.step % settings.checkpoint_every == 0:
            record, out = state.spec.record, state.spec.out
            state.progress.save(out, state.step, record, state.learner, state.optimizer)


class ProgressBar(Hook):
    """Steps done, and the loss and score of the last ten."""

    def __init__(self, title: str, done: int, steps: int):
        hidden = hidden_if(rank() > 0)
        self.bar = tqdm(total=steps, initial=done, desc=title, unit="step", **hidden)

    def after_row(self, state: TrainingState) -> None:
        self.bar.set_postfix_str(_in_short(state.rows))

    def after_step(self, state: TrainingState) -> None:
        self.bar.update()
        if state.stop and not self.bar.disable and state.step < self.bar.total:
            # in a notebook a bar that ends short of its total looks like a failure
            title = self.bar.desc.removesuffix(": ")
            self.bar.set_description_str(f"{title}, stopped at {state.step} of {self.bar.total}")
            self.bar.total = state.step

    def close(self) -> None:
        self.bar.close()


def _in_short(rows: list[Row]) -> str:
    """Loss and score of the last steps."""
    parts = []
    for row in rows:
        names = ["loss"] + ([measure(row)] if "chance" in row else [])
        numbers = " ".join(f"{name} {row[name]:.3g}" for name in names)
        parts.append(f"{row['task']}: {numbers}" if len(rows) > 1 else numbers)
    return ", ".join(parts)

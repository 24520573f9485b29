"""The loop: one for pretraining and fine-tuning, on Lightning Fabric, to be read top to bottom.

Every step makes its own random numbers from (seed, step), so a run that was killed and started
again by the same call ends with the same weights, bit for bit on a CPU, as one that was not.
"""

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from .checkpoint import Progress, digest, save_encoder, save_network
from .cohort import Cohort
from .distributed import (
    Shared,
    averaged,
    gathered,
    joined,
    launch,
    once,
    own_rows,
    rank,
    same_buffers,
    whole_batch_norm,
)
from .errors import DivergedError, InputError, unknown
from .geometry import cut, random_corner
from .grading import check_answers, ordinal_loss
from .memory import check_memory
from .networks import Classifier, Encoder, UNet, set_recompute
from .precision import LAYOUTS, choose_device, choose_layout, choose_precision
from .tasks import ProxyBatch, ProxyTask, Row, measure, part_of

LOG_EVERY = 10  # steps between rows of the history: losses stay on the device in between
RECENT = 20  # rows of the history from which a task may judge that its training has failed

Watch = Callable[[list[Row]], bool]  # is shown the history so far; True stops the run


@dataclass(frozen=True)
class TrainSettings:
    """What pretraining and fine-tuning share."""

    steps: int = 250
    """Optimiser steps."""
    epochs: float = 0
    """Rounds through all scans; if given, it sets the steps."""
    batch: int = 2
    """Scans a step."""
    learning_rate: float = 1e-3
    """Of AdamW at the start; falls to 0 as (1 - step/steps)^0.9."""
    weight_decay: float = 1e-4
    clip: float = 1.0
    """The gradient's norm is cut to this; 0 for never."""
    seed: int = 0
    device: str = "auto"
    """auto, cpu or cuda."""
    devices: int = 1
    """GPUs, or CPU processes, that share each batch."""
    precision: str = "auto"
    """auto (bf16-mixed on GPUs that have it), 32-true or bf16-mixed."""
    recompute: bool = False
    """Keep fewer features for the way back and compute them again: less memory, above all for a
    U-Net, a third more time, and the same weights."""
    layout: Literal["channels-last", "contiguous", "trial"] = "channels-last"
    """Memory format of convolutions. "trial" tries both for two seconds and takes the faster: the
    weights of two runs may then differ in their last bits."""
    checkpoint_every: int = 100
    """Steps between checkpoints, from which a killed run continues; a multiple of 10."""

    def __post_init__(self):
        for name in ("steps", "batch", "devices", "checkpoint_every", "learning_rate"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}, but must be above 0")
        if self.checkpoint_every % LOG_EVERY:
            raise InputError(f"checkpoint_every is {self.checkpoint_every}, no multiple of 10")
        if self.layout not in (*LAYOUTS, "trial"):
            raise unknown("layout", self.layout, [*LAYOUTS, "trial"])
        if self.layout == "trial" and self.devices > 1:
            raise InputError("layout trial is for one device; name one: channels-last")
        if self.batch % self.devices:
            raise InputError(
                f"a batch of {self.batch} scans cannot be shared out among {self.devices} devices; "
                f"use a multiple of {self.devices}"
            )

    def for_cases(self, count: int) -> "TrainSettings":
        """The same settings with ``epochs`` counted out in steps, for that many scans."""
        if not self.epochs:
            return self
        return replace(self, epochs=0, steps=max(1, round(self.epochs * count / self.batch)))

    def rate(self, step: int) -> float:
        """Learning rate of a step."""
        return self.learning_rate * (1 - step / self.steps) ** 0.9

    def record(self) -> dict[str, Any]:
        """What a run's record says of them. The precision is the one that was chosen: the numbers
        depend on it, where on the devices they do not."""
        precision = choose_precision(self.precision, choose_device(self.device))
        return {**asdict(self), "precision": precision}


@dataclass(frozen=True)
class FinetuneSettings(TrainSettings):
    """Fine-tuning with labels; the encoder may start frozen (the paper's warm-up)."""

    steps: int = 100
    frozen_steps: int = 0
    """Steps at the start in which the encoder stands still and all else alone learns."""
    encoder_rate: float = 1.0
    """Share of the learning rate that the encoder gets."""
    patch: tuple[int, ...] | None = None
    """Train on random boxes of this size instead of whole volumes; not with grades."""
    validate_every: int = 0
    """Steps between looks at the validation cases, of which the best weights are kept; 0: the
    last weights count."""
    test_at: tuple[int, ...] = ()
    """Steps after which the test cases are scored for a curve of convergence; nothing is chosen
    by it. Multiples of 10."""

    def __post_init__(self):
        super().__post_init__()
        for step in self.test_at:
            if step <= 0 or step % LOG_EVERY:
                raise InputError(f"test_at names step {step}, but must name multiples of 10")


# ---- pretraining -------------------------------------------------------------------------------


class Learner(nn.Module):
    """What the loop trains: all networks and the loss as one module, so Fabric wraps them as one.

    ``forward`` takes what the run's ``batch_of`` makes and gives (loss, scores).
    """

    kinds = 1  # of batches that differ in size: those of the first steps, then again

    def at_step(self, step: int) -> None:
        """Called before each step."""

    def rates(self) -> list[tuple[Iterable[nn.Parameter], float]]:
        """Its weights, with the share of the learning rate that each group of them gets."""
        return [(self.parameters(), 1.0)]

    def fault(self, history: list[Row]) -> str | None:
        """What is wrong with the training so far, although its loss is a number; or None."""
        return None


class Pretraining(Learner):
    """An encoder, and the tasks that train it by turns."""

    def __init__(self, encoder: Encoder, tasks: Sequence[ProxyTask]):
        super().__init__()
        self.encoder, self.tasks = encoder, nn.ModuleList(tasks)

    @property
    def kinds(self) -> int:
        return len(self.tasks)

    def forward(self, turn: int, batch: ProxyBatch) -> tuple[Tensor, dict[str, Any]]:
        task = self.tasks[turn]
        answer = task(self.encoder, batch)
        return task.loss(answer, batch), {"task": task.name, **task.score(answer, batch)}

    def fault(self, history: list[Row]) -> str | None:
        last = history[-RECENT * len(self.tasks) :]  # a long run should not read it all each time
        faults = (
            task.fault([row for row in last if row["task"] == task.name]) for task in self.tasks
        )
        return next(filter(None, faults), None)


def pretrain(
    task: ProxyTask | Sequence[ProxyTask],
    encoder: Encoder,
    cohort: Cohort,
    cases: Sequence[int],
    settings: TrainSettings,
    out: Path | None = None,
    watch: Watch | None = None,
) -> tuple[Encoder, list[Row]]:
    """Train ``encoder`` on a proxy task, or on several by turns, over ``cases``, without labels.

    With ``out``, checkpoints go there, and the same call continues from the last one: with encoder
    and tasks made anew from the same seeds, as those of this call are trained where they stand. If
    there are fewer cases than a batch, a batch is all of them: no scan stands beside itself.

    ``watch`` is called after every ten steps with the history so far. If it returns True, the run
    stops there, with a checkpoint of that very step; ``encoder.safetensors`` is written by a run
    that ends. The run's record does not name it: with or without, it is the same run. It must not
    leave the networks in another mode, nor change their weights.

    Returns:
        The encoder alone, in evaluation mode, without the tasks' heads; and the history: mean
        loss and scores of every ten steps, a row for each task.

    Raises:
        DivergedError: the loss is not finite, or the task says that its training has failed.
    """
    check_fits(encoder, cohort)
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
        own = own_rows(len(chosen))
        volumes = cohort.images(chosen[own]).to(device)
        # every process draws for the whole batch, as one alone would; a draw reads no voxel
        whole = volumes[:1].expand(len(chosen), *volumes.shape[1:])
        draw = tasks[turn].draw(whole, step_generator(settings.seed, step))
        return turn, tasks[turn].pose(volumes, part_of(draw, own))

    learner = Pretraining(encoder, tasks)
    title = f"pretrain {record['task']}"
    history = fit(learner, batch_of, settings, record, out, title=title, watch=watch)
    if out is not None and history[-1]["step"] == settings.steps:
        once(save_encoder, Path(out), encoder, record)
    return encoder.eval(), history


# ---- fine-tuning -------------------------------------------------------------------------------


class Finetuning(Learner):
    """A network with the loss of its answers: maps or grades."""

    def __init__(self, network: UNet | Classifier, settings: FinetuneSettings):
        super().__init__()
        self.network, self.settings = network, settings
        self.criterion = ordinal_loss if isinstance(network, Classifier) else map_loss()

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        # the loss is one of the whole batch: Dice is no mean over scans
        return self.criterion(gathered(self.network(images)), gathered(labels)), {}

    def at_step(self, step: int) -> None:
        self.network.encoder.requires_grad_(step >= self.settings.frozen_steps)

    def rates(self) -> list[tuple[Iterable[nn.Parameter], float]]:
        encoder = set(self.network.encoder.parameters())
        others = [weight for weight in self.parameters() if weight not in encoder]
        return [(self.network.encoder.parameters(), self.settings.encoder_rate), (others, 1.0)]


def map_loss() -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy and Dice of logits (batch, class, *space) and a label map (batch, *space).

    The Dice term leaves the background out: averaged in, an answer that is all background would
    look a third right on two labels.
    """
    from monai.losses import DiceCELoss  # monai takes seconds to import; pretraining needs none

    loss = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    return lambda logits, labels: loss(logits, labels[:, None].long())


def finetune(
    network: UNet | Classifier,
    cohort: Cohort,
    cases: Sequence[int],
    settings: FinetuneSettings,
    out: Path | None = None,
    validation: Sequence[int] = (),
    test: Sequence[int] = (),
) -> tuple[UNet | Classifier, list[Row]]:
    """Train ``network`` on the labels of ``cases``; keep the best weights by ``validation``.

    A U-Net learns label maps, a classifier the grades of a graded cohort. ``test`` cases are
    scored after the steps ``settings.test_at``, and change nothing.

    Returns:
        The network in evaluation mode; and the history: mean loss of every ten steps, and the
        scores (mean Dice, or kappa) of the "validation" and "test" cases where they were looked at.
    """
    settings = settings.for_cases(len(cases))
    _check_finetuning(network, cohort, settings, cases, validation, test)
    record = {
        "kind": "finetune",
        "encoder": asdict(network.encoder.settings),
        **network.answers,
        "training": settings.record(),
        "start": digest(network),
        "data": [cohort.name, len(cohort), list(cases), list(validation), list(test)],
    }

    def batch_of(
        step: int, device: torch.device, settings: FinetuneSettings
    ) -> tuple[Tensor, Tensor]:
        chosen = cases_of_step(cases, settings, step)
        count, own = len(chosen), own_rows(len(chosen))
        chosen = chosen[own]
        images, labels = cohort.images(chosen).to(device), cohort.labels(chosen).to(device)
        if settings.patch is None:
            return images, labels
        generator = step_generator(settings.seed, step)
        corner = random_corner(images.shape[2:], settings.patch, (count, 1), generator)[own]
        boxes = cut(images, corner, settings.patch), cut(labels[:, None], corner, settings.patch)
        return boxes[0][:, 0], boxes[1][:, 0, 0]

    def score_of(cases: Sequence[int]) -> float:
        from .evaluation import evaluate

        return evaluate(network, cohort, cases, hausdorff=False, progress=False).score

    looks, every = [], settings.validate_every
    if every:
        at = {*range(every, settings.steps, every), settings.steps}
        looks.append(Look("validation", partial(score_of, validation), at, chooses=True))
    if settings.test_at:
        looks.append(Look("test", partial(score_of, test), settings.test_at))
    learner = Finetuning(network, settings)
    history = fit(learner, batch_of, settings, record, out, looks)
    network.requires_grad_(True)
    if out is not None:
        once(save_network, Path(out), network, record, cohort)
    return network.eval(), history


def _check_finetuning(
    network: UNet | Classifier,
    cohort: Cohort,
    settings: FinetuneSettings,
    cases: Sequence[int],
    validation: Sequence[int],
    test: Sequence[int],
) -> None:
    """Raise InputError unless all that :func:`finetune` is given fits together."""
    check_answers(network, cohort)
    check_fits(network.encoder, cohort)
    for case in (*cases, *validation, *test):
        if not cohort.cases[case].labelled:
            raise InputError(f"case {cohort.cases[case].id} has no label to fine-tune with")
    if cohort.graded and settings.patch is not None:
        raise InputError("patch is set, but a grade is that of a whole picture; leave it out")
    if settings.validate_every and not validation:
        raise InputError("validate_every is set, but there are no validation cases")
    if settings.test_at and not test:
        raise InputError("test_at is set, but there are no test cases")
    if settings.test_at and max(settings.test_at) > settings.steps:
        raise InputError(
            f"test_at names step {max(settings.test_at)}, but there are {settings.steps} steps"
        )


# ---- the loop ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """A score of the weights as they are after some steps, which the history holds by its name."""

    name: str
    score: Callable[[], float]
    steps: Container[int]  # multiples of 10, or the last
    chooses: bool = False  # whether the weights that are best by it are kept


def fit(
    learner: Learner,
    batch_of: Callable[[int, torch.device, TrainSettings], tuple],
    settings: TrainSettings,
    record: dict[str, Any],
    out: Path | None = None,
    looks: Sequence[Look] = (),
    title: str = "finetune",
    watch: Watch | None = None,
) -> list[Row]:
    """Train ``learner`` for ``settings.steps`` steps on the batches that ``batch_of`` makes.

    ``record`` says all that the run depends on; a folder ``out`` with another record is refused.
    ``watch`` may stop it earlier, see :func:`pretrain`.

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
    model, optimizer = fabric.setup(Shared(learner) if joined() else learner, optimizer)
    progress = Progress.restore(out, record, learner, optimizer)
    window: list[dict[str, Any]] = []
    stopped = False
    learner.train()
    set_recompute(learner, settings.recompute)
    if progress.step < settings.steps:
        check_memory(learner, batch_of, fabric.device, settings, optimizer)
    bar = tqdm(
        total=settings.steps, initial=progress.step, desc=title, unit="step", disable=rank() > 0
    )
    with whole_batch_norm(learner, fabric), bar:
        for step in range(progress.step, settings.steps):
            for group in optimizer.param_groups:
                group["lr"] = settings.rate(step) * group["share"]
            learner.at_step(step)
            loss, scores = model(*batch_of(step, fabric.device, settings))
            optimizer.zero_grad()
            fabric.backward(loss)
            norm = clip(learner, settings.clip)
            optimizer.step()
            window.append({"loss": loss.detach(), **scores, "gradient": norm})
            done = step + 1
            if done % LOG_EVERY == 0 or done == settings.steps:
                rows = _together(_rows(window, done, settings.rate(step)), fabric.device)
                window.clear()
                same_buffers(learner)
                _check_finite(rows, progress, out, settings)
                _look(looks, done, rows[-1], learner, progress)
                progress.history.extend(rows)
                if fault := learner.fault(progress.history):
                    raise DivergedError(f"step {done}: {fault}{_kept(progress, out)}")
                bar.set_postfix_str(_in_short(rows))
                stopped = watch is not None and bool(once(watch, list(progress.history)))
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


def _look(looks: Sequence[Look], step: int, row: Row, learner: Learner, progress: Progress) -> None:
    """Score the weights of this step where that is wanted, and keep them if they are the best."""
    for look in looks:
        if step in look.steps:
            row[look.name] = once(look.score)
            if look.chooses:
                progress.keep_best(row[look.name], step, learner)
            learner.train()


def clip(module: nn.Module, limit: float) -> Tensor:
    """Cut the gradient's norm to ``limit`` (0: leave it) and return what it was."""
    return nn.utils.clip_grad_norm_(module.parameters(), limit or float("inf"))


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
        places, averaged([row[name] for row, name in places], device), strict=True
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


def step_generator(seed: int, step: int) -> torch.Generator:
    """The source of all of one step's random draws."""
    state = np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def cases_of_step(cases: Sequence[int], settings: TrainSettings, step: int) -> list[int]:
    """The scans of a step: the cases in a new order each round, without end, cut into batches."""
    count, places = len(cases), range(step * settings.batch, (step + 1) * settings.batch)
    orders = (_order(settings.seed, place // count, count) for place in places)
    return [int(cases[order[place % count]]) for order, place in zip(orders, places)]


@lru_cache(maxsize=8)  # a step costs the same, however many cases there are
def _order(seed: int, number: int, count: int) -> list[int]:
    """Places of ``count`` cases in the order of a round."""
    return np.random.default_rng([seed, number]).permutation(count).tolist()


def check_fits(encoder: Encoder, cohort: Cohort) -> None:
    """Raise InputError unless the encoder can read the cohort's scans."""
    has = (encoder.settings.in_channels, encoder.settings.spatial_dims)
    wants = (len(cohort.channels), cohort.spatial_dims)
    if has != wants:
        raise InputError(
            f"the network reads {has[0]} channels in {has[1]}D, but {cohort.name} has "
            f"{wants[0]} in {wants[1]}D"
        )

"""Every stage between a scan on disk and a score, timed, and the least that it could take.

A stage's limit is written here beside the stage: the bytes that it has to move and the operations
that it has to do, against :mod:`ssl3d_lite.bench.ceilings`. The stages of a training step are
measured in a bare loop of draw, pose, forward, backward and optimiser, by turns with the real one,
whose steps are told from when its task is asked. What the real one takes beyond the bare one is the
price of history, progress bar and Fabric.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from io import StringIO
from itertools import pairwise
from statistics import median

import torch
from torch import nn

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.evaluation.probe import linear_probes
from ssl3d_lite.evaluation.segmentation import evaluate
from ssl3d_lite.machine.timing import middle, now
from ssl3d_lite.models.blocks import channels_last
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import ProxyTask, make_task
from ssl3d_lite.training.batches import cases_of_step, step_generator
from ssl3d_lite.training.learner import Learner, clip
from ssl3d_lite.training.presets import preset
from ssl3d_lite.training.pretraining import Pretraining, pretrain
from ssl3d_lite.training.settings import LOG_EVERY, TrainSettings

from .ceilings import Peaks
from .work import layer_bytes, operations

PUZZLES = ("rotation", "rpl", "jigsaw", "exemplar", "cpc", "masked")  # the controls teach nothing
FILTERS = (8, 16, 32, 64)
ROUNDS = 3  # of bare steps and real ones by turns
WARM = 2  # steps at the start of each that do not count
STEP = ("views", "forward", "backward", "optimiser")


@dataclass(frozen=True)
class Stage:
    """What was measured of a stage."""

    name: str
    task: str
    """Proxy task; empty for stages that have none."""
    seconds: float
    """The median."""
    moved: float
    """Bytes that have to be read or written."""
    operations: float
    limit: float
    """Seconds: the least that these could take on this machine."""
    by: str
    """What limits it: copying, computing, or (a whole step) its own parts."""

    @property
    def share(self) -> float:
        """Of the limit: 1 is as fast as it could be."""
        return self.limit / self.seconds


def stage(
    name: str,
    task: str,
    seconds: float,
    ceilings: Peaks,
    moved: float = 0,
    counted: float = 0,
    precision: str = "32-true",
) -> Stage:
    limit, by = ceilings.limit(moved, counted, precision)
    return Stage(name, task, seconds, moved, counted, limit, by)


# ---- a training step ---------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainingSetup:
    """A task to be trained: what it takes, and where."""

    task: ProxyTask
    encoder: nn.Module
    cohort: Cohort
    cases: Sequence[int]
    settings: TrainSettings

    @property
    def device(self) -> str:
        return self.settings.device

    def views(self, step: int):
        volumes = self.cohort.images(cases_of_step(self.cases, self.settings, step))
        params = self.task.sample_params(volumes, step_generator(self.settings.seed, step))
        return volumes, self.task.make_views(volumes, params)


def make_setup(
    name: str, cohort: Cohort, cases: Sequence[int], device: str, precision: str
) -> TrainingSetup:
    """With the quick preset, as ``ssl3d pretrain`` has it."""
    shape = EncoderSettings(len(cohort.channels), cohort.spatial_dims, FILTERS)
    training = preset("quick", name, cohort.spatial_dims).training
    training = training | {"batch": min(training["batch"], len(cases))}
    settings = TrainSettings(**training, device=device, precision=precision)
    task = make_task(name, shape)
    return TrainingSetup(
        task.to(device), make_encoder(shape, 0).to(device), cohort, cases, settings
    )


def training_stages(bout: TrainingSetup, ceilings: Peaks, seconds: float) -> Iterator[Stage]:
    """Views, forward, backward and optimiser of a task; and the loop's step beside these."""
    rounds, loops = [], []
    for _ in range(ROUNDS):
        taken = bare_steps(bout, seconds / ROUNDS / 2)
        rounds.append({name: median(taken[name]) for name in STEP})
        loops.append(real_step(bout, len(taken["views"])))
    took = {name: median(each[name] for each in rounds) for name in STEP}
    precision, task = bout.settings.precision, bout.task.name
    for name, work in step_work(bout).items():
        yield stage(name, task, took[name], ceilings, *work, precision)
    # each round beside its own: a machine is not equally fast all the time
    bare = [sum(each[name] for name in STEP[1:]) for each in rounds]
    share, step = median(b / loop for b, loop in zip(bare, loops)), median(loops)
    yield Stage("step", task, step, 0, 0, share * step, "forward, backward and optimiser")


def bare_steps(bout: TrainingSetup, seconds: float) -> dict[str, list[float]]:
    """Seconds of each stage in every step of a loop that does nothing else."""
    learner = learner_of(bout)
    optimizer = torch.optim.AdamW(learner.parameters(), bout.settings.learning_rate)
    half = bout.settings.precision == "bf16-mixed"
    laps: dict[str, list[float]] = {name: [] for name in STEP}
    begin, step = now(bout.device), 0
    while step < WARM + 3 or now(bout.device) - begin < seconds:
        clock = [now(bout.device)]
        _, batch = bout.views(step)
        clock.append(now(bout.device))
        with torch.autocast(bout.device, torch.bfloat16, enabled=half):
            loss, _ = learner(0, batch)
        optimizer.zero_grad()
        clock.append(now(bout.device))
        loss.backward()
        clock.append(now(bout.device))
        clip(learner, bout.settings.clip)
        optimizer.step()
        clock.append(now(bout.device))
        for name, (start, end) in zip(STEP, pairwise(clock)):
            laps[name].append(end - start)
        step += 1
    return {name: taken[WARM:] for name, taken in laps.items()}


def real_step(bout: TrainingSetup, count: int) -> float:
    """Seconds a step of ``pretrain()``: the mean of ``count`` steps, ten at least."""
    ticks: list[float] = []
    count = LOG_EVERY * max(1, round(count / LOG_EVERY))  # rows of the history count with them
    settings = TrainSettings(**vars(bout.settings) | {"steps": WARM + count + 1})
    task, encoder = deepcopy(bout.task), deepcopy(bout.encoder)
    task.register_forward_pre_hook(lambda *_: ticks.append(now(bout.device)))
    with redirect_stderr(StringIO()):  # its bar would break the bench's own
        pretrain(task, encoder, bout.cohort, bout.cases, settings)
    # what counts the memory asks a copy of the task once, before the first step
    ticks = ticks[-settings.steps :]
    return (ticks[-1] - ticks[WARM]) / count


def learner_of(bout: TrainingSetup) -> Learner:
    """A copy that may be trained."""
    learner = Pretraining(deepcopy(bout.encoder), [deepcopy(bout.task)]).to(bout.device)
    learner.to(memory_format=channels_last(learner))
    return learner.train()


def step_work(bout: TrainingSetup) -> dict[str, tuple[float, float]]:
    """Stage → bytes and operations: the least that a step needs."""
    learner = learner_of(bout)
    volumes, batch = bout.views(0)
    made = batch.views.nbytes + (batch.target.nbytes if batch.target.is_floating_point() else 0)
    # a voxel is read once, however many views it comes to lie in; and none that is not shown
    views = made + min(volumes.nbytes, batch.views.nbytes)
    forward = operations(lambda: learner(0, batch))
    both = operations(lambda: learner(0, batch)[0].backward())
    moved = layer_bytes(learner, lambda: learner(0, batch))
    half = 2 if bout.settings.precision == "bf16-mixed" else 1
    weights = sum(weight.nbytes for weight in learner.parameters())
    return {
        "views": (views, 0),
        "forward": (moved / half, forward),
        # each layer reads its input, weights and the gradient of its output, and writes two others
        "backward": (2 * moved / half, both - forward),
        # AdamW reads weight, gradient and two moments and writes three of them; clipping reads one
        "optimiser": (8 * weights, 0),
    }


# ---- before and after --------------------------------------------------------------------------


def reading_stage(cohort: Cohort, ceilings: Peaks, seconds: float) -> Stage:
    """A batch of scans from disk, memory-mapped; from the system's cache once it was read."""
    cases = list(range(min(8, len(cohort))))
    device = ceilings.device
    took = middle(lambda: cohort.images(cases).to(device), device, seconds)
    moved = sum(cohort[case][0].nbytes for case in cases) + cohort.images(cases).nbytes
    return stage("reading", "", took, ceilings, moved)


def scoring_stages(
    cohort: Cohort, cases: Sequence[int], ceilings: Peaks, seconds: float, precision: str
) -> Iterator[Stage]:
    """Segmenting and scoring volumes; and a linear probe, fitted on two and scored on the rest.

    The limit is that of the network's forward passes: all else could be hidden behind them.
    """
    device = ceilings.device
    shape = EncoderSettings(len(cohort.channels), cohort.spatial_dims, FILTERS)
    encoder = make_encoder(shape, 0).to(device).eval()
    network = make_network(encoder, cohort, 0).to(device).eval()
    images = cohort.images(cases)
    dice = partial(evaluate, network, cohort, cases, hausdorff=False, progress=False)
    fitted, tested = cases[:2], cases[2:]
    probe = partial(linear_probes, encoder, cohort, [fitted], tested)
    for name, module, work in (("evaluation", network, dice), ("probe", encoder, probe)):
        with torch.inference_mode():
            took = middle(work, device, seconds)
            counted = operations(lambda m=module: m(images))
            moved = layer_bytes(module, lambda m=module: m(images))
        yield stage(name, "", took, ceilings, moved, counted, precision)


# ---- all ---------------------------------------------------------------------------------------


def measure_stages(
    cohort: Cohort,
    resident: Cohort,
    ceilings: Peaks,
    precision: str,
    seconds: float,
    tell: Callable[[str], None] = lambda name: None,
) -> list[Stage]:
    """All of them, on a cohort as it lies on disk and as it is ``resident`` on the device.

    ``seconds`` are spent on each task; ``tell`` is told what comes next.
    """
    split, device = cohort.split(), ceilings.device
    tell("reading")
    stages = [reading_stage(cohort, ceilings, seconds / 5)]
    for name in PUZZLES:
        tell(name)
        bout = make_setup(name, resident, split.pretrain, device, precision)
        stages += training_stages(bout, ceilings, seconds)
    tell("scores")
    labelled = [*split.train, *split.validation][:10]
    stages += scoring_stages(resident, labelled, ceilings, seconds / 5, "32-true")
    return stages

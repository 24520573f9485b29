"""Every stage between a scan on disk and a score, timed, and the least time that it could take.

A stage's limit is written here beside the stage: the bytes that it has to move and the operations
that it has to do, against :mod:`ssl3d_lite.bench.peaks`. The stages of a training step (parameters
and views, forward, backward, optimiser) are measured in a bare loop that does nothing else, by
turns with the real ``pretrain()``, whose steps are timed by a hook on its task. What the real step
takes beyond the bare one is the cost of history, progress bar and Fabric.
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
from torch import Tensor

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.evaluation.linear_probe import linear_probes
from ssl3d_lite.evaluation.segmentation import evaluate
from ssl3d_lite.machine.timing import median_time, now
from ssl3d_lite.models.blocks import channels_last
from ssl3d_lite.models.encoders import Encoder, make_encoder
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.models.operations import operations
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import ProxyBatch, ProxyTask, make_task
from ssl3d_lite.training.batches import cases_of_step, step_generator
from ssl3d_lite.training.learner import Learner
from ssl3d_lite.training.loop import clip_gradient
from ssl3d_lite.training.presets import preset
from ssl3d_lite.training.pretraining import Pretraining, pretrain
from ssl3d_lite.training.settings import STEPS_PER_ROW, TrainSettings

from .budget import Budget
from .peaks import Peaks
from .traffic import layer_bytes

TIMED_TASKS = ("rotation", "rpl", "jigsaw", "exemplar", "cpc", "masked")  # controls teach nothing
_ROUNDS = 3  # rounds of bare steps and real ones by turns
_WARM = 2  # steps at the start of each round that do not count
_TRAINING, _SCORING = 1 / 18, 1 / 90  # shares of the time that a task has, and a score
STEP_PARTS = ("views", "forward", "backward", "optimiser")


@dataclass(frozen=True)
class Stage:
    """One stage: its measured time and its limit."""

    name: str
    task: str
    """Proxy task; empty for stages that have none."""
    seconds: float
    """Median of the measured times."""
    moved: float
    """Bytes that have to be read or written."""
    operations: float
    """Number of operations in convolutions and matrix products."""
    limit: float
    """The least seconds that these bytes and operations could take on this machine."""
    by: str
    """What limits it: copying, computing, or (a whole step) its own parts."""
    single_try: bool = False
    """Whether one try took so long that there was no other."""

    @property
    def share(self) -> float:
        """Speed as a share of the limit: 1 is as fast as it could be."""
        return self.limit / self.seconds


def _make_stage(
    name: str,
    task: str,
    seconds: float,
    peaks: Peaks,
    moved: float = 0,
    counted: float = 0,
    precision: str = "32-true",
    single_try: bool = False,
) -> Stage:
    """A stage with the limit that follows from its bytes and operations."""
    limit, by = peaks.limit(moved, counted, precision)
    return Stage(name, task, seconds, moved, counted, limit, by, single_try)


# ---- a training step ---------------------------------------------------------------------------


@dataclass(frozen=True)
class TrainingSetup:
    """A task to be trained, with all that its training takes."""

    task: ProxyTask
    encoder: Encoder
    cohort: Cohort
    cases: Sequence[int]
    settings: TrainSettings

    @property
    def device(self) -> str:
        return self.settings.device

    def volumes(self, step: int) -> Tensor:
        """The step's scans."""
        return self.cohort.images(cases_of_step(self.cases, self.settings, step))

    def views(self, step: int) -> tuple[Tensor, ProxyBatch]:
        """The step's volumes and the views that are made of them."""
        volumes = self.volumes(step)
        params = self.task.sample_params(volumes, step_generator(self.settings.seed, step))
        return volumes, self.task.make_views(volumes, params)


def make_setup(
    name: str, cohort: Cohort, cases: Sequence[int], device: str, precision: str
) -> TrainingSetup:
    """A setup with the quick preset, as ``ssl3d pretrain`` uses it."""
    quick = preset("quick", name, cohort.spatial_dims)
    shape = EncoderSettings(len(cohort.channels), cohort.spatial_dims, **quick.shape)
    training = quick.training | {"batch": min(quick.training["batch"], len(cases))}
    settings = TrainSettings(**training, device=device, precision=precision)
    task = make_task(name, shape)
    return TrainingSetup(
        task.to(device), make_encoder(shape, 0).to(device), cohort, cases, settings
    )


def training_stages(setup: TrainingSetup, peaks: Peaks, seconds: float) -> Iterator[Stage]:
    """Views, forward, backward and optimiser of a task, and the loop's own step beside them.

    A task of which a step takes more than a sixth of ``seconds`` is left after that one step.
    """
    one = {name: taken[0] for name, taken in bare_steps(setup, 0, warm=0, least=1).items()}
    first, rounds, loops = sum(one.values()), [], []
    single_try, begin = first > seconds / 6, now(setup.device)
    slow = first > seconds / (_ROUNDS * 20)  # than a round of the usual number of steps allows
    for _ in range(0 if single_try else 1 if slow else _ROUNDS):
        taken = bare_steps(setup, seconds / _ROUNDS / 2, least=1 if slow else 3)
        rounds.append({name: median(taken[name]) for name in STEP_PARTS})
        loops.append(real_step(setup, len(taken["views"])))
        if now(setup.device) - begin > seconds:
            break
    if single_try:
        rounds, loops = [one], [first]
    took = {name: median(each[name] for each in rounds) for name in STEP_PARTS}
    precision, task = setup.settings.precision, setup.task.name
    for name, work in step_work(setup).items():
        yield _make_stage(name, task, took[name], peaks, *work, precision, single_try)
    # each round beside its own: a machine is not equally fast all the time
    bare = [sum(each[name] for name in STEP_PARTS[1:]) for each in rounds]
    share, step = median(b / loop for b, loop in zip(bare, loops)), median(loops)
    yield Stage(
        "step", task, step, 0, 0, share * step, "forward, backward and optimiser", single_try
    )


def bare_steps(
    setup: TrainingSetup, seconds: float, warm: int = _WARM, least: int = 3
) -> dict[str, list[float]]:
    """Stage → its seconds in every step of a loop that does nothing else, less the first ones."""
    learner = learner_of(setup)
    optimizer = torch.optim.AdamW(learner.parameters(), setup.settings.learning_rate)
    half = setup.settings.precision == "bf16-mixed"
    laps: dict[str, list[float]] = {name: [] for name in STEP_PARTS}
    begin, step = now(setup.device), 0
    while step < warm + least or now(setup.device) - begin < seconds:
        clock = [now(setup.device)]
        _, batch = setup.views(step)
        clock.append(now(setup.device))
        with torch.autocast(setup.device, torch.bfloat16, enabled=half):
            loss, _ = learner(0, batch)
        optimizer.zero_grad()
        clock.append(now(setup.device))
        loss.backward()
        clock.append(now(setup.device))
        clip_gradient(learner, setup.settings.clip)
        optimizer.step()
        clock.append(now(setup.device))
        for name, (start, end) in zip(STEP_PARTS, pairwise(clock)):
            laps[name].append(end - start)
        step += 1
    return {name: taken[warm:] for name, taken in laps.items()}


def real_step(setup: TrainingSetup, count: int) -> float:
    """Seconds per step of ``pretrain()``: the mean of about ``count`` steps."""
    ticks: list[float] = []
    if count > 2:  # else a step takes so long that a row of the history is nothing beside it
        count = STEPS_PER_ROW * max(1, round(count / STEPS_PER_ROW))
    settings = TrainSettings(**vars(setup.settings) | {"steps": _WARM + count + 1})
    task, encoder = deepcopy(setup.task), deepcopy(setup.encoder)
    task.register_forward_pre_hook(lambda *_: ticks.append(now(setup.device)))
    with redirect_stderr(StringIO()):  # the progress bar would break the bench's own
        pretrain(task, encoder, setup.cohort, setup.cases, settings)
    # the memory check runs a copy of the task once, before the first step
    ticks = ticks[-settings.steps :]
    return (ticks[-1] - ticks[_WARM]) / count


def learner_of(setup: TrainingSetup) -> Learner:
    """A copy of task and encoder that may be trained."""
    learner = Pretraining(deepcopy(setup.encoder), [deepcopy(setup.task)]).to(setup.device)
    learner.to(memory_format=channels_last(learner))  # type: ignore[call-overload]  # torch's stub
    return learner.train()


def step_work(setup: TrainingSetup) -> dict[str, tuple[float, float]]:
    """Stage → the least bytes and operations that a step needs."""
    # counted on the "meta" device, where tensors have a shape and no content: it takes no time
    learner = learner_of(setup).to("meta")
    task, volumes = deepcopy(setup.task).to("meta"), setup.volumes(0).to("meta")
    batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
    made = batch.views.nbytes + (batch.target.nbytes if batch.target.is_floating_point() else 0)
    # a voxel is read once, however many views show it; a voxel that none shows is not read
    views = made + min(volumes.nbytes, batch.views.nbytes)
    forward = operations(lambda: learner(0, batch))
    both = operations(lambda: learner(0, batch)[0].backward())
    moved = layer_bytes(learner, lambda: learner(0, batch))
    half = 2 if setup.settings.precision == "bf16-mixed" else 1
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


def reading_stage(cohort: Cohort, peaks: Peaks, seconds: float) -> Stage:
    """Reading a batch of scans from memory-mapped files, which the system caches."""
    cases = list(range(min(8, len(cohort))))
    device = peaks.device
    took = median_time(lambda: cohort.images(cases).to(device), device, seconds)
    moved = sum(cohort[case][0].nbytes for case in cases) + cohort.images(cases).nbytes
    return _make_stage("reading", "", took, peaks, moved)


def scoring_stages(
    cohort: Cohort, cases: Sequence[int], peaks: Peaks, seconds: float, precision: str
) -> Iterator[Stage]:
    """Segmenting and scoring volumes; and a linear probe, fitted on two and scored on the rest.

    The limit is that of the network's forward passes: everything else could run beside them.
    """
    device = peaks.device
    shape = EncoderSettings(len(cohort.channels), cohort.spatial_dims)
    encoder = make_encoder(shape, 0).to(device).eval()
    network = make_network(encoder, cohort, 0).to(device).eval()
    images = cohort.images(cases)
    dice = partial(evaluate, network, cohort, cases, hausdorff=False, progress=False)
    fitted, tested = cases[:2], cases[2:]
    probe = partial(linear_probes, encoder, cohort, [fitted], tested)
    for name, module, work in (("evaluation", network, dice), ("probe", encoder, probe)):
        forward = partial(module, images)
        with torch.inference_mode():
            took = median_time(work, device, seconds)
            counted, moved = operations(forward), layer_bytes(module, forward)
        yield _make_stage(name, "", took, peaks, moved, counted, precision)


# ---- all ---------------------------------------------------------------------------------------


def measure_stages(
    cohort: Cohort,
    resident: Cohort,
    peaks: Peaks,
    precision: str,
    budget: Budget,
    announce: Callable[[str], None] = lambda name: None,
) -> list[Stage]:
    """Measure all stages.

    Args:
        cohort: the cohort on disk.
        resident: the same cohort on the device.
        budget: the time that all may take.
        announce: is called with the name of what comes next.
    """
    split, device = cohort.split(), peaks.device
    announce("reading")
    stages = [reading_stage(cohort, peaks, budget.part(_SCORING))]
    for number, name in enumerate(TIMED_TASKS):
        announce(name)
        setup = make_setup(name, resident, split.pretrain, device, precision)
        seconds = budget.part(_TRAINING, among=len(TIMED_TASKS) - number + 2)
        stages += training_stages(setup, peaks, seconds)
    announce("scores")
    labelled = [*split.train, *split.validation][:10]
    seconds = budget.part(_SCORING, among=2)
    stages += scoring_stages(resident, labelled, peaks, seconds, "32-true")
    return stages

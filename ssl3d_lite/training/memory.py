"""How much memory a training step needs, counted without computing it; and whether it is free.

A copy of the networks whose tensors have shapes but no values (torch's "meta" device) goes forward
and back, while every tensor that comes and goes is counted. So the count knows what autograd keeps,
what is let go on the way back, mixed precision and recomputing; it takes a fraction of a second,
draws no random number and leaves the networks as they are.

What kernels take for themselves while they compute is not counted, nor what the allocator cannot
use between two tensors; ``SPARE`` stands for both. Nor is the making of views: it is over before
the step takes most.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import finalize

import psutil
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ssl3d_lite.errors import InputError
from ssl3d_lite.machine import launch as distributed
from ssl3d_lite.machine.collectives import all_gather, is_distributed, world_size
from ssl3d_lite.machine.device import choose_device, choose_precision
from ssl3d_lite.models.checkpointing import can_checkpoint, set_activation_checkpointing

if TYPE_CHECKING:
    from .learner import Learner
    from .settings import TrainSettings

# On a CPU the measured peak is 1.00 to 1.02 times the count, of residual blocks 1.10 times:
# python tests/ssl3d_lite/test_memory.py measures it. Not measured on GPUs: there the convolutions'
# workspace comes on top, and in mixed precision some of a loss's terms are kept in float32.
SPARE = 1.1
MOMENTS = 2  # of AdamW, each as large as the weights

Batches = Callable[[int, torch.device, "TrainSettings"], tuple]  # what ``fit`` has its views from


# ---- counting ----------------------------------------------------------------------------------


def step_bytes(learner: "Learner", batch: tuple, settings: "TrainSettings") -> int | None:
    """Bytes that a training step on ``batch`` holds at its peak, on one device.

    Weights, gradients and AdamW's two moments; the batch; what the way back needs of the way
    there; and what comes and goes in between. All weights are taken to learn that do in the last
    step, as no other needs more.

    Args:
        batch: what ``learner`` is given to read, on any device; its values are not read.
        settings: of which precision, recompute and the number of steps count.

    Returns:
        None if it cannot be told: code of one's own may ask for a tensor's values.
    """
    try:
        return _step_bytes(learner, batch, settings)
    except Exception:  # whatever it is, it is no reason not to train
        return None


def _step_bytes(learner: "Learner", batch: tuple, settings: "TrainSettings") -> int:
    precision = choose_precision(settings.precision, choose_device(settings.device))
    mixed = precision == "bf16-mixed"
    tensors = Hollow(mixed)
    copy = deepcopy(learner, {id(each): tensors.like(each) for each in _state(learner)}).train()
    batch = deepcopy(batch, {id(each): tensors.like(each) for each in _tensors(batch)})
    set_activation_checkpointing(copy, settings.activation_checkpointing)
    copy.at_step(settings.steps - 1)
    weights = [weight for weight in copy.parameters() if weight.requires_grad]
    # with a thread of its own for the way back, what happens there would not be seen
    with Tally() as tally, torch.autograd.set_multithreading_enabled(False), _alone():
        for weight in weights:  # those of the step before, which are there until the way back
            weight.grad = torch.empty_like(weight)
        for tensor in (*_state(copy), *_tensors(batch)):
            tally.add(tensor)
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss, _ = copy(*batch)
        for weight in weights:
            weight.grad = None
        loss.backward()
    trained = _bytes(weights)
    # a step of the optimiser makes the weights' changes, when all but the gradients is gone again
    peak = max(tally.peak, _bytes(_state(copy)) + 2 * trained)
    buckets = trained if is_distributed() else 0  # in which several devices' gradients are averaged
    return peak + MOMENTS * trained + buckets


class Hollow:
    """Makes tensors that have a shape and no values.

    Mixed precision chooses by the device, and knows no "meta". So there they pass for a CPU's,
    wherever the real ones lie; that takes torch three times as long.
    """

    def __init__(self, mixed: bool):
        self.mode = FakeTensorMode(allow_non_fake_inputs=True) if mixed else None

    def like(self, tensor: Tensor) -> Tensor:
        shape, strides = tensor.shape, tensor.stride()
        hollow = torch.empty_strided(shape, strides, dtype=tensor.dtype, device="meta")
        if self.mode:
            hollow = FakeTensor(self.mode, hollow, torch.device("cpu"))
        if isinstance(tensor, nn.Parameter):
            return nn.Parameter(hollow, tensor.requires_grad)
        return hollow


class Tally(TorchDispatchMode):
    """Counts the bytes of all tensors made within, from when each is made until it is let go."""

    def __init__(self):
        super().__init__()
        self.live, self.peak = 0, 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None):
        made = function(*args, **(kwargs or {}))
        for tensor in _tensors(made):
            self.add(tensor)
        return made

    def add(self, tensor: Tensor) -> None:
        """Count what it lies in, unless that is counted already."""
        storage = tensor.untyped_storage()
        place, size = storage._cdata, storage.nbytes()
        if place in self.known:
            return
        self.known.add(place)
        self.live += size
        self.peak = max(self.peak, self.live)
        finalize(storage, self.drop, place, size)

    def drop(self, place: int, size: int) -> None:
        self.known.discard(place)
        self.live -= size


class Silence:
    """Stands for the group of processes: nobody answers, but what they send has its place."""

    def __init__(self, count: int, number: int):
        self.count, self.number = count, number

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return True

    def get_world_size(self) -> int:
        return self.count

    def get_rank(self) -> int:
        return self.number

    def all_gather(self, parts: list[Tensor], part: Tensor) -> None:
        pass

    def all_reduce(self, tensor: Tensor) -> None:
        pass


@contextmanager
def _alone() -> Iterator[None]:
    """Let nothing be sent to other processes for a while."""
    if not is_distributed():
        yield
        return
    group = distributed.group
    distributed.group = Silence(world_size(), distributed.rank())
    try:
        yield
    finally:
        distributed.group = group


def _state(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _tensors(tree: Any) -> list[Tensor]:
    """The tensors in a batch, also in the fields of a dataclass, or in what an operation gives."""
    leaves = []
    for leaf in tree_leaves(tree):
        if isinstance(leaf, Tensor):
            leaves.append(leaf)
        elif hasattr(leaf, "__dataclass_fields__"):
            leaves += _tensors(list(vars(leaf).values()))
    return leaves


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


# ---- what is free ------------------------------------------------------------------------------


def free_bytes(device: torch.device) -> int:
    """Bytes that can still be had on a device; with what torch holds there and does not use."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return min(psutil.virtual_memory().available, *_allowed(Path("/proc/self/cgroup")))


def _allowed(groups: Path, root: Path = Path("/sys/fs/cgroup")) -> Iterator[int]:
    """Bytes that this process's container or Slurm job, and those that it lies in, may still take.

    They are files of Linux's control groups, in their first or second version.
    """
    names = {"": ("memory.max", "memory.current", "inactive_file")}
    names["memory"] = (
        *("memory.limit_in_bytes", "memory.usage_in_bytes"),
        "total_inactive_file",
    )
    lines = groups.read_text().splitlines() if groups.exists() else []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        for controller in {*controllers.split(",")} & names.keys():
            top = root / controller
            place = top / path.strip("/")
            for folder in (place, *place.parents):
                if folder.is_relative_to(top):
                    yield from _left(folder, *names[controller])


def _left(folder: Path, most: str, taken: str, cached: str) -> Iterator[int]:
    """Bytes left of one control group's limit, if it has one. The cache of files makes way."""
    try:
        limit, used = (int((folder / name).read_text()) for name in (most, taken))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        yield max(0, limit - used + int(stat.get(cached, 0)))
    except (OSError, ValueError):  # there is no such file, or it says "max"
        return


# ---- saying so ---------------------------------------------------------------------------------


def check_memory(
    learner: "Learner",
    batch_of: Batches,
    device: torch.device,
    settings: "TrainSettings",
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """Raise InputError if a step needs more memory than is free, and say what would fit.

    Called when the networks, and the ``optimizer``'s moments of a run that is continued, lie on
    the device: what they take of a step's bytes has been taken from what is free.
    """
    moments = _tensors(list(optimizer.state.values())) if optimizer else []
    there = _bytes((*_state(learner), *moments))

    def needs(settings: "TrainSettings") -> int | None:
        most = most_bytes(learner, batch_of, device, settings)
        return None if most is None else max(0, round(SPARE * most) - there)

    # all processes must come to the same end; on CPUs they take from the same memory
    free = free_bytes(device) // (world_size() if device.type == "cpu" else 1)
    free = int(all_gather(torch.tensor([free], device=device)).min())
    need = needs(settings)
    if need is not None and need > free:
        batch = batch_of(0, device, settings)
        raise InputError(
            f"a step needs about {_in_words(need)}, but {_in_words(free)} are free on "
            f"{device.type}: {_advice(lighter(learner, batch, settings), needs, free)}"
        )


def most_bytes(
    learner: "Learner", batch_of: Batches, device: torch.device, settings: "TrainSettings"
) -> int | None:
    """:func:`step_bytes` of the largest kind of batch; None if that cannot be told, or if there
    are no such batches."""
    kinds = range(min(learner.num_batch_shapes, settings.steps))
    try:
        batches = (batch_of(step, device, settings) for step in kinds)
        counts = [step_bytes(learner, batch, settings) for batch in batches]
    except InputError:  # such as of a task that needs two scans
        return None
    return None if None in counts else max(counts)


def lighter(
    learner: "Learner", batch: tuple, settings: "TrainSettings"
) -> Iterator[list[tuple[str, "TrainSettings"]]]:
    """Ways to need less memory, each from the least change to the greatest: what to set, and the
    settings."""
    share, devices = settings.batch // settings.devices, settings.devices
    halves = [share >> n for n in range(1, share.bit_length())]
    yield [(f"batch {n * devices}", replace(settings, batch=n * devices)) for n in halves]
    if not settings.activation_checkpointing and can_checkpoint(learner):
        yield [("activation_checkpointing", replace(settings, activation_checkpointing=True))]
    if hasattr(settings, "patch") and batch[1].ndim > 1:  # label maps, no grades
        least = learner.network.encoder.settings.min_edge
        boxes = [[edge >> n for edge in batch[0].shape[2:]] for n in range(1, 4)]
        boxes = [tuple(edge // least * least for edge in box) for box in boxes]
        yield [
            (f"patch {' '.join(map(str, box))}", replace(settings, patch=box))
            for box in boxes
            if min(box) > 0
        ]


def _advice(
    ways: Iterator[list[tuple[str, "TrainSettings"]]],
    needs: Callable[["TrainSettings"], int | None],
    free: int,
) -> str:
    """What to set so that a step fits; of each way the least that does."""
    fitting, tried = [], []
    for way in ways:
        for words, settings in way:
            need = needs(settings)
            if need is not None:
                tried.append((need, f"{words} it needs {_in_words(need)}"))
            if need is not None and need <= free:
                fitting.append(f"{words} (about {_in_words(need)})")
                break
    if fitting:
        return f"set {' or '.join(fitting)}"
    even = f"even with {min(tried)[1]}; " if tried else ""
    return f"{even}take a smaller network, or a device with more memory"


def _in_words(size: int) -> str:
    if size < 1e9:
        return f"{size / 1e6:.0f} MB"
    return f"{size / 1e9:.{1 if size < 1e10 else 0}f} GB"

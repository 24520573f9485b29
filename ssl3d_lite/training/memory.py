"""Whether a training step fits into memory: said in one line before the first step.

A step is counted without being computed, by torch's own ``MemTracker``, on tensors that have a
shape and no values (``FakeTensorMode``). We do not just wait for the failure, as Linux kills a
process that asks for too much memory without a word. The measured peak of a process on a CPU is
1.00 to 1.02 times the count, with residual blocks 1.10 times; tests/ssl3d_lite/training/
test_memory.py, run as a program, measures it. On a GPU (H200) it was 0.99 to 1.09 times the count,
and 1.20 times for a U-Net in bf16 with activation checkpointing. What the count misses (kernels'
own workspace, gaps in the allocator) shows as torch's out-of-memory error, which is put into the
same words.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.collectives import all_gather, alone, world_size
from ssl3d_lite.machine.device import choose_device, choose_precision, free_bytes
from ssl3d_lite.models.checkpointing import can_checkpoint, set_activation_checkpointing

from .batches import BatchOf
from .learner import Learner
from .settings import TrainSettings

SPARE_MEMORY = 1.1  # how much more than its count a step may take
FEATURES_PER_VOXEL = 5000  # more numbers a voxel of the batch than any U-Net here keeps


# ---- counting ----------------------------------------------------------------------------------


def step_bytes(learner: Learner, batch: tuple[Any, ...], settings: TrainSettings) -> int | None:
    """Bytes that a training step on ``batch`` holds at its peak, on one device.

    They are those of weights, gradients, AdamW's moments, the batch, what the backward pass needs
    of the forward pass, and what comes and goes in between.

    Args:
        batch: what ``learner`` is given to read; its values are not read.

    Returns:
        None if it cannot be told: code of one's own may ask for a tensor's values.
    """
    try:
        with alone():
            return _count(learner, batch, settings)
    except Exception:  # whatever it is, it is no reason not to train
        return None


def _count(learner: Learner, batch: tuple[Any, ...], settings: TrainSettings) -> int:
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.distributed._tools.mem_tracker import MemTracker

    # the mode is not entered: small tensors that a loss makes for itself keep their values
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    device = choose_device(settings.device)

    def without_values(tensor: Tensor) -> Tensor:
        fake = mode.from_tensor(tensor.detach())
        return (
            nn.Parameter(fake, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else fake
        )

    copy = deepcopy(learner, {id(each): without_values(each) for each in _state(learner)}).train()
    batch = deepcopy(batch, {id(each): without_values(each) for each in _tensors(batch)})
    set_activation_checkpointing(copy, settings.activation_checkpointing)
    copy.at_step(settings.steps - 1)  # no step has more weights that learn than the last
    for module in copy.modules():  # the tracker takes every parameter for one that learns
        for name, weight in list(module.named_parameters(recurse=False)):
            if not weight.requires_grad:
                delattr(module, name)
                module.register_buffer(name, weight.detach())
    optimizer = torch.optim.AdamW(copy.parameters())
    for weight in copy.parameters():  # as in any step but the first, there are gradients, moments
        weight.grad = torch.empty_like(weight)
    optimizer.step()
    tracker = MemTracker()
    tracker.track_external(copy, optimizer, *_tensors(batch))
    mixed = choose_precision(settings.precision, device) == "bf16-mixed"
    with tracker:
        with torch.autocast(device, torch.bfloat16, enabled=mixed):
            loss, _ = copy(*batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return max(each["Total"] for each in tracker.get_tracker_snapshot("peak").values())


def _state(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _tensors(tree: Any) -> list[Tensor]:
    """The tensors in a batch, also in the fields of a dataclass."""
    leaves = []
    for leaf in tree_leaves(tree):
        if isinstance(leaf, Tensor):
            leaves.append(leaf)
        elif hasattr(leaf, "__dataclass_fields__"):
            leaves += _tensors(list(vars(leaf).values()))
    return leaves


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.nbytes for tensor in tensors)


# ---- saying so ---------------------------------------------------------------------------------


def check_memory(
    learner: Learner,
    batch_of: BatchOf,
    device: torch.device,
    settings: TrainSettings,
    optimizer: torch.optim.Optimizer,
) -> None:
    """Raise InputError if a step needs more memory than is free, and say what to lower.

    Weights, and the moments of a run that is continued, lie on the device already.
    """
    here = _bytes((*_state(learner), *_tensors(list(optimizer.state.values()))))
    # all processes must come to the same end; on CPUs a machine's take from the same memory
    free = free_bytes(device) // (
        min(world_size(), settings.devices) if device.type == "cpu" else 1
    )
    free = int(all_gather(torch.tensor([free], device=device)).min())
    need = 0
    for step in range(min(learner.num_batch_shapes, settings.steps)):
        batch = batch_of(step, device)
        if FEATURES_PER_VOXEL * _bytes(_tensors(batch)) + 10 * here < free:
            continue  # small beside what is free: spare the second that counting takes
        counted = step_bytes(learner, batch, settings)
        need = max(need, round(SPARE_MEMORY * (counted or 0)) - here)
    if need > free:
        raise InputError(
            f"a step needs about {_in_words(need)}, but {_in_words(free)} are free on "
            f"{device.type}: {advice(settings, can_checkpoint(learner))}"
        )


@contextmanager
def explain_out_of_memory(settings: TrainSettings) -> Iterator[None]:
    """Turn torch's error for too little memory into an InputError that says what to lower."""
    try:
        yield
    except RuntimeError as error:  # torch.OutOfMemoryError, for GPUs, is a kind of it
        on_gpu, on_cpu = isinstance(error, torch.OutOfMemoryError), "can't allocate memory"
        if not on_gpu and on_cpu not in str(error):
            raise
        raise InputError(f"memory ran out in a step: {advice(settings)}") from None


def advice(settings: TrainSettings, checkpointing: bool = True) -> str:
    """What to set so that a step takes less memory."""
    ways = []
    if settings.batch > settings.num_processes:
        ways.append(f"a batch below {settings.batch}")
    if checkpointing and not settings.activation_checkpointing:
        ways.append("activation_checkpointing")
    if hasattr(settings, "patch"):
        ways.append("a smaller patch" if settings.patch else "a patch (for label maps)")
    return f"set {', '.join([*ways, 'fewer filters'])}, or take a device with more memory"


def _in_words(size: int) -> str:
    if size < 1e9:
        return f"{size / 1e6:.0f} MB"
    return f"{size / 1e9:.{1 if size < 1e10 else 0}f} GB"

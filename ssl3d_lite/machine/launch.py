"""Training on several devices of one machine: a process each, which share every batch.

All processes do the same thing, and each with its own rows of the batch; what looks at the whole
batch gathers the rows of the others. So a step is that of one process, up to rounding.
"""

import atexit
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as group
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments import LightningEnvironment
from lightning_fabric.strategies import DDPStrategy
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ssl3d_lite.errors import InputError
from ssl3d_lite.interrupts import end_with_parent, starting_workers

from .collectives import is_distributed, rank, world_size
from .device import choose_device, choose_precision

WAIT_FOR_RANK_ZERO = timedelta(days=1)  # while it works alone; processes that die are seen sooner


# ---- starting ----------------------------------------------------------------------------------


def launch(devices: int = 1, device: str = "auto", precision: str = "auto") -> Fabric:
    """A Fabric on ``devices`` devices.

    For several, the first call starts the other processes: they run the same command from its
    start until they come here, and from here on what they print is not shown. So call it before
    anything that takes long. Later calls, for one run after another, find the processes there.

    Raises:
        InputError: there are not so many devices, or this cannot be run again as a command.
    """
    device = choose_device(device)
    check_devices(devices, device)
    # else it says in each run which precision it takes, and that another would be faster
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # tasks by turns, a frozen encoder and the random control leave weights without gradient
    shared = devices > 1 and DDPStrategy(find_unused_parameters=True, timeout=WAIT_FOR_RANK_ZERO)
    fabric = Fabric(
        accelerator=device,
        devices=devices,
        strategy=shared or "auto",
        precision=choose_precision(precision, device),
        plugins=[LightningEnvironment()],  # one command a machine, within Slurm or not
    )
    if devices > 1 and is_distributed():
        fabric.launch()
    elif devices > 1:
        # kernels of one voxel have their strides in more than one right way
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        if os.environ.get("LOCAL_RANK", "0") != "0":  # one of those that a first process started
            end_with_parent()
        with starting_workers():
            fabric.launch()
        atexit.register(group.destroy_process_group)  # else its threads may abort the process
        if rank():
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    return fabric


def check_devices(devices: int, device: str) -> None:
    """Raise InputError unless a run can have so many devices of this kind."""
    if is_distributed() and devices != world_size():
        raise InputError(
            f"devices is {devices}, but this command has been started on {world_size()}; "
            "all of its runs have the same number"
        )
    if devices == 1 or is_distributed():
        return
    there = {"cpu": devices, "cuda": torch.cuda.device_count()}.get(device, 1)
    if devices > there:
        raise InputError(f"devices is {devices}, but this machine has {there} of {device!r}")
    if hasattr(sys, "ps1") or not Path(sys.argv[0]).is_file():
        raise InputError(
            f"devices is {devices}, but only a command can be run by several processes, and no "
            f"notebook; on the command line: ssl3d pretrain … --devices {devices}"
        )
    if (tasks := int(os.environ.get("SLURM_STEP_NUM_TASKS", 1))) > 1:
        raise InputError(
            f"srun has started {tasks} tasks, but one starts the other processes itself; "
            f"use srun --ntasks 1, with {devices} devices"
        )


class DDPWrapper(nn.Module):
    """A module for DDP, with a weight that nothing uses: torch warns, and cannot be kept from it,
    where it has looked for such weights and there are none."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.module, self.idle = module, nn.Parameter(torch.zeros(1))

    def forward(self, *arguments: Any) -> Any:
        return self.module(*arguments)


# ---- batch norm --------------------------------------------------------------------------------


@contextmanager
def sync_batch_norm(learner: nn.Module, fabric: Fabric) -> Iterator[None]:
    """Let batch norm take its statistics from the whole batch, for a while, in place.

    On GPUs alone: torch has nothing of the kind for CPUs, where each process keeps to its own part
    of the batch, so that a run is not quite that of one process. With group norm it is, everywhere.
    """
    if not is_distributed() or fabric.device.type != "cuda":
        yield
        return
    plain = {n: m for n, m in learner.named_modules() if isinstance(m, _BatchNorm)}
    nn.SyncBatchNorm.convert_sync_batchnorm(learner)
    try:
        yield
    finally:
        for name, module in plain.items():  # weights and statistics are the very same tensors
            learner.set_submodule(name, module.train(learner.get_submodule(name).training))

"""Training on several devices, of one machine or of several: a process each, which share every
batch.

All processes do the same thing, and each with its own rows of the batch; what looks at the whole
batch gathers the rows of the others. So a step is that of one process, up to rounding.
"""

import atexit
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from importlib.metadata import version
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

from .collectives import all_gather_objects, is_distributed, rank, world_size
from .device import choose_device, choose_precision
from .machines import Watch, check_same, find_rendezvous, meet, use_network_to

WAIT_FOR_RANK_ZERO = timedelta(days=1)  # while it works alone; processes that die are seen sooner

_watch: Watch | None = None


# ---- starting ----------------------------------------------------------------------------------


def launch(
    devices: int = 1, device: str = "auto", precision: str = "auto", machines: int = 1
) -> Fabric:
    """A Fabric on ``devices`` devices of each of so many machines.

    For several, the first call starts this machine's other processes: they run the same command
    from its start until they come here, and from here on what they print is not shown. So call it
    before anything that takes long. Later calls, for one run after another, find the processes
    there. On each machine the command is started once.

    Raises:
        InputError: there are not so many devices, this cannot be run again as a command, or the
            other machines do not come, or have been asked for something else.
    """
    device = choose_device(device)
    check_devices(devices, device, machines)
    precision, several = choose_precision(precision, device), devices * machines > 1
    # whoever starts several processes on a machine, this program or torchrun, has seen to it
    if machines > 1 and not is_distributed() and "LOCAL_RANK" not in os.environ:
        asked = {"machines": machines, "devices": devices, "device": device, "precision": precision}
        _meet_others(machines, asked)
    # else it says in each run which precision it takes, and that another would be faster
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    # tasks by turns, a frozen encoder and the random control leave weights without gradient
    shared = several and DDPStrategy(find_unused_parameters=True, timeout=WAIT_FOR_RANK_ZERO)
    fabric = Fabric(
        accelerator=device,
        devices=devices,
        strategy=shared or "auto",
        precision=precision,
        num_nodes=machines,
        plugins=[LightningEnvironment()],  # one command a machine, within Slurm or not
    )
    if several and is_distributed():
        fabric.launch()
    elif several:
        # kernels of one voxel have their strides in more than one right way
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        if os.environ.get("LOCAL_RANK", "0") != "0":  # one of those that a first process started
            end_with_parent()
        with starting_workers(), _watching():
            fabric.launch()
        atexit.register(group.destroy_process_group)  # else its threads may abort the process
        if rank():
            sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    return fabric


def _meet_others(machines: int, asked: dict[str, Any]) -> None:
    """Find the other machines, and watch from now on that they stay."""
    global _watch
    here = find_rendezvous(machines)
    use_network_to(here)
    packages = {name: version(name) for name in ("ssl3d-lite", "torch")}
    _watch = Watch(meet(here, asked | packages))
    # Lightning reads these, and so do the processes that it starts
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = here.address, str(here.port)
    os.environ["NODE_RANK"] = str(here.number)


def _watching() -> AbstractContextManager[None]:
    return nullcontext() if _watch is None else _watch.sharing()


@contextmanager
def same_run(record: dict[str, Any]) -> Iterator[None]:
    """While all machines are at one run, which has this record on each.

    Raises:
        InputError: another has been asked for another run.
    """
    with _watching():
        check_same(all_gather_objects(record), "process")
        yield


def check_devices(devices: int, device: str, machines: int = 1) -> None:
    """Raise InputError unless a run can have so many devices of this kind."""
    several = devices * machines
    if is_distributed() and several != world_size():
        raise InputError(
            f"devices is {devices}, but this command has been started on {world_size()}"
            f"{f' of {machines} machines' if machines > 1 else ''}; all of its runs have the same "
            "number"
        )
    if several == 1 or is_distributed():
        return
    if int(os.environ.get("WORLD_SIZE", several)) != several:  # says torchrun
        raise InputError(
            f"{os.environ['WORLD_SIZE']} processes have been started, but devices is {devices} and "
            f"machines is {machines}, which makes {several}"
        )
    there = {"cpu": devices, "cuda": torch.cuda.device_count()}.get(device, 1)
    if devices > there:
        raise InputError(f"devices is {devices}, but this machine has {there} of {device!r}")
    if hasattr(sys, "ps1") or not Path(sys.argv[0]).is_file():
        raise InputError(
            f"devices is {devices}, but only a command can be run by several processes, and no "
            f"notebook; on the command line: ssl3d pretrain … --devices {devices}"
        )
    if (tasks := int(os.environ.get("SLURM_STEP_NUM_TASKS", machines))) != machines:
        raise InputError(
            f"srun has started {tasks} tasks, but one a machine starts the other processes itself; "
            f"use srun --nodes {machines} --ntasks-per-node 1, with {devices} devices"
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

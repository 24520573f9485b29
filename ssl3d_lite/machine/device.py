"""Which device to compute on, in which precision, and how much memory is free there."""

import platform
from typing import Literal

import torch
from torch import Tensor

from ssl3d_lite.errors import InputError, unknown

from .memory import free_ram

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "32-true", "bf16-mixed"]
ChosenPrecision = Literal["32-true", "bf16-mixed"]
PRECISIONS: tuple[ChosenPrecision, ...] = ("32-true", "bf16-mixed")  # what "auto" chooses from


def choose_device(name: str) -> str:
    """ "cuda" or "cpu"; "auto" takes a GPU where there is one.

    Apple's "mps" can be asked for by name; not every 3D operation runs there.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name not in there:
        raise unknown("device", name, ["auto", *there])
    if not there[name]:
        raise InputError(f"device {name!r} is asked for, but this machine has none; use cpu")
    return name


def choose_precision(name: str, device: str) -> ChosenPrecision:
    """ "32-true" or "bf16-mixed"; "auto" takes bfloat16 on GPUs that have units for it.

    Never on a CPU: on those with avx512_bf16 the gradient of a small Conv3d's weights comes out as
    1e36 or NaN every other time (torch 2.13, AMD EPYC, a field of 2 × 2 × 2); most others emulate
    it, up to 25 times slower than float32.
    """
    for known in PRECISIONS:
        if name == known:
            return known
    if name != "auto":
        raise unknown("precision", name, ("auto", *PRECISIONS))
    if device == "cuda" and torch.cuda.is_bf16_supported(False):
        return "bf16-mixed"
    return "32-true"


def machine_name(device: str = "auto") -> str:
    """What computes: the GPU's name, or the number and kind of CPU threads."""
    if choose_device(device) == "cuda":
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} CPU threads ({platform.machine()})"


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """The tensor on ``device``, without waiting for what the device has still to compute.

    ``tensor.to(device)`` waits for all of it, at every copy, and a GPU that has been waited for has
    nothing to do until the next work arrives. CUDA takes a copy of ordinary memory before the call
    returns, so the tensor may be changed at once. (MPS does not promise this.)
    """
    device = torch.device(device)
    return tensor.to(device, non_blocking=device.type != "mps")


# ---- free memory -------------------------------------------------------------------------------


def free_bytes(device: torch.device) -> int:
    """Bytes that can still be had on a device; with what torch holds there and does not use."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    return free_ram()

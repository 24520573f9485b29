"""Which device to compute on, what fits there, and in which precision, by looking and timing."""

import time

import psutil
import torch
from torch import nn

from .cohort import Cohort
from .errors import InputError, unknown

PRECISIONS = ("32-true", "bf16-mixed")


def fits(cohort: Cohort, device: str) -> bool:
    """Whether a cohort's volumes take less than half of the memory that is free on a device."""
    if device.startswith("cuda"):
        free, _ = torch.cuda.mem_get_info()
    else:
        free = psutil.virtual_memory().available
    return cohort.bytes < free / 2


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


def choose_precision(name: str, device: str) -> str:
    """ "32-true" or "bf16-mixed"; "auto" takes bfloat16 where it is faster.

    GPUs since Ampere have bfloat16 units. CPUs differ by a factor of 50: with AMX it is twice as
    fast as float32, without it may be emulated and 25 times slower, so a CPU is timed.
    """
    if name in PRECISIONS:
        return name
    if name != "auto":
        raise unknown("precision", name, ("auto", *PRECISIONS))
    if device == "cuda":
        return "bf16-mixed" if torch.cuda.is_bf16_supported(False) else "32-true"
    return "bf16-mixed" if device == "cpu" and _bfloat16_is_faster() else "32-true"


def _bfloat16_is_faster() -> bool:
    """Whether a small convolution takes less time in bfloat16 on this CPU.

    By turns, and the best of several: another program that takes the CPU for a moment must not
    decide. A near tie stays float32.
    """
    conv = nn.Conv3d(16, 16, 3, padding=1)
    trials = [[_seconds(conv, bfloat16) for bfloat16 in (True, False)] for _ in range(10)]
    with_bfloat16, without = map(min, zip(*trials, strict=True))
    return with_bfloat16 * 1.2 < without


def _seconds(conv: nn.Module, bfloat16: bool) -> float:
    """The convolution once forward and backward on the CPU."""
    volume = torch.zeros(2, 16, 12, 12, 12)
    start = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
        conv(volume).float().sum().backward()
    return time.perf_counter() - start

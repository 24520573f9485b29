"""Which device to compute on, what fits there, in which precision and memory format."""

import platform
from collections.abc import Sequence
from copy import deepcopy

import psutil
import torch
from torch import nn

from .clock import best
from .cohort import Cohort
from .errors import InputError, unknown
from .networks import channels_last

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
    """ "32-true" or "bf16-mixed"; "auto" takes bfloat16 on GPUs that have units for it.

    Never on a CPU: on those with avx512_bf16 the gradient of a small Conv3d's weights comes out as
    1e36 or NaN every other time (torch 2.13, AMD EPYC, a field of 2 × 2 × 2); most others emulate
    it, up to 25 times slower than float32.
    """
    if name in PRECISIONS:
        return name
    if name != "auto":
        raise unknown("precision", name, ("auto", *PRECISIONS))
    if device == "cuda" and torch.cuda.is_bf16_supported(False):
        return "bf16-mixed"
    return "32-true"


LAYOUTS = {"channels-last": channels_last, "contiguous": lambda _: torch.contiguous_format}
DEFAULT = "channels-last"
TRIAL = 2.0  # seconds that all layouts together are tried
WORTH = 0.95  # of the default's time: what does not fall below it is noise, and changes nothing


def choose_layout(
    name: str, learner: nn.Module, batch: tuple, device: str, precision: str
) -> torch.memory_format:
    """The memory format of that name; of "trial" the one that is faster on a step, or the default
    unless another is faster by a twentieth."""
    if name == "trial":
        taken = layout_trial(learner, batch, device, [precision])
        times = {layout: taken[f"{layout}, {precision}"] for layout in LAYOUTS}
        name = min(times, key=times.get)
        name = name if times[name] < WORTH * times[DEFAULT] else DEFAULT
    return LAYOUTS[name](learner)


def layout_trial(
    learner: nn.Module, batch: tuple, device: str, precisions: Sequence[str] = PRECISIONS
) -> dict[str, float]:
    """Try memory formats and precisions on a step: {"channels-last, 32-true": seconds, …}.

    Args:
        learner: gives (loss, scores) for ``*batch``. Copies of it are tried.
    """
    kinds = {f"{layout}, {p}": (layout, p) for p in precisions for layout in LAYOUTS}
    share = TRIAL / len(kinds)
    return {name: _try(learner, batch, device, *kind, share) for name, kind in kinds.items()}


def _try(
    learner: nn.Module, batch: tuple, device: str, layout: str, precision: str, seconds: float
) -> float:
    """Seconds of the best of some steps."""
    own = deepcopy(learner).to(device).train()
    own.to(memory_format=LAYOUTS[layout](own))

    def step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16-mixed"):
            loss, _ = own(*batch)
        loss.backward()

    return best(step, device, seconds)


def machine_name(device: str = "auto") -> str:
    """What computes: the GPU's name, or the number and kind of CPU threads."""
    if choose_device(device) == "cuda":
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} CPU threads ({platform.machine()})"

"""The memory format of convolutions: channels last is a third faster on CPUs, more on GPUs."""

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import nn

from ssl3d_lite.models.blocks import channels_last

from .device import PRECISIONS
from .timing import best

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

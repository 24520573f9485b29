"""Settings of pretraining and fine-tuning."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, TypeVar

from ssl3d_lite.errors import InputError, unknown
from ssl3d_lite.machine.device import choose_device, choose_precision
from ssl3d_lite.machine.memory_format import LAYOUTS

LOG_EVERY = 10  # steps between rows of the history: losses stay on the device in between
RECENT = 20  # rows of the history from which a task may judge that its training has failed


@dataclass(frozen=True)
class TrainSettings:
    """What pretraining and fine-tuning share."""

    steps: int = 250
    """Optimiser steps."""
    epochs: float = 0
    """Rounds through all scans; if given, it sets the steps."""
    batch: int = 2
    """Scans a step."""
    learning_rate: float = 1e-3
    """Of AdamW at the start; falls to 0 as (1 - step/steps)^0.9."""
    weight_decay: float = 1e-4
    clip: float = 1.0
    """The gradient's norm is cut to this; 0 for never."""
    seed: int = 0
    device: str = "auto"
    """auto, cpu or cuda."""
    devices: int = 1
    """GPUs, or CPU processes, that share each batch."""
    precision: str = "auto"
    """auto (bf16-mixed on GPUs that have it), 32-true or bf16-mixed."""
    activation_checkpointing: bool = False
    """Keep fewer features for the way back and compute them again: less memory, above all for a
    U-Net, a third more time, and the same weights."""
    layout: Literal["channels-last", "contiguous", "trial"] = "channels-last"
    """Memory format of convolutions. "trial" tries both for two seconds and takes the faster: the
    weights of two runs may then differ in their last bits."""
    checkpoint_every: int = 100
    """Steps between checkpoints, from which a killed run continues; a multiple of 10."""

    def __post_init__(self):
        for name in ("steps", "batch", "devices", "checkpoint_every", "learning_rate"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}, but must be above 0")
        if self.checkpoint_every % LOG_EVERY:
            raise InputError(f"checkpoint_every is {self.checkpoint_every}, no multiple of 10")
        if self.layout not in (*LAYOUTS, "trial"):
            raise unknown("layout", self.layout, [*LAYOUTS, "trial"])
        if self.layout == "trial" and self.devices > 1:
            raise InputError("layout trial is for one device; name one: channels-last")
        if self.batch % self.devices:
            raise InputError(
                f"a batch of {self.batch} scans cannot be shared out among {self.devices} devices; "
                f"use a multiple of {self.devices}"
            )

    def for_cases(self, count: int) -> "TrainSettings":
        """The same settings with ``epochs`` counted out in steps, for that many scans."""
        if not self.epochs:
            return self
        return replace(self, epochs=0, steps=max(1, round(self.epochs * count / self.batch)))

    def lr_at(self, step: int) -> float:
        """Learning rate of a step."""
        return self.learning_rate * (1 - step / self.steps) ** 0.9

    def record(self) -> dict[str, Any]:
        """What a run's record says of them. The precision is the one that was chosen: the numbers
        depend on it, where on the devices they do not."""
        precision = choose_precision(self.precision, choose_device(self.device))
        return {**asdict(self), "precision": precision}


Kind = TypeVar("Kind", bound=TrainSettings)


def changed(settings: Kind, changes: Mapping[str, Any]) -> Kind:
    """The settings with some of them changed.

    Raises:
        InputError: no such setting (the nearest is named), or a value that is not allowed.
    """
    known = [each.name for each in fields(settings)]
    for name in changes:
        if name not in known:
            raise unknown("setting", name, known)
    return replace(settings, **changes)


@dataclass(frozen=True)
class FinetuneSettings(TrainSettings):
    """Fine-tuning with labels; the encoder may start frozen (the paper's warm-up)."""

    steps: int = 100
    freeze_encoder_steps: int = 0
    """Steps at the start in which the encoder stands still and all else alone learns."""
    encoder_lr_scale: float = 1.0
    """Share of the learning rate that the encoder gets."""
    patch: tuple[int, ...] | None = None
    """Train on random boxes of this size instead of whole volumes; not with grades."""
    validate_every: int = 0
    """Steps between looks at the validation cases, of which the best weights are kept; 0: the
    last weights count."""
    test_at: tuple[int, ...] = ()
    """Steps after which the test cases are scored for a curve of convergence; nothing is chosen
    by it. Multiples of 10."""

    def __post_init__(self):
        super().__post_init__()
        for step in self.test_at:
            if step <= 0 or step % LOG_EVERY:
                raise InputError(f"test_at names step {step}, but must name multiples of 10")

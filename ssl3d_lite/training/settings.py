"""Settings of pretraining and fine-tuning."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Annotated, Any, Literal, TypeVar

from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.device import Device, Precision, choose_device, choose_precision
from ssl3d_lite.settings import (
    CheckedSettings,
    Count,
    MultipleOf,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    Probability,
    Seed,
    Shape,
    check_names,
)

STEPS_PER_ROW = 10  # optimiser steps whose mean is a row of the history
WholeRows = Annotated[PositiveInt, MultipleOf(STEPS_PER_ROW)]  # a step at which a row is complete


AnySettings = TypeVar("AnySettings", bound="TrainSettings")


# metadata of fields that say how the machine computes: no result depends on them, but by rounding
_ON_THE_MACHINE = {"affects_result": False}
# metadata of fields that an earlier version had not: at its default a record does not name such a
# field, so that what was begun then goes on
_NEW = {"new": True}


@dataclass(frozen=True)
class TrainSettings(CheckedSettings):
    """Training: what pretraining and fine-tuning share."""

    steps: PositiveInt = 250
    """Number of optimiser steps."""
    epochs: NonNegativeFloat = 0
    """Number of rounds through all scans; if given, it sets the steps."""
    batch: PositiveInt = 2
    """Number of scans in a step."""
    learning_rate: PositiveFloat = 1e-3
    """Learning rate of AdamW at the start."""
    lr_decay: NonNegativeFloat = field(default=0.9, metadata=_NEW)
    """The power p with which the learning rate falls to 0, as (1 - step/steps)^p; 0: it stays."""
    weight_decay: NonNegativeFloat = 1e-4
    """How strongly AdamW draws weights to 0; those of norms, and biases, it does not."""
    clip: NonNegativeFloat = 1.0
    """Largest norm of the gradient, to which a longer one is cut; 0 for never."""
    seed: Seed = 0
    """Number that all that is random is drawn from."""
    device: Device = field(default="auto", metadata=_ON_THE_MACHINE)
    """auto (a GPU where there is one), cpu, cuda or mps."""
    devices: PositiveInt = field(default=1, metadata=_ON_THE_MACHINE)
    """Number of GPUs, or of CPU processes, that share each batch: those of each machine."""
    machines: PositiveInt = field(default=1, metadata={**_ON_THE_MACHINE, **_NEW})
    """Number of machines that share each batch; the same command is started on each."""
    precision: Precision = "auto"
    """auto (bf16-mixed on GPUs that have it), 32-true or bf16-mixed."""
    activation_checkpointing: bool = field(default=False, metadata=_ON_THE_MACHINE)
    """Keep fewer features for the backward pass and compute them again: less memory, above all for
    a U-Net, a third more time, and the same weights."""
    memory_format: Literal["channels-last", "contiguous"] = field(
        default="channels-last", metadata=_ON_THE_MACHINE
    )
    """Order in which convolutions keep their voxels in memory; channels-last is faster."""
    checkpoint_every: WholeRows = field(default=100, metadata=_ON_THE_MACHINE)
    """Number of steps between checkpoints, from which a killed run continues; a multiple of 10."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch % self.num_processes:
            machines = f"{self.machines} machines with " if self.machines > 1 else ""
            raise InputError(
                f"a batch of {self.batch} scans cannot be shared out among {machines}"
                f"{self.devices} devices; use a multiple of {self.num_processes}"
            )

    @property
    def num_processes(self) -> int:
        """How many share each batch, on all machines."""
        return self.devices * self.machines

    def for_cases(self: "AnySettings", count: int) -> "AnySettings":
        """The same settings with ``epochs`` counted out in steps, for that many scans."""
        if not self.epochs:
            return self
        return replace(self, epochs=0, steps=max(1, round(self.epochs * count / self.batch)))

    def lr_at(self, step: int) -> float:
        """Learning rate of a step."""
        return self.learning_rate * (1 - step / self.steps) ** self.lr_decay

    def record(self) -> dict[str, Any]:
        """What a run's record says of them. The precision is the one that was chosen: the numbers
        depend on it, where on the devices they do not."""
        precision = choose_precision(self.precision, choose_device(self.device))
        unsaid = {
            each.name
            for each in fields(self)
            if each.metadata.get("new") and getattr(self, each.name) == each.default
        }
        said = {name: value for name, value in asdict(self).items() if name not in unsaid}
        return {**said, "precision": precision}


@dataclass(frozen=True)
class PretrainSettings(TrainSettings):
    """Pretraining, which may end before its last step: equal steps are not equal puzzles."""

    until: Probability = field(default=0, metadata=_NEW)
    """Score of the puzzle (its measure, as accuracy) at which pretraining ends, as a mean over the
    last 50 steps with a puzzle of the task; 0: it goes on to the last step. The learning rate falls
    with the steps, and has not come to 0 then. Of several tasks, each has to reach it."""


@dataclass(frozen=True)
class FinetuneSettings(TrainSettings):
    """Fine-tuning with labels; the encoder may start frozen (the paper's warm-up)."""

    steps: PositiveInt = 100
    learning_rate: PositiveFloat = 3e-3
    freeze_encoder_steps: Count = 0
    """Number of steps at the start in which the encoder stands still and all else learns."""
    encoder_lr_scale: NonNegativeFloat = 1.0
    """Share of the learning rate that the encoder gets."""
    patch: Shape | None = None
    """Size, in voxels, of the random boxes to train on instead of whole volumes; not with
    grades."""
    validate_every: Count = 0
    """Number of steps between scores of the validation cases, by which the best weights are kept;
    0: the last weights count."""
    test_at: tuple[WholeRows, ...] = ()
    """Steps after which the test cases are scored for a curve of convergence; nothing is chosen
    by it. Multiples of 10."""


def with_changes(settings: AnySettings, changes: Mapping[str, Any]) -> AnySettings:
    """The settings with other values for some of them.

    Raises:
        InputError: no such setting (the nearest is named), or a value that is not allowed.
    """
    known = [each.name for each in fields(settings)]
    check_names(changes, known, "setting")
    return replace(settings, **changes)


def machine_settings(kind: type[TrainSettings] = FinetuneSettings) -> frozenset[str]:
    """Names of the settings on which no result depends: a run may go on with others."""
    return frozenset(
        each.name for each in fields(kind) if not each.metadata.get("affects_result", True)
    )

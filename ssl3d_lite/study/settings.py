"""What a study is: a TOML file, read strictly, at one of three scales.

The file's top holds what all scales share; its tables ``[smoke]``, ``[class]`` and ``[full]`` hold
what each has otherwise, so one file runs in a minute on a laptop and for days on a cluster::

    title = "Hippocampus"
    arms = ["cpc", "scratch", "random"]
    labels = ["2", "5", "100%"]
    [cohort]
    recipe = "virtual-hippocampus"
    [smoke]
    seeds = 2
    cohort.cases = 30
"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

from pydantic import TypeAdapter, ValidationError

from ssl3d_lite.data.label_budget import parse_label_budget
from ssl3d_lite.errors import InputError, unknown
from ssl3d_lite.machine.device import Device, Precision
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.old_names import renamed
from ssl3d_lite.settings import (
    CheckedSettings,
    Count,
    Interval,
    Len,
    NonNegativeFloat,
    PositiveInt,
    check_names,
)
from ssl3d_lite.tasks import task_classes
from ssl3d_lite.training.presets import PresetName
from ssl3d_lite.training.settings import (
    STEPS_PER_ROW,
    FinetuneSettings,
    PretrainSettings,
    machine_settings,
)

from .arms import Arm, parse_arm
from .protocols import COMES_WITH, protocol_names

Scale = Literal["smoke", "class", "full"]
Scored = Literal["test", "validation"]
Published = Literal["", "brats", "pancreas", "retina"]
ClaimName = Literal[
    "better features",
    "better with few labels",
    "better final score",
    "faster",
    "3D beats 2D",
    "transfer",
    "channels by name",
]
TomlTable = dict[str, Any]
Names = Annotated[tuple[str, ...], Len(1)]

SHIPPED = "shipped"  # the folder beside this file that holds the studies of the package
ELSEWHERE = (  # the study says these itself, or the command line does
    *("seed", "precision", *sorted(machine_settings())),
    *("epochs", "freeze_encoder_steps", "encoder_lr_scale", "test_at"),
)


@dataclass(frozen=True)
class Machine(CheckedSettings):
    """On what a study runs. No score should depend on it."""

    device: Device = "auto"
    """auto takes a GPU if there is one."""
    devices: PositiveInt = 1
    """GPUs, or CPU processes, that share each batch."""
    precision: Precision = "auto"
    """auto: bf16-mixed on GPUs that have it, else 32-true."""
    activation_checkpointing: bool = False
    """Keep fewer features for the backward pass and compute them again: less memory, a third more
    time, the same scores."""


@dataclass(frozen=True)
class ProbeSettings(CheckedSettings):
    """How a study probes frozen encoders."""

    voxels: PositiveInt = 3000
    """Voxels that are taken from each labelled scan."""
    draws: PositiveInt = 3
    """Draws of labelled scans; the score of a seed is the mean over them."""
    same_draws: bool = False
    """Whether all seeds have the same draws. Then intervals speak of other encoders, but not of
    other labels."""


@dataclass(frozen=True)
class Study(CheckedSettings):
    """All that a study depends on, except the machine."""

    name: str
    scale: Scale
    title: str
    arms: Names
    """The ways to pretrain, and controls: see :mod:`ssl3d_lite.study.arms`."""
    labels: Names
    """Labelled scans to learn from, as numbers or shares: "5", "10%"."""
    cohort: TomlTable
    """The benchmark, where none is given: a recipe's name as ``recipe``, and its settings."""
    question: str = ""
    """The question that the study asks, for the report."""
    seeds: PositiveInt = 6
    """Paired; a verdict needs six. A seed sets the encoder's start, its puzzles, which scans have
    labels, the decoder's start and the order of all batches, alike for every arm."""
    folds: Annotated[tuple[Count, ...], Len(1)] = (0,)
    """Folds that are the test set in turn; several for cross-validation."""
    scored: Scored = "test"
    """test, or validation while settings are searched for: then test cases are not touched, and
    there are no verdicts."""
    protocols: Names = ("finetune", "frozen", "probe", "probe+place", "convergence")
    """How encoders are scored: see :mod:`ssl3d_lite.study.protocols`."""
    published: Published = ""
    """Beside which of the paper's results the table stands."""
    min_effect: NonNegativeFloat = 0.02
    """The smallest difference worth having. If it can be ruled out, a claim does not hold."""
    claims: tuple[ClaimName, ...] = ()
    """The claims that are put to the test, if not all. They are judged together, so a plan with few
    can find smaller gains; all else is shown with its interval and no verdict."""
    claim_arms: tuple[str, ...] = ()
    """The arms that they are made for, if not all."""
    corpus: TomlTable = field(default_factory=dict)
    """Where encoders are pretrained instead, if not on the benchmark's own scans."""
    slices: TomlTable = field(default_factory=dict)
    """How slices are cut for 2D arms: axis, first, last, every."""
    encoder: TomlTable = field(default_factory=dict)
    """EncoderSettings that differ from their defaults: filters, block, norm, network."""
    preset: PresetName = "quick"
    """Where the tasks' settings come from that are not in ``tasks``."""
    tasks: dict[str, TomlTable] = field(default_factory=dict)
    """Task → its own settings. "2d-cpc" are those of the task on slices."""
    pretrain: TomlTable = field(default_factory=dict)
    """PretrainSettings; the steps are the same for every arm, or with ``until`` at most so many."""
    finetune: TomlTable = field(default_factory=dict)
    """FinetuneSettings that differ from their defaults."""
    finetune_labels: tuple[str, ...] = ()
    """Numbers of labels for fine-tuning and convergence, if others than ``labels``."""
    neighbour_labels: Names = ("1",)
    """Numbers of labels for label transfer (protocol neighbours): one scan is enough."""
    flat: dict[str, TomlTable] = field(default_factory=dict)
    """What ``pretrain`` and ``finetune`` have otherwise for 2D arms of a 3D benchmark."""
    warm_up: Annotated[float, Interval(ge=0, lt=1)] = 0.25
    """Share of fine-tuning in which a pretrained encoder stands still (the paper's warm-up)."""
    encoder_lr_scale: NonNegativeFloat = 1.0
    """Share of the learning rate that a pretrained encoder gets in fine-tuning; from scratch, all
    of it."""
    milestones: tuple[PositiveInt, ...] = ()
    """Steps of fine-tuning after which convergence is scored."""
    oracle_steps: Count = 0
    """Steps of an oracle's training with all labels; 0 for as many as pretraining has."""
    probe: TomlTable = field(default_factory=dict)
    """ProbeSettings that differ from their defaults: voxels, draws, same_draws."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (
            *("arms", "labels", "folds", "protocols", "finetune_labels", "neighbour_labels"),
            *("claims", "claim_arms"),
        ):
            if len(set(values := getattr(self, name))) < len(values):
                raise InputError(f"{name} names something twice: {', '.join(map(str, values))}")
        check_names(self.protocols, protocol_names(), "protocol")
        for name, other in COMES_WITH.items():
            if name in self.protocols and other not in self.protocols:
                raise InputError(
                    f"{name} is scored on the way of {other}: name {other} among protocols"
                )
        for table, name, kind, leave in (
            (self.encoder, "encoder", EncoderSettings, ("in_channels", "spatial_dims")),
            (self.pretrain, "pretrain", PretrainSettings, ELSEWHERE),
            (self.finetune, "finetune", FinetuneSettings, ELSEWHERE),
            (self.flat.get("pretrain", {}), "flat.pretrain", PretrainSettings, ELSEWHERE),
            (self.flat.get("finetune", {}), "flat.finetune", FinetuneSettings, ELSEWHERE),
            (self.probe, "probe", ProbeSettings, ()),
        ):
            build_settings(kind, table, f"{name} of study {self.name}", leave)
        check_names(self.flat, ("pretrain", "finetune"), f"table of flat in {self.name}")
        self.check_arms()
        self.check_steps()

    def labels_of(self, protocol: str) -> tuple[str, ...]:
        """The numbers of labels with which a protocol is run."""
        if protocol == "neighbours":
            return self.neighbour_labels
        tuned = protocol in ("finetune", "convergence")
        return self.finetune_labels if tuned and self.finetune_labels else self.labels

    @property
    def is_search(self) -> bool:
        """Whether settings are searched for: test cases are not touched, no verdict is read."""
        return self.scored != "test"

    def claimed(self, claim: str, arm: str) -> bool:
        """Whether the plan makes a claim for an arm."""
        return is_among(claim, self.claims) and is_among(arm, self.claim_arms)

    def check_arms(self) -> None:
        for arm in self.parsed_arms():
            if arm.unnamed and not self.corpus:
                raise InputError(
                    f"arm {arm.name}: without a corpus there are no other channels to be read"
                )
        for claimed in self.claim_arms:  # some may not be run, as at scale smoke
            parse_arm(claimed)
        for name, own in self.tasks.items():
            kind, *more = task_classes(name.removeprefix("2d-"))
            if more:
                raise InputError(f"tasks.{name}: give one task at a time")
            build_settings(kind.Settings, own, f"tasks.{name} of study {self.name}")
        for labels in (*self.labels, *self.finetune_labels, *self.neighbour_labels):
            parse_label_budget(labels)

    def check_steps(self) -> None:
        """Budgets are equal for all arms, so they are counted in steps and stand in the file."""
        if "steps" not in self.pretrain:
            raise InputError("[pretrain] needs steps, the same for every arm")
        steps = self.finetune.get("steps", FinetuneSettings.steps)
        steps = min(steps, self.flat.get("finetune", {}).get("steps", steps))
        for milestone in self.milestones:
            if milestone % STEPS_PER_ROW or not 0 < milestone <= steps:
                raise InputError(
                    f"milestone {milestone} is no multiple of {STEPS_PER_ROW} among the {steps} "
                    "steps of fine-tuning"
                )

    def parsed_arms(self) -> list[Arm]:
        return [parse_arm(arm) for arm in self.arms]


def is_among(name: str, names: Sequence[str]) -> bool:
    """Whether it is one of them; if none are named, all are meant."""
    return not names or name in names


def read_study(name: str | Path, scale: str = "class", **changes: Any) -> Study:
    """A study by the name of one that is shipped, or from a TOML file.

    Args:
        scale: smoke, class or full.
        changes: settings that count instead of the file's, such as seeds or arms.

    Raises:
        InputError: no such study, scale or setting (the nearest is named), or a wrong value.
    """
    path = Path(name)
    if path.suffix != ".toml":
        path = shipped(str(name))
    try:
        record = renamed(tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except (OSError, ValueError) as reason:
        raise InputError(f"study {path} cannot be read: {reason}") from None
    if scale not in get_args(Scale):
        raise unknown("scale", scale, get_args(Scale))
    scales = {each: record.pop(each, {}) for each in get_args(Scale)}
    if wrong := [each for each, table in scales.items() if not isinstance(table, Mapping)]:
        raise InputError(f"{path.name}: {wrong[0]} is a scale, so it must be a table: [{wrong[0]}]")
    for each, table in scales.items():  # a failure in another scale shows at once, not on the day
        study = build_settings(
            Study,
            merged(merged(record, table), changes) | {"name": path.stem, "scale": each},
            f"{path.name}, scale {each}",
        )
        if each == scale:
            chosen = study
    return chosen


def shipped_studies() -> dict[str, Path]:
    """The studies that come with the package, by name."""
    folder = Path(str(resources.files(__package__))) / SHIPPED
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def shipped(name: str) -> Path:
    there = shipped_studies()
    if name not in there:
        raise unknown("study", name, there)
    return there[name]


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> TomlTable:
    """``base`` with what ``over`` says otherwise; tables are merged, everything else replaced, and
    so is a table that names another recipe, whose settings are others."""
    both = dict(base)
    for name, value in over.items():
        old: Any = base.get(name)
        both[name] = value
        tables = isinstance(old, Mapping) and isinstance(value, Mapping)
        if tables and value.get("recipe", old.get("recipe")) == old.get("recipe"):
            both[name] = merged(old, value)
    return both


def build_settings(
    kind: type, table: Mapping[str, Any], where: str, leave: tuple[str, ...] = ()
) -> Any:
    """A settings dataclass from a table of TOML.

    Args:
        leave: fields that are not for the file to set.

    Raises:
        InputError: a name that is no field, or a value of the wrong kind.
    """
    known = [each.name for each in fields(kind) if each.name not in leave]
    check_names(table, known, f"setting in {where}:")
    missing = [
        each.name
        for each in fields(kind)
        if each.default is each.default_factory and each.name not in table
    ]
    if missing:
        raise InputError(f"{where}: {', '.join(missing)} is missing")
    try:
        return kind(**(table if issubclass(kind, CheckedSettings) else _converted(kind, table)))
    except InputError as reason:
        raise InputError(f"{where}: {reason}") from None


def _converted(kind: type, table: Mapping[str, Any]) -> TomlTable:
    """Values with the types of a dataclass that does not check them itself: somebody's recipe."""
    hints, values = get_type_hints(kind), {}
    for name, value in table.items():
        try:
            values[name] = TypeAdapter(hints[name]).validate_python(value)
        except ValidationError as reason:
            first = reason.errors()[0]
            raise InputError(f"{name} = {value!r}: {first['msg']}") from None
    return values

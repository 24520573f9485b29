"""What a bench found, and its tables."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ssl3d_lite.html import Table

from .ceilings import Peaks
from .hours import CostModel
from .stages import STEP, Stage

TARGET = 0.9  # of a bare step, that the loop should reach


@dataclass(frozen=True)
class BenchResult:
    """All that was measured, and on what."""

    machine: str
    versions: dict[str, str]
    threads: int
    precision: str
    cohort: str
    ceilings: Peaks
    stages: Sequence[Stage]
    layouts: dict[str, float]
    """Memory format and precision → seconds of forward and backward, CPC."""
    price: CostModel
    hours: dict[str, dict[str, float]]
    """Study → scale → hours."""

    @property
    def tasks(self) -> list[str]:
        return [s.task for s in self.stages if s.name == "step"]

    def of(self, task: str) -> dict[str, Stage]:
        """A task's stages by name; "" for those that have none."""
        return {s.name: s for s in self.stages if s.task == task}

    def minute(self, task: str) -> dict[str, float]:
        """Stage → seconds of a minute of this task's pretraining. What a step of the loop takes
        beyond the bare one of the same round and the views is the "loop" itself; 0 if that is lost
        in noise."""
        stages = self.of(task)
        parts = {name: stages[name].seconds for name in STEP}
        step = stages["step"]
        parts["loop"] = max(0.0, step.seconds - step.limit - parts["views"])
        whole = sum(parts.values())
        return {name: 60 * seconds / whole for name, seconds in parts.items()}

    def record(self) -> dict[str, Any]:
        """For JSON: everything, and the shares of the limits."""
        stages = [{**asdict(s), "share": s.share} for s in self.stages]
        minutes = {task: self.minute(task) for task in self.tasks}
        return {**asdict(self), "stages": stages, "minute": minutes}


# ---- tables ------------------------------------------------------------------------------------


def peak_table(found: BenchResult) -> Table:
    c = found.ceilings
    rows = [["copying, read and written", f"{c.copy / 1e9:.1f} GB/s"]]
    for name, rates in (("convolution", c.convolution), ("matrix product", c.matrix)):
        rows += [[f"{name}, {p}", f"{rate / 1e9:.0f} GFLOP/s"] for p, rate in rates.items()]
    return ["this machine's best", "measured"], rows


def stage_table(found: BenchResult) -> Table:
    """Every stage beside its limit."""
    rows = []
    for s in found.stages:
        rows.append(
            [
                *(s.task or "-", s.name, f"{1e3 * s.seconds:.1f} ms", f"{1e3 * s.limit:.1f} ms"),
                *(f"{100 * s.share:.0f} %", s.by),
            ]
        )
    return ["task", "stage", "measured", "limit", "of the limit", "limited by"], rows


def layout_table(found: BenchResult) -> Table:
    fastest = min(found.layouts.values())
    rows = [
        [name, f"{1e3 * took:.1f} ms", f"{took / fastest:.2f}"]
        for name, took in sorted(found.layouts.items(), key=lambda item: item[1])
    ]
    return ["memory format, precision", "forward and backward of CPC", "times the fastest"], rows


def hours_table(found: BenchResult) -> Table:
    scales = list(next(iter(found.hours.values())))
    rows = [[name, *(span(hours[s]) for s in scales)] for name, hours in found.hours.items()]
    return ["study", *scales], rows


def span(hours: float) -> str:
    """In the unit that suits it."""
    if hours < 1:
        return f"{60 * hours:.1f} min"
    return f"{hours:.1f} h" if hours < 100 else f"{hours / 24:.0f} days"


def remarks(found: BenchResult) -> list[str]:
    """What the tables say, in plain words."""
    steps = {task: found.of(task)["step"] for task in found.tasks}
    shares = [s.share for s in steps.values()]
    slow = [task for task, s in steps.items() if s.share < TARGET]
    formats = {name: t for name, t in found.layouts.items() if found.precision in name}
    chosen = min(formats, key=formats.get)
    return [
        "A bare forward, backward and optimiser step of the same network takes "
        f"{100 * min(shares):.0f} to {100 * max(shares):.0f} % of the time of a step of "
        f"pretrain(), views, history and all; {100 * TARGET:.0f} % are wanted"
        + (f", which {', '.join(slow)} do not reach." if slow else "."),
        f"The fastest memory format in the precision that is trained in: {chosen}. On a CPU "
        "bfloat16 is never chosen by itself, however fast: on some its gradients come out wrong.",
        "A limit is the least that the bytes and operations of a stage could take at the machine's "
        "best. Small convolutions with few channels reach a part of that on any machine.",
        "Hours of studies are counted, not run: operations and steps at the prices measured here. "
        "Making virtual scans comes on top.",
    ]

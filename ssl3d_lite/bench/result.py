"""The result of a bench, and its tables."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ssl3d_lite.errors import InputError
from ssl3d_lite.files import read_json
from ssl3d_lite.html import Table

from .hours import CostModel
from .peaks import Peaks
from .peer import PeerStep
from .stages import STEP_PARTS, Stage
from .views import ViewCost

BENCH = "bench.json"
_TARGET = 0.9  # the share of a bare step's speed that the loop should reach


@dataclass(frozen=True)
class BenchResult:
    """All measurements, and the machine and cohort that they were made on."""

    machine: str
    versions: dict[str, str]
    threads: int
    precision: str
    cohort: str
    peaks: Peaks
    stages: Sequence[Stage]
    cost_model: CostModel
    hours: dict[str, dict[str, float]]
    """Study → scale → hours."""
    views: Sequence[ViewCost] = ()
    """Views in the browser."""
    peer: PeerStep | None = None
    """A fine-tuning step beside another library's."""
    took: float = 0.0
    """Seconds that all of it took."""
    allowed: float = 0.0
    """Seconds that it might take."""

    @property
    def tasks(self) -> list[str]:
        """Names of the proxy tasks that were measured."""
        return [s.task for s in self.stages if s.name == "step"]

    def of(self, task: str) -> dict[str, Stage]:
        """A task's stages by name; the task "" has the stages that belong to none."""
        return {s.name: s for s in self.stages if s.task == task}

    def minute(self, task: str) -> dict[str, float]:
        """Stage → its seconds in a minute of this task's pretraining.

        The stage "loop" is what a step of the loop takes beyond the bare step of the same round
        and the views; 0 if that is lost in noise.
        """
        stages = self.of(task)
        parts = {name: stages[name].seconds for name in STEP_PARTS}
        step = stages["step"]
        parts["loop"] = max(0.0, step.seconds - step.limit - parts["views"])
        whole = sum(parts.values())
        return {name: 60 * seconds / whole for name, seconds in parts.items()}

    def record(self) -> dict[str, Any]:
        """Everything, and the shares of the limits, for JSON."""
        stages = [{**asdict(s), "share": s.share} for s in self.stages]
        minutes = {task: self.minute(task) for task in self.tasks}
        return {**asdict(self), "stages": stages, "minute": minutes}


def is_bench(folder: Path) -> bool:
    """Whether a folder without a mark holds a bench: the first ones left none."""
    try:
        return {"peaks", "stages", "hours"} <= set(read_json(folder / BENCH, "bench"))
    except (InputError, TypeError):
        return False


# ---- tables ------------------------------------------------------------------------------------


def page_table(result: BenchResult) -> Table:
    """All of it on one page: what each thing takes, what limits it and how far it is from that, and
    how it stands beside a peer."""
    rows = []
    for task in result.tasks:
        stages = result.of(task)
        parts, step = [stages[name] for name in STEP_PARTS], stages["step"]
        most = max(parts, key=lambda part: part.seconds)
        share = sum(part.limit for part in parts) / step.seconds
        row = [f"step of {task}", _ms(step), f"{most.by}, {most.name}", f"{100 * share:.0f} %", "–"]
        rows.append(row)
    for stage in result.of("").values():
        rows.append([stage.name, _ms(stage), stage.by, f"{100 * stage.share:.0f} %", "–"])
    if peer := result.peer:
        beside = f"{peer.ratio:.2f} × {peer.name}"
        rows.append(["fine-tuning step", f"{1e3 * peer.seconds:.0f} ms", "–", "–", beside])
    return ["what", "takes", "limited by", "of the limit", "beside a peer"], rows


def _ms(stage: Stage) -> str:
    return f"{1e3 * stage.seconds:.0f} ms" + " (one try)" * stage.single_try


def peak_table(result: BenchResult) -> Table:
    """The machine's best rates."""
    peaks = result.peaks
    rows = [["copying, read and written", f"{peaks.copy / 1e9:.1f} GB/s"]]
    measured = (("convolution", peaks.convolution), ("matrix product", peaks.matrix))
    for name, rates in measured:
        rows += [[f"{name}, {p}", f"{rate / 1e9:.0f} GFLOP/s"] for p, rate in rates.items()]
    return ["this machine's best", "measured"], rows


def stage_table(result: BenchResult) -> Table:
    """Every stage beside its limit."""
    rows = []
    for s in result.stages:
        rows.append(
            [
                *(s.task or "-", s.name, f"{1e3 * s.seconds:.1f} ms", f"{1e3 * s.limit:.1f} ms"),
                *(f"{100 * s.share:.0f} %", s.by),
            ]
        )
    return ["task", "stage", "measured", "limit", "of the limit", "limited by"], rows


def hours_table(result: BenchResult) -> Table:
    """Time that each shipped study would take, by scale."""
    scales = list(next(iter(result.hours.values()), ()))
    rows = [
        [name, *(duration_text(hours[s]) for s in scales)] for name, hours in result.hours.items()
    ]
    return ["study", *scales], rows


def view_table(result: BenchResult) -> Table:
    """Every view: from a click to the picture, or until its layers are there; and its page."""
    rows = [
        [
            *(view.name, view.what),
            "–" if view.megabytes is None else f"{view.megabytes:.1f} MB",
            "no browser" if view.seconds is None else f"{1e3 * view.seconds:.0f} ms",
            f"{1e3 * view.wanted:.0f} ms",
        ]
        for view in result.views
    ]
    return ["view", "of", "page", "until it is seen", "wanted"], rows


def duration_text(hours: float) -> str:
    """A duration in the unit that suits it: minutes, hours or days."""
    if hours < 1:
        return f"{60 * hours:.1f} min"
    return f"{hours:.1f} h" if hours < 100 else f"{hours / 24:.0f} days"


def bench_remarks(result: BenchResult) -> list[str]:
    """The findings of the tables, in plain words."""
    return [
        *_loops_cost(result),
        "A limit is the least time that the bytes and operations of a stage could take at the "
        "machine's best. Small convolutions with few channels reach a part of that on any machine.",
        "Hours of studies are counted, not run: operations and steps times their costs measured "
        "here. Making virtual scans comes on top.",
        *_left_out(result),
    ]


def _loops_cost(result: BenchResult) -> Iterator[str]:
    """What the loop costs, where its steps were measured."""
    steps = {task: result.of(task)["step"] for task in result.tasks}
    shares = {task: step.share for task, step in steps.items() if not step.single_try}
    if not shares:
        return
    least, most = min(shares.values()), max(shares.values())
    slow = ", ".join(task for task, share in shares.items() if share < _TARGET)
    yield (
        "A bare forward, backward and optimiser step of the same network takes "
        f"{100 * least:.0f} to {100 * most:.0f} % of the time of a step of pretrain(), views, "
        f"history and all; wanted are {100 * _TARGET:.0f} %"
        + (f", which are not reached by {slow}." if slow else ".")
    )


def _left_out(result: BenchResult) -> Iterator[str]:
    """What was not measured, or not well, and why."""
    yield f"All of it took {result.took:.0f} of {result.allowed:.0f} s (--seconds)."
    if once := [task for task in result.tasks if result.of(task)["step"].single_try]:
        yield f"{', '.join(once)}: a step takes so long here that one was tried, without a warm-up."
    if lost := sorted({"32-true", "bf16-mixed"} - result.peaks.convolution.keys()):
        yield f"{', '.join(lost)} was dropped: this machine has no units for it."
    missing = [
        name for name, found in (("hours", result.hours), ("views", result.views)) if not found
    ]
    if missing:
        yield f"Left out: {' and '.join(missing)} (no time, or not installed)."

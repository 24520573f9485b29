"""``ssl3d bench``: the machine's best, every stage beside it, and what that means in hours."""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch
from tqdm.auto import tqdm

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.registry import make_cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.html import as_text
from ssl3d_lite.machine.device import Precision, choose_device, choose_precision, machine_name
from ssl3d_lite.outputs import claimed
from ssl3d_lite.settings import CheckedSettings, PositiveFloat

from .budget import Budget
from .hours import fit_cost_model, study_hours
from .peaks import measure_peaks
from .peer import finetuning_peer
from .report import write_bench_report
from .result import BENCH, BenchResult, bench_remarks, is_bench, page_table
from .stages import TIMED_TASKS, measure_stages
from .views import view_costs

_PACKAGES = ("ssl3d-lite", "torch", "monai", "numpy")
_RECIPE = "virtual-hippocampus"
_CASES = 20  # virtual scans: enough for a batch of every task and ten labelled ones
_PEAK, _PEER = 1 / 180, 1 / 30  # shares of the time
_LARGEST = 2e9  # bytes of a cohort that is put on the device whole


@dataclass(frozen=True)
class BenchSettings(CheckedSettings):
    """Measure how fast every stage is on this machine, beside the least time that it could take."""

    out: Path = Path("bench")
    """Folder for bench.json, report.html and the picture."""
    cohort: Path | None = None
    """A prepared cohort with label maps; without it, a few virtual hippocampus crops are made."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to measure."""
    precision: Precision = "auto"
    """Precision of training; auto takes bf16-mixed on GPUs that have it."""
    seconds: PositiveFloat = 180
    """Seconds that it may take altogether. More gives steadier medians; what is too slow to be
    measured in its share of them is tried once."""


def write_bench(settings: BenchSettings) -> str:
    """Measure everything, write it to ``settings.out``, and tell it in lines.

    Raises:
        InputError: as :func:`bench`; or the folder holds other things.
    """
    with claimed(settings.out, "bench", is_bench):
        result = bench(settings)
        write_bench_report(result, settings.out)
    remarks = "\n".join(f"- {line}" for line in bench_remarks(result))
    places = f"Report: {settings.out / 'report.html'}  All numbers: {settings.out / BENCH}"
    return "\n\n".join(["", as_text(page_table(result)), remarks, places])


def bench(settings: BenchSettings) -> BenchResult:
    """Measure everything, in the time that is given.

    Raises:
        InputError: the device is not there; the cohort is none, has no label maps, or is too large.
    """
    budget = Budget(settings.seconds)
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    with tempfile.TemporaryDirectory() as folder:
        place = settings.cohort or make_cohort(_RECIPE, Path(folder), cases=_CASES)
        cohort = check_measurable(Cohort.open(place))
        with tqdm(desc="peaks of the machine", total=len(TIMED_TASKS) + 6, unit="stage") as bar:

            def announce(what: str) -> None:
                bar.update()
                bar.set_description_str(what)

            result = _measure(cohort, device, precision, budget, announce)
            bar.update()
            return result


def _measure(
    cohort: Cohort, device: str, precision: str, budget: Budget, announce: Callable[[str], None]
) -> BenchResult:
    """All measurements; ``announce`` is called with the name of each before it begins."""
    resident = cohort.to(device)
    peaks = measure_peaks(device, precision, budget.part(_PEAK))
    stages = measure_stages(cohort, resident, peaks, precision, budget, announce)
    announce("a peer")
    peer = finetuning_peer(resident, list(cohort.split().train)[:2], device, budget.part(_PEER))
    announce("hours of studies")
    cost_model = fit_cost_model(stages)
    hours = study_hours(cost_model) if budget.left else {}
    announce("views")
    views = view_costs(budget)
    return BenchResult(
        machine=machine_name(device),
        versions={name: version(name) for name in _PACKAGES},
        threads=torch.get_num_threads(),
        precision=precision,
        cohort=f"{cohort.name}, {len(cohort)} scans of "
        f"{len(cohort.channels)} × {' × '.join(map(str, cohort.shape))}",
        peaks=peaks,
        stages=stages,
        cost_model=cost_model,
        hours=hours,
        views=views,
        peer=peer,
        took=budget.spent,
        allowed=budget.seconds,
    )


def check_measurable(cohort: Cohort) -> Cohort:
    """The cohort itself, if every stage can be measured on it.

    Raises:
        InputError: it has no label maps, too few cases, or is too large.
    """
    cohort.require_maps()
    split = cohort.split()
    if len(split.pretrain) < 8 or len(split.train) < 4:
        raise InputError(f"{cohort.folder} has too few cases to measure with; 20 are enough")
    if cohort.bytes > _LARGEST:
        raise InputError(
            f"{cohort.folder} takes {cohort.bytes / 1e9:.0f} GB, which is more than a measurement "
            "needs; prepare some 20 of its cases"
        )
    return cohort

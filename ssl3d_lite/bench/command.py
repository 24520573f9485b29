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
from ssl3d_lite.machine.device import choose_device, choose_precision, machine_name
from ssl3d_lite.settings import CheckedSettings, PositiveFloat

from .hours import fit_cost_model, study_hours
from .peaks import measure_peaks
from .result import BenchResult
from .stages import TIMED_TASKS, measure_stages
from .views import view_costs

_PACKAGES = ("ssl3d-lite", "torch", "monai", "numpy")
_RECIPE = "virtual-hippocampus"
_CASES = 20  # virtual scans: enough for a batch of every task and ten labelled ones
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
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    """Precision of training; auto takes bf16-mixed on GPUs that have it."""
    seconds: PositiveFloat = 10
    """Seconds of measurement for each proxy task. More gives steadier medians."""


def bench(settings: BenchSettings) -> BenchResult:
    """Measure everything; takes a minute or two.

    Raises:
        InputError: the device is not there; the cohort is none, has no label maps, or is too large.
    """
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    with tempfile.TemporaryDirectory() as folder:
        place = settings.cohort or make_cohort(_RECIPE, Path(folder), cases=_CASES)
        cohort = check_measurable(Cohort.open(place))
        with tqdm(desc="peaks of the machine", total=len(TIMED_TASKS) + 5, unit="stage") as bar:

            def announce(what: str) -> None:
                bar.update()
                bar.set_description_str(what)

            result = _measure(cohort, device, precision, settings.seconds, announce)
            bar.update()
            return result


def _measure(
    cohort: Cohort, device: str, precision: str, seconds: float, announce: Callable[[str], None]
) -> BenchResult:
    """All measurements; ``announce`` is called with the name of each before it begins."""
    peaks = measure_peaks(device)
    stages = measure_stages(cohort, cohort.to(device), peaks, precision, seconds, announce)
    announce("views")
    views = view_costs()
    announce("hours of studies")
    cost_model = fit_cost_model(stages)
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
        hours=study_hours(cost_model),
        views=views,
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

"""``ssl3d bench``: the machine's best, every stage beside it, and what that means in hours."""

import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from tqdm.auto import tqdm

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.registry import make_cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.device import choose_device, choose_precision, machine_name
from ssl3d_lite.machine.memory_format import layout_trial

from .ceilings import measure_peaks
from .found import BenchResult
from .hours import fit_cost_model, study_hours
from .stages import PUZZLES, learner_of, make_setup, measure_stages

PACKAGES = ("ssl3d-lite", "torch", "monai", "numpy")
RECIPE = "virtual-hippocampus"
CASES = 20  # virtual scans: enough for a batch of every task and ten labelled ones
LARGEST = 2e9  # bytes of a cohort that is put on the device whole


@dataclass(frozen=True)
class BenchSettings:
    """Measure how fast every stage is on this machine, beside the least time that it could take."""

    out: Path = Path("bench")
    """Folder for bench.json, report.html and the picture."""
    cohort: Path | None = None
    """A prepared cohort with label maps; without it, a few virtual hippocampus crops are made."""
    device: str = "auto"
    """auto, cpu or cuda."""
    precision: str = "auto"
    """auto (bf16-mixed on GPUs that have it), 32-true or bf16-mixed."""
    seconds: float = 10
    """Measured on each proxy task. More gives steadier medians."""

    def __post_init__(self):
        if self.seconds <= 0:
            raise InputError(f"seconds is {self.seconds}, but must be above 0")


def bench(settings: BenchSettings) -> BenchResult:
    """Measure everything, a minute or two.

    Raises:
        InputError: no such device; the cohort is none, has no label maps, or is too large.
    """
    device = choose_device(settings.device)
    precision = choose_precision(settings.precision, device)
    with tempfile.TemporaryDirectory() as folder:
        virtual = None if settings.cohort else make_cohort(RECIPE, Path(folder), cases=CASES)
        cohort = check_cohort(Cohort.open(settings.cohort or virtual))
        bar = tqdm(desc="the machine's best", total=len(PUZZLES) + 5, unit="stage")
        with bar:

            def tell(what: str) -> None:
                bar.update()
                bar.set_description_str(what)

            ceilings = measure_peaks(device)
            resident = cohort.to(device)
            stages = measure_stages(cohort, resident, ceilings, precision, settings.seconds, tell)
            tell("memory layouts")
            bout = make_setup("cpc", resident, cohort.split().pretrain, device, precision)
            layouts = layout_trial(learner_of(bout), (0, bout.views(0)[1]), device)
            tell("hours of studies")
            price = fit_cost_model(stages)
            found = BenchResult(
                machine=machine_name(device),
                versions={name: version(name) for name in PACKAGES},
                threads=torch.get_num_threads(),
                precision=precision,
                cohort=f"{cohort.name}, {len(cohort)} scans of "
                f"{len(cohort.channels)} × {' × '.join(map(str, cohort.shape))}",
                ceilings=ceilings,
                stages=stages,
                layouts=layouts,
                price=price,
                hours=study_hours(price),
            )
            bar.update()
            return found


def check_cohort(cohort: Cohort) -> Cohort:
    """Raise InputError unless every stage can be measured on it."""
    cohort.require_maps()
    split = cohort.split()
    if len(split.pretrain) < 8 or len(split.train) < 4:
        raise InputError(f"{cohort.folder} has too few cases to measure with; 20 are enough")
    if cohort.bytes > LARGEST:
        raise InputError(
            f"{cohort.folder} takes {cohort.bytes / 1e9:.0f} GB, which is more than a measurement "
            "needs; prepare some 20 of its cases"
        )
    return cohort

"""How many students fit on one GPU, and how long each assignment would take there.

    python tests/course/share.py               class and full scale
    python tests/course/share.py A4 full       one assignment at one scale

Counted, not run: no GPU is needed. Of each solved assignment only the cells that train are run,
and of each training a single step, whose memory (``ssl3d_lite.training.memory``) and operations are
counted. The study of A5 is counted by its plan (``ssl3d_lite.bench.hours``). Minutes are predicted
by the bench's cost model, fitted to the steps that were measured on an H200
(notebooks/results/gpu/growth.csv), and for a GPU that computes ten times slower. They hold training
alone.
"""

import csv
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch

from ssl3d_lite.bench.hours import (
    CostModel,
    Workload,
    _pretraining_step,
    fit_cost_model,
    study_work,
)
from ssl3d_lite.bench.stages import Stage
from ssl3d_lite.course.build import make_course_cohort
from ssl3d_lite.course.sources import assignment_files, is_test, read_assignment, solved
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.models.operations import operations
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.study import read_study, run_study
from ssl3d_lite.training import finetuning, loop, pretraining
from ssl3d_lite.training.memory import SPARE_MEMORY, step_bytes

sys.path.insert(0, str(Path(__file__).parents[1]))
from course.quick import points

ROOT = Path(__file__).parents[2]
MEASURED = ROOT / "notebooks/results/gpu/growth.csv"
CONTEXT = 0.6e9  # bytes that CUDA itself takes for each process: assumed, and not measured here
SLOWER = 10
SMALL = 16e9  # bytes of a small GPU
IN_TIME = 10  # minutes that an assignment may take
CASES = 200


@dataclass
class Share:
    """What one student's assignment asks of a GPU."""

    work: Workload
    step: int = 0
    """Bytes of the largest step."""
    cohort: int = 0
    """Bytes of the scans, which lie on the GPU as well."""

    @property
    def bytes(self) -> float:
        return CONTEXT + SPARE_MEMORY * self.step + self.cohort


def share_of(name: str, scale: str, cases: int = CASES) -> Share:
    """Count an assignment, in a folder with the course's scans."""
    notebook = solved(read_assignment(assignment_files()[name]).notebook)
    notebook.cells = [cell for cell in notebook.cells if _is_needed(cell)]
    found = Share(Workload(), cohort=cohort_bytes(Path("cohorts/hippocampus"), cases))
    failures: dict[Any, BaseException] = {}
    with ExitStack() as around:
        for module in (pretraining, finetuning):
            around.enter_context(patch.object(module, "fit", one_step(found)))
        around.enter_context(patch.dict(os.environ, SSL3D_SCALE=scale))
        points(notebook, failures=failures)
        if name == "A5":
            found.work = _count_study(notebook, scale)
    if failures:
        raise RuntimeError(f"{name} at {scale}: {failures}")
    return found


def _is_needed(cell: Any) -> bool:
    """Whether a training needs the cell: no test, and nothing that only shows."""
    shows = "show" in cell.metadata.get("tags", [])
    return cell.cell_type == "code" and not is_test(cell) and (not shows or _trains(cell.source))


def _trains(source: str) -> bool:
    return any(mark in source for mark in ("pretrain(", "task = ", "VERSIONS = "))


def _count_study(notebook: Any, scale: str) -> Workload:
    """The student's study: its largest steps are taken once, its work is counted by its plan."""
    text = next(c.source for c in notebook.cells if c.source.lstrip().startswith('"""MY_STUDY'))
    space: dict[str, Any] = {}
    exec(text, space)
    path = Path("my_study.toml")
    path.write_text(space["MY_STUDY"])
    study = read_study(path, scale)
    small = replace(study, arms=("cpc", "scratch"), seeds=1, protocols=("finetune",))
    with tempfile.TemporaryDirectory() as out:
        run_study(replace(small, labels=study.labels[:1]), out, cohort="cohorts/hippocampus")
    return study_work(study)


def one_step(found: Share) -> Any:
    """A stand-in for ``fit`` that counts a step, and trains for one."""

    def fit(learner: Any, batch_of: Any, spec: Any, own_hooks: Sequence[Any] = ()) -> Any:
        batch = batch_of(0, torch.device("cpu"))
        found.step = max(found.step, step_bytes(learner, batch, spec.settings) or 0)
        each = operations(lambda: learner(*batch)[0].backward())
        learner.zero_grad()
        found.work += Workload(spec.settings.steps, each * spec.settings.steps)
        short = replace(spec, settings=replace(spec.settings, steps=1))
        return loop.fit(learner, batch_of, short, own_hooks)

    return fit


def cohort_bytes(folder: Path, cases: int) -> int:
    """Bytes of the scans and labels when they lie on the GPU."""
    cohort = Cohort.open(folder)
    one = cohort.images([0]).nbytes + cohort.labels([0]).nbytes
    return one * min(cases, len(cohort))


def cost_model() -> CostModel:
    """The bench's model, fitted to the steps of growth.py: masked reconstruction of two volumes."""
    with open(MEASURED) as file:
        rows = list(csv.DictReader(file))
    steps = []
    for row in rows:
        edge = int(row["edge"])
        shape, own = EncoderSettings(filters=(8, 16, 32, 64)), (("crop_size", edge),)
        work = _pretraining_step("masked", shape, own, int(row["batch"]), (edge,) * 3)
        seconds = float(row["ms_a_step"]) / 1000
        steps.append(Stage("step", row["edge"], seconds, 0, work.operations, 0, ""))
    return fit_cost_model(steps)


def students(found: Share, model: CostModel) -> int | None:
    """How many fit at once on a small GPU: by memory, and so that each has its turn in time, should
    all others be served before. None where nothing is trained."""
    minutes = model.seconds(found.work) / 60
    return min(int(SMALL // found.bytes), int(IN_TIME // minutes)) if minutes else None


def report(names: Sequence[str], scales: Sequence[str]) -> None:
    fast = cost_model()
    slow = replace(fast, operation=SLOWER * fast.operation)
    print(f"H200: {fast.step * 1e3:.1f} ms a step and {1e-12 / fast.operation:.0f} TFLOP/s")
    print("| | scale | steps | GB | minutes, H200 | ten times slower | students at once |")
    print("|---|---|---|---|---|---|---|")
    for name in names:
        for scale in scales:
            row_of(name, scale, share_of(name, scale), fast, slow)


def row_of(name: str, scale: str, found: Share, fast: CostModel, slow: CostModel) -> None:
    if not found.work.steps:
        print(f"| {name} | {scale} | none | | | | |", flush=True)
        return
    minutes = (f"{model.seconds(found.work) / 60:.1f}" for model in (fast, slow))
    print(
        f"| {name} | {scale} | {found.work.steps:.0f} | {found.bytes / 1e9:.1f} | "
        f"{' | '.join(minutes)} | {students(found, slow)} |",
        flush=True,
    )


def main() -> None:
    names = sys.argv[1:2] or list(assignment_files())
    scales = sys.argv[2:3] or ["class", "full"]
    with tempfile.TemporaryDirectory() as folder:
        make_course_cohort(Path(folder) / "cohorts/hippocampus", CASES)
        os.chdir(folder)
        report(names, scales)


if __name__ == "__main__":
    main()

"""Where a study's jobs are done: here one after another, or side by side through submitit.

submitit runs each job in a process of its own, on this machine ("local") or as an array of a Slurm
cluster ("slurm"). A job's rows lie in the study's folder as soon as they are made, so a job that is
lost is given again and goes on where it was.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import torch
from filelock import FileLock
from tqdm.auto import tqdm

from ssl3d_lite.errors import InputError
from ssl3d_lite.interrupts import end_children, starting_workers
from ssl3d_lite.machine.collectives import on_rank_zero, rank
from ssl3d_lite.machine.progress import hidden_if
from ssl3d_lite.settings import CheckedSettings, Count, PositiveFloat, PositiveInt

from .data import DataFolders, StudyData
from .execution import run_job
from .experiment import Experiment
from .jobs import Job, Run
from .keys import run_key
from .ledger import Ledger
from .settings import Machine, Study

POLL = 2.0  # seconds between looks at what has ended
MONTH = 60 * 24 * 30  # minutes
OF_SLURM = ("hours", "partition", "gpus", "cpus", "memory_gb", "slurm")  # settings for it alone


@dataclass(frozen=True)
class Launch(CheckedSettings):
    """How jobs are spread."""

    launcher: Literal["here", "local", "slurm"] = "here"
    """here: one after another in this process; local: several processes of this machine; slurm: an
    array of jobs on a cluster."""
    jobs: PositiveInt = 2
    """Jobs at the same time."""
    tries: PositiveInt = 3
    """How often a job is given that is lost or fails."""
    hours: PositiveFloat = 4
    """Slurm: time limit of a job; one that reaches it is given again and goes on."""
    partition: str | None = None
    """Slurm: the partition."""
    gpus: Count = 1
    """Slurm: GPUs a job."""
    cpus: PositiveInt = 8
    """Slurm: CPU cores a job."""
    memory_gb: PositiveInt = 32
    """Slurm: memory a job."""
    slurm: tuple[str, ...] = ()
    """Slurm: more of sbatch's settings: account=abc qos=long."""

    def __post_init__(self):
        super().__post_init__()
        if wrong := [each for each in self.slurm if "=" not in each]:
            raise InputError(f"slurm setting {wrong[0]!r}: write name=value")
        unused = {"here": ("jobs", "tries", *OF_SLURM), "local": OF_SLURM, "slurm": ()}
        for each in fields(self):
            if each.name in unused[self.launcher] and getattr(self, each.name) != each.default:
                other = "slurm" if each.name in OF_SLURM else "local or slurm"
                raise InputError(f"{each.name} is for the launcher {other}, not {self.launcher}")


@dataclass(frozen=True)
class RemoteJob:
    """A job as another process gets it: the function it runs, with all it needs."""

    study: Study
    folders: DataFolders
    out: Path
    machine: Machine
    job: Job
    runs: tuple[Run, ...]
    threads: int | None = None

    def __call__(self) -> None:
        if self.threads:
            torch.set_num_threads(self.threads)
        data, ledger = StudyData(self.folders, self.machine.device, resident=True), Ledger(self.out)
        experiment = Experiment(self.study, data, self.out, self.machine)
        # whoever led the study may have been killed, and this job given a second time
        with FileLock(self.out / "logs" / f"{self.job.name}.lock"):
            done = ledger.done()
            left = [run for run in self.runs if run_key(experiment, run) not in done]
            for _ in run_job(experiment, self.job, left, ledger):
                pass

    def checkpoint(self):
        """Slurm takes the machine away, or time is up: submitit asks for the same again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def run_here(experiment: Experiment, todo: dict[Job, list[Run]], ledger: Ledger) -> None:
    """All jobs, one after another."""
    if not todo:
        return
    experiment = replace(experiment, data=experiment.data.on_device())
    total = sum(map(len, todo.values()))
    title = f"study {experiment.study.name}"
    with tqdm(total=total, desc=title, unit="run", **hidden_if(rank() > 0)) as bar:
        for job, runs in todo.items():
            bar.set_postfix_str(job.name)
            for run in run_job(experiment, job, runs, ledger):
                on_rank_zero(ledger.collect)
                bar.update()
                bar.set_postfix_str(f"{job.name} {run.protocol} {run.labels}")


def run_elsewhere(
    experiment: Experiment, todo: dict[Job, list[Run]], ledger: Ledger, how: Launch
) -> None:
    """All jobs through submitit, several at a time; what is lost or fails is given again.

    Raises:
        InputError: submitit is not there; or jobs failed as often as they were tried. What others
            have made is kept.
    """
    try:
        _run_through(
            make_executor(how, experiment.out / "logs", experiment.study.name),
            experiment,
            todo,
            ledger,
            how,
        )
    except KeyboardInterrupt:
        if how.launcher == "local":  # those of a cluster go on
            end_children()
        raise


def _run_through(
    executor: Any, experiment: Experiment, todo: dict[Job, list[Run]], ledger: Ledger, how: Launch
) -> None:
    threads = max(1, (os.cpu_count() or 1) // how.jobs) if how.launcher == "local" else None
    waiting, failed = list(todo), {}
    active: dict[Job, Any] = {}
    tries: Counter[Job] = Counter()
    total = sum(map(len, todo.values()))
    before = len(ledger.done())
    with tqdm(total=total, desc=f"study {experiment.study.name}", unit="run") as bar:
        while waiting or active:
            room = len(waiting) if how.launcher == "slurm" else how.jobs - len(active)
            given, waiting = waiting[:room], waiting[room:]
            remote_jobs = [remote_job(experiment, job, todo[job], threads) for job in given]
            active |= zip(given, submit(executor, remote_jobs), strict=True)
            tries.update(given)
            time.sleep(POLL)
            ledger.collect()
            bar.n = len(ledger.done()) - before
            bar.refresh()
            for job, why in ended(active).items():
                if why and tries[job] < how.tries:
                    waiting.append(job)
                elif why:
                    failed[job] = why
    ledger.collect()
    if failed:
        job, why = next(iter(failed.items()))
        raise InputError(
            f"{len(failed)} of {len(todo)} jobs failed {how.tries} times, such as {job.name}: "
            f"{why}; the same command tries them again"
        )


def remote_job(experiment: Experiment, job: Job, runs: list[Run], threads: int | None) -> RemoteJob:
    """A job with all that another process needs to do it."""
    return RemoteJob(
        experiment.study,
        experiment.data.folders,
        experiment.out,
        experiment.machine,
        job,
        tuple(runs),
        threads,
    )


def ended(active: dict[Job, Any]) -> dict[Job, str]:
    """Take the jobs that have ended out of ``active``: job → why it failed, or ""."""
    found = {}
    for job in [job for job, task in active.items() if task.done()]:
        task = active.pop(job)
        failure = task.exception()
        found[job] = f"{last_line(failure)} (log: {task.paths.stderr})" if failure else ""
    return found


def submit(executor: Any, remote_jobs: Sequence[Callable[[], None]]) -> list[Any]:
    """Give jobs to submitit: on Slurm as one array."""
    if not remote_jobs:
        return []
    with starting_workers(), executor.batch():
        return [executor.submit(job) for job in remote_jobs]


def make_executor(how: Launch, logs: Path, name: str) -> Any:
    try:
        import submitit
    except ImportError:
        raise InputError(
            f"--launcher {how.launcher} needs submitit: pip install -e .[cluster]"
        ) from None
    try:
        executor = submitit.AutoExecutor(folder=logs, cluster=how.launcher)
    except RuntimeError as reason:  # no Slurm here
        raise InputError(f"--launcher {how.launcher}: {reason}") from None
    executor.update_parameters(name=f"ssl3d-{name}")
    if how.launcher == "local":  # else submitit hides the GPUs, and ends a job after five minutes
        executor.update_parameters(gpus_per_node=torch.cuda.device_count(), timeout_min=MONTH)
    else:
        more = dict(each.split("=", 1) for each in how.slurm)
        more |= {"partition": how.partition} if how.partition else {}
        executor.update_parameters(
            timeout_min=round(60 * how.hours),
            gpus_per_node=how.gpus,
            cpus_per_task=how.cpus,
            mem_gb=how.memory_gb,
            slurm_array_parallelism=how.jobs,
            slurm_additional_parameters=more,
        )
    return executor


def last_line(failure: BaseException) -> str:
    """What a failed job says: the last line of its traceback."""
    lines = str(failure).strip().splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip(" -")), repr(failure))

"""A job, done: its encoder is made, every protocol scores it, and each run's rows are kept."""

import time
from collections.abc import Iterator, Sequence
from importlib.metadata import version

import torch

from ssl3d_lite.errors import DivergedError
from ssl3d_lite.machine.collectives import on_rank_zero
from ssl3d_lite.machine.device import machine_name
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.tasks import ProxyTask
from ssl3d_lite.training.checkpoint import remove_run

from .arms import PLACE
from .encoders import encoder_of
from .experiment import Experiment
from .jobs import Job, Run
from .keys import run_key
from .ledger import Ledger, ResultRow
from .protocols import load_protocol


def run_job(experiment: Experiment, job: Job, runs: Sequence[Run], ledger: Ledger) -> Iterator[Run]:
    """Make a job's encoder and score it by ``runs``; each is given back when its rows are safe.

    A training that fails, such as an exemplar that collapses, is a result too: its row says why.
    """
    encoder: Encoder | None = None
    tasks: list[ProxyTask] = []
    failure: DivergedError | None = None
    for run in runs:
        start, key = time.perf_counter(), run_key(experiment, run)
        try:
            if failure:
                raise failure
            protocol = load_protocol(run.protocol)
            if job.arm.source == PLACE:
                rows = protocol.floor(experiment, run) if protocol.floor else []
            else:
                if encoder is None:
                    encoder, tasks = encoder_of(experiment, job)
                rows = protocol.score(experiment, run, encoder, tasks) if protocol.score else []
        except DivergedError as reason:
            failure = reason if encoder is None else None  # the next run has the same encoder
            rows = [{"failure": str(reason)}]
        common = common_columns(experiment, run, key)
        common["seconds"] = round(time.perf_counter() - start, 1)
        on_rank_zero(save_rows, experiment, key, [common | row for row in rows], ledger)
        yield run


def save_rows(experiment: Experiment, key: str, rows: list[ResultRow], ledger: Ledger) -> None:
    """Put a run's rows where they are safe, and delete the weights that were scored."""
    ledger.put(key, rows)
    remove_run(experiment.out / "runs" / key)


def common_columns(experiment: Experiment, run: Run, key: str) -> ResultRow:
    """The columns that all rows have, in their order."""
    job, cohort = run.job, experiment.data.benchmark(run.job.arm)
    return {
        "run": key,
        "study": experiment.study.name,
        "cohort": cohort.name,
        "fingerprint": cohort.fingerprint,
        "arm": job.arm.name,
        "protocol": run.protocol,
        "task": "",
        "labels": run.labels,
        "scans": None,
        "seed": job.seed,
        "fold": job.fold,
        "steps": None,
        "measure": "",
        "score": None,
        "chance": None,
        "failure": "",
        "validation": None,
        "best_step": None,
        "seconds": None,
        "machine": machine_name(experiment.machine.device),
        "version": f"ssl3d_lite {version('ssl3d-lite')}, torch {torch.__version__}",
    }

"""A study from its settings to its report."""

import shutil
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import read_json, write_json
from ssl3d_lite.machine.collectives import on_rank_zero, rank
from ssl3d_lite.machine.device import choose_device, choose_precision
from ssl3d_lite.machine.launch import launch as share
from ssl3d_lite.old_names import renamed

from .data import StudyData, find_data
from .experiment import Experiment, Machine, dry_run, plan
from .launch import Launch, run_elsewhere, run_here
from .ledger import Ledger, ResultRow
from .results import Results
from .settings import Study, build_settings

STUDY = "study.json"  # settings and facts of a finished study, beside its results.csv


def run_study(
    study: Study,
    out: Path,
    cohort: Path | None = None,
    corpus: Path | None = None,
    machine: Machine | None = None,
    launch: Launch | None = None,
) -> Results:
    """Run what of a study has not been run yet, and return all its rows.

    Args:
        out: folder for cohorts, encoders and ``results.csv``. Killed at any time, the same call
            goes on; rows of other settings stay in the file and are not counted.
        cohort: the benchmark; made by the study's recipe if not given.
        corpus: what a study with a corpus pretrains on, likewise.

    Raises:
        InputError: a cohort cannot carry the study, or a test case would be trained on; another
            process runs a study in ``out``; jobs failed elsewhere.
    """
    out, machine, launch = Path(out), machine or Machine(), launch or Launch()
    if launch.launcher != "here" and machine.devices > 1:
        raise InputError("the launcher spreads jobs over devices already: leave devices at 1")
    ledger = Ledger(out)
    machine = settled(machine, launch)
    with ledger.held() if rank() == 0 else nullcontext():
        folders = on_rank_zero(find_data, study, out, cohort, corpus)
        experiment = Experiment(study, StudyData(folders, machine.device), out, machine)
        on_rank_zero(dry_run, experiment)
        done = on_rank_zero(_begin, ledger)
        todo = {
            job: left
            for job, runs in plan(study).items()
            if (left := [run for run in runs if experiment.key(run) not in done])
        }
        if launch.launcher == "here":
            run_here(experiment, todo, ledger)
        else:
            run_elsewhere(experiment, todo, ledger, launch)
    results = results_of(experiment)
    on_rank_zero(write_json, out / STUDY, {"study": asdict(study), "facts": results.facts})
    return results


def load_results(folder: Path) -> Results:
    """The results that a finished study left in ``folder``; cohort and encoders need not be there.

    Raises:
        InputError: no finished study there.
    """
    folder = Path(folder)
    record = read_json(folder / STUDY, "finished study")
    study = build_settings(Study, renamed(record["study"]), f"{folder / STUDY}")
    rows = in_order(Ledger(folder).rows(), record["facts"]["runs"])
    return Results(study, rows, record["facts"])


def settled(machine: Machine, launch: Launch) -> Machine:
    """The machine with its precision chosen: on it scores depend, so all processes have the same.

    Processes that share batches are started here.
    """
    if launch.launcher == "here":
        share(machine.devices, machine.device, machine.precision)
    elif launch.launcher == "slurm" and machine.precision == "auto":
        raise InputError(
            "this machine cannot tell what the cluster's GPUs do best: give --precision "
            "bf16-mixed (NVIDIA since Ampere) or 32-true"
        )
    if machine.precision != "auto":
        return machine
    precision = choose_precision("auto", choose_device(machine.device))
    return replace(machine, precision=precision)


def _begin(ledger: Ledger) -> set[str]:
    """What was run before, wherever its rows were left."""
    ledger.collect()
    done = ledger.done()
    for key in done:  # weights that a killed process had no time to delete
        shutil.rmtree(ledger.out / "runs" / key, ignore_errors=True)
    return done


def results_of(experiment: Experiment) -> Results:
    """The study's rows, in the order of its plan: those of other settings are left out."""
    runs = [experiment.key(run) for runs in plan(experiment.study).values() for run in runs]
    rows = Ledger(experiment.out).rows()
    own = in_order(rows, runs)
    facts = facts_of(experiment) | {"other rows": len(rows) - len(own), "runs": runs}
    return Results(experiment.study, own, facts)


def in_order(rows: list[ResultRow], runs: list[str]) -> list[ResultRow]:
    """The rows of these runs, as the runs are ordered."""
    place = {run: n for n, run in enumerate(runs)}
    return sorted((row for row in rows if row["run"] in place), key=lambda row: place[row["run"]])


def facts_of(experiment: Experiment) -> dict[str, Any]:
    """What a reader should know of the data."""
    cohort = Cohort.open(experiment.data.folders.cohort)
    split = cohort.split(experiment.study.folds[0])
    sides = {
        side: len(cohort.scans(getattr(split, side)))
        for side in ("train", "validation", "test", "pretrain")
    }
    corpus = experiment.data.folders.corpus and Cohort.open(experiment.data.folders.corpus)
    about = {name: getattr(cohort, name) for name in ("name", "licence", "citation", "description")}
    return {"cohort": about["name"], **about, **sides, "corpus": corpus and corpus.name}

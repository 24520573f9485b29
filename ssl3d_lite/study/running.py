"""A study, run: what is missing is done, and all rows are gathered."""

from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import read_json, write_json
from ssl3d_lite.machine.collectives import on_rank_zero, rank, say
from ssl3d_lite.machine.device import choose_device, choose_precision
from ssl3d_lite.machine.launch import launch as share
from ssl3d_lite.outputs import claimed
from ssl3d_lite.training.checkpoint import remove_run

from .data import StudyData, find_data
from .encoders import dry_run
from .experiment import Experiment
from .foresight import foresight
from .jobs import Job, Run, plan
from .keys import run_key
from .launch import Launch, run_elsewhere, run_here
from .ledger import RESULTS, STUDY, Ledger
from .rehearsal import untestable
from .results import Results, in_order
from .settings import Machine, Study

_PARTS = (  # folders that a study makes
    *("cohort", "corpus", "slices", "corpus-slices"),
    *("encoders", "runs", "rows", "examples", "films", "logs"),
)


def run_study(
    study: Study,
    out: str | Path,
    cohort: str | Path | None = None,
    corpus: str | Path | None = None,
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
    return results_of(run_experiment(study, out, cohort, corpus, machine, launch))


def run_experiment(
    study: Study,
    out: str | Path,
    cohort: str | Path | None = None,
    corpus: str | Path | None = None,
    machine: Machine | None = None,
    launch: Launch | None = None,
) -> Experiment:
    """As :func:`run_study`, but return the experiment, with its cohorts and encoders."""
    out, machine, launch = Path(out), machine or Machine(), launch or Launch()
    if launch.launcher != "here" and machine.devices > 1:
        raise InputError("the launcher spreads jobs over devices already: leave devices at 1")
    ledger = Ledger(out)
    machine = settled(machine, launch)
    given = (Path(folder) if folder else None for folder in (cohort, corpus))
    with _claimed(out) if rank() == 0 else nullcontext():
        folders = on_rank_zero(find_data, study, out, *given)
        experiment = Experiment(study, StudyData(folders, machine.device), out, machine)
        on_rank_zero(dry_run, experiment)
        todo = _missing(experiment, on_rank_zero(_begin, ledger))
        if todo:
            on_rank_zero(_say_changes, experiment, ledger)
            on_rank_zero(_say_what_it_could_find, experiment)
        if launch.launcher == "here":
            run_here(experiment, todo, ledger)
        else:
            run_elsewhere(experiment, todo, ledger, launch)
    if not study.is_search:  # it reads no verdict
        on_rank_zero(ledger.note_look, study.seeds)
    facts = results_of(experiment).facts
    on_rank_zero(write_json, out / STUDY, {"study": asdict(study), "facts": facts})
    return experiment


def _claimed(out: Path) -> AbstractContextManager[Any]:
    """Take a study's folder; its jobs write there too, on other machines perhaps."""
    return claimed(out, "study", _was_study, alone=False)


def _was_study(folder: Path) -> bool:
    """Whether a folder without a mark holds a study, finished or not, or what one begins with."""
    if (folder / STUDY).exists():
        with suppress(InputError, TypeError):
            return "study" in read_json(folder / STUDY, "study")
    if (folder / RESULTS).exists():
        return Ledger(folder).is_one()
    names = {path.name for path in folder.iterdir()}
    return ".lock" in names and names <= {*_PARTS, ".lock"}


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
    bf16 = choose_precision("auto", choose_device(machine.device)) == "bf16-mixed"
    return replace(machine, precision="bf16-mixed" if bf16 else "32-true")


def _begin(ledger: Ledger) -> set[str]:
    """What was run before, wherever its rows were left."""
    ledger.collect()
    done = ledger.done()
    for key in done:  # weights that a killed process had no time to delete
        remove_run(ledger.out / "runs" / key)
    return done


def _missing(experiment: Experiment, done: set[str]) -> dict[Job, list[Run]]:
    """The runs that are to be done. Two arms may be one and the same, as with a norm that is the
    default one: the first of them is run, and a line says so."""
    first: dict[str, str] = {}  # key → the arm that is run
    same: dict[str, str] = {}
    todo: dict[Job, list[Run]] = {}
    for job, runs in plan(experiment.study).items():
        for run in runs:
            key, arm = run_key(experiment, run), job.arm.name
            if first.setdefault(key, arm) != arm:
                same[arm] = first[key]
            elif key not in done:
                todo.setdefault(job, []).append(run)
    for arm, other in same.items():
        if arm not in first.values():
            say(f"{arm} is the same as {other} here: it is not run twice, and has no scores")
    return todo


def _say_changes(experiment: Experiment, ledger: Ledger) -> None:
    """Say why runs are done again, if their cohort is another than it was."""
    arms = experiment.study.parsed_arms()
    now = {(c.name, c.fingerprint) for arm in arms for c in [experiment.data.benchmark(arm)]}
    names = {name for name, _ in now}
    before = {(row["cohort"], row.get("fingerprint")) for row in ledger.rows()}
    changed = {name for name, then in before - now if then and name in names}
    for name in sorted(changed):
        print(f"{name} changed since it was studied in {ledger.out}: its runs are done again")


def _say_what_it_could_find(experiment: Experiment) -> None:
    """Say what gain the study could find, before it is run."""
    cohort = Cohort.open(experiment.data.folders.cohort)
    study = experiment.study
    tested = {
        cohort.cases[case].patient
        for fold in study.folds
        for case in getattr(cohort.split(fold), study.scored)
    }
    print(foresight(study, cohort.name, len(tested), experiment.out))
    if warning := untestable(study):
        print(warning)


def results_of(experiment: Experiment) -> Results:
    """The study's rows, in the order of its plan: those of other settings are left out."""
    runs = [run_key(experiment, run) for runs in plan(experiment.study).values() for run in runs]
    ledger = Ledger(experiment.out)
    rows = ledger.rows()
    own = in_order(rows, runs)
    facts = facts_of(experiment) | {"other rows": len(rows) - len(own), "runs": runs}
    facts |= {"looks": ledger.looks(), "first plan": ledger.first_plan(experiment.study)}
    return Results(experiment.study, own, facts, experiment.out)


def facts_of(experiment: Experiment) -> dict[str, Any]:
    """The data in short: names, licences, and numbers of scans on each side of the split."""
    cohort = Cohort.open(experiment.data.folders.cohort)
    split = cohort.split(experiment.study.folds[0])
    sides = {
        side: len(cohort.scans(getattr(split, side)))
        for side in ("train", "validation", "test", "pretrain")
    }
    corpus = experiment.data.folders.corpus and Cohort.open(experiment.data.folders.corpus)
    about = {name: getattr(cohort, name) for name in ("name", "licence", "citation", "description")}
    return {"cohort": about["name"], **about, **sides, "corpus": corpus and corpus.name}

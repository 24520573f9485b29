"""``ssl3d study`` and ``ssl3d tour``: their settings, and the function behind both.

The tour is a study like any other, ``shipped/tour.toml``: the whole path once, from scans to an
honest comparison, in minutes on a laptop.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.collectives import on_rank_zero
from ssl3d_lite.settings import FLAT, CheckedSettings, Count, Len, Positional, PositiveInt
from ssl3d_lite.training.presets import preset

from .examples import find_examples
from .illustrations import example_section, scan_sections, task_sections
from .launch import Launch
from .report import write_report, write_table
from .results import Results
from .running import results_of, run_experiment
from .settings import Machine, Scale, read_study

Given = Cohort | str | Path | Mapping[str, Any] | None


def tour_arms(task: str, norm: str | None) -> tuple[str, ...]:
    """A task beside its controls: with random encoders of its own norm, of another, and of none."""
    other = "instance" if norm == "batch" else "batch"
    return (task, "scratch", "random", f"random@{other}", "random@none", "oracle")


def study(
    name: str | Path,
    scale: str = "class",
    out: str | Path | None = None,
    *,
    cohort: Given = None,
    corpus: Given = None,
    machine: Machine | None = None,
    launch: Launch | None = None,
    **changes: Any,
) -> Results:
    """Run a study, or what of it is missing, and write ``table.md`` and ``report.html``.

    Args:
        name: name of a shipped study, or a TOML file.
        scale: class (about ten minutes), smoke (under a minute) or full (the paper's).
        out: folder for results, table, report, encoders and, if none is given, the cohort. Default:
            ``studies/NAME-SCALE``. Killed at any time, the same call goes on there.
        cohort: prepared cohort to fine-tune and test on; by default a virtual one is made, of which
            ``{"cases": 50}`` changes a setting.
        corpus: prepared cohort to pretrain on, in a study that has one; by default likewise.
        machine: device, precision, and number of devices that share each batch.
        launch: whether jobs run here, in other processes, or on a Slurm cluster.
        changes: settings that count instead of the file's, such as ``seeds=5`` or ``arms=(…)``.

    Returns:
        The results; ``results.folder`` is where they lie.

    Raises:
        InputError: no such study, scale or setting; the cohort cannot carry the study.

    Example::

        results = ssl3d.study("hippocampus", seeds=2, arms=("cpc", "scratch", "random"))
        print((results.folder / "table.md").read_text(encoding="utf-8"))
    """
    made = {"cohort": cohort, "corpus": corpus}
    changes |= {each: table for each, table in made.items() if isinstance(table, Mapping)}
    wanted = read_study(name, scale, **changes)
    searched = f"-{wanted.scored}" if wanted.is_search else ""
    out = Path(out) if out else Path("studies") / f"{wanted.name}-{wanted.scale}{searched}"
    experiment = run_experiment(wanted, out, _folder(cohort), _folder(corpus), machine, launch)
    results = results_of(experiment)
    on_rank_zero(write_table, results, out / "table.md")
    on_rank_zero(_write_whole_report, experiment, results)
    return results


def _folder(given: Given) -> Path | None:
    if given is None or isinstance(given, Mapping):
        return None
    return given.folder if isinstance(given, Cohort) else Path(given)


def _write_whole_report(experiment: Any, results: Results) -> None:
    found = find_examples(experiment)
    write_report(
        results,
        experiment.out / "report.html",
        example_section(experiment, results, found),
        list(scan_sections(experiment, found)),
        list(task_sections(experiment, results)),
    )


# ---- ssl3d study -------------------------------------------------------------------------------


@dataclass(frozen=True)
class StudySettings(CheckedSettings):
    """Compare ways to pretrain: every arm with the same labels, seeds and steps, and controls."""

    study: Positional[str]
    """Name of a study that is shipped, or a TOML file."""
    scale: Scale = "class"
    """class: about ten minutes; smoke: under a minute, to see that all runs; full: the paper's."""
    out: Path | None = None
    """Folder for results.csv, table.md, report.html, encoders and, if none is given, the cohort.
    Default: studies/NAME-SCALE. The same command goes on there."""
    cohort: Path | None = None
    """Prepared cohort to fine-tune and test on; by default a virtual one is made."""
    raw: Path | None = None
    """Instead of --cohort, a folder of your own raw scans: it is prepared first, in one frame."""
    maps: Path | None = None
    """The label maps of --raw, which have their scans' names."""
    corpus: Path | None = None
    """Prepared cohort to pretrain on, in a study that has one; by default likewise."""
    arms: tuple[str, ...] = ()
    """Other arms than the file's: cpc 2d-cpc scratch random@group."""
    labels: tuple[str, ...] = ()
    """Other numbers of labels than the file's: 2 5 10%."""
    protocols: tuple[str, ...] = ()
    """Other protocols than the file's: finetune frozen probe probe+place neighbours convergence."""
    scored: Literal["", "test", "validation"] = ""
    """validation, while you search for settings: test cases are not touched, there are no verdicts,
    and the folder is studies/NAME-SCALE-validation."""
    seeds: Count = 0
    """Another number of seeds than the file's; a verdict needs six. More seeds later cost only
    those that are new, and are another look, which must show more."""
    machine: Annotated[Machine, FLAT] = field(default_factory=Machine)
    launch: Annotated[Launch, FLAT] = field(default_factory=Launch)

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.raw) != bool(self.maps):
            raise InputError("a study of raw scans needs both --raw and --maps, their label maps")
        if self.raw and self.cohort:
            raise InputError("--cohort and --raw both say what is fine-tuned on: give one of them")


def study_from(settings: StudySettings) -> Results:
    """Run the study that the command line asks for."""
    changes = {
        name: given
        for name in ("arms", "labels", "protocols", "scored", "seeds")
        if (given := getattr(settings, name))
    }
    return study(
        settings.study,
        settings.scale,
        settings.out,
        cohort=settings.cohort or raw_scans(settings),
        corpus=settings.corpus,
        machine=settings.machine,
        launch=settings.launch,
        **changes,
    )


def raw_scans(settings: StudySettings) -> Mapping[str, Any] | None:
    """How the benchmark is made of the user's own scans, if they are given."""
    if not settings.raw:
        return None
    given = {"raw": settings.raw, "labels": settings.maps}
    return {"recipe": "folder", "one_frame": True} | {n: str(path) for n, path in given.items()}


# ---- ssl3d tour --------------------------------------------------------------------------------


@dataclass(frozen=True)
class TourSettings(CheckedSettings):
    """Pretrain, probe, fine-tune, and report what it gained."""

    cohort: Path | None = None
    """Prepared cohort; without it, virtual hippocampus volumes are made (no download)."""
    task: str = "cpc"
    """Proxy task, or several by turns: cpc+masked."""
    out: Path = Path("tour")
    """Folder for cohort, encoders, results.csv, table.md and report.html. The same call continues
    there."""
    seeds: PositiveInt = 2
    """Paired seeds: each sets the encoder's start, its puzzles, and which cases have labels."""
    cases: PositiveInt | None = None
    """Virtual volumes to make, in place of a cohort. Default: 200."""
    pretrain_steps: PositiveInt | None = None
    """Default: those of the task's quick preset."""
    finetune_steps: PositiveInt = 60
    """Steps of fine-tuning with few labels."""
    oracle_steps: PositiveInt = 100
    """Steps of training with all labels, for the best score to be had."""
    probe_labels: Annotated[tuple[PositiveInt, ...], Len(1)] = (2, 5, 20)
    """Labelled volumes that the probe is fitted on."""
    probe_draws: PositiveInt = 3
    """Different draws of that many volumes."""
    finetune_labels: PositiveInt = 2
    """Labelled volumes to fine-tune with."""
    filters: Annotated[tuple[PositiveInt, ...], Len(1)] = (16, 32, 64)
    """Channels of the U-Net's levels."""
    batch: Count = 0
    """Scans a step of fine-tuning; 0 for 2, and of slices 32. Pretraining has its preset's."""
    machine: Annotated[Machine, FLAT] = field(default_factory=Machine)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cohort and self.cases:
            raise InputError("cases are those of virtual volumes; a cohort has its own: give one")


def tour(settings: TourSettings) -> Results:
    """Run the shipped study ``tour`` with what the command line changes of it."""
    quick = preset("quick", settings.task)
    finetuning = {"steps": settings.finetune_steps}
    return study(
        "tour",
        "class",
        settings.out,
        cohort=settings.cohort or {"cases": settings.cases or 200},
        machine=settings.machine,
        title=f"What {settings.task} is worth",
        arms=tour_arms(settings.task, quick.shape.get("norm")),
        seeds=settings.seeds,
        labels=tuple(map(str, settings.probe_labels)),
        finetune_labels=(str(settings.finetune_labels),),
        pretrain={"steps": settings.pretrain_steps or quick.training["steps"]},
        finetune=finetuning | ({"batch": settings.batch} if settings.batch else {}),
        oracle_steps=settings.oracle_steps,
        probe={"draws": settings.probe_draws},
        encoder=quick.shape | {"filters": settings.filters},
    )

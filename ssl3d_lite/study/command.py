"""``ssl3d study``: its settings, and what they change of a study's file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

from .experiment import Machine
from .launch import Launch
from .results import Results
from .running import run_study
from .settings import ProtocolName, Scale, read_study

_FLAT = tyro.conf.arg(name="")


@dataclass(frozen=True)
class StudySettings:
    """Compare ways to pretrain: every arm with the same labels, seeds and steps, and controls."""

    study: Positional[str]
    """Name of a study that is shipped, or a TOML file."""
    scale: Scale = "smoke"
    """smoke: under a minute, to see that all runs; class: some minutes; full: the paper's."""
    out: Path | None = None
    """Folder for results.csv, table.md, report.html, encoders and, if none is given, the cohort.
    Default: studies/NAME-SCALE. The same command goes on there."""
    cohort: Path | None = None
    """Prepared cohort to fine-tune and test on; by default a virtual one is made."""
    corpus: Path | None = None
    """Prepared cohort to pretrain on, in a study that has one; by default likewise."""
    arms: tuple[str, ...] = ()
    """Other arms than the file's: cpc 2d-cpc scratch random@group."""
    labels: tuple[str, ...] = ()
    """Other numbers of labels than the file's: 2 5 10%."""
    protocols: tuple[ProtocolName, ...] = ()
    """Other protocols than the file's."""
    seeds: int = 0
    """Another number of seeds than the file's. More seeds later cost only those that are new."""
    machine: Annotated[Machine, _FLAT] = field(default_factory=Machine)
    launch: Annotated[Launch, _FLAT] = field(default_factory=Launch)


def study(settings: StudySettings) -> tuple[Results, Path]:
    """Run a study; returns its results and the folder they lie in."""
    changes = {
        name: given
        for name in ("arms", "labels", "protocols", "seeds")
        if (given := getattr(settings, name))
    }
    wanted = read_study(settings.study, settings.scale, **changes)
    out = settings.out or Path("studies") / f"{wanted.name}-{wanted.scale}"
    results = run_study(
        wanted, out, settings.cohort, settings.corpus, settings.machine, settings.launch
    )
    return results, out

"""Trainings as film strips, for a report: encoders change, and networks are deleted when scored.

The first arm that is no control leaves frames of its pretraining; so do its fine-tuning, and that
of its twin from scratch. All with one seed. Frames lie beside the rows, in ``films``.
"""

from collections.abc import Iterator
from pathlib import Path

from torch import nn

from ssl3d_lite.html import escape, picture
from ssl3d_lite.machine.collectives import rank
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.show.figures.film import film_strip
from ssl3d_lite.show.film import Film, Reel
from ssl3d_lite.tasks import ProxyTask

from .arms import Arm
from .examples import example_runs
from .experiment import Experiment
from .jobs import Job, Run
from .keys import encoder_folder, run_key

_HOW = (
    "Features are three principal components of one plane, as red, green and blue; one colour is "
    "one kind of feature within the row. Steps double from frame to frame"
)


def pretraining_film(
    experiment: Experiment, job: Job, encoder: Encoder, tasks: list[ProxyTask]
) -> Film | None:
    """The film of a job's pretraining, on a scan that is not trained on where there is one; None
    for a job that is not filmed."""
    if job != _filmed(experiment):
        return None
    scans = experiment.data.corpus(job.arm, job.fold)
    (volume,) = scans.cohort.images([(scans.unseen or scans.seen)[0]])
    task = next((each for each in tasks if each.name == "masked"), tasks[0])
    return Film(encoder, volume, task=task, file=_own(_pretraining_path(experiment, job)))


def finetuning_film(experiment: Experiment, run: Run, network: nn.Module) -> Film | None:
    """The film of a run of fine-tuning, on the first test scan; None for a run that is not filmed.
    By what is seen there nothing is chosen."""
    cohort = experiment.data.benchmark(run.job.arm)
    if cohort.ordinal or run not in example_runs(experiment.study):
        return None
    scans = cohort.scans(experiment.split(run.job).test)
    members = next(iter(scans.values()))
    case = members[len(members) // 2]  # the middle slice, if it is slices
    encoder = network.encoder
    assert isinstance(encoder, nn.Module)
    return Film(
        encoder,
        cohort.images([case])[0],
        network=network,
        truth=cohort.labels([case])[0],
        label_names=cohort.label_names,
        file=_own(_finetuning_path(experiment, run)),
    )


def pretraining_strip(experiment: Experiment, arm: Arm, task: str) -> list[str]:
    """The strip of an arm's pretraining, below the first of its tasks; [] if there is none."""
    job = _filmed(experiment)
    if job is None or job.arm != arm or arm.tasks[0] != task:
        return []
    path = _pretraining_path(experiment, job)
    if not path.exists():
        return []
    told = f"Pretraining {job.arm.name} (seed {job.seed}): the loss, and one scan. {_HOW}."
    return [_strip(path, told)]


def finetuning_strips(experiment: Experiment) -> Iterator[str]:
    """The strips of fine-tuning, the twin from scratch first."""
    for run in reversed(example_runs(experiment.study)):
        if (path := _finetuning_path(experiment, run)).exists():
            some = f"{run.labels} label{'s' * (run.labels != '1')}"
            told = f"Fine-tuning {run.job.arm.name} with {some} (seed {run.job.seed}): a test scan."
            yield _strip(path, f"{told} {_HOW}.")


def _strip(path: Path, told: str) -> str:
    return picture(film_strip(Reel.load(path)), escape(told))


def _filmed(experiment: Experiment) -> Job | None:
    """The job whose pretraining is filmed."""
    arms = (arm for arm in experiment.study.parsed_arms() if not arm.is_control)
    first = next(arms, None)
    return None if first is None else Job(first, experiment.study.folds[0], 0)


def _pretraining_path(experiment: Experiment, job: Job) -> Path:
    return experiment.out / "films" / f"{encoder_folder(experiment, job).name}.npz"


def _finetuning_path(experiment: Experiment, run: Run) -> Path:
    return experiment.out / "films" / f"{run_key(experiment, run)}.npz"


def _own(path: Path) -> Path | None:
    """The file, for the one process that writes it."""
    return path if rank() == 0 else None

"""Sections of a report that need scans and encoders, not only rows: puzzles, and an example."""

from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from ssl3d_lite.html import escape, heading, picture
from ssl3d_lite.show.figures.curves import learning_curves
from ssl3d_lite.show.figures.errors import compared, strip
from ssl3d_lite.show.figures.puzzle import puzzle
from ssl3d_lite.tasks import ProxyBatch, ProxyTask

from .arms import Arm
from .encoders import make_tasks
from .examples import Examples, find_examples
from .experiment import Experiment
from .films import finetuning_strips, pretraining_strip
from .jobs import Job
from .keys import encoder_folder
from .results import Results

STRIP = 8  # test scans side by side


def task_sections(experiment: Experiment, results: Results) -> Iterator[str]:
    """For each proxy task: one puzzle as the network gets it, and how well it was learnt."""
    for name, (arm, task) in tasks_shown(experiment).items():
        shown = (
            f"One puzzle of {name}: the scan with the views outlined, and the views as the network "
            f"gets them, drawn from the same batch. {task.note}"
        )
        volumes, batch, spacing = example_puzzle(experiment, arm, task)
        yield heading(f"What {name} shows the network")
        yield picture(puzzle(volumes, batch, spacing=spacing), escape(shown))
        histories, held_out = learning(experiment, results, arm, task.name)
        if histories:
            learnt = (
                "Loss and score, the mean of every ten steps. A dot is the score on cases on which "
                "nothing was trained."
            )
            yield heading(f"Pretraining on {name}")
            yield picture(learning_curves(histories, held_out), learnt)
            yield from pretraining_strip(experiment, arm, task.name)


def tasks_shown(experiment: Experiment) -> dict[str, tuple[Arm, ProxyTask]]:
    """Every proxy task of the study, with the first arm that has it, controls left out."""
    found: dict[str, tuple[Arm, ProxyTask]] = {}
    for arm in experiment.study.parsed_arms():
        if arm.is_control:
            continue
        for task in make_tasks(experiment, Job(arm, experiment.study.folds[0], 0)):
            name = f"{task.name} on slices" if arm.flat else task.name
            found.setdefault(name, (arm, task))
    return found


def example_puzzle(
    experiment: Experiment, arm: Arm, task: ProxyTask
) -> tuple[Tensor, ProxyBatch, Sequence[float] | None]:
    """Volumes that no training saw, a batch made from them, and the edges of a voxel in mm."""
    scans = experiment.data.corpus(arm, experiment.study.folds[0])
    volumes = scans.cohort.images((scans.unseen or scans.seen)[:2]).cpu()
    params = task.sample_params(volumes, torch.Generator().manual_seed(0))
    spacing = scans.cohort.spacing if scans.cohort.unit == "mm" else None
    return volumes, task.make_views(volumes, params), spacing


def learning(
    experiment: Experiment, results: Results, arm: Arm, task: str
) -> tuple[dict[str, list[Any]], dict[str, dict[str, float]]]:
    """The histories of an arm's pretraining on a task, and the scores on held-out cases, by run.

    Runs without a history or a score are left out: they failed, or their encoder was moved away.
    """
    histories: dict[str, list[Any]] = {}
    held_out: dict[str, dict[str, float]] = {}
    for row in results.of("proxy", arm.name):
        job = Job(arm, row["fold"], row["seed"])
        path = encoder_folder(experiment, job) / "history.csv"
        if row["task"] != task or not path.exists():
            continue
        history = pd.read_csv(path)
        columns = ["step", "loss", row["measure"], "chance"]
        history = history.loc[history["task"] == task, columns]
        fold = f", fold {job.fold}" if len(experiment.study.folds) > 1 else ""
        histories[f"seed {job.seed}{fold}"] = history.to_dict("records")
        held_out[f"seed {job.seed}{fold}"] = {row["measure"]: row["score"]}
    return histories, held_out


def example_section(experiment: Experiment, results: Results) -> list[str]:
    """One test case as an arm and its twin from scratch segment it, and their mistakes in many."""
    found = find_examples(experiment)
    if found is None:
        return []
    example, (*_, arm) = found[found.middle], found.maps
    labelled = results.labelled(experiment.study.labels_of("finetune")[0])
    caption = (
        f"Test case {example.case}: the scan, its label, and the predictions after fine-tuning "
        f"with {labelled} (seed 0). It is in the middle of the scores of {arm}, not the best."
    )
    told = {
        f"{each}\nDice {example.dice[each]:.2f}": example.predictions[each] for each in found.maps
    }
    names = found.cohort.label_names
    drawn = compared(example.image, example.truth, told, names, example.spacing)
    strips = finetuning_strips(experiment)
    return [picture(drawn, escape(caption)), *strip_section(found), *strips]


def strip_section(found: Examples) -> list[str]:
    """The mistakes of both arms in some test cases, from the worst difference to the best."""
    if len(found.maps) < 2:
        return []
    shown = [found[place] for place in found.ranked(STRIP)]
    first, last = found.maps
    rows = {arm: [each.predictions[arm] for each in shown] for arm in found.maps}
    titles = [f"{each.dice[last] - each.dice[first]:+.2f}" for each in shown]
    drawn = strip([each.image for each in shown], [each.truth for each in shown], rows, titles)
    caption = (
        f"{len(shown)} of {len(found.cases)} test scans, from where {last} is furthest behind "
        f"{first} to where it is furthest ahead; above each, the difference in Dice (seed 0)."
    )
    return [picture(drawn, escape(caption))]

"""Sections of a report that need scans and encoders, not only rows: puzzles, and test cases."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor

from ssl3d_lite.html import details, escape, heading, paragraph, picture
from ssl3d_lite.show.figures.curves import learning_curves
from ssl3d_lite.show.figures.errors import compared, strip
from ssl3d_lite.show.figures.predicted_grades import predicted_grades
from ssl3d_lite.show.figures.puzzle import puzzle
from ssl3d_lite.tasks import ProxyBatch, ProxyTask

from .arms import Arm
from .baselines import Where, contrast, from_scratch
from .encoders import make_tasks
from .examples import Examples, OrdinalExamples, example_runs
from .experiment import Experiment
from .films import finetuning_strips, pretraining_strip
from .jobs import Job
from .keys import encoder_folder
from .results import Results
from .sentences import measured

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


def example_section(
    experiment: Experiment, results: Results, found: Examples | OrdinalExamples | None
) -> list[str]:
    """What is spoken of, in a row of pictures: test cases as an arm and its twin from scratch see
    them; and below it the mean difference of the two, with its interval."""
    if found is None:
        return []
    said = _difference(experiment, results)
    if isinstance(found, OrdinalExamples):
        return [_graded_row(experiment, results, found), *said]
    return [_segmented_row(experiment, results, found), *said]


def _segmented_row(experiment: Experiment, results: Results, found: Examples) -> str:
    """One test scan with its label, both predictions, and their mistakes."""
    example, (*_, arm) = found[found.middle], found.maps
    caption = (
        f"Test case {example.case}: the scan, its label, and the predictions after fine-tuning "
        f"with {_labelled(experiment, results)} (seed 0). It is in the middle of the scores of "
        f"{arm}, not the best."
    )
    told = {
        f"{each}\nDice {example.dice[each]:.2f}": example.predictions[each] for each in found.maps
    }
    names = found.cohort.label_names
    drawn = compared(example.image, example.truth, told, names, example.spacing)
    return picture(drawn, escape(caption))


def _graded_row(experiment: Experiment, results: Results, found: OrdinalExamples) -> str:
    """One test case of each grade, with the grades that both arms predict."""
    shown, truths = found.shown, found.truths
    images = [np.asarray(found.cohort[int(found.cases[n])][0], np.float32) for n in shown]
    predicted = {arm: [int(grades[n]) for n in shown] for arm, grades in found.grades.items()}
    caption = "A test case of each grade, the middle one in the order of the cohort."
    if predicted:
        right = (f"{arm} {(grades == truths).sum()}" for arm, grades in found.grades.items())
        caption += (
            f" Below it the grades predicted after fine-tuning with "
            f"{_labelled(experiment, results)} (seed 0). Of all {len(truths)} test cases right: "
            f"{', '.join(right)}."
        )
    names = found.cohort.label_names
    drawn = predicted_grades(images, [int(truths[n]) for n in shown], predicted, names)
    return picture(drawn, escape(caption))


def _labelled(experiment: Experiment, results: Results) -> str:
    return results.labelled(experiment.study.labels_of("finetune")[0])


def _difference(experiment: Experiment, results: Results) -> list[str]:
    """The difference that the pictures are an example of, over all seeds and test cases."""
    first = example_runs(experiment.study)[0]
    where = Where("finetune", (first.labels,))
    found = contrast(results, where, first.job.arm, from_scratch)
    if found is None or not found.differences:
        return []
    labelled = _labelled(experiment, results)
    said = f"In {results.quantity} with {labelled}, {measured(results, found)}"
    return [paragraph(f"{said} What may be said of it stands below.")]


def scan_sections(
    experiment: Experiment, found: Examples | OrdinalExamples | None
) -> Iterator[str]:
    """The mistakes of both arms in many test scans, and how they came about."""
    if not isinstance(found, Examples):
        return
    parts = [*_strips(found), *finetuning_strips(experiment)]
    if parts:
        yield heading("Scan by scan")
        yield from parts


def _strips(found: Examples) -> Iterator[str]:
    """The mistakes of both arms from the worst difference to the best: in some test scans, and in a
    line that opens, in all."""
    if len(found.maps) < 2:
        return
    (first, last), count = found.maps, len(found.cases)
    some = found.ranked(STRIP)
    yield picture(
        _strip(found, some),
        escape(
            f"{len(some)} of {count} test scans, from where {last} is furthest behind {first} to "
            "where it is furthest ahead; above each, the difference in Dice (seed 0)."
        ),
        few_colours=True,
    )
    if count > len(some):
        order = found.ranked(count)
        rows = {start: order[start : start + STRIP] for start in range(0, count, STRIP)}
        each = [
            picture(
                _strip(found, row),
                f"Test scans {start + 1} to {start + len(row)}.",
                few_colours=True,
            )
            for start, row in rows.items()
        ]
        yield details(f"All {count} test scans", " in the same order.", each)


def _strip(found: Examples, places: Sequence[int]) -> Figure:
    shown, (first, last) = [found[place] for place in places], found.maps
    rows = {arm: [each.predictions[arm] for each in shown] for arm in found.maps}
    titles = [f"{each.dice[last] - each.dice[first]:+.2f}" for each in shown]
    images, truths = [each.image for each in shown], [each.truth for each in shown]
    return strip(images, truths, rows, titles, shown[0].spacing, wide=STRIP)

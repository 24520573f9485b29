"""Test cases as two twins segment them: what a report shows as examples.

Networks are deleted when they have been scored. So two of them, the first arm that is no control
and its twin from scratch, leave their predictions of one case of each test scan. The report then
shows the scan in the middle of the first arm's scores, not the best one, and a strip of all. Where
cases have grades, it shows one case of each grade.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.evaluation.prediction import predictions
from ssl3d_lite.files import atomic_write

from .arms import Arm, find_twin
from .experiment import Experiment
from .jobs import Job, Run
from .keys import run_key
from .settings import Study


@dataclass(frozen=True)
class Example:
    """One test case, with its label and the predictions of arms."""

    case: str
    image: np.ndarray  # (*space) float32, the first channel
    truth: np.ndarray  # (*space) uint8
    predictions: dict[str, np.ndarray]  # an arm each: class map (*space) uint8
    dice: dict[str, float]  # the whole scan's, the mean over regions
    spacing: tuple[float, ...] | None  # edges of a voxel, mm; None where the unit is not known


@dataclass(frozen=True)
class Examples:
    """What the arms of an example have left of every test scan, one case of each."""

    cohort: Cohort
    cases: np.ndarray  # positions in the cohort
    maps: dict[str, np.ndarray]  # an arm each: (case, *space) uint8
    dice: dict[str, np.ndarray]  # an arm each: (case,)

    def __getitem__(self, place: int) -> Example:
        image, label = self.cohort[case := int(self.cases[place])]
        return Example(
            self.cohort.cases[case].id,
            np.asarray(image[0], np.float32),
            np.asarray(label),
            {arm: maps[place] for arm, maps in self.maps.items()},
            {arm: float(dice[place]) for arm, dice in self.dice.items()},
            self.cohort.spacing if self.cohort.unit == "mm" else None,
        )

    @property
    def middle(self) -> int:
        """The place of the case in the middle of the last arm's scores."""
        order = list(self.dice.values())[-1].argsort()
        return int(order[len(order) // 2])

    def ranked(self, count: int) -> list[int]:
        """The places of some cases, evenly from where the last arm is furthest behind the first to
        where it is furthest ahead."""
        first, *_, last = self.dice.values()
        order = (last - first).argsort()
        chosen = np.linspace(0, len(order) - 1, min(count, len(order))).round().astype(int)
        return [int(place) for place in order[chosen]]


@dataclass(frozen=True)
class OrdinalExamples:
    """What the arms of an example took every test case for."""

    cohort: Cohort
    cases: np.ndarray  # positions in the cohort
    grades: dict[str, np.ndarray]  # an arm each: (case,)

    @property
    def truths(self) -> np.ndarray:
        return self.cohort.labels(self.cases.tolist()).cpu().numpy().astype(int)

    @property
    def shown(self) -> list[int]:
        """The place of the middle one of the cases of each grade, in the order of grades: which is
        shown does not depend on what was predicted."""
        each = [np.flatnonzero(self.truths == grade) for grade in np.unique(self.truths)]
        return [int(places[len(places) // 2]) for places in each]


def example_runs(study: Study) -> list[Run]:
    """The runs that an example is made from: one seed, one fold, the study's first number of
    labels."""
    arms = study.parsed_arms()
    first = next((arm for arm in arms if not arm.is_control), None)
    if first is None or "finetune" not in study.protocols:
        return []
    chosen: list[Arm | None] = [first, find_twin(arms, first, "scratch")]
    labels = study.labels_of("finetune")[0]
    return [Run(Job(arm, study.folds[0], 0), "finetune", labels) for arm in chosen if arm]


def example_path(experiment: Experiment, run: Run) -> Path:
    return experiment.out / "examples" / f"{run_key(experiment, run)}.npz"


def keep_example(experiment: Experiment, run: Run, network: nn.Module, result: Any) -> None:
    """Keep a network's predictions and its Dice of every test scan, if an example wants them; of
    graded cases the grades."""
    cohort = experiment.data.benchmark(run.job.arm)
    if run not in example_runs(experiment.study):
        return
    test = experiment.split(run.job).test
    if cohort.ordinal:
        kept = {"grades": result.prediction}
    else:
        scans = cohort.scans(test).values()
        cases = [members[len(members) // 2] for members in scans]  # the middle slice
        window = experiment.finetuning(run).patch
        maps = [each.numpy() for each in predictions(network, cohort, cases, window)]
        kept = {"cases": np.array(cases), "dice": result.dice.mean(1)}
        kept["maps"] = np.stack(maps).astype(np.uint8)
    path = example_path(experiment, run)
    atomic_write(path, lambda file: np.savez_compressed(file, **kept))


def find_examples(experiment: Experiment) -> Examples | OrdinalExamples | None:
    """The examples that a study's runs have left, the twin from scratch first; None if they have
    left none yet. Graded cases can be shown without."""
    kept = {}
    runs = example_runs(experiment.study)
    for run in reversed(runs):
        if (path := example_path(experiment, run)).exists():
            with np.load(path) as arrays:
                kept[run.job.arm.name] = dict(arrays)
    if not runs:
        return None
    cohort = experiment.data.benchmark(runs[0].job.arm)
    by_arm = {
        name: {arm: arrays[name] for arm, arrays in kept.items() if name in arrays}
        for name in ("cases", "maps", "dice", "grades")
    }
    if cohort.ordinal:
        cases = np.array(experiment.split(runs[0].job).test)
        return OrdinalExamples(cohort, cases, by_arm["grades"])
    if not kept:
        return None
    return Examples(cohort, next(iter(by_arm["cases"].values())), by_arm["maps"], by_arm["dice"])

"""The cohorts of a study: given, or made on the spot; and their slices for the 2D arms."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ssl3d_lite.data.cohort import Cohort, fits
from ssl3d_lite.data.registry import load_recipe
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.device import choose_device

from .arms import Arm
from .leakage import check_leakage
from .settings import Study, build_settings

UNSEEN = 10  # without labels, one patient in so many is kept to try the puzzles on


@dataclass(frozen=True)
class DataFolders:
    """Where a study's cohorts lie."""

    cohort: Path
    corpus: Path | None = None
    flat_cohort: Path | None = None  # slices of both, if there are 2D arms
    flat_corpus: Path | None = None


def find_data(
    study: Study, out: Path, cohort: Path | None = None, corpus: Path | None = None
) -> DataFolders:
    """Make what is not given by the study's recipes, cut slices where arms want them, and check
    that no test case is trained on.

    Raises:
        InputError: a recipe or one of its settings is unknown; a corpus is given to a study that
            has none; a cohort cannot carry the study; leakage.
    """
    if corpus and not study.corpus:
        raise InputError(f"study {study.name} pretrains on the benchmark: it takes no corpus")
    cohort = cohort or make(study.cohort, out / "cohort", study.name)
    if study.corpus:
        corpus = corpus or make(study.corpus, out / "corpus", study.name)
    folders = DataFolders(cohort, corpus)
    if any(arm.flat for arm in study.parsed_arms()):
        if Cohort.open(cohort).spatial_dims == 2:
            raise InputError(f"{cohort} is 2D already: study {study.name} has no use for 2d- arms")
        folders = replace(
            folders,
            flat_cohort=cut_slices(study, cohort, out / "slices"),
            flat_corpus=corpus and cut_slices(study, corpus, out / "corpus-slices"),
        )
    check_data(study, folders)
    return folders


def make(table: dict[str, Any], out: Path, study: str) -> Path:
    """Prepare a cohort by the recipe that ``table`` names. What is there already is kept."""
    table = dict(table)
    if "recipe" not in table:
        raise InputError(f"study {study}: its cohort names no recipe")
    name = table.pop("recipe")
    settings, prepare = load_recipe(name)
    prepare(
        build_settings(settings, table | {"out": out}, f"cohort of study {study} (recipe {name})")
    )
    return out


def cut_slices(study: Study, cohort: Path, out: Path) -> Path:
    settings, prepare = load_recipe("slices")
    prepare(
        build_settings(
            settings, study.slices | {"cohort": cohort, "out": out}, f"slices of {study.name}"
        )
    )
    return out


def check_data(study: Study, folders: DataFolders) -> None:
    """Raise InputError if a cohort cannot carry the study, or leaks."""
    cohort = Cohort.open(folders.cohort)
    corpus = Cohort.open(folders.corpus) if folders.corpus else None
    for fold in study.folds:
        split = cohort.split(fold)
        for side in ("train", "validation", "test"):
            if not getattr(split, side):
                raise InputError(f"{cohort.name} has no labelled case for {side} in fold {fold}")
        check_leakage(cohort, split, corpus)
        budgets = (labels for name in study.protocols for labels in study.labels_of(name))
        for labels in dict.fromkeys(budgets):
            cohort.subset(split.train, labels)  # says if there are too few


@dataclass(frozen=True)
class Corpus:
    """A cohort to pretrain on: cases to train with, and unseen ones to try the puzzles on."""

    cohort: Cohort
    seen: tuple[int, ...]
    unseen: tuple[int, ...]


class StudyData:
    """A study's cohorts. Each is opened when it is first asked for, and then kept.

    Args:
        device: where scans go, if ``resident``.
        resident: whether scans are put on the device, where they fit, to be trained on.
    """

    def __init__(self, folders: DataFolders, device: str, resident: bool = False):
        self.folders, self.device, self.resident = folders, device, resident
        self._opened: dict[Path, Cohort] = {}

    def on_device(self) -> "StudyData":
        """The same cohorts, to be put on the device as each is opened."""
        return StudyData(self.folders, self.device, resident=True)

    def _open(self, folder: Path) -> Cohort:
        if folder not in self._opened:
            cohort = Cohort.open(folder)
            if self.resident and fits(cohort, device := choose_device(self.device)):
                cohort = cohort.to(device)
            self._opened[folder] = cohort
        return self._opened[folder]

    def benchmark(self, arm: Arm) -> Cohort:
        """What the arm is fine-tuned and tested on."""
        folder = self.folders.flat_cohort if arm.flat else self.folders.cohort
        assert folder is not None, "slices are cut where a study has 2D arms"
        return self._open(folder)

    def corpus(self, arm: Arm, fold: int) -> Corpus:
        """What the arm is pretrained on."""
        folder = self.folders.flat_corpus if arm.flat else self.folders.corpus
        if folder is None or arm.own:
            cohort = self.benchmark(arm)
            split = cohort.split(fold)
            return Corpus(cohort, split.pretrain, split.validation)
        cohort = self._open(folder)
        split = cohort.split()
        if split.validation:
            return Corpus(cohort, split.pretrain, split.validation)
        patients = sorted({case.patient for case in cohort.cases})
        unseen = set(patients[:: max(1, min(UNSEEN, len(patients) // 2))])
        kept = tuple(i for i, case in enumerate(cohort.cases) if case.patient in unseen)
        return Corpus(cohort, tuple(i for i in range(len(cohort)) if i not in kept), kept)

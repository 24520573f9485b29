"""Every arm of every shipped study can be built, and its puzzles drawn, at every scale; so can
those of the plans in notebooks/results, on the scans that they name.

For that a manifest is enough: no scan is made, nothing is trained.
"""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import make_cohort, make_graded

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.registry import load_recipe
from ssl3d_lite.study import read_study, shipped_studies
from ssl3d_lite.study.data import DataFolders, StudyData
from ssl3d_lite.study.encoders import dry_run
from ssl3d_lite.study.experiment import Experiment
from ssl3d_lite.study.settings import Machine

CHANNELS = {"virtual-brain": 4, "virtual-ukb-brain": 2}
PLANS = sorted((Path(__file__).parents[3] / "notebooks" / "results").rglob("*.toml"))
REAL = {  # what a plan names after --cohort, as its recipe prepares it
    "hippocampus": (40, 56, 40),
    "hippocampus-shifted": (48, 64, 48),
    "acdc": (96, 96, 16),
}


def named_cohorts():
    """Each plan with each cohort of volumes that its first lines name."""
    for plan in PLANS:
        for name in re.findall(r"--cohort ([\w-]+)", plan.read_text(encoding="utf-8")):
            if name in REAL:
                yield pytest.param(plan, REAL[name], id=f"{plan.stem}-{name}")


def manifest(folder, table, flat=False):
    """A cohort as a recipe would make it, without its arrays."""
    if table["recipe"] == "virtual-fundus":
        cohort, shape = make_graded(folder, [0, 1, 2] * 5), (table.get("edge", 224),) * 2
    else:
        shape = (40, 56, 40)
        if table["recipe"] != "virtual-hippocampus":
            shape = (table["edge"],) * 3
        shape = shape[:2] if flat else shape
        small = (8,) * len(shape)
        cohort = make_cohort(folder, 60, small, CHANNELS.get(table["recipe"], 1))
    return reshaped(cohort, shape)


def reshaped(cohort, shape):
    """The folder of a cohort whose manifest names another shape."""
    cases = tuple(replace(case, shape=shape) for case in cohort.cases)
    replace(cohort, cases=cases).save()
    return cohort.folder


@pytest.mark.parametrize("scale", ["smoke", "class", "full"])
@pytest.mark.parametrize("name", shipped_studies())
def test_its_virtual_scans_can_be_asked_for(tmp_path, name, scale):
    study = read_study(name, scale)
    for table in filter(None, (study.cohort, study.corpus)):
        own = {key: value for key, value in table.items() if key != "recipe"}
        load_recipe(table["recipe"])[0](out=tmp_path, **own)


@pytest.mark.parametrize("scale", ["smoke", "class", "full"])
@pytest.mark.parametrize("name", shipped_studies())
def test_every_arm_can_be_built_and_its_puzzles_drawn(tmp_path, name, scale):
    study = read_study(name, scale)
    folders = DataFolders(manifest(tmp_path / "cohort", study.cohort))
    if study.corpus:
        folders = replace(folders, corpus=manifest(tmp_path / "corpus", study.corpus))
    if any(arm.flat for arm in study.parsed_arms()):
        flat = manifest(tmp_path / "slices", study.cohort, flat=True)
        folders = replace(folders, flat_cohort=flat)
    rehearse(study, folders, tmp_path)


@pytest.mark.parametrize(("plan", "shape"), [*named_cohorts()])
def test_a_plan_can_run_on_the_scans_that_it_names(tmp_path, plan, shape):
    """Two plans on hearts were written down and could not start: no patch fitted 16 voxels."""
    study = read_study(str(plan), "class")
    folders = DataFolders(reshaped(make_cohort(tmp_path / "cohort", 200, (8, 8, 8)), shape))
    if any(arm.flat for arm in study.parsed_arms()):
        slices = make_cohort(tmp_path / "slices", 200, (8, 8))
        folders = replace(folders, flat_cohort=reshaped(slices, shape[:2]))
    rehearse(study, folders, tmp_path)


@pytest.mark.parametrize("scale", ["class", "full"])
def test_a_plan_on_virtual_scans_can_run(tmp_path, scale):
    plan = next(plan for plan in PLANS if plan.stem == "channels")
    test_every_arm_can_be_built_and_its_puzzles_drawn(tmp_path, str(plan), scale)


def rehearse(study, folders, tmp_path):
    """Build every arm, and make a puzzle of each task."""
    # the U-Net of the paper takes seconds to make, and no puzzle asks how wide it is
    filters = tuple(range(2, 2 + len(study.encoder.get("filters", (1, 1, 1)))))
    study = replace(study, encoder=study.encoder | {"filters": filters})
    dry_run(Experiment(study, StudyData(folders, "cpu"), tmp_path, Machine(precision="32-true")))
    assert Cohort.open(folders.cohort).shape


@pytest.mark.parametrize("name", ["transfer", "virtual_to_real"])
def test_a_virtual_corpus_has_other_subjects_than_the_benchmark(name):
    """A subject is drawn from seed and number: with one seed, test subjects would be trained on."""
    for scale in ("smoke", "class", "full"):
        study = read_study(name, scale)
        assert study.corpus.get("seed", 0) != study.cohort.get("seed", 0)

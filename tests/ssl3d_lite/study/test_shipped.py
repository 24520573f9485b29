"""Every arm of every shipped study can be built, and its puzzles drawn, at every scale.

For that a manifest is enough: no scan is made, nothing is trained.
"""

from dataclasses import replace

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
    cases = tuple(replace(case, shape=shape) for case in cohort.cases)
    replace(cohort, cases=cases).save()
    return folder


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
    arms = study.parsed_arms()
    folders = DataFolders(manifest(tmp_path / "cohort", study.cohort))
    if study.corpus:
        folders = replace(folders, corpus=manifest(tmp_path / "corpus", study.corpus))
    if any(arm.flat for arm in arms):
        flat = manifest(tmp_path / "slices", study.cohort, flat=True)
        folders = replace(folders, flat_cohort=flat)
    # the U-Net of the paper takes seconds to make, and no puzzle asks how wide it is
    filters = tuple(range(2, 2 + len(study.encoder.get("filters", (1, 1, 1, 1)))))
    study = replace(study, encoder=study.encoder | {"filters": filters})
    dry_run(Experiment(study, StudyData(folders, "cpu"), tmp_path, Machine(precision="32-true")))
    assert Cohort.open(folders.cohort).shape


@pytest.mark.parametrize("name", ["transfer", "virtual_to_real"])
def test_a_virtual_corpus_has_other_subjects_than_the_benchmark(name):
    """A subject is drawn from seed and number: with one seed, test subjects would be trained on."""
    for scale in ("smoke", "class", "full"):
        study = read_study(name, scale)
        assert study.corpus.get("seed", 0) != study.cohort.get("seed", 0)

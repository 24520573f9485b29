"""Classes in label maps: which there are, and what is said of those that are not."""

import json

import numpy as np
import pytest

from ssl3d_lite.data.case import array_path
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.label_classes import absent_classes, classes_of, label_remarks
from ssl3d_lite.data.registry import make_cohort
from ssl3d_lite.data.verify import Verify, verify
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.training.finetuning import finetune


@pytest.fixture
def cohort(make_task, tmp_path) -> Cohort:
    make_task(tmp_path / "Blocks", cases=10, unlabelled=1, shape=(16, 16, 16))
    out = make_cohort("msd", tmp_path / "cohort", raw=tmp_path / "Blocks", workers=1)
    return Cohort.open(out)


def without(cohort: Cohort, cases, *classes: int) -> None:
    """Make background of some classes of some cases."""
    for case in cases:
        path = array_path(cohort.folder, "labels", cohort.cases[case].id)
        label = np.load(path)
        label[np.isin(label, classes)] = 0
        np.save(path, label)


def test_classes_of_a_case(cohort):
    assert classes_of(cohort, cohort.cases[0]) == {0, 1, 2}
    assert classes_of(cohort, cohort.cases[10]) == set()
    without(cohort, [0], 1)
    assert classes_of(cohort, cohort.cases[0]) == {0, 2}


def test_absent_classes(cohort):
    train = cohort.split().train
    assert absent_classes(cohort, train) == ()
    without(cohort, train[1:], 2)
    assert absent_classes(cohort, train) == ()
    assert absent_classes(cohort, train[1:]) == ("bright",)
    assert absent_classes(cohort, ()) == ("dim", "bright")


def test_nothing_to_remark(cohort):
    assert list(label_remarks(cohort)) == []


def test_empty_maps_and_classes_that_a_fold_lacks_are_named(cohort):
    held_out = [i for i, case in enumerate(cohort.cases) if case.fold in (0, 1)]
    train = cohort.split(0).train
    without(cohort, train, 2)
    without(cohort, train[:1], 1)
    assert sorted([*held_out, *train]) == list(range(10))
    assert list(label_remarks(cohort)) == [
        f"empty label maps, taken as cases without foreground: {cohort.cases[train[0]].id}",
        "fold 0: no training case shows bright",
    ]
    without(cohort, held_out, 2)
    assert list(label_remarks(cohort))[1:] == ["no label map shows bright"]
    without(cohort, range(10), 1, 2)
    assert list(label_remarks(cohort)) == [
        "all 10 label maps are empty: nothing can be learnt from them"
    ]


def test_prepare_and_verify_say_it(make_task, save, tmp_path):
    task = make_task(tmp_path / "Blocks", shape=(16, 16, 16))
    about = json.loads((task / "dataset.json").read_text())
    about["labels"]["3"] = "never"
    (task / "dataset.json").write_text(json.dumps(about))
    save(task / "labelsTr/scan_004.nii.gz", np.zeros((16, 16, 16), np.uint8))
    said = (
        "empty label maps, taken as cases without foreground: scan_004",
        "no label map shows never",
    )
    from data_recipes.msd import Msd, prepare

    summary = prepare(Msd(raw=task, out=tmp_path / "cohort", workers=1))
    assert set(said) <= set(summary.notes)
    report = verify(Verify(cohort=tmp_path / "cohort", workers=1))
    assert report.faults == ()
    assert set(said) <= set(report.notes)


def test_what_no_training_case_shows_is_said_before_training(cohort, capsys):
    train = cohort.split().train
    without(cohort, train[:2], 2)
    network = make_network(make_encoder(cohort, filters=(4, 8)), cohort)
    finetune(network, cohort, train[:2], steps=1, device="cpu")
    assert "bright: in none of the 2 training cases, so not learnt" in capsys.readouterr().out

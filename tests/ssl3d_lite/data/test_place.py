"""Place alone: counted by hand, in every shape, and as a line about a cohort."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import make_cohort, make_graded
from hypothesis import given
from hypothesis import strategies as st

from ssl3d_lite.data import place
from ssl3d_lite.data.place import (
    commonest_classes,
    commonest_grade,
    place_remarks,
    spread,
    stretch_labels,
)
from ssl3d_lite.data.verify import Verify, verify
from ssl3d_lite.evaluation.place import evaluate_place
from ssl3d_lite.evaluation.segmentation import Evaluation


def test_the_commonest_class_of_each_voxel_and_the_lowest_of_equals():
    maps = [np.array(row, np.uint8) for row in ([0, 1, 2, 2, 0], [0, 1, 2, 1, 1], [0, 0, 1, 0, 2])]
    assert commonest_classes(maps, (5,), 3).tolist() == [0, 1, 2, 0, 0]
    assert commonest_classes(maps[:1], (5,), 3).tolist() == maps[0].tolist()
    assert commonest_classes(maps[:2], (5,), 3).tolist() == [0, 1, 2, 1, 0]


def test_it_is_the_argmax_of_the_mean_of_one_hot_maps():
    maps = np.random.default_rng(0).integers(0, 4, (7, 5, 6, 3)).astype(np.uint8)
    mean = np.stack([(maps == number).mean(0) for number in range(4)])
    assert np.array_equal(commonest_classes(maps, (5, 6, 3), 4), mean.argmax(0))


@given(st.integers(1, 30), st.integers(1, 30))
def test_a_stretched_map_has_the_label_at_the_same_share_of_the_axis(old, new):
    label = np.arange(old)
    found = stretch_labels(label, (new,))
    centres = (np.arange(new) + 0.5) / new
    assert np.all(found <= centres * old + 1e-9)
    assert np.all(centres * old < found + 1 + 1e-9)
    assert np.array_equal(stretch_labels(label, (old,)), label)


def test_maps_of_several_shapes_are_laid_over_each_other_by_relative_place():
    small = np.zeros((2, 2), np.uint8)
    small[1] = 1
    large = np.kron(small, np.ones((3, 2), np.uint8))
    assert np.array_equal(commonest_classes([small, large], (6, 4), 2), large)
    assert np.array_equal(commonest_classes([small, large], (2, 2), 2), small)


def test_the_commonest_grade_and_the_lowest_of_equals():
    assert commonest_grade([2, 2, 0]) == 2
    assert commonest_grade([3, 1, 1, 3]) == 1


def test_spread_takes_all_or_some_from_end_to_end():
    assert spread("abc", 5) == ["a", "b", "c"]
    assert spread(range(11), 3) == [0, 5, 10]


# ---- a line about a cohort ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return make_cohort(tmp_path_factory.mktemp("scans"), 15, (16, 20, 12))


def test_the_line_has_the_figures_of_the_evaluation(scans):
    split = scans.split()
    result = evaluate_place(scans, split.train, split.test)
    assert isinstance(result, Evaluation)
    (line,) = place_remarks(scans)
    parts = ", ".join(f"{name} {dice:.3f}" for name, dice in result.by_region.items())
    assert line == (
        f"place alone (no scan is looked at): mean Dice {result.score:.3f} ({parts}), by 9 "
        "training on 3 test scans of fold 0; a score means something above that"
    )


def test_of_a_large_cohort_some_scans_are_read_and_it_is_said(scans, monkeypatch):
    monkeypatch.setattr(place, "MOST_LEARNT", 4)
    monkeypatch.setattr(place, "MOST_SCORED", 2)
    (line,) = place_remarks(scans)
    assert "by 4 of 9 training on 2 of 3 test scans" in line


def test_slices_are_scored_scan_by_scan(tmp_path):
    made = make_cohort(tmp_path, 30, (16, 20))
    cases = [
        replace(case, slice_of=f"scan {i // 2}", patient=f"{i // 2}", fold=i // 2 % 5)
        for i, case in enumerate(made.cases)
    ]
    sliced = replace(made, cases=tuple(cases))
    split = sliced.split()
    (line,) = place_remarks(sliced)
    assert f"mean Dice {evaluate_place(sliced, split.train, split.test).score:.3f}" in line
    assert "by 9 training on 3 test scans" in line


def test_of_grades_it_says_how_often_the_commonest_is_right(tmp_path):
    graded = make_graded(tmp_path, [1, 0, 2, 2, 2] * 3 + [None])
    (line,) = place_remarks(graded)
    assert "grade 'severe', the commonest of fold 0's training cases, is right for 0%" in line
    assert "kappa 0" in line


def test_there_is_none_without_a_split_or_a_region(scans, tmp_path):
    apart = [replace(case, fold=0) for case in scans.cases]
    assert list(place_remarks(replace(scans, cases=tuple(apart)))) == []
    assert list(place_remarks(replace(scans, regions={}))) == []
    assert list(place_remarks(make_cohort(tmp_path, 6, (8, 8, 8), unlabelled=6))) == []


def test_verify_says_it_of_a_cohort_without_a_fault(scans):
    (line,) = place_remarks(scans)
    report = verify(Verify(cohort=scans.folder, workers=1))
    assert not report.faults
    assert line in report.notes

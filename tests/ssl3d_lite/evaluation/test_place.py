"""Place alone, scored as a network is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import make_cohort, make_graded
from hypothesis import given
from hypothesis import strategies as st

from ssl3d_lite.data.case import array_path, write_array
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.grades import OrdinalEvaluation
from ssl3d_lite.evaluation.place import evaluate_place, place_predictions


def test_one_labelled_scan_predicts_itself(cohort):
    assert evaluate_place(cohort, [3], [3]).score == 1


def test_two_labelled_scans_predict_the_lower_class_of_both(cohort):
    first, second = cohort.labels([0, 1])
    (guess, again) = place_predictions(cohort, [0, 1], [2, 5])
    assert torch.equal(guess, torch.minimum(first, second))
    assert torch.equal(guess, again), "whatever the scan shows"


def test_scans_on_disk_and_in_memory_score_alike(tmp_path):
    made = make_cohort(tmp_path, 6, (8, 12, 8))
    here, there = (evaluate_place(each, (0, 1, 2), (3, 4)).dice for each in (made, made.to("cpu")))
    assert np.array_equal(here, there)


def test_scans_of_several_shapes_are_predicted_by_relative_place(tmp_path):
    made = make_cohort(tmp_path, 4, (8, 8, 8))
    label, double = made.labels([0])[0].numpy(), (16, 8, 8)
    write_array(array_path(tmp_path, "labels", made.cases[3].id), label.repeat(2, 0))
    image = np.zeros((1, *double), np.float16)
    write_array(array_path(tmp_path, "images", made.cases[3].id), image)
    mixed = replace(made, cases=(*made.cases[:3], replace(made.cases[3], shape=double)))
    assert evaluate_place(mixed, [0], [3]).score == 1
    assert evaluate_place(mixed, [3], [0]).score == 1


def test_grades_are_predicted_by_the_commonest(tmp_path):
    graded = make_graded(tmp_path, [1, 0, 2, 2, 2, 1])
    result = evaluate_place(graded, (1, 2, 3), (0, 4, 5))
    assert result.prediction.tolist() == [2, 2, 2]
    assert (result.score, result.parts["accuracy"]) == (0, 1 / 3)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=12), st.integers(0, 4))
def test_no_constant_is_better_than_another_by_kappa(truth, constant):
    """So the commonest grade, which is best by accuracy, is the best constant."""
    cases = tuple(map(str, range(len(truth))))
    guess = np.full(len(truth), constant)
    result = OrdinalEvaluation(cases, np.array(truth), guess, tuple("abcde"))
    assert result.kappa == pytest.approx(0, abs=1e-12)


def test_without_a_label_there_is_nothing_to_predict_by(tmp_path):
    made = make_cohort(tmp_path, 4, (8, 8, 8), unlabelled=1)
    for nothing in ((), (0, 3)):
        with pytest.raises(InputError, match="needs labelled cases"):
            evaluate_place(made, nothing, (1,))


def test_every_second_voxel_scores_as_a_map_that_has_no_others(cohort, tmp_path):
    result = evaluate_place(cohort, [0], [4], hausdorff=True, every=2)
    first, second = (cohort.labels([case])[0][::2, ::2, ::2] for case in (0, 4))
    both = ((first == 1) & (second == 1)).sum() * 2 / ((first == 1).sum() + (second == 1).sum())
    assert result.by_region["front"] == pytest.approx(float(both))
    whole = evaluate_place(cohort, [0], [4], hausdorff=True)
    assert np.abs(result.hd95 - whole.hd95).max() < 2 * 3**0.5, "in mm, as before"


def test_slices_are_thinned_in_their_plane_alone(tmp_path):
    made = make_cohort(tmp_path, 8, (8, 12))
    sliced = replace(
        made, cases=tuple(replace(c, slice_of=f"s{i // 4}") for i, c in enumerate(made.cases))
    )
    assert evaluate_place(sliced, range(8), range(8), every=2).dice.shape == (2, 3)

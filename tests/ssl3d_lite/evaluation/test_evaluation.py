import math
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import torch
from helpers import make_cohort, write_prediction
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import binary_erosion, gaussian_filter
from torch import nn

from data_recipes.msd import Msd
from data_recipes.msd import prepare as prepare_msd
from data_recipes.slices import SliceSettings
from data_recipes.slices import prepare as prepare_slices
from ssl3d_lite.data.case import Case, Source
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.prediction import (
    in_batches,
    predict,
    predict_batch,
    predictions,
)
from ssl3d_lite.evaluation.proxy import proxy_score
from ssl3d_lite.evaluation.segmentation import evaluate, hausdorff_95, score, score_case
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.modes import evaluating
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import make_task as make_puzzle

BRATS = {"WT": (1, 2, 3), "TC": (1, 3), "ET": (3,)}


def case_of(shape=(10, 10, 10), spacing=(1.0, 1.0, 1.0)) -> Case:
    affine = np.diag([*spacing, 1]).tolist()
    return Case("a", "a", shape, affine, [], Source({}, {}, shape, affine), True)


def blank(shape=(10, 10, 10)) -> torch.Tensor:
    return torch.zeros(shape, dtype=torch.uint8)


def test_fault_01_a_perfect_mask_scores_one_and_a_wrong_one_zero():
    truth = blank()
    truth[2:5, 2:5, 2:5] = 1
    truth[5:8, 2:5, 2:5] = 2
    truth[2:5, 5:8, 2:5] = 3
    dice, distance, absent = score_case(truth, truth, BRATS, case_of())
    assert dice.tolist() == [1, 1, 1]
    assert distance.tolist() == [0, 0, 0]
    assert not absent.any()
    wrong = blank()
    wrong[9, 9, 9] = 1
    dice, _, _ = score_case(wrong, truth, BRATS, case_of())
    assert dice.tolist() == [0, 0, 0]


def test_regions_are_unions_of_classes():
    truth = blank()
    truth[0, 0, :4] = torch.tensor([1, 2, 3, 3])
    answer = blank()
    answer[0, 0, :4] = torch.tensor([1, 1, 1, 3])
    dice, _, _ = score_case(answer, truth, BRATS, case_of())
    want = [1, 2 * 3 / (4 + 3), 2 * 1 / (1 + 2)]  # 2 |A∩B| / (|A| + |B|)
    np.testing.assert_allclose(dice, want, rtol=1e-6)


def test_fault_02_an_answer_of_background_scores_nothing():
    truth = blank()
    truth[2:5, 2:5, 2:5] = 1
    dice, _, _ = score_case(blank(), truth, {"organ": (1,)}, case_of())
    assert dice.tolist() == [0]


def test_fault_02_scores_are_by_case_not_of_pooled_voxels(tmp_path):
    cohort = make_cohort(tmp_path, 2)
    answers = [torch.from_numpy(np.array(cohort[0][1])), torch.zeros(24, 32, 24)]
    result = score(iter(answers), cohort, (0, 1), progress=False)
    assert result.by_region["whole"] == 0.5
    assert result.dice[:, 2].tolist() == [1, 0]


def test_fault_03_an_absent_class_moves_no_other():
    truth, answer = blank(), blank()
    truth[0, 0, :2], answer[0, 0, :2] = 3, 3  # classes 1 and 2 are absent
    dice, _, absent = score_case(answer, truth, {"1": (1,), "2": (2,), "3": (3,)}, case_of())
    assert dice.tolist() == [1, 1, 1]
    assert absent.tolist() == [True, True, False]


def test_an_absent_region_that_is_found_scores_zero_and_the_diagonal():
    answer = blank()
    answer[3, 3, 3] = 1
    dice, distance, absent = score_case(
        answer, blank(), {"organ": (1,)}, case_of(spacing=(1.0, 2.0, 3.0))
    )
    assert dice.tolist() == [0]
    assert absent.tolist() == [True]
    assert distance[0] == pytest.approx(math.sqrt(10**2 + 20**2 + 30**2))


def test_fault_06_the_number_of_classes_is_the_cohorts_not_the_largest_seen():
    truth = blank()
    truth[0, 0, 0] = 1
    dice, _, _ = score_case(truth, truth, {"1": (1,), "9": (9,)}, case_of())
    assert dice.tolist() == [1, 1]


def test_hausdorff_distance_is_in_millimetres():
    truth, answer = blank(), blank()
    truth[5, 5, 2], answer[5, 5, 6] = 1, 1
    _, distance, _ = score_case(answer, truth, {"a": (1,)}, case_of(spacing=(1.0, 1.0, 2.5)))
    assert distance.tolist() == [10]


def test_hd95_is_the_percentile_of_both_directions_together_as_in_brats():
    """By hand. Ten single voxels, two apart along a line, where the label is the first of them:
    0 2 4 … 18 one way, 0 the other; the 95th percentile of these eleven lies between 16 and 18.
    The larger one of the directions' percentiles, MONAI's, would be 17.1."""
    truth, answer = blank((20, 3, 3)), blank((20, 3, 3))
    truth[0, 1, 1], answer[::2, 1, 1] = 1, 1
    _, distance, _ = score_case(answer, truth, {"a": (1,)}, case_of((20, 3, 3)))
    assert distance[0] == pytest.approx(17.0)


@given(seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_hd95_is_that_of_plain_geometry(seed):
    generator, spacing = np.random.default_rng(seed), (0.7, 1.0, 2.5)
    masks = gaussian_filter(generator.normal(size=(2, 12, 14, 10)), (0, 2, 2, 2)) > 0
    rims = [mask & ~binary_erosion(mask) for mask in masks]
    points = [np.argwhere(rim) * spacing for rim in rims]
    apart = np.linalg.norm(points[0][:, None] - points[1], axis=-1)
    wanted = np.percentile(np.concatenate([apart.min(0), apart.min(1)]), 95)
    found = hausdorff_95(*map(torch.from_numpy, masks), spacing)
    assert found == pytest.approx(wanted, rel=1e-5)


def test_a_missed_region_is_as_far_as_the_raw_scan_is_long_not_its_crop():
    truth = blank()
    truth[2, 2, 2] = 1
    whole = replace(case_of(), source=Source({}, {}, (240, 240, 155), np.eye(4).tolist()))
    _, distance, _ = score_case(blank(), truth, {"a": (1,)}, whole)
    assert distance[0] == pytest.approx(373.13, abs=0.01)  # as BraTS has it


def test_what_a_crop_has_cut_off_counts_as_missed():
    truth = blank()
    truth[2:5, 2:5, 2:5] = 1  # 27 voxels
    cut = replace(case_of(), lost=13, lost_by_class=(0, 9, 4))
    regions = {"one": (1,), "two": (2,), "both": (1, 2), "three": (3,)}
    dice, _, absent = score_case(truth, truth, regions, cut)
    assert dice.tolist() == pytest.approx([54 / 63, 0, 54 / 67, 1])
    assert absent.tolist() == [False, False, False, True]


def test_raw_scans_are_scored_in_their_own_space(tmp_path, make_task):
    """A perfect answer in a prepared volume that cuts the label: both say what was missed."""
    raw, out = make_task(tmp_path / "raw"), tmp_path / "cohort"
    prepare_msd(Msd(raw=raw, out=out, size=(12, 4, 10), workers=1))
    cohort = Cohort.open(out)
    prepared = score(iter(cohort.labels(range(6))), cohort, range(6), progress=False)
    over_raw = score(iter(cohort.labels(range(6))), cohort, range(6), progress=False, raw=raw)
    assert prepared.dice == pytest.approx(2 * 60 / (60 + 75))  # 5 rows of 15 voxels, of which 4
    assert over_raw.dice == pytest.approx(prepared.dice)
    assert prepared.hd95.max() == 0
    assert over_raw.hd95.min() == 1
    assert str(prepared).endswith(
        "labelled voxels outside of the prepared volumes: 180 (scans: 6); they count as missed in "
        "Dice, and not in HD95"
    )
    assert over_raw.notes == ()
    old = replace(cohort, cases=tuple(replace(c, lost_by_class=()) for c in cohort.cases))
    unknown = score(iter(cohort.labels(range(6))), old, range(6), progress=False)
    assert unknown.dice.min() == 1
    assert "their classes are not known: prepare the scans again" in str(unknown)


def test_resampled_labels_are_compared_with_the_raw_ones(tmp_path, make_task):
    raw, out = make_task(tmp_path / "raw", 3), tmp_path / "cohort"
    prepare_msd(Msd(raw=raw, out=out, spacing=(2, 2, 2), size=(8, 8, 8), workers=1))
    cohort = Cohort.open(out)
    perfect = score(iter(cohort.labels([0])), cohort, [0], progress=False)
    over_raw = score(iter(cohort.labels([0])), cohort, [0], progress=False, raw=raw)
    assert perfect.dice.min() == 1
    assert 0.6 < over_raw.dice.max() < 1


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda path: path.unlink(), "give the folder that scan_000 was prepared from"),
        (lambda path: path.write_bytes(b"else"), "has changed since scan_000 was prepared"),
    ],
)
def test_a_raw_label_that_is_another_is_refused(tmp_path, make_task, harm, said):
    raw, out = make_task(tmp_path / "raw"), tmp_path / "cohort"
    prepare_msd(Msd(raw=raw, out=out, workers=1))
    cohort = Cohort.open(out)
    harm(raw / "labelsTr/scan_000.nii.gz")
    with pytest.raises(InputError, match=said):
        score(iter(cohort.labels([0])), cohort, [0], progress=False, raw=raw)


def test_prediction_and_label_of_different_shape_are_refused():
    with pytest.raises(InputError, match=r"prediction \(2, 2\), label \(3, 3\)"):
        score_case(torch.zeros(2, 2), torch.zeros(3, 3), {"a": (1,)}, case_of((3, 3)))


def test_an_unlabelled_case_cannot_be_scored(tmp_path):
    cohort = make_cohort(tmp_path, 2, unlabelled=1)
    with pytest.raises(InputError, match="case_001 has no label"):
        score(iter([torch.zeros(24, 32, 24)]), cohort, (1,), progress=False)


class Brightness(nn.Module):
    """Class 1 where the voxel is above 0; looks at nothing but the voxel itself."""

    def __init__(self):
        super().__init__()
        self.zero = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return torch.cat([-x, x + self.zero], 1)


def test_a_sliding_window_gives_what_the_whole_volume_gives():
    images = torch.randn(2, 1, 20, 25, 18)
    whole = predict_batch(Brightness(), images)
    assert torch.equal(whole, (images[:, 0] > 0).long())
    assert torch.equal(predict_batch(Brightness(), images, (8, 8, 8)), whole)
    assert torch.equal(predict_batch(Brightness(), images, (99, 99, 99)), whole)


def test_many_cases_are_answered_in_batches_and_in_order(cohort):
    answers = list(predictions(Brightness(), cohort, tuple(range(11))))
    assert len(answers) == 11
    for case, answer in enumerate(answers):
        assert torch.equal(answer, (cohort.images([case])[0, 0] > 0).long())


@pytest.mark.parametrize("count", range(14))
def test_batches_hold_every_case_once_in_order_and_leave_none_alone(count):
    batches = in_batches(range(count))
    assert [case for batch in batches for case in batch] == list(range(count))
    assert all(2 <= len(batch) <= 4 for batch in batches) or count == 1


def test_evaluation_lists_a_row_a_case_and_region(cohort):
    result = evaluate(Brightness(), cohort, (3, 1), progress=False)
    rows = result.rows()
    assert [(r["case"], r["region"]) for r in rows] == [
        (case, region) for case in ("case_003", "case_001") for region in cohort.regions
    ]
    assert "mean Dice" in str(result)
    assert "HD95" in str(result)


def test_absent_regions_are_counted_in_the_summary(cohort):
    result = evaluate(Brightness(), cohort, (0, 1), progress=False)
    counted = replace(result, absent=np.array([[True, False, False], [True, False, False]]))
    assert "front is absent from 2 of 2 cases" in str(counted)


@pytest.mark.parametrize("axes", [("R", "A", "S"), ("L", "P", "S"), ("P", "S", "R")])
def test_a_prediction_lies_over_the_raw_scan_voxel_for_voxel(tmp_path, axes):
    """A crop of an RAS view of a raw scan in another orientation goes back where it came from."""
    raw = np.zeros((12, 14, 10), np.uint8)
    raw[3:7, 4:9, 2:6] = 1
    raw[5, 5, 5] = 2
    turn = nibabel.orientations.axcodes2ornt(axes)
    affine = nibabel.orientations.inv_ornt_aff(turn, raw.shape) @ np.diag([1, 2, 1.5, 1])
    affine[:3, 3] += (7, -3, 11)
    scan = nibabel.Nifti1Image(raw, affine)
    ras = nibabel.as_closest_canonical(scan)
    start = (2, 2, 1)
    cropped = np.asarray(ras.dataobj)[2:, 2:, 1:]
    shifted = ras.affine @ np.array(
        [[1, 0, 0, start[0]], [0, 1, 0, start[1]], [0, 0, 1, start[2]], [0, 0, 0, 1]]
    )
    source = Source({}, {}, raw.shape, affine.tolist())
    case = Case("x", "x", cropped.shape, shifted.tolist(), [], source, True)
    path = tmp_path / "x.nii.gz"
    write_prediction(path, cropped, case, (0, 1, 4))
    back = nibabel.load(path)
    np.testing.assert_allclose(back.affine, affine)
    assert np.array_equal(np.asarray(back.dataobj), np.where(raw == 2, 4, raw))


def test_predictions_of_a_cohort_are_files_and_the_same_each_time(cohort, tmp_path):
    paths = predict(Brightness(), cohort, tmp_path / "a", (0, 2))
    again = predict(Brightness(), cohort, tmp_path / "b", (0, 2))
    assert [p.name for p in paths] == ["case_000.nii.gz", "case_002.nii.gz"]
    assert [p.read_bytes() for p in paths] == [p.read_bytes() for p in again]


def test_a_prediction_of_a_slice_is_refused_before_anything_is_written(tmp_path):
    flat = make_cohort(tmp_path / "flat", 1, (8, 10))
    with pytest.raises(InputError, match=r"^made up is 2D: .*, so predict a 3D cohort$"):
        predict(Brightness(), flat, tmp_path / "out", (0,))
    assert not (tmp_path / "out").exists()


def test_proxy_score_is_the_same_again_and_changes_no_module(cohort):
    encoder = make_encoder(EncoderSettings(filters=(4, 8)), 0)
    task = make_puzzle("rotation", encoder.settings, crop_size=12)
    before = {n: w.clone() for n, w in encoder.state_dict().items()}
    first = proxy_score(task, encoder, cohort, (0, 1, 2, 3))
    assert first == proxy_score(task, encoder, cohort, (0, 1, 2, 3))
    assert first["chance"] == pytest.approx(0.1)
    assert encoder.training
    assert all(torch.equal(before[n], w) for n, w in encoder.state_dict().items())
    few = proxy_score(task, encoder, cohort, (0,), batch=4)
    assert few.keys() == first.keys(), "fewer cases than a batch are one smaller batch"
    with pytest.raises(InputError, match="no case to score"):
        proxy_score(task, encoder, cohort, ())


def test_evaluating_gives_the_mode_back_after_an_error():
    module = nn.Linear(1, 1)
    with pytest.raises(TypeError), evaluating(module):
        module("no tensor")
    assert module.training


def test_evaluating_leaves_a_frozen_part_as_it_was():
    network = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)).train()
    network[0].eval()
    with evaluating(network):
        assert [part.training for part in network.modules()] == [False, False, False]
    assert [part.training for part in network.modules()] == [True, False, True]


def test_slices_are_stacked_and_scored_as_the_scan(tmp_path):
    """Dice, HD95 and absence of stacked slices are those of the 3D case, whichever the axis."""
    volumes = make_cohort(tmp_path / "3d", 5, (8, 10, 12))
    test = volumes.split().test
    wrong = [volumes.labels([case])[0].roll(1, 0) for case in test]
    whole = score(iter(wrong), volumes, test, progress=False)
    for axis in range(3):
        flat_folder = tmp_path / f"2d-{axis}"
        prepare_slices(SliceSettings(volumes.folder, flat_folder, axis=axis))
        flat = Cohort.open(flat_folder)
        answers = (piece for answer in wrong for piece in answer.unbind(axis))
        found = score(answers, flat, flat.split().test, progress=False)
        assert found.cases == whole.cases
        np.testing.assert_allclose(found.dice, whole.dice)
        np.testing.assert_allclose(found.hd95, whole.hd95, rtol=1e-5)
        assert (found.absent == whole.absent).all()

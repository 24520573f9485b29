"""Label transfer by the nearest neighbour, beside the plainest way to do it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import make_cohort, make_graded
from sklearn.neighbors import KNeighborsClassifier
from torch import nn

from ssl3d_lite.data.case import array_path, write_array
from ssl3d_lite.evaluation import neighbours
from ssl3d_lite.evaluation.features import sample_features
from ssl3d_lite.evaluation.neighbours import Reference, label_transfer
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings


class Plain(nn.Module):
    """An "encoder" whose features are the scan itself."""

    def __init__(self):
        super().__init__()
        self.zero = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        return [x + self.zero]


def test_the_nearest_is_that_of_scikit_learn_on_standardised_features():
    generator = np.random.default_rng(0)
    known = (generator.normal(size=(200, 5)) * [1, 100, 0.01, 1, 0]).astype(np.float32)
    wanted = (generator.normal(size=(60, 5)) * [1, 100, 0.01, 1, 0]).astype(np.float32)
    classes = generator.integers(0, 4, 200).astype(np.uint8)
    found = Reference(known, classes, torch.device("cpu")).nearest(torch.from_numpy(wanted))
    spread = known.std(0) + (known.std(0) == 0)
    plain = KNeighborsClassifier(1).fit((known - known.mean(0)) / spread, classes)
    assert np.array_equal(found, plain.predict((wanted - known.mean(0)) / spread))


@pytest.mark.parametrize("every", [1, 2, 5])
def test_a_scan_whose_every_voxel_is_known_is_its_own_answer(cohort, every):
    encoder = make_encoder(EncoderSettings(filters=(4, 8), norm="none"), 0)
    (result,) = label_transfer(encoder, cohort, [[3]], [3], voxels=24 * 32 * 24, every=every)
    assert result.score == 1
    assert result.hd95.max() == 0


def test_labels_that_follow_the_grey_value_are_transferred(tmp_path):
    scans = make_cohort(tmp_path, 6, (12, 12, 12))
    for case in scans.cases:
        image = np.load(array_path(tmp_path, "images", case.id))
        label = np.digitize(image[0], (0.5, 2)).astype(np.uint8)
        write_array(array_path(tmp_path, "labels", case.id), label)
    results = label_transfer(Plain(), scans, [[0], [1, 2]], [3, 4, 5], 1500, hausdorff=False)
    assert [report.score > 0.9 for report in results] == [True, True]
    assert results[0].hd95 is None


def test_chunks_and_draws_change_nothing(cohort, monkeypatch):
    encoder = make_encoder(EncoderSettings(filters=(4, 8)), 0)
    whole = label_transfer(encoder, cohort, [[0], [1]], [2, 5], 300, hausdorff=False)
    monkeypatch.setattr(neighbours, "VOXELS_AT_A_TIME", 1000)
    (alone,) = label_transfer(encoder, cohort, [[1]], [2, 5], 300, hausdorff=False)
    assert np.array_equal(whole[1].dice, alone.dice)


def test_a_reference_has_so_many_voxels_from_all_its_scans_together(cohort, monkeypatch):
    sizes = []
    monkeypatch.setattr(
        neighbours,
        "Reference",
        lambda f, c, d: sizes.append(len(f)) or Reference(f, c, d),
    )
    label_transfer(Plain(), cohort, [[0], [0, 1, 2]], [5], 300, hausdorff=False)
    assert sizes == [300, 300]
    (own,) = sample_features(Plain(), cohort, [0], 300)
    assert own.places.shape == (300, 3)


def test_grades_are_voted_for_by_the_nearest_pictures(tmp_path):
    graded = make_graded(tmp_path, [0, 1, 2] * 5, edge=16)
    for case in graded.cases:
        picture = np.full((3, 16, 16), case.grade, np.float16)
        write_array(array_path(tmp_path, "images", case.id), picture)
    flat = replace(graded, cases=graded.cases)
    (result,) = label_transfer(Plain(), flat, [range(9)], range(9, 15))
    assert result.prediction.tolist() == [0, 1, 2] * 2
    (one,) = label_transfer(Plain(), flat, [[4]], range(9, 15))
    assert set(one.prediction.tolist()) == {1}, "of one picture its grade"
    assert one.score == pytest.approx(0)

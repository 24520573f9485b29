"""What the view of features sends: bytes whose distances are those of the features."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import make_cohort

from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.feature_maps import (
    cell_labels,
    cell_middles,
    features,
    places_in,
    read_map,
)
from ssl3d_lite.evaluation.nearest import intensity_histograms, nearest_rows
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.show import Features
from ssl3d_lite.show.browser import feature_cells
from ssl3d_lite.show.browser.feature_cells import (
    Frame,
    encoder_column,
    frames_of,
    matches,
    place_column,
    stride_for,
    transfer_dice,
)
from ssl3d_lite.show.browser.feature_rings import (
    RingJudge,
    asked_places,
    mean_of_moved,
    nearness,
)
from ssl3d_lite.show.browser.features import conclusion_of

CASES = [0, 3, 5]
SHAPE = (24, 32, 24)
GRID = (12, 16, 12)


@pytest.fixture(scope="module")
def encoder(cohort):
    return make_encoder(cohort, seed=0, filters=(4, 8))


@pytest.fixture(scope="module")
def column(cohort, encoder):
    return encoder_column("a", encoder, cohort, CASES, frames_of(SHAPE), stride=2)


@pytest.fixture(scope="module")
def maps(cohort, encoder):
    return features(encoder, cohort, CASES)


@pytest.fixture(scope="module")
def view(cohort, encoder):
    return Features(encoder, cohort, cases=CASES, names=("trained", "random"))


# ---- bytes -------------------------------------------------------------------------------------


def nearest(cells, known):
    """The plain way, in float64."""
    apart = (cells[:, None].astype(float) - known[None]) ** 2
    return apart.sum(-1).argmin(1)


def test_distances_between_bytes_are_those_between_features(column, maps):
    """The error of rounding is a byte's at most, a component each."""
    full = maps.standardised(0).reshape(12, -1).T
    sent = column.cells[0].astype(float)
    pairs = np.random.default_rng(0).integers(0, len(full), (2, 500))
    true = np.linalg.norm(full[pairs[0]] - full[pairs[1]], axis=1)
    rounded = np.linalg.norm(sent[pairs[0]] - sent[pairs[1]], axis=1)
    step = np.median(true[true > 0] / rounded[true > 0])
    assert np.abs(rounded * step - true).max() < step * np.sqrt(12)
    assert np.abs(rounded * step - true).max() < 0.03 * true.mean()


def test_rounding_to_bytes_changes_no_finding(cohort, column, maps):
    """Most cells have the very same best match, the others one as good; and Dice stays."""
    full = [maps.standardised(n).reshape(12, -1).T for n in range(3)]
    asked = np.random.default_rng(1).choice(len(full[0]), 400, replace=False)
    true = nearest(full[0][asked], full[1])
    rounded = matches(column.cells[0][asked], column.cells[1])
    assert (true == rounded).mean() > 0.8
    distance = np.linalg.norm(full[0][asked] - full[1][rounded], axis=1)
    best = np.linalg.norm(full[0][asked] - full[1][true], axis=1)
    assert (distance / best).max() < 1.05
    labels = [cell_labels(cohort, case, 2) for case in CASES]
    fine = transfer_dice([each * 1e6 for each in full], labels)
    assert transfer_dice(column.cells, labels) == pytest.approx(fine, abs=0.01)


def test_matches_are_found_as_the_plain_way_finds_them(column):
    few = column.cells[0][::97]
    found, plain = matches(few, column.cells[1]), nearest(few, column.cells[1])
    apart = [((few - column.cells[1][at].astype(float)) ** 2).sum(1) for at in (found, plain)]
    assert np.array_equal(*apart)


def test_colours_are_those_of_the_maps(column, maps):
    seen = np.stack([column.palette[n][column.cells[1][:, n]] for n in range(3)], -1)
    true = maps.colours(1).reshape(-1, 3)
    assert np.abs(seen.astype(int) - true).max() <= 6  # a component's byte is coarser
    assert np.abs(seen.astype(int) - true).mean() < 2


def test_few_components_are_sent_of_many(cohort, monkeypatch):
    monkeypatch.setattr(feature_cells, "COMPONENTS", 5)
    wide = make_encoder(cohort, seed=0, filters=(8, 16))
    column = encoder_column("a", wide, cohort, CASES, (), stride=4)
    assert column.cells[0].shape == (6 * 8 * 6, 5)
    assert 0 < column.share < column.kept < 1


# ---- frames and place --------------------------------------------------------------------------


def test_frames_lie_along_the_diagonal_and_the_middle_one_is_not_moved():
    frames = frames_of((40, 56, 40))
    assert [frame.corner for frame in frames] == [(5, 7, 5), (0, 0, 0), (10, 14, 10)]
    assert {frame.size for frame in frames} == {(30, 42, 30)}


def test_a_frame_is_read_alone(cohort, encoder, column):
    """What lies around it is not seen."""
    frame = frames_of(SHAPE)[1]
    crop = cohort.images([0])[0][frame.box]
    alone = read_map(encoder.double(), crop, 2)
    encoder.float()
    assert alone.shape[1:] == (9, 12, 9)
    assert len(column.cells[4]) == 9 * 12 * 9


def test_place_knows_the_place_alone():
    shapes = [SHAPE, SHAPE, (24, 32, 30)]
    frames = frames_of(SHAPE)
    place = place_column(shapes, frames, 2)
    asked = np.arange(0, 12 * 16 * 12, 101)
    assert np.array_equal(matches(place.cells[0][asked], place.cells[1]), asked)
    unmoved, *moved = place.cells[3:]
    true = places_in(cell_middles(frames[0].size, 2) + frames[0].corner, SHAPE)
    assert np.array_equal(unmoved, np.rint((true + 1) / 2 * 255))
    assert all(np.array_equal(cells, unmoved) for cells in moved), "it cannot know of a move"


def test_a_scan_of_any_size_has_so_many_cells_at_most():
    assert stride_for((40, 56, 40)) == 2
    assert stride_for((96, 96, 96)) == 3
    assert stride_for((240, 240, 155)) == 7


def test_labels_are_carried_from_the_first_patient():
    known = np.array([[0], [100], [200]], np.uint8)
    labels = [np.array([0, 1, 2], np.uint8)] * 2
    assert transfer_dice([known, known + 3], labels) == 1
    assert transfer_dice([known, known[::-1]], labels) == 0.5
    assert transfer_dice([known, known], [labels[0], None]) is None
    assert transfer_dice([known, known], [None, labels[0]]) is None


# ---- which rings are right ---------------------------------------------------------------------


@pytest.fixture
def strip():
    """Eight voxels in a row, and two patients; labels 1 and 2 lie elsewhere in the second. Cells
    are voxels, and their feature is what they are."""
    labels = [
        np.array(each, np.uint8).reshape(8, 1, 1)
        for each in ([0, 1, 1, 2, 2, 0, 0, 0], [0, 0, 0, 1, 1, 2, 2, 0])
    ]
    frames = [Frame((0, 0, 0), (6, 1, 1)), Frame((2, 0, 0), (6, 1, 1))]
    shapes = [(8, 1, 1)] * 2
    return RingJudge(shapes, [(1.5, 1.0, 1.0)] * 2, labels, frames, stride=1)


def cells_by(strip, feature):
    """What a column that knows a feature of each voxel sends."""
    boxes = [feature[0], feature[1], feature[0][:6], feature[0][2:]]
    return [np.array(each, np.uint8)[:, None] * 10 for each in boxes]


def test_rings_of_what_knows_the_label_are_right(strip):
    places = asked_places(strip.labels[0], strip.labels[0])
    assert places[:, 0].tolist() == [1, 2, 3, 4]
    knows = cells_by(strip, [label.ravel() for label in strip.labels])
    assert strip.in_patients(knows, places) == 1
    # the first of the like is found: voxel 1 for 1 and 2, voxel 3 for 3 and 4; near is 1.8 mm
    assert strip.near.place == pytest.approx(np.sqrt(1.5**2 + 2))
    assert strip.in_crops(knows, places) == [1, 1]


def test_rings_of_what_knows_the_place_stay_where_they_were(strip):
    places = asked_places(strip.labels[0], strip.labels[0])
    place = [range(8), range(8), range(6), range(6)]
    cells = [np.array(each, np.uint8)[:, None] * 10 for each in place]
    # 1 and 2 are found at 1 and 2, a voxel or two from label 1; 3 and 4 as far from label 2
    assert strip.near.label == 1.5
    assert strip.in_patients(cells, places) == 0  # a voxel is 1.5 mm, and right is less
    assert strip.in_crops(cells, places) == [1, 0]
    assert mean_of_moved(strip.in_crops(cells, places)) == 0


def test_places_that_lie_outside_a_crop_are_not_judged_in_it(strip):
    itself = cells_by(strip, [range(8)] * 2)
    assert strip.in_crops(itself, np.array([[7, 0, 0]])) == [None, 1]
    assert mean_of_moved(strip.in_crops(itself, np.array([[0, 0, 0]]))) is None


def test_without_a_label_no_ring_is_judged_in_others(strip):
    itself = cells_by(strip, [range(8)] * 2)
    places = np.array([[3, 0, 0]])
    assert replace(strip, labels=[None, strip.labels[1]]).in_patients(itself, places) is None
    assert replace(strip, labels=[strip.labels[0], None]).in_patients(itself, places) is None
    nothing = [strip.labels[0], np.zeros_like(strip.labels[1])]
    assert replace(strip, labels=nothing).in_patients(itself, places) is None


def test_without_labels_all_but_air_is_asked():
    scan = np.array([0, 7, 0, 9], np.uint8).reshape(4, 1, 1)
    assert asked_places(None, scan)[:, 0].tolist() == [1, 3]
    many = asked_places(None, np.ones((20, 30, 20), np.uint8))
    assert 2**11 < len(many) <= 2**12


def test_near_is_a_voxel_from_a_label_and_a_cell_from_a_place():
    near = nearness([(1, 1, 1), (1, 2, 1)], stride=2)
    assert near.label == 2
    assert near.place == pytest.approx(np.sqrt(2**2 + 4**2 + 2**2))


def rows_with(*shares):
    names = ("trained", "random", "place alone")
    return [{"name": n, "right": list(each)} for n, each in zip(names, shares, strict=True)]


def test_the_conclusion_says_what_the_numbers_say():
    said, told = conclusion_of(rows_with((0.794, 0.61), (0.58, 0.3), (0.59, 0)), 4)
    assert said == "Trained knows more of the anatomy than random, and not only the place."
    assert told == (
        "It finds 79% of A's labelled places in the same part of B, C and D (random 58%, place "
        "alone 59%). When the crop of A is moved, its ring stays on the place for 61% on "
        "average (random 30%, place alone 0%)."
    )


@pytest.mark.parametrize(
    ("shares", "behind"),
    [
        (((0.6, 0.6), (0.5, 0.3), (0.7, 0)), "place alone"),
        (((0.6, 0.3), (0.5, 0.3), (0.5, 0)), "random"),
        (((0.501, 0.6), (0.499, 0.3), (0.5, 0)), "random and place alone"),  # all show 50 %
    ],
)
def test_the_conclusion_names_who_is_not_beaten(shares, behind):
    said, _ = conclusion_of(rows_with(*shares), 3)
    assert said == f"By these numbers trained is not clearly ahead of {behind}."


def test_the_conclusion_says_nothing_of_what_is_not_known():
    said, told = conclusion_of(rows_with((None, 0.6), (None, 0.3), (None, 0)), 2)
    assert said.startswith("Trained knows")
    assert told.startswith("When the crop of A is moved")
    assert conclusion_of(rows_with((None, None), (None, None), (None, None)), 2) == []


# ---- the view ----------------------------------------------------------------------------------


def test_everything_is_sent_once(view):
    voxels = int(np.prod(SHAPE))
    assert len(view._scans) == len(view._labels) == 3 * voxels
    cells = 3 * int(np.prod(GRID)) + 3 * 9 * 12 * 9
    assert len(view._cells) == cells * (12 + 12 + 3)
    assert [each["components"] for each in view._columns] == [12, 12, 3]
    assert repr(view) == "Features of 3 patients: trained, random, place alone"


def test_the_nearest_patients_are_those_of_the_figure(cohort, encoder):
    """By each encoder's embeddings, and last by intensities, which need no encoder."""
    view = Features(encoder, cohort, cases=CASES[:2], among=range(6))
    everyone = [0, 3, 1, 2, 4, 5]
    assert [each["name"] for each in view._others] == [cohort.cases[n].id for n in everyone]
    maps = features(encoder, cohort, everyone, fit=CASES[:2])
    by_features, _, by_intensity = view._neighbours
    assert by_intensity["name"] == "intensity"
    for row in range(2):
        assert by_features["nearest"][row] == nearest_rows(maps.embeddings, row, 5)
        known = nearest_rows(intensity_histograms(cohort, everyone), row, 5)
        assert by_intensity["nearest"][row] == known
    assert len(view._thumbs) == 6 * 32 * 24
    assert view._others[0]["size"] == [32, 24]


def test_of_few_patients_all_are_near(cohort, encoder):
    view = Features(encoder, cohort, cases=CASES, among=[])
    assert view._neighbours == []
    assert len(view._others) == 3


def test_air_alone_is_black(cohort, encoder):
    images = cohort.images([0, 1])
    images[0, :, :6] = images[0, :, -2:] = images[0].min()
    headed = replace(cohort, cases=cohort.cases[:2], resident=(images, cohort.labels([0, 1])))
    scans = np.frombuffer(Features(encoder, headed)._scans, np.uint8).reshape(2, *SHAPE)
    assert np.array_equal(scans[0] == 0, (images[0, 0] == images[0].min()).numpy())
    assert scans[1].min() == 1  # it has none


def test_it_begins_in_the_middle_of_the_largest_label(view, cohort):
    label = cohort.labels([0])[0]
    assert label[tuple(view.voxel)] == np.bincount(label[label > 0]).argmax()


def test_the_numbers_are_computed(view, cohort, column):
    what, *shares = view._numbers[0]
    assert what == "variance in three colours"
    assert shares == [f"{column.share:.0%}", f"{column.share:.0%}", "–"]  # both are random here
    assert view._numbers[2][3] == "0.00"
    assert all(len(row) == 4 for row in view._numbers)


def test_each_row_says_how_often_its_rings_are_right(view):
    trained, random, place = view._columns
    assert trained["right"] == random["right"]  # both are random here
    assert place["right"][1] == 0
    what, *_, in_crops = view._numbers[3]
    assert what.startswith("right rings in the crop")
    assert in_crops == "100%, 0%, 0%", "it counts from where the crop was cut"
    assert 0 < place["right"][0] < 1
    assert view._conclusion[0].startswith("By these numbers trained is not clearly ahead of random")
    abouts = [each["about"] for each in view._columns]
    assert abouts == ["", "the same network, untrained", "sees no scan, knows only where"]


def test_the_telling_voxel_is_where_the_rows_differ_most(cohort, encoder):
    view = Features(make_encoder(cohort, seed=3, filters=(4, 8)), cohort, encoder, CASES)
    judge, rows, places = view._judged

    def lead(place):
        parts = [[f(cells, place) for cells in rows] for f in (judge.in_patients, judge.in_crops)]
        right = [None if m[view.frame] is None else p + m[view.frame] for p, m in zip(*parts)]
        return -9 if None in right else right[0] - max(right[1:])

    best = lead(np.array([view.telling_voxel()]))
    leads = [lead(place) for place in places[::5, None]]
    assert best >= max(leads)
    assert best > np.median(leads)


def test_without_labels_nothing_is_said_of_them(tmp_path, encoder):
    scans = make_cohort(tmp_path, 4, unlabelled=4)
    view = Features(encoder, scans)
    assert view._labels == b""
    assert view._classes == []
    assert view._numbers[1][1:] == ["–", "–", "–"]
    assert view.voxel == view.telling_voxel() == [12, 16, 12]
    assert view._columns[0]["right"][0] is None
    assert "label" not in " ".join(view._conclusion)


def test_the_encoders_stay_as_they_were(cohort):
    given = make_encoder(cohort, seed=0, filters=(4, 8), norm="batch")
    before = {name: value.clone() for name, value in given.state_dict().items()}
    Features(given, cohort, given, cases=CASES[:2])
    for name, value in given.state_dict().items():
        assert torch.equal(value, before[name])
        assert value.dtype == before[name].dtype


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cases": [0]}, "1 cases are chosen; Features shows 2 to 4"),
        ({"cases": range(5)}, "5 cases are chosen"),
        ({"cases": [0, 99]}, "case 99 is not among"),
        ({"cases": [0, 1], "stride": 0}, "stride is 0"),
        ({"cases": [0, 1], "stride": 99}, "stride is 99, but a scan has no more than"),
        ({"cases": [0, 1], "names": ("a",)}, "names are"),
        ({"cases": [0, 1], "names": "ab"}, "names are 'ab', but must be two texts"),
        ({"cases": [0, 1], "names": ("a", 2)}, "names are"),
        ({"cases": [0, 1], "names": ("a", "place alone")}, "neither of them 'place alone'"),
        ({"cases": [0, 1, 0]}, "each patient is shown once"),
        ({"cases": [0, 1], "among": 3}, "cases are 3"),
    ],
)
def test_bad_input_gets_one_line(cohort, encoder, settings, message):
    with pytest.raises(InputError, match=message):
        Features(encoder, cohort, **settings)


def test_pictures_are_refused(tmp_path):
    pictures = make_cohort(tmp_path, 3, (24, 32))
    with pytest.raises(InputError, match="2D; Features shows 3D scans"):
        Features(make_encoder(pictures, filters=(4, 8)), pictures)


def test_a_voxel_or_a_crop_that_is_not_there_is_refused(view):
    with pytest.raises(InputError, match=r"not in the patient's 24 × 32 × 24 voxels"):
        view.voxel = [24, 0, 0]
    with pytest.raises(InputError, match="not among the 3 positions of the crop"):
        view.frame = 3
    with pytest.raises(InputError, match="patient 3 is not among the 3"):
        view.patient = 3


def test_an_encoder_for_other_channels_is_read_by_name_or_refused(cohort, encoder):
    two = make_encoder(replace(encoder.settings, spatial_dims=2, norm="batch"))
    with pytest.raises(InputError):
        Features(two, cohort, encoder, cases=CASES)

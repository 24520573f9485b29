"""Puzzles in napari: the layers without a display, the keys, and real windows in processes of
their own, because Qt may end the process it runs in."""

import csv
import os
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from helpers import looked_up

pytest.importorskip("napari", reason="napari is not installed: pip install -e .[napari]")

from napari.components import ViewerModel

from ssl3d_lite.cli.main import main
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show.napari import display
from ssl3d_lite.show.napari import open as opening
from ssl3d_lite.show.napari.boxes import box_outline
from ssl3d_lite.show.napari.camera import camera, keep_head_up, stand_in_3d
from ssl3d_lite.show.napari.captions import plate
from ssl3d_lite.show.napari.compose import as_it_lies, compose
from ssl3d_lite.show.napari.in_space import is_crop
from ssl3d_lite.show.napari.layers import AIR, add_scan, class_layer, values_of
from ssl3d_lite.show.napari.open import open_puzzle
from ssl3d_lite.show.napari.plugin import field_help, virtual_brain, volumes_of, world_of
from ssl3d_lite.show.napari.puzzle import add_puzzle
from ssl3d_lite.show.napari.review import MARK_COLUMNS, REVIEW_KEYS, review
from ssl3d_lite.show.pieces import COLOURS
from ssl3d_lite.show.scan_files import read_scan_files
from ssl3d_lite.tasks import TASKS, make_task

ROOT = Path(__file__).parents[4]
OWN = {
    "rotation": {"crop_size": 12},
    "rpl": {"patch": 4},
    "jigsaw": {"patch": 4},
    "exemplar": {"crop_size": 12},
    "cpc": {"patch": 8, "stride": 4, "jitter": 0},
    "masked": {"crop_size": 16, "block_size": 4},
    "tissue": {"crop_size": 12},
}
needs_xvfb = pytest.mark.skipif(
    shutil.which("Xvfb") is None, reason="Xvfb is not installed, so napari cannot draw here"
)


def posed(name, dims=3, seed=0, channels=1, **settings):
    shape = EncoderSettings(channels, dims, filters=(4, 8))
    task = make_task(name, shape, 0, **OWN[name] | settings)
    generator = torch.Generator().manual_seed(seed)
    volumes = torch.rand(3, channels, *(24, 28, 21)[:dims], generator=generator)
    return volumes, task.make_views(volumes, task.sample_params(volumes, generator))


def names(viewer):
    return [layer.name for layer in viewer.layers]


# ---- a scan ------------------------------------------------------------------------------------


@pytest.fixture
def oblique(tmp_path):
    """A raw scan in an order of axes of its own, oblique, with a marked voxel; and a map of it."""
    affine = nib.affines.from_matvec(nib.eulerangles.euler2mat(0.1, 0.2), [30, -20, 10])
    affine = affine @ np.diag([-1.0, 1.5, 2.5, 1])[:, [2, 0, 1, 3]]
    scan = np.random.default_rng(0).uniform(0, 1, (7, 6, 5)).astype(np.float32)
    labels = np.zeros((7, 6, 5), np.uint8)
    scan[4, 1, 3], labels[4, 1, 3] = 9, 2
    paths = [tmp_path / "raw.nii.gz", tmp_path / "map.nii.gz"]
    for path, data in zip(paths, (scan, labels)):
        nib.save(nib.Nifti1Image(data, affine), path)
    return *paths, affine


def test_a_prediction_lies_over_its_raw_scan_in_the_scanners_world(oblique):
    image, labels, affine = oblique
    viewer = ViewerModel()
    layers = opening.add_scan_files(viewer, read_scan_files(image, labels))
    assert names(viewer) == ["scan", "labels"]
    wanted = nib.affines.apply_affine(affine, [4, 1, 3])
    for layer, value in zip(layers, (9, 2), strict=True):
        (place,) = np.argwhere(np.asarray(layer.data) == value)
        np.testing.assert_allclose(layer.data_to_world(place), wanted, atol=1e-4)


@needs_xvfb
def test_a_raw_scan_and_its_prediction_in_a_real_window(oblique, monkeypatch, capsys):
    image, labels, _ = oblique
    monkeypatch.setattr(opening, "display_trouble", lambda: "no display")
    picture = opening.open_scan(image, labels)
    assert capsys.readouterr().out == "no display: a picture of napari instead, made with Xvfb\n"
    assert min(decoded(picture.data).shape[:2]) > 600


def test_the_command_opens_no_window_where_there_is_none(oblique, capsys, monkeypatch):
    image, labels, _ = oblique
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert main(["show", str(image), "--labels", str(labels)]) == 2
    said = capsys.readouterr().err
    assert "see it in a notebook: ssl3d_lite.show.scan_slices(SCAN, LABELS)" in said


def test_a_scan_has_a_layer_for_each_channel_and_one_for_each_map():
    viewer, volume = ViewerModel(), torch.rand(2, 6, 5, 4)
    labels = np.zeros((6, 5, 4), np.uint8)
    labels[2:4] = 2
    layers = add_scan(viewer, volume, labels, label_names=("air", "fat", "bone"), prediction=labels)
    assert names(viewer) == ["scan, channel 0", "scan, channel 1", "labels", "prediction"]
    np.testing.assert_array_equal(layers[1].data, volume[1].numpy())
    np.testing.assert_array_equal(layers[2].data, labels)
    assert layers[2].features["class"].tolist() == ["air", "fat", "bone"]
    assert [layer.visible for layer in layers] == [True, False, True, True]


def test_labels_have_the_colours_of_all_pictures_and_background_is_clear():
    settings = class_layer(np.array([[0, 1], [2, 3]]), "labels", np.eye(3), ())
    colours = settings["colormap"].color_dict
    assert colours[0][3] == 0
    for number in (1, 2, 3):
        wanted = [int(COLOURS[number - 1][i : i + 2], 16) / 255 for i in (1, 3, 5)]
        np.testing.assert_allclose(colours[number][:3], wanted, atol=1e-6)


def test_spacing_scales_the_world_and_the_view_is_upright():
    viewer = ViewerModel()
    (layer,) = add_scan(viewer, np.random.default_rng(0).random((6, 5, 4)), spacing=(1, 2, 3))
    np.testing.assert_array_equal(layer.affine.affine_matrix, np.diag([1, 2, 3, 1]))
    assert viewer.dims.order == (2, 1, 0), "axial: anterior up, right to the right"
    assert viewer.dims.axis_labels == ("right", "anterior", "superior")
    assert [side.value for side in camera(viewer).orientation2d] == ["up", "right"]


def test_a_new_scan_replaces_the_old_one_and_is_looked_at_the_same_way():
    viewer = ViewerModel()
    volumes, batch = posed("rpl")
    add_scan(viewer, volumes[0])
    add_puzzle(viewer, volumes, batch)
    viewer.dims.ndisplay = 3
    viewer.dims.set_point(2, 7.0)
    camera(viewer).angles = (10, 20, 30)
    add_scan(viewer, volumes[1])
    assert names(viewer) == ["scan"]
    assert (viewer.dims.ndisplay, viewer.dims.order, viewer.dims.point[2]) == (3, (2, 1, 0), 7)
    np.testing.assert_allclose(camera(viewer).angles, (10, 20, 30))


def test_a_photograph_is_one_layer_in_colour():
    viewer, picture = ViewerModel(), torch.rand(3, 20, 30)
    (layer,) = add_scan(viewer, picture, spacing=(1, 1))
    assert layer.rgb
    np.testing.assert_array_equal(layer.data, picture.movedim(0, -1).numpy())
    assert viewer.dims.order == (1, 0)


@pytest.mark.parametrize(
    ("shape", "labels", "spacing", "said"),
    [
        ((5, 4, 3, 2, 2), None, None, "shape \\(5, 4, 3, 2, 2\\)"),
        ((6, 5, 4), (6, 5, 3), None, "labels have shape \\(6, 5, 3\\)"),
        ((6, 5, 4), (6, 5, 4), (1, 1), "2 numbers for 3 axes"),
    ],
)
def test_shapes_that_do_not_belong_together_are_refused(shape, labels, spacing, said):
    labels = None if labels is None else np.zeros(labels, int)
    with pytest.raises(InputError, match=said):
        add_scan(ViewerModel(), np.zeros(shape), labels, spacing=spacing)


# ---- a puzzle ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", OWN)
def test_every_task_has_its_scan_boxes_numbers_and_pieces(name, dims):
    viewer = ViewerModel()
    volumes, batch = posed(name, dims)
    shown = add_puzzle(viewer, volumes, batch, 1)
    count, step = batch.views.shape[1], -(-batch.views.shape[1] // 64)
    pieces = [f"piece {number}" for number in range(0, count, step)]
    maps = ["label"] if name in ("masked", "tissue") else []
    assert names(viewer) == ["scan", *pieces, *maps, "boxes", "numbers"]
    np.testing.assert_array_equal(viewer.layers["scan"].data, volumes[1, 0].numpy())
    viewer.dims.ndisplay = dims
    assert viewer.layers["boxes"].data.shape == (count * {2: 4, 3: 12}[dims], 2, dims)
    centres = np.array([piece.centre for piece in shown.pieces])
    np.testing.assert_allclose(viewer.layers["numbers"].data, centres, atol=1e-4)
    assert viewer.layers["numbers"].features["number"].tolist() == list(range(count))


@pytest.mark.parametrize("dims", [2, 3])
def test_pieces_are_layers_with_their_views_and_matrices(dims):
    volumes, batch = posed("jigsaw", dims)
    viewer = ViewerModel()
    add_puzzle(viewer, volumes, batch, 2, spacing=(2, 3, 4)[:dims])
    for view in range(3**dims):
        layer = viewer.layers[f"piece {view}"]
        np.testing.assert_array_equal(layer.data, batch.views[2, view, 0].numpy())
        wanted = np.diag([*[2, 3, 4][:dims], 1]) @ batch.placement.matrix[2, view].numpy()
        np.testing.assert_allclose(layer.affine.affine_matrix, wanted)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_turned_pieces_lie_over_what_they_were_cut_from(dims, seed):
    volumes, batch = posed("rotation", dims, seed)
    viewer = ViewerModel()
    shown = add_puzzle(viewer, volumes, batch)
    np.testing.assert_array_equal(
        looked_up(volumes, batch.placement.matrix, 12).numpy(), batch.views.numpy()
    )
    for number, layer in shown.images.items():
        linear = np.asarray(layer.affine.affine_matrix)[:-1, :-1]
        np.testing.assert_allclose(linear, np.eye(dims), atol=1e-6)  # napari can slice it
        low, high = shown.pieces[number].corners.min(0), shown.pieces[number].corners.max(0)
        box = tuple(slice(round(a + 0.5), round(b + 0.5)) for a, b in zip(low, high))
        np.testing.assert_array_equal(layer.data, volumes[0, 0].numpy()[box])


def test_a_warped_piece_is_laid_into_the_scans_grid_and_clear_outside():
    ramp = torch.arange(20.0).view(1, 1, 20, 1, 1).expand(1, 1, 20, 20, 20)[0].numpy()
    turn = np.eye(4)
    turn[:2, :2] = [[0.8, -0.6], [0.6, 0.8]]
    turn[:3, 3] = (5, -3, 1)
    image, matrix = as_it_lies(ramp, turn)
    inside = np.argwhere(~np.isnan(image[0]))
    scan = (np.c_[inside, np.ones(len(inside))] @ matrix.T)[:, :3]
    expected = (np.c_[scan, np.ones(len(scan))] @ np.linalg.inv(turn).T)[:, 0]
    np.testing.assert_allclose(image[0][tuple(inside.T)], expected, atol=1e-4)
    assert 0.9 * 20**3 < len(inside) < 20**3
    assert np.isnan(image).any()


def test_a_puzzle_keeps_the_scan_that_is_there_and_replaces_the_puzzle_before():
    viewer = ViewerModel()
    volumes, batch = posed("rpl")
    scan, _ = add_scan(viewer, volumes[0], np.zeros((24, 28, 21), int), spacing=(1, 1, 2))
    add_puzzle(viewer, volumes, batch)
    add_puzzle(viewer, volumes, batch)
    assert names(viewer)[:2] == ["scan", "labels"]
    assert viewer.layers[0] is scan
    assert len(viewer.layers) == 2 + 9 + 2
    np.testing.assert_allclose(viewer.layers["piece 0"].affine.scale, (1, 1, 2))
    add_puzzle(viewer, volumes, batch, 1)
    assert names(viewer)[:2] == ["scan", "piece 0"], "another scan, and these are not its labels"


def test_a_label_that_is_a_map_fills_what_is_hidden():
    viewer = ViewerModel()
    volumes, batch = posed("masked")
    prediction = torch.zeros_like(batch.target[0])
    shown = add_puzzle(viewer, volumes, batch, prediction=prediction)
    corner = np.round(shown.pieces[0].corners.min(0) + 0.5).astype(int)
    box = volumes[0, 0].numpy()[tuple(slice(c, c + 16) for c in corner)]
    np.testing.assert_array_equal(viewer.layers["label"].data, box)
    assert (viewer.layers["prediction"].data == 0).all()
    volumes, batch = posed("tissue")
    add_puzzle(viewer, volumes, batch, prediction=batch.target[0])
    for name in ("label", "prediction"):
        np.testing.assert_array_equal(viewer.layers[name].data, batch.target[0, 0].numpy())


# ---- outlines and arrangement ------------------------------------------------------------------


def test_boxes_and_numbers_follow_the_plane_that_is_shown():
    viewer = ViewerModel()
    volumes, batch = posed("rpl")
    shown = add_puzzle(viewer, volumes, batch)
    for place in (4, 10):
        viewer.dims.set_point(2, place)
        lines = viewer.layers["boxes"].data.reshape(9, 12, 2, 3)
        for piece, box, point in zip(shown.pieces, lines, shown.numbers.data):
            low, high = piece.corners.min(0), piece.corners.max(0)
            ends = box.sum(1)
            if low[2] < place < high[2]:
                assert (box[:, 0, 2] == place).all()
                assert (box[:, 1, 2] == 0).all()
                np.testing.assert_allclose(ends.min(0)[:2], low[:2])
                np.testing.assert_allclose(ends.max(0)[:2], high[:2])
                assert point[2] == place
            else:
                assert abs(box[:, 0, 2] - place).min() > 0.5
                np.testing.assert_allclose(point, piece.centre)
    viewer.dims.ndisplay = 3
    lengths = np.linalg.norm(viewer.layers["boxes"].data[:, 1], axis=1)
    np.testing.assert_allclose(lengths, 4)


def test_captions_stand_above_their_boxes_whichever_way_is_up():
    viewer = ViewerModel()
    volumes, batch = posed("rpl")
    numbers = add_puzzle(viewer, volumes, batch).numbers
    far = 0.5 * 4 + 0.03 * 28  # half a box, and a little of the scan
    np.testing.assert_allclose(numbers.text.translation, (0, far, 0))
    viewer.dims.order = (1, 2, 0)
    np.testing.assert_allclose(numbers.text.translation, (0, 0, far))
    camera(viewer).orientation = ("towards", "down", "right")
    viewer.dims.order = (2, 1, 0)
    np.testing.assert_allclose(numbers.text.translation, (0, -far, 0))


def test_the_plane_through_a_turned_box_is_outlined_convexly():
    turn = np.array([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]])
    corners = np.array([(x, y, z) for x in (0, 10) for y in (0, 10) for z in (0, 10)]) @ turn.T
    sides = box_outline(corners, 0, 1.0)
    assert len(sides) == 12
    np.testing.assert_allclose(sides[:, 0, 0], 1)
    around = sides[:4].sum(1)
    np.testing.assert_allclose(around, np.roll(sides[:4, 0], -1, 0), atol=1e-9)


def test_pieces_fly_apart_shuffle_and_come_home():
    viewer = ViewerModel()
    volumes, batch = posed("jigsaw")
    shown = add_puzzle(viewer, volumes, batch)
    viewer.dims.ndisplay = 3
    home = shown.numbers.data.copy()
    shown.arrange(apart=1)
    np.testing.assert_allclose(shown.numbers.data, 2 * home - home.mean(0), atol=1e-4)
    shown.arrange(shown=True)
    order = [piece.home for piece in shown.pieces]
    for view, layer in shown.images.items():
        place = layer.data_to_world((1.5, 1.5, 1.5))  # the middle of four voxels
        np.testing.assert_allclose(place, home[order.index(view)], atol=1e-4)
    shown.arrange()
    np.testing.assert_allclose(shown.numbers.data, home)


@pytest.mark.parametrize("name", ["rotation", "exemplar"])
def test_turned_views_are_shown_as_the_network_gets_them_beside_the_scan(name):
    viewer = ViewerModel()
    volumes, batch = posed(name, seed=3)
    shown = add_puzzle(viewer, volumes, batch)
    shown.spread()
    for view, layer in shown.images.items():
        np.testing.assert_array_equal(layer.data, batch.views[0, view, 0].numpy())
        assert layer.extent.world[0, 0] > 23.5, "right of the scan"
    first, second = (layer.extent.world for layer in shown.images.values())
    assert first[1, 0] < second[0, 0]


def test_predictions_stand_beside_the_labels():
    volumes, batch = posed("rpl")
    truth = batch.target[0].tolist()
    prediction = [truth[0], *(25 - number for number in truth[1:])]
    shown = add_puzzle(ViewerModel(), volumes, batch, prediction=torch.tensor(prediction))
    assert shown.captions[:3] == [
        "0",
        f"1: label {truth[0]}, correct",
        f"2: label {truth[1]}, predicted {25 - truth[1]}",
    ]
    assert shown.colours[:3] == ["#FFFFFF", COLOURS[2], COLOURS[1]]
    with pytest.raises(InputError, match="5 predictions for 9 pieces, 8 of them labelled"):
        add_puzzle(ViewerModel(), volumes, batch, prediction=[1, 2, 3, 4, 5])


def test_of_a_jigsaw_the_order_or_its_number_may_be_predicted():
    volumes, batch = posed("jigsaw")
    viewer = ViewerModel()
    number = int(batch.target[0, 0])
    shown = add_puzzle(viewer, volumes, batch, prediction=number + 1)
    assert shown.caption == f"label {number}, prediction {number + 1}: wrong"
    assert overlay(viewer).text == shown.caption
    assert overlay(viewer).visible
    order = [piece.home for piece in shown.pieces]
    shown = add_puzzle(viewer, volumes, batch, prediction=[*order[:26], order[0]])
    assert [text.split(", ")[1] for text in shown.captions] == ["correct"] * 26 + [
        f"predicted {order[0]}"
    ]


# ---- a review ----------------------------------------------------------------------------------


@pytest.fixture
def reviewed(cohort, tmp_path):
    task = make_task("rpl", EncoderSettings(filters=(4, 8)), 0, patch=4)
    viewer = ViewerModel()
    return review(cohort, task, [3, 5, 7], tmp_path / "marks.csv", viewer=viewer), viewer


def press(viewer, key):
    """What napari does when a key is pressed."""
    bound = {str(binding): action for binding, action in viewer.keymap.items()}
    bound[key](viewer)


def point_at(viewer, shown, number):
    viewer.layers.selection.active = viewer.layers["scan"]
    centre = shown.pieces[number].centre
    viewer.dims.point = tuple(centre)
    viewer.cursor.position = tuple(centre)


def test_keys_step_through_cases_and_puzzles(reviewed, cohort):
    _, viewer = reviewed
    assert len(viewer.keymap) == len(REVIEW_KEYS)

    def scan():
        return viewer.layers["scan"].data

    def first_piece():
        return viewer.layers["piece 1"].data.copy()

    image = {case: cohort.images([case])[0, 0].numpy() for case in (3, 5, 7)}
    np.testing.assert_array_equal(scan(), image[3])
    np.testing.assert_array_equal(viewer.layers["labels"].data, cohort.labels([3])[0].numpy())
    assert viewer.title == "case_003 (1 of 3), rpl, puzzle 0"
    before = first_piece()
    press(viewer, "Q")
    assert viewer.title == "case_003 (1 of 3), rpl, puzzle 1"
    assert not np.array_equal(first_piece(), before)
    press(viewer, "N")
    np.testing.assert_array_equal(scan(), image[5])
    assert viewer.title == "case_005 (2 of 3), rpl, puzzle 0"
    press(viewer, "Shift+N")
    np.testing.assert_array_equal(first_piece(), before), "the same seed, the same puzzle"
    press(viewer, "Shift+N")
    np.testing.assert_array_equal(scan(), image[7])


def test_keys_move_pieces(reviewed):
    shown, viewer = reviewed
    home = shown.puzzle.centres
    press(viewer, "J")
    np.testing.assert_allclose(shown.puzzle.centres, 2 * home - home.mean(0), atol=1e-4)
    press(viewer, "J")
    np.testing.assert_allclose(shown.puzzle.centres, home)
    press(viewer, "H")
    assert shown.puzzle.centres[:, 0].min() > 24
    press(viewer, "Q")
    assert shown.puzzle.centres[:, 0].min() > 24, "the next puzzle is shown the same way"


def test_marks_are_saved_at_once_and_taken_back(reviewed, cohort):
    shown, viewer = reviewed
    point_at(viewer, shown.puzzle, 4)
    press(viewer, "K")
    with open(shown.csv, newline="") as file:
        (row,) = csv.DictReader(file)
    assert tuple(row) == MARK_COLUMNS
    assert row["case"] == "case_003"
    assert (row["cohort"], row["task"], row["seed"], row["piece"]) == ("made up", "rpl", "0", "4")
    centre = [float(row[axis]) for axis in "xyz"]
    np.testing.assert_allclose(centre, shown.puzzle.pieces[4].centre)
    assert shown.puzzle.numbers.features["caption"][4].endswith(" bad")
    assert not shown.puzzle.numbers.features["caption"][5].endswith(" bad")
    assert viewer.status == "patch 4 marked as bad"
    press(viewer, "K")
    assert shown.csv.read_text() == ",".join(MARK_COLUMNS) + "\n"
    assert not shown.puzzle.numbers.features["caption"][4].endswith(" bad")


def test_the_patch_meant_is_the_selected_layer_then_the_one_under_the_mouse(reviewed):
    shown, viewer = reviewed
    point_at(viewer, shown.puzzle, 4)
    assert shown.puzzle.picked() == 4
    viewer.layers.selection.active = viewer.layers["piece 2"]
    assert shown.puzzle.picked() == 2
    viewer.layers.selection.active = viewer.layers["scan"]
    viewer.cursor.position = (0.0, 0.0, 0.0)
    assert shown.puzzle.picked() is None
    press(viewer, "K")
    assert "no patch here" in viewer.status
    assert not shown.csv.exists()
    viewer.layers.selection.active = viewer.layers["numbers"]
    viewer.layers["numbers"].selected_data = {7}
    assert shown.puzzle.picked() == 7


def test_a_review_goes_on_where_marks_are(reviewed, cohort, capsys):
    shown, viewer = reviewed
    point_at(viewer, shown.puzzle, 4)
    press(viewer, "K")
    capsys.readouterr()
    again = review(cohort, shown.task, [3, 5], shown.csv, viewer=ViewerModel())
    said = capsys.readouterr().out
    assert f"marks are kept in {shown.csv} (1 so far)" in said
    assert all(f"{key}: " in said for key in REVIEW_KEYS)
    assert again.marked_pieces() == [4]
    press(again.viewer, "N")
    assert again.marked_pieces() == []
    point_at(again.viewer, again.puzzle, 1)
    press(again.viewer, "K")
    assert shown.csv.read_text().count("\n") == 3
    other = make_task("rpl", EncoderSettings(filters=(4, 8)), 0, patch=5)
    changed = review(cohort, other, [3], shown.csv, viewer=ViewerModel())
    assert changed.marked_pieces() == [], "patches of other settings are other patches"


def test_a_file_that_holds_no_marks_is_left_alone(cohort, tmp_path):
    task = make_task("rpl", EncoderSettings(filters=(4, 8)), 0, patch=4)
    path = tmp_path / "grades.csv"
    path.write_text("case,grade\na,1\n")
    with pytest.raises(InputError, match="is no table of marks"):
        review(cohort, task, [0], path, viewer=ViewerModel())
    assert path.read_text() == "case,grade\na,1\n"
    with pytest.raises(InputError, match=r"cases \[99\] are not among the 15 of made up"):
        review(cohort, task, [0, 99], tmp_path / "marks.csv", viewer=ViewerModel())


def test_photographs_and_tasks_that_compare_scans_can_be_reviewed(cohort, tmp_path):
    task = make_task("exemplar", EncoderSettings(filters=(4, 8)), 0, crop_size=12)
    shown = review(cohort, task, [0], tmp_path / "marks.csv", viewer=ViewerModel())
    assert names(shown.viewer) == ["scan", "labels", "piece 0", "piece 1", "boxes", "numbers"]


# ---- where there is no display -----------------------------------------------------------------

OPEN = """
import torch
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show.napari.open import open_puzzle
from ssl3d_lite.tasks import make_task
volumes = torch.rand(1, 1, *({shape}), generator=torch.Generator().manual_seed(0))
task = make_task("rpl", EncoderSettings(1, volumes.ndim - 2, filters=(4, 8)), 0, patch=4)
batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
shown = open_puzzle(volumes, batch)
print(type(shown).__name__)
"""


def without_display(code, **environment):
    """Run code in a process without a display; gives its lines."""
    kept = {k: v for k, v in os.environ.items() if "DISPLAY" not in k and not k.startswith("QT_")}
    own = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=kept | own | environment,
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("shape", "kind", "what"),
    [("24, 24, 24", "Puzzle3D", "the browser's view"), ("24, 24", "Figure", "a figure")],
)
def test_without_display_and_xvfb_it_is_the_browsers_view(shape, kind, what, tmp_path):
    if kind == "Puzzle3D":
        pytest.importorskip("anywidget", reason="the notebooks' widgets are not installed")
    said, shown = without_display(OPEN.format(shape=shape), PATH=str(tmp_path))
    assert said == f"no display (DISPLAY is not set): {what} instead"
    assert shown == kind


def test_a_display_that_is_not_there_kills_nothing(tmp_path):
    said, shown = without_display(OPEN.format(shape="24, 24"), PATH=str(tmp_path), DISPLAY=":9917")
    assert said.startswith("the display :9917 cannot be used (")
    assert said.endswith(": a figure instead")
    assert shown == "Figure"


@pytest.mark.parametrize(
    ("absent", "said"),
    [({"napari"}, "napari is not installed"), (set(display.QT), "napari has no Qt")],
)
def test_what_is_not_installed_is_said(monkeypatch, capsys, absent, said, cohort, tmp_path):
    found = display.find_spec
    monkeypatch.setattr(display, "find_spec", lambda n: None if n in absent else found(n))
    volumes, batch = posed("rpl", 2)
    assert type(open_puzzle(volumes, batch)).__name__ == "Figure"
    assert capsys.readouterr().out.startswith(said)
    task = make_task("rpl", EncoderSettings(filters=(4, 8)), 0, patch=4)
    with pytest.raises(InputError, match=said):
        review(cohort, task, [0], tmp_path / "marks.csv")


@needs_xvfb
def test_with_xvfb_it_is_a_picture_and_the_server_is_stopped(monkeypatch, capsys):
    monkeypatch.setattr(opening, "display_trouble", lambda: "no display")
    servers = []
    start = subprocess.Popen

    def watched(command, *arguments, **settings):
        process = start(command, *arguments, **settings)
        if command[0] == "Xvfb":
            servers.append(process)
        return process

    monkeypatch.setattr(subprocess, "Popen", watched)
    volumes, batch = posed("rpl")
    picture = open_puzzle(volumes, batch, prediction=batch.target[0])
    assert capsys.readouterr().out == "no display: a picture of napari instead, made with Xvfb\n"
    pixels = decoded(picture.data)
    assert min(pixels.shape[:2]) > 600
    for colour in (COLOURS[0], COLOURS[1]):  # boxes 0 and 1
        wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (abs(pixels - wanted).max(-1) < 60).sum() > 100
    assert [server.poll() is not None for server in servers] == [True]


@needs_xvfb
def test_a_failure_under_xvfb_is_handed_over(monkeypatch, capsys):
    monkeypatch.setattr(opening, "display_trouble", lambda: "no display")
    monkeypatch.setattr(opening, "run_under_xvfb", lambda arguments, folder: "no OpenGL")
    volumes, batch = posed("rpl", 2)
    assert type(open_puzzle(volumes, batch)).__name__ == "Figure"
    said = capsys.readouterr().out
    assert said == "no display, and napari failed under Xvfb (no OpenGL): a figure instead\n"


def decoded(png):
    from io import BytesIO

    from PIL import Image

    return np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int)


# ---- the plugin --------------------------------------------------------------------------------


def test_the_manifest_is_valid_and_its_commands_exist():
    from npe2 import PluginManifest

    (entry,) = entry_points(group="napari.manifest", name="ssl3d-lite")
    assert entry.value == "ssl3d_lite.show.napari:napari.yaml"
    manifest = PluginManifest.from_file(ROOT / "ssl3d_lite/show/napari/napari.yaml")
    manifest.validate_imports()
    assert [widget.display_name for widget in manifest.contributions.widgets] == [
        "Proxy task explorer"
    ]


def test_the_virtual_brain_is_made_once(monkeypatch, tmp_path):
    from npe2 import PluginManager

    from ssl3d_lite.show.napari import plugin as napari_plugin

    monkeypatch.setattr(napari_plugin, "BRAIN_EDGE", 32)
    monkeypatch.setattr(napari_plugin.pooch, "os_cache", lambda name: tmp_path / name)
    manager = PluginManager.instance()
    manager.discover()  # as napari does
    layers = manager.commands.execute("ssl3d-lite.virtual_brain")
    assert [kind for _, _, kind in layers] == ["image"] * 4 + ["labels"]
    assert {data.shape for data, _, _ in layers} == {(32, 32, 32)}
    spacing = Cohort.open(tmp_path / "ssl3d_lite/virtual-brain-32").spacing
    np.testing.assert_array_equal(layers[0][1]["affine"], np.diag([*spacing, 1]))
    viewer = ViewerModel()
    for data, settings, kind in layers:
        getattr(viewer, f"add_{kind}")(data, **settings)
    assert (viewer.layers["labels"].data > 0).any()
    manifest = tmp_path / "ssl3d_lite/virtual-brain-32/cohort.json"
    made = manifest.stat().st_mtime_ns
    virtual_brain()
    assert manifest.stat().st_mtime_ns == made


def test_a_layers_voxels_and_world_are_read_from_napari():
    viewer = ViewerModel()
    data = np.random.default_rng(0).random((5, 6, 7))
    layer = viewer.add_image(data, scale=(1, 2, 3), translate=(10, 0, 0))
    np.testing.assert_allclose(volumes_of(layer)[:, 0], np.stack([data] * 2), rtol=1e-6)
    matrix = np.diag([1.0, 2, 3, 1])
    matrix[0, 3] = 10
    np.testing.assert_allclose(world_of(layer), matrix)
    layer = viewer.add_image(np.zeros((2, 3, 4, 5)))
    with pytest.raises(InputError, match="4 axes; puzzles have 2 or 3"):
        volumes_of(layer)


@pytest.mark.parametrize("name", TASKS)
def test_settings_bring_the_help_that_stands_under_them(name):
    texts = field_help(TASKS[name].Settings)
    assert texts["crop_size" if "crop_size" in texts else "patch"].startswith("Edge of")


EXPLORE = """
import sys
from pathlib import Path
import napari, numpy as np
from napari.components import ViewerModel
from ssl3d_lite.show.napari.plugin import Explorer
from ssl3d_lite.tasks import TASKS

data = np.random.default_rng(0).random((40, 48, 36))
window = napari.Viewer(show=True)
window.add_image(data)
_, widget = window.window.add_plugin_dock_widget("ssl3d-lite", "Proxy task explorer")
widget.task.value = "rotation"
widget.draw.clicked.emit(True)
assert [layer.name for layer in window.layers] == ["data", "piece 0", "piece 1", "boxes", "numbers"]

viewer = ViewerModel()  # costs no drawing
image = viewer.add_image(data, name="mine")
widget = Explorer(viewer)
assert list(widget.task.choices) == list(TASKS)
assert widget.image.value is image
for name in TASKS:
    widget.task.value = name
    widget.draw.clicked.emit(True)
    assert "cannot" not in widget.text.value, widget.text.value
    assert "piece 0" in viewer.layers, name
    assert viewer.layers[0] is image
widget.task.value = "jigsaw"
widget.settings["patch"].value = 6
widget.redraw.clicked.emit(True)
assert viewer.layers["piece 26"].data.shape == (6, 6, 6)
assert widget.seed.value == 1
first = widget.text.value
assert "home" in first and "100 orders of 27 pieces" in first
widget.redraw.clicked.emit(True)
assert widget.text.value != first
before = viewer.layers["piece 0"].affine.affine_matrix.copy()
widget.apart.value = 1.0
assert (viewer.layers["piece 0"].affine.affine_matrix != before).any()
widget.upright.clicked.emit(True)
assert viewer.dims.order == (2, 1, 0)
assert viewer.layers["numbers"].text.translation[1] > 0
widget.settings["patch"].value = 30
widget.draw.clicked.emit(True)
assert "cannot be made" in widget.text.value
widget.task.value = "cpc"
assert widget.settings["prediction_steps"].value == "3, 4"
widget.settings["prediction_steps"].value = "2, x"
widget.draw.clicked.emit(True)
assert "must be numbers" in widget.text.value
viewer.layers.selection.active = viewer.add_image(np.zeros((3, 4, 5, 6)), name="other")
assert widget.image.value.name == "other"
widget.draw.clicked.emit(True)
assert "4 axes" in widget.text.value
viewer.layers.clear()
widget.draw.clicked.emit(True)
assert "Open an image" in widget.text.value
window.close()
Path(sys.argv[1]).write_text("done")
"""


@needs_xvfb
def test_the_dock_widget_poses_every_task(tmp_path):
    script, done = tmp_path / "explore.py", tmp_path / "done"
    script.write_text(EXPLORE)
    fault = display.run_under_xvfb([str(script), str(done)], tmp_path)
    assert fault == ""
    assert done.read_text() == "done"

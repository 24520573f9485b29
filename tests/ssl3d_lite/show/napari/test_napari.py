"""Puzzles in napari: the layers without a display, the keys, and real windows in processes of
their own, because Qt may end the process it runs in."""

import csv
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import entry_points
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from helpers import looked_up
from matplotlib.colors import to_rgba

pytest.importorskip("napari", reason="napari is not installed: pip install -e .[napari]")

from napari.components import ViewerModel

from ssl3d_lite.cli.main import main
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show.context import middle_question, patch_question
from ssl3d_lite.show.mistakes import MISTAKES
from ssl3d_lite.show.napari import display
from ssl3d_lite.show.napari import open as opening
from ssl3d_lite.show.napari.boxes import box_outline
from ssl3d_lite.show.napari.camera import camera
from ssl3d_lite.show.napari.captions import plate
from ssl3d_lite.show.napari.compose import as_it_lies
from ssl3d_lite.show.napari.in_space import is_crop
from ssl3d_lite.show.napari.layers import add_scan, class_layer, values_of
from ssl3d_lite.show.napari.open import open_puzzle
from ssl3d_lite.show.napari.plugin import field_help, virtual_brain, volumes_of, world_of
from ssl3d_lite.show.napari.puzzle import add_puzzle
from ssl3d_lite.show.napari.review import MARK_COLUMNS, REVIEW_KEYS, review
from ssl3d_lite.show.pieces import (
    COLOURS,
    SCAN_COLOURS,
    WRONG_COLOUR,
    badge,
    pieces_of,
    scan_colour,
)
from ssl3d_lite.show.scan_files import read_scan_files
from ssl3d_lite.show.words import place_words
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


def test_of_a_raw_scan_labels_prediction_and_errors_are_seen(oblique):
    image, labels, _ = oblique
    viewer = ViewerModel()
    opening.add_scan_files(viewer, read_scan_files(image, prediction=labels))
    assert names(viewer) == ["scan", "prediction"]
    assert viewer.layers["prediction"].contour == 1
    opening.add_scan_files(viewer, read_scan_files(image, labels, labels))
    assert names(viewer) == ["scan", "labels", "prediction", "errors"]
    assert not viewer.layers["errors"].data.any()


@pytest.mark.parametrize("map_of", ["--labels", "--prediction"])
def test_the_command_opens_no_window_where_there_is_none(oblique, capsys, monkeypatch, map_of):
    image, labels, _ = oblique
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    assert main(["show", str(image), map_of, str(labels)]) == 2
    said = capsys.readouterr().err
    assert "see it in a notebook: ssl3d_lite.show.scan_slices(SCAN, LABELS)" in said


def test_a_scan_has_a_layer_for_each_channel_and_one_for_each_map():
    viewer, volume = ViewerModel(), torch.rand(2, 6, 5, 4)
    labels = np.zeros((6, 5, 4), np.uint8)
    labels[2:4] = 2
    layers = add_scan(viewer, volume, labels, label_names=("air", "fat", "bone"), prediction=labels)
    scans = ["scan, channel 0", "scan, channel 1"]
    assert names(viewer) == [*scans, "labels", "prediction", "errors"]
    np.testing.assert_array_equal(layers[1].data, volume[1].numpy())
    np.testing.assert_array_equal(layers[2].data, labels)
    assert layers[2].features["class"].tolist() == ["air", "fat", "bone"]
    assert [layer.visible for layer in layers] == [True, False, True, True, False]
    add_scan(viewer, volume, channels=("t1", "t2"))
    assert names(viewer) == ["scan, t1", "scan, t2"]


def test_labels_have_the_colours_of_all_pictures_and_background_is_clear():
    settings = class_layer(np.array([[0, 1], [2, 3]]), "labels", np.eye(3), ())
    colours = settings["colormap"].color_dict
    assert colours[0][3] == 0
    for number in (1, 2, 3):
        wanted = [int(scan_colour(number - 1)[i : i + 2], 16) / 255 for i in (1, 3, 5)]
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
    assert names(viewer) == ["scan", "planes"]
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


# ---- a scan in 3D ------------------------------------------------------------------------------


def head(edge=24):
    """A z-scored head: bright and dark tissue in a ball, and air, which is 0, the middle."""
    far = np.linalg.norm(np.indices((edge,) * 3) - (edge - 1) / 2, axis=0)
    tissue = np.random.default_rng(0).normal(0, 1, (edge,) * 3).astype(np.float32)
    return np.where(far < 0.4 * edge, tissue, 0), far < 0.4 * edge


def test_a_prepared_head_stands_free_in_3d():
    viewer, (volume, inside) = ViewerModel(), head()
    (layer,) = add_scan(viewer, volume)
    low, high = layer.contrast_limits
    assert (layer.data[~inside] < low).all(), "napari's 3D lets through what is below the window"
    np.testing.assert_array_equal(layer.data[inside], volume[inside])
    np.testing.assert_allclose((low, high), np.quantile(volume[inside], (0.001, 0.999)), rtol=1e-5)
    np.testing.assert_array_equal(values_of(layer), volume), "its values are not lost"
    viewer.dims.ndisplay = 3
    assert names(viewer) == ["scan"]
    assert layer.visible


def test_a_crop_is_planes_that_cross_where_one_looked():
    viewer, volume = ViewerModel(), np.random.default_rng(0).random((12, 10, 8))
    scan, labels = add_scan(viewer, volume, np.ones((12, 10, 8), int), spacing=(1, 2, 3))
    viewer.dims.set_point((0, 1, 2), (3, 8, 15))
    viewer.dims.ndisplay = 3
    assert names(viewer) == ["scan", "planes", "labels"]
    assert (scan.visible, labels.visible) == (False, True)
    vertices, _, values = viewer.layers["planes"].data
    assert {int(each) for each in vertices[:80, 0]} == {3}, "the first plane is 10 x 8"
    assert {int(each) for each in vertices[80:176, 1]} == {4}
    assert {int(each) for each in vertices[176:, 2]} == {5}
    at = tuple(vertices.astype(int).T)
    np.testing.assert_allclose(values, volume[at], rtol=1e-6)
    np.testing.assert_array_equal(viewer.layers["planes"].affine.scale, (1, 2, 3))
    viewer.dims.ndisplay = 2
    assert names(viewer) == ["scan", "labels"]
    assert scan.visible


def test_what_is_a_crop():
    volume, _ = head()
    (layer,) = add_scan(ViewerModel(), volume)
    assert not is_crop(layer.data, layer.contrast_limits)
    assert is_crop(np.random.default_rng(0).random((9, 9, 9)), (0, 1))
    padded = np.pad(np.random.default_rng(0).random((9, 9, 9)), 4, constant_values=-1)
    assert is_crop(padded, (0, 1)), "a crop within air"


def test_home_keeps_a_view_from_a_corner():
    viewer = ViewerModel()
    add_scan(viewer, head()[0])
    viewer.dims.ndisplay = 3
    corner = camera(viewer).view_direction
    assert min(abs(np.array(corner))) > 0.2, "not straight on"
    camera(viewer).angles = (10, 20, 30)
    viewer.reset_view()  # what Home does
    np.testing.assert_allclose(camera(viewer).view_direction, corner, atol=1e-6)
    np.testing.assert_allclose(camera(viewer).up_direction[0], 1, atol=0.4)


# ---- a prediction ------------------------------------------------------------------------------


def test_a_prediction_is_an_outline_with_its_errors():
    viewer, truth, prediction = ViewerModel(), np.zeros((6, 5, 4), int), np.zeros((6, 5, 4), int)
    truth[1], truth[2], prediction[2], prediction[3] = 1, 1, 2, 1
    add_scan(viewer, np.zeros((6, 5, 4)), truth, prediction=prediction)
    assert names(viewer) == ["scan", "labels", "prediction", "errors"]
    assert [layer.contour for layer in list(viewer.layers)[1:]] == [0, 1, 0]
    errors = viewer.layers["errors"]
    assert not errors.visible
    assert errors.features["class"].tolist() == ["", "missed", "too much", "wrong class"]
    assert [int(errors.data[x, 0, 0]) for x in range(5)] == [0, 1, 3, 2, 0]
    legend = viewer.canvas.overlays.text.text
    assert "click the eye of 'errors'" in legend
    assert MISTAKES["too much"] == WRONG_COLOUR, "which all pages call orange"
    assert "missed yellow, too much orange, wrong class light blue" in legend
    assert viewer.layers.selection.active.name == "scan"


def test_in_3d_napari_says_nothing_of_outlines_and_the_legend_says_that_there_are_none():
    viewer, truth = ViewerModel(), np.zeros((6, 5, 4), int)
    truth[1:4, 1:4, 1:3] = 1
    add_scan(viewer, np.zeros((6, 5, 4)), truth, prediction=np.roll(truth, 1, 0))
    viewer.dims.ndisplay = 3  # here napari warns, and warnings are errors
    assert "outline: prediction (in 3D filled too)" in viewer.canvas.overlays.text.text


def test_the_next_case_is_shown_in_the_same_layers():
    viewer, rng = ViewerModel(), np.random.default_rng(0)
    maps = [rng.integers(0, 3, (2, 6, 5, 4)) for _ in range(2)]
    before = add_scan(viewer, rng.random((6, 5, 4)), maps[0][0], prediction=maps[0][1])
    before[1].opacity = 0.2  # by the user
    volume = rng.random((6, 5, 4))
    after = add_scan(viewer, volume, maps[1][0], prediction=maps[1][1])
    assert all(one is other for one, other in zip(before, after, strict=True))
    np.testing.assert_allclose(viewer.layers["scan"].data, volume, rtol=1e-6)
    for name, each in zip(("labels", "prediction"), maps[1], strict=True):
        np.testing.assert_array_equal(viewer.layers[name].data, each)
    assert viewer.layers["labels"].opacity == 0.2


# ---- a puzzle ----------------------------------------------------------------------------------

MAPS = ("masked", "tissue")  # tasks that ask about voxels


def captions_of(shown):
    """A piece's number → its caption, without what that stands on."""
    features = shown.numbers.features
    return {
        int(piece): text
        for piece, text in zip(features["piece"][1::2], features["caption"][1::2], strict=True)
        if text not in tuple("LRAPSI")
    }


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", OWN)
def test_every_puzzle_has_four_layers(name, dims):
    viewer = ViewerModel()
    volumes, batch = posed(name, dims)
    shown = add_puzzle(viewer, volumes, batch, 1)
    label = ["label"] if name in MAPS else []
    assert names(viewer) == ["scan", "pieces", *label, "boxes", "captions"]
    np.testing.assert_array_equal(viewer.layers["scan"].data, volumes[1, 0].numpy())
    assert viewer.layers.selection.active.name == "scan", "its settings, not those of points"
    assert viewer.canvas.overlays.text.text.startswith(batch.question)
    assert set(captions_of(shown)) == set(range(batch.views.shape[1]))
    layers = list(viewer.layers)
    volumes, batch = posed(name, dims, seed=1)
    add_puzzle(viewer, volumes[[0]], replace(batch, views=batch.views[:1]), 0)
    assert all(one is other for one, other in zip(layers, viewer.layers, strict=True))


@pytest.mark.parametrize("dims", [2, 3])
def test_pieces_hold_the_views_where_they_lie(dims):
    volumes, batch = posed("jigsaw", dims)
    spacing = (2, 3, 4)[:dims]
    shown = add_puzzle(ViewerModel(), volumes, batch, 2, spacing=spacing)
    layer, seen = shown.image, 0
    for view in range(3**dims):
        corner = batch.placement.matrix[2, view, :-1, -1].numpy() * spacing
        first = np.round(layer.world_to_data(corner)).astype(int)
        box = tuple(slice(c, c + 4) for c in first)
        np.testing.assert_array_equal(layer.data[box], batch.views[2, view, 0].numpy())
        seen += 4**dims
    assert (~np.isnan(layer.data)).sum() == seen, "all else is clear"


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_turned_pieces_lie_over_what_they_were_cut_from(dims, seed):
    volumes, batch = posed("rotation", dims, seed)
    shown = add_puzzle(ViewerModel(), volumes, batch)
    np.testing.assert_array_equal(
        looked_up(volumes, batch.placement.matrix, 12).numpy(), batch.views.numpy()
    )
    shown.arrange(shown=False)
    low, high = shown.pieces[0].corners.min(0), shown.pieces[0].corners.max(0)
    box = tuple(slice(round(a + 0.5), round(b + 0.5)) for a, b in zip(low, high))
    np.testing.assert_array_equal(shown.image.data, volumes[0, 0].numpy()[box])
    np.testing.assert_allclose(shown.image.data_to_world((0,) * dims), low + 0.5)


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


def test_a_stretched_piece_is_resampled_too():
    matrix = np.diag([2.0, 1, 1])
    image, lies = as_it_lies(np.ones((1, 4, 4), np.float32), matrix)
    assert image.shape[1] > 6, "two voxels of the scan for each of the piece"
    np.testing.assert_array_equal(lies[:2, :2], np.eye(2))


def test_pieces_show_air_as_the_scan_does():
    volume, inside = head()
    volumes = torch.from_numpy(volume)[None, None].repeat(2, 1, 1, 1, 1)
    task = make_task("rpl", EncoderSettings(filters=(4, 8)), 0, patch=4)
    batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
    shown = add_puzzle(ViewerModel(), volumes, batch)
    low, _ = shown.image.contrast_limits
    values = shown.image.data[~np.isnan(shown.image.data)]
    matrices = batch.placement.matrix[0].numpy()
    boxes = [tuple(slice(int(c), int(c) + 4) for c in each[:3, 3]) for each in matrices]
    assert (values < low).sum() >= sum((~inside[box]).sum() for box in boxes) > 0


def test_a_puzzle_keeps_the_scan_that_is_there_and_replaces_the_puzzle_before():
    viewer = ViewerModel()
    volumes, batch = posed("rpl")
    scan, _ = add_scan(viewer, volumes[0], np.zeros((24, 28, 21), int), spacing=(1, 1, 2))
    add_puzzle(viewer, volumes, batch)
    add_puzzle(viewer, volumes, batch)
    assert names(viewer) == ["scan", "labels", "pieces", "boxes", "captions"]
    assert viewer.layers[0] is scan
    np.testing.assert_allclose(viewer.layers["pieces"].affine.scale, (1, 1, 2))
    add_puzzle(viewer, volumes, batch, 1)
    assert names(viewer)[:2] == ["scan", "pieces"], "another scan, and these are not its labels"


def test_voxels_that_are_asked_about_are_a_map_and_so_is_their_prediction():
    viewer = ViewerModel()
    volumes, batch = posed("masked")
    prediction = torch.zeros_like(batch.target[0])
    add_puzzle(viewer, volumes, batch, prediction=prediction)
    hidden = ~batch.target[0, 0, 0].isnan().numpy()
    np.testing.assert_array_equal(viewer.layers["label"].data, hidden)
    assert viewer.layers["label"].features["class"].tolist()[1] == "hidden from the network"
    rebuilt = viewer.layers["prediction"].data
    assert (rebuilt[hidden] == 0).all()
    np.testing.assert_array_equal(rebuilt[~hidden], batch.views[0, 0, 0].numpy()[~hidden])
    volumes, batch = posed("tissue")
    add_puzzle(viewer, volumes, batch, prediction=batch.target[0])
    for name in ("label", "prediction"):
        np.testing.assert_array_equal(viewer.layers[name].data, batch.target[0, 0].numpy())
    assert viewer.layers["prediction"].contour == 1


def test_badges_and_colours_are_those_of_all_views():
    volumes, batch = posed("jigsaw")
    shown = add_puzzle(ViewerModel(), volumes, batch)
    assert list(captions_of(shown).values()) == [badge(piece) for piece in pieces_of(batch)]
    wanted = np.repeat([to_rgba(piece.colour) for piece in pieces_of(batch)], 12, 0)
    np.testing.assert_allclose(shown.boxes.edge_color, wanted, atol=1e-6)


def test_captions_stand_on_a_dark_plate():
    volumes, batch = posed("rpl")
    shown = add_puzzle(ViewerModel(), volumes, batch)
    features, colours = shown.numbers.features, shown.numbers.text.color._values
    np.testing.assert_array_equal(shown.numbers.data[::2], shown.numbers.data[1::2])
    assert (features["caption"][::2] == [plate(each) for each in features["caption"][1::2]]).all()
    assert all(set(each) == {"█"} for each in features["caption"][::2])
    np.testing.assert_allclose(colours[::2, :3], 0)
    np.testing.assert_allclose(colours[1::2, :3], 1)


def test_one_question_of_cpc_is_drawn_the_context_and_the_place_that_is_asked_about():
    volumes, batch = posed("cpc")
    viewer = ViewerModel()
    shown = add_puzzle(viewer, volumes, batch, 1)
    asked = patch_question(batch, middle_question(batch, 1))
    texts = captions_of(shown)
    assert texts.pop(asked.target) == "?"
    assert set(texts.values()) == {""}
    viewer.dims.ndisplay = 3
    lengths = np.linalg.norm(shown.boxes.data[:, 1], axis=1).reshape(-1, 12).max(1)
    drawn = {*asked.context, asked.start, asked.target}
    assert set(np.flatnonzero(lengths > 0)) == drawn
    np.testing.assert_allclose(lengths[asked.start], 4, err_msg="patches overlap: their middles")
    assert shown.boxes.blending == "translucent_no_depth", "seen through what is in them"
    add_puzzle(viewer, *posed("jigsaw"))
    assert viewer.layers["boxes"].blending == "translucent"
    guess = batch.target.clone()
    guess[asked.number] += 1
    shown = add_puzzle(viewer, volumes, batch, 1, prediction=guess)
    assert "predicted: 1 patch off, same scan, ✗ wrong" in viewer.canvas.overlays.text.text
    with pytest.raises(InputError, match="2 predictions for the batch's"):
        add_puzzle(viewer, volumes, batch, 1, prediction=[1, 2])


# ---- outlines and arrangement ------------------------------------------------------------------


def test_boxes_and_numbers_follow_the_plane_that_is_shown():
    viewer = ViewerModel()
    volumes, batch = posed("rpl")
    shown = add_puzzle(viewer, volumes, batch)
    for place in (4, 10):
        viewer.dims.set_point(2, place)
        lines = viewer.layers["boxes"].data.reshape(9, 12, 2, 3)
        for piece, box, point in zip(shown.pieces, lines, shown.numbers.data[::2]):
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
                assert point[2] == pytest.approx(piece.centre[2]), "out of sight"
    viewer.dims.ndisplay = 3
    lengths = np.linalg.norm(viewer.layers["boxes"].data[:, 1], axis=1)
    np.testing.assert_allclose(lengths, 4)


def test_captions_stand_above_their_boxes_whichever_way_is_up():
    viewer = ViewerModel()
    volumes, batch = posed("rpl")
    shown = add_puzzle(viewer, volumes, batch)
    far = 0.5 * 4 + 3 * 0.28  # half a box, and a little of the scan
    viewer.dims.set_point(0, shown.centres[0, 0])

    def way():
        return shown.numbers.data[0] - shown.centres[0]

    np.testing.assert_allclose(way()[:2], (0, far))
    viewer.dims.order = (1, 2, 0)
    np.testing.assert_allclose(way()[1:], (0, far), err_msg="seen from the front: S is up")
    camera(viewer).orientation = ("towards", "down", "right")
    viewer.dims.order = (2, 1, 0)
    np.testing.assert_allclose(way()[:2], (0, -far))


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
    home, data = shown.centres, shown.image.data
    shown.arrange(apart=1)
    far = 2 * home - home.mean(0)
    np.testing.assert_allclose(shown.centres, far, atol=0.5, err_msg="whole voxels")
    shown.arrange(shown=True)
    order = [piece.home for piece in shown.pieces]
    for view, centre in enumerate(shown.centres):
        np.testing.assert_allclose(centre, home[order.index(view)], atol=0.5)
        first = np.round(shown.image.world_to_data(centre - 1.5)).astype(int)
        box = tuple(slice(c, c + 4) for c in first)
        np.testing.assert_array_equal(shown.image.data[box], batch.views[0, view, 0].numpy())
    shown.arrange()
    np.testing.assert_allclose(shown.centres, home)
    np.testing.assert_array_equal(shown.image.data, data)


@pytest.mark.parametrize("name", ["rotation", "exemplar"])
def test_turned_views_open_as_the_network_gets_them_beside_the_scan(name):
    viewer = ViewerModel()
    volumes, batch = posed(name, seed=3)
    shown = add_puzzle(viewer, volumes, batch)
    corners = shown.corners
    assert corners[..., 0].min() > 23.5, "right of the scan"
    assert corners[0, :, 0].max() < corners[1, :, 0].min()
    for view, each in enumerate(corners):
        first = np.round(shown.image.world_to_data(each.min(0) + 0.5)).astype(int)
        box = tuple(slice(c, c + 12) for c in first)
        np.testing.assert_array_equal(shown.image.data[box], batch.views[0, view, 0].numpy())
    homes = shown.boxes.data.reshape(-1, 12, 2, 3)[2:]
    assert len(homes) == 2, "and where they were cut is outlined"


def test_letters_tell_which_way_a_cube_was_turned():
    viewer = ViewerModel()
    volumes, batch = posed("rotation", seed=3)
    shown = add_puzzle(viewer, volumes, batch)
    viewer.dims.ndisplay = 3
    features = shown.numbers.features
    for piece in shown.pieces:
        for letter, axis in zip("RAS", np.eye(3)):
            own = (features["piece"] == piece.number) & (features["caption"] == letter)
            (spot,) = shown.numbers.data[own.to_numpy()]
            leads = np.linalg.solve(piece.matrix[:3, :3], axis)  # the scan's axis in the cube
            way = spot - shown.centres[piece.number]
            np.testing.assert_allclose(way / np.linalg.norm(way), leads, atol=1e-6)
    shown.arrange(shown=False)
    assert not set("RAS") & set(shown.numbers.features["caption"])


def test_predictions_stand_beside_the_labels():
    volumes, batch = posed("rpl")
    truth = batch.target[0].tolist()
    prediction = [truth[0], *(25 - number for number in truth[1:])]
    shown = add_puzzle(ViewerModel(), volumes, batch, prediction=torch.tensor(prediction))
    place = place_words(3)
    assert shown.captions[:3] == [
        "0",
        f"1: {place[truth[0]]} ✓",
        f"2: {place[truth[1]]}\n✗ {place[25 - truth[1]]}",
    ]
    assert shown.drawing.caption_colours[:3] == ["#FFFFFF", COLOURS[2], COLOURS[1]]
    with pytest.raises(InputError, match="5 predictions for 9 pieces, 8 of them labelled"):
        add_puzzle(ViewerModel(), volumes, batch, prediction=[1, 2, 3, 4, 5])


def test_of_a_jigsaw_the_order_or_its_number_may_be_predicted():
    volumes, batch = posed("jigsaw")
    viewer = ViewerModel()
    number = int(batch.target[0, 0])
    shown = add_puzzle(viewer, volumes, batch, prediction=number + 1)
    said = viewer.canvas.overlays.text
    assert said.text.splitlines()[:2] == [batch.question, f"answer: order {number} of 100"]
    assert said.text.splitlines()[2].startswith(f"predicted: order {number + 1} of 100: ")
    assert said.text.endswith(" pieces in place, ✗ wrong")
    assert said.visible
    order = [piece.home for piece in shown.pieces]
    shown = add_puzzle(viewer, volumes, batch, prediction=[*order[:26], order[0]])
    assert shown.captions == [f"{n} ✓" for n in order[:26]] + [f"{order[26]}\n✗ put at {order[0]}"]


def test_a_window_of_a_puzzle_tells_its_keys(monkeypatch):
    import napari

    monkeypatch.setattr(opening, "display_trouble", lambda: None)
    monkeypatch.setattr(napari, "Viewer", lambda title: ViewerModel(title=title))
    volumes, batch = posed("jigsaw")
    viewer = open_puzzle(volumes, batch)
    assert viewer.canvas.overlays.text.text.endswith("[j] apart  [h] as the network gets them")
    before = viewer.layers["captions"].data.copy()
    for key in ("J", "H"):
        press(viewer, key)
        assert (viewer.layers["captions"].data != before).any()
        press(viewer, key)
        np.testing.assert_allclose(viewer.layers["captions"].data, before)


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
    shown, viewer = reviewed
    assert len(viewer.keymap) == len(REVIEW_KEYS)

    def scan():
        return viewer.layers["scan"].data

    def first_piece():
        return shown.puzzle.pieces[1].image.copy()

    image, layers = {c: cohort.images([c])[0, 0].numpy() for c in (3, 5, 7)}, list(viewer.layers)
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
    assert list(viewer.layers) == layers, "no layer was made anew"


def test_keys_and_the_number_of_marks_stand_in_the_window(reviewed):
    shown, viewer = reviewed

    def said():
        return viewer.canvas.overlays.text.text.splitlines()

    here = "case_003 (1 of 3), rpl, puzzle 0: 0 marked, 0 in all"
    assert said()[:2] == [shown.puzzle.drawing.lines[0], here]
    keys = " ".join(said()[2:])
    assert all(f"[{key}] {what}" in keys for key, (what, _) in REVIEW_KEYS.items())
    point_at(viewer, shown.puzzle, 4)
    press(viewer, "K")
    press(viewer, "Q")
    assert said()[1].endswith("puzzle 1: 0 marked, 1 in all")
    press(viewer, "M")
    assert viewer.status == "no patch of this puzzle is marked"


def test_the_plane_goes_to_a_marked_patch(reviewed):
    shown, viewer = reviewed
    for number in (2, 6):
        point_at(viewer, shown.puzzle, number)
        press(viewer, "K")
    press(viewer, "N")
    press(viewer, "Shift+N")
    for number in (2, 6, 2):
        np.testing.assert_allclose(viewer.dims.point, shown.puzzle.centres[number], atol=1e-6)
        press(viewer, "M")


def test_in_3d_the_patch_under_the_mouse_is_meant(reviewed):
    shown, viewer = reviewed
    viewer.dims.ndisplay = 3
    way = np.array(camera(viewer).view_direction)[::-1]
    for number, centre in enumerate(shown.puzzle.centres):
        viewer.cursor.position = tuple(centre - 50 * way)
        viewer.cursor._view_direction = way
        hit = shown.puzzle.picked()
        assert hit is not None
        assert number == hit or np.dot(shown.puzzle.centres[hit] - centre, way) < 0, "in front"


def test_keys_move_pieces(reviewed):
    shown, viewer = reviewed
    home = shown.puzzle.centres
    press(viewer, "J")
    np.testing.assert_allclose(shown.puzzle.centres, 2 * home - home.mean(0), atol=0.5)
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
    assert captions_of(shown.puzzle)[4].endswith(" bad")
    assert not captions_of(shown.puzzle)[5].endswith(" bad")
    assert viewer.status == "patch 4 marked as bad"
    press(viewer, "K")
    assert shown.csv.read_text() == ",".join(MARK_COLUMNS) + "\n"
    assert not captions_of(shown.puzzle)[4].endswith(" bad")


def test_the_patch_meant_is_that_of_the_selected_caption_then_the_one_under_the_mouse(reviewed):
    shown, viewer = reviewed
    point_at(viewer, shown.puzzle, 4)
    assert shown.puzzle.picked() == 4
    viewer.cursor.position = (0.0, 0.0, 0.0)
    assert shown.puzzle.picked() is None
    press(viewer, "K")
    assert "no patch here" in viewer.status
    assert not shown.csv.exists()
    viewer.layers.selection.active = viewer.layers["captions"]
    viewer.layers["captions"].selected_data = {14, 15}  # what it stands on, and the text
    assert shown.puzzle.picked() == 7


def test_a_review_goes_on_where_marks_are(reviewed, cohort, capsys):
    shown, viewer = reviewed
    point_at(viewer, shown.puzzle, 4)
    press(viewer, "K")
    capsys.readouterr()
    again = review(cohort, shown.task, [3, 5], shown.csv, viewer=ViewerModel())
    said = capsys.readouterr().out
    assert f"marks are kept in {shown.csv} (1 so far)" in said
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
    assert names(shown.viewer) == ["scan", "labels", "pieces", "boxes", "captions"]
    press(shown.viewer, "Q")
    assert shown.puzzle.in_row, "the next puzzle is shown the same way"


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


@pytest.mark.parametrize("name", OWN)
def test_the_part_of_a_batch_that_a_picture_is_drawn_from_says_the_same(name):
    volumes, batch = posed(name)
    guess = {"cpc": batch.target.roll(1), "jigsaw": 3}.get(name)
    whole, alone = ViewerModel(), ViewerModel()
    add_puzzle(whole, volumes, batch, 1, prediction=guess)
    part, own = opening.one_scan(batch, 1, guess)
    add_puzzle(alone, volumes[1:2], part, prediction=own)
    assert alone.canvas.overlays.text.text == whole.canvas.overlays.text.text
    for name in ("pieces", "boxes", "captions"):
        np.testing.assert_array_equal(alone.layers[name].data, whole.layers[name].data)
    features = [viewer.layers["captions"].features["caption"].tolist() for viewer in (alone, whole)]
    assert features[0] == features[1]


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
    for colour in (SCAN_COLOURS[0], SCAN_COLOURS[1]):  # boxes 0 and 1
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


IN_SPACE = """
import sys
from pathlib import Path
import napari, numpy as np
from qtpy.QtWidgets import QApplication
from ssl3d_lite.show.napari.camera import stand_in_3d
from ssl3d_lite.show.napari.layers import add_scan

def picture():
    QApplication.processEvents()
    return viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(int)

far = np.linalg.norm(np.indices((40,) * 3) - 19.5, axis=0)
tissue = np.random.default_rng(0).normal(0, 1, (40,) * 3)
viewer = napari.Viewer(show=True)
viewer.window.resize(900, 700)
QApplication.processEvents()
add_scan(viewer, np.where(far < 14, tissue, 0), (far < 6).astype(int))
viewer.dims.ndisplay = 3  # as napari's button does
viewer.reset_view()
head = picture()
black = head.max(-1) < 20
middle = head[head.shape[0] // 2, head.shape[1] // 2]
assert black.mean() > 0.5, f"a slab: only {black.mean():.0%} of the picture are black"
assert middle[2] > middle[0] + 30, f"the label, blue, is seen: {middle}"
add_scan(viewer, tissue)
viewer.reset_view()
crop = picture()
assert [layer.name for layer in viewer.layers] == ["scan", "planes"]
assert crop.std() > 10 and abs(crop - head).mean() > 3
viewer.close()
Path(sys.argv[1]).write_text("done")
"""


@needs_xvfb
def test_in_a_real_window_a_head_stands_free_and_a_crop_is_planes(tmp_path):
    script, done = tmp_path / "space.py", tmp_path / "done"
    script.write_text(IN_SPACE)
    assert display.run_under_xvfb([str(script), str(done)], tmp_path) == ""
    assert done.read_text() == "done"


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
assert [layer.name for layer in window.layers] == ["data", "pieces", "boxes", "captions"]
assert window.layers.selection.active.name == "data"

viewer = ViewerModel()  # costs no drawing
image = viewer.add_image(data, name="mine")
widget = Explorer(viewer)
assert list(widget.task.choices) == list(TASKS)
assert widget.image.value is image
for name in TASKS:
    widget.task.value = name
    widget.draw.clicked.emit(True)
    assert "cannot" not in widget.text.value, widget.text.value
    assert "pieces" in viewer.layers, name
    assert viewer.layers[0] is image
widget.task.value = "jigsaw"
widget.settings["patch"].value = 6
widget.redraw.clicked.emit(True)
assert widget.puzzle.pieces[26].image.shape == (1, 6, 6, 6)
assert widget.seed.value == 1
first, layers = widget.text.value, list(viewer.layers)
assert first.startswith("How were the pieces shuffled?") and "answer: order" in first
assert "shown in cell" in first and "100 orders of 27 pieces" in first
widget.redraw.clicked.emit(True)
assert widget.text.value != first
assert list(viewer.layers) == layers
before = widget.puzzle.centres
widget.apart.value = 1.0
assert (widget.puzzle.centres != before).any()
widget.upright.clicked.emit(True)
assert viewer.dims.order == (2, 1, 0)
assert (viewer.layers["captions"].data[0] - widget.puzzle.centres[0])[1] > 0
widget.task.value = "rotation"
widget.draw.clicked.emit(True)
assert widget.as_asked.value and widget.puzzle.in_row, "turned views open turned"
widget.task.value = "jigsaw"
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

"""3D in the browser: where pieces are, how predictions are marked, what the viewers are given."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch
from ipyniivue import SliceType

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show.arrays import air, greys
from ssl3d_lite.show.browser.places import MIN_ROOM, apart, places, room_for, shelf
from ssl3d_lite.show.browser.puzzle3d import Puzzle3D
from ssl3d_lite.show.browser.scan3d import Volume3D
from ssl3d_lite.show.context import middle_question, patch_question
from ssl3d_lite.show.figures.rendering import eye
from ssl3d_lite.show.pieces import (
    HIDDEN_NAME,
    air_in,
    badge,
    box_corners,
    class_colour,
    pieces_of,
    scan_colour,
)
from ssl3d_lite.tasks import make_task

OWN = {
    "rotation": {"crop_size": 12, "rotations_per_scan": 4},
    "rpl": {"patch": 4, "jitter": 2},
    "jigsaw": {"patch": 4, "jitter": 2},
    "exemplar": {"crop_size": 12, "rotation": 1.0},
    "cpc": {"patch": 8, "stride": 4, "jitter": 0},
    "masked": {"crop_size": 16, "block_size": 4},
    "tissue": {"crop_size": 16},
}


def posed(name, dims=3, seed=0, channels=1, **settings):
    encoder = EncoderSettings(in_channels=channels, spatial_dims=dims, filters=(4, 8))
    task = make_task(name, encoder, 0, **OWN[name] | settings)
    generator = torch.Generator().manual_seed(seed)
    volumes = torch.rand(2, channels, *(24, 28, 21)[:dims], generator=generator)
    return task, volumes, task.make_views(volumes, task.sample_params(volumes, generator))


def centre(matrix, batch):
    return box_corners(matrix, batch.views.shape[3:]).mean(0)


def order_of(task, batch, scan=0):
    return task.permutations[int(batch.target[scan, 0])].tolist()


# ---- places ------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_a_shuffled_piece_lies_in_the_cell_it_is_shown_in(seed):
    _, _, batch = posed("jigsaw", seed=seed)
    cut = pieces_of(batch)
    at_home = {piece.home: piece.centre for piece in cut}
    for piece, spot in zip(cut, places(batch), strict=True):
        np.testing.assert_array_equal(centre(spot.shown, batch), at_home[piece.number])


@pytest.mark.parametrize("name", ["jigsaw", "rpl", "cpc", "masked"])
def test_put_back_is_where_the_scan_holds_the_same_voxels(name):
    own = {"normalise": False} if name in ("jigsaw", "rpl") else {}
    _, volumes, batch = posed(name, **own)
    for piece, spot in zip(pieces_of(batch, 1), places(batch, 1), strict=True):
        low = np.round(spot.home[:3, 3]).astype(int)
        box = tuple(slice(a, a + n) for a, n in zip(low, piece.image.shape[1:], strict=True))
        shown = piece.image[0] != 0  # masked: what is hidden is 0
        np.testing.assert_array_equal(piece.image[0][shown], volumes[1, 0][box].numpy()[shown])


def test_turned_copies_are_turned_back_to_the_same_cube_each_in_its_slot():
    _, _, batch = posed("rotation")
    restored = []
    for piece, spot in zip(pieces_of(batch), places(batch), strict=True):
        np.testing.assert_allclose(centre(spot.home, batch), centre(spot.shown, batch))
        np.testing.assert_array_equal(spot.shown[:3, :3], np.eye(3))
        voxels = np.argwhere(np.ones(piece.image.shape[1:]))
        at = voxels @ spot.home[:3, :3].T + spot.home[:3, 3]
        at = np.round(at - at.min(0)).astype(int)
        cube = np.zeros(piece.image.shape[1:])
        cube[tuple(at.T)] = piece.image[0][tuple(voxels.T)]
        restored.append(cube)
    for cube in restored[1:]:
        np.testing.assert_array_equal(cube, restored[0])


def test_an_exemplar_and_its_copy_stand_side_by_side_and_the_copy_is_turned_back():
    _, _, batch = posed("exemplar")
    anchor, copy = places(batch)
    gap = np.abs(centre(anchor.home, batch) - centre(copy.home, batch)).max()
    assert gap > max(np.ptp(box_corners(s.home, batch.views.shape[3:]), 0).max() for s in (copy,))
    np.testing.assert_allclose(copy.home[:3, :3], pieces_of(batch)[1].matrix[:3, :3])


def test_patches_on_the_shelf_do_not_overlap():
    _, _, batch = posed("rpl", queries_per_scan=26)
    centres = np.array([centre(spot.shown, batch) for spot in places(batch)])
    gaps = np.abs(centres[:, None] - centres).max(-1) + 99 * np.eye(len(centres))
    assert gaps.min() > 4


def test_a_shelf_is_filled_row_by_row_from_the_readers_left():
    # from the front the patient's right, +x, is on the left
    assert shelf(3, 2).tolist() == [[1, 0, 1], [-1, 0, 1], [1, 0, -1]]


@pytest.mark.parametrize("name", ["jigsaw", "rpl", "cpc"])
def test_apart_is_away_from_the_middle_and_leaves_room(name):
    _, _, batch = posed(name)
    size = batch.views.shape[3:]
    home = [spot.home for spot in places(batch)]
    room = room_for(home, size)
    before = np.array([centre(m, batch) for m in home])
    after = np.array([centre(m, batch) for m in apart(home, size, room)])
    np.testing.assert_allclose(after - before.mean(0), room * (before - before.mean(0)), atol=1e-9)
    gaps = np.abs(after[:, None] - after).max(-1) + 99 * np.eye(len(after))
    assert gaps.min() >= MIN_ROOM * 4 - 1e-9


# ---- predictions -------------------------------------------------------------------------------


def test_a_predicted_order_puts_pieces_into_its_cells_and_marks_them():
    task, _, batch = posed("jigsaw")
    truth = order_of(task, batch)
    prediction = [truth[1], truth[0], *truth[2:]]
    spots = places(batch, prediction=prediction)
    assert [spot.correct for spot in spots] == [False, False] + [True] * 25
    np.testing.assert_array_equal(centre(spots[0].predicted, batch), centre(spots[1].home, batch))
    for spot in spots[2:]:
        np.testing.assert_array_equal(spot.predicted, spot.home)
    assert spots[0].caption == (
        f"piece {truth[0]}, shown in cell 0; predicted: cell {truth[1]}, ✗ wrong"
    )
    by_number = places(batch, prediction=int(batch.target[0, 0]))
    assert all(spot.correct for spot in by_number), "an order may be told by its number"


def test_predicted_places_lie_about_the_first_patch():
    _, _, batch = posed("rpl", jitter=0, queries_per_scan=26)
    truth = batch.target[0].tolist()
    correct = places(batch, prediction=truth)
    assert [spot.correct for spot in correct] == [None] + [True] * 26
    for spot in correct:
        np.testing.assert_array_equal(spot.predicted, spot.home)
    swapped = places(batch, prediction=[truth[1], truth[0], *truth[2:]])
    assert [spot.correct for spot in swapped[:4]] == [None, False, False, True]
    for a, b in ((1, 2), (2, 1)):
        np.testing.assert_allclose(swapped[a].predicted, swapped[b].home)


def test_two_patches_predicted_into_one_place_are_both_to_be_seen():
    _, _, batch = posed("rpl", jitter=0)
    spots = places(batch, prediction=[5] * 8)
    seen_at = {tuple(np.round(centre(spot.predicted, batch), 3)) for spot in spots[1:]}
    assert len(seen_at) == 8


def test_predicted_turns_are_turned_back_by_the_prediction():
    _, _, batch = posed("rotation")
    truth = batch.target[0].tolist()
    prediction = [truth[0], (truth[1] + 1) % 10, *truth[2:]]
    spots = places(batch, prediction=torch.tensor(prediction))
    assert [spot.correct for spot in spots] == [True, False, True, True]
    np.testing.assert_array_equal(spots[0].predicted, spots[0].home)
    assert not np.allclose(spots[1].predicted, spots[1].home)
    np.testing.assert_allclose(centre(spots[1].predicted, batch), centre(spots[1].home, batch))


@pytest.mark.parametrize(
    ("name", "prediction", "failure"),
    [
        ("jigsaw", 100, r"order of the 27 cells.*permutations\[n\]"),
        ("jigsaw", [0] * 27, "each once"),
        ("rpl", [1, 2], "8 numbers from 0 to 25"),
        ("rpl", [26] * 8, "8 numbers from 0 to 25"),
        ("rotation", [0, 1, 2, 10], "4 numbers from 0 to 9"),
        ("cpc", [1, 2], "one patch from 0 to .* for each of the batch's"),
        ("cpc", -1, "one patch from 0"),
        ("masked", [1], r"shape \(1,\), but what is asked has \(1, 1, 16, 16, 16\)"),
        ("tissue", [1], r"what is asked has \(1, 16, 16, 16\)"),
        ("exemplar", [1], "leave it out"),
    ],
)
def test_a_prediction_that_does_not_fit_is_refused(name, prediction, failure):
    _, volumes, batch = posed(name)
    with pytest.raises(InputError, match=failure):
        Puzzle3D(volumes, batch, prediction=prediction)


# ---- the puzzle's widget -----------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(OWN))
def test_any_task_can_be_shown(name):
    _, volumes, batch = posed(name)
    view = Puzzle3D(volumes, batch, 1)
    scene = json.loads(json.dumps(view._scene))
    pieces = len(scene["pieces"])
    sets = 1 + max(panel["set"] for panel in scene["panels"])
    assert len(view._voxels) == sets * pieces * np.prod(scene["size"])
    assert (view.picked, view.apart, view.shuffled) == (-1, 0, True)
    put_back = name not in ("cpc", "masked", "tissue")
    assert scene["moves"] == put_back, "others are shown where they belong"
    assert scene["question"] == batch.question != ""
    if put_back:
        assert pieces == batch.views.shape[1]


def test_the_scene_holds_places_together_and_apart():
    task, volumes, batch = posed("jigsaw")
    prediction = order_of(task, batch)[::-1]
    view = Puzzle3D(volumes, batch, prediction=prediction)
    for piece, spot in zip(
        view._scene["pieces"], places(batch, prediction=prediction), strict=True
    ):
        np.testing.assert_array_equal(piece["shown"][0], spot.shown)
        np.testing.assert_array_equal(piece["home"][0], spot.home)
        np.testing.assert_array_equal(piece["guessed"][0], spot.predicted)
        assert piece["right"] == spot.correct
    assert [panel["title"] for panel in view._scene["panels"]] == [
        "truth",
        "prediction: 1 of 27 right",
    ]
    home = [spot.home for spot in places(batch)]
    away = apart(home, batch.views.shape[3:], room_for(home, batch.views.shape[3:]))
    np.testing.assert_array_equal([p["home"][1] for p in view._scene["pieces"]], away)


def test_colours_tell_the_layer_that_a_piece_was_cut_from():
    _, volumes, batch = posed("jigsaw")
    scene = Puzzle3D(volumes, batch)._scene
    for piece, cut in zip(scene["pieces"], pieces_of(batch), strict=True):
        assert piece["colour"] == scan_colour(cut.home % 3)  # the last axis goes up
        assert piece["badge"] == badge(cut)
    assert [entry[0] for entry in scene["legend"]] == [scan_colour(n) for n in range(3)]


# ---- CPC's question ----------------------------------------------------------------------------


def in_frame(cut, number):
    """The middle of a patch, counted from the first voxel of the grid."""
    return cut[number].centre - (np.concatenate([p.corners for p in cut]).min(0) + 0.5)


@pytest.mark.parametrize("direction", ["+1", "-0"])
def test_cpcs_question_is_the_pyramid_and_a_place_beyond_it(direction):
    _, volumes, batch = posed("cpc", directions=(direction,), prediction_steps=(2,))
    scene = Puzzle3D(volumes, batch, 1)._scene
    asked = patch_question(batch, middle_question(batch, 1))
    cut = pieces_of(batch, 1)
    *context, tip, ghost = scene["pieces"]
    assert [p["badge"] for p in context] == [badge(cut[n]) for n in asked.context]
    assert (tip["badge"], ghost["badge"]) == (badge(cut[asked.start]), "?")
    assert ghost["ghost"]
    assert asked.context
    assert "2 rows ahead" in ghost["says"]
    assert scene["size"] == [4, 4, 4], "of each patch its middle, so that none hides another"
    for piece, number in zip(scene["pieces"], (*asked.context, asked.start, asked.target)):
        middle = box_corners(np.array(piece["home"][0]), scene["size"]).mean(0)
        np.testing.assert_allclose(middle, in_frame(cut, number))
    corners = np.concatenate([piece.corners for piece in cut])
    assert scene["space"] == np.ptp(corners, 0).tolist(), "the frame is the grid's"


def test_a_cpc_guess_lies_where_it_was_sought():
    _, volumes, batch = posed("cpc", prediction_steps=(2,))
    asked = patch_question(batch, middle_question(batch))
    views = batch.views.shape[1]
    cut = pieces_of(batch)

    def guess(number):
        all_right = batch.target.clone()
        all_right[asked.number] = number
        scene = Puzzle3D(volumes, batch, prediction=all_right)._scene
        assert scene["panels"][0]["marked"]
        (found,) = [p for p in scene["pieces"] if p["right"] is not None]
        return found, box_corners(np.array(found["home"][0]), scene["size"]).mean(0), scene

    found, middle, scene = guess(asked.target)
    assert found["right"] is True
    assert "right place, ✓ right" in found["says"]
    assert not any(p.get("ghost") for p in scene["pieces"]), "it fills the place"
    np.testing.assert_allclose(middle, in_frame(cut, asked.target))
    other = next(n for n in range(views) if n not in (*asked.context, asked.start, asked.target))
    found, middle, scene = guess(other)
    assert found["right"] is False
    assert "off, same scan, ✗ wrong" in found["says"]
    np.testing.assert_allclose(middle, in_frame(cut, other))
    found, middle, _ = guess(asked.context[0])
    assert (found["right"], found["badge"]) == (False, badge(cut[asked.context[0]]))
    found, middle, _ = guess(asked.target + views)
    assert "another scan" in found["says"]
    assert middle[0] < 0, "beside the grid"
    way = np.array([middle[0] - scene["space"][0] / 2, 0, 0])
    assert eye((30, 25))[0] @ way > 0, "to the reader's right, as a compass is on the left"


# ---- voxels ------------------------------------------------------------------------------------


def sets_of(view):
    scene = view._scene
    return np.frombuffer(view._voxels, np.uint8).reshape(-1, *scene["size"])


def test_hidden_blocks_are_seen_and_the_truth_stands_beside():
    _, volumes, batch = posed("masked")
    hidden = ~batch.target[0, 0, 0].isnan().numpy()
    view = Puzzle3D(volumes, batch, prediction=torch.zeros_like(batch.target[0]))
    shown, truth, predicted = sets_of(view)
    first, *others = view._scene["panels"]
    (marked,) = first["colours"]
    assert ((shown == marked) == hidden).all()
    assert not (truth == marked).any()
    np.testing.assert_array_equal(shown[~hidden], truth[~hidden])
    np.testing.assert_array_equal(predicted[~hidden], truth[~hidden])
    assert len(np.unique(predicted[hidden])) == 1
    assert [panel["title"] for panel in others] == ["truth", "prediction: explains 0%"] or others[
        1
    ]["title"].startswith("prediction: explains -")
    assert view._scene["legend"][0][2] == HIDDEN_NAME


def test_tissues_have_their_colours():
    _, volumes, batch = posed("tissue")
    view = Puzzle3D(volumes, batch, prediction=batch.target[0])
    _, truth, predicted = sets_of(view)
    np.testing.assert_array_equal(truth, batch.target[0, 0])
    np.testing.assert_array_equal(predicted, truth)
    assert view._scene["panels"][2]["title"] == "prediction: 100% of voxels right"
    assert set(np.unique(truth)) <= set(view._scene["panels"][1]["colours"])
    assert [entry[2] for entry in view._scene["legend"]] == ["tissue 1", "tissue 2", "tissue 3"]


# ---- one view ----------------------------------------------------------------------------------


def test_one_view_shows_one_puzzle_after_another():
    _, volumes, batch = posed("jigsaw")
    view = Puzzle3D(volumes, batch)
    first, view.picked = view.model_id, 3
    _, volumes, batch = posed("cpc")
    view.show(volumes, batch)
    assert (view.model_id, view.picked) == (first, -1)
    assert view._scene["question"] == batch.question


def test_what_cannot_be_drawn_in_3d_is_refused():
    _, volumes, batch = posed("jigsaw", dims=2)
    with pytest.raises(InputError, match=r"2D \(4 x 4\).*use puzzle"):
        Puzzle3D(volumes, batch)
    _, volumes, batch = posed("jigsaw")
    with pytest.raises(InputError, match="scan is 2, but the batch has 2"):
        Puzzle3D(volumes, batch, 2)
    with pytest.raises(InputError, match="channel is 1, but the views have 1"):
        Puzzle3D(volumes, batch, channel=1)
    with pytest.raises(InputError, match=r"must be those .* \(2, channel, x, y, z\)"):
        Puzzle3D(volumes[:1], batch)


def test_a_channel_is_chosen():
    _, volumes, batch = posed("rpl", channels=2)
    for channel in (0, 1):
        drawn = batch.views[0, :, channel].numpy()
        expected = greys(drawn, np.zeros(drawn.shape, bool))
        assert Puzzle3D(volumes, batch, channel=channel)._voxels == expected.tobytes()


# ---- greys -------------------------------------------------------------------------------------


def test_air_is_what_all_corners_hold_and_is_black():
    image = np.full((6, 6, 6), 0.0)
    image[1:5, 1:5, 1:5] = np.linspace(-2, 2, 64).reshape(4, 4, 4)
    nothing = air(image)
    assert nothing.sum() == 216 - 64
    shades = greys(image, nothing)
    assert (shades[nothing] == 0).all()
    assert (shades[1, 1, 1], shades[4, 4, 4]) == (0, 255)
    image[0, 0, 0] = 1
    assert not air(image).any(), "a scan that reaches to its corners has no air"


def test_a_scan_of_one_value_is_drawn():
    assert (greys(np.full((2, 2, 2), 3.0), np.zeros((2, 2, 2), bool)) == 128).all()
    mask = np.eye(3, dtype=np.float32)[None]  # a body of one value, in air
    assert (greys(mask, mask == 0) == 128 * mask).all()


def test_the_air_in_a_piece_follows_its_turn():
    _, volumes, batch = posed("rotation")
    mask = (volumes[0, 0] > 0.5).numpy()
    for piece in pieces_of(batch):
        np.testing.assert_array_equal(air_in(mask, piece), piece.image[0] > 0.5)


# ---- a scan and its labels ---------------------------------------------------------------------


@pytest.fixture
def labelled():
    volume = torch.rand(2, 6, 7, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(6, 7, 8, dtype=torch.uint8)
    labels[1:3], labels[4] = 1, 3
    return volume, labels


def test_niivue_gets_the_scan_and_its_labels(labelled):
    volume, labels = labelled
    names = ("background", "core", "oedema", "rim")
    view = Volume3D(volume, labels, label_names=names, spacing=(1, 2, 3))
    scan, classes = (nib.Nifti1Image.from_bytes(v.data) for v in view.viewer.volumes)
    assert scan.shape == (6, 7, 8)
    assert nib.affines.voxel_sizes(scan.affine).tolist() == [1, 2, 3]
    np.testing.assert_array_equal(classes.affine, scan.affine)
    np.testing.assert_array_equal(np.asarray(classes.dataobj), labels.numpy())
    np.testing.assert_array_equal(
        np.asarray(scan.dataobj), greys(volume[0].numpy(), np.zeros((6, 7, 8), bool))
    )
    assert "core" in view.legend.value
    assert "rim" in view.legend.value
    assert "oedema" not in view.legend.value, "it is not there"


def test_the_slider_fades_the_labels(labelled):
    view = Volume3D(*labelled)
    assert [round(v.opacity, 2) for v in view.viewer.volumes] == [1, 0.6]
    view.opacity.value = 0.2
    assert [round(v.opacity, 2) for v in view.viewer.volumes] == [1, 0.2]
    view.opacity.unobserve_all()
    view.opacity.value = 0.9
    assert round(view.viewer.volumes[1].opacity, 2) == 0.2


def test_the_scan_is_cut_open(labelled):
    view = Volume3D(*labelled)
    view.cut.value = 1
    assert view.viewer.scene.clip_planes[0][3] == 0, "through the middle"
    view.cut.value = 0
    assert view.viewer.scene.clip_planes[0][3] == 2, "not at all"


def test_one_viewer_shows_one_scan_after_another(labelled):
    volume, labels = labelled
    view = Volume3D(volume, labels)
    viewer = view.viewer
    view.show(volume[0], title="without labels")
    assert view.viewer is viewer
    assert len(viewer.volumes) == 1
    assert view.opacity.layout.display == "none"


def test_what_is_no_volume_is_refused(labelled):
    volume, labels = labelled
    with pytest.raises(InputError, match=r"shape \(6, 7\).*draw_plane"):
        Volume3D(volume[0, :, :, 0])
    with pytest.raises(InputError, match=r"labels have shape \(6, 7, 7\)"):
        Volume3D(volume, labels[..., :7])
    with pytest.raises(InputError, match="classes go from 0 to 255"):
        Volume3D(volume, labels.int() - 1)
    with pytest.raises(InputError, match="give 3 lengths"):
        Volume3D(volume, labels, spacing=(1, 1))


def test_niivue_is_given_the_scan_as_it_lies_and_draws_it_as_the_other_views_do():
    """Bright is what lies right, anterior and superior, each by another amount."""
    volume = np.random.default_rng(0).random((12, 10, 8)).astype(np.float32)
    volume[8:, 6:9, 5:7] = 10
    view = Volume3D(volume, spacing=(1, 2, 3))
    image = nib.Nifti1Image.from_bytes(bytes(view.viewer.volumes[0].data))
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    bright = np.argwhere(np.asarray(image.dataobj) == 255)
    right, anterior, superior = nib.affines.apply_affine(image.affine, bright.mean(0))
    assert (right, anterior, superior) == pytest.approx((4, 5, 6))
    look = view.viewer.opts  # left is drawn on the left, and the nose on the right
    assert not look.is_radiological_convention
    assert not look.sagittal_nose_left
    assert "Axial, coronal and sagittal" in view.order.value
    view.kind.value = SliceType.RENDER
    assert view.order.layout.display == "none"


def test_a_volume_as_slices_has_the_same_scan_labels_and_colours():
    image = np.arange(60, dtype=np.float32).reshape(3, 4, 5)
    classes = np.where(image > 50, 2, 0)
    view = Volume3D(image, classes, label_names=["", "a", "b"], spacing=(1, 2, 3), title="A scan")
    slices = view.slices()
    assert slices._labels == classes.astype("u1").tobytes()
    assert slices._spacing == [1, 2, 3]
    assert slices._title == "A scan"
    assert len(slices._body) == 60
    assert slices._classes[1] == {"name": "b", "colour": class_colour(2)}

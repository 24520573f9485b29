"""What the three planes are given: the scan's bytes, exactly, and nothing that does not fit.

How they look and answer is tested in a browser: tests/browser/test_slices_browser.py.
"""

from importlib.resources import files

import numpy as np
import pytest
import torch

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show.browser.slices import Slices, puzzle_slices
from ssl3d_lite.show.browser.wipe import wipe
from ssl3d_lite.show.context import middle_question, patch_question
from ssl3d_lite.show.pieces import HIDDEN_NAME, SCAN_COLOURS, badge, pieces_of
from ssl3d_lite.tasks import make_task

SHAPE = (5, 4, 3)
RAMP = np.arange(60, dtype=np.float32).reshape(SHAPE)


def sent(view):
    channels = len(view._reach)
    return np.frombuffer(view._bytes, np.uint8).reshape(channels, *view._shape)


# ---- what is sent ------------------------------------------------------------------------------


def test_the_bytes_are_the_scan_between_the_ends_of_its_window():
    scan = np.random.default_rng(0).integers(0, 256, SHAPE)
    scan[0, 0, :2] = 0, 255
    view = Slices(scan, window=(0, 255))
    assert view._reach == [[0, 255]]
    np.testing.assert_array_equal(sent(view)[0], scan)
    assert view._bytes[1] == scan[0, 0, 1], "z is the fastest axis"


def test_the_window_can_be_widened_by_half_on_either_side_where_the_scan_has_such_values():
    view = Slices(RAMP * 10, window=(200, 300))
    assert view.window == [200, 300]
    assert view._reach == [[150, 350]]
    expected = np.rint((RAMP * 10 - 150) / 200 * 255).clip(0, 255)
    np.testing.assert_array_equal(sent(view)[0], expected)
    assert Slices(RAMP, window=(0, 50))._reach == [[0, 59]], "no further than its values"
    assert Slices(RAMP, window=(-100, 500))._reach == [[-100, 500]], "but as far as the window"


def test_by_default_each_channel_is_shown_between_its_own_percentiles():
    scan = np.stack([RAMP, 1000 - 2 * RAMP])
    view = Slices(scan)
    expected = [np.percentile(channel, (0.5, 99.5)).tolist() for channel in scan]
    np.testing.assert_allclose(view._windows, expected)
    assert view.window == view._windows[0]
    assert view._reach[1] == [scan[1].min(), scan[1].max()]
    assert view._channel_names == ["channel 0", "channel 1"]


def test_one_bright_voxel_does_not_darken_the_rest():
    scan = RAMP.copy()
    scan[0, 0, 0] = 1e6
    assert Slices(np.tile(scan, (1, 10, 10))).window[1] > 1e5, "one in sixty does count"
    scan = np.tile(RAMP, (10, 10, 10))
    scan[0, 0, 0] = 1e6
    assert Slices(scan).window[1] < 60


@pytest.mark.parametrize("value", [0, 7.5, -3])
def test_a_scan_of_one_value_is_black(value):
    view = Slices(np.full(SHAPE, value))
    assert view.window == [value, value + 1]
    assert set(view._bytes) == {0}


def test_tensors_of_any_precision_are_taken():
    whole = Slices(RAMP, window=(0, 59))._bytes
    for kind in (torch.float16, torch.bfloat16, torch.uint8):
        assert Slices(torch.tensor(RAMP).to(kind), window=(0, 59))._bytes == whole
    assert Slices(torch.tensor(RAMP, requires_grad=True), window=(0, 59))._bytes == whole


def test_a_view_of_another_memory_order_is_the_same_scan():
    turned = np.asfortranarray(RAMP)
    labels = np.asfortranarray(RAMP > 30)
    assert Slices(turned)._bytes == Slices(RAMP)._bytes
    assert Slices(RAMP, labels)._labels == Slices(RAMP, RAMP > 30)._labels


def test_labels_are_sent_as_they_are_with_names_and_colours():
    labels = (RAMP % 3).astype(np.uint8)
    view = Slices(RAMP, labels, label_names=["background", "front", "back"])
    assert view._labels == labels.tobytes()
    assert view._classes == [
        {"name": "front", "colour": SCAN_COLOURS[0]},
        {"name": "back", "colour": SCAN_COLOURS[1]},
    ]
    assert [c["name"] for c in Slices(RAMP, labels)._classes] == ["label 1", "label 2"]
    assert Slices(RAMP)._labels == b""


def test_nothing_is_drawn_black_on_the_dark_planes():
    labels = (RAMP % 9).astype(np.uint8)
    colours = [each["colour"] for each in Slices(RAMP, labels)._classes]
    assert len(colours) == 8
    assert len(set(colours)) == 8
    assert "#000000" not in colours


def test_to_begin_with_the_middle_is_shown_and_no_piece_chosen():
    view = Slices(RAMP, spacing=(1, 1, 2.5))
    assert (view.voxel, view.patch, view.channel, view._spacing) == ([2, 2, 1], -1, 0, [1, 1, 2.5])


def test_where_there_are_labels_it_begins_in_their_middle():
    labels = np.zeros((9, 8, 7), int)
    labels[6:9, 1, 2:5] = 1
    assert Slices(np.random.default_rng(0).random((9, 8, 7)), labels).voxel == [7, 1, 3]


def test_its_repr_is_short():
    assert repr(Slices(RAMP)) == "Slices of a scan of 5 × 4 × 3 voxels"


def test_script_and_style_lie_in_the_package():
    style = (files("ssl3d_lite.show.browser") / "slices.css").read_text()
    assert style == str(Slices._css)
    script = (files("ssl3d_lite.show.browser") / "slices.js").read_text(encoding="utf-8")
    assert Slices._esm.endswith(script[script.index("\nfunction render") :])
    for text in (style, Slices._esm):
        assert "http" not in text, "nothing is fetched"


# ---- pieces ------------------------------------------------------------------------------------


def puzzle(name, dims=3, **settings):
    encoder = EncoderSettings(spatial_dims=dims, filters=(4, 8))
    task = make_task(name, encoder, **settings)
    generator = torch.Generator().manual_seed(0)
    volumes = torch.rand(2, 1, *(24, 28, 21)[:dims], generator=generator)
    return volumes, task.make_views(volumes, task.sample_params(volumes, generator))


def test_a_puzzles_boxes_are_those_of_its_pieces():
    volumes, batch = puzzle("jigsaw", patch=4)
    view = puzzle_slices(volumes, batch, scan=1)
    expected = Slices(volumes[1], pieces=pieces_of(batch, 1))
    assert view._bytes == expected._bytes
    assert view._boxes == expected._boxes
    for box, piece in zip(view._boxes, pieces_of(batch, 1), strict=True):
        np.testing.assert_array_equal(box["corners"], piece.corners)
        assert box["number"] == piece.number
        assert box["badge"] == badge(piece) == str(piece.home)
        where = f", shown in cell {piece.number}" * (piece.home != piece.number)
        assert box["told"] == f"piece {piece.home}{where}"
    assert view._title == batch.question


def test_a_box_tells_the_label_where_there_is_one():
    view = puzzle_slices(*puzzle("rpl", patch=4))
    batch = puzzle("rpl", patch=4)[1]
    assert [box["told"] for box in view._boxes] == [
        f"view {p.number}" + ("" if p.label is None else f": {batch.answers[p.label]}")
        for p in pieces_of(batch)
    ]
    assert view.voxel == np.round(pieces_of(batch)[0].centre).astype(int).tolist()


@pytest.mark.parametrize("dims", [2, 3])
def test_what_is_hidden_from_the_network_is_laid_over_the_scan(dims):
    volumes, batch = puzzle("masked", dims=dims, crop_size=16, block_size=4)
    view = puzzle_slices(volumes, batch, 1)
    laid = np.frombuffer(view._labels, np.uint8).reshape(view._shape)
    hidden = ~batch.target[1, 0, 0].isnan().numpy()
    assert laid.sum() == hidden.sum()
    low = np.round(pieces_of(batch, 1)[0].corners.min(0) + 0.5).astype(int)
    box = tuple(slice(a, a + 16) for a in low)
    np.testing.assert_array_equal(laid.reshape(laid.shape[:dims])[box], hidden)
    assert [each["name"] for each in view._classes] == [HIDDEN_NAME]
    assert view.opacity == 1, "the reader sees no more than the network"


def test_tissues_are_laid_over_the_scan():
    volumes, batch = puzzle("tissue", crop_size=16)
    view = puzzle_slices(volumes, batch)
    assert [each["name"] for each in view._classes] == ["tissue 1", "tissue 2", "tissue 3"]
    laid = np.frombuffer(view._labels, np.uint8)
    assert (
        np.bincount(laid, minlength=4)[1:].tolist()
        == np.bincount(batch.target[0].flatten(), minlength=4)[1:].tolist()
    )


def test_a_picture_is_a_scan_one_voxel_deep():
    volumes, batch = puzzle("jigsaw", dims=2, patch=4)
    view = puzzle_slices(volumes, batch)
    assert view._shape == [24, 28, 1]
    for box, piece in zip(view._boxes, pieces_of(batch), strict=True):
        corners = np.array(box["corners"])
        assert corners.shape == (8, 3)
        np.testing.assert_array_equal(corners[::2, :2], piece.corners)
        np.testing.assert_array_equal(corners[1::2, :2], piece.corners)
        assert corners[:, 2].tolist() == [-0.5, 0.5] * 4


# ---- what does not fit -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"volume": np.zeros((4, 5))}, r"shape \(4, 5\).*\(x, y, 1\)"),
        ({"volume": np.zeros((2, 1, 4, 5, 6))}, r"shape \(2, 1, 4, 5, 6\).*one scan of a batch"),
        ({"volume": np.zeros((0, 4, 5))}, r"shape \(0, 4, 5\)"),
        ({"volume": np.where(RAMP == 3, np.nan, RAMP)}, "not finite"),
        ({"labels": np.zeros((5, 4, 2))}, r"labels have shape \(5, 4, 2\).*\(5, 4, 3\)"),
        ({"labels": np.full(SHAPE, 0.5)}, "whole numbers"),
        ({"labels": np.full(SHAPE, 256)}, "0 to 255"),
        ({"labels": np.full(SHAPE, -1)}, "0 to 255"),
        ({"labels": np.full(SHAPE, 2), "label_names": ["a", "b"]}, "label is 2.*end at 1"),
        ({"spacing": (1, 1)}, "three positive numbers"),
        ({"spacing": (1, 0, 1)}, "three positive numbers"),
        ({"window": (5, 5)}, r"window is \[5, 5\]"),
        ({"window": (5, np.inf)}, "low < high"),
        ({"window": (1, 2, 3)}, "low < high"),
        ({"channel_names": ["a", "b"]}, "2 channel_names for a scan of 1"),
    ],
)
def test_what_does_not_fit_is_refused(wrong, said):
    with pytest.raises(InputError, match=said):
        Slices(**{"volume": RAMP} | wrong)


@pytest.mark.parametrize("voxel", [[5, 0, 0], [0, -1, 0], [0, 0]])
def test_the_cross_stays_in_the_scan(voxel):
    view = Slices(RAMP)
    with pytest.raises(InputError, match="is not in this scan of 5 × 4 × 3"):
        view.voxel = voxel
    assert view.voxel == [2, 2, 1]


def test_window_and_channel_are_checked_when_set():
    view = Slices(RAMP)
    view.window = (3, 9)
    assert view.window == [3, 9]
    with pytest.raises(InputError, match="low < high"):
        view.window = [9, 3]
    with pytest.raises(InputError, match="channel 1 is not among this scan's 1"):
        view.channel = 1
    assert (view.window, view.channel) == ([3, 9], 0)


def test_each_channel_keeps_its_window():
    view = Slices(np.stack([RAMP, 1000 - 2 * RAMP]), window=(5, 6))
    view.window = [1, 2]
    view.channel = 1
    assert view.window == [5, 6]
    view.window = [900, 910]
    view.channel = 0
    assert view.window == [1, 2]
    with view.hold_trait_notifications():  # as a browser sets both
        view.channel, view.window = 1, [900, 910]
    assert (view.channel, view.window) == (1, [900, 910])


# ---- two label maps, and CPC's question --------------------------------------------------------


def test_two_predictions_are_sent_as_what_they_are_worth():
    truth = np.zeros(SHAPE, int)
    truth[1:3] = 1
    first, second = np.zeros(SHAPE, int), truth.copy()
    second[2] = 2
    view = wipe(RAMP, {"from scratch": first, "pretrained": second}, truth)
    left, right = (
        np.frombuffer(each, np.uint8).reshape(SHAPE) for each in (view._labels, view._beside)
    )
    names = ["", *(each["name"] for each in view._classes)]
    assert names == ["", "right", "missed", "too much", "wrong class"]
    assert (left[1:3] == names.index("missed")).all()
    assert (right[1] == names.index("right")).all()
    assert (right[2] == names.index("wrong class")).all()
    assert not left[[0, 3, 4]].any()
    assert view._sides == ["from scratch", "pretrained"]
    assert view.voxel[0] in (1, 2), "it opens where they differ"


def test_without_the_truth_two_predictions_keep_their_classes():
    found = {"a": np.zeros(SHAPE, int), "b": np.full(SHAPE, 2)}
    view = wipe(RAMP, found, label_names=("", "core", "rim"))
    assert [each["name"] for each in view._classes] == ["core", "rim"]
    assert set(view._beside) == {2}


def test_a_wipe_that_cannot_be_is_refused():
    with pytest.raises(InputError, match="compares two predictions, and 1 are given"):
        wipe(RAMP, {"a": RAMP > 1})
    with pytest.raises(InputError, match=r"b has shape \(5, 4\), but the scan has \(5, 4, 3\)"):
        wipe(RAMP, {"a": RAMP > 1, "b": RAMP[..., 0] > 1}, RAMP > 2)
    with pytest.raises(InputError, match="give the first one as labels"):
        Slices(RAMP, beside=RAMP > 1)


@pytest.mark.parametrize("dims", [2, 3])
def test_cpcs_question_lies_in_the_scan(dims):
    shape = EncoderSettings(spatial_dims=dims, filters=(4, 8))
    task = make_task("cpc", shape, patch=8, stride=4, jitter=0)
    volumes = torch.rand(2, 1, *(24, 28, 20)[:dims])
    batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
    view = puzzle_slices(volumes, batch, 1)
    asked = patch_question(batch, middle_question(batch, 1))
    boxes = {box["number"]: box for box in view._boxes}
    assert set(boxes) == {*asked.context, asked.start, asked.target}
    assert [box["badge"] for box in boxes.values() if box["badge"]] == ["?"]
    assert boxes[asked.target]["part"] == "asked"
    assert "the place that is asked about" in boxes[asked.target]["told"]
    centre = pieces_of(batch, 1)[asked.target].centre
    middle = np.mean(boxes[asked.target]["corners"], 0)[:dims]
    np.testing.assert_allclose(middle, centre, atol=0.51)
    np.testing.assert_allclose(view.voxel[:dims], centre, atol=1)
    assert [line["name"][:2] for line in view._legend] == ["th", "th", "? "]


def test_in_3d_the_body_is_sent_and_nothing_else_is_changed():
    scan = np.zeros((12, 12, 12), np.float32)
    scan[3:9, 3:9, 3:9] = 1
    flat, solid = Slices(scan), Slices(scan, in_3d=True)
    assert flat._body == b""
    body = np.frombuffer(solid._body, np.uint8).reshape(scan.shape)
    assert set(np.unique(body)) == {0, 1}
    assert body[4:8, 4:8, 4:8].all()
    assert not body[:2].any()
    assert solid._bytes == flat._bytes


def test_a_scan_without_air_is_a_body_everywhere():
    noise = np.random.default_rng(0).normal(100, 5, (6, 6, 6))
    assert set(Slices(noise, in_3d=True)._body) == {1}

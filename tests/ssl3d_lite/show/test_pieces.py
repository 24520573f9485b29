"""What every view is fed with: pieces of a puzzle, read from its views and placement alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show.pieces import (
    CORRECT_COLOUR,
    SCAN_COLOURS,
    WRONG_COLOUR,
    badge,
    box_corners,
    home_cells,
    layer_names,
    pieces_of,
)
from ssl3d_lite.show.words import answer_name, answer_told, found_told, piece_told
from ssl3d_lite.tasks import TASKS, make_task

OWN = {
    "rotation": {"crop_size": 12},
    "rpl": {"patch": 4},
    "jigsaw": {"patch": 4},
    "exemplar": {"crop_size": 12},
    "cpc": {"patch": 8, "stride": 4, "jitter": 0},
    "masked": {"crop_size": 16, "block_size": 4},
}


def posed(name, dims, seed=0, **settings):
    task = make_task(
        name, EncoderSettings(spatial_dims=dims, filters=(4, 8)), 0, **OWN[name] | settings
    )
    volumes = torch.rand(3, 1, *(24, 28, 21)[:dims], generator=torch.Generator().manual_seed(seed))
    params = task.sample_params(volumes, torch.Generator().manual_seed(seed))
    return task, volumes, params, task.make_views(volumes, params)


def test_box_corners_are_voxel_borders_in_the_scan():
    matrix = torch.eye(4)
    matrix[:3, 3] = torch.tensor([2.0, 3, 4])
    corners = box_corners(matrix, (2, 2, 2))
    assert corners.min(0).tolist() == [1.5, 2.5, 3.5]
    assert corners.max(0).tolist() == [3.5, 4.5, 5.5]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_a_shuffled_pieces_home_is_the_cell_that_the_permutation_names(dims, seed):
    task, _, params, batch = posed("jigsaw", dims, seed)
    for scan in range(3):
        order = task.permutations[int(params["permutation"][scan])].tolist()
        assert home_cells(batch, scan) == order
        assert [piece.home for piece in pieces_of(batch, scan)] == order


@pytest.mark.parametrize("dims", [2, 3])
def test_a_grid_in_order_is_at_home(dims):
    _, _, _, batch = posed("cpc", dims)
    assert home_cells(batch) == list(range(batch.views.shape[1]))


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", ["rpl", "jigsaw", "cpc", "masked"])
def test_a_piece_is_what_the_scan_holds_at_its_box(name, dims):
    own = {"jitter": 0, "normalise": False} if name in ("rpl", "jigsaw") else {}
    _, volumes, _, batch = posed(name, dims, **own)
    for piece in pieces_of(batch, 1):
        low, high = (
            (piece.corners.min(0) + 0.5).astype(int),
            (piece.corners.max(0) + 0.5).astype(int),
        )
        box = volumes[(1, slice(None), *map(slice, low, high))].numpy()
        shown = piece.image != 0  # masked: what is hidden is 0
        np.testing.assert_array_equal(piece.image[shown], box[shown])
        np.testing.assert_allclose(piece.centre, (low + high - 1) / 2)


def test_labels_stand_at_the_views_they_are_about():
    _, _, params, batch = posed("rpl", 3)
    assert [piece.label for piece in pieces_of(batch, 2)] == [None, *params["query"][2].tolist()]
    assert {piece.label for piece in pieces_of(posed("jigsaw", 3)[3])} == {None}, "one for all"
    assert {piece.label for piece in pieces_of(posed("masked", 3)[3])} == {None}, "no number"


def test_views_without_a_grid_have_no_cells():
    assert home_cells(posed("rotation", 3)[3]) == []


# ---- badges, colours, words --------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
def test_a_piece_bears_the_cell_it_was_cut_from_and_the_colour_of_its_layer(dims):
    pieces = pieces_of(posed("jigsaw", dims)[3], 1)
    assert [badge(piece) for piece in pieces] == [str(piece.home) for piece in pieces]
    assert sorted(map(badge, pieces)) == sorted(map(str, range(3**dims)))
    for piece in pieces:
        assert piece.layer == piece.home % 3, "the last axis is the fastest"
        assert piece.colour == SCAN_COLOURS[piece.layer]


def test_views_without_a_grid_bear_their_number_and_each_has_a_colour():
    pieces = pieces_of(posed("rpl", 3, queries_per_scan=26)[3])
    assert [badge(piece) for piece in pieces] == [str(n) for n in range(27)]
    assert len({piece.colour for piece in pieces}) == 27


@pytest.mark.parametrize("direction", ["+1", "-1"])
def test_rows_count_from_where_reading_begins(direction):
    batch = posed("cpc", 3, directions=(direction,))[3]
    rows = [piece.layer for piece in sorted(pieces_of(batch), key=lambda piece: piece.centre[1])]
    assert rows == sorted(rows, reverse=direction == "-1")
    names = layer_names(batch)
    assert names[0] == "cut from row 0 (reading begins)"
    assert names[1] == "row 1"
    assert len(names) == batch.placement.grid[1]


def test_one_layer_needs_no_name():
    """Its pieces have all one colour, which says nothing."""
    batch = posed("jigsaw", 3)[3]
    assert len(layer_names(batch)) == 3
    flat = replace(batch.placement, grid=(9, 3, 1))
    assert layer_names(replace(batch, placement=flat)) == []


def test_right_and_wrong_have_colours_of_their_own():
    assert not {CORRECT_COLOUR, WRONG_COLOUR} & set(SCAN_COLOURS)
    assert len(set(SCAN_COLOURS)) == len(SCAN_COLOURS)


def test_every_task_asks_in_one_sentence_and_its_batch_says_it():
    for name, kind in TASKS.items():
        assert kind.question.endswith("?"), name
        assert kind.question.count("?") == 1, name
        if name in OWN:
            assert posed(name, 3)[3].question == kind.question


def test_answers_are_told_in_words():
    batch = posed("rpl", 2)[3]
    assert batch.answers == (
        *("below left", "left", "above left", "below"),
        *("above", "below right", "right", "above right"),
    )
    assert answer_name(posed("rotation", 3)[3], 1) == "a quarter turn about L–R"
    last = answer_name(posed("rpl", 3)[3], 25)
    assert last == "above in front right"
    task, _, _, jigsaw = posed("jigsaw", 3)
    assert answer_name(jigsaw, 7) == "order 7 of 100"
    same = int((task.permutations[7] == task.permutations[9]).sum())
    assert answer_told(jigsaw, 9, 7) == f"order 7 of 100: {same} of 27 pieces in place"
    assert answer_told(jigsaw, 7, 7).endswith("27 of 27 pieces in place")
    jigsaw.placement.orders = None
    assert answer_name(jigsaw, 7) == "class 7", "a task of one's own, without words"


def test_a_piece_is_told_with_its_badge_and_where_it_is_shown():
    batch = posed("jigsaw", 3)[3]
    for piece in pieces_of(batch):
        there = f", shown in cell {piece.number}" if piece.home != piece.number else ""
        assert piece_told(piece, batch) == f"piece {badge(piece)}{there}"
    batch = posed("rpl", 3)[3]
    centre, first = pieces_of(batch)[:2]
    assert piece_told(centre, batch) == "view 0"
    assert piece_told(first, batch) == f"view 1: {batch.answers[first.label]}"


def test_what_cpc_found_is_told_by_its_place():
    batch = posed("cpc", 3)[3]
    right, views = int(batch.target[0]), batch.views.shape[1]
    assert found_told(batch, 0, right) == "right place"
    assert found_told(batch, 0, right + 1) == "1 patch off, same scan"
    assert found_told(batch, 0, right + views) == "another scan"


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("direction", ["+0", "-1"])
def test_a_question_of_cpc_starts_rows_before_its_target(dims, direction):
    task, _, _, batch = posed("cpc", dims, directions=(direction,), prediction_steps=(1, 2))
    views, grid = batch.views.shape[1], batch.placement.grid
    axis, backwards = batch.placement.direction
    assert len(batch.asked_from) == len(batch.target)
    for start, target in zip(batch.asked_from.tolist(), batch.target.tolist(), strict=True):
        assert start // views == target // views
        way = np.subtract(*(np.unravel_index(each % views, grid) for each in (target, start)))
        assert (-way[axis] if backwards else way[axis]) in (1, 2)
        assert np.count_nonzero(way) == 1
    assert batch.placement.rows_seen == task.settings.context_layers

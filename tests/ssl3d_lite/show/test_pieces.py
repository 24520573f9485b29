"""What every view is fed with: pieces of a puzzle, read from its views and placement alone."""

import numpy as np
import pytest
import torch

from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show.pieces import box_corners, home_cells, pieces_of
from ssl3d_lite.tasks import make_task

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

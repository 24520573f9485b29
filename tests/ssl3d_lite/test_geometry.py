import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ssl3d_lite.errors import InputError
from ssl3d_lite.geometry import (
    PLANES,
    cut,
    grid_corners,
    grid_shape,
    quarter_turns,
    random_corner,
    shift_matrix,
    turn,
    turn_matrix,
)

SPACES = st.lists(st.integers(3, 9), min_size=2, max_size=3)


@given(SPACES, st.data())
def test_cut_equals_slicing_one_box_at_a_time(space, data):
    size = [data.draw(st.integers(1, edge)) for edge in space]
    volumes = torch.randn(3, 2, *space)
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    corner = random_corner(space, size, (3, 4), generator)
    boxes = cut(volumes, corner, size)
    assert boxes.shape == (3, 4, 2, *size)
    for scan, view in itertools.product(range(3), range(4)):
        where = tuple(
            slice(c, c + e) for c, e in zip(corner[scan, view].tolist(), size, strict=True)
        )
        assert torch.equal(boxes[scan, view], volumes[scan][(slice(None), *where)])


def test_cut_is_a_copy():
    volumes = torch.zeros(1, 1, 4, 4)
    cut(volumes, torch.zeros(1, 1, 2, dtype=torch.long), (2, 2)).fill_(1)
    assert not volumes.any()


def test_fault_08_random_crops_reach_every_place_and_fit_exactly():
    generator = torch.Generator().manual_seed(0)
    corner = random_corner((5, 7, 4), (3, 4, 4), (2000,), generator)
    assert set(corner[:, 0].tolist()) == {0, 1, 2}
    assert set(corner[:, 1].tolist()) == {0, 1, 2, 3}
    assert set(corner[:, 2].tolist()) == {0}, "a box as large as the volume has one place"


@pytest.mark.parametrize("size", [(5, 1, 1), (1, 1), (0, 1, 1)])
def test_a_box_that_does_not_fit_says_both_sizes(size):
    with pytest.raises(InputError, match=r"does not fit a volume of \(4, 4, 4\)"):
        cut(torch.zeros(1, 1, 4, 4, 4), torch.zeros(1, 1, 3, dtype=torch.long), size)


@pytest.mark.parametrize("dims", [2, 3])
def test_four_quarter_turns_give_the_volume_back(dims):
    volume = torch.randn(2, 1, *[5] * dims)
    for plane in PLANES[dims]:
        turned = volume
        for _ in range(4):
            turned = turn(turned, plane, 1)
        assert torch.equal(turned, volume)
        assert torch.equal(turn(turn(volume, plane, 1), plane, 3), volume)


@pytest.mark.parametrize(("dims", "count"), [(2, 4), (3, 10)])
def test_the_turns_are_different_proper_rotations(dims, count):
    turns = quarter_turns(dims)
    matrices = [turn_matrix(plane, k, 5, dims)[:dims, :dims] for plane, k in turns]
    assert len(turns) == count == len({tuple(m.flatten().tolist()) for m in matrices})
    assert all(torch.det(m) == 1 for m in matrices), "no mirror image among them"
    assert torch.equal(matrices[0], torch.eye(dims))


def test_turning_goes_the_same_way_about_every_axis():
    """Conjugating a quarter turn with the cyclic change x→y→z gives the next axis's turn."""
    cycle = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    about = [turn_matrix(plane, 1, 5, 3)[:3, :3] for plane in PLANES[3]]
    for axis in range(3):
        assert torch.equal(cycle @ about[axis] @ cycle.T, about[(axis + 1) % 3])


@pytest.mark.parametrize("dims", [2, 3])
def test_turn_matrix_says_where_each_voxel_came_from(dims):
    edge = 4
    volume = torch.arange(edge**dims, dtype=torch.float).view(1, 1, *[edge] * dims)
    for plane, k in quarter_turns(dims):
        turned, matrix = turn(volume, plane, k), turn_matrix(plane, k, edge, dims)
        for voxel in itertools.product(range(edge), repeat=dims):
            source = (matrix @ torch.tensor([*voxel, 1.0]))[:dims].long()
            assert turned[(0, 0, *voxel)] == volume[(0, 0, *source)]


def test_shift_matrix_moves_by_the_corner():
    matrix = shift_matrix(torch.tensor([[3, 1, 2]]))
    assert torch.equal(matrix[0] @ torch.tensor([1.0, 1, 1, 1]), torch.tensor([4.0, 2, 3, 1]))


def test_grid_of_overlapping_patches():
    assert grid_shape((32, 48, 33), 16, 8) == (3, 5, 3)
    corners = grid_corners((2, 3), 8)
    assert corners.tolist() == [[0, 0], [0, 8], [0, 16], [8, 0], [8, 8], [8, 16]]

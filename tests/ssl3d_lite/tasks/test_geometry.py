import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import affine_transform

from ssl3d_lite.errors import InputError
from ssl3d_lite.tasks.geometry import (
    TURN_PLANES,
    cut,
    grid_corners,
    grid_shape,
    normalised,
    puzzle_corners,
    quarter_turns,
    random_box,
    random_corner,
    shift_matrix,
    turn,
    turn_matrix,
    warp_volumes,
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


def test_a_random_box_is_less_along_a_shorter_axis_and_reaches_every_place():
    generator = torch.Generator().manual_seed(0)
    size, corner = random_box((5, 3, 4), 4, 500, generator)
    assert size == (4, 3, 4)
    assert corner.shape == (500, 1, 3)
    assert {tuple(c) for c in corner[:, 0].tolist()} == {(0, 0, 0), (1, 0, 0)}
    assert random_box((7, 9), 4, 2, generator)[0] == (4, 4)


@given(SPACES, st.integers(1, 12), st.integers(0, 99))
def test_a_random_box_fits_and_a_seed_fixes_its_place(space, edge, seed):
    size, corner = random_box(space, edge, 3, torch.Generator().manual_seed(seed))
    assert size == tuple(min(edge, whole) for whole in space)
    assert cut(torch.zeros(3, 1, *space), corner, size).shape == (3, 1, 1, *size)
    assert (corner >= 0).all()
    assert (corner + torch.tensor(size) <= torch.tensor(space)).all()
    again = random_box(space, edge, 3, torch.Generator().manual_seed(seed))
    assert torch.equal(again[1], corner)


def test_cutting_an_image_is_cutting_a_volume_of_depth_one():
    image, corner = torch.randn(3, 2, 7, 9), torch.randint(4, (3, 5, 2))
    deep = torch.cat([corner, torch.zeros(3, 5, 1, dtype=torch.long)], -1)
    boxes = cut(image[..., None], deep, (3, 4, 1))
    assert torch.equal(boxes[..., 0], cut(image, corner, (3, 4)))


@pytest.mark.parametrize("dims", [2, 3])
def test_four_quarter_turns_give_the_volume_back(dims):
    volume = torch.randn(2, 1, *[5] * dims)
    for plane in TURN_PLANES[dims]:
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
    about = [turn_matrix(plane, 1, 5, 3)[:3, :3] for plane in TURN_PLANES[3]]
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


# ---- warping -----------------------------------------------------------------------------------


def random_maps(space, size, plane, seed):
    """A map for each scan: it turns in the scan's plane, mirrors, zooms, and takes the middle of
    the result to anywhere in the volume, so that much of the result lies beyond the border."""
    generator, dims = np.random.default_rng(seed), len(space)
    maps = torch.eye(dims + 1, dtype=torch.double).repeat(len(plane), 1, 1)
    for matrix, number in zip(maps, plane.tolist(), strict=True):
        a, b = TURN_PLANES[dims][number]
        angle = generator.uniform(-np.pi, np.pi)
        matrix[a, a], matrix[a, b] = np.cos(angle), -np.sin(angle)
        matrix[b, a], matrix[b, b] = np.sin(angle), np.cos(angle)
        stretch = generator.choice([-1, 1], dims) * generator.uniform(0.5, 2, dims)
        matrix[:dims, :dims] *= torch.from_numpy(stretch)
        middle = (torch.tensor(size, dtype=torch.double) - 1) / 2
        target = torch.from_numpy(generator.uniform(0, space))
        matrix[:dims, dims] = target - matrix[:dims, :dims] @ middle
    return maps


@settings(deadline=None)
@given(st.lists(st.integers(1, 7), min_size=2, max_size=3), st.data())
def test_warp_equals_scipy_one_channel_at_a_time(space, data):
    size = [data.draw(st.integers(1, 8)) for _ in space]
    seed = data.draw(st.integers(0, 999))
    plane = torch.arange(6) % len(TURN_PLANES[len(space)])  # every plane, all in one batch
    maps = random_maps(space, size, plane, seed)
    volumes = torch.randn(6, 2, *space, dtype=torch.double)
    warped = warp_volumes(volumes, maps, plane, size)
    assert warped.shape == (6, 2, *size)
    for scan, channel in itertools.product(range(6), range(2)):
        volume, matrix = volumes[scan, channel].numpy(), maps[scan].numpy()
        slow = affine_transform(volume, matrix, output_shape=size, order=1, mode="nearest")
        np.testing.assert_allclose(warped[scan, channel].numpy(), slow, rtol=0, atol=1e-9)


@pytest.mark.parametrize("space", [(5, 7), (5, 7, 6), (1, 7, 6), (5, 1, 6), (5, 7, 1)])
def test_warping_by_nothing_gives_the_volume_itself(space):
    volumes, dims = torch.randn(3, 2, *space), len(space)
    for number in range(len(TURN_PLANES[dims])):
        warped = warp_volumes(
            volumes, torch.eye(dims + 1).expand(3, -1, -1), torch.full((3,), number), space
        )
        assert torch.equal(warped, volumes)


@pytest.mark.parametrize("dims", [2, 3])
def test_warping_by_whole_voxels_is_cutting(dims):
    volumes = torch.randn(4, 2, *[9] * dims)
    corner = random_corner([9] * dims, [4] * dims, (4, 1), torch.Generator().manual_seed(0))
    for number in range(len(TURN_PLANES[dims])):
        shift, plane = shift_matrix(corner)[:, 0], torch.full((4,), number)
        warped = warp_volumes(volumes, shift, plane, [4] * dims)
        assert torch.equal(warped, cut(volumes, corner, [4] * dims)[:, 0])


@pytest.mark.parametrize("dims", [2, 3])
def test_warping_by_a_quarter_turn_is_turning(dims):
    volumes = torch.randn(1, 2, *[6] * dims)
    for number, plane in enumerate(TURN_PLANES[dims]):
        for quarters in range(4):
            matrix = turn_matrix(plane, quarters, 6, dims)[None]
            warped = warp_volumes(volumes, matrix, torch.tensor([number]), [6] * dims)
            torch.testing.assert_close(warped, turn(volumes, plane, quarters), rtol=0, atol=1e-6)


@pytest.mark.parametrize("space", [(5, 8), (5, 8, 7)])
def test_mirroring_flips_an_axis_and_twice_gives_the_volume_back(space):
    volumes, dims = torch.randn(1, 2, *space), len(space)
    for number, axis in itertools.product(range(len(TURN_PLANES[dims])), range(dims)):
        matrix, plane = torch.eye(dims + 1), torch.tensor([number])
        matrix[axis, axis], matrix[axis, dims] = -1, space[axis] - 1
        once = warp_volumes(volumes, matrix[None], plane, space)
        assert torch.equal(once, volumes.flip(2 + axis))
        assert torch.equal(warp_volumes(once, matrix[None], plane, space), volumes)


def test_warping_keeps_a_slope_and_goes_on_with_the_border_voxel():
    """Linear interpolation of a line is the line: 0, 1, 2, 3 at every half voxel, and beyond."""
    volume = torch.arange(4.0).view(1, 1, 4, 1)
    halves = torch.tensor([[[0.5, 0, -1], [0, 1, 0], [0, 0, 1]]])
    warped = warp_volumes(volume, halves, torch.tensor([0]), (12, 1)).flatten()
    assert warped.tolist() == [0, 0, 0, 0.5, 1, 1.5, 2, 2.5, 3, 3, 3, 3]


@pytest.mark.parametrize("flat", [0, 1, 2])
def test_warping_an_image_is_warping_a_volume_of_depth_one(flat):
    """The image lies in the plane across axis ``flat``, in which the volume's map turns."""
    plane = torch.full((5,), flat)  # TURN_PLANES are listed by the axis they leave out
    a, b = TURN_PLANES[3][flat]
    images = torch.randn(5, 2, 6, 8, dtype=torch.double)
    maps = random_maps((6, 8), (7, 5), torch.zeros(5, dtype=torch.long), seed=0)
    deep = torch.eye(4, dtype=torch.double).repeat(5, 1, 1)
    for (row, i), (column, j) in itertools.product(zip((a, b, 3), range(3)), repeat=2):
        deep[:, row, column] = maps[:, i, j]
    size = [1, 1, 1]
    size[a], size[b] = 7, 5
    volumes = images.unsqueeze(-1).movedim((2, 3, 4), (2 + a, 2 + b, 2 + flat))
    warped = warp_volumes(volumes, deep, plane, size).movedim((2 + a, 2 + b, 2 + flat), (2, 3, 4))
    want = warp_volumes(images, maps, torch.zeros(5, dtype=torch.long), (7, 5))
    torch.testing.assert_close(warped[..., 0], want, rtol=0, atol=1e-12)


# ---- puzzles -----------------------------------------------------------------------------------


@given(st.data())
def test_pieces_stay_in_their_cells_and_never_overlap(data):
    dims, side = data.draw(st.integers(2, 3)), data.draw(st.integers(1, 3))
    patch, jitter = data.draw(st.integers(1, 6)), data.draw(st.integers(0, 4))
    least = side * (patch + jitter)
    space = [data.draw(st.integers(least, least + 9)) for _ in range(dims)]
    seed = data.draw(st.integers(0, 99))
    corners = puzzle_corners(space, side, patch, jitter)
    cells = torch.tensor([edge // side for edge in space])
    first = torch.tensor(list(itertools.product(range(side), repeat=dims))) * cells
    assert corners.shape == (side**dims, dims)
    assert (corners >= first).all()
    assert (corners + jitter + patch <= first + cells).all()
    before, behind = corners - first, first + cells - corners - jitter - patch
    assert ((behind - before) * (behind - before - 1) == 0).all(), "in the middle of its cell"
    moved = torch.randint(jitter + 1, corners.shape, generator=torch.Generator().manual_seed(seed))
    painted = torch.zeros(space, dtype=torch.long)
    for corner in (corners + moved).tolist():
        painted[tuple(slice(c, c + patch) for c in corner)] += 1
    assert painted.max() == 1
    assert painted.sum() == side**dims * patch**dims


@pytest.mark.parametrize("dims", [2, 3])
def test_a_puzzle_fits_exactly_and_one_voxel_less_is_refused(dims):
    fitting = [3 * (8 + 3)] * dims
    ends = puzzle_corners(fitting, 3, 8, 3)[[0, -1]]
    assert ends.tolist() == [[0] * dims, [22] * dims]
    for axis in range(dims):
        short = [edge - (place == axis) for place, edge in enumerate(fitting)]
        with pytest.raises(InputError) as error:
            puzzle_corners(short, 3, 8, 3)
        assert str(error.value) == (
            "3 pieces an axis of 8 voxels and a jitter of 3 need volumes of 33 voxels, "
            f"but got {tuple(short)}; use a smaller patch"
        )


# ---- brightness --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(4, 5), (4, 5, 3)])
def test_fault_13_each_patch_and_channel_has_mean_0_and_variance_1(size):
    """Against a plain loop in float64; the library adds 1e-5 to each variance."""
    patches = torch.randn(2, 3, 2, *size, dtype=torch.double) * 2 + 9
    result = normalised(patches.clone())
    for where in itertools.product(range(2), range(3), range(2)):
        patch = patches[where].numpy()
        want = (patch - patch.mean()) / patch.std()  # numpy's variance is the biased one
        np.testing.assert_allclose(result[where].numpy(), want, rtol=1e-5)
    torch.testing.assert_close(normalised(patches.float()).double(), result, rtol=0, atol=1e-5)


def test_a_patch_without_contrast_becomes_0():
    for brightness in (0.0, 0.1, 10.1):
        assert normalised(torch.full((1, 1, 1, 7, 7, 7), brightness)).abs().max() < 1e-3


def test_normalising_images_is_normalising_volumes_of_depth_one():
    patches = torch.randn(2, 3, 2, 4, 5)
    assert torch.equal(normalised(patches[..., None].clone())[..., 0], normalised(patches.clone()))


@pytest.mark.parametrize("corner", [(-1, 0, 0), (0, 0, 4), (3, 0, 0)])
def test_a_box_that_reaches_out_is_refused(corner):
    """Else a draw set by hand would silently show voxels of another row."""
    volumes = torch.zeros(2, 1, 6, 7, 7)
    inside = torch.zeros(2, 1, 3, dtype=torch.long)
    with pytest.raises(
        InputError, match=r"\(4, 4, 4\) voxels reaches out of a volume of \(6, 7, 7\)"
    ):
        cut(volumes, torch.stack([inside[0], torch.tensor([corner])]), (4, 4, 4))


@pytest.mark.parametrize("dims", [2, 3])
def test_boxes_can_be_cut_from_chosen_scans_and_from_volumes_in_any_memory_format(dims):
    volumes = torch.randn(3, 2, *(6, 7, 8)[:dims])
    corner = torch.tensor([[1, 2, 3], [0, 1, 4], [2, 3, 0]])[:, :dims]
    size, scan = (3, 4, 2)[:dims], torch.tensor([2, 0, 2])
    boxes = cut(volumes.movedim(1, -1).contiguous().movedim(-1, 1), corner, size, scan)
    for box, first, number in zip(boxes, corner.tolist(), scan.tolist(), strict=True):
        where = tuple(slice(a, a + edge) for a, edge in zip(first, size, strict=True))
        assert torch.equal(box, volumes[number][(slice(None), *where)])

import math
from itertools import combinations, product

import pytest
import torch
from helpers import Means, cell_numbers, drawn, looked_up, posed

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import make_task
from ssl3d_lite.tasks.geometry import cut, normalised, puzzle_corners, shift_matrix
from ssl3d_lite.tasks.permutations import hamming
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import TrainSettings

ONE = {
    dims: EncoderSettings(filters=(1,), stride=1, spatial_dims=dims) for dims in (2, 3)
}  # one feature
BOTH = pytest.mark.parametrize("dims", [2, 3])


def jigsaw(dims, **settings):
    small = {"patch": 3, "jitter": 2, "permutations": 20}
    return make_task("jigsaw", ONE[dims], **{**small, **settings})


# ---- what is shown, and what is asked ----------------------------------------------------------


@BOTH
def test_placement_says_where_every_voxel_came_from(dims):
    task = jigsaw(dims, normalise=False)
    volumes = torch.randn(3, 2, *(15, 16, 19)[:dims])
    batch = posed(task, volumes)
    assert batch.views.shape == (3, 3**dims, 2, *[3] * dims)
    assert batch.placement.grid == (3,) * dims
    assert torch.equal(batch.views, looked_up(volumes, batch.placement.matrix, 3))


@BOTH
@pytest.mark.parametrize("normalise", [False, True])
def test_the_inverse_permutation_puts_the_pieces_back(dims, normalise):
    task = jigsaw(dims, normalise=normalise)
    volumes = torch.randn(6, 2, *(15, 16, 19)[:dims])
    params = drawn(task, volumes)
    batch = task.make_views(volumes, params)
    inverse = task.permutations[batch.target[:, 0]].argsort(1)
    scan = torch.arange(6)[:, None]
    corner = puzzle_corners(volumes.shape[2:], 3, 3, 2) + params["jitter"]
    pieces = cut(volumes, corner, (3,) * dims)
    pieces = normalised(pieces) if normalise else pieces
    assert torch.equal(batch.views[scan, inverse], pieces)
    assert torch.equal(batch.placement.matrix[scan, inverse], shift_matrix(corner))
    assert not torch.equal(batch.views, pieces), "shown, they are shuffled"


@BOTH
def test_a_permutation_names_the_cell_shown_at_each_place(dims):
    """All permutations by hand, on a volume whose voxels hold their cell's number."""
    task = jigsaw(dims, normalise=False)
    volumes = cell_numbers(5, dims).expand(20, -1, *[-1] * dims)
    jitter = drawn(task, volumes)["jitter"]
    batch = task.make_views(volumes, {"permutation": torch.arange(20)[:, None], "jitter": jitter})
    numbers = batch.views.flatten(2)
    assert (numbers == numbers[..., :1]).all(), "no piece reaches into another cell"
    assert torch.equal(numbers[..., 0].long(), task.permutations)
    assert batch.target.flatten().tolist() == list(range(20))


@BOTH
def test_features_stay_in_their_shown_order_and_each_piece_is_encoded_once(dims):
    task, encoder = jigsaw(dims, normalise=False), Means()
    batch = posed(task, torch.randn(4, 1, *[15] * dims))
    read = []
    task.head.register_forward_pre_hook(lambda module, given: read.extend(given))
    logits = task(encoder, batch)
    assert encoder.encoded == 4 * 3**dims
    assert logits.shape == (4, 20)
    torch.testing.assert_close(read, [batch.views.flatten(2).mean(-1)])


@BOTH
def test_equal_logits_are_chance(dims):
    task = jigsaw(dims)
    batch = posed(task, torch.randn(2, 1, *[15] * dims))
    equal = torch.zeros(2, 20)
    assert task.loss(equal, batch).item() == pytest.approx(math.log(20), rel=1e-6)
    assert task.score(equal, batch)["chance"] == 1 / 20


# ---- permutations and draws --------------------------------------------------------------------


@pytest.mark.parametrize(("dims", "count", "nearest"), [(2, 10, 8), (2, 72, 6), (3, 100, 24)])
def test_fault_12_the_task_tells_permutations_apart_that_lie_far_apart(dims, count, nearest):
    task = jigsaw(dims, permutations=count)
    assert task.permutations.shape == (count, 3**dims)
    assert torch.equal(task.permutations.sort(1).values, torch.arange(3**dims).expand(count, -1))
    assert hamming(task.permutations)[0] == nearest


@BOTH
def test_fault_12_a_seed_of_their_own_chooses_the_permutations(dims):
    """Not the seed of the head's weights, nor the state of torch's own generator."""
    chosen = []
    for head_seed, permutation_seed in ((0, 0), (1, 0), (0, 1)):
        torch.manual_seed(head_seed + 7)
        settings = {"patch": 3, "permutation_seed": permutation_seed}
        task = make_task("jigsaw", ONE[dims], head_seed, permutations=50, **settings)
        chosen.append(task.permutations)
    assert torch.equal(chosen[0], chosen[1])
    assert not torch.equal(chosen[0], chosen[2])


def test_draws_are_balanced_over_the_permutations():
    params = drawn(jigsaw(2, permutations=10), torch.zeros(10000, 1, 15, 15))
    counts = torch.bincount(params["permutation"].flatten(), minlength=10)
    expected = 10000 / 10
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 27.9, f"p < 0.001 for even draws: {counts.tolist()}"


@BOTH
def test_pieces_reach_every_place_of_the_jitter_and_none_beyond(dims):
    batch = posed(jigsaw(dims), torch.zeros(600, 1, *[15] * dims))  # cells of 5, pieces of 3
    corner = batch.placement.matrix[..., :-1, -1].long()
    everywhere = set(product(range(3), repeat=dims))
    for view in range(3**dims):
        assert set(map(tuple, (corner[:, view] % 5).tolist())) == everywhere


def test_each_piece_is_moved_by_itself():
    """Moved together, the borders of neighbours would fit after all."""
    corner = posed(jigsaw(2), torch.zeros(1000, 1, 15, 15)).placement.matrix[..., :-1, -1] % 5
    for one, other in combinations(range(9), 2):
        moves = torch.cat([corner[:, one], corner[:, other]], 1)
        assert set(map(tuple, moves.tolist())) == set(product(range(3), repeat=4))


# ---- the shortcut ------------------------------------------------------------------------------


@BOTH
def test_fault_13_brightness_alone_solves_the_puzzle_unless_it_is_normalised(dims):
    """Scans that grow brighter along a slope, and noise; the pieces' means go to the permutation
    whose pieces had the most similar means."""
    generator = torch.Generator().manual_seed(0)
    slope = sum(
        3**axis * torch.arange(12.0).view(-1, *[1] * (dims - 1 - axis)) for axis in range(dims)
    )
    scans = slope + torch.randn(2000, 1, *[12] * dims, generator=generator)

    def solved(normalise):
        batch = posed(jigsaw(dims, patch=4, jitter=0, normalise=normalise), scans)
        means = batch.views.flatten(2).mean(-1).round(decimals=3)  # all below is rounding
        seen, asked = means.split(1000)
        which, correct = (half.flatten() for half in batch.target.split(1000))
        likeness = torch.stack([seen[which == number].mean(0) for number in range(20)])
        return (torch.cdist(asked, likeness).argmin(1) == correct).float().mean().item()

    assert solved(normalise=False) > 0.95
    assert solved(normalise=True) == pytest.approx(1 / 20, abs=0.025)


# ---- learning ----------------------------------------------------------------------------------


def test_a_handful_of_volumes_is_learnt_by_heart(cohort):
    encoder = make_encoder(EncoderSettings(filters=(8, 16, 32), norm="batch"), 0)
    task = make_task("jigsaw", encoder.settings, patch=7, jitter=1, permutations=20)
    batch = posed(task, cohort.images([*range(4)] * 25))
    before = task.score(task(encoder, batch), batch)
    settings = TrainSettings(steps=60, batch=4, learning_rate=3e-3)
    history = pretrain(task, encoder, cohort, range(4), settings)
    assert before["accuracy"] < 3 / 20
    assert history[-1]["accuracy"] > 0.9
    assert history[-1]["chance"] == pytest.approx(1 / 20)


def test_fault_12_the_task_reports_how_far_apart_its_permutations_lie():
    task = jigsaw(2, permutations=72)
    least, mean = hamming(task.permutations)
    assert least == 6
    assert task.note == (
        f"72 orders of 9 pieces; any two differ in at least 6 places, and in {mean:.2f} on average"
    )


def test_a_single_permutation_is_no_puzzle():
    with pytest.raises(InputError, match="permutations is 1, but must be 2 or more"):
        jigsaw(2, permutations=1)

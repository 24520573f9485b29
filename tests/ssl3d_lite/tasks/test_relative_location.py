import math
from itertools import product

import pytest
import torch
from helpers import Means, cell_numbers, drawn, looked_up, posed
from scipy.stats import chi2

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import make_task
from ssl3d_lite.tasks.geometry import cut
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import TrainSettings

ONE = {
    dims: EncoderSettings(filters=(1,), stride=1, spatial_dims=dims) for dims in (2, 3)
}  # one feature
PLACES = {2: 8, 3: 26}
BOTH = pytest.mark.parametrize("dims", [2, 3])


def rpl(dims, **settings):
    return make_task("rpl", ONE[dims], **{"patch": 3, "jitter": 2, **settings})


def corners(batch):
    return batch.placement.matrix[..., :-1, -1].long()


# ---- what is shown, and what is asked ----------------------------------------------------------


@BOTH
def test_placement_says_where_every_voxel_came_from(dims):
    task = rpl(dims, normalise=False)
    volumes = torch.randn(3, 2, *(15, 16, 19)[:dims])
    batch = posed(task, volumes)
    assert batch.views.shape == (3, 9, 2, *[3] * dims)
    assert torch.equal(batch.views, looked_up(volumes, batch.placement.matrix, 3))


@BOTH
def test_each_answer_names_its_cell_about_the_centre(dims):
    """All 8 or 26 places by hand: steps of a cell back, none or one ahead along each axis."""
    task = rpl(dims, normalise=False)
    volumes = cell_numbers(5, dims)
    around = [step for step in product((-1, 0, 1), repeat=dims) if any(step)]
    assert task.places == len(around) == PLACES[dims]
    for place, step in enumerate(around):
        unmoved = torch.zeros(1, 2, dims, dtype=torch.long)
        batch = task.make_views(volumes, {"query": torch.tensor([[place]]), "jitter": unmoved})
        centre, query = corners(batch)[0]
        assert batch.target.tolist() == [[place]]
        assert centre.tolist() == [5] * dims
        assert (query - centre).tolist() == [5 * n for n in step]
        number = sum((n + 1) * 3**axis for axis, n in enumerate(reversed(step)))
        assert (batch.views[0, 0] == 3**dims // 2).all(), "the centre comes first"
        assert (batch.views[0, 1] == number).all()


@BOTH
def test_jittered_patches_lie_in_the_cells_they_are_said_to(dims):
    task = rpl(dims, normalise=False, queries_per_scan=5)
    volumes = cell_numbers(5, dims).expand(50, -1, *[-1] * dims)
    batch = posed(task, volumes)
    numbers = batch.views.flatten(2)
    assert (numbers == numbers[..., :1]).all(), "no patch reaches into another cell"
    middle = 3**dims // 2
    cells = [n for n in range(3**dims) if n != middle]
    assert (numbers[:, 0, 0] == middle).all()
    assert torch.equal(numbers[:, 1:, 0].long(), torch.tensor(cells)[batch.target])


@BOTH
def test_only_the_patches_asked_about_are_cut_and_encoded(dims, monkeypatch):
    wanted = []

    def spy(volumes, corner, size):
        wanted.append(corner.shape[:2])
        return cut(volumes, corner, size)

    monkeypatch.setattr("ssl3d_lite.tasks.relative_location.cut", spy)
    task, encoder = rpl(dims, queries_per_scan=1), Means()
    logits = task(encoder, posed(task, torch.randn(4, 1, *[15] * dims)))
    assert wanted == [(4, 2)], "the centre patch and one other of each scan"
    assert encoder.encoded == 4 * 2
    assert logits.shape == (4, PLACES[dims])


@BOTH
def test_the_head_reads_the_centre_then_a_query_in_the_order_of_the_answers(dims):
    task = rpl(dims, normalise=False, queries_per_scan=5)
    batch = posed(task, torch.randn(3, 1, *[15] * dims))
    read = []
    task.head.register_forward_hook(
        lambda module, given, prediction: read.extend([*given, prediction])
    )
    logits = task(Means(), batch)
    means = batch.views.flatten(2).mean(-1)
    want = torch.stack([means[:, :1].expand(3, 5), means[:, 1:]], -1)
    torch.testing.assert_close(read[0], want)
    assert torch.equal(logits, read[1].reshape(15, -1))
    rows = [(scan, query) for scan in range(3) for query in range(5)]
    assert [int(batch.target[row]) for row in rows] == batch.target.flatten().tolist()


@BOTH
def test_equal_logits_are_chance(dims):
    task, places = rpl(dims, queries_per_scan=PLACES[dims]), PLACES[dims]
    batch = posed(task, torch.randn(2, 1, *[15] * dims))
    equal = torch.zeros(2 * places, places)
    assert task.loss(equal, batch).item() == pytest.approx(math.log(places), rel=1e-6)
    score = task.score(equal, batch)
    assert score["chance"] == 1 / places
    assert score["accuracy"].item() == pytest.approx(1 / places), "each place is asked about once"


# ---- draws -------------------------------------------------------------------------------------


@BOTH
def test_draws_are_balanced_and_a_scans_queries_differ(dims):
    places = PLACES[dims]
    query = drawn(rpl(dims, queries_per_scan=2), torch.zeros(5000, 1, *[15] * dims))["query"]
    assert (query[:, 0] != query[:, 1]).all()
    for asked in query.T:
        counts = torch.bincount(asked, minlength=places)
        assert len(counts) == places
        expected = 5000 / places
        chi_square = ((counts - expected) ** 2 / expected).sum().item()
        limit = chi2.isf(0.001, places - 1)
        assert chi_square < limit, f"p < 0.001 for even draws: {counts.tolist()}"


@BOTH
def test_more_queries_than_places_ask_about_every_place_once(dims):
    task = rpl(dims, queries_per_scan=99)
    params = drawn(task, torch.zeros(20, 1, *[15] * dims))
    assert torch.equal(params["query"].sort(1).values, torch.arange(PLACES[dims]).expand(20, -1))
    assert params["jitter"].shape == (20, 1 + PLACES[dims], dims)


@BOTH
def test_patches_reach_every_place_of_the_jitter_and_none_beyond(dims):
    task = rpl(dims, queries_per_scan=2)  # cells of 5: a patch of 3 has 3 places an axis
    corner = corners(posed(task, torch.zeros(1000, 1, *[15] * dims)))
    everywhere = set(product(range(3), repeat=dims))
    for view in range(3):
        assert set(map(tuple, (corner[:, view] % 5).tolist())) == everywhere


def test_each_patch_is_moved_by_itself():
    """Moved together, the borders of neighbours would fit after all."""
    corner = corners(posed(rpl(2, queries_per_scan=2), torch.zeros(1000, 1, 15, 15))) % 5
    for one, other in ((0, 1), (0, 2), (1, 2)):
        moves = torch.cat([corner[:, one], corner[:, other]], 1)
        assert set(map(tuple, moves.tolist())) == set(product(range(3), repeat=4))


# ---- the shortcut ------------------------------------------------------------------------------


@BOTH
def test_fault_13_brightness_alone_solves_the_puzzle_unless_it_is_normalised(dims):
    """Scans that grow brighter along a slope, and noise: brightness alone tells the place.

    A patch is given to the place whose patches were most like it, by their mean or voxel by voxel.
    """
    generator = torch.Generator().manual_seed(0)
    slope = sum(
        3**axis * torch.arange(12.0).view(-1, *[1] * (dims - 1 - axis)) for axis in range(dims)
    )
    scans = slope + torch.randn(1000, 1, *[12] * dims, generator=generator)

    def solved(normalise, read):
        batch = posed(rpl(dims, patch=4, jitter=0, normalise=normalise), scans)
        seen, asked = (half.flatten(0, 1) for half in read(batch.views[:, 1:]).split(500))
        where, correct = (half.flatten() for half in batch.target.split(500))
        likeness = torch.stack([seen[where == place].mean(0) for place in range(PLACES[dims])])
        return (torch.cdist(asked, likeness).argmin(1) == correct).float().mean().item()

    def mean(views):
        return views.flatten(2).mean(-1, keepdim=True).round(decimals=3)  # all below is rounding

    def voxels(views):
        return views.flatten(2)

    for read in (mean, voxels):
        assert solved(normalise=False, read=read) > 0.95
        assert solved(normalise=True, read=read) == pytest.approx(1 / PLACES[dims], abs=0.02)


# ---- learning ----------------------------------------------------------------------------------


def test_a_handful_of_volumes_is_learnt_by_heart(cohort):
    encoder = make_encoder(EncoderSettings(filters=(8, 16, 32), norm="group"), 0)
    task = make_task("rpl", encoder.settings, patch=7, jitter=1, queries_per_scan=26)
    batch = posed(task, cohort.images(range(4)))
    before = task.score(task(encoder, batch), batch)
    settings = TrainSettings(steps=60, batch=4, learning_rate=3e-3)
    history = pretrain(task, encoder, cohort, range(4), settings)
    assert before["accuracy"] < 3 / 26
    assert history[-1]["accuracy"] > 0.9
    assert history[-1]["chance"] == pytest.approx(1 / 26)


def test_settings_without_meaning_are_refused():
    with pytest.raises(InputError, match="queries_per_scan is 0, but must be above 0"):
        make_task("rpl", ONE[3], queries_per_scan=0)
    with pytest.raises(InputError, match="jitter is -1, but must be 0 or more"):
        make_task("rpl", ONE[3], jitter=-1)

"""What holds for the patches of relative location and for the pieces of the jigsaw alike."""

import pytest
import torch
from helpers import cell_numbers, looked_up, posed

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import make_task

ONE = {
    dims: EncoderSettings(filters=(1,), stride=1, spatial_dims=dims) for dims in (2, 3)
}  # one feature
OWN = {"rpl": {"queries_per_scan": 99}, "jigsaw": {"permutations": 20}}
pytestmark = [pytest.mark.parametrize("dims", [2, 3]), pytest.mark.parametrize("name", OWN)]


def grid(name, dims, **settings):
    return make_task(name, ONE[dims], **{"patch": 3, "jitter": 2} | OWN[name] | settings)


def test_normalised_views_are_those_voxels_at_mean_0_and_variance_1(name, dims):
    torch.manual_seed(0)
    task = grid(name, dims)
    volumes = torch.randn(3, 2, *(15, 16, 19)[:dims]) * 2 + 7
    batch = posed(task, volumes)
    voxels = looked_up(volumes.double(), batch.placement.matrix, 3).flatten(3)
    want = (voxels - voxels.mean(-1, keepdim=True)) / voxels.std(-1, correction=0, keepdim=True)
    torch.testing.assert_close(batch.views.flatten(3).double(), want, rtol=0, atol=1e-3)


def test_patches_never_overlap(name, dims):
    batch = posed(grid(name, dims), torch.zeros(50, 1, *[15] * dims))
    corner = batch.placement.matrix[..., :-1, -1]
    apart = (corner[:, :, None] - corner[:, None]).abs().amax(-1)  # along one axis at least
    apart.diagonal(dim1=1, dim2=2).fill_(99)
    assert apart.min() >= 3


def test_one_seed_one_puzzle(name, dims):
    task, volumes = grid(name, dims), torch.randn(3, 1, *(15, 17, 16)[:dims])
    first, again, other = (posed(task, volumes, seed) for seed in (1, 1, 2))
    assert torch.equal(first.views, again.views)
    assert torch.equal(first.target, again.target)
    assert torch.equal(first.placement.matrix, again.placement.matrix)
    assert not torch.equal(first.target, other.target)
    assert not torch.equal(first.placement.matrix, other.placement.matrix)


def test_a_scan_one_voxel_too_small_is_refused(name, dims):
    task = grid(name, dims)
    posed(task, torch.zeros(1, 1, *[15] * dims))
    with pytest.raises(InputError, match=r"volumes of 15 voxels, but got \(15, .*14\); use a"):
        posed(task, torch.zeros(1, 1, *[15] * (dims - 1), 14))


def test_fault_13_brightness_and_contrast_do_not_show(name, dims):
    """Every cell made brighter and stronger by another amount: the views stay the same."""
    torch.manual_seed(0)
    volumes = torch.randn(4, 2, *[15] * dims)
    cell = cell_numbers(5, dims).long()
    gain, shift = torch.rand(3**dims) * 3 + 1, torch.randn(3**dims) * 5
    for painted in (volumes * 3 + 5, volumes * gain[cell] + shift[cell]):
        batch, after = (posed(grid(name, dims), these) for these in (volumes, painted))
        torch.testing.assert_close(after.views, batch.views, rtol=0, atol=1e-3)
        assert after.views.flatten(3).mean(-1).abs().max() < 1e-5
    raw = grid(name, dims, normalise=False)
    assert torch.equal(posed(raw, volumes * 3 + 5).views, posed(raw, volumes).views * 3 + 5)

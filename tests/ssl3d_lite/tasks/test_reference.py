"""The fast pieces of geometry.py agree with their plain versions in reference.py, in 2D and 3D."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ssl3d_lite.tasks.geometry import TURN_PLANES, cut, normalised, random_corner, warp_volumes
from tests.ssl3d_lite.tasks import reference

SPACES = st.lists(st.integers(1, 8), min_size=2, max_size=3)


@settings(deadline=None)
@given(SPACES, st.data())
def test_cut_agrees_to_the_bit(space, data):
    size = [data.draw(st.integers(1, edge)) for edge in space]
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    volumes = torch.randn(2, data.draw(st.integers(1, 3)), *space, generator=generator)
    corner = random_corner(space, size, (2, data.draw(st.integers(1, 4))), generator)
    assert torch.equal(cut(volumes, corner, size), reference.cut(volumes, corner, size))


@settings(deadline=None)
@given(st.lists(st.integers(2, 6), min_size=2, max_size=3), st.integers(1, 20), st.integers(0, 99))
def test_normalised_agrees(size, views, seed):
    generator = torch.Generator().manual_seed(seed)
    patches = torch.randn(2, views, 2, *size, generator=generator, dtype=torch.double) * 3 + 7
    want = reference.normalised(patches)
    torch.testing.assert_close(normalised(patches.clone()), want, rtol=0, atol=1e-6)


def maps(space, size, plane, generator):
    """For each scan a map that turns in its plane, mirrors, zooms, and moves."""
    dims, scans = len(space), len(plane)
    matrix = torch.eye(dims + 1, dtype=torch.double).repeat(scans, 1, 1)
    for each, number in zip(matrix, plane.tolist(), strict=True):
        a, b = TURN_PLANES[dims][number]
        angle = (torch.rand((), generator=generator) * 2 * math.pi).item()
        each[a, a], each[a, b] = math.cos(angle), -math.sin(angle)
        each[b, a], each[b, b] = math.sin(angle), math.cos(angle)
        sign = torch.randint(2, (dims,), generator=generator) * 2 - 1
        each[:dims, :dims] *= sign * (0.5 + torch.rand(dims, generator=generator))
        middle = (torch.tensor(size, dtype=torch.double) - 1) / 2
        target = torch.rand(dims, generator=generator).double() * torch.tensor(space)
        each[:dims, dims] = target - each[:dims, :dims] @ middle
    return matrix


@settings(deadline=None)
@given(SPACES, st.data())
def test_warp_agrees_with_grid_sample(space, data):
    size = [data.draw(st.integers(1, 8)) for _ in space]
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 999)))
    plane = torch.arange(6) % len(TURN_PLANES[len(space)])
    matrix = maps(space, size, plane, generator)
    volumes = torch.randn(6, 2, *space, generator=generator, dtype=torch.double)
    got, want = warp_volumes(volumes, matrix, plane, size), reference.warp(volumes, matrix, size)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-9)


@pytest.mark.parametrize("space", [(9, 7), (9, 7, 8)])
def test_in_single_precision_warp_differs_from_grid_sample_by_rounding(space):
    generator = torch.Generator().manual_seed(0)
    plane = torch.arange(6) % len(TURN_PLANES[len(space)])
    matrix = maps(space, space, plane, generator)
    volumes = torch.randn(6, 2, *space, generator=generator)
    got, want = warp_volumes(volumes, matrix, plane, space), reference.warp(volumes, matrix, space)
    torch.testing.assert_close(got, want, rtol=0, atol=1e-4)

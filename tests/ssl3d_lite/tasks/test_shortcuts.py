"""No puzzle is solved by less than anatomy; or what is solved so is no more than the docs say."""

import pytest
import torch
from shortcut_solvers import (
    interval,
    padding,
    sharpness,
    solve_cpc,
    solve_jigsaw,
    solve_location,
    solve_rotation,
)

from data_recipes.virtual import VirtualHippocampus
from data_recipes.virtual import prepare as prepare_virtual
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import make_task

SHAPE = EncoderSettings(filters=(1,), stride=1)
SOUND = {"patch": 4, "jitter": 6, "gap": 3}  # in volumes of 40 × 56 × 40 voxels


@pytest.fixture(scope="module", params=["virtual", "real"])
def scans(request, tmp_path_factory):
    """Hippocampi at 1 mm: (scan, 1, 40, 56, 40)."""
    if request.param == "real":
        cohort = request.getfixturevalue("hippocampi")
    else:
        out = tmp_path_factory.mktemp("virtual") / "cohort"
        prepare_virtual(VirtualHippocampus(out=out, cases=20, workers=1))
        cohort = Cohort.open(out)
    return request.param, cohort.images(range(len(cohort))).cpu()


def test_touching_pieces_are_put_together_by_their_borders(scans):
    """So the rule can solve something: what it fails at below is no fault of its own."""
    _, volumes = scans
    touching = make_task("jigsaw", SHAPE, patch=13, jitter=0)
    assert solve_jigsaw(touching, volumes).float().mean() > 0.99
    beside = make_task("rpl", SHAPE, patch=13, jitter=0, queries_per_scan=26)
    assert solve_location(beside, volumes).float().mean() > 0.7
    ahead = make_task("cpc", SHAPE, prediction_steps=(2,))
    found = torch.cat([solve_cpc(ahead, pair) for pair in volumes[:20].split(2)])
    assert found.float().mean() > 0.9


def test_across_a_gap_borders_say_no_more_than_guessing(scans):
    _, volumes = scans
    jigsaw = make_task("jigsaw", SHAPE, **SOUND)
    right = torch.cat([solve_jigsaw(jigsaw, volumes, seed) for seed in range(5)])
    assert interval(right)[0] <= 1 / 100
    location = make_task("rpl", SHAPE, queries_per_scan=26, **SOUND)
    assert interval(solve_location(location, volumes))[0] <= 1 / 6


def test_with_default_settings_borders_solve_no_more_than_the_docs_say(scans):
    _, volumes = scans
    right = torch.cat([solve_jigsaw(make_task("jigsaw", SHAPE), volumes, n) for n in range(5)])
    assert interval(right)[0] <= 0.18
    location = make_task("rpl", SHAPE, queries_per_scan=26)
    assert interval(solve_location(location, volumes))[0] <= 0.24


@pytest.mark.parametrize("targets_only", [False, True])
def test_cpcs_first_target_is_not_found_by_its_border(scans, targets_only):
    """With defaults: neither among all patches of a batch nor among the targets alone."""
    _, volumes = scans
    task = make_task("cpc", SHAPE)
    pairs = volumes[: len(volumes) // 2 * 2].split(2)
    right = torch.cat([solve_cpc(task, pair, n, targets_only) for n, pair in enumerate(pairs)])
    rows, columns = task.grid(volumes.shape[2:])[1], 9
    chance = 1 / (2 * columns * (rows - 3 if targets_only else rows))
    assert interval(right)[0] <= chance


def test_what_sharpness_and_padding_tell_of_a_rotation(scans):
    """Four groups of turns look alike to three numbers an axis: .40 is all that these can tell."""
    kind, volumes = scans
    task = make_task("rotation", SHAPE)
    half = len(volumes) // 2
    for describe, most in ((sharpness, 0.44), (padding, 0.16)):
        right = solve_rotation(task, volumes[:half], volumes[half:], describe)
        assert interval(right)[0] <= most, (kind, describe.__name__)

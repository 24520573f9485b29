"""``ssl3d play``: heads, the unfair puzzle, and the page."""

import pytest
import torch

from ssl3d_lite.cli.main import main
from ssl3d_lite.errors import InputError
from ssl3d_lite.game.heads import TISSUE_REACH, game_heads, smooth_noise
from ssl3d_lite.game.marked import make_marked
from ssl3d_lite.game.plan import PLAN, UNFAIR
from ssl3d_lite.game.play import PlaySettings, play
from ssl3d_lite.html import is_page_of
from ssl3d_lite.models.settings import EncoderSettings


def test_air_is_the_darkest_and_one_channel_is_left(tmp_path):
    cohort = game_heads(tmp_path, cases=3)
    images = cohort.images(range(3))
    assert images.shape == (3, 1, 48, 48, 48)
    assert cohort.channels == ("t1",)
    assert images.min() == -TISSUE_REACH
    assert (images[:, :, 0, 0, 0] == -TISSUE_REACH).all()  # a corner is air
    assert images.max() <= TISSUE_REACH


def test_noise_is_smooth_and_the_same_for_one_seed():
    like = torch.empty(1, 1, 20, 20, 20)
    noise = smooth_noise(like, seed=3)
    assert torch.equal(noise, smooth_noise(like, seed=3))
    beside = torch.corrcoef(torch.stack([noise[..., 1:].flatten(), noise[..., :-1].flatten()]))
    assert beside[0, 1] > 0.8


def test_each_turn_brings_the_mark_to_another_place():
    task = make_marked(EncoderSettings(filters=(4, 8)), crop_size=20)
    volume = torch.zeros(1, 1, 20, 20, 20)
    volume[..., 9, 9, 9] = 1  # as bright as the mark will be
    params = {
        "corner": torch.zeros(1, 1, 3, dtype=torch.long),
        "rotation": torch.arange(10)[None],
    }
    views = task.make_views(volume, params).views[0, :, 0]
    marks = (views == volume.max()).flatten(1)
    assert len({tuple(mark.tolist()) for mark in marks}) == 10
    long_arm, rest_of_short_arm = 10 * 2 * 2, 2 * (6 - 2) * 2
    assert marks.sum(1).unique().tolist() == [long_arm + rest_of_short_arm + 1]


def test_the_plan_has_a_round_of_each_puzzle_and_texts_for_all():
    assert [each.task for each in PLAN] == ["rpl", "rotation", "masked", "cpc", "jigsaw"]
    assert all(each.before and each.title for each in (*PLAN, UNFAIR))


def test_a_place_that_may_not_be_written_is_told_before_the_work(tmp_path, capsys):
    mine = tmp_path / "mine.html"
    mine.write_text("mine")
    with pytest.raises(InputError, match="no page of Game as this program wrote it"):
        play(mine)
    assert mine.read_text() == "mine"
    assert main(["play", str(tmp_path / "page.txt")]) == 2
    assert "does not end in .html" in capsys.readouterr().err
    with pytest.raises(InputError, match="cases is 3, but must be 15 or more"):
        PlaySettings(tmp_path / "a.html", cases=3)


@pytest.mark.slow
def test_the_page_is_made(tmp_path):
    out = tmp_path / "play.html"
    assert main(["play", str(out), "--cases", "15", "--questions", "1", "--effort", "0.01"]) == 0
    assert is_page_of(out, "ssl3d view Game")
    assert out.stat().st_size < 5e6

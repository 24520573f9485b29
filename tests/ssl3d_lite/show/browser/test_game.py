"""What the game sends: questions that a person and a network get alike, and torch's own answers."""

import numpy as np
import pytest
import torch

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show.browser.game import Game, GameRound, Measured, measure_answers
from ssl3d_lite.show.browser.game_network import in_half_precision, network_state
from ssl3d_lite.show.browser.game_questions import CHOICES, game_questions, option_scores
from ssl3d_lite.tasks import make_task

SHAPE = EncoderSettings(filters=(4, 8), norm="instance")
TASKS = {
    "rpl": {"patch": 6, "jitter": 1, "queries_per_scan": 5},
    "rotation": {"crop_size": 16},
    "masked": {"crop_size": 24, "block_size": 6, "decoder_channels": 4},
    "cpc": {
        **{"patch": 8, "stride": 4, "jitter": 0, "prediction_steps": (3,)},
        **{"embedding_dim": 8, "hidden": 8},
    },
    "jigsaw": {"patch": 6, "jitter": 1, "permutations": 10, "hidden": 8},
}
SCANS = torch.randn(2, 1, 24, 24, 24, generator=torch.Generator().manual_seed(0))


def network(name):
    encoder = make_encoder(SHAPE, seed=1)
    return make_task(name, encoder, seed=1, **TASKS[name]), encoder


def ask(name, count=4, seed=0):
    task, encoder = network(name)
    return task, encoder, list(game_questions(task, SCANS, count, seed))


@pytest.mark.parametrize("name", TASKS)
def test_greys_are_the_very_voxels_that_the_network_reads(name):
    _, _, questions = ask(name)
    for question in questions:
        greys, low, step = question.greys
        seen = (low + step * greys.astype(np.float64)).astype(np.float32)
        assert np.array_equal(seen, question.batch.views[0].numpy())
        assert len(question.batch.views) == 1


@pytest.mark.parametrize("name", TASKS)
def test_one_seed_gives_one_game_and_answers_differ(name):
    first, again, other = (ask(name, 6, seed)[2] for seed in (0, 0, 1))
    assert [q.correct for q in first] == [q.correct for q in again]
    assert all(torch.equal(a.batch.views, b.batch.views) for a, b in zip(first, again))
    assert not all(
        torch.equal(a.batch.views, b.batch.views) and a.options == b.options
        for a, b in zip(first, other)
    )
    assert len({q.correct for q in first}) > 1
    expected = {"rpl": 26, "rotation": 10, "jigsaw": 10}.get(name, CHOICES)
    assert {len(q.options) for q in first} == {expected}
    assert first[0].chance == 1 / expected


@pytest.mark.parametrize("name", ["rpl", "rotation", "jigsaw"])
def test_scores_are_the_logits(name):
    task, encoder, questions = ask(name)
    for question in questions:
        with torch.inference_mode():
            logits = task(encoder.eval(), question.batch)
        assert torch.equal(option_scores(task, encoder, question), logits[0])
        assert question.correct == int(question.batch.target)


def test_the_right_patch_lies_where_the_question_asks():
    _, _, questions = ask("cpc")
    for question in questions:
        start, right = (
            int(each[question.item]) for each in (question.batch.asked_from, question.batch.target)
        )
        corner = question.batch.placement.matrix[0, :, :3, 3]
        assert (corner[right] - corner[start]).tolist() == [0, 3 * 4, 0]  # three rows of stride 4
        assert question.options[question.correct] == right
        assert len(set(question.options)) == CHOICES


def test_what_rebuilds_the_scan_is_right_about_every_block():
    task, encoder, questions = ask("masked")

    class Perfect(torch.nn.Module):
        name, settings = "masked", task.settings

        def forward(self, _, batch):
            return batch.target

    for question in questions:
        scores = option_scores(Perfect(), encoder, question)
        assert int(scores.argmax()) == question.correct
        assert scores.max() == 0


def test_air_is_not_asked_about():
    air = torch.zeros(1, 1, 24, 24, 24)
    for name in ("rpl", "masked", "cpc"):
        with pytest.raises(InputError, match=f"{name}: every patch of a scan is nearly all air"):
            list(game_questions(network(name)[0], air, 1))


def test_what_the_game_does_not_know_gets_one_line():
    encoder = make_encoder(SHAPE, seed=0)
    exemplar = make_task("exemplar", encoder, crop_size=16)
    with pytest.raises(InputError, match=r"no game is made of exemplar.*rpl, rotation"):
        Game([GameRound(exemplar, encoder, SCANS)])
    with pytest.raises(InputError, match="at least one round"):
        Game([])
    two = make_encoder(EncoderSettings(filters=(4, 8), in_channels=2))
    with pytest.raises(InputError, match="in_channels 2"):
        Game([GameRound(make_task("rotation", two, crop_size=16), two, SCANS)])
    gru = make_task("cpc", encoder, context="gru", **TASKS["cpc"])
    with pytest.raises(InputError, match="context conv"):
        Game([GameRound(gru, encoder, SCANS)])
    unet = make_task("masked", encoder, decoder="unet")
    with pytest.raises(InputError, match="decoder light"):
        Game([GameRound(unet, encoder, SCANS)])


def test_weights_are_sent_as_they_are_used():
    task, encoder = (in_half_precision(each) for each in network("rotation"))
    state = network_state(task, encoder)
    sent, start = np.frombuffer(state["weights"], np.float16).astype(np.float32), 0
    own = {f"encoder.{n}": t for n, t in encoder.state_dict().items()}
    own |= {f"task.{n}": t for n, t in task.state_dict().items()}
    for name, shape in state["tensors"]:
        count = int(np.prod(shape))
        assert np.array_equal(sent[start : start + count].reshape(shape), own[name].numpy())
        start += count
    assert start == len(sent)


def test_whether_a_network_has_learnt_is_a_matter_of_the_interval():
    assert Measured(60, 96, 0.1).has_learnt
    assert not Measured(12, 96, 0.1).has_learnt
    low, high = Measured(48, 96, 0.1).interval
    assert low + high == pytest.approx(1)
    found = measure_answers(*network("rotation"), SCANS, 20)
    assert found.asked == 20
    assert found.chance == pytest.approx(0.1)
    assert 0 <= found.right <= 20


def test_a_game_has_a_still_and_an_id():
    task, encoder = network("rotation")
    one, same, other = (
        Game([GameRound(task, encoder, SCANS, questions=2)], seed) for seed in (0, 0, 1)
    )
    assert one._id == same._id != other._id
    assert repr(one) == "Game of 1 rounds"
    assert len(one.figure().axes or one.figure().subfigs) >= 1
    assert "image/png" in one._repr_mimebundle_()[0]

"""The live view, as far as the kernel goes: what it sends, and that training does not notice."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult
from matplotlib.colors import to_rgb
from torch import nn

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show.browser.live import MAX_POINTS, MAX_QUESTIONS, Live
from ssl3d_lite.show.browser.patch_cards import patch_card
from ssl3d_lite.show.browser.predictions import questions, read_predictions
from ssl3d_lite.show.pictures import planes
from ssl3d_lite.show.pieces import HIDDEN_COLOUR
from ssl3d_lite.tasks import TASKS, make_task
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import TrainSettings

OWN = {
    "cpc": {"patch": 8, "stride": 4, "jitter": 0},
    "rpl": {"patch": 4, "queries_per_scan": 4},
    "jigsaw": {"patch": 4, "permutations": 10},
    "rotation": {"crop_size": 12},
    "exemplar": {"crop_size": 12},
    "masked": {"crop_size": 16, "block_size": 4},
    "tissue": {"crop_size": 16},
    "random": {"crop_size": 12},
    "collapsed": {"crop_size": 12},
}


def begin(name, channels=1, dims=3, norm=None):
    shape = EncoderSettings(channels, dims, filters=(4, 8), norm=norm)
    return make_task(name, shape, **OWN[name]), make_encoder(shape, 0)


def posed(name, dims=3, channels=1):
    task, encoder = begin(name, channels, dims)
    volumes = torch.rand(3, channels, *(24, 28, 21)[:dims])
    batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
    return task, encoder, batch


# ---- training does not notice ------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("name", TASKS)
def test_a_watched_run_is_bit_for_bit_that_of_an_unwatched(cohort, name, norm):
    """Of every task: weights, batch norm's statistics, memories, history, and the global dice."""

    def run(watched):
        torch.manual_seed(3)
        task, encoder = begin(name, norm=norm)
        watch = Live(task, encoder, cohort.images([0, 1])).watch if watched else None
        settings = TrainSettings(steps=20, batch=4)
        history = pretrain(task, encoder, cohort, range(2, 12), settings, callback=watch)
        modules = nn.ModuleList([task, encoder])
        return modules.state_dict(), history, torch.rand(4), [m.training for m in modules.modules()]

    (state, history, dice, modes), (watched, again, same_dice, same_modes) = run(False), run(True)
    assert all(torch.equal(tensor, watched[key]) for key, tensor in state.items())
    assert again == history
    assert torch.equal(same_dice, dice)
    assert same_modes == modes


def test_a_task_that_throws_dice_in_predicting_does_not_move_the_trainings(cohort):
    class Careless(TASKS["rotation"]):
        def forward(self, encoder, batch):
            torch.rand(1)
            return super().forward(encoder, batch)

    shape = EncoderSettings(filters=(4, 8))
    task = Careless(Careless.Settings(crop_size=12), shape)
    torch.manual_seed(0)
    Live(task, make_encoder(shape, 0), cohort.images([0, 1]))
    found = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(found, torch.rand(1))


# ---- stopping ----------------------------------------------------------------------------------


def watched_run(cohort, view, task, encoder, steps=40, after=None):
    """A run that is given ``after`` to do at step 20, before the view looks."""

    def watch(history):
        if after and history[-1]["step"] == 20:
            after()
        return view.watch(history)

    settings = TrainSettings(steps=steps)
    return pretrain(task, encoder, cohort, range(2, 12), settings, callback=watch)


@pytest.fixture
def cells(monkeypatch):
    """IPython's events, of which a test ends the cell by hand: the callbacks that are there."""
    there = []
    events = SimpleNamespace(
        register=lambda name, call: there.append((name, call)),
        unregister=lambda name, call: there.remove((name, call)),
    )
    monkeypatch.setattr(
        "ssl3d_lite.show.browser.live.get_ipython", lambda: SimpleNamespace(events=events)
    )
    return there


def end_cell(cells, error=None):
    result = ExecutionResult(ExecutionInfo("", False, False, True, None))
    result.error_in_exec = error
    for name, call in list(cells):
        assert name == "post_run_cell"
        call(result)


def test_the_buttons_message_stops_the_run_once(cohort, cells):
    task, encoder = begin("rotation")
    view = Live(task, encoder, cohort.images([0, 1]))
    press = {"method": "custom", "content": "stop"}  # as the browser sends it
    message = {"content": {"data": press}, "buffers": []}
    view._handle_msg(message)  # before anything runs: void
    assert view.state == "waiting"
    history = watched_run(cohort, view, task, encoder, after=lambda: view._handle_msg(message))
    assert history[-1]["step"] == 20
    end_cell(cells)
    assert view.state == "stopped"
    view._handle_msg(message)  # too late: void
    history = watched_run(cohort, view, task, encoder)
    assert history[-1]["step"] == 40
    assert view.state == "running"
    end_cell(cells)
    assert view.state == "ended"
    assert cells == []


def test_a_press_in_a_cell_that_was_interrupted_does_not_stop_the_next(cohort, cells):
    task, encoder = begin("rotation")
    view = Live(task, encoder, cohort.images([0, 1]))

    def interrupted():
        view.stop()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watched_run(cohort, view, task, encoder, after=interrupted)
    end_cell(cells)
    assert view.state == "ended"
    assert watched_run(cohort, view, task, encoder)[-1]["step"] == 40


# ---- what is sent ------------------------------------------------------------------------------


def test_the_film_ends_with_the_last_step_and_with_the_one_it_was_stopped_at(cohort, cells):
    task, encoder = begin("rotation")
    view = Live(task, encoder, cohort.images([0, 1]))
    watched_run(cohort, view, task, encoder, steps=30)
    assert view._film_steps == [0, 10, 20]
    end_cell(cells)
    assert view._film_steps == [0, 10, 20, 30]
    view = Live(task, encoder, cohort.images([0, 1]))
    watched_run(cohort, view, task, encoder, steps=60, after=view.stop)
    end_cell(cells)
    assert view._film_steps == [0, 10, 20]


def test_the_film_has_no_frame_of_weights_whose_step_nobody_knows(cohort, cells):
    """A cell that is interrupted leaves them up to nine steps after the last row."""
    task, encoder = begin("rotation")
    view = Live(task, encoder, cohort.images([0, 1]))

    def watch(history):
        if history[-1]["step"] == 40:  # the last row that is seen is that of step 30
            raise KeyboardInterrupt
        view.watch(history)

    with pytest.raises(KeyboardInterrupt) as stop:
        pretrain(task, encoder, cohort, range(2, 12), TrainSettings(steps=60), callback=watch)
    end_cell(cells, stop.value)
    assert view._film_steps == [0, 10, 20]
    assert view.state == "ended"


def test_the_curves_are_the_history_and_chance_is_the_tasks(cohort):
    task, encoder = begin("rotation")
    view = Live(task, encoder, cohort.images([0, 1]))
    history = watched_run(cohort, view, task, encoder)
    told = view._progress
    assert told["steps"] == [10, 20, 30, 40]
    assert told["loss"] == [row["loss"] for row in history]
    assert told["score"] == [row["accuracy"] for row in history]
    assert (told["measure"], told["chance"]) == ("accuracy", pytest.approx(0.1))
    assert told["last"]["score"] == history[-1]["accuracy"]


def test_chance_may_be_given(cohort):
    task, encoder = begin("rotation")
    view = Live(task, encoder, cohort.images([0, 1]), chance=0.25)
    watched_run(cohort, view, task, encoder, steps=10)
    assert view._progress["chance"] == 0.25


def test_of_tasks_by_turns_one_is_shown(cohort):
    (rotation, encoder), (masked, _) = begin("rotation"), begin("masked")
    view = Live(masked, encoder, cohort.images([0, 1]))
    history = watched_run(cohort, view, [rotation, masked], encoder, steps=20)
    assert view._progress["score"] == [row["r2"] for row in history if "r2" in row]
    assert len(view._progress["score"]) == 2
    with pytest.raises(InputError, match="Live shows one task"):
        Live([rotation, masked], encoder, cohort.images([0, 1]))


def test_a_long_curve_is_thinned_to_means_of_neighbours(cohort):
    task, encoder = begin("rotation")
    view = Live(task, encoder, cohort.images([0, 1]))
    rows = [
        {"step": s, "learning_rate": 1e-3, "task": "rotation", "loss": float(s), "accuracy": 0.5}
        for s in range(10, 10 * 2 * MAX_POINTS + 10, 10)
    ]
    view.watch([row | {"chance": 0.1} for row in rows])
    assert len(view._progress["loss"]) == MAX_POINTS
    assert view._progress["loss"][:2] == [15.0, 35.0]
    assert view._progress["steps"][-1] == 10 * 2 * MAX_POINTS - 5


def test_predictions_follow_the_network(cohort):
    """After the run they are what the trained network predicts, and no longer what it did."""
    task, encoder = begin("rotation", norm="batch")
    names = [f"turn {n}" for n in range(10)]
    view = Live(task, encoder, cohort.images([0, 1]), names=names)
    before = view._guesses
    watched_run(cohort, view, task, encoder)
    assert view._guesses != before
    volumes = cohort.images([0, 1])
    batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
    task.eval()
    said = task(encoder.eval(), batch).argmax(1)
    assert [prediction["words"] for prediction in view._guesses] == [names[n] for n in said]
    assert [asked["words"] for asked in view._questions] == [
        names[n] for n in batch.target.flatten()
    ]
    right = said == batch.target.flatten()
    assert [prediction["right"] for prediction in view._guesses] == right.tolist()
    assert view._right == f"{right.sum()} of 4 right"


# ---- questions and predictions -----------------------------------------------------------------


@pytest.mark.parametrize(("dims", "channels"), [(2, 1), (2, 3), (3, 1), (3, 2)])
@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_a_prediction_for_each_question(name, dims, channels):
    task, encoder, batch = posed(name, dims, channels)
    with torch.no_grad():
        asked, given = questions(batch), read_predictions(batch, task(encoder, batch))
    assert len(asked) == len(given) > 0
    for picture in (p for each in (*asked, *given) for p in vars(each).values()):
        if isinstance(picture, np.ndarray):
            assert picture.dtype == np.uint8
            in_colour = name in ("tissue", "masked") or (channels == 3 and dims == 2)
            assert picture.ndim == 2 or in_colour
    view = Live(task, encoder, torch.rand(3, channels, *(24, 28, 21)[:dims]))
    assert 0 < len(view._questions) == len(view._guesses) <= MAX_QUESTIONS


def sure(target, choices):
    """Logits of somebody who knows."""
    return torch.nn.functional.one_hot(target.flatten(), choices).float()


@pytest.mark.parametrize(("name", "choices"), [("rotation", 10), ("rpl", 26), ("jigsaw", 10)])
def test_who_knows_is_correct_and_who_is_one_off_is_wrong(name, choices):
    _, _, batch = posed(name)
    prediction = sure(batch.target, choices)
    assert all(prediction.correct for prediction in read_predictions(batch, prediction))
    assert not any(
        prediction.correct for prediction in read_predictions(batch, prediction.roll(1, 1))
    )
    said = read_predictions(batch, prediction)
    for asked, predicted in zip(questions(batch), said, strict=True):
        assert predicted.words.startswith(asked.words), "in the task's words"
        assert predicted.words[:1].isalpha()


def test_a_patch_that_is_found_is_shown_beside_the_one_to_find():
    _, _, batch = posed("cpc")
    views = batch.views.flatten(0, 1)
    right = sure(batch.target, len(views))
    for asked, prediction in zip(questions(batch), read_predictions(batch, right), strict=True):
        assert prediction.correct
        np.testing.assert_array_equal(prediction.picture, asked.label)
    other = read_predictions(batch, right.roll(1, 1))
    place = (int(batch.target[0]) + 1) % len(views)
    assert not other[0].correct
    np.testing.assert_array_equal(other[0].picture, planes(views[place].numpy()))


def test_the_nearest_view_is_exemplars_prediction():
    _, _, batch = posed("exemplar")
    points = torch.eye(6).view(3, 2, 6)
    points[0, 1] = points[0, 0] + 0.1  # scan 0 finds its copy
    points[1, 0] = points[2, 1] + 0.1  # scan 1 finds a view of scan 2
    first, second, _ = read_predictions(batch, points)
    assert (first.correct, first.words) == (True, "its copy")
    assert (second.correct, second.words) == (False, "a view of scan 2")
    np.testing.assert_array_equal(second.picture, planes(batch.views[2, 1].numpy()))


def test_who_rebuilds_all_explains_all_and_draws_the_scan():
    _, _, batch = posed("masked")
    hidden = ~batch.target.isnan()
    whole = batch.views.where(~hidden, batch.target)
    asked, prediction = questions(batch)[0], read_predictions(batch, whole)[0]
    assert prediction.words == "explains 100%"
    np.testing.assert_array_equal(prediction.picture, asked.label)
    colour = np.round(255 * np.array(to_rgb(HIDDEN_COLOUR)))
    blue = (asked.asked == colour).all(-1)
    assert blue.any(), "in the question it is hidden, and one sees where"
    np.testing.assert_array_equal(asked.asked[~blue], np.repeat(asked.label[~blue][:, None], 3, 1))
    mean = batch.target[0][hidden[0]].mean()
    assert read_predictions(batch, torch.full_like(whole, mean.item()))[0].words == "explains 0%"


def test_planes_stand_side_by_side_with_up_up():
    volume = torch.arange(2 * 3 * 4.0).view(1, 2, 3, 4).numpy()
    window = (0.0, 255.0)
    expected = np.full((4, 3 + 1 + 2 + 1 + 2), 255, np.uint8)
    expected[:, :3] = volume[0, 1].T[::-1]
    expected[:, 4:6] = volume[0, :, 1].T[::-1]
    expected[1:, 7:] = volume[0, :, :, 2].T[::-1]
    np.testing.assert_array_equal(planes(volume, window), expected)


def test_a_jigsaw_is_shown_as_the_network_gets_it():
    _, _, batch = posed("jigsaw", dims=2)
    picture = questions(batch)[1].asked
    assert picture.shape == (14, 14)
    for view in range(9):
        column, row = divmod(view, 3)
        top = 5 * (2 - row)
        tile = picture[top : top + 4, 5 * column : 5 * column + 4]
        np.testing.assert_array_equal(tile, planes(batch.views[1, view].numpy()))


def test_a_prediction_that_cannot_be_read_is_left_out(cohort):
    """A task of one's own may predict in a form of its own."""

    class Own(TASKS["rotation"]):
        def forward(self, encoder, batch):
            return super().forward(encoder, batch)[:, None]

    shape = EncoderSettings(filters=(4, 8))
    view = Live(
        Own(Own.Settings(crop_size=12), shape), make_encoder(shape, 0), cohort.images([0, 1])
    )
    assert (view._guesses, view._right) == ([], "")
    assert len(view._questions) == 4


# ---- CPC's questions, in the scan --------------------------------------------------------------


def cards(dims=3, **settings):
    shape = EncoderSettings(1, dims, filters=(4, 8))
    task = make_task("cpc", shape, **OWN["cpc"] | settings)
    volumes = torch.rand(2, 1, *(24, 28, 21)[:dims])
    batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator().manual_seed(0)))
    return volumes, batch, [patch_card(volumes, batch, n) for n in range(len(batch.target))]


def middle_of(mark):
    left, top, right, bottom = mark["box"]
    return (left + right) / 2, (top + bottom) / 2


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("direction", ["+0", "-1"])
def test_a_card_shows_context_and_asked_place_where_they_lie(dims, direction):
    _, batch, all_cards = cards(dims, directions=(direction,), prediction_steps=(1, 2))
    axis, backwards = batch.placement.direction
    # in a picture the second axis goes up, all others go to the right
    along = (lambda at: -at[1]) if (dims, axis) == (2, 1) else (lambda at: at[0])
    seen = 0
    for card in all_cards:
        marks = {m["kind"]: along(middle_of(m)) for m in card.marks if m["kind"] != "context"}
        stride = -4 if backwards else 4
        assert marks["asked"] - marks["start"] == pytest.approx(stride * card.asked.rows_ahead)
        for each in (m for m in card.marks if m["kind"] == "context"):
            rows_before = (marks["start"] - along(middle_of(each))) / stride
            assert rows_before in (1, 2), "as far as the context goes back"
            seen += 1
        assert all(0 <= n <= 29 for m in card.marks for n in m["box"])
    assert seen


def test_a_guess_is_a_box_in_its_scan_or_a_picture_of_another():
    _, batch, (card, *_) = cards()
    views, right = batch.views.shape[1], int(batch.target[0])
    asked = next(m for m in card.marks if m["kind"] == "asked")
    prediction, (box,) = card.answered(right)
    assert (prediction.correct, prediction.words, box["kind"]) == (True, "right place", "right")
    assert box["box"] == asked["box"]
    prediction, (box,) = card.answered(right + 1)
    assert (prediction.correct, prediction.words) == (False, "1 patch off, same scan")
    assert box["kind"] == "wrong"
    prediction, boxes = card.answered(right + views)
    assert (prediction.words, boxes) == ("another scan", [])
    assert prediction.picture.shape == (8, 8)


def test_live_asks_cpcs_question_in_the_scan(cohort):
    task, encoder = begin("cpc")
    view = Live(task, encoder, cohort.images([0, 1]))
    assert view._question == task.question
    kinds = [{mark["kind"] for mark in each["marks"]} for each in view._questions]
    assert all({"start", "asked"} <= each for each in kinds)
    assert any("context" in each for each in kinds)
    for each in view._guesses:
        assert each["words"] == "right place" or each["words"].endswith("scan")
        assert bool(each["marks"]) == (each["words"] != "another scan")
    assert view._right.split(" of ")[1] == f"{len(view._batch.target)} right"


def test_a_cpc_without_the_place_it_asks_from_is_shown_as_patches(cohort):
    """A task of one's own, such as a student's, may leave it out."""

    class Own(TASKS["cpc"]):
        def make_views(self, volumes, params):
            return replace(super().make_views(volumes, params), asked_from=None)

    task, encoder = begin("cpc")
    view = Live(Own(task.settings, encoder.settings), encoder, cohort.images([0, 1]))
    assert all(each["truth"] and not each["marks"] for each in view._questions)
    assert all(each["picture"] for each in view._guesses)


def test_a_jigsaws_guess_is_drawn_put_back_as_it_says():
    task, _, batch = posed("jigsaw", dims=2)
    prediction = sure(batch.target, 10)
    asked, said = questions(batch), read_predictions(batch, prediction)
    for scan, (question, guess) in enumerate(zip(asked, said, strict=True)):
        np.testing.assert_array_equal(guess.picture, question.label)
        for view, cell in enumerate(task.permutations[int(batch.target[scan])].tolist()):
            column, row = divmod(cell, 3)
            tile = question.label[5 * (2 - row) :, 5 * column :][:4, :4]
            np.testing.assert_array_equal(tile, planes(batch.views[scan, view].numpy()))
        assert guess.words.endswith("9 of 9 pieces in place")
    truth = int(batch.target[0])
    other = read_predictions(batch, prediction.roll(1, 1))[0]
    same = int((task.permutations[truth] == task.permutations[(truth + 1) % 10]).sum())
    assert other.words.endswith(f"{same} of 9 pieces in place")

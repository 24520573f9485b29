"""A film of a training: the training does not notice, and frames are what they say."""

import numpy as np
import pytest
import torch
from torch import nn

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.show.figures.alt_text import alt_text
from ssl3d_lite.show.figures.film import film_strip
from ssl3d_lite.show.film import Film, Reel, is_frame, steady_colours
from ssl3d_lite.tasks import TASKS, make_task
from ssl3d_lite.training.finetuning import finetune
from ssl3d_lite.training.pretraining import pretrain

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


def begin(name, norm="batch"):
    shape = EncoderSettings(filters=(4, 8), norm=norm)
    return make_task(name, shape, **OWN[name]), make_encoder(shape, 0)


def state_of(*modules):
    every = nn.ModuleList(modules)
    return every.state_dict(), [m.training for m in every.modules()], torch.rand(4)


def assert_same(first, second):
    (state, modes, dice), (again, same_modes, same_dice) = first, second
    assert all(torch.equal(tensor, again[key]) for key, tensor in state.items())
    assert modes == same_modes
    assert torch.equal(dice, same_dice)


# ---- the training does not notice --------------------------------------------------------------


@pytest.mark.parametrize("norm", ["batch", "instance"])
@pytest.mark.parametrize("name", TASKS)
def test_a_filmed_pretraining_is_bit_for_bit_one_that_is_not(cohort, name, norm):
    def run(filmed):
        torch.manual_seed(3)
        task, encoder = begin(name, norm)
        film = Film(encoder, cohort.images([0])[0], task=task) if filmed else None
        watch = film.watch if film else None
        history = pretrain(task, encoder, cohort, range(2, 12), steps=20, batch=4, callback=watch)
        if film:
            film.finish(history)
            assert film.reel.steps == [0, 10, 20]
        return state_of(task, encoder), history

    (plain, history), (filmed, again) = run(False), run(True)
    assert_same(plain, filmed)
    assert again == history


@pytest.mark.parametrize("frozen", [0, 15])
def test_a_filmed_fine_tuning_is_bit_for_bit_one_that_is_not(cohort, frozen):
    def run(filmed):
        torch.manual_seed(3)
        network = make_network(begin("rpl")[1], cohort, 0)
        given = {"network": network, "label_names": cohort.label_names}
        film = Film(network.encoder, cohort.images([0])[0], **given) if filmed else None
        settings = {"steps": 30, "batch": 2, "freeze_encoder_steps": frozen}
        history = finetune(network, cohort, [2, 3], hooks=[film] if film else [], **settings)
        if film:
            assert film.reel.steps == [0, 10, 20, 30]
        return state_of(network), history

    (plain, history), (filmed, again) = run(False), run(True)
    assert_same(plain, filmed)
    assert again == history


def test_a_careless_task_does_not_move_the_trainings_dice(cohort):
    class Careless(TASKS["masked"]):
        def forward(self, encoder, batch):
            torch.rand(1)
            return super().forward(encoder, batch)

    shape = EncoderSettings(filters=(4, 8))
    task = Careless(Careless.Settings(**OWN["masked"]), shape)
    torch.manual_seed(0)
    wanted = torch.rand(1)
    torch.manual_seed(0)
    Film(make_encoder(shape, 0), cohort.images([0])[0], task=task)
    assert torch.equal(torch.rand(1), wanted)


# ---- frames ------------------------------------------------------------------------------------


def test_steps_double():
    assert [n for n in range(10, 1001, 10) if is_frame(n)] == [10, 20, 40, 80, 160, 320, 640]
    assert not is_frame(45)


@pytest.fixture
def rebuilt(cohort):
    task, encoder = begin("masked")
    film = Film(encoder, cohort.images([0])[0], task=task)
    film.finish(pretrain(task, encoder, cohort, range(2, 8), steps=30, callback=film.watch))
    return film


def test_each_frame_has_features_and_what_was_rebuilt(rebuilt):
    reel = rebuilt.reel
    assert reel.steps == [0, 10, 20, 30]
    rows = reel.rows()
    assert list(rows) == ["features", "rebuilt"]
    assert [len(row) for row in rows.values()] == [4, 4]
    assert rows["features"][0].shape[:2] == reel.shown["features"].shape
    assert rows["rebuilt"][0].shape == reel.truth["rebuilt"].shape
    assert (rows["rebuilt"][0] != rows["rebuilt"][-1]).any()
    hidden = (reel.shown["rebuilt"] != reel.truth["rebuilt"][..., None]).any(-1)
    assert 0 < hidden.mean() < 1
    shown = np.stack(rows["rebuilt"])[:, ~hidden]
    assert (shown == shown[0]).all(), "what the network sees is not rebuilt"


def test_the_frame_of_a_network_is_its_prediction(cohort):
    network = make_network(begin("rpl")[1], cohort, 0)
    image, label = (torch.tensor(np.array(each)) for each in cohort[0])
    film = Film(network.encoder, image, network=network, truth=label)
    scan, truth = film.reel.shown["prediction"], film.reel.truth["prediction"]
    place = int((label > 0).sum((0, 1)).argmax())  # the plane that shows most of the label
    plane = label[..., place].numpy().T[::-1]
    assert ((truth != scan[..., None]).any(-1) <= (plane > 0)).all()
    assert (truth[plane > 0] != scan[plane > 0][:, None]).any()
    classes = network.eval()(image[None].float()).argmax(1)[0, ..., place].numpy()
    found = film.reel.pictures["prediction"][0]
    assert (found[classes.T[::-1] == 0] == scan[classes.T[::-1] == 0][:, None]).all()


def test_frames_lie_in_a_file_and_are_not_taken_again(cohort, tmp_path):
    task, encoder = begin("masked")
    file = tmp_path / "films/a.npz"
    given = {"task": task, "file": file}
    film = Film(encoder, cohort.images([0])[0], **given)
    film.watch([{"step": 10, "loss": 1.0}])
    with torch.no_grad():
        for weight in encoder.parameters():
            weight.zero_()
    again = Film(encoder, cohort.images([0])[0], **given)  # as after a kill
    again.watch([{"step": 10, "loss": 1.0}])
    again.finish([{"step": 10, "loss": 1.0}, {"step": 20, "loss": 0.5}])
    kept = Reel.load(file)
    assert kept.steps == [0, 10, 20]
    assert kept.losses == {10: 1.0, 20: 0.5}
    np.testing.assert_array_equal(kept.scores[1], film.reel.scores[1].astype(np.float32))
    for name, row in film.reel.pictures.items():
        np.testing.assert_array_equal(kept.pictures[name][:2], row)


def test_colours_last_from_frame_to_frame():
    scores = np.random.default_rng(0).normal(size=(9, 7, 3)).astype(np.float32)
    turned = scores[..., [2, 0, 1]] * [1, -1, 1]
    first, second = steady_colours([scores, turned])
    assert np.abs(first.astype(int) - second).max() <= 1


def test_of_a_large_scan_a_block_is_looked_at():
    _, encoder = begin("rpl")
    film = Film(encoder, torch.rand(1, 100, 40, 90))
    assert film.reel.shown["features"].shape == (40, 64)
    assert film.reel.rows()["features"][0].shape == (40, 64, 3)


def test_pictures_are_filmed_too(tmp_path):
    shape = EncoderSettings(spatial_dims=2, filters=(4, 8))
    task = make_task("masked", shape, crop_size=16, block_size=4)
    film = Film(make_encoder(shape, 0), torch.rand(1, 24, 20), task=task)
    film.finish([{"step": 10, "loss": 1.0, "task": "masked"}])
    assert film.reel.rows()["features"][1].shape == (20, 24, 3)
    film_strip(film)


# ---- the figure --------------------------------------------------------------------------------


def test_frames_stand_below_their_steps(rebuilt):
    figure = film_strip(rebuilt)
    figure.savefig("/dev/null", format="png")
    curve, *frames = figure.axes
    ticks = curve.transData.transform([(place, 0) for place in curve.get_xticks()])[:, 0]
    row = frames[1:5]
    middles = [np.mean(axes.get_window_extent().intervalx) for axes in row]
    np.testing.assert_allclose(ticks, middles, atol=6)
    assert [each.get_text() for each in curve.get_xticklabels()][1:3] == ["step 10", "step 20"]


def test_its_text_says_what_is_seen_and_where_the_loss_went(rebuilt):
    reel = getattr(rebuilt, "reel", rebuilt)
    steps = ", ".join(map(str, sorted(reel.steps)))
    first, last = (reel.losses[step] for step in (min(reel.losses), max(reel.losses)))
    assert alt_text(film_strip(rebuilt)).startswith(
        f"A training as a film strip: features, rebuilt, after {steps} steps. "
        f"Above it the loss, from {first:.3g} to {last:.3g}."
    )


def test_a_training_that_is_not_over_has_no_figure(cohort):
    film = Film(begin("rpl")[1], cohort.images([0])[0])
    with pytest.raises(InputError, match=r"call film.finish\(history\)"):
        film_strip(film)

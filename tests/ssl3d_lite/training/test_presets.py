from dataclasses import fields

import pytest
import torch

from ssl3d_lite.cli.commands import EncoderShape, pretrain_defaults
from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import TASKS, make_task
from ssl3d_lite.training.presets import PUBLISHED, preset
from ssl3d_lite.training.settings import TrainSettings

PAPERS = ("cpc", "rpl", "jigsaw", "rotation", "exemplar")


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("name", ["quick", "paper", "original"])
@pytest.mark.parametrize("task", PAPERS)
def test_every_setting_of_a_preset_is_one_of_its_dataclass(name, task, dims):
    chosen = preset(name, task, dims)
    assert chosen.tasks.keys() == {task}
    for given, kind in (
        (chosen.shape, EncoderShape),
        (chosen.training, TrainSettings),
        (chosen.tasks[task], TASKS[task].Settings),
    ):
        assert given.keys() <= {field.name for field in fields(kind)}
        kind(**given)


def test_a_puzzle_that_is_read_off_a_mean_has_batch_norm():
    """As the paper's has; test_held_out shows that it is then solved."""
    assert [preset("quick", task).shape for task in ("jigsaw", "masked+rotation")] == [
        {"norm": "batch"}
    ] * 2
    assert [preset("quick", task).shape for task in ("masked", "cpc")] == [{}, {}]


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("task", PAPERS)
@pytest.mark.parametrize("name", ["paper", "original"])
def test_the_papers_puzzles_fit_the_papers_volumes(name, task, dims):
    encoder = EncoderSettings(spatial_dims=dims, filters=(1,), stride=1)
    made = make_task(task, encoder, **preset(name, task, dims).tasks[task])
    edge = {3: 128, 2: 224}[dims]
    volumes = torch.zeros(2, 1, *[edge] * dims)
    batch = made.make_views(volumes, made.sample_params(volumes, torch.Generator().manual_seed(0)))
    assert batch.views.shape[0] == 2
    if task == "cpc":
        side = 5 if (name, dims) == ("original", 2) else 4
        assert batch.views.shape[1] == side**dims, "64 patches in 3D, as in the original"


def test_the_papers_numbers():
    """PAPER's table, the few that a reader would look up."""
    paper, original = preset("paper", "jigsaw"), preset("original", "jigsaw")
    assert paper.shape["filters"] == (32, 64, 128, 256, 512)
    assert original.shape["filters"] == (16, 32, 64, 128, 256)
    assert (paper.tasks["jigsaw"]["permutations"], paper.tasks["jigsaw"]["jitter"]) == (1000, 3)
    assert original.tasks["jigsaw"]["permutations"] == 100
    assert paper.training["learning_rate"] == 1e-3
    assert preset("paper", "jigsaw", 2).training["learning_rate"] == 5e-4
    assert original.training["learning_rate"] == 1e-4
    assert original.training["epochs"] == 1000
    assert [preset("original", task).training["batch"] for task in PAPERS] == [32, 32, 8, 4, 2]
    assert preset("paper", "exemplar").tasks["exemplar"]["margin"] == 1
    batches = [preset("original", task, 2).training["batch"] for task in PAPERS]
    assert batches == [64, 32, 32, 32, 16]
    assert preset("original", "rpl", 2).training["learning_rate"] == 1e-5
    cpc = preset("original", "cpc").tasks["cpc"]
    assert (cpc["embedding_dim"], cpc["context_dim"], cpc["stride"]) == (1024, 256, cpc["patch"])
    assert cpc["prediction_steps"] == (1, 2)


def test_adam_is_plain_and_its_rate_stays():
    training = TrainSettings(**preset("paper", "rotation").training, steps=9)
    assert (training.weight_decay, training.clip) == (0, 0)
    assert training.lr_at(8) == training.lr_at(0) == 1e-3


def test_every_value_has_its_source_and_none_stands_twice():
    places = [
        (row.where, row.field, dims, task)
        for row in PUBLISHED
        for dims in row.dims
        for task in ([row.task] if row.task else PAPERS if row.where == "training" else [""])
    ]
    assert len(set(places)) == len(places)
    for row in PUBLISHED:
        for name in ("paper", "original"):
            assert getattr(row, name)[1].startswith(("P", "O", "ours")), row


def test_epochs_are_counted_out_in_steps():
    settings = TrainSettings(epochs=3, batch=4).for_cases(10)
    assert (settings.steps, settings.epochs) == (8, 0)  # 30 scans, 4 a step: 7.5
    assert TrainSettings(steps=5).for_cases(10).steps == 5


@pytest.mark.parametrize(
    ("name", "task", "said"),
    [
        ("papper", "cpc", "did you mean 'paper'"),
        ("paper", "masked", "masked is not in the paper"),
        ("original", "cpc+tissue", "tissue is not in the paper"),
        ("quick", "cpcc", "did you mean 'cpc'"),
        ("quick", "cpc+cpc", "names one task twice"),
    ],
)
def test_what_is_not_there_is_refused(name, task, said):
    with pytest.raises(InputError, match=said):
        preset(name, task)


def test_the_command_line_takes_a_presets_numbers_as_defaults():
    default = pretrain_defaults("cpc+masked")
    assert default["options"].cpc.patch == 16
    assert default["options"].masked.block_size == 8
    default = pretrain_defaults("rpl", "paper", 2)
    assert (default["options"].patch, default["training"].batch) == (71, 32)
    assert default["shape"].block == "residual"


def test_an_encoder_can_be_made_of_every_shape():
    for name in ("paper", "original"):
        encoder = make_encoder(EncoderSettings(**preset(name).shape), 0)
        assert encoder.width == preset(name).shape["filters"][-1]

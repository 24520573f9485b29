import json

import pytest
import torch
from helpers import make_graded

from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.features import picture_features, recalibrated
from ssl3d_lite.evaluation.linear_probe import linear_probes
from ssl3d_lite.evaluation.proxy import proxy_score
from ssl3d_lite.evaluation.segmentation import evaluate
from ssl3d_lite.models.classifier import make_classifier
from ssl3d_lite.models.encoders import UNetEncoder, adapt_channels, make_encoder
from ssl3d_lite.models.heads import global_avg_pool
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.models.unet import UNet
from ssl3d_lite.tasks import make_task
from ssl3d_lite.training.checkpoint import load_encoder, load_network, save_encoder
from ssl3d_lite.training.finetuning import finetune
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import FinetuneSettings, TrainSettings

DENSE = EncoderSettings(3, 2, network="densenet121")
WIDTHS = (64, 256, 512, 1024, 1024)


@pytest.fixture(scope="module")
def dense():
    return make_encoder(DENSE, 0).eval()


@pytest.fixture(scope="module")
def eyes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("eyes")
    return make_graded(folder, [i % 3 for i in range(15)], edge=64).to("cpu")


@pytest.mark.parametrize("edge", [32, 64, 75])
def test_its_levels_are_halved_and_as_wide_as_its_settings_say(dense, edge):
    levels = dense(torch.randn(1, 3, edge, edge))
    halved = [38, 19, 9, 4, 2] if edge == 75 else [edge // 2**n for n in range(1, 6)]
    assert [tuple(level.shape) for level in levels] == [
        (1, width, space, space) for width, space in zip(WIDTHS, halved, strict=True)
    ]
    assert DENSE.filters == WIDTHS
    assert global_avg_pool(levels).shape == (1, dense.width) == (1, 1024)


def test_the_deepest_level_is_what_its_own_classifier_reads(dense):
    x = torch.randn(1, 3, 40, 40)
    torch.testing.assert_close(dense(x)[-1], dense.features(x).relu())


def test_it_is_densenet_121(dense):
    """121 layers: 120 convolutions, and the classifier that is left out. 7 million weights."""
    convolutions = [m for m in dense.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) == 120
    # 7 978 856 as published, less 1024 x 1000 weights and 1000 biases of its classifier
    assert sum(p.numel() for p in dense.parameters()) == 7_978_856 - 1_025_000


@pytest.mark.parametrize("norm", ["group", "instance"])
def test_it_has_every_norm(norm):
    encoder = make_encoder(EncoderSettings(1, 2, norm=norm, network="densenet121"), 0)
    assert [f.shape[1] for f in encoder(torch.randn(1, 1, 64, 64))] == list(WIDTHS)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in encoder.modules())


@pytest.mark.parametrize("dims", [2, 3])
def test_too_small_an_input_says_how_large_it_must_be(dims):
    encoder = make_encoder(EncoderSettings(1, dims, network="densenet121"), 0)
    with pytest.raises(InputError, match=r"^densenet121 needs edges of at least 32 voxels"):
        encoder(torch.zeros(1, 1, *[31] * dims))
    with pytest.raises(InputError, match=rf"takes \(batch, 1, {dims} space axes\), but got"):
        encoder(torch.zeros(1, 2, *[32] * dims))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"filters": (16, 32, 64, 128)}, r"leave out filters \(16, 32, 64, 128\)$"),
        ({"block": "residual"}, "none of which can be chosen; leave out block 'residual'$"),
        ({"stride": 1}, "stride 2, none of which can be chosen; leave out stride 1$"),
        ({"norm": "none"}, "densenet121 needs a norm: batch, group or instance"),
        ({"norm": "grup"}, "did you mean 'group'"),
    ],
)
def test_settings_that_it_does_not_have_are_refused(settings, said):
    with pytest.raises(InputError, match=said):
        make_encoder(EncoderSettings(3, 2, network="densenet121", **settings), 0)


def test_a_misspelt_network_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'densenet121'"):
        EncoderSettings(network="densenet")


def test_what_answers_for_every_voxel_is_refused(dense):
    with pytest.raises(
        InputError, match=r"^a U-Net reads the levels of a U-Net, which densenet121 has not"
    ):
        UNet(dense, 2)
    for task in ("masked", "tissue"):
        with pytest.raises(InputError, match=r"\(masked, tissue\) reads the levels of a U-Net"):
            make_task(task, DENSE)


@pytest.mark.parametrize(("old", "new"), [(3, 6), (1, 3)])
def test_adapted_channels_give_the_same_features_for_repeated_input(old, new):
    encoder = make_encoder(EncoderSettings(old, 2, network="densenet121"), 0).eval()
    adapted = adapt_channels(encoder, new).eval()
    picture = torch.randn(1, old, 32, 32)
    repeated = picture[:, torch.arange(new) % old]
    for level, again in zip(encoder(picture), adapted(repeated), strict=True):
        torch.testing.assert_close(level, again, rtol=1e-3, atol=1e-4)
    assert adapted.settings.in_channels == new


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("rotation", {"crop_size": 32}),
        ("exemplar", {"crop_size": 32}),
        ("rpl", {"patch": 32, "jitter": 0, "queries_per_scan": 2}),
        ("jigsaw", {"patch": 32, "jitter": 0, "permutations": 10}),
        ("cpc", {"patch": 32, "stride": 16, "jitter": 0}),
    ],
)
def test_every_puzzle_of_large_enough_patches_can_be_put_to_it(tmp_path, dense, name, settings):
    pictures = make_graded(tmp_path, [0, 1], edge=96)
    scores = proxy_score(make_task(name, DENSE, **settings), dense, pictures, (0, 1))
    assert 0 <= scores["accuracy"] <= 1


def test_it_is_pretrained_saved_probed_and_fine_tuned(eyes, tmp_path):
    encoder = make_encoder(DENSE, 0)
    pretrain(
        make_task("rotation", DENSE, crop_size=32),
        encoder,
        eyes,
        eyes.split().pretrain,
        TrainSettings(steps=2, batch=3),
        tmp_path / "encoder",
    )
    loaded = load_encoder(tmp_path / "encoder")
    assert loaded.settings == DENSE
    assert all(torch.equal(w, loaded.state_dict()[n]) for n, w in encoder.state_dict().items())
    split = eyes.split()
    judged = recalibrated(loaded, eyes, split.pretrain)
    assert len(next(picture_features(judged, eyes, (0,)))) == sum(WIDTHS)
    assert len(linear_probes(judged, eyes, [split.train], split.test)[0].cases) == 3
    network = make_classifier(loaded, 3, 0)
    training = FinetuneSettings(steps=2, batch=3)
    finetune(network, eyes, split.train, training, tmp_path / "network")
    again = load_network(tmp_path / "network")
    answers = [evaluate(n, eyes, split.test).prediction.tolist() for n in (network, again)]
    assert answers[0] == answers[1]


def test_settings_from_before_there_was_a_choice_are_those_of_a_unet(tmp_path):
    encoder = make_encoder(EncoderSettings(1, 3, (4, 8), "plain", "batch", stride=1), 0)
    shape = {"in_channels": 1, "spatial_dims": 3, "filters": [4, 8], "block": "plain"}
    save_encoder(tmp_path, encoder, {"kind": "pretrain", "encoder": shape | {"norm": "batch"}})
    assert "network" not in json.loads((tmp_path / "settings.json").read_text())["encoder"]
    loaded = load_encoder(tmp_path)
    assert isinstance(loaded, UNetEncoder)
    assert loaded.settings == encoder.settings


def test_settings_from_before_there_were_strides_are_those_of_its_own(tmp_path, dense):
    shape = {"in_channels": 3, "spatial_dims": 2, "filters": list(WIDTHS), "block": "plain"}
    about = {"kind": "pretrain", "encoder": shape | {"norm": "batch", "network": "densenet121"}}
    save_encoder(tmp_path, dense, about)
    assert load_encoder(tmp_path).settings == DENSE


def test_what_is_not_asked_for_is_the_networks_own():
    assert EncoderSettings().filters == (16, 32, 64)
    assert DENSE.filters == WIDTHS
    assert (DENSE.block, DENSE.norm, DENSE.stride) == ("plain", "batch", 2)
    asked = EncoderSettings(3, 2, WIDTHS, "plain", "batch", "densenet121", 2)
    assert asked == DENSE, "as a record of its settings says"


@pytest.mark.parametrize(("edge", "fits"), [(32, False), (60, False), (61, True), (64, True)])
def test_instance_norm_needs_more_than_one_voxel_in_the_deepest_level(edge, fits):
    settings = EncoderSettings(1, 2, norm="instance", network="densenet121")
    encoder = make_encoder(settings, 0).eval()
    picture = torch.randn(1, 1, edge, edge)
    if fits:
        assert encoder(picture)[-1].shape[2:] == (2, 2)
        return
    with pytest.raises(InputError, match=r"^densenet121 needs more than one voxel in the deepest"):
        encoder(picture)

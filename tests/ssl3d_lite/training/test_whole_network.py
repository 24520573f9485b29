"""Encoder, skips and decoder pretrained together, and fine-tuned but for the last layer."""

import pytest
import torch
from helpers import make_cohort, make_graded
from safetensors.torch import load_file, save_file

from ssl3d_lite.cli.main import main
from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.models.unet import find_unet_decoder, make_unet
from ssl3d_lite.study.arms import parse_arm
from ssl3d_lite.tasks import make_task
from ssl3d_lite.training.checkpoint import load_decoder, load_encoder, load_network
from ssl3d_lite.training.finetuning import finetune
from ssl3d_lite.training.pretraining import pretrain

SHAPE = {"filters": (4, 8), "norm": "group"}
CROP = {"masked": {"crop_size": 16, "block_size": 4}, "tissue": {"crop_size": 16}}


def same(module, other):
    weights = other.state_dict()
    return all(torch.equal(each, weights[name]) for name, each in module.state_dict().items())


@pytest.mark.parametrize("name", CROP)
def test_all_but_the_last_layer_is_transferred(name, cohort, tmp_path):
    encoder = make_encoder(cohort, 0, **SHAPE)
    start = make_unet(make_encoder(cohort, 0, **SHAPE), 3, 0)
    task = make_task(name, encoder, 0, decoder="unet", **CROP[name])
    pretrain(task, encoder, cohort, steps=2, out=tmp_path)
    decoder = find_unet_decoder(task)
    assert same(load_decoder(tmp_path), decoder)
    assert same(load_encoder(tmp_path), encoder)
    network = make_network(load_encoder(tmp_path), cohort, 0, load_decoder(tmp_path))
    assert same(network.decoder, decoder)
    assert same(network.encoder, encoder)
    assert same(network.last, start.last)  # which the seed draws as without a decoder
    assert not same(start.decoder, decoder)
    finetune(network, cohort, cohort.split().train[:2], steps=1)  # a copy: the task's own stays
    assert same(load_decoder(tmp_path), decoder)
    assert not same(network.decoder, decoder)


def test_the_task_trains_every_weight_of_the_decoder(cohort):
    encoder = make_encoder(cohort, 0, **SHAPE)
    task = make_task("masked", encoder, 0, decoder="unet", **CROP["masked"])
    volumes = cohort.images(range(2))
    batch = task.make_views(volumes, task.sample_params(volumes, torch.Generator()))
    task.loss(task(encoder, batch), batch).backward()
    learnt = {name for name, weight in task.named_parameters() if weight.grad.abs().sum() > 0}
    still = {name for name, _ in task.named_parameters() if "refine.0" in name}
    assert learnt == {name for name, _ in task.named_parameters()} - still
    assert still, "the first layer of what is added to the output, whose last starts at zero"
    assert all(weight.grad is not None for weight in encoder.parameters())


def test_a_light_decoder_is_none_of_a_unet(cohort, tmp_path):
    encoder = make_encoder(cohort, 0, **SHAPE)
    task = make_task("masked", encoder, 0, **CROP["masked"])
    assert find_unet_decoder(task) is None
    pretrain(task, encoder, cohort, range(8), steps=1, out=tmp_path)
    with pytest.raises(InputError, match="no pretrained decoder; pretrain with --task masked"):
        load_decoder(tmp_path)


def test_grades_have_no_decoder(cohort, tmp_path):
    graded = make_graded(tmp_path, [0, 1, 2, 1, 0])
    decoder = make_unet(make_encoder(graded, 0, **SHAPE), 2, 0).decoder
    with pytest.raises(InputError, match="a network of grades has no decoder"):
        make_network(make_encoder(graded, 0, **SHAPE), graded, 0, decoder)


def test_networks_of_earlier_versions_are_read(cohort, tmp_path):
    network = make_network(make_encoder(cohort, 0, **SHAPE), cohort, 0)
    finetune(network, cohort, range(2), steps=1, out=tmp_path)
    path = tmp_path / "network.safetensors"
    weights = load_file(path)
    assert any(name.startswith("decoder.ups.") for name in weights)
    save_file({name.removeprefix("decoder."): each for name, each in weights.items()}, path)
    assert same(load_network(tmp_path), network)


def test_on_the_command_line(tmp_path, capsys):
    cohort = str(make_cohort(tmp_path / "cohort", 15, (16, 16, 16)).folder)
    common = ["--cohort", cohort, "--device", "cpu", "--steps", "10"]
    shape = ["--filters", "4", "8", "--norm", "group"]
    task = ["--task", "masked", "--crop-size", "16", "--block-size", "4", "--decoder", "unet"]
    encoder, out = str(tmp_path / "encoder"), str(tmp_path / "network")
    assert main(["pretrain", *common, *task, *shape, "--out", encoder]) == 0
    words = ["finetune", *common, "--encoder", encoder, "--labels", "2", "--out"]
    assert main([*words, out, "--transfer", "network"]) == 0
    assert main([*words, str(tmp_path / "other")]) == 0
    assert not same(load_network(out).decoder, load_network(tmp_path / "other").decoder)
    random = ["finetune", *common, "--encoder", "random", "--transfer", "network", "--out"]
    assert main([*random, str(tmp_path / "none")]) == 2
    assert "random holds no pretrained decoder" in capsys.readouterr().err


def test_an_arm_of_a_study_transfers_the_network():
    assert parse_arm("masked@network").whole_network
    assert parse_arm("cpc+masked@network").tasks == ("cpc", "masked")
    assert not parse_arm("masked").whole_network
    with pytest.raises(InputError, match="no decoder is trained by cpc, but by masked and tissue"):
        parse_arm("cpc@network")

"""Files with names of earlier versions are read."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.classifier import make_classifier
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.models.unet import make_unet
from ssl3d_lite.old_names import renamed, renamed_weights
from ssl3d_lite.tasks import TASKS, make_task
from ssl3d_lite.training.checkpoint import load_encoder, load_network
from ssl3d_lite.training.pretraining import pretrain

SMALL = EncoderSettings(filters=(4, 8))


def test_names_are_changed_in_tables_within_tables():
    old = {"worthwhile": 0.02, "finetune": {"encoder_rate": 0.1, "frozen_steps": 3}, "x": [1]}
    assert renamed(old) == {
        "min_effect": 0.02,
        "finetune": {"encoder_lr_scale": 0.1, "freeze_encoder_steps": 3},
        "x": [1],
    }
    assert renamed(renamed(old)) == renamed(old)


def test_one_old_name_is_each_tasks_own():
    tasks = {"cpc": {"code": 64, "most": 4}, "masked": {"code": 16, "share": 0.5}}
    assert renamed({"tasks": tasks | {"2d-cpc": {"ahead": [1]}}}) == {
        "tasks": {
            "cpc": {"embedding_dim": 64, "max_patches": 4},
            "masked": {"decoder_channels": 16, "mask_ratio": 0.5},
            "2d-cpc": {"prediction_steps": [1]},
        }
    }
    assert renamed({"exemplar turn": 0.5, "rotation edge": 24, "rpl patch": 4}) == {
        "exemplar rotation": 0.5,
        "rotation crop_size": 24,
        "rpl patch": 4,
    }


OLD = {
    "cpc": {"most": 4, "ahead": [1], "code": 64},
    "rotation": {"edge": 24, "turns_per_scan": 2},
    "exemplar": {"edge": 24, "turn": 0.5, "code": 64},
    "masked": {"edge": 24, "block_edge": 8, "share": 0.5, "code": 16},
    "tissue": {"edge": 24, "code": 16},
}


@pytest.mark.parametrize("name", OLD)
def test_new_names_are_settings_of_the_task(name):
    make_task(name, SMALL, **renamed({name: OLD[name]})[name])
    assert name in TASKS


def as_it_was_written(folder):
    """Give the files of a run the names that they had."""
    now = {"activation_checkpointing": "recompute", "memory_format": "layout"}
    path = folder / "settings.json"
    text = path.read_text()
    state = torch.load(folder / "resume.pt", weights_only=True)
    for new, old in {**now, "rotation crop_size": "rotation edge"}.items():
        assert f'"{new}"' in text
        text = text.replace(f'"{new}"', f'"{old}"')
        state["record"] = state["record"].replace(f'"{new}"', f'"{old}"')
    path.write_text(text)
    torch.save(state, folder / "resume.pt")


def test_a_run_of_an_earlier_version_is_loaded_and_continued(cohort, tmp_path):
    def run(**settings):
        encoder = make_encoder(SMALL, 0)
        task = make_task("rotation", encoder.settings, crop_size=12)
        return pretrain(task, encoder, cohort, range(8), out=tmp_path, steps=10, **settings)

    history = run()
    as_it_was_written(tmp_path)
    weights = load_file(tmp_path / "encoder.safetensors")
    loaded = load_encoder(tmp_path)
    assert loaded.settings == SMALL
    assert all(torch.equal(w, weights[name]) for name, w in loaded.state_dict().items())
    assert run() == history, "it has ended"
    with pytest.raises(InputError, match="another folder"):
        run(learning_rate=0.1)
    assert json.loads((tmp_path / "settings.json").read_text())["task"] == "rotation"


# ---- before encoders had strides -----------------------------------------------------------------

FORMER = {"in_channels": 1, "spatial_dims": 3, "filters": [4, 8], "block": "plain", "norm": "batch"}


def written(folder, network, **record):
    """The folder of a fine-tuned network as the first versions wrote it."""
    old = {"decoder.ups.": "ups.", "decoder.blocks.": "blocks.", "last.conv.": "last."}
    weights = {}
    for name, weight in network.state_dict().items():
        new = next((each for each in old if name.startswith(each)), "")
        weights[old.get(new, "") + name.removeprefix(new)] = weight.contiguous()
    save_file(weights, folder / "network.safetensors")
    (folder / "settings.json").write_text(json.dumps({"kind": "finetune", **record}))
    return weights


@pytest.mark.parametrize("block", ["plain", "residual"])
def test_a_network_from_before_there_were_strides_answers_as_it_did(tmp_path, block):
    shape = EncoderSettings(1, 3, (4, 8), block, "batch", stride=1)
    network = make_unet(make_encoder(shape, 1), 3, 2).eval()
    weights = written(tmp_path, network, encoder=FORMER | {"block": block}, classes=3)
    assert {"last.weight", "last.bias", "ups.0.weight", "blocks.0.conv1.weight"} <= weights.keys()
    loaded = load_network(tmp_path)
    assert loaded.encoder.settings == shape
    scan = torch.randn(1, 1, 8, 9, 10)
    assert torch.equal(loaded(scan), network(scan))


def test_the_last_layer_of_a_classifier_keeps_its_name(tmp_path):
    shape = EncoderSettings(1, 3, (4, 8), "plain", "batch", stride=1)
    network = make_classifier(make_encoder(shape, 1), 3, 2).eval()
    weights = written(tmp_path, network, encoder=FORMER, grades=3)
    assert renamed_weights(weights).keys() == weights.keys() == network.state_dict().keys()
    scan = torch.randn(1, 1, 8, 8, 8)
    assert torch.equal(load_network(tmp_path)(scan), network(scan))


@pytest.mark.parametrize("stride", [1, 2])
def test_names_of_today_stay(stride):
    network = make_unet(make_encoder(EncoderSettings(filters=(4, 8), stride=stride), 1), 3, 2)
    weights = network.state_dict()
    assert renamed_weights(weights).keys() == weights.keys()

"""Files with names of earlier versions are read."""

import json

import pytest
import torch
from safetensors.torch import load_file

from ssl3d_lite.errors import InputError
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.old_names import renamed
from ssl3d_lite.tasks import TASKS, make_task
from ssl3d_lite.training.checkpoint import load_encoder
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

"""Names in files of earlier versions are understood as what they are called now."""

from dataclasses import fields

import pytest

from ssl3d_lite.old_names import TASK_SETTINGS, renamed
from ssl3d_lite.tasks import TASKS


def test_a_tasks_settings_are_renamed_and_a_recipes_edge_is_not():
    old = {
        "cohort": {"edge": 64},
        "tasks": {
            "masked": {"edge": 32, "share": 0.5, "code": 8},
            "2d-cpc": {"most": 4, "code": 8},
        },
    }
    assert renamed(old) == {
        "cohort": {"edge": 64},
        "tasks": {
            "masked": {"crop_size": 32, "mask_ratio": 0.5, "decoder_channels": 8},
            "2d-cpc": {"max_patches": 4, "embedding_dim": 8},
        },
    }
    assert renamed(renamed(old)) == renamed(old)


@pytest.mark.parametrize("task", TASK_SETTINGS)
def test_new_names_are_settings_of_the_task_and_old_ones_are_not(task):
    known = {field.name for field in fields(TASKS[task].Settings)}
    assert set(TASK_SETTINGS[task].values()) <= known
    assert not set(TASK_SETTINGS[task]) & known

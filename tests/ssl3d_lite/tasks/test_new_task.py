"""The exercise that the design promises: a new task is one new file and one line in TASKS."""

import importlib.util
import sys

import pytest
import torch

from ssl3d_lite import show, tasks
from ssl3d_lite.evaluation.proxy import proxy_score
from ssl3d_lite.models.encoders import UNetEncoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import TrainSettings

FILE = '''
"""Mirror: was the box mirrored along its first axis?"""

from dataclasses import dataclass

import torch

from ssl3d_lite.models.heads import global_avg_pool, head
from ssl3d_lite.settings import CheckedSettings, PositiveInt
from ssl3d_lite.tasks.base import Placement, ProxyBatch, ProxyTask
from ssl3d_lite.tasks.geometry import cut, random_corner, shift_matrix


@dataclass(frozen=True)
class MirrorSettings(CheckedSettings):
    crop_size: PositiveInt = 16
    """Edge of the box, voxels."""


class Mirror(ProxyTask):
    """Predict whether a box was mirrored."""

    name = "mirror"
    Settings = MirrorSettings

    def __init__(self, settings, encoder):
        super().__init__(settings, encoder)
        self.head = head(encoder.width, 32, 2)

    def sample_params(self, volumes, generator):
        space, size = self.space_of(volumes), (self.settings.crop_size,) * self.dims
        return {
            "corner": random_corner(space, size, (len(volumes), 1), generator),
            "mirrored": torch.randint(2, (len(volumes), 1), generator=generator),
        }

    def make_views(self, volumes, params):
        size, mirrored = self.settings.crop_size, params["mirrored"]
        views = cut(volumes, params["corner"], (size,) * self.dims)
        chosen = mirrored.view(-1, *[1] * (views.ndim - 1)).bool().to(views.device)
        views = views.where(~chosen, views.flip(3))
        flip = torch.eye(self.dims + 1)
        flip[0, 0], flip[0, -1] = -1, size - 1
        matrix = shift_matrix(params["corner"])
        matrix = torch.where(mirrored[..., None, None].bool(), matrix @ flip, matrix)
        return ProxyBatch(views, mirrored.to(views.device), Placement(matrix))

    def forward(self, encoder, batch):
        return self.head(global_avg_pool(encoder(batch.views.flatten(0, 1))))
'''


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """The new file, and the one line that puts its task into TASKS."""
    (tmp_path / "mirror.py").write_text(FILE)
    spec = importlib.util.spec_from_file_location("mirror", tmp_path / "mirror.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "mirror", module)
    spec.loader.exec_module(module)
    monkeypatch.setitem(tasks.TASKS, "mirror", module.Mirror)
    return module


def test_a_new_task_is_made_by_its_name_trained_scored_and_shown(mirror, cohort):
    encoder = UNetEncoder(EncoderSettings(filters=(4, 8)))
    task = tasks.make_task("mirror", encoder, crop_size=12)
    settings = TrainSettings(steps=20, batch=4, learning_rate=3e-3, precision="32-true")
    trained = pretrain(task, encoder, cohort, range(8), settings)
    history = trained[1] if isinstance(trained, tuple) else trained
    assert [row["task"] for row in history] == ["mirror", "mirror"]
    assert history[-1]["chance"] == pytest.approx(0.5)
    assert proxy_score(task, encoder, cohort, range(8, 12))["chance"] == pytest.approx(0.5)
    volumes = cohort.images(range(4))
    params = task.sample_params(volumes, torch.Generator().manual_seed(0))
    batch = task.make_views(volumes, params)
    for scan in range(4):
        assert show.puzzle(volumes, batch, scan).axes


def test_its_settings_are_checked_like_all_others(mirror):
    shape = EncoderSettings(filters=(4, 8))
    with pytest.raises(tasks.InputError, match="did you mean 'crop_size'"):
        tasks.make_task("mirror", shape, cropsize=4)
    with pytest.raises(tasks.InputError, match="crop_size is 0, but must be above 0"):
        tasks.make_task("mirror", shape, crop_size=0)

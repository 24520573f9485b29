"""Weight decay: kernels have it; biases, and the scales of norms, have none."""

import pytest
import torch
from torch import nn

from ssl3d_lite.machine.launch import launch
from ssl3d_lite.models.classifier import make_classifier
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.models.unet import make_unet
from ssl3d_lite.tasks import make_task
from ssl3d_lite.training.finetuning import Finetuning
from ssl3d_lite.training.loop import parts_by_decay, set_up
from ssl3d_lite.training.pretraining import Pretraining
from ssl3d_lite.training.settings import FinetuneSettings, TrainSettings

NORMS = {"batch": nn.BatchNorm3d, "group": nn.GroupNorm, "instance": nn.InstanceNorm3d}


def learners(norm, stride):
    """Every kind of learner, with the settings of its training."""
    shape = EncoderSettings(filters=(4, 8), norm=norm, stride=stride)
    training = FinetuneSettings(weight_decay=0.5, encoder_lr_scale=0.1, device="cpu")
    yield Finetuning(make_unet(make_encoder(shape, 0), 3, 0), training), training
    yield Finetuning(make_classifier(make_encoder(shape, 0), 3, 0), training), training
    training = TrainSettings(weight_decay=0.5, device="cpu")
    tasks = [make_task(name, shape) for name in ("cpc", "masked", "rotation", "exemplar")]
    yield Pretraining(make_encoder(shape, 0), tasks), training


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("norm", NORMS)
def test_every_weight_has_its_decay_once(norm, stride):
    for learner, training in learners(norm, stride):
        _, optimizer = set_up(launch(1, "cpu", "32-true"), learner, training)
        decay = {}
        for group in optimizer.param_groups:
            for weight in group["params"]:
                assert id(weight) not in decay, "every weight is in one group"
                decay[id(weight)] = group["weight_decay"]
        named = dict(learner.named_parameters())
        assert decay.keys() == {id(weight) for weight in named.values()}
        bare = {name for name, weight in named.items() if decay[id(weight)] == 0}
        biases = {name for name in named if name.endswith("bias")}
        scales = {
            f"{name}.weight" for name, each in learner.named_modules() if type(each) is NORMS[norm]
        }
        assert scales
        assert bare >= biases | scales
        assert {decay[id(w)] for name, w in named.items() if name not in bare} == {0.5}
        assert {named[name].ndim for name in bare - biases - scales} <= {0, 1}


def test_the_parts_are_all_weights_in_their_order():
    layers = nn.Sequential(nn.Conv2d(1, 2, 3), nn.GroupNorm(1, 2), nn.Flatten(), nn.Linear(2, 2))
    (kernels, decay), (others, none) = parts_by_decay(layers.parameters(), 0.1)
    assert (decay, none) == (0.1, 0.0)
    assert [each.ndim for each in kernels] == [4, 2]
    assert [id(each) for each in others] == [
        id(layers[0].bias),
        id(layers[1].weight),
        id(layers[1].bias),
        id(layers[3].bias),
    ]


def test_what_has_no_decay_stays_where_no_gradient_moves_it():
    layer = nn.Linear(2, 2)
    nn.init.ones_(layer.weight)
    nn.init.ones_(layer.bias)
    groups = [{"params": p, "weight_decay": d} for p, d in parts_by_decay(layer.parameters(), 0.5)]
    optimizer = torch.optim.AdamW(groups, lr=0.1)
    (0 * (layer.weight.sum() + layer.bias.sum())).backward()
    optimizer.step()
    assert torch.equal(layer.bias, torch.ones(2))
    torch.testing.assert_close(layer.weight, torch.full((2, 2), 0.95))

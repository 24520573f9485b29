"""A step does not wait for its device.

A GPU computes while Python goes on, until Python asks for a number or copies memory the plain way:
then it waits until the GPU has done everything, and the GPU in turn has nothing to do. Torch's
"meta" device stands in for the GPU here. It has no numbers, so asking for one is an error, and each
copy to it is seen.
"""

import pytest
import torch
from helpers import random_cohort
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ssl3d_lite.machine.device import to_device
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import TASKS, make_task
from ssl3d_lite.training.batches import labelled_batch, puzzle_batch
from ssl3d_lite.training.finetuning import Finetuning
from ssl3d_lite.training.loop import clip_gradient
from ssl3d_lite.training.pretraining import Pretraining
from ssl3d_lite.training.settings import FinetuneSettings, TrainSettings

META = torch.device("meta")
SHAPE = EncoderSettings(filters=(4, 8))
# from the CPU to the device, in a step: the scans' numbers, where boxes lie, and the target
COPIES = dict.fromkeys(TASKS, 3)
COPIES |= {"exemplar": 11, "collapsed": 10}  # three planes to turn in, each with its scans


class Watch(TorchDispatchMode):
    """Counts copies to the device, and notes what a GPU would have to wait for."""

    def __init__(self):
        super().__init__()
        self.copies, self.waits = 0, []

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        devices = {x.device.type for x in tensors if x.ndim}  # a lone number goes with the call
        result = op(*args, **kwargs)
        arrives = isinstance(result, torch.Tensor) and result.device == META
        if op is torch.ops.aten._to_copy.default and devices == {"cpu"} and arrives:
            self.copies += 1
            if not kwargs.get("non_blocking"):
                self.waits.append(f"{op} of {tuple(args[0].shape)}")
        elif devices == {"cpu", "meta"}:
            self.waits.append(f"{op} of both devices")
        return result


def a_step(learner, batch):
    loss, _ = learner(*batch)
    loss.backward()
    clip_gradient(learner, 1.0)


def test_the_watch_sees_what_waits():
    there, index = torch.empty(4, device=META), torch.tensor([1, 2])
    with Watch() as watch:
        to_device(index, META)
    assert (watch.copies, watch.waits) == (1, [])
    with Watch() as watch:
        index.to(META)
        there[index]
    assert len(watch.waits) == 2
    with pytest.raises((NotImplementedError, RuntimeError)), Watch():
        float(there[0])


@pytest.mark.parametrize("name", TASKS)
def test_a_step_of_pretraining_waits_for_nothing(name):
    cohort = random_cohort(48, 4)
    encoder = make_encoder(SHAPE, 0)
    learner = Pretraining(encoder, [make_task(name, encoder)]).to(META).train()
    settings = TrainSettings(steps=1, batch=4)
    for source in (cohort, cohort.to(META)):  # what is sent: the scans, or their numbers
        with Watch() as watch:
            a_step(learner, puzzle_batch(learner.tasks, source, range(4), settings, 0, META))
        assert watch.waits == []
        assert watch.copies == COPIES[name]


def test_a_step_of_finetuning_waits_for_nothing():
    cohort = random_cohort(32, 4)
    settings = FinetuneSettings(steps=1, batch=2, patch=(16, 16, 16))
    learner = Finetuning(make_network(make_encoder(SHAPE, 0), cohort), settings).to(META).train()
    with Watch() as watch:
        a_step(learner, labelled_batch(cohort, range(4), settings, 0, META))
    assert watch.waits == []

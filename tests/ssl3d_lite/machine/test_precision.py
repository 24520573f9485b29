from types import SimpleNamespace

import pytest
import torch

from ssl3d_lite.data.cohort import fits
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine import device as precision


def test_what_is_asked_for_is_taken():
    assert precision.choose_device("cpu") == "cpu"
    assert precision.choose_precision("32-true", "cpu") == "32-true"
    assert precision.choose_precision("bf16-mixed", "cpu") == "bf16-mixed"


def test_a_cpu_never_takes_bfloat16_by_itself():
    """Its weights' gradients may be garbage there: see `choose_precision`."""
    assert precision.choose_precision("auto", "cpu") == "32-true"


def test_misspelt_names_give_the_nearest():
    with pytest.raises(InputError, match="did you mean 'cpu'"):
        precision.choose_device("cpus")
    with pytest.raises(InputError, match="did you mean 'bf16-mixed'"):
        precision.choose_precision("bf16-mixt", "cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(InputError, match="this machine has none"):
        precision.choose_device("cuda")


def test_a_cohort_that_takes_more_than_half_of_the_memory_stays_on_disk(cohort, monkeypatch):
    volume = 24 * 32 * 24
    assert cohort.bytes == 15 * (4 + 1) * volume
    assert cohort.bytes == sum(t.numel() * t.element_size() for t in cohort.resident)
    for free, answer in ((2 * cohort.bytes + 1, True), (2 * cohort.bytes, False)):
        memory = SimpleNamespace(available=free)
        monkeypatch.setattr(precision.psutil, "virtual_memory", lambda memory=memory: memory)
        assert fits(cohort, "cpu") is answer


# ---- memory format -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contiguous", "chosen"),
    [(0.5, torch.contiguous_format), (0.97, torch.channels_last_3d), (2, torch.channels_last_3d)],
)
def test_a_trial_takes_the_faster_format_and_the_default_if_in_doubt(
    monkeypatch, contiguous, chosen
):
    times = {"channels-last": 1.0, "contiguous": contiguous}
    monkeypatch.setattr(precision, "_try", lambda *a: times[a[3]])
    network = torch.nn.Conv3d(1, 1, 3)
    assert precision.choose_layout("trial", network, (), "cpu", "32-true") is chosen
    by_name = precision.choose_layout("contiguous", network, (), "cpu", "32-true")
    assert by_name is torch.contiguous_format


def test_a_trial_runs_both_formats_and_leaves_the_network_as_it_is():
    class Learner(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.seen = torch.nn.Conv3d(1, 4, 3), []
            self.norm = torch.nn.BatchNorm3d(4)

        def forward(self, volume):
            self.seen.append(self.conv.weight.is_contiguous())
            return self.norm(self.conv(volume)).square().mean(), {}

    learner = Learner()
    before = {name: tensor.clone() for name, tensor in learner.state_dict().items()}
    taken = precision.layout_trial(learner, (torch.rand(2, 1, 8, 8, 8),), "cpu", ["32-true"])
    assert set(taken) == {"channels-last, 32-true", "contiguous, 32-true"}
    assert all(0 < seconds < 5 for seconds in taken.values())
    assert all(torch.equal(before[n], t) for n, t in learner.state_dict().items())
    assert learner.conv.weight.grad is None

import time
from types import SimpleNamespace

import pytest
import torch

from ssl3d_lite import precision
from ssl3d_lite.errors import InputError
from ssl3d_lite.precision import fits


def test_what_is_asked_for_is_taken():
    assert precision.choose_device("cpu") == "cpu"
    assert precision.choose_precision("32-true", "cpu") == "32-true"
    assert precision.choose_precision("bf16-mixed", "cpu") == "bf16-mixed"


@pytest.mark.parametrize(
    ("seconds", "want"),
    [
        ({True: 1.0, False: 2.0}, "bf16-mixed"),
        ({True: 25.0, False: 1.0}, "32-true"),
        ({True: 0.95, False: 1.0}, "32-true"),  # a near tie: the choice must not flip by chance
    ],
)
def test_bfloat16_is_taken_where_it_is_clearly_faster(monkeypatch, seconds, want):
    monkeypatch.setattr(precision, "_seconds", lambda _, bfloat16: seconds[bfloat16])
    assert precision.choose_precision("auto", "cpu") == want


def test_a_moments_delay_does_not_decide(monkeypatch):
    """bfloat16 is slower here, but float32 was held up by another program nine times of ten."""
    delays = iter([9.0] * 9 + [0.0])
    monkeypatch.setattr(
        precision, "_seconds", lambda _, bfloat16: 2.0 if bfloat16 else 1.0 + next(delays)
    )
    assert precision.choose_precision("auto", "cpu") == "32-true"


def test_the_trial_takes_no_time_to_speak_of():
    start = time.perf_counter()
    assert precision.choose_precision("auto", "cpu") in precision.PRECISIONS
    assert time.perf_counter() - start < 5


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

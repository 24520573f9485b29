from types import SimpleNamespace

import pytest
import torch

from ssl3d_lite.data.cohort import fits
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine import device as precision
from ssl3d_lite.machine import memory as memory_room


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
        monkeypatch.setattr(memory_room.psutil, "virtual_memory", lambda memory=memory: memory)
        assert fits(cohort, "cpu") is answer


def test_a_cohort_that_takes_more_than_half_of_a_jobs_memory_stays_on_disk(cohort, monkeypatch):
    """A job of Slurm may have a hundredth of what its machine has free."""
    for free, answer in ((2 * cohort.bytes + 1, True), (2 * cohort.bytes, False)):
        monkeypatch.setattr(memory_room, "_allowed", lambda groups, free=free: [free])
        assert fits(cohort, "cpu") is answer


def test_control_groups_limit_what_is_free(tmp_path):
    """A job of Slurm within its machine's; the first version has its own folder."""
    (tmp_path / "groups").write_text("0::/slurm/job\n3:cpu,memory:/docker\n")
    files = {
        "slurm/memory.max": "1000",
        "slurm/memory.current": "700",
        "slurm/memory.stat": "anon 1\ninactive_file 100",
        "slurm/job/memory.max": "max",
        "memory/docker/memory.limit_in_bytes": "50",
        "memory/docker/memory.usage_in_bytes": "60",
        "memory/docker/memory.stat": "total_inactive_file 0",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert sorted(memory_room._allowed(tmp_path / "groups", tmp_path)) == [0, 400]
    assert list(memory_room._allowed(tmp_path / "missing")) == []
    assert 0 < precision.free_bytes(torch.device("cpu")) < 1e15

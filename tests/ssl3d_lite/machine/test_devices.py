"""Two processes that share every batch, beside one. Run as a program, this file is the command
that both of them execute."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch
from helpers import make_cohort, make_graded
from torch import nn

from ssl3d_lite.cli.main import main
from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.monitor import eval_hooks
from ssl3d_lite.machine import collectives
from ssl3d_lite.machine import launch as distributed
from ssl3d_lite.machine.collectives import LOST, all_gather, local_slice, on_rank_zero, rank
from ssl3d_lite.machine.launch import check_devices, launch
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.tasks import TASKS, make_task, part_of
from ssl3d_lite.training.checkpoint import load_encoder
from ssl3d_lite.training.finetuning import finetune
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import FinetuneSettings, TrainSettings

SMALL = EncoderSettings(filters=(4, 8), norm="group")  # group norm: exact on CPUs too
OWN = {  # small, and with all that looks beyond a scan
    "cpc": {
        "patch": 8,
        "stride": 4,
        "jitter": 0,
        "prediction_steps": (2, 3),
        "max_patches": 3,
        "directions": ("+1", "-0", "-2"),
    },
    "rpl": {"patch": 4},
    "jigsaw": {"patch": 4},
    "rotation": {"crop_size": 12},
    "exemplar": {"crop_size": 12},
    "masked": {"crop_size": 20, "block_size": 7},  # the last blocks are cut short
    "tissue": {"crop_size": 12},
    "random": {"crop_size": 12},
    "collapsed": {"crop_size": 12},
}
HARDEST = {"crop_size": 12, "negatives": "hardest"}
GRADES = EncoderSettings(3, 2, filters=(4, 8), norm="group")


# ---- what the processes do ---------------------------------------------------------------------


def pretrained(cohort, names, devices, own=None, **settings):
    settings = TrainSettings(**{"batch": 4, "clip": 0, "seed": 1, "devices": devices} | settings)
    trained = make_encoder(SMALL, 0), *(make_task(n, SMALL, **(own or OWN[n])) for n in names)
    start = flat(*trained)
    history = pretrain(trained[1:], trained[0], cohort, range(8), settings)
    return flat(*trained) - start, history


def finetuned(cohort, devices, validation=(), **settings):
    settings = FinetuneSettings(**{"batch": 4, "clip": 0, "seed": 1, "devices": devices} | settings)
    encoder = make_encoder(GRADES if cohort.ordinal else SMALL, 0)
    network = make_network(encoder, cohort, 0)
    start = flat(network)
    hooks = eval_hooks(network, cohort, settings, validation=validation)
    history = finetune(network, cohort, range(8), settings, hooks=hooks)
    return flat(network) - start, history


def flat(*modules):
    """All weights in a row."""
    weights = (weight for module in modules for weight in module.parameters())
    return torch.cat([weight.detach().flatten() for weight in weights])


def is_rounding(moved, same):
    """Whether two runs' weights moved alike. AdamW divides by the gradient's size, so where that
    is next to nothing rounding grows: as far as here, also if the start is changed by 1e-7."""
    return (moved - same).norm() < 0.01 * same.norm()


def first_gradients(run, *arguments, **settings):
    """The gradients of a run's first step: a tensor for each weight, or None."""
    found, original = [], torch.optim.AdamW.step

    def step(self, *args, **kwargs):
        weights = [weight for each in self.param_groups for weight in each["params"]]
        found.extend(None if w.grad is None else w.grad.clone() for w in weights)
        return original(self, *args, **kwargs)

    torch.optim.AdamW.step = step
    try:
        run(*arguments, **settings, steps=1)
    finally:
        torch.optim.AdamW.step = original
    return found


def everything(folder, devices):
    """What is the same with one process and with several: gradients by name; how weights moved in
    some steps, and the history."""
    maps, grades = (Cohort.open(folder / name).to("cpu") for name in ("maps", "grades"))
    gradients = {name: first_gradients(pretrained, maps, [name], devices) for name in TASKS}
    gradients |= {
        "hardest": first_gradients(pretrained, maps, ["exemplar"], devices, HARDEST),
        "maps": first_gradients(finetuned, maps, devices),
        "boxes": first_gradients(finetuned, maps, devices, patch=(16, 16, 16)),
        "frozen": first_gradients(finetuned, maps, devices, freeze_encoder_steps=1),
        "grades": first_gradients(finetuned, grades, devices),
    }
    runs = {
        "by turns": pretrained(maps, ["cpc", "exemplar", "rotation"], devices, steps=9, seed=0),
        "thawed": finetuned(
            *(maps, devices, (8, 9)),
            **{"steps": 12, "freeze_encoder_steps": 6, "validate_every": 10, "patch": (16, 16, 16)},
        ),
    }
    return {"gradients": gradients, "runs": runs}


def program(folder):
    launch(2, "cpu")
    found = everything(folder, 2)
    torch.save(found, folder / f"{rank()}.pt")
    encoder = make_encoder(EncoderSettings(filters=(4, 8)), 0)
    task, maps = make_task("rotation", SMALL, crop_size=12), Cohort.open(folder / "maps")
    pretrain(task, encoder, maps, range(8), TrainSettings(steps=2, batch=4, devices=2))
    for tensor in encoder.state_dict().values():
        assert torch.equal(*all_gather(tensor[None])), "batch norm's statistics too"
    print("said once")
    try:
        on_rank_zero(fail, rank())
    except InputError as fault:
        (folder / f"fault{rank()}").write_text(str(fault))


def fail(who):
    raise InputError(f"the disk of {who} is full")


# ---- two processes and one ---------------------------------------------------------------------

ROOT = Path(__file__).parents[3]
ENVIRONMENT = os.environ | {
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
}
QUICK = (
    *("--filters", "4", "8", "--norm", "group", "--device", "cpu", "--batch", "4"),
    *("--steps", "30", "--checkpoint-every", "10"),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("devices")
    make_cohort(folder / "maps", 15)
    make_graded(folder / "grades", [0, 1, 2] * 4)
    return folder


@pytest.fixture(scope="module")
def alone(folder):
    return everything(folder, 1)


@pytest.fixture(scope="module")
def together(folder):
    """What each of two processes found, after one another in one program."""
    command = [sys.executable, "-W", "error::UserWarning", __file__, str(folder)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "said once\n"
    assert "arning" not in done.stderr
    return [torch.load(folder / f"{process}.pt", weights_only=True) for process in range(2)]


def test_both_processes_have_the_very_same_gradients_weights_and_history(together):
    first, second = together
    assert first["gradients"].keys() == second["gradients"].keys()
    for name, gradients in first["gradients"].items():
        assert all(map(equal, gradients, second["gradients"][name])), name
    for name, (moved, history) in first["runs"].items():
        assert torch.equal(moved, second["runs"][name][0]), name
        assert history == second["runs"][name][1]


def equal(one, other):
    return one is other is None or torch.equal(one, other)


@pytest.mark.parametrize("name", [*TASKS, "hardest", "maps", "boxes", "frozen", "grades"])
def test_the_gradient_is_that_of_one_process(together, alone, name):
    gradients = together[0]["gradients"][name], alone["gradients"][name]
    assert any(gradient is not None for gradient in gradients[1])
    for found, wanted in zip(*gradients, strict=True):
        assert (found is None) == (wanted is None)
        if wanted is not None:
            rounding = 1e-4 * wanted.abs().max().item() + 1e-8
            torch.testing.assert_close(found, wanted, rtol=0, atol=rounding)


@pytest.mark.parametrize("name", ["by turns", "thawed"])
def test_after_several_steps_the_weights_are_those_of_one_process(together, alone, name):
    (moved, history), (same, same_history) = (each["runs"][name] for each in (together[0], alone))
    assert is_rounding(moved, same)
    for row, one in zip(history, same_history, strict=True):
        assert row.pop("task", None) == one.pop("task", None)
        assert row == pytest.approx(one, rel=1e-3)


def test_what_fails_in_the_first_process_fails_in_all(together, folder):
    assert together
    for process in range(2):
        assert (folder / f"fault{process}").read_text() == "the disk of 0 is full"


# ---- the command line --------------------------------------------------------------------------


def command(folder, out, *more):
    return [
        *(
            sys.executable,
            "-m",
            "ssl3d_lite.cli",
            "pretrain",
            "--task",
            "rotation",
            "--crop-size",
            "12",
        ),
        *("--cohort", str(folder / "maps"), "--out", str(out), *QUICK, *more),
    ]


def moved(out):
    return flat(load_encoder(out)) - flat(make_encoder(SMALL, 0))


@pytest.fixture(scope="module")
def whole(folder):
    """How a run of one process that is never stopped moves the encoder's weights."""
    assert main(command(folder, folder / "whole")[3:]) == 0
    return moved(folder / "whole")


def test_the_command_speaks_and_writes_once_within_slurm_too(folder, whole, tmp_path):
    """A Slurm job with one task has all of its devices."""
    slurm = {f"SLURM_{name}": "0" for name in ("PROCID", "LOCALID", "NODEID")}
    environment = ENVIRONMENT | slurm | {"SLURM_NTASKS": "1", "SLURM_JOB_NAME": "train"}
    environment.pop("TQDM_DISABLE", None)  # the bar is looked for
    done = subprocess.run(
        command(folder, tmp_path, "--devices", "2"),
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    said = [line.split()[0] for line in done.stdout.splitlines()]
    assert said == ["rotation", "encoder:"]
    assert len(re.findall(r"pretrain rotation: +0%", done.stderr)) == 1
    files = sorted(path.name for path in tmp_path.glob("[!.]*"))
    assert files == ["encoder.safetensors", "history.csv", "resume.pt", "settings.json"]
    assert is_rounding(moved(tmp_path), whole)


def test_a_run_killed_with_two_processes_goes_on_with_one(folder, whole, tmp_path):
    two = command(folder, tmp_path, "--devices", "2")
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(two, env=ENVIRONMENT, **silent)
    while not (tmp_path / "resume.pt").exists():
        assert process.poll() is None, "it ended before it was killed"
        time.sleep(0.005)
    others = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "encoder.safetensors").exists()
    assert len(others) == 1
    assert not psutil.wait_procs(others, timeout=10)[1], "the other ends with it"
    assert main(command(folder, tmp_path)[3:]) == 0
    assert is_rounding(moved(tmp_path), whole)


@pytest.mark.slow
def test_a_process_that_is_lost_ends_the_others_with_a_line(folder, tmp_path):
    two = command(folder, tmp_path, "--devices", "2")
    process = subprocess.Popen(two, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "resume.pt").exists():
        assert process.poll() is None, "it ended before one was killed"
        time.sleep(0.005)
    (other,) = psutil.Process(process.pid).children()
    other.kill()
    said = process.communicate(timeout=60)[1]
    assert said.splitlines()[-1] == f"ssl3d: {LOST}"
    assert process.returncode == 2


def refused(capsys, *arguments):
    assert main(list(arguments)) == 2
    return capsys.readouterr().err.splitlines()


def test_a_batch_that_cannot_be_shared_out_is_one_clear_line(folder, tmp_path, capsys):
    arguments = command(folder, tmp_path / "run")[3:]
    said = refused(capsys, *arguments, "--devices", "3")
    assert said == [
        "ssl3d: a batch of 4 scans cannot be shared out among 3 devices; use a multiple of 3"
    ]


def test_a_batch_that_has_fewer_cases_is_refused_too(cohort):
    """It is all of them then: three here."""
    settings = TrainSettings(batch=4, devices=2)
    encoder = make_encoder(SMALL, 0)
    with pytest.raises(InputError, match=r"a batch of 3 scans .* among 2 devices"):
        pretrain(make_task("rpl", SMALL), encoder, cohort, range(3), settings)


def test_more_devices_than_there_are_is_one_clear_line(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    arguments = [*command(folder, tmp_path / "run")[3:], "--devices", "4"]
    arguments[arguments.index("cpu")] = "cuda"
    said = refused(capsys, *arguments)
    assert said == ["ssl3d: devices is 4, but this machine has 2 of 'cuda'"]


def test_in_a_notebook_several_devices_are_refused(monkeypatch):
    monkeypatch.setattr(sys, "ps1", "In [1]:", raising=False)
    check_devices(1, "cpu")
    with pytest.raises(InputError, match=r"no notebook; .*: ssl3d pretrain … --devices 2"):
        launch(2, "cpu")


def test_all_runs_of_one_command_have_the_same_devices(monkeypatch):
    monkeypatch.setattr(distributed, "is_distributed", lambda: True)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    check_devices(2, "cpu")
    with pytest.raises(InputError, match="devices is 1, but this command has been started on 2"):
        launch(1, "cpu")


# ---- one process -------------------------------------------------------------------------------


def test_a_run_may_go_on_with_another_device_but_not_in_another_precision(cohort, tmp_path):
    def run(**settings):
        training = TrainSettings(steps=2, **settings)
        task = make_task("rotation", SMALL, crop_size=12)
        pretrain(task, make_encoder(SMALL, 0), cohort, range(8), training, tmp_path)

    run(device="auto")
    run(device="cpu", devices=1)
    with pytest.raises(InputError, match=r"training\.precision = 32-true, but bf16-mixed"):
        run(precision="bf16-mixed")


def test_each_process_has_its_rows_in_order(monkeypatch):
    assert local_slice(6) == slice(0, 6)
    monkeypatch.setattr(collectives, "world_size", lambda: 3)
    rows = []
    for process in range(3):
        monkeypatch.setattr(collectives, "rank", lambda process=process: process)
        rows.append(list(range(6))[local_slice(6)])
    assert rows == [[0, 1], [2, 3], [4, 5]]


@pytest.mark.parametrize("name", TASKS)
def test_the_part_of_a_draw_poses_that_part_of_the_puzzles(name):
    """And no draw reads a voxel: that of a stand-in of the same size is the same."""
    task = make_task(name, SMALL, **OWN[name])
    volumes = torch.randn(4, 1, 24, 24, 24)
    draws = [
        task.sample_params(each, torch.Generator().manual_seed(0))
        for each in (volumes, torch.zeros(1, 1, 24, 24, 24).expand(4, -1, -1, -1, -1))
    ]
    assert all(torch.equal(value, draws[1][key]) for key, value in draws[0].items())
    whole, part = (
        task.make_views(volumes[rows], part_of(draws[0], rows)) for rows in (slice(4), slice(2, 4))
    )
    assert torch.equal(part.views, whole.views[2:])
    assert torch.equal(part.placement.matrix, whole.placement.matrix[2:])


def test_alone_nothing_is_gathered_and_everything_is_done_once():
    tensor = torch.ones(2, requires_grad=True)
    assert all_gather(tensor) is tensor
    assert on_rank_zero(max, 1, 2) == 2
    with pytest.raises(InputError, match="the disk of 7 is full"):
        on_rank_zero(fail, 7)


def test_batch_norm_is_shared_on_gpus_and_plain_again_afterwards(monkeypatch):
    """As far as that can be seen without a GPU: torch's own takes over while a run lasts."""
    monkeypatch.setattr(distributed, "is_distributed", lambda: True)
    encoder = make_encoder(EncoderSettings(filters=(4, 8), norm="batch"), 0)
    names = [type(module) for module in encoder.modules()]
    fabric = SimpleNamespace(device=torch.device("cuda"))
    with distributed.sync_batch_norm(encoder, fabric):
        kinds = {type(m) for m in encoder.modules()}
        assert nn.SyncBatchNorm in kinds
        assert nn.BatchNorm3d not in kinds
        encoder(torch.randn(2, 1, 8, 8, 8))
        moved = {name: tensor.clone() for name, tensor in encoder.state_dict().items()}
    assert [type(module) for module in encoder.modules()] == names
    assert all(torch.equal(moved[name], tensor) for name, tensor in encoder.state_dict().items())
    assert encoder.levels[0].norm1.num_batches_tracked == 1
    with distributed.sync_batch_norm(encoder, SimpleNamespace(device=torch.device("cpu"))):
        assert [type(module) for module in encoder.modules()] == names


if __name__ == "__main__":
    program(Path(sys.argv[1]))


def test_who_talks_to_other_processes_needs_torch_alone():
    """A proxy task does, and can be imported without what starts trainings."""
    code = "import sys, ssl3d_lite.machine.collectives as _; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = done.stdout.split()
    assert "torch" in modules
    assert not {"lightning_fabric", "monai"} & set(modules)

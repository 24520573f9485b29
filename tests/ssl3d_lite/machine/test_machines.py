"""Two machines that share every batch: network namespaces that a cable joins, a command on each.

Run as a program, this file is the command ``ssl3d`` with less patience."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psutil
import pytest
import torch
from helpers import make_cohort

from ssl3d_lite.cli.main import main
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine import machines as meeting
from ssl3d_lite.machine.collectives import LOST
from ssl3d_lite.machine.launch import check_devices
from ssl3d_lite.machine.machines import Rendezvous, find_rendezvous, meet
from ssl3d_lite.models.encoders import make_encoder
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.training.checkpoint import load_encoder
from ssl3d_lite.training.settings import TrainSettings

ROOT = Path(__file__).parents[3]
PATHS = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": PATHS}
ENVIRONMENT.pop("TQDM_DISABLE", None)  # a second bar would be seen
ADDRESSES = "10.77.0.1", "10.77.0.2"


# ---- two machines ------------------------------------------------------------------------------


class Machines:
    """What comes before a command so that it runs on one of two machines, and the first's
    address."""

    def __init__(self, prefixes=((), ()), address="127.0.0.1"):
        self.prefixes, self.address = prefixes, address

    def start(self, number, command, **environment):
        own = {"MASTER_ADDR": self.address, "NODE_RANK": str(number), **environment}
        return subprocess.Popen(
            [*self.prefixes[number], *command],
            env={name: value for name, value in (ENVIRONMENT | own).items() if value is not None},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start_both(self, *commands, **environment):
        port = {"MASTER_PORT": str(free_port())} | environment
        return [self.start(number, command, **port) for number, command in enumerate(commands)]


def free_port():
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        return server.getsockname()[1]


def on(process, *command):
    """A command in another process's namespaces."""
    return ["nsenter", f"--target={process.pid}", "-U", "-n", "--preserve-credentials", *command]


@pytest.fixture(scope="module")
def cabled():
    """Two namespaces. They need no rights, and are gone with the two processes that hold them."""
    with ExitStack() as held:

        def hold(*command):
            process = subprocess.Popen([*command, "sleep", "600"], stderr=subprocess.DEVNULL)
            held.callback(process.wait)
            held.callback(process.kill)
            name = Path(f"/proc/{process.pid}/comm")
            while process.poll() is None and name.read_text() != "sleep\n":
                time.sleep(0.01)
            return process

        if not all(map(shutil.which, ("unshare", "nsenter", "ip"))):
            pytest.skip("no tools for network namespaces")
        first = hold("unshare", "--user", "--map-root-user", "--net")
        if first.poll() is not None:
            pytest.skip("this machine lets nobody make a namespace")
        both = first, hold(*on(first, "unshare", "--net"))
        ip = "ip", "link"
        run = [(first, *ip, "add", "cable0", "type", "veth", "peer", "name", "cable1")]
        run += [(first, *ip, "set", "cable1", "netns", str(both[1].pid))]
        for number, (process, address) in enumerate(zip(both, ADDRESSES, strict=True)):
            cable = f"cable{number}"
            run += [(process, "ip", "addr", "add", f"{address}/24", "dev", cable)]
            run += [(process, *ip, "set", each, "up") for each in ("lo", cable)]
        for process, *command in run:
            subprocess.run(on(process, *command), check=True)
        yield Machines([on(process) for process in both], ADDRESSES[0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("machines")
    make_cohort(folder / "maps", 15)
    return folder


def arguments(folder, out, *more, steps=30):
    return [
        *("pretrain", "--task", "rotation", "--crop-size", "12", "--cohort", str(folder / "maps")),
        *("--filters", "4", "8", "--norm", "group", "--device", "cpu", "--batch", "4"),
        *("--steps", str(steps), "--checkpoint-every", "10", "--out", str(out), *more),
    ]


def command(folder, out, *more, steps=30):
    shared = arguments(folder, out, "--machines", "2", *more, steps=steps)
    return [sys.executable, "-m", "ssl3d_lite.cli", *shared]


def flat(encoder):
    return torch.cat([weight.detach().flatten() for weight in encoder.parameters()])


def weights(out):
    return flat(load_encoder(out))


def is_rounding(found, wanted):
    """Whether two runs' weights moved alike, as far as tests/…/test_devices.py asks for it."""
    start = flat(make_encoder(EncoderSettings(filters=(4, 8), norm="group"), 0))
    return (found - wanted).norm() < 0.01 * (wanted - start).norm()


def finish(processes, timeout=300):
    """Exit code, and all that each said."""
    said = [process.communicate(timeout=timeout) for process in processes]
    return [(p.returncode, *told) for p, told in zip(processes, said, strict=True)]


def last_line(told):
    return told[2].splitlines()[-1]


@pytest.fixture(scope="module")
def whole(folder, cabled):
    """What two machines said, and the weights they ended with, when nobody stopped them. The second
    has another folder, which it does not need."""
    both = [command(folder, folder / name) for name in ("whole", "unused")]
    return finish(cabled.start_both(*both)), weights(folder / "whole")


def test_two_machines_end_in_the_weights_of_one(folder, whole, tmp_path):
    assert main(arguments(folder, tmp_path)) == 0
    assert is_rounding(whole[1], weights(tmp_path))


def test_only_the_first_machine_speaks_and_writes(folder, whole):
    (code, first, bar), (other_code, second, nothing) = whole[0]
    assert (code, other_code) == (0, 0), (bar, nothing)
    meets = "counted from 0): meets the others at 10.77.0.1:"
    assert [line.split()[0] for line in first.splitlines()] == ["machine", "rotation", "encoder:"]
    assert meets in first
    assert len(second.splitlines()) == 1
    assert second.startswith(f"machine 1 (of 2, {meets}")
    assert "pretrain rotation" in bar
    # torch says that it finds no name for an address: there is no name server in a namespace
    assert all("[c10d] The hostname of the client" in line for line in nothing.splitlines())
    assert not (folder / "unused").exists()
    made = sorted(path.name for path in (folder / "whole").glob("[!.]*"))
    assert made == ["encoder.safetensors", "history.csv", "resume.pt", "settings.json"]


@pytest.mark.slow
@pytest.mark.parametrize("killed", [(0,), (1,), (0, 1)])
def test_a_run_whose_machines_are_killed_ends_in_the_very_same_weights(
    folder, whole, cabled, tmp_path, killed
):
    """One that is left alone ends by itself, with a line; both are started again."""
    both = [command(folder, tmp_path / "run")] * 2
    processes = cabled.start_both(*both)
    wait_for(tmp_path / "run" / "resume.pt", processes)
    for number in killed:
        processes[number].kill()
    for number, told in enumerate(finish(processes, timeout=60)):
        if number in killed:
            assert told[0] == -signal.SIGKILL
        else:
            assert told[0] == 2
            assert last_line(told) == f"ssl3d: {LOST}"
            assert "Traceback" not in told[2]
    assert not (tmp_path / "run" / "encoder.safetensors").exists()
    assert [told[0] for told in finish(cabled.start_both(*both))] == [0, 0]
    assert torch.equal(weights(tmp_path / "run"), whole[1])


def wait_for(path, processes):
    while not path.exists():
        assert all(process.poll() is None for process in processes), "it ended before"
        time.sleep(0.005)


@pytest.mark.slow
def test_a_machine_that_is_not_heard_any_more_is_not_waited_for(folder, cabled, tmp_path):
    """The cable is pulled: nothing tells either that the other is gone."""
    both = [[sys.executable, __file__, *command(folder, tmp_path / "run")[3:]]] * 2
    processes = cabled.start_both(*both)
    wait_for(tmp_path / "run" / "resume.pt", processes)
    cable = [*cabled.prefixes[0], "ip", "link", "set", "cable0"]
    subprocess.run([*cable, "down"], check=True)
    try:
        told = finish(processes, timeout=60)
    finally:
        subprocess.run([*cable, "up"], check=True)
    assert [each[0] for each in told] == [2, 2]
    assert {last_line(each) for each in told} == {f"ssl3d: {LOST}"}


@pytest.mark.slow
def test_two_machines_with_two_devices_each(folder, cabled, tmp_path):
    """After ten steps; in thirty, rounding grows to hundredths, and so does a change of the start
    by 1e-7."""
    both = [command(folder, tmp_path / "four", "--devices", "2", steps=10)] * 2
    told = finish(cabled.start_both(*both))
    assert [each[0] for each in told] == [0, 0], told
    assert main(arguments(folder, tmp_path / "one", steps=10)) == 0
    assert is_rounding(weights(tmp_path / "four"), weights(tmp_path / "one"))


@pytest.mark.slow
def test_torchrun_may_start_the_processes(folder, whole, tmp_path):
    there = f"--rdzv-endpoint=127.0.0.1:{free_port()}"
    run = ["-m", "torch.distributed.run", "--nnodes=2", "--rdzv-backend=c10d", there]
    both = [[sys.executable, *run, *command(folder, tmp_path / "run")[1:]]] * 2
    no_places = dict.fromkeys(("MASTER_ADDR", "MASTER_PORT", "NODE_RANK"))
    told = finish(Machines().start_both(*both, **no_places))
    assert [each[0] for each in told] == [0, 0], told
    assert torch.equal(weights(tmp_path / "run"), whole[1])


# ---- a cluster ---------------------------------------------------------------------------------


class SlurmStep:
    """A job of two tasks; each takes itself for one that srun has started on a machine of its
    own."""

    def __init__(self, command, port):
        self.command, self.port = command, port

    def __call__(self):
        from submitit import JobEnvironment

        slurm = {"STEP_NUM_TASKS": 2, "STEP_NODELIST": "127.0.0.[1-2]", "JOB_ID": self.port - 15000}
        slurm |= {"PROCID": JobEnvironment().global_rank, "LOCALID": 0, "JOB_NAME": "train"}
        own = {f"SLURM_{name}": str(value) for name, value in slurm.items()}
        subprocess.run(self.command, env=ENVIRONMENT | own, check=True)


@pytest.mark.slow
def test_a_job_of_a_cluster_that_is_killed_is_given_again(folder, whole, tmp_path, monkeypatch):
    """Through submitit's local executor: the job is taken away, and given again."""
    import submitit

    monkeypatch.setenv("PYTHONPATH", PATHS)  # the job imports this file
    executor = submitit.AutoExecutor(folder=tmp_path / "logs", cluster="local")
    executor.update_parameters(tasks_per_node=2, timeout_min=10)
    for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK"):
        assert name not in ENVIRONMENT
    port = 15000 + int(str(free_port())[-4:])
    step = SlurmStep(command(folder, tmp_path / "run"), port)
    job = executor.submit(step)
    while not (tmp_path / "run" / "resume.pt").exists():
        assert not job.done(), job.stderr()
        time.sleep(0.01)
    for process in psutil.Process(int(job.job_id)).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    while job.state == "RUNNING":
        time.sleep(0.1)
    assert not (tmp_path / "run" / "encoder.safetensors").exists()
    executor.submit(step).results()
    assert torch.equal(weights(tmp_path / "run"), whole[1])


def test_srun_says_which_machine_this_is(monkeypatch):
    for name, value in {
        **{"STEP_NUM_TASKS": "3", "STEP_NODELIST": "gpu[07-08],gpu12", "PROCID": "2"},
        "JOB_ID": "1234567",
    }.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    assert find_rendezvous(3) == Rendezvous(2, 3, "gpu07", 19567)
    monkeypatch.setenv("MASTER_PORT", "29500")
    assert find_rendezvous(3).port == 29500


# ---- what cannot work --------------------------------------------------------------------------


def test_a_batch_is_shared_among_all_machines():
    assert TrainSettings(batch=12, devices=2, machines=3).num_processes == 6
    with pytest.raises(InputError, match=r"of 4 scans .* 3 machines with 2 devices; .* of 6"):
        TrainSettings(batch=4, devices=2, machines=3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"MASTER_ADDR": ""}, "MASTER_ADDR is not set"),
        ({"MASTER_ADDR": "", "NODE_RANK": ""}, "MASTER_ADDR and NODE_RANK is not set"),
        ({"NODE_RANK": "2"}, "NODE_RANK is 2, but machines is 2, counted from 0"),
        ({"NODE_RANK": "one"}, "NODE_RANK is 'one', but must be a whole number"),
        ({"MASTER_PORT": "-1"}, "MASTER_PORT is '-1'"),
    ],
)
def test_a_place_that_means_nothing_is_refused(monkeypatch, changed, said):
    for name, value in {
        "MASTER_ADDR": "h",
        "MASTER_PORT": "9",
        "NODE_RANK": "1",
        **changed,
    }.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match=said):
        find_rendezvous(2)


def be_a_command(monkeypatch):
    """As pytest's workers are not, nor a process in which IPython has run."""
    monkeypatch.setattr(sys, "argv", [__file__])
    monkeypatch.delattr(sys, "ps1", raising=False)


def test_srun_with_other_tasks_than_machines_is_refused(monkeypatch):
    """Each would start all of the others."""
    be_a_command(monkeypatch)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    check_devices(1, "cpu")
    check_devices(2, "cpu", 4)
    with pytest.raises(InputError, match=r"srun has started 4 tasks, .* --nodes 2 --ntasks-per-n"):
        check_devices(2, "cpu", 2)


def test_torchrun_with_other_processes_is_refused(monkeypatch):
    be_a_command(monkeypatch)
    monkeypatch.setenv("WORLD_SIZE", "4")
    check_devices(2, "cpu", 2)
    with pytest.raises(InputError, match=r"4 processes have been started, .* makes 2"):
        check_devices(1, "cpu", 2)


@pytest.mark.parametrize("number", [0, 1])
def test_a_machine_that_does_not_come_is_named(monkeypatch, number):
    monkeypatch.setattr(meeting, "MEETING_TIME", 0.3)
    with pytest.raises(InputError, match=f"machine {1 - number}.* has not come to 127.0.0.1:"):
        meet(Rendezvous(number, 2, "127.0.0.1", free_port()), {})


def test_a_port_that_is_taken_is_said():
    with closing(socket.create_server(("", 0))) as server:
        port = server.getsockname()[1]
        with pytest.raises(InputError, match=f"MASTER_PORT {port}: Address already in use"):
            meet(Rendezvous(0, 2, "127.0.0.1", port), {})


def test_machines_that_were_asked_for_different_things_all_say_so():
    port = free_port()
    places = [Rendezvous(number, 3, "127.0.0.1", port) for number in range(3)]
    with ThreadPoolExecutor() as threads:
        asked = [{"devices": 1}, {"devices": 1}, {"devices": 2}]
        errors = [each.exception(60) for each in [*map(threads.submit, [meet] * 3, places, asked)]]
    assert {str(error) for error in errors} == {
        "devices of machine 2 is not that of machine 0 (2, not 1); start the same command on each"
    }


def test_strangers_and_machines_that_are_started_again_do_not_disturb_a_meeting():
    port = free_port()
    with ThreadPoolExecutor() as threads:
        first = threads.submit(meet, Rendezvous(0, 2, "127.0.0.1", port), {"seed": 1})
        for told in (b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b""):
            with closing(connected(port)) as stranger:
                stranger.sendall(told)
        (line,) = meet(Rendezvous(1, 2, "127.0.0.1", port), {"seed": 1}).values()
        assert list(first.result(60)) == [1]
    for each in (line, *first.result(60).values()):
        each.close()


def connected(port):
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port))
        except OSError:
            time.sleep(0.01)


@pytest.mark.slow
def test_machines_with_other_settings_end_with_the_same_line(folder, tmp_path):
    both = [command(folder, tmp_path / "run", "--seed", seed) for seed in ("1", "2")]
    told = finish(Machines().start_both(*both))
    assert [each[0] for each in told] == [2, 2], told
    for each in told:
        assert "training.seed of process 1 is not that of process 0 (2, not 1)" in last_line(each)
    assert not (tmp_path / "run" / "resume.pt").exists()


@pytest.mark.slow
def test_a_machine_without_the_cohort_says_so_and_the_other_ends(folder, tmp_path):
    shutil.copytree(folder / "maps", tmp_path / "maps")
    both = [command(place, tmp_path / "run") for place in (tmp_path, tmp_path / "elsewhere")]
    told = finish(Machines().start_both(*both))
    assert [each[0] for each in told] == [2, 2], told
    assert last_line(told[0]) == f"ssl3d: {LOST}"
    assert "elsewhere" in last_line(told[1])


if __name__ == "__main__":
    meeting.BEAT, meeting.SILENCE, meeting.GRACE = 0.2, 3, 1
    sys.exit(main())

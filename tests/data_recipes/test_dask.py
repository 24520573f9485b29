"""The same recipe on a Dask cluster: two real worker processes, and what can go wrong with them."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from helpers import content

from data_recipes import parallel
from data_recipes.msd import Msd, prepare
from data_recipes.parallel import for_each
from data_recipes.settings import Workforce
from ssl3d_lite.errors import InputError

pytest.importorskip("distributed")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """A scheduler and two workers, as on a cluster: processes that know each other's address."""
    address = f"tcp://127.0.0.1:{free_port()}"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run = [sys.executable, "-W", "ignore", "-m"]
    scheduler = [*run, "distributed.cli.dask_scheduler", "--no-dashboard", "--host", address]
    worker = [*run, "distributed.cli.dask_worker", address, "--no-dashboard"]
    commands = [scheduler, *[[*worker, "--nthreads", "1"]] * 2]
    strict = os.environ | {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    processes = [subprocess.Popen(command, env=strict, **quiet) for command in commands]
    try:
        wait_for_workers(address)
        yield address
    finally:
        for process in reversed(processes):  # a nanny takes its worker with it
            process.terminate()
            process.wait()


def wait_for_workers(address: str) -> None:
    from distributed import Client

    deadline = time.monotonic() + 60
    with Client(address, timeout="60s") as client:
        while len(client.scheduler_info()["workers"]) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def slow_process_id(_: int) -> int:
    time.sleep(0.05)
    return os.getpid()


def die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def refuse(number: int) -> int:
    raise InputError(f"number {number} is refused")


def test_a_cohort_prepared_by_dask_is_the_same_byte_for_byte(cluster, make_task, tmp_path):
    raw = make_task(tmp_path / "raw", cases=12, unlabelled=2)
    summary = prepare(Msd(out=tmp_path / "dask", raw=raw, dask=cluster))
    assert (summary.prepared, summary.rejected) == (14, ())
    prepare(Msd(out=tmp_path / "local", raw=raw, workers=1))
    assert content(tmp_path / "dask") == content(tmp_path / "local")
    assert prepare(Msd(out=tmp_path / "dask", raw=raw, dask=cluster)).skipped == 14


def test_both_workers_work_and_this_process_does_not(cluster):
    processes = set(for_each(slow_process_id, range(40), Workforce(dask=cluster), "ids"))
    assert len(processes) == 2
    assert os.getpid() not in processes


def test_a_refusal_comes_back_as_it_was_raised(cluster):
    with pytest.raises(InputError, match=r"number \d is refused"):
        list(for_each(refuse, [3, 4], Workforce(dask=cluster), "refused"))


def test_a_case_that_kills_its_workers_is_one_line(cluster):
    with pytest.raises(InputError, match="a Dask worker ended before its work"):
        list(for_each(die, range(6), Workforce(dask=cluster), "dying"))


def test_no_scheduler_at_the_address(monkeypatch):
    monkeypatch.setattr(parallel, "PATIENCE", "1s")
    with pytest.raises(InputError, match="no Dask scheduler answers at tcp://127"):
        list(for_each(abs, [1], Workforce(dask=f"tcp://127.0.0.1:{free_port()}"), "x"))
    with pytest.raises(InputError, match="no Dask scheduler answers at nonsense"):
        list(for_each(abs, [1], Workforce(dask="nonsense://"), "x"))


def test_without_dask_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"--dask needs Dask: pip install ssl3d-lite\[data\]"):
        list(for_each(abs, [1], Workforce(dask="tcp://127.0.0.1:1"), "x"))

"""The same recipe on a Dask cluster: two real worker processes, and what can go wrong with them."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from dask_cluster import dask_cluster, free_port
from helpers import content

from data_recipes.msd import Msd, prepare
from data_recipes.preparing import engine
from data_recipes.virtual import VirtualUkbBrain
from data_recipes.virtual import prepare as prepare_virtual
from ssl3d_lite.data.verify import Verify, verify
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine import parallel
from ssl3d_lite.machine.parallel import Workforce, for_each

Client = pytest.importorskip("distributed").Client


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """Two workers that know this file, and are not given a second chance when they die."""
    environment = os.environ | {
        "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    with dask_cluster(2, env=environment) as started:
        yield started.address


@pytest.fixture
def distant(tmp_path) -> Iterator[str]:
    """A worker that was started in another folder, as those of a cluster are."""
    (tmp_path / "elsewhere").mkdir()
    with dask_cluster(1, "--no-nanny", cwd=tmp_path / "elsewhere") as started:
        yield started.address


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


def test_a_cluster_has_few_cases_at_a_time(cluster, monkeypatch):
    """What it has, it keeps in memory until it is fetched."""
    monkeypatch.setattr(parallel, "ON_DASK", 4)
    there = []
    with Client(cluster) as watching:
        for number in for_each(abs, range(-20, 0), Workforce(dask=cluster), "few"):
            there.append(watching.run_on_scheduler(count_tasks))
            assert number in range(1, 21)
    assert len(there) == 20
    assert 1 <= max(there) <= 5  # one has been fetched, and is forgotten in a moment


def count_tasks(dask_scheduler) -> int:
    return len(dask_scheduler.tasks)


def test_a_refusal_comes_back_as_it_was_raised(cluster):
    with pytest.raises(InputError, match=r"number \d is refused"):
        list(for_each(refuse, [3, 4], Workforce(dask=cluster), "refused"))


def test_a_case_that_kills_its_workers_is_one_line(cluster):
    with pytest.raises(InputError, match="a Dask worker ended before its work"):
        list(for_each(die, range(6), Workforce(dask=cluster), "dying"))


def test_workers_of_another_version_are_one_line(distant, monkeypatch):
    """This file's functions are not known to a worker that was started elsewhere."""
    with pytest.raises(InputError, match="cannot read their task: install the same versions"):
        list(for_each(refuse, [1], Workforce(dask=distant), "unknown"))


def test_no_scheduler_at_the_address(monkeypatch):
    monkeypatch.setattr(parallel, "SCHEDULER_TIMEOUT", "1s")
    with pytest.raises(InputError, match="no Dask scheduler answers at tcp://127"):
        list(for_each(abs, [1], Workforce(dask=f"tcp://127.0.0.1:{free_port()}"), "x"))
    with pytest.raises(InputError, match="no Dask scheduler answers at nonsense"):
        list(for_each(abs, [1], Workforce(dask="nonsense://"), "x"))


def test_without_dask_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError, match=r"--dask needs Dask: pip install -e \.\[data\]"):
        list(for_each(abs, [1], Workforce(dask="tcp://127.0.0.1:1"), "x"))


def test_relative_folders_are_this_ones_and_not_a_workers(distant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = VirtualUkbBrain(out=Path("out"), cases=2, edge=32, dask=distant)
    assert prepare_virtual(settings).prepared == 3
    assert verify(Verify(cohort=Path("out"), raw=Path("out/raw"), dask=distant)).faults == ()
    assert not list((tmp_path / "elsewhere").iterdir())


def test_workers_that_do_not_see_the_folder_are_noticed(cluster, make_task, tmp_path, monkeypatch):
    """As where a disk is not shared: what they say they wrote is not there."""
    raw = make_task(tmp_path / "raw", cases=3)
    monkeypatch.setattr(engine, "is_whole", lambda blank, case: False)
    with pytest.raises(InputError, match=r"the Dask workers do not see .* as this machine"):
        prepare(Msd(out=tmp_path / "out", raw=raw, dask=cluster))
    assert not (tmp_path / "out/cohort.json").exists()

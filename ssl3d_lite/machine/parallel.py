"""One function over many cases in several processes, on this machine or on a Dask cluster."""

import multiprocessing
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ProcessPoolExecutor,
    wait,
)
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar

from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from ssl3d_lite.errors import InputError
from ssl3d_lite.interrupts import starting_workers
from ssl3d_lite.settings import CheckedSettings, PositiveInt

Item = TypeVar("Item")
_Result = TypeVar("_Result")

KILLED = "its worker process was killed whenever it was at work on it: most likely memory ran out"
NO_GUARD = (
    "no worker process can be started; a script of one's own needs `if __name__ == "
    '"__main__":` around what it does'
)
SCHEDULER_TIMEOUT = "30s"  # for a Dask scheduler to answer
ON_DASK = 500  # cases that a Dask cluster has at a time: a few for each thread of a large one


@dataclass(frozen=True, kw_only=True)
class Workforce(CheckedSettings):
    """Who does the work."""

    workers: PositiveInt | None = None
    """Processes; by default one a core. A script without `if __name__ == "__main__":` has one."""

    dask: str | None = None
    """Address of a Dask scheduler, such as tcp://host:8786: its workers do the work instead, on as
    many machines as it has. All must see the same folders under the same names."""


def usable_cores() -> int:
    """Cores that this process may run on, which on a shared server are fewer than it has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def can_be_imported() -> bool:
    """Whether worker processes can import the script that Python was started with, as each does:
    one without a guard would do there what it does here, and start workers of its own.

    Notebooks, modules (``python -m``) and a prompt are not imported as scripts.
    """
    main = sys.modules["__main__"]
    script = getattr(main, "__file__", None)
    if script is None or getattr(main, "__spec__", None) is not None:
        return True
    try:
        return "__main__" in Path(script).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):  # a frozen program: it has no text
        return True


def for_each(
    function: Callable[[Item], _Result],
    items: Iterable[Item],
    work: Workforce,
    title: str,
    killed: Callable[[Item], _Result] | None = None,
) -> Iterator[_Result]:
    """``function(item)`` for all items, in the order in which they are done, with a bar.

    Closing the iterator early (an exception in the caller, Ctrl-C) stops the workers.

    Args:
        function: can be imported by name, as the processes are fresh ones.
        work: how many processes, or whose. One works in this process.
        killed: the result of an item whose worker process was killed, as happens when memory runs
            out, and killed again when it had the machine to itself. The others go on.

    Raises:
        InputError: such an item, if there is no ``killed``; no process can be started; no
            Dask scheduler answers at the address, its connection is lost, or its workers have
            other versions of this software.
    """
    items = list(items)
    workers = min(work.workers or (usable_cores() if can_be_imported() else 1), len(items))
    bar = {"total": len(items), "desc": title, "unit": "case"}
    if not items:  # and no bar of nothing
        return
    if workers <= 1 and not work.dask:
        yield from tqdm(map(function, items), **bar)
        return
    if not work.dask:
        if not can_be_imported():
            raise InputError(NO_GUARD)
        yield from tqdm(_in_processes(function, items, workers, killed), **bar)
        return
    yield from tqdm(_on_dask(function, items, work.dask, killed), **bar)


def _in_processes(
    function: Callable[[Item], _Result],
    items: Iterable[Item],
    workers: int,
    killed: Callable[[Item], _Result] | None,
) -> Iterator[_Result]:
    """``function`` of all items; when a worker is killed, those at work are tried again one by one,
    and the others go on."""
    waiting, at_work = deque(items), dict[Future[_Result], Item]()
    while waiting or at_work:
        with suppress(BrokenExecutor), _processes(workers) as pool:
            while waiting or at_work:
                with starting_workers():
                    while waiting and len(at_work) < 2 * workers:  # the next wait beside them
                        at_work[pool.submit(function, waiting[0])] = waiting[0]
                        waiting.popleft()
                done, _ = wait(at_work, return_when=FIRST_COMPLETED)
                for job in sorted(done, key=_is_broken):
                    result = job.result()
                    del at_work[job]
                    yield result
        suspects = list(at_work.values())
        at_work.clear()
        for item in suspects:
            yield _alone(function, item, killed)


def _on_dask(
    function: Callable[[Item], _Result],
    items: Iterable[Item],
    address: str,
    killed: Callable[[Item], _Result] | None,
) -> Iterator[_Result]:
    """``function`` of all items. Dask keeps whatever is asked for and not yet fetched, so only so
    many are asked for at a time: memory does not grow with their number."""
    waiting, at_work = iter(items), dict[Future[_Result], Item]()
    done = SimpleQueue[Future[_Result]]()
    with _dask(address) as pool:

        def ask_for(items: Iterable[Item]) -> None:
            for item in items:
                job = pool.submit(function, item)
                at_work[job] = item
                job.add_done_callback(done.put)

        ask_for(islice(waiting, ON_DASK))
        while at_work:
            job = done.get()
            item = at_work.pop(job)
            ask_for(islice(waiting, 1))
            lost = killed and type(job.exception()).__name__ == "KilledWorker"  # Dask's
            yield killed(item) if killed and lost else job.result()


def _is_broken(job: Future) -> bool:
    return isinstance(job.exception(), BrokenExecutor)


def _alone(
    function: Callable[[Item], _Result], item: Item, killed: Callable[[Item], _Result] | None
) -> _Result:
    """``function(item)`` in a worker that no other works beside."""
    with _processes(1) as pool:
        try:
            with starting_workers():
                started = pool.submit(usable_cores)
            started.result()
        except BrokenExecutor:
            raise InputError(NO_GUARD) from None
        try:
            return pool.submit(function, item).result()
        except BrokenExecutor:
            if killed is None:
                raise InputError(f"{KILLED}: {item}"[:200]) from None
            return killed(item)


@contextmanager
def _processes(workers: int) -> Iterator[Executor]:
    # fresh processes rather than forked ones: a fork copies locks that torch's threads may hold
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    threadpool_limits(1)  # the cores are taken by the other workers
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """A parent that is killed cannot stop its workers; without this they would wait for ever."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a worker
    parent.join()
    os._exit(1)


@contextmanager
def _dask(address: str) -> Iterator[Executor]:
    try:
        from distributed import Client
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker
    except ImportError:
        raise InputError("--dask needs Dask: pip install -e .[data]") from None
    try:
        client = Client(address, timeout=SCHEDULER_TIMEOUT)
    except (OSError, ValueError) as reason:
        raise InputError(f"no Dask scheduler answers at {address}: {reason}") from None
    try:
        yield client.get_executor()
    except KilledWorker as reason:
        raise InputError(f"a Dask worker ended before its work: {reason}") from None
    except RuntimeError as reason:
        if "deserialization" not in str(reason):
            raise
        raise InputError(
            f"the Dask workers at {address} cannot read their task: install the same versions of "
            "ssl3d-lite, its dependencies and Python there"
        ) from None
    except (CancelledError, FutureCancelledError):
        raise InputError(
            f"the connection to the Dask scheduler at {address} was lost; the same command goes on"
        ) from None
    finally:
        client.close()

"""One function over many cases in several processes, with a bar."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, as_completed
from typing import TypeVar

from threadpoolctl import threadpool_limits
from tqdm.auto import tqdm

from ssl3d_lite.errors import InputError

Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_cores() -> int:
    """Cores that this process may run on, which on a shared server are fewer than it has."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def for_each(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    workers: int | None,
    title: str,
) -> Iterator[Result]:
    """``function(item)`` for all items, in the order in which they are done.

    Closing the iterator early (an exception in the caller, Ctrl-C) stops the workers.

    Args:
        function: can be imported by name, as the processes are fresh ones.
        workers: processes; by default one a usable core. One works in this process.

    Raises:
        InputError: a worker was killed, as happens when memory runs out.
    """
    items = list(items)
    workers = min(workers or usable_cores(), len(items))
    bar = {"total": len(items), "desc": title, "unit": "case"}
    if workers <= 1:
        yield from tqdm(map(function, items), **bar)
        return
    # fresh processes rather than forked ones: a fork copies locks that torch's threads may hold
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _start_worker)
    try:
        jobs = [pool.submit(function, item) for item in items]
        yield from (job.result() for job in tqdm(as_completed(jobs), **bar))
    except BrokenExecutor:
        raise InputError(
            "a worker process ended before its work; if memory ran out, take fewer --workers; a "
            'script of one\'s own needs `if __name__ == "__main__":` around what it does'
        ) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker() -> None:
    threadpool_limits(1)  # the cores are taken by the other workers
    threading.Thread(target=_leave_with_parent, daemon=True).start()


def _leave_with_parent() -> None:
    """A parent that is killed cannot stop its workers; without this they would wait for ever."""
    multiprocessing.parent_process().join()
    os._exit(1)

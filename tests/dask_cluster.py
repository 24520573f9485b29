"""A Dask cluster of real processes on this machine: a scheduler, and workers of one thread each."""

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Cluster:
    address: str
    processes: list[subprocess.Popen]  # the scheduler, then the workers


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def dask_cluster(workers: int, *options: str, **start) -> Iterator[Cluster]:
    """A scheduler with so many workers, until it is left.

    Args:
        options: of ``dask worker``.
        start: for ``Popen``, such as ``cwd`` and ``env``.
    """
    from distributed import Client

    address = f"tcp://127.0.0.1:{free_port()}"
    run = [sys.executable, "-W", "ignore", "-m"]
    scheduler = [*run, "distributed.cli.dask_scheduler", "--no-dashboard", "--host", address]
    worker = [*run, "distributed.cli.dask_worker", address, "--no-dashboard", "--nthreads", "1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    commands = [scheduler, *[[*worker, *options]] * workers]
    processes = [subprocess.Popen(command, **quiet, **start) for command in commands]
    try:
        with Client(address, timeout="60s") as client:
            client.wait_for_workers(workers, timeout=60)
        yield Cluster(address, processes)
    finally:
        for process in reversed(processes):  # a nanny takes its worker with it
            process.terminate()
            process.wait()

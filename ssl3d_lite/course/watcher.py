"""A thread that watches a submission's process from outside and ends it at a limit."""

import contextlib
import os
import signal
import threading
import time
from pathlib import Path

import psutil

from . import jail
from .sandbox import Sandbox

_TICK = 0.1  # seconds between two looks
_PATIENCE = 10  # seconds between the interruption of a cell and its end
_MAX_THREADS = 400  # threads and processes


class Watcher(threading.Thread):
    """Interrupts a process in a cell that takes too long; ends it, and all that it started, when it
    passes a limit; ``reason`` says which."""

    def __init__(self, pid: int, scratch: Path, sandbox: Sandbox, seconds: float) -> None:
        super().__init__(daemon=True)
        self.process = psutil.Process(pid)
        self.scratch, self.sandbox, self.seconds = scratch, sandbox, seconds
        self.end = self.deadline = float("inf")
        self.reason, self.interrupted = "", False
        self._done = threading.Event()
        self.start()

    def start_clock(self) -> None:
        """The process has started: its time counts from now on."""
        self.end = time.monotonic() + self.seconds

    def begin(self, seconds: float) -> None:
        """A cell begins, which may take so long."""
        self.interrupted, self.deadline = False, time.monotonic() + seconds

    def finish(self) -> bool:
        """A cell has ended; whether it was interrupted."""
        self.deadline = float("inf")
        return self.interrupted

    def run(self) -> None:
        ticks = 0
        while not self._done.wait(_TICK):
            ticks += 1
            try:
                self.reason = self.reason or self._passed(ticks)
            except psutil.NoSuchProcess:
                return
            if self.reason:
                self.kill()
                return

    def _passed(self, ticks: int) -> str:
        """The limit that is passed; empty if none is."""
        tree = [self.process, *self.process.children(recursive=True)]
        most, now = self.sandbox.memory_gb * jail.GB, time.monotonic()
        if sum(_memory(process) for process in tree) > most:
            return f"more than {self.sandbox.memory_gb:g} GB of memory"
        if now > self.end:
            return "no time was left"
        if now > self.deadline and self.interrupted:
            return "a cell did not end, even when interrupted"
        if now > self.deadline:
            self.interrupted, self.deadline = True, now + _PATIENCE
            self.process.send_signal(signal.SIGINT)
        if len(tree) + self.process.num_threads() > _MAX_THREADS:
            return f"more than {_MAX_THREADS} threads and processes"
        if ticks % 10 == 0 and _disk(self.scratch) > jail.GB:
            return "more than 1 GB written"
        return ""

    def kill(self) -> None:
        """End the process and all that it started, until none is left."""
        for _ in range(20):
            try:
                tree = [*self.process.children(recursive=True), self.process]
            except psutil.NoSuchProcess:
                return
            for process in tree:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            if not psutil.wait_procs(tree, timeout=0.5)[1]:
                return

    def settle(self) -> None:
        """The process has ended; wait until this thread has seen it."""
        self.join(5)

    def stop(self) -> None:
        self._done.set()
        self.join()


def _memory(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def _disk(folder: Path) -> int:
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(place, name)).st_blocks * 512
            except OSError:
                continue
    return total

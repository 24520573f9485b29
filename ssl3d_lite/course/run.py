"""Run a woven submission in a jailed kernel, watched from outside, and say what came of each part.

A part earns its points if its visible and its hidden tests came to their end. Whatever ends the
kernel (no memory, no time, ``os._exit``) costs the part in which it happened: the rest is run again
without that part's answer, in a new kernel.
"""

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat
import psutil
import zmq.asyncio
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

from . import jail
from .guard import SIGNED
from .submission import MergedNotebook, Step

GUARD = '__import__("ssl3d_lite.course.guard", fromlist=["guard"])'
OUTPUT = 200_000  # characters that a cell may show
MESSAGES = 20_000_000  # bytes of anything that a kernel sends
MESSAGE = 300  # characters of a message that a student is shown
TICK = 0.1
THREADS = 400
PATIENCE = 10  # seconds between the interruption of a cell and its end
NOT_REACHED = "not reached"
STARTING = 180  # seconds a kernel has to start on a busy machine


@dataclass(frozen=True)
class Box:
    """How submissions are run."""

    cohorts: Path | None = None
    """Linked as cohorts/ in the working folder, to be read."""
    seconds: float = 300
    memory_gb: float = 4
    scale: str = "smoke"
    confine: bool = True
    deny: tuple[Path, ...] = ()

    @property
    def cell_seconds(self) -> float:
        """One cell may take this long before it is interrupted."""
        return max(5.0, self.seconds / 4)


@dataclass
class PartResult:
    passed: bool = False
    message: str = NOT_REACHED
    """What went wrong, in the student's terms; empty if nothing did."""


@dataclass
class Outcome:
    parts: dict[str, PartResult] = field(default_factory=dict)
    stops: list[str] = field(default_factory=list)
    """What was stopped, and why."""
    changed: list[str] = field(default_factory=list)
    """What the student's code had replaced, and was put back before the tests."""
    seconds: float = 0.0


def run_submission(
    woven: MergedNotebook, names: Sequence[str], box: Box, beside: Sequence[Path]
) -> Outcome:
    """Run all parts; ``names`` are those that the machine marks, ``beside`` data handed in."""
    outcome = Outcome({name: PartResult() for name in names})
    begin, steps, used = time.monotonic(), woven.steps, 0.0
    while True:
        attempt = _Attempt(steps, outcome, box, used)
        with _temporary_folder() as folder:
            stop = attempt.run(Path(folder), beside)
        outcome.seconds, used = time.monotonic() - begin, attempt.used
        if stop is None:
            return outcome
        reason, part = stop
        outcome.stops.append(f"part {part.rpartition('-')[2]}: {reason}" if part else reason)
        if part in outcome.parts:
            outcome.parts[part] = PartResult(False, f"your code was stopped: {reason}")
        if used >= box.seconds:
            _late(outcome)
        rest = [s for s in steps if s.part != part or s.kind == "given"]
        if part is None or len(rest) == len(steps) or used >= box.seconds:
            return outcome
        steps = rest


def _temporary_folder() -> tempfile.TemporaryDirectory:
    """Its name is short: sockets lie in it, whose paths have at most 107 characters."""
    place = tempfile.gettempdir()
    place = "/tmp" if len(place) > 60 and os.path.isdir("/tmp") else place
    return tempfile.TemporaryDirectory(prefix="ssl3d-", dir=place, ignore_cleanup_errors=True)


def _late(outcome: Outcome) -> None:
    for result in outcome.parts.values():
        if result.message == NOT_REACHED:
            result.message = "not reached: no time was left"


# ---- one kernel --------------------------------------------------------------------------------


class _Attempt:
    """One pass over the steps in one kernel."""

    def __init__(self, steps: Sequence[Step], outcome: Outcome, box: Box, used: float) -> None:
        self.steps, self.outcome, self.box = steps, outcome, box
        self.used = used  # seconds of the submission's time; a kernel's start does not count
        self.faults: dict[str, str] = {}  # part → what went wrong in the student's own cells

    def run(self, home: Path, beside: Sequence[Path]) -> tuple[str, str | None] | None:
        """Returns why and in which part the kernel ended; None if it lived to the end."""
        scratch = prepare_scratch(home, self.box, beside)
        return asyncio.run(self._run(home, scratch))

    async def _run(self, home: Path, scratch: Path) -> tuple[str, str | None] | None:
        client, part = _client(scratch, self.box), None
        try:
            watcher = await client.begin(home, scratch, self.box, self.used)
            begin = time.monotonic()
            try:
                await client.code(f"{GUARD}.begin()")
                for step in self.steps:
                    part = step.part
                    await self._step(client, step)
            except (DeadKernelError, CellTimeoutError, _StoppedError):
                if asyncio.current_task().cancelling():  # Ctrl-C: nbclient takes it for a death
                    raise asyncio.CancelledError from None
                return watcher.reason or "it ended Python", part
            finally:
                self.used += time.monotonic() - begin
                watcher.stop()
        finally:
            await client.end()
        return None

    async def _step(self, client: "_Client", step: Step) -> None:
        result = self.outcome.parts.get(step.part)
        if step.kind == "hidden" and not (result and result.message == ""):
            return  # a visible test has failed
        if step.kind in ("visible", "hidden"):
            await self._put_back(client)
        word = secrets.token_hex(16)
        source = step.source
        if step.kind in ("visible", "hidden"):
            source += f'\n{GUARD}.sign("{word}")'
        fault, signed = await client.code(source, history=step.kind != "hidden")
        if client.interrupted:
            fault = f"a cell ran for more than {client.timeout} seconds"
        if step.kind in ("visible", "hidden"):
            self._judge(step, fault, word in signed)
        if client.interrupted:
            self._stopped(step, fault)
        elif fault.startswith("PermissionError") and self.box.confine:
            self._stopped(step, f"it reached for what it may not ({fault})")
        elif fault and step.of_student and step.part:
            self.faults.setdefault(step.part, f"your code ended with {fault}")
        if step.keep:
            await client.code(f"{GUARD}.keep(globals(), {step.keep!r})")

    def _stopped(self, step: Step, what: str) -> None:
        number = step.part.rpartition("-")[2] if step.part else "end"
        self.outcome.stops.append(f"part {number}: {what}")
        if step.part and step.of_student:
            self.faults.setdefault(step.part, f"your code was stopped: {what}")

    async def _put_back(self, client: "_Client") -> None:
        _, found = await client.code(f"{GUARD}.report({GUARD}.put_back(globals()))")
        for text in found:
            if text not in ("", "changed"):
                self.outcome.changed += [t for t in text.split("\n") if t]

    def _judge(self, step: Step, fault: str, signed: bool) -> None:
        result, own = self.outcome.parts[step.part], self.faults.get(step.part, "")
        if not fault and not signed:
            fault = "the tests did not come to their end"
        if fault:
            number = step.part.rpartition("-")[2]
            said = fault.removeprefix("AssertionError: ")
            if fault == "NotImplementedError":
                said = "there is no answer yet"
            if step.kind == "hidden":
                said = f"a hidden test of part {number} failed: {said}"
            if own:
                said = f"{own}; then: {said}"
            result.passed, result.message = False, said
        else:
            result.passed, result.message = step.kind == "hidden", ""


def prepare_scratch(home: Path, box: Box, beside: Sequence[Path]) -> Path:
    """The working folder: what was handed in with the notebook, and the course's data."""
    scratch = home / "work"
    scratch.mkdir()
    for path in beside:
        shutil.copyfile(path, scratch / path.name, follow_symlinks=False)
    if box.cohorts is not None:
        (scratch / "cohorts").symlink_to(box.cohorts.resolve())
    fonts = _font_lists()
    if fonts:
        (scratch / ".matplotlib").mkdir()
        for path in fonts:  # matplotlib would look for fonts for seconds
            shutil.copyfile(path, scratch / ".matplotlib" / path.name)
    return scratch


def _font_lists() -> list[Path]:
    import matplotlib

    return sorted(Path(matplotlib.get_cachedir()).glob("fontlist-*.json"))


def environment(scratch: Path, box: Box) -> dict[str, str]:
    """What a submission is told of the system: nothing that could hold a secret."""
    kept = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONPATH", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
    places = ("HOME", "TMPDIR", "TMP", "TEMP", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    own = {name: str(scratch) for name in places}
    own |= {name: str(scratch / f".{name.lower()}") for name in ("IPYTHONDIR", "JUPYTER_DATA_DIR")}
    if not box.confine and sys.platform == "win32":
        kept = tuple(os.environ)
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        **own,
        "JUPYTER_RUNTIME_DIR": str(scratch / ".runtime"),
        "MPLCONFIGDIR": str(scratch / ".matplotlib"),
        "SSL3D_SCALE": box.scale,
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",  # sums are then the same on every machine of a kind
        "PYTHONHASHSEED": "0",
        "JOBLIB_MULTIPROCESSING": "0",
        "PYTHONWARNINGS": "ignore",
    }


# ---- the kernel and its client -----------------------------------------------------------------


class JailedKernelManager(AsyncKernelManager):
    """Starts ipykernel through ``jail``; ``rules`` None starts it as it is."""

    rules: jail.Rules | None = None

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        argv = super().format_kernel_cmd(extra_arguments)
        return argv if self.rules is None else jail.command(self.rules, argv)


class _StoppedError(Exception):
    """The watcher ended the kernel."""


class _Client(NotebookClient):
    """Runs one piece of code at a time, and does not keep more of what it shows than is wanted."""

    watcher: Any = None
    shown: int = 0
    interrupted: bool = False
    """Whether the last cell ran for too long."""

    async def begin(self, home: Path, scratch: Path, box: Box, used: float) -> "Watcher":
        """Start the kernel, and watch it.

        Raises:
            RuntimeError: none came to life; the message holds what it said.
        """
        with open(home / "kernel.log", "wb") as log:
            try:
                env = environment(scratch, box)
                await self.async_start_new_kernel(env=env, stdout=log, stderr=log)
                await self.async_start_new_kernel_client()
            except RuntimeError as reason:
                told = (home / "kernel.log").read_text(errors="replace").strip()
                raise RuntimeError(f"no kernel: {reason} {told[-500:]}") from None
        self.watcher = Watcher(self.km.provisioner.pid, scratch, box, box.seconds - used)
        return self.watcher

    async def end(self) -> None:
        """Whatever state it is in."""
        if self.watcher is not None:
            self.watcher.kill()
        context = self.km.context
        await self._async_cleanup_kernel()
        context.destroy(linger=0)

    async def code(self, source: str, history: bool = True) -> tuple[str, list[str]]:
        """Run a cell. Returns the error that it ended with, and what it signed."""
        cell = nbformat.v4.new_code_cell(source)
        self.nb.cells, self.shown = [cell], 0
        begin = time.monotonic()
        self.watcher.deadline = begin + self.timeout + PATIENCE
        try:
            await self.async_execute_cell(cell, 0, store_history=history)
        finally:
            self.watcher.deadline = None
        self.interrupted = time.monotonic() - begin > self.timeout
        if self.watcher.reason:
            raise _StoppedError
        errors = [o for o in cell.outputs if o.output_type == "error"]
        data = [o.data for o in cell.outputs if "data" in o and SIGNED in o.data]
        signed = [text for each in data for text in (each[SIGNED], each.get("text/plain", ""))]
        return (self._fault(errors[0]) if errors else ""), signed

    def _fault(self, error: NotebookNode) -> str:
        text = " ".join(f"{error.ename}: {error.evalue}".split()).removesuffix(":")
        return text if len(text) <= MESSAGE else text[: MESSAGE - 1] + "…"

    def output(self, outs: list, msg: dict, display_id: str | None, cell_index: int) -> Any:
        """Errors and what is signed are wanted; of the rest nothing."""
        kind, content = msg["msg_type"], msg["content"]
        if kind != "error" and SIGNED not in content.get("data", ()):
            return None
        self.shown += len(str(content))
        if self.shown > OUTPUT:
            return None
        return super().output(outs, msg, display_id, cell_index)

    def handle_comm_msg(self, outs: list, msg: dict, cell_index: int) -> None:
        """Widgets are not kept."""


def _client(scratch: Path, box: Box) -> _Client:
    (scratch / ".runtime").mkdir(exist_ok=True)
    context = zmq.asyncio.Context()
    context.setsockopt(zmq.MAXMSGSIZE, MESSAGES)  # what is larger is not even read
    place = str(scratch / ".runtime/k.json")
    manager = JailedKernelManager(connection_file=place, context=context)
    if sys.platform != "win32":
        manager.transport = "ipc"  # files in the scratch folder: no network is needed
        manager.ip = str(scratch / ".runtime/k")
        limits = jail.Limits(seconds=box.seconds + STARTING, memory_gb=box.memory_gb)
        also = [box.cohorts.resolve()] if box.cohorts else []
        manager.rules = jail.rules_for(scratch, also, box.deny, limits, box.confine)
    client = _Client(
        nbformat.v4.new_notebook(),
        km=manager,
        timeout=int(box.cell_seconds),
        interrupt_on_timeout=True,
        allow_errors=True,
        startup_timeout=STARTING,
        iopub_timeout=PATIENCE,
        store_widget_state=False,
        shutdown_kernel="immediate",
        resources={"metadata": {"path": str(scratch)}},
    )
    client.log.setLevel(logging.CRITICAL)
    manager.log.setLevel(logging.CRITICAL)
    return client


# ---- watching ----------------------------------------------------------------------------------


class Watcher(threading.Thread):
    """Ends a process, and all that it started, when it passes a limit; ``reason`` says which."""

    def __init__(self, pid: int, scratch: Path, box: Box, seconds: float) -> None:
        super().__init__(daemon=True)
        self.process = psutil.Process(pid)
        self.scratch, self.box = scratch, box
        self.end = time.monotonic() + seconds
        self.deadline: float | None = None
        self.reason = ""
        self._done = threading.Event()
        self.start()

    def run(self) -> None:
        ticks = 0
        while not self._done.wait(TICK):
            ticks += 1
            try:
                self.reason = self.reason or self._passed(ticks)
            except psutil.NoSuchProcess:
                return
            if self.reason:
                self.kill()
                return

    def _passed(self, ticks: int) -> str:
        """Which limit is passed."""
        tree = [self.process, *self.process.children(recursive=True)]
        most, now = self.box.memory_gb * jail.GB, time.monotonic()
        if sum(_memory(process) for process in tree) > most:
            return f"more than {self.box.memory_gb:g} GB of memory"
        if now > self.end:
            return "no time was left"
        if self.deadline is not None and now > self.deadline:
            return "a cell did not end, even when interrupted"
        if len(tree) + self.process.num_threads() > THREADS:
            return f"more than {THREADS} threads and processes"
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

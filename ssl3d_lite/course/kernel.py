"""A jailed IPython kernel, and a client that runs one piece of code at a time in it."""

import logging
import sys
import time
from pathlib import Path
from typing import Any

import nbformat
import zmq.asyncio
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbformat import NotebookNode

from . import jail
from .guard import SIGNED
from .sandbox import Sandbox, environment
from .watcher import Watcher

_MAX_OUTPUT = 200_000  # characters that a cell may show
_MAX_MESSAGE_BYTES = 20_000_000  # larger messages of a kernel are not read
_MAX_ERROR = 300  # characters of an error message that a student is shown
_PATIENCE = 10  # seconds between the interruption of a cell and its end
_STARTING = 180  # seconds that a kernel may take to start on a busy machine


class JailedKernelManager(AsyncKernelManager):
    """Starts ipykernel inside the jail; without a jail if ``rules`` is None."""

    rules: jail.JailRules | None = None

    @property
    def kernel_spec(self) -> KernelSpec:
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        return KernelSpec(argv=argv, display_name="Python 3", language="python")

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        argv = super().format_kernel_cmd(extra_arguments)
        return argv if self.rules is None else jail.jailed_command(self.rules, argv)


class StoppedError(Exception):
    """The watcher ended the kernel."""


class KernelClient(NotebookClient):
    """Runs one piece of code at a time, and keeps only errors and signed messages of its output."""

    watcher: Any = None
    context: Any = None
    """Context of the sockets to the kernel."""
    shown: int = 0
    interrupted: bool = False
    """Whether the last cell ran for too long."""

    async def begin(self, home: Path, scratch: Path, sandbox: Sandbox, used: float) -> Watcher:
        """Start the kernel, and watch it.

        Raises:
            RuntimeError: the kernel did not start; the message holds the end of its log.
        """
        with open(home / "kernel.log", "wb") as log:
            try:
                env = environment(scratch, sandbox)
                await self.async_start_new_kernel(env=env, stdout=log, stderr=log)
                await self.async_start_new_kernel_client()
            except RuntimeError as reason:
                log_text = (home / "kernel.log").read_text(errors="replace").strip()
                raise RuntimeError(f"no kernel: {reason} {log_text[-500:]}") from None
        manager: Any = self.km
        self.watcher = Watcher(manager.provisioner.pid, scratch, sandbox, sandbox.seconds - used)
        return self.watcher

    async def end(self) -> None:
        """End the kernel, whatever state it is in."""
        if self.watcher is not None:
            self.watcher.kill()
        if self.km is not None:  # nbclient has let go of one that did not start
            await self._async_cleanup_kernel()
        self.context.destroy(linger=0)

    async def code(self, source: str, history: bool = True) -> tuple[str, list[str]]:
        """Run a cell. Returns its error (empty if none) and its signed messages."""
        cell = nbformat.v4.new_code_cell(source)
        self.nb.cells, self.shown = [cell], 0
        begin, limit = time.monotonic(), float(self.timeout or 0)
        self.watcher.deadline = begin + limit + _PATIENCE
        try:
            await self.async_execute_cell(cell, 0, store_history=history)
        finally:
            self.watcher.deadline = None
        self.interrupted = time.monotonic() - begin > limit
        if self.watcher.reason:
            raise StoppedError
        errors = [o for o in cell.outputs if o.output_type == "error"]
        data = [o.data for o in cell.outputs if "data" in o and SIGNED in o.data]
        signed = [text for each in data for text in (each[SIGNED], each.get("text/plain", ""))]
        return (self._error_text(errors[0]) if errors else ""), signed

    def _error_text(self, error: NotebookNode) -> str:
        text = " ".join(f"{error.ename}: {error.evalue}".split()).removesuffix(":")
        return text if len(text) <= _MAX_ERROR else text[: _MAX_ERROR - 1] + "…"

    def output(self, outs: list, msg: dict, display_id: str | None, cell_index: int) -> Any:
        """Keep errors and signed messages; drop everything else."""
        kind, content = msg["msg_type"], msg["content"]
        if kind != "error" and SIGNED not in content.get("data", ()):
            return None
        self.shown += len(str(content))
        if self.shown > _MAX_OUTPUT:
            return None
        return super().output(outs, msg, display_id, cell_index)

    def handle_comm_msg(self, outs: list, msg: dict, cell_index: int) -> None:
        """Widgets are not kept."""


def make_client(scratch: Path, sandbox: Sandbox) -> KernelClient:
    """A client with a kernel manager whose kernel works in ``scratch``; nothing is started yet."""
    (scratch / ".runtime").mkdir(exist_ok=True)
    context = zmq.asyncio.Context()
    context.setsockopt(zmq.MAXMSGSIZE, _MAX_MESSAGE_BYTES)  # larger messages are not even read
    place = str(scratch / ".runtime/k.json")
    manager = JailedKernelManager(connection_file=place, context=context)
    if sys.platform != "win32":
        manager.transport = "ipc"  # files in the scratch folder: no network is needed
        manager.ip = str(scratch / ".runtime/k")
        limits = jail.JailLimits(seconds=sandbox.seconds + _STARTING, memory_gb=sandbox.memory_gb)
        also = [sandbox.cohorts.resolve()] if sandbox.cohorts else []
        manager.rules = jail.rules_for(scratch, also, sandbox.deny, limits, sandbox.confine)
    client = KernelClient(
        nbformat.v4.new_notebook(),
        km=manager,
        timeout=int(sandbox.cell_seconds),
        interrupt_on_timeout=True,
        allow_errors=True,
        startup_timeout=_STARTING,
        iopub_timeout=_PATIENCE,
        store_widget_state=False,
        shutdown_kernel="immediate",
        resources={"metadata": {"path": str(scratch)}},
    )
    client.context = context
    client.log.setLevel(logging.CRITICAL)
    manager.log.setLevel(logging.CRITICAL)
    return client

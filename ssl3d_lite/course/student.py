"""The process in which a student's code runs: IPython, driven through one pipe.

``python -m ssl3d_lite.course.student FD``, in the jail. It runs cells, and lets the tests' process
call what the cells define. It knows no test and no solution. It needs no kernel: kernels
communicate by sockets, which nothing in the jail may open.
"""

import os
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from .calls import Endpoint, described
from .checks import largest_tensor


class StudentShell(InteractiveShell):
    """IPython without a screen, a terminal, or other programs."""

    def __init__(self, **settings: Any) -> None:
        self.left_out: list[str] = []
        super().__init__(**settings)

    def enable_gui(self, gui: Any = None) -> None:
        """There is no screen: ``%matplotlib inline`` has nothing to do."""

    def ask_exit(self) -> None:
        """``exit()`` ends a notebook's cell at most, as the rest is graded all the same."""

    def system(self, cmd: str) -> None:
        """Lines such as ``!pip install`` are left out, and that is said."""
        self.left_out.append(str(cmd)[:80])
        self.user_ns["_exit_code"] = 0

    system_piped = system_raw = system

    def getoutput(self, cmd: str, split: bool = True, depth: int = 0) -> Any:
        self.system(cmd)
        return []

    def showtraceback(self, *args: Any, **kwargs: Any) -> None:
        """Nobody reads it, and of an endless recursion it takes minutes."""

    showsyntaxerror = showtraceback  # type: ignore[assignment]


def make_shell() -> StudentShell:
    """A shell that keeps no history and shows text alone."""
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "NoColor"
    shell = StudentShell.instance(config=config)
    formatter: Any = shell.display_formatter
    formatter.active_types = ["text/plain"]
    return shell


def _main(descriptor: int) -> None:
    """Serve the other end of the pipe until it closes."""
    import torch

    torch.set_num_threads(1)
    shell = make_shell()
    run_cell = shell.run_cell

    def run(told: Any) -> dict[str, Any]:
        """Run a cell; says how it failed, and which lines for other programs were left out."""
        shell.left_out.clear()
        result = run_cell(told, store_history=True)
        fault = result.error_before_exec or result.error_in_exec
        failed = None if fault is None or isinstance(fault, SystemExit) else described(fault)
        return {"failed": failed, "left out": list(shell.left_out)}

    def names(told: list[str]) -> dict[str, Any]:
        return {name: shell.user_ns[name] for name in told if name in shell.user_ns}

    serves: dict[str, Callable[..., Any]] = {"run": run, "names": names, "hello": bool}
    serves["largest tensor"] = lambda told: largest_tensor(*told)
    peer = Endpoint(Connection(descriptor), serves, open=True)
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    peer.serve()
    os._exit(0)


if __name__ == "__main__":
    _main(int(sys.argv[1]))

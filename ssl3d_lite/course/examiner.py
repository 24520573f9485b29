"""The process in which tests run: it knows the tests, and of the student's work gets values alone.

It runs the lecturer's given cells itself, and each part's tests in names of their own. Whatever the
student's code calls, replaces or patches is in another process; only what its functions return
comes here, as fresh numbers, arrays and lists.
"""

import ast
import contextlib
import io
import json
import os
import signal
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

from .calls import Endpoint, RemoteError
from .jail import JailRules, enter_jail
from .sources import split_tests, without_magics
from .submission import Step
from .wire import WireError

_MOST = 2000  # characters that are kept of what tests print


def examine(
    steps: Sequence[Step],
    student: Connection,
    events: Connection,
    place: str,
    environment: dict[str, str],
    rules: JailRules,
    spare: float,
) -> None:
    """Run all steps of a submission; the process ends with this.

    Args:
        steps: what to run, here or there.
        student: the pipe to the student's process.
        events: where to say what has begun and what came of it, in JSON.
        place: a working folder with the course's data.
        environment: the process's variables.
        rules: this process has a jail of its own, as it reads what a student's process sends.
        spare: seconds that cells which the student added may take.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the grader's affair
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(place)
    tempfile.tempdir = None  # found anew, in the working folder
    silence = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silence, stream)
    enter_jail(rules)
    import matplotlib
    import torch

    torch.set_num_threads(1)
    matplotlib.use("agg")
    try:
        _Examiner(Endpoint(student), events, spare).run(steps)
    except (EOFError, OSError, WireError) as reason:
        _tell(events, gone=str(reason))
    os._exit(0)


def _tell(events: Connection, **said: Any) -> None:
    try:
        events.send_bytes(json.dumps(said).encode())
    except OSError:
        os._exit(0)  # the grader has ended


class _Examiner:
    def __init__(self, peer: Endpoint, events: Connection, spare: float) -> None:
        self.peer, self.events, self.spare = peer, events, spare
        self.given: dict[str, Any] = {"__name__": "__main__", "display": lambda *_, **__: None}
        self.part_over: str | None = None  # its checks took too long, and would again

    def run(self, steps: Sequence[Step]) -> None:
        self.peer.ask("hello")
        for number, step in enumerate(steps):
            if step.kind == "extra" and self.spare <= 0:
                _tell(self.events, step=number, skipped=True)
                continue
            _tell(self.events, begin=number)
            start = time.monotonic()
            said = self._test(step) if step.kind == "tests" else self._cell(step)
            if step.kind == "extra":
                self.spare -= time.monotonic() - start
            _tell(self.events, step=number, **said)

    def _cell(self, step: Step) -> dict[str, Any]:
        """A cell of the notebook, in the student's process; given ones here as well."""
        if step.kind == "given":
            with contextlib.suppress(Exception):  # it builds on an answer: tests will say so
                execute(without_magics(step.source), self.given)
        said = self._run(step.source)
        if step.kind == "visible" and _was_interrupted(said):
            self.part_over, said["over"] = step.part, True
        return said

    def _run(self, source: str) -> dict[str, Any]:
        """Run a cell in the student's process: its error, and what was left out."""
        try:
            said = self.peer.ask("run", source)
            failed = said["failed"]
            told = failed and {name: failed[name] for name in ("kinds", "text", "where")}
            return {"failed": told, "left_out": said["left out"]}
        except (RemoteError, TypeError, LookupError) as fault:  # it no longer runs cells
            return {"failed": {"kinds": [type(fault).__name__], "text": str(fault)[:300]}}

    def _test(self, step: Step) -> dict[str, Any]:
        """All tests of a part, in names of their own. That the visible ones have run in the
        student's process does not count."""
        if step.part == self.part_over:
            return {"failed": None, "left": True}
        names, value, printed = {**self.given}, None, io.StringIO()
        pieces = dict(zip(("visible", "hidden", "end"), split_tests(step.source)))
        at = "visible"
        try:
            names |= self.peer.ask("names", list(step.names))
            with contextlib.redirect_stdout(printed):
                for at in filter(pieces.get, pieces):
                    value = execute(without_magics(pieces[at]), names)
        except (EOFError, BrokenPipeError):
            raise
        except RemoteError as fault:
            failed = {"kinds": [fault.kind], "text": fault.text, "where": fault.where}
            return {"failed": failed, "hidden": at == "hidden"}
        except Exception as fault:
            failed = {"kinds": [type(fault).__name__], "text": str(fault)}
            return {"failed": failed, "hidden": at == "hidden"}
        if isinstance(value, int | float) and not isinstance(value, bool):
            return {"failed": None, "points": value, "printed": printed.getvalue()[:_MOST]}
        return {"failed": None}


def _was_interrupted(said: dict[str, Any]) -> bool:
    return bool(said["failed"]) and said["failed"]["kinds"][0] == "KeyboardInterrupt"


def execute(source: str, names: dict[str, Any], file: str = "<tests>") -> Any:
    """Run a cell in ``names``; returns the value of its last line, as a notebook shows it."""
    tree = ast.parse(source, file)
    shown = None
    if tree.body and isinstance(last := tree.body[-1], ast.Expr):
        shown = ast.Expression(last.value)
        tree.body.pop()
    exec(compile(tree, file, "exec"), names)
    return eval(compile(shown, file, "eval"), names) if shown else None

"""Run a merged submission in a jailed kernel, watched from outside, and report on each part.

A part earns its points if its visible and its hidden tests came to their end. Whatever ends the
kernel (no memory, no time, ``os._exit``) costs the part in which it happened: the rest is run again
without that part's answer, in a new kernel.
"""

import asyncio
import os
import secrets
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nbclient.exceptions import CellTimeoutError, DeadKernelError

from .kernel import KernelClient, StoppedError, make_client
from .sandbox import Sandbox, prepare_scratch
from .submission import MergedNotebook, Step

_GUARD = '__import__("ssl3d_lite.course.guard", fromlist=["guard"])'
_NOT_REACHED = "not reached"


@dataclass
class PartResult:
    """Whether the tests of a part passed."""

    passed: bool = False
    message: str = _NOT_REACHED
    """Why they did not, in the student's terms; empty if they did."""


@dataclass
class Outcome:
    """The result of a run; it is filled while the submission runs."""

    parts: dict[str, PartResult] = field(default_factory=dict)
    stops: list[str] = field(default_factory=list)
    """What was stopped, and why."""
    changed: list[str] = field(default_factory=list)
    """Names that the student's code had replaced and that were restored before the tests."""
    seconds: float = 0.0


def run_submission(
    merged: MergedNotebook, names: Sequence[str], sandbox: Sandbox, attachments: Sequence[Path]
) -> Outcome:
    """Run all parts of a submission.

    Args:
        merged: the steps to run.
        names: names of the parts that tests mark.
        sandbox: limits, and what the submission can see.
        attachments: data files that were handed in with the notebook.
    """
    outcome = Outcome({name: PartResult() for name in names})
    begin, steps, used = time.monotonic(), merged.steps, 0.0
    while True:
        attempt = _Attempt(steps, outcome, sandbox, used)
        with _temporary_folder() as folder:
            stop = attempt.run(Path(folder), attachments)
        outcome.seconds, used = time.monotonic() - begin, attempt.used
        if stop is None:
            return outcome
        reason, part = stop
        outcome.stops.append(f"part {part.rpartition('-')[2]}: {reason}" if part else reason)
        if part in outcome.parts:
            outcome.parts[part] = PartResult(False, f"your code was stopped: {reason}")
        if used >= sandbox.seconds:
            _mark_unreached(outcome)
        rest = [s for s in steps if s.part != part or s.kind == "given"]
        if part is None or len(rest) == len(steps) or used >= sandbox.seconds:
            return outcome
        steps = rest


def _temporary_folder() -> tempfile.TemporaryDirectory:
    """A folder with a short name: sockets lie in it, whose paths have at most 107 characters."""
    place = tempfile.gettempdir()
    place = "/tmp" if len(place) > 60 and os.path.isdir("/tmp") else place
    return tempfile.TemporaryDirectory(prefix="ssl3d-", dir=place, ignore_cleanup_errors=True)


def _mark_unreached(outcome: Outcome) -> None:
    for result in outcome.parts.values():
        if result.message == _NOT_REACHED:
            result.message = "not reached: no time was left"


# ---- one kernel --------------------------------------------------------------------------------


class _Attempt:
    """One pass over the steps in one kernel."""

    def __init__(
        self, steps: Sequence[Step], outcome: Outcome, sandbox: Sandbox, used: float
    ) -> None:
        self.steps, self.outcome, self.sandbox = steps, outcome, sandbox
        self.used = used  # seconds of the submission's time; a kernel's start does not count
        self.failures: dict[str, str] = {}  # part → error in the student's own cells

    def run(self, home: Path, attachments: Sequence[Path]) -> tuple[str, str | None] | None:
        """Run all steps; returns why and in which part the kernel ended, None if it did not."""
        scratch = prepare_scratch(home, self.sandbox, attachments)
        return asyncio.run(self._run(home, scratch))

    async def _run(self, home: Path, scratch: Path) -> tuple[str, str | None] | None:
        client, part = make_client(scratch, self.sandbox), None
        try:
            watcher = await client.begin(home, scratch, self.sandbox, self.used)
            begin = time.monotonic()
            try:
                await client.code(f"{_GUARD}.remember()")
                for step in self.steps:
                    part = step.part
                    await self._step(client, step)
            except (DeadKernelError, CellTimeoutError, StoppedError):
                task = asyncio.current_task()
                if task is not None and task.cancelling():  # Ctrl-C: nbclient sees a dead kernel
                    raise asyncio.CancelledError from None
                return watcher.reason or "it ended Python", part
            finally:
                self.used += time.monotonic() - begin
                watcher.stop()
        finally:
            await client.end()
        return None

    async def _step(self, client: KernelClient, step: Step) -> None:
        """Run one step, and judge it if it is a test."""
        result = self.outcome.parts.get(step.part) if step.part else None
        if step.kind == "hidden" and not (result and result.message == ""):
            return  # a visible test has failed
        if step.kind in ("visible", "hidden"):
            await self._restore(client)
        token = secrets.token_hex(16)
        source = step.source
        if step.kind in ("visible", "hidden"):
            source += f'\n{_GUARD}.sign("{token}")'
        failure, signed = await client.code(source, history=step.kind != "hidden")
        if client.interrupted:
            failure = f"a cell ran for more than {client.timeout} seconds"
        if step.kind in ("visible", "hidden"):
            self._judge(step, failure, token in signed)
        if client.interrupted:
            self._stopped(step, failure)
        elif failure.startswith("PermissionError") and self.sandbox.confine:
            self._stopped(step, f"it reached for what it may not ({failure})")
        elif failure and step.of_student and step.part:
            self.failures.setdefault(step.part, f"your code ended with {failure}")
        if step.keep:
            await client.code(f"{_GUARD}.keep_given(globals(), {step.keep!r})")

    def _stopped(self, step: Step, what: str) -> None:
        number = step.part.rpartition("-")[2] if step.part else "end"
        self.outcome.stops.append(f"part {number}: {what}")
        if step.part and step.of_student:
            self.failures.setdefault(step.part, f"your code was stopped: {what}")

    async def _restore(self, client: KernelClient) -> None:
        """Undo what the student's code replaced, and note it."""
        _, found = await client.code(f"{_GUARD}.report({_GUARD}.restore(globals()))")
        for text in found:
            if text not in ("", "changed"):
                self.outcome.changed += [t for t in text.split("\n") if t]

    def _judge(self, step: Step, failure: str, signed: bool) -> None:
        """Say of a test's part whether it passed, or why it did not."""
        part = str(step.part)  # a test belongs to a part
        result, own = self.outcome.parts[part], self.failures.get(part, "")
        if not failure and not signed:
            failure = "the tests did not come to their end"
        if failure:
            number = part.rpartition("-")[2]
            message = failure.removeprefix("AssertionError: ")
            if failure == "NotImplementedError":
                message = "there is no answer yet"
            if step.kind == "hidden":
                message = f"a hidden test of part {number} failed: {message}"
            if own:
                message = f"{own}; then: {message}"
            result.passed, result.message = False, message
        else:
            result.passed, result.message = step.kind == "hidden", ""

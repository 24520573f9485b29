"""Run a merged submission in two jailed processes, watched from outside, and report on each part.

One process has the student's code, the other one the tests (``student``, ``examiner``). A part
earns its points if its tests came to their end, or so many as the value of their last line says, as
in nbgrader. Whatever ends the student's
process (no memory, no time, ``os._exit``) costs the part in which it happened: the rest is run
again without that part's answer.
"""

import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from . import jail
from .checks import HIDDEN_FAILED
from .examiner import examine
from .sandbox import Sandbox, environment, prepare_scratch
from .submission import MergedNotebook, Step
from .watcher import Watcher

_NOT_REACHED = "not reached"
_MAX_ERROR = 300  # characters of an error message that a student is shown
_MAX_FOUND = 900  # characters of what several checks have found
_STARTING = 300  # seconds that the processes may take to start on a busy machine
_LOADED = ("ssl3d_lite.course.examiner", "ssl3d_lite.tasks", "ssl3d_lite.training.pretraining")


@dataclass
class PartResult:
    """Whether the tests of a part passed."""

    passed: bool = False
    message: str = _NOT_REACHED
    """Why they did not, in the student's terms; empty if they did."""
    points: float | None = None
    """Points, where it is some of them."""


@dataclass
class Outcome:
    """The result of a run; it is filled while the submission runs."""

    parts: dict[str, PartResult] = field(default_factory=dict)
    stops: list[str] = field(default_factory=list)
    """What was stopped, and why."""
    notes: list[str] = field(default_factory=list)
    """What was not run, and why."""
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
    return tempfile.TemporaryDirectory(prefix="ssl3d-", ignore_cleanup_errors=True)


def _mark_unreached(outcome: Outcome) -> None:
    for result in outcome.parts.values():
        if result.message == _NOT_REACHED:
            result.message = "not reached: no time was left"


def error_text(failed: dict[str, Any]) -> str:
    """What a step failed with, in one line."""
    kind, text = failed["kinds"][0], failed["text"]
    if kind == "AssertionError":
        found = text or "an assertion failed"
    elif kind == "RecursionError":
        found = f"your code calls itself without end (RecursionError: {text})"
    else:
        found = f"{kind}: {text}".removesuffix(": ")
        found += f" ({failed['where']})" if failed.get("where") and kind != _BLANK else ""
    return _short(found, _MAX_ERROR)


def _short(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"


_BLANK = "NotImplementedError"


# ---- one attempt -------------------------------------------------------------------------------


class _Attempt:
    """One pass over the steps in a fresh pair of processes."""

    def __init__(
        self, steps: Sequence[Step], outcome: Outcome, sandbox: Sandbox, used: float
    ) -> None:
        self.steps, self.outcome, self.sandbox = steps, outcome, sandbox
        self.used = used  # seconds of the submission's time; the start does not count
        self.failures: dict[str, str] = {}  # part → error in the student's own cells
        self.at: Step | None = None

    def run(self, home: Path, attachments: Sequence[Path]) -> tuple[str, str | None] | None:
        """Run all steps; returns why and in which part the process ended, None if it did not.

        Raises:
            RuntimeError: it did not start; the message holds the end of its log.
        """
        scratch = prepare_scratch(home / "work", self.sandbox, attachments)
        ours, theirs = multiprocessing.Pipe()
        heard, events = multiprocessing.Pipe(duplex=False)
        student = _start_student(theirs, home, scratch, self.sandbox)
        watcher = Watcher(student.pid, scratch, self.sandbox, self.sandbox.seconds - self.used)
        examiner = _start_examiner(self.steps, ours, events, home, self.sandbox)
        for end in (ours, theirs, events):
            end.close()
        try:
            done = self._listen(heard, watcher)
            if not done and self.at is None:
                text = (home / "log").read_text(errors="replace").strip()
                raise RuntimeError(f"no process: {watcher.reason} {text[-500:]}")
            part = self.at.part if self.at else None
            return None if done else (watcher.reason or "it ended Python", part)
        finally:
            watcher.stop()
            watcher.kill()
            student.wait()
            examiner.kill()
            examiner.join()
            heard.close()

    def _listen(self, heard: Connection, watcher: Watcher) -> bool:
        """Take note of what the examiner says; whether it came to the end."""
        begin, done = time.monotonic(), 0
        try:
            while done < len(self.steps):
                limit = _STARTING if self.at is None else 1.0
                if not heard.poll(limit):
                    if self.at is None or watcher.reason:
                        return False
                    continue
                said = json.loads(heard.recv_bytes())
                if "gone" in said:
                    watcher.settle()
                    return False
                if "begin" in said:
                    if self.at is None:
                        begin = time.monotonic()
                        watcher.start_clock()
                    self.at = self.steps[said["begin"]]
                    watcher.begin(self.sandbox.cell_seconds)
                    continue
                interrupted = watcher.finish()
                done = said["step"] + 1
                self._take(self.steps[said["step"]], said, interrupted)
        except EOFError:
            watcher.settle()
            return False
        finally:
            if self.at is not None:
                self.used += time.monotonic() - begin
        return True

    def _take(self, step: Step, said: dict[str, Any], interrupted: bool) -> None:
        """Note what came of a step."""
        if said.get("skipped"):
            half = f"{self.sandbox.seconds / 2:g} seconds"
            note = f"cells that you added took {half}, half of the time: later ones were not run"
            self.outcome.notes.append(note)
            return
        for line in said.get("left_out") or ():
            self.outcome.notes.append(f"not run, as nothing else can be started here: {line}")
        failed = said["failed"]
        failure = error_text(failed) if failed else ""
        if interrupted:
            failure = f"a cell ran for more than {self.sandbox.cell_seconds:g} seconds"
            self._stopped(step, failure)
        elif "PermissionError" in failure and self.sandbox.confine:
            self._stopped(step, f"it reached for what it may not ({failure})")
        if step.kind == "tests" and not said.get("left"):
            self._judge(step, said, failure)
        elif said.get("over"):
            self.outcome.parts[str(step.part)] = PartResult(False, failure)
        elif failure and step.of_student and step.part:
            self.failures.setdefault(step.part, f"your code ended with {failure}")

    def _stopped(self, step: Step, what: str) -> None:
        number = step.part.rpartition("-")[2] if step.part else "end"
        self.outcome.stops.append(f"part {number}: {what}")
        if step.part and step.of_student:
            self.failures.setdefault(step.part, f"your code was stopped: {what}")

    def _judge(self, step: Step, said: dict[str, Any], failure: str) -> None:
        """Say of a test's part whether it passed, or why it did not."""
        part = str(step.part)  # a test belongs to a part
        own = self.failures.get(part, "")
        result = self.outcome.parts[part] = PartResult(not failure, "")
        if failure:
            message = "there is no answer yet" if failure == _BLANK else failure
            message = f"{HIDDEN_FAILED}{message}" if said.get("hidden") else message
            result.message = f"{own}; then: {message}" if own else message
        elif "points" in said:
            result.points, result.message = (
                float(said["points"]),
                _short(said["printed"], _MAX_FOUND),
            )


def _rules(place: Path, sandbox: Sandbox) -> jail.JailRules:
    """What a process that works in ``place`` may do."""
    limits = jail.JailLimits(seconds=sandbox.seconds + _STARTING, memory_gb=sandbox.memory_gb)
    also = [sandbox.cohorts.resolve()] if sandbox.cohorts else []
    return jail.rules_for(place, also, sandbox.deny, limits, sandbox.confine)


def _start_student(
    theirs: Connection, home: Path, scratch: Path, sandbox: Sandbox
) -> subprocess.Popen:
    argv = [sys.executable, "-m", "ssl3d_lite.course.student", str(theirs.fileno())]
    argv = jail.jailed_command(_rules(scratch, sandbox), argv)
    with open(home / "log", "wb") as log:
        return subprocess.Popen(
            argv,
            cwd=scratch,
            env=environment(scratch, sandbox),
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(theirs.fileno(),),
        )


def _start_examiner(
    steps: Sequence[Step], ours: Connection, events: Connection, home: Path, sandbox: Sandbox
) -> Any:
    """The process of the tests; it is copied from one that has loaded the library already."""
    place = prepare_scratch(home / "tests", sandbox, ())
    rules = _rules(place, sandbox)
    context: Any = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(_LOADED))
    arguments = (tuple(steps), ours, events, str(place), environment(place, sandbox), rules)
    process = context.Process(target=examine, args=(*arguments, sandbox.seconds / 2), daemon=True)
    process.start()
    return process

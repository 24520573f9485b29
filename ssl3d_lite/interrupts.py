"""Ctrl-C: the program ends within seconds, with one line, whatever it is doing. So it does when a
batch system asks it to end (SIGTERM).

What is done is kept at any moment, so to stop is to clean up a little and to leave. Cleaning up
takes place where Python raises KeyboardInterrupt; should that hang, or be lost in somebody else's
code, a thread ends the process all the same. This file imports next to nothing, as it is to stand
before all that takes time to import.
"""

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

PATIENCE = 1.5  # seconds for cleaning up
STOPPED = 130  # exit code, as shells have it
_TRACKER = "resource_tracker"  # multiprocessing's process that removes what others leave
_asked = threading.Event()
_temporary: set[str] = set()  # folders that do not outlast this process
_said_once = threading.Lock()


def end_on_ctrl_c() -> None:
    """From now on Ctrl-C ends this process: for a command, which owns its process.

    Where it is ignored, as by a job in the background, it stays so; SIGTERM ends it all the same.
    """
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    if not is_main or before not in (signal.default_int_handler, signal.SIG_IGN):
        return
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, _stop)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _stop)
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)  # the last to be called: all done
    if os.name == "posix":
        heard, wakes = os.pipe()
        os.set_blocking(wakes, False)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)  # told even amid long work in C
        threading.Thread(target=_end_in_time, args=(heard,), daemon=True).start()
    sys.warnoptions.append(f"ignore:{_TRACKER}")  # which tells what it clears away after us
    for hooks, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        setattr(hooks, name, _quiet_when_stopped(getattr(hooks, name)))


def is_stopping() -> bool:
    """Whether Ctrl-C was pressed: whatever error comes then, comes from that."""
    return _asked.is_set()


def _stop(number: int, frame: Any) -> None:
    if _asked.is_set():  # a second time
        _end()
    _asked.set()
    raise KeyboardInterrupt


def _end_in_time(heard: int) -> None:
    while os.read(heard, 1)[0] not in (signal.SIGINT, signal.SIGTERM):  # others are heard too
        pass
    late = time.monotonic() + PATIENCE
    import psutil  # noqa: F401  (it takes a moment)

    time.sleep(max(0, late - time.monotonic()))
    _end()


def _end() -> None:
    """End this process and all that it has started, now."""
    try:
        say_stopped()
        end_children()
        _clear_temporary()
    finally:  # nothing that goes wrong with it keeps the process alive
        os._exit(STOPPED)


def _clear_temporary() -> None:
    from shutil import rmtree

    for folder in list(_temporary):
        rmtree(folder, ignore_errors=True)


@contextmanager
def temporary_folder(parent: Any, prefix: str) -> Iterator[str]:
    """A folder in ``parent`` that is gone at the end, also if cleaning up after Ctrl-C hangs."""
    from shutil import rmtree
    from tempfile import mkdtemp

    folder = mkdtemp(prefix=prefix, dir=parent)
    _temporary.add(folder)
    try:
        yield folder
    finally:
        rmtree(folder, ignore_errors=True)
        _temporary.discard(folder)


def lasting_folder(parent: Any, prefix: str) -> str:
    """A folder in ``parent`` that is gone when this process ends."""
    from multiprocessing.util import Finalize
    from shutil import rmtree
    from tempfile import mkdtemp

    folder = mkdtemp(prefix=prefix, dir=parent)
    _temporary.add(folder)
    # the last of all: multiprocessing removes its own folder, which may lie in this one, before
    Finalize(None, rmtree, (folder, True), exitpriority=-200)
    return folder


def leave_stopped() -> None:
    """End a process that has cleaned up after Ctrl-C, as :func:`end_on_ctrl_c` began it.

    Python itself may take seconds for that, and says that it was killed where the interruption went
    through a library's ``exec``.
    """
    end_children()  # before they notice that this one is gone, and complain
    _clear_temporary()
    with suppress(OSError, ValueError):
        sys.stdout.flush()
    os._exit(STOPPED)


def end_children() -> None:
    """End all processes that this one has started, and those that they have started."""
    import psutil

    for child in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):  # it has just ended
            # it ends by itself; others are told by an option not to hear of it
            if not any(f"{_TRACKER} import" in part for part in child.cmdline()):
                child.kill()


def say_stopped() -> None:
    """The one line, said once; where several processes share a training, the first says it."""
    if not _said_once.acquire(blocking=False) or os.environ.get("LOCAL_RANK", "0") != "0":
        return
    with suppress(OSError):
        os.write(2, b"\nssl3d: stopped; what was finished is kept: run the same command again\n")


def _quiet_when_stopped(hook: Any) -> Any:
    """The same hook for errors that nobody catches, but silent once Ctrl-C was pressed."""
    return lambda *found: None if _asked.is_set() else hook(*found)


@contextmanager
def starting_workers() -> Iterator[None]:
    """Processes that are started within do not hear Ctrl-C: they end with this one.

    Ctrl-C goes to all processes of a terminal. Meanwhile this one hears it a little later, so that
    none is left half started.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    late: list[Any] = []
    before = signal.signal(signal.SIGINT, lambda *heard: late.append(heard))
    blocked = _block_ctrl_c()
    try:
        yield
    finally:
        if blocked is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        signal.signal(signal.SIGINT, before)
        if late and callable(before):
            before(*late[0])


def _block_ctrl_c() -> set[Any] | None:
    """Block the signal in this thread, which the processes that it starts inherit."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        return None
    return signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


def end_with_parent() -> None:
    """From now on this process ends when the one that started it does."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent != 1:
        time.sleep(0.2)
    os._exit(1)

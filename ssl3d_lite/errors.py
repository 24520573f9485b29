"""What a user did wrong, said in one line: what, where, and what to do about it."""

import os
import traceback
from collections.abc import Iterable

TRACEBACK = "SSL3D_TRACEBACK"  # set to 1, it shows where an unexpected error came from


class InputError(ValueError):
    """A fault in what the user gave (a file, a setting), not in the program.

    The command line prints its message as one line and leaves with exit code 2.
    """


class DivergedError(RuntimeError):
    """Training stopped because its loss or gradient was no longer a number."""


def unknown(kind: str, name: str, known: Iterable[str]) -> InputError:
    """The error for a misspelt ``name``: says the nearest right one, and all there are."""
    from difflib import get_close_matches  # imported late: this file is the first that is read

    known = sorted(known)
    near = get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return InputError(f"unknown {kind} {name!r}{hint} (known: {', '.join(known)})")


def in_one_line(error: BaseException) -> str:
    """What went wrong, in one line. An error that nobody foresaw is told by its kind; where it came
    from goes to the standard error stream, if ``SSL3D_TRACEBACK=1`` asks for it."""
    text = " ".join(str(error).split())
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"memory ran out{text and f': {text}'}"
    if os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    return f"unexpected {type(error).__name__}: {text} ({TRACEBACK}=1 shows where)"

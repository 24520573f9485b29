"""What a user did wrong, said in one line: what, where, and what to do about it."""

from collections.abc import Iterable


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

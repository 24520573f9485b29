"""Typical mistakes, data for the tests: one module an assignment, each with a list MISTAKES."""

from dataclasses import dataclass
from textwrap import dedent


@dataclass(frozen=True)
class Mistake:
    name: str
    """off by one crop"""
    part: str
    """a1-2: what loses its points, and nothing else does."""
    code: str
    """What the student wrote in the part's solution cell, the whole cell."""


def mistake_in(assignment: int, name: str, part: int, *functions: str) -> Mistake:
    """A mistake whose cell holds ``functions``, which may be indented."""
    code = "\n\n".join(dedent(each).strip() for each in functions)
    return Mistake(name, f"a{assignment}-{part}", code)


def changed(code: str, *changes: tuple[str, str]) -> str:
    """The right answer with some of its text replaced."""
    for old, new in changes:
        assert old in code, old
        code = code.replace(old, new)
    return code

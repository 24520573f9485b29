"""Typical mistakes, data for the tests: one module an assignment, each with a list MISTAKES."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Mistake:
    name: str
    """off by one crop"""
    part: str
    """a1-2: what loses its points, and nothing else does."""
    code: str
    """What the student wrote in the part's solution cell, the whole cell."""

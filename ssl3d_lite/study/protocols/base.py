"""What every protocol says of itself."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Score = Callable[..., list[dict[str, Any]]]  # (experiment, run, encoder, tasks) → rows of results
Floor = Callable[..., list[dict[str, Any]]]  # (experiment, run) → rows of results
Depends = Callable[..., dict[str, Any]]  # (experiment, run) → settings


@dataclass(frozen=True)
class Protocol:
    """A protocol, as its file describes it."""

    title: str
    """Heading of its tables."""
    score: Score | None
    """Scores one encoder; None where the rows come with those of another protocol."""
    depends: Depends
    """All that the score depends on beside the encoder, the benchmark and the labels: a run whose
    settings have changed is run again."""
    floor: Floor | None = None
    """Scores place alone, by the same labels as any arm has; None where nothing is predicted."""
    not_for: tuple[str, ...] = ()
    """Sources of the arms that it says nothing about."""

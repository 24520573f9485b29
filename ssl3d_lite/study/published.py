"""The paper's numbers, to stand beside ours. They are in ``published.toml``, each with its source.

What can be compared is by how much pretraining is ahead of training from scratch, here and there:
data, splits, networks and steps are not the same.
"""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

import numpy as np

from ssl3d_lite.html import Table

from .comparison import paired
from .results import Results

SCRATCH = "scratch"


@dataclass(frozen=True)
class PublishedTable:
    """One published table or figure."""

    title: str
    source: str
    column: Literal["region", "labels"]
    """What a column is: a region at the most labels, or a share of labels."""
    columns: tuple[str, ...]
    rows: dict[str, tuple[float, ...]]
    """Model, as the paper calls it → its scores."""
    score: str = "score"
    """The column of our rows that is the same score; where columns are regions, each has its own.
    """
    percent: bool = False

    def __post_init__(self):
        for model, scores in self.rows.items():
            if len(scores) != len(self.columns):
                raise ValueError(f"published.toml: {model} has {len(scores)} scores")


@cache
def _read() -> dict[str, Any]:
    path = resources.files(__package__) / "published.toml"
    return tomllib.loads(path.read_text(encoding="utf-8"))


def paper_arms() -> dict[str, str]:
    """A model's name in the paper → our arm that is meant to do the same."""
    return _read()["arms"]


def published_tables(benchmark: str) -> list[PublishedTable]:
    """What the paper has of a benchmark: brats, pancreas, retina; nothing of any other."""
    return [
        PublishedTable(
            **block
            | {
                "columns": tuple(block["columns"]),
                "rows": {model: tuple(scores) for model, scores in block["rows"].items()},
            }
        )
        for block in _read().get(benchmark, [])
    ]


# ---- beside ours -------------------------------------------------------------------------------


def beside_paper(results: Results, block: PublishedTable) -> Table:
    """A row a published model, and below it our arm's, if there is one; then the arms of ours that
    the paper does not have. In brackets is how far it is ahead of scratch: ours by pairs."""
    names = paper_arms()
    base = next(scores for model, scores in block.rows.items() if names.get(model) == SCRATCH)
    rows: list[list[str]] = []
    for model, scores in block.rows.items():
        arm = names.get(model)
        gains = [None if arm == SCRATCH else a - b for a, b in zip(scores, base, strict=True)]
        cells = [cell(*pair, digits=2) for pair in zip(scores, gains, strict=True)]
        rows.append([model, "the paper", *cells])
        rows += our_rows(results, block, [arm] if arm else [])
    rows += our_rows(results, block, not_in_paper(results))
    return ["model", "whose", *block.columns], rows


def our_rows(results: Results, block: PublishedTable, arms: Iterable[str]) -> list[list[str]]:
    """A row an arm that has scores."""
    rows = []
    for arm in arms:
        ours = [our_cell(results, block, arm, column) for column in block.columns]
        if any(ours):
            rows.append([arm, "here", *(found or "–" for found in ours)])
    return rows


def not_in_paper(results: Results) -> list[str]:
    """Pretrained arms that the paper has no row of, if they are to be compared with the same
    scratch."""
    return [
        arm.name
        for arm in results.arms
        if not arm.is_control
        and arm.name not in paper_arms().values()
        and results.twin(arm, SCRATCH) == SCRATCH
    ]


def our_cell(results: Results, block: PublishedTable, arm: str, column: str) -> str:
    """Our mean for the same column, with how far it is ahead of scratch; empty if we have none."""
    labels = results.labels_of("finetune")[-1] if block.column == "region" else column
    score = f"{results.measure} {column}" if block.column == "region" else block.score
    ours, scratch = (
        [
            row | {"score": row[score]}
            for row in results.of("finetune", name, (labels,))
            if row.get(score) is not None
        ]
        for name in (arm, SCRATCH)
    )
    if not ours:
        return ""
    times, digits = (100, 2) if block.percent else (1, 3)
    gains = [] if arm == SCRATCH else list(paired(ours, scratch).values())
    mean = float(np.mean([row["score"] for row in ours]))
    return cell(times * mean, times * float(np.mean(gains)) if gains else None, digits)


def cell(score: float, gain: float | None, digits: int) -> str:
    return f"{score:.{digits}f}" + ("" if gain is None else f" ({gain:+.{digits}f})")

"""What all scores of test cases have in common, for label maps and for grades."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np


class ScoreReport(Protocol):
    """Scores of a cohort's cases; a higher score is better."""

    @property
    def measure(self) -> str:
        """Name of the score: "dice" or "kappa"."""

    @property
    def score(self) -> float:
        """The score of all cases together."""

    @property
    def parts(self) -> Mapping[str, float]:
        """Name of a part (a region, a grade) → its score."""

    @property
    def cases(self) -> tuple[str, ...]:
        """Names of the scans that were scored."""

    @property
    def case_scores(self) -> np.ndarray:
        """What each scan contributes, (case,): their mean is the score."""

    def line(self) -> str:
        """The score and its parts, in one line."""

    def rows(self) -> Sequence[Mapping[str, Any]]:
        """The scores of single cases, as rows of a table."""

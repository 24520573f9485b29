"""Grades: one of K classes a case, in order, as of retinopathy. How they are coded, learnt, decoded
and scored (Taleb et al. 2020, section 4.3).

A classifier has K-1 outputs, of which number k says "the grade is above k". Grade g is so coded as
g outputs that are on, then K-1-g that are off. (The original has K outputs, of which grade g turns
on the first g+1. Its first is always on and says nothing, so it is left out.)
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError


@dataclass(frozen=True)
class OrdinalEvaluation:
    """Scores of a graded cohort's cases. As of an ``Evaluation``: measure, score and parts."""

    cases: tuple[str, ...]
    truth: np.ndarray  # integers (case,)
    answer: np.ndarray  # integers (case,)
    names: tuple[str, ...]  # of the grades

    measure = "kappa"

    @property
    def kappa(self) -> float:
        """Quadratic weighted kappa over all cases: 1 is agreement, 0 what chance gives.

        An answer of one grade alone is worth 0. Where the truth too is that one grade, kappa is
        0/0, and 0 is said: all are right, but would be by chance.
        """
        # scikit-learn takes a second to import, and training needs none of it
        from sklearn.metrics import cohen_kappa_score

        if len({*self.truth.tolist(), *self.answer.tolist()}) == 1:
            return 0.0
        grades = range(len(self.names))
        return float(cohen_kappa_score(self.truth, self.answer, labels=grades, weights="quadratic"))

    @property
    def score(self) -> float:
        return self.kappa

    @property
    def parts(self) -> dict[str, float]:
        """Share of cases that are right; and of those of each grade that there is."""
        right = self.truth == self.answer
        return {"accuracy": float(right.mean())} | {
            f"recall {name}": float(right[self.truth == grade].mean())
            for grade, name in enumerate(self.names)
            if (self.truth == grade).any()
        }

    def line(self) -> str:
        """Kappa and accuracy, in one line."""
        return f"kappa {self.kappa:.3f} (accuracy {self.parts['accuracy']:.3f})"

    def __str__(self) -> str:
        lines = [self.line()]
        for grade, name in enumerate(self.names):
            of_it = self.truth == grade
            found = (self.answer[of_it] == grade).sum()
            lines.append(f"{name}: {found} of {of_it.sum()} found")
        return "\n".join(lines)

    def rows(self) -> list[dict[str, str | int]]:
        """One row a case."""
        return [
            {"case": case, "grade": int(grade), "answer": int(answer)}
            for case, grade, answer in zip(self.cases, self.truth, self.answer, strict=True)
        ]


def score_grades(
    answers: Iterable[Tensor | int], cohort: Cohort, cases: Sequence[int]
) -> OrdinalEvaluation:
    """Score grades, one a case, against those of the cohort.

    Raises:
        InputError: there is no case, or one that has no grade.
    """
    if not len(cases):
        raise InputError(f"there is no case of {cohort.name} to be scored")
    for case in cases:
        if not cohort.cases[case].labelled:
            raise InputError(f"case {cohort.cases[case].id} has no grade to be scored against")
    return OrdinalEvaluation(
        tuple(cohort.cases[case].id for case in cases),
        cohort.labels(cases).cpu().numpy().astype(int),
        np.array([int(answer) for answer in answers]),
        cohort.label_names,
    )

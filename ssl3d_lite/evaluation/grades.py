"""Scores of grades: one of K classes a case, in order, such as the stages of retinopathy.

The measure is quadratic weighted kappa (Taleb et al. 2020, section 4.3). How a network codes and
learns grades is in :mod:`ssl3d_lite.models.ordinal`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError


@dataclass(frozen=True)
class OrdinalEvaluation:
    """Scores of an ordinal cohort's cases; a :class:`ScoreReport`."""

    cases: tuple[str, ...]
    truth: np.ndarray  # integers (case,)
    prediction: np.ndarray  # integers (case,)
    names: tuple[str, ...]  # names of the grades

    measure = "kappa"

    @property
    def kappa(self) -> float:
        """Quadratic weighted kappa over all cases: 1 is agreement, 0 what chance gives.

        A prediction of one grade alone is worth 0. Where the truth too is that one grade, kappa is
        0/0, and 0 is given: all are correct, but would be by chance.
        """
        return _kappa(self.truth, self.prediction, len(self.names))

    @property
    def score(self) -> float:
        return self.kappa

    @property
    def case_scores(self) -> np.ndarray:
        """What each case contributes to kappa, (case,): the jackknife's pseudo-values, moved so
        that their mean is kappa (Hillis, Berbaum & Metz, Academic Radiology 15 (2008) 647)."""
        count, whole = len(self.truth), self.kappa
        without = np.array(
            [
                _kappa(np.delete(self.truth, i), np.delete(self.prediction, i), len(self.names))
                for i in range(count)
            ]
        )
        return whole + (count - 1) * (without.mean() - without)

    @property
    def parts(self) -> dict[str, float]:
        """Share of cases that are correct, and that share of each grade's cases."""
        correct = self.truth == self.prediction
        return {"accuracy": float(correct.mean())} | {
            f"recall {name}": float(correct[self.truth == grade].mean())
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
            found = (self.prediction[of_it] == grade).sum()
            lines.append(f"{name}: {found} of {of_it.sum()} found")
        return "\n".join(lines)

    def rows(self) -> list[dict[str, str | int]]:
        """One row a case."""
        return [
            {"case": case, "grade": int(grade), "prediction": int(prediction)}
            for case, grade, prediction in zip(self.cases, self.truth, self.prediction, strict=True)
        ]


def _kappa(truth: np.ndarray, prediction: np.ndarray, grades: int) -> float:
    """Quadratic weighted kappa; 0 where it is 0/0."""
    # scikit-learn takes a second to import, and training needs none of it
    from sklearn.metrics import cohen_kappa_score

    if len({*truth.tolist(), *prediction.tolist()}) < 2:
        return 0.0
    labels = range(grades)
    return float(cohen_kappa_score(truth, prediction, labels=labels, weights="quadratic"))


def score_grades(
    predicted: Iterable[Tensor | int], cohort: Cohort, cases: Sequence[int]
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
        np.array([int(grade) for grade in predicted]),
        cohort.label_names,
    )

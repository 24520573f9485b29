"""Scores of validation and test cases while a network is fine-tuned."""

from collections.abc import Sequence
from functools import partial

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.models.classifier import Classifier
from ssl3d_lite.models.unet import UNet
from ssl3d_lite.training.loop import EvalHook
from ssl3d_lite.training.settings import FinetuneSettings, TrainSettings

from .segmentation import evaluate


def eval_hooks(
    network: UNet | Classifier,
    cohort: Cohort,
    settings: FinetuneSettings,
    *,
    validation: Sequence[int] = (),
    test: Sequence[int] = (),
) -> list[EvalHook]:
    """Hooks for ``finetune(..., hooks=...)``.

    Args:
        settings: ``validate_every`` and ``test_at`` say after which steps cases are scored.
        validation: cases by whose score the best weights are kept.
        test: cases whose scores are written down, and by which nothing is chosen.
    """

    def score_of(cases: Sequence[int]) -> float:
        return evaluate(network, cohort, cases, hausdorff=False, progress=False).score

    hooks = []
    if settings.validate_every and validation:
        score = partial(score_of, validation)
        hooks.append(EvalHook("validation", score, tuple(validation), _validates, chooses=True))
    if settings.test_at and test:
        hooks.append(EvalHook("test", partial(score_of, test), tuple(test), _tests))
    return hooks


def _validates(step: int, settings: TrainSettings) -> bool:
    return step == settings.steps or step % settings.validate_every == 0


def _tests(step: int, settings: TrainSettings) -> bool:
    return step in settings.test_at

"""Scores of validation and test cases while a network is fine-tuned."""

from collections.abc import Sequence
from functools import partial

from ssl3d_lite.data.cohort import Cohort, takes_cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.models.classifier import Classifier
from ssl3d_lite.models.unet import UNet
from ssl3d_lite.tasks import Row
from ssl3d_lite.training.hooks import EvalHook
from ssl3d_lite.training.settings import FinetuneSettings, TrainSettings

from .segmentation import evaluate


@takes_cohort
def eval_hooks(
    network: UNet | Classifier,
    cohort: Cohort,
    settings: FinetuneSettings,
    *,
    validation: Sequence[int] = (),
    test: Sequence[int] = (),
    by_scan: bool = False,
) -> list[EvalHook]:
    """Hooks that score a network while it is trained: none, where the settings ask for none.

    Args:
        network: the network that will be trained.
        settings: ``validate_every`` and ``test_at`` say after which steps cases are scored.
        validation: cases by whose score the best weights are kept.
        test: cases whose scores are written down, and by which nothing is chosen.
        by_scan: whether the history holds the score of each test scan too, as "test SCAN".

    Raises:
        InputError: a score is asked for, but there are no cases for it.

    Example::

        settings, split = FinetuneSettings(steps=100, validate_every=20), cohort.split()
        hooks = eval_hooks(network, cohort, settings, validation=split.validation)
        history = finetune(network, cohort, split.train, settings, hooks=hooks)
    """

    def score_of(name: str, cases: Sequence[int], by_scan: bool = False) -> Row:
        found = evaluate(network, cohort, cases, hausdorff=False, progress=False)
        scans = zip(found.cases, found.case_scores.tolist(), strict=True) if by_scan else ()
        return {name: found.score} | {f"{name} {scan}": score for scan, score in scans}

    hooks = []
    if settings.validate_every:
        if not validation:
            raise InputError("validate_every is set, but there are no validation cases")
        score, cases = partial(score_of, "validation", validation), tuple(validation)
        hooks.append(EvalHook("validation", score, cases, _is_validation_step, chooses=True))
    if settings.test_at:
        if not test:
            raise InputError("test_at is set, but there are no test cases")
        score = partial(score_of, "test", test, by_scan)
        hooks.append(EvalHook("test", score, tuple(test), _is_test_step))
    return hooks


def _is_validation_step(step: int, settings: TrainSettings) -> bool:
    assert isinstance(settings, FinetuneSettings)
    return step == settings.steps or step % settings.validate_every == 0


def _is_test_step(step: int, settings: TrainSettings) -> bool:
    assert isinstance(settings, FinetuneSettings)
    return step in settings.test_at

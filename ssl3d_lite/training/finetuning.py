"""Fine-tuning: a network learns the labels of few scans."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.collectives import all_gather, local_slice, on_rank_zero
from ssl3d_lite.models.classifier import Classifier
from ssl3d_lite.models.compatibility import check_encoder_fits, check_labels_fit
from ssl3d_lite.models.ordinal import ordinal_loss
from ssl3d_lite.models.unet import UNet
from ssl3d_lite.tasks import Row
from ssl3d_lite.tasks.geometry import cut, random_corner

from .batches import cases_of_step, step_generator
from .checkpoint import digest, save_network
from .learner import Learner
from .loop import EvalHook, fit
from .settings import FinetuneSettings, changed

# ---- fine-tuning -------------------------------------------------------------------------------


class Finetuning(Learner):
    """A network with the loss of its answers: maps or grades."""

    def __init__(self, network: UNet | Classifier, settings: FinetuneSettings):
        super().__init__()
        self.network, self.settings = network, settings
        self.criterion = ordinal_loss if isinstance(network, Classifier) else map_loss()

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        # the loss is one of the whole batch: Dice is no mean over scans
        return self.criterion(all_gather(self.network(images)), all_gather(labels)), {}

    def at_step(self, step: int) -> None:
        self.network.encoder.requires_grad_(step >= self.settings.freeze_encoder_steps)

    def rates(self) -> list[tuple[Iterable[nn.Parameter], float]]:
        encoder = set(self.network.encoder.parameters())
        others = [weight for weight in self.parameters() if weight not in encoder]
        return [(self.network.encoder.parameters(), self.settings.encoder_lr_scale), (others, 1.0)]


def map_loss() -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy and Dice of logits (batch, class, *space) and a label map (batch, *space).

    The Dice term leaves the background out: averaged in, an answer that is all background would
    look a third right on two labels.
    """
    from monai.losses import DiceCELoss  # monai takes seconds to import; pretraining needs none

    loss = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    return lambda logits, labels: loss(logits, labels[:, None].long())


def finetune(
    network: UNet | Classifier,
    cohort: Cohort,
    cases: Sequence[int] | None = None,
    settings: FinetuneSettings | None = None,
    out: str | Path | None = None,
    *,
    hooks: Sequence[EvalHook] = (),
    **changes: Any,
) -> list[Row]:
    """Train ``network`` in place on the labels of ``cases``.

    A U-Net learns label maps, a classifier the grades of an ordinal cohort. ``hooks``, made by
    :func:`ssl3d_lite.evaluation.monitor.eval_hooks`, score validation and test cases on the way;
    the best weights by the validation cases are kept, the test cases change nothing.

    Returns:
        The history: mean loss of every ten steps, and the scores (mean Dice, or kappa) of the
        "validation" and "test" cases. The network is left in evaluation mode.
    """
    cases = cohort.split().train if cases is None else cases
    settings = changed(settings or FinetuneSettings(), changes).for_cases(len(cases))
    scored = {hook.name: hook.cases for hook in hooks}
    validation, test = scored.get("validation", ()), scored.get("test", ())
    _check_finetuning(network, cohort, settings, cases, validation, test)
    record = {
        "kind": "finetune",
        "encoder": asdict(network.encoder.settings),
        **network.head_settings,
        "training": settings.record(),
        "start": digest(network),
        "data": [cohort.name, len(cohort), list(cases), list(validation), list(test)],
    }

    def batch_of(
        step: int, device: torch.device, settings: FinetuneSettings
    ) -> tuple[Tensor, Tensor]:
        chosen = cases_of_step(cases, settings, step)
        count, own = len(chosen), local_slice(len(chosen))
        chosen = chosen[own]
        images, labels = cohort.images(chosen).to(device), cohort.labels(chosen).to(device)
        if settings.patch is None:
            return images, labels
        generator = step_generator(settings.seed, step)
        corner = random_corner(images.shape[2:], settings.patch, (count, 1), generator)[own]
        boxes = cut(images, corner, settings.patch), cut(labels[:, None], corner, settings.patch)
        return boxes[0][:, 0], boxes[1][:, 0, 0]

    learner = Finetuning(network, settings)
    history = fit(learner, batch_of, settings, record, out and Path(out), hooks)
    network.requires_grad_(True)
    if out is not None:
        on_rank_zero(save_network, Path(out), network, record, cohort)
    network.eval()
    return history


def _check_finetuning(
    network: UNet | Classifier,
    cohort: Cohort,
    settings: FinetuneSettings,
    cases: Sequence[int],
    validation: Sequence[int],
    test: Sequence[int],
) -> None:
    """Raise InputError unless all that :func:`finetune` is given fits together."""
    check_labels_fit(network, cohort)
    check_encoder_fits(network.encoder, cohort)
    for case in (*cases, *validation, *test):
        if not cohort.cases[case].labelled:
            raise InputError(f"case {cohort.cases[case].id} has no label to fine-tune with")
    if cohort.ordinal and settings.patch is not None:
        raise InputError("patch is set, but a grade is that of a whole picture; leave it out")
    if settings.validate_every and not validation:
        raise InputError("validate_every is set, but there are no validation cases")
    if settings.test_at and not test:
        raise InputError("test_at is set, but there are no test cases")
    if settings.test_at and max(settings.test_at) > settings.steps:
        raise InputError(
            f"test_at names step {max(settings.test_at)}, but there are {settings.steps} steps"
        )

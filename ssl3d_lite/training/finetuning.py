"""Fine-tuning: a network learns the labels of few scans."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ssl3d_lite.data.cohort import Cohort, takes_cohort
from ssl3d_lite.data.label_classes import absent_classes
from ssl3d_lite.data.provenance import Provenance
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.collectives import all_gather, on_rank_zero, say
from ssl3d_lite.models.classifier import Classifier
from ssl3d_lite.models.compatibility import (
    adopt_encoder,
    check_encoder_fits,
    check_labels_fit,
    check_unseen,
)
from ssl3d_lite.models.ordinal import ordinal_loss
from ssl3d_lite.models.unet import UNet
from ssl3d_lite.tasks import Row

from .batches import labelled_batch
from .checkpoint import digest, save_network
from .hooks import EvalHook, Hook, RunSpec
from .learner import Learner
from .loop import fit, launch_for
from .resume import hold_run, origins
from .settings import FinetuneSettings, with_changes


class Finetuning(Learner):
    """A network, and the loss of its logits: for label maps or for grades."""

    def __init__(self, network: UNet | Classifier, settings: FinetuneSettings):
        super().__init__()
        self.network, self.settings = network, settings
        self.criterion = ordinal_loss if isinstance(network, Classifier) else map_loss()

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, dict[str, Any]]:
        # the loss is one of the whole batch: Dice is no mean over scans
        return self.criterion(all_gather(self.network(images)), all_gather(labels)), {}

    def at_step(self, step: int) -> None:
        learns = step >= self.settings.freeze_encoder_steps
        self.network.encoder.requires_grad_(learns)
        self.network.encoder.train(learns)  # or BatchNorm's statistics would move all the same

    def rates(self) -> list[tuple[Iterable[nn.Parameter], float]]:
        encoder = set(self.network.encoder.parameters())
        others = [weight for weight in self.parameters() if weight not in encoder]
        return [(self.network.encoder.parameters(), self.settings.encoder_lr_scale), (others, 1.0)]


def map_loss() -> Callable[[Tensor, Tensor], Tensor]:
    """Cross-entropy and Dice of logits (batch, class, *space) and a label map (batch, *space).

    The Dice term leaves the background out: averaged in, a prediction that is all background would
    look a third correct on two labels.
    """
    from monai.losses import DiceCELoss  # monai takes seconds to import; pretraining needs none

    loss = DiceCELoss(include_background=False, to_onehot_y=True, softmax=True, batch=True)
    return lambda logits, labels: loss(logits, labels[:, None].long())


@takes_cohort
def finetune(
    network: UNet | Classifier,
    cohort: Cohort,
    cases: Sequence[int] | None = None,
    settings: FinetuneSettings | None = None,
    out: str | Path | None = None,
    *,
    fold: int | None = None,
    hooks: Sequence[Hook] = (),
    **changes: Any,
) -> list[Row]:
    """Train ``network`` in place on the labels of ``cases``.

    A U-Net learns label maps, a classifier the grades of an ordinal cohort. With ``out``,
    checkpoints go there, and the same call continues from the last one: with a network made anew
    from the same seeds.

    Args:
        cases: numbers of the cohort's cases to train on; by default ``cohort.split(fold).train``.
        fold: the fold that is held out; 0, if neither it nor cases are given.
        hooks: what is to happen beside the training. Those made by
            :func:`ssl3d_lite.evaluation.monitor.eval_hooks` score validation cases, by which the
            best weights are kept, and test cases, by which nothing is chosen.
        changes: fields of :class:`FinetuneSettings`, in place of those in ``settings``.

    Returns:
        The history: mean loss of every ten steps, and the scores (mean Dice, or kappa) of the
        "validation" and "test" cases. The network is left in evaluation mode.

    Raises:
        InputError: network and cohort do not fit together, the encoder has seen patients that the
            fold holds out, a case has no label, the label maps are empty, a setting is wrong, a
            step needs more memory than is free, or ``out`` holds another run, or anything else.
        DivergedError: the loss is not finite.

    Example::

        network = make_network(make_encoder(cohort), cohort)
        history = finetune(network, cohort, cohort.subset(cohort.split().train, 2), steps=200)
    """
    if cases is None:
        fold = fold or 0
        cases = cohort.split(fold).train
    settings = with_changes(settings or FinetuneSettings(), changes).for_cases(len(cases))
    scored = {hook.name: hook.cases for hook in hooks if isinstance(hook, EvalHook)}
    _check_settings(settings, scored, cohort)
    cohort.require_whole()
    _check_cases(network, cohort, [*cases, *(case for each in scored.values() for case in each)])
    cohort.require_foreground(cases)
    check_unseen(network.encoder, cohort, fold, cases)
    adopt_encoder(network.encoder, cohort)
    record = _record(network, cohort, cases, settings, scored) | {"fold": fold}
    batch_of = partial(labelled_batch, cohort, cases, settings)
    network.provenance = network.encoder.provenance = Provenance.of(
        cohort,
        cases,
        scored.get("validation", ()),
        fold,
        before=network.encoder.provenance,
        patch=settings.patch,
    )
    launch_for(settings)
    if absent := absent_classes(cohort, cases):
        say(f"{', '.join(absent)}: in none of the {len(cases)} training cases, so not learnt")
    with hold_run(record, cohort, out) as folder:
        spec = RunSpec(settings, record, folder, "finetune")
        history = fit(Finetuning(network, settings), batch_of, spec, hooks)
        network.requires_grad_(True)
        if folder is not None:
            on_rank_zero(save_network, folder, network, record, cohort)
    network.eval()
    return history


def _record(
    network: UNet | Classifier,
    cohort: Cohort,
    cases: Sequence[int],
    settings: FinetuneSettings,
    scored: dict[str, tuple[int, ...]],
) -> dict[str, Any]:
    """All that a run depends on."""
    return {
        "kind": "finetune",
        "encoder": asdict(network.encoder.settings),
        **network.head_settings,
        "training": settings.record(),
        "start": digest(network),
        **origins(cohort, network.encoder, cohort.fingerprints, network.provenance is None),
        "data": [
            *(cohort.name, len(cohort), list(cases)),
            *(list(scored.get(name, ())) for name in ("validation", "test")),
        ],
    }


def _check_cases(network: UNet | Classifier, cohort: Cohort, cases: Sequence[int]) -> None:
    """Raise InputError unless the network learns what the labels say, and all cases have one."""
    check_labels_fit(network, cohort)
    check_encoder_fits(network.encoder, cohort)
    for case in cases:
        if not cohort.cases[case].labelled:
            raise InputError(f"case {cohort.cases[case].id} has no label to fine-tune with")


def _check_settings(
    settings: FinetuneSettings, scored: dict[str, tuple[int, ...]], cohort: Cohort
) -> None:
    """Raise InputError unless the settings fit the labels and the cases that hooks score."""
    if cohort.ordinal and settings.patch is not None:
        raise InputError("patch is set, but a grade is that of a whole picture; leave it out")
    for name, setting in (("validation", "validate_every"), ("test", "test_at")):
        if getattr(settings, setting) and not scored.get(name):
            raise InputError(
                f"{setting} is set, but there are no {name} cases; give "
                f"hooks=eval_hooks(network, cohort, settings, {name}=cases)"
            )
    if settings.test_at and max(settings.test_at) > settings.steps:
        raise InputError(
            f"test_at names step {max(settings.test_at)}, but there are {settings.steps} steps"
        )

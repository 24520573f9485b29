"""How each claim is put to the test: which protocol, at which numbers of labels, against whom.

Four claims are the paper's; those of features, of slices and of pretraining elsewhere are ours.
"""

from dataclasses import dataclass

from ssl3d_lite.training.settings import FinetuneSettings

from .arms import Arm
from .baselines import (
    Choice,
    Where,
    best_random,
    flat_twin,
    from_scratch,
    in_turn,
    listed,
    on_slices,
    unnamed_twin,
)
from .results import Results
from .settings import ClaimName

BETTER_FEATURES: ClaimName = "better features"
_WITH_PLACE = "probe+place"  # the protocol in which every probe is told the place too
FEW_LABELS: ClaimName = "better with few labels"
PRETRAINED_ELSEWHERE: ClaimName = "transfer"


@dataclass(frozen=True)
class Trial:
    """How a claim is put to the test."""

    name: ClaimName
    statement: str
    """What is claimed of an arm, and by what it is judged."""
    where: Where
    baseline: Choice
    arms: list[Arm]
    control: str = "collapsed"
    """The source of the arms that get the same comparison, to be seen beside: what any training at
    all is worth, or no pretraining."""
    room: bool = False
    """Whether scratch with all labels must be clearly ahead of scratch with these: else there is
    nothing to be gained."""
    untested: str = ""
    """Why the study cannot say anything, if so."""


def trials(results: Results) -> list[Trial]:
    """The claims, in the order in which one would ask."""
    arms = [arm for arm in results.arms if not arm.is_control]
    told_place = (results.frame["protocol"] == _WITH_PLACE).any()
    probe = _WITH_PLACE if told_place else "probe"
    labels = results.labels_of(probe)
    told = ", as each is told where it reads," if told_place else ""
    features = Trial(
        BETTER_FEATURES,
        f"A linear probe{told} reads more from its frozen features than from those of the best of "
        "several kinds of random encoder, chosen on other patients, and more than place alone "
        f"tells ({listed(labels)} labelled scans, averaged).",
        Where(probe, labels),
        best_random,
        arms,
    )
    named = [arm for arm in arms if unnamed_twin(results, arm)]
    channels = Trial(
        "channels by name",
        f"A linear probe{told} reads more from its frozen features than if it is given the "
        f"benchmark's channels in turn ({listed(labels)} labelled scans, averaged).",
        Where(probe, labels),
        in_turn,
        named,
    )
    return [
        features,
        *against_scratch(results, arms),
        *against_related_arms(results, arms),
        *([channels] if named else []),
    ]


def against_scratch(results: Results, arms: list[Arm]) -> list[Trial]:
    """The claims that fine-tuning from scratch with the same labels and steps can refute."""
    labels = results.labels_of("finetune")
    few = labels[:-1]
    end = results.study.finetune.get("steps", FinetuneSettings.steps)
    scored = results.milestones or results.study.milestones
    early = tuple(steps for steps in scored if steps < end)
    fewer = (
        f"Fine-tuned with fewer labels than the most ({listed(few)}, averaged), it is ahead of its "
        "twin from scratch."
    )
    final = f"Fine-tuned with the most labels ({labels[-1]}), it is ahead of its twin from scratch."
    faster = (
        f"On the way (after {listed(early)} steps of fine-tuning, and over all numbers of labels, "
        "averaged), it is ahead of its twin from scratch."
    )
    one = "" if few else "the study has one number of labels"
    late = "" if early else "fine-tuning was not scored on its way"
    tuned, way = Where("finetune", few), Where("convergence", labels, early)
    return [
        Trial(FEW_LABELS, fewer, tuned, from_scratch, arms, room=True, untested=one),
        Trial("better final score", final, Where("finetune", labels[-1:]), from_scratch, arms),
        Trial("faster", faster, way, from_scratch, arms, untested=late),
    ]


def against_related_arms(results: Results, arms: list[Arm]) -> list[Trial]:
    """The claims about the same task on slices, and about pretraining elsewhere."""
    tuned = Where("finetune", results.labels_of("finetune"))
    twinned = [arm for arm in arms if flat_twin(results, arm)]
    moved = [arm for arm in arms if not arm.own] if results.study.corpus else []
    return [
        Trial(
            "3D beats 2D",
            "Fine-tuned, it is ahead of the same task on slices (averaged over numbers of labels).",
            tuned,
            on_slices,
            twinned,
            control="scratch",
            untested="" if twinned else "the study has no task both in 3D and on slices",
        ),
        Trial(
            PRETRAINED_ELSEWHERE,
            "Pretrained on another corpus and fine-tuned here, it is ahead of its twin from "
            "scratch (averaged over numbers of labels).",
            tuned,
            from_scratch,
            moved,
            untested="" if moved else "encoders are pretrained on the benchmark's own scans",
        ),
    ]

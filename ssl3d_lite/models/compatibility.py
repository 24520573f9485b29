"""Whether weights and a cohort fit together: how the scans were made, what labels mean, and whose
scans they are.

What can be converted exactly is converted: channels find their places by name. Anything else that
differs is refused to a whole network, which has learnt nothing of such scans, and only said of an
encoder, which goes on learning: a transfer to another data set is an experiment of its own. A test
patient that was trained on is refused to both.
"""

from collections.abc import Sequence
from copy import copy, deepcopy
from typing import Any

from torch import nn

from ssl3d_lite.data.cohort import Cohort, takes_cohort
from ssl3d_lite.data.preparation import PreparationRecord
from ssl3d_lite.data.provenance import Provenance
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.collectives import say

from .encoders import Encoder, adapt_channels, channel_sources, reorder_channels
from .foreign import ForeignEncoder


def check_labels_fit(network: nn.Module, cohort: Cohort) -> None:
    """Raise InputError unless the network has as many classes, or grades, as the cohort's labels.

    A module without ``head_settings`` is trusted.
    """
    wants = {"grades" if cohort.ordinal else "classes": len(cohort.label_names)}
    has: dict[str, int] = getattr(network, "head_settings", wants)
    if has != wants:
        theirs, ours = (
            " and ".join(f"{number} {what}" for what, number in each.items())
            for each in (wants, has)
        )
        raise InputError(f"the network tells {ours} apart, but {cohort.name} has {theirs}")


def check_encoder_fits(encoder: Encoder, cohort: Cohort) -> None:
    """Raise InputError unless the encoder can read the cohort's scans."""
    if isinstance(encoder, ForeignEncoder) and not encoder.is_fitted(cohort):
        raise InputError(
            f"{encoder.settings.network} is not fitted to {cohort.name} yet; "
            "ssl3d_lite.models.for_channels(encoder, cohort) does it"
        )
    has = (encoder.in_channels, encoder.settings.spatial_dims)
    wants = (len(cohort.channels), cohort.spatial_dims)
    if has != wants:
        raise InputError(
            f"the network reads {has[0]} channels in {has[1]}D, but {cohort.name} has "
            f"{wants[0]} in {wants[1]}D"
        )


# ---- a whole network -----------------------------------------------------------------------------


def channels_for(network: nn.Module, cohort: Cohort) -> list[int]:
    """Positions of the cohort's channels, in the order in which a network reads them.

    A module that is not trained, or that does not say on what, takes them as they are.

    Raises:
        InputError: the network was trained on scans that were made otherwise, or on labels of
            another meaning; names all that differs, and what to do.
    """
    trained: Provenance | None = getattr(network, "provenance", None)
    order = list(range(len(cohort.channels)))
    if trained is not None and _is_of_its_kind(trained.preparation, cohort.preparation):
        _refuse_other_scans(trained, cohort)
        _say_changes(trained, cohort, "network")
        names = trained.preparation.channels
        if names is not None and names != cohort.channels:
            say(f"channels of {cohort.name} are read in the network's order: {' '.join(names)}")
            order = [cohort.channels.index(name) for name in names]
    if isinstance(encoder := getattr(network, "encoder", None), Encoder):
        check_encoder_fits(encoder, cohort)
    check_labels_fit(network, cohort)
    return order


def _is_of_its_kind(want: PreparationRecord, have: PreparationRecord) -> bool:
    """Whether axes and form of the labels are the same: if not, there is nothing else to say."""
    kinds = ((want.spatial_dims, have.spatial_dims), (want.ordinal, have.ordinal))
    return all(None in pair or pair[0] == pair[1] for pair in kinds)


def _refuse_other_scans(trained: Provenance, cohort: Cohort) -> None:
    """Raise InputError if a cohort's scans or labels are not what a network was trained on."""
    want, have = trained.preparation, cohort.preparation
    differ = have.differences(want)
    if trained.patch:  # boxes of it are predicted, whatever the size of the whole
        differ.pop("shape", None)
    if not any(case.labelled for case in cohort.cases):
        differ.pop("classes", None)
    if differ:
        found = "; ".join(f"{name} {text}" for name, text in differ.items())
        raise InputError(
            f"{cohort.name} does not fit the network, which was trained on "
            f"{trained.cohort or 'other scans'}: {found}; {_way_out(differ, want)}"
        )


def _say_changes(trained: Provenance, cohort: Cohort, what: str) -> None:
    if parts := trained.changes(cohort):
        say(
            f"the {' and '.join(parts)} of {cohort.name} changed since the {what} was trained: the "
            "command that trained it does so again"
        )


def _way_out(differ: dict[str, str], want: PreparationRecord) -> str:
    """What to do about scans that were made otherwise than those a network was trained on."""
    spacing = " ".join(f"{edge:g}" for edge in want.spacing or ())
    flags = {
        "channels": f"--channels {' '.join(want.channels or ())}",
        "intensity": f"--intensity {want.intensity}",
        "fit": f"--fit {want.fit}",
        "crop": f"--crop {want.crop}",
        "shape": f"--size {' '.join(map(str, want.shape or ()))}",
        "spacing": f"--spacing {spacing}",
    }
    needed = [flag for name, flag in flags.items() if name in differ]
    if not needed or differ.keys() - flags.keys():  # other labels or axes: no setting turns them
        return "take a network that was trained on such scans and labels"
    return (
        f"prepare the scans with {' '.join(needed)}, or give the raw ones, which are then prepared "
        "as the network wants them: ssl3d predict --images FOLDER"
    )


# ---- an encoder ----------------------------------------------------------------------------------


@takes_cohort
def for_channels(encoder: Encoder, cohort: Cohort) -> Encoder:
    """The encoder, if it reads the cohort's channels as they are; else one whose input layer is
    adapted, channels by name where both name them. A line says which is read as which.

    One that was made elsewhere is fitted to the cohort's scans, where that is exact.
    """
    if isinstance(encoder, ForeignEncoder):
        if encoder.is_fitted(cohort):
            return encoder
        (fitted := copy(encoder)).fit(cohort)
        return fitted
    old, now = encoder.settings.in_channels, cohort.channels
    if old == len(now):
        if _order_of(encoder, cohort) is None:
            return encoder
        _put_in_order(turned := deepcopy(encoder), cohort)
        return turned
    before = (encoder.provenance and encoder.provenance.preparation.channels) or ()
    names = before or [f"channel {number}" for number in range(1, old + 1)]
    read = _read_as(now, names, channel_sources(before, now, old, len(now)))
    say(f"input layer adapted from {old} to {len(now)} channels: {read}")
    return adapt_channels(encoder, now)


def _order_of(encoder: Encoder, cohort: Cohort) -> list[int] | None:
    """Where each of the cohort's channels, as many as the encoder's, stands in the encoder; None if
    they are in order, or the encoder's have no names."""
    names = (encoder.provenance and encoder.provenance.preparation.channels) or ()
    count = len(cohort.channels)
    order = channel_sources(names, cohort.channels, count, count)
    return order if names and order != list(range(count)) else None


def _put_in_order(encoder: Encoder, cohort: Cohort) -> None:
    """Put an encoder's channels into the cohort's order, in place, and say so."""
    order = _order_of(encoder, cohort)
    if order is None or encoder.provenance is None:
        return
    names = encoder.provenance.preparation.channels or ()
    reorder_channels(encoder, order, cohort.channels)
    others = _read_as(cohort.channels, names, order, namesakes=False)
    into = f"the encoder's channels are put into the order {' '.join(cohort.channels)}"
    say(f"{into}: {others}" if others else into)


def _read_as(
    now: Sequence[str], before: Sequence[str], sources: Sequence[int], namesakes: bool = True
) -> str:
    """Which channels are read as which; those of one name too, or not."""
    pairs = [(name, before[number]) for name, number in zip(now, sources, strict=True)]
    return ", ".join(
        f"{name} is read as {other}"
        for name, other in pairs
        if namesakes or name.casefold() != other.casefold()
    )


def adopt_encoder(encoder: Encoder, cohort: Cohort) -> None:
    """Make a pretrained encoder ready for a cohort: if its channels have another order there, by
    name, its input weights are put into that order, in place. What else differs is said in a line.

    Raises:
        InputError: the encoder cannot read the cohort's scans.
    """
    if isinstance(encoder, ForeignEncoder):
        encoder.fit(cohort)
        return
    check_encoder_fits(encoder, cohort)
    if encoder.provenance is None:
        return
    _say_changes(encoder.provenance, cohort, "encoder")
    trained = encoder.provenance.preparation
    names = trained.channels or ()
    _put_in_order(encoder, cohort)
    differ = cohort.preparation.differences(trained)
    differ.pop("classes", None)  # an encoder knows none
    if set(map(str.casefold, names)) == set(map(str.casefold, cohort.channels)):
        differ.pop("channels", None)
    differ.pop("shape", None)
    if differ:
        found = "; ".join(f"{name} {text}" for name, text in differ.items())
        say(
            f"a transfer: {cohort.name} differs from what the encoder was trained on, "
            f"{encoder.provenance.cohort or 'other scans'}: {found}"
        )


def check_unseen(
    encoder: Encoder, cohort: Cohort, fold: int | None, cases: Sequence[int] = ()
) -> None:
    """Raise InputError if an encoder was trained on patients that a fold holds out.

    Args:
        fold: None, if only the training cases are known. Then one of the folds that these may
            belong to must be unseen.
        cases: those to train on.
    """
    if encoder.provenance is None or not encoder.provenance.seen:
        return
    folds = [fold] if fold is not None else _folds_of(cohort, cases)
    faults = [_seen_of(encoder.provenance, cohort, each) for each in folds]
    if faults and all(faults):
        raise InputError(faults[0])


def _folds_of(cohort: Cohort, cases: Sequence[int]) -> list[int]:
    """The folds whose training cases may be ``cases``."""
    if not any(case.labelled for case in cohort.cases):
        return []
    folds = sorted({case.fold for case in cohort.cases if case.fold is not None})
    if len(folds) < 3:  # there is no split
        return []
    return [fold for fold in folds if set(cases) <= set(cohort.split(fold).train)]


def _seen_of(trained: Provenance, cohort: Cohort, fold: int) -> str:
    """What is wrong with weights in a fold, some of whose patients they have seen; "" if none."""
    split = cohort.split(fold)
    sides: dict[str, tuple[Sequence[int], Any]] = {
        "tests on": (split.test, ("training", "choosing")),
        "chooses by": (split.validation, ("training",)),
    }
    for does, (held_out, uses) in sides.items():
        if seen := trained.has_seen(cohort, held_out, uses):
            number = len({cohort.cases[case].patient for case in held_out})
            same = trained.cohort == cohort.name and trained.fold not in (None, fold)
            own = f"take --fold {trained.fold}, which it was pretrained for, or " if same else ""
            return (
                f"the encoder has seen in training {len(seen)} of the {number} patients that fold "
                f"{fold} of {cohort.name} {does}, such as {seen[0]}; {own}pretrain one on "
                f"{cohort.name} with --fold {fold}, so that it never meets them"
            )
    return ""


def check_test(network: nn.Module, cohort: Cohort, cases: Sequence[int], fold: int) -> None:
    """Raise InputError if a network was trained on patients that are to test it: ``cases``, those
    of a fold. Says so, if it has not seen them but was trained in another fold."""
    trained: Provenance | None = getattr(network, "provenance", None)
    if trained is None:
        return
    other = trained.cohort == cohort.name and trained.fold not in (None, fold)
    own = f"it was trained with fold {trained.fold} held out (--fold {trained.fold})"
    if not (seen := trained.has_seen(cohort, cases)):
        if other:
            say(f"fold {fold} was not seen by the network, but is not its test fold: {own}")
        return
    raise InputError(
        f"the network has seen {len(seen)} of the {len({cohort.cases[c].patient for c in cases})} "
        f"patients of {cohort.name} that are to test it, such as {seen[0]}: "
        f"{own + '; ' if other else ''}give the fold or the cases that it has not seen"
    )

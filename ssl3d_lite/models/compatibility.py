"""Whether a network and a cohort fit together: channels, axes, classes."""

from torch import nn

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError

from .encoders import Encoder


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
    has = (encoder.settings.in_channels, encoder.settings.spatial_dims)
    wants = (len(cohort.channels), cohort.spatial_dims)
    if has != wants:
        raise InputError(
            f"the network reads {has[0]} channels in {has[1]}D, but {cohort.name} has "
            f"{wants[0]} in {wants[1]}D"
        )

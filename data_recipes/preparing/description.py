"""What a recipe knows of its cohort before it reads a case."""

from collections.abc import Mapping, Sequence
from typing import Any

from ssl3d_lite.data.cohort import CohortDescription

from .settings import Into


def describe(
    settings: Into,
    name: str,
    channels: Sequence[str],
    labels: Mapping[int, str],
    recipe: Mapping[str, Any],
    regions: Mapping[str, tuple[int, ...]] | None = None,
    **more: Any,
) -> CohortDescription:
    """The description of a cohort that a recipe is about to make.

    Licence and citation are those that the recipe has in its ``about``, unless ``more`` has others.

    Args:
        settings: the recipe's, with ``about`` and ``out``.
        name: the data set's.
        channels: of every scan, in their order.
        labels: value in a raw label map → name of its class, the background first.
        recipe: name of the recipe, and all settings that decide what is in the arrays.
        regions: name → raw label values that it unites. Default: each class but the background.
        more: other fields of :class:`CohortDescription`.
    """
    values, names = tuple(labels), tuple(labels.values())
    if regions is None:
        regions = {label: (value,) for value, label in zip(values[1:], names[1:])}
    known = {"licence": settings.about.licence, "citation": settings.about.citation}
    return CohortDescription(
        name=name,
        channels=tuple(channels),
        label_values=values,
        label_names=names,
        regions=dict(regions),
        recipe=dict(recipe),
        folder=settings.out,
        **known | more,
    )

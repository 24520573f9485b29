"""What an encoder makes of every voxel: feature maps, their colours, and one vector a scan.

A map has one vector a cell, a block of ``stride`` voxels along each axis, taken at the block's
middle; coarse levels are interpolated linearly. Distances, principal components and colours are
those of *standardised* features: less their mean, in units of their deviation over all cells of the
patients that are named. A feature that is the same everywhere counts for nothing.

Why colours are the same on every machine: encoder and components are computed in float64. There the
same weights and scans give components that differ by some 1e-14 between instruction sets and
numbers of threads, since each adds up in an order of its own. A colour is rounded to 8 bits at the
end, so it differs only if it lies within some 1e-11 of the middle between two bytes: in a picture
of a million voxels, about once in ten thousand pictures. A component's sign is the one in which
its largest weight is positive, and its scale is its own deviation, so that neither depends on the
picture. What is not promised: two components of one variance have no directions of their own; and
torch draws random weights a little differently on other processors, so compare random encoders by
their stored weights, not by their seed.
"""

from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssl3d_lite.data.cohort import UNLABELLED, Cohort, takes_cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.machine.memory import free_ram
from ssl3d_lite.models.compatibility import for_channels
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.models.modes import device_of

from .features import features_between, recalibrated

WHITE = 255  # a byte's highest value
COLOUR_REACH = 2.5  # deviations of a component from grey to the darkest and brightest byte
POINTS_AT_A_TIME = 2**15  # cells that are interpolated at once


# ---- cells -------------------------------------------------------------------------------------


def cells_of(space: Sequence[int], stride: int) -> tuple[int, ...]:
    """The number of cells along each axis; the last may reach beyond the scan."""
    return tuple(-(-edge // stride) for edge in space)


def cell_middles(space: Sequence[int], stride: int) -> np.ndarray:
    """Where each cell has its middle, in voxels: float64 (cell, axis), last axis fastest. A cell
    that reaches beyond the scan has the middle of what lies within."""
    axes = []
    for edge, count in zip(space, cells_of(space, stride), strict=True):
        starts = stride * np.arange(count)
        axes.append((starts + np.minimum(starts + stride, edge) - 1) / 2)
    return np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(space))


def places_in(middles: np.ndarray, space: Sequence[int]) -> np.ndarray:
    """Positions in voxels (…, axis) as places from -1 to 1 over the scan."""
    return (2 * middles + 1) / np.array(space, float) - 1


def cut_out(corner: Sequence[int], size: Sequence[int]) -> Any:
    """What a crop of a volume (…, *space) is indexed by."""
    return (..., *(slice(at, at + edge) for at, edge in zip(corner, size, strict=True)))


def labels_of_cells(label: np.ndarray, stride: int) -> np.ndarray:
    """The label of each cell (*grid): that of the voxel at its middle, or the next one up."""
    axes = [
        np.minimum(stride * np.arange(count) + stride // 2, edge - 1)
        for edge, count in zip(label.shape, cells_of(label.shape, stride), strict=True)
    ]
    return np.ascontiguousarray(label[np.ix_(*axes)])


def read_map(
    encoder: nn.Module, image: Tensor, stride: int = 1, levels: Sequence[int] | None = None
) -> np.ndarray:
    """One scan's features, in the encoder's own units: (channel, *space) → (feature, *grid).

    Args:
        encoder: ready to be read, in the precision that is wanted.
        levels: which of the encoder's levels, 0 the finest; by default all.
    """
    like = next(encoder.parameters())
    space = tuple(image.shape[1:])
    with torch.inference_mode():
        found = encoder(image[None].to(like))
        chosen = found if levels is None else [found[level] for level in levels]
        places = torch.from_numpy(places_in(cell_middles(space, stride), space)).to(like)
        parts = [
            features_between(chosen, part[None])[0].cpu() for part in places.split(POINTS_AT_A_TIME)
        ]
    return torch.cat(parts).T.reshape(-1, *cells_of(space, stride)).numpy()


# ---- what is fitted over several patients ------------------------------------------------------


@dataclass(frozen=True)
class FeatureSpace:
    """Mean, deviation and principal components of features, over the cells of named patients."""

    fitted: tuple[str, ...]
    """Ids of the cases that it was fitted over."""
    mean: np.ndarray
    """(feature,), in the encoder's units, like the deviation."""
    deviation: np.ndarray
    """(feature,); infinite of a feature that is the same everywhere: it counts for nothing."""
    axes: np.ndarray
    """Principal components of standardised features: orthonormal rows (component, feature), the
    largest variance first."""
    variances: np.ndarray
    """The variance along each component. Together they are the number of features that vary."""

    def standardised(self, features: np.ndarray) -> np.ndarray:
        """(feature, …) in the encoder's units → in units of the deviation."""
        rest = (-1, *[1] * (features.ndim - 1))
        return (features - self.mean.reshape(rest)) / self.deviation.reshape(rest)

    def components(self, features: np.ndarray, count: int) -> np.ndarray:
        """(feature, …) in the encoder's units → the first principal components, (count, …)."""
        return np.tensordot(self.axes[:count], self.standardised(features), 1)

    def share(self, count: int) -> float:
        """Share of the standardised features' variance that the first components hold, 0 to 1."""
        total = float(self.variances.sum())
        return float(self.variances[:count].sum()) / total if total else 0.0

    def colours(self, features: np.ndarray) -> np.ndarray:
        """(feature, …) in the encoder's units → uint8 (…, 3): the first three components as red,
        green and blue, the same for all patients. The mean is grey (128); 2.5 deviations lead to 0
        and 255."""
        colours = np.full((*features.shape[1:], 3), 128, np.uint8)
        scores = self.components(features, 3)
        least = 1e-9 * self.variances[0]  # what is left of a component where there is none
        for number, (score, variance) in enumerate(zip(scores, self.variances)):
            if variance > least:
                shade = (score / (COLOUR_REACH * np.sqrt(variance)) + 1) * (WHITE / 2)
                colours[..., number] = np.rint(shade.clip(0, WHITE))
        return colours


def fit_space(maps: Iterable[np.ndarray], fitted: Sequence[str]) -> FeatureSpace:
    """A space over maps (feature, *grid) in the encoder's units, each read once and let go."""
    count, total, products = 0, np.zeros(1), np.zeros((1, 1))
    origin = None  # near the mean, so that no digits are lost when it is squared
    for features in maps:
        flat = features.reshape(len(features), -1).astype(np.float64)
        origin = flat.mean(1, keepdims=True) if origin is None else origin
        flat = flat - origin
        count += flat.shape[1]
        total = total + flat.sum(1)
        products = products + flat @ flat.T
    if origin is None:
        raise InputError("features are standardised over at least one scan; name its case")
    mean = total / count
    covariance = products / count - np.outer(mean, mean)
    spread = np.sqrt(covariance.diagonal().clip(0))
    # a feature that is the same everywhere has what rounding leaves of it
    varies = spread > 1e-9 * (np.abs(mean + origin[:, 0]) + spread.max(initial=0))
    deviation = np.where(varies, spread, np.inf)
    variances, axes = np.linalg.eigh(covariance / np.outer(deviation, deviation))
    axes, variances = axes.T[::-1], variances[::-1].clip(0)
    largest = np.take_along_axis(axes, np.abs(axes).argmax(1, keepdims=True), 1)
    axes = axes * np.where(largest < 0, -1.0, 1.0)
    return FeatureSpace(tuple(fitted), mean + origin[:, 0], deviation, axes, variances)


# ---- of a cohort -------------------------------------------------------------------------------


@dataclass(frozen=True)
class FeatureMaps:
    """Feature maps of some cases, and the space that they lie in."""

    cases: tuple[str, ...]
    """Ids."""
    stride: int
    """Edge of a cell, in voxels."""
    maps: tuple[np.ndarray, ...]
    """For each case (feature, *grid), in the encoder's own units."""
    labels: tuple[np.ndarray | None, ...]
    """For each case the labels of its cells, uint8 (*grid); None where there are none."""
    space: FeatureSpace

    def __len__(self) -> int:
        return len(self.cases)

    def __repr__(self) -> str:  # the maps' own would fill the screen
        grid = " × ".join(map(str, self.maps[0].shape[1:]))
        return (
            f"FeatureMaps of {len(self)} cases: {len(self.maps[0])} features of {grid} cells, "
            f"stride {self.stride}; three components hold {self.space.share(3):.0%} of the variance"
        )

    def standardised(self, case: int) -> np.ndarray:
        """(feature, *grid) in units of their deviation over the named patients.

        Args:
            case: position among :attr:`cases`, from 0; here and below.
        """
        return self.space.standardised(self._map(case))

    def components(self, case: int, count: int = 3) -> np.ndarray:
        """The first principal components, (count, *grid)."""
        features = self._map(case)
        return self.space.components(features, checked_count(count, len(features)))

    def colours(self, case: int) -> np.ndarray:
        """The first three components as a picture, uint8 (*grid, 3): see
        :meth:`FeatureSpace.colours`."""
        return self.space.colours(self._map(case))

    def _map(self, case: int) -> np.ndarray:
        if not _is_whole(case) or not 0 <= case < len(self):
            raise InputError(f"case {case!r} is not among these {len(self)}, from 0")
        return self.maps[case]

    @cached_property
    def embeddings(self) -> np.ndarray:
        """One vector a case, the mean over its cells, in the encoder's own units: (case, feature).
        It depends on no other case."""
        return np.stack([embedding(each) for each in self.maps])

    def embeddings_within(self, label: int) -> np.ndarray:
        """The mean over the cells of one label: (case, feature). NaN where a case has none."""
        pairs = zip(self.maps, self.labels, strict=True)
        return np.stack([embedding(each, labels, label) for each, labels in pairs])


def embedding(
    features: np.ndarray, labels: np.ndarray | None = None, label: int | None = None
) -> np.ndarray:
    """The mean of a map (feature, *grid) over all cells, or over those of a label: (feature,)."""
    if label is None:
        return features.reshape(len(features), -1).mean(1)
    inside = np.zeros(features.shape[1:], bool) if labels is None else labels == label
    return features[:, inside].mean(1) if inside.any() else np.full(len(features), np.nan)


@takes_cohort
def features(
    encoder: Encoder,
    cohort: Cohort,
    cases: Sequence[int],
    *,
    fit: Sequence[int] | None = None,
    levels: Sequence[int] | None = None,
    stride: int = 2,
    exact: bool = True,
) -> FeatureMaps:
    """What an encoder makes of every voxel of some scans; and of each scan as a whole.

    Batch norm takes the statistics of the whole scans of ``fit`` first. The encoder that is given
    stays as it is.

    Args:
        cases: positions in the cohort; their maps are all held in memory.
        fit: the cases over whose cells features are standardised and principal components fitted;
            by default ``cases``. Name the same ones, and colours mean the same.
        levels: which of the encoder's levels are read, 0 the finest; by default all.
        stride: edge of a cell in voxels; a map has one vector a cell.
        exact: compute in float64, so that colours are the same on every machine. Otherwise in the
            encoder's own precision, which takes half of the memory and, on a GPU, far less time.

    Returns:
        Maps (feature, *grid), colours (*grid, 3) and embeddings (case, feature).

    Raises:
        InputError: the encoder cannot read the cohort's scans; there is no such case or level.

    Example::

        maps = ssl3d.features(encoder, cohort, cases=[0, 1, 2, 3])
        maps.maps[0].shape        # (112, 20, 28, 20)
        maps.colours(0).shape     # (20, 28, 20, 3), uint8
        maps.embeddings.shape     # (4, 112)
        maps.embeddings_within(1) # the same, within label 1
    """
    shown = check_cases(cohort, cases)
    fitted = shown if fit is None else check_cases(cohort, fit)
    everyone = dict.fromkeys((*shown, *fitted))
    stride = checked_stride(stride, [cohort.cases[case].shape for case in everyone])
    levels = checked_levels(levels, encoder)
    ready = encoder_to_read(encoder, cohort, fitted, exact)
    everything = {case: read_map(ready, _image(cohort, case), stride, levels) for case in everyone}
    names = [cohort.cases[case].id for case in fitted]
    space = fit_space((everything[case] for case in fitted), names)
    return FeatureMaps(
        cases=tuple(cohort.cases[case].id for case in shown),
        stride=stride,
        maps=tuple(everything[case] for case in shown),
        labels=tuple(cell_labels(cohort, case, stride) for case in shown),
        space=space,
    )


def encoder_to_read(
    encoder: nn.Module, cohort: Cohort, cases: Sequence[int], exact: bool = True
) -> nn.Module:
    """A copy of an encoder that reads a cohort's channels, with batch norm's statistics from
    ``cases``; in float64 if the numbers shall be ``exact``.

    Raises:
        InputError: it cannot read the cohort's scans, or there is no memory for float64.
    """
    cohort.require_whole()
    shapes = [cohort.cases[case].shape for case in cases]
    if exact and (needed := max(map(partial(_bytes_to_unfold, encoder), shapes))) > free_ram():
        raise InputError(
            f"features in float64 need {needed / 1e9:.0f} GB of memory for one scan; read them in "
            "the encoder's own precision (exact=False, or --no-exact), or on a GPU"
        )
    fitting: nn.Module = for_channels(encoder, cohort) if isinstance(encoder, Encoder) else encoder
    if exact:
        fitting = deepcopy(fitting)
        if device_of(fitting).type == "mps":  # it has no float64
            fitting.cpu()
        fitting.double()
    return recalibrated(fitting, cohort, cases)  # type: ignore[arg-type]  # or any other module


def checked_stride(stride: int, shapes: Iterable[Sequence[int]] = ()) -> int:
    """The edge of a cell.

    Args:
        shapes: of the scans, in voxels.

    Raises:
        InputError: it is no whole number of voxels, or longer than a scan.
    """
    if not _is_whole(stride) or stride < 1:
        raise InputError(f"stride is {stride!r}, but must be a whole number of voxels, 1 or more")
    for shape in shapes:
        if stride > max(shape):
            size = " × ".join(map(str, shape))
            raise InputError(f"stride is {stride}, but a scan has no more than {size} voxels")
    return int(stride)


def checked_levels(levels: Sequence[int] | None, encoder: nn.Module) -> Sequence[int] | None:
    """Which levels are read, 0 the finest; None is all.

    Raises:
        InputError: they are no list of different levels of the encoder.
    """
    if levels is None:
        return None
    if not _is_list(levels) or not all(map(_is_whole, levels)) or not len(levels):
        raise InputError(f"levels are {levels!r}, but must be numbers of levels, such as [0, 1]")
    if len(set(levels)) < len(levels):
        raise InputError(f"levels are {list(levels)}, but each is read once; leave out the second")
    count = len(encoder.settings.filters) if isinstance(encoder, Encoder) else max(levels) + 1
    for level in levels:
        if not 0 <= level < count:
            raise InputError(f"level {level} is not among the encoder's {count}, 0 the finest")
    return [int(level) for level in levels]


def checked_count(count: int, features: int) -> int:
    """How many principal components are asked for.

    Raises:
        InputError: they are not so many as an encoder of so many ``features`` has, or fewer.
    """
    if not _is_whole(count) or not 0 <= count <= features:
        raise InputError(f"{count!r} components are asked for, but there are {features} features")
    return int(count)


def _is_whole(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, (str, bytes))


def _bytes_to_unfold(encoder: nn.Module, space: Sequence[int]) -> float:
    """What a CPU needs for a convolution in float64: torch lays out all that a kernel sees of the
    finest level, for which it has no other way."""
    if not isinstance(encoder, Encoder) or device_of(encoder).type != "cpu":
        return 0.0
    shape = encoder.settings
    cells = np.prod([edge / shape.stride for edge in space])
    return float(8 * 3 ** len(space) * shape.filters[0] * cells)


def check_cases(cohort: Cohort, cases: Sequence[int]) -> list[int]:
    """Positions of cases.

    Raises:
        InputError: there are none, or there is no such case.
    """
    if not _is_list(cases) or not all(map(_is_whole, cases)):
        raise InputError(f"cases are {cases!r}, but must be a list of positions, such as [0, 1, 2]")
    chosen = [int(case) for case in cases]
    for case in chosen:
        if not 0 <= case < len(cohort):
            raise InputError(f"case {case} is not among the {len(cohort)} of {cohort.name}, from 0")
    if not chosen:
        raise InputError(f"no case of {cohort.name} is chosen; give positions, such as [0, 1, 2]")
    return chosen


def cell_labels(cohort: Cohort, case: int, stride: int) -> np.ndarray | None:
    """The labels of a case's cells, uint8 (*grid); None if it has no map."""
    if cohort.ordinal or not cohort.cases[case].labelled:
        return None
    label = cohort.labels([case])[0].cpu().numpy()
    return labels_of_cells(np.where(label == UNLABELLED, 0, label).astype(np.uint8), stride)


def _image(cohort: Cohort, case: int) -> Tensor:
    return cohort.images([case])[0]


def read_maps(
    encoder: nn.Module,
    cohort: Cohort,
    cases: Sequence[int],
    stride: int,
    levels: Sequence[int] | None = None,
) -> Iterator[np.ndarray]:
    """Maps of one case after another, of an encoder that is ready: see :func:`read_map`."""
    return (read_map(encoder, _image(cohort, case), stride, levels) for case in cases)

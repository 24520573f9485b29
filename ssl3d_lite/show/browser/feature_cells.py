"""What the view of features sends to the browser: one byte a component of every cell.

Features are standardised and projected to their first principal components, over the patients that
are shown. All components share one scale, so that squared distances between bytes are those between
features, up to a factor: the browser finds the cell that is most like another by whole numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.evaluation.equivariance import Equivariance, equivariance_under_shift
from ssl3d_lite.evaluation.feature_maps import (
    COLOUR_REACH,
    cell_middles,
    cut_out,
    embedding,
    encoder_to_read,
    fit_space,
    places_in,
    read_map,
    read_maps,
)

PLACE_COLUMN = "place alone"  # what the column without an encoder is called
HIGHEST = 255  # a byte
COMPONENTS = 32  # at most, that are sent
MOST_CELLS = 2**15  # a patient has, by default
STEPS = 1, 0, 2  # positions of the crop that can be moved, of two steps along the diagonal
FRAME_SHARE = 4  # it is moved by this part of each edge in all
QUERIES_AT_A_TIME = 2**10


@dataclass(frozen=True)
class Frame:
    """A crop of the first patient that is read alone: its corner in the scan, and its size."""

    corner: tuple[int, ...]
    size: tuple[int, ...]

    @property
    def box(self) -> Any:
        """What the crop of a volume (…, *space) is indexed by."""
        return cut_out(self.corner, self.size)


@dataclass(frozen=True)
class FeatureColumn:
    """One encoder, or place alone, as the browser has it."""

    name: str
    cells: tuple[np.ndarray, ...]
    """For each patient, then for each frame, uint8 (cell, component)."""
    palette: np.ndarray
    """The colour's red, green, blue at each byte of the first three components: uint8 (3, 256)."""
    share: float | None
    """Of the features' variance that three colours hold; None of place."""
    kept: float | None
    """The same of all components that are sent."""
    shift: Equivariance | None
    """None of place, whose answer is known."""
    embeddings: np.ndarray | None = None
    """One vector a scan, of the patients and then of others: (scan, feature). None of place, which
    is the same in all."""


def frames_of(shape: Sequence[int]) -> list[Frame]:
    """Crops of one size: in the middle of the scan, then moved to the ends of its diagonal."""
    rooms = [edge // FRAME_SHARE for edge in shape]
    size = tuple(edge - room for edge, room in zip(shape, rooms, strict=True))
    return [Frame(tuple(room * step // 2 for room in rooms), size) for step in STEPS]


def stride_for(shape: Sequence[int], most: int = MOST_CELLS) -> int:
    """The smallest edge of a cell, from 2 on, by which a scan has no more cells than that."""
    stride = 2
    while np.prod([-(-edge // stride) for edge in shape]) > most:
        stride += 1
    return stride


def encoder_column(
    name: str,
    encoder: nn.Module,
    cohort: Cohort,
    cases: Sequence[int],
    frames: Sequence[Frame],
    stride: int,
    exact: bool = True,
    others: Sequence[int] = (),
) -> FeatureColumn:
    """An encoder's cells of all patients and frames; computed in float64, if ``exact``.

    Args:
        others: further cases, of which nothing but the embeddings is wanted.
    """
    ready = encoder_to_read(encoder, cohort, cases, exact)
    patients = list(read_maps(ready, cohort, cases, stride))
    vectors = [embedding(each) for each in patients]
    vectors += [embedding(each) for each in read_maps(ready, cohort, others, stride)]
    first = cohort.images([cases[0]])[0]
    crops = [read_map(ready, first[frame.box], stride) for frame in frames]
    space = fit_space(patients, [cohort.cases[case].id for case in cases])
    count = min(COMPONENTS, int((space.variances > 1e-9 * space.variances[0]).sum()) or 1)
    scores = [space.components(each, count).reshape(count, -1).T for each in (*patients, *crops)]
    low, high = _ends(scores[: len(patients)])
    step = (high - low) / HIGHEST
    values = low + step * np.arange(HIGHEST + 1)
    palette = np.full((3, HIGHEST + 1), 128, np.uint8)
    for number in range(min(3, count)):
        shade = values / (COLOUR_REACH * np.sqrt(space.variances[number] or 1)) + 1
        palette[number] = np.rint((shade * HIGHEST / 2).clip(0, HIGHEST))
    return FeatureColumn(
        name=name,
        cells=tuple(np.rint((each - low) / step).clip(0, HIGHEST).astype("u1") for each in scores),
        palette=palette,
        share=space.share(3),
        kept=space.share(count),
        shift=equivariance_under_shift(encoder, cohort, cases),
        embeddings=np.stack(vectors),
    )


def _ends(scores: Sequence[np.ndarray]) -> tuple[float, float]:
    low, high = min(each.min() for each in scores), max(each.max() for each in scores)
    return (float(low), float(high)) if low < high else (float(low), float(low) + 1)


def place_column(
    shapes: Sequence[Sequence[int]], frames: Sequence[Frame], stride: int
) -> FeatureColumn:
    """Coordinates as features: what is known of a cell by its position in the crop alone.

    Patients' coordinates are relative, from one border of the scan to the other. A frame has those
    of the first, unmoved frame wherever it lies: that the crop was moved is what place cannot know.
    """
    places = [places_in(cell_middles(shape, stride), shape) for shape in shapes]
    unmoved = cell_middles(frames[0].size, stride) + frames[0].corner
    places += [places_in(unmoved, shapes[0]) for _ in frames]
    cells = tuple(np.rint((each + 1) / 2 * HIGHEST).astype("u1") for each in places)
    palette = np.tile(np.arange(HIGHEST + 1, dtype="u1"), (3, 1))
    return FeatureColumn(PLACE_COLUMN, cells, palette, None, None, None)


def matches(cells: np.ndarray, known: np.ndarray) -> np.ndarray:
    """For each of ``cells`` (cell, component) the position of the one in ``known`` that is most
    like it, as the browser finds it."""
    reference = torch.from_numpy(known.astype(np.float32))
    halves = -reference.square().sum(1) / 2
    found = [
        torch.addmm(halves, part, reference.T).argmax(1)
        for part in _split(torch.from_numpy(cells.astype(np.float32)))
    ]
    return torch.cat(found).numpy()


def _split(rows: Tensor) -> Sequence[Tensor]:
    return rows.split(QUERIES_AT_A_TIME)


def transfer_dice(
    cells: Sequence[np.ndarray], labels: Sequence[np.ndarray | None], most: int = MOST_CELLS // 4
) -> float | None:
    """Mean Dice if each cell of the other patients had the label of the first patient's cell that
    is most like it: over patients, and over the labels that a patient has, without the background.

    Args:
        most: of a patient's cells, so many are compared, spread evenly. Above it Dice is estimated.

    Returns:
        None where labels are missing.
    """
    (known, first), *others = zip(cells, labels, strict=False)
    if first is None or any(label is None for _, label in others) or not others:
        return None
    truth = first.ravel()
    scores = []
    for rows, label in others:
        assert label is not None
        chosen = slice(None, None, -(-len(rows) // most))
        found, right = truth[matches(rows[chosen], known)], label.ravel()[chosen]
        for each in np.unique(right[right > 0]):
            a, b = found == each, right == each
            scores.append(2 * (a & b).sum() / (a.sum() + b.sum()))
    return float(np.mean(scores)) if scores else None

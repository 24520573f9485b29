"""Label transfer: a voxel gets the label of its nearest neighbour in feature space. No training.

One labelled scan is enough. Nothing is fitted, so there is nothing to be tuned, and nothing that
could make up for poor features. All levels count, each feature in units of its deviation over the
reference: otherwise the level whose numbers happen to be largest would decide alone (on real
hippocampi a random encoder's Dice fell by .10 to .17). Distances are Euclidean; cosines in the same
units did as well.

The search compares every voxel with every one of the reference. To save time the reference has some
thousand voxels, and every second voxel along each axis is predicted and scored, of place alone too.

A graded picture gets the commonest grade among its nearest neighbours.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ssl3d_lite.data.cohort import Cohort, takes_cohort
from ssl3d_lite.models.compatibility import for_channels
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.models.foreign import ForeignEncoder
from ssl3d_lite.models.modes import device_of

from .features import Grader, features_at, grade_pictures, sample_features
from .prediction import in_batches
from .segmentation import score, thin

VOXELS = 8000  # a reference has; with 3000 Dice is .05 lower, with 1000 .11, whatever the encoder
EVERY = 2  # along each axis, one voxel in so many is predicted
VOTERS = 5  # pictures that vote
VOXELS_AT_A_TIME = 2**10  # voxels whose distances to all of the reference are in memory at a time


class Reference:
    """Labelled voxels: features (voxel, feature) in units of their deviation, and classes."""

    def __init__(self, features: np.ndarray, classes: np.ndarray, device: torch.device):
        known = torch.from_numpy(features).to(device)
        self.mean, spread = known.mean(0), known.std(0, correction=0)
        self.unit = torch.where(spread > 0, 1 / spread.clamp_min(1e-12), 0.0)  # a constant is mute
        scaled = self.scaled(known)
        self.across, self.halves = scaled.T.contiguous(), -scaled.square().sum(1) / 2
        self.classes = torch.from_numpy(classes).to(device)

    def scaled(self, features: Tensor) -> Tensor:
        return (features - self.mean) * self.unit

    def nearest(self, features: Tensor) -> Tensor:
        """The class of the nearest voxel of the reference: (voxel, feature) → (voxel,)."""
        # |a - b|² = |a|² - 2 (ab - |b|²/2), and |a|² is the same for all b: half the time of cdist
        nearness = torch.addmm(self.halves, self.scaled(features), self.across)
        return self.classes[nearness.max(1).indices]


@takes_cohort
def label_transfer(
    encoder: Encoder,
    cohort: Cohort,
    draws: Sequence[Sequence[int]],
    test: Sequence[int],
    voxels: int = VOXELS,
    *,
    hausdorff: bool = True,
    every: int = EVERY,
) -> list[Any]:
    """Transfer the labels of each of ``draws`` (cases) to ``test``, and score them: an evaluation a
    draw.

    BatchNorm's statistics should be those of whole volumes: see
    :func:`ssl3d_lite.evaluation.features.recalibrated`.

    Args:
        voxels: number of voxels that a reference has, drawn evenly from all scans of a draw, the
            same for every encoder. Of graded pictures all count.
        hausdorff: whether HD95 is computed too.
        every: along each axis, every n-th voxel alone is predicted and scored.

    Example::

        one = [cohort.subset(split.train, 1, seed) for seed in range(3)]
        label_transfer(encoder, cohort, one, split.validation)[0].score
    """
    if isinstance(encoder, ForeignEncoder):
        encoder = for_channels(encoder, cohort)
    encoder = encoder.eval()
    if cohort.ordinal:
        return grade_pictures(encoder, cohort, draws, test, _fit_voters)
    references = [_reference(encoder, cohort, draw, voxels) for draw in draws]
    predicted: list[list[Tensor]] = [[] for _ in draws]
    for batch in in_batches(test):
        images = cohort.images(batch).to(device_of(encoder))
        with torch.inference_mode():
            levels = encoder(images)
            for place in range(len(batch)):
                own = [level[[place]] for level in levels]
                found = _transferred(own, images.shape[2:], references, every)
                for maps, classes in zip(predicted, found, strict=True):
                    maps.append(classes.cpu())
    return [
        score(iter(maps), cohort, test, hausdorff=hausdorff, progress=False, every=every)
        for maps in predicted
    ]


def _reference(encoder: Encoder, cohort: Cohort, cases: Sequence[int], voxels: int) -> Reference:
    each = max(1, voxels // len(cases))
    sampled = list(sample_features(encoder, cohort, cases, each))
    features = np.concatenate([scan.features for scan in sampled])
    classes = np.concatenate([scan.classes for scan in sampled])
    return Reference(features, classes, device_of(encoder))


def _transferred(
    levels: list[Tensor], space: Sequence[int], references: Sequence[Reference], every: int
) -> list[Tensor]:
    """The class map of one scan by each reference, at every n-th voxel of its space."""
    every_voxel = torch.arange(int(np.prod(space)), device=levels[0].device).view(*space)
    wanted = thin(every_voxel, every, len(space))
    parts: list[list[Tensor]] = [[] for _ in references]
    for voxels in wanted.flatten().split(VOXELS_AT_A_TIME):
        features = features_at(levels, voxels[None], space)[0]
        for found, reference in zip(parts, references, strict=True):
            found.append(reference.nearest(features))
    return [torch.cat(found).view(wanted.shape) for found in parts]


def _fit_voters(features: np.ndarray, grades: np.ndarray) -> Grader:
    """The nearest pictures vote."""
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    voters = KNeighborsClassifier(min(VOTERS, len(features)))
    return make_pipeline(StandardScaler(), voters).fit(features, grades).predict

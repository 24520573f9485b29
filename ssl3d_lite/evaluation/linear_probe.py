"""Linear probes: what can be read from the features of a frozen encoder, and from the place too.

A multinomial logistic regression names each voxel's class, or each picture's grade. Nothing else is
learnt, so the score speaks of the encoder alone; in a fine-tuned U-Net skips and decoder can go
round it.

There are two of voxels. "probe" has the features among its inputs, "probe+place" smooth
functions of the coordinates as well (:mod:`.coordinates`). Features that are better only because
they tell where a voxel lies are ahead in the first and not in the second. A graded picture lies
nowhere, so there is one of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from ssl3d_lite.data.cohort import Cohort, takes_cohort
from ssl3d_lite.models.blocks import INTERPOLATION
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.models.modes import device_of

from .coordinates import degrees, place_functions, place_logits
from .features import Grader, SampledVoxels, grade_pictures, sample_features
from .grades import OrdinalEvaluation
from .prediction import in_batches
from .segmentation import Evaluation, score

FEATURES, WITH_PLACE = PROBES = ("probe", "probe+place")


@dataclass(frozen=True)
class LinearClassifier:
    """A linear classifier of features, those of a voxel or of a whole picture."""

    weight: np.ndarray  # (class, feature), or (class, feature and function of the place)
    bias: np.ndarray  # (class,)


@takes_cohort
def linear_probes(
    encoder: Encoder,
    cohort: Cohort,
    draws: Sequence[Sequence[int]],
    test: Sequence[int],
    voxels: int = 3000,
) -> Sequence[Evaluation] | Sequence[OrdinalEvaluation]:
    """Fit one probe on the features of each of ``draws`` (cases), and score all on ``test``: the
    first of :func:`probes_by_protocol`."""
    return probes_by_protocol(encoder, cohort, draws, test, voxels, (FEATURES,))[FEATURES]


@takes_cohort
def probes_by_protocol(
    encoder: Encoder,
    cohort: Cohort,
    draws: Sequence[Sequence[int]],
    test: Sequence[int],
    voxels: int = 3000,
    protocols: Sequence[str] = PROBES,
) -> dict[str, list[Any]]:
    """Fit one probe of each protocol on the labels of each of ``draws`` (cases), and score all on
    ``test``: by protocol, an evaluation a draw.

    The encoder reads each case once, however many probes want it. BatchNorm's statistics should
    be those of whole volumes: see :func:`ssl3d_lite.evaluation.features.recalibrated`.

    Args:
        voxels: drawn from each training scan, as many of each class, shared out among the slices of
            a 2D cohort; of a graded cohort none are.
        protocols: "probe", "probe+place" or both; a graded cohort has the first alone.
    """
    encoder = encoder.eval()
    if cohort.ordinal:
        fit = partial(_fit_pictures, grades=len(cohort.label_names))
        return {FEATURES: grade_pictures(encoder, cohort, draws, test, fit)}
    wanted = sorted({case for draw in draws for case in draw})
    each = max(1, voxels * len(cohort.scans(wanted)) // len(wanted))
    sampled = dict(
        zip(wanted, sample_features(encoder, cohort, wanted, each, by_class=True), strict=True)
    )
    classes = len(cohort.label_names)
    probes = [
        _fit_voxels([sampled[case] for case in draw], classes, protocol == WITH_PLACE)
        for protocol in protocols
        for draw in draws
    ]
    predicted: list[list[Tensor]] = [[] for _ in probes]
    for batch in in_batches(test):
        images = cohort.images(batch).to(device_of(encoder))
        with torch.inference_mode():
            logits = classify(encoder(images), probes, images.shape[2:])
        for maps, named in zip(predicted, logits.argmax(2).unbind(1), strict=True):
            maps.extend(named.to(torch.uint8).cpu())  # hundreds of maps: a byte a voxel
    scored = [score(iter(m), cohort, test, hausdorff=False, progress=False) for m in predicted]
    count = len(draws)
    return {name: scored[i * count : (i + 1) * count] for i, name in enumerate(protocols)}


def _fit_voxels(sampled: Sequence[SampledVoxels], classes: int, place: bool) -> LinearClassifier:
    """A probe of the voxels of some scans: of their features, or of their place too."""
    every = SampledVoxels(*map(np.concatenate, zip(*sampled, strict=True)))
    inputs = [every.features, *([place_functions(every.places)] if place else [])]
    return fit_classifier(np.concatenate(inputs, 1), every.classes, classes, every.weights)


def _fit_pictures(features: np.ndarray, classes: np.ndarray, grades: int) -> Grader:
    """A probe of whole pictures, which have one of so many grades."""
    probe = fit_classifier(features, classes, grades)
    return lambda others: (others @ probe.weight.T + probe.bias).argmax(1)


def fit_classifier(
    features: np.ndarray, classes: np.ndarray, count: int, weights: np.ndarray | None = None
) -> LinearClassifier:
    """Fit by LBFGS with an L2 penalty on standardised features (scikit-learn).

    Args:
        features: (voxel, feature).
        classes: (voxel,), of ``count`` classes. A class that none has is never predicted; if all
            have one, it always is.
        weights: (voxel,), how much each counts in the fit, 1 on average; by default all the same.
    """
    weight = np.zeros((count, features.shape[1]), np.float32)
    bias = np.full(count, -1e9, np.float32)
    if len(present := np.unique(classes)) == 1:  # which scikit-learn refuses
        bias[present] = 0
        return LinearClassifier(weight, bias)
    mean = np.average(features, 0, weights)
    spread = np.sqrt(np.average((features - mean) ** 2, 0, weights)) + 1e-6
    # A tolerance of 1e-4, the default, takes five times as long for the same score. A penalty ten
    # times as strong (C = 0.1) changes Dice by 0.01, one a hundred times as strong costs 0.1.
    regression = LogisticRegression(tol=1e-3, max_iter=200)
    fitted = regression.fit((features - mean) / spread, classes, weights)
    coefficients, intercepts = _one_row_a_class(fitted)
    coefficients = coefficients / spread  # standardising is folded into the weights
    weight[fitted.classes_] = coefficients
    bias[fitted.classes_] = intercepts - coefficients @ mean
    return LinearClassifier(weight, bias)


def classify(
    features: list[Tensor], probes: Sequence[LinearClassifier], space: Sequence[int]
) -> Tensor:
    """Logits of every probe for a batch of volumes: (batch, probe, class, *space).

    A linear map and interpolation change places freely, so each level is classified on its own
    coarse grid and a few logits are upsampled instead of some hundred features. What a probe makes
    of the place is the same for all volumes.
    """
    device, widths = features[0].device, [level.shape[1] for level in features]
    widths.append(len(degrees(len(space))))
    bias = torch.from_numpy(np.concatenate([p.bias for p in probes])).to(device)
    weight = torch.from_numpy(np.concatenate([_padded(p.weight, sum(widths)) for p in probes]))
    *parts, of_place = weight.to(device).split(widths, dim=1)
    logits = bias.view(1, -1, *[1] * len(space)) + place_logits(of_place, space)
    for level, part in zip(features, parts, strict=True):
        coarse = torch.einsum("bf...,cf->bc...", level, part)
        mode = INTERPOLATION[len(space)]
        logits = logits + F.interpolate(coarse, tuple(space), mode=mode, align_corners=False)
    return logits.view(len(logits), len(probes), -1, *space)


def _padded(weight: np.ndarray, width: int) -> np.ndarray:
    """Weights of the features alone, with zeros for the functions of the place."""
    return np.pad(weight, ((0, 0), (0, width - weight.shape[1])))


def _one_row_a_class(fitted: LogisticRegression) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn keeps one row for two classes: the second's logit, the first's being 0."""
    if len(fitted.classes_) > 2:
        return fitted.coef_, fitted.intercept_
    return np.vstack([0 * fitted.coef_, fitted.coef_]), np.append(0, fitted.intercept_)

"""The linear voxel probe: what are the features of a frozen encoder worth?

Features of all levels are read at single voxels (coarse levels interpolated), and a multinomial
logistic regression names each voxel's class. Nothing else is learnt, so the score speaks of the
encoder alone; in a fine-tuned U-Net skips and decoder can go round it. A random encoder is the
control, and it is a strong one: always compare with several, of each norm.
"""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.optim.swa_utils import update_bn

from .cohort import Cohort
from .evaluation import Evaluation, device_of, score
from .networks import UNetEncoder

INTERPOLATION = {2: "bilinear", 3: "trilinear"}


@dataclass(frozen=True)
class Probe:
    """A linear classifier of voxel features."""

    weight: np.ndarray  # (class, feature)
    bias: np.ndarray  # (class,)


def linear_probes(
    encoder: UNetEncoder,
    cohort: Cohort,
    draws: Sequence[Sequence[int]],
    test: Sequence[int],
    voxels: int = 3000,
) -> list[Evaluation]:
    """Fit one probe on the labels of each of ``draws`` (cases), and score all on ``test``.

    The encoder reads each case once, however many probes want it. BatchNorm's statistics should
    be those of whole volumes: see :func:`recalibrated`.

    Args:
        voxels: drawn from each training case.
    """
    encoder = encoder.eval()
    wanted = sorted({case for draw in draws for case in draw})
    sampled = {case: sample_features(encoder, cohort, case, voxels) for case in wanted}
    probes = [fit(*_concatenate([sampled[c] for c in d]), len(cohort.label_names)) for d in draws]
    answers: list[list[Tensor]] = [[] for _ in probes]
    for case in test:
        images = cohort.images([case]).to(device_of(encoder))
        with torch.inference_mode():
            logits = classify(encoder(images), probes, images.shape[2:])
            for answer, classes in zip(answers, logits.argmax(1), strict=True):
                answer.append(classes.to(torch.uint8))  # hundreds of maps: a byte a voxel
    return [score(iter(a), cohort, test, hausdorff=False, progress=False) for a in answers]


def fit(features: np.ndarray, classes: np.ndarray, count: int) -> Probe:
    """Fit by LBFGS with an L2 penalty on standardised features (scikit-learn).

    Args:
        features: (voxel, feature).
        classes: (voxel,), of ``count`` classes. A class that none has can never be answered.
    """
    mean, spread = features.mean(0), features.std(0) + 1e-6
    fitted = LogisticRegression(max_iter=200).fit((features - mean) / spread, classes)
    coefficients, intercepts = _one_row_a_class(fitted)
    coefficients = coefficients / spread  # standardising is folded into the weights
    weight = np.zeros((count, features.shape[1]), np.float32)
    bias = np.full(count, -1e9, np.float32)
    weight[fitted.classes_] = coefficients
    bias[fitted.classes_] = intercepts - coefficients @ mean
    return Probe(weight, bias)


def classify(features: list[Tensor], probes: Sequence[Probe], space: Sequence[int]) -> Tensor:
    """Logits of every probe for one volume: (probe, class, *space).

    A linear map and interpolation change places freely, so each level is classified on its own
    coarse grid and a few logits are upsampled instead of some hundred features.
    """
    device = features[0].device
    weight = torch.from_numpy(np.concatenate([p.weight for p in probes])).to(device)
    bias = torch.from_numpy(np.concatenate([p.bias for p in probes])).to(device)
    logits = bias.view(1, -1, *[1] * len(space))
    parts = weight.split([level.shape[1] for level in features], dim=1)
    for level, part in zip(features, parts, strict=True):
        coarse = torch.einsum("bf...,cf->bc...", level, part)
        mode = INTERPOLATION[len(space)]
        logits = logits + F.interpolate(coarse, tuple(space), mode=mode, align_corners=False)
    return logits.view(len(probes), -1, *space)


def _one_row_a_class(fitted: LogisticRegression) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn keeps one row for two classes: the second's logit, the first's being 0."""
    if len(fitted.classes_) > 2:
        return fitted.coef_, fitted.intercept_
    return np.vstack([0 * fitted.coef_, fitted.coef_]), np.append(0, fitted.intercept_)


def _concatenate(parts: list[tuple[np.ndarray, ...]]) -> Iterator[np.ndarray]:
    return (np.concatenate(column) for column in zip(*parts, strict=True))


def sample_features(
    encoder: UNetEncoder, cohort: Cohort, case: int, voxels: int
) -> tuple[np.ndarray, np.ndarray]:
    """Features (voxel, feature) and classes (voxel,) of voxels drawn evenly from a case.

    The draw depends on the case alone, so every encoder is probed at the same voxels.
    """
    image, label = cohort.images([case]), cohort.labels([case])[0]
    chosen = np.random.default_rng(case).choice(label.numel(), voxels, replace=False)
    chosen = torch.from_numpy(chosen)
    with torch.inference_mode():
        levels = encoder(image.to(device_of(encoder)))
    features = features_at(levels, chosen, label.shape).cpu().numpy()
    return features, label.flatten()[chosen.to(label.device)].cpu().numpy()


def features_at(levels: list[Tensor], voxels: Tensor, space: Sequence[int]) -> Tensor:
    """All levels' features at ``voxels`` (flat positions in ``space``): (voxel, feature).

    Coarse levels are interpolated linearly, as by F.interpolate with align_corners=False.
    """
    place = torch.stack(torch.unravel_index(voxels, tuple(space)), -1).float()
    unit = (2 * place + 1) / torch.tensor(tuple(space)) - 1  # voxel centres; -1 and 1 are borders
    grid = unit.flip(-1).to(levels[0])  # grid_sample counts the last axis first
    grid = grid.view(1, -1, *[1] * (len(space) - 1), len(space))
    sampled = [
        F.grid_sample(level, grid, "bilinear", "border", align_corners=False) for level in levels
    ]
    return torch.cat([s[0].flatten(1) for s in sampled]).T


def recalibrated(encoder: UNetEncoder, cohort: Cohort, cases: Sequence[int]) -> UNetEncoder:
    """A copy whose BatchNorm statistics are those of ``cases``' whole volumes.

    Pretraining saw patches or cubes, and a random encoder nothing: without this each encoder is
    judged under foreign statistics, random ones most of all.
    """
    copy = deepcopy(encoder)
    batches = (cohort.images([case]).to(device_of(copy)) for case in cases)
    with torch.no_grad():
        update_bn(batches, copy)
    return copy.eval()

"""The linear probe: what are the features of a frozen encoder worth?

Features of all levels are read at single voxels (coarse levels interpolated), and a multinomial
logistic regression names each voxel's class. Nothing else is learnt, so the score speaks of the
encoder alone; in a fine-tuned U-Net skips and decoder can go round it. A random encoder is the
control, and it is a strong one: :func:`probe` sets several beside.

In an ordinal cohort whole pictures are graded: their features are the means over space.
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

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.models.blocks import INTERPOLATION, channels_last
from ssl3d_lite.models.compatibility import adopt_encoder, check_encoder_fits, check_unseen
from ssl3d_lite.models.encoders import Encoder, make_encoder
from ssl3d_lite.models.modes import device_of

from .grades import OrdinalEvaluation, score_grades
from .prediction import in_batches
from .scores import ScoreReport
from .segmentation import Evaluation, score

CALIBRATION_CASES = 16  # cases whose whole volumes set the statistics of BatchNorm


@dataclass(frozen=True)
class ProbeResult:
    """Scores of an encoder's linear probes, and of the same probes of random encoders."""

    labels: int | str
    """Number, or share, of labelled scans."""
    reports: tuple[ScoreReport, ...]
    """Scores of the test cases, one for each draw of labelled scans."""
    controls: dict[str, tuple[ScoreReport, ...]]
    """Name of a random encoder → its scores at the same draws."""

    @property
    def measure(self) -> str:
        return self.reports[0].measure

    @property
    def score(self) -> float:
        """Mean over the draws."""
        return float(np.mean([report.score for report in self.reports]))

    @property
    def control_scores(self) -> dict[str, float]:
        """Name of a random encoder → its mean over the draws."""
        return {
            name: float(np.mean([report.score for report in reports]))
            for name, reports in self.controls.items()
        }

    def rows(self) -> list[dict[str, str | float]]:
        """One row an encoder: mean, lowest and highest score over the draws."""
        return [
            {
                "encoder": name,
                self.measure: float(np.mean(scores)),
                "lowest": min(scores),
                "highest": max(scores),
            }
            for name, reports in {"all draws": self.reports, **self.controls}.items()
            for scores in [[report.score for report in reports]]
        ]

    def __str__(self) -> str:
        lines = [f"draw {draw}: {report.line()}" for draw, report in enumerate(self.reports)]
        rows = self.rows()
        width = max(len(str(row["encoder"])) for row in rows)
        lines += [
            f"{row['encoder']:<{width}} {self.measure} {row[self.measure]:.3f} "
            f"({row['lowest']:.3f}–{row['highest']:.3f})"
            for row in rows
        ]
        return "\n".join(lines)


def probe(
    encoder: Encoder,
    cohort: Cohort,
    labels: int | str = 5,
    *,
    draws: int = 3,
    seed: int = 0,
    fold: int = 0,
    controls: int = 2,
    voxels: int = 3000,
) -> ProbeResult:
    """Score a frozen encoder by linear probes on few labels, beside random encoders of its shape.

    Each encoder's BatchNorm takes the statistics of whole volumes first, the random ones' too. The
    encoder that is given stays as it is.

    Args:
        labels: number of labelled scans to fit on, or a share such as "5%".
        draws: number of different choices of these scans; one probe is fitted on each.
        seed: number from which the choices and the controls' weights are drawn.
        fold: the fold that is the test set.
        controls: number of random encoders.
        voxels: number of voxels read from each labelled scan.

    Raises:
        InputError: encoder and cohort do not fit together, the encoder has seen patients that the
            fold holds out, a number is out of its range, or there are no labels.

    Example::

        print(probe(encoder, cohort, labels=2))
    """
    for name, value, least in (("draws", draws, 1), ("controls", controls, 0), ("seed", seed, 0)):
        if not isinstance(value, int) or value < least:
            raise InputError(f"{name} is {value!r}, but must be a whole number, {least} or more")
    cohort.require_whole()
    split = cohort.split(fold)
    check_unseen(encoder, cohort, fold)
    if encoder.provenance:
        encoder = deepcopy(encoder)
        adopt_encoder(encoder, cohort)
    check_encoder_fits(encoder, cohort)
    chosen = [cohort.subset(split.train, labels, seed + draw) for draw in range(draws)]
    cohort.require_foreground(sorted({case for draw in chosen for case in draw}))
    seen = split.pretrain[:CALIBRATION_CASES]

    def reports(candidate: Encoder) -> tuple[ScoreReport, ...]:
        ready = recalibrated(candidate, cohort, seen)
        return tuple(linear_probes(ready, cohort, chosen, split.test, voxels))

    others = {
        f"random encoder, seed {number}": make_encoder(encoder.settings, number)
        for number in range(seed + 100, seed + 100 + controls)
    }
    device = device_of(encoder)
    beside = {name: reports(other.to(device)) for name, other in others.items()}
    return ProbeResult(labels, reports(encoder), beside)


# ---- linear probes -----------------------------------------------------------------------------


@dataclass(frozen=True)
class LinearClassifier:
    """A linear classifier of features, those of a voxel or of a whole picture."""

    weight: np.ndarray  # (class, feature)
    bias: np.ndarray  # (class,)


def linear_probes(
    encoder: Encoder,
    cohort: Cohort,
    draws: Sequence[Sequence[int]],
    test: Sequence[int],
    voxels: int = 3000,
) -> list[Evaluation] | list[OrdinalEvaluation]:
    """Fit one probe on the labels of each of ``draws`` (cases), and score all on ``test``.

    The encoder reads each case once, however many probes want it. BatchNorm's statistics should
    be those of whole volumes: see :func:`recalibrated`.

    Args:
        voxels: drawn from each training scan, shared out among the slices of a 2D cohort; of a
            graded cohort none are.
    """
    encoder = encoder.eval()
    if cohort.ordinal:
        return _grade_probes(encoder, cohort, draws, test)
    wanted = sorted({case for draw in draws for case in draw})
    each = max(1, voxels * len(cohort.scans(wanted)) // len(wanted))
    sampled = dict(zip(wanted, sample_features(encoder, cohort, wanted, each), strict=True))
    probes = []
    for draw in draws:
        features, classes = _concatenate([sampled[case] for case in draw])
        probes.append(fit_classifier(features, classes, len(cohort.label_names)))
    predicted: list[list[Tensor]] = [[] for _ in probes]
    for batch in in_batches(test):
        images = cohort.images(batch).to(device_of(encoder))
        with torch.inference_mode():
            logits = classify(encoder(images), probes, images.shape[2:])
        for maps, named in zip(predicted, logits.argmax(2).unbind(1), strict=True):
            maps.extend(named.to(torch.uint8).cpu())  # hundreds of maps: a byte a voxel
    return [score(iter(maps), cohort, test, hausdorff=False, progress=False) for maps in predicted]


def _grade_probes(
    encoder: Encoder, cohort: Cohort, draws: Sequence[Sequence[int]], test: Sequence[int]
) -> list[OrdinalEvaluation]:
    """:func:`linear_probes` for the grades of whole pictures."""
    wanted = sorted({case for draw in (*draws, test) for case in draw})
    features = dict(zip(wanted, picture_features(encoder, cohort, wanted), strict=True))
    tested = np.stack([features[case] for case in test])
    results = []
    for draw in draws:
        grades = cohort.labels(draw).cpu().numpy()
        own = np.stack([features[case] for case in draw])
        classifier = fit_classifier(own, grades, len(cohort.label_names))
        predicted = (tested @ classifier.weight.T + classifier.bias).argmax(1)
        results.append(score_grades(predicted.tolist(), cohort, test))
    return results


def picture_features(
    encoder: Encoder, cohort: Cohort, cases: Sequence[int]
) -> Iterator[np.ndarray]:
    """For each case the features of all levels, each the mean over space: (feature,)."""
    for batch in in_batches(cases):
        with torch.inference_mode():
            levels = encoder(cohort.images(batch).to(device_of(encoder)))
        yield from torch.cat([level.flatten(2).mean(-1) for level in levels], 1).cpu().numpy()


def fit_classifier(features: np.ndarray, classes: np.ndarray, count: int) -> LinearClassifier:
    """Fit by LBFGS with an L2 penalty on standardised features (scikit-learn).

    Args:
        features: (voxel, feature).
        classes: (voxel,), of ``count`` classes. A class that none has is never predicted; if all
            have one, it always is.
    """
    weight = np.zeros((count, features.shape[1]), np.float32)
    bias = np.full(count, -1e9, np.float32)
    if len(present := np.unique(classes)) == 1:  # which scikit-learn refuses
        bias[present] = 0
        return LinearClassifier(weight, bias)
    mean, spread = features.mean(0), features.std(0) + 1e-6
    # A tolerance of 1e-4, the default, takes five times as long for the same score. A penalty ten
    # times as strong (C = 0.1) changes Dice by 0.01, one a hundred times as strong costs 0.1.
    regression = LogisticRegression(tol=1e-3, max_iter=200)
    fitted = regression.fit((features - mean) / spread, classes)
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
    return logits.view(len(logits), len(probes), -1, *space)


def _one_row_a_class(fitted: LogisticRegression) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn keeps one row for two classes: the second's logit, the first's being 0."""
    if len(fitted.classes_) > 2:
        return fitted.coef_, fitted.intercept_
    return np.vstack([0 * fitted.coef_, fitted.coef_]), np.append(0, fitted.intercept_)


def _concatenate(parts: list[tuple[np.ndarray, ...]]) -> Iterator[np.ndarray]:
    return (np.concatenate(column) for column in zip(*parts, strict=True))


def sample_features(
    encoder: Encoder, cohort: Cohort, cases: Sequence[int], voxels: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """For each case the features (voxel, feature) and classes (voxel,) of voxels drawn evenly.

    The draw depends on the case alone, so every encoder is probed at the same voxels.
    """
    for batch in in_batches(cases):
        labels = cohort.labels(batch).cpu()
        count = labels[0].numel()
        chosen = torch.stack([torch.from_numpy(_choose(case, count, voxels)) for case in batch])
        with torch.inference_mode():
            levels = encoder(cohort.images(batch).to(device_of(encoder)))
            features = features_at(levels, chosen, labels.shape[1:])
        classes = labels.flatten(1).gather(1, chosen)
        yield from zip(features.cpu().numpy(), classes.numpy(), strict=True)


def _choose(case: int, count: int, voxels: int) -> np.ndarray:
    return np.random.default_rng(case).choice(count, min(voxels, count), replace=False)


def features_at(levels: list[Tensor], voxels: Tensor, space: Sequence[int]) -> Tensor:
    """All levels' features at ``voxels`` (batch, voxel): (batch, voxel, feature).

    Voxels are flat positions in ``space``. Coarse levels are interpolated linearly, as by
    F.interpolate with align_corners=False.
    """
    place = torch.stack(torch.unravel_index(voxels, tuple(space)), -1).float()
    unit = (2 * place + 1) / torch.tensor(tuple(space)) - 1  # voxel centres; -1 and 1 are borders
    grid = unit.flip(-1).to(levels[0])  # grid_sample counts the last axis first
    grid = grid.view(*voxels.shape, *[1] * (len(space) - 1), len(space))
    sampled = [
        F.grid_sample(level, grid, "bilinear", "border", align_corners=False) for level in levels
    ]
    return torch.cat([s.flatten(2) for s in sampled], 1).mT


def recalibrated(encoder: Encoder, cohort: Cohort, cases: Sequence[int]) -> Encoder:
    """A copy whose BatchNorm statistics are those of ``cases``' whole volumes.

    Pretraining saw patches or cubes, and a random encoder nothing: without this each encoder is
    judged under foreign statistics, random ones most of all.
    """
    copy = deepcopy(encoder)
    copy.to(memory_format=channels_last(encoder))  # type: ignore[call-overload]  # torch's stub
    batches = (cohort.images(batch).to(device_of(copy)) for batch in in_batches(cases))
    with torch.no_grad():
        update_bn(batches, copy)
    return copy.eval()

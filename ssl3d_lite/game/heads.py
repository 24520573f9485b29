"""The scans of the game: virtual heads on one channel with black air, and noise."""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ssl3d_lite.data.cohort import Cohort
from ssl3d_lite.data.registry import make_cohort

RECIPE, HEAD_EDGE = "virtual-brain", 48
TISSUE_REACH = 3.0  # standard deviations of tissue that are told apart; air is the darkest of these


def game_heads(folder: Path, cases: int, seed: int = 0) -> Cohort:
    """Virtual heads on T1, in memory. A recipe gives air the mean of the tissue, 0: a grey in which
    a player would see no outline, so here it is black."""
    cohort = Cohort.open(make_cohort(RECIPE, folder, cases=cases, edge=HEAD_EDGE, seed=seed))
    images = cohort.images(range(cases))[:, :1]
    tissue = images.clamp(-TISSUE_REACH, TISSUE_REACH)
    return with_images(cohort, tissue.where(images != 0, -TISSUE_REACH))


def with_images(cohort: Cohort, images: Tensor) -> Cohort:
    """The same cases with other images, of the first channel alone."""
    labels = cohort.labels(range(len(cohort)))
    return replace(cohort, channels=cohort.channels[:1], resident=(images, labels))


def smooth_noise(like: Tensor, seed: int = 0) -> Tensor:
    """Noise in the shape of some scans (scan, channel, *space), alike from voxel to voxel."""
    noise = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))
    for axis in (2, 3, 4) * 3:  # nearly a Gaussian filter
        noise = (noise.roll(-1, axis) + 2 * noise + noise.roll(1, axis)) / 4
    return (noise / noise.std()).clamp(-TISSUE_REACH, TISSUE_REACH)

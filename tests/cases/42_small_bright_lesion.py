"""A lesion of 0.1 % of the voxels, far brighter than all tissue (multiple sclerosis, micro-bleeds), with the
default scaling.

Clipping at the 99.5 percentile must not erase the contrast of small bright lesions: in the prepared scan the
lesion stays at least two standard deviations above the brightest tissue (or the command says that it clips,
how much, and how to avoid it). A few hot voxels (0.01 %, metal) may be clipped.
"""

import numpy as np
from common import ONE, Cohort, check, done, expect, save


@check
def main(w):
    where = {}
    for i in range(4):
        random, grid = np.random.default_rng(i), np.indices((40, 40, 40))
        scan = (300 + 100 * (grid[0] > 20) + random.normal(0, 15, (40, 40, 40))).astype(np.float32)
        lesion = ((grid - random.integers(8, 32, 3)[:, None, None, None]) ** 2).sum(
            0
        ) <= 5  # 57 voxels of 64 000
        scan[lesion] = 1000 + random.normal(0, 15, int(lesion.sum()))
        save(w / f"raw/p{i}.nii.gz", scan)
        where[f"p{i}"] = lesion
    result = done("prepare", "folder", "--raw", w / "raw", "--out", w / "c", *ONE)
    if result.said("clip", "percentile"):
        return
    cohort = Cohort(w / "c")
    for name, lesion in where.items():
        image = cohort.image(name)
        above = (image[lesion].mean() - np.percentile(image[~lesion], 99)) / image[~lesion].std()
        if not expect(
            above > 2,
            f"{name}: the lesion lies {above:.1f} standard deviations above the brightest tissue (raw: 11)",
        ):
            break

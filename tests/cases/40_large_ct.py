"""One CT of 256 x 256 x 400 (int16, 52 MB; a whole body has eight times as much) is prepared by one process.

The prepared values are the raw ones at the right places, and the peak memory stays below 1.2 GB: 0.7 GB for
the program and five times the scan in 32 bit; so a whole body fits a laptop.
"""

import resource

import numpy as np
from common import ONE, Cohort, check, done, expect, save


@check
def main(w):
    random = np.random.default_rng(0)
    coarse = random.normal(-700, 80, (32, 32, 50)).astype(np.float32)
    volume = np.kron(coarse, np.ones((8, 8, 8), np.float32)).astype(np.int16)
    volume[50:150, 75:175, 100:250] += 740
    save(w / "raw/big.nii", volume, np.diag([-1.4, -1.4, 1.6, 1]))
    ways = {
        "window": ("--fit", "resize", "--intensity", "window:-150,250", "--crop", "True"),
        "zscore": ("--fit", "stretch", "--intensity", "zscore"),
    }
    for name, way in ways.items():
        done(
            "prepare",
            "folder",
            "--raw",
            w / "raw",
            "--size",
            64,
            64,
            64,
            *way,
            "--out",
            w / name,
            *ONE,
        )
        image, affine = Cohort(w / name).image("big"), Cohort(w / name).affine("big")
        # the body's middle, its outside, and where both are in mm
        inside = np.array([100, 125, 175])
        world = np.diag([-1.4, -1.4, 1.6, 1]) @ np.r_[inside, 1]
        index = np.round(np.linalg.inv(affine) @ world).astype(int)[:3]
        value = image[tuple(slice(i - 2, i + 3) for i in index)].mean()
        expect(value > image.mean() + 0.5 * image.std(), f"{name}: the body is not where it was")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
    expect(peak < 1.2, f"peak memory {peak:.2f} GB for a scan of 0.05 GB")

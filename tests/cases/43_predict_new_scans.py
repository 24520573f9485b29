"""A finished network, and a folder of new scans without labels and without a cohort: segment them.

`ssl3d predict --model M --images FOLDER --out OUT` (--scans, --raw, or a path to --cohort's place are
accepted) prepares the scans as the network's cohort was (size, spacing, intensity, channels), and writes one
label map for each, in the raw scan's space, with the training labels' values. If a cohort has to be prepared
first, `predict --cases all` on a cohort without any label must do.
"""

import nibabel as nib
import numpy as np
from common import ONE, blobs, check, dice, done, expect, learn, ssl3d


@check
def main(w):
    blobs(w / "raw", w / "maps", 9, (24, 24, 24))
    done(
        "prepare",
        "folder",
        "--raw",
        w / "raw",
        "--labels",
        w / "maps",
        "--size",
        24,
        24,
        24,
        "--out",
        w / "c",
        *ONE,
    )
    learn(w / "c", w / "m", 80)
    blobs(w / "new", w / "truth", 2, (30, 28, 26), affine=np.diag([-1, 1, 1, 1.0]), first=50)
    for name in ("--images", "--scans", "--raw"):
        result = ssl3d("predict", "--model", w / "m", name, w / "new", "--out", w / "p")
        if result.rc == 0:
            break
    if expect(
        result.rc == 0,
        f"predict --images FOLDER: exit {result.rc}, no way to segment a folder of new scans",
    ):
        files = sorted((w / "p").glob("*.nii*"))
        expect(len(files) == 2, f"{len(files)} predictions of 2 scans")
        for file in files:
            got, raw = nib.load(file), nib.load(w / "new" / file.name)
            expect(
                got.shape == raw.shape and np.allclose(got.affine, raw.affine, atol=1e-3),
                f"{file.name} does not lie over its scan",
            )
        expect(
            dice(w / "p", w / "truth") > 0.5, f"Dice {dice(w / 'p', w / 'truth'):.2f} on new scans"
        )
        return
    done("prepare", "folder", "--raw", w / "new", "--size", 24, 24, 24, "--out", w / "d", *ONE)
    result = ssl3d(
        "predict", "--model", w / "m", "--cohort", w / "d", "--cases", "all", "--out", w / "q"
    )
    expect(result.rc == 0, f"predict on a cohort without labels: exit {result.rc}, {result.last}")

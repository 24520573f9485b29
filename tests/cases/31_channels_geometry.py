"""T1 and FLAIR of one head: on one grid, on one grid in another voxel order, on another grid; one missing; names
in capitals.

Channels are joined only where they lie on the same voxels. Another order is brought into line or rejected by
name; another grid or a lacking channel is rejected by name with the reason; never are two arrays laid over
each other because their shapes agree.
"""

import nibabel as nib
import numpy as np
from common import ONE, Cohort, blob, check, expect, save, ssl3d

AFFINE = np.array([[-1.0, 0, 0, 9], [0, 1, 0, -5], [0, 0, 2, 1], [0, 0, 0, 1]])


@check
def main(w):
    one, two = (blob((10, 12, 8), seed=s)[0] for s in (1, 2))
    half = AFFINE + np.outer([1, 1, 1, 0], [0, 0, 0, 0.5])
    mirror = nib.Nifti1Image(two, AFFINE).as_reoriented(np.array([[0, -1], [1, 1], [2, 1]]))
    seconds = {
        "same": (two, AFFINE),
        "mirror": (np.asarray(mirror.dataobj), mirror.affine),
        "coarse": (two[:, :, ::2], AFFINE @ np.diag([1, 1, 2, 1.0])),
        "half": (two, half),
    }
    for name, (data, affine) in seconds.items():
        save(w / f"raw/{name}_t1.nii.gz", one, AFFINE)
        save(w / f"raw/{name}_flair.nii.gz", data, affine)
    save(w / "raw/lone_t1.nii.gz", one, AFFINE)
    save(w / "raw/odd.nii.gz", one, AFFINE)
    save(w / "raw/UP_T1.nii.gz", one, AFFINE)
    save(w / "raw/UP_FLAIR.nii.gz", two, AFFINE)
    result = ssl3d(
        "prepare", "folder", "--raw", w / "raw", "--channels", "t1", "flair", "--out", w / "c", *ONE
    )
    cohort = Cohort(w / "c")
    expect("same" in cohort.cases, "channels on one grid are not joined")
    for name in ("mirror", "half", "coarse", "lone", "odd", "UP"):
        expect(name in cohort.cases or result.said(name), f"{name}: passed over without a word")
    for name in ("half", "coarse", "lone", "odd"):
        expect(name not in cohort.cases, f"{name}: joined as if it were on one grid")
    if "mirror" in cohort.cases:
        expect(
            np.allclose(cohort.image("mirror", 1), cohort.image("same", 1), atol=0.01),
            "mirror: laid over the other way round",
        )

"""Raw data change after `prepare`: a scan is withdrawn, one is replaced (same size and time stamp), a label
comes late, one is deleted.

The same `prepare` command must follow: the withdrawn scan is gone from the cohort and its voxels from the
disk (consent), the replaced one is read again, labels come and go. `verify` agrees.
"""

import os

import nibabel as nib
import numpy as np
from common import ONE, Cohort, blob, blobs, check, done, expect, save, ssl3d


@check
def main(w):
    blobs(w / "raw", w / "maps", 8, (10, 10, 10))
    (w / "maps/p07.nii.gz").unlink()
    for i in range(8):  # uncompressed: all files have one size
        nib.save(nib.load(w / f"raw/p{i:02d}.nii.gz"), w / f"raw/p{i:02d}.nii")
        (w / f"raw/p{i:02d}.nii.gz").unlink()
    prepare = (
        "prepare",
        "folder",
        "--raw",
        w / "raw",
        "--labels",
        w / "maps",
        "--out",
        w / "c",
        *ONE,
    )
    done(*prepare)
    old = Cohort(w / "c").image("p01")
    (w / "raw/p00.nii").unlink()
    (w / "maps/p00.nii.gz").unlink()
    stamp = (w / "raw/p01.nii").stat()
    nib.save(nib.Nifti1Image(blob((10, 10, 10), seed=77)[0], np.eye(4)), w / "raw/p01.nii")
    os.utime(w / "raw/p01.nii", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    save(w / "maps/p07.nii.gz", blob((10, 10, 10), seed=7)[1])
    (w / "maps/p02.nii.gz").unlink()
    done(*prepare)
    cohort = Cohort(w / "c")
    expect("p00" not in cohort.cases, "the withdrawn scan is still a case")
    left = [p.name for p in (w / "c").rglob("*p00*")]
    expect(not left, f"of the withdrawn scan {left} is still on the disk")
    expect(
        not np.allclose(cohort.image("p01"), old),
        "the replaced scan (same size and time) keeps its old voxels",
    )
    expect(
        "p07" in cohort.labelled() and "p02" not in cohort.labelled(),
        f"labelled: {cohort.labelled()}",
    )
    expect(ssl3d("verify", w / "c", *ONE).rc == 0, "verify finds a fault")

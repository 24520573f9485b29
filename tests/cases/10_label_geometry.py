"""Maps that lie in another voxel order, carry a trailing axis or rounding noise; and maps that do not fit.

What lies on the same voxels must be brought to the scan's order; what lies elsewhere or has another shape
must be rejected by name with how far or which shape (or be resampled into its place), never be laid over the
scan as it is.
"""

import nibabel as nib
import numpy as np
from common import ONE, Cohort, Stop, blob, check, expect, save, ssl3d

AFFINE = np.array([[-1.0, 0, 0, 20], [0, 1.5, 0, -10], [0, 0, 2, 5], [0, 0, 0, 1]])


@check
def main(w):
    truth = {}

    def case(name, make):
        scan, label = blob((16, 20, 12), seed=len(truth))
        save(w / f"raw/{name}.nii.gz", scan, AFFINE)
        save(w / f"maps/{name}.nii.gz", *make(label))
        truth[name] = nib.as_closest_canonical(nib.Nifti1Image(label, AFFINE)).get_fdata()

    def reordered(label):
        image = nib.Nifti1Image(label, AFFINE).as_reoriented(np.array([[2, 1], [0, -1], [1, 1]]))
        return np.asarray(image.dataobj), image.affine

    def shifted(by):
        return lambda label: (label, AFFINE + np.outer([1, 0, 0, 0], [0, 0, 0, by]))

    case("same", lambda label: (label, AFFINE))
    case("reordered", reordered)
    case("trailing", lambda label: (label[..., None], AFFINE))
    case("noise", shifted(0.0005))
    case("signed", lambda label: (label.astype(np.int8), AFFINE))
    case("apart", shifted(5))
    case("identity", lambda label: (label, np.eye(4)))
    case("mirrored", lambda label: (label, np.diag([-1, 1, 1, 1]) @ AFFINE))
    case("shape", lambda label: (label[:-1], AFFINE))
    case("onehot", lambda label: (np.stack([1 - label, label], -1), AFFINE))
    result = ssl3d(
        "prepare", "folder", "--raw", w / "raw", "--labels", w / "maps", "--out", w / "c", *ONE
    )
    if result.traceback or not (w / "c").exists():
        raise Stop(f"prepare: exit {result.rc}, {result.last}")
    cohort = Cohort(w / "c")
    for name in ("same", "reordered", "trailing", "noise", "signed"):
        good = name in cohort.cases and np.array_equal(cohort.label(name), truth[name])
        expect(
            good, f"{name}: {'other voxels' if name in cohort.cases else cohort.rejected.get(name)}"
        )
    for name in ("apart", "identity", "mirrored", "shape", "onehot"):
        if name in cohort.labelled():
            expect(
                not np.array_equal(cohort.label(name), truth[name]) or name == "onehot",
                f"{name}: laid over the scan as it is",
            )
        else:
            expect(name in cohort.rejected or result.said(name), f"{name}: nothing said")

"""A map of 104 structures in each scan (whole-body segmentations), and a map with the value 1001 (brain
atlases).

A label map is what --labels says it is, however many values it holds. Right: take all 105 values; or refuse,
saying that there are more than can be taken, with the number and the file. A limit must not quietly turn the
fuller maps into "wrong" ones. For 1001: take it, or refuse with the value, the file that holds it and what
can be done.
"""

import numpy as np
from common import ONE, Cohort, blob, check, expect, save, ssl3d


@check
def main(w):
    random = np.random.default_rng(0)
    for i in range(5):
        scan, label = blob((16, 16, 16), seed=i)
        most = 105 if i < 2 else 60
        parts = random.integers(0, most, (16, 16, 16)).astype(np.uint8)
        parts.flat[:most] = np.arange(most)
        save(w / f"raw/p{i:02d}.nii.gz", scan)
        save(w / f"maps/p{i:02d}.nii.gz", parts)
        save(w / f"atlas/p{i:02d}.nii.gz", label.astype(np.int32) * 1001)
    result = ssl3d(
        "prepare", "folder", "--raw", w / "raw", "--labels", w / "maps", "--out", w / "c", *ONE
    )
    if result.rc == 0:
        cohort = Cohort(w / "c")
        expect(
            len(cohort.label_values) == 105 and len(cohort.cases) == 5,
            f"{len(cohort.label_values)} of 105 values, {len(cohort.cases)} of 5 cases",
        )
    else:
        told = result.said("105", "more than", "at most", "too many", "limit")
        expect(
            told,
            f"maps of 105 values: exit {result.rc}, the limit is not told: {result.out.strip().splitlines()[0][:120] if result.out.strip() else result.last}",
        )
    result = ssl3d(
        "prepare", "folder", "--raw", w / "raw", "--labels", w / "atlas", "--out", w / "d", *ONE
    )
    if result.rc == 0:
        expect(len(Cohort(w / "d").label_values) == 2, "value 1001: not two classes")
    else:
        expect(
            result.said("1001") and result.said("p00", "p01", "p02", "p03", "p04", "atlas"),
            f"value 1001: no file named: {result.last}",
        )

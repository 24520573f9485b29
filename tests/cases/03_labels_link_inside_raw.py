"""The label folder lies inside the raw folder as a symbolic link to another disk (data managers, clusters).

With --labels RAW/labels the maps below it must not be taken for scans. Right: 6 labelled cases and no others;
or a refusal that names the label folder. A folder given as --labels is the label folder under every path that
leads to it.
"""

import os

from common import ONE, Cohort, blobs, check, expect, ssl3d


@check
def main(w):
    blobs(w / "raw", w / "disk2" / "maps", 6, (12, 12, 12))
    os.symlink(w / "disk2" / "maps", w / "raw" / "maps")
    result = ssl3d(
        "prepare",
        "folder",
        "--raw",
        w / "raw",
        "--labels",
        w / "raw" / "maps",
        "--out",
        w / "c",
        *ONE,
    )
    if result.rc == 0:
        cohort = Cohort(w / "c")
        extra = sorted(set(cohort.cases) - {f"p{i:02d}" for i in range(6)})
        expect(not extra, f"{len(extra)} label maps became scans: {extra[:2]}")
        expect(len(cohort.labelled()) == 6, f"{len(cohort.labelled())} of 6 are labelled")
    else:
        expect(
            result.refused and result.said("maps"),
            f"refused without naming the folder: {result.last}",
        )

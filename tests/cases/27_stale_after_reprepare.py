"""Labels were wrong; the user mends them, prepares again into the same folder and types the same `finetune`
command.

The network of the old labels must not pass for one of the new. Right: train anew (then it equals a fresh
run's), or refuse because the cohort has changed since (exit code not 0, the cohort is named and what to do).
Silently keeping the old network, even with new scores, is wrong.
"""

import numpy as np
from common import ONE, Cohort, blob, blobs, check, done, expect, learn, numbers, save, ssl3d


@check
def main(w):
    blobs(w / "raw", w / "maps", 12, (20, 20, 20))
    for i in range(12):
        save(w / f"maps/p{i:02d}.nii.gz", np.roll(blob((20, 20, 20), seed=i)[1], 8, 0))
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
    learn(w / "c", w / "m", 60)
    blobs(w / "raw2", w / "maps", 12, (20, 20, 20))  # mended
    done(*prepare)
    cohort = Cohort(w / "c")
    mended = all(
        (cohort.label(f"p{i:02d}") == blob((20, 20, 20), seed=i)[1]).all() for i in range(12)
    )
    expect(mended, "the cohort keeps the old labels")
    wide = ("--filters", "8", "16", "--learning-rate", "0.004")
    again = ssl3d(
        "finetune",
        "--cohort",
        w / "c",
        "--encoder",
        "random",
        "--steps",
        60,
        *wide,
        "--out",
        w / "m",
    )
    if again.refused:
        expect(
            again.said("cohort", "changed", "prepared", "other data", "labels"),
            f"refused, unclear: {again.last}",
        )
        return
    fresh = learn(w / "c", w / "n", 60)
    old, new = numbers(again), numbers(fresh)
    expect(
        new and old == new,
        f"the same command keeps the network of the old labels: scores {old[:2]}, a fresh run {new[:2]}; exit {again.rc}, nothing said",
    )

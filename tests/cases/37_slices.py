"""Slices of a 3D cohort as a 2D one, and what can be typed wrong with them.

A slice is the volume's slice, with its place and its patient's fold; wrong settings and a 2D or 3D cohort in
the wrong place are refused with the setting or the dimensions named. When the 3D cohort has changed (mended
labels, prepared again), the same command renews the slices or refuses; it never says that all is there
already.
"""

import numpy as np
from common import ONE, Cohort, blob, blobs, check, done, expect, save, ssl3d


@check
def main(w):
    blobs(w / "raw", w / "maps", 6, (16, 16, 16))
    for i in range(6):
        save(w / f"maps/p{i:02d}.nii.gz", np.roll(blob((16, 16, 16), seed=i)[1], 4, 0))
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
    slices = (
        "prepare",
        "slices",
        "--cohort",
        w / "c",
        "--out",
        w / "s",
        "--axis",
        2,
        "--first",
        0.25,
        "--last",
        0.75,
    )
    done(*prepare)
    done(*slices)

    def wrong():
        three, two, bad = Cohort(w / "c"), Cohort(w / "s"), 0
        for name, case in two.cases.items():
            k, source = int(name.rsplit("_s", 1)[1]), case["slice_of"]
            same = np.array_equal(two.label(name), three.label(source)[..., k]) and np.array_equal(
                two.image(name), three.image(source)[..., k]
            )
            bad += not same or two.fold(name) != three.fold(source)
        return bad, len(two.cases)

    bad, number = wrong()
    expect(number == 48 and not bad, f"{bad} of {number} slices differ from the volume's")
    for setting in (("--axis", 3), ("--first", 0.5, "--last", 0.5), ("--every", 0)):
        result = ssl3d("prepare", "slices", "--cohort", w / "c", "--out", w / "x", *setting)
        expect(
            result.rc != 0 and result.said(setting[0].strip("-")),
            f"{setting}: exit {result.rc}, {result.last}",
        )
    result = ssl3d("prepare", "slices", "--cohort", w / "s", "--out", w / "x")
    expect(
        result.rc != 0 and result.said("2d", "3d"),
        f"slices of slices: exit {result.rc}, {result.last}",
    )
    result = ssl3d("prepare", "slices", "--cohort", w / "c", "--out", w / "c")
    expect(result.rc != 0, "slices into the 3D cohort's folder: exit 0")
    for i in range(6):
        save(w / f"maps/p{i:02d}.nii.gz", blob((16, 16, 16), seed=i)[1])  # mended
    done(*prepare)
    result = ssl3d(*slices)
    if result.rc == 0:
        bad, number = wrong()
        expect(
            not bad,
            f"after mended labels the same command keeps {bad} of {number} old slices, exit 0",
        )

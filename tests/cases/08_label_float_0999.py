"""A mask went through a float header: its 1 comes back as 0.99998, or through an int16 slope as 1.0000001.

Rounding noise (below a thousandth) is nobody's mistake: the value is 1, the map is taken, and the classes are
0 and 1. A value that is none (0.75, from a resampling with interpolation) must not be rounded: that case is
rejected by name with the value, or the command refuses.
"""

import struct

import numpy as np
from common import ONE, Cohort, blob, blobs, check, expect, save, ssl3d


@check
def main(w):
    for i in range(9):
        scan, label = blob((12, 12, 12), seed=i)
        save(w / f"raw/p{i:02d}.nii.gz", scan)
        if i < 3:
            save(w / f"maps/p{i:02d}.nii.gz", label * np.float32(0.99998))
        elif i < 6:
            path = save(w / f"maps/p{i:02d}.nii", (label.astype(np.int32) * 32767).astype(np.int16))
            data = bytearray(path.read_bytes())
            data[112:120] = struct.pack("<ff", 1 / 32767, 0)
            path.write_bytes(data)
        else:
            save(w / f"maps/p{i:02d}.nii.gz", label)
    for name, source in (("mixed", range(9)), ("all_floats", range(3))):
        for i in source:
            scan, _ = blob((12, 12, 12), seed=i)
            save(w / f"raw_{name}/p{i:02d}.nii.gz", scan)
        folder = w / "maps"
        if name == "all_floats":
            folder = w / "floats"
            for i in source:
                save(
                    folder / f"p{i:02d}.nii.gz", blob((12, 12, 12), seed=i)[1] * np.float32(0.99998)
                )
        result = ssl3d(
            "prepare",
            "folder",
            "--raw",
            w / f"raw_{name}",
            "--labels",
            folder,
            "--out",
            w / name,
            *ONE,
        )
        if result.rc != 0:
            expect(
                False,
                f"{name}: exit {result.rc}, {result.out.strip().splitlines()[0][-110:] if result.out.strip() else result.last}",
            )
            continue
        cohort = Cohort(w / name)
        expect(cohort.label_values == [0, 1], f"{name}: classes {cohort.label_values}")
        for i in source:
            truth = blob((12, 12, 12), seed=i)[1]
            expect((cohort.label(f"p{i:02d}") == truth).all(), f"{name}: p{i:02d} is another map")
    blobs(w / "raw3", w / "maps3", 4, (12, 12, 12))
    save(w / "maps3/p01.nii.gz", blob((12, 12, 12), seed=1)[1] * np.float32(0.75))
    result = ssl3d(
        "prepare", "folder", "--raw", w / "raw3", "--labels", w / "maps3", "--out", w / "c3", *ONE
    )
    expect(
        result.rc != 0 and result.said("0.75") and result.said("p01"),
        f"0.75 as a label: exit {result.rc}, {result.last}",
    )

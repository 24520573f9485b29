"""Volumes smaller than a patch, of odd edges, of three slices or of one.

Training goes on, or refuses in one line with the edges that are wanted and what to change (levels, patch,
size); a prediction has the raw scan's shape. Never a traceback out of the network.
"""

import nibabel as nib
from common import ONE, blob, check, done, expect, save, ssl3d


@check
def main(w):
    for name, shape in {"odd": (17, 19, 13), "thin": (24, 24, 3), "one": (24, 24, 1)}.items():
        for i in range(6):
            scan, label = blob(shape, seed=i)
            label.flat[0] = 1
            save(w / f"{name}/p{i:02d}.nii.gz", scan)
            save(w / f"{name}maps/p{i:02d}.nii.gz", label)
        done(
            "prepare",
            "folder",
            "--raw",
            w / name,
            "--labels",
            w / f"{name}maps",
            "--out",
            w / f"c{name}",
            *ONE,
        )
    base = ("--encoder", "random", "--labels", 2, "--filters", 4, 8, 16)
    for name in ("odd", "thin", "one"):
        result = ssl3d(
            "finetune", "--cohort", w / f"c{name}", *base, "--steps", 10, "--out", w / f"m{name}"
        )
        expect(
            result.rc == 0 or result.said("edge", "voxel", "size", "level"),
            f"finetune {name}: {result.last}",
        )
        expect(name != "odd" or result.rc == 0, f"finetune odd: exit {result.rc}, {result.last}")
    result = ssl3d("predict", "--model", w / "modd", "--cohort", w / "codd", "--out", w / "p")
    shapes = {nib.load(f).shape for f in (w / "p").glob("*.nii.gz")}
    expect(shapes == {(17, 19, 13)}, f"predictions of shape {shapes}")

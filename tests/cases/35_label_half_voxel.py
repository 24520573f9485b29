"""Voxels of 0.5 mm are halved to 1 mm (--spacing 1, and --size half with --fit resize).

A prepared voxel's centre then lies between two raw ones; taking the nearest one always on the same side moves
every label by half a raw voxel. Right: on the mean of several cases the label's centre lies within 0.1 mm of
the raw one's along each axis (as the image's does), and the label is the majority of the raw voxels it covers
(Dice above 0.97 with it).
"""

import numpy as np
from common import ONE, Cohort, check, done, expect, overlap, save

AFFINE = np.diag([0.5, 0.5, 0.5, 1])


@check
def main(w):
    truths = {}
    for i in range(6):
        random, grid = np.random.default_rng(i), np.indices((48, 48, 48))
        centre, radius = random.uniform(18, 30, 3), random.uniform(6, 12)
        label = (((grid - centre[:, None, None, None]) ** 2).sum(0) < radius**2).astype(np.uint8)
        scan = (100.0 * label + 50 + random.normal(0, 1, label.shape)).astype(np.float32)
        save(w / f"raw/p{i}.nii.gz", scan, AFFINE)
        save(w / f"maps/p{i}.nii.gz", label, AFFINE)
        truths[f"p{i}"] = label
    centre = lambda m, a: (a @ np.r_[np.argwhere(m > 0).mean(0), 1])[:3]  # noqa: E731
    for name, way in {
        "resize": ("--size", 24, 24, 24, "--fit", "resize"),
        "spacing": ("--spacing", 1, 1, 1),
    }.items():
        done(
            "prepare",
            "folder",
            "--raw",
            w / "raw",
            "--labels",
            w / "maps",
            *way,
            "--out",
            w / name,
            *ONE,
        )
        cohort, off, image_off, alike = Cohort(w / name), [], [], []
        for case, truth in truths.items():
            label, image, affine = cohort.label(case), cohort.image(case), cohort.affine(case)
            off.append(centre(label, affine) - centre(truth, AFFINE))
            image_off.append(
                centre(image > (image.min() + image.max()) / 2, affine) - centre(truth, AFFINE)
            )
            most = truth.reshape(24, 2, 24, 2, 24, 2).mean((1, 3, 5)) >= 0.5
            alike.append(overlap(label, most) if label.shape == most.shape else 0)
        off, image_off = np.mean(off, 0), np.mean(image_off, 0)
        expect(
            (abs(off) < 0.1).all(),
            f"{name}: labels lie {off.round(2).tolist()} mm off, images {image_off.round(2).tolist()} (raw voxel 0.5 mm)",
        )
        expect(
            (abs(image_off) < 0.1).all(), f"{name}: images lie {image_off.round(2).tolist()} mm off"
        )
        expect(
            np.mean(alike) > 0.97,
            f"{name}: Dice {np.mean(alike):.2f} with the majority of the raw voxels",
        )

"""Scans of 0.5 x 0.5 x 6 mm, brought to other voxels by --spacing, --fit resize and --fit stretch.

Image and label stay where they are: the image equals the raw one sampled at the prepared voxels' places
(correlation above 0.98), the label keeps its volume within 10 % and its centre within half a prepared voxel
along each axis.
"""

import numpy as np
from common import ONE, Cohort, blob, check, done, expect, save, values

AFFINE = np.array([[-0.5, 0, 0, 20], [0, 0.5, 0, -30], [0, 0, 6, 10], [0, 0, 0, 1.0]])


def sampled(volume, points):
    """Linear interpolation at points (3, n) in voxels, edges continued."""
    top = np.array(volume.shape)[:, None] - 1
    points = points.clip(0, top)
    low = np.minimum(np.floor(points).astype(int), np.maximum(top - 1, 0))
    share, result = points - low, 0
    for corner in np.ndindex(2, 2, 2):
        c = np.array(corner)[:, None]
        weight = np.where(c, share, 1 - share).prod(0)
        result = result + weight * volume[tuple(np.minimum(low + c, top))]
    return result


@check
def main(w):
    for i in range(3):
        scan, label = blob((96, 100, 14), seed=i)
        save(w / f"raw/p{i}.nii.gz", scan, AFFINE)
        save(w / f"maps/p{i}.nii.gz", label, AFFINE)
    ways = {
        "spacing": ("--spacing", 1, 1, 3),
        "resize": ("--size", 32, 32, 32, "--fit", "resize"),
        "stretch": ("--size", 32, 32, 32, "--fit", "stretch"),
    }
    for name, way in ways.items():
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
        cohort = Cohort(w / name)
        for case in ("p0", "p1"):
            image, label, affine = cohort.image(case), cohort.label(case), cohort.affine(case)
            raw, truth = values(w / f"raw/{case}.nii.gz"), values(w / f"maps/{case}.nii.gz")
            index = np.indices(image.shape).reshape(3, -1)
            points = (np.linalg.inv(AFFINE) @ affine @ np.vstack([index, np.ones(index.shape[1])]))[
                :3
            ]
            inside = ((points > -0.5) & (points < np.array(raw.shape)[:, None] - 0.5)).all(0)
            alike = np.corrcoef(sampled(raw, points)[inside], image.ravel()[inside])[0, 1]
            expect(alike > 0.98, f"{name} {case}: correlation {alike:.3f} with the raw scan")
            volume = lambda m, a: (m > 0).sum() * abs(np.linalg.det(a[:3, :3]))  # noqa: E731
            expect(
                abs(volume(label, affine) / volume(truth, AFFINE) - 1) < 0.1,
                f"{name} {case}: the label's volume changed",
            )
            centre = lambda m, a: (a @ np.r_[np.argwhere(m > 0).mean(0), 1])[:3]  # noqa: E731
            apart, voxel = (
                centre(label, affine) - centre(truth, AFFINE),
                np.linalg.norm(affine[:3, :3], axis=0),
            )
            expect(
                (abs(apart) < 0.5 * voxel).all(),
                f"{name} {case}: the label lies {np.abs(apart).round(2)} mm off",
            )

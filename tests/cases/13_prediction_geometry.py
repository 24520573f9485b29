"""A prediction must lie over its raw scan in every viewer: in those that read the sform first and those that
read the qform first.

For scans that are plain, oblique, permuted, with a qform only, with no form at all, with forms that disagree,
with a trailing axis, in micrometres: the prediction has the scan's three-dimensional shape and the same place
by either form (the forms' codes say which counts), the same voxel size and units, and is stored as whole
numbers without scaling. Keeping the raw header is one way. The values are the raw labels'.
"""

import nibabel as nib
import numpy as np
from common import ONE, blob, check, done, expect, learn, overlap, save, values

AFFINE = np.array([[-1.2, 0, 0, 20], [0, 1.0, 0, -10], [0, 0, 2, 5], [0, 0, 0, 1]])


def turn(a, b, c):
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return x @ y @ z


def place(header, first):
    """Where a reader puts the voxels that trusts this form first; without forms, voxel sizes alone."""
    forms = {"qform": header.get_qform(coded=True)[0], "sform": header.get_sform(coded=True)[0]}
    other = "sform" if first == "qform" else "qform"
    found = forms[first] if forms[first] is not None else forms[other]
    return np.diag([*header["pixdim"][1:4], 1.0]) if found is None else found


@check
def main(w):
    shape = (20, 24, 16)
    shifted = AFFINE.copy()
    shifted[:3, 3] += [50, -30, 20]
    oblique, permuted, sheared = np.eye(4), np.eye(4), AFFINE.copy()
    oblique[:3, :3], oblique[:3, 3] = turn(0.3, -0.2, 0.9) @ np.diag([1.0, 1.2, 2]), [3, -4, 7]
    permuted[:3, :3] = turn(0.1, 0.2, 0.1) @ np.diag([-1.0, 1, 2])[:, [2, 0, 1]]
    sheared[1, 2] = 0.5
    edits = {
        "plain0": (AFFINE, None), "plain1": (AFFINE, None), "oblique": (oblique, None), "permuted": (permuted, None), "sheared": (sheared, None),
        "qformonly": (AFFINE, lambda x: (x.set_qform(AFFINE, 1), x.set_sform(None, 0))),
        "noforms": (AFFINE, lambda x: (x.set_qform(None, 0), x.set_sform(None, 0), x.header["pixdim"].__setitem__(slice(1, 4), [1.2, 1, 2]))),
        "disagree": (AFFINE, lambda x: (x.set_sform(AFFINE, 2), x.set_qform(shifted, 1))),
        "aligned": (AFFINE, lambda x: (x.set_sform(AFFINE, 4), x.set_qform(shifted, 1))),
        "trailing": (AFFINE, None), "small": (np.diag([0.0005, 0.0005, 0.0007, 1]), None),
        "units": (np.diag([0.5, 0.5, 0.7, 1]), lambda x: x.header.set_xyzt_units("mm", "sec")),
    }  # fmt: skip
    for i, (name, (affine, edit)) in enumerate(edits.items()):
        scan, label = blob(shape, seed=i)
        save(
            w / f"raw/{name}.nii.gz", scan[..., None] if name == "trailing" else scan, affine, edit
        )
        save(w / f"maps/{name}.nii.gz", label * np.uint8(3), affine, edit)
    done(
        "prepare",
        "folder",
        "--raw",
        w / "raw",
        "--labels",
        w / "maps",
        "--size",
        16,
        16,
        16,
        "--fit",
        "resize",
        "--out",
        w / "c",
        *ONE,
    )
    learn(w / "c", w / "m", 60)
    done("predict", "--model", w / "m", "--cohort", w / "c", "--cases", "all", "--out", w / "p")
    for name in edits:
        path = w / f"p/{name}.nii.gz"
        if not expect(path.exists(), f"{name}: no prediction"):
            continue
        got, raw = nib.load(path), nib.load(w / f"raw/{name}.nii.gz")
        expect(got.shape == shape, f"{name}: shape {got.shape}, not {shape}")
        for form in ("sform", "qform"):
            a, b = place(got.header, form), place(raw.header, form)
            apart = np.linalg.norm((a - b) @ [10, 12, 8, 1])
            expect(
                apart < 0.01 * min(1, np.abs(np.diag(raw.affine)[:3]).max()),
                f"{name}: {apart:.1f} mm beside the scan where the {form} counts first",
            )
        expect(
            np.allclose(got.affine, raw.affine, atol=1e-4 * np.abs(raw.affine).max()),
            f"{name}: another affine",
        )
        unit, wanted = got.header.get_xyzt_units()[0], raw.header.get_xyzt_units()[0]
        expect(
            unit == wanted or (wanted, unit) == ("unknown", "mm"),
            f"{name}: units {unit}, not {wanted}",
        )
        expect(
            np.issubdtype(got.get_data_dtype(), np.integer),
            f"{name}: stored as {got.get_data_dtype()}",
        )
        expect(set(np.unique(values(path))) <= {0, 3}, f"{name}: values {np.unique(values(path))}")
    mean = np.mean(
        [overlap(values(w / f"p/{n}.nii.gz"), values(w / f"maps/{n}.nii.gz")) for n in edits]
    )
    expect(mean > 0.5, f"mean Dice {mean:.2f}: predictions do not lie over the labels")

"""DICOM series as archives send them: shuffled names, no extension, no preamble, varying slope, MONOCHROME1,
doubles, gaps.

Each folder must become the right volume (values and place), or be rejected under its own name with a reason.
No slice may be left out silently: a series of 12 slices of which 2 files lack the preamble is read with 12 or
rejected, never taken with 10. A folder of files without any preamble is read or named. A gap, unequal
distances, a tilt, two series, a localizer, a truncated file: rejected (or repaired) with the reason.
"""

import os
import re
import shutil

import numpy as np
import pydicom
from common import ONE, Cohort, Stop, blob, check, dicom_series, expect, ssl3d
from pydicom.uid import generate_uid


@check
def main(w):
    raw, right = w / "raw", {}
    scan, _ = blob((20, 24, 12), seed=5)
    whole = (scan + 900).clip(0, 4000).round()
    lps = lambda v: v[::-1, ::-1]  # noqa: E731  x and y of DICOM run against those of NIfTI

    def series(folder, good=True, expected=None, **how):
        dicom_series(raw / folder, whole, **how)
        if good:
            right[folder] = lps(whole if expected is None else expected)

    def shift(at):
        return lambda data, k: setattr(data, "ImagePositionPatient", at(k))

    series("plain")
    series("noext", name="{:03d}")
    dicom_series(raw / "shuffled", whole)
    for k in range(12):
        os.rename(raw / f"shuffled/{k:03d}.dcm", raw / f"shuffled/x{(k * 7) % 12:03d}.dcm")
    right["shuffled"] = lps(whole)
    series("jitter", edit=shift(lambda k: [0, 0, 2 * k + (0.004 if k % 2 else 0)]))
    series("reversed", expected=whole[:, :, ::-1], edit=shift(lambda k: [0, 0, 30 - 2 * k]))

    def slopes(data, k):
        data.RescaleSlope, data.RescaleIntercept = f"{1 + 0.1 * k:.6g}", f"{-10 * k}"

    series(
        "slopes",
        edit=slopes,
        expected=np.stack([whole[:, :, k] * (1 + 0.1 * k) - 10 * k for k in range(12)], -1),
    )
    series("headless", preamble=False, name="{:03d}")
    dicom_series(raw / "mixture", whole, name="{:03d}")
    for k in (10, 11):
        data = pydicom.dcmread(raw / f"mixture/{k:03d}")
        data.preamble = None
        pydicom.dcmwrite(raw / f"mixture/{k:03d}", data, enforce_file_format=False)
    right["mixture"] = lps(whole)
    series("gap", good=False)
    os.remove(raw / "gap/005.dcm")
    series("tilt", good=False, edit=shift(lambda k: [0, 0.35 * k, 2 * k]))
    series("uneven", good=False, edit=shift(lambda k: [0, 0, 2 * k if k < 6 else 12 + 3 * (k - 6)]))
    series("twice", good=False)
    shutil.copy(raw / "twice/003.dcm", raw / "twice/003 (1).dcm")
    series("pair", good=False)
    dicom_series(raw / "pair", whole, name="b{:03d}.dcm")
    series("cut", good=False)
    (raw / "cut/004.dcm").write_bytes((raw / "cut/004.dcm").read_bytes()[:900])
    series("localizer", good=False)
    data = pydicom.dcmread(raw / "localizer/000.dcm")
    data.ImageOrientationPatient, data.SOPInstanceUID = [1, 0, 0, 0, 0, -1], generate_uid()
    pydicom.dcmwrite(raw / "localizer/loc.dcm", data)
    result = ssl3d(
        "prepare",
        "folder",
        "--raw",
        raw,
        "--out",
        w / "c",
        *ONE,
        "--intensity",
        "window:-1024,8000",
    )
    if result.traceback or not (w / "c").exists():
        raise Stop(f"prepare: exit {result.rc}, {result.last}")
    cohort = Cohort(w / "c")
    for folder in sorted(raw.iterdir()):
        name = folder.name
        told = name in cohort.rejected or re.search(rf"(?<!\w){name}\b", result.text)
        if not expect(
            name in cohort.cases or told,
            f"{name}: {len(list(folder.iterdir()))} files passed over without a word",
        ):
            continue
        if name not in right:
            expect(
                name not in cohort.cases or name in ("twice", "localizer", "pair"),
                f"{name}: taken as if it were whole",
            )
        elif name in cohort.cases:
            got, want = cohort.image(name) * 9024 - 1024, right[name]
            if expect(
                got.shape == want.shape, f"{name}: {got.shape[2]} of 12 slices, nothing said"
            ):
                expect(abs(got - want.clip(-1024, 8000)).max() < 6, f"{name}: other values")
                expect(
                    np.allclose(np.abs(np.diag(cohort.affine(name))), [1.2, 1.5, 2, 1], atol=0.01),
                    f"{name}: other voxel sizes",
                )
        else:
            expect(
                name in ("headless", "mixture"),
                f"{name} was rejected: {cohort.rejected.get(name, '')[-90:]}",
            )

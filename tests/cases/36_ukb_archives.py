"""UK Biobank archives: a scan marked unusable, no FLAIR, an empty mask, a mask of another shape, a torn zip, a
copy "name (1).zip", .ZIP.

Each person is prepared or rejected by number with the reason; the others go on; two visits of a person are
one patient. No archive is passed over without a word.
"""

import gzip
import os
import zipfile

import nibabel as nib
import numpy as np
from common import ONE, Cohort, Stop, blob, check, expect, ssl3d

AFFINE = np.diag([-1.0, 1, 1, 1])


@check
def main(w):
    raw = w / "raw"
    raw.mkdir()

    def packed(data, affine=AFFINE):
        return gzip.compress(nib.Nifti1Image(data, affine).to_bytes())

    def person(number, visit="2_0", mask=None, usable=True, flair=True):
        scan, label = blob((20, 24, 18), seed=number % 97)
        first = {
            "T1/T1.nii.gz": packed(scan),
            "T1/T1_brain_mask.nii.gz": packed(label if mask is None else mask),
        }
        first["T1/T1_unbiased.nii.gz" if usable else "T1/unusable/T1.nii.gz"] = packed(scan)
        for kind, members in (
            ("20252", first),
            ("20253", {"T2_FLAIR/T2_FLAIR_unbiased.nii.gz": packed(scan[::-1].copy())}),
        ):
            if kind == "20252" or flair:
                with zipfile.ZipFile(raw / f"{number}_{kind}_{visit}.zip", "w") as file:
                    for name, content in members.items():
                        file.writestr(name, content)

    for number in (1000001, 1000002, 1000003):
        person(number)
    person(1000003, "3_0")
    person(1000004, flair=False)
    person(1000005, usable=False)
    person(1000006, mask=np.zeros((20, 24, 18), np.uint8))
    person(1000007, mask=np.ones((20, 24, 17), np.uint8))
    person(1000009)
    torn = raw / "1000009_20252_2_0.zip"
    torn.write_bytes(torn.read_bytes()[:3000])
    person(1000010)
    os.rename(raw / "1000010_20252_2_0.zip", raw / "1000010_20252_2_0 (1).zip")
    person(1000011)
    os.rename(raw / "1000011_20253_2_0.zip", raw / "1000011_20253_2_0.ZIP")
    result = ssl3d(
        "prepare", "ukb-brain", "--raw", raw, "--size", 16, 16, 16, "--out", w / "c", *ONE
    )
    if result.traceback or not (w / "c").exists():
        raise Stop(f"prepare: exit {result.rc}, {result.last}")
    cohort = Cohort(w / "c")
    for number in (1000001, 1000002, 1000003):
        expect(f"{number}_2_0" in cohort.cases, f"{number} is missing")
    for number in (1000004, 1000005, 1000006, 1000007, 1000009, 1000010, 1000011):
        expect(
            any(str(number) in n for n in cohort.cases) or result.said(number),
            f"{number}: passed over without a word",
        )
    two = [n for n in cohort.cases if "1000003" in n]
    expect(
        len(two) == 2 and len({cohort.patient(n) for n in two}) == 1,
        "two visits of a person are not one patient",
    )

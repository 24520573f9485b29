"""Forty odd NIfTI files in one folder, as scanners, converters and copies leave them.

Each must be read right (values and place in RAS, one z-score over its 0.5 to 99.5 percentiles or any affine
rescaling of the raw values), or be rejected under its own name with a reason that a radiographer understands.
Complex numbers must not lose their imaginary part silently. No file that looks like a scan (.mgz, .img/.hdr)
may be passed over without a word: it is read, rejected, or named in what is printed. No Python class names in
a reason.
"""

import gzip
import os
import struct

import nibabel as nib
import numpy as np
from common import ONE, Cohort, Stop, blob, check, expect, save, ssl3d

AFFINE = np.array([[-1.5, 0, 0, 30], [0, 1.2, 0, -20], [0, 0, 2.0, -10], [0, 0, 0, 1]])


@check
def main(w):
    raw = w / "raw"
    raw.mkdir()
    scan, label = blob((20, 24, 16), seed=3)
    whole = scan.astype(np.int16)
    right = {}  # name → values and affine, to be read
    wrong = []  # to be rejected with a reason

    def put(
        name, data=whole, affine=AFFINE, edit=None, kind=nib.Nifti1Image, end=".nii.gz", bad=False
    ):
        save(raw / f"{name}{end}", data, affine, edit, kind)
        wrong.append(name) if bad else right.update({name: (np.asarray(data), affine)})

    def patch(name, *edits, expected=None, affine=AFFINE, edit=None, bad=False):
        put(name, edit=edit, end=".nii", bad=bad)
        data = bytearray((raw / f"{name}.nii").read_bytes())
        for place, new in edits:
            data[place : place + len(new)] = new
        (raw / f"{name}.nii").write_bytes(data)
        if not bad:
            right[name] = (whole if expected is None else expected, affine)

    floats = lambda *numbers: struct.pack(f"<{len(numbers)}f", *numbers)  # noqa: E731
    put("plain")
    put("float64_huge", scan.astype(np.float64) * 1.7e6 / scan.max())
    put(
        "int64", whole.astype(np.int64), edit=lambda x: x.set_data_dtype(np.int64)
    ) if False else None
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.int16)
    nib.save(nib.Nifti1Image(whole, AFFINE, header), raw / "bigendian.nii.gz")
    right["bigendian"] = (whole, AFFINE)
    put("nifti2", kind=nib.Nifti2Image)
    put("upper")
    os.rename(raw / "upper.nii.gz", raw / "upper.NII.GZ")
    put("trailing", whole[..., None, None])
    put(
        "oblique",
        affine=np.array(
            [[1.0, -0.3, 0.05, 3], [0.28, 1, 0.1, 4], [-0.02, -0.1, 2, 5], [0, 0, 0, 1]]
        ),
    )
    put("permuted", affine=np.array([[-1.0, 0, 0, 3], [0, 0, 1.1, 4], [0, -2, 0, 5], [0, 0, 0, 1]]))
    put("negative", (whole - 2000).astype(np.int16))
    patch("slope0", (112, floats(0, 5)))
    patch("slopenan", (112, floats(np.nan, np.nan)))
    patch("slopeneg", (112, floats(-2, 10)), expected=-2.0 * whole + 10)
    put("qformonly", edit=lambda x: (x.set_qform(AFFINE, 1), x.set_sform(None, 0)))
    other = AFFINE.copy()
    other[:3, 3] += [50, -30, 20]
    put("disagree", edit=lambda x: (x.set_sform(AFFINE, 2), x.set_qform(other, 1)))
    patch(
        "zerosform",
        (254, struct.pack("<h", 1)),
        (280, bytes(48)),
        edit=lambda x: x.set_qform(AFFINE, 1),
        bad=True,
    )
    rgb = np.zeros(whole.shape, [("R", "u1"), ("G", "u1"), ("B", "u1")])
    rgb["R"] = scan.clip(0, 255)
    put("colour", rgb, bad=True)
    put("complex", (scan + 1j * scan[::-1]).astype(np.complex64), bad=True)
    put("nans", np.where(label > 0, scan, np.nan).astype(np.float32), bad=True)
    put("constant", np.full_like(whole, 7), bad=True)
    put("five", np.stack([whole] * 5, -1), bad=True)
    put("flat", whole[:, :, 0], bad=True)
    packed = gzip.compress(nib.Nifti1Image(whole, AFFINE).to_bytes())
    (raw / "cut.nii.gz").write_bytes(packed[: len(packed) // 2])
    (raw / "empty.nii.gz").write_bytes(b"")
    (raw / "notzipped.nii.gz").write_bytes(gzip.decompress(packed))
    (raw / "zipped.nii").write_bytes(packed)
    (raw / "._plain.nii.gz").write_bytes(b"\0\5\26\7" * 10)  # litter of a desktop: to be ignored
    nib.save(nib.Nifti1Pair(whole, AFFINE), raw / "pair.hdr")
    nib.save(nib.MGHImage(whole.astype(np.int32), AFFINE), raw / "surfer.mgz")
    for name in ("with space", "ümläut", "中文"):
        put(name)
    result = ssl3d("prepare", "folder", "--raw", raw, "--out", w / "c", *ONE)
    if result.rc not in (0, 1) or result.traceback:
        raise Stop(f"prepare ended with {result.rc}: {result.last}")
    cohort = Cohort(w / "c")
    for name, (data, affine) in right.items():
        if name not in cohort.cases:
            expect(False, f"{name} was not read: {cohort.rejected.get(name, 'nothing said')[-80:]}")
            continue
        want = nib.as_closest_canonical(nib.Nifti1Image(data.astype(np.float64), affine))
        array, target = cohort.image(name), np.squeeze(want.get_fdata())
        target = target.clip(*np.percentile(target, (0.5, 99.5)))
        same = (
            array.shape == target.shape
            and np.corrcoef(array.clip(*np.percentile(array, (0.5, 99.5))).ravel(), target.ravel())[
                0, 1
            ]
            > 0.999
        )
        expect(same, f"{name}: other values than the raw file's")
        expect(
            np.allclose(cohort.affine(name), want.affine, atol=1e-3), f"{name}: in another place"
        )
    for name in [*wrong, "cut", "empty"]:
        reason = cohort.rejected.get(name, "")
        expect(name not in cohort.cases, f"{name} was taken without a word")
        expect(name in cohort.cases or reason, f"{name} was passed over without a word")
        expect(
            "<class" not in reason and "dtype" not in reason,
            f"{name}: unclear reason '{reason[-90:]}'",
        )
    for name in ("notzipped", "zipped"):  # read right or rejected
        expect(
            name in cohort.cases or name in cohort.rejected,
            f"{name} was passed over without a word",
        )
    for name in ("pair", "surfer"):
        known = (
            name in cohort.cases
            or name in cohort.rejected
            or result.said(name, f".{name}", ".mgz" if name == "surfer" else ".img")
        )
        expect(known, f"{name} was passed over without a word")

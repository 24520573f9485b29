"""(a) Six patients came twice: two DICOM series each with one PatientID. (b) One stray NIfTI file lies among
DICOM folders.

(a) Scans of one PatientID belong to one patient and stand in one fold, without a table; `verify` of a cohort
that splits them would find it. (b) Twelve DICOM series must not be dropped because one NIfTI file was found:
take both kinds, or refuse, or say which files were left out.
"""

from common import (
    DICOM_AFFINE,
    ONE,
    Cohort,
    Stop,
    blob,
    check,
    dicom_series,
    done,
    expect,
    save,
    ssl3d,
)


@check
def main(w):
    for p in range(6):
        for visit in ("pre", "post"):
            scan, label = blob((16, 16, 8), seed=2 * p + (visit == "post"))
            dicom_series(w / f"dicom/{p}_{visit}", scan.clip(0).round(), patient=f"HOSP{p:04d}")
            save(w / f"maps/{p}_{visit}.nii.gz", label, DICOM_AFFINE)
    result = done(
        "prepare", "folder", "--raw", w / "dicom", "--labels", w / "maps", "--out", w / "c", *ONE
    )
    cohort = Cohort(w / "c")
    if len(cohort.labelled()) != 12:
        raise Stop(f"{len(cohort.labelled())} of 12 scans are labelled: {result.last}")
    apart = [p for p in range(6) if cohort.fold(f"{p}_pre") != cohort.fold(f"{p}_post")]
    expect(
        not apart,
        f"the two scans of {len(apart)} of 6 patients with one PatientID stand in different folds",
    )
    one = [p for p in range(6) if cohort.patient(f"{p}_pre") == cohort.patient(f"{p}_post")]
    expect(len(one) == 6, f"PatientID is known of {len(one)} of 6 patients")
    save(w / "dicom/0_pre/mask_test.nii.gz", blob((16, 16, 8))[0])
    result = ssl3d("prepare", "folder", "--raw", w / "dicom", "--out", w / "d", *ONE)
    if result.rc == 0 and not result.said(
        "dicom series", "dicom files", "dicom folder", "left out", "mixed", "both"
    ):
        expect(
            len(Cohort(w / "d").cases) >= 12,
            f"a stray NIfTI file: {len(Cohort(w / 'd').cases)} of 13 scans prepared, exit 0, nothing said",
        )

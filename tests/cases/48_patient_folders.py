"""NIfTI files in a folder for each patient, with sessions (sub-01/ses-1/t1.nii.gz, sub-01/ses-2/t1.nii.gz), and
no table.

The layout says whose a scan is. Right: scans of sub-01 form one patient in one fold; or `prepare` says that
each of the 12 scans is taken for a patient of its own and that folders hold several (with --table named).
Never silently on two sides of a split.
"""

from common import ONE, Cohort, blob, check, done, expect, save


@check
def main(w):
    for p in range(6):
        for s in (1, 2):
            scan, label = blob((10, 10, 10), seed=2 * p + s)
            save(w / f"raw/sub-{p:02d}/ses-{s}/t1.nii.gz", scan)
            save(w / f"maps/sub-{p:02d}/ses-{s}/t1.nii.gz", label)
    result = done(
        "prepare", "folder", "--raw", w / "raw", "--labels", w / "maps", "--out", w / "c", *ONE
    )
    cohort, folds = Cohort(w / "c"), {}
    for name in cohort.cases:
        folds.setdefault(name[:6], set()).add(cohort.fold(name))
    apart = [p for p, f in folds.items() if len(f) > 1]
    expect(
        not apart or result.said("--table", "of its own", "one patient", "several scans"),
        f"the two scans of {len(apart)} of 6 subjects stand in two folds, nothing said",
    )

"""Two hospitals use the same file names; names differ in letter case or extension only; a folder and a file give
one id.

Scans are kept apart or the command refuses and names both files; a label map is never given to another scan.
Flat labels for scans in folders, and label maps beside the scans, are matched or told by name, never passed
over.
"""

from pathlib import Path

from common import ONE, Cohort, blob, check, done, expect, save, ssl3d


@check
def main(w):
    small = (8, 8, 8)
    for i, hospital in enumerate("AB"):
        for k in range(3):
            scan, label = blob(small, seed=10 * i + k)
            save(w / f"raw/{hospital}/scan{k}.nii.gz", scan)
            save(w / f"maps/{hospital}/scan{k}.nii.gz", label)
    done("prepare", "folder", "--raw", w / "raw", "--labels", w / "maps", "--out", w / "c", *ONE)
    cohort = Cohort(w / "c")
    expect(len(cohort.labelled()) == 6, f"{len(cohort.labelled())} of 6 cases are labelled")
    truths = [blob(small, seed=10 * i + k)[1].sum() for i in range(2) for k in range(3)]
    expect(
        sorted(int((cohort.label(n) > 0).sum()) for n in cohort.labelled())
        == sorted(map(int, truths)),
        "labels of other scans",
    )
    for name, (one, two) in {
        "twins": ("b.nii.gz", "b.nii"),
        "joined": ("a_b.nii.gz", "a/b.nii.gz"),
    }.items():
        save(w / name / one, blob(small, seed=1)[0])
        save(w / name / two, blob(small, seed=2)[0])
        save(w / name / "other.nii.gz", blob(small, seed=3)[0])
        result = ssl3d("prepare", "folder", "--raw", w / name, "--out", w / f"c{name}", *ONE)
        kept = (
            len(Cohort(w / f"c{name}").cases)
            if result.rc in (0, 1) and (w / f"c{name}/cohort.json").exists()
            else 0
        )
        expect(
            kept == 3 or (result.rc != 0 and result.said(Path(one).name, Path(two).name)),
            f"{name}: {kept} of 3 kept, {result.last}",
        )
    for i in range(3):
        scan, label = blob(small, seed=i)
        save(w / f"flat/s{i}/t1.nii.gz", scan)
        save(w / f"flatmaps/s{i}.nii.gz", label)
        save(w / f"beside/s{i}/t1.nii.gz", scan)
        save(w / f"beside/s{i}/seg.nii.gz", label)
    result = ssl3d(
        "prepare",
        "folder",
        "--raw",
        w / "flat",
        "--labels",
        w / "flatmaps",
        "--out",
        w / "cf",
        *ONE,
    )
    matched = result.rc == 0 and len(Cohort(w / "cf").labelled()) == 3
    expect(matched or (result.rc != 0 and result.said("s0")), f"flat labels: {result.last}")
    result = ssl3d(
        "prepare", "folder", "--raw", w / "beside", "--channels", "t1", "--out", w / "cb", *ONE
    )
    expect(
        result.said("seg") or len(Cohort(w / "cb").labelled()) == 3,
        f"maps beside scans: {result.last}",
    )

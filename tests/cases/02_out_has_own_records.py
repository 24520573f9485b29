"""--out is the user's project folder, which holds a folder `records`, drafts `*.part` and pictures of its own.

`prepare` must not delete or change any file it did not make itself. Right: refuse a folder that is not empty
and no cohort (exit code not 0, folder named), or prepare there and leave all else alone. Only what carries
the product's own mark may be cleared away.
"""

from common import ONE, Cohort, blobs, check, expect, hashes, ssl3d, unchanged


@check
def main(w):
    project = w / "project"
    blobs(project / "scans", None, 4, (8, 8, 8))
    for name in (
        "records/consent.csv",
        "records/2023/a.pdf",
        "images/fig1.png",
        "labels/notes.txt",
        "notes/.draft.part",
        "paper/.text.docx.123.part",
    ):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("mine")
    before = hashes(project)
    result = ssl3d("prepare", "folder", "--raw", project / "scans", "--out", project, *ONE)
    unchanged(project, before, f"prepare --out project (exit {result.rc})")
    if result.rc == 0:
        expect(len(Cohort(project).cases) == 4, f"{len(Cohort(project).cases)} of 4 cases")
    else:
        expect(result.said("project"), f"refused without naming the folder: {result.last}")

"""`show --out` names an existing file that is no page (a raw scan, a manuscript); `predict --out` goes through a
link to the labels.

No command overwrites a file that it did not make. Right: refuse with the file named, or write beside it. A
page that `show` made itself may be renewed.
"""

import os
from pathlib import Path

from common import ONE, blobs, check, digest, done, expect, hashes, ssl3d, train, unchanged


@check
def main(w):
    blobs(w / "raw", w / "maps", 6, (12, 12, 12))
    done("prepare", "folder", "--raw", w / "raw", "--labels", w / "maps", "--out", w / "c", *ONE)
    (w / "draft.html").write_text("my own page")

    for name in ("raw/p00.nii.gz", "draft.html"):
        before = digest(w / name)
        result = ssl3d("show", w / "c", "--out", w / name)
        expect(
            digest(w / name) == before,
            f"show --out {Path(name).name}: overwritten, exit {result.rc}",
        )
    for _ in range(2):
        done("show", w / "c", "--out", w / "page.html")
    train(w / "c", w / "m", 1)
    os.symlink(w / "maps", w / "link")
    before = hashes(w / "maps")
    result = ssl3d("predict", "--model", w / "m", "--cohort", w / "c", "--out", w / "link")
    unchanged(w / "maps", before, f"predict --out through a link to the labels (exit {result.rc})")

"""What a hurried person types: sizes as "96", a window with a colon, sizes and spacings that need petabytes,
--out in the raw folder.

Each mistake ends at once with exit code not 0 and one message that names the setting or the value; never a
traceback, never a crash for memory. --out equal to --raw or above it is refused, since a cohort among raw
scans is mistaken for them later (or it works, and a second run finds the same cases). Nothing is written
where the mistake was made.
"""

from common import ONE, Cohort, blobs, check, expect, hashes, ssl3d, unchanged


@check
def main(w):
    blobs(w / "raw", w / "maps", 4, (12, 12, 12))
    before = hashes(w / "raw")
    raw, out = ("--raw", w / "raw"), ("--out", w / "x", *ONE)
    labels = ("--labels", w / "maps")
    mistakes = {
        "nowhere": (("--raw", w / "nowhere", *out), "nowhere"),
        "size 96": ((*raw, "--size", "96", *out), "size"),
        "size 0": ((*raw, "--size", 0, 12, 12, *out), "size"),
        "size 100000": ((*raw, "--size", 100000, 100000, 100000, *out), ("size", "100000")),
        "spacing 0.001": ((*raw, "--spacing", 0.001, 0.001, 0.001, *out), ("spacing", "0.001")),
        "window:-100:240": ((*raw, "--intensity", "window:-100:240", *out), "window"),
        "minmax": ((*raw, "--intensity", "minmax", *out), "minmax"),
        "three names": ((*raw, *labels, "--label-names", "bg", "organ", "more", *out), "name"),
        "folds 2": ((*raw, *labels, "--folds", 2, *out), "fold"),
        "workers 0": ((*raw, "--out", w / "x", "--workers", 0), "workers"),
        "value 7": ((*raw, *labels, "--label-values", 0, 7, *out), ("value", "1")),
        "labels twice": ((*raw, "--labels", w / "raw", *out), "label"),
    }
    for name, (arguments, word) in mistakes.items():
        result = ssl3d("prepare", "folder", *arguments, timeout=60)
        expect(result.rc != 0, f"{name}: exit 0")
        words = word if isinstance(word, tuple) else (word,)
        expect(
            result.traceback or result.said(*words),
            f"{name}: the message names no {words[0]}: {result.last}",
        )
    result = ssl3d("prepare", "fodler", *raw, *out)
    expect(result.rc != 0 and result.said("folder"), "a misspelt recipe: no hint")
    result = ssl3d("prepare", "folder", *raw, "--out", w / "raw", *ONE)
    if result.rc == 0:  # then a second run must see the same scans
        again = ssl3d("prepare", "folder", *raw, "--out", w / "y", *ONE)
        expect(
            again.rc == 0 and len(Cohort(w / "y").cases) == 4,
            "--out RAW: a later run takes other files for scans",
        )
    unchanged(w / "raw", before, "--out RAW")
    result = ssl3d(
        "pretrain",
        "--cohort",
        w / "raw" if result.rc == 0 else w / "maps",
        "--out",
        w / "e",
        "--task",
        "jigsw",
    )
    expect(result.rc != 0 and result.said("jigsaw", "cohort"), f"task jigsw: {result.last}")

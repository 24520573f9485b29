"""A user sends predictions to the folder of the raw scans, or of the labels: the names are the same.

Raw scans and labels of other people must never be overwritten by predictions. Right: refuse before anything
is written (exit code not 0, the folder is named), or write under other names so that every file that was
there stays byte for byte as it was. A file that an earlier `predict` wrote may be renewed.
"""

from common import ONE, check, done, expect, hashes, hippocampus, ssl3d, train, unchanged


@check
def main(w):
    task = hippocampus(w / "task", 9)
    done("prepare", "msd", "--raw", task, "--task", "Task04_Hippocampus", "--out", w / "c", *ONE)
    train(w / "c", w / "m", 1)
    for part in ("imagesTr", "labelsTr"):
        before = hashes(task)
        result = ssl3d("predict", "--model", w / "m", "--cohort", w / "c", "--out", task / part)
        unchanged(task, before, f"predict --out {part} (exit {result.rc})")
        expect(result.rc == 0 or result.said(part), f"refused without naming {part}: {result.last}")

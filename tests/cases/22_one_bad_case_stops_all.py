"""One scan of six cannot be used: its header says 400 mm a voxel (--spacing 1 would need 488 GB), its name is
too long, or it is a named pipe.

A case that cannot be used is rejected with its reason, and the others go on, with one process and with
several; never a traceback, an end of the whole run, or a wait without end. A pipe, a socket, a dangling link
are no scans: ignore or reject them within seconds.
"""

import os

import numpy as np
from common import ONE, Cohort, Stop, blob, check, expect, save, ssl3d


@check
def main(w):
    for i in range(6):
        scan, _ = blob((16, 16, 16), seed=i)
        save(w / f"raw/p{i}.nii.gz", scan, np.diag([400.0] * 3 + [1]) if i == 3 else None)
    for workers in (1, 2):
        out = w / f"c{workers}"
        result = ssl3d(
            "prepare",
            "folder",
            "--raw",
            w / "raw",
            "--spacing",
            1,
            1,
            1,
            "--out",
            out,
            "--workers",
            workers,
        )
        if result.traceback:
            expect(False, f"{workers} workers: a scan of 400 mm ends the run")
        elif expect((out / "cohort.json").exists(), f"{workers} workers: no cohort: {result.last}"):
            expect(
                len(Cohort(out).cases) == 5 and result.said("p3"),
                f"{workers} workers: p3 is not named",
            )
    for i in range(4):
        save(w / f"long/p{i}.nii.gz", blob((8, 8, 8), seed=i)[0])
    save(w / "long" / ("医" * 70) / ("学" * 70 + ".nii.gz"), blob((8, 8, 8))[0])
    result = ssl3d("prepare", "folder", "--raw", w / "long", "--out", w / "d", *ONE)
    good = (w / "d/cohort.json").exists() and len(Cohort(w / "d").cases) >= 4
    expect(good, f"a long name ends the run: {result.last}")
    for i in range(4):
        save(w / f"apart/pipe/p{i}.nii.gz", blob((8, 8, 8), seed=i)[0])
    os.mkfifo(w / "apart/pipe/pipe.nii.gz")
    os.symlink("/nowhere/x.nii.gz", w / "apart/pipe/dangling.nii.gz")
    os.symlink("..", w / "apart/pipe/loop")
    try:
        result = ssl3d(
            "prepare", "folder", "--raw", w / "apart/pipe", "--out", w / "e", *ONE, timeout=40
        )
        good = (w / "e/cohort.json").exists() and len(
            [n for n in Cohort(w / "e").cases if n[0] == "p" and n != "pipe"]
        ) == 4
        expect(good, f"a named pipe ends the run: {result.last}")
    except Stop:
        expect(False, "a named pipe: no answer in 40 s")

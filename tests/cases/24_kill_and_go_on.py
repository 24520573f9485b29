"""`prepare` and `finetune` are killed (kill -9) half-way; the same command is given again.

It goes on and ends with what an undisturbed run gives: the same cases, folds and voxels, and a network with
the same scores. No half-written file is taken for whole.
"""

import os
import subprocess
import time

from common import ONE, TINY, Cohort, blobs, check, done, environment, expect, numbers, program


def kill_when(ready, *arguments):
    process = subprocess.Popen(
        [program(), *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,
    )
    end = time.time() + 120
    while process.poll() is None and time.time() < end and not ready():
        time.sleep(0.02)
    time.sleep(0.1)
    os.killpg(process.pid, 9)
    process.wait()


@check
def main(w):
    blobs(w / "raw", w / "maps", 12, (32, 32, 32))
    base = (
        "prepare",
        "folder",
        "--raw",
        w / "raw",
        "--labels",
        w / "maps",
        "--size",
        16,
        16,
        16,
        *ONE,
        "--out",
    )
    done(*base, w / "whole")
    kill_when(lambda: len(list((w / "c").rglob("*.npy"))) > 5, *base, w / "c")
    done(*base, w / "c")
    done("verify", w / "c", *ONE)
    a, b = Cohort(w / "whole"), Cohort(w / "c")
    same = a.cases.keys() == b.cases.keys() and all(
        a.fold(n) == b.fold(n) and (a.label(n) == b.label(n)).all() for n in a.cases
    )
    expect(same, "prepare: another cohort than undisturbed")
    base = (
        "finetune",
        "--cohort",
        w / "c",
        "--encoder",
        "random",
        "--steps",
        60,
        *TINY,
        "--checkpoint-every",
        10,
        "--out",
    )
    whole = numbers(done(*base, w / "m"))
    kill_when(lambda: len(list((w / "n").rglob("*"))) > 1, *base, w / "n")
    again = numbers(done(*base, w / "n"))
    expect(
        whole and whole == again,
        f"finetune: scores {again[:3]} after a kill, {whole[:3]} undisturbed",
    )

"""A cohort and a network lie on a read-only disk (a shared data set); a user fine-tunes, predicts and verifies
into a folder of his own.

Reading needs no right to write: all must work, and nothing may be written beside the cohort or the network.
(Run as root, the command is not let past permissions.)
"""

import subprocess

from common import ONE, blobs, check, done, environment, expect, hashes, ssl3d, train, without_root


@check
def main(w):
    blobs(w / "raw", w / "maps", 6, (12, 12, 12))
    done(
        "prepare", "folder", "--raw", w / "raw", "--labels", w / "maps", "--out", w / "data/c", *ONE
    )
    train(w / "data/c", w / "data/m", 1)
    user = without_root()
    (w / "home").mkdir()
    (w / "home").chmod(0o777)
    subprocess.run(["chmod", "-R", "a-w,a+rX", str(w / "data")])
    more = {"prefix": user, "env": environment(HOME=str(w / "home")), "cwd": w / "home"}
    before = hashes(w / "data")
    result = ssl3d(
        "predict", "--model", w / "data/m", "--cohort", w / "data/c", "--out", w / "home/p", **more
    )
    expect(result.rc == 0, f"predict: exit {result.rc}, {result.last}")
    result = ssl3d("verify", w / "data/c", *ONE, **more)
    expect(result.rc == 0, f"verify: exit {result.rc}, {result.last}")
    result = ssl3d("show", w / "data/c", "--out", w / "home/page.html", **more)
    expect(result.rc == 0, f"show: exit {result.rc}, {result.last}")
    expect(hashes(w / "data") == before, "something was written beside the cohort")

"""The same command is started twice at once (two terminals, an array job): one folder.

Either both end with 0 and the result is whole, or one refuses and says that another run is at work there.
Never a traceback, never a half-written cohort or network.
"""

import subprocess

from common import (
    ONE,
    TINY,
    Cohort,
    Result,
    blobs,
    check,
    done,
    environment,
    expect,
    program,
    ssl3d,
)


def both(*arguments, lag=0.5):
    command = [program(), *map(str, arguments)]

    def start():
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()
        )

    first = start()
    subprocess.run(["sleep", str(lag)])
    for process in (first, start()):
        out, err = process.communicate(timeout=200)
        result = Result([str(a) for a in arguments], process.returncode, out.decode(), err.decode())
        expect(not result.traceback, f"{result.command}: traceback ({result.last})")
        expect(
            result.rc == 0 or result.refused, f"{result.command}: exit {result.rc}, {result.last}"
        )


@check
def main(w):
    blobs(w / "raw", w / "maps", 16, (24, 24, 24))
    both("prepare", "folder", "--raw", w / "raw", "--labels", w / "maps", "--out", w / "c", *ONE)
    done("verify", w / "c", *ONE)
    expect(len(Cohort(w / "c").labelled()) == 16, "cases are missing")
    both(
        "finetune",
        "--cohort",
        w / "c",
        "--encoder",
        "random",
        "--steps",
        20,
        *TINY,
        "--out",
        w / "m",
        "--checkpoint-every",
        10,
        lag=2,
    )
    result = ssl3d(
        "finetune",
        "--cohort",
        w / "c",
        "--encoder",
        "random",
        "--steps",
        20,
        *TINY,
        "--out",
        w / "m",
        "--checkpoint-every",
        10,
    )
    expect(result.rc == 0, f"the same command afterwards: {result.last}")

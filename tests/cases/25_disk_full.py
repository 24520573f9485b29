"""A quota or a limit of file size is reached while `prepare`, `finetune`, `show` and `predict` write.

Each ends with exit code not 0 and one line that says what could not be written and why; no traceback, no half
file under the final name; and the same command without the limit goes on to the end. (A limit of 20 kB a file
stands for the full disk.)
"""

import resource

from common import ONE, blobs, check, done, expect, ssl3d


def limited(*arguments):
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # noqa: E731
    import signal

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    return ssl3d(*arguments, preexec_fn=limit)


@check
def main(w):
    blobs(w / "raw", w / "maps", 9, (24, 24, 24))
    prepare = (
        "prepare",
        "folder",
        "--raw",
        w / "raw",
        "--labels",
        w / "maps",
        *ONE,
        "--out",
        w / "c",
    )
    finetune = (
        "finetune",
        "--cohort",
        w / "c",
        "--encoder",
        "random",
        "--steps",
        10,
        "--filters",
        8,
        16,
        "--out",
        w / "m",
    )
    show = ("show", w / "c", "--out", w / "page.html")
    for command in (prepare, finetune, show):
        result = limited(*command)
        expect(result.rc != 0, f"{result.command}: exit 0 although nothing could be written")
        expect(
            result.traceback or result.said("too large", "write", "space"),
            f"{result.command}: unclear: {result.last}",
        )
        if command is not finetune:  # which takes long, and goes on as others do
            done(*command)
    expect((w / "page.html").exists(), "no page")
    done("verify", w / "c", *ONE)

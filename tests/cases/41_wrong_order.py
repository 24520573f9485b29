"""Steps in the wrong order, wrong folders, impossible numbers of labels.

Each ends with exit code not 0 and one line that names the folder or the setting: a cohort given for an
encoder or a network, --labels 1000. Nothing that was there is changed. A network into a cohort's folder is
refused, or both stay whole and usable.
"""

from common import ONE, TINY, blobs, check, done, expect, hashes, ssl3d, train, unchanged


@check
def main(w):
    blobs(w / "raw", w / "maps", 9, (16, 16, 16))
    done("prepare", "folder", "--raw", w / "raw", "--labels", w / "maps", "--out", w / "c", *ONE)
    train(w / "c", w / "m")
    cohort, model = hashes(w / "c"), hashes(w / "m")
    base = ("finetune", "--cohort", w / "c", "--steps", 10, *TINY)
    tries = {
        "--labels 1000": (
            (*base, "--encoder", "random", "--labels", 1000, "--out", w / "x"),
            ("1000",),
        ),
        "--encoder COHORT": (
            (*base, "--encoder", w / "c", "--out", w / "x"),
            ("encoder", "/c", " c "),
        ),
        "predict --model COHORT": (
            ("predict", "--model", w / "c", "--cohort", w / "c", "--out", w / "p"),
            ("network", "model", "/c", " c "),
        ),
        "finetune --out COHORT": (
            (*base, "--encoder", "random", "--out", w / "c"),
            ("cohort", "/c", " c "),
        ),
    }
    for name, (arguments, words) in tries.items():
        result = ssl3d(*arguments)
        expect(result.rc != 0 or name == "finetune --out COHORT", f"{name}: exit 0")
        expect(result.rc == 0 or result.said(*words), f"{name}: unclear: {result.last}")
    unchanged(w / "c", cohort, "the cohort")
    unchanged(w / "m", model, "the network")
    done("verify", w / "c", *ONE)

"""An encoder was pretrained with --fold 0; the network is fine-tuned, or probed, with --fold 1: its test
patients were seen in pretraining.

The result is not a test result any more. Right: refuse, or say in so many words that test cases were seen in
pretraining (fold named, on the output and in what is kept). The same holds for `predict --cases test` with
another fold than the network's. With the same fold nothing is said.
"""

from common import ONE, TINY, blobs, check, done, expect, ssl3d


@check
def main(w):
    blobs(w / "raw", w / "maps", 12, (16, 16, 16))
    done("prepare", "folder", "--raw", w / "raw", "--labels", w / "maps", "--out", w / "c", *ONE)
    task = ("--task", "masked", "--steps", 10, *TINY)
    done("pretrain", "--cohort", w / "c", *task, "--fold", 0, "--out", w / "e")
    told = (
        "seen in pretrain",
        "pretrained on",
        "pretrained with",
        "seen",
        "leak",
        "--fold",
        "fold 0",
        "other fold",
        "another fold",
    )
    base = ("--cohort", w / "c", "--encoder", w / "e", "--labels", 2)
    result = ssl3d("finetune", *base, "--steps", 10, "--fold", 1, "--out", w / "m")
    expect(
        result.said(*told),
        f"finetune --fold 1 on an encoder of fold 0: exit {result.rc}, nothing said",
    )
    result = ssl3d("probe", *base, "--draws", 1, "--fold", 1)
    expect(
        result.said(*told),
        f"probe --fold 1 on an encoder of fold 0: exit {result.rc}, nothing said",
    )
    result = ssl3d("finetune", *base, "--steps", 10, "--fold", 0, "--out", w / "n")
    expect(result.rc == 0, f"the same fold: exit {result.rc}")

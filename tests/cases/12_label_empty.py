"""Half of the label maps are empty (no lesion in these patients), or, by a mistake of export, all are.

Some empty: training and test go on, and the score says in how many cases the class is absent. All empty:
there is nothing to learn; `prepare`, or at the latest `finetune` and `probe`, refuses in words (no label
value but 0, the folder of maps named or the words "empty"/"background"), without a traceback.
"""

from common import ONE, TINY, blob, check, done, expect, save, ssl3d, train


@check
def main(w):
    for i in range(8):
        scan, label = blob((16, 16, 16), seed=i)
        save(w / f"raw/p{i:02d}.nii.gz", scan)
        save(w / f"some/p{i:02d}.nii.gz", label * (i > 3))
        save(w / f"none/p{i:02d}.nii.gz", label * 0)
    done("prepare", "folder", "--raw", w / "raw", "--labels", w / "some", "--out", w / "c", *ONE)
    result = train(w / "c", w / "m")
    expect(
        result.said("absent", "empty", "without", "1 of 2"),
        "some maps empty: the score does not say so",
    )
    result = ssl3d(
        "prepare", "folder", "--raw", w / "raw", "--labels", w / "none", "--out", w / "d", *ONE
    )
    words = ("empty", "background", "no label", "nothing but 0", "only 0", "no class")
    if result.refused:
        expect(result.said(*words), f"all maps empty: unclear: {result.last}")
        return
    for command in (("finetune", "--steps", 10, "--out", w / "n"), ("probe", "--labels", 1)):
        result = ssl3d(command[0], "--cohort", w / "d", "--encoder", "random", *TINY, *command[1:])
        expect(result.rc != 0, f"{command[0]} on empty maps ended with 0")
        expect(
            result.traceback or result.said(*words),
            f"{command[0]} on empty maps: unclear: {result.last}",
        )

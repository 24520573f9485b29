"""A network was trained on --channels t1 flair and is applied to a cohort prepared with --channels flair t1.

The channels have names; a network must get each where it learnt it. Right: refuse (exit code not 0, the
channels are named), or sort the channels by name so that the result is as good as with the right order. Never
silently a worse segmentation.
"""

import numpy as np
from common import ONE, Stop, blob, check, dice, done, expect, learn, save, ssl3d


@check
def main(w):
    for i in range(12):
        _, label = blob((24, 24, 24), seed=i)
        random = np.random.default_rng(100 + i)
        decoy = 100 + 80 * np.roll(label, 6, 0) + 5 * random.normal(size=label.shape)
        lesion = 100 + 80 * label + 5 * random.normal(size=label.shape)
        save(w / f"raw/p{i:02d}_t1.nii.gz", decoy.astype(np.float32))
        save(w / f"raw/p{i:02d}_flair.nii.gz", lesion.astype(np.float32))
        save(w / f"maps/p{i:02d}.nii.gz", label)
    base = (
        "prepare",
        "folder",
        "--raw",
        w / "raw",
        "--labels",
        w / "maps",
        "--size",
        24,
        24,
        24,
        *ONE,
        "--channels",
    )
    done(*base, "t1", "flair", "--out", w / "a")
    done(*base, "flair", "t1", "--out", w / "b")
    learn(w / "a", w / "m")
    done("predict", "--model", w / "m", "--cohort", w / "a", "--out", w / "pa")
    good = dice(w / "pa", w / "maps")
    if good < 0.6:
        raise Stop(f"the test's own network is too weak: Dice {good:.2f}")
    result = ssl3d("predict", "--model", w / "m", "--cohort", w / "b", "--out", w / "pb")
    if result.rc == 0:
        bad = dice(w / "pb", w / "maps")
        expect(
            bad > good - 0.05,
            f"channels swapped, exit 0, nothing said: Dice {bad:.2f}, not {good:.2f}",
        )
    else:
        expect(
            result.said("flair", "channel"), f"refused without naming the channels: {result.last}"
        )

"""A network trained on one preparation (window, own spacing) is applied to a cohort of another (z-score; 2 mm).

The preparation belongs to the network. Right: refuse (exit code not 0, the setting that differs is named:
intensity, spacing), or prepare the scans as the network wants them so that the result is as good. A loud
warning with the setting's name is accepted too. Never silently a useless segmentation.
"""

from common import ONE, Stop, blobs, check, dice, done, expect, learn, ssl3d


@check
def main(w):
    blobs(w / "raw", w / "maps", 12, (24, 24, 24))
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
    )
    done(*base, "--intensity", "window:0,300", "--out", w / "a")
    done(*base, "--intensity", "zscore", "--out", w / "b")
    done(*base, "--intensity", "window:0,300", "--spacing", 2, 2, 2, "--out", w / "c")
    learn(w / "a", w / "m")
    done("predict", "--model", w / "m", "--cohort", w / "a", "--out", w / "pa")
    good = dice(w / "pa", w / "maps")
    if good < 0.6:
        raise Stop(f"the test's own network is too weak: Dice {good:.2f}")
    for name, word in {"b": "intensity", "c": "spacing"}.items():
        result = ssl3d("predict", "--model", w / "m", "--cohort", w / name, "--out", w / f"p{name}")
        if result.rc == 0 and not result.said(word):
            bad = dice(w / f"p{name}", w / "maps")
            expect(
                bad > good - 0.1,
                f"other {word}, exit 0, nothing said: Dice {bad:.2f}, not {good:.2f}",
            )
        else:
            expect(result.said(word), f"refused without naming the {word}: {result.last}")

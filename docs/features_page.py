"""Writes features.html: what a trained encoder knows that a random one and place alone do not.

    python docs/features_page.py

The patients are virtual hippocampi, so their page may go anywhere. An encoder is trained on the
others by CPC, without labels, which takes a CPU about ten minutes; four of the test set are shown.
"""

import tempfile
from pathlib import Path

import ssl3d_lite as ssl3d
from ssl3d_lite.data.registry import make_cohort

CASES, STEPS = 60, 1200
TITLE = "Point at patient A"
TEXT = (
    "Four virtual patients whom no training has seen. Rings show the voxels of B, C and D that are "
    "most like the one you point at, green where the label is the same. The last picture is A "
    "again, seen through a crop. Drag the crop: what knows the anatomy stays on it."
)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = make_cohort("virtual-hippocampus", Path(folder), cases=CASES)
        cohort = ssl3d.Cohort.open(made).to("cpu")
        encoder = ssl3d.make_encoder(cohort, seed=0)
        ssl3d.pretrain(ssl3d.make_task("cpc", encoder, seed=0), encoder, cohort, steps=STEPS)
        view = ssl3d.show.Features(
            encoder,
            cohort,
            cases=cohort.split().test[:4],
            names=("trained (CPC)", "random weights"),
        )
        view.save(Path(__file__).with_name("features.html"), TITLE, TEXT)


if __name__ == "__main__":
    main()

"""A study must find a gain that is there, and none that is not.

Planted scans all show one fixed texture, shifted, under noise two and a half times as strong; no
voxel can be read alone. Filling in hidden parts cannot be learnt but by knowing the texture.
"""

from dataclasses import replace

import numpy as np
import pytest
from helpers import make_cohort
from scipy.ndimage import gaussian_filter

from ssl3d_lite.data.cohort import array_path, write_array
from ssl3d_lite.study import Study, run_study
from ssl3d_lite.study.claims import claims

EDGE, SHIFT, NOISE = 48, 8, 2.5
PLANTED = Study(
    name="planted",
    scale="smoke",
    title="Planted",
    arms=("masked", "scratch", "random", "random@batch"),
    labels=("2", "4"),
    cohort={},
    seeds=5,
    protocols=("finetune", "probe"),
    encoder={"filters": [8, 16, 32], "norm": "group"},
    tasks={"masked": {"crop_size": EDGE}},
    pretrain={"steps": 200, "batch": 8},
    finetune={"steps": 60, "batch": 4, "learning_rate": 3e-3},
    warm_up=0.5,
    probe={"draws": 2, "voxels": 1000},
)


def smooth(generator, width):
    field = gaussian_filter(generator.normal(size=(2 * EDGE, 2 * EDGE)), width, mode="wrap")
    return field / field.std()


def of_the_texture(zones, place, generator):
    """Zones that move with the texture, so they can be read from it and from nothing else."""
    return zones[place]


def of_nothing(zones, place, generator):
    """All but a few voxels are of class 1, whatever the scan shows."""
    return generator.choice(3, p=(0.02, 0.96, 0.02), size=(EDGE, EDGE)).astype(np.uint8)


def plant(folder, label):
    fixed = np.random.default_rng(99)
    texture = smooth(fixed, 2)
    zones = np.argmax([smooth(fixed, 7) for _ in range(3)], 0).astype(np.uint8)
    cohort = make_cohort(folder, 60, (EDGE, EDGE))
    for index, case in enumerate(cohort.cases):
        generator = np.random.default_rng(1000 + index)
        place = tuple(slice(start, start + EDGE) for start in generator.integers(0, SHIFT, 2))
        image = texture[place] + generator.normal(0, NOISE, (EDGE, EDGE))
        write_array(array_path(folder, "images", case.id), image[None].astype(np.float16))
        write_array(array_path(folder, "labels", case.id), label(zones, place, generator))


def verdicts(folder, label, study=PLANTED):
    plant(folder / "scans", label)
    results = run_study(study, folder / "out", cohort=folder / "scans")
    return {claim.name: finding.verdict for claim in claims(results) for finding in claim.findings}


@pytest.mark.slow
def test_where_the_labels_can_be_read_only_from_what_the_puzzle_needs_it_holds(tmp_path):
    found = verdicts(tmp_path, of_the_texture)
    assert found["better features"] == "holds"
    assert found["fewer labels"] == "holds"


@pytest.mark.slow
def test_where_the_labels_have_nothing_to_do_with_the_scans_it_does_not_hold(tmp_path):
    # trained to the end, so that where each arm stood on the way is forgotten
    longer = PLANTED.finetune | {"steps": 100}
    found = verdicts(tmp_path, of_nothing, replace(PLANTED, labels=("8", "16"), finetune=longer))
    assert found == dict.fromkeys(
        ("better features", "fewer labels", "better final score"), "does not hold"
    )


@pytest.mark.parametrize("label", [of_the_texture, of_nothing])
def test_the_scans_are_what_they_are_said_to_be(tmp_path, label):
    """The same texture lies under all; the labels follow it in one cohort and not in the other."""
    plant(tmp_path, label)
    images = [np.load(array_path(tmp_path, "images", f"case_{i:03d}"))[0] for i in range(60)]
    labels = [np.load(array_path(tmp_path, "labels", f"case_{i:03d}")) for i in range(60)]
    starts = [tuple(np.random.default_rng(1000 + i).integers(0, SHIFT, 2)) for i in range(60)]
    inner = EDGE - SHIFT

    def aligned(arrays):
        return np.stack(
            [
                a[SHIFT - 1 - x :, SHIFT - 1 - y :][:inner, :inner]
                for a, (x, y) in zip(arrays, starts, strict=True)
            ]
        )

    noise = aligned(images).astype(float)
    assert noise.mean(0).std() == pytest.approx(1, abs=0.25)
    assert (noise - noise.mean(0)).std() == pytest.approx(NOISE, rel=0.05)
    same = (aligned(labels) == aligned(labels)[0]).all()
    assert same == (label is of_the_texture)

"""Settings with a name: the paper's, those of its authors' code, and our own for a quick run.

Every number stands beside its source:

* [P] Taleb et al., NeurIPS 2020 (arXiv 2006.03829), section 4 and appendix
* [O] the authors' code, github.com/HealthML/self-supervised-3d-tasks
* [D] derived: what neither says, from what they say

Voxels are those of the paper's volumes, 128³, and images, 224². Smaller scans are refused with
the size that came and the size that was wanted.
"""

from dataclasses import dataclass
from typing import Any, Literal, get_args

from ssl3d_lite.errors import InputError, unknown
from ssl3d_lite.tasks import task_classes

PresetName = Literal["quick", "paper", "original"]
SettingsTable = dict[str, Any]


@dataclass(frozen=True)
class Preset:
    """Settings that differ from the defaults of their dataclasses."""

    shape: SettingsTable  # fields of EncoderSettings: filters, block, norm
    training: SettingsTable  # fields of TrainSettings
    tasks: dict[str, SettingsTable]  # task → fields of its own settings


# ---- quick: what a laptop learns in a minute ---------------------------------------------------

QUICK_STEPS = {"rpl": 600, "jigsaw": 300}  # small patches; else 150 steps, which take as long
QUICK_SCANS = {"rotation": 4, "rpl": 8, "jigsaw": 8, "exemplar": 8, "random": 4, "collapsed": 8}
QUICK_SLICES = 32  # in 2D; in 3D, of a task not named above, 2 scans


def quick_settings(task: str, dims: int) -> SettingsTable:
    """Training settings with which a task takes about a minute on two cores."""
    return {
        "steps": QUICK_STEPS.get(task, 150),
        "batch": QUICK_SCANS.get(task, 2) if dims == 3 else QUICK_SLICES,
        # for CPC better than 1e-3 on validation cases of virtual hippocampi
        "learning_rate": 1e-3 if task in ("exemplar", "collapsed") else 2e-3,
    }


# ---- paper and original ------------------------------------------------------------------------

# [O]; [P] names none
PUBLISHED_BATCH = {"cpc": 32, "rpl": 32, "jigsaw": 8, "rotation": 4, "exemplar": 2}
PUBLISHED_EPOCHS = 1000  # [O]; [P] names none
PUBLISHED_LEARNING_RATE = {
    "paper": {3: 1e-3, 2: 5e-4},  # [P] appendix
    "original": {3: 1e-4, 2: 1e-4},  # [O]
}
PUBLISHED_SHAPE = {
    # [P] residual blocks on five levels. For photographs it has DenseNet-121, whose shape
    # is its own: --network densenet121.
    "paper": {"filters": (32, 64, 128, 256, 512), "block": "residual", "norm": "batch"},
    "original": {"filters": (16, 32, 64, 128, 256), "block": "plain", "norm": "batch"},  # [O]
}
PLAIN_ADAM = {"weight_decay": 0.0, "clip": 0.0}  # [P] plain Adam
PUBLISHED_EDGE = {3: 128, 2: 224}  # [P] edge of a volume, edge of an image
CPC_PATCH = {3: (50, 25), 2: (88, 44)}  # [D] (patch, stride): 4 an axis [O], half overlapping [P]
PUZZLE_PATCH = {3: 39, 2: 71}  # [D] a third of the edge, less the jitter


def published_settings(name: str, dims: int) -> dict[str, SettingsTable]:
    """Task settings of the paper or the original, for volumes of ``dims`` axes."""
    patch, stride = CPC_PATCH[dims]
    return {
        "cpc": {
            "patch": patch,
            "stride": stride,
            "max_patches": 4,  # [O] 64 patches in 3D
            "jitter": 3,  # [P]
            "embedding_dim": 64,  # [P] patch embedding
            "hidden": 1024,  # [P] code size
            "context": "gru",  # [P]
        },
        "rpl": {"patch": PUZZLE_PATCH[dims], "jitter": 3, "queries_per_scan": 1},  # [P]
        "jigsaw": {
            "patch": PUZZLE_PATCH[dims],
            "jitter": 3,  # [P]
            "permutations": {"paper": 1000, "original": 100}[name],  # [P], [O]
        },
        # [P] whole volumes; several rotated copies each
        "rotation": {"crop_size": PUBLISHED_EDGE[dims]},
        "exemplar": {
            "crop_size": PUBLISHED_EDGE[dims],  # [P] whole volumes
            "margin": 1.0,  # [P]
            "embedding_dim": 1024,  # [P]
            "flip": 0.5,  # [P]
            "rotation": 0.5,  # [P]
            "contrast": 0.5,  # [P]
            "zoom": 0.2,  # [P] by up to 20 %
        },
    }


# ---- choosing ----------------------------------------------------------------------------------


def preset(name: str, tasks: str = "cpc", dims: int = 3) -> Preset:
    """The preset ``name`` for a task, or for several joined by "+".

    Raises:
        InputError: no such preset or task; or the task is in neither paper nor original.
    """
    if name not in get_args(PresetName):
        raise unknown("preset", name, get_args(PresetName))
    names = [kind.name for kind in task_classes(tasks)]
    if name == "quick":
        return Preset({}, quick_settings(names[0], dims), {task: {} for task in names})
    known = published_settings(name, dims)
    for task in names:
        if task not in known:
            raise InputError(f"{task} is not in the paper, so it has no preset {name!r}; use quick")
    training = {
        "batch": PUBLISHED_BATCH[names[0]],
        "epochs": PUBLISHED_EPOCHS,
        "learning_rate": PUBLISHED_LEARNING_RATE[name][dims],
        **PLAIN_ADAM,
    }
    return Preset(dict(PUBLISHED_SHAPE[name]), training, {task: known[task] for task in names})

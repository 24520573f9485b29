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

Name = Literal["quick", "paper", "original"]
Settings = dict[str, Any]


@dataclass(frozen=True)
class Preset:
    """Settings that differ from the defaults of their dataclasses."""

    shape: Settings  # of networks.EncoderSettings: filters, block, norm
    training: Settings  # of training.TrainSettings
    tasks: dict[str, Settings]  # task → its own settings


# ---- quick: what a laptop learns in a minute ---------------------------------------------------

STEPS = {"rpl": 600, "jigsaw": 300}  # of small patches; else 150, which take about as long
SCANS = {"rotation": 4, "rpl": 8, "jigsaw": 8, "exemplar": 8, "random": 4, "collapsed": 8}  # else 2
SLICES = 32  # in 2D


def quick(task: str, dims: int) -> Settings:
    """Training settings with which a task takes about a minute on two cores."""
    return {
        "steps": STEPS.get(task, 150),
        "batch": SCANS.get(task, 2) if dims == 3 else SLICES,
        # for CPC better than 1e-3 on validation cases of virtual hippocampi
        "learning_rate": 1e-3 if task in ("exemplar", "collapsed") else 2e-3,
    }


# ---- paper and original ------------------------------------------------------------------------

BATCH = {"cpc": 32, "rpl": 32, "jigsaw": 8, "rotation": 4, "exemplar": 2}  # [O]; [P] names none
EPOCHS = 1000  # [O]; [P] names none
LEARNING_RATE = {
    "paper": {3: 1e-3, 2: 5e-4},  # [P] appendix
    "original": {3: 1e-4, 2: 1e-4},  # [O]
}
SHAPE = {
    # [P] residual blocks on five levels. For photographs it has DenseNet-121, whose shape
    # is its own: --network densenet121.
    "paper": {"filters": (32, 64, 128, 256, 512), "block": "residual", "norm": "batch"},
    "original": {"filters": (16, 32, 64, 128, 256), "block": "plain", "norm": "batch"},  # [O]
}
ADAM = {"weight_decay": 0.0, "clip": 0.0}  # [P] plain Adam
EDGE = {3: 128, 2: 224}  # [P] of a volume, of an image
CPC_PATCH = {3: (50, 25), 2: (88, 44)}  # [D] (patch, stride): 4 an axis [O], half overlapping [P]
PUZZLE_PATCH = {3: 39, 2: 71}  # [D] a third of the edge, less the jitter


def published(name: str, dims: int) -> dict[str, Settings]:
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
        "rotation": {"crop_size": EDGE[dims]},  # [P] whole volumes; several turned copies each
        "exemplar": {
            "crop_size": EDGE[dims],  # [P] whole volumes
            "margin": 1.0,  # [P]
            "memory": 0,  # [P] the counter-example is another scan of the batch
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
    if name not in get_args(Name):
        raise unknown("preset", name, get_args(Name))
    names = [kind.name for kind in task_classes(tasks)]
    if name == "quick":
        return Preset({}, quick(names[0], dims), {task: {} for task in names})
    known = published(name, dims)
    for task in names:
        if task not in known:
            raise InputError(f"{task} is not in the paper, so it has no preset {name!r}; use quick")
    training = {
        "batch": BATCH[names[0]],
        "epochs": EPOCHS,
        "learning_rate": LEARNING_RATE[name][dims],
        **ADAM,
    }
    return Preset(dict(SHAPE[name]), training, {task: known[task] for task in names})

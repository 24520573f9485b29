"""Settings with a name: the paper's, those of its authors' code, and our own for a quick run.

The paper's and its code's stand in one table, :data:`PUBLISHED`, each value beside its source:

* P: Taleb et al., NeurIPS 2020 (arXiv 2006.03829), section 4 and appendix
* O: the authors' code, github.com/HealthML/self-supervised-3d-tasks, a path below
  ``self_supervised_3d_tasks``
* ours: what neither says, or cannot be said in our terms, and why

docs/presets.md shows the table, what of the code is not rebuilt, what a step needs in memory, and
what the puzzles give away. Voxels are those of the paper's volumes, 128³, and images, 224². Smaller
scans are refused with the size that came and the size that was wanted.
"""

from collections.abc import Iterator
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
# These read their answer off the mean of each feature, which instance norm nearly levels out: after
# 150 steps on real hippocampi a jigsaw is put together in 10 % of puzzles with batch norm, and in
# none with instance norm (chance 1 %; one seed).
QUICK_BATCH_NORM = ("rpl", "jigsaw", "rotation", "exemplar")
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

PUBLISHED_TASKS = ("cpc", "rpl", "jigsaw", "rotation", "exemplar")
PUBLISHED_EDGE = {3: 128, 2: 224}  # P, O: edge of a volume, edge of an image
_3D, _2D = (3,), (2,)
_ADAM = "O: keras' Adam(lr), in algorithms/*.py; P: Adam"
_HEAD = "O: models/fully_connected.py; P: a hidden layer, without its width"
_CELLS = "P: jitter 3; O: algorithms/jigsaw.py takes a third of the edge, less the jitter"
_CELLS_2D = "O: configs/train/jigsaw_2d.json, patch_jitter 8"
_TWO_LAYERS = "ours: the code has two layers, 2048 and 1024 wide (models/fully_connected.py)"
_SILENT = "O; P is silent"
_OURS_TOO = "O: algorithms/exemplar.py; ours: one layer more"


@dataclass(frozen=True)
class PresetValue:
    """A setting as the paper and its authors' code have it, and where each of them says so."""

    where: str
    """The task whose setting it is; or "encoder" or "training"."""
    field: str
    paper: tuple[Any, str]
    """The paper's value, and its source."""
    original: tuple[Any, str]
    """That of the authors' code, and its source."""
    dims: tuple[int, ...] = (3, 2)
    """In how many dimensions."""
    task: str = ""
    """The task for which a setting of the training holds, if not for all."""


def _batches() -> Iterator[PresetValue]:
    for dims, end, batches in (
        (_3D, "3d", (32, 32, 8, 4, 2)),
        (_2D, "2d", (64, 32, 32, 32, 16)),
    ):
        for task, batch in zip(PUBLISHED_TASKS, batches, strict=True):
            source = f"O: configs/train/{task}_{end}.json"
            silent = f"{source}; P is silent"
            yield PresetValue("training", "batch", (batch, silent), (batch, source), dims, task)


PUBLISHED: tuple[PresetValue, ...] = (
    PresetValue(
        "encoder",
        "filters",
        ((32, 64, 128, 256, 512), "P: appendix"),
        ((16, 32, 64, 128, 256), "O: models/unet3d.py, with enc_filters 16"),
    ),
    PresetValue("encoder", "block", ("residual", "P: appendix"), ("plain", "O: models/unet3d.py")),
    PresetValue("encoder", "norm", ("batch", _SILENT), ("batch", "O: models/unet3d.py")),
    PresetValue("encoder", "stride", (1, "P: Çiçek et al.'s U-Net"), (1, "O: models/unet3d.py")),
    *_batches(),
    PresetValue("training", "epochs", (1000, _SILENT), (1000, "O: configs/train/*.json")),
    PresetValue(
        "training",
        "learning_rate",
        (1e-3, "P: appendix"),
        (1e-4, "O: configs/train/*_3d.json"),
        _3D,
    ),
    PresetValue(
        "training",
        "learning_rate",
        (5e-4, "P: appendix"),
        (1e-5, "O: configs/train/*_2d.json"),
        _2D,
    ),
    PresetValue("training", "lr_decay", (0.0, _ADAM), (0.0, _ADAM)),
    PresetValue("training", "weight_decay", (0.0, _ADAM), (0.0, _ADAM)),
    PresetValue("training", "clip", (0.0, _ADAM), (0.0, _ADAM)),
    # ---- cpc
    PresetValue(
        "cpc",
        "patch",
        (50, "ours: 4 an axis that overlap by half, as P says, in 128 less the jitter"),
        (32, "O: algorithms/cpc.py, a quarter of the edge; overlap 0"),
        _3D,
    ),
    PresetValue(
        "cpc", "stride", (25, "P: half a patch"), (32, "O: preprocess_cpc.py, overlap 0"), _3D
    ),
    PresetValue(
        "cpc",
        "patch",
        (88, "ours: 4 an axis that overlap by half, as P says, in 224 less the jitter"),
        (74, "O: preprocess_cpc.py, 5 a side that overlap by 37"),
        _2D,
    ),
    PresetValue("cpc", "stride", (44, "P: half a patch"), (37, "O: preprocess_cpc.py"), _2D),
    PresetValue("cpc", "max_patches", (4, _SILENT), (4, "O: configs/train/cpc_3d.json"), _3D),
    PresetValue(
        "cpc", "max_patches", (4, "ours: as in 3D"), (5, "O: configs/train/cpc_2d.json"), _2D
    ),
    PresetValue(
        "cpc", "jitter", (3, "P"), (0, "ours: the code crops each patch at random and pads it")
    ),
    PresetValue(
        "cpc",
        "prediction_steps",
        ((2, 3), "ours: the first rows that share no voxel with the patch; they touch it"),
        ((1, 2), "O: preprocess_cpc.py, from the second of four rows on"),
        _3D,
    ),
    PresetValue(
        "cpc",
        "prediction_steps",
        ((2, 3), "ours: as in 3D"),
        ((2, 3), "O: preprocess_cpc.py, which skips a row in 2D"),
        _2D,
    ),
    PresetValue("cpc", "directions", (("+0",), _SILENT), (("+0",), "O: preprocess_cpc.py")),
    PresetValue("cpc", "context", ("gru", "P"), ("gru", "O: algorithms/cpc.py")),
    PresetValue(
        "cpc",
        "embedding_dim",
        (64, "P: patch embedding"),
        (1024, "O: algorithms/cpc.py, code_size; embed_dim is not read"),
    ),
    PresetValue("cpc", "context_dim", (256, _SILENT), (256, "O: algorithms/cpc.py")),
    PresetValue(
        "cpc", "hidden", (1024, "P: code size"), (1024, "ours: the code has no hidden layer")
    ),
    # ---- rpl and jigsaw
    *(
        row
        for task in ("rpl", "jigsaw")
        for row in (
            PresetValue(task, "patch", (39, _CELLS), (39, _CELLS), _3D),
            PresetValue(task, "jitter", (3, "P"), (3, f"O: configs/train/{task}_3d.json"), _3D),
            PresetValue(task, "patch", (71, _CELLS), (66, _CELLS_2D), _2D),
            PresetValue(task, "jitter", (3, "P"), (8, f"O: configs/train/{task}_2d.json"), _2D),
            PresetValue(task, "gap", (0, _CELLS), (0, _CELLS)),
            PresetValue(
                task,
                "normalise",
                (True, "ours: else brightness tells the place"),
                (False, "O: preprocess_rpl.py, preprocess_jigsaw.py"),
            ),
            PresetValue(task, "hidden", (1024, _HEAD), (1024, _TWO_LAYERS)),
        )
    ),
    PresetValue("rpl", "queries_per_scan", (1, "P"), (1, "O: preprocess_rpl.py")),
    PresetValue(
        "jigsaw",
        "permutations",
        (1000, "P"),
        (100, "O: utils/model_utils.py; ours are others, further apart"),
    ),
    # ---- rotation
    PresetValue(
        "rotation", "crop_size", (128, "P"), (128, "O: configs/train/rotation_3d.json"), _3D
    ),
    PresetValue(
        "rotation", "crop_size", (224, "P"), (224, "O: configs/train/rotation_2d.json"), _2D
    ),
    PresetValue(
        "rotation",
        "rotations_per_scan",
        (2, "ours: P has several"),
        (1, "O: preprocess_rotation.py"),
    ),
    PresetValue("rotation", "hidden", (1024, _HEAD), (1024, _TWO_LAYERS)),
    # ---- exemplar
    PresetValue(
        "exemplar", "crop_size", (128, "P"), (128, "O: configs/train/exemplar_3d.json"), _3D
    ),
    PresetValue(
        "exemplar", "crop_size", (224, "P"), (224, "O: configs/train/exemplar_2d.json"), _2D
    ),
    PresetValue("exemplar", "margin", (1.0, "P"), (1.0, "O: metrics.py, but of sigmoid codes")),
    PresetValue(
        "exemplar", "embedding_dim", (1024, "P"), (1024, "O: configs/train/exemplar_3d.json")
    ),
    PresetValue("exemplar", "flip", (0.5, "P"), (0.5, "O: preprocess_exemplar.py")),
    PresetValue(
        "exemplar",
        "rotation",
        (0.5, "P"),
        (0.5, "O: preprocess_exemplar.py, where it is about each axis; ours is about one"),
    ),
    PresetValue("exemplar", "contrast", (0.5, "P"), (0.5, "O: preprocess_exemplar.py"), _3D),
    PresetValue("exemplar", "contrast", (0.5, "P"), (1.0, "O: preprocess_exemplar.py"), _2D),
    PresetValue(
        "exemplar", "zoom", (0.2, "P: by up to 20 %"), (0.15, "O: preprocess_exemplar.py"), _3D
    ),
    PresetValue(
        "exemplar", "zoom", (0.2, "P: by up to 20 %"), (0.0, "O: preprocess_exemplar.py"), _2D
    ),
    PresetValue("exemplar", "hidden", (1024, _HEAD), (1024, _OURS_TOO)),
)
"""Every setting of the presets "paper" and "original" that is not left at its default."""

NOT_REBUILT = {
    "dropout of 0.5 in each block, and batch norm behind the ReLU": "models/unet3d.py",
    "max-pooling and flattening of the deepest level, where ours is a mean": "utils/model_utils.py",
    "batch norm and dropout in the heads, and a layer of 2048": "models/fully_connected.py",
    "CPC's loss, binary over one mean score, where ours is InfoNCE": "algorithms/cpc.py",
    "CPC's patches cropped to 7/8, padded and mirrored": "preprocessing/preprocess_cpc.py",
    "exemplar's three heads, one a view, by which biases alone solve it": "algorithms/exemplar.py",
    "zooming and turning of photographs before a puzzle is made": "configs/train/*_2d.json",
    "DenseNet-121 for photographs: --network densenet121": "configs/train/*_2d.json",
}
"""What the authors' code does and "original" does not → the file that does it."""


def _settings_of(where: str, name: str, dims: int, task: str = "") -> SettingsTable:
    rows = [row for row in PUBLISHED if row.where == where and dims in row.dims]
    return {row.field: getattr(row, name)[0] for row in rows if row.task in ("", task)}


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
        shape = {"norm": "batch"} if set(names) & set(QUICK_BATCH_NORM) else {}
        return Preset(shape, quick_settings(names[0], dims), {task: {} for task in names})
    for task in names:
        if task not in PUBLISHED_TASKS:
            raise InputError(f"{task} is not in the paper, so it has no preset {name!r}; use quick")
    return Preset(
        _settings_of("encoder", name, dims),
        _settings_of("training", name, dims, names[0]),
        {task: _settings_of(task, name, dims) for task in names},
    )

"""An encoder or a network, written for another program and compared with itself there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ssl3d_lite.errors import InputError, unknown
from ssl3d_lite.evaluation.raw_scans import volume_recipe, what_it_learnt
from ssl3d_lite.files import atomic_write, write_json
from ssl3d_lite.models.classifier import Classifier
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.models.foreign import check_own
from ssl3d_lite.models.unet import UNet
from ssl3d_lite.outputs import check_folder, claimed

from .graphs import GRAPH_FILES, graph_of
from .monai_bundle import inference_config, metadata
from .nnunet import PLANS, WEIGHTS, nnunet_files

ExportKind = Literal["onnx", "torchscript", "pt2", "monai", "nnunet"]
Model = Encoder | UNet | Classifier


@dataclass(frozen=True)
class Exported:
    """What was written, and by how much it differs; made to be printed."""

    folder: Path
    paths: tuple[Path, ...]
    difference: float | None
    """The largest, over all outputs for a batch of noise; None: nothing here can run it."""
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        compared = (
            "not compared: pip install onnxruntime"
            if self.difference is None
            else f"outputs differ from the network's by {self.difference:.1g} at most"
        )
        return "\n".join([*(f"{path}" for path in self.paths), compared, *self.notes])


def export(
    model: Model, to: ExportKind, out: str | Path, size: Sequence[int] | None = None
) -> Exported:
    """Write an encoder or a network for another program, and compare what it gives there.

    Args:
        model: an encoder, or a network. It is left on its device, in evaluation mode.
        to: "onnx", "torchscript" and "pt2" (``torch.export``) are graphs; "monai" is a bundle with
            the preparation of raw scans; "nnunet" has an encoder's weights for nnU-Net's plain
            U-Net with max-pooling.
        out: a folder, new or of an earlier export.
        size: voxels of the scans that a graph reads; by default what the model was trained on.

    Raises:
        InputError: the model has no such form; a library is missing; outputs differ by more than
            1e-4; ``out`` holds something else.

    Example::

        print(export(load_network("runs/few"), "monai", "bundle"))
    """
    if to not in get_args(ExportKind):
        raise unknown("format", to, get_args(ExportKind))
    check_own(model, "exported")
    check_folder(Path(out), "export")  # before a graph is made
    place = next(model.parameters()).device
    model = model.cpu().eval()
    try:
        files, difference, notes = _files_of(model, to, size)
    finally:
        model.to(place)
    with claimed(out, "export") as claim:
        claim.reserve(files)
        for name, content in files.items():
            _write(claim.folder / name, content)
    return Exported(Path(out), tuple(Path(out) / name for name in files), difference, notes)


# name → bytes, or what JSON holds; the difference; notes
FileContents = tuple[dict[str, Any], float | None, tuple[str, ...]]


def _files_of(model: Model, to: ExportKind, size: Sequence[int] | None) -> FileContents:
    if to == "nnunet":
        encoder = model if isinstance(model, Encoder) else model.encoder
        weights, plan, found = nnunet_files(encoder)
        return {WEIGHTS: weights, PLANS: plan}, found, (_FOR_NNUNET,)
    shape = _scan_of(model, size)
    if to == "monai":
        return _bundle(model, shape)
    data, difference = graph_of(model, to, shape)
    return {GRAPH_FILES[to]: data}, difference, (f"it reads (batch, {', '.join(map(str, shape))})",)


def _write(path: Path, content: Any) -> None:
    """Bytes as they are, all else as JSON."""
    path.parent.mkdir(exist_ok=True)
    if isinstance(content, bytes):
        atomic_write(path, lambda file: file.write(content))
    else:
        write_json(path, content)


_FOR_NNUNET = (
    f"put {PLANS} into the plans' configuration as its architecture, and give {WEIGHTS} as "
    "-pretrained_weights; nnU-Net prepares scans in its own way"
)


def _settings_of(model: Model) -> Any:
    return (model if isinstance(model, Encoder) else model.encoder).settings


def _scan_of(model: Model, size: Sequence[int] | None) -> tuple[int, ...]:
    """(channel, *space) of the scans that a graph reads."""
    settings, trained = _settings_of(model), model.provenance
    known = trained and (trained.patch or trained.preparation.shape)
    space = tuple(size or known or ())
    if not space:
        raise InputError("the scans that it was trained on have no one size; give one (--size)")
    if len(space) != settings.spatial_dims or min(space) < 1:
        raise InputError(f"size {space} is not one of {settings.spatial_dims} axes")
    if lack := settings.lack(space):
        raise InputError(
            f"scans of {' × '.join(map(str, space))} voxels are too small: give {lack}"
        )
    return (settings.in_channels, *space)


def _bundle(model: Model, shape: Sequence[int]) -> FileContents:
    if isinstance(model, Classifier) or _settings_of(model).spatial_dims == 2:
        raise InputError("bundles are of volumes; export a network of pictures as a graph")
    trained, learnt = what_it_learnt(model)
    recipe = volume_recipe(learnt)
    if recipe is not learnt:
        raise InputError("the network learnt slices; export it as a graph")
    made = trained.preparation
    channels = made.channels or tuple(map(str, range(shape[0])))
    names: tuple[str, ...] = ()
    values, what = None, "Features"
    if isinstance(model, UNet):
        what, names = "Segmentation", made.label_names or ()
        values = made.label_values or tuple(range(model.classes))
    about = f"{what}, trained on {trained.cohort}"
    data, difference = graph_of(model, "torchscript", shape)
    files = {
        "configs/metadata.json": metadata(about, channels, shape[1:], names),
        "configs/inference.json": inference_config(recipe, channels, shape[1:], values),
        "models/model.ts": data,
        "docs/README.md": (f"# {about}\n\n{_BUNDLE}").encode(),
    }
    return files, difference, ("docs/README.md in it says how to run it",)


_BUNDLE = """Put scans into `scans/` beside `configs/`; of several channels, `NAME_CHANNEL.nii.gz`.
Then, in this folder:

    python -m monai.bundle run --config_file configs/inference.json

It needs MONAI, torch and nibabel, and none of ssl3d_lite.

The preparation is that of the training, in MONAI's transforms. They do not do all alike. Where a
scan is cut or padded by an odd number of voxels, MONAI may begin one voxel further on. Where voxels
get another size, MONAI's first one lies on the scan's first one, and ours at the scan's edge: they
are apart by half of what the sizes differ; and only ours smooths first. What ssl3d_lite prepares it
keeps in half precision. Of one prepared scan the outputs are the same.
"""

"""What the commands do: open a cohort, make or load a network, call the library, print the result.

Each rests on the function of the same name that a notebook calls (``ssl3d_lite.pretrain``, …).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, make_dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

from ssl3d_lite.data.cohort import MANIFEST, Cohort, Split, fits
from ssl3d_lite.errors import InputError
from ssl3d_lite.evaluation.feature_files import (
    FeatureSettings,
    write_features,
    write_image_features,
)
from ssl3d_lite.evaluation.grades import OrdinalEvaluation
from ssl3d_lite.evaluation.monitor import eval_hooks
from ssl3d_lite.evaluation.prediction import how_to_see, large_enough, of_earlier_runs, predict
from ssl3d_lite.evaluation.probe import ProbeResult, probe
from ssl3d_lite.evaluation.proxy import proxy_score
from ssl3d_lite.evaluation.raw_scans import predict_images
from ssl3d_lite.evaluation.segmentation import Evaluation, evaluate
from ssl3d_lite.exports.export import Exported, ExportKind, export
from ssl3d_lite.files import read_json, write_csv
from ssl3d_lite.machine.collectives import on_rank_zero
from ssl3d_lite.machine.device import Device, choose_device
from ssl3d_lite.models.compatibility import check_test, for_channels
from ssl3d_lite.models.encoders import Encoder, make_encoder
from ssl3d_lite.models.networks import make_network
from ssl3d_lite.models.settings import EncoderSettings
from ssl3d_lite.settings import (
    FLAT,
    HIDDEN,
    CheckedSettings,
    Count,
    Positional,
    PositiveInt,
    Seed,
    Shape,
    check_values,
)
from ssl3d_lite.tasks import make_task, measure, task_classes
from ssl3d_lite.training.checkpoint import (
    RUN_SETTINGS,
    load_decoder,
    load_encoder,
    load_model,
    load_network,
)
from ssl3d_lite.training.finetuning import finetune
from ssl3d_lite.training.loop import launch_for
from ssl3d_lite.training.presets import PresetName, preset
from ssl3d_lite.training.pretraining import pretrain
from ssl3d_lite.training.settings import FinetuneSettings, PretrainSettings

TaskSettings = TypeVar("TaskSettings")


@dataclass(frozen=True)
class EncoderShape(EncoderSettings):
    """The encoder's shape, where it is not given by a pretrained one."""

    in_channels: Annotated[PositiveInt, HIDDEN] = 1
    spatial_dims: Annotated[Literal[2, 3], HIDDEN] = 3
    stride: Annotated[Literal[1, 2], "--encoder-stride"] = 2  # --stride is that of CPC's patches

    def __post_init__(self) -> None:
        check_values(self)  # filters that are not given are filled in when the network is known

    def encoder(self, cohort: Cohort, seed: int) -> Encoder:
        """A random encoder of this shape for the cohort's scans."""
        read_off = ("in_channels", "spatial_dims")  # they are the cohort's
        return make_encoder(
            cohort, seed, **{n: v for n, v in vars(self).items() if n not in read_off}
        )


# ---- pretrain ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class PretrainCommand(CheckedSettings, Generic[TaskSettings]):
    """Train an encoder on a proxy task, without labels; validation and test cases are not seen."""

    cohort: Path
    """Prepared cohort."""
    out: Path
    """Folder for the encoder and its history. The same command continues a killed run."""
    options: Annotated[TaskSettings, FLAT]
    training: Annotated[PretrainSettings, FLAT] = field(default_factory=PretrainSettings)
    shape: Annotated[EncoderShape, FLAT] = field(default_factory=EncoderShape)
    task: str = "cpc"
    """Proxy task: cpc, rpl, jigsaw, rotation, exemplar, masked; tissue; as controls random and
    collapsed. Several joined, as cpc+masked, train one encoder by turns."""
    preset: PresetName = "quick"
    """Where the settings come from that are not given: our own, the paper or its authors' code."""
    fold: Count = 0
    """The fold that is the test set."""


def pretrain_defaults(
    task: str, named: PresetName = "quick", dims: int = 3, network: str = "unet"
) -> dict[str, Any]:
    """The fields of ``ssl3d pretrain --task TASK --preset NAMED`` that have defaults; ``options``
    are the tasks' own settings."""
    chosen = preset(named, task, dims)
    own = {kind.name: kind.Settings(**chosen.tasks[kind.name]) for kind in task_classes(task)}
    if len(own) == 1:
        (options,) = own.values()
    else:
        kinds = [(name, type(each), field(default=each)) for name, each in own.items()]
        options = make_dataclass("Options", kinds, frozen=True)()
    training = PretrainSettings(**chosen.training)
    # presets shape U-Nets alone
    shape = EncoderShape(**chosen.shape) if network == "unet" else EncoderShape()
    return {
        "options": options,
        "training": training,
        "shape": shape,
        "task": task,
        "preset": named,
    }


def pretrain_command(settings: PretrainCommand) -> Encoder:
    training = settings.training
    launch_for(training)
    cohort, split = read_cohort(settings.cohort, settings.fold, training.device)
    seed = training.seed
    encoder = settings.shape.encoder(cohort, seed)
    names = [kind.name for kind in task_classes(settings.task)]
    own = {name: getattr(settings.options, name, settings.options) for name in names}
    tasks = [make_task(name, encoder.settings, seed, **vars(own[name])) for name in names]
    for task in tasks:
        if task.note:
            print(f"{task.name}: {task.note}")
    pretrain(tasks, encoder, cohort, split.pretrain, training, settings.out, fold=settings.fold)
    if not split.validation:
        print(f"{cohort.name} has no labels, so no case was held out to try the puzzles on")
    for task in tasks if split.validation else ():
        scores = on_rank_zero(proxy_score, task, encoder, cohort, split.validation, training.batch)
        name = measure(scores)
        print(
            f"{task.name} on {len(split.validation)} validation cases: {name} {scores[name]:.3f} "
            f"(guessing: {scores['chance']:.3f}), loss {scores['loss']:.3f}"
        )
    print(f"encoder: {settings.out / 'encoder.safetensors'}")
    return encoder


# ---- finetune ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class FinetuneCommand(CheckedSettings):
    """Train a network with few labels from a pretrained or a random encoder, and test it: a U-Net
    with label maps, or a classifier with the grades of an ordinal cohort."""

    cohort: Path
    """Prepared cohort."""
    out: Path
    """Folder for the network and its scores. The same command continues a killed run."""
    encoder: str
    """Folder of a pretrained encoder, or of a fine-tuned network whose encoder is taken; or
    "random" for training from scratch."""
    transfer: Literal["encoder", "network"] = "encoder"
    """What is taken of a pretrained folder: the encoder, as in the paper; or the whole network but
    for its last layer, if it was pretrained with --decoder unet."""
    labels: str = "100%"
    """Labelled cases to train with: a number, or a share such as 5%."""
    training: Annotated[FinetuneSettings, FLAT] = field(default_factory=FinetuneSettings)
    shape: Annotated[EncoderShape, FLAT] = field(default_factory=EncoderShape)
    fold: Count = 0
    """The fold that is the test set."""
    raw: Path | None = None
    """Folder of the raw scans that the cohort was prepared from. Test cases are then scored over
    their raw label maps, else in the prepared volumes."""


def finetune_command(settings: FinetuneCommand) -> Evaluation | OrdinalEvaluation:
    training = settings.training
    launch_for(training)
    cohort, split = read_cohort(settings.cohort, settings.fold, training.device)
    encoder = find_encoder(settings.encoder, cohort, settings.shape, training.seed)
    decoder = load_decoder(settings.encoder) if settings.transfer == "network" else None
    network = make_network(encoder, cohort, training.seed, decoder)
    labelled = cohort.subset(split.train, settings.labels, training.seed)
    hooks = eval_hooks(network, cohort, training, validation=split.validation, test=split.test)
    finetune(network, cohort, labelled, training, settings.out, fold=settings.fold, hooks=hooks)
    over_raw = partial(evaluate, raw=settings.raw)
    result = on_rank_zero(over_raw, network, cohort, split.test, training.patch)
    on_rank_zero(write_csv, settings.out / "scores.csv", result.rows())
    print(f"{len(labelled)} labelled cases; {len(split.test)} test cases:\n{result}")
    return result


# ---- probe -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ProbeCommand(CheckedSettings):
    """Score a frozen encoder: a linear classifier of its features, fitted on few labels, without
    and with each voxel's place among its inputs. Voxels are classified, or the pictures of an
    ordinal cohort. Beside it stand place alone, which looks at no scan, and random encoders."""

    cohort: Path
    """Prepared cohort."""
    encoder: str
    """Folder of a pretrained encoder, or "random" for a control."""
    labels: str = "5"
    """Labelled cases to fit on: a number, or a share such as 5%."""
    draws: PositiveInt = 3
    """Number of different choices of these cases."""
    controls: Count = 2
    """Number of random encoders to set beside, of the best of several kinds: plain and residual,
    with every norm and none. The kind is chosen on validation cases. 0: none."""
    transfer: bool = False
    """Transfer labels by nearest neighbours too, from one labelled scan."""
    seed: Seed = 0
    """Number that the labelled cases and random encoders' weights are drawn from."""
    shape: Annotated[EncoderShape, FLAT] = field(default_factory=EncoderShape)
    fold: Count = 0
    """The fold that is the test set."""
    device: Device = "auto"
    """auto takes a GPU where there is one."""


def probe_command(settings: ProbeCommand) -> ProbeResult:
    cohort, _ = read_cohort(settings.cohort, settings.fold, settings.device)
    encoder = find_encoder(settings.encoder, cohort, settings.shape, settings.seed)
    result = probe(
        encoder.to(choose_device(settings.device)),
        cohort,
        settings.labels,
        draws=settings.draws,
        seed=settings.seed,
        fold=settings.fold,
        controls=settings.controls,
        transfer=settings.transfer,
    )
    print(result)
    return result


# ---- predict -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class PredictCommand(CheckedSettings):
    """Segment raw scans, which are prepared as the network's own were; or the scans of a prepared
    --cohort. The answers are NIfTI files that lie over the raw scans. Pictures of an ordinal cohort
    are graded, in grades.csv."""

    model: Path
    """Folder that `ssl3d finetune` left."""
    out: Path
    """Folder for ID.nii.gz of each scan, or for grades.csv."""
    images: Path | None = None
    """Raw scans: a folder of NIfTI files or DICOM series, or one NIfTI file. Of a network of
    several channels the files' names end in these, as with `ssl3d prepare folder`."""
    cohort: Path | None = None
    """Prepared cohort, in place of raw scans."""
    cases: Literal["test", "validation", "train", "all"] = "test"
    """Which of the cohort's cases."""
    fold: Count = 0
    """The fold that is the test set."""
    workers: PositiveInt | None = None
    """Processes that prepare raw scans. Default: one a core."""
    device: Device = "auto"
    """auto takes a GPU where there is one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_source(self, "test", "predicted")


def predict_command(settings: PredictCommand) -> int:
    """Predict, and say how it went. Exit code: 1 if a scan could not be read or predicted."""
    check_prepared(settings.cohort)
    network = load_network(settings.model)
    network.to(choose_device(settings.device))
    if settings.images is not None:
        result = predict_images(network, settings.images, settings.out, workers=settings.workers)
        print(result)
        return result.exit_code
    assert settings.cohort is not None  # one of the two is given
    cohort = Cohort.open(settings.cohort)
    cases = chosen_cases(cohort, settings.cases, settings.fold)
    if settings.cases == "test":
        check_test(network, cohort, cases, settings.fold)
    patch = read_json(settings.model / RUN_SETTINGS, "network")["training"]["patch"]
    cases, small = large_enough(network, cohort, cases, None, patch)
    paths = predict(network, cohort, settings.out, cases, patch)
    raw = cohort.folder / "raw"  # where a recipe that makes raw files leaves them
    seen = how_to_see(cohort, cases[0], raw if raw.is_dir() else None, paths[0])
    lines = [f"{len(cases)} predictions in {settings.out}", *seen]
    lines += of_earlier_runs(settings.out, paths)
    print("\n".join(lines + [f"  {row['case']} left out: {row['reason']}" for row in small]))
    return int(bool(small))


# ---- features ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class FeaturesCommand(CheckedSettings):
    """Write what an encoder makes of scans: its features in colours, as NIfTI over the raw scans
    for 3D Slicer and FSLeyes, and one vector a scan in embeddings.npz."""

    encoder: str
    """Folder of a pretrained encoder, or of a fine-tuned network whose encoder is taken; with
    --cohort also "random", for a control."""
    out: Path
    """Folder for ID_colours.nii.gz of each scan, and for embeddings.npz."""
    images: Path | None = None
    """Raw scans: a folder of NIfTI files or DICOM series, or one NIfTI file. They are prepared as
    those that the encoder learnt from."""
    cohort: Path | None = None
    """Prepared cohort, in place of raw scans."""
    cases: Literal["test", "validation", "train", "all"] = "all"
    """Which of the cohort's cases."""
    fold: Count = 0
    """The fold that is the test set."""
    features: Annotated[FeatureSettings, FLAT] = field(default_factory=FeatureSettings)
    seed: Seed = 0
    """Number that a random encoder's weights are drawn from."""
    shape: Annotated[EncoderShape, FLAT] = field(default_factory=EncoderShape)
    workers: PositiveInt | None = None
    """Processes that prepare raw scans. Default: one a core."""
    device: Device = "auto"
    """auto takes a GPU where there is one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_source(self, "all", "read")
        if self.images is not None and self.encoder == "random":
            raise InputError(
                "a random encoder does not say how raw scans are to be prepared; give a cohort "
                "(--cohort)"
            )
        if self.encoder != "random" and self.seed:
            raise InputError("seed draws the weights of a random encoder; leave it out")


def features_command(settings: FeaturesCommand) -> int:
    """Write features, and say how it went. Exit code: 1 if a scan could not be read."""
    device = choose_device(settings.device)
    if settings.images is not None:
        encoder = read_encoder(settings.encoder, settings.shape).to(device)
        result = write_image_features(
            encoder, settings.images, settings.out, settings.features, settings.workers
        )
    else:
        assert settings.cohort is not None  # one of the two is given
        check_prepared(settings.cohort)
        cohort = Cohort.open(settings.cohort)
        cases = chosen_cases(cohort, settings.cases, settings.fold)
        if settings.encoder == "random":
            encoder = settings.shape.encoder(cohort, settings.seed).to(device)
        else:  # its channels are fitted to the cohort's when all else is known to suit
            encoder = read_encoder(settings.encoder, settings.shape).to(device)
        result = write_features(encoder, cohort, settings.out, cases, settings=settings.features)
    print(result)
    return result.exit_code


# ---- export ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ExportCommand(CheckedSettings):
    """Write an encoder or a network for another program, and compare what it gives there."""

    model: Positional[Path]
    """Folder that `ssl3d pretrain` or `ssl3d finetune` left."""
    to: ExportKind
    """onnx, torchscript, pt2 (torch.export): a graph. monai: a bundle with the preparation of raw
    scans. nnunet: an encoder's weights for nnU-Net's plain U-Net with max-pooling."""
    out: Path
    """Folder for the files."""
    part: Literal["whole", "encoder"] = "whole"
    """What is taken of a network: all, or its encoder."""
    size: Shape | None = None
    """Voxels of the scans that a graph reads. Default: of those that the model was trained on."""


def export_command(settings: ExportCommand) -> Exported:
    load = load_model if settings.part == "whole" else load_encoder
    result = export(load(settings.model), settings.to, settings.out, settings.size)
    print(result)
    return result


# ---- shared ------------------------------------------------------------------------------------


def check_source(settings: "PredictCommand | FeaturesCommand", usual: str, done: str) -> None:
    """Raise InputError unless raw scans or a cohort are given, and of raw scans all are taken.

    Args:
        usual: which cases are taken if none are named.
        done: what becomes of scans.
    """
    if (settings.images is None) == (settings.cohort is None):
        raise InputError("give either raw scans (--images) or a prepared cohort (--cohort)")
    if settings.images is not None and (settings.cases, settings.fold) != (usual, 0):
        raise InputError(f"cases and fold choose from a cohort; of --images all are {done}")
    if settings.cohort is not None and settings.workers is not None:
        raise InputError("workers prepare raw scans, of which a cohort has none; leave it out")


def check_prepared(folder: Path | None) -> None:
    """Raise InputError if a folder is given that holds no prepared cohort."""
    if folder is not None and not (folder / MANIFEST).exists():
        raise InputError(f"no prepared cohort in {folder}; raw scans are --images")


def read_cohort(folder: Path, fold: int, device: str) -> tuple[Cohort, Split]:
    """A cohort, with its volumes on the device if they fit there, and its split."""
    cohort, device = Cohort.open(folder), choose_device(device)
    if not fits(cohort, device):
        print(f"{cohort.name} is read from disk batch by batch: {cohort.bytes / 1e9:.0f} GB")
        return cohort, cohort.split(fold)
    return cohort.to(device), cohort.split(fold)


def chosen_cases(cohort: Cohort, which: str, fold: int) -> Sequence[int]:
    """Positions of a cohort's "test", "validation" or "train" cases, or of "all"."""
    return range(len(cohort)) if which == "all" else getattr(cohort.split(fold), which)


def find_encoder(name: str, cohort: Cohort, shape: EncoderShape, seed: int) -> Encoder:
    """The encoder in folder ``name``, fitted to the cohort's channels; or a random one."""
    if name == "random":
        return shape.encoder(cohort, seed)
    return for_channels(read_encoder(name, shape), cohort)


def read_encoder(folder: str, asked: EncoderShape) -> Encoder:
    """The encoder in ``folder``.

    Raises:
        InputError: there is none, or another shape is asked for than it has.
    """
    encoder, usual = load_encoder(folder), vars(EncoderShape())
    for name, value in vars(asked).items():
        if value not in (usual[name], own := getattr(encoder.settings, name)):
            raise InputError(
                f"{name} {value} is asked for, but the encoder in {folder} has {own}; leave it out"
            )
    return encoder

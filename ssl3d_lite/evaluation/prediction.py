"""Predictions of a trained network: in memory, and as files over the raw scans."""

import hashlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import torch
from nibabel.processing import resample_from_to
from torch import Tensor, nn
from tqdm.auto import tqdm

from ssl3d_lite.data.case import Case
from ssl3d_lite.data.cohort import Cohort, takes_cohort
from ssl3d_lite.data.provenance import Provenance
from ssl3d_lite.data.raw_header import image_over_raw
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import csv_bytes, gzip_bytes
from ssl3d_lite.models.classifier import Classifier
from ssl3d_lite.models.compatibility import channels_for, check_test
from ssl3d_lite.models.encoders import Encoder
from ssl3d_lite.models.modes import device_of
from ssl3d_lite.models.ordinal import decode
from ssl3d_lite.outputs import Corrigible, claimed
from ssl3d_lite.training.checkpoint import digest

PREDICTION_BATCH = 4  # volumes read at once
_GRADES = "grades.csv"


def predict_batch(
    network: nn.Module, images: Tensor, window: Sequence[int] | None = None
) -> Tensor:
    """Class of each voxel: (batch, channel, *space) → integers (batch, *space); of a classifier
    the grades (batch).

    With ``window`` volumes larger than it are predicted in overlapping boxes, blended smoothly.
    """
    network.eval()
    with torch.inference_mode():
        if isinstance(network, Classifier):
            return decode(network(images))
        return logits_of(network, images, window).argmax(1)


def logits_of(network: nn.Module, images: Tensor, window: Sequence[int] | None) -> Tensor:
    """A network's answer, (batch, class, *space): whole, or blended from overlapping boxes."""
    if window is None or all(s <= w for s, w in zip(images.shape[2:], window, strict=True)):
        return network(images)
    from monai.inferers import sliding_window_inference

    logits = sliding_window_inference(
        images, tuple(window), PREDICTION_BATCH, network, overlap=0.5, mode="gaussian"
    )
    assert isinstance(logits, Tensor)  # as the network gives one
    return logits


def predictions(
    network: nn.Module,
    cohort: Cohort,
    cases: Sequence[int],
    window: Sequence[int] | None = None,
) -> Iterator[Tensor]:
    """Class map (*space), or grade, on the CPU, of one case after another.

    Raises:
        InputError: the network was trained on scans that were made otherwise, or on labels of
            another meaning.
    """
    cohort.require_whole()
    return class_maps(network, cohort, cases, window, channels_for(network, cohort))


def class_maps(
    network: nn.Module,
    cohort: Cohort,
    cases: Sequence[int],
    window: Sequence[int] | None,
    channels: Sequence[int],
) -> Iterator[Tensor]:
    """As :func:`predictions`, of a network that is known to fit.

    Args:
        channels: positions of the cohort's channels, in the order in which the network reads them.
    """
    for _, alike in groupby(cases, key=lambda case: cohort.cases[case].shape):
        for batch in in_batches(list(alike)):
            images = cohort.images(batch)[:, channels].to(device_of(network))
            yield from predict_batch(network, images, window).cpu()


def large_enough(
    network: nn.Module,
    cohort: Cohort,
    cases: Sequence[int],
    axis: int | None,
    window: Sequence[int] | None,
    reader: str = "network",
) -> tuple[list[int], list[dict[str, str]]]:
    """Which of ``cases`` have voxels enough for a network to read; and {"case", "reason"} of those
    that have not.

    Args:
        axis: across which a network of slices cuts.
        window: larger volumes are predicted in such boxes, which are padded.
        reader: what a refusal calls the network.

    Raises:
        InputError: none has.
    """
    encoder = network if isinstance(network, Encoder) else getattr(network, "encoder", None)
    if not isinstance(encoder, Encoder):
        return list(cases), []
    fit, small = [], []
    for number in cases:
        case = cohort.cases[number]
        edges = [edge for place, edge in enumerate(case.shape) if place != axis]
        in_boxes = window is not None and any(e > w for e, w in zip(edges, window, strict=True))
        lack = "" if in_boxes else encoder.settings.lack(edges)
        if not lack:
            fit.append(number)
            continue
        size = " × ".join(map(str, case.shape))
        why = f"its {size} voxels are too few: the {reader} needs {lack}"
        small.append({"case": case.id, "reason": why})
    if small and not fit:
        done = "predicted" if reader == "network" else "read"
        raise InputError(f"no scan can be {done}; {small[0]['case']}: {small[0]['reason']}")
    return fit, small


def in_batches(cases: Sequence[int]) -> list[Sequence[int]]:
    """Cases, a few at a time, and none left over alone: of one torch's Conv3d takes a slow path on
    CPUs (0.25 s for a volume of 40 × 56 × 40 where two together take 0.06 s, torch 2.13), and a
    deepest level of one voxel has no BatchNorm statistics."""
    count = -(-len(cases) // PREDICTION_BATCH)
    edges = [len(cases) * batch // count for batch in range(count + 1)] if count else []
    return [cases[start:stop] for start, stop in pairwise(edges)]


# ---- back to the scan's own space --------------------------------------------------------------


def origin_of(weights: str, case: Case) -> str:
    """Which weights (:func:`digest`) made a prediction, and of which scan: 61 letters at most, the
    description in its header."""
    raw = [mark for name, mark in case.source.sha256.items() if name != "label"]
    marks = sorted(raw) or [case.sha256.get("image", "")]
    scan = hashlib.sha256(" ".join(marks).encode()).hexdigest()[:16]
    return f"ssl3d-lite: network {weights} scan {scan}"


def _scan_in(path: Path) -> str:
    """Which scan a prediction is of, by the description in its header; "" if it does not say."""
    header: Any = nibabel.load(path).header  # NIfTI-1 or -2, as the raw scan is
    return header["descrip"].item().decode(errors="replace").partition(" scan ")[2]


def over_raw(labels: np.ndarray, case: Case) -> np.ndarray:
    """A label map of the prepared volume, (*space), on the raw scan's own voxels, uint8.

    Cropping, padding, turning to RAS and resampling (nearest voxel) are undone; what lay outside
    the prepared volume is 0.
    """
    prepared = nibabel.Nifti1Image(labels.astype(np.uint8), np.array(case.affine))
    raw = (case.source.shape, np.array(case.source.affine))
    # not "constant": a position of -1e-16 would count as outside
    back = resample_from_to(prepared, raw, order=0, mode="grid-constant", cval=0)
    return np.asarray(back.dataobj).astype(np.uint8)


def prediction_file(
    name: str, classes: np.ndarray, case: Case, values: Sequence[int], origin: str = ""
) -> bytes:
    """The bytes of a class map (*space) as a NIfTI that lies over the raw scan, voxel for voxel, in
    every viewer: its header places the voxels as the raw one's does. They are compressed if the
    file's name ends in ".gz".

    See :func:`over_raw`. ``values`` are the raw label values by class; ``origin``, of 79 letters at
    most, goes into the header.
    """
    labels = over_raw(np.asarray(values, np.uint8)[classes], case)
    image = image_over_raw(labels, case.source.affine, case.source.header)
    image.header["descrip"] = origin.encode()
    return gzip_bytes(image.to_bytes()) if name.endswith(".gz") else image.to_bytes()


@takes_cohort
def predict(
    network: nn.Module,
    cohort: Cohort,
    out: str | Path,
    cases: Sequence[int] | None = None,
    window: Sequence[int] | None = None,
) -> list[Path]:
    """Predict cases and write ``out/ID.nii.gz`` for each, in the raw scan's space.

    For an ordinal cohort one ``out/grades.csv`` is written: id, grade and the grade's name.

    Args:
        cases: numbers of the cohort's cases; by default ``cohort.split().test``.
        window: size, in voxels, of the overlapping boxes in which larger volumes are predicted.

    Returns:
        The files that were written.

    Raises:
        InputError: there is no case; the cases are slices; the network was trained on scans that
            were made otherwise, or does not predict what the labels say; no cases are given, and
            those of fold 0 were seen in its training; ``out`` holds anything but predictions, or
            one of those that are wanted was corrected by hand.

    Example::

        paths = predict(load_network("model"), cohort, "predictions")
    """
    if cases is None:
        cases = cohort.split().test
        check_test(network, cohort, cases, fold=0)
    if not len(cases):
        raise InputError(f"{cohort.name} has no such cases; predict all of them (--cases all)")
    cohort = with_meaning(network, cohort)
    predicted = predictions(network, cohort, cases, window)
    if cohort.ordinal:
        return [_write_grades(predicted, cohort, cases, Path(out))]
    if cohort.spatial_dims != 3:
        raise InputError(
            f"{cohort.name} is {cohort.spatial_dims}D: a prediction is laid over a whole raw scan, "
            "so predict a 3D cohort"
        )
    return write_predictions(predicted, cohort, cases, Path(out), digest(network))


def with_meaning(network: nn.Module, cohort: Cohort) -> Cohort:
    """The cohort; if no case of it has a label, with the classes that the network tells apart."""
    trained: Provenance | None = getattr(network, "provenance", None)
    labelled = any(case.labelled for case in cohort.cases)
    if labelled or trained is None or trained.preparation.label_names is None:
        return cohort
    names = ("label_values", "label_names", "ordinal")
    known = {name: getattr(trained.preparation, name) for name in names}
    return replace(cohort, **{name: each for name, each in known.items() if each is not None})


def write_predictions(
    predicted: Iterator[Tensor], cohort: Cohort, cases: Sequence[int], out: Path, weights: str
) -> list[Path]:
    """Write the class maps of a 3D cohort's cases, each over its raw scan.

    Args:
        weights: the network's :func:`digest`.

    Raises:
        InputError: ``out`` holds anything but predictions; or one of these, corrected by hand; or
            one of another scan that is called alike.
    """
    origins = {
        f"{cohort.cases[case].id}.nii.gz": origin_of(weights, cohort.cases[case]) for case in cases
    }
    paths = []
    with claimed(out, "predict") as claim:
        files = Corrigible(claim.folder, "predict")
        files.check(origins)
        _check_scans(claim.folder, origins)
        for case, (name, origin), classes in zip(
            tqdm(cases, desc="predict", unit="case"), origins.items(), predicted, strict=True
        ):
            values = cohort.label_values
            data = prediction_file(name, classes.numpy(), cohort.cases[case], values, origin)
            paths.append(files.write(name, data))
    return paths


def _check_scans(folder: Path, origins: Mapping[str, str]) -> None:
    """Raise InputError if a prediction in ``folder`` is of another scan than the one wanted."""
    for name, origin in origins.items():
        before = _scan_in(folder / name) if (folder / name).exists() else ""
        if before and not origin.endswith(before):
            raise InputError(
                f"{folder / name} is the prediction of another scan of that name; give another "
                "folder"
            )


def of_earlier_runs(out: Path, paths: Sequence[Path]) -> list[str]:
    """In a line at most, which predictions in ``out`` this run has not written: of another
    network perhaps, or of scans that are no longer asked for."""
    written = Corrigible(out, "predict").sums
    others = sorted(written.keys() - {path.name for path in paths})
    left = [name for name in others if (out / name).exists()]
    if not left:
        return []
    return [f"{out} still holds {len(left)} predictions of earlier runs, such as {left[0]}"]


def how_to_see(cohort: Cohort, case: int, raw: Path | None, prediction: Path) -> list[str]:
    """The command that opens a prediction over its raw scan, in a line; none of photographs, of
    DICOM series, and of scans that are not where they were.

    Args:
        case: position in the cohort.
        raw: the folder that the cohort names raw files relative to; None if it is not known, and
            the user is asked to put it in.
    """
    files = dict(cohort.cases[case].source.files)
    label = files.pop("label", None)
    scan = next(iter(files.values()), "")
    if not scan.endswith((".nii", ".nii.gz")) or (raw and not (raw / scan).is_file()):
        return []
    where = Path("RAW") if raw is None else raw
    words = ["ssl3d", "show", where / scan, "--prediction", prediction]
    if label and (raw is None or (raw / label).is_file()):
        words += ["--labels", where / label]
    hint = "" if raw else "  (RAW: the folder of the raw files)"
    return [f"see one: {shlex.join(map(str, words))}{hint}"]


def _write_grades(
    predicted: Iterator[Tensor], cohort: Cohort, cases: Sequence[int], out: Path
) -> Path:
    with claimed(out, "predict") as claim:
        files = Corrigible(claim.folder, "predict")
        files.check([_GRADES])
        rows = [
            {"id": cohort.cases[case].id, "grade": int(grade), "name": cohort.label_names[grade]}
            for case, grade in zip(tqdm(cases, desc="predict", unit="case"), predicted, strict=True)
        ]
        return files.write(_GRADES, csv_bytes(rows))

"""Predictions of a trained network: in memory, and as files over the raw scans."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import nibabel
import numpy as np
import torch
from nibabel.processing import resample_from_to
from torch import Tensor, nn
from tqdm.auto import tqdm

from ssl3d_lite.data.cohort import Case, Cohort
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import atomic_write, csv_bytes, gzip_bytes
from ssl3d_lite.models.classifier import Classifier
from ssl3d_lite.models.compatibility import check_labels_fit
from ssl3d_lite.models.modes import device_of
from ssl3d_lite.models.ordinal import decode
from ssl3d_lite.outputs import Corrigible, claimed

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
        if window is None or all(s <= w for s, w in zip(images.shape[2:], window, strict=True)):
            return network(images).argmax(1)
        from monai.inferers import sliding_window_inference

        logits = sliding_window_inference(
            images, tuple(window), PREDICTION_BATCH, network, overlap=0.5, mode="gaussian"
        )
        assert isinstance(logits, Tensor)  # as the network gives one
        return logits.argmax(1)


def predictions(
    network: nn.Module,
    cohort: Cohort,
    cases: Sequence[int],
    window: Sequence[int] | None = None,
) -> Iterator[Tensor]:
    """Class map (*space), or grade, on the CPU, of one case after another."""
    for batch in in_batches(cases):
        yield from predict_batch(network, cohort.images(batch).to(device_of(network)), window).cpu()


def in_batches(cases: Sequence[int]) -> list[Sequence[int]]:
    """Cases, a few at a time, and none left over alone: of one torch's Conv3d takes a slow path on
    CPUs (0.25 s for a volume of 40 × 56 × 40 where two together take 0.06 s, torch 2.13), and a
    deepest level of one voxel has no BatchNorm statistics."""
    count = -(-len(cases) // PREDICTION_BATCH)
    edges = [len(cases) * batch // count for batch in range(count + 1)] if count else []
    return [cases[start:stop] for start, stop in pairwise(edges)]


# ---- back to the scan's own space --------------------------------------------------------------


def prediction_file(name: str, classes: np.ndarray, case: Case, values: Sequence[int]) -> bytes:
    """The bytes of a class map (*space) as a NIfTI that lies over the raw scan, voxel for voxel.
    They are compressed if the file's name ends in ".gz".

    Cropping, padding, turning to RAS and resampling are undone (nearest neighbour); what lay
    outside the prepared volume is background. ``values`` are the raw label values by class.
    """
    prepared = nibabel.Nifti1Image(np.asarray(values, np.uint8)[classes], np.array(case.affine))
    raw = (case.source.shape, np.array(case.source.affine))
    # not "constant": a position of -1e-16 would count as outside
    back = resample_from_to(prepared, raw, order=0, mode="grid-constant", cval=0)
    image = nibabel.Nifti1Image(np.asarray(back.dataobj).astype(np.uint8), raw[1])
    return gzip_bytes(image.to_bytes()) if name.endswith(".gz") else image.to_bytes()


def write_prediction(path: Path, classes: np.ndarray, case: Case, values: Sequence[int]) -> None:
    """Write one file as :func:`prediction_file` makes it."""
    data = prediction_file(path.name, classes, case, values)
    atomic_write(path, lambda file: file.write(data))


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
        InputError: the cases are slices; the network does not predict what the labels say; ``out``
            holds anything but predictions, or one of those that are wanted was corrected by hand.

    Example::

        paths = predict(load_network("model"), cohort, "predictions")
    """
    check_labels_fit(network, cohort)
    cases = cohort.split().test if cases is None else cases
    if not cohort.ordinal and cohort.spatial_dims != 3:
        raise InputError(
            f"{cohort.name} is {cohort.spatial_dims}D: a prediction is laid over a whole raw scan, "
            "so predict a 3D cohort"
        )
    with claimed(out, "predict") as claim:
        files = Corrigible(claim.folder, "predict")
        if cohort.ordinal:
            return [_write_grades(network, cohort, cases, files)]
        return _write_maps(network, cohort, cases, window, files)


def _write_maps(
    network: nn.Module,
    cohort: Cohort,
    cases: Sequence[int],
    window: Sequence[int] | None,
    files: Corrigible,
) -> list[Path]:
    names = [f"{cohort.cases[case].id}.nii.gz" for case in cases]
    files.check(names)
    paths = []
    predicted = predictions(network, cohort, cases, window)
    for case, name, classes in zip(tqdm(cases, desc="predict", unit="case"), names, predicted):
        data = prediction_file(name, classes.numpy(), cohort.cases[case], cohort.label_values)
        paths.append(files.write(name, data))
    return paths


def _write_grades(
    network: nn.Module, cohort: Cohort, cases: Sequence[int], files: Corrigible
) -> Path:
    files.check([_GRADES])
    predicted = predictions(network, cohort, cases)
    rows = [
        {"id": cohort.cases[case].id, "grade": int(grade), "name": cohort.label_names[grade]}
        for case, grade in zip(tqdm(cases, desc="predict", unit="case"), predicted, strict=True)
    ]
    return files.write(_GRADES, csv_bytes(rows))

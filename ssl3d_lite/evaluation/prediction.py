"""Predictions of a trained network: in memory, and as files over the raw scans."""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from pathlib import Path

import nibabel
import numpy as np
import torch
from nibabel.processing import resample_from_to
from torch import Tensor, nn
from tqdm.auto import tqdm

from ssl3d_lite.data.cohort import Case, Cohort
from ssl3d_lite.data.raw_header import image_over_raw
from ssl3d_lite.errors import InputError
from ssl3d_lite.files import atomic_write, write_csv, write_gzip
from ssl3d_lite.models.classifier import Classifier
from ssl3d_lite.models.compatibility import check_labels_fit
from ssl3d_lite.models.modes import device_of
from ssl3d_lite.models.ordinal import decode

PREDICTION_BATCH = 4  # volumes read at once


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
    """Class map (*space), or grade, on the CPU, of one case after another."""
    for _, alike in groupby(cases, key=lambda case: cohort.cases[case].shape):
        for batch in in_batches(list(alike)):
            images = cohort.images(batch).to(device_of(network))
            yield from predict_batch(network, images, window).cpu()


def in_batches(cases: Sequence[int]) -> list[Sequence[int]]:
    """Cases, a few at a time, and none left over alone: of one torch's Conv3d takes a slow path on
    CPUs (0.25 s for a volume of 40 × 56 × 40 where two together take 0.06 s, torch 2.13), and a
    deepest level of one voxel has no BatchNorm statistics."""
    count = -(-len(cases) // PREDICTION_BATCH)
    edges = [len(cases) * batch // count for batch in range(count + 1)] if count else []
    return [cases[start:stop] for start, stop in pairwise(edges)]


# ---- back to the scan's own space --------------------------------------------------------------


def write_prediction(path: Path, classes: np.ndarray, case: Case, values: Sequence[int]) -> None:
    """Write a class map (*space) as a NIfTI that lies over the raw scan, voxel for voxel, in every
    viewer: its header places the voxels as the raw one's does.

    Cropping, padding, turning to RAS and resampling are undone (nearest neighbour); what lay
    outside the prepared volume is background. ``values`` are the raw label values by class.
    """
    prepared = nibabel.Nifti1Image(np.asarray(values, np.uint8)[classes], np.array(case.affine))
    raw = (case.source.shape, np.array(case.source.affine))
    # not "constant": a position of -1e-16 would count as outside
    back = resample_from_to(prepared, raw, order=0, mode="grid-constant", cval=0)
    labels = np.asarray(back.dataobj).astype(np.uint8)
    image = image_over_raw(labels, case.source.affine, case.source.header)
    if path.suffix == ".gz":
        write_gzip(path, image.to_bytes())
    else:
        atomic_write(path, lambda file: file.write(image.to_bytes()))


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
        InputError: the cases are slices, or the network does not predict what the labels say.

    Example::

        paths = predict(load_network("model"), cohort, "predictions")
    """
    check_labels_fit(network, cohort)
    cases = cohort.split().test if cases is None else cases
    if cohort.ordinal:
        return [_write_grades(network, cohort, cases, Path(out))]
    if cohort.spatial_dims != 3:
        raise InputError(
            f"{cohort.name} is {cohort.spatial_dims}D: a prediction is laid over a whole raw scan, "
            "so predict a 3D cohort"
        )
    return write_predictions(network, cohort, Path(out), cases, window)


def write_predictions(
    network: nn.Module,
    cohort: Cohort,
    out: Path,
    cases: Sequence[int],
    window: Sequence[int] | None,
) -> list[Path]:
    """As :func:`predict`, of a 3D cohort that fits the network."""
    paths = []
    predicted = predictions(network, cohort, cases, window)
    for case, classes in zip(tqdm(cases, desc="predict", unit="case"), predicted, strict=True):
        paths.append(out / f"{cohort.cases[case].id}.nii.gz")
        write_prediction(paths[-1], classes.numpy(), cohort.cases[case], cohort.label_values)
    return paths


def _write_grades(network: nn.Module, cohort: Cohort, cases: Sequence[int], out: Path) -> Path:
    predicted = predictions(network, cohort, cases)
    rows = [
        {"id": cohort.cases[case].id, "grade": int(grade), "name": cohort.label_names[grade]}
        for case, grade in zip(tqdm(cases, desc="predict", unit="case"), predicted, strict=True)
    ]
    path = Path(out) / "grades.csv"
    write_csv(path, rows)
    return path

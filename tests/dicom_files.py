"""DICOM series as scanners write them, small enough to prepare in a blink."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pydicom = pytest.importorskip("pydicom")

CT, MR = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
SLICES, ROWS, COLUMNS = 6, 10, 8
POSITION = np.array([-31.5, 12.25, 480.0])  # of the first pixel of the first slice, LPS, mm
SPACING = (0.7, 1.3)  # between rows, between columns
STEP = 2.5


def directions(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Of a row and of a column, LPS."""
    x, y, z = np.eye(3)
    if kind == "axial":
        return x, y
    if kind == "sagittal":
        return y, -z
    if kind == "coronal":
        return x, -z
    if kind == "feet first":
        return -x, y
    a, b = np.radians([25, -12])  # oblique, about two axes
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn = turn @ [[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]]
    return turn @ x, turn @ y


def ds(values) -> list[str]:
    return [pydicom.valuerep.format_number_as_ds(float(value)) for value in values]


def stored(seed: int = 0, signed: bool = False) -> np.ndarray:
    """Pixels as they are stored, (slice, row, column)."""
    kind = np.int16 if signed else np.uint16
    low = -500 if signed else 0
    return np.random.default_rng(seed).integers(low, 2000, (SLICES, ROWS, COLUMNS)).astype(kind)


def write_series(
    folder: Path,
    pixels: np.ndarray,
    kind: str = "axial",
    modality: str = "CT",
    seed: int = 0,
    change: Callable | None = None,
) -> Path:
    """Write ``pixels`` (slice, row, column), under random names and instance numbers.

    ``change`` is called with each slice's number and data set before it is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    row, column = directions(kind)
    study, series, frame = (pydicom.uid.generate_uid() for _ in range(3))
    names, numbers = np.random.default_rng(seed).permuted([range(100, 999)] * 2, axis=1)
    for k, plane in enumerate(pixels):
        data = pydicom.Dataset()
        data.file_meta = pydicom.dataset.FileMetaDataset()
        data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        data.SOPClassUID = CT if modality == "CT" else MR
        data.SOPInstanceUID = pydicom.uid.generate_uid()
        data.StudyInstanceUID, data.SeriesInstanceUID = study, series
        data.FrameOfReferenceUID, data.Modality = frame, modality
        data.InstanceNumber = int(numbers[k])
        data.ImagePositionPatient = ds(POSITION + k * STEP * np.cross(row, column))
        data.ImageOrientationPatient = ds([*row, *column])
        data.PixelSpacing, data.SliceThickness = ds(SPACING), str(STEP)
        data.Rows, data.Columns = plane.shape
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 16, 15
        data.PixelRepresentation = int(plane.dtype == np.int16)
        if modality == "CT":
            data.RescaleSlope, data.RescaleIntercept = "2", "-1000"
        data.PixelData = plane.tobytes()
        if change:
            change(k, data)
        data.save_as(folder / f"IM{names[k]}", enforce_file_format=True)
    return folder


def slices(folder: Path) -> list[Path]:
    """Files of a series, in the order of their slices."""

    def height(path: Path) -> float:
        return float(pydicom.dcmread(path).ImagePositionPatient[2])

    return sorted(folder.iterdir(), key=height)


def edit(path: Path, **changes) -> None:
    data = pydicom.dcmread(path)
    for name, value in changes.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    data.save_as(path)

"""Raw data sets small enough to prepare in a blink, in the layouts the recipes read."""

import json
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

Save = Callable[..., Path]


def _save(path: Path, data: np.ndarray, affine: np.ndarray | None = None) -> Path:
    """Write an array as NIfTI (folders too) and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(data, np.eye(4) if affine is None else affine)
    image.header.set_xyzt_units("mm")
    nib.save(image, path)
    return path


def eye(number: int) -> np.ndarray:
    """A disc of 110 pixels with a gradient in each colour, on black: (120, 150, 3); all differ."""
    rows, columns = np.indices((120, 150))
    inside = np.hypot(columns + 0.5 - 75, rows + 0.5 - 60) <= 55
    colours = np.stack([60 + columns, 30 + rows, 20 + number + (rows + columns) // 4], axis=2)
    return (colours * inside[..., None]).astype(np.uint8)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Where a test lays out raw files."""
    return tmp_path / "raw"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """Where it has them prepared."""
    return tmp_path / "cohort"


@pytest.fixture
def save() -> Save:
    return _save


@pytest.fixture
def make_task() -> Callable[..., Path]:
    """Write a Decathlon task: ``cases`` labelled scans of (12, 14, 10) voxels, and unlabelled ones.

    Each has a bright block of class 1 and a brighter one of class 2.
    """

    def make(
        folder: Path, cases: int = 6, unlabelled: int = 0, shape: tuple[int, ...] = (12, 14, 10)
    ) -> Path:
        rng = np.random.default_rng(0)
        training, test = [], []
        for number in range(cases + unlabelled):
            label = np.zeros(shape, np.uint8)
            label[3:6, 4:9, 2:7] = 1
            label[6:9, 4:9, 2:7] = 2
            image = (rng.normal(100, 5, shape) + 40 * label).astype(np.float32)
            name = f"scan_{number:03}.nii.gz"
            if number < cases:
                _save(folder / "imagesTr" / name, image)
                _save(folder / "labelsTr" / name, label)
                training.append({"image": f"./imagesTr/{name}", "label": f"./labelsTr/{name}"})
            else:
                _save(folder / "imagesTs" / name, image)
                test.append(f"./imagesTs/{name}")
        description = {
            "name": "Blocks",
            "licence": "CC0",
            "reference": "nobody",
            "modality": {"0": "MRI"},
            "labels": {"0": "background", "1": "dim", "2": "bright"},
            "training": training,
            "test": test,
        }
        (folder / "dataset.json").write_text(json.dumps(description))
        return folder

    return make


@pytest.fixture
def make_head() -> Callable[..., Path]:
    """Write one BraTS case, its names from a pattern: four modalities, and a tumour."""

    def make(
        folder: Path,
        pattern: str = "Brats18_{case}_1_{kind}.nii.gz",
        case: str = "A",
        kinds: tuple[str, ...] = ("t1", "t1ce", "t2", "flair", "seg"),
        enhancing: int = 4,
        shape: tuple[int, int, int] = (20, 24, 16),
    ) -> Path:
        rng = np.random.default_rng(list(case.encode()))
        brain = np.zeros((20, 24, 16), bool)
        brain[3:17, 4:21, 2:] = True  # up to the last slice
        label = np.zeros(brain.shape, np.uint8)
        label[6:12, 8:14, 5:11] = 2
        label[7:11, 9:13, 6:10] = enhancing
        label[8:10, 10:12, 7:9] = 1
        spare = np.subtract(brain.shape, shape)
        starts = np.minimum(9 - np.array(shape) // 2, spare).clip(0)  # about the tumour
        box = tuple(slice(start, start + n) for start, n in zip(starts, shape, strict=True))
        brain, label = brain[box], label[box]
        for scale, kind in enumerate(kinds, start=1):
            image = (rng.normal(100 * 10**scale, 10**scale, brain.shape) * brain).astype(np.float32)
            _save(folder / pattern.format(case=case, kind=kind), label if kind == "seg" else image)
        return folder

    return make

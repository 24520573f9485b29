"""A case: one scan of one patient, as a cohort's manifest holds it, and its arrays on disk."""

import hashlib
import re
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from ssl3d_lite.files import atomic_write

RawHeader = dict[str, Any]  # a NIfTI header's field → its value: see .raw_header
SAFE_NAME = re.compile(r"\w[\w .+-]{0,199}")  # for a file, on every system


@dataclass(frozen=True)
class Source:
    """The raw scan a case was made from: enough to lay a prediction back over it."""

    files: dict[str, str]  # channel or "label" → path relative to the raw folder
    sha256: dict[str, str]  # the same keys → checksum of the file as it was read
    shape: tuple[int, ...]  # voxels
    affine: list[list[float]]  # raw voxel → world, in the cohort's unit
    header: RawHeader = field(default_factory=dict)  # {} of one that is no scan, or an old cohort's


@dataclass(frozen=True)
class Case:
    """One scan of one patient, as the manifest holds it."""

    id: str
    patient: str
    shape: tuple[int, ...]  # voxels of the prepared volume, without channels
    affine: list[list[float]]  # prepared voxel → world; includes crop, padding and resampling
    crop: list[list[int]]  # [start, stop) an axis of the RAS-oriented raw scan that was kept
    source: Source
    labelled: bool
    lost: int = 0  # labelled raw voxels outside the prepared volume
    lost_by_class: tuple[int, ...] = ()  # the same by class; () if there are none, or it is unknown
    grade: int | None = None  # class of the whole scan, in an ordinal cohort
    sha256: dict[str, str] = field(default_factory=dict)  # "image", "label" → of its array's file
    fold: int | None = None  # None: in no fold, so free for pretraining in every split
    slice_of: str = ""  # id of the 3D case that a slice was cut from

    @property
    def scan(self) -> str:
        """The scan that this case is, or is a slice of: the unit in which labels are counted."""
        return self.slice_of or self.id

    @property
    def spacing(self) -> np.ndarray:
        """Edges of a prepared voxel, in the cohort's unit: (axis,)."""
        from nibabel.affines import voxel_sizes  # imported late: most who open a cohort need none

        return voxel_sizes(np.array(self.affine))


def array_path(folder: Path, kind: str, case_id: str) -> Path:
    """Where a case's array lies; ``kind`` is "images" or "labels"."""
    return Path(folder) / kind / f"{case_id}.npy"


def write_array(path: Path, array: np.ndarray) -> str:
    """Save an array aside and rename it: a reader finds it whole or not at all.

    Returns:
        The file's checksum (SHA-256).
    """
    buffer = BytesIO()  # numpy does not say why when it cannot write to a file itself
    np.save(buffer, array, allow_pickle=False)
    atomic_write(path, lambda file: file.write(buffer.getbuffer()))
    return hashlib.sha256(buffer.getbuffer()).hexdigest()


def case_from_json(record: dict[str, Any]) -> Case:
    """A case from what ``json`` made of its ``asdict``."""
    source = record["source"]
    source = Source(**{**source, "shape": tuple(source["shape"])})
    by_class = tuple(record.get("lost_by_class", ()))  # an earlier version wrote none
    lists = {"shape": tuple(record["shape"]), "lost_by_class": by_class}
    return Case(**{**record, **lists, "source": source})
